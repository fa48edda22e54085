//! What judges outside of the gate are asked about a prompt, or a sentence of an answer, and what
//! they say of it.
//!
//! Here questions are made and answers read; who calls is none of this room's business. A question
//! has all texts of a prompt that one rule is told. Texts that are read as one are told as one.

use super::found::{Found, Hit};
use super::prompt::Digest;
use crate::filter::Action;
use crate::table::rules::{Judge, OnError, PackRule};
use crate::table::webhook::{Webhook, WebhookPart};
use crate::wire::Dialect;
use crate::wire::event::Kind;
use crate::wire::request::BodyError;
use crate::wire::segments::{Go, Join, Segment, Step, walk};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What of an answer may be told: what models write, and what is not understood.
pub(super) const TOLD: [Kind; 5] =
    [Kind::Answer, Kind::Reasoning, Kind::Refusal, Kind::ToolArguments, Kind::Other];

/// Most texts of one question; with more, the prompt is unjudged.
const TEXTS_MAX: usize = 512;
/// Most bytes of the texts of one question; with more, the prompt is unjudged.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// What one rule asks of its webhook.
#[derive(Debug)]
pub struct Question {
    /// The rule.
    pub rule: Arc<PackRule>,
    /// Whom it asks.
    pub webhook: Arc<Webhook>,
    parts: Vec<WebhookPart>,
    texts: Vec<(Kind, String)>,
    bytes: usize,
    /// Whether it holds more than may be asked.
    is_too_much: bool,
    /// Whether it is about something that cannot be told.
    is_unreadable: bool,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It holds more than may be asked at once.
    TooMuch,
    /// What it is about cannot be read as text.
    Unreadable,
    /// None came in time.
    Late,
    /// As many calls are under way as may be.
    Busy,
    /// The call failed, or what came is no answer.
    Failed,
}

/// What the judges outside are asked about `body`, a request in `dialect`, and the messages that
/// are asked about; `is_known` says of which messages nothing is to be asked.
///
/// # Errors
/// The body cannot be read as what it says it is.
pub fn questions(
    judges: &[Arc<Judge>],
    dialect: Option<Dialect>,
    body: &[u8],
    is_known: &dyn Fn(&Digest) -> bool,
) -> Result<(Vec<Question>, Vec<Digest>), BodyError> {
    let mut questions = blank(judges);
    let mut asked = Vec::new();
    // The run at hand, which may go on behind texts that stand alone.
    let mut run: Option<(Kind, String)> = None;
    let tell = |questions: &mut Vec<Question>, kind: Kind, text: &str| {
        for question in questions {
            question.tell(kind, text);
        }
    };
    walk(dialect, body, &mut |step| {
        match step {
            Step::Message(message) => {
                if let Some((kind, text)) = run.take() {
                    tell(&mut questions, kind, &text);
                }
                let digest = message.digest();
                if is_known(&digest) {
                    return Go::Past;
                }
                asked.push(digest);
            }
            Step::Segment(Segment { kind, join, text, .. }) => match join {
                Join::Alone => tell(&mut questions, kind, &text),
                Join::Continues if run.is_some() => {
                    if let Some((_, begun)) = &mut run {
                        begun.push_str(&text);
                    }
                }
                Join::Begins | Join::Continues => {
                    if let Some((kind, text)) = run.replace((kind, text.into_owned())) {
                        tell(&mut questions, kind, &text);
                    }
                }
            },
        }
        Go::On
    })?;
    if let Some((kind, text)) = run.take() {
        tell(&mut questions, kind, &text);
    }
    questions.retain(|question| question.bytes > 0);
    Ok((questions, asked))
}

/// What the judges outside are asked about these texts of an answer; `is_unreadable` if there was
/// something beside them that cannot be told.
pub(super) fn questions_of<'t>(
    judges: &[Arc<Judge>],
    texts: impl Iterator<Item = (Kind, &'t str)>,
    is_unreadable: bool,
) -> Vec<Question> {
    let mut questions = blank(judges);
    for (kind, text) in texts {
        for question in &mut questions {
            question.tell(kind, text);
        }
    }
    questions.retain(|question| question.bytes > 0);
    if is_unreadable {
        questions.extend(unreadable(judges));
    }
    questions
}

/// Questions about what cannot be told, of which nothing but their `on_error` comes: what can be
/// told beside it is asked about.
fn unreadable(judges: &[Arc<Judge>]) -> impl Iterator<Item = Question> {
    blank(judges).into_iter().filter_map(|mut question| {
        question.parts.retain(|part| part.channels.has(Kind::Other));
        question.is_unreadable = true;
        (!question.parts.is_empty()).then_some(question)
    })
}

/// A question of each rule, without texts.
fn blank(judges: &[Arc<Judge>]) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for (rule, part) in judges.iter().flat_map(|judge| judge.webhooks()) {
        match questions.iter_mut().find(|known| known.rule.name == rule.name) {
            Some(known) => known.parts.push(part.clone()),
            None => questions.push(Question {
                rule: Arc::clone(rule),
                webhook: Arc::clone(&part.webhook),
                parts: vec![part.clone()],
                texts: Vec::new(),
                bytes: 0,
                is_too_much: false,
                is_unreadable: false,
            }),
        }
    }
    questions
}

/// What it means for a body whose texts cannot be told that no judge outside can be asked about it.
pub fn unasked(judges: &[Arc<Judge>]) -> Found {
    unasked_by(judges, |_| true)
}

/// The same of an answer of no dialect.
pub fn unknown_unasked(judges: &[Arc<Judge>]) -> Found {
    unasked_by(judges, |part| part.channels.has(Kind::Other))
}

/// The same of any other answer.
pub fn answer_unasked(judges: &[Arc<Judge>]) -> Found {
    unasked_by(judges, |part| TOLD.iter().any(|kind| part.channels.has(*kind)))
}

fn unasked_by(judges: &[Arc<Judge>], is_told: impl Fn(&WebhookPart) -> bool) -> Found {
    let mut found = Found::default();
    let parts = judges.iter().flat_map(|judge| judge.webhooks());
    for (rule, part) in parts.filter(|(_, part)| is_told(part)) {
        found.note_unjudged();
        if part.action != Action::Flag && rule.on_error == OnError::Cut {
            found.cut_unjudged(rule);
        }
    }
    found
}

impl Question {
    fn part(&self, kind: Kind) -> Option<&WebhookPart> {
        self.parts.iter().find(|part| part.channels.has(kind))
    }

    fn tell(&mut self, kind: Kind, text: &str) {
        if self.part(kind).is_none() || text.trim().is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(text.len());
        self.is_too_much |= self.bytes > TEXT_BYTES_MAX || self.texts.len() == TEXTS_MAX;
        if !self.is_too_much {
            self.texts.push((kind, text.to_owned()));
        }
    }

    /// Why it cannot be asked, if it cannot.
    pub fn unaskable(&self) -> Option<NoAnswer> {
        let too_much = self.is_too_much.then_some(NoAnswer::TooMuch);
        if self.is_unreadable { Some(NoAnswer::Unreadable) } else { too_much }
    }

    /// The body of the call.
    pub fn body(&self) -> Vec<u8> {
        let texts: Vec<&str> = self.texts.iter().map(|(_, text)| text.as_str()).collect();
        let mut body = serde_json::json!({ "input": texts });
        if let Some(model) = &self.webhook.model {
            body["model"] = model.as_str().into();
        }
        body.to_string().into_bytes()
    }

    /// Reads `answer`: notes a hit for each text that it flags, and gives their number.
    ///
    /// # Errors
    /// It is no answer to this question.
    pub fn read(&self, answer: &[u8], found: &mut Found) -> Result<usize, NoAnswer> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<Verdict>,
        }
        #[derive(Deserialize)]
        struct Verdict {
            flagged: bool,
            #[serde(default)]
            categories: BTreeMap<String, Option<bool>>,
        }
        let answer: Answer = serde_json::from_slice(answer).map_err(|_| NoAnswer::Failed)?;
        if answer.results.len() != self.texts.len() {
            return Err(NoAnswer::Failed);
        }
        let wanted = &self.webhook.categories;
        let mut flagged = 0;
        for ((kind, text), verdict) in self.texts.iter().zip(answer.results) {
            let is_flagged = if wanted.is_empty() {
                verdict.flagged
            } else {
                wanted.iter().any(|name| verdict.categories.get(name) == Some(&Some(true)))
            };
            let Some(part) = self.part(*kind).filter(|_| is_flagged) else { continue };
            flagged += 1;
            found.note(Hit::of_whole(&self.rule, *kind, text, part.action));
        }
        Ok(flagged)
    }

    /// There is no answer: what that means for the prompt.
    pub fn unanswered(&self, found: &mut Found) {
        found.note_unjudged();
        let acts = self.parts.iter().any(|part| part.action != Action::Flag);
        if acts && self.rule.on_error == OnError::Cut {
            found.cut_unjudged(&self.rule);
        }
    }
}
