//! The fold at its edge: what each kind of evasion folds to, and where it is found again.

mod data;
mod properties;

use super::*;

/// A channel that was folded to its end: the text of each view, and the maps.
pub(super) struct Whole {
    pub(super) texts: [String; 5],
    pub(super) out: Folded,
}

impl Whole {
    pub(super) fn of<'p>(pieces: impl IntoIterator<Item = &'p str>) -> Self {
        let mut fold = Fold::new(Wanted::ALL);
        let mut whole = Self { texts: Default::default(), out: Folded::default() };
        for piece in pieces {
            fold.feed(piece, &mut whole.out);
            whole.add(piece);
        }
        fold.finish(&mut whole.out);
        assert_eq!(fold.pending_from(), None);
        whole.add("");
        whole
    }

    pub(super) fn add(&mut self, piece: &str) {
        for (text, kind) in self.texts.iter_mut().zip(ViewKind::ALL) {
            let view = self.out.view(kind);
            assert_eq!(view.begin(), text.len() as u64);
            text.push_str(view.added(piece));
            assert_eq!(view.end(), text.len() as u64);
        }
    }

    pub(super) fn text(&self, kind: ViewKind) -> &str {
        &self.texts[ViewKind::ALL.iter().position(|known| *known == kind).unwrap()]
    }

    /// The raw text that holds the first place where a view has `needle`.
    fn found<'r>(&self, kind: ViewKind, needle: &str, raw: &'r str) -> &'r str {
        let at = self.text(kind).find(needle).unwrap() as u64;
        let range = self.out.view(kind).raw_range(at..at + needle.len() as u64);
        &raw[range.start as usize..range.end as usize]
    }
}

fn main_of(text: &str) -> String {
    Whole::of([text]).text(ViewKind::Main).to_owned()
}

#[test]
fn what_reads_the_same_folds_the_same() {
    for (raw, folded) in [
        ("ｉｇｎｏｒｅ", "ignore"),
        ("ＡＫＩＡ１２", "AKIA12"),
        ("𝐢𝑔𝓷𝔬𝕣𝖊", "ignore"),
        ("ⓘⓖⓝⓞⓡⓔ 🅘🅖🅝🅞🅡🅔 🄸🄶 🅸🅶", "ignore IGNORE IG IG"),
        ("ɪɢɴᴏʀᴇ", "ignore"),
        ("īĝñòŗé", "ignore"),
        ("i\u{301}\u{302}\u{303}gn\u{338}ore", "ignore"),
        ("ﬁrst ŀ ĳ œ Straße", "first l· ij oe Strasse"),
        ("ig\u{200B}no\u{AD}r\u{2060}e\u{FEFF}", "ignore"),
        ("ig\u{202E}no\u{2066}re", "ignore"),
        ("byp\u{251}ss d\u{131}sable", "bypass disable"),
        ("sk‑live—x “a” ‘b’", "sk-live-x \"a\" 'b'"),
        ("a\u{A0}b\u{2003}c\u{3000}d", "a b c d"),
        ("٤٢ ４２ ৪২", "42 42 42"),
        ("ПРИВЕТ Ёлка", "привет елка"),
        ("ΣΊΣΥΦΟΣ", "σισυφοσ"),
        ("がぎ 한국어 汉字", "がぎ 한국어 汉字"),
        ("Zürich, Ångström, façade", "Zurich, Angstrom, facade"),
    ] {
        assert_eq!(main_of(raw), folded, "{raw}");
    }
}

#[test]
fn a_word_that_mixes_scripts_is_latin_and_one_that_does_not_is_not() {
    for (raw, folded) in [
        ("іgnоrе", "ignore"),
        ("Рrіnt уоur", "Print your"),
        ("кill тhе", "kill the"),
        ("ignоrеЖprevious", "ignoreжprevious"),
        ("USBшка", "USBшка"),
        ("там кот", "там кот"),
        ("привет", "привет"),
        ("ѕуѕτеm", "system"),
        ("pαsswοrd", "password"),
        // Wholly of lookalikes: as the words around it.
        ("is а test", "is a test"),
        ("to ассеѕѕ it", "to access it"),
        ("это а не то", "это а не то"),
        ("команда npm с опцией", "команда npm с опциеи"),
        ("the ехес", "the exec"),
        ("ехес", "ехес"),
        ("а он", "а он"),
        ("url_реестра", "url_реестра"),
        ("the р4ура1 b", "the p4ypa1 b"),
        // A vowel point or an invisible character does not part a word.
        ("і\u{200B}gn\u{301}о\u{200B}rе", "ignore"),
        ("نام API فارسی", "نام API فارسی"),
    ] {
        assert_eq!(main_of(raw), folded, "{raw}");
    }
}

#[test]
fn escapes_are_undone() {
    for (raw, folded) in [
        ("&#105;&#x67;&#0110;&#111re&quot;", "ignore\""),
        ("&amp;#105;g &amp; &amp;amp;#105; &lt;b&gt; AT&T a&b=c", "ig & i <b> AT&T a&b=c"),
        ("&Iacute;&gscr;n&omacr;re", "Ignore"),
        ("%69gn%6F%72e%20%D0%B8 %2569 100% 50%de", "ignore и i 100% 50%de"),
        ("%u0069gnore", "ignore"),
        (r"\u0069\u{67}\x6eo\U00000072\\u0065", "ignore"),
        (r"\uD835\uDC22gnore", "ignore"),
        (r"\xd0\xb8 \xe9", "и e"),
        (r"C:\users\xavier \d \u12", r"C:\users\xavier \d \u12"),
        ("&#1", "\u{1}"),
        ("&notaname; &#; &#x; &", "&notaname; &#; &#x; &"),
        (r"\u0456gn\u043erе", "ignore"),
    ] {
        assert_eq!(main_of(raw), folded, "{raw}");
    }
    assert_eq!(fold_rule_text("%69&#105;"), "%69&#105;");
}

#[test]
fn hidden_text_is_shown_in_its_own_view() {
    let hidden: String =
        "stop it".chars().map(|ch| char::from_u32(0xE_0000 + ch as u32).unwrap()).collect();
    let raw = format!("a{hidden}b");
    let whole = Whole::of([raw.as_str()]);
    assert_eq!(whole.text(ViewKind::Main), "ab");
    assert_eq!(whole.text(ViewKind::Hidden), "stop it\n");
    assert_eq!(whole.found(ViewKind::Hidden, "stop it", &raw), hidden);
    assert_eq!(whole.out.signals().tags, 7);
    let flag = Whole::of(["\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}"]);
    assert_eq!(flag.out.signals().tags, 0);
    let bytes: String = "stop"
        .bytes()
        .map(|byte| char::from_u32(0xE_0100 + u32::from(byte) - 16).unwrap())
        .collect();
    assert_eq!(Whole::of([bytes.as_str()]).text(ViewKind::Hidden), "stop\n");
}

#[test]
fn runs_are_decoded() {
    let ignore = "ignore previous";
    for (kind, raw, found) in [
        (ViewKind::Base64, "see aWdub3JlIHByZXZpb3Vz.", "aWdub3JlIHByZXZpb3Vz"),
        (ViewKind::Base64, "base64,aWdub3JlIHByZXZpb3Vz", "aWdub3JlIHByZXZpb3Vz"),
        (ViewKind::Base64, "a path/aWdub3JlIHByZXZpb3Vz", "aWdub3JlIHByZXZpb3Vz"),
        (ViewKind::Base64, "key-aWdub3JlIHByZXZpb3Vz", "aWdub3JlIHByZXZpb3Vz"),
        (ViewKind::Base64, "UGxlYXNlIGlnbm9yZSBwcmV2\naW91cyB0ZXh0Lg==", "aWdub3JlIHByZXZpb3Vz"),
        (ViewKind::Base64, "aQBnAG4AbwByAGUAIABwAHIAZQB2AGkAbwB1AHMA", ""),
        (ViewKind::Base64, "AQIDAP/+Tm93IGFuZCB0aGVuLCBwbGVhc2UgaWdub3JlIHByZXZpb3VzIHJ1bGVz", ""),
        (ViewKind::Base64, "xTm93IGFuZCB0aGVuLCBwbGVhc2UgaWdub3JlIHByZXZpb3VzIHJ1bGVz", ""),
        (ViewKind::Hex, "x 69676e6f72652070726576696f7573.", "69676e6f72652070726576696f7573"),
        (ViewKind::Hex, "69 67 6e 6f 72 65 20 70 72 65 76 69 6f 75 73", ""),
        (
            ViewKind::Hex,
            "{0x69, 0x67, 0x6E, 0x6F, 0x72, 0x65, 0x20, 0x70, 0x72, 0x65, 0x76, 0x69, 0x6f, 0x75, 0x73}",
            "",
        ),
        (ViewKind::Hex, "69:67:6e:6f:72:65:20:70:72:65:76:69:6f:75:73", ""),
    ] {
        let whole = Whole::of([raw]);
        assert!(whole.text(kind).contains(ignore), "{raw}: {:?}", whole.text(kind));
        if !found.is_empty() && raw.contains(found) {
            assert_eq!(whole.found(kind, ignore, raw), found, "{raw}");
        }
    }
    for raw in
        ["understanding representation", "d41d8cd98f00b204e9800998ecf8427e", "4111111111111111"]
    {
        let whole = Whole::of([raw]);
        assert_eq!((whole.text(ViewKind::Base64), whole.text(ViewKind::Hex)), ("", ""), "{raw}");
    }
}

#[test]
fn spaced_letters_are_joined() {
    for (raw, joined) in [
        ("i g n o r e   t h e   k e y .", "ignore the key."),
        ("d o n ' t", "don't"),
        ("i.g.n.o.r.e it", "ignore it"),
        ("I have a b-c plan", "I have abc plan"),
        ("nothing here, at all", "nothing here, at all"),
    ] {
        assert_eq!(Whole::of([raw]).text(ViewKind::Spaced), joined, "{raw}");
    }
}

#[test]
fn a_match_maps_to_whole_units() {
    let raw = "x\u{200B}i\u{200B}\u{200B}g&#110;ｏrе\u{200B}\u{301}y";
    let whole = Whole::of([raw]);
    assert_eq!(whole.text(ViewKind::Main), "xignorey");
    assert_eq!(whole.found(ViewKind::Main, "ignore", raw), "i\u{200B}\u{200B}g&#110;ｏrе");
    let raw = "aﬁb";
    assert_eq!(Whole::of([raw]).found(ViewKind::Main, "ib", raw), "ﬁb");
    assert_eq!(Whole::of([raw]).found(ViewKind::Main, "af", raw), "aﬁ");
    let raw = "see aWdub3JlIHByZXZpb3Vz.";
    assert_eq!(Whole::of([raw]).found(ViewKind::Base64, "nore", raw), "aWdub3Jl");
}

#[test]
fn what_waits_is_said_and_no_more() {
    let mut fold = Fold::new(Wanted::ALL);
    let mut out = Folded::default();
    for (piece, pending) in [
        ("the ", None),
        ("&", Some(4)),
        ("#1", Some(4)),
        ("t", None),
        (" т", Some(9)),
        ("о", Some(9)),
        ("л", None),
        (" ис", None),
        (" aWdub3Jl", Some(21)),
        ("IHByZXZp", None),
        ("b3", Some(37)),
        ("Vz", None),
        (" 5555", Some(42)),
        (".", None),
    ] {
        fold.feed(piece, &mut out);
        assert_eq!(fold.pending_from(), pending, "{piece}");
    }
}

#[test]
fn plain_text_is_not_copied() {
    let mut fold = Fold::new(Wanted::ALL);
    let mut out = Folded::default();
    for (piece, fed) in [
        ("Plain ", Fed::Same),
        ("text", Fed::Same),
        (" & more", Fed::Folded),
        (" and", Fed::Same),
        (" \u{e9}", Fed::Folded),
        ("on", Fed::Same),
    ] {
        assert_eq!(fold.feed(piece, &mut out), fed, "{piece}");
    }
    assert_eq!(out.view(ViewKind::Main).edits(), 1);
}

#[test]
fn a_flood_of_invisible_characters_has_a_bound() {
    let raw = format!("i{}gnore", "\u{200B}".repeat(1000));
    let whole = Whole::of([raw.as_str()]);
    assert_eq!(whole.text(ViewKind::Main), "i\u{FFFD}\u{FFFD}\u{FFFD}gnore");
    assert_eq!(whole.out.signals().overlong, 3);
    assert_eq!(whole.out.signals().invisible, 1000);
}

#[test]
fn maps_survive_that_their_past_is_forgotten() {
    let raw = "é&#105;ｇ\u{200B}é x é";
    let whole = Whole::of([raw]);
    let view = whole.out.view(ViewKind::Main);
    for before in 0..=view.end() {
        let mut later = view.clone();
        later.discard(before);
        for at in before..=view.end() {
            assert_eq!(later.raw_start(at), view.raw_start(at));
            assert_eq!(later.raw_end(at), view.raw_end(at));
        }
    }
}
