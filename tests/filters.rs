//! The packs that are built in: they compile, and the cases beside their rules hold.

use firedoor::exchange::screen::{Done, judge_text};
use firedoor::filter::Kind;
use firedoor::table::diagnostic::{Colour, Severity, render};
use firedoor::table::packs::{built_in, built_in_diagnostics, built_in_names};
use firedoor::table::rules::{Expect, Rulebook};

#[test]
fn the_packs_that_are_built_in_compile() {
    for name in built_in_names() {
        let found = built_in_diagnostics(name);
        let wrong: Vec<_> = found.into_iter().filter(|d| d.severity == Severity::Error).collect();
        assert!(wrong.is_empty(), "{name}\n{}", render(&wrong, Colour::Never));
        assert!(built_in(name).is_some_and(|pack| !pack.pack.rules.is_empty()), "{name}");
    }
}

#[test]
fn the_cases_beside_the_rules_hold() {
    let (mut held, mut wrong) = (0, Vec::new());
    for compiled in built_in_names().filter_map(built_in) {
        for rule in &compiled.pack.rules {
            let book = Rulebook::of_rule(&compiled.pack, rule).expect("a rule compiles alone");
            let judges: Vec<_> = book.judge(0).into_iter().cloned().collect();
            let channels = rule.channels();
            for case in &rule.cases {
                // Without a channel, what is expected may happen on any that the rule looks at.
                let kinds = Kind::ALL.into_iter().filter(|kind| {
                    case.channel.map_or(channels.has(*kind), |channel| channel == *kind)
                });
                let all: Vec<Expect> = kinds
                    .map(|kind| match judge_text(&judges, kind, &case.text).0.verdict() {
                        None => Expect::Clear,
                        Some(Done::Flagged) => Expect::Flag,
                        Some(Done::Redacted) => Expect::Redact,
                        Some(Done::Rerouted) => Expect::Reroute,
                        Some(Done::Cut) => Expect::Cut,
                    })
                    .collect();
                let is_met = case.expect != Expect::Clear && all.contains(&case.expect);
                let gravest = all.into_iter().max().unwrap_or(Expect::Clear);
                let got = if is_met { case.expect } else { gravest };
                if got == case.expect {
                    held += 1;
                } else {
                    wrong.push(format!(
                        "{} line {}: {got:?}, not {:?}: {}",
                        rule.name, case.line, case.expect, case.text
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{held} hold, these do not:\n{}", wrong.join("\n"));
    let all = built_in_names().filter_map(built_in);
    let cases: usize =
        all.flat_map(|compiled| compiled.pack.rules.clone()).map(|rule| rule.cases.len()).sum();
    assert_eq!(held, cases);
    // Those that the documentation counts.
    let listed: usize = include_str!("../docs/filters.md")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            cells.get(1)?.strip_prefix('`')?.strip_suffix('`')?;
            cells.get(2)?.parse::<usize>().ok()?;
            cells.get(3)?.parse::<usize>().ok()
        })
        .sum();
    assert_eq!(cases, listed, "docs/filters.md");
}
