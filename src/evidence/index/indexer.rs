//! The thread that keeps the index of a running gateway up to date.
//!
//! It looks for new frames several times a second and never disturbs whoever writes them. When it
//! fails it says so once, and tries again each second.

use super::Fault;
use super::follow::Follower;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often it looks when there was nothing new.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How soon what failed is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// How the index does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exchanges that were indexed since the start.
    pub exchanges: u64,
    /// Bytes of lines that were read since the start.
    pub text_bytes: u64,
    /// Documents of sessions that gave way to later ones before an exchange of theirs began.
    pub contexts_given_up: u64,
    /// Steps that failed.
    pub failures: u64,
    /// Why the last one did, while it does.
    pub fault: Option<String>,
    /// Whether all that there was had been read when it looked last.
    pub is_caught_up: bool,
}

/// Where it can be asked how an indexer does.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<Shared>);

impl Watch {
    /// How it does.
    pub fn counters(&self) -> Counters {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// A running indexer. Dropping it stops it at the end of its step.
#[derive(Debug)]
pub struct Indexer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<(bool, Counters)>,
    stopping: Condvar,
}

impl Indexer {
    /// Starts the indexer of a data folder.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(data_dir: &Path) -> io::Result<Indexer> {
        let shared = Arc::<Shared>::default();
        let (data_dir, of_thread) = (data_dir.to_path_buf(), Arc::clone(&shared));
        let thread = thread::Builder::new().name("firedoor-index".to_owned()).spawn(move || {
            crate::evidence::give_way();
            run(&data_dir, &of_thread);
        })?;
        Ok(Indexer { shared, thread: Some(thread) })
    }

    /// Where it can be asked how it does.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.shared))
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).0 = true;
        self.shared.stopping.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Waits; gives whether to stop.
    fn pause(&self, time: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.stopping.wait_timeout_while(state, time, |state| !state.0);
        waited.unwrap_or_else(PoisonError::into_inner).0.0
    }

    fn count(&self, act: impl FnOnce(&mut Counters)) {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).1);
    }
}

fn run(data_dir: &Path, shared: &Shared) {
    let mut follower: Option<Follower> = None;
    loop {
        let done = match &mut follower {
            Some(follower) => follower.step(),
            None if !data_dir.join(super::super::FOLDER).is_dir() => {
                Ok(super::Step { is_caught_up: true, ..super::Step::default() })
            }
            None => Follower::open(data_dir).and_then(|opened| follower.insert(opened).step()),
        };
        let pause = match done {
            Ok(step) => {
                shared.count(|counters| {
                    counters.exchanges += step.exchanges;
                    counters.text_bytes += step.text_bytes;
                    counters.contexts_given_up += step.contexts_given_up;
                    counters.is_caught_up = step.is_caught_up;
                    counters.fault = None;
                });
                if step.is_caught_up { LOOK_EVERY } else { Duration::ZERO }
            }
            Err(fault) => {
                tell(&fault, shared);
                // Opened anew, it finds what became of its file.
                follower = None;
                RETRY_EVERY
            }
        };
        if shared.pause(pause) {
            return;
        }
    }
}

fn tell(fault: &Fault, shared: &Shared) {
    let mut is_new = false;
    shared.count(|counters| {
        is_new = counters.fault.is_none();
        counters.failures += 1;
        counters.is_caught_up = false;
        counters.fault = Some(fault.to_string());
    });
    if is_new {
        tracing::warn!(%fault, "evidence is recorded and not indexed; it is tried again each second");
    }
}
