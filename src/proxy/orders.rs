//! What may be ordered of an exchange under way, and how it learns of it.
//!
//! The exchange looks at one number, the live table's, at each wake-up before it reads or writes
//! anything; only when that has changed does it ask the live levers about itself. So a step that
//! begins after a lever was published obeys it, whether or not anybody has told the exchange;
//! being told ([`super::registry`]) only spares an idle one the wait.

use super::registry::Seat;
use crate::control::Switchboard;
use crate::id::{LeverId, ModelName};
use crate::table::lever::{Act, Filter, KilledTools, Lever, Levers, OnReroute, Subject};
use crate::table::{Table, Target};
use crate::wire::refusal::{Class, Refusal};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

/// An order.
#[derive(Clone, Debug)]
pub enum Ordered {
    /// End: the process does.
    ShutDown,
    /// End, or leave this target: a lever kills it.
    Killed(Arc<Lever>),
    /// Go on elsewhere: a lever reroutes what is under way.
    Switch(Arc<Lever>),
    /// These tools must not be called.
    Tools(KilledTools),
    /// What comes from now on is judged by these rules too.
    Filters(Vec<Filter>),
}

/// The orders to one exchange.
#[derive(Debug)]
pub struct Orders<'e> {
    board: &'e Switchboard,
    seat: &'e Seat,
    /// The table that the exchange pinned: its reroutes are obeyed from the beginning.
    pinned: &'e Table,
    /// The table whose levers were asked last.
    seen: AtomicU64,
    heard: Mutex<Heard>,
}

/// What was told already.
#[derive(Debug, Default)]
struct Heard {
    switch: Option<LeverId>,
    /// The killed tools that it obeys, or was told of.
    tools: KilledTools,
    /// The filter levers that it obeys, or was told of.
    filters: Vec<LeverId>,
    /// Whether only what ends the exchange is told from now on.
    stays: bool,
}

impl<'e> Orders<'e> {
    /// The orders to the exchange in `seat`, which begins under `pinned`.
    pub fn new(board: &'e Switchboard, seat: &'e Seat, pinned: &'e Table) -> Orders<'e> {
        let seen = AtomicU64::new(pinned.epoch.0);
        Orders { board, seat, pinned, seen, heard: Mutex::default() }
    }

    /// What the exchange asks from here on is without these tools: they need not be told of.
    pub fn obeys(&self, tools: &KilledTools) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).tools = tools.clone();
    }

    /// These filter levers judge the exchange: it need not be told of them.
    pub fn is_judged_by(&self, levers: impl IntoIterator<Item = LeverId>) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filters.extend(levers);
    }

    /// Whether another table is live than the one that was asked last. One load.
    #[inline]
    pub fn is_stale(&self) -> bool {
        self.board.epoch().0 != self.seen.load(Ordering::Relaxed)
    }

    /// Ready with an order to who waits for an answer, else this task is woken by the next.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<Ordered> {
        self.poll_by(cx, Orders::look)
    }

    /// The same for who has the answer. Where a drain lets nobody ask anew it is what obeys the
    /// tools and rules that are ordered.
    pub fn poll_answer(&self, cx: &Context<'_>) -> Poll<Ordered> {
        self.poll_by(cx, |orders| orders.look().or_else(|| orders.held_back()))
    }

    fn poll_by(&self, cx: &Context<'_>, look: impl Fn(&Self) -> Option<Ordered>) -> Poll<Ordered> {
        if let Some(order) = look(self) {
            return Poll::Ready(order);
        }
        self.seat.listen(cx);
        // One may have come between the look and the registration.
        match look(self) {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }

    /// Ready with an order that ends the exchange, else this task is woken by the next of any kind.
    /// The others are kept for [`Orders::poll`]: for who cannot obey them yet, or not any more.
    pub fn poll_end(&self, cx: &Context<'_>) -> Poll<Ordered> {
        if let Some(order) = self.look_for_end() {
            return Poll::Ready(order);
        }
        self.seat.listen(cx);
        match self.look_for_end() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        }
    }

    /// The tools and rules that were ordered and not told of, because a drain lets nobody ask anew.
    pub fn held_back(&self) -> Option<Ordered> {
        if !self.is_stale() {
            return None;
        }
        let table = self.board.peek();
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let held_back = self.restricted(&table.levers, &mut heard);
        if held_back.is_none() {
            self.seen.store(table.epoch.0, Ordering::Relaxed);
        }
        held_back
    }

    /// Whether a kill lets nothing begin here any more, while what has begun goes on.
    pub fn is_drained(&self) -> bool {
        self.is_drained_by(&self.board.peek().levers)
    }

    fn is_drained_by(&self, levers: &Levers) -> bool {
        self.seat.with(|subject| levers.kill(subject).is_some())
    }

    /// The order to end that stands now; the others are kept.
    pub fn look_for_end(&self) -> Option<Ordered> {
        if self.seat.must_end() {
            return Some(Ordered::ShutDown);
        }
        if self.is_stale() { self.killed() } else { None }
    }

    /// The exchange can go nowhere else any more, for its request cannot be sent again: from now on
    /// only what ends it is told.
    pub fn stay(&self) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).stays = true;
    }

    /// The order that stands now.
    #[inline]
    pub fn look(&self) -> Option<Ordered> {
        if self.seat.must_end() {
            return Some(Ordered::ShutDown);
        }
        if !self.is_stale() {
            return None;
        }
        self.ask()
    }

    /// The kill that ends the exchange, once it counts as in force ([`Tally::settle`]): then a step
    /// that took so long that nobody waited for it writes nothing more. One load as long as no other
    /// table is live.
    ///
    /// [`Tally::settle`]: crate::control::tally::Tally::settle
    #[inline]
    pub fn in_force(&self) -> Option<Arc<Lever>> {
        if self.is_stale() { self.settled() } else { None }
    }

    #[cold]
    fn settled(&self) -> Option<Arc<Lever>> {
        let lever = self.seat.with(|subject| self.board.peek().levers.cut(subject).cloned())?;
        self.board.tally(lever.id).is_settled().then_some(lever)
    }

    /// Content went out in a step that began before another table was published. This only counts:
    /// an order that is told once must still be there for who obeys it.
    #[cold]
    pub fn late(&self, bytes: u64) {
        let table = self.board.peek();
        if let Some(id) = self.seat.with(|subject| table.levers.cut(subject).map(|lever| lever.id))
        {
            self.board.tally(id).late(bytes);
        }
    }

    /// The ending that a lever ordered is written.
    pub fn ended(&self) {
        self.seat.ended();
    }

    /// Resolves once all that the same lever ordered to end have ended.
    pub async fn others_ended(&self) {
        if let Some(tally) = self.seat.obeyed() {
            tally.all_ended().await;
        }
    }

    /// Asks the live levers. Kills and shut-downs stand until they are obeyed; the others are told
    /// once.
    #[cold]
    fn ask(&self) -> Option<Ordered> {
        let table = self.board.peek();
        let levers = &table.levers;
        if let Some(killed) = self.killed_by(levers) {
            return Some(killed);
        }
        // Each field is replaced whole.
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.stays {
            self.seen.store(table.epoch.0, Ordering::Relaxed);
            return None;
        }
        let reroute = self.seat.with(|subject| reroute(&table, subject));
        if let Some(lever) = reroute
            && matches!(lever.act, Act::Reroute { in_flight: OnReroute::Switch, .. })
            && heard.switch != Some(lever.id)
            && !self.pinned.levers.has(lever.id)
        {
            heard.switch = Some(lever.id);
            return Some(Ordered::Switch(lever));
        }
        if self.is_drained_by(levers) {
            return None;
        }
        let restricted = self.restricted(levers, &mut heard);
        if restricted.is_none() {
            self.seen.store(table.epoch.0, Ordering::Relaxed);
        }
        restricted
    }

    /// The tools and rules that are new to the exchange.
    fn restricted(&self, levers: &Levers, heard: &mut Heard) -> Option<Ordered> {
        // Other levers are pulled and lifted all the time: only a tool that was none of the killed
        // is worth asking the provider anew.
        let tools = self.seat.with(|subject| levers.tools(subject));
        if !tools.are_among(&heard.tools) {
            heard.tools = tools.clone();
            return Some(Ordered::Tools(tools));
        }
        let mut filters = self.seat.with(|subject| levers.filters(subject));
        filters.retain(|filter| !heard.filters.contains(&filter.lever));
        if !filters.is_empty() {
            heard.filters.extend(filters.iter().map(|filter| filter.lever));
            return Some(Ordered::Filters(filters));
        }
        None
    }

    #[cold]
    fn killed(&self) -> Option<Ordered> {
        self.killed_by(&self.board.peek().levers)
    }

    fn killed_by(&self, levers: &Levers) -> Option<Ordered> {
        let lever = self.seat.with(|subject| levers.cut(subject).map(Arc::clone))?;
        self.seat.order(&self.board.tally(lever.id));
        Some(Ordered::Killed(lever))
    }
}

/// What a caller is told whom a lever refuses.
pub(super) fn killed(lever: &Lever) -> Refusal {
    Refusal {
        class: Class::Killed,
        message: format!("Blocked by firedoor: {}", lever.told()).into(),
        reference: Some(lever.id.to_string().into()),
    }
}

/// The reroute that reaches `subject`, unless kills, which are stronger, let nothing begin where it
/// sends: then what is under way stays where it is.
fn reroute(table: &Table, subject: &Subject<'_>) -> Option<Arc<Lever>> {
    let (lever, elsewhere) = table.levers.reroute(subject)?;
    let is_killed = |target: &Arc<Target>| {
        let provider = table.files.providers.get(usize::from(target.provider.0));
        let own = target.model.as_ref().map(ModelName::as_str);
        let subject = Subject {
            provider: provider.map(|provider| provider.name.as_str()),
            model: own.or(subject.alias).or(subject.model),
            ..*subject
        };
        table.levers.kill(&subject).is_some()
    };
    let is_closed = !elsewhere.is_empty() && elsewhere.iter().all(is_killed);
    (!is_closed).then(|| Arc::clone(lever))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::registry::Registry;
    use crate::table::lever::{OnKill, Scope};

    fn kill(number: u128, scope: &str, act: Act) -> Arc<Lever> {
        Arc::new(Lever {
            id: LeverId(number),
            scope: Scope::parse(scope).unwrap(),
            act,
            reason: "a test".into(),
            message: None,
            author: "test".into(),
            created_unix_ms: 0,
            ttl_ms: None,
            incident: None,
        })
    }

    #[test]
    fn what_left_before_a_kill_was_in_force_is_not_counted_and_nothing_leaves_after() {
        let (board, _) = Switchboard::open(None).unwrap();
        let registry = Arc::new(Registry::default());
        let seat = registry.enter();
        let pinned = board.table();
        let orders = Orders::new(&board, &seat, &pinned);
        assert!(orders.in_force().is_none());
        let cut = kill(1, "all", Act::Kill { in_flight: OnKill::Cut });
        board.publish_levers(vec![Arc::clone(&cut)]);
        let tally = board.tally(cut.id);
        orders.late(7);
        assert!(orders.in_force().is_none(), "a step that it met may end");
        tally.settle();
        assert_eq!(orders.in_force().map(|lever| lever.id), Some(cut.id));
        assert_eq!(tally.counted().late_bytes, 0);
        orders.late(7);
        assert_eq!(tally.counted().late_bytes, 7);
        assert!(matches!(orders.look(), Some(Ordered::Killed(_))));
    }

    #[test]
    fn counting_what_left_too_late_takes_no_order_away() {
        let (board, _) = Switchboard::open(None).unwrap();
        let registry = Arc::new(Registry::default());
        let seat = registry.enter();
        let pinned = board.table();
        let orders = Orders::new(&board, &seat, &pinned);
        board.publish_levers(vec![kill(1, "tool:t", Act::Kill { in_flight: OnKill::Cut })]);
        orders.late(7);
        assert!(matches!(orders.look(), Some(Ordered::Tools(_))));
        assert!(orders.look().is_none(), "it is told once");
        board.publish_levers(vec![kill(2, "all", Act::Kill { in_flight: OnKill::Cut })]);
        orders.late(7);
        assert!(matches!(orders.look(), Some(Ordered::Killed(_))));
    }
}
