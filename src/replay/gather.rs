//! The lines of each exchange, gathered from segments in which those of many stand mixed.
//!
//! A segment can be gathered by itself: what of an exchange stands in it is whole, or a fragment to
//! be joined with those of the segments beside it. What always holds: what is gathered has a bound
//! ([`PENDING_BYTES_MAX`]); beyond it the largest exchange is given up, and counted.

use crate::evidence::exchange::{Exchange, Gather, Wants};
use crate::evidence::{Met, Segment};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The most bytes of lines of exchanges that are not whole yet, for a process that does nothing else.
pub const PENDING_BYTES_MAX: usize = 512 << 20;

/// Which exchanges are wanted; every part that is given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Select {
    /// This session.
    pub session: Option<String>,
    /// This exchange, by its id.
    pub exchange: Option<String>,
    /// Begun at this moment or later, RFC 3339 in UTC with milliseconds, as lines have it.
    pub since: Option<String>,
    /// Begun before this moment.
    pub until: Option<String>,
    /// Of this route.
    pub route: Option<String>,
    /// Of this app.
    pub app: Option<String>,
}

/// What of an `open` line selects.
#[derive(Deserialize)]
struct Opening<'l> {
    #[serde(borrow)]
    at: &'l str,
    app: Option<String>,
    session: Option<String>,
    route: Option<String>,
}

impl Select {
    fn takes(&self, id: &str, line: &[u8]) -> bool {
        if self.exchange.as_deref().is_some_and(|wanted| wanted != id) {
            return false;
        }
        if *self == Select::default() {
            return true;
        }
        let Ok(opening) = serde_json::from_slice::<Opening<'_>>(line) else { return true };
        let is = |wanted: &Option<String>, has: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| has == Some(wanted))
        };
        is(&self.session, opening.session.as_deref())
            && is(&self.route, opening.route.as_deref())
            && is(&self.app, opening.app.as_deref())
            && self.since.as_deref().is_none_or(|since| opening.at >= since)
            && self.until.as_deref().is_none_or(|until| opening.at < until)
    }
}

/// When the first line of a segment was written.
pub(super) fn first_moment(folder: &Path, number: u64) -> Option<String> {
    let mut segment = Segment::open_in(folder, number).ok()?;
    let Ok(Met::Line(_, line)) = segment.next_line() else { return None };
    let opening: Opening<'_> = serde_json::from_slice(line).ok()?;
    Some(opening.at.to_owned())
}

/// What a line `recovered` says of exchanges.
#[derive(Deserialize)]
struct Crashed<'l> {
    #[serde(borrow)]
    unfinished: Vec<&'l str>,
}

/// The kind of a line and the exchange that it belongs to, read off its beginning: the members that
/// every line has stand first.
pub fn head(line: &[u8]) -> Option<(&str, Option<&str>)> {
    const KIND: &[u8] = b"\"kind\":\"";
    const EXCHANGE: &[u8] = b"\",\"exchange\":\"";
    let beginning = line.get(..line.len().min(192))?;
    let at = memchr::memmem::find(beginning, KIND)? + KIND.len();
    let rest = &line[at..];
    let end = memchr::memchr(b'"', rest)?;
    let kind = std::str::from_utf8(&rest[..end]).ok()?;
    let exchange = rest[end..]
        .strip_prefix(EXCHANGE)
        .and_then(|rest| std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok());
    Some((kind, exchange))
}

/// What was gathered of an exchange.
#[derive(Clone, Debug, Default)]
pub struct Fragment {
    /// What its lines tell from its beginning on; `None` as long as that was not met.
    begun: Option<Box<Gather>>,
    /// Lines before its beginning was met, with line ends.
    lines: Vec<u8>,
    /// How many bytes its lines are.
    bytes: usize,
    /// Whether a crash took its end.
    is_unfinished: bool,
}

impl Fragment {
    /// Whether the first of its lines begins the exchange.
    pub fn has_beginning(&self) -> bool {
        self.begun.is_some()
    }

    /// Adds a line.
    fn add(&mut self, line: &[u8], is_beginning: bool, wanted: &Wants) {
        self.bytes += line.len() + 1;
        if is_beginning && self.begun.is_none() && self.lines.is_empty() {
            self.begun = Some(Box::new(Gather::with(wanted.clone())));
        }
        if let Some(begun) = &mut self.begun {
            begun.line_or_gap(line);
        } else {
            self.lines.extend_from_slice(line);
            self.lines.push(b'\n');
        }
    }

    /// Adds what a later segment has of the same exchange.
    pub fn join(&mut self, later: Fragment) {
        self.is_unfinished |= later.is_unfinished;
        self.bytes += later.bytes;
        match (&mut self.begun, later.begun) {
            (Some(begun), None) => begun.lines(&later.lines),
            (None, None) => self.lines.extend_from_slice(&later.lines),
            // It began anew: its id came twice.
            (begun, Some(later)) => *begun = Some(later),
        }
    }

    /// The exchange, as far as it is known.
    pub fn finish(self) -> Exchange {
        let mut gather = self.begun.unwrap_or_default();
        gather.lines(&self.lines);
        let mut exchange = gather.finish();
        if self.is_unfinished && !exchange.is_closed {
            exchange.unfinished();
        }
        exchange
    }
}

/// Gathers the lines of exchanges.
#[derive(Debug)]
pub struct Gatherer {
    select: Select,
    wanted: Wants,
    /// If there are any, exchanges of other ids are passed over, and these are held to the end of the record.
    only: Option<Arc<HashSet<Box<str>>>>,
    pending: HashMap<Box<str>, Fragment>,
    passed_over: HashSet<Box<str>>,
    pending_bytes: usize,
    pending_bytes_max: usize,
    /// Exchanges that were given up for their size.
    pub given_up: u64,
}

impl Gatherer {
    /// A gatherer of what `select` takes, that holds so many bytes of lines at most.
    pub fn new(select: Select, wanted: Wants, pending_bytes_max: usize) -> Gatherer {
        Gatherer {
            select,
            wanted,
            only: None,
            pending: HashMap::new(),
            passed_over: HashSet::new(),
            pending_bytes: 0,
            pending_bytes_max,
            given_up: 0,
        }
    }

    /// The same, of the exchanges with these ids alone, which stay to the [rest](Gatherer::rest) with what was
    /// attached behind their ends.
    #[must_use]
    pub fn only(self, ids: Arc<HashSet<Box<str>>>) -> Gatherer {
        Gatherer { only: Some(ids), ..self }
    }

    /// Takes a line; gives all lines of an exchange that ends with it and began here.
    pub fn take(&mut self, line: &[u8]) -> Option<Fragment> {
        let (kind, Some(id)) = head(line)? else {
            self.crashed(line);
            return None;
        };
        if self.only.as_ref().is_some_and(|only| !only.contains(id)) {
            return None;
        }
        let is_beginning = kind == "open";
        if is_beginning && !self.select.takes(id, line) {
            self.passed_over.insert(id.into());
            return None;
        }
        if !self.pending.contains_key(id) {
            if kind == "close" && self.passed_over.remove(id) || self.passed_over.contains(id) {
                return None;
            }
            self.pending.insert(id.into(), Fragment::default());
        }
        let fragment = self.pending.get_mut(id)?;
        fragment.add(line, is_beginning, &self.wanted);
        self.pending_bytes += line.len() + 1;
        if kind == "close" && fragment.has_beginning() && self.only.is_none() {
            let whole = self.pending.remove(id)?;
            self.pending_bytes -= whole.bytes;
            return Some(whole);
        }
        if self.pending_bytes > self.pending_bytes_max {
            self.give_up();
        }
        None
    }

    /// Takes a line that is of no exchange: it may say whose ends a crash took.
    fn crashed(&mut self, line: &[u8]) {
        if !matches!(head(line), Some(("recovered", None))) {
            return;
        }
        let Ok(crashed) = serde_json::from_slice::<Crashed<'_>>(line) else { return };
        let is_wanted = |id: &&str| {
            !self.passed_over.contains(*id)
                && self.only.as_ref().is_none_or(|only| only.contains(*id))
        };
        for id in crashed.unfinished.into_iter().filter(is_wanted) {
            self.pending.entry(id.into()).or_default().is_unfinished = true;
        }
    }

    fn give_up(&mut self) {
        let largest = self.pending.iter().max_by_key(|(_, fragment)| fragment.bytes);
        let Some(id) = largest.map(|(id, _)| id.clone()) else { return };
        if let Some(fragment) = self.pending.remove(&id) {
            self.pending_bytes -= fragment.bytes;
        }
        self.passed_over.insert(id);
        self.given_up += 1;
    }

    /// What is not whole, by exchange.
    pub fn rest(self) -> BTreeMap<Box<str>, Fragment> {
        let wanted = self.select.exchange;
        let is_wanted = |id: &str| wanted.as_deref().is_none_or(|wanted| wanted == id);
        self.pending.into_iter().filter(|(id, _)| is_wanted(id)).collect()
    }
}
