//! What the record costs: a writer fed by tracks as fast as it takes them, on a real folder.
//!
//! `evidence write DIR [--exchanges N] [--chunks N] [--threads N]` prints megabytes of traffic and
//! exchanges a second, bytes on disk for each byte of traffic, what a chunk costs the data path, and
//! how fast the result is verified.
//!
//! `evidence erase DIR` then lets one of the two routes go whose exchanges took turns, and prints how
//! fast that is and what it frees.

use firedoor::clock::Tick;
use firedoor::evidence::disk::Folder;
use firedoor::evidence::verify::{Span, verify};
use firedoor::evidence::{FOLDER, Note, Opened, Options, PublicKey, Store, Tap};
use firedoor::exchange::facts::Identity;
use firedoor::id::{Epoch, ExchangeId, RouteName};
use firedoor::table::{Capture, RouteKept};
use std::error::Error;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Fault = Box<dyn Error>;

/// The routes of the generated exchanges, which take turns.
const ROUTES: [&str; 2] = ["chat", "regulated"];

/// Words of the generated answers.
const WORDS: [&str; 16] = [
    "the", "door", "stands", "open", "all", "day", "and", "nobody", "notices", "until", "a",
    "fire", "then", "it", "closes", "itself",
];

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let erases = match words.next().as_deref() {
        Some("write") => false,
        Some("erase") => true,
        _ => {
            return Err(
                "evidence write|erase DIR [--exchanges N] [--chunks N] [--threads N]".into()
            );
        }
    };
    let dir = PathBuf::from(words.next().ok_or("a folder is missing")?);
    let (mut exchanges, mut chunks, mut threads) = (2_000_u64, 400_u64, 1_u64);
    while let Some(name) = words.next() {
        let value = words.next().ok_or("a value is missing")?.parse()?;
        match name.as_str() {
            "--exchanges" => exchanges = value,
            "--chunks" => chunks = value,
            "--threads" => threads = value,
            other => return Err(format!("{other} is no option").into()),
        }
    }
    let store = Store::start(Options::of(&dir))?;
    let began = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|worker| {
            let tap = store.tap();
            std::thread::spawn(move || feed(&tap, worker, exchanges / threads, chunks))
        })
        .collect();
    let (mut bytes, mut spent) = (0, Duration::ZERO);
    for worker in workers {
        let (sent, on_path) = worker.join().map_err(|_| "a worker failed")?;
        bytes += sent;
        spent += on_path;
    }
    store.flush(Duration::from_mins(1));
    let took = began.elapsed();
    let counters = store.close(Duration::from_mins(1));
    let mut out = std::io::stdout().lock();
    let mb = bytes as f64 / 1e6;
    writeln!(out, "traffic       {mb:.1} MB in {:.2} s", took.as_secs_f64())?;
    writeln!(
        out,
        "written       {:.1} MB/s, {:.0} exchanges/s",
        mb / took.as_secs_f64(),
        exchanges as f64 / took.as_secs_f64()
    )?;
    writeln!(
        out,
        "on disk       {:.3} bytes a byte of traffic, {} commits",
        counters.disk_bytes as f64 / bytes as f64,
        counters.commits
    )?;
    writeln!(out, "lost          {} records", counters.dropped.records)?;
    writeln!(
        out,
        "on the path   {:.0} ns a chunk, received and delivered",
        spent.as_nanos() as f64 / (exchanges * chunks) as f64
    )?;
    if erases {
        erase(&dir, &mut out)?;
    }
    let path = dir.join(FOLDER);
    let keys = PublicKey::read(&path.join("key.pub"))?;
    let began = Instant::now();
    let report = verify(&Folder::at(&path), Span::default(), &keys)?;
    let text = report.text_bytes as f64 / 1e6;
    writeln!(
        out,
        "verified      {} records, {:.1} MB/s of lines, good: {}",
        report.records,
        text / began.elapsed().as_secs_f64(),
        report.is_good()
    )?;
    Ok(())
}

/// Lets what the first route has go.
fn erase(dir: &Path, out: &mut impl Write) -> Result<(), Fault> {
    let taken = || -> Result<u64, Fault> {
        let mut sum = 0;
        for file in std::fs::read_dir(dir.join(FOLDER))? {
            sum += file?.metadata()?.blocks() * 512;
        }
        Ok(sum)
    };
    let before = taken()?;
    let mut options = Options::of(dir);
    options.limits.segment_bytes_max = 1;
    options.of_route = Arc::new(|route| RouteKept {
        days: (route == ROUTES[0]).then_some(1),
        ..RouteKept::default()
    });
    let began = Instant::now();
    let store = Store::start(options)?;
    let mut last = (0, began);
    while last.1.elapsed() < Duration::from_secs(20) {
        // What is due is looked at when a segment is complete.
        store.tap().note(Note {
            at_unix_ms: 1_800_000_000_000,
            what: "bench".into(),
            exchange: None,
            about: serde_json::json!({}),
        });
        std::thread::sleep(Duration::from_millis(50));
        let erased = store.counters().erased_records;
        if erased > last.0 {
            last = (erased, Instant::now());
        }
    }
    let took = (last.1 - began).as_secs_f64();
    store.close(Duration::from_mins(1));
    let after = taken()?;
    writeln!(
        out,
        "erased        {} records in {took:.2} s; {:.1} MB on disk before, {:.1} after",
        last.0,
        before as f64 / 1e6,
        after as f64 / 1e6
    )?;
    Ok(())
}

/// Records exchanges as fast as the queue takes them: bytes, and the time that the calls took.
fn feed(tap: &Tap, worker: u64, exchanges: u64, chunks: u64) -> (u64, Duration) {
    let (mut bytes, mut spent, mut seed) = (0, Duration::ZERO, worker + 1);
    let bound = tap.counters().queued_bytes_max / 2;
    for number in 0..exchanges {
        let frames: Vec<String> = (0..chunks)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let word = WORDS[(seed >> 33) as usize % WORDS.len()];
                format!("data: {{\"id\":\"chatcmpl-{number}\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-4o\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\" {word}\"}},\"finish_reason\":null}}]}}\n\n")
            })
            .collect();
        while tap.counters().queued_bytes > bound {
            std::thread::sleep(Duration::from_millis(1));
        }
        let opened = Opened {
            id: ExchangeId(u128::from(worker) << 64 | u128::from(number)),
            began: Tick(0),
            began_unix_ms: 1_700_000_000_000,
            identity: Identity::default(),
            route: Some(RouteName::new(ROUTES[(number % 2) as usize])),
            dialect: None,
            model: Some("gpt-4o".into()),
            is_stream: true,
            epoch: Epoch(1),
            ruleset: None,
            levers: vec![],
            keep_days: None,
        };
        let began = Instant::now();
        if let Some(mut track) = tap.open(Capture::Full, opened) {
            track.received_head(Tick(0), 1, 200, vec![]);
            for (at, frame) in (0..).zip(&frames) {
                let now = Tick(at * 10_000_000);
                track.received(now, frame.as_bytes());
                track.delivered(now, frame.as_bytes());
            }
        }
        spent += began.elapsed();
        bytes += frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
    }
    (bytes, spent)
}
