//! What holds of any text at all.

use super::prepared;
use firedoor::table::diagnostic::{Colour, Severity, json, render, sarif};
use firedoor::table::{EMBEDDED, codes};
use proptest::prelude::*;

/// Pieces of which wrong files are made that a parser still reads.
const PIECES: &[&str] = &[
    "[server]\n",
    "[providers.a]\n",
    "[providers.b]\n",
    "[apps.a]\n",
    "[[routes]]\n",
    "[[",
    "]\n",
    "listen = ",
    "admin = ",
    "tls = ",
    "workers = ",
    "dialect = ",
    "base_url = ",
    "api_key = ",
    "headers = ",
    "query = ",
    "quirks = ",
    "translate_to = ",
    "answer = ",
    "key_sha256 = ",
    "limits = ",
    "name = ",
    "match = ",
    "targets = ",
    "fallback = ",
    "rules = ",
    "retry = ",
    "timeouts = ",
    "capture = ",
    "\"openai\"\n",
    "\"simulated\"\n",
    "\"${A}\"\n",
    "\"${file:x}\"\n",
    "\"a\"\n",
    "\"http://h\"\n",
    "\"0.0.0.0:1\"\n",
    "[\"a\", 1]\n",
    "{ provider = \"a\" }\n",
    "[{ provider = \"a\", weight = 0 }]\n",
    "{ model = \"*\", path = [\"/\"], header = { a = \"b\" } }\n",
    "-7\n",
    "1e400\n",
    "nan\n",
    "0x_\n",
    "1979-05-27\n",
    "\"\"\"\nä\n\"\"\"\n",
    "'",
    "\"",
    "\u{feff}",
    "\r",
    "\0",
    "🚪",
    "#",
    " ",
    "\n",
];

/// What must hold of any text at all.
fn holds(text: &str) {
    let prepared = prepared(text);
    let has_errors = prepared.diagnostics.iter().any(|found| found.severity == Severity::Error);
    assert_eq!(prepared.table.is_none(), has_errors, "{:?}", prepared.diagnostics);
    for found in &prepared.diagnostics {
        assert!(text.get(found.span.clone()).is_some(), "{found:?}");
        assert!(codes::explain(found.code).is_some(), "{found:?}");
        assert!(!found.message.is_empty());
        let value = json(found);
        assert!(value["line"].as_u64().unwrap() <= value["endLine"].as_u64().unwrap());
    }
    render(&prepared.diagnostics, Colour::Always);
    sarif(&prepared.diagnostics);
}

proptest! {
    #[test]
    fn any_text_is_a_table_or_has_errors(text in any::<String>()) {
        holds(&text);
    }

    #[test]
    fn any_heap_of_pieces_is_a_table_or_has_errors(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..24)
    ) {
        holds(&pieces.concat());
    }

    #[test]
    fn the_default_with_a_hole_is_a_table_or_has_errors(from in 0..EMBEDDED.len(), len in 0..64_usize) {
        let to = (from + len).min(EMBEDDED.len());
        holds(&format!("{}{}", &EMBEDDED[..from], &EMBEDDED[to..]));
    }
}
