//! What an answer says, read by the library's own decoders, whatever dialect it comes in.

use super::{Answer, Case, Client, Gateway};
use firedoor::wire::event::{Block, Counts, Event, Kind, StopReason};
use firedoor::wire::framing::Splitter;
use firedoor::wire::{Decoder, Dialect, decode_unary};

/// Every dialect.
pub const ALL: [Dialect; 5] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Bedrock,
];

/// Sends a request of `dialect` for `model` on a connection of its own.
pub fn send(
    gateway: &Gateway,
    dialect: Dialect,
    model: &str,
    stream: bool,
    fields: &[(&str, &str)],
    body: &[u8],
) -> Client {
    let target = Case { dialect, provider: "any" }.target(model, stream);
    let mut client = Client::connect(gateway.data);
    let all = [&[("content-type", "application/json")], fields].concat();
    client.request("POST", &target, &all, body);
    client
}

/// Asks `dialect` for `model` with one short prompt.
pub fn ask(gateway: &Gateway, dialect: Dialect, model: &str, stream: bool) -> Client {
    let body = Case { dialect, provider: "any" }.body(model, "hello", stream);
    send(gateway, dialect, model, stream, &[], body.as_bytes())
}

/// What an answer says.
#[derive(Debug, Default)]
pub struct Told {
    /// The text of the answer.
    pub text: String,
    /// The reasoning.
    pub reasoning: String,
    /// Id, name and arguments of each call, in order.
    pub calls: Vec<(String, String, String)>,
    /// How often it begins.
    pub starts: usize,
    /// How often it ends by the dialect's end mark.
    pub ends: usize,
    /// How often it says why it stopped.
    pub stops: usize,
    /// Why it stopped.
    pub stop: Option<StopReason>,
    /// Token counts.
    pub counts: Counts,
    /// The code and message of an error.
    pub error: Option<(String, String)>,
    /// Everything that was read.
    pub events: Vec<Event<'static>>,
}

impl Told {
    /// Reads a whole answer or a stream.
    pub fn of(dialect: Dialect, stream: bool, answer: &Answer) -> Told {
        assert_eq!(answer.status(), 200, "{dialect:?}: {}", answer.text());
        let kind = answer.head.field("content-type").unwrap_or_default();
        if stream {
            let framing = dialect.framing();
            assert!(framing.is_named_by(kind), "{dialect:?}: {kind}");
            Told::of_stream(dialect, &answer.body)
        } else {
            assert!(kind.starts_with("application/json"), "{dialect:?}: {kind}");
            let mut told = Told::default();
            decode_unary(dialect, &answer.body, &mut |event| told.see(event.into_owned()));
            told
        }
    }

    /// Reads a stream, which must consist of whole frames.
    pub fn of_stream(dialect: Dialect, body: &[u8]) -> Told {
        let mut told = Told::default();
        let mut decoder = Decoder::new(dialect);
        let framing = dialect.framing();
        let (mut splitter, mut rest) = (Splitter::new(framing), body);
        while let Some(end) = splitter.next(rest).unwrap() {
            decoder.frame(&framing.frame(&rest[..end]), &mut |event| told.see(event.into_owned()));
            rest = &rest[end..];
        }
        let left = String::from_utf8_lossy(rest);
        assert!(rest.is_empty(), "{dialect:?}: a half frame at the end: {left}");
        if told.error.is_none() {
            assert!(decoder.is_complete(), "{dialect:?}: {:?}", String::from_utf8_lossy(body));
        }
        told
    }

    fn see(&mut self, event: Event<'static>) {
        match &event {
            Event::Start { .. } => self.starts += 1,
            Event::End => self.ends += 1,
            Event::Stop { reason, .. } => {
                self.stops += 1;
                self.stop = Some(*reason);
            }
            Event::Open { block: Block::Tool { id, name, .. }, .. } => {
                self.calls.push((id.to_string(), name.to_string(), String::new()));
            }
            Event::Text { channel, text, .. } => match channel.kind {
                Kind::Answer => self.text += text,
                Kind::Reasoning => self.reasoning += text,
                Kind::ToolArguments => {
                    if let Some(call) = self.calls.last_mut() {
                        call.2 += text;
                    }
                }
                Kind::ToolName => {
                    if let Some(call) = self.calls.last_mut() {
                        call.1 += text;
                    }
                }
                _ => {}
            },
            Event::Usage { counts, .. } => {
                let new = |new: Option<u64>, old| new.or(old);
                self.counts.input = new(counts.input, self.counts.input);
                self.counts.output = new(counts.output, self.counts.output);
            }
            Event::Error { code, message, .. } => {
                self.error = Some((code.to_string(), message.to_string()));
            }
            _ => {}
        }
        self.events.push(event);
    }

    /// Checks that it is one answer: begun once, stopped once, no error.
    pub fn assert_one(&self, who: &str) {
        assert_eq!(self.error, None, "{who}: {:#?}", self.events);
        assert!(self.starts <= 1, "{who}: {:#?}", self.events);
        assert_eq!(self.stops, 1, "{who}: {:#?}", self.events);
        assert!(self.ends <= 1, "{who}: {:#?}", self.events);
    }

    /// The names of the calls.
    pub fn called(&self) -> Vec<&str> {
        self.calls.iter().map(|(_, name, _)| name.as_str()).collect()
    }
}
