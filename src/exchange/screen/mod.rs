//! An answer under rules: every text that leaves was judged first.
//!
//! A screen is told what each frame of a provider says, event by event, and says what of it may
//! leave: the frame as it came, the frame with other texts in it, or nothing yet. Text is held
//! only while a match could still come of it; what is released later leaves in the next frame of
//! its channel, or in a frame made for it ([`Mould`]) before whatever ends the channel.
//!
//! What always holds: a frame of which no text was held or changed leaves as the bytes that came;
//! of a frame whose judgement ends the answer nothing leaves but texts that were let go; a text that
//! cannot be changed in its place is never let go unjudged, the answer is cut; second
//! copies ([`Event::Repeat`]) leave as the first one did, for the verdict does not depend on how a
//! text was cut; token probabilities leave only beside the text that they spell.

mod border;
mod desk;
mod found;
mod heard;
mod line;
mod prompt;
mod run;
mod skim;
mod unknown;
mod unread;
mod webhook;
mod whole;

pub use found::{Done, Found, Hit, blocked, refused};
pub use heard::{
    Heard, asks_about_answers, asks_about_unknown, questions_of_unread, questions_of_whole,
};
pub use prompt::{Digest, Prompt, reads_answers, reads_prompts, screen_prompt};
pub use skim::Skim;
pub use unread::{Media, cannot_judge, screen_unread};
pub use webhook::{NoAnswer, Question, answer_unasked, questions, unasked, unknown_unasked};
pub use whole::{Screened, judge_text, screen_answered, screen_unchangeable};

use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::event::{Block, Channel, Event, Form, Kind, Span};
use crate::wire::framing::Framing;
use crate::wire::reframe::{self, Change, Mould, push_changed};
use crate::wire::sse::Frame;
use line::Line;
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
    line: Line,
    span: Option<Span>,
    text: String,
    /// Whether more of its line may come: a second copy stands alone.
    is_running: bool,
}

/// A text that was held and leaves before the frame at hand.
#[derive(Debug)]
pub struct Lead {
    line: Line,
    /// The text.
    text: String,
    /// What a frame for it is made from.
    mould: Option<Box<Mould>>,
}

impl Lead {
    /// The text as an event; the rest of a member that is not understood has none.
    fn event(&self) -> Option<Event<'static>> {
        let channel = (self.line.member == 0).then_some(self.line.channel)?;
        Some(Event::Text { channel, text: self.text.clone().into(), span: None })
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
    /// Whether what is not understood may come in pieces, over several frames.
    in_pieces: bool,
    /// Whether a frame had text and did not say why the answer stops: then one that says it means
    /// it. Some of Gemini's models say it in every frame.
    stops_once: bool,
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
    /// Events other than texts.
    steps: usize,
    /// The channel of its last text.
    channel: Option<Channel>,
    /// Whether it opens a block: what it says of that is whole.
    opens: bool,
    /// Whether it has a word that may not leave and cannot be changed.
    is_barred: bool,
    /// Whether it says why the answer stops.
    has_stop: bool,
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
            in_pieces: true,
            stops_once: source != Dialect::Gemini,
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
        self.stops_once = source != Dialect::Gemini;
        self.runs.forget_held();
        self.frame = FrameNotes::default();
    }

    /// Forgets the texts that are held.
    pub fn forget_held(&mut self) {
        self.runs.forget_held();
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
            Event::Text { channel, text, span } => {
                self.frame.channel = Some(*channel);
                self.text(*channel, text, *span)
            }
            Event::Repeat { channel, text, span } => {
                if self.source == Dialect::OpenaiResponses {
                    self.finish(|line| line == Line::from(*channel));
                }
                self.alone(*channel, text, *span)
            }
            Event::Open { channel, block } => {
                self.frame.steps += 1;
                self.frame.opens = true;
                if let Block::Tool { name, .. } = block {
                    let at = Channel { kind: Kind::ToolName, ..*channel };
                    self.name(at, name);
                }
                Judged::Clear
            }
            Event::Close { channel } => {
                self.frame.steps += 1;
                let whole_block = self.source != Dialect::OpenaiResponses;
                self.finish(|line| {
                    line.channel.choice == channel.choice
                        && line.channel.block == channel.block
                        && (whole_block || line == Line::from(*channel))
                });
                Judged::Clear
            }
            Event::Signature { channel, .. } => {
                self.frame.steps += 1;
                self.finish(|line| line == Line::from(*channel));
                Judged::Clear
            }
            Event::Stop { choice, .. } => {
                self.frame.steps += 1;
                self.frame.has_stop = true;
                if self.stops_once {
                    self.finish(|line| line.channel.choice == *choice);
                }
                Judged::Clear
            }
            Event::End | Event::Error { .. } => {
                self.frame.steps += 1;
                self.finish(|_| true);
                if let Event::Error { code, message, native } = event {
                    self.error(code, message, native);
                }
                Judged::Clear
            }
            Event::Extra { place, key, json } => self.extra(*place, key, json, whole),
            Event::Opaque { name, data, .. } => {
                self.frame.steps += 1;
                self.opaque(name, data, whole)
            }
            Event::Usage { native, .. } => {
                self.frame.steps += 1;
                self.usage(native, whole)
            }
            Event::Start { .. } => {
                self.frame.steps += 1;
                Judged::Clear
            }
            Event::Ping => Judged::Clear,
        }
    }
}

/// Where words stand that belong to no channel of an answer.
const OUTSIDE: Channel = Channel { choice: 0, block: u16::MAX, part: 0, kind: Kind::Other };

impl Screen {
    /// More text of a channel.
    fn text(&mut self, channel: Channel, text: &str, span: Option<Span>) -> Judged {
        // A JSON value, and a citation, stand whole where they are.
        let is_whole = span.is_some_and(|span| span.form == Form::Json);
        if is_whole || channel.kind == Kind::Citation {
            return self.alone(channel, text, span);
        }
        let hidden = self.found.redactions;
        let fed = self.runs.feed(channel.into(), text, &mut self.found);
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
                let (line, is_running) = (channel.into(), true);
                self.frame.altered.push(Altered { line, span, text: text.clone(), is_running });
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
        self.frame.altered.push(Altered { line: channel.into(), span, text, is_running: false });
    }

    /// A word that cannot be changed where it stands.
    fn name(&mut self, channel: Channel, text: &str) {
        if self.runs.whole(channel.kind, text, &mut self.found) != Fed::Clear {
            self.found.cut_unchangeable();
            self.frame.is_barred = true;
        }
    }

    /// The lines for which `ends` is true have ended: what they hold leaves.
    fn finish(&mut self, ends: impl Fn(Line) -> bool) {
        self.runs.finish(ends, &mut self.found, &mut self.frame.lead);
    }

    /// The frame at hand was told: writes what leaves of it, unless it leaves as it came.
    ///
    /// `frame` must be in one piece, as [`crate::wire::reframe::in_one_piece`] gives it.
    pub fn leave(&mut self, framing: Framing, frame: &Frame<'_>, out: &mut Vec<u8>) -> Left {
        self.envelope(framing, frame);
        let notes = std::mem::take(&mut self.frame);
        self.stops_once |= notes.channel.is_some() && !notes.has_stop;
        let FrameNotes { mut altered, lead, spelled, clear_texts, steps, is_barred, .. } = notes;
        if altered.is_empty() && lead.is_empty() && self.shift == 0 && !self.found.is_cut() {
            return Left::AsItCame;
        }
        let is_numbered = self.source == Dialect::OpenaiResponses;
        let number = if is_numbered { reframe::number(frame) } else { None };
        for Lead { line, text, mould } in lead {
            // What ends the line may stand in the frame of its last text.
            let ended = |one: &&mut Altered| one.is_running && one.line == line;
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
        if self.found.is_cut() && (is_barred || steps > 0 || altered.is_empty()) {
            return Left::Written;
        }
        let says_nothing = steps == 0
            && clear_texts == 0
            && !altered.is_empty()
            && altered.iter().all(|one| one.text.is_empty());
        let may_drop = framing != Framing::JsonArray;
        for one in &altered {
            if let Some(span) = one.span {
                self.runs.keep_mould(one.line, || Mould::of(framing, frame, span));
            }
        }
        if says_nothing && may_drop {
            self.shift -= i64::from(is_numbered);
            return Left::Written;
        }
        if !altered.is_empty() {
            altered.extend(spelled.into_iter().map(|span| Altered {
                line: OUTSIDE.into(),
                span: Some(span),
                text: "null".to_owned(),
                is_running: false,
            }));
        }
        let renumbered = number
            .filter(|_| self.shift != 0)
            .map(|(number, span)| Change { span, with: self.number(number).to_string() });
        let Some(changes) = changes(altered, renumbered) else {
            self.found.cut_unchangeable();
            return Left::Written;
        };
        if changes.is_empty() {
            out.extend_from_slice(frame.raw);
        } else {
            push_changed(framing, frame.raw, changes, out);
        }
        Left::Written
    }
}

/// What is changed where; `None` if it cannot be, for want of a place or because rules make two
/// texts of what stands in one.
fn changes(altered: Vec<Altered>, more: impl IntoIterator<Item = Change>) -> Option<Vec<Change>> {
    let placed = altered.into_iter().map(|one| Some(Change { span: one.span?, with: one.text }));
    reframe::settled(placed.chain(more.into_iter().map(Some)).collect::<Option<_>>()?)
}
