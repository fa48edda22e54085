//! Lines of the record, and the chain through them.
//!
//! A line is one JSON object: `v`, `seq`, `at`, `kind`, where it belongs to one `exchange`, then
//! what its kind has, and last `chain`. The chain is BLAKE3 over the chain of the line before (32
//! bytes) and the line's own bytes up to where `,"chain"` begins, so no line can be changed, taken
//! out, put in or moved without breaking every chain behind it.

use super::digits::{push_base64, unhex};
use crate::id::{ExchangeId, hex};
use crate::wire::json::push_string;
use jiff::Timestamp;
use serde::Serialize;
use std::fmt;
use std::io::Write as _;

/// The newest version of the lines' schema that is known here. A line states the first version that
/// has its kind.
pub const VERSION: u32 = 2;

/// Since which version lines of a kind are there.
fn version_of(kind: &str) -> u32 {
    match kind {
        "erased" | "reseal" => 2,
        _ => 1,
    }
}

/// What stands between a line's own bytes and its chain.
const CHAIN_MEMBER: &[u8] = b",\"chain\":\"";
/// The length of `,"chain":"…"}`.
const CHAIN_LEN: usize = CHAIN_MEMBER.len() + 64 + 2;

/// The state of the chain after a line; before the first line of a store it is zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// The chain after a line whose own bytes are `line`.
    #[must_use]
    pub fn after(self, line: &[u8]) -> Chain {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(line);
        Chain(*hasher.finalize().as_bytes())
    }

    /// Reads the text form, 64 hexadecimal digits in lower case.
    pub fn parse(text: &str) -> Option<Chain> {
        unhex(text.as_bytes()).map(Chain)
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A line without its line end, in its own bytes and the chain that it states.
pub fn split(line: &[u8]) -> Option<(&[u8], Chain)> {
    let (own, member) = line.split_at_checked(line.len().checked_sub(CHAIN_LEN)?)?;
    let digits = member.strip_prefix(CHAIN_MEMBER)?.strip_suffix(b"\"}")?;
    Some((own, Chain(unhex(digits)?)))
}

/// Where a writer of lines stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of the next line.
    pub seq: u64,
    /// The chain after the line before it.
    pub chain: Chain,
}

impl Head {
    /// Appends a line to `out`; `fill` writes what its kind has.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        at_unix_ms: u64,
        kind: &str,
        exchange: Option<ExchangeId>,
        fill: impl FnOnce(&mut Members<'_>),
    ) {
        let begin = out.len();
        out.extend_from_slice(b"{\"v\":");
        push_number(out, version_of(kind).into());
        out.extend_from_slice(b",\"seq\":");
        push_number(out, self.seq);
        out.extend_from_slice(b",\"at\":\"");
        push_moment(out, at_unix_ms);
        out.extend_from_slice(b"\",\"kind\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.push(b'"');
        if let Some(id) = exchange {
            out.extend_from_slice(b",\"exchange\":\"");
            out.extend_from_slice(id.text().as_bytes());
            out.push(b'"');
        }
        fill(&mut Members(out));
        self.chain = self.chain.after(&out[begin..]);
        self.seq = self.seq.saturating_add(1);
        out.extend_from_slice(CHAIN_MEMBER);
        push_hex(out, &self.chain.0);
        out.extend_from_slice(b"\"}\n");
    }
}

/// Appends the line that stands for lines that were erased, from number `first` to number `last`,
/// with the chain after them.
pub(super) fn write_erased(out: &mut Vec<u8>, first: u64, last: u64, at: &str, chain: Chain) {
    let v = version_of("erased");
    let _ = write!(out, "{{\"v\":{v},\"seq\":{first},\"at\":");
    push_string(out, at);
    let _ = write!(out, ",\"kind\":\"erased\",\"last\":{last}");
    out.extend_from_slice(CHAIN_MEMBER);
    push_hex(out, &chain.0);
    out.extend_from_slice(b"\"}\n");
}

/// Appends a number in decimal.
pub(super) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// RFC 3339 in UTC with milliseconds. A time that no calendar has becomes the epoch.
fn push_moment(out: &mut Vec<u8>, unix_ms: u64) {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    // Writing to a vector cannot fail.
    let _ = write!(out, "{:.3}", moment.unwrap_or(Timestamp::UNIX_EPOCH));
}

/// RFC 3339 in UTC with milliseconds.
pub fn moment(unix_ms: u64) -> String {
    let mut out = Vec::new();
    push_moment(&mut out, unix_ms);
    String::from_utf8(out).unwrap_or_default()
}

/// Milliseconds since the Unix epoch of a moment as we write it.
pub(super) fn unix_ms(moment: &str) -> Option<u64> {
    let moment: Timestamp = moment.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok()
}

/// The members of a line in the making. Names are ours and need no escapes.
pub(super) struct Members<'o>(&'o mut Vec<u8>);

impl Members<'_> {
    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
    }

    /// A value of any form.
    pub(super) fn value(&mut self, name: &str, value: &(impl Serialize + ?Sized)) {
        self.name(name);
        let begin = self.0.len();
        if serde_json::to_writer(&mut *self.0, value).is_err() {
            // Only a map with keys that are no strings fails, and no record has one.
            self.0.truncate(begin);
            self.0.extend_from_slice(b"null");
        }
    }

    /// A value, where there is one.
    pub(super) fn some(&mut self, name: &str, value: Option<&(impl Serialize + ?Sized)>) {
        if let Some(value) = value {
            self.value(name, value);
        }
    }

    /// A number.
    pub(super) fn number(&mut self, name: &str, number: u64) {
        self.name(name);
        push_number(self.0, number);
    }

    /// A value that is JSON already.
    pub(super) fn json(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Bytes: `text` if they are UTF-8, else `base64`.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if let Ok(text) = std::str::from_utf8(bytes) {
            self.value("text", text);
        } else {
            self.name("base64");
            self.0.push(b'"');
            push_base64(self.0, bytes);
            self.0.push(b'"');
        }
    }

    /// A list whose items `each` writes.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Vec<u8>, T),
    ) {
        self.name(name);
        self.0.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            each(self.0, item);
        }
        self.0.push(b']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_and_states_its_chain() {
        let (mut head, mut out) = (Head { seq: 7, chain: Chain([3; 32]) }, Vec::new());
        head.write(&mut out, 1_700_000_000_020, "note", Some(ExchangeId(1)), |members| {
            members.bytes("say \"é\"\n".as_bytes());
        });
        let line = out.strip_suffix(b"\n").unwrap();
        let value: serde_json::Value = serde_json::from_slice(line).unwrap();
        assert_eq!(value["v"], 1);
        assert_eq!(value["seq"], 7);
        assert_eq!(value["at"], "2023-11-14T22:13:20.020Z");
        assert_eq!(value["text"], "say \"é\"\n");
        let (own, chain) = split(line).unwrap();
        assert_eq!(chain, Chain([3; 32]).after(own));
        assert_eq!(head, Head { seq: 8, chain });
        assert_eq!(unix_ms(&moment(1_700_000_000_020)), Some(1_700_000_000_020));
    }

    #[test]
    fn what_is_no_line_has_no_chain() {
        for line in ["", "{}", "{\"a\":1,\"chain\":\"00\"}", &"x".repeat(200)] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }
}
