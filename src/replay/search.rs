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
//! exchange, or words that run over the border of two texts, as the index does; or tell an exchange
//! whose end a crash took from one that is under way.

use super::gather::{Select, Walked, walk};
use crate::evidence::age::Identity;
use crate::evidence::exchange::{Exchange, Times, Wants};
use crate::evidence::index::{Row, Snippet, snippets};
use crate::evidence::line;
use crate::evidence::originals::Originals;
use crate::evidence::query::{Ask, Query, Seen};
use crate::evidence::texts::{Part, Said, asked, attached, delivered, received};
use crate::id::ExchangeId;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

/// The most sessions that are remembered; of others every turn is read whole.
const SESSIONS_MAX: usize = 4 << 20;
/// How many more than are told are kept, as some may turn out not to fit.
const DOUBTFUL_MAX: usize = 1_000;

/// What a search is. It has no debug form, as an identity is a secret.
#[expect(missing_debug_implementations, reason = "an identity is a secret")]
pub struct Search<'s> {
    /// What is asked for.
    pub query: &'s Query,
    /// Who may read what is sealed.
    pub identity: Option<&'s Identity>,
    /// The most that are told.
    pub limit: usize,
    /// The most snippets of each.
    pub snippets_max: usize,
    /// The most bytes of exchanges that are not whole that are held.
    pub pending_bytes_max: usize,
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
    /// Reads the segments of `folder`; `far` is told how far it is and how much was found, and ends
    /// it by breaking.
    ///
    /// # Errors
    /// The folder or a segment cannot be read.
    pub fn run(
        &self,
        folder: &Path,
        far: &mut dyn FnMut(&Walked, usize) -> ControlFlow<()>,
    ) -> io::Result<Found> {
        let wants = Wants { times: Times::PassedOver, originals: self.identity.is_some() };
        let mut sessions = Sessions::default();
        let (mut kept, mut count, mut closed) = (VecDeque::new(), 0_usize, 0);
        let most = self.limit.saturating_add(DOUBTFUL_MAX);
        let select = self.select();
        let walked =
            walk(folder, &select, wants, self.pending_bytes_max, &mut |exchange, read| {
                let (turn, is_first) = sessions.turn(&exchange);
                if let Some(hit) = self.hit(exchange, is_first, &mut closed) {
                    count += 1;
                    if kept.len() == most {
                        kept.pop_front();
                    }
                    kept.push_back((turn, hit));
                }
                far(read, count)
            })?;
        let dropped = count - kept.len();
        let is_so = |(turn, (when, hit)): (Turn, (When, Hit))| {
            let is_first = sessions.is_first(turn);
            let holds = match when {
                When::Always => true,
                When::First => is_first,
                When::Later => !is_first,
            };
            holds.then_some(hit)
        };
        let mut hits: Vec<Hit> = kept.into_iter().filter_map(is_so).collect();
        hits.sort_by_key(|hit| std::cmp::Reverse((hit.row.began_unix_ms, hit.row.id)));
        let more = dropped > 0 || hits.len() > self.limit;
        hits.truncate(self.limit);
        Ok(Found { hits, more, closed, walked })
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
        let row = Row::of(&exchange);
        let seen = Seen::of_exchange(&exchange);
        let (of_texts, others): (Vec<_>, Vec<_>) =
            self.query.terms.iter().partition(|term| term.is_of_texts());
        if !others.iter().all(|term| term.holds(&seen)) {
            return None;
        }
        if of_texts.is_empty() {
            return Some((When::Always, Hit { row, snippets: Vec::new() }));
        }
        let sealed = std::mem::take(&mut exchange.originals);
        let originals = self.identity.filter(|_| !sealed.is_empty()).map(|identity| {
            let opened = Originals::of(&sealed, identity);
            *closed += opened.closed;
            let mut original = exchange.clone();
            opened.put_into(&mut original);
            original
        });
        let holds = |part: Part| {
            let (mut said, mut tools) = texts(&exchange, part);
            if let Some(original) = &originals {
                let (more, called) = texts(original, part);
                let more: Vec<Said> = more.into_iter().filter(|one| !said.contains(one)).collect();
                said.extend(more);
                tools.extend(called);
            }
            let seen = Seen::default().with_texts(&said, &tools);
            let holds = of_texts.iter().all(|term| term.holds(&seen));
            holds.then(|| snippets(&said, self.query, self.snippets_max))
        };
        let new = if is_first == Some(true) { None } else { holds(Part::New) };
        let all = if is_first == Some(false) { None } else { holds(Part::All) };
        let (when, snippets) = match (new, all) {
            (None, None) => return None,
            (Some(snippets), None) if is_first.is_none() => (When::Later, snippets),
            (None, Some(snippets)) if is_first.is_none() => (When::First, snippets),
            (new, all) => (When::Always, all.or(new).unwrap_or_default()),
        };
        Some((when, Hit { row, snippets }))
    }
}

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

/// All that was said, and the tools that were called.
fn texts(exchange: &Exchange, part: Part) -> (Vec<Said>, Vec<String>) {
    let mut said = asked(exchange, part);
    said.extend(attached(exchange));
    let mut tools = Vec::new();
    for answer in received(exchange).into_iter().chain([delivered(exchange)]) {
        said.extend(answer.said);
        tools.extend(answer.tools);
    }
    (said, tools)
}

/// An exchange in its session: a hash of that, and when it began; `None` where it has none.
type Turn = Option<(u64, (u64, u128))>;

/// When the first exchange of each session began. They are met as they end.
#[derive(Default)]
struct Sessions {
    first: HashMap<u64, (u64, u128)>,
    hasher: RandomState,
}

impl Sessions {
    /// Notes an exchange; tells whether it is the first of its session, where that is certain.
    fn turn(&mut self, exchange: &Exchange) -> (Turn, Option<bool>) {
        let Some(session) = &exchange.known.session else { return (None, Some(true)) };
        let hash = self.hasher.hash_one(session);
        let id = ExchangeId::parse(&exchange.id).map_or(0, |id| id.0);
        let began = (exchange.began(), id);
        let is_earlier = self.first.get(&hash).is_some_and(|first| *first < began);
        if !is_earlier && (self.first.len() < SESSIONS_MAX || self.first.contains_key(&hash)) {
            self.first.insert(hash, began);
        }
        (Some((hash, began)), is_earlier.then_some(false))
    }

    fn is_first(&self, turn: Turn) -> bool {
        turn.is_none_or(|(hash, began)| self.first.get(&hash).is_none_or(|first| *first >= began))
    }
}
