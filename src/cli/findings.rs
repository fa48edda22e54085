//! What a check of the record found, in words and for programs.

use super::output;
use crate::evidence::verify::{Bad, Report};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What a check of the record found, for programs.
pub(super) fn told(report: &Report) -> Value {
    json!({
        "good": report.is_good(),
        "store": report.store,
        "segments": report.segments,
        "records": report.records,
        "text_bytes": report.text_bytes,
        "bad": report.bad.iter().map(bad).collect::<Value>(),
        "bad_more": report.bad_more,
        "open": report.open,
        "torn_bytes": report.torn_bytes,
        "head": report.head.map(|(seq, chain)| json!({ "seq": seq, "chain": chain.to_string() })),
        "gaps": report.gaps,
        "gap_records": report.gap_records,
        "gap_bytes": report.gap_bytes,
        "recoveries": report.recoveries,
        "unfinished": report.unfinished,
        "retired": report.retired,
        "erased": report.erased,
        "erased_from": report.erased_from,
    })
}

fn bad(bad: &Bad) -> Value {
    json!({
        "segment": bad.segment,
        "seq": bad.seq,
        "frame": bad.frame,
        "wrong": bad.wrong.name(),
        "message": bad.wrong.to_string(),
    })
}

/// The same for people.
pub(super) fn words(report: &Report) -> String {
    let mut out = String::new();
    for bad in &report.bad {
        let _ = writeln!(out, "bad: {bad}");
    }
    if report.bad_more > 0 {
        let _ = writeln!(out, "bad: {} more", report.bad_more);
    }
    let verdict = if report.is_good() { "good" } else { "NOT GOOD" };
    let _ = writeln!(
        out,
        "{verdict}: {} records in {} segments, {} of text",
        report.records,
        report.segments,
        output::bytes(usize::try_from(report.text_bytes).unwrap_or(usize::MAX))
    );
    if let Some(open) = report.open {
        let _ = writeln!(out, "segment {open} is open: nothing proves yet that its end is the end");
    }
    if report.torn_bytes > 0 {
        let _ = writeln!(out, "{} bytes behind its last whole frame", report.torn_bytes);
    }
    if report.gaps > 0 {
        let _ = writeln!(
            out,
            "{} gaps are on record: {} records with {} bytes were lost",
            report.gaps, report.gap_records, report.gap_bytes
        );
    }
    if report.recoveries > 0 {
        let _ = writeln!(
            out,
            "{} ends that were not clean are on record; {} exchanges miss theirs",
            report.recoveries, report.unfinished
        );
    }
    let retired = report.retired.count();
    if retired > 0 {
        let _ = writeln!(out, "{retired} segments were retired");
    }
    if report.erased > 0 {
        let from = report.erased_from.count();
        let _ = writeln!(
            out,
            "{} records were erased from {from} segments, since routes keep them no longer",
            report.erased
        );
    }
    if let Some((seq, chain)) = report.head {
        let _ = writeln!(out, "head: record {seq}, chain {chain}");
    }
    out
}
