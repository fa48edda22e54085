//! Makes `table.bin` from the Unicode data of other crates, and says when it differs from the one
//! that is checked in. `FIREDOOR_WRITE_TABLE=1` writes it.

use super::table::{FIRST_TARGET, Kind, Script, look_up};
use regex_syntax::hir::{Class, HirKind};
use std::collections::{BTreeMap, HashMap};
use unicode_normalization::UnicodeNormalization;

/// A set of characters, by the words of a regular expression.
struct Set(Vec<(char, char)>);

impl Set {
    fn of(class: &str) -> Self {
        let hir = regex_syntax::parse(class).unwrap();
        match hir.kind() {
            HirKind::Class(Class::Unicode(class)) => {
                Self(class.ranges().iter().map(|range| (range.start(), range.end())).collect())
            }
            other => panic!("{class}: {other:?}"),
        }
    }

    fn has(&self, ch: char) -> bool {
        let after = self.0.partition_point(|(start, _)| *start <= ch);
        after > 0 && self.0[after - 1].1 >= ch
    }
}

/// Characters whose fold the data does not give, or gives for another purpose.
const BY_HAND: &[(&str, char)] = &[
    // Small capitals, turned, hooked and crossed letters of Latin: what they are read as.
    ("ᴀɐɑɒᴂ", 'a'),
    ("ʙƅɓƀ", 'b'),
    ("ᴄƈɕ", 'c'),
    ("ᴅɗɖđð", 'd'),
    ("ᴇɘəɛɜǝ", 'e'),
    ("ꜰƒ", 'f'),
    ("ɢɠɡ", 'g'),
    ("ʜɦɥħ", 'h'),
    ("ɪɨɩı", 'i'),
    ("ᴊɟȷʝ", 'j'),
    ("ᴋƙĸ", 'k'),
    ("ʟɭɫłƚ", 'l'),
    ("ᴍɱɯ", 'm'),
    ("ɴɲɳŋƞ", 'n'),
    ("ᴏɵøɔ", 'o'),
    ("ᴘƥ", 'p'),
    ("ꞯɋ", 'q'),
    ("ʀɹɾɽɼɻ", 'r'),
    ("ꜱʂʃſ", 's'),
    ("ᴛʈʇƭŧ", 't'),
    ("ᴜʉʊ", 'u'),
    ("ᴠʋʌ", 'v'),
    ("ᴡʍ", 'w'),
    ("ʏʎɏ", 'y'),
    ("ᴢʐʑʒȝƶ", 'z'),
    // Dashes, quotes, slashes, dots: what a client types as ASCII and an editor makes pretty.
    ("‐‑‒–—―−﹘⁃˗", '-'),
    ("‘’‚‛′ʹʼʻˈ´", '\''),
    ("“”„‟″«»", '"'),
    ("⁄∕⧸", '/'),
    ("∶꞉ː", ':'),
    ("․∙⋅", '.'),
    ("∗⁎٭", '*'),
    ("∣ǀ❘", '|'),
    ("ˆ‸", '^'),
    ("˜∼", '~'),
    ("\u{2800}", ' '),
];

/// Letters that pass for Latin ones in company only. The other weak ones come from the data.
const WEAK_BY_HAND: &[(&str, char)] = &[
    ("вьβ", 'b'),
    ("кκ", 'k'),
    ("м", 'm'),
    ("н", 'h'),
    ("тτ", 't'),
    ("г", 'r'),
    ("пηπ", 'n'),
    ("ε", 'e'),
    ("μυ", 'u'),
    ("σ", 'o'),
    ("γ", 'y'),
    ("χ", 'x'),
    ("ω", 'w'),
    ("ς", 's'),
];

/// Letters that the data likens to Latin ones, and no reader does: they would make mixed words of
/// more words than they catch.
const NO_LIKENESS: &str = "шщШЩ";

/// Scripts whose letters are never taken for Latin ones: they run the other way, or a likeness is
/// one of dots and circles, or words of theirs take Latin words in without a space.
const NEVER_LATIN: &str = r"[\p{Arabic}\p{Hebrew}\p{Syriac}\p{Thaana}\p{Nko}\p{Adlam}\p{Mandaic}\p{Samaritan}\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\p{Yi}\p{Ethiopic}\p{Devanagari}\p{Bengali}\p{Gurmukhi}\p{Gujarati}\p{Oriya}\p{Tamil}\p{Telugu}\p{Kannada}\p{Malayalam}\p{Sinhala}\p{Thai}\p{Lao}\p{Tibetan}\p{Myanmar}\p{Khmer}\p{Mongolian}\p{Georgian}\p{Javanese}\p{Balinese}\p{Sundanese}]";

/// Draws an Arabic word out and is no letter of it.
const TATWEEL: char = '\u{0640}';

struct Data {
    marks: Set,
    every_mark: Set,
    ignorable: Set,
    bidi: Set,
    selector: Set,
    digits: Set,
    alphabetic: Set,
    punctuation: Set,
    latin: Set,
    common: Set,
    cyrillic: Set,
    greek: Set,
    never_latin: Set,
    by_hand: HashMap<char, char>,
    weak: HashMap<char, char>,
}

fn pairs(rows: &[(&str, char)]) -> HashMap<char, char> {
    rows.iter().flat_map(|(from, to)| from.chars().map(|from| (from, *to))).collect()
}

impl Data {
    fn load() -> Self {
        Self {
            // The marks of living South and East Asian scripts are letters in all but name.
            marks: Set::of(
                r"[\p{M}&&[\p{Inherited}\p{Common}\p{Latin}\p{Greek}\p{Cyrillic}\p{Hebrew}\p{Arabic}\p{Syriac}]--[\u3099\u309A]--\p{Default_Ignorable_Code_Point}]",
            ),
            every_mark: Set::of(r"\p{M}"),
            ignorable: Set::of(r"[\p{Default_Ignorable_Code_Point}\uFFF9-\uFFFB]"),
            bidi: Set::of(r"\p{Bidi_Control}"),
            selector: Set::of(r"\p{Variation_Selector}"),
            digits: Set::of(r"\p{Nd}"),
            alphabetic: Set::of(r"\p{Alphabetic}"),
            punctuation: Set::of(r"\p{P}"),
            latin: Set::of(r"\p{Latin}"),
            common: Set::of(r"[\p{Common}\p{Inherited}]"),
            cyrillic: Set::of(r"\p{Cyrillic}"),
            greek: Set::of(r"\p{Greek}"),
            never_latin: Set::of(NEVER_LATIN),
            by_hand: pairs(BY_HAND),
            weak: pairs(WEAK_BY_HAND),
        }
    }

    fn nothing(&self, ch: char) -> Option<Kind> {
        match ch {
            '\u{E0000}'..='\u{E007F}' => Some(Kind::Tag),
            _ if self.selector.has(ch) => Some(Kind::Selector),
            _ if self.bidi.has(ch) => Some(Kind::Bidi),
            _ if self.ignorable.has(ch) => Some(Kind::Invisible),
            _ if self.marks.has(ch) || ch == TATWEEL => Some(Kind::Mark),
            _ => None,
        }
    }

    /// Letters in frames: data has them as symbols, or with their frame written out.
    fn framed(ch: char) -> Option<char> {
        let (first, letter) = match ch as u32 {
            code @ 0x249C..=0x24B5 => (code - 0x249C, 'a'),
            code @ 0x1F110..=0x1F129 => (code - 0x1F110, 'A'),
            code @ 0x1F130..=0x1F149 => (code - 0x1F130, 'A'),
            code @ 0x1F150..=0x1F169 => (code - 0x1F150, 'A'),
            code @ 0x1F170..=0x1F189 => (code - 0x1F170, 'A'),
            code @ 0x1F1E6..=0x1F1FF => (code - 0x1F1E6, 'A'),
            _ => return None,
        };
        char::from_u32(letter as u32 + first)
    }

    fn digit(&self, ch: char) -> Option<char> {
        let range = self.digits.0.iter().find(|(start, end)| *start <= ch && ch <= *end)?;
        char::from_digit((ch as u32 - range.0 as u32) % 10, 10)
    }

    fn skeleton(&self, ch: char) -> String {
        let text = unicode_security::skeleton(ch.encode_utf8(&mut [0; 4])).collect::<String>();
        let text: String = text.nfd().filter(|ch| self.nothing(*ch).is_none()).collect();
        match text.as_str() {
            // The data knows m by its look, and l, 1 and I as one.
            "rn" => "m".to_owned(),
            "l" if ch.is_uppercase() => "I".to_owned(),
            _ => text,
        }
    }

    /// One step of the fold of one character.
    fn step(&self, ch: char) -> String {
        if ch.is_ascii() {
            return ch.to_string();
        }
        if let Some(letter) = Self::framed(ch) {
            return letter.to_string();
        }
        if let Some(to) = self.by_hand.get(&ch) {
            return to.to_string();
        }
        if let Some(digit) = self.digit(ch) {
            return digit.to_string();
        }
        let plain: String =
            std::iter::once(ch).nfkd().filter(|ch| self.nothing(*ch).is_none()).collect();
        let mut folded = String::new();
        for part in plain.chars() {
            if part.is_ascii() {
                folded.push(part);
            } else if part == 'ß' {
                folded.push_str("ss");
            } else if part == 'ς' {
                folded.push('σ');
            } else {
                folded.extend(part.to_lowercase());
            }
        }
        let folded: String = folded.nfc().collect();
        let mut chars = folded.chars();
        let (Some(only), None) = (chars.next(), chars.next()) else { return folded };
        let may_be_latin = self.latin.has(only) || self.common.has(only);
        if !only.is_ascii() && may_be_latin {
            let look = self.skeleton(only);
            let letters = look.chars().all(|ch| ch.is_ascii_alphabetic()) && look.len() <= 2;
            let sign = look.len() == 1 && look.is_ascii();
            if (self.alphabetic.has(only) && letters && !look.is_empty())
                || (self.punctuation.has(only) && sign)
            {
                return look;
            }
        }
        folded
    }

    /// The fold of one character, which does not change when it is folded again.
    fn fold(&self, ch: char) -> String {
        let mut text = ch.to_string();
        for _ in 0..6 {
            let next: String = text
                .chars()
                .filter(|ch| self.nothing(*ch).is_none())
                .map(|ch| self.step(ch))
                .collect();
            if next == text {
                return text;
            }
            text = next;
        }
        panic!("{ch:?} does not come to rest: {text:?}");
    }

    /// The Latin letters that a letter of another script looks like.
    fn look(&self, ch: char) -> Option<(Kind, String)> {
        let letter = self.alphabetic.has(ch) && !self.never_latin.has(ch);
        if !letter || self.latin.has(ch) || self.common.has(ch) {
            return None;
        }
        let script = match ch {
            ch if self.cyrillic.has(ch) => Script::Cyrillic,
            ch if self.greek.has(ch) => Script::Greek,
            _ => Script::Another,
        };
        let plain: String = ch.nfd().filter(|ch| self.nothing(*ch).is_none()).collect();
        let mut plain = plain.chars();
        let (Some(only), None) = (plain.next(), plain.next()) else { return None };
        if NO_LIKENESS.contains(only) {
            return None;
        }
        if let Some(to) = self.weak.get(&only) {
            return Some((Kind::Weak(script), to.to_string()));
        }
        let ascii = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphabetic());
        let look = self.skeleton(only);
        if ascii(&look) && look.len() == 1 {
            let strong = matches!(script, Script::Cyrillic | Script::Greek);
            let kind = if strong { Kind::Strong(script) } else { Kind::Weak(script) };
            return Some((kind, look));
        }
        let lower: String = only.to_lowercase().collect();
        for look in [look, lower.chars().map(|ch| self.skeleton(ch)).collect()] {
            let folded: String = look.chars().map(|ch| self.fold(ch)).collect();
            if ascii(&folded) && folded.len() <= 2 {
                return Some((Kind::Weak(script), folded));
            }
        }
        lower
            .chars()
            .next()
            .and_then(|ch| self.weak.get(&ch))
            .map(|to| (Kind::Weak(script), to.to_string()))
    }

    fn kind_of(&self, folded: &str) -> Kind {
        let first = folded.chars().next().unwrap();
        match first {
            first if first.is_ascii_digit() => Kind::Digit,
            first if self.latin.has(first) && self.alphabetic.has(first) => Kind::Latin,
            first if self.alphabetic.has(first) || self.every_mark.has(first) => Kind::Other,
            _ => Kind::Separator,
        }
    }
}

fn number(kind: Kind) -> u8 {
    (0..15).find(|number| Kind::numbered(*number) == kind).unwrap()
}

fn intern(pool: &mut String, text: &str) -> (u16, u8) {
    let at = pool.find(text).unwrap_or_else(|| {
        pool.push_str(text);
        pool.len() - text.len()
    });
    (u16::try_from(at).unwrap(), u8::try_from(text.len()).unwrap())
}

/// The entry of a character that folds to something: its kind, or the number of its target.
fn entry_of(
    data: &Data,
    ch: char,
    pool: &mut String,
    targets: &mut BTreeMap<Vec<u8>, u16>,
    ordered: &mut Vec<Vec<u8>>,
) -> u16 {
    let folded = data.fold(ch);
    let (kind, latin) = match data.look(ch) {
        Some((kind, latin)) if !folded.is_ascii() => (kind, latin),
        _ if data.every_mark.has(ch) => (Kind::Other, String::new()),
        _ if folded.is_empty() => (Kind::Invisible, String::new()),
        _ => (data.kind_of(&folded), String::new()),
    };
    if folded.is_empty() || (folded.chars().eq([ch]) && latin.is_empty()) {
        return u16::from(number(kind));
    }
    let (stay_at, stay_len) = intern(pool, &folded);
    let (latin_at, latin_len) = intern(pool, &latin);
    let mut row = Vec::new();
    row.extend(stay_at.to_le_bytes());
    row.extend(latin_at.to_le_bytes());
    row.extend([stay_len, latin_len, number(kind), 0]);
    *targets.entry(row.clone()).or_insert_with(|| {
        ordered.push(row);
        FIRST_TARGET + u16::try_from(ordered.len() - 1).unwrap()
    })
}

fn make() -> Vec<u8> {
    let data = Data::load();
    let mut pool = String::new();
    let mut targets: BTreeMap<Vec<u8>, u16> = BTreeMap::new();
    let mut ordered: Vec<Vec<u8>> = Vec::new();
    let mut pages: Vec<Vec<u16>> = Vec::new();
    let mut index = Vec::new();
    let mut page = Vec::new();
    for code in 0..0x2_0000u32 {
        let entry = match char::from_u32(code).filter(|ch| !ch.is_ascii()) {
            None => 0,
            Some(ch) => data.nothing(ch).map_or_else(
                || entry_of(&data, ch, &mut pool, &mut targets, &mut ordered),
                |kind| u16::from(number(kind)),
            ),
        };
        page.push(entry);
        if page.len() == 128 {
            let at = pages.iter().position(|known| *known == page).unwrap_or_else(|| {
                pages.push(page.clone());
                pages.len() - 1
            });
            index.push(u8::try_from(at).unwrap());
            page.clear();
        }
    }
    let mut blob = Vec::new();
    blob.extend(u16::try_from(pages.len()).unwrap().to_le_bytes());
    blob.extend(u16::try_from(ordered.len()).unwrap().to_le_bytes());
    blob.extend(index);
    blob.extend(pages.iter().flatten().flat_map(|entry| entry.to_le_bytes()));
    blob.extend(ordered.iter().flatten());
    blob.extend(pool.as_bytes());
    blob
}

#[test]
fn the_table_is_what_the_data_says() {
    let made = make();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/filter/fold/table.bin");
    if std::env::var_os("FIREDOOR_WRITE_TABLE").is_some() {
        std::fs::write(path, &made).unwrap();
    }
    let kept = std::fs::read(path).unwrap();
    assert!(made == kept, "table.bin is not what the data says; FIREDOOR_WRITE_TABLE=1 writes it");
}

#[test]
fn the_fold_of_a_fold_is_itself() {
    for ch in '\0'..=char::MAX {
        let folds = look_up(ch);
        for part in folds.stay.unwrap_or("").chars() {
            let again = look_up(part).stay;
            assert!(
                again.is_none_or(|again| again.chars().eq([part])),
                "{ch:?} -> {:?}, {part:?} -> {again:?}",
                folds.stay
            );
        }
        assert!(folds.latin.is_ascii(), "{ch:?} -> {:?}", folds.latin);
    }
}

/// The likenesses of the two scripts that matter most, to be read by people.
#[test]
fn likenesses_are_these() {
    let list = |from: char, to: char| {
        let (mut strong, mut weak) = (String::new(), String::new());
        for ch in from..=to {
            match look_up(ch) {
                folds if matches!(folds.kind, Kind::Strong(_)) => {
                    strong.extend([ch.to_string().as_str(), folds.latin, " "]);
                }
                folds if matches!(folds.kind, Kind::Weak(_)) => {
                    weak.extend([ch.to_string().as_str(), folds.latin, " "]);
                }
                _ => {}
            }
        }
        [strong, weak]
    };
    println!("LIKE {:?}", list('А', 'я'));
    println!("LIKE {:?}", list('\u{370}', '\u{3FF}'));
    println!("LIKE {:?}", list('\u{400}', '\u{40F}'));
    println!("LIKE {:?}", list('ѐ', '\u{52F}'));
    println!("LIKE {:?}", list('\u{530}', '\u{58F}'));
}
