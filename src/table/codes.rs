//! The catalogue: every code that a diagnostic can have, with what it means and an example.
//!
//! A code never changes its meaning and is never given again. Codes go by kind: `FD00..` files,
//! `FD01..` values, `FD02..` names of things elsewhere, `FD03..` references, `FD04..` dangers,
//! `FD05..` warnings; `FD0205`, `FD0501` and `FD0502` are no longer given. Tests hold that each example has its code and that
//! each mended one has not.

mod catalogue;
mod of_packs;

pub use catalogue::ALL;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably not as meant.
    Warning,
}

impl Severity {
    /// The name as files and reports write it; SARIF uses the same two words.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// Why it is wrong and what to do.
    pub explanation: &'static str,
    /// A file that has it; empty where no text can show it.
    pub wrong: &'static str,
    /// The same file, mended.
    pub right: &'static str,
}

/// The entry of `code`; case does not count.
pub fn explain(code: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.code.eq_ignore_ascii_case(code.trim()))
}

/// The code that was probably meant.
pub fn nearest(code: &str) -> Option<&'static str> {
    super::words::nearest(code.trim(), ALL.iter().map(|entry| entry.code))
}

/// How bad `code` is, as the catalogue says; an error where it does not.
pub(super) fn severity(code: &str) -> Severity {
    explain(code).map_or(Severity::Error, |entry| entry.severity)
}

/// The file cannot be read.
pub const UNREADABLE: &str = "FD0001";
/// The file is too large.
pub const TOO_LARGE: &str = "FD0002";
/// The file is empty.
pub const EMPTY_FILE: &str = "FD0003";
/// The file is not TOML.
pub const SYNTAX: &str = "FD0100";
/// A key is set twice.
pub const DUPLICATE_KEY: &str = "FD0101";
/// Unknown key.
pub const UNKNOWN_KEY: &str = "FD0102";
/// A value of the wrong kind.
pub const WRONG_TYPE: &str = "FD0103";
/// A key is missing.
pub const MISSING_KEY: &str = "FD0104";
/// An empty value.
pub const EMPTY: &str = "FD0105";
/// A number out of range.
pub const OUT_OF_RANGE: &str = "FD0106";
/// Unknown word.
pub const UNKNOWN_WORD: &str = "FD0107";
/// A name that cannot be used.
pub const BAD_NAME: &str = "FD0108";
/// Something is named twice.
pub const DUPLICATE: &str = "FD0109";
/// Not an address to listen on.
pub const BAD_ADDRESS: &str = "FD0110";
/// Not a base URL.
pub const BAD_URL: &str = "FD0111";
/// Not a pattern.
pub const BAD_PATTERN: &str = "FD0112";
/// Not the SHA-256 of a key.
pub const BAD_HASH: &str = "FD0113";
/// A header that cannot be set.
pub const BAD_HEADER: &str = "FD0114";
/// A credential that cannot be sent.
pub const BAD_CREDENTIAL: &str = "FD0115";
/// Not a query.
pub const BAD_QUERY: &str = "FD0116";
/// A key that means nothing here.
pub const NOT_HERE: &str = "FD0117";
/// Too many parts.
pub const TOO_MANY: &str = "FD0118";
/// Not a time.
pub const BAD_DURATION: &str = "FD0119";
/// Two keys that contradict each other.
pub const CONTRADICTION: &str = "FD0120";
/// Not a public key of age.
pub const BAD_RECIPIENT: &str = "FD0121";
/// No such provider.
pub const UNKNOWN_PROVIDER: &str = "FD0201";
/// No such app.
pub const UNKNOWN_APP: &str = "FD0202";
/// Unknown pack.
pub const UNKNOWN_PACK: &str = "FD0203";
/// A key of two apps.
pub const SHARED_KEY: &str = "FD0204";
/// A variable is not set.
pub const MISSING_VARIABLE: &str = "FD0301";
/// A referenced file is missing.
pub const MISSING_FILE: &str = "FD0302";
/// A reference that cannot be read.
pub const BAD_REFERENCE: &str = "FD0303";
/// A reference cannot be looked up.
pub const UNREADABLE_REFERENCE: &str = "FD0304";
/// An open gate that would spend your credential.
pub const OPEN_GATE: &str = "FD0401";
/// A route that is never reached.
pub const UNREACHABLE_ROUTE: &str = "FD0503";
/// A credential in the clear.
pub const CLEAR_TEXT: &str = "FD0504";
/// A credential in the file.
pub const LITERAL_CREDENTIAL: &str = "FD0505";
/// A version that comes twice.
pub const DOUBLED_VERSION: &str = "FD0506";
/// Nothing is served.
pub const NOTHING_SERVED: &str = "FD0507";
/// A model without a price, where money is limited.
pub const NO_PRICE: &str = "FD0508";
/// A target of another dialect is asked for the caller's own model.
pub const FOREIGN_MODEL: &str = "FD0509";
/// A rule that cannot be used.
pub const BAD_RULE: &str = "FD0601";
/// A rule that costs more than it needs to.
pub const COSTLY_RULE: &str = "FD0602";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::packs::check;
    use crate::table::{Reference, Source, prepare};
    use std::collections::BTreeSet;
    use std::path::Path;

    fn codes_of(entry: &Entry, text: &str) -> Vec<&'static str> {
        if [BAD_RULE, COSTLY_RULE].contains(&entry.code) {
            return check(text).iter().map(|found| found.code).collect();
        }
        let source = Source { file: None, text: text.to_owned() };
        let lookup = |_: Reference<'_>| Ok(None);
        prepare(&source, &lookup).diagnostics.iter().map(|found| found.code).collect()
    }

    #[test]
    fn every_example_has_its_code_and_every_mended_one_has_not() {
        for entry in ALL.iter().filter(|entry| !entry.wrong.is_empty()) {
            let wrong = codes_of(entry, entry.wrong);
            assert!(wrong.contains(&entry.code), "{}: {wrong:?}", entry.code);
            let right = codes_of(entry, entry.right);
            assert!(!right.contains(&entry.code), "{}: {right:?}", entry.code);
            assert!(
                right.iter().all(|code| severity(code) == Severity::Warning),
                "{}: {right:?}",
                entry.code
            );
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|two| two[0].code < two[1].code));
    }

    /// Every constant is used outside this file, and no code is written as a string elsewhere.
    #[test]
    fn the_catalogue_and_the_code_agree() {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/table");
        let here = std::fs::read_to_string(room.join("codes.rs")).unwrap();
        let mut elsewhere = String::new();
        for folder in [room.clone(), room.join("file")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("codes.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    elsewhere.push_str(text.split("#[cfg(test)]").next().unwrap());
                }
            }
        }
        let declared: BTreeSet<&str> = here
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(declared.len(), ALL.len());
        for name in declared {
            assert!(elsewhere.contains(&format!("codes::{name}")), "{name} is never reported");
        }
        assert!(!elsewhere.contains("\"FD0"), "a code is written as a string");
    }

    #[test]
    fn codes_are_found_and_guessed() {
        assert_eq!(explain("fd0102").unwrap().title, "unknown key");
        assert_eq!(explain("FD9999"), None);
        assert_eq!(nearest("FD102"), Some("FD0102"));
    }
}
