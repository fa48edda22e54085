//! Rules as the gate uses them: packs, and the rulesets that guard routes.
//!
//! A pack is a file of rules under `filters/`. A [`Rulebook`] is what some packs come to together:
//! one compiled ruleset for each stage of rules that are rolled out to a share of the sessions. It
//! is compiled when files are read, never while an exchange waits.

use super::webhook::WebhookPart;
use crate::filter::linear::Model;
use crate::filter::{self, Action, Channels, Kind, Ruleset};
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How far a rule's action is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It only reports.
    Shadow,
    /// It acts on every session.
    Enforce,
    /// It acts on this many of a hundred sessions, always the same ones, and reports on the others.
    Percent(u8),
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mode::Shadow => f.write_str("shadow"),
            Mode::Enforce => f.write_str("enforce"),
            Mode::Percent(share) => write!(f, "{share}%"),
        }
    }
}

/// What becomes of text that could not be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The exchange ends.
    Cut,
    /// It passes, and the record says so.
    Pass,
}

/// Containment that pulls itself: so many hits within a time pull a lever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trip {
    /// Hits.
    pub after: u32,
    /// Within this time.
    pub within: Duration,
    /// What is killed.
    pub kills: TripScope,
}

/// What of the exchange whose hit was one too many is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TripScope {
    /// Its agent.
    Agent,
    /// Its app.
    App,
    /// Its session.
    Session,
    /// Its route.
    Route,
    /// The model that answered.
    Model,
}

/// A rule that hits more than its share of traffic falls back to shadow by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demote {
    /// Share of the exchanges that rules judge, 0 to 1.
    pub above: f64,
    /// Of at least this many exchanges.
    pub of: u32,
    /// Within this time.
    pub within: Duration,
}

/// What a case of a rule expects, from the mildest to the gravest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expect {
    /// No hit.
    Clear,
    /// A hit that is only reported.
    Flag,
    /// A hit that is hidden.
    Redact,
    /// A hit that sends the exchange elsewhere.
    Reroute,
    /// A hit that ends it.
    Cut,
}

impl Expect {
    /// The name as files write it.
    pub fn name(self) -> &'static str {
        match self {
            Expect::Clear => "clear",
            Expect::Flag => "flag",
            Expect::Redact => "redact",
            Expect::Cut => "cut",
            Expect::Reroute => "reroute",
        }
    }

    /// What an action does to a match.
    pub fn of(action: Action) -> Expect {
        match action {
            Action::Flag => Expect::Flag,
            Action::Redact(_) => Expect::Redact,
            Action::Cut => Expect::Cut,
            Action::Reroute => Expect::Reroute,
        }
    }
}

/// A test beside a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The text.
    pub text: String,
    /// The kind of text that it is; `None` for the first that the rule looks at.
    pub channel: Option<Kind>,
    /// What the rule does about it.
    pub expect: Expect,
    /// The line of its pack, for reports.
    pub line: usize,
}

/// A model over whole texts: it has no live prefix, so it judges what comes in, and reports only on
/// what is written whole.
#[derive(Clone, Debug)]
pub struct ModelPart {
    /// The model.
    pub model: Arc<Model>,
    /// The score above which a text is suspected.
    pub above: f32,
    /// The kinds of text that it reads.
    pub channels: Channels,
    /// What happens to a suspected text.
    pub action: Action,
}

/// One rule of a pack.
#[derive(Clone, Debug)]
pub struct PackRule {
    /// `pack/id`.
    pub name: Arc<str>,
    /// What it is for.
    pub about: String,
    /// What it looks for: one part for each action that it takes on some kinds of text.
    pub parts: Vec<filter::Rule>,
    /// What a model scores.
    pub models: Vec<ModelPart>,
    /// What a judge outside of the gate flags.
    pub webhooks: Vec<WebhookPart>,
    /// How far it is in force.
    pub mode: Mode,
    /// What becomes of text that could not be judged.
    pub on_error: OnError,
    /// Containment that pulls itself.
    pub trip: Option<Trip>,
    /// When it falls back to shadow.
    pub demote: Option<Demote>,
    /// References to catalogues of risks.
    pub tags: Vec<String>,
    /// Its tests.
    pub cases: Vec<Case>,
}

impl PackRule {
    /// The kinds of text that it looks at.
    pub fn channels(&self) -> Channels {
        Kind::ALL
            .into_iter()
            .filter(|kind| {
                self.parts.iter().any(|part| part.channels.has(*kind))
                    || self.models.iter().any(|part| part.channels.has(*kind))
                    || self.webhooks.iter().any(|part| part.channels.has(*kind))
            })
            .collect()
    }
}

/// One pack.
#[derive(Clone, Debug)]
pub struct Pack {
    /// Its name.
    pub name: Arc<str>,
    /// What it is for.
    pub about: String,
    /// Where it lies; `None` for one that is built in.
    pub file: Option<std::path::PathBuf>,
    /// BLAKE3 of its text.
    pub digest: [u8; 32],
    /// Its rules.
    pub rules: Vec<Arc<PackRule>>,
}

/// What some packs come to together.
#[derive(Debug)]
pub struct Rulebook {
    /// The packs, by name.
    pub packs: Vec<Arc<str>>,
    /// Their rules.
    pub rules: Vec<Arc<PackRule>>,
    /// Names what they come to: 32 hexadecimal digits, the same for the same texts of packs, the
    /// same rules of them, and the same of these in force.
    pub digest: Arc<str>,
    /// In ascending order of `below`; the last is for all.
    stages: Vec<Stage>,
}

/// The ruleset of some of a hundred sessions.
#[derive(Debug)]
struct Stage {
    /// For sessions below this number.
    below: u8,
    judge: Arc<Judge>,
}

/// A compiled ruleset, and what its rules are.
#[derive(Debug)]
pub struct Judge {
    /// Names it among all that this process ever compiled.
    pub id: u64,
    /// The ruleset.
    pub ruleset: Ruleset,
    /// By number in the ruleset: the rule, and its action here.
    origins: Vec<(Arc<PackRule>, Action)>,
    /// Models, and what they do here.
    models: Vec<(Arc<PackRule>, ModelPart)>,
    /// Judges outside of the gate, and what they do here.
    webhooks: Vec<(Arc<PackRule>, WebhookPart)>,
    /// Kinds of text of which none may leave unjudged.
    cuts_unjudged: Channels,
    reroutes: Reroutes,
}

/// Which rules of a judge reroute. A reroute stops the text that it is found in, but a prompt goes
/// elsewhere only as the other rules let it leave: they read it to its end.
#[derive(Debug)]
pub enum Reroutes {
    /// None.
    None,
    /// All that read text by its characters.
    All,
    /// Some.
    Apart {
        /// These alone.
        rerouting: Arc<Judge>,
        /// The others alone.
        others: Arc<Judge>,
    },
}

/// What a rulebook's rules do in one stage, each with the rule.
#[derive(Default)]
struct Acts {
    parts: Vec<(Arc<PackRule>, filter::Rule)>,
    models: Vec<(Arc<PackRule>, ModelPart)>,
    webhooks: Vec<(Arc<PackRule>, WebhookPart)>,
}

#[cfg(test)]
fn pack_rule(name: &str, parts: Vec<filter::Rule>) -> PackRule {
    PackRule {
        name: name.into(),
        about: String::new(),
        parts,
        models: Vec::new(),
        webhooks: Vec::new(),
        mode: Mode::Enforce,
        on_error: OnError::Cut,
        trip: None,
        demote: None,
        tags: Vec::new(),
        cases: Vec::new(),
    }
}

impl Judge {
    fn compile(acts: Acts) -> Result<Judge, Vec<filter::Complaint>> {
        let Acts { parts, models, webhooks } = acts;
        let bare: Vec<filter::Rule> = parts.iter().map(|(_, part)| part.clone()).collect();
        let ruleset = filter::compile(&bare)?;
        let cuts = |(rule, part): &&(Arc<PackRule>, filter::Rule)| {
            rule.on_error == OnError::Cut && part.action != Action::Flag
        };
        let cutting = || parts.iter().filter(cuts);
        let kinds = Kind::ALL.into_iter();
        let cuts_unjudged =
            kinds.filter(|kind| cutting().any(|(_, part)| part.channels.has(*kind))).collect();
        let origins = parts.iter().map(|(rule, part)| (Arc::clone(rule), part.action)).collect();
        let id = JUDGES.fetch_add(1, Ordering::Relaxed);
        let (rerouting, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|(_, part)| part.action == Action::Reroute);
        let reroutes = match (rerouting.is_empty(), others.is_empty()) {
            (true, _) => Reroutes::None,
            (false, true) => Reroutes::All,
            (false, false) => {
                let rerouting = Acts { parts: rerouting, ..Acts::default() };
                let models = models.clone();
                let others = Acts { parts: others, models, ..Acts::default() };
                Reroutes::Apart {
                    rerouting: Arc::new(Judge::compile(rerouting)?),
                    others: Arc::new(Judge::compile(others)?),
                }
            }
        };
        Ok(Judge { id, ruleset, origins, models, webhooks, cuts_unjudged, reroutes })
    }

    /// The models that read texts of a kind.
    pub fn models(&self, kind: Kind) -> impl Iterator<Item = (&Arc<PackRule>, &ModelPart)> {
        let reads = move |(_, part): &&(Arc<PackRule>, ModelPart)| part.channels.has(kind);
        self.models.iter().filter(reads).map(|(rule, part)| (rule, part))
    }

    /// The judges outside of the gate.
    pub fn webhooks(&self) -> impl Iterator<Item = (&Arc<PackRule>, &WebhookPart)> {
        self.webhooks.iter().map(|(rule, part)| (rule, part))
    }

    /// Whether anything of the gate's own here reads texts of a kind.
    pub fn reads(&self, kind: Kind) -> bool {
        self.ruleset.engine(kind).is_some() || self.models(kind).next().is_some()
    }

    /// Whether every rule does what its pack says when it is in force.
    fn is_as_written(&self) -> bool {
        let acts = |(rule, _): &(Arc<PackRule>, Action)| {
            let own = self.origins.iter().filter(|(other, _)| Arc::ptr_eq(other, rule));
            own.map(|(_, action)| *action).eq(rule.parts.iter().map(|part| part.action))
        };
        self.origins.iter().all(acts)
    }

    /// A judge of bare rules, for tests.
    #[cfg(test)]
    pub fn of(rules: &[filter::Rule]) -> Judge {
        let origin =
            |rule: &filter::Rule| (Arc::new(pack_rule(&rule.id, vec![rule.clone()])), rule.action);
        Judge {
            id: JUDGES.fetch_add(1, Ordering::Relaxed),
            ruleset: filter::compile(rules).unwrap_or_else(|wrong| panic!("{wrong:?}")),
            origins: rules.iter().map(origin).collect(),
            models: Vec::new(),
            webhooks: Vec::new(),
            cuts_unjudged: Channels::ALL,
            reroutes: Reroutes::None,
        }
    }

    /// A judge of one rule that asks outside, for tests.
    #[cfg(test)]
    pub fn outside(channels: Channels) -> Judge {
        let url = crate::table::BaseUrl {
            tls: false,
            host: "judge.test".into(),
            port: 80,
            authority: http::HeaderValue::from_static("judge.test"),
            path: "".into(),
        };
        let webhook = Arc::new(super::webhook::Webhook {
            shown: String::new(),
            url,
            headers: Vec::new(),
            model: None,
            categories: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
        });
        let mut judge = Judge::of(&[]);
        let part = WebhookPart { webhook, channels, action: Action::Cut };
        judge.webhooks.push((Arc::new(pack_rule("outside/moderation", Vec::new())), part));
        judge
    }

    /// Which of its rules reroute.
    pub fn reroutes(&self) -> &Reroutes {
        &self.reroutes
    }

    /// Whether text that could not be judged ends the exchange.
    pub fn cuts_unjudged(&self, kind: Kind) -> bool {
        self.cuts_unjudged.has(kind)
    }

    /// The rule with this number in the ruleset, and what it does.
    pub fn origin(&self, number: usize) -> Option<(&Arc<PackRule>, Action)> {
        self.origins.get(number).map(|(rule, action)| (rule, *action))
    }
}

static JUDGES: AtomicU64 = AtomicU64::new(1);

/// How many sessions are told apart by staged rules.
pub const SHARES: u8 = 100;

/// The number of a session among [`SHARES`], always the same for one session; what has none is told
/// by the id of its exchange.
pub fn share_of(session: &str) -> u8 {
    // FNV-1a: the same in every process, so that a session stays where it is.
    let hash = session.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    ((hash >> 32) % u64::from(SHARES)) as u8
}

/// Names what some rules of some packs come to.
fn digest(packs: &[Arc<Pack>], rules: &[Arc<PackRule>], shadowed: &HashSet<String>) -> Arc<str> {
    let mut hasher = blake3::Hasher::new();
    for pack in packs {
        hasher.update(&pack.digest);
    }
    for rule in rules {
        hasher.update(rule.name.as_bytes());
        let mode = match rule.mode {
            Mode::Shadow => 0,
            Mode::Percent(share) => share.min(SHARES),
            Mode::Enforce => SHARES + 1,
        };
        // No name has either of these in it.
        let is_shadowed = u8::from(shadowed.contains(&*rule.name));
        hasher.update(&[0xFE, is_shadowed, mode, 0xFF]);
    }
    crate::id::hex(&hasher.finalize().as_bytes()[..16]).into()
}

impl Rulebook {
    /// Compiles `packs`; rules that `shadowed` names only report. Gives no book if a complaint is
    /// an error. Complaints count the parts of all rules in the order of the packs.
    pub fn compile(
        packs: &[Arc<Pack>],
        shadowed: &HashSet<String>,
    ) -> (Option<Rulebook>, Vec<filter::Complaint>) {
        let rules: Vec<Arc<PackRule>> =
            packs.iter().flat_map(|pack| &pack.rules).map(Arc::clone).collect();
        let mut borders: Vec<u8> = rules
            .iter()
            .filter_map(|rule| match rule.mode {
                Mode::Percent(share) if (1..SHARES).contains(&share) => Some(share),
                Mode::Percent(_) | Mode::Shadow | Mode::Enforce => None,
            })
            .collect();
        borders.push(SHARES);
        borders.sort_unstable();
        borders.dedup();
        let mut stages = Vec::with_capacity(borders.len());
        let mut said = Vec::new();
        for below in borders {
            let mut acts = Acts::default();
            for rule in &rules {
                let is_acting = !shadowed.contains(&*rule.name)
                    && match rule.mode {
                        Mode::Shadow => false,
                        Mode::Enforce => true,
                        Mode::Percent(share) => share >= below,
                    };
                let action = |own: Action| if is_acting { own } else { Action::Flag };
                for part in &rule.parts {
                    let part = filter::Rule { action: action(part.action), ..part.clone() };
                    acts.parts.push((Arc::clone(rule), part));
                }
                for part in &rule.models {
                    let part = ModelPart { action: action(part.action), ..part.clone() };
                    acts.models.push((Arc::clone(rule), part));
                }
                for part in &rule.webhooks {
                    let part = WebhookPart { action: action(part.action), ..part.clone() };
                    acts.webhooks.push((Arc::clone(rule), part));
                }
            }
            let judge = match Judge::compile(acts) {
                Ok(judge) => judge,
                Err(complaints) => return (None, complaints),
            };
            said = judge.ruleset.warnings().to_vec();
            stages.push(Stage { below, judge: Arc::new(judge) });
        }
        let digest = digest(packs, &rules, shadowed);
        let packs = packs.iter().map(|pack| Arc::clone(&pack.name)).collect();
        (Some(Rulebook { packs, rules, digest, stages }), said)
    }

    /// Fills the automata's caches with what ordinary text needs, so that the first exchanges under
    /// these rules are not slow. Takes its time: not for a thread of the data path.
    pub fn warm(&self) {
        for engine in self.rulesets().flat_map(Ruleset::engines) {
            engine.warm();
        }
    }

    /// The rulesets of all stages.
    pub fn rulesets(&self) -> impl Iterator<Item = &Ruleset> {
        self.stages.iter().flat_map(|stage| {
            let apart = match &stage.judge.reroutes {
                Reroutes::None | Reroutes::All => [None, None],
                Reroutes::Apart { rerouting, others } => [Some(rerouting), Some(others)],
            };
            let judges = std::iter::once(&stage.judge).chain(apart.into_iter().flatten());
            judges.map(|judge| &judge.ruleset)
        })
    }

    /// The same rules, all in force whatever their mode; `None` if they do not compile so.
    pub fn enforcing(self: Arc<Self>) -> Option<Arc<Rulebook>> {
        let acts = |rule: &Arc<PackRule>| rule.mode == Mode::Enforce;
        let is_so = self.judge(0).is_some_and(|judge| judge.is_as_written());
        if is_so && self.rules.iter().all(acts) {
            return Some(self);
        }
        let enforced =
            |rule: &Arc<PackRule>| Arc::new(PackRule { mode: Mode::Enforce, ..(**rule).clone() });
        let pack = Pack {
            name: self.packs.first().map_or_else(|| "rules".into(), Arc::clone),
            about: String::new(),
            file: None,
            digest: blake3::hash(self.digest.as_bytes()).into(),
            rules: self.rules.iter().map(enforced).collect(),
        };
        Rulebook::compile(&[Arc::new(pack)], &HashSet::new()).0.map(Arc::new)
    }

    /// A rulebook of one rule, in force whatever its mode; `None` if it does not compile alone.
    pub fn of_rule(pack: &Pack, rule: &PackRule) -> Option<Rulebook> {
        let rule = PackRule { mode: Mode::Enforce, ..rule.clone() };
        let one = Pack { rules: vec![Arc::new(rule)], ..pack.clone() };
        Rulebook::compile(&[Arc::new(one)], &HashSet::new()).0
    }

    /// What judges a session; `share` is its number, below [`SHARES`].
    pub fn judge(&self, share: u8) -> Option<&Arc<Judge>> {
        self.stages.iter().find(|stage| share < stage.below).map(|stage| &stage.judge)
    }
}
