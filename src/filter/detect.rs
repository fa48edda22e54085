//! Named detectors: a candidate expression, and a check that a candidate must pass.
//!
//! A match is a candidate that passes; what is held is what may still become a candidate. So
//! every candidate has a longest form, and each is written to be decided early. Sources of the
//! checks: ISO/IEC 7812 (Luhn), ISO 13616 (IBAN), the rules of the US Social Security
//! Administration and of the North American Numbering Plan.

/// A detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Detector {
    /// Payment card numbers: 13 to 19 digits, grouped as cards are, with a valid Luhn digit.
    Luhn,
    /// International bank account numbers: length of the country, remainder 1 modulo 97.
    Iban,
    /// Tokens of 24 to 128 characters that look random.
    Entropy,
    /// A value that looks random, assigned to a name such as `api_key`, the name included.
    NamedSecret,
    /// Unicode tag characters, which carry text that nobody sees. Flags of England, Scotland and
    /// Wales are made of them and pass.
    UnicodeTags,
    /// Mail addresses.
    Email,
    /// Telephone numbers: international with `+`, or of the North American plan with separators.
    Phone,
    /// US social security numbers with separators.
    Ssn,
    /// IPv4 addresses other than loopback, unspecified and broadcast.
    Ipv4,
}

impl Detector {
    /// Every detector.
    pub const ALL: [Self; 9] = [
        Self::Luhn,
        Self::Iban,
        Self::Entropy,
        Self::NamedSecret,
        Self::UnicodeTags,
        Self::Email,
        Self::Phone,
        Self::Ssn,
        Self::Ipv4,
    ];

    /// The name that files use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Luhn => "luhn",
            Self::Iban => "iban",
            Self::Entropy => "entropy",
            Self::NamedSecret => "named_secret",
            Self::UnicodeTags => "unicode_tags",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Ssn => "ssn",
            Self::Ipv4 => "ipv4",
        }
    }

    /// The detector with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|detector| detector.name() == name)
    }

    /// The expression of its candidates.
    pub const fn candidate(self) -> &'static str {
        match self {
            Self::Luhn => r"\b[2-6](?:[ -]?[0-9]){12,18}\b",
            Self::Iban => r"\b[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]){11,30}\b",
            Self::Entropy => r"\b[A-Za-z0-9+/=_-]{24,128}\b",
            Self::NamedSecret => concat!(
                r"(?i:(?:api|access|auth|secret|private|client|signing|encryption|account)[_ -]?(?:key|token|secret)",
                r"|token|secret|password|passwd|credential)",
                r#"["'`]?[ \t]{0,3}(?:=>|:=|[:=])[ \t]{0,3}["'`]?[A-Za-z0-9+/=_.~-]{12,200}"#
            ),
            Self::UnicodeTags => r"[\x{E0001}\x{E0020}-\x{E007F}]{1,16}",
            Self::Email => {
                r"\b[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24}\b"
            }
            Self::Phone => concat!(
                r"\+[1-9](?:[ .-]?\(?[0-9]\)?){7,14}\b",
                r"|\b[2-9][0-9]{2}\)?[ .-][2-9][0-9]{2}[ .-][0-9]{4}\b"
            ),
            Self::Ssn => r"\b[0-8][0-9]{2}[- ][0-9]{2}[- ][0-9]{4}\b",
            Self::Ipv4 => r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b",
        }
    }

    /// Does a candidate pass? What is no candidate may get either answer.
    pub fn passes(self, candidate: &str) -> bool {
        match self {
            Self::Luhn => card(candidate),
            Self::Iban => iban(candidate),
            Self::Entropy => random(candidate, 24),
            Self::NamedSecret => named_secret(candidate),
            Self::UnicodeTags => tags(candidate),
            Self::Email => email(candidate),
            Self::Phone => phone(candidate),
            Self::Ssn => ssn(candidate),
            Self::Ipv4 => ipv4(candidate),
        }
    }
}

fn digits(text: &str) -> impl DoubleEndedIterator<Item = u32> + '_ {
    text.chars().filter_map(|letter| letter.to_digit(10))
}

/// Grouped as on a card, not one digit over and over, and a Luhn sum that ends in 0.
fn card(text: &str) -> bool {
    let separators = text.bytes().filter(|byte| !byte.is_ascii_digit());
    let (mut least, mut most) = (u8::MAX, 0);
    for byte in separators {
        least = least.min(byte);
        most = most.max(byte);
    }
    if most != 0 {
        let mut groups = text.split([' ', '-']).map(str::len);
        let first = (groups.next(), groups.next(), groups.next(), groups.next(), groups.next());
        let known = matches!(
            first,
            (Some(4), Some(4), Some(4), Some(1..=4), None | Some(1..=3))
                | (Some(4), Some(6), Some(4 | 5), None, None)
        );
        if least != most || !known || groups.next().is_some() {
            return false;
        }
    }
    let first = digits(text).next();
    if digits(text).all(|digit| Some(digit) == first) {
        return false;
    }
    let sum: u32 = digits(text)
        .rev()
        .enumerate()
        .map(|(place, digit)| match place % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Lengths by country, from the IBAN registry.
const IBANS: &[(&str, usize)] = &[
    ("AD", 24),
    ("AE", 23),
    ("AL", 28),
    ("AT", 20),
    ("AZ", 28),
    ("BA", 20),
    ("BE", 16),
    ("BG", 22),
    ("BH", 22),
    ("BR", 29),
    ("BY", 28),
    ("CH", 21),
    ("CR", 22),
    ("CY", 28),
    ("CZ", 24),
    ("DE", 22),
    ("DK", 18),
    ("DO", 28),
    ("EE", 20),
    ("EG", 29),
    ("ES", 24),
    ("FI", 18),
    ("FO", 18),
    ("FR", 27),
    ("GB", 22),
    ("GE", 22),
    ("GI", 23),
    ("GL", 18),
    ("GR", 27),
    ("GT", 28),
    ("HR", 21),
    ("HU", 28),
    ("IE", 22),
    ("IL", 23),
    ("IQ", 23),
    ("IS", 26),
    ("IT", 27),
    ("JO", 30),
    ("KW", 30),
    ("KZ", 20),
    ("LB", 28),
    ("LC", 32),
    ("LI", 21),
    ("LT", 20),
    ("LU", 20),
    ("LV", 21),
    ("LY", 25),
    ("MC", 27),
    ("MD", 24),
    ("ME", 22),
    ("MK", 19),
    ("MR", 27),
    ("MT", 31),
    ("MU", 30),
    ("NL", 18),
    ("NO", 15),
    ("PK", 24),
    ("PL", 28),
    ("PS", 29),
    ("PT", 25),
    ("QA", 29),
    ("RO", 24),
    ("RS", 22),
    ("SA", 24),
    ("SC", 31),
    ("SD", 18),
    ("SE", 24),
    ("SI", 19),
    ("SK", 24),
    ("SM", 27),
    ("ST", 25),
    ("SV", 28),
    ("TL", 23),
    ("TN", 24),
    ("TR", 26),
    ("UA", 29),
    ("VA", 22),
    ("VG", 24),
    ("XK", 20),
];

fn iban(text: &str) -> bool {
    let letters = || text.chars().filter(char::is_ascii_alphanumeric);
    let country: String = letters().take(2).map(|letter| letter.to_ascii_uppercase()).collect();
    let length = IBANS.iter().find(|known| known.0 == country).map(|known| known.1);
    if length != Some(letters().count()) {
        return false;
    }
    let turned = letters().skip(4).chain(letters().take(4));
    let rest = turned.filter_map(|letter| letter.to_digit(36)).fold(0, |rest, value| {
        if value < 10 { (rest * 10 + value) % 97 } else { (rest * 100 + value) % 97 }
    });
    rest == 1
}

/// Shannon entropy of the bytes, in bits each.
pub(super) fn entropy_bits(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let all = text.len() as f64;
    let bits = |count: &u32| {
        let share = f64::from(*count) / all;
        -share * share.log2()
    };
    counts.iter().filter(|count| **count > 0).map(bits).sum()
}

/// Does it look like drawn from a hat? Digits and letters mixed, and close to the entropy that
/// random text of its alphabet and length has.
fn random(text: &str, bytes_min: usize) -> bool {
    let count = |is: fn(&u8) -> bool| text.bytes().filter(is).count();
    let (digit, upper) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase));
    let lower = count(u8::is_ascii_lowercase);
    let letter = upper + lower;
    if text.len() < bytes_min || digit < 2 || letter < 2 {
        return false;
    }
    let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let alphabet: f64 = match (hex, upper > 0 && lower > 0) {
        (true, _) => 16.0,
        (false, false) => 36.0,
        (false, true) => 62.0,
    };
    // A short random text cannot show more kinds of letters than it is long.
    let best = alphabet.log2().min((text.len() as f64).log2());
    // A random text of 62 letters has a digit in every six or so; words and paths do not.
    let mixed = hex || digit * 12 >= text.len();
    mixed && entropy_bits(text) >= best * 0.8
}

fn named_secret(text: &str) -> bool {
    let cut = text.find([':', '=']).map_or(text.len(), |at| at + 1);
    let Some(value) = text.get(cut..) else { return false };
    let value = value.trim_start_matches(['=', '>', ' ', '\t', '"', '\'', '`']);
    random(value, 12)
}

fn tags(text: &str) -> bool {
    let seen: String = text
        .chars()
        .filter_map(|letter| char::from_u32((letter as u32).wrapping_sub(0xE_0000)))
        .collect();
    !["gbeng\u{7f}", "gbsct\u{7f}", "gbwls\u{7f}"].iter().any(|flag| flag.contains(&seen))
}

fn email(text: &str) -> bool {
    let Some((name, host)) = text.split_once('@') else { return false };
    let whole = |label: &str| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-');
    let ending = host.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    let file = ["png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css"].contains(&ending.as_str());
    !name.ends_with('.') && !name.contains("..") && host.split('.').all(whole) && !file
}

fn phone(text: &str) -> bool {
    let count = digits(text).count();
    if text.starts_with('+') {
        let open = text.matches('(').count();
        return (8..=15).contains(&count) && open == text.matches(')').count() && open <= 1;
    }
    // No area and no exchange code of the plan ends in 11, and 555-01xx is fiction.
    let all: Vec<u32> = digits(text).collect();
    count == 10
        && all.get(1..3) != Some(&[1, 1])
        && all.get(4..6) != Some(&[1, 1])
        && all.get(3..8) != Some(&[5, 5, 5, 0, 1])
}

fn ssn(text: &str) -> bool {
    let mut parts = text.split(['-', ' ']);
    let (area, group, serial) = (parts.next(), parts.next(), parts.next());
    let even = text.as_bytes().get(3) == text.as_bytes().get(6);
    let known = [(Some("078"), Some("05"), Some("1120")), (Some("219"), Some("09"), Some("9999"))];
    even && !matches!(area, Some("000" | "666"))
        && group != Some("00")
        && serial != Some("0000")
        && !known.contains(&(area, group, serial))
}

fn ipv4(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok_and(|address| {
        !address.is_loopback() && !address.is_unspecified() && !address.is_broadcast()
    })
}

#[cfg(test)]
mod tests {
    use super::Detector::{self, Email, Entropy, Iban, Ipv4, Luhn, NamedSecret, Phone, Ssn};

    #[test]
    fn checks_tell_right_from_wrong() {
        let rows: &[(Detector, &str, bool)] = &[
            (Luhn, "4111 1111 1111 1111", true),
            (Luhn, "4111111111111112", false),
            (Luhn, "378282246310005", true),
            (Luhn, "3782 822463 10005", true),
            (Luhn, "41 11111 111 111111", false),
            (Luhn, "5555-5555-5555-4444", true),
            (Luhn, "2222222222222222", false),
            (Iban, "DE89 3704 0044 0532 0130 00", true),
            (Iban, "DE89370400440532013001", false),
            (Iban, "GB82WEST12345698765432", true),
            (Iban, "ZZ82WEST12345698765432", false),
            (Entropy, "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY", false),
            (Entropy, "q8Zx1LmT0vYk3Rb7NcW2pHd5", true),
            (Entropy, "internationalization-of-software", false),
            (Entropy, "00000000000000000000000000a1b2", false),
            (NamedSecret, "api_key = \"q8Zx1LmT0vYk3Rb7\"", true),
            (NamedSecret, "password: correcthorsebattery", false),
            (Email, "jane.doe@example.org", true),
            (Email, "icon@2x.png", false),
            (Phone, "+49 30 901820", true),
            (Phone, "415-867-5309", true),
            (Phone, "911-211-4567", false),
            (Ssn, "536-22-1234", true),
            (Ssn, "666-22-1234", false),
            (Ssn, "078-05-1120", false),
            (Ipv4, "93.184.216.34", true),
            (Ipv4, "300.1.1.1", false),
            (Ipv4, "127.0.0.1", false),
        ];
        for (detector, text, passes) in rows {
            assert_eq!(detector.passes(text), *passes, "{detector:?} on {text}");
        }
    }

    #[test]
    fn flags_are_no_smuggled_text() {
        let hidden = |text: &str| -> String {
            text.chars().filter_map(|letter| char::from_u32(letter as u32 + 0xE_0000)).collect()
        };
        assert!(!Detector::UnicodeTags.passes(&hidden("gbsct\u{7f}")));
        assert!(Detector::UnicodeTags.passes(&hidden("ignore")));
        assert!(Detector::UnicodeTags.passes(&hidden("x")));
    }

    #[test]
    fn names_lead_back() {
        for detector in Detector::ALL {
            assert_eq!(Detector::named(detector.name()), Some(detector));
        }
    }
}
