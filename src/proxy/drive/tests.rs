//! A panic inside one exchange ends that exchange alone; a kill that comes inside a step.

use super::{After, Received, drive};
use crate::control::Switchboard;
use crate::evidence::Tap;
use crate::exchange::facts::Outcome;
use crate::id::LeverId;
use crate::proxy::client::{BodyFault, Client, Discarded, Framing};
use crate::proxy::{Gate, Worker, h1, upstream};
use crate::table::lever::{Act, Lever, OnKill, Scope};
use crate::telemetry::Telemetry;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

const BODY: &[u8] = br#"{"model":"firedoor-sim","messages":[{"role":"user","content":"hi"}]}"#;

/// Gives [`BODY`] and takes an answer, or panics when the answer's body comes.
struct Fragile {
    panics: bool,
    status: Option<StatusCode>,
    body: Vec<u8>,
}

impl Client for Fragile {
    fn poll_body(
        &mut self,
        _: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>> {
        out.extend_from_slice(BODY);
        Poll::Ready(Ok(true))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn head(&mut self, status: StatusCode, _: &[(HeaderName, HeaderValue)], _: Framing) {
        self.status = Some(status);
    }

    fn data(&mut self, payload: &[u8]) {
        assert!(!self.panics, "as the test wants it");
        self.body.extend_from_slice(payload);
    }

    fn finish(&mut self) {}

    fn backlog(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn discard(&mut self) -> Discarded {
        Discarded::All
    }

    fn tear(&mut self) {}
}

fn request(gate: &Gate) -> Received {
    let head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: 68\r\n\r\n";
    let h1::ParsedRequest::Head { head, .. } = h1::parse_request(head, &h1::Limits::default())
    else {
        panic!("the head is whole")
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Received {
        method: Method::POST,
        target: head.target,
        headers,
        body_bytes: Some(BODY.len() as u64),
        upgrade: None,
        began: gate.clock.now(),
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_exchange_and_no_other() {
    let (board, _) = Switchboard::open(None).unwrap();
    let (telemetry, _upkeep) = Telemetry::quiet().unwrap();
    let gate = Arc::new(Gate::new(board, telemetry.clone(), Tap::off(), 1, [0; 16]));
    let worker = Arc::new(Worker {
        pool: upstream::Pool::new(gate.telemetry.clone()),
        registry: Arc::clone(&gate.registries[0]),
    });
    let run = |panics: bool| {
        let (gate, worker) = (Arc::clone(&gate), Arc::clone(&worker));
        tokio::spawn(async move {
            let mut client = Fragile { panics, status: None, body: Vec::new() };
            let request = request(&gate);
            let after = drive(&gate, &worker, request, &mut client).await;
            (matches!(after, After::Answered), client.status, client.body)
        })
    };
    for _ in 0..3 {
        let ended = run(true).await;
        assert!(ended.unwrap_err().is_panic());
        // Nothing is left behind: the seat, the gauge and the record are in order.
        assert_eq!(gate.open_exchanges(), 0);
        assert_eq!(telemetry.meters().open_exchanges().get(), 0);
        let (_, facts) = telemetry.recent().page(None, 1).pop().unwrap();
        assert_eq!(facts.outcome, Outcome::Torn);
        assert_eq!(facts.fault.as_deref(), Some("a panic ended this exchange"));

        let (is_answered, status, body) = run(false).await.unwrap();
        assert!(is_answered, "the worker goes on");
        assert_eq!(status, Some(StatusCode::OK));
        assert!(body.starts_with(b"{"));
        let (_, facts) = telemetry.recent().page(None, 1).pop().unwrap();
        assert_eq!(facts.outcome, Outcome::Completed);
    }
}

/// When a kill of everything comes, and when it counts as in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kill {
    /// While an answer is queued; it waits for the step.
    Waits,
    /// While an answer is queued; it has waited long enough.
    HasWaited,
    /// Just before the answer is written, so that nobody can keep it back any more.
    TooLate,
}

/// Takes an answer, and pulls a lever while it does.
struct Pulling {
    gate: Arc<Gate>,
    kill: Kill,
    queued: Vec<u8>,
    taken: Vec<u8>,
    is_torn: bool,
}

const LEVER: LeverId = LeverId(1);

impl Pulling {
    fn pull(&self) {
        self.gate.board.publish_levers(vec![Arc::new(Lever {
            id: LEVER,
            act: Act::Kill { in_flight: OnKill::Cut },
            scope: Scope::parse("all").unwrap(),
            reason: "r".into(),
            message: None,
            author: "a".into(),
            created_unix_ms: 0,
            ttl_ms: None,
            incident: None,
        })]);
        if self.kill != Kill::Waits {
            self.gate.board.tally(LEVER).settle();
        }
    }
}

impl Client for Pulling {
    fn poll_body(
        &mut self,
        _: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Poll<Result<bool, BodyFault>> {
        out.extend_from_slice(BODY);
        Poll::Ready(Ok(true))
    }

    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn head(&mut self, _: StatusCode, _: &[(HeaderName, HeaderValue)], _: Framing) {}

    fn data(&mut self, payload: &[u8]) {
        self.queued.extend_from_slice(payload);
        if self.kill != Kill::TooLate {
            self.pull();
        }
    }

    fn finish(&mut self) {}

    fn backlog(&self) -> usize {
        self.queued.len()
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kill == Kill::TooLate {
            self.pull();
        }
        self.taken.append(&mut self.queued);
        Poll::Ready(Ok(()))
    }

    fn discard(&mut self) -> Discarded {
        self.queued.clear();
        Discarded::All
    }

    fn tear(&mut self) {
        self.queued.clear();
        self.is_torn = true;
    }
}

/// What leaves after a kill is in force is nothing, unless it cannot be kept back; then it is
/// counted.
#[tokio::test]
async fn a_step_that_a_kill_meets_ends_before_the_kill_counts_or_writes_nothing() {
    for kill in [Kill::Waits, Kill::HasWaited, Kill::TooLate] {
        let (board, _) = Switchboard::open(None).unwrap();
        let (telemetry, _upkeep) = Telemetry::quiet().unwrap();
        let gate = Arc::new(Gate::new(board, telemetry.clone(), Tap::off(), 1, [0; 16]));
        let worker = Arc::new(Worker {
            pool: upstream::Pool::new(gate.telemetry.clone()),
            registry: Arc::clone(&gate.registries[0]),
        });
        let mut client = Pulling {
            gate: Arc::clone(&gate),
            kill,
            queued: Vec::new(),
            taken: Vec::new(),
            is_torn: false,
        };
        drive(&gate, &worker, request(&gate), &mut client).await;
        let late = gate.board.tally(LEVER).counted().late_bytes;
        let (_, facts) = telemetry.recent().page(None, 1).pop().unwrap();
        let seen = (client.taken.is_empty(), client.is_torn, facts.outcome);
        match kill {
            Kill::Waits => {
                assert_eq!(seen, (false, false, Outcome::Completed));
                assert_eq!(late, 0);
            }
            Kill::HasWaited => {
                assert_eq!(seen, (true, true, Outcome::Torn));
                assert_eq!((late, facts.lever), (0, Some(LEVER)));
            }
            Kill::TooLate => {
                assert_eq!(seen, (false, false, Outcome::Completed));
                assert_eq!(late, client.taken.len() as u64);
            }
        }
    }
}
