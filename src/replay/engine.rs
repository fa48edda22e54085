//! One exchange again, offline: the steps of `proxy::drive`, without its sockets and clocks.
//!
//! The steps are those of the driver, in its order, and every decision in them is made by the same
//! function of `exchange/`; what the world did then (which target was asked, in which pieces its
//! answer came, that its connection broke) is taken from the record. Each attempt whose answer was
//! read is run, for what rules found in one that was given up is found all the same.
//!
//! What it cannot do: ask webhooks; obey levers; join the answers of two providers. Such exchanges
//! are told apart by [`Why`].

mod answer;

use super::rules::Rules;
use super::said::spoken;
use crate::evidence::exchange::{Attempt, Exchange, Finding, Missing, field};
use crate::exchange::screen::{
    Done, Found, Media, Prompt, Screened, blocked, cannot_judge, reads_prompts, refused,
    screen_prompt, screen_unread,
};
use crate::filter::Kind;
use crate::table::rules::Judge;
use crate::table::{Family, Midstream, Provider, Table};
use crate::wire::Dialect;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::refusal::{Class, Refusal};
use answer::{Answering, Came};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// What is held whole at most, as the driver holds it.
const HOLD_BYTES_MAX: usize = 16 << 20;
/// How much larger than it came a compressed body may be.
const RATIO_MAX: u32 = 200;

/// Why an exchange, or its answer, cannot be run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The record lacks something.
    Missing(Missing),
    /// Its route is not in the configuration.
    NoRoute(String),
    /// It was refused before rules were asked.
    Refused(String),
    /// A lever acted on it.
    Lever(String),
    /// More than one provider gave the answer.
    Seam,
    /// The client left before the end.
    ClientGone,
    /// It could only be torn down.
    Torn,
    /// Firedoor answered itself.
    OwnAnswer,
    /// The two sides switched protocols.
    Tunnel,
    /// A rule kept its prompt back, so no provider answered.
    NeverAsked,
    /// A rule now keeps the provider's answer back and asks another one.
    AskedElsewhere,
    /// Its request was not recorded whole.
    Streamed,
    /// Its body cannot be read, then as now.
    Unreadable(String),
    /// It asks whom only a running gateway can ask.
    Webhook(String),
}

impl Why {
    /// A name for counts.
    pub fn name(&self) -> &'static str {
        match self {
            Why::Missing(Missing::Beginning) => "no_beginning",
            Why::Missing(Missing::End) => "no_end",
            Why::Missing(Missing::Lines) => "gap",
            Why::Missing(Missing::Texts) => "no_texts",
            Why::NoRoute(_) => "no_route",
            Why::Refused(_) => "refused_before_rules",
            Why::Lever(_) => "lever",
            Why::Seam => "seam",
            Why::ClientGone => "client_gone",
            Why::Torn => "torn",
            Why::OwnAnswer => "own_answer",
            Why::Tunnel => "tunnel",
            Why::NeverAsked => "never_asked",
            Why::AskedElsewhere => "asked_elsewhere",
            Why::Streamed => "streamed",
            Why::Unreadable(_) => "unreadable",
            Why::Webhook(_) => "webhook",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Missing(missing) => missing.fmt(f),
            Why::NoRoute(name) => write!(f, "its route `{name}` is not in the configuration"),
            Why::Refused(class) => write!(f, "it was refused before rules were asked ({class})"),
            Why::Lever(lever) => write!(f, "a lever acted on it ({lever})"),
            Why::Seam => f.write_str("another provider went on with its answer"),
            Why::ClientGone => f.write_str("the client left before the end"),
            Why::Torn => f.write_str("it could only be torn down"),
            Why::OwnAnswer => f.write_str("Firedoor answered itself, no provider did"),
            Why::Tunnel => f.write_str("the two sides switched protocols"),
            Why::NeverAsked => f.write_str("its prompt was kept back then, so nobody answered it"),
            Why::AskedElsewhere => {
                f.write_str("a rule now sends it to another target, which nobody asked then")
            }
            Why::Streamed => f.write_str("its request went through piece by piece, unread"),
            Why::Unreadable(what) => write!(f, "its body cannot be read: {what}"),
            Why::Webhook(rule) => write!(f, "rule `{rule}` asks a judge outside of the gate"),
        }
    }
}

/// How an answer ends in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As it was given.
    Whole,
    /// By a refusal in its place.
    Refused,
    /// In its dialect, before its time.
    Cut,
}

/// What the client gets.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// How it ends.
    pub end: End,
}

/// An exchange that was run again.
#[derive(Debug)]
pub struct Replayed {
    /// Whether rules were in force.
    pub is_judged: bool,
    /// All that rules found.
    pub found: Found,
    /// The prompt, where rules changed it: the provider was asked something else than it would be.
    pub prompt: Option<Vec<u8>>,
    /// What the client gets, or why that cannot be told.
    pub delivered: Result<Delivered, Why>,
}

impl Replayed {
    /// The gravest thing done, as the record says it; `None` if no rules were in force.
    pub fn verdict(&self) -> Option<&'static str> {
        self.is_judged.then(|| Done::verdict(self.found.verdict()))
    }
}

/// Runs an exchange again under `rules`.
///
/// # Errors
/// Nothing of it can be run; else what cannot is told in [`Replayed::delivered`].
pub fn replay(recorded: &Exchange, rules: &Rules) -> Result<Replayed, Why> {
    if let Some(missing) = recorded.missing() {
        return Err(Why::Missing(missing));
    }
    let known = &recorded.known;
    let outcome = known.outcome.as_deref().unwrap_or("");
    let class = known.class.as_deref().unwrap_or("");
    let is_refused = outcome == "refused";
    let lever = || Why::Lever(known.lever.clone().unwrap_or_else(|| class.to_owned()));
    if [Class::Killed.name(), Class::Limited.name()].contains(&class) {
        return Err(match (&known.lever, is_refused) {
            (None, true) => Why::Refused(class.to_owned()),
            (_, _) => lever(),
        });
    }
    let is_by_rule = class == Class::Blocked.name();
    let input = fault(known.fault.as_deref(), class);
    if is_refused && !is_by_rule && (input.is_none() || recorded.attempts.is_empty()) {
        return Err(Why::Refused(class.to_owned()));
    }
    let name = known.route.as_deref().unwrap_or("");
    let judges = rules.judges(recorded).ok_or_else(|| Why::NoRoute(name.to_owned()))?;
    let midstream = rules.route(name).map_or(Midstream::End, |route| route.midstream);
    let mut run = Run {
        recorded,
        table: rules.table(),
        caller: recorded.dialect(),
        judges,
        midstream,
        found: Found::default(),
        goes_on: false,
    };
    let prompt = match run.prompt()? {
        Asked::Refused(refusal) => {
            let delivered = Ok(run.refused(&refusal));
            return Ok(run.done(None, delivered));
        }
        Asked::Goes(prompt) => prompt,
    };
    let delivered = if !known.seams.is_empty() {
        Err(Why::Seam)
    } else if run.goes_on && run.was_asked_at_own() {
        Err(Why::AskedElsewhere)
    } else {
        run.answers(is_by_rule, is_refused, input)
    };
    let delivered = match (outcome, delivered) {
        // What rules make of it now is told all the same, if it ends before what happened then.
        ("client_gone", Ok(_)) if !run.found.is_cut() => Err(Why::ClientGone),
        ("torn", Ok(Delivered { end: End::Whole, .. })) => Err(Why::Torn),
        (_, other) => other,
    };
    Ok(run.done(prompt, delivered))
}

/// What the world did, as far as the record keeps it for a cut or a refusal: a provider that broke.
fn fault(message: Option<&str>, class: &str) -> Option<Refusal> {
    let classes = [Class::BadGateway, Class::Timeout, Class::Unavailable];
    let class = classes.into_iter().find(|known| known.name() == class)?;
    Some(Refusal::new(class, message?.to_owned()))
}

/// What becomes of a prompt.
enum Asked {
    /// A rule refuses it.
    Refused(Refusal),
    /// It is sent, in this form if rules changed it.
    Goes(Option<Vec<u8>>),
}

/// One exchange that is run again.
struct Run<'r> {
    recorded: &'r Exchange,
    table: &'r Table,
    caller: Option<Dialect>,
    judges: Vec<Arc<Judge>>,
    midstream: Midstream,
    found: Found,
    /// Whether a rule sends it past its route's own targets.
    goes_on: bool,
}

impl Run<'_> {
    fn done(self, prompt: Option<Vec<u8>>, delivered: Result<Delivered, Why>) -> Replayed {
        let is_judged = !self.judges.is_empty();
        Replayed { is_judged, found: self.found, prompt, delivered }
    }

    /// What the caller is told by us; of what is passed through its path says the dialect, and
    /// where that says none it is OpenAI's.
    fn refused(&self, refusal: &Refusal) -> Delivered {
        let dialect = self.caller.unwrap_or(Dialect::OpenaiChat);
        let body = refusal.body(dialect, &self.recorded.id);
        Delivered { status: refusal.class.status(), body, end: End::Refused }
    }

    /// Hop 5, as `proxy::drive::guard` does it.
    fn prompt(&mut self) -> Result<Asked, Why> {
        let request = &self.recorded.request;
        let asks =
            |judge: &Arc<Judge>| judge.webhooks().next().map(|(rule, _)| rule.name.to_string());
        if let Some(rule) = self.judges.iter().find_map(asks) {
            return Err(Why::Webhook(rule));
        }
        let raw = &request.body.bytes[..];
        if !reads_prompts(&self.judges) {
            return Ok(Asked::Goes(None));
        }
        let encoding = field(&request.headers, "content-encoding");
        let coding = coding(encoding);
        let unreadable = |what: &str| Why::Unreadable(what.to_owned());
        let is_object = raw.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if self.caller.is_some() || (encoding.is_none() && is_object) {
            let content = plain(coding, raw).ok_or_else(|| unreadable("its content coding"))?;
            if content.is_empty() {
                return Ok(Asked::Goes(None));
            }
            let judged = screen_prompt(&self.judges, self.caller, &content, &|_| false);
            let Prompt { body, found, .. } =
                judged.map_err(|error| Why::Unreadable(error.to_string()))?;
            let is_cut = found.is_cut() && !found.is_reroute();
            self.goes_on |= found.is_reroute();
            let refusal = is_cut.then(|| blocked(&found, "request"));
            self.found.join(found);
            return Ok(refusal.map_or(Asked::Goes(body), Asked::Refused));
        }
        if raw.is_empty() {
            // Without a length it may have been passed on piece by piece; that is not recorded.
            let has_body = field(&request.headers, "content-type").is_some();
            return if has_body { Err(Why::Streamed) } else { Ok(Asked::Goes(None)) };
        }
        let media = Media::of(field(&request.headers, "content-type"));
        let content = plain(coding, raw);
        let Screened { body, found } = match &content {
            Some(content) => screen_unread(&self.judges, media, content),
            None if media == Media::Binary => return Ok(Asked::Goes(None)),
            None => Screened { body: Cow::Borrowed(&b""[..]), found: cannot_judge(&self.judges) },
        };
        let refusal = found.is_cut().then(|| refused(&found, "request"));
        let body = match body {
            Cow::Borrowed(_) => None,
            Cow::Owned(body) => Some(body),
        };
        self.found.join(found);
        Ok(refusal.map_or(Asked::Goes(body), Asked::Refused))
    }

    /// Whether a target was asked that is one of its route's own, no fallback.
    fn was_asked_at_own(&self) -> bool {
        let name = self.recorded.known.route.as_deref().unwrap_or("");
        let route = self.table.routes.iter().find(|route| route.name.as_str() == name);
        let Some(last) = self.recorded.answered() else { return false };
        let target = last.target.as_deref().unwrap_or("");
        route.is_some_and(|route| {
            let mut own = route.targets.iter();
            own.any(|one| *self.table.targets[usize::from(one.target.0)].name == *target)
        })
    }

    /// Whether the answer in the end was the gate's own, behind providers that failed or at once.
    fn was_answered_here(&self) -> bool {
        let name = self.recorded.known.provider.as_deref().unwrap_or("");
        let provider = self.table.providers.iter().find(|one| one.name.as_str() == name);
        provider.is_some_and(|one| matches!(one.family, Family::Canned | Family::Simulated))
    }

    /// Hops 6 to 8: each attempt whose answer was read; the last one is the client's.
    fn answers(
        &mut self,
        is_by_rule: bool,
        is_refused: bool,
        input: Option<Refusal>,
    ) -> Result<Delivered, Why> {
        let recorded = self.recorded;
        let was_cut = |finding: &Finding| finding.action == Done::name(Done::Cut);
        let mut cuts = recorded.known.findings.iter().filter(|finding| was_cut(finding));
        let is_own = self.was_answered_here() && cuts.all(|cut| is_written(&cut.channel));
        if recorded.attempts.is_empty() && is_by_rule && !is_own {
            return Err(Why::NeverAsked);
        }
        if recorded.attempts.is_empty() || is_own {
            return Err(Why::OwnAnswer);
        }
        let Some(last) = recorded.answered() else {
            if recorded.known.outcome.as_deref() == Some("client_gone") {
                return Err(Why::ClientGone);
            }
            // Nobody answered: what is told of that is the record's.
            let refusal = input.ok_or_else(|| Why::Refused("no answer".to_owned()))?;
            return Ok(self.refused(&refusal));
        };
        if last.status == Some(101) {
            return Err(Why::Tunnel);
        }
        let mut delivered = None;
        for attempt in recorded.attempts.iter().filter(|attempt| attempt.status.is_some()) {
            let is_last = std::ptr::eq(attempt, last);
            // Of an answer that was given up for its status nothing was read.
            if !is_last && attempt.received.bytes.is_empty() {
                continue;
            }
            let answering = Answering {
                caller: self.caller,
                source: self.source(attempt),
                judges: &self.judges,
                midstream: self.midstream,
                recorded,
                attempt,
                has_next: !is_last,
                // A refusal is told of what came in the end; a cut breaks the answer off.
                broke: input.as_ref().filter(|_| is_last && !is_refused),
            };
            let (came, found) = answering.run();
            self.found.join(found);
            match came {
                Came::Delivered(body) if is_last => delivered = Some(Ok(body)),
                Came::Refused(refusal) => {
                    return Ok(self.refused(&refusal));
                }
                Came::Elsewhere if is_last => delivered = Some(Err(Why::AskedElsewhere)),
                Came::Unusable(refusal) if is_last => {
                    let refusal = input.clone().filter(|_| is_refused).unwrap_or(refusal);
                    return Ok(self.refused(&refusal));
                }
                Came::Delivered(_) | Came::Elsewhere | Came::Unusable(_) => {}
            }
        }
        // The record says that nothing of it could be used: a connection broke, or nobody was left.
        if is_refused
            && !is_by_rule
            && let Some(refusal) = input
        {
            return Ok(self.refused(&refusal));
        }
        delivered.unwrap_or(Err(Why::OwnAnswer))
    }

    /// The dialect in which an attempt was answered.
    fn source(&self, attempt: &Attempt) -> Option<Dialect> {
        let caller = self.caller?;
        let target = attempt.target.as_deref().unwrap_or("");
        let name = target.split('/').next().unwrap_or("");
        let is_named = |provider: &&Provider| provider.name.as_str() == name;
        match self.table.providers.iter().find(is_named) {
            Some(provider) => Some(provider.dialect_for(caller)),
            // It is not in the configuration any more; what it says tells what it speaks.
            None => Some(spoken(caller, attempt.answer())),
        }
    }
}

/// Whether texts of the channel are an answer's; those of places that are not known may be either's.
pub(super) fn is_written(channel: &str) -> bool {
    let kind = Kind::named(channel).filter(|kind| *kind != Kind::Other);
    kind.is_some_and(Kind::is_read_as_written)
}

/// The content coding that a field names; `None` if it is unknown.
pub(super) fn coding(encoding: Option<&str>) -> Option<Coding> {
    encoding.map_or(Some(Coding::Identity), |name| Coding::parse(name).ok())
}

/// The content of `body`; `None` if its coding cannot be undone.
pub(super) fn plain(coding: Option<Coding>, body: &[u8]) -> Option<Cow<'_, [u8]>> {
    match coding? {
        Coding::Identity => Some(Cow::Borrowed(body)),
        coding => {
            let mut plain = Vec::new();
            // What was too large then was refused, and is no body of the record.
            let mut inflater = Inflater::new(coding, u64::MAX, RATIO_MAX);
            inflater.push(body, &mut plain).and_then(|()| inflater.finish()).ok()?;
            Some(Cow::Owned(plain))
        }
    }
}
