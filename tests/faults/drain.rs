//! SIGTERM with streams under way.

use crate::support::{Answer, CASES, Client, End, Gateway, Head, MockServer, routes_to, wait_for};
use std::net::TcpStream;

/// Begins a stream and reads up to its first chunk.
fn begin(mut client: Client) -> (Client, Head, Vec<u8>) {
    let head = client.head();
    assert_eq!(head.status, 200);
    let chunk = client.chunk().unwrap().unwrap();
    (client, head, chunk)
}

/// Reads the rest.
fn finish((mut client, head, mut body): (Client, Head, Vec<u8>)) -> Answer {
    while let Some(chunk) = client.chunk().unwrap() {
        body.extend(chunk);
    }
    Answer { head, body }
}

fn wait_draining(gateway: &Gateway) {
    wait_for("readiness to fall", || {
        (gateway.admin_call("GET", "/readyz").status() == 503).then_some(())
    });
    assert_eq!(gateway.admin_call("GET", "/healthz").status(), 200);
    wait_for("the listener to close", || TcpStream::connect(gateway.data).is_err().then_some(()));
}

#[test]
fn open_streams_run_on_to_their_end() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let idle = Client::connect(gateway.data);
    let open: Vec<_> = CASES
        .iter()
        .map(|case| (case, begin(case.ask(&gateway, "tokens=40,itl_ms=50", true))))
        .collect();
    gateway.process.terminate();
    wait_draining(&gateway);
    for (case, stream) in open {
        case.assert_whole(&finish(stream));
    }
    let (rest, end) = { idle }.rest();
    assert_eq!((rest.len(), end), (0, End::Closed), "an idle connection is closed in order");
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn a_second_signal_cuts_what_is_left_in_its_dialect() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let open: Vec<_> = CASES
        .iter()
        .map(|case| (case, begin(case.ask(&gateway, "tokens=10000,itl_ms=50", true))))
        .collect();
    gateway.process.terminate();
    wait_draining(&gateway);
    gateway.process.terminate();
    for (case, stream) in open {
        let answer = finish(stream);
        let ending = answer.text();
        assert!(ending.contains("Firedoor is shutting down"), "{case:?}: {ending}");
    }
    assert_eq!(gateway.process.wait().code(), Some(0));
}

/// Exchanges of which nothing has gone out yet are refused, those of our own models too.
#[test]
fn what_has_not_begun_is_refused_in_its_dialect() {
    let mock = MockServer::start();
    let more = "timeouts = { first_byte_ms = 300000 }";
    let sim = "[providers.sim]\ndialect = \"simulated\"\n\n[[routes]]\nname = \"sim\"\n\
               match = { model = \"sim*\" }\ntargets = [{ provider = \"sim\" }]\n\n";
    let mut gateway = Gateway::start(&(sim.to_owned() + &routes_to(&mock.url(), more)));
    let mut clients: Vec<Client> = Vec::new();
    for case in &CASES {
        for model in ["m", "sim"] {
            let mut client = Client::connect(gateway.data);
            let fields = [("content-type", "application/json"), ("x-mock", "ttft_ms=500000")];
            let body = case.body(model, "hello", true);
            client.request("POST", &case.target(model, true), &fields, body.as_bytes());
            clients.push(client);
        }
    }
    wait_for("all exchanges to be open", || {
        (gateway.admin_json("/api/v1/status")["open_exchanges"] == 8).then_some(())
    });
    gateway.process.terminate();
    wait_draining(&gateway);
    gateway.process.terminate();
    for mut client in clients {
        let answer = client.answer();
        assert_eq!(answer.status(), 503, "{answer:?}");
        assert!(answer.text().contains("shutting down"), "{answer:?}");
        assert_eq!(answer.head.field("connection"), Some("close"), "{answer:?}");
    }
    assert_eq!(gateway.process.wait().code(), Some(0));
}

#[test]
fn the_deadline_cuts_without_a_second_signal() {
    let mock = MockServer::start();
    let routes = format!("[server]\ndrain_timeout_ms = 300\n\n{}", routes_to(&mock.url(), ""));
    let mut gateway = Gateway::start(&routes);
    let stream = begin(CASES[2].ask(&gateway, "tokens=10000,itl_ms=50", true));
    gateway.process.terminate();
    assert!(finish(stream).text().contains("Firedoor is shutting down"));
    assert_eq!(gateway.process.wait().code(), Some(0));
}

/// A client that does not read cannot hold the process up.
#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let mock = MockServer::start();
    let mut gateway = Gateway::start(&routes_to(&mock.url(), ""));
    let client = CASES[0].ask(&gateway, "tokens=60000,bytes=1000", true);
    wait_for("the exchange to be open", || {
        (gateway.admin_json("/api/v1/status")["open_exchanges"] == 1).then_some(())
    });
    gateway.process.terminate();
    wait_draining(&gateway);
    gateway.process.terminate();
    assert_eq!(gateway.process.wait().code(), Some(0));
    drop(client);
}
