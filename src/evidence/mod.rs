//! The record: what passed through the gate, in a form that shows whether it is whole.
//!
//! The data path hands facts to a [`Tap`]: one [`Track`] for each exchange, and notes. They go
//! through a bounded queue to one thread, the only one that waits for the disk, which writes them
//! into segments: newline-delimited JSON in independent zstd frames, each frame one commit. What
//! always holds:
//!
//! * The data path never waits for a disk, unless it asks to ([`Track::is_crowded`]).
//! * Nothing is lost in silence. What does not fit into the queue is counted, and a `gap` record
//!   says how many records and bytes are missing, of which exchange, and when. What a crash took
//!   is told by a `recovered` record.
//! * A line that is acknowledged ([`Tap::flush`]) is on disk and is never written again.
//! * Every line is chained to the one before it, and every complete segment is sealed with a
//!   signature, so that [`verify`](verify::verify) finds any change and names its place.
//! * Credentials are not in it. Callers leave them out, and fields that are known to hold them are
//!   blanked once more when they are written.
//!
//! What it cannot show: that nobody who holds the private key wrote another record, and that the
//! end of the record, after the last seal, was not taken away. Who must rule that out keeps what
//! [`verify::Report::head`] says in another place.
//!
//! Order of a record's life: `track` gathers, `queue` bounds, `store` (the thread) takes, `told`
//! says it as a `line`, `log` writes it into a `segment`, `recover` mends the last one after a
//! crash, `retire` and `erase` let it go when it was kept long enough, `read` and `verify` come back to it. `docs/evidence.md` describes the files for everyone
//! else.

pub mod age;
pub mod bundle;
mod digits;
pub mod disk;
mod entry;
mod erase;
pub mod exchange;
pub mod export;
pub mod index;
pub mod key;
pub mod line;
mod log;
pub mod originals;
pub mod query;
mod queue;
pub mod read;
mod recover;
mod retire;
pub mod segment;
mod share;
mod store;
mod tap;
#[cfg(test)]
mod tests;
pub mod texts;
mod told;
mod track;
pub mod transcript;
pub mod verify;

pub use digits::text_or_base64;
pub use entry::{
    Bound, Chunk, Headers, Loss, Note, Opened, PIECE_BYTES_MAX, RequestHead, SentBody,
};
pub use key::{PublicKey, SealKey};
pub use log::Limits;
pub use queue::{Counters, DiskState};
pub use read::{Met, Position, Record, Segment};
pub use segment::Sealed;
pub use share::{Share, Shares};
pub use store::{FOLDER, IsHeld, OfRoute, Options, Store};
pub use tap::{Noted, Tap};
pub use track::{BATCH_BYTES, BATCH_TIME, TAIL_BYTES_MAX, Track};

/// Lets the calling thread, and those that it starts, take what the others leave: work over the
/// record catches up, a stream that waits does not. On Linux a priority is a thread's own
/// (setpriority(2), "C library/kernel differences").
pub fn give_way() {
    if let Err(error) = rustix::process::setpriority_process(None, 10) {
        tracing::debug!(%error, "a thread of the record runs like any other");
    }
}
