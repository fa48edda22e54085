//! The cases beside the rules that hit, in every disguise that the fold undoes.
//!
//! A disguise changes every letter that it can. What it leaves as it was is not counted, nor is a
//! case that does not hit as it stands for the kind of text it is tried as, nor are rules by a
//! model.

use super::{Counts, Row, show};
use crate::cli::test::done;
use crate::filter::Kind;
use crate::table::packs::Compiled;
use crate::table::rules::{Expect, Judge, Rulebook};
use std::fmt::Write as _;
use std::sync::Arc;

/// A way to write a text otherwise.
struct Disguise {
    name: &'static str,
    write: fn(&str) -> String,
    /// Whether it is undone only in what a model reads.
    is_of_prompts: bool,
}

impl Disguise {
    /// Whether the fold says that it undoes this of `text`: tags are ASCII, encoded runs have
    /// sixteen characters, hexadecimal ones begin with ASCII. A text that is in disguise already is
    /// what a rule on disguises looks for, in that form.
    fn is_claimed(&self, text: &str) -> bool {
        let is_plain = !text.chars().any(|c| {
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
                || c > '\u{dffff}'
        });
        is_plain
            && match self.name {
                "tag characters" => text.is_ascii(),
                "base64" => text.len() >= 12,
                "hexadecimal" => text.len() >= 8 && text.starts_with(|c: char| c.is_ascii()),
                _ => true,
            }
    }
}

const fn everywhere(name: &'static str, write: fn(&str) -> String) -> Disguise {
    Disguise { name, write, is_of_prompts: false }
}

const DISGUISES: [Disguise; 15] = [
    everywhere("full width", |text| ascii(text, |c| char::from_u32(u32::from(c) + 0xfee0))),
    everywhere("mathematical letters", |text| ascii(text, bold)),
    everywhere("accents", |text| behind_letters(text, '\u{301}')),
    everywhere("zero-width spaces", |text| behind_letters(text, '\u{200b}')),
    everywhere("soft hyphens", |text| behind_letters(text, '\u{ad}')),
    everywhere("variation selectors", |text| behind_letters(text, '\u{fe0f}')),
    everywhere("bidi controls", |text| behind_letters(text, '\u{202e}')),
    everywhere("tag characters", |text| {
        text.chars().map(|c| if c.is_ascii() { shifted(c, 0xe0000) } else { c }).collect()
    }),
    everywhere("lookalikes", lookalikes),
    everywhere("HTML entities", |text| letters(text, |c| format!("&#x{:x};", u32::from(c)))),
    everywhere("\\u escapes", |text| letters(text, |c| format!("\\u{:04x}", u32::from(c)))),
    everywhere("\\x escapes", |text| letters(text, |c| format!("\\x{:02x}", u32::from(c)))),
    everywhere("percent", |text| letters(text, |c| format!("%{:02x}", u32::from(c)))),
    Disguise { name: "base64", write: base64, is_of_prompts: true },
    Disguise { name: "hexadecimal", write: hexadecimal, is_of_prompts: true },
];

/// What a model reads, of which encoded text is looked into.
const PROMPTS: [Kind; 6] = [
    Kind::System,
    Kind::User,
    Kind::History,
    Kind::Document,
    Kind::ToolResult,
    Kind::ToolDefinition,
];

pub(super) fn count(chosen: &[Arc<Compiled>], shown: Option<&str>, counts: &mut Counts) {
    // How well a disguise is undone does not depend on who looks.
    let names: Vec<&str> = chosen.iter().map(|compiled| &*compiled.pack.name).collect();
    let pack = names.join(" ");
    for compiled in chosen {
        // A model reads the text as it is.
        for rule in compiled.pack.rules.iter().filter(|rule| rule.models.is_empty()) {
            let Some(book) = Rulebook::of_rule(&compiled.pack, rule) else { continue };
            let judges: Vec<Arc<Judge>> = book.judge(0).into_iter().cloned().collect();
            let channels = rule.channels();
            for case in rule.cases.iter().filter(|case| case.expect != Expect::Clear) {
                let hits = |kind: &Kind| {
                    channels.has(*kind)
                        && case.channel.is_none_or(|own| own == *kind)
                        && done(&judges, *kind, &case.text) != Expect::Clear
                };
                for disguise in DISGUISES.iter().filter(|one| one.is_claimed(&case.text)) {
                    let text = (disguise.write)(&case.text);
                    let mut kinds = Kind::ALL
                        .iter()
                        .filter(|kind| !disguise.is_of_prompts || PROMPTS.contains(kind));
                    let Some(kind) = kinds.find(|kind| hits(kind)) else { continue };
                    if text == case.text {
                        continue;
                    }
                    let is_hit = done(&judges, *kind, &text) != Expect::Clear;
                    let row = Row {
                        pack: pack.clone(),
                        label: "disguised".to_owned(),
                        source: "cases".to_owned(),
                        technique: disguise.name.to_owned(),
                    };
                    let count = counts.entry(row).or_default();
                    count.texts += 1;
                    count.hits += u64::from(is_hit);
                    if shown == Some(if is_hit { "hits" } else { "misses" }) {
                        let place = format!("{} {} as {}", rule.name, disguise.name, kind.name());
                        show(&place, &case.text);
                    }
                }
            }
        }
    }
}

fn shifted(letter: char, by: u32) -> char {
    char::from_u32(u32::from(letter) + by).unwrap_or(letter)
}

/// Visible ASCII as other characters.
fn ascii(text: &str, other: fn(char) -> Option<char>) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { other(c).unwrap_or(c) } else { c }).collect()
}

fn bold(letter: char) -> Option<char> {
    let by = match letter {
        'A'..='Z' => 0x1d400 - u32::from('A'),
        'a'..='z' => 0x1d41a - u32::from('a'),
        '0'..='9' => 0x1d7ce - u32::from('0'),
        _ => return None,
    };
    Some(shifted(letter, by))
}

/// `mark` between every two letters.
fn behind_letters(text: &str, mark: char) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        out.push(letter);
        let joins = rest.peek().is_some_and(char::is_ascii_alphabetic);
        if letter.is_ascii_alphabetic() && joins {
            out.push(mark);
        }
    }
    out
}

/// Letters, but the first of each word, as escapes.
fn letters(text: &str, escape: impl Fn(char) -> String) -> String {
    let mut is_inside = false;
    let mut out = String::with_capacity(text.len() * 4);
    for letter in text.chars() {
        if is_inside && letter.is_ascii_alphabetic() {
            out.push_str(&escape(letter));
        } else {
            out.push(letter);
        }
        is_inside = letter.is_ascii_alphabetic();
    }
    out
}

/// Cyrillic letters that look like Latin ones, in words that keep another Latin one.
fn lookalikes(text: &str) -> String {
    let like = |letter| match letter {
        'a' => 'а',
        'c' => 'с',
        'e' => 'е',
        'i' => 'і',
        'o' => 'о',
        'p' => 'р',
        'x' => 'х',
        'y' => 'у',
        'A' => 'А',
        'B' => 'В',
        'C' => 'С',
        'E' => 'Е',
        'H' => 'Н',
        'K' => 'К',
        'M' => 'М',
        'O' => 'О',
        'P' => 'Р',
        'T' => 'Т',
        'X' => 'Х',
        other => other,
    };
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if is_of_word(first) {
            rest.find(|c| !is_of_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, behind) = rest.split_at(end);
        let keeps = word.chars().any(|c| c.is_ascii_alphabetic() && like(c) == c);
        out.extend(word.chars().map(|c| if keeps { like(c) } else { c }));
        rest = behind;
    }
    out
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(text.len() * 2);
    for three in text.as_bytes().chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) as usize & 63;
            let digit = DIGITS.get(digit).copied().unwrap_or(b'=');
            out.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn hexadecimal(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
