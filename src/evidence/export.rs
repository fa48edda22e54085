//! Sessions for other programs: JSON lines, Markdown, HAR.
//!
//! All three are made of what the record has and add nothing to it. Texts are hostile: in Markdown
//! each stands in a block that nothing in it can end, and a HAR is JSON.

use super::digits::text_or_base64;
use super::exchange::{Fields, Stream, field};
use super::line::moment;
use super::texts::{Said, plain};
use super::transcript::Turn;
use crate::filter::Kind;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// A turn as a line of JSON.
pub fn jsonl(turn: &Turn) -> String {
    format!("{}\n", turn.as_json())
}

/// The head of a Markdown transcript.
pub fn markdown_head(session: &str) -> String {
    format!("# Session {}\n\n", inline(session))
}

/// A turn in Markdown.
pub fn markdown(turn: &Turn) -> String {
    let mut out = String::new();
    let row = &turn.row;
    let word = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), inline);
    let _ =
        writeln!(out, "## {} {}\n", moment(row.began_unix_ms), inline(&row.exchange().to_string()));
    let _ = writeln!(
        out,
        "app {}, agent {}, model {} → {}, {}{}\n",
        word(&row.app),
        word(&row.agent),
        word(&row.model_asked),
        word(&row.target),
        word(&row.outcome),
        row.latency_us.map_or_else(String::new, |us| format!(", {:.1} s", us as f64 / 1e6)),
    );
    for (whose, said) in [("asked", &turn.asked), ("answered", &turn.answer.said)] {
        for said in said {
            block(&mut out, whose, said);
        }
    }
    if let Some(answer) = &turn.withheld {
        answer
            .said
            .iter()
            .for_each(|said| block(&mut out, "answered by the provider, not delivered so", said));
    }
    if let Some(why) = turn.silence() {
        let _ = writeln!(out, "*{why}*\n");
    }
    let known = &turn.exchange.known;
    for finding in &known.findings {
        let _ = writeln!(
            out,
            "- rule {} in {} at {}..{}: {}",
            inline(&finding.rule),
            inline(&finding.channel),
            finding.start,
            finding.end,
            inline(&finding.action)
        );
    }
    for note in &turn.exchange.notes {
        block(
            &mut out,
            &format!("attached ({})", inline(&note.what)),
            &Said {
                kind: Kind::Document,
                text: serde_json::to_string_pretty(&note.about()).unwrap_or_default(),
                tool: None,
            },
        );
    }
    if let Some(lever) = &known.lever {
        let _ = writeln!(out, "- lever {}", inline(lever));
    }
    for seam in &known.seams {
        let _ =
            writeln!(out, "- another provider went on behind {} bytes of text", seam.at_text_bytes);
    }
    if let Some(fault) = &known.fault {
        let _ = writeln!(out, "- fault: {}", inline(fault));
    }
    if !turn.exchange.is_whole() {
        out.push_str("- the record of this exchange has holes\n");
    }
    out.push('\n');
    out
}

fn block(out: &mut String, whose: &str, said: &Said) {
    let kind = match said.kind {
        Kind::ToolArguments => said.tool.as_deref().map_or_else(
            || "tool_arguments".to_owned(),
            |tool| format!("call of {}", inline(tool)),
        ),
        kind => kind.name().to_owned(),
    };
    let _ = writeln!(out, "**{kind}** ({whose})\n");
    // A fence ends at a run of as many backticks.
    let longest = said.text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    let end = if said.text.ends_with('\n') { "" } else { "\n" };
    let _ = writeln!(out, "{fence}text\n{}{end}{fence}\n", shown(&said.text));
}

/// A text without what would move a terminal's cursor or colour it.
pub fn shown(text: &str) -> String {
    let is_kept = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(is_kept).collect()
}

/// A word within a line of Markdown.
fn inline(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control() && *c != '`').collect();
    format!("`{plain}`")
}

/// What stands before the entries of a HAR.
pub fn har_head() -> String {
    let creator = json!({ "name": "firedoor", "version": env!("CARGO_PKG_VERSION") });
    format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"pages\":[],\"entries\":[")
}

/// What stands behind them.
pub const HAR_TAIL: &str = "]}}\n";

/// An exchange as an entry of a HAR 1.2: what the client sent, and what it got.
pub fn har(turn: &Turn) -> Value {
    let exchange = &turn.exchange;
    let (request, answer) = (&exchange.request, &exchange.delivered);
    let total = turn.row.latency_us.unwrap_or(0) as f64 / 1e3;
    let first = answer.body.chunks.first().map_or(total, |chunk| chunk.at_us as f64 / 1e3);
    let host = field(&request.headers, "host").unwrap_or("firedoor.invalid");
    let (_, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!({ "name": name, "value": value })
    });
    let mime = |fields: &Fields| field(fields, "content-type").unwrap_or("").to_owned();
    let mut post = json!({ "mimeType": mime(&request.headers), "params": [] });
    put_text(&mut post, &request.headers, &request.body);
    let mut content = json!({ "size": answer.body.len, "mimeType": mime(&answer.headers) });
    put_text(&mut content, &answer.headers, &answer.body);
    json!({
        "startedDateTime": moment(exchange.began_unix_ms),
        "time": total,
        "request": {
            "method": request.method,
            "url": format!("http://{host}{}", request.path),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": headers(&request.headers),
            "queryString": pairs.collect::<Value>(),
            "postData": post,
            "headersSize": -1,
            "bodySize": request.body.len,
        },
        "response": {
            "status": answer.status.unwrap_or(0),
            "statusText": "",
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": headers(&answer.headers),
            "content": content,
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": answer.body.len,
        },
        "cache": {},
        "timings": { "send": 0, "wait": first, "receive": (total - first).max(0.0) },
        "_firedoor": turn.row.as_json(),
        "_chunks": answer.body.chunks.iter().map(|chunk| json!([chunk.at_us, chunk.bytes]))
            .collect::<Value>(),
    })
}

fn headers(fields: &Fields) -> Value {
    let one = |(name, value): &(String, Option<String>)| json!({ "name": name, "value": value.as_deref().unwrap_or("***") });
    fields.iter().map(one).collect()
}

/// A body's text, without its content coding, as HAR wants it; base64 where it is no text.
fn put_text(into: &mut Value, fields: &Fields, body: &Stream) {
    let bytes = plain(fields, &body.bytes);
    match text_or_base64(&bytes) {
        Ok(text) => into["text"] = json!(text),
        Err(base64) => {
            into["text"] = json!(base64);
            into["encoding"] = json!("base64");
        }
    }
    if !body.is_kept() {
        into["comment"] = json!("not all of it is on record");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(text: &str) -> Turn {
        let said = Said { kind: Kind::User, text: text.to_owned(), tool: None };
        Turn { asked: vec![said], ..Turn::default() }
    }

    #[test]
    fn no_text_ends_its_block() {
        for text in ["plain", "```\n# a heading\n```", "````` five", "\u{1b}[31mred"] {
            let out = markdown(&turn(text));
            let fences: Vec<&str> = out.lines().filter(|line| line.starts_with("```")).collect();
            let (open, close) = (fences[0], fences[fences.len() - 1]);
            assert_eq!(open, format!("{close}text"));
            assert_eq!(out.matches(close).count(), 2, "{out}");
            assert!(!out.contains('\u{1b}'));
        }
    }

    #[test]
    fn a_har_has_what_went_and_came() {
        let mut turn = turn("x");
        let exchange = &mut turn.exchange;
        exchange.request.path = "/v1/x?alt=sse&key=***".to_owned();
        exchange.request.headers =
            vec![("host".into(), Some("gate".into())), ("authorization".into(), None)];
        exchange.request.body.bytes = b"{}".to_vec();
        exchange.delivered.body.bytes = vec![0xFF];
        let entry = har(&turn);
        assert_eq!(entry["request"]["url"], "http://gate/v1/x?alt=sse&key=***");
        assert_eq!(entry["request"]["queryString"][0]["value"], "sse");
        assert_eq!(entry["request"]["headers"][1]["value"], "***");
        assert_eq!(entry["request"]["postData"]["text"], "{}");
        assert_eq!(entry["response"]["content"]["encoding"], "base64");
        let whole = format!("{}{}{HAR_TAIL}", har_head(), entry);
        assert!(serde_json::from_str::<Value>(&whole).is_ok());
    }
}
