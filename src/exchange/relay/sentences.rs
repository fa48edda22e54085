//! An answer that waits, a sentence at a time, for judges outside of the gate.
//!
//! It stands behind everything else: it is given the frames that would leave, in the caller's dialect,
//! and says which of them may; what is asked is [`Heard`]'s business. What always holds: nothing of a
//! text that a judge is told leaves before its verdict; frames leave whole, in order, and as they were
//! given; frames of which no judge is told anything wait only behind those that wait; what is asked
//! does not depend on the pieces in which the bytes came.

use super::Broken;
use super::pieces::Pieces;
use crate::exchange::screen::{Heard, Question, asks_about_answers};
use crate::table::rules::Judge;
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
    decoder: Decoder,
    pieces: Pieces,
    /// Frames that were not looked at: a question is under way, or due, about those before.
    behind: VecDeque<Vec<u8>>,
    /// What the frames that wait say.
    heard: Heard,
    /// Frames that say it, and what came between.
    waiting: Vec<u8>,
    is_asking: bool,
    is_ended: bool,
}

impl Sentences {
    /// Of an answer that leaves in `client`; `None` if no judge outside is told of answers. It may
    /// have begun: then they are told what comes from now on.
    pub fn of(judges: &[Arc<Judge>], client: Dialect, framing: Framing) -> Option<Sentences> {
        asks_about_answers(judges).then(|| Sentences {
            judges: judges.to_vec(),
            decoder: Decoder::new(client),
            pieces: Pieces::new(framing),
            behind: VecDeque::new(),
            heard: Heard::new(judges, client),
            waiting: Vec::new(),
            is_asking: false,
            is_ended: false,
        })
    }

    /// Adds what is told of what comes from now on.
    pub fn judge_by(&mut self, judge: Arc<Judge>) {
        self.judges.push(judge);
        self.heard.tell(&self.judges);
    }

    /// Takes bytes that would leave, and leaves of them those that need not wait; what others may
    /// leave, [`Sentences::advance`] says.
    ///
    /// # Errors
    /// They are no frames.
    pub fn push(&mut self, bytes: &mut Vec<u8>) -> Result<(), Broken> {
        let Sentences { pieces, behind, heard, waiting, decoder, is_asking, .. } = self;
        let framing = pieces.framing;
        let is_in_place = pieces.is_empty();
        let mut free = 0;
        let pushed = pieces.push(bytes, |came| {
            if *is_asking || !is_in_place || !behind.is_empty() || is_due(heard, waiting) {
                behind.push_back(came.to_vec());
                return Ok(());
            }
            listen(heard, decoder, framing, came);
            if heard.is_empty() && waiting.is_empty() {
                free += came.len();
            } else {
                waiting.extend_from_slice(came);
            }
            Ok(())
        });
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
        let Sentences { pieces, behind, heard, waiting, decoder, judges, .. } = self;
        while !self.is_asking {
            let is_last = self.is_ended && behind.is_empty() && !heard.is_empty();
            if is_due(heard, waiting) || is_last {
                let questions = heard.take_questions(judges);
                if questions.is_empty() {
                    out.append(waiting);
                } else {
                    self.is_asking = true;
                    return questions;
                }
            }
            let Some(frame) = behind.pop_front() else { break };
            listen(heard, decoder, pieces.framing, &frame);
            if heard.is_empty() && waiting.is_empty() {
                out.extend_from_slice(&frame);
            } else {
                waiting.extend_from_slice(&frame);
            }
        }
        Vec::new()
    }

    /// The question has its answer, and what it was about may leave: appends it to `out`.
    pub fn clear(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.waiting);
        self.is_asking = false;
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.behind.is_empty()
    }
}

/// Whether a question comes before the next frame.
fn is_due(heard: &Heard, waiting: &[u8]) -> bool {
    heard.is_due() || waiting.len() >= WAITING_BYTES_MAX && !heard.is_empty()
}

/// What a frame says.
fn listen(heard: &mut Heard, decoder: &mut Decoder, framing: Framing, came: &[u8]) {
    let frame = framing.frame(came);
    heard.begin(framing, &frame);
    decoder.frame(&frame, &mut |event| heard.hear(&event));
}
