//! How fast recorded exchanges are indexed and found.
//!
//! Makes exchanges with text of a realistic length and spread of words, writes them as rows of an
//! index in a folder of its own, and times searches in it. Not measured here: reading segments, which
//! `firedoor evidence reindex` does besides.
//!
//! `cargo bench --bench evidence_search -- [EXCHANGES] [FOLDER]`; 100,000 if nothing is said. A folder
//! keeps the index; one that has an index already is only searched.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench that cannot go on has failed, and its result is what it prints"
)]

use firedoor::evidence::exchange::{Cost, Exchange, Finding, Known, Place, Usage};
use firedoor::evidence::index::{self, Entry, Index, Loader, Page, Texts};
use firedoor::evidence::query::parse;
use firedoor::id::ExchangeId;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BEGAN: u64 = 1_795_000_000_000;
const BATCH: u64 = 4_000;
const ROUNDS: usize = 40;

/// SplitMix64: the same exchanges each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    /// A word, by Zipf's law nearly: word `n` is as likely as 1/n.
    fn word(&mut self) -> u64 {
        let share = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (50_000_f64.powf(share)) as u64
    }

    fn text(&mut self, words: u64, out: &mut String) {
        for _ in 0..words {
            let _ = write!(out, "{} ", spelled(self.word()));
        }
    }
}

/// A word of letters for a number.
fn spelled(mut number: u64) -> String {
    let mut word = String::new();
    let syllables = [
        "ka", "re", "lo", "mi", "tu", "sen", "dor", "vi", "pal", "ne", "gra", "os", "ti", "bel",
        "um", "ra",
    ];
    loop {
        word.push_str(syllables[(number % 16) as usize]);
        number /= 16;
        if number == 0 {
            return word;
        }
    }
}

fn entry(number: u64, random: &mut Random) -> (ExchangeId, Entry) {
    let began = BEGAN + number * 40 + random.below(40);
    let id = ExchangeId::new(began, u128::from(random.next()));
    let pick = |random: &mut Random, from: &str, of: u64| format!("{from}{}", random.below(of));
    let is_failed = random.below(200) == 0;
    let known = Known {
        app: Some(pick(random, "app", 20)),
        agent: Some(pick(random, "agent", 200)),
        session: Some(format!("h_{:016x}", number / 8)),
        route: Some(pick(random, "route", 10)),
        dialect: Some("openai-chat".to_owned()),
        outcome: Some(if is_failed { "provider_error" } else { "completed" }.to_owned()),
        status: if is_failed { 503 } else { 200 },
        provider: Some(pick(random, "provider", 5)),
        target: Some(pick(random, "target", 30)),
        model_asked: Some(pick(random, "model-", 30)),
        model_reported: Some(pick(random, "model-", 30)),
        attempts: 1,
        first_text_us: Some(100_000 + random.below(900_000)),
        total_us: Some(500_000 + random.below(20_000_000)),
        usage: Usage {
            input: Some(random.below(8_000)),
            output: Some(random.below(800)),
            ..Usage::default()
        },
        cost: Cost(Some(random.below(40_000))),
        verdict: Some("clear".to_owned()),
        findings: if random.below(1_000) == 0 {
            vec![Finding { rule: pick(random, "secrets/r", 40), ..Finding::default() }]
        } else {
            Vec::new()
        },
        stream: true,
        ..Known::default()
    };
    let mut texts = Texts::default();
    // What is new in a request is short next to what is sent again; every fourth has a result of a
    // tool, every tenth a document.
    let words = 30 + random.below(60);
    random.text(words, &mut texts.columns[0]);
    if random.below(10) == 0 {
        random.text(300, &mut texts.columns[1]);
    }
    if random.below(4) == 0 {
        random.text(80, &mut texts.columns[2]);
        random.text(10, &mut texts.columns[4]);
        texts.tools.push(pick(random, "tool", 50));
    }
    let words = 40 + random.below(160);
    random.text(words, &mut texts.columns[3]);
    if number % 100_003 == 77 {
        texts.columns[3].push_str("the needle in it");
    }
    let exchange = Exchange { began_unix_ms: began, known, is_closed: true, ..Exchange::default() };
    let place = Place { segment: 1 + number / 20_000, frame: (number % 20_000) * 700 };
    (id, Entry { exchange, places: vec![place], texts: Some(texts) })
}

fn main() {
    let wanted: u64 = std::env::args()
        .skip(1)
        .find_map(|argument| argument.replace('_', "").parse().ok())
        .unwrap_or(100_000);
    let temporary = tempfile::TempDir::new().unwrap();
    let named = std::env::args().skip(1).find(|argument| argument.contains('/'));
    let folder = named.map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    if !folder.join(index::FILE).exists() {
        make(&folder, wanted);
    }
    search(&folder, wanted);
}

/// Makes an index.
fn make(folder: &Path, wanted: u64) {
    let mut random = Random(1);
    let mut loader = Loader::open(folder).unwrap();
    let (mut text_bytes, mut writing) = (0, Duration::ZERO);
    let mut at = 0;
    while at < wanted {
        let most = BATCH.min(wanted - at);
        let batch: Vec<_> = (at..at + most).map(|number| entry(number, &mut random)).collect();
        for (_, entry) in &batch {
            let columns = entry.texts.iter().flat_map(|texts| &texts.columns);
            text_bytes += columns.map(|text| text.len() as u64).sum::<u64>();
        }
        let began = Instant::now();
        loader.put(&batch).unwrap();
        writing += began.elapsed();
        at += most;
    }
    drop(loader);
    let size: u64 = ["", "-wal"]
        .iter()
        .filter_map(|end| folder.join(format!("{}{end}", index::FILE)).metadata().ok())
        .map(|meta| meta.len())
        .sum();
    println!("{wanted} exchanges, {:.1} MB of new text", text_bytes as f64 / 1e6);
    println!(
        "indexed: {:.0} exchanges/s, {:.1} MB/s of text",
        wanted as f64 / writing.as_secs_f64(),
        text_bytes as f64 / 1e6 / writing.as_secs_f64()
    );
    println!(
        "index: {:.1} MB, {:.0} bytes an exchange, {:.2} of the text",
        size as f64 / 1e6,
        size as f64 / wanted as f64,
        size as f64 / text_bytes as f64
    );
}

/// Times searches.
fn search(folder: &Path, wanted: u64) {
    let now = BEGAN + wanted * 40;
    let index = Index::open(folder).unwrap();
    println!("{:<62} {:>8} {:>10} {:>10}", "filter", "found", "p50", "p95");
    for filter in [
        "",
        "app:app7",
        "model:model-1*",
        "status:>=500",
        "status:>=500 app:app3",
        "session:h_0000000000000100",
        "rule:secrets/*",
        "tool:tool7 latency:>19s",
        "cost:>0.0399",
        "latency:>20s ttft:>900ms",
        "since:1h -app:app1",
        "provider:provider2 -model:model-2",
        "outcome:refused",
        "app:app3 agent:agent7 route:route4 provider:provider1",
        "needle",
        "kare",
        "kare lomi",
        "\"lo lo\"",
        "\"mi re lo\"",
        "answer:sendor status:>=500",
        "viti* app:app4",
        "prompt:graos -kare",
    ] {
        let query = parse(filter, now).unwrap();
        timed(filter, || index.find(&query, Page { before: None, limit: 50 }).unwrap().rows.len());
    }
    for filter in [
        "",
        "app:app3",
        "status:>=500",
        "status:>=500 app:app3",
        "app:app3 agent:agent7 route:route4 provider:provider1",
        "needle",
        "kare",
        "kare app:app3",
    ] {
        let query = parse(filter, now).unwrap();
        let shown = format!("sessions {filter}");
        timed(&shown, || index.sessions(&query, None, 50).unwrap().0.len());
    }
}

/// Prints how long a search took, of [`ROUNDS`].
fn timed(shown: &str, search: impl Fn() -> usize) {
    let mut times: Vec<Duration> = Vec::new();
    let mut count = 0;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        count = search();
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    let (p50, p95) = (times[ROUNDS / 2], times[ROUNDS * 95 / 100]);
    let shown = if shown.is_empty() { "(nothing)" } else { shown };
    println!("{shown:<62} {count:>8} {:>10} {:>10}", ms(p50), ms(p95));
}
