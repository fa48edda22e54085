//! The fold: one spelling for what reads the same, in front of the matching automata.
//!
//! Text that is meant to slip past a rule is written so that a reader sees the word and a matcher
//! does not: wide or framed letters, accents, letters of another script, characters without width,
//! escapes, spaced letters, encodings. The fold undoes those and keeps a map, so that what matches
//! in folded text is found in the channel.
//!
//! # Views
//!
//! | View | Text |
//! |---|---|
//! | main | everything: compatibility letters, accents, case of letters beyond ASCII, invisible characters, lookalikes, escapes |
//! | hidden | ASCII written in tag characters and variation selectors |
//! | base64, hex | what encoded runs decode to |
//! | spaced | the main view without separators between single letters; for rules that only flag |
//!
//! The case of ASCII letters stays: a pattern for keys needs it, and an automaton ignores it for
//! free. A letter that folds to an ASCII letter keeps its case too (`Ａ` is `A`); other letters
//! become small. White space beyond ASCII becomes a blank. ASCII text that is no escape therefore
//! is its own main view, and [`Fold::feed`] neither copies nor maps it.
//!
//! # Rules
//!
//! Literals are folded by [`fold_rule_text`], which is the same table and the same judgement of
//! words, without escapes: a rule for `%2e%2e` is one for the raw text. A regex is not folded: it
//! is matched as it is written on the folded views, and on the raw text too. So ASCII classes
//! (`\d`, `[a-z]`) see folded letters and digits of every script, and a class of characters that
//! the fold changes, such as `[à-ÿ]` or `\u{200B}`, finds them in the raw text only.
//!
//! # What always holds
//!
//! - Views and maps depend on the text alone, not on how it was cut into pieces.
//! - Text that waits to be judged is at [`Fold::pending_from`] and behind, and must be held: at
//!   most an escape, 64 characters of lookalikes, or a run of 15 characters that may be encoded
//!   text.
//! - Every position of a view maps to a border of characters in the raw text.
//!
//! # What it cannot do
//!
//! Leetspeak is for patterns (`[a4@]`): as a fold it would damage rules about digits. Ciphers,
//! reversed text and translation need a model. A word that is wholly of lookalikes stays beside
//! words of its script. Line breaks between words are white space like any other, for matchers of
//! words to see so. Hangul jamo and half-width kana are not composed.

mod bits;
mod encoded;
mod entities;
mod escape;
mod hidden;
mod plain;
mod spaced;
mod table;
mod view;
mod words;

pub(crate) use bits::{BLOCK, block_bits};
pub use view::View;

use encoded::{Base64, Hex};
use escape::{Escape, Rest};
use hidden::Hidden;
use spaced::Spaced;
use table::{Kind, look_up};
use words::{Unit, Words};

/// The views of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ViewKind {
    /// All text, folded.
    Main,
    /// Text in characters that nobody sees.
    Hidden,
    /// Decoded base64.
    Base64,
    /// Decoded hexadecimal digits.
    Hex,
    /// Single letters joined.
    Spaced,
}

impl ViewKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Main, Self::Hidden, Self::Base64, Self::Hex, Self::Spaced];
}

/// Which views are made beside main and hidden, which cost nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Base64 and hex.
    pub encoded: bool,
    /// Single letters joined.
    pub spaced: bool,
}

impl Wanted {
    /// Every view.
    pub const ALL: Self = Self { encoded: true, spaced: true };
    /// Only main and hidden.
    pub const LEAST: Self = Self { encoded: false, spaced: false };
}

/// Counts of what was folded, from the begin of the channel: each is a sign of an evasion where
/// the language of the text does not explain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals {
    /// Characters without width.
    pub invisible: u32,
    /// Those of them that follow a Latin letter, where no language needs them but for the soft
    /// hyphen.
    pub invisible_in_latin: u32,
    /// Controls of the direction of text.
    pub bidi: u32,
    /// Tag characters, but for those of flags.
    pub tags: u32,
    /// Variation selectors.
    pub selectors: u32,
    /// Accents and other marks that stand as characters of their own.
    pub marks: u32,
    /// Letters of another script that were taken for Latin ones.
    pub lookalikes: u32,
    /// Escapes that were undone.
    pub escapes: u32,
    /// Runs of [`DROPPED_MAX`] characters that fold to nothing.
    pub overlong: u32,
}

/// How many characters in a row may fold to nothing. The one after becomes U+FFFD, which no match
/// spans by accident: without a bound, a match that is alive would hold any amount of raw text.
pub const DROPPED_MAX: u32 = 256;

/// What a call of feed or finish gives, and the maps of what was given before.
#[derive(Debug, Clone, Default)]
pub struct Folded {
    main: View,
    hidden: View,
    base64: View,
    hex: View,
    spaced: View,
    signals: Signals,
    /// Whether a view may have text of the last call.
    has_text: bool,
    /// Whether the main or the spaced view has, which is not what was read.
    is_apart: bool,
}

impl Folded {
    /// Whether what the last call read is its own main and spaced view: then none of it was copied.
    pub(super) fn is_one(&self) -> bool {
        !self.is_apart
    }

    /// Whether no view has text that is not what was read.
    pub(super) fn is_all(&self) -> bool {
        !self.has_text
    }

    fn clear(&mut self) {
        if self.has_text {
            self.each().into_iter().for_each(View::clear);
            (self.has_text, self.is_apart) = (false, false);
        }
    }

    /// A view.
    pub fn view(&self, kind: ViewKind) -> &View {
        match kind {
            ViewKind::Main => &self.main,
            ViewKind::Hidden => &self.hidden,
            ViewKind::Base64 => &self.base64,
            ViewKind::Hex => &self.hex,
            ViewKind::Spaced => &self.spaced,
        }
    }

    /// Forgets the map of a view before a folded position.
    pub fn discard(&mut self, kind: ViewKind, before: u64) {
        match kind {
            ViewKind::Main => self.main.discard(before),
            ViewKind::Hidden => self.hidden.discard(before),
            ViewKind::Base64 => self.base64.discard(before),
            ViewKind::Hex => self.hex.discard(before),
            ViewKind::Spaced => self.spaced.discard(before),
        }
    }

    /// What was folded so far.
    pub fn signals(&self) -> Signals {
        self.signals
    }

    fn each(&mut self) -> [&mut View; 5] {
        [&mut self.main, &mut self.hidden, &mut self.base64, &mut self.hex, &mut self.spaced]
    }
}

/// What became of a piece in the main view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fed {
    /// The piece is what the main view has more, as it is: it was not copied.
    Same,
    /// The main view has its text.
    Folded,
}

/// The fold of one channel.
#[derive(Debug, Clone)]
pub struct Fold {
    /// Raw bytes read.
    raw: u64,
    /// An escape that is not complete, and where it begins.
    escape: String,
    escape_from: u64,
    words: Words,
    /// Characters in a row that folded to nothing.
    dropped: u32,
    /// Behind a black flag and its tags.
    flag: bool,
    hidden: Hidden,
    encoded: Option<Box<(Base64, Hex)>>,
    spaced: Option<Box<Spaced>>,
}

impl Fold {
    /// A fold at the begin of a channel.
    pub fn new(wanted: Wanted) -> Self {
        Self {
            raw: 0,
            escape: String::new(),
            escape_from: 0,
            words: Words::default(),
            dropped: 0,
            flag: false,
            hidden: Hidden::default(),
            encoded: wanted.encoded.then(Box::default),
            spaced: wanted.spaced.then(Box::default),
        }
    }

    /// Raw bytes read so far.
    pub fn raw_end(&self) -> u64 {
        self.raw
    }

    /// The raw position from which text waits to be judged and must be held, if any does.
    pub fn pending_from(&self) -> Option<u64> {
        let escape = (!self.escape.is_empty()).then_some(self.escape_from);
        let encoded = self.encoded.as_ref().map(|both| (both.0.waits_from(), both.1.waits_from()));
        let (base64, hex) = encoded.unwrap_or_default();
        [escape, self.words.waits_from(), base64, hex].into_iter().flatten().min()
    }

    /// Reads a piece. The views of `out` have what it adds; `out` is always the same one.
    #[inline]
    pub fn feed(&mut self, piece: &str, out: &mut Folded) -> Fed {
        out.clear();
        out.main.clear();
        out.spaced.clear();
        if !self.hidden.is_open()
            && self.idle()
            && plain_len(piece) == piece.len()
            && self.goes_past(piece, out)
        {
            out.main.pass(piece.len(), self.raw);
            if self.spaced.is_some() {
                out.spaced.pass(piece.len(), self.raw);
            }
            if !piece.is_empty() {
                self.raw += piece.len() as u64;
                self.dropped = 0;
                self.flag = false;
                self.words.pass(piece.as_bytes());
            }
            self.saw(out);
            return Fed::Same;
        }
        self.feed_views(piece, out)
    }

    /// Goes past ASCII text that is its own spaced view too; if it may be none, says so and does nothing.
    fn goes_past(&mut self, piece: &str, out: &mut Folded) -> bool {
        if let Some(spaced) = &mut self.spaced {
            let Some(rest) = spaced.behind(piece) else { return false };
            spaced.go_past(rest);
        }
        self.pass_encoded(piece.as_bytes(), self.raw, out);
        true
    }

    /// Lets the decoders read ASCII text; nearly all of it they only go past.
    fn pass_encoded(&mut self, piece: &[u8], from: u64, out: &mut Folded) {
        let Some(both) = &mut self.encoded else { return };
        if both.0.is_unmoved_by(piece) {
            both.0.go_past(piece, from);
        } else {
            both.0.pass(piece, from, &mut out.base64);
            out.has_text = true;
        }
        if both.1.is_unmoved_by(piece) {
            both.1.go_past(piece, from);
        } else {
            both.1.pass(piece, from, &mut out.hex);
            out.has_text = true;
        }
    }

    /// Whether letters are joined.
    pub(super) fn is_spaced(&self) -> bool {
        self.spaced.is_some()
    }

    /// Whether nothing waits to be joined.
    pub(super) fn is_spaced_at_rest(&self) -> bool {
        self.spaced.as_ref().is_none_or(|spaced| spaced.is_at_rest())
    }

    fn feed_views(&mut self, piece: &str, out: &mut Folded) -> Fed {
        (out.has_text, out.is_apart) = (true, true);
        let fed = if self.idle() && plain_len(piece) == piece.len() {
            out.main.pass(piece.len(), self.raw);
            self.pass(piece, out);
            Fed::Same
        } else {
            self.read(piece, out);
            Fed::Folded
        };
        self.saw(out);
        fed
    }

    /// Ends the channel: what waits is judged as it stands. Nothing may be fed afterwards.
    pub fn finish(&mut self, out: &mut Folded) {
        out.each().into_iter().for_each(View::clear);
        (out.has_text, out.is_apart) = (true, true);
        self.resolve(Rest::Over, out);
        let mut stage = Stage { out, encoded: &mut self.encoded, spaced: &mut self.spaced };
        self.words.finish(&mut stage);
        self.hidden.end(&mut out.hidden);
        if let Some(both) = &mut self.encoded {
            both.0.finish(&mut out.base64);
            both.1.finish(&mut out.hex);
        }
        if let Some(spaced) = &mut self.spaced {
            spaced.finish(&mut out.spaced);
        }
        self.saw(out);
    }

    fn read(&mut self, piece: &str, out: &mut Folded) {
        let mut rest = piece;
        while let Some(ch) = rest.chars().next() {
            let plain = if ch.is_ascii() && self.idle() { plain_len(rest) } else { 0 };
            if let Some((stretch, more)) = rest.split_at_checked(plain).filter(|_| plain > 0) {
                out.main.copy(stretch, self.raw);
                self.pass(stretch, out);
                rest = more;
                continue;
            }
            rest = rest.get(ch.len_utf8()..).unwrap_or("");
            let from = self.raw;
            self.raw += ch.len_utf8() as u64;
            if self.escape.is_empty() && !escape::begins(ch) {
                self.unit(ch, from, self.raw, out);
            } else {
                if self.escape.is_empty() {
                    self.escape_from = from;
                }
                self.escape.push(ch);
                self.resolve(Rest::Open, out);
            }
        }
    }

    /// Whether nothing waits that the main view is made of.
    fn idle(&self) -> bool {
        self.escape.is_empty() && self.words.waits_from().is_none()
    }

    /// Goes past text that folds to itself.
    fn pass(&mut self, stretch: &str, out: &mut Folded) {
        if stretch.is_empty() {
            return;
        }
        let from = self.raw;
        self.raw += stretch.len() as u64;
        self.dropped = 0;
        self.flag = false;
        self.words.pass(stretch.as_bytes());
        self.hidden.end(&mut out.hidden);
        self.pass_encoded(stretch.as_bytes(), from, out);
        if let Some(spaced) = &mut self.spaced {
            spaced.pass(stretch, from, &mut out.spaced);
        }
    }

    /// Judges what may be an escape, as far as it can be.
    fn resolve(&mut self, rest: Rest, out: &mut Folded) {
        while let Some(first) = self.escape.chars().next() {
            let from = self.escape_from;
            let (ch, len) = match escape::judge(&self.escape, rest) {
                Escape::Open => return,
                Escape::Not => (first, first.len_utf8()),
                Escape::Is { ch, len } => {
                    out.signals.escapes = out.signals.escapes.saturating_add(1);
                    (ch, len)
                }
            };
            self.escape.drain(..len.min(self.escape.len()));
            self.escape_from += len as u64;
            self.unit(ch, from, self.escape_from, out);
        }
    }

    fn unit(&mut self, ch: char, from: u64, to: u64, out: &mut Folded) {
        let folds = look_up(ch);
        let nothing = matches!(
            folds.kind,
            Kind::Mark | Kind::Invisible | Kind::Bidi | Kind::Selector | Kind::Tag
        );
        if nothing {
            self.dropped += 1;
            self.count(folds.kind, out);
            self.hidden.take(ch, from, to, &mut out.hidden);
        } else {
            self.dropped = 0;
            self.flag = ch == '\u{1F3F4}';
            self.hidden.end(&mut out.hidden);
        }
        let mut unit = Unit { ch, folds, from, to };
        if self.dropped > DROPPED_MAX {
            self.dropped = 0;
            out.signals.overlong = out.signals.overlong.saturating_add(1);
            unit = Unit { ch: '\u{FFFD}', folds: look_up('\u{FFFD}'), from, to };
        }
        let mut stage = Stage { out, encoded: &mut self.encoded, spaced: &mut self.spaced };
        self.words.take(unit, &mut stage);
    }

    fn count(&self, kind: Kind, out: &mut Folded) {
        let signals = &mut out.signals;
        let counter = match kind {
            Kind::Mark => &mut signals.marks,
            Kind::Bidi => &mut signals.bidi,
            Kind::Selector => &mut signals.selectors,
            Kind::Tag if self.flag => return,
            Kind::Tag => &mut signals.tags,
            _ => {
                if self.words.in_latin() {
                    signals.invisible_in_latin = signals.invisible_in_latin.saturating_add(1);
                }
                &mut signals.invisible
            }
        };
        *counter = counter.saturating_add(1);
    }

    /// Says to the views up to where they have seen everything.
    fn saw(&self, out: &mut Folded) {
        let escape = (!self.escape.is_empty()).then_some(self.escape_from);
        let main = [escape, self.words.waits_from()].into_iter().flatten().min();
        let main = main.unwrap_or(self.raw);
        out.each().into_iter().for_each(|view| view.saw(main));
    }
}

/// Where judged characters go.
struct Stage<'f> {
    out: &'f mut Folded,
    encoded: &'f mut Option<Box<(Base64, Hex)>>,
    spaced: &'f mut Option<Box<Spaced>>,
}

impl Stage<'_> {
    /// A character whose script is believed.
    fn stay(&mut self, unit: Unit) {
        match unit.folds.stay {
            Some(text) => self.push(text, unit),
            None => self.push(unit.ch.encode_utf8(&mut [0; 4]), unit),
        }
    }

    /// A character that poses as Latin.
    fn latin(&mut self, unit: Unit) {
        self.out.signals.lookalikes = self.out.signals.lookalikes.saturating_add(1);
        self.push(unit.folds.latin, unit);
    }

    fn push(&mut self, text: &str, unit: Unit) {
        self.out.main.push(text, unit.from, unit.to);
        for ch in text.chars() {
            self.beside(ch, unit.from, unit.to);
        }
    }

    /// A character of the main view goes to the views that are made of it.
    fn beside(&mut self, ch: char, from: u64, to: u64) {
        if let Some(both) = self.encoded {
            both.0.take(ch, from, to, &mut self.out.base64);
            both.1.take(ch, from, to, &mut self.out.hex);
        }
        if let Some(spaced) = self.spaced {
            spaced.take(ch, from, to, &mut self.out.spaced);
        }
    }
}

/// Bytes up to which a plain loop is faster than a search with wide registers.
const SHORT: usize = 16;

/// How many bytes at the begin of a text fold to themselves whatever was before.
fn plain_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    if bytes.len() <= SHORT {
        let ends = |byte: &u8| !byte.is_ascii() || escape::begins(char::from(*byte));
        return bytes.iter().position(ends).unwrap_or(bytes.len());
    }
    let ascii = if text.is_ascii() {
        bytes.len()
    } else {
        bytes.iter().position(|byte| !byte.is_ascii()).unwrap_or(bytes.len())
    };
    bytes.get(..ascii).and_then(escape::first_begin).unwrap_or(ascii)
}

/// The text of a rule as it stands in the main view. It may be empty: then only the raw text can
/// have it.
pub fn fold_rule_text(text: &str) -> String {
    let mut fold = Fold::new(Wanted::LEAST);
    let mut out = Folded::default();
    let mut folded = String::new();
    let mut from = 0;
    for ch in text.chars() {
        let to = from + ch.len_utf8() as u64;
        fold.unit(ch, from, to, &mut out);
        from = to;
    }
    folded.push_str(out.main.text());
    fold.finish(&mut out);
    folded.push_str(out.main.text());
    folded
}

#[cfg(test)]
mod generate;
#[cfg(test)]
mod tests;
