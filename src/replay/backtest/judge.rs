//! One exchange under candidate rules: all of its texts that the gate would judge.

use super::Progress;
use super::report::{Report, Unjudged};
use super::samples;
use crate::clock::Tick;
use crate::evidence::exchange::{Answer, Exchange, Missing, field};
use crate::exchange::relay::{CallHold, Plan, Relay, is_clear};
use crate::exchange::screen::{
    Digest, Found, Media, Screened, cannot_judge, reads_answers, reads_prompts, screen_answered,
    screen_prompt, screen_unread,
};
use crate::replay::engine::{coding, plain};
use crate::replay::said::spoken;
use crate::table::lever::KilledTools;
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::coding::Coding;
use crate::wire::framing::Framing;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The most messages without a finding that a thread remembers, twice.
const KNOWN_MAX: usize = 512 << 10;

/// Messages in which nothing was found; the older half is forgotten when there are too many.
#[derive(Default)]
struct Known {
    newer: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl Known {
    fn has(&self, digest: &Digest) -> bool {
        self.newer.contains(digest) || self.older.contains(digest)
    }

    fn add(&mut self, digest: Digest) {
        if self.newer.len() >= KNOWN_MAX {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(digest);
    }
}

/// What rules find in an exchange.
#[derive(Debug, Default)]
pub struct Judged {
    /// All of it.
    pub found: Found,
    /// Bytes of bodies that were looked at.
    pub text_bytes: u64,
}

/// Judges exchange after exchange, on one thread.
pub(super) struct Judging<'j> {
    judges: &'j [Arc<Judge>],
    reads_prompts: bool,
    reads_unread: bool,
    known: RefCell<Known>,
    samples_max: usize,
}

impl<'j> Judging<'j> {
    pub(super) fn new(judges: &'j [Arc<Judge>], samples_max: usize) -> Judging<'j> {
        Judging {
            judges,
            reads_prompts: reads_prompts(judges),
            reads_unread: reads_answers(judges),
            known: RefCell::default(),
            samples_max,
        }
    }

    /// Judges an exchange and counts it.
    pub(super) fn see(&mut self, recorded: &Exchange, report: &mut Report, progress: &Progress) {
        progress.exchanges.fetch_add(1, Ordering::Relaxed);
        match self.judge(recorded) {
            Err(unjudged) => report.unjudged(unjudged),
            Ok(Judged { found, text_bytes }) => {
                progress.text_bytes.fetch_add(text_bytes, Ordering::Relaxed);
                let hits = u64::from(found.count()).saturating_sub(u64::from(found.unjudged));
                progress.hits.fetch_add(hits, Ordering::Relaxed);
                let wants = report.wants_samples(&found, self.samples_max);
                report.judged(recorded, &found, text_bytes);
                if !wants.is_empty() {
                    let samples = samples::of(recorded, self.judges, &wants, self.samples_max);
                    report.add_samples(samples, self.samples_max);
                }
            }
        }
    }

    fn judge(&self, recorded: &Exchange) -> Result<Judged, Unjudged> {
        let has_texts = !recorded.request.body.bytes.is_empty()
            || !recorded.delivered.body.bytes.is_empty()
            || recorded.attempts.iter().any(|attempt| !attempt.received.bytes.is_empty());
        if !has_texts && recorded.missing() == Some(Missing::Texts) {
            return Err(Unjudged::NoTexts);
        }
        let caller = recorded.dialect();
        let mut judged = Judged::default();
        let prompt = self.prompt(recorded, caller, &mut judged);
        let answered = recorded.attempts.iter().filter(|one| !one.received.bytes.is_empty());
        let mut is_answered = false;
        for attempt in answered {
            is_answered = true;
            // As its provider says it; what the client got is a translation of it.
            let source = match caller {
                Some(caller) if !recorded.passed_on(attempt) => {
                    Some(spoken(caller, attempt.answer()))
                }
                same => same,
            };
            self.answer(recorded, source, attempt.answer(), &mut judged);
        }
        if !is_answered && is_own_answer(recorded) {
            self.answer(recorded, caller, recorded.delivered.answer(), &mut judged);
        }
        match prompt {
            // What cannot be read was refused, and nobody answered it.
            Err(unjudged) if !is_answered => Err(unjudged),
            Err(_) | Ok(()) => Ok(judged),
        }
    }

    fn prompt(
        &self,
        recorded: &Exchange,
        caller: Option<Dialect>,
        judged: &mut Judged,
    ) -> Result<(), Unjudged> {
        let request = &recorded.request;
        let raw = &request.body.bytes[..];
        if !self.reads_prompts || raw.is_empty() {
            return Ok(());
        }
        let encoding = field(&request.headers, "content-encoding");
        let content = plain(coding(encoding), raw).ok_or(Unjudged::Unreadable)?;
        judged.text_bytes += content.len() as u64;
        let first = content.iter().find(|byte| !byte.is_ascii_whitespace());
        if caller.is_some() || encoding.is_none() && first == Some(&b'{') {
            let known = |digest: &Digest| self.known.borrow().has(digest);
            let prompt = screen_prompt(self.judges, caller, &content, &known)
                .map_err(|_| Unjudged::Unreadable)?;
            let mut known = self.known.borrow_mut();
            for digest in prompt.clear {
                known.add(digest);
            }
            judged.found.join(prompt.found);
            return Ok(());
        }
        let media = Media::of(field(&request.headers, "content-type"));
        judged.found.join(screen_unread(self.judges, media, &content).found);
        Ok(())
    }

    fn answer(
        &self,
        recorded: &Exchange,
        source: Option<Dialect>,
        answer: Answer<'_>,
        judged: &mut Judged,
    ) {
        judged.text_bytes += answer.body.bytes.len() as u64;
        let kind = answer.field("content-type");
        let is = |framing: Framing| kind.is_some_and(|kind| framing.is_named_by(kind));
        let coding = coding(answer.field("content-encoding"));
        let Some(dialect) = source else {
            return self.unread(answer, coding, judged);
        };
        let is_stream = is(dialect.framing());
        let is_array = dialect == Dialect::Gemini
            && recorded.known.stream
            && is(Framing::JsonArray)
            && answer.body.bytes.trim_ascii_start().starts_with(b"[");
        let (Some(coding), true) = (coding, is_stream || is_array) else {
            let Some(content) = plain(coding, &answer.body.bytes) else {
                judged.found.note_unjudged();
                return;
            };
            let is_success = answer.status.is_none_or(|status| (200..300).contains(&status));
            judged.found.join(screen_answered(self.judges, dialect, is_success, &content).found);
            return;
        };
        let plan = Plan {
            tells_usage: true,
            began_s: 0,
            client: dialect,
            source: dialect,
            coding,
            killed: KilledTools::default(),
            calls: CallHold::Never,
            judges: self.judges.to_vec(),
        };
        let framing = if is_array { Framing::JsonArray } else { dialect.framing() };
        if is_clear(&plan, framing, &answer.body.bytes) {
            return;
        }
        let mut relay = if is_array {
            Relay::of_array(coding, self.judges.to_vec())
        } else {
            Relay::with(&plan)
        };
        let (now, mut out) = (Tick::default(), Vec::with_capacity(answer.body.bytes.len()));
        // The verdict does not depend on the pieces, so one is enough. A stream that broke off
        // breaks off here too, and what was found until then is found.
        let _ =
            relay.bytes(&answer.body.bytes, now, &mut out).and_then(|()| relay.end(now, &mut out));
        judged.found.join(relay.found().cloned().unwrap_or_default());
    }

    /// An answer of no dialect.
    fn unread(&self, answer: Answer<'_>, coding: Option<Coding>, judged: &mut Judged) {
        let media = Media::of(answer.field("content-type"));
        if !self.reads_unread || media == Media::Binary {
            return;
        }
        let content = plain(coding, &answer.body.bytes).filter(|_| media != Media::Frames);
        let Screened { found, .. } = match &content {
            Some(content) => screen_unread(self.judges, media, content),
            None => Screened { body: [].as_slice().into(), found: cannot_judge(self.judges) },
        };
        judged.found.join(found);
    }
}

/// Whether what the client got is an answer of Firedoor's own, no refusal.
fn is_own_answer(recorded: &Exchange) -> bool {
    let outcome = recorded.known.outcome.as_deref();
    !recorded.delivered.body.bytes.is_empty() && outcome != Some("refused")
}
