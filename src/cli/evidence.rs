//! `firedoor evidence`: whether the record is whole, and if not, where; its index, made again.

use super::progress::Progress;
use super::{Common, Exit, bundle, hold, output, status, unseal};
use crate::evidence::disk::Folder;
use crate::evidence::index::{Fault, Follower, Index};
use crate::evidence::key::PUBLIC_KEY_FILE;
use crate::evidence::query::Wrong;
use crate::evidence::verify::{Bad, Report, Span, verify};
use crate::evidence::{FOLDER, PublicKey};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

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
    /// Bring the index up to date, or make it anew
    Reindex(Reindex),
    /// Write a part of the record into one signed file, for somebody else
    Export(bundle::Export),
    /// Check a bundle and unpack it into an empty data folder, to search and replay it
    Import(bundle::Import),
    /// Keep evidence beyond its retention
    Hold(hold::Place),
    /// List what is held
    Holds,
    /// Release a hold
    Release(hold::Release),
    /// Show what an exchange was before rules took anything out of it, with the key for it
    Unseal(unseal::Unseal),
}

/// Bring the index up to date, or make it anew
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It may run beside the gateway, and be stopped at any time: called again it goes on where it was.\nAn index that is damaged or of another version is made anew in any case. Nothing is lost with it:\nall of it comes from the segments."
)]
struct Reindex {
    /// Begin with nothing
    #[arg(long)]
    anew: bool,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Check every record, seal and segment; name what is bad
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor evidence verify\n  firedoor evidence verify --data-dir /var/lib/firedoor --key /mnt/safe/key.pub\n  firedoor evidence verify --from 120000 --to 130000 -o json\n  firedoor evidence verify --bundle inc-7.tar --key key.pub\nIt reads files only and may run beside the gateway. Whole segments are checked, also for a range.\nExit codes: 0 nothing is bad, 1 something is, or the folder cannot be read."
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
    /// Check a bundle that `evidence export` made, not a data folder
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data_dir", "from", "to"])]
    bundle: Option<PathBuf>,
}

impl Evidence {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match &self.what {
            What::Verify(command) => command.run(common),
            What::Reindex(command) => command.run(common).unwrap_or_else(|exit| exit),
            What::Export(command) => command.run(common),
            What::Import(command) => {
                let reindexed =
                    |data_dir| Reindex { anew: false, data_dir: Some(data_dir) }.run(common);
                command.run().and_then(reindexed).unwrap_or_else(|exit| exit)
            }
            What::Hold(command) => command.run(common),
            What::Holds => hold::list(common),
            What::Release(command) => command.run(common),
            What::Unseal(command) => command.run(common).unwrap_or_else(|exit| exit),
        }
    }
}

impl Verify {
    fn run(&self, common: &Common) -> Exit {
        if let Some(path) = &self.bundle {
            return match bundle::checked(path, self.key.as_deref()) {
                Ok((_, report)) => said(common, &report),
                Err(exit) => exit,
            };
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from > to
        {
            output::notice("firedoor: --from lies behind --to");
            return Exit::Usage;
        }
        let data_dir = match data_dir(common, self.data_dir.as_ref()) {
            Ok(data_dir) => data_dir,
            Err(exit) => return exit,
        };
        let path = data_dir.join(FOLDER);
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
        said(common, &report)
    }
}

/// Says what was found.
fn said(common: &Common, report: &Report) -> Exit {
    let said = if output::is_json(common) {
        output::json(&told(report))
    } else {
        output::data(&words(report))
    };
    if report.is_good() { said } else { Exit::Failed }
}

impl Reindex {
    fn run(&self, common: &Common) -> Result<Exit, Exit> {
        let data_dir = data_dir(common, self.data_dir.as_ref())?;
        let failed = |fault: Fault| {
            output::notice(&format!("firedoor: {fault}; called again it goes on where it was"));
            Exit::Failed
        };
        let mut follower = Follower::open(&data_dir).map_err(failed)?;
        if self.anew {
            follower.reset().map_err(failed)?;
        }
        let began = Instant::now();
        let all = follower.behind();
        let (mut disk, mut text, mut exchanges, mut damaged, mut forgotten) = (0, 0, 0, 0, 0);
        let mut progress = Progress::new();
        loop {
            let step = follower.step().map_err(failed)?;
            disk += step.disk_bytes;
            text += step.text_bytes;
            exchanges += step.exchanges;
            damaged += step.damaged;
            forgotten += step.forgotten;
            progress.tell(|| far(disk, all, exchanges, began.elapsed()));
            if step.is_caught_up {
                break;
            }
        }
        progress.end();
        let seconds = began.elapsed().as_secs_f64();
        if output::is_json(common) {
            return Ok(output::json(&json!({
                "exchanges": exchanges,
                "disk_bytes": disk,
                "text_bytes": text,
                "damaged_frames": damaged,
                "forgotten": forgotten,
                "seconds": seconds,
            })));
        }
        let mut out = format!(
            "{exchanges} exchanges indexed from {} of text in {seconds:.1} s\n",
            output::bytes(usize::try_from(text).unwrap_or(usize::MAX))
        );
        if forgotten > 0 {
            let _ = writeln!(out, "{forgotten} taken out, whose segments are gone");
        }
        if damaged > 0 {
            let _ = writeln!(
                out,
                "{damaged} damaged frames were passed over: `firedoor evidence verify` names them"
            );
        }
        Ok(output::data(&out))
    }
}

/// How far the index is.
fn far(done: u64, all: u64, exchanges: u64, took: Duration) -> String {
    let share = if all == 0 { 1.0 } else { (done as f64 / all as f64).min(1.0) };
    let left = if share > 0.0 { took.as_secs_f64() * (1.0 / share - 1.0) } else { 0.0 };
    format!(
        "{:3.0} %  {exchanges} exchanges  {:.0} a second  about {left:.0} s left",
        share * 100.0,
        exchanges as f64 / took.as_secs_f64().max(0.001),
    )
}

/// The record of a data folder, to be read.
pub(super) struct Stored {
    pub(super) index: Index,
    pub(super) disk: Folder,
}

impl Stored {
    /// Opens what a command reads; says what is missing, and whether the index is behind.
    pub(super) fn open(common: &Common, folder: Option<&PathBuf>) -> Result<Stored, Exit> {
        let data_dir = data_dir(common, folder)?;
        let disk = Folder::at(&data_dir.join(FOLDER));
        let index = Index::open(&data_dir).map_err(|fault| {
            let what = match fault {
                Fault::Missing => "make it with",
                Fault::Unusable(_) | Fault::Unavailable(_) | Fault::Interrupted => "mend it with",
            };
            output::notice(&format!(
                "firedoor: {fault} in {}; {what} `firedoor evidence reindex`",
                data_dir.display()
            ));
            Exit::Failed
        })?;
        let behind = index.behind(&disk);
        if behind > BEHIND_BYTES {
            output::notice(&format!(
                "firedoor: the index is {} behind the record; `firedoor evidence reindex` brings it \
                 up to date",
                output::bytes(usize::try_from(behind).unwrap_or(usize::MAX))
            ));
        }
        Ok(Stored { index, disk })
    }

    /// Says why a search failed.
    #[expect(clippy::unused_self, reason = "what cannot be used is this")]
    pub(super) fn unusable(&self, fault: &Fault) -> Exit {
        output::notice(&format!("firedoor: {fault}; `firedoor evidence reindex` makes it again"));
        Exit::Failed
    }

    /// A moment for people: UTC, to the second.
    #[expect(clippy::unused_self, reason = "so that a time zone has a place to come from")]
    pub(super) fn moment(&self, unix_ms: u64) -> String {
        let moment = i64::try_from(unix_ms).ok();
        let moment = moment.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        moment.map_or_else(
            || "-".to_owned(),
            |moment| moment.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        )
    }
}

/// What a running gateway may be behind by without a word.
const BEHIND_BYTES: u64 = 1 << 20;

/// The data folder that has a record.
pub(super) fn data_dir(common: &Common, named: Option<&PathBuf>) -> Result<PathBuf, Exit> {
    let data_dir = named.cloned().map_or_else(|| status::data_dir(common), Ok)?;
    let path = data_dir.join(FOLDER);
    if path.is_dir() {
        return Ok(data_dir);
    }
    output::notice(&format!(
        "firedoor: there is no evidence in {}; name the data folder with --data-dir, or its file \
         with --config",
        path.display()
    ));
    Err(Exit::Failed)
}

/// Says what is wrong with a filter, and where.
pub(super) fn wrong_filter(wrong: &Wrong) -> Exit {
    output::notice(&format!("firedoor: {wrong}\n  {}", wrong.pointed().replace('\n', "\n  ")));
    Exit::Usage
}

/// Now, in milliseconds since the Unix epoch.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
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
    if let Some((seq, chain)) = report.head {
        let _ = writeln!(out, "head: record {seq}, chain {chain}");
    }
    out
}
