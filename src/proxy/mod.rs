//! The only room with client and provider sockets: accept, drive an exchange, dial, drain.
//!
//! Straight code in the order of the eight hops: `listener` accepts, `http1` and `http2` turn
//! bytes into requests, `drive` runs one exchange, `upstream` talks to providers, `relay` moves a
//! stream, `answer` writes what Firedoor says itself. A worker is one thread with one runtime, its
//! own connections to providers and its own read buffer; workers share the [`Gate`].
//!
//! HTTP/1 is our own codec (`h1`) on both sides: a hop through a general library was measured at
//! more than twice the memory per open stream and several times the latency tail at 500 streams,
//! and it hides facts of framing that must be refused. HTTP/2 is hyper's.

pub mod answer;
pub mod client;
pub mod date;
pub mod drive;
pub mod h1;
pub mod health;
pub mod http1;
pub mod http2;
pub mod listener;
pub mod local;
pub mod orders;
pub mod probe;
pub mod reach;
mod recorded;
pub mod registry;
pub mod relay;
mod rules;
pub mod scratch;
pub mod stream;
pub mod tls;
pub mod upstream;
mod webhook;

use crate::clock::Tick;
use crate::control::Switchboard;
use crate::evidence::Tap;
use crate::exchange::facts::Facts;
use crate::exchange::identity;
use crate::exchange::limits::{Ledger, Trip};
use crate::id::{AppName, hex};
use crate::telemetry::{Allowed, LimitPicture, Telemetry};
use crate::wire::request::Opening;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// The machine's clocks, read here and handed down.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// The monotonic time.
    pub fn now(self) -> Tick {
        Tick(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Milliseconds since the Unix epoch.
    pub fn unix_ms(self) -> u64 {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What the end of an exchange asks of the lever desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A limit or a rule asks for a lever.
    Lever(Trip),
    /// A rule, as `pack/id`, is to report only, for it hits too much.
    Demotion(Arc<str>),
}

/// Takes what limits and rules ask for. Called at the end of an exchange, on its worker's thread:
/// it must not wait.
pub struct TripSink(Box<dyn Fn(Asked) + Send + Sync>);

impl TripSink {
    /// A sink.
    pub fn new(sink: impl Fn(Asked) + Send + Sync + 'static) -> TripSink {
        TripSink(Box::new(sink))
    }
}

impl std::fmt::Debug for TripSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TripSink")
    }
}

/// What all workers share.
#[derive(Debug)]
pub struct Gate {
    /// The live table.
    pub board: Arc<Switchboard>,
    /// Where facts go.
    pub telemetry: Telemetry,
    /// Where the record of exchanges goes.
    pub tap: Tap,
    /// Targets' health and the retry budget.
    pub health: health::Board,
    /// The clocks.
    pub clock: Clock,
    /// What apps, agents, models and sessions have used.
    pub limits: Arc<Ledger>,
    /// What the hits of rules set off.
    rules: rules::RuleWatch,
    /// Who pulls the levers that limits ask for.
    trips: OnceLock<TripSink>,
    /// The key of the hash that stands for an end user.
    user_key: [u8; 32],
    /// The key of the hash that stands for a conversation.
    session_key: [u8; 32],
    draining: AtomicBool,
    drain: Notify,
    /// Each worker's open exchanges.
    pub registries: Vec<Arc<registry::Registry>>,
}

impl Gate {
    /// A gate for `workers` workers. `secret` keys the hashes that stand for end users and for
    /// conversations; gates that have the same write the same.
    pub fn new(
        board: Arc<Switchboard>,
        telemetry: Telemetry,
        tap: Tap,
        workers: usize,
        secret: [u8; 16],
    ) -> Gate {
        Gate {
            board,
            telemetry,
            tap,
            health: health::Board::default(),
            clock: Clock::start(),
            limits: Arc::default(),
            rules: rules::RuleWatch::default(),
            trips: OnceLock::new(),
            user_key: blake3::derive_key("firedoor 2026 hash of end users", &secret),
            session_key: blake3::derive_key("firedoor 2026 hash of conversations", &secret),
            draining: AtomicBool::new(false),
            drain: Notify::new(),
            registries: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// Whether the gate is on its way out: no new connections, no keep-alive.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Begins to drain.
    pub fn start_drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.drain.notify_waiters();
    }

    /// Resolves once the gate drains.
    pub async fn drain_started(&self) {
        let waiting = self.drain.notified();
        tokio::pin!(waiting);
        waiting.as_mut().enable();
        if !self.is_draining() {
            waiting.await;
        }
    }

    /// Open exchanges.
    pub fn open_exchanges(&self) -> usize {
        self.registries.iter().map(|registry| registry.len()).sum()
    }

    /// Orders every open exchange to end; gives their number.
    pub fn end_all(&self) -> usize {
        self.registries.iter().map(|registry| registry.end_all()).sum()
    }

    /// Says who pulls the levers that limits ask for; the first to say so is kept.
    pub fn on_trip(&self, sink: TripSink) {
        let _ = self.trips.set(sink);
    }

    /// A limit asks for a lever. Where nobody pulls one, the log and the metrics tell of it.
    fn trip(&self, trip: Trip) {
        self.telemetry.meters().limit_tripped(&trip.limit);
        if let Some(sink) = self.trips.get() {
            return (sink.0)(Asked::Lever(trip));
        }
        tracing::warn!(
            limit = &*trip.limit,
            reason = trip.reason,
            "a limit asks for a lever, and nobody pulls one: requests are refused all the same"
        );
    }

    /// The limits of the live table and their counters.
    pub fn limits_picture(&self) -> LimitPicture {
        let table = self.board.table();
        let allowed = table.limits.iter().flat_map(|limit| {
            let caps = limit.caps.iter().map(|cap| (cap.name(), Some(cap.unit), cap.most));
            let open = limit.concurrent.map(|most| ("concurrent", None, u64::from(most)));
            let calls = limit.same_call.map(|rule| ("loop", None, u64::from(rule.times)));
            caps.chain(open).chain(calls).map(|(what, unit, most)| Allowed {
                limit: Arc::clone(&limit.name),
                what,
                unit,
                most,
            })
        });
        LimitPicture {
            allowed: allowed.collect(),
            standings: self.limits.standings(&table.limits, self.clock.now()),
            evicted: self.limits.evicted(),
        }
    }

    /// A keyed hash that stands for an end user, the same as long as the gate's secret is.
    fn hash_user(&self, user: &str) -> Box<str> {
        short(blake3::keyed_hash(&self.user_key, user.as_bytes())).into()
    }

    /// A keyed hash that stands for a conversation, the same as long as the gate's secret is.
    fn hash_conversation(
        &self,
        app: Option<&AppName>,
        end_user: Option<&str>,
        opening: &Opening<'_>,
    ) -> Arc<str> {
        let mut hasher = blake3::Hasher::new_keyed(&self.session_key);
        let app = app.map(AppName::as_str);
        identity::conversation(app, end_user, opening, |piece| {
            hasher.update(piece);
        });
        format!("{}{}", identity::INFERRED_PREFIX, short(hasher.finalize())).into()
    }

    /// Hands on what is known of an exchange that is over.
    fn finish(&self, facts: Facts) -> Arc<Facts> {
        if facts.is_judged {
            for set_off in self.rules.see(&facts, self.clock.now()) {
                self.set_off(set_off);
            }
        }
        self.telemetry.record(facts)
    }

    fn set_off(&self, set_off: rules::SetOff) {
        match set_off {
            rules::SetOff::Trip(trip) => self.trip(trip),
            rules::SetOff::Shadow(rule) => {
                tracing::error!(
                    rule = &*rule.name,
                    "the rule hits a larger share of exchanges than its pack allows: it is to report only from now on"
                );
                self.telemetry.meters().rule_demoted(&rule.name);
                if let Some(sink) = self.trips.get() {
                    (sink.0)(Asked::Demotion(Arc::clone(&rule.name)));
                }
            }
        }
    }
}

/// One worker: what its tasks share and no other worker sees.
#[derive(Debug)]
pub struct Worker {
    /// Idle connections to providers.
    pub pool: upstream::Pool,
    /// Open exchanges.
    pub registry: Arc<registry::Registry>,
}

/// How often a worker closes connections that were idle for too long.
pub const SWEEP: Duration = Duration::from_secs(10);

thread_local! {
    static RANDOM: Cell<u64> = Cell::new(seed());
}

/// The first 8 bytes of a keyed hash.
fn short(hash: blake3::Hash) -> String {
    hex(hash.as_bytes().get(..8).unwrap_or_default())
}

/// Random bytes from the kernel. The crypto library's own generator gathers entropy for some 20 ms
/// in each thread before its first byte.
fn fill_random(bytes: &mut [u8]) -> Result<(), &'static str> {
    let count = rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty());
    let filled = count.is_ok_and(|count| count == bytes.len());
    if filled { Ok(()) } else { Err("the machine gives no randomness") }
}

fn seed() -> u64 {
    let mut bytes = [0u8; 8];
    // Without randomness the address of a local still tells threads apart; nothing secret hangs on it.
    let _ = fill_random(&mut bytes);
    u64::from_le_bytes(bytes) ^ (std::ptr::from_ref(&bytes) as usize as u64)
}

/// A number for ids, weights and jitter (SplitMix64); never for secrets.
pub fn random() -> u64 {
    RANDOM.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mut mixed = next;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::limits::{LeverKind, TripScope};
    use std::sync::Mutex;

    #[test]
    fn a_lever_that_a_limit_asks_for_reaches_its_sink() {
        let (board, _) = Switchboard::open(None).unwrap();
        let (telemetry, _upkeep) = Telemetry::quiet().unwrap();
        let gate = Gate::new(board, telemetry, Tap::off(), 1, [0; 16]);
        let trip = Trip {
            lever_kind: LeverKind::Kill,
            scope: TripScope { session: Some("s".into()), ..TripScope::default() },
            reason: "loop".to_owned(),
            limit: "loops".into(),
            told: "stopped because it repeats itself",
        };
        gate.trip(trip.clone());
        let pulled = Arc::new(Mutex::new(Vec::new()));
        let puller = Arc::clone(&pulled);
        gate.on_trip(TripSink::new(move |trip| puller.lock().unwrap().push(trip)));
        gate.trip(trip.clone());
        assert_eq!(*pulled.lock().unwrap(), [Asked::Lever(trip)]);
        assert!(
            gate.telemetry
                .meters()
                .render()
                .contains("firedoor_limit_trips_total{limit=\"loops\"} 2")
        );
    }
}
