//! `firedoor evidence`: whether the record is whole, and if not, where.

use super::{Common, Exit, output, status};
use crate::evidence::disk::Folder;
use crate::evidence::key::PUBLIC_KEY_FILE;
use crate::evidence::verify::{Bad, Report, Span, verify};
use crate::evidence::{FOLDER, PublicKey};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Look after the record of what passed
#[derive(Debug, clap::Args)]
pub struct Evidence {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Check every record, seal and segment; name what is bad
    Verify(Verify),
}

/// Check every record, seal and segment; name what is bad
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor evidence verify\n  firedoor evidence verify --data-dir /var/lib/firedoor --key /mnt/safe/key.pub\n  firedoor evidence verify --from 120000 --to 130000 -o json\nIt reads files only and may run beside the gateway. Whole segments are checked, also for a range.\nExit codes: 0 nothing is bad, 1 something is, or the folder cannot be read."
)]
struct Verify {
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// From this record
    #[arg(long, value_name = "SEQ")]
    from: Option<u64>,
    /// To this record
    #[arg(long, value_name = "SEQ")]
    to: Option<u64>,
    /// Public keys in PEM that seals must be signed with [default: key.pub beside the segments]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Evidence {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match &self.what {
            What::Verify(command) => command.run(common),
        }
    }
}

impl Verify {
    fn run(&self, common: &Common) -> Exit {
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            output::notice("firedoor: --from lies behind --to");
            return Exit::Usage;
        }
        let data_dir = match self.data_dir.clone().map_or_else(|| status::data_dir(common), Ok) {
            Ok(data_dir) => data_dir,
            Err(exit) => return exit,
        };
        let path = data_dir.join(FOLDER);
        if !path.is_dir() {
            output::notice(&format!("firedoor: there is no evidence in {}", path.display()));
            return Exit::Failed;
        }
        let key_file = self.key.clone().unwrap_or_else(|| path.join(PUBLIC_KEY_FILE));
        let keys = match PublicKey::read(&key_file) {
            Ok(keys) => keys,
            Err(why) => {
                output::notice(&format!("firedoor: no key to verify with: {why}"));
                return Exit::Failed;
            }
        };
        let span = Span { from: self.from, to: self.to };
        let report = match verify(&Folder::at(&path), span, &keys) {
            Ok(report) => report,
            Err(error) => {
                output::notice(&format!("firedoor: cannot read {}: {error}", path.display()));
                return Exit::Failed;
            }
        };
        let said = if output::is_json(common) {
            output::json(&told(&report))
        } else {
            output::data(&words(&report))
        };
        if report.is_good() { said } else { Exit::Failed }
    }
}

fn told(report: &Report) -> Value {
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

fn words(report: &Report) -> String {
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
    if let Some((seq, chain)) = report.head {
        let _ = writeln!(out, "head: record {seq}, chain {chain}");
    }
    out
}
