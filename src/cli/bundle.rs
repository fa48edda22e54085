//! `firedoor evidence export` and `import`: a part of the record for somebody else, and back.

use super::findings::words;
use super::progress::Progress;
use super::record::{Moment, moment};
use super::stored::data_dir;
use super::{Common, Exit, output};
use crate::control::clocks;
use crate::evidence::bundle::{self, Asked, Bundle, Fault, Made, Manifest};
use crate::evidence::disk::Folder;
use crate::evidence::key::KEY_FILE;
use crate::evidence::verify::Report;
use crate::evidence::{FOLDER, PublicKey, SealKey};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::BufWriter;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Write a part of the record into one signed file, for somebody else
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor evidence export --out inc-7.tar --since 6h --reason INC-7\n  firedoor evidence verify --bundle inc-7.tar --key key.pub\n  tar xf inc-7.tar && zstdcat evidence/*.zst | jq .\nWhole segments are taken, so that the chain and the seals can be checked: what else happened at that\ntime is in them too. It may run beside the gateway."
)]
pub(super) struct Export {
    /// The file to write; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Only what happened so long ago at most (2h, 7d), or at this moment (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only what happened so long ago at least, or at this moment or earlier
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Why it leaves the house; stands in the bundle
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who makes it [default: the user of this system]
    #[arg(long, value_name = "NAME", env = "FIREDOOR_AUTHOR")]
    author: Option<String>,
    /// The data folder, instead of the one that the configuration names
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Check a bundle and unpack it into an empty data folder, to search and replay it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor evidence import inc-7.tar --data-dir ./inc-7 --key key-of-the-gateway.pub\n  firedoor session ls --data-dir ./inc-7\nNothing is unpacked unless every record, seal and segment is as its signed manifest says."
)]
pub(super) struct Import {
    /// The bundle
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    /// The data folder to fill; it may have no record yet
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Public keys in PEM, one of which must have signed it [default: those in the bundle]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(&self, common: &Common) -> Exit {
        self.written(common).unwrap_or_else(|exit| exit)
    }

    fn written(&self, common: &Common) -> Result<Exit, Exit> {
        let data_dir = data_dir(common, self.data_dir.as_ref())?;
        let folder = data_dir.join(FOLDER);
        let key = SealKey::find(&data_dir).map_err(|error| error.to_string()).and_then(|key| {
            key.ok_or_else(|| {
                format!(
                    "there is no {}: a record is signed by the gateway that wrote it, with the key in its data folder; what was imported is passed on as the bundle that it came in",
                    data_dir.join(KEY_FILE).display()
                )
            })
        });
        let key = key.map_err(|why| {
            output::notice(&format!("firedoor: no key to sign with: {why}"));
            Exit::Failed
        })?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&self.out);
        let file = file.map_err(|error| {
            output::notice(&format!("firedoor: cannot make {}: {error}", self.out.display()));
            Exit::Failed
        })?;
        let ms = |moment: &Moment| moment.unix_ms();
        let asked = Asked {
            since_unix_ms: self.since.as_ref().map(ms),
            until_unix_ms: self.until.as_ref().map(ms),
        };
        let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
        let made = Made {
            at_unix_ms: clocks::unix_ms(),
            by: self.author.clone().or_else(user).unwrap_or_else(|| "unknown".to_owned()),
            reason: self.reason.clone(),
        };
        let mut progress = Progress::new();
        let mut tell = |done, all| progress.tell(|| percent(done, all));
        let out = BufWriter::with_capacity(1 << 20, &file);
        let written = bundle::write(&Folder::at(&folder), &key, (&asked, &made), out, &mut tell)
            .and_then(|manifest| match file.sync_all() {
                Ok(()) => Ok(manifest),
                Err(error) => Err(Fault::Io(self.out.display().to_string(), error)),
            });
        progress.end();
        match written {
            Ok(manifest) => Ok(self.said(common, &manifest)),
            Err(fault) => {
                // Half a bundle is none.
                drop(std::fs::remove_file(&self.out));
                output::notice(&format!("firedoor: {fault}"));
                Err(Exit::Failed)
            }
        }
    }

    fn said(&self, common: &Common, manifest: &Manifest) -> Exit {
        if output::is_json(common) {
            return output::json(&json!({ "file": self.out, "manifest": manifest }));
        }
        let bytes: u64 = manifest.segments.iter().map(|part| part.bytes).sum();
        output::data(&format!(
            "{}: {} segments, {}, up to record {} (chain {})\n",
            self.out.display(),
            manifest.segments.len(),
            output::bytes(usize::try_from(bytes).unwrap_or(usize::MAX)),
            manifest.head_seq,
            manifest.head_chain,
        ))
    }
}

impl Import {
    pub(super) fn run(&self) -> Result<PathBuf, Exit> {
        let (bundle, keys) = opened(&self.bundle, self.key.as_deref())?;
        let folder = self.data_dir.join(FOLDER);
        let mut progress = Progress::new();
        let mut tell = |done, all| progress.tell(|| percent(done, all));
        let report = bundle.unpack(&folder, &keys, &mut tell);
        progress.end();
        let report = report.map_err(|fault| failed(&self.bundle, &fault))?;
        if !report.is_good() {
            output::notice(&words(&report));
            return Err(Exit::Failed);
        }
        output::notice(&format!(
            "{} records in {}; made by {} for: {}",
            report.records,
            folder.display(),
            bundle.manifest.by,
            bundle.manifest.reason
        ));
        Ok(self.data_dir.clone())
    }
}

/// Opens a bundle and checks it against the keys in `key`, or against its own.
pub(super) fn checked(path: &Path, key: Option<&Path>) -> Result<(Bundle, Report), Exit> {
    let (bundle, keys) = opened(path, key)?;
    let report = bundle.verify(&keys).map_err(|fault| failed(path, &fault))?;
    Ok((bundle, report))
}

/// Opens a bundle, and names the keys that count.
fn opened(path: &Path, key: Option<&Path>) -> Result<(Bundle, Vec<PublicKey>), Exit> {
    let trusted = match key.map(PublicKey::read) {
        None => None,
        Some(Ok(keys)) => Some(keys),
        Some(Err(why)) => {
            output::notice(&format!("firedoor: no key to verify with: {why}"));
            return Err(Exit::Failed);
        }
    };
    let bundle = Bundle::open(path, trusted.as_deref()).map_err(|fault| failed(path, &fault))?;
    if trusted.is_none() {
        output::notice(
            "firedoor: checked against the key that the bundle brings: name the gateway's own with --key to know whose it is",
        );
    }
    let keys = trusted.unwrap_or_else(|| bundle.own_keys.clone());
    Ok((bundle, keys))
}

fn failed(bundle: &Path, fault: &Fault) -> Exit {
    output::notice(&format!("firedoor: {}: {fault}", bundle.display()));
    Exit::Failed
}

fn percent(done: u64, all: u64) -> String {
    format!("{} %", (done * 100).checked_div(all).unwrap_or(100))
}
