//! `firedoor test` and `firedoor eval`: what packs do to texts whose answer is known.
//!
//! Both run the very rulesets that `serve` would run, in force whatever their mode.

use super::{Common, Exit, check, output};
use crate::exchange::screen::{Done, judge_text};
use crate::filter::Kind;
use crate::table::packs::{Compiled, Packs, built_in_diagnostics};
use crate::table::rules::{Case, Expect, Judge, PackRule, Rulebook};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Run the cases that stand beside the rules
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor test                 every pack, those of the folder and those built in\n  firedoor test secrets pii     some\nExit codes: 0 all cases hold, 1 some do not, 78 a pack has errors"
)]
pub struct Test {
    /// The packs; all by default
    packs: Vec<String>,
}

/// Measure packs on texts whose label is known
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DIR holds files of JSON lines: `text`, and where they are given `label`, `source`, `technique`. Each text is\njudged as every kind of text that a pack looks at; a hit in any of them counts.\nExample:\n  firedoor eval data/attacks data/benign --pack injection"
)]
pub struct Eval {
    /// Files of JSON lines, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The packs; all by default
    #[arg(long, value_name = "NAME")]
    pack: Vec<String>,
    /// Only as this kind of text
    #[arg(long, value_name = "KIND")]
    channel: Option<String>,
    /// Also a row for each technique
    #[arg(long)]
    techniques: bool,
    /// Print the texts that hit, or with `misses` those that do not
    #[arg(long, value_name = "WHICH", value_parser = ["hits", "misses"])]
    show: Option<String>,
}

/// The packs of these names, or all.
fn chosen(packs: &Packs, names: &[String]) -> Result<Vec<Arc<Compiled>>, Exit> {
    if names.is_empty() {
        return Ok(packs.all());
    }
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let Some(pack) = packs.get(name) else {
            let wrong = built_in_diagnostics(name);
            check::report(&wrong);
            output::notice(&format!("firedoor: {}", packs.missing(name)));
            return Err(if wrong.is_empty() { Exit::Usage } else { Exit::Configuration });
        };
        found.push(pack);
    }
    Ok(found)
}

fn packs(common: &Common) -> Result<Packs, Exit> {
    let (_, prepared) = check::prepared(common);
    if let Some(table) = prepared.table {
        let files = Arc::try_unwrap(table.files);
        return Ok(files.map(|files| files.packs).unwrap_or_default());
    }
    check::report(&prepared.diagnostics);
    Err(Exit::Configuration)
}

/// What rules did to a text.
fn done(judges: &[Arc<Judge>], kind: Kind, text: &str) -> Expect {
    match judge_text(judges, kind, text).0.verdict() {
        None => Expect::Clear,
        Some(Done::Flagged) => Expect::Flag,
        Some(Done::Redacted) => Expect::Redact,
        Some(Done::Rerouted) => Expect::Reroute,
        Some(Done::Cut) => Expect::Cut,
    }
}

impl Test {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let packs = match packs(common) {
            Ok(packs) => packs,
            Err(exit) => return exit,
        };
        let chosen = match chosen(&packs, &self.packs) {
            Ok(chosen) => chosen,
            Err(exit) => return exit,
        };
        let (mut held, mut failures) = (0, Vec::new());
        for compiled in &chosen {
            for rule in &compiled.pack.rules {
                let Some(book) = Rulebook::of_rule(&compiled.pack, rule) else { continue };
                let judges: Vec<Arc<Judge>> = book.judge(0).into_iter().cloned().collect();
                for case in &rule.cases {
                    let got = of_case(&judges, rule, case);
                    if got == case.expect {
                        held += 1;
                    } else {
                        failures.push(failure(compiled, rule, case, got));
                    }
                }
            }
        }
        if output::is_json(common) {
            output::json(&json!({ "held": held, "failed": failures }));
        } else {
            let mut out = String::new();
            for failure in &failures {
                let _ = writeln!(
                    out,
                    "{}:{}: {}: expected {}, got {}: {}",
                    failure["file"].as_str().unwrap_or(""),
                    failure["line"],
                    failure["rule"].as_str().unwrap_or(""),
                    failure["expected"].as_str().unwrap_or(""),
                    failure["got"].as_str().unwrap_or(""),
                    failure["text"].as_str().unwrap_or(""),
                );
            }
            let _ = writeln!(out, "{held} cases hold, {} do not", failures.len());
            output::data(&out);
        }
        if failures.is_empty() { Exit::Done } else { Exit::Failed }
    }
}

/// What a rule does to the text of a case: as the kind of text that the case names, else as any that
/// it looks at, where what is expected counts if it happens on one of them.
fn of_case(judges: &[Arc<Judge>], rule: &PackRule, case: &Case) -> Expect {
    let channels = rule.channels();
    let kinds = Kind::ALL.into_iter().filter(|kind| match case.channel {
        Some(channel) => channel == *kind,
        None => channels.has(*kind),
    });
    let all: Vec<Expect> = kinds.map(|kind| done(judges, kind, &case.text)).collect();
    if case.expect != Expect::Clear && all.contains(&case.expect) {
        return case.expect;
    }
    all.into_iter().max().unwrap_or(Expect::Clear)
}

fn failure(compiled: &Compiled, rule: &PackRule, case: &Case, got: Expect) -> Value {
    let built_in = || format!("<built-in>/{}.toml", compiled.pack.name);
    let file = compiled.pack.file.as_ref();
    json!({
        "file": file.map_or_else(built_in, |file| file.display().to_string()),
        "line": case.line,
        "rule": &*rule.name,
        "expected": case.expect.name(),
        "got": got.name(),
        "text": case.text.chars().take(120).collect::<String>(),
    })
}

/// One line of a file of texts.
#[derive(Debug, Deserialize)]
struct Labelled {
    text: String,
    #[serde(default)]
    label: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    technique: String,
}

/// How many texts, and how many of them hit.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    texts: u64,
    hits: u64,
}

impl Eval {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let packs = match packs(common) {
            Ok(packs) => packs,
            Err(exit) => return exit,
        };
        let chosen = match chosen(&packs, &self.pack) {
            Ok(chosen) => chosen,
            Err(exit) => return exit,
        };
        let only = match &self.channel {
            None => None,
            Some(name) => {
                let Some(kind) = Kind::named(name) else {
                    output::notice(&format!("firedoor: there is no kind of text `{name}`"));
                    return Exit::Usage;
                };
                Some(kind)
            }
        };
        let mut files = Vec::new();
        for path in &self.paths {
            if let Err(why) = collect(path, &mut files) {
                output::notice(&format!("firedoor: {}: {why}", path.display()));
                return Exit::Usage;
            }
        }
        let mut counts: BTreeMap<(String, String, String, String), Count> = BTreeMap::new();
        for file in &files {
            let lines = match std::fs::File::open(file) {
                Ok(file) => BufReader::new(file).lines(),
                Err(why) => {
                    output::notice(&format!("firedoor: {}: {why}", file.display()));
                    return Exit::Failed;
                }
            };
            for line in lines.map_while(Result::ok) {
                let Ok(one) = serde_json::from_str::<Labelled>(&line) else { continue };
                let technique = if self.techniques { one.technique.clone() } else { String::new() };
                for compiled in &chosen {
                    let judges: Vec<Arc<Judge>> =
                        compiled.book.judge(0).into_iter().cloned().collect();
                    let kinds =
                        Kind::ALL.into_iter().filter(|kind| only.is_none_or(|o| o == *kind));
                    let is_hit = kinds
                        .filter(|kind| judges.iter().any(|judge| judge.reads(*kind)))
                        .any(|kind| done(&judges, kind, &one.text) != Expect::Clear);
                    let key = (
                        compiled.pack.name.to_string(),
                        one.label.clone(),
                        one.source.clone(),
                        technique.clone(),
                    );
                    let count = counts.entry(key).or_default();
                    count.texts += 1;
                    count.hits += u64::from(is_hit);
                    if self.show.as_deref() == Some(if is_hit { "hits" } else { "misses" }) {
                        let shown: String = one.text.chars().take(160).collect();
                        let place = format!("{} {} {}", compiled.pack.name, one.label, one.source);
                        output::notice(&format!("{place}: {}", shown.replace('\n', " ")));
                    }
                }
            }
        }
        report(common, &counts)
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(path)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, files)?;
        } else if entry.extension().is_some_and(|ending| ending == "jsonl") {
            files.push(entry);
        }
    }
    Ok(())
}

fn report(common: &Common, counts: &BTreeMap<(String, String, String, String), Count>) -> Exit {
    if output::is_json(common) {
        let rows: Vec<Value> = counts
            .iter()
            .map(|((pack, label, source, technique), count)| {
                json!({
                    "pack": pack, "label": label, "source": source, "technique": technique,
                    "texts": count.texts, "hits": count.hits,
                })
            })
            .collect();
        return output::json(&rows.into());
    }
    let mut out = String::from(
        "| Pack | Label | Source | Texts | Hits | Share |\n|---|---|---|---|---|---|\n",
    );
    for ((pack, label, source, technique), count) in counts {
        let share = count.hits as f64 * 100.0 / count.texts.max(1) as f64;
        let place =
            if technique.is_empty() { source.clone() } else { format!("{source} {technique}") };
        let _ = writeln!(
            out,
            "| {pack} | {label} | {place} | {} | {} | {share:.1} % |",
            count.texts, count.hits
        );
    }
    output::data(&out)
}
