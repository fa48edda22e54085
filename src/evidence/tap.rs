//! Where facts leave the data path.

use super::entry::{Entry, Note, Opened, PIECE_BYTES_MAX, Texts, What};
use super::queue::{Counters, Queue};
use super::track::Track;
use crate::table::{Capture, Recipient};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The gate's tap. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tap(Option<Arc<Queue>>);

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is on its way to the disk.
    Taken,
    /// Only its size is.
    TooLarge,
    /// The queue is full; a gap will tell of it.
    Lost,
    /// There is no store.
    Off,
}

impl Tap {
    /// A tap that records nothing.
    pub fn off() -> Tap {
        Tap(None)
    }

    pub(super) fn of(queue: Arc<Queue>) -> Tap {
        Tap(Some(queue))
    }

    /// Whether there is a store behind it.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the queue is nearly full: who must not lose anything waits.
    pub fn is_crowded(&self) -> bool {
        self.0.as_ref().is_some_and(|queue| queue.is_crowded())
    }

    /// Begins the track of an exchange; `None` where its route records nothing, or nothing does.
    pub fn open(&self, capture: Capture, opened: Opened) -> Option<Track> {
        let texts = match capture {
            Capture::Full => Texts::All,
            Capture::Redacted => Texts::Sent,
            Capture::Sealed => Texts::Sealed,
            Capture::Metadata => Texts::None,
            Capture::Off => return None,
        };
        let queue = self.0.as_ref()?;
        Some(Track::open(Arc::clone(queue), texts, opened))
    }

    /// A record of the gate's own, or one that somebody attaches to an exchange.
    pub fn note(&self, note: Note) -> Noted {
        self.put(note, None)
    }

    /// The same, with a part, an object, that is for recipients alone.
    pub fn note_sealed(&self, note: Note, part: &serde_json::Value, to: Arc<[Recipient]>) -> Noted {
        self.put(note, Some((part.to_string(), to)))
    }

    fn put(&self, note: Note, sealed: Option<(String, Arc<[Recipient]>)>) -> Noted {
        let Some(queue) = &self.0 else { return Noted::Off };
        let about = note.about.to_string();
        let (sealed, seal_to) = sealed.unzip();
        let bytes = about.len() + sealed.as_ref().map_or(0, String::len);
        let is_whole = bytes <= PIECE_BYTES_MAX;
        let (about, sealed) = if is_whole { (Ok(about), sealed) } else { (Err(bytes), None) };
        // What is lost is counted by the queue, and told by a gap.
        let pushed = queue.push(&mut vec![Entry {
            at_unix_ms: note.at_unix_ms,
            exchange: note.exchange,
            what: What::Note { what: note.what, about, sealed },
            seal_to,
        }]);
        match pushed {
            Err(_) => Noted::Lost,
            Ok(()) if is_whole => Noted::Taken,
            Ok(()) => Noted::TooLarge,
        }
    }

    /// A record of the gate's own, of now.
    pub fn say(&self, what: &'static str, about: serde_json::Value) {
        if self.is_on() {
            self.note(Note { at_unix_ms: unix_ms(), what: what.into(), exchange: None, about });
        }
    }

    /// Waits until all that was recorded so far is on disk; `false` if that takes longer. Not for
    /// the data path: it blocks its thread.
    pub fn flush(&self, patience: Duration) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.flush(patience))
    }

    /// How the store does.
    pub fn counters(&self) -> Counters {
        self.0.as_ref().map_or_else(Counters::default, |queue| queue.counters())
    }
}

/// Now, in milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
