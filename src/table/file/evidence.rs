//! `[evidence]`: how long the record is kept, and how much of the disk it may take.

use super::{EVIDENCE, integer};
use crate::table::EvidencePolicy;
use crate::table::reader::{Reader, Value};
use std::time::Duration;

/// Bytes of what a file writes in megabytes and gigabytes.
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

pub(super) fn policy(reader: &mut Reader<'_>, value: Option<&Value<'_>>) -> EvidencePolicy {
    let section = value.and_then(|value| reader.section(value, "[evidence]", EVIDENCE));
    let section = section.as_ref();
    let mut number = |key: &str, range: std::ops::RangeInclusive<u64>, default: u64| {
        integer::<u64>(reader, section, key, range).unwrap_or(default)
    };
    EvidencePolicy {
        kept_for: Duration::from_hours(24 * number("keep_days", 1..=36_500, 30)),
        disk_bytes_max: GB * number("disk_gb", 1..=1_000_000, 20),
        segment_bytes_max: MB * number("segment_mb", 1..=4096, 128),
        segment_age_max: Duration::from_mins(number("segment_minutes", 1..=1440, 60)),
        queue_bytes_max: MB * number("queue_mb", 1..=16_384, 64),
    }
}
