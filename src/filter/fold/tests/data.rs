//! The fold on collected texts: evasions are undone, and benign text of many languages is not
//! turned into English.

use super::Whole;
use crate::filter::fold::{ViewKind, fold_rule_text};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data"));
    std::env::var_os("FIREDOOR_DATA").map_or(beside, PathBuf::from)
}

fn rows(file: &str) -> Vec<serde_json::Value> {
    let path = folder().join(file);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; set FIREDOOR_DATA", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn word<'v>(row: &'v serde_json::Value, key: &str) -> &'v str {
    row[key].as_str().unwrap_or("")
}

/// The views in which the plain text is found, as an automaton that ignores case finds it.
fn recovered(text: &str, plain: &str) -> Option<ViewKind> {
    let pieces: Vec<String> =
        text.chars().collect::<Vec<_>>().chunks(3).map(|chars| chars.iter().collect()).collect();
    let whole = Whole::of(pieces.iter().map(String::as_str));
    let plain = fold_rule_text(plain).to_ascii_lowercase();
    ViewKind::ALL.into_iter().find(|kind| {
        let text = whole.text(*kind).to_ascii_lowercase();
        // The spaced view has one blank where the text has several.
        let blanks = *kind == ViewKind::Spaced && text.contains(&one_blank(&plain));
        text.contains(&plain) || blanks
    })
}

fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Techniques that the fold does not claim, and who does.
const NOT_CLAIMED: &[(&str, &str)] = &[
    ("evasion:rot13", "ciphers are for models"),
    ("evasion:leetspeak", "classes in patterns"),
    ("evasion:newline-split", "white space is the matcher's"),
];

#[test]
fn evasions_are_undone() {
    let mut techniques: BTreeMap<String, (u32, u32, BTreeMap<ViewKind, u32>)> = BTreeMap::new();
    for row in rows("attacks/derived_evasions.jsonl") {
        let (plain, text) = (word(&row, "plain"), word(&row, "text"));
        let entry = techniques.entry(word(&row, "technique").to_owned()).or_default();
        entry.1 += 1;
        if let Some(kind) = recovered(text, plain) {
            entry.0 += 1;
            *entry.2.entry(kind).or_default() += 1;
        } else if !NOT_CLAIMED.iter().any(|(name, _)| *name == word(&row, "technique")) {
            println!("MISS {} {text}", word(&row, "technique"));
        }
    }
    let plains: BTreeSet<String> = rows("attacks/derived_evasions.jsonl")
        .iter()
        .map(|row| word(row, "plain").to_owned())
        .filter(|plain| plain.chars().all(|ch| matches!(ch, ' '..='~')))
        .collect();
    for (name, write) in WRITTEN {
        let entry = techniques.entry(format!("written here:{name}")).or_default();
        for plain in &plains {
            entry.1 += 1;
            if let Some(kind) = recovered(&write(plain), plain) {
                entry.0 += 1;
                *entry.2.entry(kind).or_default() += 1;
            } else {
                println!("MISS {name} {}", write(plain));
            }
        }
    }
    let mut table = String::from("| technique | undone | views | claimed |\n|---|---|---|---|\n");
    let mut failed = Vec::new();
    for (technique, (undone, all, views)) in &techniques {
        let reason = NOT_CLAIMED.iter().find(|(name, _)| name == technique);
        let claim = reason.map_or("yes".to_owned(), |(_, who)| format!("no: {who}"));
        let _ = writeln!(table, "| {technique} | {undone}/{all} | {views:?} | {claim} |");
        if reason.is_none() && undone * 100 < all * 99 {
            failed.push(technique);
        }
    }
    println!("{table}");
    assert!(failed.is_empty(), "{failed:?}\n{table}");
}

type Write = fn(&str) -> String;

/// Other spellings of the same texts.
const WRITTEN: &[(&str, Write)] = &[
    ("full width", |text| shift(text, |ch| if ch == ' ' { 0x3000 } else { ch as u32 + 0xFEE0 })),
    ("bold letters", |text| {
        shift(text, |ch| match ch {
            'a'..='z' => ch as u32 - 'a' as u32 + 0x1D41A,
            'A'..='Z' => ch as u32 - 'A' as u32 + 0x1D400,
            _ => ch as u32,
        })
    }),
    ("circled letters", |text| {
        shift(text, |ch| match ch {
            'a'..='z' => ch as u32 - 'a' as u32 + 0x24D0,
            'A'..='Z' => ch as u32 - 'A' as u32 + 0x1F150,
            _ => ch as u32,
        })
    }),
    ("accents", |text| text.chars().flat_map(|ch| [ch, '\u{301}', '\u{325}', '\u{338}']).collect()),
    ("tag characters", |text| {
        let hidden = shift(&text.chars().filter(char::is_ascii).collect::<String>(), |ch| {
            ch as u32 + 0xE_0000
        });
        format!("Hello.{hidden}")
    }),
    ("selectors as bytes", |text| {
        text.bytes().map(|byte| char::from_u32(0xE_0100 + u32::from(byte) - 16).unwrap()).collect()
    }),
    ("bidi controls", |text| text.chars().flat_map(|ch| ['\u{202E}', ch, '\u{202C}']).collect()),
    ("entities, decimal", |text| by_char(text, |ch| format!("&#{};", ch as u32))),
    ("entities, hex, bare", |text| by_char(text, |ch| format!("&#x{:x}", ch as u32))),
    ("entities of entities", |text| by_char(text, |ch| format!("&amp;#{};", ch as u32))),
    ("percent", |text| by_byte(text, |byte| format!("%{byte:02X}"))),
    ("percent of percent", |text| by_byte(text, |byte| format!("%25{byte:02X}"))),
    (r"\x", |text| by_byte(text, |byte| format!("\\x{byte:02x}"))),
    (r"\u{}", |text| by_char(text, |ch| format!("\\u{{{:x}}}", ch as u32))),
    (r"\\u", |text| by_char(text, |ch| format!("\\\\u{:04x}", ch as u32))),
    ("hex", |text| by_byte(text, |byte| format!("{byte:02x}"))),
    ("hex pairs", |text| by_byte(text, |byte| format!("{byte:02X} "))),
    ("hex array", |text| by_byte(text, |byte| format!("0x{byte:02x}, "))),
    ("spaced, two blanks", |text| {
        text.split(' ')
            .map(|word| word.chars().map(String::from).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
            .join("  ")
    }),
    ("greek and cyrillic", |text| {
        text.chars()
            .map(|ch| match ch {
                'a' => 'а',
                'c' => 'с',
                'e' => 'е',
                'o' => 'ο',
                'p' => 'р',
                'i' => 'і',
                'v' => 'ν',
                'T' => 'Τ',
                'W' => 'Ԝ',
                ch => ch,
            })
            .collect()
    }),
];

fn shift(text: &str, to: fn(char) -> u32) -> String {
    text.chars()
        .map(
            |ch| {
                if ch.is_ascii_graphic() || ch == ' ' {
                    char::from_u32(to(ch)).unwrap()
                } else {
                    ch
                }
            },
        )
        .collect()
}

fn by_char(text: &str, write: fn(char) -> String) -> String {
    text.chars().map(write).collect::<Vec<_>>().concat()
}

fn by_byte(text: &str, write: fn(u8) -> String) -> String {
    text.bytes().map(write).collect::<Vec<_>>().concat()
}

fn letters(text: &str) -> impl Iterator<Item = char> + '_ {
    text.chars().filter(|ch| ch.is_alphabetic() && !ch.is_ascii())
}

#[test]
fn benign_text_stays_what_it_is() {
    let mut table = String::from(
        "| file | texts | letters beyond ASCII | taken for Latin | decoded bytes |\n|---|---|---|---|---|\n",
    );
    let mut changed: BTreeMap<String, u32> = BTreeMap::new();
    let mut worst: (f64, String) = (0.0, String::new());
    for entry in std::fs::read_dir(folder().join("benign")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let (mut texts, mut beyond, mut taken, mut decoded) = (0u32, 0u32, 0u32, 0);
        for row in rows(&format!("benign/{name}")) {
            let text = word(&row, "text");
            let pieces: Vec<String> = text
                .chars()
                .collect::<Vec<_>>()
                .chunks(4)
                .map(|chars| chars.iter().collect())
                .collect();
            let whole = Whole::of(pieces.iter().map(String::as_str));
            texts += 1;
            beyond += letters(text).count() as u32;
            taken += whole.out.signals().lookalikes;
            decoded += whole.text(ViewKind::Base64).len() + whole.text(ViewKind::Hex).len();
            if whole.out.signals().lookalikes > 0 {
                let folded = whole.text(ViewKind::Main);
                for word in text.split(|ch: char| !ch.is_alphanumeric()) {
                    let alien = word.chars().any(|ch| !ch.is_ascii() && ch > '\u{36F}');
                    if alien && !folded.contains(&fold_rule_text(word)) {
                        *changed.entry(format!("{name} {word}")).or_default() += 1;
                    }
                }
            }
        }
        let _ = writeln!(table, "| {name} | {texts} | {beyond} | {taken} | {decoded} |");
        let share = f64::from(taken) / f64::from(beyond.max(1000));
        if name.starts_with("tldr_") && share > worst.0 {
            worst = (share, name);
        }
    }
    println!("{table}\n{changed:?}");
    assert!(worst.0 < 0.001, "{worst:?}\n{table}");
}

#[test]
fn robustness_strings_fold_without_harm() {
    let letters =
        std::fs::read_to_string(folder().join("attacks/better_profanity_alphabetic_unicode.json"))
            .unwrap();
    let letters: Vec<String> = serde_json::from_str(&letters).unwrap();
    let mut to_ascii = 0;
    for letter in &letters {
        let folded = fold_rule_text(letter);
        assert_eq!(fold_rule_text(&folded), folded, "{letter}");
        to_ascii += u32::from(folded.is_ascii() && !folded.is_empty());
    }
    println!("{to_ascii} of {} letters fold to ASCII by themselves", letters.len());
    for row in rows("attacks/blns_robustness_strings.jsonl") {
        let text = word(&row, "text");
        let whole = Whole::of([text]);
        let view = whole.out.view(ViewKind::Main);
        for (at, ch) in whole.text(ViewKind::Main).char_indices() {
            let range = view.raw_range(at as u64..(at + ch.len_utf8()) as u64);
            assert!(text.get(range.start as usize..range.end as usize).is_some());
        }
    }
}
