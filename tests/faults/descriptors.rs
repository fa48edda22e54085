//! A process without file descriptors left sheds, does not spin, and recovers alone.

use crate::support::{CASES, Gateway, MockServer, routes_to, wait_for};
use std::net::TcpStream;
use std::time::Instant;

#[test]
fn descriptors_run_out_and_come_back() {
    let mock = MockServer::start();
    let routes = format!("[server]\nworkers = 2\n\n{}", routes_to(&mock.url(), ""));
    let limit = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let gateway = Gateway::start_under(&limit, &routes, &[("RUST_LOG", "info")]);
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);

    let held: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(gateway.data).unwrap()).collect();
    let pauses = || gateway.process.stderr.text().matches("cannot accept; pausing").count();
    wait_for("the last descriptor to be taken", || (pauses() > 0).then_some(()));
    // While it can accept nobody it tries again now and then, and does not spin.
    let (first, ticks, began) = (pauses(), gateway.process.cpu_ticks(), Instant::now());
    wait_for("ten more tries", || (pauses() >= first + 10).then_some(()));
    let (used, took) = (gateway.process.cpu_ticks() - ticks, began.elapsed());
    assert!(u128::from(used) * 10 < took.as_millis() / 2, "{used} ticks of 10 ms in {took:?}");

    drop(held);
    wait_for("an answer again", || {
        let answer = CASES[2].ask(&gateway, "", true).answer();
        (answer.status() == 200).then_some(())
    });
    gateway.wait_idle();
    wait_for("all descriptors to come back", || (gateway.process.open_files() < 48).then_some(()));
}

/// More connections than the table allows are closed at once and counted; the others go on.
#[test]
fn connections_over_the_limit_are_shed() {
    let mock = MockServer::start();
    let routes = format!("[server]\nconnections_max = 10\n\n{}", routes_to(&mock.url(), ""));
    let gateway = Gateway::start(&routes);
    let held: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(gateway.data).unwrap()).collect();
    wait_for("the others to be shed", || {
        (gateway.metric("firedoor_connections_shed_total", "") >= 20).then_some(())
    });
    drop(held);
    wait_for("room", || (gateway.metric("firedoor_open_connections", "") == 0).then_some(()));
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);
}
