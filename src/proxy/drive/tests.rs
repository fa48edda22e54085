//! A panic inside one exchange ends that exchange alone.

use super::{After, Received, drive};
use crate::control::Switchboard;
use crate::exchange::facts::Outcome;
use crate::proxy::client::{BodyFault, Client, Framing};
use crate::proxy::{Gate, Worker, h1, upstream};
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

    fn discard(&mut self) -> bool {
        true
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
    let gate = Arc::new(Gate::new(board, telemetry.clone(), 1).unwrap());
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
