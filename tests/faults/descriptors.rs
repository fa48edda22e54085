//! A process without file descriptors or ports left sheds, does not spin, and recovers alone.

use crate::support::{
    Answer, CASES, Client, Gateway, Head, MockServer, get_json, routes_to, wait_for,
};
use std::net::TcpStream;
use std::process::Command;

/// A stream of three seconds, beside which the gateway is short of something.
struct Beside {
    client: Client,
    head: Head,
    ticks: u64,
}

impl Beside {
    fn begin(gateway: &Gateway) -> Beside {
        let ticks = gateway.process.cpu_ticks();
        let mut client = CASES[0].ask(gateway, "tokens=100,itl_ms=30", true);
        let head = client.head();
        Beside { client, head, ticks }
    }

    /// Reads the stream, which ends whole, and how much of the machine was used up to its end.
    ///
    /// Frames, a few requests and a try of each worker every 100 ms take 10 to 15 ticks of 10 ms,
    /// unoptimised; a loop that does not wait takes up to 300 for each of its threads, and 60 even
    /// where it gets a fifth of a processor.
    fn end(mut self, gateway: &Gateway) {
        let body = self.client.body(&self.head).unwrap();
        CASES[0].assert_whole(&Answer { head: self.head, body });
        let used = gateway.process.cpu_ticks() - self.ticks;
        assert!(used < 60, "{used} ticks: it spins");
    }
}

#[test]
fn d3_16_descriptors_run_out_and_come_back() {
    let mock = MockServer::start();
    let routes = format!("[server]\nworkers = 2\n\n{}", routes_to(&mock.url(), ""));
    let limit = ["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""];
    let gateway = Gateway::start_under(&limit, &routes, &[("RUST_LOG", "info")]);
    assert_eq!(CASES[0].ask(&gateway, "", false).answer().status(), 200);

    let beside = Beside::begin(&gateway);
    let held: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(gateway.data).unwrap()).collect();
    let pauses = || gateway.process.stderr.text().matches("cannot accept; pausing").count();
    wait_for("the last descriptor to be taken", || (pauses() > 0).then_some(()));
    // While it can accept nobody it tries again now and then.
    let first = pauses();
    beside.end(&gateway);
    wait_for("one more try", || (pauses() > first).then_some(()));

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
fn d3_16_connections_over_the_limit_are_shed() {
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

/// Whether this process has a network of its own.
const APART: &str = "FIREDOOR_TEST_APART";
/// Brings up the loopback interface of a new network: `SIOCSIFFLAGS` with `IFF_UP` (netdevice(7)).
const LOOPBACK_UP: &str = "import socket, fcntl, struct; fcntl.ioctl(socket.socket(), 0x8914, \
                           struct.pack('16sh', b'lo', 1))";

/// Runs itself again where few ports are enough to be all.
#[test]
fn d3_16_local_ports_run_out_and_come_back() {
    if std::env::var_os(APART).is_none() {
        let name = "faults::descriptors::d3_16_local_ports_run_out_and_come_back";
        let done = Command::new("unshare")
            .args([
                "--net",
                "sh",
                "-c",
                "python3 -c \"$UP\" && exec \"$0\" --exact \"$1\" --nocapture",
            ])
            .arg(std::env::current_exe().unwrap())
            .arg(name)
            .envs([("UP", LOOPBACK_UP), (APART, "1")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "this test needs root for a network of its own: {said}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let mock = MockServer::start();
    let more = "retry = { attempts = 1 }";
    let gateway = Gateway::start(&routes_to(&mock.url(), more));
    let beside = Beside::begin(&gateway);
    // Each address has all the ports, and a closed connection keeps its own for a second: they
    // are enough for all that this test asks of the gateway, and all to the provider are taken.
    let set_ports =
        |range| std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", range).unwrap();
    set_ports("40000 40255");
    let held: Vec<TcpStream> =
        std::iter::from_fn(|| TcpStream::connect(mock.address).ok()).take(512).collect();
    assert!((1..=256).contains(&held.len()), "{} ports", held.len());
    for case in &CASES {
        for stream in [true, false] {
            let answer = case.ask(&gateway, "", stream).answer();
            case.assert_refused(&gateway, &answer, 503, "firedoor_unavailable");
        }
    }
    beside.end(&gateway);
    drop(held);
    let mut client = Client::connect(gateway.data);
    for case in &CASES {
        wait_for("an answer again", || {
            let body = case.body("m", "hello", true);
            client.request("POST", &case.target("m", true), &[], body.as_bytes());
            (client.answer().status() == 200).then_some(())
        });
    }
    gateway.wait_idle();
    set_ports("32768 60999");
    wait_for("the provider to have no answer open", || {
        (get_json(mock.address, "/stats")["open"] == 0).then_some(())
    });
}
