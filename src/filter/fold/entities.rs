//! Named HTML entities: those that hide ASCII, and letters by the pattern of their names.

/// What text that begins like an escape is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// It cannot be told yet.
    Open,
    /// Its first character is no escape.
    Not,
    /// The first `len` bytes stand for a character.
    Is { ch: char, len: usize },
}

/// Names of one character. `&amp;` is in `escape.rs`, which undoes it where it stands for another
/// entity.
const NAMED: &[(&str, char)] = &[
    ("Hat;", '^'),
    ("NewLine;", '\n'),
    ("NoBreak;", '\u{2060}'),
    ("NonBreakingSpace;", ' '),
    ("Tab;", '\t'),
    ("UnderBar;", '_'),
    ("Vert;", '|'),
    ("VerticalLine;", '|'),
    ("ZeroWidthSpace;", '\u{200B}'),
    ("amp;", '&'),
    ("apos;", '\''),
    ("ast;", '*'),
    ("bsol;", '\\'),
    ("colon;", ':'),
    ("comma;", ','),
    ("commat;", '@'),
    ("dash;", '-'),
    ("dollar;", '$'),
    ("emsp;", ' '),
    ("ensp;", ' '),
    ("equals;", '='),
    ("excl;", '!'),
    ("grave;", '`'),
    ("gt;", '>'),
    ("hairsp;", ' '),
    ("hyphen;", '-'),
    ("ic;", '\u{2063}'),
    ("it;", '\u{2062}'),
    ("laquo;", '"'),
    ("lbrace;", '{'),
    ("lbrack;", '['),
    ("lcub;", '{'),
    ("ldquo;", '"'),
    ("lowbar;", '_'),
    ("lpar;", '('),
    ("lrm;", '\u{200E}'),
    ("lsqb;", '['),
    ("lsquo;", '\''),
    ("lt;", '<'),
    ("mdash;", '-'),
    ("midast;", '*'),
    ("minus;", '-'),
    ("nbsp;", ' '),
    ("ndash;", '-'),
    ("num;", '#'),
    ("numsp;", ' '),
    ("percnt;", '%'),
    ("period;", '.'),
    ("plus;", '+'),
    ("quest;", '?'),
    ("quot;", '"'),
    ("raquo;", '"'),
    ("rbrace;", '}'),
    ("rbrack;", ']'),
    ("rcub;", '}'),
    ("rdquo;", '"'),
    ("rlm;", '\u{200F}'),
    ("rpar;", ')'),
    ("rsqb;", ']'),
    ("rsquo;", '\''),
    ("semi;", ';'),
    ("shy;", '\u{AD}'),
    ("sol;", '/'),
    ("thinsp;", ' '),
    ("verbar;", '|'),
    ("vert;", '|'),
    ("zwj;", '\u{200D}'),
    ("zwnj;", '\u{200C}'),
];

/// What follows a letter in the name of that letter with an accent or in another face: `&eacute;`,
/// `&escr;`. The fold takes both off, so the plain letter is meant.
const DRESSED: &[&str] = &[
    "acute;", "grave;", "circ;", "uml;", "tilde;", "cedil;", "ring;", "caron;", "slash;", "macr;",
    "breve;", "dot;", "ogon;", "strok;", "scr;", "fr;", "opf;",
];

/// Judges the name behind `&`, which stands at the byte `at` of the escape.
pub(super) fn judge(body: &str, at: usize) -> Escape {
    if let Some((name, ch)) = NAMED.iter().find(|(name, _)| body.starts_with(name)) {
        return Escape::Is { ch: *ch, len: at + name.len() };
    }
    let mut open = NAMED.iter().any(|(name, _)| name.starts_with(body));
    let mut chars = body.chars();
    if let Some(letter) = chars.next().filter(char::is_ascii_alphabetic) {
        let dress = chars.as_str();
        if let Some(name) = DRESSED.iter().find(|name| dress.starts_with(**name)) {
            return Escape::Is { ch: letter, len: at + 1 + name.len() };
        }
        open |= DRESSED.iter().any(|name| name.starts_with(dress));
    }
    if open { Escape::Open } else { Escape::Not }
}
