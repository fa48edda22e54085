//! Streams cut into frames as SDKs cut them, and put together again: nothing of this is Firedoor's.

use serde_json::Value;

/// How the frames of a stream are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Sse,
    /// One JSON array, each element a frame.
    Array,
    /// AWS's event stream.
    Messages,
}

/// One frame.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The bytes, ending included.
    pub raw: Vec<u8>,
    /// Its name: SSE's `event`, or the event or exception type of a message.
    pub event: String,
    /// What it carries.
    pub data: String,
    /// The header block of a message.
    headers: Vec<u8>,
}

impl Frame {
    pub fn json(&self) -> Option<Value> {
        serde_json::from_str(&self.data).ok().filter(|value: &Value| value.is_object())
    }

    /// A frame that is not in any recording.
    pub fn new(framing: Framing, event: &str, data: String) -> Frame {
        let mut headers = Vec::new();
        if framing == Framing::Messages {
            let sort = if event.ends_with("Exception") { "exception" } else { "event" };
            push_header(&mut headers, &format!(":{sort}-type"), event);
            push_header(&mut headers, ":content-type", "application/json");
            push_header(&mut headers, ":message-type", sort);
        }
        let mut frame = Frame { headers, event: event.to_owned(), ..Frame::default() };
        frame.set(framing, data);
        frame
    }

    /// Gives it other data.
    pub fn set(&mut self, framing: Framing, data: String) {
        self.raw = match framing {
            Framing::Sse if self.event.is_empty() => format!("data: {data}\n\n").into_bytes(),
            Framing::Sse => format!("event: {}\ndata: {data}\n\n", self.event).into_bytes(),
            Framing::Array => data.clone().into_bytes(),
            Framing::Messages => message(&self.headers, data.as_bytes()),
        };
        self.data = data;
    }
}

/// Cuts a whole body; what is behind the last whole frame is a frame as well.
pub fn parse(framing: Framing, body: &[u8]) -> Vec<Frame> {
    match framing {
        Framing::Sse => parse_sse(body),
        Framing::Array => parse_array(body),
        Framing::Messages => parse_messages(body),
    }
}

/// The bytes of a stream of these frames.
pub fn join(framing: Framing, frames: &[Frame]) -> Vec<u8> {
    let all: Vec<&[u8]> = frames.iter().map(|frame| frame.raw.as_slice()).collect();
    match framing {
        Framing::Sse | Framing::Messages => all.concat(),
        Framing::Array => [b"[".as_slice(), &all.join(b"\r\n,\r\n".as_slice()), b"\r\n]"].concat(),
    }
}

fn parse_sse(body: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    let mut frame = Frame::default();
    let (mut data, mut at): (Vec<String>, usize) = (Vec::new(), 0);
    while at < body.len() {
        let rest = &body[at..];
        let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let ending = match rest.get(end..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            _ => 0,
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        frame.raw.extend_from_slice(&rest[..end + ending]);
        at += end + ending;
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name.trim_start_matches('\u{feff}') {
            "data" => data.push(value.to_owned()),
            "event" => value.clone_into(&mut frame.event),
            _ => {}
        }
        if line.is_empty() && (!data.is_empty() || !frame.event.is_empty()) {
            frame.data = std::mem::take(&mut data).join("\n");
            frames.push(std::mem::take(&mut frame));
        }
    }
    if !frame.raw.is_empty() {
        frame.data = data.join("\n");
        frames.push(frame);
    }
    frames
}

fn parse_array(body: &[u8]) -> Vec<Frame> {
    let elements: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let frame = |value: Value| Frame {
        raw: value.to_string().into_bytes(),
        data: value.to_string(),
        ..Frame::default()
    };
    elements.into_iter().map(frame).collect()
}

fn number(bytes: &[u8], at: usize) -> usize {
    bytes
        .get(at..at + 4)
        .map_or(0, |four| four.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
}

fn parse_messages(mut body: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while body.len() >= 16 {
        let (total, headers) = (number(body, 0), number(body, 4));
        if total < 16 + headers || body.len() < total {
            break;
        }
        let (raw, rest) = body.split_at(total);
        body = rest;
        let headers = &raw[12..12 + headers];
        frames.push(Frame {
            raw: raw.to_vec(),
            event: event_of(headers),
            data: String::from_utf8_lossy(&raw[12 + headers.len()..total - 4]).into_owned(),
            headers: headers.to_vec(),
        });
    }
    if !body.is_empty() {
        frames.push(Frame { raw: body.to_vec(), ..Frame::default() });
    }
    frames
}

/// The value of `:event-type` or `:exception-type`; all headers here are strings.
fn event_of(mut headers: &[u8]) -> String {
    while let Some((&length, rest)) = headers.split_first() {
        let (name, rest) = rest.split_at(usize::from(length));
        let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
        let (value, rest) = rest[3..].split_at(length);
        headers = rest;
        if name.ends_with(b"-type") && name != b":message-type" && name != b":content-type" {
            return String::from_utf8_lossy(value).into_owned();
        }
    }
    String::new()
}

fn push_header(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(u8::try_from(name.len()).unwrap());
    out.extend_from_slice(name.as_bytes());
    out.push(7);
    out.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn message(headers: &[u8], payload: &[u8]) -> Vec<u8> {
    let total = u32::try_from(16 + headers.len() + payload.len()).unwrap();
    let mut out = total.to_be_bytes().to_vec();
    out.extend_from_slice(&u32::try_from(headers.len()).unwrap().to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_be_bytes());
    out
}
