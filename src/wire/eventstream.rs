//! AWS's binary event stream, `application/vnd.amazon.eventstream`, cut into messages without
//! losing a byte.
//!
//! Source: the event stream encoding of Smithy's Amazon specification
//! (<https://smithy.io/2.0/aws/amazon-eventstream.html>). A message is, all numbers big-endian:
//!
//! ```text
//! total length (4)  headers' length (4)  CRC-32 of these 8 bytes (4)
//! headers: name length (1), name, type (1), value ..
//! payload
//! CRC-32 of all before it (4)
//! ```
//!
//! What always holds: a message leaves the splitter only when its lengths, its headers and both
//! checksums agree, so behind it none of them is doubted again; the messages of a stream, put end
//! to end, are the stream; what is held is less than one message, and a message has a bound. Bytes
//! of which anything disagrees are [`Damage`]: nothing behind them can be found, so the stream
//! cannot go on.

use super::sse::{FRAME_BYTES_MAX, Frame};
use std::borrow::Cow;

/// The headers of a message may have so many bytes; the specification says so.
const HEADERS_BYTES_MAX: usize = 128 << 10;
/// Total length, headers' length, and the checksum over both.
const PRELUDE_BYTES: usize = 12;
/// The checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// What is wrong with the bytes of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// A length that no message has, or one longer than [`FRAME_BYTES_MAX`].
    Length,
    /// The checksum over the lengths is wrong.
    PreludeChecksum,
    /// The checksum over the message is wrong.
    MessageChecksum,
    /// The headers cannot be read.
    Headers,
    /// What should be an array of objects is none.
    Array,
}

impl Damage {
    /// In words for the client.
    pub fn message(self) -> &'static str {
        match self {
            Damage::Length => "the provider sent an event-stream message of an impossible length",
            Damage::PreludeChecksum | Damage::MessageChecksum => {
                "the provider sent an event-stream message whose checksum is wrong"
            }
            Damage::Headers => {
                "the provider sent an event-stream message whose headers cannot be read"
            }
            Damage::Array => "the provider sent what is no JSON array of objects",
        }
    }
}

/// Where a message ends, found as its bytes come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Splitter {
    /// The length of the message that begins the bytes, once its prelude was checked.
    total: Option<usize>,
}

impl Splitter {
    /// The length of the first whole message of `bytes`, which starts where the last message ended
    /// and grows from call to call; `None` if it is not whole yet.
    ///
    /// # Errors
    /// The bytes are no message; nothing behind them can be found.
    pub fn next(&mut self, bytes: &[u8]) -> Result<Option<usize>, Damage> {
        let total = match self.total {
            Some(total) => total,
            None if bytes.len() < PRELUDE_BYTES => return Ok(None),
            None => Prelude::read(bytes)?.total,
        };
        self.total = Some(total);
        let Some(message) = bytes.get(..total) else { return Ok(None) };
        let (checked, checksum) = message.split_at(total - CHECKSUM_BYTES);
        if number(checksum, 0) != Some(crc32fast::hash(checked)) {
            return Err(Damage::MessageChecksum);
        }
        Message::read(message)?;
        self.total = None;
        Ok(Some(total))
    }
}

/// The lengths at the beginning of a message.
#[derive(Clone, Copy)]
struct Prelude {
    total: usize,
    headers: usize,
}

impl Prelude {
    fn read(bytes: &[u8]) -> Result<Prelude, Damage> {
        let field = |at| number(bytes, at).ok_or(Damage::Length);
        let (total, headers, checksum) = (field(0)?, field(4)?, field(8)?);
        if checksum != crc32fast::hash(bytes.get(..8).unwrap_or_default()) {
            return Err(Damage::PreludeChecksum);
        }
        let (total, headers) = (total as usize, headers as usize);
        let fits =
            headers.checked_add(PRELUDE_BYTES + CHECKSUM_BYTES).is_some_and(|least| least <= total);
        if !fits || total > FRAME_BYTES_MAX || headers > HEADERS_BYTES_MAX {
            return Err(Damage::Length);
        }
        Ok(Prelude { total, headers })
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What a message is, by its `:message-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A step of the answer, named by `:event-type`.
    Event,
    /// An error that the service's model knows, named by `:exception-type`.
    Exception,
    /// An error that it does not know, named by `:error-code`; its text is a header.
    Error,
}

/// The parts of one message that mean something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub sort: Sort,
    /// Its name, empty if it has none.
    pub name: &'a [u8],
    /// The text of an [`Sort::Error`].
    pub text: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message that a [`Splitter`] cut; its checksums are not looked at again.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn read(raw: &'a [u8]) -> Result<Message<'a>, Damage> {
        let prelude = Prelude::read(raw)?;
        let inner = raw
            .get(..prelude.total)
            .filter(|message| message.len() == raw.len())
            .and_then(|message| message.get(PRELUDE_BYTES..message.len() - CHECKSUM_BYTES))
            .ok_or(Damage::Length)?;
        let (mut headers, payload) =
            inner.split_at_checked(prelude.headers).ok_or(Damage::Length)?;
        let mut message = Message { sort: Sort::Event, name: b"", text: b"", payload };
        let (mut event, mut exception, mut error) =
            (b"".as_slice(), b"".as_slice(), b"".as_slice());
        while !headers.is_empty() {
            let (name, value) = take_header(&mut headers).ok_or(Damage::Headers)?;
            match name {
                b":message-type" => {
                    message.sort = match value {
                        b"exception" => Sort::Exception,
                        b"error" => Sort::Error,
                        _ => Sort::Event,
                    };
                }
                b":event-type" => event = value,
                b":exception-type" => exception = value,
                b":error-code" => error = value,
                b":error-message" => message.text = value,
                _ => {}
            }
        }
        message.name = match message.sort {
            Sort::Event => event,
            Sort::Exception => exception,
            Sort::Error => error,
        };
        Ok(message)
    }
}

/// Takes the next header off: its name, and its value if that is text, else nothing.
fn take_header<'a>(headers: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let name_bytes = usize::from(take(headers, 1)?[0]);
    let name = take(headers, name_bytes)?;
    let kind = take(headers, 1)?[0];
    let value = match kind {
        // True and false.
        0 | 1 => b"",
        // Numbers, a time, a UUID.
        2 => take(headers, 1)?,
        3 => take(headers, 2)?,
        4 => take(headers, 4)?,
        5 | 8 => take(headers, 8)?,
        9 => take(headers, 16)?,
        // Bytes and text.
        6 | 7 => {
            let length = u16::from_be_bytes(*take(headers, 2)?.first_chunk()?);
            take(headers, usize::from(length))?
        }
        _ => return None,
    };
    Some((name, if kind == 7 { value } else { b"" }))
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

/// A message in the shape that all framings share: the event is its name, the data its payload.
///
/// Bytes that are no message (a half one, where a stream broke off) are data without a name.
pub fn frame(raw: &[u8]) -> Frame<'_> {
    match Message::read(raw) {
        Ok(message) => Frame { raw, event: message.name, data: Cow::Borrowed(message.payload) },
        Err(_) => Frame { raw, event: b"", data: Cow::Borrowed(raw) },
    }
}

/// Appends an event with a JSON payload.
pub fn push_event(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    push(out, ":event-type", name, "event", payload);
}

/// Appends an exception with a JSON payload.
pub fn push_exception(out: &mut Vec<u8>, name: &str, payload: &[u8]) {
    push(out, ":exception-type", name, "exception", payload);
}

fn push(out: &mut Vec<u8>, kind: &str, name: &str, sort: &str, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; PRELUDE_BYTES]);
    for (name, value) in
        [(kind, name), (":content-type", "application/json"), (":message-type", sort)]
    {
        push_header(out, name, value);
    }
    let headers = out.len() - start - PRELUDE_BYTES;
    out.extend_from_slice(payload);
    out.extend_from_slice(&[0; CHECKSUM_BYTES]);
    let total = out.len() - start;
    if let Some(message) = out.get_mut(start..) {
        // Payloads are pieces of one answer, which is bounded far below what four bytes count.
        let lengths = [total, headers].map(|length| u32::try_from(length).unwrap_or(u32::MAX));
        for (field, length) in message.chunks_exact_mut(4).zip(lengths) {
            field.copy_from_slice(&length.to_be_bytes());
        }
    }
    seal(&mut out[start..]);
}

/// A header of text. Names are ours; of a value that is too long for its length the front is kept.
fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    let value = &value.as_bytes()[..value.len().min(usize::from(u16::MAX >> 1))];
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name.as_bytes());
    out.push(7);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(value);
}

/// Writes both checksums of one message anew, as an edit in place needs it. Bytes too few to be a
/// message stay as they are.
pub fn seal(message: &mut [u8]) {
    if message.len() < PRELUDE_BYTES + CHECKSUM_BYTES {
        return;
    }
    let prelude = crc32fast::hash(&message[..8]);
    message[8..PRELUDE_BYTES].copy_from_slice(&prelude.to_be_bytes());
    let end = message.len() - CHECKSUM_BYTES;
    let whole = crc32fast::hash(&message[..end]);
    message[end..].copy_from_slice(&whole.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(name: &str, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        push_event(&mut out, name, payload);
        out
    }

    /// The messages of bytes that come in pieces cut at `cuts`, and what is left.
    fn split(bytes: &[u8], cuts: &[usize]) -> Result<(Vec<Vec<u8>>, Vec<u8>), Damage> {
        let (mut held, mut messages, mut splitter) = (Vec::new(), Vec::new(), Splitter::default());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            held.extend_from_slice(&bytes[from..cut]);
            from = cut;
            while let Some(end) = splitter.next(&held)? {
                messages.push(held.drain(..end).collect());
            }
        }
        Ok((messages, held))
    }

    #[test]
    fn a_message_of_the_specification() {
        // Smithy's own vector: empty payload, no headers.
        let empty = [0, 0, 0, 0x10, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff];
        assert_eq!(Splitter::default().next(&empty), Ok(Some(16)));
        let payload = b"{'foo':'bar'}";
        let mut message = [&[0u8, 0, 0, 0x1d, 0, 0, 0, 0][..], &[0; 4], payload, &[0; 4]].concat();
        seal(&mut message);
        assert_eq!(message[8..12], [0xfd, 0x52, 0x8c, 0x5a]);
        assert_eq!(message[message.len() - 4..], [0xc3, 0x65, 0x39, 0x36]);
        assert_eq!(&*frame(&message).data, payload);
    }

    #[test]
    fn headers_of_every_type_are_passed_over() {
        let values: [&[u8]; 10] = [
            b"\x00",
            b"\x01",
            b"\x02a",
            b"\x03ab",
            b"\x04abcd",
            b"\x05abcdefgh",
            b"\x06\0\x02ab",
            b"\x07\0\x02ab",
            b"\x08abcdefgh",
            b"\x090123456789abcdef",
        ];
        let mut headers = Vec::new();
        for value in values {
            headers.extend_from_slice(b"\x01x");
            headers.extend_from_slice(value);
        }
        headers.extend_from_slice(b"\x0d:message-type\x07\0\x05error\x0b:error-code\x07\0\x01E");
        let total = (PRELUDE_BYTES + headers.len() + 2 + CHECKSUM_BYTES) as u32;
        let length = (headers.len() as u32).to_be_bytes();
        let mut raw =
            [&total.to_be_bytes()[..], &length, &[0; 4], &headers, b"{}", &[0; 4]].concat();
        seal(&mut raw);
        let message = Message::read(&raw).unwrap();
        assert_eq!(
            (message.sort, message.name, message.payload),
            (Sort::Error, &b"E"[..], &b"{}"[..])
        );
        assert_eq!(Splitter::default().next(&raw), Ok(Some(raw.len())));
    }

    #[test]
    fn what_disagrees_has_a_name() {
        let good = event("messageStart", b"{\"role\":\"assistant\"}");
        let damaged = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            Splitter::default().next(&bytes)
        };
        assert_eq!(damaged(3), Err(Damage::PreludeChecksum));
        assert_eq!(damaged(9), Err(Damage::PreludeChecksum));
        assert_eq!(damaged(14), Err(Damage::MessageChecksum));
        assert_eq!(damaged(good.len() - 1), Err(Damage::MessageChecksum));
        let mut long = [0x7f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        seal(&mut long);
        assert_eq!(Splitter::default().next(&long), Err(Damage::Length));
        let mut headless = [0, 0, 0, 0x10, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        seal(&mut headless);
        assert_eq!(Splitter::default().next(&headless), Err(Damage::Length));
        let mut torn = good.clone();
        torn[PRELUDE_BYTES] = 0xff;
        seal(&mut torn);
        assert_eq!(Splitter::default().next(&torn), Err(Damage::Headers));
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(
            payloads in proptest::collection::vec((".{0,8}", proptest::collection::vec(any::<u8>(), 0..40)), 0..6),
            cuts in proptest::collection::vec(0usize..600, 0..8),
            rest in 0usize..16,
        ) {
            let expected: Vec<Vec<u8>> =
                payloads.iter().map(|(name, payload)| event(name, payload)).collect();
            let whole = expected.concat();
            let half = &event("half", b"")[..rest];
            let bytes = [&whole[..], half].concat();
            let (messages, held) = split(&bytes, &cuts).unwrap();
            prop_assert_eq!(&held, half);
            prop_assert_eq!(&messages, &expected);
            for (raw, (name, payload)) in messages.iter().zip(&payloads) {
                let frame = frame(raw);
                prop_assert_eq!(frame.event, name.as_bytes());
                prop_assert_eq!(&*frame.data, &payload[..]);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            sealed in any::<bool>(),
            cuts in proptest::collection::vec(0usize..200, 0..4),
        ) {
            let mut bytes = bytes;
            if sealed && bytes.len() >= 16 {
                let total = (bytes.len() as u32).to_be_bytes();
                bytes[..4].copy_from_slice(&total);
                bytes[4..7].fill(0);
                seal(&mut bytes);
            }
            let _ = split(&bytes, &cuts);
            let _ = frame(&bytes);
        }

        #[test]
        fn a_changed_byte_is_never_missed(at in 0usize..1000, bit in 0u8..8) {
            let good = event("contentBlockDelta", b"{\"contentBlockIndex\":0}");
            let mut bytes = good.clone();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert!(!matches!(Splitter::default().next(&bytes), Ok(Some(_))));
        }
    }
}
