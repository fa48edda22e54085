//! What commands over the record share: which exchanges, by which rules, and that they can be
//! interrupted.

use super::{Common, Exit, check, output, status, unseal};
use crate::control::clocks;
use crate::evidence::exchange::Wants;
use crate::evidence::{line, query};
use crate::replay::gather::Select;
use crate::replay::rules::{Candidate, Rules};
use crate::replay::walk;
use crate::table::Table;
use crate::table::packs;
use jiff::Timestamp;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which exchanges of the record
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The data folder [default: the one that the configuration names]
    #[arg(long, value_name = "FOLDER", env = "FIREDOOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Only this session
    #[arg(long, value_name = "ID")]
    session: Option<String>,
    /// Only this exchange
    #[arg(long, value_name = "ID")]
    exchange: Option<String>,
    /// Only what began so long ago at most (2h, 7d), or at this moment (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only what began before this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Only of this app
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Also read the texts of routes with `capture = "sealed"` that this file with a secret key of age opens
    #[arg(long, short, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// A moment as lines of the record have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moment(String);

impl Moment {
    /// In milliseconds since the Unix epoch.
    pub(super) fn unix_ms(&self) -> u64 {
        let at = self.0.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
        u64::try_from(at).unwrap_or(0)
    }
}

pub(super) fn moment(text: &str) -> Result<Moment, String> {
    let at = query::moment(text, clocks::unix_ms());
    at.map(|at| Moment(line::moment(at))).ok_or_else(|| {
        "a time is how long ago, such as 30m, 2h, 7d, or a moment, such as 2026-11-28T10:00:00Z"
            .to_owned()
    })
}

impl Which {
    pub(super) fn select(&self) -> Select {
        let text = |moment: &Option<Moment>| moment.as_ref().map(|moment| moment.0.clone());
        Select {
            session: self.session.clone(),
            exchange: self.exchange.clone(),
            since: text(&self.since),
            until: text(&self.until),
            route: self.route.clone(),
            app: self.app.clone(),
        }
    }

    /// What of them; says what is wrong with the identity.
    pub(super) fn wants(&self) -> Result<Wants, Exit> {
        Ok(Wants { identity: unseal::given(self.identity.as_deref())?, ..Wants::default() })
    }

    /// The folder of segments; says what is wrong where there is none.
    pub(super) fn folder(&self, common: &Common) -> Result<PathBuf, Exit> {
        let data_dir = match &self.data_dir {
            Some(folder) => folder.clone(),
            None => status::data_dir(common)?,
        };
        if let Some(key) = crate::admin::folder::known_digest_key(&data_dir) {
            // What was hidden as its hash then is hidden as the same one now.
            crate::filter::set_digest_key(key);
        }
        let folder = walk::folder(&data_dir);
        if !folder.is_dir() {
            output::notice(&format!(
                "firedoor: there is no record at {}: name the data folder of a gateway with --data-dir",
                folder.display()
            ));
            return Err(Exit::Failed);
        }
        Ok(folder)
    }
}

/// By which rules
#[derive(Clone, Debug, clap::Args)]
pub(super) struct By {
    /// Packs of this folder in place of those of their names
    #[arg(long, value_name = "FOLDER")]
    filters: Option<PathBuf>,
    /// This pack too, on every route if none names it; may be given several times
    #[arg(long, value_name = "NAME")]
    pack: Vec<String>,
    /// The pack in this file in place of the one of its name, or on every route if none names it
    #[arg(long, value_name = "FILE")]
    rule_file: Vec<PathBuf>,
}

impl By {
    /// The rules; says what is wrong with them.
    pub(super) fn rules(&self, common: &Common) -> Result<Rules, Exit> {
        let table = table(common)?;
        let mut candidates = Vec::new();
        for file in &self.rule_file {
            candidates.push(Candidate { pack: from_file(file)?.pack.clone(), is_everywhere: true });
        }
        for name in &self.pack {
            let Some(found) = table.packs.get(name) else {
                output::notice(&format!("firedoor: {}", table.packs.missing(name)));
                return Err(Exit::Usage);
            };
            candidates.push(Candidate { pack: found.pack.clone(), is_everywhere: true });
        }
        if let Some(folder) = &self.filters {
            for file in pack_files(folder)? {
                let pack = from_file(&file)?.pack.clone();
                candidates.push(Candidate { pack, is_everywhere: false });
            }
        }
        Rules::new(table, candidates).map_err(|why| {
            output::notice(&format!("firedoor: the candidate rules do not go together: {why}"));
            Exit::Configuration
        })
    }
}

fn pack_files(folder: &Path) -> Result<Vec<PathBuf>, Exit> {
    let failed = |error: std::io::Error| {
        output::notice(&format!("firedoor: {}: {error}", folder.display()));
        Exit::Usage
    };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .collect();
    files.sort();
    Ok(files)
}

/// The table of the configuration; says what is wrong with it.
pub(super) fn table(common: &Common) -> Result<Arc<Table>, Exit> {
    let (_, prepared) = check::prepared(common);
    prepared.table.map(Arc::new).ok_or_else(|| {
        check::report(&prepared.diagnostics);
        Exit::Configuration
    })
}

/// The pack in a file; says what is wrong with it.
pub(super) fn from_file(file: &Path) -> Result<Arc<packs::Compiled>, Exit> {
    let (found, diagnostics) = packs::from_file(file, &crate::control::lookup);
    check::report(&diagnostics);
    found.ok_or(Exit::Configuration)
}

/// Set when the command is to end early, with what it has.
pub(super) fn interruption() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    // Without it Ctrl-C ends the process at once, which harms nothing but the report.
    let _ = std::thread::Builder::new().name("firedoor-signals".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime
            && runtime.block_on(tokio::signal::ctrl_c()).is_ok()
        {
            set.store(true, Ordering::Relaxed);
        }
    });
    flag
}

/// Goes on with a walk, or ends it.
pub(super) fn go_on(does: bool) -> ControlFlow<()> {
    if does { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
}

/// Text of others on one line of a terminal.
pub(super) fn line(text: &str, chars_max: usize) -> String {
    let mut shown: String =
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(chars_max).collect();
    if text.chars().count() > chars_max {
        shown.push('…');
    }
    shown
}

/// Writes a file that only its owner reads: it has texts of the record in it.
pub(super) fn write_private(path: &Path, text: &[u8]) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut next = path.as_os_str().to_owned();
    next.push(".next");
    let next = PathBuf::from(next);
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(text)?;
    drop(file);
    std::fs::rename(next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_as_the_record_writes_them() {
        assert_eq!(moment("2026-11-28T10:00:00Z").unwrap().0, "2026-11-28T10:00:00.000Z");
        assert_eq!(moment("2026-11-28T11:00:00.5+01:00").unwrap().0, "2026-11-28T10:00:00.500Z");
        assert!(moment("2h").unwrap().0 < moment("1m").unwrap().0);
        assert!(moment("yesterday").is_err());
    }

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(line("a\n\u{1b}[31mb", 20), "a  [31mb");
        assert_eq!(line("abcdef", 3), "abc…");
    }
}
