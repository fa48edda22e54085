//! The bounded queue between the data path and the writer's thread.
//!
//! A push takes a lock for some moves of pointers and never waits for a disk. The bound is in bytes
//! and includes what the writer has in hand. At the bound a batch is lost, and from then on all
//! batches are, until an eighth of the queue is free: one hole, told by one `gap` for each exchange
//! that lost something, instead of many small ones. Gaps stand in the queue behind what came before
//! them and before what comes after, so their place in the record is theirs in time.
//!
//! What is lost in all equals what the gaps tell, plus what is still to be told
//! ([`Counters::untold`]).

use super::entry::{Entry, Hole, Loss, What};
use crate::id::ExchangeId;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Exchanges whose losses are told one by one; those of more are told together.
const LOSERS_MAX: usize = 16_384;

/// How the disk does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DiskState {
    /// The folder is being opened: the last segment is read, and mended where it is torn.
    #[default]
    Opening,
    /// Records are written.
    Well,
    /// The disk is full. The queue holds what it can; each second it is tried again.
    Full(Arc<str>),
    /// Writing fails otherwise; each second it is tried again.
    Failed(Arc<str>),
    /// The store was closed.
    Closed,
}

impl DiskState {
    /// The name as labels write it.
    pub fn name(&self) -> &'static str {
        match self {
            DiskState::Opening => "opening",
            DiskState::Well => "well",
            DiskState::Full(_) => "full",
            DiskState::Failed(_) => "failed",
            DiskState::Closed => "closed",
        }
    }
}

/// How the store does, in numbers that only grow where nothing else is said.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Bytes that wait, now.
    pub queued_bytes: usize,
    /// The bound on them.
    pub queued_bytes_max: usize,
    /// Lines written and synced.
    pub records: u64,
    /// Bytes of those lines.
    pub text_bytes: u64,
    /// Bytes of the frames that hold them.
    pub disk_bytes: u64,
    /// What was lost.
    pub dropped: Loss,
    /// What was lost and stands in no gap yet, now.
    pub untold: Loss,
    /// `gap` lines written.
    pub gaps: u64,
    /// Segments that are there, now.
    pub segments: u64,
    /// Lines that were erased, since routes keep them no longer.
    pub erased_records: u64,
    /// Tries to erase lines that failed.
    pub erase_failures: u64,
    /// Commits.
    pub commits: u64,
    /// Tries that failed.
    pub failures: u64,
    /// When the last commit was synced, in milliseconds since the Unix epoch; 0 before the first.
    pub last_commit_unix_ms: u64,
    /// How long it took.
    pub last_commit: Duration,
    /// For how long the writer waits for the disk, now.
    pub stalled_for: Option<Duration>,
    /// How the disk does, now.
    pub disk: DiskState,
}

/// What the writer's thread knows of itself.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub counters: Counters,
    /// Since when it is with the disk.
    pub busy_since: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Queue {
    bytes_max: usize,
    /// What makes a commit without waiting longer.
    commit_bytes: usize,
    state: Mutex<State>,
    progress: Mutex<Progress>,
    /// For the writer.
    arrived: Condvar,
    /// For those who wait until all is written.
    written: Condvar,
    /// Whether exchanges that rather wait than lose wait.
    is_crowded: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    waiting_bytes: usize,
    /// What the writer has in hand.
    taken_bytes: usize,
    lost: Lost,
    dropped: Loss,
    writer: Writer,
    is_closed: bool,
    is_over: bool,
    /// How many of the waiting entries the writer has in hand.
    taken: u64,
    /// Entries that ever waited, and how many of them are written or given up.
    pushed: u64,
    settled: u64,
    /// Up to which entry somebody waits, so that the commit does not.
    pressed: u64,
}

/// What the writer waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Writer {
    #[default]
    Awake,
    /// Anything at all.
    Idle,
    /// Enough for a commit.
    Gathering,
}

#[derive(Debug, Default)]
struct Lost {
    losers: HashMap<Option<ExchangeId>, Hole>,
}

impl Lost {
    fn add(&mut self, entry: &Entry) {
        let is_known = self.losers.contains_key(&entry.exchange);
        let key = if is_known || self.losers.len() < LOSERS_MAX { entry.exchange } else { None };
        let (since_unix_ms, until_unix_ms) = match &entry.what {
            What::Gap(hole) => (hole.since_unix_ms, hole.until_unix_ms),
            _ => (entry.at_unix_ms, entry.at_unix_ms),
        };
        let hole = self.losers.entry(key).or_insert(Hole {
            loss: Loss::default(),
            since_unix_ms,
            until_unix_ms,
        });
        hole.loss.add(entry.loss());
        hole.since_unix_ms = hole.since_unix_ms.min(since_unix_ms);
        hole.until_unix_ms = hole.until_unix_ms.max(until_unix_ms);
    }

    fn total(&self) -> Loss {
        let mut total = Loss::default();
        for hole in self.losers.values() {
            total.add(hole.loss);
        }
        total
    }

    /// The gaps that tell of it, by exchange; after this nothing is lost.
    fn tell(&mut self) -> Vec<Entry> {
        let mut holes: Vec<_> = self.losers.drain().collect();
        holes.sort_unstable_by_key(|(exchange, _)| *exchange);
        holes
            .into_iter()
            .map(|(exchange, hole)| Entry {
                at_unix_ms: hole.until_unix_ms,
                exchange,
                what: What::Gap(hole),
                seal_to: None,
            })
            .collect()
    }
}

/// What the writer gets to do.
#[derive(Debug)]
pub(super) enum Work {
    /// To write these.
    Entries(Vec<Entry>),
    /// Nothing came for as long as it said.
    Nothing,
    /// Nothing more will come.
    End,
}

impl Queue {
    pub(super) fn new(bytes_max: usize, commit_bytes: usize) -> Queue {
        Queue {
            bytes_max,
            commit_bytes,
            state: Mutex::default(),
            progress: Mutex::default(),
            arrived: Condvar::new(),
            written: Condvar::new(),
            is_crowded: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while the state is half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a batch in, or loses it: it goes, or is lost, as a whole, and is empty after.
    pub(super) fn push(&self, batch: &mut Vec<Entry>) -> Result<(), Loss> {
        if batch.is_empty() {
            return Ok(());
        }
        let cost: usize = batch.iter().map(Entry::cost).sum();
        let mut state = self.lock();
        let held = state.waiting_bytes + state.taken_bytes;
        let is_well = state.lost.losers.is_empty();
        let most = if is_well { self.bytes_max } else { self.bytes_max - self.bytes_max / 8 };
        if state.is_closed || held + cost > most {
            let mut loss = Loss::default();
            for entry in batch.drain(..) {
                loss.add(entry.loss());
                state.lost.add(&entry);
            }
            state.dropped.add(loss);
            return Err(loss);
        }
        if !is_well {
            state.tell_gaps();
        }
        state.waiting_bytes += cost;
        state.pushed += batch.len() as u64;
        state.waiting.extend(batch.drain(..));
        self.note_crowd(&state);
        let wake = match state.writer {
            Writer::Awake => false,
            Writer::Idle => true,
            Writer::Gathering => state.waiting_bytes >= self.commit_bytes,
        };
        if wake {
            state.writer = Writer::Awake;
            drop(state);
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Whether more than three quarters of the queue are taken.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_crowded.load(Ordering::Relaxed)
    }

    fn note_crowd(&self, state: &State) {
        let held = state.waiting_bytes + state.taken_bytes;
        let is_crowded = !state.is_closed && held > self.bytes_max / 4 * 3;
        self.is_crowded.store(is_crowded, Ordering::Relaxed);
    }

    /// Takes about as much as makes a commit: at once if that much waits, else `gather` after the
    /// first came. What was taken before counts as written. Waits `patience` at most.
    pub(super) fn take(&self, gather: Duration, patience: Duration) -> Work {
        let mut state = self.lock();
        let until = Instant::now() + patience;
        while state.waiting.is_empty() && state.lost.losers.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if state.is_closed {
                return Work::End;
            }
            if left.is_zero() {
                return Work::Nothing;
            }
            state.writer = Writer::Idle;
            state = self.wait(state, left);
        }
        let until = Instant::now() + gather;
        let is_enough = |state: &State| {
            state.waiting_bytes >= self.commit_bytes
                || state.is_closed
                || state.settled < state.pressed
        };
        while !is_enough(&state) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state.writer = Writer::Gathering;
            state = self.wait(state, left);
        }
        state.writer = Writer::Awake;
        let mut taken = Vec::new();
        let mut bytes = 0;
        while bytes < self.commit_bytes
            && let Some(entry) = state.waiting.pop_front()
        {
            bytes += entry.cost();
            taken.push(entry);
        }
        state.waiting_bytes -= bytes;
        state.taken = taken.len() as u64;
        if state.waiting.is_empty() && !state.lost.losers.is_empty() {
            let gaps = state.lost.tell();
            bytes += gaps.iter().map(Entry::cost).sum::<usize>();
            taken.extend(gaps);
        }
        state.taken_bytes = bytes;
        Work::Entries(taken)
    }

    fn wait<'s>(&self, state: MutexGuard<'s, State>, most: Duration) -> MutexGuard<'s, State> {
        let woken = self.arrived.wait_timeout(state, most);
        let mut state = woken.unwrap_or_else(PoisonError::into_inner).0;
        state.writer = Writer::Awake;
        state
    }

    /// What was taken is written, and its memory free.
    pub(super) fn settle(&self) {
        let mut state = self.lock();
        state.taken_bytes = 0;
        state.settled += std::mem::take(&mut state.taken);
        self.note_crowd(&state);
        drop(state);
        self.written.notify_all();
    }

    /// What was taken cannot be written any more, as `entries` say.
    pub(super) fn forfeit(&self, entries: &[Entry]) {
        let mut state = self.lock();
        state.taken_bytes = 0;
        let waiting = std::mem::take(&mut state.waiting);
        state.waiting_bytes = 0;
        state.taken = 0;
        state.settled = state.pushed;
        for entry in entries.iter().chain(&waiting) {
            // The loss of which a gap tells is counted already.
            if !matches!(entry.what, What::Gap(_)) {
                state.dropped.add(entry.loss());
            }
            state.lost.add(entry);
        }
        self.note_crowd(&state);
        drop(state);
        self.written.notify_all();
    }

    /// Waits until all that was pushed before is on disk; `false` if that takes longer.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        let goal = state.pushed;
        loop {
            if state.settled >= goal && state.lost.losers.is_empty() {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.is_over {
                return false;
            }
            state.pressed = state.pressed.max(goal);
            self.arrived.notify_one();
            let woken = self.written.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        self.note_crowd(&state);
        drop(state);
        self.arrived.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Waits, but not when the store is closed; tells whether it is.
    pub(super) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.is_closed {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait(state, left);
        }
        true
    }

    /// The writer has come to its end.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.written.notify_all();
    }

    /// Waits for the end of the writer; `false` if that takes longer.
    pub(super) fn wait_for_end(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        while !state.is_over {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let woken = self.written.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Changes what is known of the writer.
    pub(super) fn progress(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn counters(&self) -> Counters {
        let mut counters = {
            let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let stalled_for = progress.busy_since.map(|since| since.elapsed());
            Counters { stalled_for, ..progress.counters.clone() }
        };
        let state = self.lock();
        counters.queued_bytes = state.waiting_bytes + state.taken_bytes;
        counters.queued_bytes_max = self.bytes_max;
        counters.dropped = state.dropped;
        counters.untold = state.lost.total();
        counters
    }
}

impl State {
    fn tell_gaps(&mut self) {
        for gap in self.lost.tell() {
            self.pushed += 1;
            self.waiting_bytes += gap.cost();
            self.waiting.push_back(gap);
        }
    }
}
