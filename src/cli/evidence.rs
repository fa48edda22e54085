//! `firedoor evidence`: whether the record is whole, and if not, where; its index, made again.

use super::progress::Progress;
use super::stored::data_dir;
use super::{Common, Exit, bundle, findings, hold, output, unseal};
use crate::evidence::disk::Folder;
use crate::evidence::index::{Fault, Follower};
use crate::evidence::key::PUBLIC_KEY_FILE;
use crate::evidence::verify::{Report, Span, verify};
use crate::evidence::{FOLDER, PublicKey};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

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
        output::json(&findings::told(report))
    } else {
        output::data(&findings::words(report))
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
