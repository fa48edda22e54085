//! The routes file from outside: wrong files and what is said of them, right files and where
//! requests go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod routes {
    mod anything;
    mod choice;
    mod meaning;
    mod mistakes;

    use firedoor::table::diagnostic::{Colour, render};
    use firedoor::table::{Prepared, Reference, Source, Table, prepare};
    use std::path::PathBuf;

    #[expect(clippy::unnecessary_wraps, reason = "the form of a lookup")]
    fn lookup(reference: Reference<'_>) -> Result<Option<String>, String> {
        Ok(match reference {
            Reference::Variable("SET_KEY") => Some("a-key".to_owned()),
            Reference::Variable("SPOILT_KEY") => Some("zebra\nhat".to_owned()),
            Reference::File("/etc/door/secret") => Some("from-a-file".to_owned()),
            Reference::Variable(_)
            | Reference::File(_)
            | Reference::Bytes(_)
            | Reference::Folder(_) => None,
        })
    }

    fn prepared(text: &str) -> Prepared {
        let file = Some(PathBuf::from("/etc/door/routes.toml"));
        prepare(&Source { file, text: text.to_owned() }, &lookup)
    }

    fn table(text: &str) -> Table {
        let prepared = prepared(text);
        let said = render(&prepared.diagnostics, Colour::Never);
        prepared.table.unwrap_or_else(|| panic!("{said}"))
    }

    fn codes_of(text: &str) -> Vec<&'static str> {
        prepared(text).diagnostics.iter().map(|found| found.code).collect()
    }

    const OPENAI: &str = "[providers.openai]\ndialect = \"openai\"\nbase_url = \"https://h/v1\"\n";

    /// Asserts what is said of a wrong file, line by line; `text` must not become a table.
    fn says(text: &str, expected: &str) {
        let prepared = prepared(text);
        assert!(prepared.table.is_none(), "this is not wrong:\n{text}");
        let said = render(&prepared.diagnostics, Colour::Never);
        let plain = |text: &str| {
            text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim().to_owned()
        };
        assert_eq!(plain(&said), plain(expected), "\nsaid:\n{said}");
    }
}
