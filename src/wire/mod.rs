//! Provider bytes to events and back.
//!
//! A dialect is one folder: `request` (a view of what is asked), `stream` (frames to events),
//! `write` (events to frames), `unary` (whole answers, both ways). Dialects know nothing of each
//! other: all meet in [`event::Event`]. A provider is a row in the table, never code here.
//!
//! What always holds: a frame's bytes are kept beside their meaning, so an unedited frame leaves
//! as it came; what is not understood is [`event::Event::Opaque`], never dropped; nothing here
//! panics on any input, and every buffer has a bound.

pub mod anthropic;
pub mod bedrock;
pub mod coding;
pub mod continued;
pub mod event;
pub mod eventstream;
mod fields;
pub mod form;
pub mod framing;
pub mod gemini;
pub mod json;
pub mod jsonarray;
pub mod looks;
pub mod loss;
pub mod media_type;
mod members;
pub mod models;
mod object;
pub mod openai_chat;
pub mod openai_responses;
mod opening;
pub mod percent;
pub mod prompt;
pub mod provider_error;
pub mod reframe;
pub mod refusal;
pub mod request;
mod retell;
pub mod segments;
mod splice;
pub mod sse;
mod template;
pub mod tools;
mod view;

use event::{Block, Channel, Event, Kind};
use framing::{Framing, Splitter};
use loss::Losses;
use std::borrow::Cow;

/// A wire grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dialect {
    /// OpenAI Chat Completions, and the many that imitate it.
    OpenaiChat,
    /// OpenAI Responses.
    OpenaiResponses,
    /// Anthropic Messages.
    Anthropic,
    /// Gemini `generateContent`.
    Gemini,
    /// Bedrock `Converse`.
    Bedrock,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Dialect; 5] = [
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::Anthropic,
        Dialect::Gemini,
        Dialect::Bedrock,
    ];

    /// The name as files, labels and records write it.
    pub fn name(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai-chat",
            Dialect::OpenaiResponses => "openai-responses",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::Bedrock => "bedrock",
        }
    }

    /// The dialect of this name.
    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// How the frames of its streams are told apart.
    pub fn framing(self) -> Framing {
        match self {
            Dialect::OpenaiChat
            | Dialect::OpenaiResponses
            | Dialect::Anthropic
            | Dialect::Gemini => Framing::Sse,
            Dialect::Bedrock => Framing::EventStream,
        }
    }
}

/// What takes events as they are decoded.
///
/// Events borrow from the frame; a sink that keeps one calls [`Event::into_owned`].
pub type Sink<'s> = dyn FnMut(Event<'_>) + 's;

/// What is known of an answer when its stream has to be ended by us: the ids that the ending must
/// repeat so that a client accepts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The answer's id.
    pub id: Option<Box<str>>,
    /// The model that the provider reported.
    pub model: Option<Box<str>>,
    /// Unix seconds at which the provider says it began.
    pub created: Option<u64>,
    /// The next sequence number (Responses).
    pub sequence: u64,
}

/// The stream decoder of one answer: frames in, events out.
#[expect(clippy::large_enum_variant, reason = "one a stream, made in place and never moved")]
#[derive(Clone, Debug)]
pub enum Decoder {
    /// Chat Completions.
    OpenaiChat(openai_chat::Decoder),
    /// Responses.
    OpenaiResponses(openai_responses::Decoder),
    /// Anthropic Messages.
    Anthropic(anthropic::Decoder),
    /// Gemini.
    Gemini(gemini::Decoder),
    /// Bedrock.
    Bedrock(bedrock::Decoder),
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(dialect: Dialect) -> Decoder {
        match dialect {
            Dialect::OpenaiChat => Decoder::OpenaiChat(openai_chat::Decoder::default()),
            Dialect::OpenaiResponses => {
                Decoder::OpenaiResponses(openai_responses::Decoder::default())
            }
            Dialect::Anthropic => Decoder::Anthropic(anthropic::Decoder::default()),
            Dialect::Gemini => Decoder::Gemini(gemini::Decoder::default()),
            Dialect::Bedrock => Decoder::Bedrock(bedrock::Decoder::default()),
        }
    }

    /// Decodes one frame. Every frame yields at least one event.
    pub fn frame(&mut self, frame: &sse::Frame<'_>, sink: &mut Sink<'_>) {
        match self {
            Decoder::OpenaiChat(decoder) => decoder.frame(frame, sink),
            Decoder::OpenaiResponses(decoder) => decoder.frame(frame, sink),
            Decoder::Anthropic(decoder) => decoder.frame(frame, sink),
            Decoder::Gemini(decoder) => decoder.frame(frame, sink),
            Decoder::Bedrock(decoder) => decoder.frame(frame, sink),
        }
    }

    /// Whether the answer has said that it is complete, so that the end of the bytes is its end.
    pub fn is_complete(&self) -> bool {
        match self {
            Decoder::OpenaiChat(decoder) => decoder.is_complete(),
            Decoder::OpenaiResponses(decoder) => decoder.is_complete(),
            Decoder::Anthropic(decoder) => decoder.is_complete(),
            Decoder::Gemini(decoder) => decoder.is_complete(),
            Decoder::Bedrock(decoder) => decoder.is_complete(),
        }
    }

    /// What an ending written by us must repeat.
    pub fn tail(&self) -> Tail {
        match self {
            Decoder::OpenaiChat(decoder) => decoder.tail(),
            Decoder::OpenaiResponses(decoder) => decoder.tail(),
            Decoder::Anthropic(decoder) => decoder.tail(),
            Decoder::Gemini(decoder) => decoder.tail(),
            Decoder::Bedrock(decoder) => decoder.tail(),
        }
    }
}

/// The stream encoder of one answer: events in, frames out.
#[expect(clippy::large_enum_variant, reason = "one a stream, made in place and never moved")]
#[derive(Debug)]
pub enum Encoder {
    /// Chat Completions.
    OpenaiChat(openai_chat::Encoder),
    /// Responses.
    OpenaiResponses(openai_responses::Encoder),
    /// Anthropic Messages.
    Anthropic(anthropic::Encoder),
    /// Gemini.
    Gemini(gemini::Encoder),
    /// Bedrock.
    Bedrock(bedrock::Encoder),
}

impl Encoder {
    /// An encoder into `dialect` of events decoded from `source`; native parts of events are used
    /// only where the two are the same.
    pub fn new(dialect: Dialect, source: Dialect) -> Encoder {
        match dialect {
            Dialect::OpenaiChat => Encoder::OpenaiChat(openai_chat::Encoder::new(source)),
            Dialect::OpenaiResponses => {
                Encoder::OpenaiResponses(openai_responses::Encoder::new(source))
            }
            Dialect::Anthropic => Encoder::Anthropic(anthropic::Encoder::new(source)),
            Dialect::Gemini => Encoder::Gemini(gemini::Encoder::new(source)),
            Dialect::Bedrock => Encoder::Bedrock(bedrock::Encoder::new(source)),
        }
    }

    /// Appends the frames that say what `events`, the events of one source frame, said.
    pub fn frame(&mut self, events: &[Event<'_>], out: &mut Vec<u8>) {
        match self {
            Encoder::OpenaiChat(encoder) => encoder.frame(events, out),
            Encoder::OpenaiResponses(encoder) => encoder.frame(events, out),
            Encoder::Anthropic(encoder) => encoder.frame(events, out),
            Encoder::Gemini(encoder) => encoder.frame(events, out),
            Encoder::Bedrock(encoder) => encoder.frame(events, out),
        }
    }

    /// What could not be said so far.
    pub fn losses(&self) -> Losses {
        match self {
            Encoder::OpenaiChat(encoder) => encoder.losses(),
            Encoder::OpenaiResponses(encoder) => encoder.losses(),
            Encoder::Anthropic(encoder) => encoder.losses(),
            Encoder::Gemini(encoder) => encoder.losses(),
            Encoder::Bedrock(encoder) => encoder.losses(),
        }
    }

    /// A frame of the source, which this encoder did not get, was left out of the answer.
    pub fn skip_frame(&mut self) {
        match self {
            Encoder::OpenaiResponses(encoder) => encoder.skip_frame(),
            Encoder::OpenaiChat(_)
            | Encoder::Anthropic(_)
            | Encoder::Gemini(_)
            | Encoder::Bedrock(_) => {}
        }
    }

    /// Appends frames that say a text of our own, in a block of its own where the dialect has
    /// blocks; `block` is the number of the next one.
    pub fn say(&mut self, choice: u16, block: u16, text: &str, out: &mut Vec<u8>) {
        let channel = Channel { choice, block, part: 0, kind: Kind::Answer };
        match self {
            Encoder::OpenaiChat(_)
            | Encoder::Anthropic(_)
            | Encoder::Gemini(_)
            | Encoder::Bedrock(_) => {
                let open = Event::Open { channel, block: Block::Text };
                let said = Event::Text { channel, text: Cow::Borrowed(text), span: None };
                self.frame(&[open, said, Event::Close { channel }], out);
            }
            Encoder::OpenaiResponses(encoder) => encoder.say(channel, text, out),
        }
    }

    /// Makes an encoder go on with the events of `source`, whatever dialect that is. `history` is what
    /// was said so far, as events of any other dialect would say it, block for block. Gives
    /// whether it can: its own numbers and ids then continue those that the client has seen.
    pub fn turn_foreign(&mut self, source: Dialect, history: &[Event<'_>]) -> bool {
        match self {
            Encoder::OpenaiChat(encoder) => encoder.turn_foreign(source, history),
            Encoder::OpenaiResponses(encoder) => encoder.turn_foreign(source, history),
            Encoder::Anthropic(encoder) => encoder.turn_foreign(source, history),
            Encoder::Gemini(encoder) => encoder.turn_foreign(source, history),
            Encoder::Bedrock(encoder) => encoder.turn_foreign(source, history),
        }
    }

    /// What an ending written by us must repeat.
    pub fn tail(&self) -> Tail {
        match self {
            Encoder::OpenaiChat(encoder) => encoder.tail(),
            Encoder::OpenaiResponses(encoder) => encoder.tail(),
            Encoder::Anthropic(encoder) => encoder.tail(),
            Encoder::Gemini(encoder) => encoder.tail(),
            Encoder::Bedrock(encoder) => encoder.tail(),
        }
    }
}

/// Decodes a whole answer body into the events that its stream would have given.
///
/// A body that is not an answer of the dialect gives one [`Event::Opaque`].
pub fn decode_unary(dialect: Dialect, body: &[u8], sink: &mut Sink<'_>) {
    match dialect {
        Dialect::OpenaiChat => openai_chat::decode_unary(body, sink),
        Dialect::OpenaiResponses => openai_responses::decode_unary(body, sink),
        Dialect::Anthropic => anthropic::decode_unary(body, sink),
        Dialect::Gemini => gemini::decode_unary(body, sink),
        Dialect::Bedrock => bedrock::decode_unary(body, sink),
    }
}

/// Decodes an answer that is there in one piece, a stream's too, as its media type says.
///
/// What a stream that broke off has behind its last whole frame is decoded as a frame.
pub fn decode_answer(dialect: Dialect, media: Option<&str>, body: &[u8], sink: &mut Sink<'_>) {
    let framing = if media.is_some_and(|media| dialect.framing().is_named_by(media)) {
        dialect.framing()
    } else if dialect == Dialect::Gemini && body.trim_ascii_start().starts_with(b"[") {
        Framing::JsonArray
    } else {
        return decode_unary(dialect, body, sink);
    };
    let mut decoder = Decoder::new(dialect);
    let mut splitter = Splitter::new(framing);
    let mut rest = body;
    while let Ok(Some(length)) = splitter.next(rest)
        && let Some((frame, behind)) = rest.split_at_checked(length).filter(|_| length > 0)
    {
        decoder.frame(&framing.frame(frame), sink);
        rest = behind;
    }
    if !rest.is_empty() {
        decoder.frame(&framing.frame(rest), sink);
    }
}

/// Encodes the events of a whole answer, decoded from `source`, as one body; adds to `losses` what
/// it cannot say.
pub fn encode_unary(
    dialect: Dialect,
    source: Dialect,
    events: &[Event<'_>],
    losses: &mut Losses,
) -> Vec<u8> {
    match dialect {
        Dialect::OpenaiChat => openai_chat::encode_unary(source, events, losses),
        Dialect::OpenaiResponses => openai_responses::encode_unary(source, events, losses),
        Dialect::Anthropic => anthropic::encode_unary(source, events, losses),
        Dialect::Gemini => gemini::encode_unary(source, events, losses),
        Dialect::Bedrock => bedrock::encode_unary(source, events, losses),
    }
}
