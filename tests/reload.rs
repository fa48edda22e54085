//! A thousand reloads under load: nobody notices, and a broken file never replaces a good one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure in a test is a failed test"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use support::{CASES, Client, Gateway, MockServer, get_json, wait_for};

/// Reloads by the API, half of them of broken files.
const ROUNDS: usize = 1_000;

/// A good file; each round's differs from all others.
fn good(url: &str, round: usize) -> String {
    let mut routes = support::routes_to(url, "");
    // Targets come and go, so that indices of one table mean something else in the next.
    for number in 0..round % 3 {
        routes = format!("[providers.p{number}]\ndialect = \"simulated\"\n\n{routes}");
    }
    routes.replacen(
        "[providers.oai]\n",
        &format!("[providers.oai]\nheaders = {{ x-round = \"{round}\" }}\n"),
        1,
    )
}

/// A file that cannot be used, in one way or another.
fn broken(url: &str, round: usize) -> String {
    let whole = good(url, round);
    match round % 4 {
        0 => whole[..whole.len() / 2].to_owned(),
        1 => whole.replace("provider = \"ant\"", "provider = \"nobody\""),
        2 => format!("{whole}\n[[routes]]\nname = \"oai\"\ntargets = []\n"),
        _ => String::from("\u{0}not TOML"),
    }
}

/// What the load counts.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    whole: AtomicUsize,
    streams: AtomicUsize,
}

impl Load {
    fn goes_on(&self) -> bool {
        !self.over.load(Ordering::SeqCst)
    }

    /// Plain requests on one kept connection.
    fn whole(&self, gateway: &Gateway, which: usize) {
        let case = &CASES[which % CASES.len()];
        let body = case.body("m", "hello", false);
        let fields = [("content-type", "application/json"), ("x-mock", "text=fine")];
        let mut client = Client::connect(gateway.data);
        while self.goes_on() {
            let target = case.target("m", false);
            let answer = client.request("POST", &target, &fields, body.as_bytes()).answer();
            assert_eq!(answer.status(), 200, "{case:?}: {}", answer.text());
            assert!(answer.text().contains("fine"), "{case:?}: {}", answer.text());
            self.whole.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Streams that live through many reloads, each on a new connection.
    fn streams(&self, gateway: &Gateway, which: usize) {
        let mut which = which;
        while self.goes_on() {
            let case = &CASES[which % CASES.len()];
            which += 1;
            let answer = case.ask(gateway, "tokens=30,itl_ms=5", true).answer();
            case.assert_whole(&answer);
            assert!(!answer.text().contains("firedoor_"), "{case:?}: {}", answer.text());
            self.streams.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Ends the load even if the test fails.
struct EndOf<'l>(&'l Load);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

fn epoch(gateway: &Gateway) -> u64 {
    gateway.admin_json("/api/v1/status")["epoch"].as_u64().unwrap()
}

#[test]
fn a_thousand_reloads_under_load_fail_no_request() {
    let mock = MockServer::start();
    let url = mock.url();
    let gateway = Gateway::start(&good(&url, 0));
    let load = Load::default();
    std::thread::scope(|scope| {
        let end = EndOf(&load);
        for which in 0..4 {
            let (load, gateway) = (&load, &gateway);
            scope.spawn(move || load.whole(gateway, which));
            scope.spawn(move || load.streams(gateway, which));
        }
        let mut live = epoch(&gateway);
        for round in 1..=ROUNDS {
            if round % 2 == 0 {
                gateway.write_config(&broken(&url, round));
                let answer = gateway.admin_call("POST", "/api/v1/reload");
                assert_eq!(answer.status(), 422, "round {round}: {}", answer.text());
                assert!(!answer.json()["diagnostics"].as_array().unwrap().is_empty());
                assert_eq!(epoch(&gateway), live, "round {round}: the good table stays");
            } else {
                gateway.write_config(&good(&url, round));
                let answer = gateway.admin_call("POST", "/api/v1/reload");
                assert_eq!(answer.status(), 200, "round {round}: {}", answer.text());
                // The watch of the file may have been faster; each file counts once all the same.
                live += 1;
                assert_eq!(answer.json()["epoch"], live, "round {round}: {}", answer.text());
            }
            if round % 50 < 2 {
                let failed = gateway.metric("firedoor_config_reload_failed", "");
                assert_eq!(failed == 1, round % 2 == 0, "round {round}: {failed}");
            }
        }
        let asked = (load.whole.load(Ordering::SeqCst), load.streams.load(Ordering::SeqCst));
        assert!(asked.0 > 100 && asked.1 > 8, "{asked:?} requests during all reloads");
        drop(end);
    });
    gateway.wait_idle();
    // Nobody was failed: every exchange that was counted was completed.
    let all = gateway.metric("firedoor_exchanges_total", "");
    let completed = gateway.metric("firedoor_exchanges_total", "outcome=\"completed\"");
    assert_eq!(all, completed, "{}", gateway.metrics());
    assert!(gateway.metric("firedoor_reloads_total", "refused") >= (ROUNDS / 2) as u64);
    assert!(gateway.metric("firedoor_reloads_total", "published") >= (ROUNDS / 2) as u64);
    // The last good table is the one that serves.
    let answer = CASES[0].ask(&gateway, "", false).answer();
    assert_eq!(answer.status(), 200);
    let seen = get_json(mock.address, "/requests");
    let head = seen.as_array().unwrap().last().unwrap()["head"].as_str().unwrap().to_owned();
    assert!(head.contains(&format!("x-round: {}\r\n", ROUNDS - 1)), "{head}");
}

#[test]
fn identical_content_changes_nothing() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&good(&mock.url(), 0));
    let first = epoch(&gateway);
    for _ in 0..5 {
        gateway.write_config(&good(&mock.url(), 0));
        let answer = gateway.admin_call("POST", "/api/v1/reload");
        assert_eq!(answer.json()["outcome"], "unchanged", "{}", answer.text());
        assert_eq!(answer.json()["epoch"], first);
    }
}

#[test]
fn a_changed_file_is_read_without_being_asked() {
    let mock = MockServer::start();
    let gateway = Gateway::start(&good(&mock.url(), 0));
    let first = epoch(&gateway);
    for round in 1..=5 {
        gateway.write_config(&good(&mock.url(), round));
        let wanted = first + round as u64;
        wait_for("the next table", || (epoch(&gateway) == wanted).then_some(()));
        gateway.write_config(&broken(&mock.url(), round));
        wait_for("the refusal", || {
            (gateway.metric("firedoor_config_reload_failed", "") == 1).then_some(())
        });
        assert_eq!(epoch(&gateway), wanted);
    }
    let told = gateway.process.stderr.find("the refusal in the log", |line| {
        line.contains("the new configuration is refused and the old table stays")
    });
    assert!(told.is_some());
}

/// Secrets in files of their own are looked up again by SIGHUP; nothing watches those.
#[test]
fn sighup_reads_secrets_again() {
    let mock = MockServer::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("value");
    let put = |text: &str| std::fs::write(&secret, text).unwrap();
    put("first");
    let routes = good(&mock.url(), 0).replace(
        "x-round = \"0\"",
        &format!("x-round = \"${{file:{}}}\"", Path::new(&secret).display()),
    );
    let gateway = Gateway::start(&routes);
    let before = epoch(&gateway);
    put("second");
    gateway.process.hang_up();
    wait_for("the next table", || (epoch(&gateway) == before + 1).then_some(()));
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);
    let seen = get_json(mock.address, "/requests");
    assert!(seen[0]["head"].as_str().unwrap().contains("x-round: second\r\n"), "{seen}");
    // Without the file it cannot be read; the table before it stays.
    std::fs::remove_file(&secret).unwrap();
    gateway.process.hang_up();
    wait_for("the refusal", || {
        (gateway.metric("firedoor_config_reload_failed", "") == 1).then_some(())
    });
    assert_eq!(epoch(&gateway), before + 1);
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);
}
