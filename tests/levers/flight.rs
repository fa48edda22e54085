//! Exchanges under way: a kill meets them in every state in which they can be.
//!
//! One gateway holds exchanges in all states at once, of all dialects; one pull reaches them all.
//! What each of them comes to is then checked by its own state.

use super::hand::{
    Ending, ask, assert_cut, assert_ordered, assert_refused, id, kill, lift, pull, rest, standing,
    wait_open,
};
use super::provider::{Provider, newest_token};
use crate::support::{CASES, Case, Client, End, FullListener, Gateway, Head, routes_to, wait_for};
use serde_json::json;
use std::net::{SocketAddr, TcpListener};

/// Where an exchange stands when the kill comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Half of the request's body is there.
    Reading,
    /// The provider does not take the connection.
    Connecting,
    /// The provider says nothing in the TLS handshake.
    Handshake,
    /// The provider has the request.
    NoHead,
    /// The provider has begun its answer, and nothing of it can go out yet.
    NoEvent,
    /// The provider is silent between two events.
    Idle,
    /// The provider speaks all the time.
    Busy,
    /// Only the mark of the end is missing.
    Last,
    /// The whole answer is out, but for the end of its body.
    Done,
    /// Half of an answer that is no stream is there.
    Held,
    /// An answer that is no stream goes to a client that does not read.
    Unread,
    /// A stream goes to a client that does not read.
    UnreadStream,
    /// Our own model has not begun.
    SimulatedSoon,
    /// Our own model speaks.
    Simulated,
    /// Our own model speaks to a client that does not read.
    SimulatedUnread,
    /// Our own model's whole answer goes to a client that does not read.
    SimulatedWhole,
    /// A body that is passed on as it comes is half sent.
    Uploading,
    /// Two peers speak another protocol.
    Tunnel,
}

/// The states of an answer in a dialect.
const STATES: [State; 16] = [
    State::Reading,
    State::Connecting,
    State::Handshake,
    State::NoHead,
    State::NoEvent,
    State::Idle,
    State::Busy,
    State::Last,
    State::Done,
    State::Held,
    State::Unread,
    State::UnreadStream,
    State::SimulatedSoon,
    State::Simulated,
    State::SimulatedUnread,
    State::SimulatedWhole,
];

/// The header fields by which the exchanges of one round are told apart.
type Who = [(&'static str, &'static str); 2];

/// An exchange in its state.
struct Open {
    state: State,
    case: Case,
    client: Client,
    head: Option<Head>,
    body: Vec<u8>,
}

/// Routes to the provider, to one that takes no connection, to one that is silent in the
/// handshake, and to our own models, chosen by the model's name.
fn routes(provider: &Provider, full: SocketAddr, silent: SocketAddr) -> String {
    let patience = "timeouts = { connect_ms = 600000, first_byte_ms = 600000, idle_ms = 600000 }";
    let mut text = "[providers.sim]\ndialect = \"simulated\"\n\n[[routes]]\nname = \"sim\"\n\
                    match = { model = \"sim*\" }\ntargets = [{ provider = \"sim\" }]\n\n"
        .to_owned();
    let families = [
        ("oai", "openai", "/v1", "\"openai-chat\", \"openai-responses\""),
        ("ant", "anthropic", "", "\"anthropic\""),
        ("gem", "gemini", "", "\"gemini\""),
    ];
    for (kind, url) in [("full", format!("http://{full}")), ("tls", format!("https://{silent}"))] {
        for (name, dialect, base, takes) in families {
            let part = format!(
                "[providers.{name}-{kind}]\ndialect = \"{dialect}\"\nbase_url = \"{url}{base}\"\n\n\
                 [[routes]]\nname = \"{name}-{kind}\"\n\
                 match = {{ model = \"{kind}\", dialect = [{takes}] }}\n\
                 targets = [{{ provider = \"{name}-{kind}\" }}]\n{patience}\n\n"
            );
            text += &part;
        }
    }
    text + &routes_to(&provider.url(), patience)
}

impl Open {
    /// Brings an exchange into `state`.
    fn begin(gateway: &Gateway, state: State, case: Case, who: &Who) -> Open {
        let (model, play, stream) = match state {
            State::Reading => ("m", "", true),
            State::Connecting => ("full", "", true),
            State::Handshake => ("tls", "", false),
            State::NoHead => ("m", "mute", true),
            State::NoEvent => ("m", "headed", true),
            State::Idle => ("m", "idle", true),
            State::Busy => ("m", "busy", true),
            State::Last => ("m", "last", true),
            State::Done => ("m", "done", true),
            State::Held => ("m", "half", false),
            State::Unread => ("m", "big", false),
            State::UnreadStream => ("m", "flood", true),
            State::SimulatedSoon => ("sim", "ttft_ms=500000", true),
            State::Simulated => ("sim", "tokens=60000,itl_ms=5", true),
            State::SimulatedUnread => ("sim", "tokens=60000,bytes=1000", true),
            State::SimulatedWhole => ("sim", "tokens=3000,bytes=1000", false),
            State::Uploading => ("", "upload", false),
            State::Tunnel => ("", "socket", false),
        };
        // Wide sockets would take the whole of an answer that a Responses encoder writes whole.
        let mut client = match state {
            State::SimulatedWhole => Client::connect_narrow(gateway.data),
            _ => Client::connect(gateway.data),
        };
        let [first, second] = *who;
        // JSON is waited for, in search of its model.
        let is_json = state != State::Uploading;
        let kind = if is_json { "application/json" } else { "application/octet-stream" };
        let fields = [("content-type", kind), first, second, ("x-play", play), ("x-mock", play)];
        // What our own models do is said in the same header as what the provider does.
        let fields = if model == "sim" { &fields[..] } else { &fields[..4] };
        match state {
            State::Reading => {
                let head = head_of(&case.target(model, stream), fields, "content-length: 1000");
                client.send(format!("{head}{{\"model\"").as_bytes());
            }
            State::Uploading => {
                let head = head_of("/oai/v1/files", fields, "transfer-encoding: chunked");
                client.send(format!("{head}4\r\nhalf\r\n").as_bytes());
            }
            State::Tunnel => {
                let more = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a";
                let head = head_of("/oai/v1/realtime", fields, more).replacen("POST", "GET", 1);
                client.send(head.as_bytes());
            }
            _ => {
                let body = case.body(model, "hello", stream);
                client.request("POST", &case.target(model, stream), fields, body.as_bytes());
            }
        }
        let mut open = Open { state, case, client, head: None, body: Vec::new() };
        match state {
            State::Idle | State::Busy | State::Last | State::Done | State::Simulated => {
                open.read_head();
                while open.state != State::Simulated && newest_token(&open.body) == 0 {
                    open.read_chunk();
                }
            }
            State::Tunnel
            | State::Unread
            | State::UnreadStream
            | State::SimulatedUnread
            | State::SimulatedWhole => open.read_head(),
            State::Reading
            | State::Connecting
            | State::Handshake
            | State::NoHead
            | State::NoEvent
            | State::Held
            | State::SimulatedSoon
            | State::Uploading => {}
        }
        open
    }

    fn read_head(&mut self) {
        let head = self.client.try_head();
        let head = head.unwrap_or_else(|end| panic!("{:?} {:?}: {end:?}", self.state, self.case));
        assert!(matches!(head.status, 200 | 101), "{:?} {:?}: {head:?}", self.state, self.case);
        self.head = Some(head);
    }

    fn read_chunk(&mut self) {
        let chunk = self.client.chunk().unwrap().expect("the stream goes on");
        self.body.extend_from_slice(&chunk);
    }

    /// Whether its provider has a connection of ours.
    fn is_at_provider(state: State) -> bool {
        match state {
            State::NoHead | State::NoEvent | State::Idle | State::Busy | State::Last | State::Done
            | State::Held | State::UnreadStream | State::Uploading | State::Tunnel => true,
            // The provider is done with it.
            State::Unread
            // It never got there.
            | State::Reading | State::Connecting | State::Handshake | State::SimulatedSoon
            | State::Simulated | State::SimulatedUnread | State::SimulatedWhole => false,
        }
    }

    /// Checks what it has come to under the kill `lever`; `last` is the newest token then.
    fn check(mut self, gateway: &Gateway, lever: &str, last: u64) {
        let what = format!("{:?} {:?}", self.state, self.case);
        let Some(head) = self.head.take() else {
            let answer = self.client.answer();
            let dialect = (self.state != State::Uploading).then_some(self.case.dialect);
            assert_refused(gateway, dialect, &answer, lever);
            return;
        };
        let (outcome, class) = if self.state == State::Tunnel {
            let (bytes, end) = self.client.rest();
            self.body.extend(bytes);
            assert!(matches!(end, End::Reset | End::Closed), "{what}: {end:?}");
            ("", "")
        } else {
            let (body, ending) = rest(&mut self.client, &head);
            self.body.extend(body);
            match (self.state, ending) {
                // A client that begins to read again in time is told; else the answer is torn.
                (
                    State::Idle
                    | State::Busy
                    | State::Last
                    | State::Simulated
                    | State::UnreadStream
                    | State::SimulatedUnread
                    | State::Done,
                    Ending::Framed,
                ) => {
                    assert_cut(&self.case, &self.body, lever);
                    ("cut", "firedoor_killed")
                }
                (
                    State::Unread
                    | State::UnreadStream
                    | State::SimulatedUnread
                    | State::SimulatedWhole
                    | State::Done,
                    Ending::Torn,
                ) => ("torn", ""),
                (_, ending) => panic!("{what} ends as {ending:?}"),
            }
        };
        let newest = newest_token(&self.body);
        assert!(newest <= last, "{what}: token {newest} was written after {last}");
        if outcome.is_empty() {
            return;
        }
        let record = gateway.exchange(head.field("x-firedoor-exchange").unwrap());
        assert_eq!(record["outcome"], outcome, "{what}: {record}");
        assert_eq!(record["lever"], lever, "{what}: {record}");
        if !class.is_empty() {
            assert_eq!(record["class"], class, "{what}: {record}");
        }
    }
}

fn head_of(target: &str, fields: &[(&str, &str)], more: &str) -> String {
    let lines: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let lines = lines.concat();
    format!("POST {target} HTTP/1.1\r\nhost: t\r\n{lines}{more}\r\n\r\n")
}

#[test]
fn a_kill_ends_exchanges_in_every_state_as_their_dialect_ends() {
    let provider = Provider::start();
    let full = FullListener::start();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_at = silent.local_addr().unwrap();
    let gateway = Gateway::start(&routes(&provider, full.address, silent_at));
    // A bystander for each dialect, whom only `all` reaches.
    let bystander: Who = [("x-firedoor-session", "bystander"), ("x-firedoor-agent", "bystander")];
    let mut bystanders: Vec<Open> =
        CASES.iter().map(|case| Open::begin(&gateway, State::Busy, *case, &bystander)).collect();
    for (scope, who) in [
        ("session:first", [("x-firedoor-session", "first"), ("x-firedoor-agent", "a")]),
        ("agent:second", [("x-firedoor-session", "s"), ("x-firedoor-agent", "second")]),
        (
            "agent:thi*+session:th*d",
            [("x-firedoor-session", "third"), ("x-firedoor-agent", "third")],
        ),
        ("all", [("x-firedoor-session", "last"), ("x-firedoor-agent", "last")]),
    ] {
        let reached = provider.reached();
        let mut open: Vec<Open> = Vec::new();
        for state in STATES {
            open.extend(CASES.iter().map(|case| Open::begin(&gateway, state, *case, &who)));
        }
        for state in [State::Uploading, State::Tunnel] {
            open.push(Open::begin(&gateway, state, CASES[0], &who));
        }
        let at_provider = open.iter().filter(|open| Open::is_at_provider(open.state)).count();
        let whole = open.iter().filter(|open| open.state == State::Unread).count();
        wait_open(&gateway, open.len() + bystanders.len());
        wait_for("the provider to have come as far", || {
            (provider.reached() == reached + at_provider + whole).then_some(())
        });
        wait_for("the dials", || {
            let label = "state=\"connecting\"";
            (gateway.metric("firedoor_upstream_connections", label) == 8).then_some(())
        });

        let reached_by_all = if scope == "all" { bystanders.len() } else { 0 };
        let proof = pull(&gateway, json!({ "kind": "kill", "scope": scope }));
        let last = provider.tokens();
        let sent = provider.bytes_in();
        let lever = id(&proof);
        assert_ordered(&gateway, &proof, open.len() + reached_by_all, scope);
        let left = if scope == "all" { 0 } else { bystanders.len() };
        wait_for("the provider's connections to close", || (provider.open() == left).then_some(()));
        assert_eq!(provider.bytes_in(), sent, "nothing more is uploaded");
        wait_for("all endings", || {
            let row = standing(&gateway, &lever);
            (row["ended"] == open.len() + reached_by_all).then_some(())
        });
        for open in open {
            open.check(&gateway, &lever, last);
        }
        if scope == "all" {
            for open in std::mem::take(&mut bystanders) {
                open.check(&gateway, &lever, last);
            }
        }
        for open in &mut bystanders {
            while newest_token(&open.body) <= last {
                open.read_chunk();
            }
        }
        gateway.metric("firedoor_upstream_connections", "");
        lift(&gateway, &lever);
    }
    gateway.wait_idle();
}

/// Of the target's own dimensions, one after the other.
#[test]
fn a_kill_of_a_target_cuts_what_stands_there() {
    let provider = Provider::start();
    let gateway = Gateway::start(&routes_to(&provider.url(), ""));
    let who: Who = [("x-firedoor-session", "s"), ("x-firedoor-agent", "a")];
    for case in CASES {
        for scope in
            ["provider:{p}", "model:m", "route:{p}", "provider:*+model:m+route:*+session:s"]
        {
            let scope = scope.replace("{p}", case.provider);
            let states = [State::NoHead, State::NoEvent, State::Idle, State::Busy, State::Held];
            let reached = provider.reached();
            let open: Vec<Open> =
                states.iter().map(|state| Open::begin(&gateway, *state, case, &who)).collect();
            wait_for("the provider to have come as far", || {
                (provider.reached() == reached + open.len()).then_some(())
            });
            wait_open(&gateway, open.len());
            let proof = pull(&gateway, json!({ "kind": "kill", "scope": scope }));
            let last = provider.tokens();
            assert_ordered(&gateway, &proof, open.len(), &scope);
            let lever = id(&proof);
            for open in open {
                open.check(&gateway, &lever, last);
            }
            wait_for("the provider's connections to close", || {
                (provider.open() == 0).then_some(())
            });
            lift(&gateway, &lever);
        }
    }
}

#[test]
fn a_drain_lets_what_is_under_way_finish_and_nothing_new_begin() {
    let provider = Provider::start();
    let more = "retry = { attempts = 10 }";
    let gateway = Gateway::start(&routes_to(&provider.url(), more));
    let who: Who = [("x-firedoor-session", "s"), ("x-firedoor-agent", "a")];
    for case in CASES {
        let mut open = Open::begin(&gateway, State::Busy, case, &who);
        let proof = pull(
            &gateway,
            json!({ "kind": "kill", "scope": format!("provider:{}", case.provider), "in_flight": "drain" }),
        );
        let last = provider.tokens();
        assert_eq!(proof["exchanges"]["ordered"], 0, "{proof}");
        while newest_token(&open.body) <= last {
            open.read_chunk();
        }
        let before = provider.requests();
        let fields = [("x-play", "busy")];
        let answer = ask(&gateway, &case, "m", &fields, true).answer();
        assert_refused(&gateway, Some(case.dialect), &answer, &id(&proof));
        assert_eq!(provider.requests(), before);
        lift(&gateway, &id(&proof));
        drop(open);
        gateway.wait_idle();
    }
}

/// Two providers, of which the second takes over from the first.
fn twins(first: &Provider, second: &Provider) -> String {
    format!(
        "[providers.one]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\n\
         [providers.two]\ndialect = \"openai\"\nbase_url = \"{}/v1\"\n\n\
         [[routes]]\nname = \"r\"\ntargets = [{{ provider = \"one\" }}]\nretry = {{ attempts = 10 }}\n\
         fallback = [{{ provider = \"two\" }}]\ntimeouts = {{ first_byte_ms = 600000 }}\n",
        first.url(),
        second.url()
    )
}

/// An exchange between two attempts begins none at a target that was killed meanwhile.
#[test]
fn between_attempts_a_kill_is_met_before_the_next() {
    for in_flight in ["cut", "drain"] {
        let (first, second) = (Provider::start(), Provider::start());
        let gateway = Gateway::start(&twins(&first, &second));
        // The pauses grow, so that this kill falls into one of them; wherever it falls, what
        // follows is the same.
        let mut client = ask(&gateway, &CASES[0], "m", &[("x-play", "failing")], true);
        wait_for("some attempts", || (first.requests() >= 4).then_some(()));
        let order = json!({ "kind": "kill", "scope": "provider:one", "in_flight": in_flight });
        let lever = id(&pull(&gateway, order));
        let tried = first.requests();
        // The fallback fails too, and what it said goes to the client in the end.
        let answer = client.answer();
        assert_eq!(answer.status(), 503, "{}", answer.text());
        assert!(second.requests() > 0, "the fallback takes over");
        // One may have been on its way when the kill came.
        assert!(first.requests() <= tried + 1, "{} after {tried}", first.requests());
        let row = standing(&gateway, &lever);
        assert_eq!(row["ended"], row["ordered"], "{row}");
    }
}

#[test]
fn what_hangs_at_a_killed_target_goes_to_the_fallback_until_that_is_killed_too() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Gateway::start(&twins(&first, &second));
    for case in &CASES[..2] {
        for play in ["mute", "headed", "half"] {
            let fields = [("x-play", play)];
            let mut client = ask(&gateway, case, "m", &fields, play == "headed");
            wait_for("the attempt", || (first.open() == 1).then_some(()));
            let lever = kill(&gateway, "provider:one");
            wait_for("the fallback", || (second.open() == 1).then_some(()));
            wait_for("the first to be left", || (first.open() == 0).then_some(()));
            let both = kill(&gateway, "provider:two");
            assert_refused(&gateway, Some(case.dialect), &client.answer(), &both);
            wait_for("the second to be left", || (second.open() == 0).then_some(()));
            for lever in [both, lever] {
                assert_eq!(standing(&gateway, &lever)["ordered"], 1);
                assert_eq!(standing(&gateway, &lever)["ended"], 1);
                lift(&gateway, &lever);
            }
        }
    }
}
