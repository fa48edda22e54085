//! An answer under rules: every text that leaves was judged first.
//!
//! A screen is told what each frame of a provider says, event by event, and says what of it may
//! leave: the frame as it came, the frame with other texts in it, or nothing yet. Text is held
//! only while a match could still come of it; what is released later leaves in the next frame of
//! its channel, or in a frame made for it ([`Mould`]) before whatever ends the channel.
//!
//! What always holds: a frame of which no text was held or changed leaves as the bytes that came;
//! a text that cannot be changed in its place is never let go unjudged, the answer is cut; second
//! copies ([`Event::Repeat`]) leave as the first one did, for the verdict does not depend on how a
//! text was cut; token probabilities leave only beside the text that they spell.

mod found;
mod prompt;
mod run;
mod webhook;
mod whole;

pub use found::{Done, Found, Hit};
pub use prompt::{Digest, Prompt, reads_prompts, screen_prompt};
pub use webhook::{NoAnswer, Question, questions};
pub use whole::{Screened, judge_text, screen_whole};

use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Event, Form, Kind, Place, Span};
use crate::wire::framing::Framing;
use crate::wire::json;
use crate::wire::reframe::{self, Change, Mould, push_changed};
use crate::wire::sse::Frame;
use run::{Fed, Runs};
use std::sync::Arc;

/// What becomes of the text of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It leaves as it came.
    Clear,
    /// This leaves in its place; nothing, if it is empty.
    Instead(String),
}

/// A text that leaves otherwise than it came.
#[derive(Debug)]
struct Altered {
    channel: Channel,
    span: Option<Span>,
    text: String,
    /// Whether more of its channel may come: a second copy stands alone.
    is_running: bool,
}

/// A text that was held and leaves before the frame at hand.
#[derive(Debug)]
pub struct Lead {
    /// Its channel.
    pub channel: Channel,
    /// The text.
    pub text: String,
    /// What a frame for it is made from.
    mould: Option<Box<Mould>>,
}

impl Lead {
    fn event(&self) -> Event<'static> {
        Event::Text { channel: self.channel, text: self.text.clone().into(), span: None }
    }
}

/// The screen of one answer.
#[derive(Debug)]
pub struct Screen {
    source: Dialect,
    runs: Runs,
    /// What was found so far.
    pub found: Found,
    /// Of the frame at hand.
    frame: FrameNotes,
    /// How far the numbers of the frames that leave are from those that came (Responses).
    shift: i64,
}

/// What was said by the frame at hand.
#[derive(Debug, Default)]
struct FrameNotes {
    altered: Vec<Altered>,
    /// Texts that leave before the frame.
    lead: Vec<Lead>,
    /// Token probabilities.
    spelled: Vec<Span>,
    /// Texts that leave as they came.
    clear_texts: usize,
    /// Events other than texts and unknown members.
    steps: usize,
}

/// How a frame leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// As it came; nothing was written.
    AsItCame,
    /// Otherwise; what leaves was written.
    Written,
}

impl Screen {
    /// A screen over an answer in `source`.
    pub fn new(judges: impl IntoIterator<Item = Arc<Judge>>, source: Dialect) -> Screen {
        Screen {
            source,
            runs: Runs::new(judges),
            found: Found::default(),
            frame: FrameNotes::default(),
            shift: 0,
        }
    }

    /// Adds a ruleset, which judges what comes from now on.
    pub fn add(&mut self, judge: Arc<Judge>) {
        self.runs.add(judge);
    }

    /// Another provider goes on, from what has left: what is held is forgotten.
    pub fn go_on(&mut self, source: Dialect) {
        self.source = source;
        self.runs.forget_held();
        self.frame = FrameNotes::default();
    }

    /// The number under which a frame leaves that came, or would have come, under `number`.
    pub fn number(&self, number: u64) -> u64 {
        number.saturating_add_signed(self.shift)
    }

    /// Forgets the frame at hand; for who writes what leaves himself.
    pub fn forget_frame(&mut self) {
        self.frame = FrameNotes::default();
    }

    /// Judges one event of the frame at hand, whose bytes are `whole`; texts that it releases on
    /// the way leave before it.
    pub fn look(&mut self, event: &Event<'_>, whole: &[u8]) -> Judged {
        match event {
            Event::Text { channel, text, span } => self.text(*channel, text, *span),
            Event::Repeat { channel, text, span } => {
                if self.source == Dialect::OpenaiResponses {
                    self.finish(|run| run == *channel);
                }
                self.alone(*channel, text, *span)
            }
            Event::Open { channel, block } => {
                self.frame.steps += 1;
                if let Block::Tool { name, .. } = block {
                    let at = Channel { kind: Kind::ToolName, ..*channel };
                    self.name(at, name);
                }
                Judged::Clear
            }
            Event::Close { channel } => {
                self.frame.steps += 1;
                let whole_block = self.source != Dialect::OpenaiResponses;
                self.finish(|run| {
                    run.choice == channel.choice
                        && run.block == channel.block
                        && (whole_block || run == *channel)
                });
                Judged::Clear
            }
            Event::Signature { channel, .. } => {
                self.frame.steps += 1;
                self.finish(|run| run == *channel);
                Judged::Clear
            }
            Event::Stop { choice, .. } => {
                self.frame.steps += 1;
                self.finish(|run| run.choice == *choice);
                Judged::Clear
            }
            Event::End | Event::Error { .. } => {
                self.frame.steps += 1;
                self.finish(|_| true);
                if let Event::Error { message, .. } = event {
                    self.name(OUTSIDE, message);
                }
                Judged::Clear
            }
            Event::Extra { place, key, json } => self.extra(*place, key, json, whole),
            Event::Opaque { data, .. } => {
                self.frame.steps += 1;
                self.opaque(data, whole)
            }
            Event::Start { .. } | Event::Usage { .. } => {
                self.frame.steps += 1;
                Judged::Clear
            }
            Event::Ping => Judged::Clear,
        }
    }
}

/// Where words stand that belong to no channel of an answer.
const OUTSIDE: Channel = Channel { choice: 0, block: 0, part: 0, kind: Kind::Other };

impl Screen {
    /// More text of a channel.
    fn text(&mut self, channel: Channel, text: &str, span: Option<Span>) -> Judged {
        // A JSON value, and a citation, stand whole where they are.
        let is_whole = span.is_some_and(|span| span.form == Form::Json);
        if is_whole || channel.kind == Kind::Citation {
            return self.alone(channel, text, span);
        }
        let hidden = self.found.redactions;
        let fed = self.runs.feed(channel, text, &mut self.found);
        // These providers sign what their models reason, and refuse it back in another form.
        let is_signed = channel.kind == Kind::Reasoning
            && matches!(self.source, Dialect::Anthropic | Dialect::Bedrock);
        if is_signed && self.found.redactions > hidden {
            self.found.cut_unchangeable();
        }
        match fed {
            Fed::Clear => {
                self.frame.clear_texts += 1;
                Judged::Clear
            }
            Fed::Instead(text) => {
                let is_running = true;
                self.frame.altered.push(Altered { channel, span, text: text.clone(), is_running });
                Judged::Instead(text)
            }
        }
    }

    /// A text that stands whole where it is.
    fn alone(&mut self, channel: Channel, text: &str, span: Option<Span>) -> Judged {
        match self.runs.whole(channel.kind, text, &mut self.found) {
            Fed::Clear => {
                self.frame.clear_texts += 1;
                Judged::Clear
            }
            Fed::Instead(text) => {
                self.alter(channel, span, text.clone());
                Judged::Instead(text)
            }
        }
    }

    fn alter(&mut self, channel: Channel, span: Option<Span>, text: String) {
        self.frame.altered.push(Altered { channel, span, text, is_running: false });
    }

    /// A word that cannot be changed where it stands.
    fn name(&mut self, channel: Channel, text: &str) {
        if self.runs.whole(channel.kind, text, &mut self.found) != Fed::Clear {
            self.found.cut_unchangeable();
        }
    }

    /// The channels for which `ends` is true have ended: what they hold leaves.
    fn finish(&mut self, ends: impl Fn(Channel) -> bool) {
        self.runs.finish(ends, &mut self.found, &mut self.frame.lead);
    }

    fn extra(&mut self, place: Place, key: &str, raw: &str, whole: &[u8]) -> Judged {
        // A skeleton, whose texts are events of their own.
        if self.source == Dialect::OpenaiResponses && place == Place::Message {
            return Judged::Clear;
        }
        if spells(key) {
            let span = json::offset_of(whole, raw).and_then(|start| {
                Some(Span {
                    start: u32::try_from(start).ok()?,
                    end: u32::try_from(start + raw.len()).ok()?,
                    form: Form::Json,
                })
            });
            self.frame.spelled.extend(span);
            return Judged::Clear;
        }
        self.frame.steps += 1;
        self.verbatim(key, raw, whole)
    }

    fn opaque(&mut self, data: &[u8], whole: &[u8]) -> Judged {
        // What is no text cannot be read by a person either; what is no JSON is one text.
        let Ok(text) = std::str::from_utf8(data) else { return Judged::Clear };
        if text.trim_start().starts_with(['{', '[']) {
            return self.verbatim("", text, whole);
        }
        self.name(OUTSIDE, text);
        Judged::Clear
    }

    /// Every string of a JSON value that is not understood.
    fn verbatim(&mut self, key: &str, raw: &str, whole: &[u8]) -> Judged {
        let mut edits: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        for inner in json::strings(raw) {
            let name = if inner.key.is_empty() { key } else { inner.key };
            if is_bookkeeping(name) {
                continue;
            }
            let text = json::unescape(inner.text);
            if let Fed::Instead(with) = self.runs.whole(Kind::Other, &text, &mut self.found) {
                edits.push((inner.start..inner.start + inner.text.len(), with));
            }
        }
        if edits.is_empty() {
            return Judged::Clear;
        }
        let mut json = Vec::with_capacity(raw.len());
        let mut from = 0;
        for (place, with) in edits {
            json.extend_from_slice(raw.get(from..place.start).unwrap_or_default().as_bytes());
            json::push_escaped(&mut json, &with);
            from = place.end;
        }
        json.extend_from_slice(raw.get(from..).unwrap_or_default().as_bytes());
        let json = String::from_utf8_lossy(&json).into_owned();
        let span = json::offset_of(whole, raw).and_then(|start| {
            Some(Span {
                start: u32::try_from(start).ok()?,
                end: u32::try_from(start + raw.len()).ok()?,
                form: Form::Json,
            })
        });
        self.alter(OUTSIDE, span, json.clone());
        Judged::Instead(json)
    }

    /// The frame at hand was told: writes what leaves of it, unless it leaves as it came.
    ///
    /// `frame` must be in one piece, as [`crate::wire::reframe::in_one_piece`] gives it.
    pub fn leave(&mut self, framing: Framing, frame: &Frame<'_>, out: &mut Vec<u8>) -> Left {
        let FrameNotes { mut altered, lead, spelled, clear_texts, steps } =
            std::mem::take(&mut self.frame);
        if altered.is_empty() && lead.is_empty() && self.shift == 0 {
            return Left::AsItCame;
        }
        let is_numbered = self.source == Dialect::OpenaiResponses;
        let number = if is_numbered { reframe::number(frame) } else { None };
        for Lead { channel, text, mould } in lead {
            // What ends the channel may stand in the frame of its last text.
            let ended = |one: &&mut Altered| one.is_running && one.channel == channel;
            if let Some(last) = altered.iter_mut().rfind(ended) {
                last.text.push_str(&text);
                continue;
            }
            match mould {
                Some(mould) => {
                    let came_as = number.as_ref().map_or(0, |(number, _)| *number);
                    mould.push(&text, self.number(came_as), out);
                    self.shift += i64::from(is_numbered);
                }
                None => self.found.cut_unchangeable(),
            }
        }
        if self.found.is_cut() && steps > 0 {
            return Left::Written;
        }
        let says_nothing = steps == 0
            && clear_texts == 0
            && !altered.is_empty()
            && altered.iter().all(|one| one.text.is_empty());
        let may_drop = framing != Framing::JsonArray;
        for one in &altered {
            if let Some(span) = one.span {
                self.runs.keep_mould(one.channel, || Mould::of(framing, frame, span));
            }
        }
        if says_nothing && may_drop {
            self.shift -= i64::from(is_numbered);
            return Left::Written;
        }
        if !altered.is_empty() {
            altered.extend(spelled.into_iter().map(|span| Altered {
                channel: OUTSIDE,
                span: Some(span),
                text: "null".to_owned(),
                is_running: false,
            }));
        }
        let mut changes = Vec::with_capacity(altered.len() + 1);
        for Altered { span, text, .. } in altered {
            let Some(span) = span else {
                self.found.cut_unchangeable();
                return Left::Written;
            };
            changes.push(Change { span, with: text });
        }
        if let Some((number, span)) = number
            && self.shift != 0
        {
            changes.push(Change { span, with: self.number(number).to_string() });
        }
        if changes.is_empty() {
            out.extend_from_slice(frame.raw);
        } else {
            push_changed(framing, frame.raw, &changes, out);
        }
        Left::Written
    }
}

/// Whether a member spells the text beside it out, token by token.
fn spells(key: &str) -> bool {
    matches!(key, "logprobs" | "logprobsResult")
}

/// Members that hold ids, states and ciphertext, never words.
fn is_bookkeeping(key: &str) -> bool {
    matches!(
        key,
        "id" | "type"
            | "status"
            | "role"
            | "object"
            | "model"
            | "system_fingerprint"
            | "service_tier"
            | "obfuscation"
            | "signature"
            | "thoughtSignature"
            | "thought_signature"
            | "encrypted_content"
            | "responseId"
            | "modelVersion"
            | "p"
    ) || key.ends_with("_id")
}
