//! The record's health, as `/readyz`, the status and the metrics show it.

use crate::evidence::index;
use crate::evidence::{Counters, DiskState, Tap};
use crate::table::Table;
use crate::telemetry::{EvidencePicture, IndexPicture};
use serde_json::{Value, json};
use std::time::Duration;

/// A disk that takes longer over one write has stopped, as far as anybody can tell.
const STALLED_AFTER: Duration = Duration::from_secs(2);

/// The word for it, and why it is not well.
fn told(counters: &Counters) -> (&'static str, Option<&str>) {
    match &counters.disk {
        DiskState::Opening => ("opening", None),
        DiskState::Well if counters.stalled_for.is_some_and(|time| time >= STALLED_AFTER) => {
            ("stalled", Some("the disk has taken nothing for seconds"))
        }
        DiskState::Well => ("up", None),
        DiskState::Full(why) => ("full", Some(why)),
        DiskState::Failed(why) => ("failed", Some(why)),
        DiskState::Closed => ("closed", None),
    }
}

/// Whether what passes now is recorded: nothing waits for a disk that does not take it.
pub(super) fn is_well(counters: &Counters) -> bool {
    matches!(told(counters).0, "opening" | "up") && counters.untold.is_none()
}

/// The word alone, for who needs no token.
pub(super) fn word(counters: &Counters) -> &'static str {
    told(counters).0
}

pub(super) fn view(counters: &Counters) -> Value {
    let (state, why) = told(counters);
    json!({
        "state": state,
        "why": why,
        "queued_bytes": counters.queued_bytes,
        "queued_bytes_max": counters.queued_bytes_max,
        "records": counters.records,
        "text_bytes": counters.text_bytes,
        "disk_bytes": counters.disk_bytes,
        "segments": counters.segments,
        "gaps": counters.gaps,
        "erased_records": counters.erased_records,
        "dropped_records": counters.dropped.records,
        "dropped_bytes": counters.dropped.bytes,
    })
}

pub(super) fn index_picture(counters: &index::Counters) -> IndexPicture {
    IndexPicture {
        is_up: counters.fault.is_none(),
        is_caught_up: counters.is_caught_up,
        exchanges: counters.exchanges,
        text_bytes: counters.text_bytes,
        contexts_given_up: counters.contexts_given_up,
        failures: counters.failures,
    }
}

pub(super) fn picture(counters: &Counters) -> EvidencePicture {
    EvidencePicture {
        is_up: matches!(counters.disk, DiskState::Well),
        queued_bytes: [counters.queued_bytes as u64, counters.queued_bytes_max as u64],
        records: counters.records,
        bytes: [counters.text_bytes, counters.disk_bytes],
        dropped: [counters.dropped.records, counters.dropped.bytes],
        gaps: counters.gaps,
        segments: counters.segments,
        erased: [counters.erased_records, counters.erase_failures],
        commits: [counters.commits, counters.failures],
        stalled_seconds: counters.stalled_for.map_or(0.0, |time| time.as_secs_f64()),
    }
}

/// Puts on record which table is live from now on.
pub fn note_table(tap: &Tap, table: &Table) {
    tap.say(
        "table_published",
        json!({
            "epoch": table.epoch.0,
            "digest": table.digest,
            "version": env!("CARGO_PKG_VERSION"),
            "levers": table.levers.all().iter().map(|of| of.id.to_string()).collect::<Vec<_>>(),
        }),
    );
}

/// How the index of the record does.
pub(super) fn index(counters: &index::Counters) -> Value {
    json!({
        "caught_up": counters.is_caught_up,
        "exchanges": counters.exchanges,
        "failures": counters.failures,
        "fault": counters.fault,
    })
}
