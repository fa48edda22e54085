//! Samples of hits: the match with some text around it.
//!
//! A finding says where in which kind of text it is, not in which text. So for the first hits of a
//! rule the texts of that kind are told once more and judged alone, and the match is cut out.

use super::report::Sample;
use crate::evidence::exchange::{Attempt, Exchange, Fields, Stream, field};
use crate::exchange::screen::judge_text;
use crate::filter::Kind;
use crate::replay::engine::{coding, plain};
use crate::replay::said::spoken;
use crate::table::rules::Judge;
use crate::wire::decode_answer;
use crate::wire::event::{Block, Channel, Event};
use crate::wire::segments::{Go, Join, Step, walk};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Characters of text on each side of a match.
const AROUND_CHARS: usize = 40;
/// Characters of a match.
const MATCH_CHARS: usize = 64;
/// The most bytes of texts that are looked at for the samples of one exchange.
const LOOK_BYTES_MAX: usize = 4 << 20;

/// Samples of the rules `wants` names, as `pack/id`.
pub(super) fn of(
    recorded: &Exchange,
    judges: &[Arc<Judge>],
    wants: &BTreeSet<Arc<str>>,
    samples_max: usize,
) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::new();
    let mut left = LOOK_BYTES_MAX;
    for (kind, text) in texts(recorded) {
        if text.len() > left {
            continue;
        }
        left -= text.len();
        let (found, _) = judge_text(judges, kind, &text);
        for hit in found.hits.iter().filter(|hit| wants.contains(&hit.rule.name)) {
            let known = samples.iter().filter(|known| *known.rule == *hit.rule.name).count();
            let (Ok(start), Ok(end)) = (usize::try_from(hit.start), usize::try_from(hit.end))
            else {
                continue;
            };
            let Some(matched) = text.get(start..end) else { continue };
            if known >= samples_max {
                continue;
            }
            samples.push(Sample {
                rule: hit.rule.name.to_string(),
                exchange: recorded.id.clone(),
                channel: kind.name().to_owned(),
                action: hit.done.name().to_owned(),
                before: last(&text[..start]),
                matched: first(matched, MATCH_CHARS),
                after: first(&text[end..], AROUND_CHARS),
            });
        }
    }
    samples
}

fn last(text: &str) -> String {
    let at = text.char_indices().rev().nth(AROUND_CHARS - 1).map_or(0, |(at, _)| at);
    let cut = if at > 0 { "…" } else { "" };
    format!("{cut}{}", &text[at..])
}

fn first(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Every text of an exchange as the gate reads it.
fn texts(recorded: &Exchange) -> Vec<(Kind, String)> {
    let mut texts: Vec<(Kind, String)> = Vec::new();
    let caller = recorded.dialect();
    let content = |headers: &Fields, body: &Stream| {
        let coding = coding(field(headers, "content-encoding"));
        plain(coding, &body.bytes).map(std::borrow::Cow::into_owned)
    };
    let request = &recorded.request;
    if let Some(content) = content(&request.headers, &request.body) {
        let walked = walk(caller, &content, &mut |step| {
            if let Step::Segment(segment) = step {
                match (segment.join, texts.last_mut()) {
                    (Join::Continues, Some((_, text))) => text.push_str(&segment.text),
                    (Join::Continues | Join::Begins | Join::Alone, _) => {
                        texts.push((segment.kind, segment.text.into_owned()));
                    }
                }
            }
            Go::On
        });
        if walked.is_err() && texts.is_empty() {
            texts.extend(String::from_utf8(content).ok().map(|text| (Kind::Other, text)));
        }
    }
    let mut answers: Vec<_> = recorded.attempts.iter().map(Attempt::answer).collect();
    if answers.iter().all(|answer| answer.body.bytes.is_empty()) {
        answers.push(recorded.delivered.answer());
    }
    for answer in answers {
        let Some(content) = content(answer.headers, answer.body) else { continue };
        let Some(caller) = caller else {
            texts.extend(String::from_utf8(content).ok().map(|text| (Kind::Other, text)));
            continue;
        };
        let mut channels: Vec<(Channel, String)> = Vec::new();
        let kind = answer.field("content-type");
        decode_answer(spoken(caller, answer), kind, &content, &mut |event| match &event {
            Event::Text { channel, text, .. } => {
                match channels.iter_mut().find(|(known, _)| known == channel) {
                    Some((_, whole)) => whole.push_str(text),
                    None => channels.push((*channel, text.to_string())),
                }
            }
            Event::Open { block: Block::Tool { name, .. }, .. } => {
                texts.push((Kind::ToolName, name.to_string()));
            }
            Event::Open { .. }
            | Event::Start { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        });
        texts.extend(channels.into_iter().map(|(channel, text)| (channel.kind, text)));
    }
    texts
}
