//! What many cases came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How the cases of one kind went.
#[derive(Debug, Default)]
struct Row {
    cases: usize,
    cuts: usize,
    wrong: Vec<String>,
}

/// All cases, by kind.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<String, Row>,
}

/// What came of one case.
pub enum Came {
    /// What was expected.
    Whole,
    /// An ending by rule, as its dialect ends.
    Cut,
    /// Something that must not be.
    Wrong(String),
}

impl Report {
    pub fn add(&mut self, kind: &str, case: &str, came: Came) {
        let row = self.rows.entry(kind.to_owned()).or_default();
        row.cases += 1;
        match came {
            Came::Whole => {}
            Came::Cut => row.cuts += 1,
            Came::Wrong(what) => row.wrong.push(format!("{case}: {what}")),
        }
    }

    pub fn join(&mut self, other: Report) {
        for (kind, mut row) in other.rows {
            let own = self.rows.entry(kind).or_default();
            own.cases += row.cases;
            own.cuts += row.cuts;
            own.wrong.append(&mut row.wrong);
        }
    }

    pub fn cases(&self) -> usize {
        self.rows.values().map(|row| row.cases).sum()
    }

    /// Fails if any case went wrong, with some of each kind.
    pub fn check(&self) {
        let mut out = String::new();
        let (mut cases, mut wrong) = (0, 0);
        for (kind, row) in &self.rows {
            cases += row.cases;
            wrong += row.wrong.len();
            let Row { cases, cuts, wrong } = row;
            let _ = writeln!(out, "{cases:5} cases {cuts:5} cut {:4} wrong  {kind}", wrong.len());
        }
        if std::env::var_os("FIREDOOR_LEAKS_TABLE").is_some() {
            eprintln!("{out}");
        }
        for (kind, row) in self.rows.iter().filter(|(_, row)| !row.wrong.is_empty()) {
            let _ = writeln!(out, "\n{kind}");
            for one in row.wrong.iter().take(3) {
                let _ = writeln!(out, "    {one}");
            }
        }
        assert!(wrong == 0, "{wrong} of {cases} cases went wrong\n{out}");
    }
}
