//! What the matching of one delta costs: `cargo bench --bench filter_scan`.
//!
//! 1,000 literals and 100 regular expressions over English in pieces of about four bytes, over
//! hostile text, cold and warm, early and late in a long text; and how much of it is held. Time
//! is that of the thread, the best of some rounds.

use firedoor::filter::fold::Wanted;
use firedoor::filter::{
    Action, Cache, Case, Channels, Engine, Kind, Limits, Passage, Pattern, Redaction, Release,
    Rule, Scanner, compile_within,
};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: usize = 7;

/// Time that this thread ran, in nanoseconds: other work on the machine does not count.
fn thread_ns() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// The prose of this repository.
fn english() -> Result<String, Box<dyn Error>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let mut text = String::new();
    let mut files: Vec<_> = std::fs::read_dir(format!("{root}/docs"))?
        .filter_map(Result::ok)
        .map(|e| e.path())
        .collect();
    files.sort();
    files.push(format!("{root}/README.md").into());
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "md")) {
        for line in std::fs::read_to_string(file)?.lines() {
            let plain = line.bytes().filter(|b| b.is_ascii_alphabetic() || *b == b' ').count();
            if line.len() > 40 && line.is_ascii() && plain * 10 > line.len() * 9 {
                text.push_str(line.trim());
                text.push('\n');
            }
        }
    }
    Ok(text.repeat(1 + 400_000 / text.len().max(1)))
}

/// Pieces as a tokenizer makes them: a blank sticks to its word, long words break, other
/// characters stand alone.
fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut pieces = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let mut upto = from + 1;
        if bytes[from] == b' ' && bytes.get(upto).is_some_and(u8::is_ascii_alphabetic) {
            upto += 1;
        }
        if bytes[upto - 1].is_ascii_alphabetic() {
            while upto - from < 8 && bytes.get(upto).is_some_and(u8::is_ascii_alphabetic) {
                upto += 1;
            }
        }
        while !text.is_char_boundary(upto) {
            upto += 1;
        }
        pieces.push(&text[from..upto]);
        from = upto;
    }
    pieces
}

fn fours(text: &str) -> Vec<&str> {
    let ends = (0..text.len()).step_by(4).map(|from| (from, (from + 4).min(text.len())));
    ends.map(|(from, upto)| &text[from..upto]).collect()
}

/// Half phrases of two words of the text itself, half words that do not exist.
fn literals(text: &str, count: usize) -> Vec<String> {
    const PARTS: [&str; 15] = [
        "ka", "ro", "vel", "min", "tor", "qua", "zen", "lix", "bra", "dox", "fi", "gen", "hul",
        "jo", "pex",
    ];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| word.len() > 3).collect();
    (0..count)
        .map(|number| {
            if number % 2 == 0 {
                format!("{} {}", words[dice.roll(words.len())], words[dice.roll(words.len())])
            } else {
                (0..3 + dice.roll(2)).map(|_| PARTS[dice.roll(PARTS.len())]).collect()
            }
        })
        .collect()
}

/// 88 that begin with a text or a digit, as most rules do.
fn narrow() -> Vec<String> {
    let prefixes = "AKIA ASIA ghp_ gho_ ghs_ ghr_ github_pat_ glpat- sk- sk-ant- sk-proj- xoxb- xoxp- \
        xapp- AIza ya29\\. hf_ npm_ pypi- dop_v1_ shpat_ shpss_ sq0atp- EAAC rk_live_ sk_live_ pk_live_ \
        SG\\. key- dapi tfp_ lin_api_ secret_ xkeysib- NRAK- PMAK- ATATT3 hvs\\. hvb\\. AGE-SECRET-KEY-1 \
        eyJ glsa_ sbp_ fo1_ ddp_ dckr_pat_ nvapi- gsk_ r8_ pplx-";
    let classes = ["[A-Za-z0-9]", "[A-Za-z0-9_-]", "[0-9A-Z]", "[0-9a-f]"];
    let keys = prefixes.split_whitespace().enumerate().map(|(number, prefix)| {
        format!("\\b{prefix}{}{{{},}}", classes[number % 4], 16 + number % 12)
    });
    let names = [
        "password",
        "passwd",
        "secret",
        "api[_-]?key",
        "access[_-]?token",
        "auth[_-]?token",
        "client[_-]?secret",
        "private[_-]?key",
        "connection[_-]?string",
        "pin code",
    ];
    let named = names
        .iter()
        .map(|name| format!("(?i:{name})\\s{{0,3}}[:=]\\s{{0,3}}['\"]?[^\\s'\"]{{8,64}}"));
    let phrases = [
        "ignore (?:all|any) (?:previous|prior) instructions",
        "disregard the (?:above|system prompt)",
        "you are now (?:dan|in developer mode)",
        "reveal your (?:system|hidden) prompt",
        "project (?:falcon|osprey|kestrel)",
        "internal use only",
        "do not distribute",
        "attorney[- ]client privileged",
        "begin system prompt",
        "act as (?:an?|the) unrestricted",
    ];
    let phrases = phrases.iter().map(|phrase| format!("(?i:{phrase})"));
    let digits = [
        r"\b\d{3}-\d{2}-\d{4}\b",
        r"\b(?:\d[ -]?){13,16}\b",
        r"\b\d{3}[ .-]\d{3}[ .-]\d{4}\b",
        r"\b(?:\d{1,3}\.){3}\d{1,3}\b",
        r"\b\d{4}-\d{2}-\d{2}\b",
        r"\b\d{2}/\d{2}/\d{4}\b",
        r"\b\d{9}\b",
        r"\b\d{2}-\d{7}\b",
        r"\+\d{1,3}[ -]?\d{6,12}",
        r"\b\d{5}-\d{4}\b",
        r"\b\d{10}:[A-Za-z0-9_-]{35}\b",
        r"\b\d{12}\b",
        r"\b[0-9]{8}[A-Z]\b",
        r"\b\d{6}-\d{4}\b",
        r"\b\d{1,5} [A-Z][a-z]{1,20} (?:Street|Road|Avenue)\b",
        r"\$\d{1,3}(?:,\d{3}){2,}",
        r"\b\d{3} \d{3} \d{3}\b",
        r"\b\d{11}\b",
    ];
    let digits = digits.iter().map(|pattern| (*pattern).to_owned());
    keys.chain(named).chain(phrases).chain(digits).collect()
}

/// Twelve that may begin at any letter.
fn broad() -> Vec<String> {
    [
        r"\b[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,4}\b",
        r"\b[0-9a-f]{32}\b",
        r"\b[0-9a-f]{40}\b",
        r"\b[0-9a-f]{64}\b",
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b",
        r"\b[a-z0-9-]{1,40}\.(?:internal|corp|local)\b",
        r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b",
        r"\b[A-Za-z0-9+/]{40}\b",
        r"\b[A-Z]{1,2}\d[A-Z0-9]? ?\d[A-Z]{2}\b",
        r"[a-z]{3,10}://[^\s/:@]{1,40}:[^\s/:@]{1,40}@",
        r"\b[A-Z]{3}-\d{3,6}\b",
        r"\b[A-HJ-NPR-Z0-9]{17}\b",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn rule(pattern: Pattern, case: Case, action: Action) -> Rule {
    let channels = Channels::ALL;
    Rule { id: "r".into(), about: String::new(), channels, pattern, case, action }
}

fn rules(texts: &[String], words: bool, regexes: &[String]) -> Vec<Rule> {
    let hide = Action::Redact(Redaction::Marker);
    let text = |text: &String| {
        let list = vec![text.clone()];
        let pattern = if words { Pattern::Words(list) } else { Pattern::Literals(list) };
        rule(pattern, Case::Any, hide)
    };
    let regex = |pattern: &String| rule(Pattern::Regex(pattern.clone()), Case::Exact, hide);
    texts.iter().map(text).chain(regexes.iter().map(regex)).collect()
}

/// Every tenth rule only flags, so that there is something that the view of spaced letters is for.
fn some_flag(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.iter_mut().skip(9).step_by(10).for_each(|rule| rule.action = Action::Flag);
    rules
}

/// The rules as a pack, for `benches/filters`: 1,000 literals and 100 expressions on every kind of
/// text, or `count` rules of one literal each.
fn pack(text: &str, texts: &[String], regexes: &[String], count: Option<usize>) -> String {
    let kinds = Kind::ALL.map(|kind| format!("{:?}", kind.name())).join(", ");
    let rule = |id: String, looks_for: String| {
        format!(
            "[[rule]]\nid = \"{id}\"\nchannels = [{kinds}]\nmatch = {{ {looks_for} }}\n\
             action = {{ default = \"redact\", tool_arguments = \"cut\" }}\non_error = \"cut\"\n\n"
        )
    };
    let literal = |text: &String| format!("literal = {text:?}");
    let mut pack = "pack = \"bench\"\n\n".to_owned();
    if let Some(count) = count {
        let many = literals(text, count);
        let rules = many.iter().enumerate().map(|(at, one)| rule(format!("l{at}"), literal(one)));
        pack.extend(rules);
        return pack;
    }
    pack.push_str(&rule("texts".to_owned(), format!("literal = {texts:?}")));
    let rules = regexes.iter().enumerate();
    pack.extend(rules.map(|(at, one)| rule(format!("x{at}"), format!("regex = {one:?}"))));
    pack
}

/// Runs all pieces through one scanner; nanoseconds of the thread.
fn run(engine: &Arc<Engine>, cache: &mut Cache, pieces: &[&str]) -> f64 {
    let mut out = Release::default();
    let began = thread_ns();
    let mut scanner = Scanner::new(engine);
    for piece in pieces {
        black_box(scanner.push(cache, black_box(piece), &mut out));
    }
    scanner.finish(cache, &mut out);
    thread_ns() - began
}

fn best(engine: &Arc<Engine>, cache: &mut Cache, pieces: &[&str]) -> f64 {
    let rounds = (0..ROUNDS).map(|_| run(engine, cache, pieces));
    rounds.fold(f64::MAX, f64::min) / pieces.len() as f64
}

fn held(engine: &Arc<Engine>, cache: &mut Cache, pieces: &[&str]) -> (f64, f64, u64, u64) {
    let mut scanner = Scanner::new(engine);
    let mut out = Release::default();
    let mut held: Vec<u64> = Vec::new();
    let mut whole = 0;
    for piece in pieces {
        let progress = scanner.push(cache, piece, &mut out);
        whole += usize::from(progress.passage == Passage::Whole);
        held.push(progress.held_bytes);
    }
    held.sort_unstable();
    let count = held.len().max(1);
    let mean = held.iter().sum::<u64>() as f64 / count as f64;
    (100.0 * whole as f64 / count as f64, mean, held[count * 99 / 100], held[count - 1])
}

const HOSTILE: [&str; 8] = [
    "digits",
    "base64",
    "sk- and base64",
    "pin code: and digits",
    "a@a@",
    "one letter",
    "hex words",
    "short words",
];

fn hostile(name: &str, mut dice: Dice) -> String {
    let mut random = |letters: &[u8]| -> String {
        (0..1 << 16).map(|_| letters[dice.roll(letters.len())] as char).collect()
    };
    const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    match name {
        "digits" => random(b"0123456789"),
        "base64" => random(BASE64),
        "sk- and base64" => format!("sk-{}", random(BASE64)),
        "pin code: and digits" => format!("pin code: {}", random(b"0123456789")),
        "a@a@" => "a@".repeat(1 << 15),
        "one letter" => "a".repeat(1 << 16),
        "hex words" => random(b"0123456789abcdef    "),
        _ => random(b"abcdefghij.-_+%"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let text = english()?;
    let pieces = tokens(&text);
    let large = text.as_bytes().chunks(16 << 10).map(std::str::from_utf8);
    let large: Vec<&str> = large.collect::<Result<_, _>>()?;
    let texts = literals(&text, 1000);
    let all: Vec<String> = narrow().into_iter().chain(broad()).collect();
    if let Ok(path) = std::env::var("PACK") {
        let count = std::env::var("RULES").ok().and_then(|count| count.parse().ok());
        return Ok(std::fs::write(path, pack(&text, &texts, &all, count))?);
    }
    writeln!(
        out,
        "{} bytes of English in {} pieces of {:.1} bytes; {} literals, {} regexes; scanner {} bytes",
        text.len(),
        pieces.len(),
        text.len() as f64 / pieces.len() as f64,
        texts.len(),
        all.len(),
        size_of::<Scanner>()
    )?;
    writeln!(
        out,
        "rules | compile ms | cold ns/delta | warm ns/delta | 16 KB pieces MB/s | whole % | held mean, p99, max | shared MB | worker MB"
    )?;
    let sets = [
        ("1k literals", rules(&texts, false, &[])),
        ("1k words", rules(&texts, true, &[])),
        ("88 regexes", rules(&[], false, &narrow())),
        ("100 regexes", rules(&[], false, &all)),
        ("1k literals + 88 regexes", rules(&texts, false, &narrow())),
        ("1k literals + 100 regexes", rules(&texts, false, &all)),
        ("1k words + 100 regexes", rules(&texts, true, &all)),
        ("1k literals + 100 regexes, a tenth flags", some_flag(rules(&texts, false, &all))),
    ];
    for (name, list) in &sets {
        let (set, compile_ms) = timed(list)?;
        let engine = set.engine(Kind::Answer).ok_or("no engine")?;
        let mut cache = Cache::default();
        let cold = run(engine, &mut cache, &pieces) / pieces.len() as f64;
        let warm = best(engine, &mut cache, &pieces);
        let bulk =
            text.len() as f64 / (best(engine, &mut cache, &large) * large.len() as f64) * 1e3;
        let (whole, mean, p99, most) = held(engine, &mut cache, &pieces);
        writeln!(
            out,
            "{name} | {compile_ms:.0} | {cold:.0} | {warm:.0} | {bulk:.0} | {whole:.0} | {mean:.1}, {p99}, {most} | {:.1} | {:.1}",
            engine.memory_bytes() as f64 / 1e6,
            cache.memory_bytes() as f64 / 1e6
        )?;
    }
    let (set, _) = timed(&rules(&texts, false, &all))?;
    let engine = set.engine(Kind::Answer).ok_or("no engine")?;
    writeln!(
        out,
        "hostile text, 64 KB in deltas of 4 bytes, 1k + 100 | first half ns/delta | second half | clears"
    )?;
    let mut cache = Cache::default();
    cache.warm(&set);
    for name in HOSTILE {
        let mut halves = [f64::MAX; 2];
        for round in 0..ROUNDS {
            // Other text each time: what was seen before must not be what makes it fast.
            let text = hostile(name, Dice(7 + round as u64));
            let pieces = fours(&text);
            let mut out = Release::default();
            let mut scanner = Scanner::new(engine);
            for (half, pieces) in halves.iter_mut().zip(pieces.chunks(pieces.len().div_ceil(2))) {
                let began = thread_ns();
                for piece in pieces {
                    black_box(scanner.push(&mut cache, black_box(piece), &mut out));
                }
                *half = half.min((thread_ns() - began) / pieces.len() as f64);
            }
        }
        writeln!(out, "{name} | {:.0} | {:.0} | {}", halves[0], halves[1], cache.clear_count())?;
    }
    Ok(())
}

/// The views of the fold: `FOLD=none|least|all`, or least.
fn fold() -> Option<Wanted> {
    match std::env::var("FOLD").as_deref() {
        Ok("none") => None,
        Ok("all") => Some(Wanted::ALL),
        _ => Some(Wanted::LEAST),
    }
}

fn timed(rules: &[Rule]) -> Result<(firedoor::filter::Ruleset, f64), Box<dyn Error>> {
    let limits = Limits { fold: fold(), ..Limits::default() };
    let began = Instant::now();
    let set = compile_within(rules, &limits).map_err(|complaints| {
        let bad = complaints.iter().find(|c| c.severity == firedoor::filter::Severity::Error);
        format!("{bad:?}")
    })?;
    Ok((set, began.elapsed().as_secs_f64() * 1e3))
}
