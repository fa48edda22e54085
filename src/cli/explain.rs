//! `firedoor explain`: what a code means, and what a rule does and costs.

use super::{Common, Exit, check, output};
use crate::admin::rules as told;
use crate::filter::Kind;
use crate::table::rules::{OnError, PackRule, Rulebook};
use crate::table::{codes, costs::RuleCost, describe};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

/// Explain an error code, such as FD0102, or a rule
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  firedoor explain                         lists all codes\n  firedoor explain FD0102\n  firedoor explain rule secrets/aws-access-key-id"
)]
pub struct Explain {
    /// A code, or `rule` with the name of a rule; without one, all codes are listed
    #[arg(value_name = "CODE | rule PACK/ID", num_args = 0..=2)]
    what: Vec<String>,
}

impl Explain {
    pub(super) fn run(&self, common: &Common) -> Exit {
        match &self.what[..] {
            [] => list(),
            [word] if word == "rule" => {
                output::notice("firedoor: which rule? `firedoor explain rule PACK/ID`");
                Exit::Usage
            }
            [word, name] if word == "rule" => rule(common, name),
            [name] if name.contains('/') => rule(common, name),
            [asked] => code(common, asked),
            [_, more, ..] => {
                output::notice(&format!("firedoor: `{more}` is one word too many"));
                Exit::Usage
            }
        }
    }
}

fn list() -> Exit {
    let mut text = String::new();
    for entry in codes::ALL {
        let _ = writeln!(text, "{}  {}", entry.code, entry.title);
    }
    output::data(&text)
}

fn code(common: &Common, asked: &str) -> Exit {
    match codes::explain(asked) {
        Some(entry) if common.output == Some(output::Form::Json) => output::json(&json!({
            "code": entry.code,
            "severity": entry.severity.name(),
            "title": entry.title,
            "explanation": entry.explanation,
            "wrong": entry.wrong,
            "right": entry.right,
        })),
        Some(entry) => output::data(&format!(
            "{} ({}): {}\n\n{}\n\nWrong:\n{}\n\nRight:\n{}\n",
            entry.code,
            entry.severity.name(),
            entry.title,
            entry.explanation,
            indent(entry.wrong),
            indent(entry.right)
        )),
        None => {
            let hint = codes::nearest(asked)
                .map_or_else(String::new, |near| format!("; did you mean {near}?"));
            output::notice(&format!(
                "firedoor: no code `{asked}`{hint} `firedoor explain` lists all"
            ));
            Exit::Usage
        }
    }
}

fn indent(text: &str) -> String {
    text.trim_matches('\n').lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

fn rule(common: &Common, name: &str) -> Exit {
    let (_, prepared) = check::prepared(common);
    let Some(table) = prepared.table else {
        check::report(&prepared.diagnostics);
        return Exit::Configuration;
    };
    let (compiled, rule) = match table.packs.rule(name) {
        Ok(found) => found,
        Err(why) => {
            output::notice(&format!("firedoor: {why}"));
            return Exit::Usage;
        }
    };
    let book = Rulebook::of_rule(&compiled.pack, &rule);
    let cost = book.as_ref().and_then(|book| Some(book.costs().first()?.1)).unwrap_or_default();
    let file = compiled.pack.file.as_ref();
    let file = file.map_or_else(|| "built in".to_owned(), |file| file.display().to_string());
    if output::is_json(common) {
        let mut value = told::rule(&rule);
        value["file"] = json!(file);
        value["looks_for"] = json!(describe::looks_for(&rule));
        value["cost"] = told::cost(&cost);
        value["cases"] = cases(&rule);
        return output::json(&value);
    }
    output::data(&words(&rule, &file, &cost))
}

fn cases(rule: &Arc<PackRule>) -> Value {
    let case = |case: &crate::table::rules::Case| {
        json!({
            "expect": case.expect.name(),
            "channel": case.channel.map(Kind::name),
            "text": case.text,
            "line": case.line,
        })
    };
    rule.cases.iter().map(case).collect()
}

fn words(rule: &PackRule, file: &str, cost: &RuleCost) -> String {
    let mut out = format!("{}  ({file})\n", rule.name);
    if !rule.about.is_empty() {
        let _ = writeln!(out, "{}", rule.about);
    }
    out.push('\n');
    for line in describe::looks_for(rule) {
        let _ = writeln!(out, "looks for  {line}");
    }
    for doing in describe::doings(rule) {
        let redact = doing.redact.map(|form| format!(" ({form})")).unwrap_or_default();
        let kinds = describe::names(doing.channels).join(", ");
        let _ = writeln!(out, "action     {}{redact} in {kinds}", doing.action);
    }
    let _ = writeln!(out, "mode       {}", rule.mode);
    let on_error = match rule.on_error {
        OnError::Cut => "cut: text that cannot be judged does not leave",
        OnError::Pass => "pass: text that cannot be judged leaves, and the record says so",
    };
    let _ = writeln!(out, "on error   {on_error}");
    if let Some(trip) = &rule.trip {
        let (after, within) = (trip.after, trip.within.as_secs());
        let _ = writeln!(
            out,
            "trip       {} after {after} hits within {within} s",
            describe::kills(trip.kills)
        );
    }
    if let Some(demote) = &rule.demote {
        let _ = writeln!(
            out,
            "demote     to shadow when more than {} % of at least {} exchanges within {} s hit",
            demote.above * 100.0,
            demote.of,
            demote.within.as_secs()
        );
    }
    if !rule.tags.is_empty() {
        let _ = writeln!(out, "tags       {}", rule.tags.join(", "));
    }
    let _ = writeln!(out, "costs      {}", costs(rule, cost));
    out.push('\n');
    for case in &rule.cases {
        let channel = case.channel.map(|kind| format!(" in {}", kind.name())).unwrap_or_default();
        // What a case holds drives no terminal.
        let _ = writeln!(out, "case       {}{channel}: {:?}", case.expect.name(), case.text);
    }
    let _ = writeln!(out, "{} cases; `firedoor test` runs them", rule.cases.len());
    out
}

/// What a rule costs, in a sentence.
fn costs(rule: &PackRule, cost: &RuleCost) -> String {
    let holds = match cost.held {
        _ if rule.webhooks.iter().any(|part| part.channels.has(Kind::Answer)) => {
            "asks a webhook, for which answers wait a sentence at a time".to_owned()
        }
        _ if !rule.webhooks.is_empty() => "asks a webhook, and holds nothing itself".to_owned(),
        _ if rule.parts.is_empty() => "judges whole texts and holds nothing".to_owned(),
        None => "what it holds of English cannot be told".to_owned(),
        Some(_) if cost.longest_bytes == 0 => "only flags, and holds nothing".to_owned(),
        Some(held) => format!(
            "holds {:.2} bytes of English on average ({:.1} % of words), {} at most",
            held.mean_bytes,
            held.share * 100.0,
            cost.longest_bytes
        ),
    };
    format!("{holds}; {} states, {}", cost.states, output::bytes(cost.memory_bytes))
}
