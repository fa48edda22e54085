//! A pack over a generated record: how fast text is judged.
//!
//! ```sh
//! cargo bench --bench backtest                        # 256 MB of bodies, the pack `secrets`
//! BACKTEST_MB=4096 BACKTEST_PACK=pii BACKTEST_THREADS=2 cargo bench --bench backtest
//! ```
//!
//! The record has sessions of some turns that send their history again, with a system prompt, tools
//! and what tools returned, as agents do, and answers that are streams of small pieces. The text is
//! the prose of this repository's pages, so it is no line of a benchmark's own.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports, and stops where it fails"
)]

use bytes::Bytes;
mod pages;

use firedoor::clock::Tick;
use firedoor::evidence::{Opened, Options as Keep, RequestHead, SentBody, Store};
use firedoor::exchange::facts::{Facts, Identity, Outcome};
use firedoor::id::{AppName, Epoch, ExchangeId, RouteName};
use firedoor::replay::backtest::{Options, Progress, run};
use firedoor::replay::gather::Select;
use firedoor::replay::walk::folder;
use firedoor::table::Capture;
use firedoor::table::packs::built_in;
use firedoor::wire::Dialect;
use http::{HeaderName, HeaderValue, Method};
use pages::PAGES;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// That of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Turns of a session.
const TURNS: usize = 8;

/// A fixed sequence of numbers (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut number = self.0;
        number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        number ^ (number >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

fn text(numbers: &mut Numbers, sentences: &[&str], bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 200);
    while text.len() < bytes {
        text.push_str(sentences[numbers.below(sentences.len())]);
        text.push_str(". ");
    }
    text
}

fn facts(id: ExchangeId, identity: Identity) -> Facts {
    Facts {
        identity,
        dialect: Some(Dialect::OpenaiChat),
        route: Some(RouteName::new("main")),
        target: Some("openai/gpt-4o".into()),
        model_asked: Some("gpt-4o".into()),
        is_stream: true,
        status: 200,
        outcome: Outcome::Completed,
        attempts: 1,
        total: Duration::from_millis(900),
        ..Facts::blank(id, 1_760_000_000_000, "POST /v1/chat/completions".into())
    }
}

/// Records one exchange; gives the bytes of its bodies.
fn exchange(store: &Store, number: u64, session: &str, body: Vec<u8>, frames: &[Vec<u8>]) -> u64 {
    let id = ExchangeId::new(1_760_000_000_000 + number, u128::from(number));
    let identity = Identity {
        app: Some(AppName::new("bench")),
        session: Some(session.into()),
        ..Identity::default()
    };
    let opened = Opened {
        id,
        began: Tick::default(),
        began_unix_ms: 1_760_000_000_000 + number,
        identity: identity.clone(),
        route: Some(RouteName::new("main")),
        dialect: Some(Dialect::OpenaiChat),
        model: Some("gpt-4o".into()),
        is_stream: true,
        epoch: Epoch(1),
        ruleset: None,
        levers: vec![],
        keep_days: None,
    };
    let mut track = store.tap().open(Capture::Full, opened).unwrap();
    let json =
        (HeaderName::from_static("content-type"), HeaderValue::from_static("application/json"));
    let head = RequestHead {
        method: Method::POST,
        path: "/v1/chat/completions".into(),
        headers: vec![json],
    };
    let mut bytes = body.len() as u64;
    let body = Bytes::from(body);
    track.request(Tick(1), head, &body);
    track.sent(Tick(2), 1, &Arc::from("openai/gpt-4o"), bytes, &SentBody::Same(body));
    let stream =
        (HeaderName::from_static("content-type"), HeaderValue::from_static("text/event-stream"));
    track.received_head(Tick(3), 1, 200, vec![stream.clone()]);
    track.delivered_head(Tick(3), 200, vec![stream]);
    for (at, frame) in frames.iter().enumerate() {
        let now = Tick(1_000_000 * at as u64);
        track.received(now, frame);
        track.delivered(now, frame);
        bytes += frame.len() as u64;
    }
    track.close(Tick(u64::from(u32::MAX)), Arc::new(facts(id, identity)));
    bytes
}

fn frames(answer: &str) -> Vec<Vec<u8>> {
    let words: Vec<&str> = answer.split_inclusive(' ').collect();
    let mut frames: Vec<Vec<u8>> = words
        .iter()
        .map(|word| {
            format!(
                "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{}}},\"finish_reason\":null}}]}}\n\n",
                Value::from(*word)
            )
            .into_bytes()
        })
        .collect();
    frames.push(b"data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n".to_vec());
    frames
}

/// Fills the store with about so many bytes of bodies.
fn fill(store: &Store, bytes_max: u64) -> (u64, u64) {
    let sentences: Vec<&str> = PAGES
        .iter()
        .flat_map(|page| page.split(". "))
        .filter(|sentence| sentence.len() > 20 && sentence.len() < 400)
        .collect();
    let mut numbers = Numbers(7);
    let tools: Value = (0..12)
        .map(|tool| {
            json!({ "type": "function", "function": { "name": format!("tool_{tool}"),
                "description": text(&mut numbers, &sentences, 300),
                "parameters": { "type": "object", "properties": { "query": { "type": "string",
                    "description": text(&mut numbers, &sentences, 80) } } } } })
        })
        .collect();
    let system = text(&mut numbers, &sentences, 4_000);
    let (mut bytes, mut exchanges) = (0, 0);
    while bytes < bytes_max {
        let session = format!("s-{exchanges}");
        let mut messages = vec![json!({ "role": "system", "content": system })];
        for turn in 0..TURNS {
            if turn > 0 {
                let returned = text(&mut numbers, &sentences, 3_000);
                messages.push(json!({ "role": "tool", "tool_call_id": "k", "content": returned }));
            }
            let asked = text(&mut numbers, &sentences, 600);
            messages.push(json!({ "role": "user", "content": asked }));
            let body =
                json!({ "model": "gpt-4o", "stream": true, "tools": tools, "messages": messages });
            let answer = text(&mut numbers, &sentences, 1_200);
            exchanges += 1;
            bytes += exchange(
                store,
                exchanges,
                &session,
                body.to_string().into_bytes(),
                &frames(&answer),
            );
            messages.push(json!({ "role": "assistant", "content": answer, "tool_calls": [{ "id": "k",
                "type": "function", "function": { "name": "tool_1", "arguments": "{\"query\":\"x\"}" } }] }));
        }
        while store.counters().queued_bytes > 32 << 20 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    (bytes, exchanges)
}

/// CPU time of this process so far: other work on the machine does not count.
fn cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec), u32::try_from(now.tv_nsec));
    Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0))
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() {
    let megabytes: u64 = setting("BACKTEST_MB", "256").parse().unwrap();
    let pack = setting("BACKTEST_PACK", "secrets");
    let threads: usize = setting("BACKTEST_THREADS", "1").parse().unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    let mut keep = Keep::of(data_dir.path());
    keep.limits.segment_bytes_max = 16 << 20;
    let store = Store::start(keep).unwrap();
    let began = Instant::now();
    let (bytes, exchanges) = fill(&store, megabytes * 1_000_000);
    let counters = store.close(Duration::from_mins(1));
    println!(
        "record: {exchanges} exchanges, {:.0} MB of bodies, {:.0} MB on disk, written in {:.1} s",
        bytes as f64 / 1e6,
        counters.disk_bytes as f64 / 1e6,
        began.elapsed().as_secs_f64()
    );
    let book = built_in(&pack).unwrap().book.clone().enforcing().unwrap();
    book.warm();
    let options = Options {
        folder: folder(data_dir.path()),
        select: Select::default(),
        threads,
        identity: None,
        samples_max: 3,
        pending_bytes_max: 1 << 30,
    };
    for pass in 1..=3 {
        let (began, cpu_before, progress) = (Instant::now(), cpu(), Progress::default());
        let report = run(&book, &options, &progress, None).unwrap();
        let (seconds, busy) =
            (began.elapsed().as_secs_f64(), cpu().saturating_sub(cpu_before).as_secs_f64());
        println!(
            "pass {pass}: {pack}, {threads} threads: {:.0} MB of text in {seconds:.2} s, {:.0} MB/s; {busy:.2} s of CPU, {:.0} MB/s per core; {:.0} exchanges/s, {} hits",
            report.text_bytes as f64 / 1e6,
            report.text_bytes as f64 / 1e6 / seconds,
            report.text_bytes as f64 / 1e6 / busy,
            report.exchanges as f64 / seconds,
            progress.hits.load(Ordering::Relaxed)
        );
        assert_eq!(report.exchanges, exchanges);
    }
}
