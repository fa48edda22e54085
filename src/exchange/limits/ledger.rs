//! The counters, behind one lock that an exchange takes when it begins and when it ends.

use super::repeats::Repeats;
use super::sliding::{SLOTS, Sliding};
use super::{
    Cost, LeverKind, LoopMet, Met, Need, Refused, Room, Standing, Subject, Trip, Used, Who, scope,
};
use crate::clock::Tick;
use crate::exchange::calls::Called;
use crate::table::{Cap, Limit, Unit, Unpriced, Window};
use smallvec::SmallVec;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most counters for what clients declare. At the bound the one that was used the longest time ago
/// is forgotten, unless an exchange of it is open.
pub const KEYS_MAX: usize = 65_536;
/// Where the ledger's time begins, so that what a snapshot remembers lies behind the process's own
/// beginning: 32 days, a little more than the longest window.
const BEGIN_NS: u64 = 32 * 24 * 3600 * 1_000_000_000;
/// The most tokens that one exchange is believed to have used.
const TOKENS_MAX: u64 = 1 << 40;
/// How often a model without a price is told of, for each limit.
const TELL_EVERY_NS: u64 = 60 * 1_000_000_000;

/// A moment of the ledger's time.
pub(super) fn moment(now: Tick) -> u64 {
    BEGIN_NS.saturating_add(now.0)
}

/// The width of a slot of `window`.
pub(super) fn width(window: Window) -> u64 {
    u64::try_from(window.length().as_nanos()).unwrap_or(u64::MAX) / SLOTS
}

/// What is counted apart for one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// Requests, tokens, money.
    Use,
    /// Calls of tools.
    Calls,
}

/// Names a counter.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) limit: Arc<str>,
    pub(super) part: Part,
    pub(super) subject: Subject,
}

#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) meters: SmallVec<[(Unit, Window, Sliding); 2]>,
    open: u32,
    reserved_tokens: u64,
    reserved_money: u64,
    repeats: Option<Box<Repeats>>,
    /// Its place in the order of use; 0 for none.
    stamp: u64,
}

impl Counter {
    pub(super) fn meter(&mut self, unit: Unit, window: Window) -> &mut Sliding {
        let found = self.meters.iter().position(|(u, w, _)| (*u, *w) == (unit, window));
        let at = found.unwrap_or_else(|| {
            self.meters.push((unit, window, Sliding::default()));
            self.meters.len() - 1
        });
        &mut self.meters[at].2
    }

    fn add(&mut self, unit: Unit, now: u64, amount: u64) {
        for (_, window, meter) in self.meters.iter_mut().filter(|(u, ..)| *u == unit) {
            meter.add(width(*window), now, amount);
        }
    }

    pub(super) fn reserved(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => 0,
            Unit::Tokens => self.reserved_tokens,
            Unit::Money => self.reserved_money,
        }
    }

    fn used(&self, cap: &Cap, now: u64) -> u64 {
        let meter = self.meters.iter().find(|(u, w, _)| (*u, *w) == (cap.unit, cap.window));
        meter.map_or(0, |(_, window, meter)| meter.used(width(*window), now))
    }

    fn frees_in(&self, cap: &Cap, now: u64, excess: u64) -> Option<Duration> {
        let meter = self.meters.iter().find(|(u, w, _)| (*u, *w) == (cap.unit, cap.window));
        let (_, window, meter) = meter?;
        meter.frees_in(width(*window), now, excess).map(Duration::from_nanos)
    }
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) counters: HashMap<Key, Counter>,
    /// Counters for what clients declare, the one that was used the longest time ago first.
    order: BTreeMap<u64, Key>,
    stamp: u64,
    evicted: u64,
    /// When a limit last told of a model without a price.
    told: HashMap<Arc<str>, u64>,
}

impl Inner {
    /// The counter of `key`, made if there is none, as the one that was used last.
    pub(super) fn touch(&mut self, key: &Key, keys_max: usize) -> &mut Counter {
        if key.subject.is_declared() {
            let known = self.counters.get(key).map(|counter| counter.stamp);
            if let Some(stamp) = known {
                self.order.remove(&stamp);
            } else if self.order.len() >= keys_max {
                self.evict();
            }
            self.stamp += 1;
            self.order.insert(self.stamp, key.clone());
        }
        let counter = self.counters.entry(key.clone()).or_default();
        if key.subject.is_declared() {
            counter.stamp = self.stamp;
        }
        counter
    }

    /// Forgets the counter that was used the longest time ago and has no exchange open. If all have,
    /// one more is kept: open exchanges have their own bound.
    fn evict(&mut self) {
        let is_idle = |key: &Key| self.counters.get(key).is_none_or(|counter| counter.open == 0);
        let oldest = self.order.iter().find(|(_, key)| is_idle(key)).map(|(stamp, _)| *stamp);
        if let Some(key) = oldest.and_then(|stamp| self.order.remove(&stamp)) {
            self.counters.remove(&key);
            self.evicted += 1;
        }
    }

    /// Whether `limit` lets a request pass; nothing is counted.
    fn check(&self, limit: &Limit, key: &Key, need: &Need, now: u64) -> Result<(), Met> {
        let empty = Counter::default();
        let counter = self.counters.get(key).unwrap_or(&empty);
        if let Some(most) = limit.concurrent
            && counter.open >= most
        {
            return Err(Met::Concurrent(most));
        }
        if limit.unpriced == Unpriced::Refuse
            && need.cost == Cost::Unknown
            && limit.counts(Unit::Money)
        {
            return Err(Met::Unpriced);
        }
        for cap in &limit.caps {
            let (sure, whole) = need.of(cap.unit);
            let (used, reserved) = (counter.used(cap, now), counter.reserved(cap.unit));
            let met = |room| Met::Cap { cap: *cap, used, reserved, need: whole, room };
            if sure > cap.most {
                return Err(met(Room::Never));
            }
            // A longer answer than the limit has room for is asked for by many who never get one:
            // such a request passes when nothing else is in the window.
            let taken = used.saturating_add(reserved).saturating_add(whole.min(cap.most));
            // Money and tokens that are all used up let nothing pass, however little it needs.
            let is_full = used.saturating_add(reserved) >= cap.most && cap.unit != Unit::Requests;
            let excess = taken.saturating_sub(cap.most).max(u64::from(is_full));
            if excess > 0 {
                let room = match counter.frees_in(cap, now, excess) {
                    Some(time) => Room::In(time),
                    None => Room::WhenOthersEnd,
                };
                return Err(met(room));
            }
        }
        Ok(())
    }
}

/// What everybody has used. Lives as long as the process, through reloads: a limit is known again
/// by its name.
#[derive(Debug)]
pub struct Ledger {
    inner: Mutex<Inner>,
    keys_max: usize,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger::bounded(KEYS_MAX)
    }
}

impl Ledger {
    /// A ledger of at most `keys_max` counters for what clients declare.
    pub fn bounded(keys_max: usize) -> Ledger {
        Ledger { inner: Mutex::default(), keys_max: keys_max.max(1) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that can panic runs while a counter is half changed.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keys_max(&self) -> usize {
        self.keys_max
    }

    /// Counts one more exchange against every limit that holds for it, if all let it pass.
    ///
    /// # Errors
    /// The first limit that does not; nothing is counted then.
    pub fn begin(
        self: &Arc<Self>,
        limits: &[Limit],
        who: &Who<'_>,
        need: &Need,
        now: Tick,
    ) -> Result<Admitted, Refused> {
        let now = moment(now);
        let mut admitted = Admitted {
            ledger: Arc::clone(self),
            held: SmallVec::new(),
            tokens: need.of(Unit::Tokens).1,
            money: need.of(Unit::Money).1,
            unpriced: SmallVec::new(),
        };
        let mut inner = self.lock();
        let mut under: SmallVec<[(&Limit, Key); 4]> = SmallVec::new();
        for limit in limits.iter().filter(|limit| who.is_under(limit)) {
            let name = &limit.name;
            let refused = |subject, met| Refused { limit: Arc::clone(name), subject, met };
            if limit.same_call.is_some()
                && let Some(subject) = Subject::of_calls(who)
            {
                let key = Key { limit: Arc::clone(name), part: Part::Calls, subject };
                let repeats = inner.counters.get(&key).and_then(|one| one.repeats.as_ref());
                if let Some(met) = repeats.and_then(|repeats| repeats.standing(now)) {
                    let left = Duration::from_nanos(met.until - now);
                    let met = Met::SameCall { tool: met.tool.clone(), times: met.times, left };
                    drop(inner);
                    return Err(refused(key.subject, met));
                }
            }
            let subject = Subject::of(limit.per, who);
            let key = Key { limit: Arc::clone(name), part: Part::Use, subject };
            if let Err(met) = inner.check(limit, &key, need, now) {
                drop(inner);
                return Err(refused(key.subject, met));
            }
            if limit.caps.is_empty() && limit.concurrent.is_none() {
                continue;
            }
            under.push((limit, key));
        }
        for (limit, key) in under {
            let counter = inner.touch(&key, self.keys_max);
            for cap in &limit.caps {
                let meter = counter.meter(cap.unit, cap.window);
                if cap.unit == Unit::Requests {
                    meter.add(width(cap.window), now, 1);
                }
            }
            counter.open += 1;
            counter.reserved_tokens = counter.reserved_tokens.saturating_add(admitted.tokens);
            counter.reserved_money = counter.reserved_money.saturating_add(admitted.money);
            if need.cost == Cost::Unknown && limit.counts(Unit::Money) {
                let told = inner.told.get(&limit.name).copied();
                let telling = if told.is_none_or(|told| now.saturating_sub(told) >= TELL_EVERY_NS) {
                    inner.told.insert(Arc::clone(&limit.name), now);
                    Telling::Aloud
                } else {
                    Telling::Counted
                };
                admitted.unpriced.push((Arc::clone(&limit.name), telling));
            }
            admitted.held.push(key);
        }
        drop(inner);
        Ok(admitted)
    }

    /// Counts the calls of an answer, and says which loops are met with them.
    pub fn called(
        &self,
        limits: &[Limit],
        who: &Who<'_>,
        calls: &[Called],
        now: Tick,
    ) -> Vec<LoopMet> {
        let mut found = Vec::new();
        if calls.is_empty() {
            return found;
        }
        let Some(subject) = Subject::of_calls(who) else { return found };
        let now = moment(now);
        for limit in limits.iter().filter(|limit| who.is_under(limit)) {
            let Some(rule) = &limit.same_call else { continue };
            let name = Arc::clone(&limit.name);
            let key = Key { limit: name, part: Part::Calls, subject: subject.clone() };
            let mut inner = self.lock();
            let counter = inner.touch(&key, self.keys_max);
            let repeats = counter.repeats.get_or_insert_default();
            let met: Vec<_> =
                calls.iter().filter_map(|call| repeats.see(rule, call, now)).collect();
            drop(inner);
            for met in met {
                let reason = format!(
                    "loop: tool `{}` was called {} times with the same arguments by {subject} \
                     within {} s (limit `{}`)",
                    met.tool,
                    met.times,
                    rule.within.as_secs(),
                    limit.name
                );
                let trip = scope(rule.then, who, &met.tool).map(|scope| Trip {
                    lever_kind: LeverKind::Kill,
                    scope,
                    reason,
                    told: "stopped because it repeats itself",
                    limit: Arc::clone(&limit.name),
                });
                found.push(LoopMet {
                    limit: Arc::clone(&limit.name),
                    subject: subject.clone(),
                    tool: met.tool,
                    times: met.times,
                    trip,
                });
            }
        }
        found
    }

    /// Every counter of `limits`, by limit and subject.
    pub fn standings(&self, limits: &[Limit], now: Tick) -> Vec<Standing> {
        let now = moment(now);
        let by_name: HashMap<&str, &Limit> =
            limits.iter().map(|limit| (&*limit.name, limit)).collect();
        let mut found = Vec::new();
        let inner = self.lock();
        for (key, counter) in &inner.counters {
            let Some(limit) = by_name.get(&*key.limit) else { continue };
            let standing = |what, unit, window, used, reserved, most, resets_in| Standing {
                limit: Arc::clone(&key.limit),
                subject: key.subject.clone(),
                what,
                unit,
                window,
                used,
                reserved,
                most,
                resets_in,
            };
            if let (Part::Calls, Some(rule), Some(repeats)) =
                (key.part, &limit.same_call, &counter.repeats)
            {
                let used = repeats.most(rule, now);
                let left = repeats.standing(now).map(|met| Duration::from_nanos(met.until - now));
                let most = u64::from(rule.times);
                found.push(standing("loop", None, Some(rule.within), used, 0, most, left));
            }
            if key.part == Part::Calls {
                continue;
            }
            for cap in &limit.caps {
                let used = counter.used(cap, now);
                let reserved = counter.reserved(cap.unit);
                let resets = counter.frees_in(cap, now, used.max(1));
                let window = Some(cap.window.length());
                let unit = Some(cap.unit);
                found.push(standing(cap.name(), unit, window, used, reserved, cap.most, resets));
            }
            if let Some(most) = limit.concurrent {
                let open = u64::from(counter.open);
                found.push(standing("concurrent", None, None, open, 0, u64::from(most), None));
            }
        }
        drop(inner);
        found.sort_by(|a, b| (&a.limit, &a.subject, a.what).cmp(&(&b.limit, &b.subject, b.what)));
        found
    }

    /// Counters that were forgotten because there were too many, since the process began.
    pub fn evicted(&self) -> u64 {
        self.lock().evicted
    }
}

/// Whether a model without a price is told of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is: nobody was told for a minute.
    Aloud,
    /// It is only counted.
    Counted,
}

/// An open exchange and what it has reserved. Dropped without being settled, it used nothing.
#[derive(Debug)]
pub struct Admitted {
    ledger: Arc<Ledger>,
    held: SmallVec<[Key; 4]>,
    tokens: u64,
    money: u64,
    unpriced: SmallVec<[(Arc<str>, Telling); 1]>,
}

impl Admitted {
    /// The limits that count money, where what this costs is not known.
    pub fn unpriced(&self) -> &[(Arc<str>, Telling)] {
        &self.unpriced
    }

    /// Takes back what was reserved and adds what was used.
    pub fn settle(mut self, used: Used, now: Tick) {
        self.close(Some((used, moment(now))));
    }

    fn close(&mut self, used: Option<(Used, u64)>) {
        let held = std::mem::take(&mut self.held);
        if held.is_empty() {
            return;
        }
        let mut inner = self.ledger.lock();
        for key in &held {
            let Some(counter) = inner.counters.get_mut(key) else { continue };
            counter.open = counter.open.saturating_sub(1);
            counter.reserved_tokens = counter.reserved_tokens.saturating_sub(self.tokens);
            counter.reserved_money = counter.reserved_money.saturating_sub(self.money);
            if counter.open == 0 {
                // Sums that met the end of their type leave nothing behind.
                (counter.reserved_tokens, counter.reserved_money) = (0, 0);
            }
            if let Some((used, now)) = used {
                counter.add(Unit::Tokens, now, used.tokens.min(TOKENS_MAX));
                counter.add(Unit::Money, now, used.money.0);
            }
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.close(None);
    }
}
