//! What of the record goes, when, and how.
//!
//! Retention weighs the shares of routes in complete segments, oldest first: what is older than its
//! route or `[evidence]` keeps it, and what is more than they may take. A segment of which nothing
//! stays is removed as a file: first it is on record that it goes, then it goes. Of one from which
//! only some routes' lines go, these are erased, on a thread of its own since that reads all of it;
//! then it is on record. What is held stays, whatever its age.

use super::erase::{self, Erasing};
use super::log::{Log, line};
use super::read::segment_name;
use super::segment::Sealed;
use crate::table::RouteKept;
use serde::{Deserialize, Serialize};
use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

/// How long a segment is left alone from which nothing could be erased.
const REST: Duration = Duration::from_hours(1);

/// What retention asks.
#[derive(Clone, Copy)]
pub(super) struct Policy<'p> {
    /// Whether a segment must stay.
    pub is_held: &'p dyn Fn(&Sealed) -> bool,
    /// What the route of this name says now.
    pub of_route: &'p dyn Fn(&str) -> RouteKept,
}

/// Why something goes.
#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Why {
    Age,
    Size,
}

#[derive(Serialize)]
struct RetiredLine<'s> {
    retired: &'s Sealed,
    why: Why,
}

/// On record: which routes' lines were erased from which segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Erasure {
    pub segment: u64,
    /// The routes; an empty name is what is of none.
    pub routes: BTreeSet<String>,
    /// How many lines.
    pub records: u64,
    /// What the segment takes of the disk now.
    pub bytes: u64,
}

/// A route's part of a segment.
struct Part {
    route: String,
    /// What it takes of the disk, about.
    bytes: u64,
    /// Whether its route's own days are not over: then only its route's own bound takes it.
    is_wanted: bool,
    goes: Option<Why>,
}

/// A segment, as retention sees it.
struct Weighed<'s> {
    sealed: &'s Sealed,
    /// Whether nobody holds it: asked only where something of it is to go.
    may_go: LazyCell<bool, Box<dyn Fn() -> bool + 's>>,
    /// What of it is of no route's.
    rest: u64,
    parts: Vec<Part>,
}

impl Weighed<'_> {
    fn goes_whole(&self) -> bool {
        self.parts.iter().all(|part| part.goes.is_some()) && *self.may_go
    }
}

/// What goes.
#[derive(Default)]
struct Plan {
    files: Vec<(Sealed, Why)>,
    /// The first segment from which lines are to be erased, and whose.
    erase: Option<(u64, BTreeSet<String>)>,
}

impl Log {
    /// Removes what is kept no longer.
    pub(super) fn retire(&mut self, now_unix_ms: u64, policy: Policy<'_>) -> io::Result<()> {
        let plan = self.plan(now_unix_ms, policy);
        if !plan.files.is_empty() {
            self.write_lines(now_unix_ms, |head, text| {
                for (sealed, why) in &plan.files {
                    let retired = RetiredLine { retired: sealed, why: *why };
                    line(head, text, now_unix_ms, "retired", &retired);
                }
            })?;
            for (gone, _) in plan.files {
                self.sealed.retain(|sealed| sealed.number != gone.number);
                self.retired.insert(gone.number);
                self.to_remove.push(gone.number);
                self.taken.remove(&gone.number);
                self.resting.remove(&gone.number);
            }
        }
        self.remove()?;
        if self.erasing.is_none()
            && let Some((number, routes)) = plan.erase
        {
            self.erasing = Some(Erasing::start(self, number, routes, now_unix_ms)?);
        }
        Ok(())
    }

    /// Removes the files of retired segments.
    fn remove(&mut self) -> io::Result<()> {
        if self.to_remove.is_empty() {
            return Ok(());
        }
        while let Some(number) = self.to_remove.last() {
            match self.disk.remove(&segment_name(*number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => drop(self.to_remove.pop()),
            }
        }
        self.disk.sync()
    }

    /// Puts a segment from which lines were erased in its place, where one is ready; gives whether
    /// one was.
    pub(super) fn take_erased(&mut self, now_unix_ms: u64, policy: Policy<'_>) -> io::Result<bool> {
        let Some(done) = self.erasing.as_ref().and_then(Erasing::done) else { return Ok(false) };
        let Some(mut erasing) = self.erasing.take() else { return Ok(false) };
        let (number, routes) = (erasing.number, std::mem::take(&mut erasing.routes));
        let made = match done {
            Ok(made) => made,
            Err(error) => {
                tracing::warn!(segment = number, %error, "lines could not be erased; it is tried again later");
                self.erase_failures += 1;
                self.resting.insert(number, now_unix_ms.saturating_add(millis(REST)));
                return Ok(false);
            }
        };
        // Meanwhile somebody may hold it.
        let is_there =
            self.sealed.iter().any(|sealed| sealed.number == number && !(policy.is_held)(sealed));
        if !is_there {
            return erase::give_up(&*self.disk, number).map(|()| false);
        }
        let records = made.as_ref().map_or(0, |made| made.records);
        if made.is_some() {
            self.disk.replace(&erase::name(number), &segment_name(number))?;
            self.disk.sync()?;
        }
        let bytes = self.disk.taken(&segment_name(number))?;
        let erasure = Erasure { segment: number, routes, records, bytes };
        self.write_lines(now_unix_ms, |head, text| {
            line(head, text, now_unix_ms, "erasure", &erasure);
        })?;
        self.erased_records += records;
        self.taken.insert(number, bytes);
        self.erased.insert(number, erasure.routes.iter().map(String::as_str));
        Ok(true)
    }

    fn plan<'s>(&'s self, now_unix_ms: u64, policy: Policy<'s>) -> Plan {
        let mut all: Vec<Weighed<'_>> =
            self.sealed.iter().map(|sealed| self.weigh(sealed, now_unix_ms, policy)).collect();
        let routes: BTreeSet<String> =
            all.iter().flat_map(|one| &one.parts).map(|part| part.route.clone()).collect();
        for route in routes {
            if let Some(most) = (policy.of_route)(&route).bytes_max {
                let open = self.current.as_ref().map_or(0, |current| {
                    let share = current.shares.iter().find(|share| share.route == route);
                    let bytes = share.map_or(0, |share| share.text_bytes);
                    scaled(current.len, bytes, current.shares.text_bytes())
                });
                bound(&mut all, open, most, |part| part.route == route, |_| true);
            }
        }
        if let Some(most) = self.limits.kept_bytes_max {
            let open = self.current.as_ref().map_or(0, |current| current.len);
            let rest = all.iter().fold(open, |sum, one| sum.saturating_add(one.rest));
            bound(&mut all, rest, most, |_| true, |part| !part.is_wanted);
        }
        let mut plan = Plan::default();
        for one in &all {
            if one.goes_whole() {
                let is_old = one.parts.iter().all(|part| part.goes == Some(Why::Age));
                plan.files.push((one.sealed.clone(), if is_old { Why::Age } else { Why::Size }));
                continue;
            }
            let going: BTreeSet<String> = one
                .parts
                .iter()
                .filter(|part| part.goes.is_some())
                .map(|part| part.route.clone())
                .collect();
            let rests = self.resting.get(&one.sealed.number).is_some_and(|end| *end > now_unix_ms);
            // Behind a seal that was never set nobody can sign for what was erased.
            let can_be = one.sealed.signature.is_some() && !rests;
            if !going.is_empty() && plan.erase.is_none() && can_be {
                plan.erase = Some((one.sealed.number, going));
            }
        }
        plan
    }

    /// A segment with its parts, and what of them goes by age.
    fn weigh<'s>(&self, sealed: &'s Sealed, now_unix_ms: u64, policy: Policy<'s>) -> Weighed<'s> {
        let is_wanted = sealed.kept_until_unix_ms.is_some_and(|until| until > now_unix_ms);
        let may_go: LazyCell<bool, Box<dyn Fn() -> bool + 's>> =
            LazyCell::new(Box::new(move || !is_wanted && !(policy.is_held)(sealed)));
        let taken = self.taken.get(&sealed.number).copied().unwrap_or(sealed.bytes);
        let is_older = |last_unix_ms: u64, most: Duration| {
            Duration::from_millis(now_unix_ms.saturating_sub(last_unix_ms)) > most
        };
        let part = |route: &str, last_unix_ms: u64, keep_days: Option<u16>, bytes: u64| {
            let days = (policy.of_route)(route).days.or(keep_days);
            let own = days.map(|days| Duration::from_hours(24 * u64::from(days)));
            let most = own.or(self.limits.kept_for);
            let is_old = most.is_some_and(|most| is_older(last_unix_ms, most));
            Part {
                route: route.to_owned(),
                bytes,
                is_wanted: own.is_some() && !is_old,
                goes: (is_old && *may_go).then_some(Why::Age),
            }
        };
        if sealed.shares.is_empty() {
            // One that was written before shares were told, or has nothing but the store's lines.
            let parts = vec![part("", sealed.last_unix_ms, None, taken)];
            return Weighed { sealed, may_go, rest: 0, parts };
        }
        let there =
            sealed.shares.iter().filter(|share| !self.erased.has(sealed.number, &share.route));
        let total = there.clone().fold(0_u64, |sum, share| sum.saturating_add(share.text_bytes));
        let parts = there.map(|share| {
            let bytes = scaled(taken, share.text_bytes, total);
            part(&share.route, share.last_unix_ms, share.keep_days, bytes)
        });
        let parts: Vec<Part> = parts.collect();
        let known = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.bytes));
        Weighed { sealed, may_go, rest: taken.saturating_sub(known), parts }
    }
}

/// Of the parts that count, lets those of the oldest segments go that may, until they and `more` are
/// within a bound.
fn bound(
    all: &mut [Weighed<'_>],
    more: u64,
    most: u64,
    counts: impl Fn(&Part) -> bool,
    may_go: impl Fn(&Part) -> bool,
) {
    let stays = |part: &Part| part.goes.is_none() && counts(part);
    let staying = all.iter().flat_map(|one| &one.parts).filter(|part| stays(part));
    let mut total = staying.fold(more, |sum, part| sum.saturating_add(part.bytes));
    for one in all {
        if total <= most {
            return;
        }
        for part in one.parts.iter_mut().filter(|part| stays(part) && may_go(part)) {
            if *one.may_go {
                total = total.saturating_sub(part.bytes);
                part.goes = Some(Why::Size);
            }
        }
    }
}

/// Of `whole`, as much as `part` is of `all`.
fn scaled(whole: u64, part: u64, all: u64) -> u64 {
    let product = u128::from(whole) * u128::from(part);
    u64::try_from(product.checked_div(u128::from(all)).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
