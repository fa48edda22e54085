//! Prompts under rules: every text of a request is judged before it is sent to anybody.
//!
//! Texts that a model reads as one are judged as one; a match that is hidden across two parts is
//! hidden in both. A message that was judged before, by the same rules, need not be judged again:
//! agents send their whole history with each turn.

use super::found::Found;
use super::run::{Fed, Runs};
use crate::table::rules::Judge;
use crate::wire::Dialect;
use crate::wire::event::{Channel, Kind};
use crate::wire::request::BodyError;
use crate::wire::segments::{Edit, Go, Join, Segment, Step, redact, walk};
use std::borrow::Cow;
use std::sync::Arc;

/// What names a message in all requests that bring it.
pub type Digest = [u8; 32];

/// A prompt as rules let it leave.
#[derive(Debug)]
pub struct Prompt {
    /// The body, if it is not the caller's own bytes.
    pub body: Option<Vec<u8>>,
    /// What was found; the prompt must not leave if it is cut, and goes elsewhere if it is rerouted.
    pub found: Found,
    /// The messages in which nothing was found.
    pub clear: Vec<Digest>,
}

/// Whether some of `judges` look at requests at all.
pub fn reads_prompts(judges: &[Arc<Judge>]) -> bool {
    const KINDS: [Kind; 10] = [
        Kind::System,
        Kind::User,
        Kind::History,
        Kind::Document,
        Kind::ToolResult,
        Kind::ToolDefinition,
        Kind::ToolName,
        Kind::ToolArguments,
        Kind::Citation,
        Kind::Other,
    ];
    judges.iter().any(|judge| KINDS.iter().any(|kind| judge.reads(*kind)))
}

/// Whether some of `judges` look at what is not understood in an answer.
pub fn reads_answers(judges: &[Arc<Judge>]) -> bool {
    judges.iter().any(|judge| judge.reads(Kind::Other))
}

/// Judges `body`, a request in `dialect`; `is_known` says whether nothing was found in a message
/// before, by the same judges.
///
/// # Errors
/// The body cannot be read as what it says it is.
pub fn screen_prompt(
    judges: &[Arc<Judge>],
    dialect: Option<Dialect>,
    body: &[u8],
    is_known: &dyn Fn(&Digest) -> bool,
) -> Result<Prompt, BodyError> {
    let mut walker = Walker {
        runs: Runs::of_prompt(judges.iter().map(Arc::clone)),
        found: Found::in_prompt(),
        edits: Vec::new(),
        clear: Vec::new(),
        message: None,
        run: None,
        begun: 0,
    };
    walk(dialect, body, &mut |step| walker.step(step, is_known))?;
    walker.end_message();
    let Walker { found, edits, clear, .. } = walker;
    let body = (!edits.is_empty() && !found.is_cut()).then(|| redact(body, edits));
    Ok(Prompt { body, found, clear })
}

struct Walker {
    runs: Runs,
    found: Found,
    edits: Vec<Edit>,
    clear: Vec<Digest>,
    /// The message at hand, and how much was found before it.
    message: Option<(Digest, u32)>,
    run: Option<Run>,
    /// Runs begun.
    begun: u32,
}

/// Some texts that a model reads as one.
struct Run {
    channel: Channel,
    parts: Vec<Part>,
    /// All of it, for models.
    text: String,
    /// How much had been hidden before it.
    hidden: u32,
}

struct Part {
    segment: Segment<'static>,
    fed: Fed,
}

impl Walker {
    fn step(&mut self, step: Step<'_>, is_known: &dyn Fn(&Digest) -> bool) -> Go {
        match step {
            Step::Message(message) => {
                self.end_message();
                if self.found.is_cut() {
                    return Go::Stop;
                }
                let digest = message.digest();
                if is_known(&digest) {
                    return Go::Past;
                }
                self.message = Some((digest, self.found.count()));
                Go::On
            }
            Step::Segment(segment) => {
                self.segment(&segment);
                if self.found.is_cut() { Go::Stop } else { Go::On }
            }
        }
    }

    fn segment(&mut self, segment: &Segment<'_>) {
        if segment.join == Join::Alone {
            let fed = self.runs.whole(segment.kind, &segment.text, &mut self.found);
            if let Fed::Instead(with) = fed {
                self.edit(segment, &with);
            }
            return;
        }
        if segment.join == Join::Begins || self.run.is_none() {
            self.end_run();
            self.begun += 1;
            let [high, low] = [(self.begun >> 16) as u16, self.begun as u16];
            let channel = Channel { choice: high, block: low, part: 0, kind: segment.kind };
            let hidden = self.found.redactions;
            self.run = Some(Run { channel, parts: Vec::new(), text: String::new(), hidden });
        }
        let Some(run) = &mut self.run else { return };
        run.text.push_str(&segment.text);
        let fed = self.runs.feed(run.channel.into(), &segment.text, &mut self.found);
        let segment = Segment {
            kind: segment.kind,
            message: segment.message,
            join: segment.join,
            text: Cow::Borrowed(""),
            at: segment.at,
            span: segment.span,
            nested: segment.nested,
        };
        run.parts.push(Part { segment, fed });
    }

    fn edit(&mut self, segment: &Segment<'_>, with: &str) {
        match segment.edit(with) {
            Some(edit) => self.edits.push(edit),
            None => self.found.cut_unchangeable(),
        }
    }

    fn end_run(&mut self) {
        let Some(mut run) = self.run.take() else { return };
        self.runs.models(run.channel.kind, &run.text, &mut self.found);
        let mut lead = Vec::new();
        self.runs.finish(|line| line == run.channel.into(), &mut self.found, &mut lead);
        if let Some(last) = run.parts.last_mut()
            && let Fed::Instead(text) = &mut last.fed
        {
            for rest in &lead {
                text.push_str(&rest.text);
            }
        }
        // Text that only waited for its decision stands where it stood.
        if self.found.redactions == run.hidden {
            return;
        }
        for part in run.parts {
            if let Fed::Instead(with) = part.fed {
                self.edit(&part.segment, &with);
            }
        }
    }

    fn end_message(&mut self) {
        self.end_run();
        // The next one is judged by itself, whether this one was read or is known.
        self.runs.forget_held();
        // A walk that is cut has not read all of it.
        if let Some((digest, before)) = self.message.take()
            && self.found.count() == before
            && !self.found.is_cut()
        {
            self.clear.push(digest);
        }
    }
}
