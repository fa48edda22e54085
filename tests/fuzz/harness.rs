//! Seeds in, damaged inputs out, as many as there is time for.

use crate::secret::Dice;
use std::time::{Duration, Instant};

/// Inputs of each target where no time is given.
const INPUTS: u64 = 400;
/// Inputs are no longer than this, unless an operator makes them so.
const BYTES_MAX: usize = 64 << 10;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Gives `target` damaged inputs made from `corpus`, each with dice of its own.
pub fn run(name: &str, corpus: &[Vec<u8>], target: impl Fn(&[u8], &mut Dice)) {
    assert!(!corpus.is_empty(), "{name} has no seeds");
    let until = setting("FIREDOOR_FUZZ_SECONDS")
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seed = setting("FIREDOOR_FUZZ_SEED").unwrap_or(1);
    let only = setting("FIREDOOR_FUZZ_NUMBER");
    let mut number = only.unwrap_or(0);
    loop {
        let is_over = until.map_or(number >= INPUTS, |until| Instant::now() >= until);
        if is_over && only.is_none() {
            break;
        }
        let mut dice = Dice(seed ^ number.wrapping_mul(0x9e37_79b9));
        let input = damaged(corpus, &mut dice);
        if until.is_some() {
            // Of an overflow of the stack nothing is left but this.
            let file = std::env::temp_dir().join(format!("fuzz-{name}-last"));
            std::fs::write(file, &input).unwrap();
        }
        let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            target(&input, &mut dice);
        }));
        if let Err(why) = failed {
            let file = std::env::temp_dir().join(format!("fuzz-{name}-{seed}-{number}"));
            std::fs::write(&file, &input).unwrap();
            eprintln!(
                "{name}: FIREDOOR_FUZZ_SEED={seed} FIREDOOR_FUZZ_NUMBER={number}: the input is {}",
                file.display()
            );
            std::panic::resume_unwind(why);
        }
        number += 1;
        if only.is_some() {
            break;
        }
    }
    if until.is_some() {
        eprintln!("{name}: {number} inputs, seed {seed}");
    }
}

/// Texts that readers trip over.
const PIECES: [&[u8]; 30] = [
    b"\"",
    b"\\",
    b"\\u",
    b"\\ud83d",
    b"\\ude00",
    b"\\u0000",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"1e999",
    b"-0",
    b"18446744073709551616",
    b"\r\n",
    b"\n\n",
    b"\r",
    b"data: ",
    b"event: ",
    b"data: [DONE]\n\n",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\0",
    "\u{200b}".as_bytes(),
    "\u{e0041}".as_bytes(),
    "\u{ff41}".as_bytes(),
    b"&#x41;",
    b"%41",
];

/// An input: a seed, usually damaged in a few places.
pub fn damaged(corpus: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = dice.pick(corpus).clone();
    bytes.truncate(BYTES_MAX);
    for _ in 0..dice.below(6) {
        damage(&mut bytes, corpus, dice);
    }
    bytes
}

/// A place in `bytes` and a length that fits behind it.
fn stretch(bytes: &[u8], dice: &mut Dice) -> (usize, usize) {
    let at = dice.below(bytes.len() + 1);
    let length = dice.below(64).min(bytes.len() - at);
    (at, at + length)
}

fn damage(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], dice: &mut Dice) {
    let (from, to) = stretch(bytes, dice);
    match dice.below(13) {
        0 => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte ^= 1 << dice.below(8);
            }
        }
        1 => bytes.truncate(from),
        2 => drop(bytes.drain(from..to)),
        3 => {
            let copy = bytes[from..to].to_vec();
            bytes.splice(from..from, copy);
        }
        4 => {
            let piece = *dice.pick(&PIECES);
            bytes.splice(from..to, piece.iter().copied());
        }
        5 => {
            let piece = *dice.pick(&PIECES);
            bytes.splice(from..from, piece.iter().copied());
        }
        6 => {
            // A piece of another seed.
            let other = dice.pick(corpus);
            let (begin, end) = stretch(other, dice);
            let end = (end + dice.below(512)).min(other.len());
            bytes.splice(from..to, other[begin..end].iter().copied());
        }
        7 => {
            // JSON that nests.
            let (open, close): (&[u8], &[u8]) =
                if dice.one_in(2) { (b"[", b"]") } else { (b"{\"a\":", b"}") };
            let depth = 1 + dice.below(600);
            let nest = [open.repeat(depth), b"1".to_vec(), close.repeat(depth)].concat();
            bytes.splice(from..from, nest);
        }
        8 => {
            // A length that lies.
            let lie = u32::try_from(dice.roll() & 0xffff_ffff).unwrap() >> dice.below(32);
            if let Some(four) = bytes.get_mut(from..from + 4) {
                four.copy_from_slice(&lie.to_be_bytes());
            }
        }
        9 => {
            // A number that overflows.
            let digit = bytes.iter().skip(from).position(u8::is_ascii_digit).map(|at| at + from);
            if let Some(at) = digit {
                let end = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let big = "9".repeat(1 + dice.below(40));
                bytes.splice(at..end, big.bytes());
            }
        }
        10 => {
            // A string becomes very long.
            let long = vec![b'a' + u8::try_from(dice.below(26)).unwrap(); dice.below(9000)];
            bytes.splice(from..from, long);
        }
        11 => {
            // A line or a frame twice, or in another place.
            let line = bytes[from..].split_inclusive(|byte| *byte == b'\n').next();
            let line = line.unwrap_or_default().to_vec();
            let at = dice.below(bytes.len() + 1);
            bytes.splice(at..at, line);
        }
        _ => {
            if let Some(byte) = bytes.get_mut(from) {
                *byte = u8::try_from(dice.below(256)).unwrap();
            }
        }
    }
}

/// `bytes` in random pieces, empty ones included.
pub fn pieces<'b>(bytes: &'b [u8], dice: &mut Dice) -> Vec<&'b [u8]> {
    let mut ends: Vec<usize> =
        (0..1 + dice.below(12)).map(|_| dice.below(bytes.len() + 1)).collect();
    if bytes.len() < 300 && dice.one_in(3) {
        ends.extend(0..bytes.len());
    }
    ends.extend([0, bytes.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect()
}

/// The same for text.
pub fn text_pieces<'t>(text: &'t str, dice: &mut Dice) -> Vec<&'t str> {
    let mut rest = text;
    let mut pieces = Vec::new();
    let step = 1 + dice.below(40);
    while !rest.is_empty() {
        let mut end = dice.below(step + 1).min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, behind) = rest.split_at(end);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}
