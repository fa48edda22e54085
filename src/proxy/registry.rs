//! The exchanges that are open on one worker, so that an order can reach them in flight.
//!
//! An entry costs one short lock when an exchange begins, one for each attempt and one when it
//! ends, and nothing per frame: an order wakes the exchange's own task, which then looks at the
//! live levers itself ([`super::orders`]).

use crate::control::tally::Tally;
use crate::id::{AppName, ModelName, ProviderName, RouteName};
use crate::table::lever::{Lever, Scope, Subject};
use futures_util::task::AtomicWaker;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use tokio::runtime::Handle;

/// The open exchanges of one worker.
#[derive(Debug, Default)]
pub struct Registry {
    open: Mutex<HashMap<u64, Arc<Entry>>>,
    next: AtomicU64,
    /// The worker's runtime.
    runtime: OnceLock<Handle>,
}

/// What scopes are matched against, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The authenticated app.
    pub app: Option<AppName>,
    /// The declared agent.
    pub agent: Option<Arc<str>>,
    /// The session.
    pub session: Option<Arc<str>>,
    /// The route.
    pub route: Option<RouteName>,
    /// The model's name as the caller asked for it, where that is an alias.
    pub alias: Option<Arc<str>>,
    /// The provider of the attempt under way.
    pub provider: Option<ProviderName>,
    /// The model of the attempt under way.
    pub model: Option<ModelName>,
}

impl About {
    /// As scopes see it.
    pub fn subject(&self) -> Subject<'_> {
        Subject {
            provider: self.provider.as_ref().map(ProviderName::as_str),
            model: self.model.as_ref().map(ModelName::as_str),
            alias: self.alias.as_deref(),
            route: self.route.as_ref().map(RouteName::as_str),
            app: self.app.as_ref().map(AppName::as_str),
            agent: self.agent.as_deref(),
            session: self.session.as_deref(),
        }
    }
}

/// One open exchange, as an order sees it.
#[derive(Debug, Default)]
pub struct Entry {
    ends: AtomicBool,
    waker: AtomicWaker,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    about: About,
    /// The lever that ordered its end, until that is written.
    ordered: Option<Arc<Tally>>,
    /// The lever whose order was obeyed last: its seat may outlive the ending.
    obeyed: Option<Arc<Tally>>,
}

impl Entry {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each field is replaced whole.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts it under a lever that orders its end, once.
    fn order(known: &mut Known, tally: &Arc<Tally>) {
        let is_obeyed = known.obeyed.as_ref().is_some_and(|obeyed| Arc::ptr_eq(obeyed, tally));
        if known.ordered.is_none() && !is_obeyed {
            tally.order();
            known.ordered = Some(Arc::clone(tally));
        }
    }
}

/// An exchange's place in the registry; it leaves when this is dropped.
#[derive(Debug)]
pub struct Seat {
    registry: Arc<Registry>,
    key: u64,
    entry: Arc<Entry>,
}

impl Registry {
    /// Enters an exchange.
    pub fn enter(self: &Arc<Self>) -> Seat {
        let entry = Arc::new(Entry::default());
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(key, Arc::clone(&entry));
        Seat { registry: Arc::clone(self), key, entry }
    }

    /// Says on which runtime its exchanges run; once.
    pub fn set_runtime(&self, runtime: Handle) {
        let _ = self.runtime.set(runtime);
    }

    /// Orders every open exchange to end; gives their number.
    pub fn end_all(&self) -> usize {
        let open = self.entries();
        for entry in &open {
            entry.ends.store(true, Ordering::Release);
            entry.waker.wake();
        }
        open.len()
    }

    /// Wakes every exchange that `lever` reaches, and counts those that it ends. Begins at once;
    /// resolves when that is done, and with it every step that ran on the worker before.
    ///
    /// The worker does it itself. It has one thread, so that this runs only between two steps of
    /// exchanges; and a wake-up from its own thread is a push to a queue, behind which goes
    /// whatever an exchange leaves for later.
    pub fn reach(
        self: &Arc<Self>,
        lever: &Arc<Lever>,
        tally: &Arc<Tally>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (registry, lever, tally) = (Arc::clone(self), Arc::clone(lever), Arc::clone(tally));
        let worker = self.runtime.get().map(|runtime| {
            let registry = Arc::clone(&registry);
            let (lever, tally) = (Arc::clone(&lever), Arc::clone(&tally));
            runtime.spawn(async move { registry.wake(&lever, &tally) })
        });
        async move {
            match worker {
                // A worker that has ended has no exchange either.
                Some(worker) => worker.await.unwrap_or_default(),
                None => registry.wake(&lever, &tally),
            }
        }
    }

    fn wake(&self, lever: &Lever, tally: &Arc<Tally>) {
        let cuts = lever.cuts();
        for entry in self.entries() {
            let is_reached = {
                let mut known = entry.known();
                let is_reached = lever.scope.covers(&known.about.subject());
                if is_reached && cuts {
                    Entry::order(&mut known, tally);
                }
                is_reached
            };
            if is_reached {
                entry.waker.wake();
            }
        }
    }

    /// What is known of the open exchanges that `scope` covers.
    pub fn covered(&self, scope: &Scope) -> Vec<About> {
        self.entries()
            .iter()
            .map(|entry| entry.known().about.clone())
            .filter(|about| scope.covers(&about.subject()))
            .collect()
    }

    /// The number of open exchanges.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The open exchanges now, so that they need not be looked at under the lock.
    fn entries(&self) -> Vec<Arc<Entry>> {
        self.lock().values().map(Arc::clone).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Entry>>> {
        // The map is never left half-changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Writes down more of what is known.
    ///
    /// A lever that is published after this finds it; one that was published before is found by
    /// who looks at the live table after this.
    pub fn tell(&self, more: impl FnOnce(&mut About)) {
        more(&mut self.entry.known().about);
    }

    /// Looks at what is known.
    pub fn with<T>(&self, look: impl FnOnce(&Subject<'_>) -> T) -> T {
        look(&self.entry.known().about.subject())
    }

    /// This exchange will end on the order of the lever with this tally.
    pub fn order(&self, tally: &Arc<Tally>) {
        Entry::order(&mut self.entry.known(), tally);
    }

    /// The ending that a lever ordered is written.
    pub fn ended(&self) {
        let mut known = self.entry.known();
        if let Some(tally) = known.ordered.take() {
            tally.end();
            known.obeyed = Some(tally);
        }
    }

    /// The lever whose order was obeyed last.
    pub fn obeyed(&self) -> Option<Arc<Tally>> {
        self.entry.known().obeyed.clone()
    }

    /// Whether the process ends.
    pub fn must_end(&self) -> bool {
        self.entry.ends.load(Ordering::Acquire)
    }

    /// Lets orders wake this task.
    pub fn listen(&self, cx: &Context<'_>) {
        self.entry.waker.register(cx.waker());
    }

    /// Ready once the exchange must end because the process does.
    pub fn poll_end(&self, cx: &Context<'_>) -> Poll<()> {
        if self.must_end() {
            return Poll::Ready(());
        }
        self.listen(cx);
        // The order may have come between the look and the registration.
        if self.must_end() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.ended();
        self.registry.lock().remove(&self.key);
    }
}
