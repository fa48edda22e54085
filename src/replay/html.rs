//! A report for people, in one file: no script, nothing fetched, and everything that comes from the
//! record escaped, for transcripts are hostile text.

use super::compare::{Change, Compared, Fared, Finding};
use super::said::Said;
use serde_json::Value;
use std::fmt::Write;

/// The most characters of a text that are shown.
const SHOWN_MAX: usize = 20_000;

const STYLE: &str = "body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{font-size:1.4rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem}code,pre{font:12px/1.45 ui-monospace,monospace}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f8fa;padding:.6rem;border-radius:6px;margin:.2rem 0;max-height:24rem;overflow:auto}\
table{border-collapse:collapse}td,th{border:1px solid #d0d7de;padding:.25rem .55rem;text-align:left;vertical-align:top}\
.pair{display:grid;grid-template-columns:1fr 1fr;gap:.6rem}.differs{color:#b3261e;font-weight:600}.now{color:#0a6b2d}.then{color:#8a4b00}\
del{background:#ffd7d5;text-decoration:none}ins{background:#ccffd8;text-decoration:none}details{margin:.3rem 0}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}pre{background:#161b22}td,th{border-color:#30363d}\
.differs{color:#ff7b72}.now{color:#7ee787}.then{color:#ffa657}del{background:#67060c}ins{background:#0a4620}}";

/// Text as a part of a page: nothing in it is markup, and no character of it moves others.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN_MAX {
            out.push_str(" […]");
            break;
        }
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Controls, and characters that turn or hide text, are shown as what they are.
            c if c.is_control() || is_unseen(c) => {
                let _ = write!(out, "\u{27E8}U+{:04X}\u{27E9}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

fn is_unseen(c: char) -> bool {
    matches!(u32::from(c),
        0x00AD | 0x061C | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFEFF
        | 0xFFF9..=0xFFFB | 0xE0000..=0xE007F)
}

/// The page.
pub fn page(summary: &Value, listed: &[Compared]) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">");
    out.push_str("<meta name=\"referrer\" content=\"no-referrer\"><meta name=\"viewport\" content=\"width=device-width\">");
    let _ = write!(out, "<title>Firedoor replay</title><style>{STYLE}</style></head><body>");
    out.push_str("<h1>Replay</h1>");
    top(&mut out, summary);
    for one in listed {
        exchange(&mut out, one);
    }
    out.push_str("</body></html>\n");
    out
}

fn top(out: &mut String, summary: &Value) {
    out.push_str("<table><tr>");
    let counts = ["exchanges", "same", "differ", "partly", "not_run"];
    for name in counts {
        let _ = write!(out, "<th>{}</th>", name.replace('_', " "));
    }
    out.push_str("</tr><tr>");
    for name in counts {
        let _ = write!(out, "<td>{}</td>", escaped(&summary[name].to_string()));
    }
    out.push_str("</tr></table>");
    let changes: Vec<&Value> = summary["verdicts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|one| one["then"] != one["now"])
        .collect();
    if !changes.is_empty() {
        out.push_str("<h2>Verdicts that change</h2><table><tr><th>then</th><th>now</th><th>exchanges</th></tr>");
        for one in changes {
            let text = |name: &str| escaped(one[name].as_str().unwrap_or(""));
            let count = escaped(&one["exchanges"].to_string());
            let _ = write!(
                out,
                "<tr><td>{}</td><td>{}</td><td>{count}</td></tr>",
                text("then"),
                text("now")
            );
        }
        out.push_str("</table>");
    }
    if let Some(reasons) = summary["why"].as_object().filter(|reasons| !reasons.is_empty()) {
        out.push_str("<h2>Not run, or not to the end</h2><table>");
        for (name, count) in reasons {
            let (name, count) = (escaped(name), escaped(&count.to_string()));
            let _ = write!(out, "<tr><td>{name}</td><td>{count}</td></tr>");
        }
        out.push_str("</table>");
    }
    if summary["read"]["is_partial"] == true {
        out.push_str("<p class=\"differs\">Interrupted: this is a part.</p>");
    }
}

fn exchange(out: &mut String, one: &Compared) {
    let class = if one.fared == Fared::Differs { " class=\"differs\"" } else { "" };
    let fared = match one.fared {
        Fared::Same => "same",
        Fared::Differs => "differs",
        Fared::Partly => "in part",
        Fared::NotRun => "not run",
    };
    let _ = write!(
        out,
        "<h2><code>{}</code> <span{class}>{fared}</span></h2><p>",
        escaped(&one.exchange)
    );
    let about = [
        ("", Some(&one.began)),
        ("app", one.app.as_ref()),
        ("session", one.session.as_ref()),
        ("route", one.route.as_ref()),
        ("target", one.target.as_ref()),
    ];
    for (name, value) in about {
        if let Some(value) = value {
            let _ = write!(out, "{name} <code>{}</code> ", escaped(value));
        }
    }
    out.push_str("</p>");
    if let Some(why) = &one.why {
        let _ = write!(out, "<p>{}</p>", escaped(&why.message));
    }
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
    change(out, "verdict", &text(&one.verdict.then), &text(&one.verdict.now));
    change(out, "outcome", &one.outcome.then, &one.outcome.now);
    change(out, "status", &one.status.then.to_string(), &one.status.now.to_string());
    findings(out, "found now", "now", &one.found_now);
    findings(out, "missed now", "then", &one.missed_now);
    if one.prompt_changes {
        out.push_str("<p>Rules change the prompt: its answer might have been another.</p>");
    }
    if let Some(said) = &one.said {
        answers(out, said);
    } else if let Some(bytes) = &one.bytes {
        pair(out, "bytes", &bytes.around.then, &bytes.around.now);
    }
}

fn change(out: &mut String, name: &str, then: &str, now: &str) {
    if then != now {
        let (then, now) = (escaped(then), escaped(now));
        let _ = write!(
            out,
            "<p>{name}: <span class=\"then\">{then}</span> → <span class=\"now\">{now}</span></p>"
        );
    }
}

fn findings(out: &mut String, title: &str, class: &str, list: &[Finding]) {
    if list.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<table><tr><th class=\"{class}\">{title}</th><th>rule</th><th>text</th><th>where</th></tr>"
    );
    for one in list {
        let _ = write!(
            out,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}–{}</td></tr>",
            escaped(&one.action),
            escaped(&one.rule),
            escaped(&one.channel),
            one.start,
            one.end
        );
    }
    out.push_str("</table>");
}

fn answers(out: &mut String, said: &Change<Said>) {
    let Change { then, now } = said;
    for (name, then, now) in [
        ("answer", &then.text, &now.text),
        ("reasoning", &then.reasoning, &now.reasoning),
        ("refusal", &then.refusal, &now.refusal),
    ] {
        if then != now {
            pair(out, name, then, now);
        }
    }
    let calls = |said: &Said| -> String {
        said.calls.iter().fold(String::new(), |mut all, call| {
            let _ = writeln!(all, "{}({})", call.tool, call.arguments);
            all
        })
    };
    let (calls_then, calls_now) = (calls(then), calls(now));
    if calls_then != calls_now {
        pair(out, "tools called", &calls_then, &calls_now);
    }
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |n| n.to_string());
    change(out, "tokens in", &number(then.input_tokens), &number(now.input_tokens));
    change(out, "tokens out", &number(then.output_tokens), &number(now.output_tokens));
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    change(out, "stop", &text(&then.stop), &text(&now.stop));
    change(out, "error", &text(&then.error), &text(&now.error));
}

/// Two texts side by side, what differs between their common beginning and end marked.
fn pair(out: &mut String, name: &str, then: &str, now: &str) {
    let (before, then_middle, now_middle, after) = parted(then, now);
    let side = |mark: &str, middle: &str| {
        format!(
            "{}<{mark}>{}</{mark}>{}",
            escaped(last(before)),
            escaped(middle),
            escaped(first(after))
        )
    };
    let _ = write!(
        out,
        "<p>{name}</p><div class=\"pair\"><pre>{}</pre><pre>{}</pre></div>",
        side("del", then_middle),
        side("ins", now_middle)
    );
}

/// The end of a long text.
fn last(text: &str) -> &str {
    let at = text.char_indices().rev().nth(400).map_or(0, |(at, _)| at);
    &text[at..]
}

/// Its beginning.
fn first(text: &str) -> &str {
    let at = text.char_indices().nth(400).map_or(text.len(), |(at, _)| at);
    &text[..at]
}

/// What two texts begin with, what then differs in each, and what they end with.
fn parted<'t>(then: &'t str, now: &'t str) -> (&'t str, &'t str, &'t str, &'t str) {
    let same = |pair: &((usize, char), char)| pair.0.1 == pair.1;
    let begin: usize =
        then.char_indices().zip(now.chars()).take_while(same).map(|((_, c), _)| c.len_utf8()).sum();
    let (before, then_rest) = then.split_at(begin);
    let now_rest = &now[begin..];
    let end: usize = then_rest
        .chars()
        .rev()
        .zip(now_rest.chars().rev())
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum();
    let (then_middle, after) = then_rest.split_at(then_rest.len() - end);
    (before, then_middle, &now_rest[..now_rest.len() - end], after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_from_the_record_is_markup(text in any::<String>()) {
            let out = escaped(&text);
            prop_assert!(!out.contains(['<', '>', '"', '\'']));
            prop_assert!(!out.chars().any(|c| is_unseen(c) || (c.is_control() && !"\n\t".contains(c))));
        }

        #[test]
        fn the_parts_are_the_texts(then in "[ab\u{e9}]{0,12}", now in "[ab\u{e9}]{0,12}") {
            let (before, a, b, after) = parted(&then, &now);
            prop_assert_eq!(format!("{before}{a}{after}"), &*then);
            prop_assert_eq!(format!("{before}{b}{after}"), &*now);
        }
    }
}
