//! The writer's thread: from the queue to the segments.
//!
//! It alone waits for the disk. What it has in hand it writes again each second until the disk
//! takes it; meanwhile the queue fills, and what does not fit any more is lost and counted. The
//! folder is opened by the same thread in the same way, so a disk that is full or away at the start
//! does not keep the gate from starting.

use super::disk::{Disk, Folder};
use super::key::SealKey;
use super::log::{Limits, Log};
use super::queue::{Counters, DiskState, Queue, Work};
use super::retire::Policy;
use super::segment::{Recovered, Sealed};
use super::tap::{Tap, unix_ms};
use crate::table::RouteKept;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The folder of segments, in the data folder.
pub const FOLDER: &str = "evidence";

/// How soon what failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// How often it is looked whether segments are old.
const UPKEEP_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked whether an erasure is done.
const ERASING_EVERY: Duration = Duration::from_secs(1);

/// Whether a segment must stay.
pub type IsHeld = Arc<dyn Fn(&Sealed) -> bool + Send + Sync>;

/// What the route of a name says of its records, now.
pub type OfRoute = Arc<dyn Fn(&str) -> RouteKept + Send + Sync>;

/// How a store is kept.
#[derive(Clone)]
pub struct Options {
    /// The data folder.
    pub data_dir: PathBuf,
    /// When segments are complete, and when they go.
    pub limits: Limits,
    /// The bound on what waits.
    pub queue_bytes_max: usize,
    /// What makes a commit at once.
    pub commit_bytes: usize,
    /// What makes one otherwise: this time after the first record came.
    pub commit_after: Duration,
    /// Whether a segment must stay, asked by the writer's thread before it retires one.
    pub is_held: IsHeld,
    /// What routes say of their records, asked before anything of theirs goes.
    pub of_route: OfRoute,
    /// The time of day, in milliseconds since the Unix epoch.
    pub unix_ms: fn() -> u64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

impl Options {
    /// The defaults, for a data folder.
    pub fn of(data_dir: &Path) -> Options {
        Options {
            data_dir: data_dir.to_path_buf(),
            limits: Limits::default(),
            queue_bytes_max: 64 * 1024 * 1024,
            commit_bytes: 1024 * 1024,
            commit_after: Duration::from_millis(100),
            is_held: Arc::new(|_| false),
            of_route: Arc::new(|_| RouteKept::default()),
            unix_ms,
        }
    }
}

/// Opens the segments; called until it succeeds.
type Opener = Box<dyn FnMut() -> io::Result<(Log, Option<Recovered>)> + Send>;

/// A store that is being written. Dropping it closes it.
#[derive(Debug)]
pub struct Store {
    queue: Arc<Queue>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Store {
    /// Starts the writer. Whether the folder can be used shows in [`Counters::disk`].
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(options: Options) -> io::Result<Store> {
        let (data_dir, limits) = (options.data_dir.clone(), options.limits);
        let unix_ms = options.unix_ms;
        let opener = move || {
            let path = data_dir.join(FOLDER);
            let folder = Folder::make(&path)?;
            let key = SealKey::open(&data_dir, &path)?;
            Log::open(Arc::new(folder), key, limits, unix_ms())
        };
        Store::run(options, Box::new(opener))
    }

    /// Starts the writer on any disk.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start_on(
        options: Options,
        disk: Arc<dyn Disk>,
        key: impl Fn() -> io::Result<SealKey> + Send + 'static,
    ) -> io::Result<Store> {
        let (limits, unix_ms) = (options.limits, options.unix_ms);
        let opener = move || Log::open(Arc::clone(&disk), key()?, limits, unix_ms());
        Store::run(options, Box::new(opener))
    }

    fn run(options: Options, open: Opener) -> io::Result<Store> {
        let queue = Arc::new(Queue::new(options.queue_bytes_max, options.commit_bytes));
        let writer = Writer { queue: Arc::clone(&queue), options, upkept: Instant::now() };
        let thread = thread::Builder::new()
            .name("firedoor-evidence".to_owned())
            .spawn(move || writer.run(open))?;
        Ok(Store { queue, thread: Some(thread) })
    }

    /// Where exchanges leave what is to be recorded.
    pub fn tap(&self) -> Tap {
        Tap::of(Arc::clone(&self.queue))
    }

    /// How it does.
    pub fn counters(&self) -> Counters {
        self.queue.counters()
    }

    /// Waits until all that was recorded so far is on disk; `false` if that takes longer.
    pub fn flush(&self, patience: Duration) -> bool {
        self.queue.flush(patience)
    }

    /// Writes what waits, seals the segment and ends. A disk that does not answer is given up
    /// after `patience`; what was not written then is in [`Counters::dropped`] or still waits.
    pub fn close(mut self, patience: Duration) -> Counters {
        self.queue.close();
        if self.queue.wait_for_end(patience)
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
        self.thread = None;
        self.queue.counters()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.queue.close();
            let _ = thread.join();
        }
    }
}

/// Says at the end of the writer that nothing will be written any more, also where it panicked.
struct End(Arc<Queue>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close();
        let state = if thread::panicking() {
            self.0.forfeit(&[]);
            DiskState::Failed("the writer ended by a panic".into())
        } else {
            DiskState::Closed
        };
        self.0.progress(|progress| progress.counters.disk = state);
        self.0.end();
    }
}

struct Writer {
    queue: Arc<Queue>,
    options: Options,
    upkept: Instant,
}

impl Writer {
    fn run(mut self, mut open: Opener) {
        let _end = End(Arc::clone(&self.queue));
        match self.persist(&mut open) {
            Some((mut log, found)) => {
                if let Some(found) = &found {
                    tell(found);
                }
                self.write_on(&mut log);
                let now = (self.options.unix_ms)();
                let sealed = self.once(|| log.seal(now, None));
                self.count(&log);
                if sealed.is_none() {
                    tracing::warn!("the last segment of evidence could not be sealed");
                }
            }
            None => self.queue.forfeit(&[]),
        }
    }

    /// Until the store is closed and all is written, or cannot be.
    fn write_on(&mut self, log: &mut Log) {
        // The segment begins now, so that what was found is on record before anything else.
        let unix_ms = self.options.unix_ms;
        self.once(|| log.commit(&[], unix_ms()));
        self.count(log);
        loop {
            let idle = if log.erasing.is_some() { ERASING_EVERY } else { UPKEEP_EVERY };
            match self.queue.take(self.options.commit_after, idle) {
                Work::End => return,
                Work::Nothing => {}
                Work::Entries(entries) => {
                    let began = Instant::now();
                    let Some(written) = self.persist(&mut || log.commit(&entries, unix_ms()))
                    else {
                        self.queue.forfeit(&entries);
                        return;
                    };
                    let gaps = entries.iter().filter(|entry| entry.is_gap()).count() as u64;
                    self.queue.progress(|progress| {
                        let counters = &mut progress.counters;
                        counters.commits += 1;
                        counters.text_bytes += written.text_bytes;
                        counters.disk_bytes += written.disk_bytes;
                        counters.gaps += gaps;
                        counters.last_commit_unix_ms = unix_ms();
                        counters.last_commit = began.elapsed();
                    });
                    self.queue.settle();
                }
            }
            self.upkeep(log);
        }
    }

    fn upkeep(&mut self, log: &mut Log) {
        let unix_ms = self.options.unix_ms;
        let (is_held, of_route) =
            (Arc::clone(&self.options.is_held), Arc::clone(&self.options.of_route));
        let policy = Policy { is_held: &*is_held, of_route: &*of_route };
        // One that is done makes room for the next.
        let mut is_due = log.erasing.is_some()
            && self.once(|| log.take_erased(unix_ms(), policy)).unwrap_or(false);
        let was = log.segments();
        self.once(|| log.rotate(unix_ms()));
        let is_rotated = log.current.is_none() && was > 0;
        if is_rotated || self.upkept.elapsed() >= UPKEEP_EVERY {
            self.upkept = Instant::now();
            is_due = true;
        }
        if is_due {
            self.once(|| log.retire(unix_ms(), policy));
        }
        self.count(log);
    }

    fn count(&self, log: &Log) {
        self.queue.progress(|progress| {
            progress.counters.segments = log.segments();
            progress.counters.records = log.records;
            progress.counters.erased_records = log.erased_records;
            progress.counters.erase_failures = log.erase_failures;
        });
    }

    /// Tries once; a failure shows in the state of the disk.
    fn once<T>(&self, act: impl FnOnce() -> io::Result<T>) -> Option<T> {
        self.queue.progress(|progress| progress.busy_since = Some(Instant::now()));
        let done = act();
        let mut was = DiskState::default();
        self.queue.progress(|progress| {
            progress.busy_since = None;
            let now = match &done {
                Ok(_) => DiskState::Well,
                Err(error) => state(error),
            };
            progress.counters.failures += u64::from(done.is_err());
            was = std::mem::replace(&mut progress.counters.disk, now);
        });
        match (&done, was) {
            (Err(error), DiskState::Well | DiskState::Opening) => {
                tracing::error!(%error, "evidence cannot be written; it is tried again each second");
            }
            (Ok(_), DiskState::Full(_) | DiskState::Failed(_)) => {
                tracing::info!("evidence is written again");
            }
            (Ok(_) | Err(_), _) => {}
        }
        done.ok()
    }

    /// Tries until it succeeds, or the store is closed.
    fn persist<T>(&self, act: &mut dyn FnMut() -> io::Result<T>) -> Option<T> {
        loop {
            // A store that is closed meanwhile gets one more try.
            let is_last = self.queue.is_closed();
            if let Some(done) = self.once(&mut *act) {
                return Some(done);
            }
            if is_last {
                return None;
            }
            self.queue.pause(RETRY_EVERY);
        }
    }
}

fn state(error: &io::Error) -> DiskState {
    let why = error.to_string().into();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskState::Full(why),
        _ => DiskState::Failed(why),
    }
}

fn tell(found: &Recovered) {
    tracing::warn!(
        segment = found.segment,
        cut_bytes = found.cut_bytes,
        damaged = found.damaged,
        unfinished = found.unfinished.len(),
        "the record did not end cleanly; what is missing is on record"
    );
}
