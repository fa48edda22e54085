//! Reading exchanges back, gathering them, and what an interrupted run leaves.

use super::backtest::{Options, Progress, Report, run};
use super::compare::{Fared, compare};
use super::engine::{Delivered, End, Replayed};
use super::gather::{Gatherer, Select, head};
use super::walk::{folder, walk};
use crate::clock::Tick;
use crate::evidence::exchange::{Exchange, Missing, Stream, Wants, of_lines};
use crate::evidence::{Bound, Opened, Options as Keep, RequestHead, SentBody, Store, Track};
use crate::exchange::facts::{Facts, Identity, Outcome};
use crate::exchange::screen::Found;
use crate::id::{Epoch, ExchangeId, RouteName};
use crate::table::Capture;
use crate::table::packs::inline;
use crate::table::rules::Rulebook;
use crate::wire::Dialect;
use crate::wire::refusal::Class;
use bytes::Bytes;
use http::Method;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn facts(id: ExchangeId) -> Facts {
    Facts {
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("r")),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        ..Facts::blank(id, 1_700_000_000_000, "POST /v1/chat/completions".into())
    }
}

/// One exchange: what came in which pieces, and what of it went on as what.
#[derive(Clone, Debug)]
struct Passed {
    asked: Vec<u8>,
    sent: Option<Vec<u8>>,
    received: Vec<Vec<u8>>,
    delivered: Vec<Vec<u8>>,
}

fn passed() -> impl Strategy<Value = Passed> {
    let piece = || proptest::collection::vec(any::<u8>(), 1..400);
    let pieces = proptest::collection::vec((piece(), 0..4_u8), 0..12);
    (piece(), proptest::option::of(piece()), pieces).prop_map(|(asked, sent, pieces)| {
        let received: Vec<Vec<u8>> = pieces.iter().map(|(piece, _)| piece.clone()).collect();
        // Most goes on as it came, some otherwise, some not at all, some together with the next.
        let mut delivered: Vec<Vec<u8>> = Vec::new();
        for (piece, how) in &pieces {
            match (how, delivered.last_mut()) {
                (0, _) => delivered.push(b"[other]".to_vec()),
                (1, Some(last)) => last.extend_from_slice(piece),
                (_, _) => delivered.push(piece.clone()),
            }
        }
        Passed { asked, sent, received, delivered }
    })
}

fn begun(store: &Store, number: u128, capture: Capture, one: &Passed) -> Track {
    let id = ExchangeId(number);
    let opened = Opened {
        id,
        began: Tick::default(),
        began_unix_ms: 1_700_000_000_000,
        identity: Identity::default(),
        route: Some(RouteName::new("r")),
        dialect: Some(Dialect::OpenaiChat),
        model: None,
        is_stream: true,
        epoch: Epoch(1),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    };
    let mut track = store.tap().open(capture, opened).unwrap();
    let head = RequestHead { method: Method::POST, path: "/v1/x".into(), headers: vec![] };
    track.request(Tick(1), head, &Bytes::from(one.asked.clone()));
    let sent = match &one.sent {
        None => SentBody::Same(Bytes::from(one.asked.clone())),
        Some(body) => SentBody::Other(Bytes::from(body.clone())),
    };
    track.sent(Tick(2), 1, &Arc::from("p"), one.asked.len() as u64, &sent);
    track.received_head(Tick(3), 1, 200, vec![]);
    track.delivered_head(Tick(4), 200, vec![]);
    for (at, piece) in one.received.iter().enumerate() {
        track.received(Tick(at as u64 * 1000), piece);
        if let Some(piece) = one.delivered.get(at) {
            track.delivered(Tick(at as u64 * 1000), piece);
        }
    }
    track
}

fn record(store: &Store, number: u128, capture: Capture, one: &Passed) {
    let mut track = begun(store, number, capture, one);
    for piece in one.delivered.iter().skip(one.received.len()) {
        track.delivered(Tick(9_000_000), piece);
    }
    track.close(Tick(10_000_000), Arc::new(facts(ExchangeId(number))));
}

/// All exchanges of a record, by their ids.
fn all(data_dir: &Path) -> Vec<Exchange> {
    let mut all = Vec::new();
    let walked = walk(
        &folder(data_dir),
        &Select::default(),
        Wants::default(),
        1 << 30,
        &mut |recorded, _| {
            all.push(recorded);
            std::ops::ControlFlow::Continue(())
        },
    );
    assert!(!walked.unwrap().is_partial);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    all
}

fn pieces(stream: &Stream) -> Vec<Vec<u8>> {
    stream.pieces().map(|(_, piece)| piece.to_vec()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_exchange_is_read_back_byte_for_byte_and_piece_by_piece(one in passed()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::start(Keep::of(dir.path())).unwrap();
        record(&store, 1, Capture::Full, &one);
        record(&store, 2, Capture::Metadata, &one);
        store.close(Duration::from_mins(1));
        let seen = all(dir.path());
        let [full, bare] = &seen[..] else { panic!("{} exchanges", seen.len()) };
        prop_assert_eq!(&full.id, &ExchangeId(1).to_string());
        prop_assert_eq!(full.missing(), None);
        prop_assert_eq!(&full.request.body.bytes, &one.asked);
        let sent = one.sent.as_ref().unwrap_or(&one.asked);
        prop_assert_eq!(&full.sent(&full.attempts[0]).bytes, sent);
        prop_assert_eq!(pieces(&full.attempts[0].received), one.received.clone());
        prop_assert_eq!(&full.delivered.body.bytes, &one.delivered.concat());
        prop_assert_eq!(bare.missing(), Some(Missing::Texts));
        prop_assert_eq!(bare.request.body.len, one.asked.len() as u64);
    }

    #[test]
    fn nothing_that_is_no_line_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = of_lines(&bytes);
        let _ = head(&bytes);
        let _ = Gatherer::new(Select::default(), Wants::default(), 1 << 20).take(&bytes);
    }

    #[test]
    fn damaged_lines_never_panic(at in 0..2_000_usize, byte in any::<u8>()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::start(Keep::of(dir.path())).unwrap();
        let one = Passed {
            asked: b"{\"model\":\"m\"}".to_vec(),
            sent: None,
            received: vec![b"data: [DONE]\n\n".to_vec()],
            delivered: vec![b"data: [DONE]\n\n".to_vec()],
        };
        record(&store, 1, Capture::Full, &one);
        store.close(Duration::from_mins(1));
        let mut segment = crate::evidence::Segment::open_in(&folder(dir.path()), 1).unwrap();
        let mut lines = Vec::new();
        while let crate::evidence::Met::Line(_, line) = segment.next_line().unwrap() {
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
        if let Some(place) = lines.get_mut(at) {
            *place = byte;
        }
        let _ = of_lines(&lines).missing();
    }
}

#[test]
fn what_a_kill_took_back_is_in_no_replay() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::start(Keep::of(dir.path())).unwrap();
    let received = vec![b"{\"choices\":[".to_vec(), b"{\"index\":0}".to_vec()];
    let one = Passed { asked: b"{}".to_vec(), sent: None, delivered: received.clone(), received };
    let mut track = begun(&store, 1, Capture::Full, &one);
    // Of the second piece all but two bytes were still in the gate.
    track.undelivered(Tick(5_000), 9, Bound::Exact);
    track.delivered(Tick(6_000), b"[killed]");
    let ended = Facts { outcome: Outcome::Cut(Class::Killed), ..facts(ExchangeId(1)) };
    track.close(Tick(10_000), Arc::new(ended));
    store.close(Duration::from_mins(1));

    let killed = all(dir.path()).pop().unwrap();
    let left = [&b"{\"choices\":["[..], b"{\"", b"[killed]"].map(<[u8]>::to_vec);
    assert_eq!(killed.missing(), None);
    assert_eq!(killed.delivered.body.bytes, left.concat());
    assert_eq!(pieces(&killed.delivered.body), left);
    assert_eq!(pieces(&killed.attempts[0].received), one.received);
    // What left is the same as what left.
    let again = Delivered { status: 200, body: left.concat(), end: End::Cut };
    let replayed =
        Replayed { is_judged: false, found: Found::default(), prompt: None, delivered: Ok(again) };
    let compared = compare(&killed, &Ok(replayed));
    assert_eq!((compared.fared, compared.bytes), (Fared::Same, None));
}

#[test]
fn what_is_gathered_has_a_bound() {
    let line = |kind: &str, id: u128, more: usize| {
        let id = ExchangeId(id);
        let rest = "x".repeat(more);
        format!("{{\"v\":1,\"seq\":1,\"at\":\"2026-01-01T00:00:00.000Z\",\"kind\":\"{kind}\",\"exchange\":\"{id}\",\"text\":\"{rest}\"}}")
            .into_bytes()
    };
    let mut gatherer = Gatherer::new(Select::default(), Wants::default(), 2_000);
    assert!(gatherer.take(&line("open", 1, 10)).is_none());
    assert!(gatherer.take(&line("open", 2, 10)).is_none());
    assert!(gatherer.take(&line("received", 1, 3_000)).is_none());
    assert_eq!(gatherer.given_up, 1);
    assert!(gatherer.take(&line("received", 1, 3_000)).is_none());
    assert!(gatherer.take(&line("close", 1, 10)).is_none());
    assert!(gatherer.take(&line("close", 2, 10)).is_some());
    assert!(gatherer.rest().is_empty());
}

fn book(word: &str) -> Arc<Rulebook> {
    let text = format!(
        "pack = \"p\"\n[[rule]]\nid = \"r\"\nabout = \"a word\"\nchannels = [\"user\"]\nmatch = {{ words = [\"{word}\"] }}\naction = \"flag\"\nmode = \"enforce\"\non_error = \"pass\"\n"
    );
    Arc::clone(&inline(&text).unwrap().book)
}

#[test]
fn an_interrupted_backtest_says_so_and_goes_on_to_the_same_end() {
    let dir = tempfile::tempdir().unwrap();
    let asked = |text: &str| Passed {
        asked: format!(
            "{{\"model\":\"m\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
        )
        .into_bytes(),
        sent: None,
        received: vec![],
        delivered: vec![],
    };
    for part in 0..3_u128 {
        let store = Store::start(Keep::of(dir.path())).unwrap();
        for number in 0..20 {
            let text = if number % 4 == 0 { "an apple" } else { "a pear" };
            record(&store, part * 100 + number, Capture::Full, &asked(text));
        }
        store.close(Duration::from_mins(1));
    }
    let options = Options {
        folder: folder(dir.path()),
        select: Select::default(),
        threads: 2,
        identity: None,
        samples_max: 1,
        pending_bytes_max: 1 << 30,
    };
    let rules = book("apple");
    let whole = run(&rules, &options, &Progress::default(), None).unwrap();
    assert_eq!((whole.exchanges, whole.hit, whole.is_partial), (60, 15, false));
    assert_eq!(whole.samples[0].matched, "apple");

    let stopped = Progress::default();
    stopped.stop.store(true, Ordering::Relaxed);
    let partial = run(&rules, &options, &stopped, None).unwrap();
    assert!(partial.is_partial);
    assert!(partial.exchanges < 60 && partial.segments_done.len() < 3, "{partial:?}");
    // It is saved and read as JSON.
    let saved = serde_json::to_string(&partial).unwrap();
    let other = saved.replace("\"version\":2", "\"version\":1");
    assert!(Report::parse(other.as_bytes()).unwrap_err().contains("version 1"));
    let saved = Report::parse(saved.as_bytes()).unwrap();
    saved.goes_on(&rules).unwrap();
    assert!(saved.goes_on(&book("pear")).is_err());
    let resumed = run(&rules, &options, &Progress::default(), Some(saved)).unwrap();
    assert_eq!((resumed.exchanges, resumed.hit, resumed.is_partial), (60, 15, false));
    assert_eq!((&resumed.rules, &resumed.routes), (&whole.rules, &whole.routes));
}
