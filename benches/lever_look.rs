//! What the check of one exchange against many levers costs: `benches/levers look` runs it.

use firedoor::id::LeverId;
use firedoor::table::lever::{Act, Lever, Levers, OnKill, OnReroute, Scope, Subject};
use firedoor::table::{EMBEDDED, Source, prepare};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

const ROUNDS: usize = 9;
const LOOKS: u32 = 200_000;

/// The scopes that `levers fill` puts in force, and none reaches the subject below.
fn scope(number: usize) -> String {
    match number % 8 {
        0 => format!("app:nobody-{number}"),
        1 => format!("agent:nobody-{number}"),
        2 => format!("session:nobody-{number}"),
        3 => format!("model:retired-{number}"),
        4 => format!("agent:crew-{number}-*"),
        5 => format!("model:gpt-4o+app:nobody-{number}"),
        6 => format!("model:old-{number}*+session:s-*"),
        _ => format!("agent:gang-{number}*+model:gpt-*"),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    let named = words.iter().position(|word| word == "--levers");
    let count = named.and_then(|at| words.get(at + 1)).map_or(Ok(10_000), |n| n.parse())?;
    let source = Source { file: None, text: EMBEDDED.to_owned() };
    let table =
        prepare(&source, &|_| Ok(None)).table.ok_or("the embedded routes do not compile")?;
    let mut levers = Vec::new();
    for number in 0..count {
        let act = if number % 4 == 1 || number % 16 == 3 {
            Act::Reroute { to: vec!["anthropic".to_owned()], in_flight: OnReroute::Finish }
        } else {
            Act::Kill { in_flight: OnKill::Cut }
        };
        levers.push(Arc::new(Lever {
            id: LeverId(number as u128 + 1),
            act,
            scope: Scope::parse(&scope(number))?,
            reason: "measured".into(),
            message: None,
            author: "bench".into(),
            created_unix_ms: 0,
            ttl_ms: None,
            incident: None,
        }));
    }
    let began = Instant::now();
    let levers = Levers::compile(levers, &table.files);
    let compiled = began.elapsed();
    let subject = Subject {
        provider: Some("openai"),
        model: Some("gpt-4o-mini"),
        alias: Some("fast"),
        route: Some("everything"),
        app: Some("helpdesk"),
        agent: Some("support-triage"),
        session: Some("8a7c1c1e-5a0e-4d56-9d0f-3f3f3f3f3f3f"),
    };
    assert!(levers.kill(&subject).is_none() && levers.reroute(&subject).is_none());
    let mut out = std::io::stdout();
    writeln!(out, "{count} levers, compiled in {:.2} ms", compiled.as_secs_f64() * 1e3)?;
    let best = |look: &dyn Fn()| {
        let round = |_| {
            let began = Instant::now();
            (0..LOOKS).for_each(|_| look());
            began.elapsed().as_nanos() as f64 / f64::from(LOOKS)
        };
        let mut rounds: Vec<f64> = (0..ROUNDS).map(round).collect();
        rounds.sort_by(f64::total_cmp);
        (rounds[0], rounds[ROUNDS / 2])
    };
    let looks: [(&str, &dyn Fn()); 3] = [
        ("kill", &|| {
            let _ = black_box(levers.kill(black_box(&subject)));
        }),
        ("cut", &|| {
            let _ = black_box(levers.cut(black_box(&subject)));
        }),
        ("reroute", &|| {
            let _ = black_box(levers.reroute(black_box(&subject)));
        }),
    ];
    for (name, look) in looks {
        let (least, median) = best(look);
        writeln!(
            out,
            "{name}: {median:.0} ns a look (median of {ROUNDS} rounds; least {least:.0})"
        )?;
    }
    Ok(())
}
