//! A body as it came or went: its bytes, their times, and what of it is missing.

use std::borrow::Cow;

/// When some bytes came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Microseconds since the exchange began.
    pub at_us: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// Bytes that are not on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hole {
    /// Before which of the bytes that are there.
    pub at: usize,
    /// How many are missing.
    pub bytes: u64,
}

/// A body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// The bytes that are on record, in order.
    pub bytes: Vec<u8>,
    /// How long it is, whether its bytes are kept or not.
    pub len: u64,
    /// When its bytes came or went; empty for a request, which came before it was recorded, and where
    /// times are passed over.
    pub chunks: Vec<Arrival>,
    /// What is missing in it because its lines were lost.
    pub holes: Vec<Hole>,
    /// Whether lines told its length only, as the route's `capture` says.
    pub is_only_counted: bool,
}

/// A line's part of a stream.
pub(super) struct Run<'l> {
    pub offset: u64,
    pub len: u64,
    pub bytes: Option<Cow<'l, [u8]>>,
    pub chunks: &'l [(u64, u32)],
    pub joins: bool,
}

impl Stream {
    /// Whether its bytes are on record, all of them.
    pub fn is_kept(&self) -> bool {
        !self.is_only_counted && self.holes.is_empty()
    }

    /// The bytes in the chunks in which they passed, with the moment of each. Where bytes are not
    /// on record the rest moves up.
    pub fn pieces(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut rest = &self.bytes[..];
        self.chunks.iter().map(move |chunk| {
            let most = usize::try_from(chunk.bytes).unwrap_or(usize::MAX);
            let (piece, after) = rest.split_at(most.min(rest.len()));
            rest = after;
            (chunk.at_us, piece)
        })
    }

    /// Adds a piece of a body of `total` bytes that came whole; gives how many bytes it kept.
    pub(super) fn piece(&mut self, run: Run<'_>, total: u64) -> usize {
        let Some(bytes) = run.bytes else {
            self.is_only_counted = total > 0;
            self.len = total;
            return 0;
        };
        // The hole behind the last piece is as long as this one leaves it.
        self.holes.retain(|hole| hole.at < self.bytes.len());
        self.len = self.known();
        self.skip_to(run.offset);
        let kept = self.take(bytes);
        if self.len < total {
            self.holes.push(Hole { at: self.bytes.len(), bytes: total - self.len });
            self.len = total;
        }
        kept
    }

    /// Adds a run of chunks; gives how many bytes it kept.
    pub(super) fn run(&mut self, run: Run<'_>) -> usize {
        self.skip_to(run.offset);
        self.times(&run);
        let Some(bytes) = run.bytes else {
            self.is_only_counted |= run.len > 0;
            self.len = self.len.saturating_add(run.len);
            return 0;
        };
        self.take(bytes)
    }

    /// Adds bytes, without a copy where it can; gives how many.
    fn take(&mut self, bytes: Cow<'_, [u8]>) -> usize {
        let length = bytes.len();
        match bytes {
            Cow::Owned(bytes) if self.bytes.is_empty() => {
                self.bytes = bytes;
                self.len = self.len.saturating_add(length as u64);
            }
            bytes => self.push(&bytes),
        }
        length
    }

    fn known(&self) -> u64 {
        self.holes.iter().fold(self.bytes.len() as u64, |sum, hole| sum.saturating_add(hole.bytes))
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
    }

    fn skip_to(&mut self, offset: u64) {
        if offset > self.len {
            self.hole(offset - self.len);
        }
    }

    fn hole(&mut self, bytes: u64) {
        self.holes.push(Hole { at: self.bytes.len(), bytes });
        self.len = self.len.saturating_add(bytes);
    }

    fn times(&mut self, run: &Run<'_>) {
        for (index, (at_us, bytes)) in run.chunks.iter().enumerate() {
            let bytes = u64::from(*bytes);
            match self.chunks.last_mut() {
                Some(last) if index == 0 && run.joins => last.bytes += bytes,
                Some(_) | None => self.chunks.push(Arrival { at_us: *at_us, bytes }),
            }
        }
    }

    /// The bytes from `offset` on, `len` of them; `None` where one of them is not on record.
    fn slice(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let mut start = usize::try_from(offset).ok()?;
        for hole in &self.holes {
            if hole.at < start {
                start = start.checked_sub(usize::try_from(hole.bytes).ok()?)?;
                if start < hole.at {
                    return None;
                }
            }
        }
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        let is_broken = self.holes.iter().any(|hole| hole.at > start && hole.at < end);
        if is_broken { None } else { self.bytes.get(start..end) }
    }

    /// Takes bytes off its end.
    fn take_back(&mut self, bytes: u64) {
        let mut left = bytes.min(self.len);
        self.len -= left;
        while left > 0 {
            let last = self.holes.last().filter(|hole| hole.at >= self.bytes.len()).copied();
            if let Some(hole) = last {
                let here = left.min(hole.bytes);
                left -= here;
                self.holes.pop();
                if here < hole.bytes {
                    self.holes.push(Hole { bytes: hole.bytes - here, ..hole });
                }
                continue;
            }
            let floor = self.holes.last().map_or(0, |hole| hole.at);
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.bytes.len() - floor);
            if here == 0 {
                break;
            }
            self.bytes.truncate(self.bytes.len() - here);
            left -= here as u64;
        }
    }

    fn take_back_times(&mut self, bytes: u64) {
        let mut left = bytes;
        while left > 0
            && let Some(last) = self.chunks.last_mut()
        {
            let here = left.min(last.bytes);
            left -= here;
            last.bytes -= here;
            if last.bytes == 0 {
                self.chunks.pop();
            }
        }
    }
}

/// What was delivered, step by step: it can refer to bytes whose lines come later.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery {
    steps: Vec<Step>,
    /// The bytes of all steps that have their own.
    own: Vec<u8>,
    /// Times, and the length with what was taken back again.
    times: Stream,
    written: u64,
    begins_as: Option<(usize, u64)>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Bytes of the answer of the attempt at this index.
    Same { source: usize, offset: u64, len: u64 },
    /// So many bytes of its own.
    Own(usize),
    /// Bytes of which only the number is known.
    Counted(u64),
    /// Bytes whose line is lost.
    Lost(u64),
    /// The last bytes did not leave.
    Back(u64),
    /// The last bytes may not have left.
    Doubt(u64),
}

impl Delivery {
    /// Adds a run; gives how many bytes it kept.
    pub(super) fn run(&mut self, run: &Run<'_>, source: Option<(usize, u64)>) -> usize {
        if run.offset > self.written {
            self.steps.push(Step::Lost(run.offset - self.written));
        }
        self.written = run.offset.saturating_add(run.len);
        self.times.times(run);
        let (step, kept) = match (source, &run.bytes) {
            (Some((source, offset)), _) => {
                self.begin(run, source, offset);
                (Step::Same { source, offset, len: run.len }, 0)
            }
            (None, Some(bytes)) => {
                self.own.extend_from_slice(bytes);
                (Step::Own(bytes.len()), bytes.len())
            }
            (None, None) => (Step::Counted(run.len), 0),
        };
        self.steps.push(step);
        kept
    }

    fn begin(&mut self, run: &Run<'_>, source: usize, offset: u64) {
        match &mut self.begins_as {
            None if run.offset == 0 && offset == 0 => self.begins_as = Some((source, run.len)),
            Some((known, bytes)) if *known == source && *bytes == run.offset => {
                *bytes = bytes.saturating_add(run.len);
            }
            Some(_) | None => {}
        }
    }

    /// The index of the attempt with whose answer it begins, and with how many bytes of it.
    pub(super) fn begins_as(&self) -> Option<(usize, u64)> {
        self.begins_as
    }

    pub(super) fn take_back(&mut self, bytes: u64, is_doubtful: bool) {
        if is_doubtful {
            self.steps.push(Step::Doubt(bytes));
        } else {
            self.times.take_back_times(bytes);
            self.steps.push(Step::Back(bytes));
        }
    }

    /// The body, whether it is all the provider's, and how much of its end is doubtful.
    pub(super) fn resolve(self, sources: &[&Stream]) -> (Stream, bool, u64) {
        let mut body = Stream { chunks: self.times.chunks, ..Stream::default() };
        if self.steps.iter().all(|step| matches!(step, Step::Own(_))) {
            body.len = self.own.len() as u64;
            body.bytes = self.own;
            return (body, false, 0);
        }
        let mut own = &self.own[..];
        let (mut is_same, mut doubtful) = (true, 0);
        for step in self.steps {
            match step {
                Step::Same { source, offset, len } => {
                    match sources.get(source).and_then(|source| source.slice(offset, len)) {
                        Some(bytes) => body.push(bytes),
                        None => body.hole(len),
                    }
                    is_same &= source + 1 == sources.len();
                    doubtful = 0;
                }
                Step::Own(len) => {
                    let (bytes, rest) = own.split_at(len.min(own.len()));
                    own = rest;
                    body.push(bytes);
                    is_same = false;
                    doubtful = 0;
                }
                Step::Counted(len) => {
                    body.is_only_counted |= len > 0;
                    body.len = body.len.saturating_add(len);
                    is_same = false;
                }
                Step::Lost(len) => {
                    body.hole(len);
                    is_same = false;
                }
                Step::Back(len) => body.take_back(len),
                Step::Doubt(len) => doubtful = len.min(body.len),
            }
        }
        (body, is_same, doubtful)
    }
}
