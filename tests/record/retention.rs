//! What is kept how long: by age and size, of routes and of all.

use crate::book::{self, segments};
use crate::support::{CASES, Gateway, MockServer, binary, post, routes_to, wait_for};
use firedoor::clock::Tick;
use firedoor::evidence::{Note, Noted, Opened, Options, Store};
use firedoor::exchange::facts::Identity;
use firedoor::id::{Epoch, ExchangeId, RouteName};
use firedoor::table::Capture;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

fn three_days_ago() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(now.saturating_sub(Duration::from_hours(72)).as_millis()).unwrap()
}

/// What was recorded long ago: its segments, and its exchanges.
pub struct Old {
    pub paths: Vec<PathBuf>,
    ids: Vec<ExchangeId>,
}

/// What was recorded three days ago, in a segment of its own: a note, and an exchange for each of some
/// routes, with the days that it wanted kept then.
pub fn write_old(data_dir: &Path, of: &[(Option<&str>, Option<u16>)]) -> Old {
    let before = segments(data_dir);
    let options = Options { unix_ms: three_days_ago, ..Options::of(data_dir) };
    let store = Store::start(options).unwrap();
    let note = Note {
        at_unix_ms: three_days_ago(),
        what: "context".into(),
        exchange: None,
        about: json!({ "documents": ["what was known then"] }),
    };
    assert_eq!(store.tap().note(note), Noted::Taken);
    let first = segments(data_dir).len() as u128 * 100;
    let mut ids = Vec::new();
    for (number, (route, keep_days)) in (0..).zip(of) {
        let opened = Opened {
            id: ExchangeId((u128::from(three_days_ago()) << 80) + first + number),
            began: Tick::default(),
            began_unix_ms: three_days_ago(),
            identity: Identity::default(),
            route: route.map(RouteName::new),
            dialect: None,
            model: None,
            is_stream: false,
            epoch: Epoch(1),
            ruleset: None,
            levers: Vec::new(),
            keep_days: *keep_days,
        };
        ids.push(opened.id);
        let mut track = store.tap().open(Capture::Full, opened).expect("it is taken");
        track.received(Tick::default(), format!("the words of {number}").as_bytes());
    }
    store.close(Duration::from_mins(1));
    let all = segments(data_dir).into_iter();
    let new: Vec<_> = all.filter(|path| !before.contains(path)).collect();
    assert!(!new.is_empty());
    Old { paths: new, ids }
}

/// Fills more than a segment with what cannot be made smaller, and sees it on record.
pub fn fill_segment(gateway: &Gateway, seed: u64) {
    let mut state = seed;
    for _ in 0..8 {
        let mut noise = String::new();
        while noise.len() < 400 << 10 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            write!(noise, "{:x}", state >> 8).unwrap();
        }
        let body = CASES[0].body("m", &noise, false);
        let fields = [("content-type", "application/json")];
        let answer = post(gateway.data, &CASES[0].target("m", false), &fields, &body);
        let id = answer.head.field("x-firedoor-exchange").unwrap().to_owned();
        book::exchange(&gateway.data_dir(), &id);
    }
}

#[test]
fn what_a_route_wants_kept_outlives_the_rest() {
    let mock = MockServer::start();
    let kept = "[evidence]\nkeep_days = 1\nsegment_mb = 1\n\n";
    let routes = kept.to_owned() + &routes_to(&mock.url(), "keep_days = 30");
    let mut gateway = Gateway::start(&routes);
    fill_segment(&gateway, 1);
    let opens = |lines: &[Value]| {
        lines.iter().filter(|line| line["kind"] == "open").all(|line| line["keep_days"] == 30)
    };
    assert!(opens(&book::lines(&gateway.data_dir())), "each exchange says what its route wants");
    gateway.process.kill();
    let long = write_old(&gateway.data_dir(), &[(None, Some(30))]);
    let short = write_old(&gateway.data_dir(), &[(None, Some(2))]);
    let usual = write_old(&gateway.data_dir(), &[]);
    let gateway = gateway.restarted();
    fill_segment(&gateway, 2);
    let gone = |old: &Old| old.paths.iter().all(|path| !path.exists()).then_some(());
    wait_for("what is old is gone", || gone(&usual).and(gone(&short)));
    assert!(long.paths.iter().all(|path| path.exists()), "what a route wants kept stays");
}

fn verify(gateway: &Gateway) -> Output {
    let mut command = Command::new(binary());
    command.args(["evidence", "verify", "--data-dir"]).arg(gateway.data_dir()).output().unwrap()
}

/// In one segment: what is of routes that keep a day and a month, and what is of none.
#[test]
fn a_routes_records_go_out_of_segments_that_stay() {
    let mock = MockServer::start();
    let kept = "[evidence]\nkeep_days = 2\nsegment_mb = 1\n\n";
    let named = |routes: String, name: &str, days: u16| {
        let target = format!("targets = [{{ provider = \"{name}\" }}]\n");
        routes.replace(&target, &format!("{target}keep_days = {days}\n"))
    };
    let routes = named(named(routes_to(&mock.url(), ""), "ant", 1), "gem", 30);
    let mut gateway = Gateway::start(&(kept.to_owned() + &routes));
    gateway.process.kill();
    let all = [(Some("ant"), None), (Some("gem"), None), (None, None), (Some("ant"), None)];
    let old = write_old(&gateway.data_dir(), &all);
    let gateway = gateway.restarted();
    let found = |gateway: &Gateway, number: usize| {
        let path = format!("/api/v1/exchanges/{}/record", old.ids[number]);
        gateway.admin_call("GET", &path).status()
    };
    wait_for("it is in the index", || (found(&gateway, 3) == 200).then_some(()));
    fill_segment(&gateway, 7);
    let erased = || {
        let metrics = gateway.admin_call("GET", "/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with("firedoor_evidence_erased"))?;
        line.ends_with(" 10").then_some(())
    };
    wait_for("what is old was erased", erased);
    let lines = book::lines(&gateway.data_dir());
    let told = |word: &str| lines.iter().filter(|line| line["text"] == word).count();
    let words = |number: u8| format!("the words of {number}");
    assert_eq!([0, 1, 2, 3].map(|number| told(&words(number))), [0, 1, 0, 0]);
    assert!(!lines.iter().any(|line| line["what"] == "context"), "what is of no route went too");
    assert!(old.paths.iter().all(|path| path.exists()), "the segment stays");
    wait_for("the index says the same", || (found(&gateway, 3) == 404).then_some(()));
    assert_eq!([0, 1, 2].map(|number| found(&gateway, number)), [404, 200, 404]);
    let mut gateway = gateway;
    gateway.process.kill();
    let checked = verify(&gateway);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{said}");
    assert!(said.contains("\"erased\": 10") || said.contains("\"erased\":10"), "{said}");
    let gateway = gateway.restarted();
    assert_eq!([0, 1, 2, 3].map(|number| found(&gateway, number)), [404, 200, 404, 404]);
}
