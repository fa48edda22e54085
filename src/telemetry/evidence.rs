//! How the record does, as the metrics show it.
//!
//! The store counts by itself; its numbers are taken over when somebody asks for the metrics. The
//! type stands here because rooms of one floor do not know each other.

use super::meters::Meters;
use super::names;

/// The store's numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EvidencePicture {
    /// Whether the disk takes what is written.
    pub is_up: bool,
    /// Bytes that wait for the disk, and the bound on them.
    pub queued_bytes: [u64; 2],
    /// Lines on disk.
    pub records: u64,
    /// Bytes of those lines, and of the frames that hold them.
    pub bytes: [u64; 2],
    /// Lines that were lost, and the bytes of bodies that they told of.
    pub dropped: [u64; 2],
    /// Gaps on record.
    pub gaps: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Lines that were erased, and tries to erase that failed.
    pub erased: [u64; 2],
    /// Commits, and those that failed.
    pub commits: [u64; 2],
    /// For how long the writer has waited for the disk, in seconds.
    pub stalled_seconds: f64,
}

/// The index's numbers at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexPicture {
    /// Whether its last step succeeded.
    pub is_up: bool,
    /// Whether all that was on disk had been read.
    pub is_caught_up: bool,
    /// Exchanges, since the start.
    pub exchanges: u64,
    /// Bytes of lines, since the start.
    pub text_bytes: u64,
    /// Documents of sessions that gave way before an exchange of theirs began, since the start.
    pub contexts_given_up: u64,
    /// Steps that failed, since the start.
    pub failures: u64,
}

impl Meters {
    /// Takes over the index's numbers.
    pub fn index(&self, picture: &IndexPicture) {
        let gauge = |metric, is: bool| self.gauge(metric, &[]).set(f64::from(u8::from(is)));
        let counter = |metric, value| self.counter(metric, &[]).absolute(value);
        gauge(names::INDEX_UP, picture.is_up);
        gauge(names::INDEX_CAUGHT_UP, picture.is_caught_up);
        counter(names::INDEX_EXCHANGES, picture.exchanges);
        counter(names::INDEX_TEXT_BYTES, picture.text_bytes);
        counter(names::INDEX_CONTEXTS_GIVEN_UP, picture.contexts_given_up);
        counter(names::INDEX_FAILURES, picture.failures);
    }

    /// A run over the record is over.
    pub fn run_over(&self, kind: &'static str, state: &'static str) {
        self.counter(names::RUNS, &[kind, state]).increment(1);
    }

    /// How many bytes what runs came to has that is kept.
    pub fn runs_kept(&self, kept_bytes: usize) {
        self.gauge(names::RUNS_KEPT, &[]).set(kept_bytes as f64);
    }

    /// Takes over the store's numbers.
    pub fn evidence(&self, picture: &EvidencePicture) {
        let gauge = |metric, value: f64| self.gauge(metric, &[]).set(value);
        let counter = |metric, value| self.counter(metric, &[]).absolute(value);
        gauge(names::EVIDENCE_UP, f64::from(u8::from(picture.is_up)));
        gauge(names::EVIDENCE_QUEUED, picture.queued_bytes[0] as f64);
        gauge(names::EVIDENCE_QUEUE_MAX, picture.queued_bytes[1] as f64);
        gauge(names::EVIDENCE_SEGMENTS, picture.segments as f64);
        gauge(names::EVIDENCE_STALLED, picture.stalled_seconds);
        counter(names::EVIDENCE_RECORDS, picture.records);
        counter(names::EVIDENCE_TEXT_BYTES, picture.bytes[0]);
        counter(names::EVIDENCE_DISK_BYTES, picture.bytes[1]);
        counter(names::EVIDENCE_DROPPED, picture.dropped[0]);
        counter(names::EVIDENCE_DROPPED_BYTES, picture.dropped[1]);
        counter(names::EVIDENCE_GAPS, picture.gaps);
        counter(names::EVIDENCE_ERASED, picture.erased[0]);
        counter(names::EVIDENCE_ERASE_FAILURES, picture.erased[1]);
        counter(names::EVIDENCE_COMMITS, picture.commits[0]);
        counter(names::EVIDENCE_FAILURES, picture.commits[1]);
    }
}
