//! Entries as lines: which members each kind has. `docs/evidence.schema.json` says the same.

use super::age;
use super::digits::{base64, push_base64};
use super::entry::{Bound, Chunk, Ending, Entry, Headers, Loss, Opened, Piece, Run, Texts, What};
use super::line::{Head, Members, moment, push_number};
use crate::exchange::facts::{Facts, Identity};
use crate::exchange::keepable;
use crate::exchange::limits::LoopMet;
use crate::exchange::relay::Seam;
use crate::exchange::screen::{Done, Hit};
use crate::id::{AppName, ProviderName, RouteName};
use crate::table::Recipient;
use crate::wire::Dialect;
use crate::wire::event::StopReason;
use crate::wire::json::push_string;
use crate::wire::loss::Loss as Untold;
use crate::wire::refusal::Class;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

/// Appends an entry's line.
pub(super) fn write(head: &mut Head, out: &mut Vec<u8>, entry: &Entry) {
    head.write(out, entry.at_unix_ms, kind(&entry.what), entry.exchange, |members| {
        fill(members, &entry.what, entry.seal_to.as_deref());
    });
}

fn kind(what: &What) -> &'static str {
    match what {
        What::Open { .. } => "open",
        What::Request { .. } => "request",
        What::Sent { .. } => "sent",
        What::AnswerHead { .. } => "answer_head",
        What::Received { .. } => "received",
        What::DeliveredHead { .. } => "delivered_head",
        What::Delivered { .. } => "delivered",
        What::Undelivered { .. } => "undelivered",
        What::Original { .. } => "original",
        What::Close { .. } => "close",
        What::Note { .. } => "note",
        What::Gap(_) => "gap",
    }
}

fn fill(members: &mut Members<'_>, what: &What, seal_to: Option<&[Recipient]>) {
    match what {
        What::Open { opened, texts } => {
            open(members, opened);
            let capture = match texts {
                Texts::All => "full",
                Texts::Sealed => "sealed",
                Texts::Sent => "redacted",
                Texts::None => "metadata",
            };
            members.value("capture", capture);
        }
        What::Request { head, total, piece: part } => {
            if let Some(head) = head {
                members.value("method", head.method.as_str());
                members.value("path", &*head.path);
                headers(members, &head.headers);
            }
            members.number("bytes", *total);
            piece(members, part, seal_to);
        }
        What::Sent { attempt, target, total, piece: part } => {
            members.number("attempt", u64::from(*attempt));
            members.value("target", &**target);
            members.number("bytes", *total);
            match part {
                Some(part) => piece(members, part, seal_to),
                None => members.value("same", "request"),
            }
        }
        What::AnswerHead { attempt, status, headers: fields } => {
            members.number("attempt", u64::from(*attempt));
            members.number("status", u64::from(*status));
            headers(members, fields);
        }
        What::Received { attempt, run: part } => {
            members.number("attempt", u64::from(*attempt));
            run(members, part, seal_to);
        }
        What::DeliveredHead { status, headers: fields } => {
            members.number("status", u64::from(*status));
            headers(members, fields);
        }
        What::Delivered { same, run: part } => {
            if let Some(same) = same {
                members.value("same", &json!({ "attempt": same.attempt, "offset": same.offset }));
            }
            run(members, part, seal_to);
        }
        What::Undelivered { bytes, bound } => {
            members.number("bytes", *bytes);
            members.value("at_most", &(*bound == Bound::AtMost));
        }
        What::Original { attempt, offset, bytes, to } => {
            members.value("of", if attempt.is_some() { "answer" } else { "request" });
            members.some("attempt", attempt.as_ref());
            members.number("offset", *offset);
            members.number("bytes", bytes.len() as u64);
            sealed(members, bytes, to);
        }
        What::Close { ending, loss, received, delivered } => {
            members.number("received_bytes", *received);
            members.number("delivered_bytes", *delivered);
            if !loss.is_none() {
                members.value("lost", &lost(*loss));
            }
            match ending {
                Ending::Facts(facts) => close(members, facts),
                Ending::Abandoned => members.value("outcome", "abandoned"),
            }
        }
        What::Note { what, about, sealed: text } => {
            members.value("what", &**what);
            match about {
                Ok(json) => members.json("about", json),
                Err(bytes) => members.value("too_large", bytes),
            }
            if let (Some(text), Some(to)) = (text, seal_to) {
                sealed(members, text.as_bytes(), to);
            }
        }
        What::Gap(hole) => {
            members.number("records", hole.loss.records);
            members.number("bytes", hole.loss.bytes);
            members.value("since", &moment(hole.since_unix_ms));
            members.value("until", &moment(hole.until_unix_ms));
        }
    }
}

fn lost(loss: Loss) -> Value {
    json!({ "records": loss.records, "bytes": loss.bytes })
}

fn identity(members: &mut Members<'_>, who: &Identity) {
    members.some("app", who.app.as_ref().map(AppName::as_str));
    members.some("agent", who.agent.as_deref());
    members.some("session", who.session.as_deref());
    members.some("end_user", who.end_user.as_deref());
    members.some("trace", who.trace.as_deref());
    members.some("parent_span", who.parent_span.as_deref());
    members.some("client_request", who.request.as_deref());
}

fn open(members: &mut Members<'_>, opened: &Opened) {
    identity(members, &opened.identity);
    members.some("route", opened.route.as_ref().map(RouteName::as_str));
    members.some("dialect", opened.dialect.map(Dialect::name));
    members.some("model", opened.model.as_deref());
    members.value("stream", &opened.is_stream);
    members.number("epoch", opened.epoch.0);
    members.some("ruleset", opened.ruleset.as_deref());
    if !opened.levers.is_empty() {
        members.value("levers", &opened.levers);
    }
    if let Some(days) = opened.keep_days {
        members.number("keep_days", u64::from(days));
    }
}

/// Each field as a pair of its name and its value: text, `{"base64":…}` where it is none, `null` where
/// it may be a credential.
fn headers(members: &mut Members<'_>, headers: &Headers) {
    members.list("headers", headers, |out, (name, value)| {
        out.extend_from_slice(b"[\"");
        // A name is a token (RFC 9110, section 5.6.2) and needs no escapes.
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b"\",");
        match std::str::from_utf8(value.as_bytes()) {
            _ if keepable::is_credential(name, value) => out.extend_from_slice(b"null"),
            Ok(text) => push_string(out, text),
            Err(_) => {
                out.extend_from_slice(b"{\"base64\":\"");
                push_base64(out, value.as_bytes());
                out.extend_from_slice(b"\"}");
            }
        }
        out.push(b']');
    });
}

fn sealed(members: &mut Members<'_>, bytes: &[u8], to: &[Recipient]) {
    match age::sealed(bytes, to) {
        Ok(sealed) => members.value("age", &base64(&sealed)),
        Err(_) => members.value("failed", &true),
    }
}

fn body(members: &mut Members<'_>, bytes: &[u8], seal_to: Option<&[Recipient]>) {
    match seal_to {
        Some(to) => sealed(members, bytes, to),
        None => members.bytes(bytes),
    }
}

fn piece(members: &mut Members<'_>, piece: &Piece, seal_to: Option<&[Recipient]>) {
    if let Some(bytes) = &piece.bytes {
        members.number("offset", piece.offset);
        body(members, bytes, seal_to);
    }
}

fn run(members: &mut Members<'_>, run: &Run, seal_to: Option<&[Recipient]>) {
    members.number("offset", run.offset);
    members.number("bytes", run.len);
    if run.joins {
        members.value("joins", &true);
    }
    members.list("chunks", &run.chunks, |out, Chunk { at_us, bytes }| {
        out.push(b'[');
        push_number(out, *at_us);
        out.push(b',');
        push_number(out, u64::from(*bytes));
        out.push(b']');
    });
    if !run.bytes.is_empty() {
        body(members, &run.bytes, seal_to);
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn close(members: &mut Members<'_>, facts: &Facts) {
    members.value("outcome", facts.outcome.name());
    members.some("class", facts.outcome.class().map(Class::name));
    members.value("began", &moment(facts.began_unix_ms));
    members.number("status", u64::from(facts.status));
    identity(members, &facts.identity);
    members.value("path", &*facts.path);
    members.some("dialect", facts.dialect.map(Dialect::name));
    members.some("route", facts.route.as_ref().map(RouteName::as_str));
    members.some("provider", facts.provider.as_ref().map(ProviderName::as_str));
    members.some("target", facts.target.as_deref());
    members.some("model_asked", facts.model_asked.as_deref());
    members.some("model_reported", facts.model_reported.as_deref());
    members.value("stream", &facts.is_stream);
    members.number("attempts", u64::from(facts.attempts));
    members.number("request_bytes", facts.request_bytes);
    members.number("response_bytes", facts.response_bytes);
    members.some("first_byte_us", facts.first_byte.map(us).as_ref());
    members.some("first_text_us", facts.first_text.map(us).as_ref());
    members.number("total_us", us(facts.total));
    members.number("text_events", facts.text_events);
    members.some("stop", facts.stop.map(StopReason::name));
    members.value("usage", &facts.usage.as_json());
    members.some("cost_micro_usd", facts.cost_micro_usd.as_ref());
    members.some("lever", facts.lever.as_ref());
    members.some("verdict", facts.verdict());
    if facts.found.count() > 0 {
        members.list("findings", &facts.found.hits, |out, hit| {
            let _ = write!(out, "{}", finding(hit));
        });
        members.number("findings_more", u64::from(facts.found.more()));
        members.number("unjudged", u64::from(facts.found.unjudged));
    }
    let losses: Vec<&str> = facts.losses.iter().map(Untold::name).collect();
    if !losses.is_empty() {
        members.value("losses", &losses);
    }
    if !facts.seams.is_empty() {
        members.value("seams", &facts.seams.iter().map(Seam::as_json).collect::<Value>());
    }
    members.some("limit", facts.limit.as_deref());
    if !facts.loops_met.is_empty() {
        members.value("loops", &facts.loops_met.iter().map(LoopMet::as_json).collect::<Value>());
    }
    members.some("fault", facts.fault.as_deref());
}

/// A hit, by its place: what it matched stands in the bodies, where those are kept.
fn finding(hit: &Hit) -> Value {
    let mut told = hit.as_json();
    // Whether the text that was hit went on as it was.
    told["passed"] = matches!(hit.done, Done::Flagged).into();
    told
}
