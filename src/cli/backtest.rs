//! `firedoor backtest`: what a pack would have done to the recorded traffic.

use super::record::{Which, from_file, line, table, write_private};
use super::{Common, Exit, output, progress};
use crate::replay::backtest::{self, Options, Report};
use crate::replay::gather::{PENDING_BYTES_MAX, Select};
use crate::table::packs::Compiled;
use crate::table::rules::{Pack, Rulebook};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// Run a pack over the recorded traffic, before it is put in force
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Rules count as in force whatever their mode. Every text is judged that the gate would judge. Samples have texts of the\nrecord in them: --samples 0 leaves them out.\nExamples:\n  firedoor backtest --pack secrets --since 7d\n  firedoor backtest --pack ./candidate.toml --report report.json     Ctrl-C leaves a report of what was read ..\n  firedoor backtest --pack ./candidate.toml --resume report.json     .. from which it goes on\nExit codes: 0 done, 3 interrupted"
)]
pub struct Backtest {
    #[command(flatten)]
    which: Which,
    /// A pack by name, or a file of one; may be given several times
    #[arg(long, required = true, value_name = "NAME|FILE")]
    pack: Vec<String>,
    /// How many threads read and judge [default: as many as there are cores]
    #[arg(long, value_name = "NUMBER")]
    threads: Option<usize>,
    /// The most samples of a rule
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    samples: usize,
    /// Also write the report here, as JSON, from which a run that was interrupted goes on
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Go on from this report, and write it anew
    #[arg(long, value_name = "FILE", conflicts_with = "report")]
    resume: Option<PathBuf>,
}

impl Backtest {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match self.tried(common) {
            Ok(exit) | Err(exit) => exit,
        }
    }

    fn tried(&self, common: &Common) -> Result<Exit, Exit> {
        let book = self.book(common)?;
        let folder = self.which.folder(common)?;
        let asked = self.which.select();
        let before = match &self.resume {
            Some(file) => Some(read(file, &book, &asked)?),
            None => None,
        };
        let select = before.as_ref().map_or(asked, |before| before.selected.clone());
        let options = Options {
            folder: folder.clone(),
            select,
            threads: progress::threads(self.threads),
            identity: self.which.wants()?.identity,
            samples_max: self.samples,
            pending_bytes_max: PENDING_BYTES_MAX,
        };
        let seconds_before = before.as_ref().map_or(0.0, |before| before.seconds);
        let began = Instant::now();
        let far = backtest::Progress::default();
        let ran = progress::watched(
            &far.stop,
            || told(&far, began.elapsed().as_secs_f64()),
            || backtest::run(&book, &options, &far, before),
        );
        let mut report = ran.map_err(|error| {
            output::notice(&format!("firedoor: {}: {error}", folder.display()));
            Exit::Failed
        })?;
        report.seconds = seconds_before + began.elapsed().as_secs_f64();
        let value = serde_json::to_value(&report).unwrap_or_default();
        if let Some(file) = self.resume.as_ref().or(self.report.as_ref()) {
            let text = format!("{value:#}\n");
            write_private(file, text.as_bytes()).map_err(|error| {
                output::notice(&format!("firedoor: {}: {error}", file.display()));
                Exit::Failed
            })?;
        }
        let said = if output::is_json(common) {
            output::json(&value)
        } else {
            output::data(&screen(&report))
        };
        if !report.is_partial {
            return Ok(said);
        }
        let file = self.resume.as_ref().or(self.report.as_ref());
        let next = file.map_or_else(
            || "; with --report FILE it could be gone on with".to_owned(),
            |file| format!("; go on with --resume {}", file.display()),
        );
        output::notice(&format!(
            "firedoor: interrupted; this is of the segments that were read{next}"
        ));
        Ok(Exit::Partly)
    }

    /// The rules, all in force.
    fn book(&self, common: &Common) -> Result<Arc<Rulebook>, Exit> {
        let mut packs: Vec<Arc<Pack>> = Vec::new();
        for name in &self.pack {
            let found = pack(common, name)?;
            packs.push(Arc::clone(&found.pack));
        }
        backtest::book(&packs).map_err(|why| {
            output::notice(&format!("firedoor: {why}"));
            Exit::Configuration
        })
    }
}

/// A pack by name or file.
fn pack(common: &Common, name: &str) -> Result<Arc<Compiled>, Exit> {
    let path = Path::new(name);
    if path.components().count() > 1 || path.extension().is_some_and(|ending| ending == "toml") {
        return from_file(path);
    }
    let table = table(common)?;
    table.packs.get(name).ok_or_else(|| {
        output::notice(&format!("firedoor: {}", table.packs.missing(name)));
        Exit::Usage
    })
}

/// The report to go on from, with what was selected then: that may be left out.
fn read(file: &Path, book: &Rulebook, asked: &Select) -> Result<Report, Exit> {
    let failed = |why: String| {
        output::notice(&format!("firedoor: cannot go on from {}: {why}", file.display()));
        Exit::Usage
    };
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    let anew = |why: String| failed(format!("{why}: run without --resume"));
    let report = Report::parse(&text).map_err(anew)?;
    report.goes_on(book).map_err(anew)?;
    if *asked != Select::default() && *asked != report.selected {
        let why = "it is of another selection: leave --since and the others out, it has them";
        return Err(failed(why.to_owned()));
    }
    Ok(report)
}

fn told(far: &backtest::Progress, seconds: f64) -> String {
    let (all, read) = (far.disk_bytes_all.load(Relaxed), far.disk_bytes.load(Relaxed));
    let text = far.text_bytes.load(Relaxed);
    let share = read as f64 / all.max(1) as f64;
    let speed =
        (read.saturating_sub(far.disk_bytes_before.load(Relaxed))) as f64 / seconds.max(0.001);
    let left = all.saturating_sub(read) as f64 / speed.max(1.0);
    format!(
        "backtest: {:.0} %  {} of text, {:.0} MB/s  {} exchanges  {} hits  {left:.0} s left",
        share * 100.0,
        size(text),
        text as f64 / 1e6 / seconds.max(0.001),
        far.exchanges.load(Relaxed),
        far.hits.load(Relaxed),
    )
}

fn size(bytes: u64) -> String {
    output::bytes(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn percent(part: u64, whole: u64) -> String {
    format!("{:.2} %", part as f64 * 100.0 / whole.max(1) as f64)
}

fn screen(report: &Report) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{}: {} exchanges, {} hit ({}){}",
        report.packs.join(", "),
        report.exchanges,
        report.hit,
        percent(report.hit, report.exchanges),
        if report.is_partial { "; PARTIAL: interrupted" } else { "" }
    );
    let _ = writeln!(
        out,
        "{} of text in {:.1} s, {:.0} MB/s; {} read",
        size(report.text_bytes),
        report.seconds,
        report.text_bytes as f64 / 1e6 / report.seconds.max(0.001),
        size(report.disk_bytes),
    );
    if !report.rules.is_empty() {
        let _ = writeln!(
            out,
            "\n{:<40} {:>10} {:>10} {:>9} {:>9} {:>9}",
            "RULE", "HITS", "EXCHANGES", "SHARE", "THEN TOO", "THEN ONLY"
        );
    }
    for (rule, count) in &report.rules {
        let hits: u64 = count.hits.values().sum();
        let _ = writeln!(
            out,
            "{:<40} {hits:>10} {:>10} {:>9} {:>9} {:>9}",
            line(rule, 40),
            count.exchanges,
            percent(count.exchanges, report.exchanges),
            count.then_too,
            count.then_only
        );
    }
    for (title, shares) in [("APP", &report.apps), ("ROUTE", &report.routes)] {
        if shares.is_empty() {
            continue;
        }
        let _ = writeln!(
            out,
            "\n{title:<40} {:>10} {:>10} {:>9} {:>9}",
            "EXCHANGES", "HIT", "SHARE", "ENDED"
        );
        for (name, share) in shares {
            let _ = writeln!(
                out,
                "{:<40} {:>10} {:>10} {:>9} {:>9}",
                line(name, 40),
                share.exchanges,
                share.hit,
                percent(share.hit, share.exchanges),
                share.ended
            );
        }
    }
    if !report.verdicts.is_empty() {
        let _ =
            writeln!(out, "\n{:<20} {:<20} {:>10}", "VERDICT THEN", "BY THESE RULES", "EXCHANGES");
        for one in &report.verdicts {
            let _ =
                writeln!(out, "{:<20} {:<20} {:>10}", line(&one.then, 20), one.now, one.exchanges);
        }
    }
    if !report.samples.is_empty() {
        out.push_str("\nSAMPLES\n");
    }
    for one in &report.samples {
        let _ = writeln!(
            out,
            "{} {} {} {}\n    {}>>>{}<<<{}",
            line(&one.rule, 60),
            one.action,
            one.channel,
            one.exchange,
            line(&one.before, 80),
            line(&one.matched, 80),
            line(&one.after, 80)
        );
    }
    notes(report, &mut out);
    out
}

/// What was not judged, and why.
fn notes(report: &Report, out: &mut String) {
    let mut notes = Vec::new();
    for (reason, count) in &report.unjudged {
        notes.push(format!("{count} exchanges not judged: {reason}"));
    }
    for rule in &report.not_asked {
        notes.push(format!("{rule} asks a judge outside of the gate, and was not asked"));
    }
    if report.texts_unjudged > 0 {
        notes.push(format!("{} texts could not be judged", report.texts_unjudged));
    }
    if report.incomplete > 0 {
        notes.push(format!("{} exchanges are not whole on record", report.incomplete));
    }
    if report.damaged_bytes > 0 {
        notes.push(format!(
            "{} of the record are damaged; `firedoor evidence verify` names the places",
            size(report.damaged_bytes)
        ));
    }
    if report.too_large > 0 {
        notes.push(format!("{} exchanges are too large to be gathered", report.too_large));
    }
    if report.segments_gone > 0 {
        notes.push(format!("{} segments were retired meanwhile", report.segments_gone));
    }
    if !notes.is_empty() {
        let _ = writeln!(out, "\n{}", notes.join("\n"));
    }
}
