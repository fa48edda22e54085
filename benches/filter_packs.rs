//! What the built-in packs cost: `cargo bench --bench filter_packs`, or one of them: `PACK=secrets`.
//!
//! Prose that stands whole, as in prompts and documents, and prose in pieces of a word, as answers
//! come. Time is that of the thread, the best of some rounds.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench reports, and stops where it fails"
)]

mod pages;

use firedoor::filter::{Cache, Engine, Kind, Release, Scanner};
use firedoor::table::packs::built_in;
use pages::PAGES;
use std::hint::black_box;
use std::sync::Arc;

const ROUNDS: usize = 7;
const PACKS: [&str; 7] = ["secrets", "pii", "injection", "exfiltration", "leak", "abuse", "tools"];

/// Time that this thread ran, in nanoseconds: other work on the machine does not count.
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Runs each text through a scanner of its own, in pieces that `cut` makes; nanoseconds.
fn run(
    engine: &Arc<Engine>,
    cache: &mut Cache,
    texts: &[&str],
    cut: &dyn Fn(&str) -> Vec<String>,
) -> f64 {
    let texts: Vec<Vec<String>> = texts.iter().map(|text| cut(text)).collect();
    let mut out = Release::default();
    let began = thread_ns();
    for pieces in &texts {
        let mut scanner = Scanner::new(engine);
        for piece in pieces {
            black_box(scanner.push(cache, black_box(piece), &mut out));
        }
        scanner.finish(cache, &mut out);
    }
    thread_ns() - began
}

fn parts(page: &str, bytes: usize) -> Vec<&str> {
    let (mut parts, mut rest) = (Vec::new(), page);
    while !rest.is_empty() {
        let (part, more) = rest.split_at(rest.floor_char_boundary(bytes.min(rest.len())));
        parts.push(part);
        rest = more;
    }
    parts
}

fn main() {
    let texts: Vec<&str> = PAGES.iter().flat_map(|page| parts(page, 3_000)).collect();
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    let whole = |text: &str| vec![text.to_owned()];
    let words =
        |text: &str| -> Vec<String> { text.split_inclusive(' ').map(str::to_owned).collect() };
    let pieces: usize = texts.iter().map(|text| words(text).len()).sum::<usize>().max(1);
    println!("{bytes} bytes in {} texts; {pieces} words", texts.len());
    println!("pack | whole, MB/s | words, ns each | words, MB/s");
    let wanted = std::env::var("PACK").ok();
    for pack in PACKS.iter().filter(|pack| wanted.as_deref().is_none_or(|one| one == **pack)) {
        let book = built_in(pack).unwrap().book.clone().enforcing().unwrap();
        book.warm();
        let judge = Arc::clone(book.judge(0).unwrap());
        let kind = Kind::User;
        let Some(engine) = judge.ruleset.engine(kind).or(judge.ruleset.engine(Kind::Answer)) else {
            continue;
        };
        let mut cache = Cache::default();
        let mut best = |cut: &dyn Fn(&str) -> Vec<String>| {
            let rounds = (0..ROUNDS).map(|_| run(engine, &mut cache, &texts, cut));
            rounds.fold(f64::MAX, f64::min)
        };
        let (whole, words) = (best(&whole), best(&words));
        println!(
            "{pack} | {:.0} | {:.0} | {:.0}",
            bytes as f64 / whole * 1e3,
            words / pieces as f64,
            bytes as f64 / words * 1e3
        );
    }
}
