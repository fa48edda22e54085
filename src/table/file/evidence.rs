//! `[evidence]`: how long the record is kept, and how much of the disk it may take.

use super::{EVIDENCE, integer};
use crate::table::reader::{Reader, Section, Value};
use crate::table::{EvidencePolicy, RouteKept};
use std::time::Duration;

/// Bytes of what a file writes in megabytes and gigabytes.
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

/// A hundred years.
const KEEP_DAYS_MAX: u16 = 36_500;
const DISK_GB_MAX: u64 = 1_000_000;

/// What a route says of its own records.
pub(super) fn of_route(reader: &mut Reader<'_>, route: &Section<'_, '_>) -> RouteKept {
    RouteKept {
        days: integer(reader, Some(route), "keep_days", 1..=u64::from(KEEP_DAYS_MAX)),
        bytes_max: integer::<u64>(reader, Some(route), "disk_gb", 1..=DISK_GB_MAX)
            .map(|gb| gb * GB),
    }
}

pub(super) fn policy(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> EvidencePolicy {
    let section = value.and_then(|value| reader.section(value, "[evidence]", EVIDENCE));
    let section = section.as_ref();
    let mut number = |key: &str, most: u64| integer::<u64>(reader, section, key, 1..=most);
    let usual = EvidencePolicy::default();
    EvidencePolicy {
        kept_for: number("keep_days", u64::from(KEEP_DAYS_MAX))
            .map_or(usual.kept_for, |days| Duration::from_hours(24 * days)),
        disk_bytes_max: number("disk_gb", DISK_GB_MAX).map_or(usual.disk_bytes_max, |gb| gb * GB),
        segment_bytes_max: number("segment_mb", 4096).map_or(usual.segment_bytes_max, |mb| mb * MB),
        segment_age_max: number("segment_minutes", 1440)
            .map_or(usual.segment_age_max, Duration::from_mins),
        queue_bytes_max: number("queue_mb", 16_384).map_or(usual.queue_bytes_max, |mb| mb * MB),
    }
}
