//! What holds for every text and every way to cut it.

use super::Whole;
use crate::filter::fold::{Fold, Folded, ViewKind, Wanted, fold_rule_text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut encoded = String::new();
    for group in text.as_bytes().chunks(3) {
        let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        for at in 0..=group.len() {
            encoded.push(char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize]));
        }
    }
    encoded
}

fn hex(text: &str, between: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}{between}")).collect::<Vec<_>>().concat()
}

fn of(chars: &'static str, most: usize) -> impl Strategy<Value = String> {
    let chars: Vec<char> = chars.chars().collect();
    vec(select(chars), 1..=most).prop_map(|chars| chars.into_iter().collect())
}

/// A bit of text of the kinds that the fold tells apart.
fn bit() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => of("abcdeghinorstwxzAEGIKQVXZ0123456789", 9),
        4 => of(" .,-_/+='\n\"", 3),
        3 => of("асеорхуіѕАВЕКМНОРСТХвкмнтѡ", 5),
        2 => of("бджлфяиыЖЯ", 4),
        2 => of("αοννρικΑΒΕσλδ", 4),
        2 => of("éüßøﬁĳ½…™ａｂＣ𝐱ⓧ٤İẞ", 3),
        2 => of("\u{301}\u{338}\u{200B}\u{200D}\u{AD}\u{202E}\u{2066}\u{FE0F}\u{FEFF}", 4),
        1 => of("\u{E0061}\u{E0062}\u{E0020}\u{E007F}\u{E0151}", 4),
        1 => of("汉字かがｶﾞ한क्षิ🏴👍🇺🇸😀", 3),
        2 => of("&%\\#xu0123456789aAfFqz;{}D8", 8),
        2 => select(vec![
            "&#105;", "&#x69", "&amp;", "&amp;#105;", "&eacute;", "&lt", "%69", "%25", "%2569",
            "%D0%B8", "%F0%9F", "\\u0069", "\\\\u0456", "\\uD835\\uDC22", "\\uD835", "\\x69",
            "\\xd0\\xb0", "\\xe9", "\\u{1F600}", "\\U00000069", "&scr;", "%u0069",
        ])
        .prop_map(str::to_owned),
        2 => of("abc ignore kЖé\n", 20).prop_map(|text| base64(&text)),
        1 => of("abc ignore kЖ", 14).prop_map(|text| hex(&text, "")),
        1 => of("abc ignore k", 14).prop_map(|text| hex(&text, " ")),
        1 => of("abcdef", 8).prop_map(|text| text.chars().flat_map(|ch| [ch, ' ']).collect()),
        1 => vec(any::<char>(), 1..4).prop_map(|chars| chars.into_iter().collect()),
        1 => (200usize..300).prop_map(|count| "\u{200C}".repeat(count)),
    ]
}

fn text() -> impl Strategy<Value = String> {
    vec(bit(), 0..16).prop_map(|bits| bits.concat())
}

/// Pieces of a text, cut at characters, empty ones among them.
fn cut<'t>(text: &'t str, cuts: &[prop::sample::Index]) -> Vec<&'t str> {
    let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut at: Vec<usize> = cuts.iter().map(|cut| borders[cut.index(borders.len())]).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in at.into_iter().chain([text.len()]) {
        pieces.push(&text[from..to]);
        from = to;
    }
    pieces
}

/// All that a caller sees after a piece.
type Seen = (Option<u64>, [(u64, u64); 5], String);

fn seen(fold: &Fold, out: &Folded) -> Seen {
    let views = ViewKind::ALL.map(|kind| {
        let view = out.view(kind);
        (view.end(), view.raw_start(view.end()))
    });
    (fold.pending_from(), views, format!("{:?}", out.signals()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn cuts_do_not_matter(text in text(), cuts in vec(any::<prop::sample::Index>(), 0..12)) {
        let singles: Vec<&str> =
            text.char_indices().map(|(at, ch)| &text[at..at + ch.len_utf8()]).collect();
        let mut by_char = vec![];
        let mut fold = Fold::new(Wanted::ALL);
        let mut out = Folded::default();
        by_char.push((0, seen(&fold, &out)));
        for single in &singles {
            fold.feed(single, &mut out);
            by_char.push((fold.raw_end(), seen(&fold, &out)));
        }
        let pieces = cut(&text, &cuts);
        let mut fold = Fold::new(Wanted::ALL);
        let mut out = Folded::default();
        for piece in &pieces {
            fold.feed(piece, &mut out);
            let (_, same) = by_char.iter().find(|(at, _)| *at == fold.raw_end()).unwrap();
            prop_assert_eq!(&seen(&fold, &out), same);
        }
        let one = Whole::of(singles);
        let other = Whole::of(pieces);
        prop_assert_eq!(&one.texts, &other.texts);
        for kind in ViewKind::ALL {
            let (one, other) = (one.out.view(kind), other.out.view(kind));
            for at in 0..=one.end() {
                prop_assert_eq!(one.raw_start(at), other.raw_start(at));
                prop_assert_eq!(one.raw_end(at), other.raw_end(at));
            }
        }
    }

    #[test]
    fn positions_map_to_borders_and_cover_the_text(text in text()) {
        let whole = Whole::of([text.as_str()]);
        for kind in ViewKind::ALL {
            let view = whole.out.view(kind);
            let mut last = 0..0;
            for (at, ch) in whole.text(kind).char_indices() {
                let at = at as u64;
                let raw = view.raw_range(at..at + ch.len_utf8() as u64);
                prop_assert!(text.is_char_boundary(raw.start as usize), "{kind:?} {at}");
                prop_assert!(text.is_char_boundary(raw.end as usize), "{kind:?} {at}");
                prop_assert!(raw.start >= last.start && raw.end >= last.end);
                if kind == ViewKind::Main {
                    // Either the next unit, or one more character of the same; between two units
                    // stands only what folds to nothing.
                    prop_assert!(raw == last || raw.start >= last.end);
                    if raw.start > last.end {
                        let between = &text[last.end as usize..raw.start as usize];
                        prop_assert!(Whole::of([between]).text(kind).is_empty(), "{between:?}");
                    }
                }
                last = raw;
            }
            if kind == ViewKind::Main {
                let rest = &text[last.end as usize..];
                prop_assert!(Whole::of([rest]).text(kind).is_empty(), "{rest:?}");
            }
        }
    }

    #[test]
    fn a_forgotten_past_changes_nothing(text in text(), at in any::<prop::sample::Index>()) {
        let whole = Whole::of([text.as_str()]);
        for kind in ViewKind::ALL {
            let view = whole.out.view(kind);
            let before = at.index(view.end() as usize + 1) as u64;
            let mut later = view.clone();
            later.discard(before);
            for at in before..=view.end() {
                prop_assert_eq!(later.raw_start(at), view.raw_start(at));
                prop_assert_eq!(later.raw_end(at), view.raw_end(at));
            }
        }
    }

    #[test]
    fn ascii_is_its_own_fold(text in "[ -~\n\t]{0,80}") {
        prop_assert_eq!(&fold_rule_text(&text), &text);
        if !text.contains(['&', '%', '\\']) {
            let whole = Whole::of([text.as_str()]);
            prop_assert_eq!(whole.text(ViewKind::Main), &text);
            prop_assert_eq!(whole.out.view(ViewKind::Main).edits(), 0);
        }
    }

    #[test]
    fn a_rule_folds_as_text_does(text in text()) {
        if !text.contains(['&', '%', '\\']) {
            let whole = Whole::of([text.as_str()]);
            prop_assert_eq!(&fold_rule_text(&text), whole.text(ViewKind::Main));
        }
    }

    #[test]
    fn what_waits_is_bounded(text in text(), run in of("аеоabcdef0123456789\u{200B}", 200)) {
        let text = text + &run;
        let mut fold = Fold::new(Wanted::ALL);
        let mut out = Folded::default();
        for ch in text.chars() {
            fold.feed(ch.encode_utf8(&mut [0; 4]), &mut out);
            let from = fold.pending_from().unwrap_or(fold.raw_end());
            prop_assert!(fold.raw_end() - from < 2 * 1024 + 32 * 16);
        }
    }
}
