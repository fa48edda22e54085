//! The record searched by reading it, without an index.
//!
//! It finds what the index finds, asked in the same words, and what no index may hold: texts that
//! are sealed to somebody ([`originals`](crate::evidence::originals)), for whoever has the identity.
//! What is asked of names and numbers is looked at first, so that texts are read only of exchanges
//! that it leaves.
//!
//! What always holds: the newest that fit are told, a bounded number of them, and whether there are
//! more. As in the index, what was said in earlier turns of a session counts for those; which exchange
//! is the first of a session is known only at the end, as they are met in the order in which they end.
//!
//! What it cannot do: find documents that an application attached to a session rather than to an
//! exchange, or words that run over the border of two texts, as the index does.

use super::gather::{Fragment, Gatherer, Select};
use super::walk::{Walked, joined, numbers, shares, through};
use crate::evidence::age::Identity;
use crate::evidence::exchange::{Exchange, Times, Wants};
use crate::evidence::index::{Row, Snippet, snippets_of};
use crate::evidence::line;
use crate::evidence::originals::Originals;
use crate::evidence::query::{Ask, Query, Seen, Term};
use crate::evidence::texts::{self, Answer, Part, Said};
use crate::id::ExchangeId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The most sessions that are remembered; of others every turn is read whole.
const SESSIONS_MAX: usize = 4 << 20;
/// How many more than are told are kept of those that may turn out not to fit.
const DOUBTFUL_MAX: usize = 1_000;

/// What a search is.
#[derive(Debug)]
pub struct Search<'s> {
    /// What is asked for.
    pub query: &'s Query,
    /// Who may read what is sealed.
    pub identity: Option<Arc<Identity>>,
    /// The most that are told.
    pub limit: usize,
    /// The most snippets of each.
    pub snippets_max: usize,
    /// How many threads read.
    pub threads: usize,
    /// The most bytes of exchanges that are not whole that are held.
    pub pending_bytes_max: usize,
}

/// How far a search is. Shared with whoever tells it.
#[derive(Debug, Default)]
pub struct Far {
    /// Bytes of segments on disk that were read.
    pub disk_bytes: AtomicU64,
    /// Exchanges that fit, or may.
    pub found: AtomicU64,
    /// Set to end it early, with what there is.
    pub stop: AtomicBool,
}

/// An exchange that fits.
#[derive(Debug)]
pub struct Hit {
    /// What there is to say of it.
    pub row: Row,
    /// Where the words stand.
    pub snippets: Vec<Snippet>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The newest, newest first.
    pub hits: Vec<Hit>,
    /// Whether there are more.
    pub more: bool,
    /// Parts that are sealed for others than the identity.
    pub closed: usize,
    /// How far it came.
    pub walked: Walked,
}

impl Search<'_> {
    /// Reads the segments of `folder`. Each thread reads those of a stretch of time.
    ///
    /// # Errors
    /// The folder or a segment cannot be read.
    pub fn run(&self, folder: &Path, far: &Far) -> io::Result<Found> {
        let select = self.select();
        let numbers = numbers(folder, select.since.as_deref())?;
        let shares = shares(folder, &numbers, self.threads);
        let most = Most {
            hits: self.limit.saturating_add(1 + DOUBTFUL_MAX),
            doubtful: self.limit.saturating_add(DOUBTFUL_MAX),
            sessions: SESSIONS_MAX / shares.len().max(1),
            pending_bytes: self.pending_bytes_max / shares.len().max(1),
        };
        let hasher = RandomState::new();
        let mut all = Reading::new(self, &hasher, &most);
        let begin = || Reading::new(self, &hasher, &most);
        let mut rests: Vec<Rest> = Vec::new();
        for part in self.each(folder, &shares, &begin, None, far) {
            let (part, rest) = part?;
            all.join(part);
            rests.push(rest);
        }
        let (begun, late): (BTreeMap<_, _>, BTreeMap<_, _>) =
            joined(rests).into_iter().partition(|(_, left)| left.has_beginning());
        for left in begun.into_values() {
            all.take(left.finish(), far);
        }
        if late.is_empty() || all.walked.is_partial || !self.asks_for_texts() {
            return Ok(all.finish(self.limit));
        }
        // To these something was attached behind their ends.
        let late: Arc<HashSet<Box<str>>> = Arc::new(late.into_keys().collect());
        let mut rests = Vec::new();
        for part in self.each(folder, &shares, &begin, Some(&late), far) {
            let (part, rest) = part?;
            all.walked.is_partial |= part.walked.is_partial;
            rests.push(rest);
        }
        for left in joined(rests).into_values().filter(Fragment::has_beginning) {
            let exchange = left.finish();
            all.forget(&exchange);
            all.take(exchange, far);
        }
        Ok(all.finish(self.limit))
    }

    /// Reads shares of the segments, each with a thread; `only` exchanges with these ids, if there are any.
    fn each<'s>(
        &self,
        folder: &Path,
        shares: &[&[u64]],
        begin: &(impl Fn() -> Reading<'s> + Sync),
        only: Option<&Arc<HashSet<Box<str>>>>,
        far: &Far,
    ) -> Vec<io::Result<(Reading<'s>, Rest)>> {
        let read = |numbers: &[u64]| {
            let mut part = begin();
            let wants = Wants {
                times: Times::PassedOver,
                originals: self.identity.is_some() && self.asks_for_texts(),
                identity: self.identity.clone().filter(|_| self.asks_for_texts()),
            };
            let mut gatherer = Gatherer::new(self.select(), wants, part.most.pending_bytes);
            if let Some(only) = only {
                gatherer = gatherer.only(Arc::clone(only));
            }
            for number in numbers {
                let mut told = 0;
                let walked =
                    through(folder, &[*number], &mut gatherer, &mut |exchange, walked| {
                        part.take(exchange, far);
                        far.disk_bytes.fetch_add(walked.disk_bytes - told, Ordering::Relaxed);
                        told = walked.disk_bytes;
                        far.go_on()
                    })?;
                part.walked.join(Walked { given_up: 0, ..walked });
                if far.go_on().is_break() {
                    part.walked.is_partial = true;
                    break;
                }
            }
            part.walked.given_up = gatherer.given_up;
            Ok((part, gatherer.rest()))
        };
        std::thread::scope(|scope| {
            let read = &read;
            let threads: Vec<_> =
                shares.iter().map(|share| scope.spawn(move || read(share))).collect();
            let ended = threads.into_iter().map(|thread| match thread.join() {
                Ok(part) => part,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            ended.collect()
        })
    }

    fn asks_for_texts(&self) -> bool {
        self.query.terms.iter().any(Term::is_of_texts)
    }

    /// From when on the terms ask, so that older segments are not read.
    fn select(&self) -> Select {
        let asked = self.query.terms.iter().filter(|term| !term.is_negated);
        let since = asked.filter_map(|term| match term.ask {
            Ask::Since(moment) => Some(line::moment(moment)),
            _ => None,
        });
        Select { since: since.max(), ..Select::default() }
    }

    /// Whether an exchange fits; where it is not known yet whether it is the first of its session, and
    /// that makes a difference, in which case.
    fn hit(
        &self,
        mut exchange: Exchange,
        is_first: Option<bool>,
        closed: &mut usize,
    ) -> Option<(When, Hit)> {
        let seen = Seen::of_exchange(&exchange);
        let mut of_names = self.query.terms.iter().filter(|term| !term.is_of_texts());
        if !of_names.all(|term| term.holds(&seen)) {
            return None;
        }
        let row = Row::of(&exchange);
        let of_texts: Vec<&Term> =
            self.query.terms.iter().filter(|term| term.is_of_texts()).collect();
        if of_texts.is_empty() {
            return Some((When::Always, Hit { row, snippets: Vec::new() }));
        }
        let sealed = std::mem::take(&mut exchange.originals);
        if self.identity.is_some() {
            *closed += usize::try_from(exchange.sealed.closed).unwrap_or(usize::MAX);
        }
        let identity = self.identity.as_deref().filter(|_| !sealed.is_empty());
        let originals = identity.map(|identity| {
            let opened = Originals::of(&sealed, identity);
            *closed += opened.closed;
            let mut original = exchange.clone();
            opened.put_into(&mut original);
            original
        });
        let told = |part: Part| {
            let mut all = texts::of(&exchange, part);
            if let Some(original) = &originals {
                let original = texts::of(original, part);
                let is_new = |one: &Said| !all.said.contains(one);
                let more: Vec<Said> = original.said.into_iter().filter(is_new).collect();
                all.said.extend(more);
                all.tools.extend(original.tools);
            }
            all
        };
        let holds = |part: Part| {
            let Answer { said, tools } = told(part);
            let seen = Seen::default().with_texts(&said, &tools);
            of_texts.iter().all(|term| term.holds(&seen))
        };
        let as_later = is_first != Some(true) && holds(Part::New);
        let as_first = is_first != Some(false) && holds(Part::All);
        let when = match (as_first, as_later, is_first) {
            (false, false, _) => return None,
            (true, false, None) => When::First,
            (false, true, None) => When::Later,
            (_, _, Some(_)) | (true, true, None) => When::Always,
        };
        let snippets = snippets_of(|part| told(part).said, self.query, self.snippets_max);
        Some((when, Hit { row, snippets }))
    }
}

impl Far {
    fn go_on(&self) -> ControlFlow<()> {
        if self.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// What is not whole in a share of the segments.
type Rest = BTreeMap<Box<str>, Fragment>;

/// When an exchange fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// In any case.
    Always,
    /// If it is the first of its session that is on record.
    First,
    /// If it is not.
    Later,
}

/// How much one thread holds at most.
#[derive(Clone, Copy, Debug)]
struct Most {
    hits: usize,
    doubtful: usize,
    sessions: usize,
    pending_bytes: usize,
}

/// What one thread has read.
struct Reading<'s> {
    search: &'s Search<'s>,
    most: &'s Most,
    sessions: Sessions<'s>,
    hits: Newest<Hit>,
    /// Those of which it is not known yet whether they are the first of their session.
    doubtful: Newest<(u64, When, Hit)>,
    closed: usize,
    walked: Walked,
}

impl<'s> Reading<'s> {
    fn new(search: &'s Search<'s>, hasher: &'s RandomState, most: &'s Most) -> Reading<'s> {
        Reading {
            search,
            most,
            sessions: Sessions { first: HashMap::new(), hasher, most: most.sessions },
            hits: Newest::new(most.hits),
            doubtful: Newest::new(most.doubtful),
            closed: 0,
            walked: Walked::default(),
        }
    }

    fn take(&mut self, exchange: Exchange, far: &Far) {
        let began = Began::of(&exchange);
        let (session, is_first) = self.sessions.turn(&exchange, began);
        let Some((when, hit)) = self.search.hit(exchange, is_first, &mut self.closed) else {
            return;
        };
        far.found.fetch_add(1, Ordering::Relaxed);
        match when {
            When::Always => self.hits.put(began, hit),
            When::First | When::Later => self.doubtful.put(began, (session, when, hit)),
        }
    }

    /// Takes back that an exchange fits.
    fn forget(&mut self, exchange: &Exchange) {
        let began = Began::of(exchange);
        self.hits.all.remove(&began);
        self.doubtful.all.remove(&began);
    }

    /// Adds what was read of later segments.
    fn join(&mut self, later: Reading<'_>) {
        self.sessions.join(later.sessions);
        self.hits.join(later.hits);
        self.doubtful.join(later.doubtful);
        self.closed += later.closed;
        self.walked.join(later.walked);
    }

    fn finish(mut self, limit: usize) -> Found {
        let mut more = self.hits.has_dropped || self.doubtful.has_dropped;
        for (began, (session, when, hit)) in self.doubtful.all {
            if self.sessions.is_first(session, began) == (when == When::First) {
                self.hits.put(began, hit);
            }
        }
        more |= self.hits.all.len() > limit;
        let hits = self.hits.all.into_values().rev().take(limit).collect();
        Found { hits, more, closed: self.closed, walked: self.walked }
    }
}

/// When an exchange began, and its id: newer ones have larger ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Began(u64, u128);

impl Began {
    fn of(exchange: &Exchange) -> Began {
        Began(exchange.began(), ExchangeId::parse(&exchange.id).map_or(0, |id| id.0))
    }
}

/// The newest, up to a number of them.
struct Newest<T> {
    all: BTreeMap<Began, T>,
    most: usize,
    has_dropped: bool,
}

impl<T> Newest<T> {
    fn new(most: usize) -> Newest<T> {
        Newest { all: BTreeMap::new(), most, has_dropped: false }
    }

    fn put(&mut self, began: Began, one: T) {
        self.all.insert(began, one);
        if self.all.len() > self.most {
            self.all.pop_first();
            self.has_dropped = true;
        }
    }

    fn join(&mut self, other: Newest<T>) {
        for (began, one) in other.all {
            self.put(began, one);
        }
        self.has_dropped |= other.has_dropped;
    }
}

/// When the first exchange of each session began, by the hash of its name. They are met as they end.
struct Sessions<'s> {
    first: HashMap<u64, Began>,
    hasher: &'s RandomState,
    most: usize,
}

impl Sessions<'_> {
    /// Notes an exchange; tells its session, and whether it is the first of that, where that is certain.
    fn turn(&mut self, exchange: &Exchange, began: Began) -> (u64, Option<bool>) {
        let Some(session) = &exchange.known.session else { return (0, Some(true)) };
        let session = self.hasher.hash_one(session);
        let is_earlier = self.first.get(&session).is_some_and(|first| *first < began);
        if !is_earlier {
            self.note(session, began);
        }
        (session, is_earlier.then_some(false))
    }

    fn note(&mut self, session: u64, began: Began) {
        if self.first.len() < self.most || self.first.contains_key(&session) {
            self.first
                .entry(session)
                .and_modify(|first| *first = began.min(*first))
                .or_insert(began);
        }
    }

    fn join(&mut self, other: Sessions<'_>) {
        self.most += other.most;
        for (session, began) in other.first {
            self.note(session, began);
        }
    }

    fn is_first(&self, session: u64, began: Began) -> bool {
        self.first.get(&session).is_none_or(|first| *first >= began)
    }
}
