//! `firedoor eval`: what packs do to texts whose label is known, and to their own cases in
//! disguise.
//!
//! It runs the very rulesets that `serve` would run, in force whatever their mode.

mod evasions;

use super::test::{chosen, done, packs};
use super::{Common, Exit, output};
use crate::filter::Kind;
use crate::table::packs::Compiled;
use crate::table::rules::{Expect, Judge};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Measure packs on texts whose label is known
#[derive(Debug, clap::Args)]
#[command(
    after_help = "PATH holds JSON lines: `text`, and where they are given `label`, `source`, `technique`. Each text is judged as every\nkind of text that a pack looks at; a hit in any of them counts. Of a text in disguise, with the `plain` one beside it,\nonly those count of which the plain one hits.\nExamples:\n  firedoor eval data/attacks data/benign --pack injection\n  firedoor eval --evasions                                  the packs' own cases in every disguise that is undone"
)]
pub struct Eval {
    /// Files of JSON lines, or folders of them
    #[arg(required_unless_present = "evasions", value_name = "PATH")]
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
    /// The cases beside the rules that hit, in every disguise that the fold undoes
    #[arg(long)]
    evasions: bool,
    /// Print the texts that hit, or with `misses` those that do not
    #[arg(long, value_name = "WHICH", value_parser = ["hits", "misses"])]
    show: Option<String>,
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
    /// What the text is a disguise of.
    plain: Option<String>,
}

/// What a row is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    pack: String,
    label: String,
    source: String,
    technique: String,
}

/// How many texts, and how many of them hit.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    texts: u64,
    hits: u64,
}

type Counts = BTreeMap<Row, Count>;

/// A pack and the kinds of text as which it is asked: one of each that are judged alike.
struct Asked {
    name: String,
    judges: Vec<Arc<Judge>>,
    kinds: Vec<Kind>,
}

impl Asked {
    fn new(compiled: &Compiled, only: Option<Kind>) -> Asked {
        let judges: Vec<Arc<Judge>> = compiled.book.judge(0).into_iter().cloned().collect();
        let mut kinds: Vec<Kind> = Vec::new();
        for kind in Kind::ALL.into_iter().filter(|kind| only.is_none_or(|only| only == *kind)) {
            let is_read = judges.iter().any(|judge| judge.reads(kind));
            if is_read && !kinds.iter().any(|known| are_alike(&judges, *known, kind)) {
                kinds.push(kind);
            }
        }
        Asked { name: compiled.pack.name.to_string(), judges, kinds }
    }

    fn hits(&self, text: &str) -> bool {
        self.kinds.iter().any(|kind| done(&self.judges, *kind, text) != Expect::Clear)
    }
}

/// Whether a text hits as one kind if and only if it does as the other.
fn are_alike(judges: &[Arc<Judge>], one: Kind, other: Kind) -> bool {
    judges.iter().all(|judge| {
        let same_engine = match (judge.ruleset.engine(one), judge.ruleset.engine(other)) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_engine && judge.models(one).count() == judge.models(other).count()
    })
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
        let mut counts = Counts::new();
        if self.evasions {
            evasions::count(&chosen, self.show.as_deref(), &mut counts);
        }
        let mut files = Vec::new();
        for path in &self.paths {
            let name = path.to_string_lossy();
            if !path.exists() && packs.get(&name).is_some() {
                output::notice(&format!(
                    "firedoor: there is no file {name}; for the pack of that name: \
                     firedoor eval PATH --pack {name}"
                ));
                return Exit::Usage;
            }
            if let Err(why) = collect(path, &mut files) {
                output::notice(&format!("firedoor: {}: {why}", path.display()));
                return Exit::Usage;
            }
        }
        let asked: Vec<Asked> = chosen.iter().map(|compiled| Asked::new(compiled, only)).collect();
        for file in &files {
            if let Err(why) = self.count(file, &asked, &mut counts) {
                output::notice(&format!("firedoor: {}: {why}", file.display()));
                return Exit::Failed;
            }
        }
        report(common, &counts)
    }

    fn count(&self, file: &Path, asked: &[Asked], counts: &mut Counts) -> std::io::Result<()> {
        for line in BufReader::new(std::fs::File::open(file)?).lines() {
            let Ok(one) = serde_json::from_str::<Labelled>(&line?) else { continue };
            for pack in asked {
                if one.plain.as_deref().is_some_and(|plain| !pack.hits(plain)) {
                    continue;
                }
                let is_hit = pack.hits(&one.text);
                let technique = if self.techniques || one.plain.is_some() {
                    one.technique.clone()
                } else {
                    String::new()
                };
                let row = Row {
                    pack: pack.name.clone(),
                    label: one.label.clone(),
                    source: one.source.clone(),
                    technique,
                };
                let count = counts.entry(row).or_default();
                count.texts += 1;
                count.hits += u64::from(is_hit);
                if self.show.as_deref() == Some(if is_hit { "hits" } else { "misses" }) {
                    show(&format!("{} {} {}", pack.name, one.label, one.source), &one.text);
                }
            }
        }
        Ok(())
    }
}

fn show(place: &str, text: &str) {
    let shown: String = text.chars().take(160).collect();
    output::notice(&format!("{place}: {}", shown.replace('\n', " ")));
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

fn report(common: &Common, counts: &Counts) -> Exit {
    if output::is_json(common) {
        let rows: Vec<Value> = counts
            .iter()
            .map(|(row, count)| {
                json!({
                    "pack": row.pack, "label": row.label, "source": row.source,
                    "technique": row.technique, "texts": count.texts, "hits": count.hits,
                })
            })
            .collect();
        return output::json(&rows.into());
    }
    let mut out = String::from(
        "| Pack | Label | Source | Texts | Hits | Share |\n|---|---|---|---|---|---|\n",
    );
    for (Row { pack, label, source, technique }, Count { texts, hits }) in counts {
        let share = *hits as f64 * 100.0 / (*texts).max(1) as f64;
        let place =
            if technique.is_empty() { source.clone() } else { format!("{source} {technique}") };
        let _ = writeln!(out, "| {pack} | {label} | {place} | {texts} | {hits} | {share:.1} % |");
    }
    output::data(&out)
}
