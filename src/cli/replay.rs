//! `firedoor replay`: recorded exchanges again, and what would have been otherwise.

use super::live::Live;
use super::progress::Progress;
use super::record::{By, Which, go_on, interruption, line, write_private};
use super::{Common, Exit, output};
use crate::evidence::exchange::Exchange;
use crate::replay::compare::{Compared, Fared, compare};
use crate::replay::engine::replay;
use crate::replay::gather;
use crate::replay::html;
use crate::replay::tally::{Listing, Tally};
use crate::replay::walk::{self, Walked};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Run recorded exchanges again, offline, through the same code
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without candidate rules it shows that the same exchange gives the same verdict and the same bytes, by the rules of the\nconfiguration; with them it shows what would have been cut, redacted or missed.\nExamples:\n  firedoor replay --since 2h\n  firedoor replay --session s-17 --rule-file secrets.toml --html report.html\n  firedoor replay --since 7d --config candidate.toml --data-dir /var/lib/firedoor\n  firedoor replay --session s-17 --live anthropic/claude-haiku-4-5 --max-usd 0.5\nExit codes: 0 done, 1 no candidate was given and something differs, 3 interrupted"
)]
pub struct Replay {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    by: By,
    #[command(flatten)]
    live: Live,
    /// List the exchanges that did not change, too
    #[arg(long)]
    all: bool,
    /// The most exchanges that are listed; all are counted
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    limit: usize,
    /// Also write a report for people, in one file that needs no other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Replay {
    pub(super) fn run(&self, common: &Common) -> Exit {
        if self.live.is_asked() {
            return self.live.run(&self.which, common);
        }
        let rules = match self.by.rules(common) {
            Ok(rules) => rules,
            Err(exit) => return exit,
        };
        let (folder, wants) = match (self.which.folder(common), self.which.wants()) {
            (Ok(folder), Ok(wants)) => (folder, wants),
            (Err(exit), _) | (_, Err(exit)) => return exit,
        };
        let (stop, mut progress) = (interruption(), Progress::new());
        let listing = Listing { all: self.all, most: self.limit, bytes_max: None };
        let mut run = Tally::new(listing);
        let mut see = |recorded: Exchange, walked: &Walked| {
            run.take(compare(&recorded, &replay(&recorded, &rules)));
            progress.tell(|| {
                format!(
                    "replay: {} exchanges, {} differ, {} read",
                    run.exchanges(),
                    run.count(Fared::Differs),
                    output::bytes(usize::try_from(walked.disk_bytes).unwrap_or(usize::MAX))
                )
            });
            go_on(!stop.load(Ordering::Relaxed))
        };
        let walked = match walk::walk(
            &folder,
            &self.which.select(),
            wants,
            gather::PENDING_BYTES_MAX,
            &mut see,
        ) {
            Ok(walked) => walked,
            Err(error) => {
                output::notice(&format!("firedoor: {}: {error}", folder.display()));
                return Exit::Failed;
            }
        };
        progress.end();
        let summary = run.summary(&walked, rules.has_candidates());
        if let Some(path) = &self.html {
            let page = html::page(&summary, run.listed());
            if let Err(error) = write_private(path, page.as_bytes()) {
                output::notice(&format!("firedoor: {}: {error}", path.display()));
                return Exit::Failed;
            }
        }
        let said = if output::is_json(common) {
            output::json(&json!({ "summary": summary, "exchanges": run.listed() }))
        } else {
            output::data(&screen(&run, &walked))
        };
        if walked.is_partial {
            output::notice("firedoor: interrupted; what is told is of the part that was run");
            return Exit::Partly;
        }
        let is_broken = !rules.has_candidates() && run.count(Fared::Differs) > 0;
        if is_broken { Exit::Failed } else { said }
    }
}

fn screen(run: &Tally, walked: &Walked) -> String {
    let mut out = String::new();
    for one in run.listed() {
        out.push_str(&told(one));
    }
    if run.unlisted() > 0 {
        let _ = writeln!(out, "and {} more (--limit)", run.unlisted());
    }
    let _ = writeln!(
        out,
        "{} exchanges: {} same, {} differ, {} run in part, {} not run",
        run.exchanges(),
        run.count(Fared::Same),
        run.count(Fared::Differs),
        run.count(Fared::Partly),
        run.count(Fared::NotRun)
    );
    for (name, count) in run.reasons() {
        let _ = writeln!(out, "  {count:>8} {name}");
    }
    for (then, now, count) in run.changed_verdicts() {
        let _ = writeln!(out, "  {count:>8} verdict {then} -> {now}");
    }
    if walked.damaged_bytes > 0 {
        let _ = writeln!(
            out,
            "  {} of the record are damaged; `firedoor evidence verify` names the places",
            output::bytes(usize::try_from(walked.damaged_bytes).unwrap_or(usize::MAX))
        );
    }
    if walked.given_up > 0 {
        let _ = writeln!(out, "  {} exchanges are too large to be gathered", walked.given_up);
    }
    out
}

/// One exchange, some lines.
fn told(one: &Compared) -> String {
    let mut out = String::new();
    let fared = match one.fared {
        Fared::Same => "same",
        Fared::Differs => "DIFFERS",
        Fared::Partly => "in part",
        Fared::NotRun => "not run",
    };
    let none = || "-".to_owned();
    let _ = writeln!(
        out,
        "{}  {}  {fared}  {} {} {}",
        one.exchange,
        one.began,
        line(one.app.as_deref().unwrap_or("-"), 40),
        line(one.route.as_deref().unwrap_or("-"), 40),
        line(one.target.as_deref().unwrap_or("-"), 60),
    );
    if let Some(why) = &one.why {
        let _ = writeln!(out, "    {}", line(&why.message, 200));
    }
    if !one.verdict.is_none() {
        let then = one.verdict.then.clone().unwrap_or_else(none);
        let now = one.verdict.now.clone().unwrap_or_else(none);
        let _ = writeln!(out, "    verdict  {then} -> {now}");
    }
    if !one.outcome.is_none() || !one.status.is_none() {
        let _ = writeln!(
            out,
            "    outcome  {} {} -> {} {}",
            one.outcome.then, one.status.then, one.outcome.now, one.status.now
        );
    }
    for (sign, list) in [("+", &one.found_now), ("-", &one.missed_now)] {
        for finding in list {
            let _ = writeln!(
                out,
                "    {sign} {} {} {} {}..{}",
                finding.action, finding.rule, finding.channel, finding.start, finding.end
            );
        }
    }
    if one.prompt_changes && one.fared != Fared::Same {
        let _ = writeln!(out, "    the prompt is changed: its answer might have been another");
    }
    if let Some(bytes) = &one.bytes {
        let _ = writeln!(
            out,
            "    bytes    {} -> {}, from byte {}\n      then  {}\n      now   {}",
            bytes.length.then,
            bytes.length.now,
            bytes.first_difference,
            line(&bytes.around.then, 120),
            line(&bytes.around.now, 120),
        );
    }
    out
}
