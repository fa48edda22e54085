//! SIGKILL at random moments of pulls, lifts and extensions: what was acknowledged holds, and the
//! first request after the start meets it.

use super::hand::{assert_refused, kill};
use crate::support::{CASES, Client, Gateway, MockServer, admin_send, routes_to};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// Deaths in all.
const DEATHS: usize = 1_000;
/// Gateways that die side by side.
const GATEWAYS: usize = 2;
/// Hands at work on each when it dies.
const HANDS: usize = 3;

const HOUR_S: u64 = 3_600;
/// Hours that no two extensions within a life of a gateway share.
const HOURS: std::ops::Range<u64> = 240..8_240;

/// What is known of a lever.
#[derive(Clone, Debug)]
struct Known {
    scope: String,
    lift: Lift,
    /// The times in hours that it may have; `None` is no end.
    hours: BTreeSet<Option<u64>>,
    /// Those of them that were asked for and not answered yet.
    open: Vec<Option<u64>>,
}

impl Known {
    fn new(scope: String) -> Known {
        Known { scope, lift: Lift::No, hours: BTreeSet::from([None]), open: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lift {
    No,
    /// Asked for, never answered.
    Maybe,
    Done,
}

/// What the hands of one gateway know.
#[derive(Default)]
struct Book {
    levers: Mutex<BTreeMap<String, Known>>,
    /// Scopes of pulls that were never answered.
    unanswered: Mutex<BTreeSet<String>>,
    acknowledged: AtomicU64,
    next: AtomicU64,
    extensions: AtomicU64,
}

/// A small generator (splitmix64), so that a failure's seed says it all.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

impl Book {
    /// One act of one hand; `false` once the gateway does not answer.
    fn act(&self, folder: &Path, dice: &mut Dice) -> bool {
        let standing: Vec<String> = {
            let levers = self.levers.lock().unwrap();
            levers
                .iter()
                .filter(|(_, known)| known.lift == Lift::No)
                .map(|(id, _)| id.clone())
                .collect()
        };
        let picked = (!standing.is_empty())
            .then(|| standing[dice.roll(standing.len() as u64) as usize].clone());
        match (dice.roll(10), picked) {
            (0..=3, Some(id)) if standing.len() > 8 => self.lift(folder, &id),
            (4..=6, Some(id)) => self.extend(folder, &id),
            _ => self.pull(folder),
        }
    }

    fn pull(&self, folder: &Path) -> bool {
        let scope = format!("session:s-{}", self.next.fetch_add(1, Ordering::SeqCst));
        self.unanswered.lock().unwrap().insert(scope.clone());
        let order = json!({ "kind": "kill", "scope": scope, "reason": "r", "author": "a" });
        let Some(proof) = call(folder, "POST", "/api/v1/levers", &order) else { return false };
        assert_eq!(proof["durable"], true, "{proof}");
        let id = proof["lever"]["id"].as_str().unwrap().to_owned();
        self.unanswered.lock().unwrap().remove(&scope);
        self.levers.lock().unwrap().insert(id, Known::new(scope));
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn lift(&self, folder: &Path, id: &str) -> bool {
        {
            let mut levers = self.levers.lock().unwrap();
            let known = levers.get_mut(id).unwrap();
            // Another hand was faster.
            if known.lift != Lift::No {
                return true;
            }
            known.lift = Lift::Maybe;
        }
        let why = json!({ "reason": "r", "author": "a" });
        if call(folder, "DELETE", &format!("/api/v1/levers/{id}"), &why).is_none() {
            return false;
        }
        self.levers.lock().unwrap().get_mut(id).unwrap().lift = Lift::Done;
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Any of the times that are under way together may be the last: only what was answered
    /// before this one was asked for is over when it is answered.
    fn extend(&self, folder: &Path, id: &str) -> bool {
        let hours = HOURS.start
            + self.extensions.fetch_add(1, Ordering::SeqCst) % (HOURS.end - HOURS.start);
        let before = {
            let mut levers = self.levers.lock().unwrap();
            let known = levers.get_mut(id).unwrap();
            let Known { hours: times, open, .. } = known;
            let before: BTreeSet<Option<u64>> =
                times.iter().filter(|other| !open.contains(other)).copied().collect();
            times.insert(Some(hours));
            open.push(Some(hours));
            before
        };
        let why = json!({ "reason": "r", "author": "a", "ttl_s": hours * HOUR_S });
        let path = format!("/api/v1/levers/{id}/extend");
        let answer = admin_send(folder, "POST", &path, &[], Some(&why.to_string()));
        let Ok(answer) = answer else { return false };
        let mut levers = self.levers.lock().unwrap();
        let known = levers.get_mut(id).unwrap();
        if let Some(at) = known.open.iter().position(|other| *other == Some(hours)) {
            known.open.swap_remove(at);
        }
        // Lifted meanwhile.
        if answer.status() == 404 {
            return true;
        }
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let Known { hours: times, open, .. } = known;
        times.retain(|other| {
            *other == Some(hours) || !before.contains(other) || open.contains(other)
        });
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Compares what is in force with what is known, and learns what was open.
    fn check(&self, gateway: &Gateway, seed: u64) {
        let list = gateway.admin_json("/api/v1/levers");
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        for lever in list["items"].as_array().unwrap() {
            found.insert(lever["id"].as_str().unwrap().to_owned(), lever.clone());
        }
        let mut levers = self.levers.lock().unwrap();
        levers.retain(|id, known| {
            let lever = found.remove(id);
            match (known.lift, &lever) {
                (Lift::No, None) => panic!("seed {seed}: {id} was acknowledged and is lost"),
                (Lift::Done, Some(_)) => panic!("seed {seed}: {id} was lifted and stands"),
                (Lift::No | Lift::Maybe, Some(lever)) => {
                    assert_eq!(lever["scope"], known.scope, "seed {seed}");
                    let hours = lever["remaining_s"]
                        .as_f64()
                        .map(|left| (left / HOUR_S as f64).round() as u64);
                    assert!(
                        known.hours.contains(&hours),
                        "seed {seed}: {hours:?} of {known:?}: {lever}"
                    );
                    known.lift = Lift::No;
                    known.hours = BTreeSet::from([hours]);
                    known.open.clear();
                }
                (Lift::Maybe | Lift::Done, None) => {}
            }
            lever.is_some()
        });
        let mut unanswered = self.unanswered.lock().unwrap();
        for (id, lever) in found {
            let scope = lever["scope"].as_str().unwrap().to_owned();
            if scope == "session:first" {
                continue;
            }
            assert!(unanswered.contains(&scope), "seed {seed}: nobody pulled {lever}");
            levers.insert(id, Known::new(scope));
        }
        unanswered.clear();
    }

    /// A lever that must stand.
    fn certain(&self) -> Option<(String, String)> {
        let levers = self.levers.lock().unwrap();
        let (id, known) = levers.iter().rev().find(|(_, known)| known.lift == Lift::No)?;
        Some((id.clone(), known.scope.strip_prefix("session:")?.to_owned()))
    }
}

/// One call; `None` if the gateway did not answer it.
fn call(folder: &Path, method: &str, path: &str, body: &Value) -> Option<Value> {
    let answer = admin_send(folder, method, path, &[], Some(&body.to_string())).ok()?;
    assert!([200, 201].contains(&answer.status()), "{method} {path}: {}", answer.text());
    Some(answer.json())
}

/// A port that no outgoing connection takes between two lives of a gateway.
fn fixed_port(number: usize) -> SocketAddr {
    let from = 20_000 + (std::process::id() as usize * 7 + number * 1_000) % 10_000;
    let free = (from..32_000).find_map(|port| {
        let address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        TcpListener::bind(address).ok().map(|_| address)
    });
    free.expect("a free port")
}

/// Connects as soon as anything listens, and asks at once.
fn first_request(
    address: SocketAddr,
    session: &str,
    over: &AtomicBool,
) -> Option<crate::support::Answer> {
    let mut client = loop {
        let is_last = over.load(Ordering::SeqCst);
        if let Ok(client) = Client::try_connect(address) {
            break client;
        }
        if is_last {
            return None;
        }
    };
    let case = &CASES[0];
    let fields = [("content-type", "application/json"), ("x-firedoor-session", session)];
    client.request(
        "POST",
        &case.target("m", true),
        &fields,
        case.body("m", "hello", true).as_bytes(),
    );
    Some(client.answer())
}

fn die_and_rise(number: usize, deaths: &AtomicUsize, url: &str) {
    let address = fixed_port(number);
    let listen = ["--listen", &address.to_string()].map(str::to_owned);
    let listen = [&*listen[0], &*listen[1]];
    let mut gateway = Gateway::start(&routes_to(url, ""));
    let first = kill(&gateway, "session:first");
    let book = Book::default();
    let mut seed = 1_000_000 * number as u64;
    while deaths.fetch_add(1, Ordering::SeqCst) < DEATHS {
        seed += 1;
        let mut dice = Dice(seed);
        let folder = gateway.data_dir();
        let acts = book.acknowledged.load(Ordering::SeqCst) + dice.roll(6);
        std::thread::scope(|threads| {
            for hand in 0..HANDS {
                let mut dice = Dice(seed ^ ((hand as u64 + 1) << 40));
                let (book, folder) = (&book, &folder);
                threads.spawn(move || while book.act(folder, &mut dice) {});
            }
            while book.acknowledged.load(Ordering::SeqCst) < acts {
                std::thread::yield_now();
            }
            for _ in 0..dice.roll(20_000) {
                std::hint::spin_loop();
            }
            gateway.process.strike();
        });
        gateway.process.kill();
        let (lever, session) =
            book.certain().unwrap_or_else(|| (first.clone(), "first".to_owned()));
        let over = AtomicBool::new(false);
        let (risen, answer) = std::thread::scope(|threads| {
            let asking = threads.spawn(|| first_request(address, &session, &over));
            let risen = gateway.again(&listen, &[]);
            over.store(true, Ordering::SeqCst);
            (risen, asking.join().unwrap())
        });
        gateway = risen.unwrap_or_else(|(_, said)| panic!("seed {seed}: {said}"));
        assert_refused(&gateway, Some(CASES[0].dialect), &answer.unwrap(), &lever);
        book.check(&gateway, seed);
    }
}

#[test]
fn a_thousand_deaths_lose_nothing_that_was_acknowledged() {
    let mock = MockServer::start();
    let url = mock.url();
    let deaths = AtomicUsize::new(0);
    std::thread::scope(|threads| {
        for number in 0..GATEWAYS {
            let (deaths, url) = (&deaths, &url);
            threads.spawn(move || die_and_rise(number, deaths, url));
        }
    });
    assert!(deaths.load(Ordering::SeqCst) >= DEATHS);
}
