use super::*;
use crate::id::ExchangeId;
use serde_json::json;

const ID: ExchangeId = ExchangeId(7);

fn gather(lines: &[Value]) -> Exchange {
    let mut gather = Gather::new(ID, super::Wants::default());
    for (seq, line) in lines.iter().enumerate() {
        let mut line = line.clone();
        line["v"] = json!(1);
        line["seq"] = json!(seq + 1);
        line["at"] = json!("2026-11-28T10:00:00.000Z");
        if line.get("exchange").is_none() {
            line["exchange"] = json!(ID.to_string());
        }
        gather.line(&serde_json::to_vec(&line).unwrap()).unwrap();
    }
    gather.finish()
}

fn received(offset: u64, text: &str) -> Value {
    json!({ "kind": "received", "attempt": 1, "offset": offset, "bytes": text.len(),
            "chunks": [[offset, text.len()]], "text": text })
}

fn same(offset: u64, from: u64, len: u64) -> Value {
    json!({ "kind": "delivered", "same": { "attempt": 1, "offset": from }, "offset": offset,
            "bytes": len, "chunks": [[offset, len]] })
}

#[test]
fn what_did_not_leave_is_not_in_what_was_delivered() {
    let own =
        json!({ "kind": "delivered", "offset": 8, "bytes": 4, "chunks": [[9, 4]], "text": "CUT!" });
    let back = json!({ "kind": "undelivered", "bytes": 3, "at_most": false });
    let found = gather(&[received(0, "abcdefgh"), same(0, 0, 8), back, own]);
    assert_eq!(found.delivered.body.bytes, b"abcdeCUT!");
    assert_eq!(found.delivered.body.len, 9);
    assert_eq!(found.delivered.body.chunks.iter().map(|one| one.bytes).sum::<u64>(), 9);
    assert!(!found.delivered.is_same);
    let doubt = json!({ "kind": "undelivered", "bytes": 3, "at_most": true });
    let found = gather(&[received(0, "abcdefgh"), same(0, 0, 8), doubt]);
    assert_eq!((found.delivered.body.bytes.len(), found.delivered.doubtful), (8, 3));
    assert!(found.delivered.is_same);
}

#[test]
fn an_answer_may_stand_behind_its_delivery() {
    let found = gather(&[same(0, 0, 2), received(0, "abcd"), same(2, 2, 2)]);
    assert_eq!(found.delivered.body.bytes, b"abcd");
    assert_eq!(found.delivered.begins_as, Some((1, 4)));
    assert!(found.passed_on(&found.attempts[0]));
    let none = gather(&[same(0, 0, 2)]);
    assert_eq!(none.delivered.body.holes, [Hole { at: 0, bytes: 2 }]);
}

#[test]
fn an_attempt_that_answers_anew_was_sent_what_it_was_sent() {
    let head = json!({ "kind": "answer_head", "attempt": 1, "status": 200, "headers": [] });
    let sent = json!({ "kind": "sent", "attempt": 1, "target": "p/m", "bytes": 2, "offset": 0,
                       "text": "{}" });
    let found = gather(&[sent, head.clone(), received(0, "ab"), head, received(0, "cd")]);
    let answers: Vec<&[u8]> = found.attempts.iter().map(|one| &one.received.bytes[..]).collect();
    assert_eq!(answers, [b"ab", b"cd"]);
    assert!(found.attempts.iter().all(|one| found.sent(one).bytes == b"{}"));
}

#[test]
fn a_lost_line_is_a_hole_where_it_was() {
    let found = gather(&[
        json!({ "kind": "answer_head", "attempt": 1, "status": 200, "headers": [] }),
        received(0, "ab"),
        received(5, "fg"),
        same(0, 0, 2),
        same(2, 2, 3),
        same(5, 5, 2),
        json!({ "kind": "gap", "records": 1, "bytes": 3 }),
        json!({ "kind": "close", "outcome": "completed" }),
    ]);
    let stream = &found.attempts[0].received;
    assert_eq!((&stream.bytes[..], stream.len), (&b"abfg"[..], 7));
    assert_eq!(stream.holes, [Hole { at: 2, bytes: 3 }]);
    assert_eq!(found.delivered.body.bytes, b"abfg");
    assert_eq!(found.delivered.body.holes, [Hole { at: 2, bytes: 3 }]);
    assert!(found.is_closed && !found.is_whole());
}

#[test]
fn a_body_in_pieces_is_whole_only_with_its_last_piece() {
    let piece = |offset: u64, text: &str| json!({ "kind": "request", "bytes": 6, "offset": offset, "text": text });
    let first = json!({ "kind": "request", "method": "POST", "path": "/v1/x", "headers": [["a", "b"]],
                        "bytes": 6, "offset": 0, "text": "abc" });
    let found = gather(&[first.clone(), piece(3, "def")]);
    assert_eq!(found.request.body.bytes, b"abcdef");
    assert!(found.request.body.is_kept());
    assert_eq!((&*found.request.path, field(&found.request.headers, "A")), ("/v1/x", Some("b")));
    let found = gather(std::slice::from_ref(&first));
    assert_eq!(found.request.body.holes, [Hole { at: 3, bytes: 3 }]);
    let found = gather(&[piece(3, "def")]);
    assert_eq!(found.request.body.holes, [Hole { at: 0, bytes: 3 }]);
    let counted =
        json!({ "kind": "request", "method": "GET", "path": "/", "headers": [], "bytes": 6 });
    let found = gather(&[counted]);
    assert!(!found.request.body.is_kept() && found.request.body.len == 6);
}

#[test]
fn an_end_without_facts_keeps_what_the_beginning_said() {
    let open = json!({ "kind": "open", "app": "helpdesk", "session": "s", "model": "m", "epoch": 3,
                       "stream": true });
    let found = gather(std::slice::from_ref(&open));
    assert!(!found.is_closed);
    assert_eq!(found.known.model_asked.as_deref(), Some("m"));
    let found = gather(&[open.clone(), json!({ "kind": "close", "outcome": "abandoned" })]);
    assert_eq!(found.known.app.as_deref(), Some("helpdesk"));
    assert_eq!(found.known.outcome.as_deref(), Some("abandoned"));
    let close = json!({ "kind": "close", "outcome": "completed", "status": 200, "cost_micro_usd": 5,
                        "usage": { "input": 3, "output": null } });
    let found = gather(&[open, close]);
    assert_eq!((found.known.epoch, found.known.cost), (3, Cost(Some(5))));
    assert_eq!(found.known.usage.total(), Some(3));
}

#[test]
fn lines_of_others_and_of_kinds_to_come_are_passed_over() {
    let found = gather(&[
        json!({ "kind": "received", "exchange": "x_other", "attempt": 1, "offset": 0, "bytes": 1, "text": "x" }),
        json!({ "kind": "feeling", "mood": "fine" }),
    ]);
    assert!(found.attempts.is_empty());
    let line = json!({ "v": 99, "seq": 1, "at": "", "kind": "open" });
    assert!(
        Gather::new(ID, super::Wants::default()).line(&serde_json::to_vec(&line).unwrap()).is_err()
    );
    assert!(Gather::new(ID, super::Wants::default()).line(b"no line").is_err());
}
