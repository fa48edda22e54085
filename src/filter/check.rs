//! Checks that what an expression found has to pass: checksums, and looks of chance.
//!
//! A rule may pair its own expression with a check: the expression says where a number stands, the
//! check whether it is one. Digits that name the number (a country code, a word in front) do not
//! disturb: a check of a fixed length reads the last digits. Sources are at each check.

use super::detect::{Detector, entropy_bits};

/// What a candidate has to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Which.
    pub sum: Sum,
    /// For [`Detector::Entropy`]: the least Shannon entropy of a candidate's value, in hundredths of a
    /// bit a byte; 0 for the detector's own measure. The value is the last run of bytes that are no
    /// white space, quote or punctuation of assignments and lists.
    pub centibits: u16,
    /// Whether the value must have a small letter, a capital and a digit.
    pub is_mixed: bool,
    /// What it must not hold, in any case of letters.
    pub unless: Vec<String>,
}

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sum {
    /// None: only the looks count.
    Any,
    /// That of a detector.
    Of(Detector),
    /// US routing numbers (American Bankers Association): weights 3, 7, 1.
    Aba,
    /// Dutch citizen service numbers: the eleven test.
    Bsn,
    /// Italian tax codes (decree of 23 December 1976).
    CodiceFiscale,
    /// Brazilian taxpayer numbers (Receita Federal): two digits modulo 11.
    Cpf,
    /// Spanish identity numbers: the letter of the remainder modulo 23.
    Dni,
    /// UK health service numbers (NHS Data Dictionary): modulo 11.
    Nhs,
    /// French social security numbers (INSEE): the key is 97 less the remainder.
    Nir,
    /// Polish identity numbers: weights 1, 3, 7, 9.
    Pesel,
    /// German tax identification numbers: ISO/IEC 7064, MOD 11,10.
    SteuerId,
    /// Turkish identity numbers: two digits modulo 10.
    TrId,
    /// Indian identity numbers (UIDAI): Verhoeff's dihedral check over twelve digits.
    Verhoeff,
}

impl Sum {
    /// Every check that has no expression of its own, by the name that files use.
    const OWN: [(&'static str, Sum); 11] = [
        ("aba", Sum::Aba),
        ("bsn", Sum::Bsn),
        ("codice_fiscale", Sum::CodiceFiscale),
        ("cpf", Sum::Cpf),
        ("dni", Sum::Dni),
        ("nhs", Sum::Nhs),
        ("nir", Sum::Nir),
        ("pesel", Sum::Pesel),
        ("steuer_id", Sum::SteuerId),
        ("tr_id", Sum::TrId),
        ("verhoeff", Sum::Verhoeff),
    ];

    /// Every check, by the name that files use.
    pub fn all() -> Vec<(&'static str, Sum)> {
        let detectors = Detector::ALL.into_iter().map(|one| (one.name(), Sum::Of(one)));
        detectors.chain(Sum::OWN).collect()
    }

    /// The expression of its candidates, if it has one of its own.
    pub fn candidate(self) -> Option<&'static str> {
        match self {
            Sum::Of(detector) => Some(detector.candidate()),
            _ => None,
        }
    }
}

impl From<Sum> for Check {
    fn from(sum: Sum) -> Check {
        Check { sum, centibits: 0, is_mixed: false, unless: Vec::new() }
    }
}

impl From<Detector> for Check {
    fn from(detector: Detector) -> Check {
        Sum::Of(detector).into()
    }
}

impl Check {
    /// Does a candidate pass?
    pub fn passes(&self, candidate: &str) -> bool {
        let value = value(candidate);
        let has = |is: fn(&u8) -> bool| value.bytes().any(|byte| is(&byte));
        let kinds = [u8::is_ascii_digit, u8::is_ascii_lowercase, u8::is_ascii_uppercase];
        if self.is_mixed && !kinds.into_iter().all(has) {
            return false;
        }
        let is_right = match self.sum {
            Sum::Of(Detector::Entropy) if self.centibits > 0 => {
                entropy_bits(value) * 100.0 >= f64::from(self.centibits)
            }
            Sum::Any => true,
            Sum::Of(detector) => detector.passes(candidate),
            Sum::Aba => aba(candidate),
            Sum::Bsn => bsn(candidate),
            Sum::CodiceFiscale => codice_fiscale(candidate),
            Sum::Cpf => cpf(candidate),
            Sum::Dni => dni(candidate),
            Sum::Nhs => nhs(candidate),
            Sum::Nir => nir(candidate),
            Sum::Pesel => pesel(candidate),
            Sum::SteuerId => steuer_id(candidate),
            Sum::TrId => tr_id(candidate),
            Sum::Verhoeff => verhoeff(candidate),
        };
        is_right && {
            let lower = candidate.to_ascii_lowercase();
            !self.unless.iter().any(|word| lower.contains(&word.to_ascii_lowercase()))
        }
    }
}

/// The last run of what is no white space, quote or punctuation of assignments and lists.
fn value(candidate: &str) -> &str {
    const BETWEEN: &str = "\"'`=:,;<>(){}[]|";
    let is_between = |letter: char| letter.is_whitespace() || BETWEEN.contains(letter);
    candidate.split(is_between).rfind(|run| !run.is_empty()).unwrap_or("")
}

/// The last `N` digits; `None` if there are fewer, or all are the same.
fn last<const N: usize>(text: &str) -> Option<[u32; N]> {
    let mut digits = [0; N];
    let mut found = text.chars().rev().filter_map(|letter| letter.to_digit(10));
    for place in digits.iter_mut().rev() {
        *place = found.next()?;
    }
    digits.iter().any(|digit| Some(digit) != digits.first()).then_some(digits)
}

fn weighted(digits: &[u32], weights: impl IntoIterator<Item = u32>) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

fn aba(text: &str) -> bool {
    last::<9>(text).is_some_and(|digits| {
        let weights = [3, 7, 1].into_iter().cycle();
        weighted(&digits, weights).is_multiple_of(10)
    })
}

fn bsn(text: &str) -> bool {
    last::<9>(text).is_some_and(|digits| {
        let sum = weighted(&digits[..8], (2..=9).rev());
        (sum + 10 * digits[8]).is_multiple_of(11)
    })
}

fn codice_fiscale(text: &str) -> bool {
    /// Values at odd places of `0..=9`, the same as of `A..=J`, and of the letters behind.
    const ODD: [u32; 26] = [
        1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24,
        23,
    ];
    let letters: Vec<u8> =
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect();
    let Some((code, [check])) = letters.split_last_chunk::<1>() else { return false };
    if code.len() != 15 {
        return false;
    }
    let value = |byte: u8| u32::from(if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' });
    let sum: u32 = code
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let value = value(*byte);
            if place % 2 == 0 { ODD.get(value as usize).copied().unwrap_or(0) } else { value }
        })
        .sum();
    check.is_ascii_alphabetic() && sum % 26 == value(*check)
}

fn cpf(text: &str) -> bool {
    last::<11>(text).is_some_and(|digits| {
        let check = |count: usize, from: u32| {
            let sum = digits.get(..count).map_or(0, |all| weighted(all, (2..=from).rev()));
            let rest = sum * 10 % 11 % 10;
            digits.get(count) == Some(&rest)
        };
        check(9, 10) && check(10, 11)
    })
}

fn dni(text: &str) -> bool {
    const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";
    let text: Vec<u8> =
        text.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_uppercase()).collect();
    let Some((number, [letter])) = text.split_last_chunk::<1>() else { return false };
    let number = number.iter().enumerate().try_fold(0_u64, |number, (place, byte)| {
        let digit = match (place, byte) {
            (0, b'X') => 0,
            (0, b'Y') => 1,
            (0, b'Z') => 2,
            (_, b'0'..=b'9') => u64::from(byte - b'0'),
            _ => return None,
        };
        Some(number * 10 + digit)
    });
    number.is_some_and(|number| LETTERS.get((number % 23) as usize) == Some(letter))
}

fn nhs(text: &str) -> bool {
    last::<10>(text).is_some_and(|digits| {
        let check = (11 - weighted(&digits[..9], (2..=10).rev()) % 11) % 11;
        check == digits[9]
    })
}

fn nir(text: &str) -> bool {
    let text: String = text.chars().filter(char::is_ascii_alphanumeric).collect();
    let text = text.to_ascii_uppercase();
    let (Some(number), Some(key)) = (text.get(..13), text.get(13..)) else { return false };
    // Corsica's departments stand for 19 and 18.
    let number = number.replace("2A", "19").replace("2B", "18");
    let (Ok(number), Ok(key)) = (number.parse::<u64>(), key.parse::<u64>()) else { return false };
    97 - number % 97 == key
}

fn pesel(text: &str) -> bool {
    last::<11>(text).is_some_and(|digits| {
        let weights = [1, 3, 7, 9].into_iter().cycle();
        (weighted(&digits[..10], weights) + digits[10]).is_multiple_of(10)
    })
}

fn steuer_id(text: &str) -> bool {
    last::<11>(text).is_some_and(|digits| {
        let product = digits[..10].iter().fold(10, |product, digit| {
            let sum = match (digit + product) % 10 {
                0 => 10,
                sum => sum,
            };
            sum * 2 % 11
        });
        (11 - product) % 10 == digits[10]
    })
}

fn tr_id(text: &str) -> bool {
    last::<11>(text).is_some_and(|digits| {
        let at = |from: usize| digits[..9].iter().skip(from).step_by(2).sum::<u32>();
        let tenth = (at(0) * 7 + 90 - at(1)) % 10;
        let eleventh = digits[..10].iter().sum::<u32>() % 10;
        digits[0] != 0 && digits[9] == tenth && digits[10] == eleventh
    })
}

fn verhoeff(text: &str) -> bool {
    const PERMUTED: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    /// The product of the dihedral group of the pentagon.
    fn product(a: u32, b: u32) -> u32 {
        match (a < 5, b < 5) {
            (true, true) => (a + b) % 5,
            (true, false) => 5 + (a + b - 5) % 5,
            (false, true) => 5 + (a - 5 + 5 - b) % 5,
            (false, false) => (a + 5 - b) % 5,
        }
    }
    last::<12>(text).is_some_and(|digits| {
        let turned = |mut digit: u32, times: usize| {
            for _ in 0..times % 8 {
                digit = PERMUTED.get(digit as usize).copied().unwrap_or(digit);
            }
            digit
        };
        let places = digits.iter().rev().enumerate();
        places.fold(0, |sum, (place, digit)| product(sum, turned(*digit, place))) == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that their issuers publish as examples, and the same with another last digit.
    #[test]
    fn checks_tell_right_from_wrong() {
        let rows: &[(Sum, &str, bool)] = &[
            (Sum::Aba, "routing number: 121000358", true),
            (Sum::Aba, "121000359", false),
            (Sum::Bsn, "bsn 111222333", true),
            (Sum::Bsn, "111222334", false),
            (Sum::CodiceFiscale, "RSSMRA85T10A562S", true),
            (Sum::CodiceFiscale, "RSSMRA85T10A562T", false),
            (Sum::Cpf, "111.444.777-35", true),
            (Sum::Cpf, "111.444.777-36", false),
            (Sum::Cpf, "111.111.111-11", false),
            (Sum::Dni, "12345678Z", true),
            (Sum::Dni, "X1234567L", true),
            (Sum::Dni, "12345678A", false),
            (Sum::Nhs, "943 476 5919", true),
            (Sum::Nhs, "943 476 5918", false),
            (Sum::Nir, "2 55 08 14 168 025 38", true),
            (Sum::Nir, "2 55 08 14 168 025 39", false),
            (Sum::Pesel, "44051401359", true),
            (Sum::Pesel, "44051401358", false),
            (Sum::SteuerId, "IdNr 86095742719", true),
            (Sum::SteuerId, "86095742718", false),
            (Sum::TrId, "10000000146", true),
            (Sum::TrId, "10000000147", false),
            (Sum::Verhoeff, "2341 2341 2346", true),
            (Sum::Verhoeff, "2341 2341 2347", false),
        ];
        for (sum, text, passes) in rows {
            assert_eq!(Check::from(*sum).passes(text), *passes, "{sum:?} on {text}");
        }
    }

    #[test]
    fn entropy_has_a_measure_and_exceptions() {
        let check = Check {
            centibits: 350,
            is_mixed: true,
            unless: vec!["EXAMPLE".into()],
            ..Sum::Of(Detector::Entropy).into()
        };
        assert!(check.passes("key-q8Zx1LmT0vYk3Rb7NcW2pHd5"));
        assert!(!check.passes("key-xxxxxxxxxxxxxxxxxxx1"));
        assert!(!check.passes("key-q8Zx1LmT0vYk3Rb7NcW2pHexample"));
        assert!(!check.passes("key-qzxlmtvykrbncwphdjufgaseio"));
        assert!(check.passes("token: 'q8Zx1LmT0vYk3Rb7NcW2pHd5'"));
        assert!(!check.passes("q8Zx1LmT0vYk3Rb7NcW2pHd5 = 'Aaaaaaaaaaa1'"));
    }
}
