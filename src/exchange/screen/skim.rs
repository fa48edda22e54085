//! Whether rules find anything in an answer that is over.
//!
//! Nothing of such an answer leaves, so it need not be asked text by text what may: texts of a
//! channel that came one behind another are judged as one. Findings do not depend on how a text
//! was cut, so where this finds nothing, [`Screen`] finds nothing; where it finds something, or
//! cannot tell, the answer has to be judged as it came.

use super::{Lead, Screen};
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::event::{Channel, Event, Form, Kind, Span};
use crate::wire::framing::Framing;
use crate::wire::reframe::Mould;
use crate::wire::sse::Frame;
use std::sync::Arc;

/// The bytes of a channel that are judged at once.
const WAITING_BYTES: usize = 4 << 10;

/// The channels whose texts wait at once.
const CHANNELS_MAX: usize = 64;

/// A screen that only reads.
#[derive(Debug)]
pub struct Skim {
    screen: Screen,
    /// Texts that were not judged yet, in the order in which their channels came.
    waiting: Vec<Waiting>,
    framing: Framing,
    is_clear: bool,
}

#[derive(Debug)]
struct Waiting {
    channel: Channel,
    text: String,
    /// The frame of the last of it, and where it stood there.
    frame: Vec<u8>,
    span: Span,
}

impl Skim {
    /// Over an answer in `source`.
    pub fn new(
        judges: impl IntoIterator<Item = Arc<Judge>>,
        source: Dialect,
        framing: Framing,
    ) -> Skim {
        let screen = Screen::new(judges, source);
        Skim { screen, waiting: Vec::new(), framing, is_clear: true }
    }

    /// Whether nothing was found so far.
    pub fn is_clear(&self) -> bool {
        self.is_clear
    }

    /// Reads one event of the frame at hand, whose bytes are `whole`.
    pub fn look(&mut self, event: &Event<'_>, whole: &[u8]) {
        if let Event::Text { channel, text, span: Some(span) } = event
            && channel.kind != Kind::Citation
            && span.form == Form::Quoted
        {
            self.screen.frame.channel = Some(*channel);
            let known = self.waiting.iter().position(|waiting| waiting.channel == *channel);
            let at = known.unwrap_or_else(|| self.begin(*channel, *span));
            let Some(waiting) = self.waiting.get_mut(at) else { return };
            waiting.text.push_str(text);
            waiting.span = *span;
            waiting.frame.clear();
            waiting.frame.extend_from_slice(whole);
            if waiting.text.len() >= WAITING_BYTES {
                self.judge();
            }
            return;
        }
        // What has no place of its own could not be changed.
        self.is_clear &= !matches!(event, Event::Text { span: None, .. });
        self.judge();
        self.screen.look(event, whole);
        self.note();
    }

    fn begin(&mut self, channel: Channel, span: Span) -> usize {
        if self.waiting.len() >= CHANNELS_MAX {
            // What of them is held could be given no place any more.
            self.is_clear = false;
            self.judge();
            self.waiting.clear();
        }
        let (text, frame) = (String::new(), Vec::new());
        self.waiting.push(Waiting { channel, text, frame, span });
        self.waiting.len() - 1
    }

    /// The frame at hand is over.
    pub fn pass(&mut self, frame: &Frame<'_>) {
        self.screen.envelope(self.framing, frame);
        self.note();
        let notes = std::mem::take(&mut self.screen.frame);
        self.screen.stops_once |= notes.channel.is_some() && !notes.has_stop;
    }

    /// The answer is over: whether nothing was found.
    pub fn end(mut self) -> bool {
        self.judge();
        self.screen.finish(|_| true);
        self.note();
        self.is_clear
    }

    fn judge(&mut self) {
        for Waiting { channel, text, .. } in &mut self.waiting {
            if !text.is_empty() {
                self.screen.text(*channel, text, None);
                text.clear();
            }
        }
        self.note();
    }

    fn note(&mut self) {
        let found = &self.screen.found;
        let has_found = found.count() > 0 || found.is_cut() || found.is_reroute();
        self.is_clear &=
            !has_found && self.screen.frame.lead.iter().all(|lead| self.has_place(lead));
        self.screen.frame.lead.clear();
        self.screen.frame.altered.clear();
    }

    /// Text that was held to the end of its channel leaves only where a frame can be made for it.
    fn has_place(&self, lead: &Lead) -> bool {
        let mut all = self.waiting.iter();
        lead.line.member == 0
            && all.find(|waiting| waiting.channel == lead.line.channel).is_some_and(|waiting| {
                let frame = self.framing.frame(&waiting.frame);
                Mould::of(self.framing, &frame, waiting.span).is_some()
            })
    }
}
