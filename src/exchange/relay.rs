//! An answer's stream on its way through: bytes in, bytes out, facts on the side.
//!
//! What always holds: the bytes that go out are those that came in, whole frames at a time, so
//! that an ending of ours can always begin a frame of its own; nothing goes out before the first
//! event has been decoded; what is held is less than one frame, and a frame has a bound.

use super::calls::Calls;
use crate::clock::Tick;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::event::{Counts, Event, Kind, StopReason};
use crate::wire::eventstream::Damage;
use crate::wire::framing::{FRAME_BYTES_MAX, Splitter};
use crate::wire::refusal::Refusal;
use crate::wire::{Decoder, Dialect, decode_unary};

/// The most decoded bytes of a compressed body that are looked at.
const INSPECT_BYTES_MAX: u64 = 64 << 20;
/// The largest ratio of decoded to encoded bytes.
const INSPECT_RATIO_MAX: u32 = 200;

/// What is learned from an answer's events.
#[derive(Debug, Default)]
pub struct Seen {
    /// The model that the provider reports.
    pub model: Option<Box<str>>,
    /// Tokens.
    pub usage: Counts,
    /// Why it stopped.
    pub stop: Option<StopReason>,
    /// When the first text came.
    pub first_text: Option<Tick>,
    /// Text events.
    pub text_events: u64,
    /// Whether anything but keep-alives came.
    pub began: bool,
    /// The provider's error, if it sent one inside the stream.
    pub error: Option<Box<str>>,
    /// The tool calls.
    pub calls: Calls,
}

impl Seen {
    /// Learns from one event.
    pub fn see(&mut self, event: &Event<'_>, now: Tick) {
        self.calls.see(event);
        match event {
            Event::Ping => return,
            Event::Text { channel, .. } => {
                self.text_events += 1;
                match channel.kind {
                    Kind::Answer | Kind::Reasoning | Kind::Refusal | Kind::ToolArguments => {
                        self.first_text.get_or_insert(now);
                    }
                    Kind::System
                    | Kind::User
                    | Kind::History
                    | Kind::Document
                    | Kind::ToolResult
                    | Kind::ToolDefinition
                    | Kind::ToolName
                    | Kind::Citation
                    | Kind::Other => {}
                }
            }
            Event::Start { model, .. } => {
                if !model.is_empty() {
                    self.model = Some(model.as_ref().into());
                }
            }
            Event::Stop { reason, .. } => self.stop = Some(*reason),
            Event::Usage { counts, .. } => {
                let keep = |new: Option<u64>, old: Option<u64>| new.or(old);
                self.usage = Counts {
                    input: keep(counts.input, self.usage.input),
                    output: keep(counts.output, self.usage.output),
                    cache_read: keep(counts.cache_read, self.usage.cache_read),
                    cache_write: keep(counts.cache_write, self.usage.cache_write),
                    reasoning: keep(counts.reasoning, self.usage.reasoning),
                };
            }
            Event::Error { code, message, .. } => {
                let text: String = format!("{code}: {message}").chars().take(300).collect();
                self.error = Some(text.into());
            }
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
        self.began = true;
    }

    /// Learns from a whole answer body.
    pub fn whole(&mut self, dialect: Dialect, body: &[u8], now: Tick) {
        decode_unary(dialect, body, &mut |event| self.see(&event, now));
    }
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A frame is longer than [`FRAME_BYTES_MAX`].
    FrameTooLong,
    /// The bytes contradict their framing.
    Damaged(Damage),
    /// The provider ended the stream before the answer was complete.
    Unfinished,
}

impl Broken {
    /// In words for the client.
    pub fn message(self) -> &'static str {
        match self {
            Broken::FrameTooLong => "the provider sent a frame that is too long to be handled",
            Broken::Damaged(damage) => damage.message(),
            Broken::Unfinished => "the provider ended the stream before the answer was complete",
        }
    }
}

/// The relay of one stream in its own dialect.
#[derive(Debug)]
pub struct Relay {
    dialect: Dialect,
    decoder: Decoder,
    splitter: Splitter,
    /// Less than one frame.
    held: Vec<u8>,
    /// Set when the stream is compressed: frames are looked at beside it, bytes pass as they are.
    inflater: Option<Box<Inflater>>,
    /// What was learned so far.
    pub seen: Seen,
}

impl Relay {
    /// A relay at the start of a stream that comes with this content coding.
    pub fn new(dialect: Dialect, coding: Coding) -> Relay {
        let inflater = match coding {
            Coding::Identity => None,
            Coding::Gzip | Coding::Deflate | Coding::Brotli | Coding::Zstd => {
                Some(Box::new(Inflater::new(coding, INSPECT_BYTES_MAX, INSPECT_RATIO_MAX)))
            }
        };
        Relay {
            dialect,
            decoder: Decoder::new(dialect),
            splitter: Splitter::new(dialect.framing()),
            held: Vec::new(),
            inflater,
            seen: Seen::default(),
        }
    }

    /// Takes the next bytes of the stream and appends what may go out.
    ///
    /// # Errors
    /// The stream cannot go on; what was appended before may still go out.
    pub fn bytes(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        if let Some(inflater) = &mut self.inflater {
            out.extend_from_slice(input);
            let mut plain = Vec::new();
            // What cannot be inflated cannot be looked at; it is the client's to judge.
            let _ = inflater.push(input, &mut plain);
            let mut unseen = Vec::new();
            return self.frames(&plain, now, &mut unseen);
        }
        self.frames(input, now, out)
    }

    fn frames(&mut self, input: &[u8], now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let Relay { dialect, decoder, splitter, held, seen, .. } = self;
        let framing = dialect.framing();
        let mut damage = None;
        let mut pass = |bytes: &[u8]| {
            let mut from = 0;
            loop {
                let length = match splitter.next(&bytes[from..]) {
                    Ok(Some(length)) => length,
                    Ok(None) => break,
                    Err(found) => {
                        damage = Some(found);
                        break;
                    }
                };
                let frame = framing.frame(&bytes[from..from + length]);
                decoder.frame(&frame, &mut |event| seen.see(&event, now));
                from += length;
            }
            out.extend_from_slice(&bytes[..from]);
            from
        };
        if held.is_empty() {
            let used = pass(input);
            held.extend_from_slice(&input[used..]);
        } else {
            held.extend_from_slice(input);
            let used = pass(held);
            if used == held.len() {
                // An idle stream holds no memory.
                *held = Vec::new();
            } else {
                held.drain(..used);
            }
        }
        if let Some(damage) = damage {
            *held = Vec::new();
            return Err(Broken::Damaged(damage));
        }
        if held.len() > FRAME_BYTES_MAX {
            *held = Vec::new();
            return Err(Broken::FrameTooLong);
        }
        Ok(())
    }

    /// The stream has ended by itself: appends what is still held.
    ///
    /// # Errors
    /// The answer was not complete; the half frame that was held is dropped.
    pub fn end(&mut self, now: Tick, out: &mut Vec<u8>) -> Result<(), Broken> {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            let Relay { dialect, decoder, seen, .. } = self;
            decoder.frame(&dialect.framing().frame(&held), &mut |event| seen.see(&event, now));
        }
        if self.inflater.is_some() {
            return Ok(());
        }
        // A provider that reports an error says by that that nothing more comes.
        if !self.decoder.is_complete() && self.seen.error.is_none() {
            return Err(Broken::Unfinished);
        }
        out.extend_from_slice(&held);
        Ok(())
    }

    /// Whether an ending of ours can be written into the stream.
    pub fn can_end_in_dialect(&self) -> bool {
        self.inflater.is_none()
    }

    /// Ends the stream on our order: drops what is held and appends the dialect's ending.
    pub fn cut(&mut self, refusal: &Refusal, id: &str, out: &mut Vec<u8>) {
        self.held = Vec::new();
        out.extend_from_slice(&refusal.frames(self.dialect, &self.decoder.tail(), id));
    }
}
