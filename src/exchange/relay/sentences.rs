//! An answer that waits, a sentence at a time, for judges outside of the gate.
//!
//! It stands behind everything else: it is given the frames that would leave, in the caller's dialect,
//! and says which of them may; what is asked is [`Heard`]'s business. What always holds: nothing of a
//! text that a judge is told leaves before its verdict; frames leave whole, in order, and as they were
//! given; frames of which no judge is told anything wait only behind those that wait; what is asked
//! does not depend on the pieces in which the bytes came.

use super::Broken;
use super::calls::{Calls, Fate, Stage};
use super::pieces::Pieces;
use super::toolguard::lever_of;
use crate::exchange::screen::{Found, Heard, Question, asks_about_answers, screen_unchangeable};
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::wire::event::Event;
use crate::wire::framing::Framing;
use crate::wire::{Decoder, Dialect};
use std::collections::VecDeque;
use std::sync::Arc;

/// Behind so many bytes of frames what they say is asked about though its sentence goes on.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// What of an answer waits.
#[derive(Debug)]
pub struct Sentences {
    judges: Vec<Arc<Judge>>,
    client: Dialect,
    decoder: Decoder,
    pieces: Pieces,
    /// Frames that were not looked at: a question is under way, or due, about those before.
    behind: VecDeque<Vec<u8>>,
    /// What the frames that wait say.
    heard: Heard,
    /// Frames that say it, and what came between.
    waiting: Vec<u8>,
    /// The same as events.
    said: Vec<Event<'static>>,
    /// The calls of all frames that were looked at; those that have left whole pass.
    calls: Calls,
    is_asking: bool,
    is_ended: bool,
}

impl Sentences {
    /// Of an answer that leaves in `client`; `None` if no judge outside is told of answers. It may
    /// have begun: then they are told what comes from now on.
    pub fn of(judges: &[Arc<Judge>], client: Dialect, framing: Framing) -> Option<Sentences> {
        asks_about_answers(judges).then(|| Sentences {
            judges: judges.to_vec(),
            client,
            decoder: Decoder::new(client),
            pieces: Pieces::new(framing),
            behind: VecDeque::new(),
            heard: Heard::new(judges, client),
            waiting: Vec::new(),
            said: Vec::new(),
            calls: Calls::new(client),
            is_asking: false,
            is_ended: false,
        })
    }

    /// Adds what is told of what comes from now on; gives what it is to be asked beside the question
    /// under way, for what that is about has not left.
    pub fn judge_by(&mut self, judge: Arc<Judge>) -> Vec<Question> {
        let alone = std::slice::from_ref(&judge);
        if !asks_about_answers(alone) {
            return Vec::new();
        }
        let mut heard = Heard::new(alone, self.client);
        if self.is_asking {
            self.said.iter().for_each(|event| heard.hear(event));
        }
        let questions = heard.take_questions(alone);
        self.judges.push(judge);
        self.heard.tell(&self.judges);
        questions
    }

    /// Takes bytes that would leave, and leaves of them those that need not wait; what others may
    /// leave, [`Sentences::advance`] says.
    ///
    /// # Errors
    /// They are no frames.
    pub fn push(&mut self, bytes: &mut Vec<u8>) -> Result<(), Broken> {
        // Taken out for as long as its frames are looked at.
        let framing = self.pieces.framing;
        let mut pieces = std::mem::replace(&mut self.pieces, Pieces::new(framing));
        let is_in_place = pieces.is_empty();
        let mut free = 0;
        let pushed = pieces.push(bytes, |came| {
            if self.is_asking || !is_in_place || !self.behind.is_empty() || self.is_due() {
                self.behind.push_back(came.to_vec());
            } else if self.listen(came) == Heeded::Free {
                free += came.len();
            }
            Ok(())
        });
        self.pieces = pieces;
        bytes.truncate(free);
        pushed
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        let rest = self.pieces.take_rest();
        if !rest.is_empty() {
            self.behind.push_back(rest);
        }
        self.is_ended = true;
    }

    /// Looks at frames until one of them ends a sentence: appends to `out` what may leave without a
    /// question, and gives what is to be asked. While a question is under way nothing is looked at.
    pub fn advance(&mut self, out: &mut Vec<u8>) -> Vec<Question> {
        while !self.is_asking {
            let is_last = self.is_ended && self.behind.is_empty() && !self.heard.is_empty();
            if self.is_due() || is_last {
                let questions = self.heard.take_questions(&self.judges);
                if questions.is_empty() {
                    self.let_go(out);
                } else {
                    self.is_asking = true;
                    return questions;
                }
            }
            let Some(frame) = self.behind.pop_front() else { break };
            if self.listen(&frame) == Heeded::Free {
                out.extend_from_slice(&frame);
            }
        }
        Vec::new()
    }

    /// The question has its answer, and what it was about may leave: appends it to `out`.
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        self.let_go(out);
        self.is_asking = false;
    }

    fn let_go(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.waiting);
        self.left();
    }

    /// All that was looked at has left.
    fn left(&mut self) {
        self.said.clear();
        for call in self.calls.list.iter_mut().filter(|call| call.stage == Stage::Closed) {
            call.fate = Fate::Passes;
        }
    }

    /// Looks at a frame; one that is not free waits from now on.
    fn listen(&mut self, came: &[u8]) -> Heeded {
        let Sentences { heard, decoder, said, calls, .. } = self;
        let framing = self.pieces.framing;
        let frame = framing.frame(came);
        heard.begin(framing, &frame);
        decoder.frame(&frame, &mut |event| {
            heard.hear(&event);
            calls.see(&event);
            said.push(event.into_owned());
        });
        if self.heard.is_empty() && self.waiting.is_empty() {
            self.left();
            return Heeded::Free;
        }
        self.waiting.extend_from_slice(came);
        Heeded::Waits
    }

    /// Whether a question comes before the next frame.
    fn is_due(&self) -> bool {
        self.heard.is_due() || self.waiting.len() >= WAITING_BYTES_MAX && !self.heard.is_empty()
    }

    /// What the frames say that were not looked at.
    fn said_behind(&self) -> Vec<Event<'static>> {
        let mut decoder = self.decoder.clone();
        let mut said = Vec::new();
        for came in &self.behind {
            let frame = self.pieces.framing.frame(came);
            decoder.frame(&frame, &mut |event| said.push(event.into_owned()));
        }
        said
    }

    /// Whether what waits may leave when `tools` are killed.
    ///
    /// # Errors
    /// It has a part of a call to one of them, or more calls than are followed.
    pub fn may_leave(&self, tools: &KilledTools) -> Result<(), Broken> {
        if self.is_idle() || tools.is_empty() {
            return Ok(());
        }
        let mut calls = self.calls.clone();
        self.said_behind().iter().for_each(|event| calls.see(event));
        if calls.is_over_bound {
            return Err(Broken::CallsOverBound);
        }
        let mut waits = calls.list.iter().filter(|call| call.fate != Fate::Passes);
        let lever = waits.find_map(|call| lever_of(tools, &call.name, &call.aliases));
        lever.map_or(Ok(()), |lever| Err(Broken::KilledTool { lever: lever.into() }))
    }

    /// What `judges`, who are no judges outside, find in what waits; what they would change is cut,
    /// for it was told already.
    pub fn judged(&self, judges: &[Arc<Judge>]) -> Found {
        if self.is_idle() {
            return Found::default();
        }
        let behind = self.said_behind();
        screen_unchangeable(judges, self.client, self.said.iter().chain(&behind))
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_empty()
    }
}

/// What becomes of a frame that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Heeded {
    /// It may leave at once.
    Free,
    /// It waits.
    Waits,
}
