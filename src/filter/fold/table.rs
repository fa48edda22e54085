//! What each character folds to: a table of two levels, 128 characters a page.
//!
//! `table.bin` is made from the Unicode data of the crates `unicode-normalization`,
//! `unicode-security` and `regex-syntax` by `generate.rs`, a test that also says when the two
//! differ. It covers the first two planes; the few rules above them stand in [`look_up`]. The
//! table is decoded when the program is compiled.

/// What a character is to the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ends a word: white space, punctuation, symbols.
    Separator,
    /// Part of a word that says nothing of its script.
    Digit,
    /// A Latin letter, or one that folds to Latin wherever it stands.
    Latin,
    /// A letter of another script that looks like no Latin letter.
    Other,
    /// A letter of another script that can hardly be told from a Latin one.
    Strong(Script),
    /// A letter of another script that passes for a Latin one in a word with Latin letters.
    Weak(Script),
    /// A mark on the letter before it: an accent, a vowel point. Folds to nothing.
    Mark,
    /// Takes no room: zero-width characters, soft hyphen, fillers. Folds to nothing.
    Invisible,
    /// Changes the direction of text. Folds to nothing.
    Bidi,
    /// Chooses a variant of the character before it. Folds to nothing.
    Selector,
    /// A tag character, an invisible copy of ASCII. Folds to nothing here, to ASCII in the hidden
    /// view.
    Tag,
}

/// The scripts that are told apart among letters that look Latin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Cyrillic,
    Greek,
    Another,
}

/// What a character folds to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folds {
    pub(super) kind: Kind,
    /// What it folds to where its script is believed; nothing: to itself.
    pub(super) stay: Option<&'static str>,
    /// What it folds to where it poses as Latin; only for [`Kind::Strong`] and [`Kind::Weak`].
    pub(super) latin: &'static str,
}

const BLOB: &[u8] = include_bytes!("table.bin");
const PAGE: usize = 128;
/// Pages of the two planes.
const INDEX_LEN: usize = 0x2_0000 / PAGE;
const PAGES_LEN: usize = word(0) as usize * PAGE;
const TARGETS_LEN: usize = word(2) as usize;
const INDEX_AT: usize = 4;
const PAGES_AT: usize = INDEX_AT + INDEX_LEN;
const TARGETS_AT: usize = PAGES_AT + 2 * PAGES_LEN;
const POOL_AT: usize = TARGETS_AT + 8 * TARGETS_LEN;

static PAGES: [u16; PAGES_LEN] = pages();
static TARGETS: [Target; TARGETS_LEN] = targets();
static POOL: &str = pool();

/// The first entries are characters that fold to themselves or to nothing.
pub(super) const FIRST_TARGET: u16 = 16;

#[derive(Clone, Copy)]
struct Target {
    stay_at: u16,
    latin_at: u16,
    stay_len: u8,
    latin_len: u8,
    kind: u8,
}

const fn word(at: usize) -> u16 {
    (BLOB[at + 1] as u16) << 8 | BLOB[at] as u16
}

#[expect(clippy::large_stack_arrays, reason = "it runs when the program is compiled")]
const fn pages() -> [u16; PAGES_LEN] {
    let mut pages = [0; PAGES_LEN];
    let mut at = 0;
    while at < PAGES_LEN {
        pages[at] = word(PAGES_AT + 2 * at);
        at += 1;
    }
    pages
}

#[expect(clippy::large_stack_arrays, reason = "it runs when the program is compiled")]
const fn targets() -> [Target; TARGETS_LEN] {
    let mut targets =
        [Target { stay_at: 0, latin_at: 0, stay_len: 0, latin_len: 0, kind: 0 }; TARGETS_LEN];
    let mut at = 0;
    while at < TARGETS_LEN {
        let from = TARGETS_AT + 8 * at;
        targets[at] = Target {
            stay_at: word(from),
            latin_at: word(from + 2),
            stay_len: BLOB[from + 4],
            latin_len: BLOB[from + 5],
            kind: BLOB[from + 6],
        };
        at += 1;
    }
    targets
}

const fn pool() -> &'static str {
    let (_, pool) = BLOB.split_at(POOL_AT);
    match str::from_utf8(pool) {
        Ok(pool) => pool,
        Err(_) => "",
    }
}

impl Kind {
    /// The kinds by their number in the table.
    pub(super) const fn numbered(number: u8) -> Self {
        match number {
            1 => Self::Other,
            2 => Self::Latin,
            3 => Self::Mark,
            4 => Self::Invisible,
            5 => Self::Bidi,
            6 => Self::Selector,
            7 => Self::Tag,
            8 => Self::Digit,
            9 => Self::Strong(Script::Cyrillic),
            10 => Self::Strong(Script::Greek),
            11 => Self::Strong(Script::Another),
            12 => Self::Weak(Script::Cyrillic),
            13 => Self::Weak(Script::Greek),
            14 => Self::Weak(Script::Another),
            _ => Self::Separator,
        }
    }
}

const fn itself(kind: Kind) -> Folds {
    Folds { kind, stay: None, latin: "" }
}

/// What a character folds to.
pub(super) fn look_up(ch: char) -> Folds {
    if ch.is_ascii() {
        return itself(ascii(ch as u8));
    }
    let code = ch as usize;
    let Some(page) = BLOB.get(INDEX_AT + code / PAGE).filter(|_| code < 0x2_0000) else {
        return itself(above(code));
    };
    let entry = PAGES.get(usize::from(*page) * PAGE + code % PAGE).copied().unwrap_or(0);
    let Some(number) = entry.checked_sub(FIRST_TARGET) else {
        return itself(Kind::numbered(entry as u8));
    };
    match TARGETS.get(usize::from(number)) {
        Some(target) => Folds {
            kind: Kind::numbered(target.kind),
            stay: text(target.stay_at, target.stay_len),
            latin: text(target.latin_at, target.latin_len).unwrap_or(""),
        },
        None => itself(Kind::Separator),
    }
}

fn text(at: u16, len: u8) -> Option<&'static str> {
    let at = usize::from(at);
    POOL.get(at..at + usize::from(len)).filter(|text| !text.is_empty())
}

pub(super) const fn ascii(byte: u8) -> Kind {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' => Kind::Latin,
        b'0'..=b'9' => Kind::Digit,
        _ => Kind::Separator,
    }
}

/// Above the two planes: ideographs, tags, and selectors.
const fn above(code: usize) -> Kind {
    match code {
        0xE_0100..=0xE_01EF => Kind::Selector,
        0xE_0000..=0xE_007F => Kind::Tag,
        0xE_0080..=0xE_0FFF => Kind::Invisible,
        0x2_0000..=0x3_FFFF => Kind::Other,
        _ => Kind::Separator,
    }
}
