//! The cursor of one channel over a ruleset.
//!
//! Text goes in piece by piece; out comes what is decided, by position and not by piece. At any
//! moment everything before `R` is out, where `R` is the first byte, at or after the earliest
//! live start, that no confirmed match hides. So nothing that might become part of a match has
//! left, and nothing else waits.
//!
//! A stop is judged as if the text had come by single characters: what is released before it must
//! not depend on the piece that it is in. So a scanner whose rules can stop goes back to an
//! earlier state of its own and reads again, character by character. It keeps such a state and
//! the text since then, renewed every half kilobyte; a text stops once, so this costs nothing
//! that counts.

use super::engine::{Cache, Engine};
use super::machine::{Hit, MachineCache, Unjudged};
use super::release::{Release, Stop};
use super::state::{Pace, State, Step};
use std::sync::Arc;

/// Bytes after which the state to go back to is renewed.
const BACK_BYTES: usize = 512;

/// A longer piece is read in parts of so many bytes: what is slow to read makes slow only the part
/// that it is in.
const PART_BYTES: usize = 256;

#[cfg(test)]
thread_local! {
    /// What the scanners of this thread were given to read.
    pub(crate) static READ_BYTES: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The state of one channel.
#[derive(Clone)]
pub struct Scanner {
    engine: Arc<Engine>,
    state: State,
    back: Option<Box<Back>>,
    end: End,
}

/// An earlier state, and the text since then.
#[derive(Clone)]
struct Back {
    state: State,
    since: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    Stopped(Stop),
    Unjudged(Unjudged),
}

/// How a piece fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What the caller sends.
    pub passage: Passage,
    /// Everything before is out or hidden: a position in the channel's text.
    pub released: u64,
    /// Bytes that wait for their decision.
    pub held_bytes: u64,
}

/// What the caller sends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The piece as it came: nothing was held before, nothing is now, and nothing is hidden.
    Whole,
    /// What the release says instead of the piece, if anything.
    Parts,
    /// What the release says, and then no more of this channel.
    Stopped(Stop),
    /// Nothing: the text could not be judged.
    Unjudged,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Scanner")
            .field("engine", &self.engine)
            .field("read", &self.state.read)
            .field("released", &self.state.released)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

impl Scanner {
    /// A scanner at the start of a text.
    pub fn new(engine: &Arc<Engine>) -> Self {
        let state = State::new(engine);
        Self { engine: Arc::clone(engine), state, back: None, end: End::Open }
    }

    /// Reads the next piece; empty ones are allowed. `out` is emptied, and filled unless the
    /// piece passes whole (findings are always in it).
    pub fn push(&mut self, cache: &mut Cache, piece: &str, out: &mut Release) -> Progress {
        out.clear();
        if self.end != End::Open {
            return self.over();
        }
        #[cfg(test)]
        READ_BYTES.set(READ_BYTES.get() + piece.len());
        let slot = cache.slot(&self.engine);
        let Cache { slots, hits } = cache;
        let Some(slot) = slots.get_mut(slot) else { return self.fail(Unjudged::Lost, out) };
        if self.engine.stops {
            self.remember(piece);
        }
        let Self { engine, state, back, .. } = self;
        let mut reading = Reading { engine, caches: &mut slot.machines, hits, out };
        let step = if piece.len() > PART_BYTES {
            reading.in_parts(state, piece)
        } else {
            reading.step(state, piece, Pace::Piece)
        };
        let step = match step {
            Ok(Step::Somewhere) => reading.reread(state, back.take(), piece),
            other => other,
        };
        if let Some(back) = back {
            back.since.push_str(piece);
        }
        self.tell(step, out)
    }

    /// Ends the text: what still waits is decided.
    pub fn finish(&mut self, cache: &mut Cache, out: &mut Release) -> Progress {
        out.clear();
        if self.end != End::Open {
            return self.over();
        }
        let slot = cache.slot(&self.engine);
        let Cache { slots, hits } = cache;
        let Some(slot) = slots.get_mut(slot) else { return self.fail(Unjudged::Lost, out) };
        let Self { engine, state, .. } = self;
        let step = state.step(engine, &mut slot.machines, hits, "", Pace::Last, out);
        self.back = None;
        let progress = self.tell(step, out);
        if self.end == End::Open {
            self.end = End::Finished;
        }
        progress
    }

    /// Everything before is out or hidden.
    pub fn released(&self) -> u64 {
        self.state.released
    }

    /// Bytes read so far.
    pub fn read(&self) -> u64 {
        self.state.read
    }

    /// Why the text was not judged, if it was not.
    pub fn unjudged(&self) -> Option<Unjudged> {
        match self.end {
            End::Unjudged(why) => Some(why),
            End::Open | End::Finished | End::Stopped(_) => None,
        }
    }

    /// Memory on the heap, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let back = self
            .back
            .as_ref()
            .map_or(0, |back| size_of::<Back>() + back.since.capacity() + back.state.heap_bytes());
        self.state.heap_bytes() + back
    }

    /// Sees to it that there is a state to go back to, not too far away.
    #[inline]
    fn remember(&mut self, piece: &str) {
        match &mut self.back {
            Some(back) if back.since.len() + piece.len() <= BACK_BYTES => {}
            Some(back) => {
                back.state.clone_from(&self.state);
                back.since.clear();
            }
            None => {
                self.back =
                    Some(Box::new(Back { state: self.state.clone(), since: String::new() }));
            }
        }
    }

    fn over(&self) -> Progress {
        self.progress(match self.end {
            End::Open | End::Finished => Passage::Parts,
            End::Stopped(stop) => Passage::Stopped(stop),
            End::Unjudged(_) => Passage::Unjudged,
        })
    }

    fn tell(&mut self, step: Result<Step, Unjudged>, out: &mut Release) -> Progress {
        match step {
            Ok(Step::Whole) => self.progress(Passage::Whole),
            Ok(Step::Parts) => self.progress(Passage::Parts),
            Ok(Step::Stopped(stop)) => {
                self.end = End::Stopped(stop);
                self.back = None;
                self.progress(Passage::Stopped(stop))
            }
            Ok(Step::Somewhere) => self.fail(Unjudged::Lost, out),
            Err(why) => self.fail(why, out),
        }
    }

    fn fail(&mut self, why: Unjudged, out: &mut Release) -> Progress {
        out.clear();
        self.end = End::Unjudged(why);
        self.back = None;
        self.progress(Passage::Unjudged)
    }

    fn progress(&self, passage: Passage) -> Progress {
        let State { read, released, .. } = self.state;
        Progress { passage, released, held_bytes: read.saturating_sub(released) }
    }
}

/// What it takes to read on.
struct Reading<'r> {
    engine: &'r Engine,
    caches: &'r mut [MachineCache],
    hits: &'r mut Vec<Hit>,
    out: &'r mut Release,
}

impl Reading<'_> {
    #[inline]
    fn step(&mut self, state: &mut State, piece: &str, pace: Pace) -> Result<Step, Unjudged> {
        state.step(self.engine, self.caches, self.hits, piece, pace, self.out)
    }

    /// Takes a step, and appends the piece where it passes whole.
    fn append(&mut self, state: &mut State, piece: &str, pace: Pace) -> Result<Step, Unjudged> {
        let step = self.step(state, piece, pace)?;
        if step == Step::Whole {
            self.out.text.push_str(piece);
        }
        Ok(step)
    }

    /// Reads a long piece part by part.
    fn in_parts(&mut self, state: &mut State, piece: &str) -> Result<Step, Unjudged> {
        let was_at_rest = state.is_at_rest();
        let mut rest = piece;
        while !rest.is_empty() {
            let (part, more) = rest.split_at(part_len(rest));
            match self.append(state, part, Pace::Piece)? {
                Step::Whole | Step::Parts => rest = more,
                ended @ (Step::Stopped(_) | Step::Somewhere) => return Ok(ended),
            }
        }
        if was_at_rest && state.is_at_rest() && self.out.hidden.is_empty() {
            self.out.text.clear();
            return Ok(Step::Whole);
        }
        Ok(Step::Parts)
    }

    /// Reads from an earlier state up to the stop in `piece`; `state` is then the one there.
    #[cold]
    fn reread(
        &mut self,
        state: &mut State,
        back: Option<Box<Back>>,
        piece: &str,
    ) -> Result<Step, Unjudged> {
        let Some(back) = back else { return Err(Unjudged::Lost) };
        *state = back.state;
        // What came before the piece did not stop the text, and what it released is out already.
        self.step(state, &back.since, Pace::Piece)?;
        self.out.clear();
        let mut rest = piece;
        while !rest.is_empty() {
            let (near, far) = rest.split_at(rest.floor_char_boundary(BACK_BYTES));
            rest = far;
            let before = (state.clone(), self.out.clone());
            match self.append(state, near, Pace::Piece)? {
                Step::Somewhere => (*state, *self.out) = before,
                Step::Whole | Step::Parts | Step::Stopped(_) => continue,
            }
            for (at, letter) in near.char_indices() {
                let letter = near.get(at..at + letter.len_utf8()).unwrap_or_default();
                let step = self.append(state, letter, Pace::Letter)?;
                if matches!(step, Step::Stopped(_)) {
                    return Ok(step);
                }
            }
        }
        Err(Unjudged::Lost)
    }
}

/// How much of a long piece is read next: up to a blank behind a word, if there is one. Nothing is alive there in
/// most texts, so nothing is kept to be read again, and an end is like others, so that automata know it.
fn part_len(piece: &str) -> usize {
    let most = piece.floor_char_boundary(PART_BYTES);
    let (head, least) = (piece.as_bytes().get(..most).unwrap_or_default(), most / 2);
    if most == piece.len() {
        return most;
    }
    let is_border = |three: &[u8]| match three {
        [before, last, b' ' | b'\n'] => {
            before.is_ascii_alphanumeric() && last.is_ascii_alphanumeric()
        }
        _ => false,
    };
    let border = head.get(least..).unwrap_or_default().windows(3).rposition(is_border);
    border.map_or(most, |at| least + at + 3)
}
