//! Given text on a channel, says how far it is clear, what to hide, and whether to stop.
//!
//! * A rule is a language, and a match is any non-empty piece of text in it, overlapping ones
//!   included. Redaction hides the *union* of all matches; a cut acts on the first confirmed one.
//!   So adding a rule never uncovers anything, and nothing depends on what matched before.
//! * What is held back is exactly what a live match still needs: everything before the earliest
//!   start that may still become a match is out, and what is sure to be hidden holds nothing.
//! * All of it is a function of the text and the rules, never of how the text was cut into
//!   pieces. The property tests compare with the definitions after every piece.
//!
//! Rules ([`Rule`], plain data) compile to a [`Ruleset`] or to all [`Complaint`]s about them. It
//! has one [`Engine`] for each set of rules that some kind of text needs. A [`Scanner`] is the
//! cursor of one channel: some hundred bytes, free to move between workers. A [`Cache`] belongs to
//! a worker and only makes it fast.
//!
//! ```
//! use firedoor::filter::{
//!     Action, Cache, Case, Channels, Kind, Passage, Pattern, Redaction, Release, Rule, Scanner, compile,
//! };
//! let rule = Rule {
//!     id: "key".into(),
//!     about: "A key of a provider".into(),
//!     channels: Channels::NONE.with(Kind::Answer),
//!     pattern: Pattern::Regex(r"\bsk-[a-z0-9]{8,}".into()),
//!     case: Case::Exact,
//!     action: Action::Redact(Redaction::Marker),
//! };
//! let rules = compile(&[rule]).unwrap();
//! let engine = rules.engine(Kind::Answer).unwrap();
//! let (mut cache, mut out, mut sent) = (Cache::default(), Release::default(), String::new());
//! let mut scanner = Scanner::new(engine);
//! for piece in ["Use s", "k-abc", "d1234x, please"] {
//!     match scanner.push(&mut cache, piece, &mut out).passage {
//!         Passage::Whole => sent.push_str(piece),
//!         _ => out.write(&rules, &mut sent),
//!     }
//! }
//! scanner.finish(&mut cache, &mut out);
//! out.write(&rules, &mut sent);
//! assert_eq!(sent, "Use [redacted:key], please");
//! ```

mod check;
mod compile;
mod complaint;
mod cost;
mod cover;
mod detect;
mod digest;
mod engine;
pub mod fold;
mod folds;
mod kept;
mod kind;
pub mod linear;
mod machine;
mod release;
mod rule;
mod sample;
mod scanner;
mod shadow;
mod state;
#[cfg(test)]
mod tests;
mod warm;

pub use check::{Check, Sum};
pub use compile::{compile, compile_within};
pub use complaint::{Complaint, Reason, Severity};
pub use cost::{Cost, Held};
pub use detect::Detector;
pub use digest::set_digest_key;
pub use engine::{Cache, Engine, Ruleset};
pub(crate) use fold::{BLOCK, block_bits};
pub use kind::{Channels, Kind};
pub use machine::Unjudged;
pub use release::{Finding, Hidden, Release, Shows, Stop};
pub use rule::{Action, Case, Limits, OnOverflow, Pattern, Redaction, Rule, Span};
#[cfg(test)]
pub(crate) use scanner::READ_BYTES;
pub use scanner::{Passage, Progress, Scanner};
