//! Killed tools over every recording of every dialect.

use super::*;

/// What must not leave of the calls to `tool`: ids and arguments of at least 6 bytes that stand
/// nowhere else in the answer.
fn secrets(bytes: &[u8], told: &[Event<'_>], tool: &str) -> Vec<String> {
    let (mut kept, mut killed, mut ids) = (String::new(), Vec::new(), Vec::new());
    let mut places: Vec<((u16, u16), bool)> = Vec::new();
    for event in told {
        match event {
            Event::Open { channel, block: Block::Tool { id, name, .. } } => {
                let is_killed = **name == *tool;
                places.push(((channel.choice, channel.block), is_killed));
                if is_killed {
                    killed.push(id.to_string());
                    ids.push(id.to_string());
                } else {
                    kept += id;
                }
            }
            Event::Text { channel, text, .. } => {
                let place = (channel.choice, channel.block);
                let is_killed = places.iter().rfind(|known| known.0 == place);
                if channel.kind == Kind::ToolArguments && is_killed.is_some_and(|known| known.1) {
                    killed.push(text.to_string());
                } else {
                    kept += text;
                }
            }
            // What stays of it can say the same, unless it is the result of a killed call.
            Event::Opaque { data, .. } => {
                let data = String::from_utf8_lossy(data);
                let is_of_killed = ids.iter().any(|id| !id.is_empty() && data.contains(&**id));
                if !is_of_killed {
                    kept += &data;
                }
            }
            Event::Open { .. }
            | Event::Repeat { .. }
            | Event::Signature { .. }
            | Event::Start { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Error { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::End => {}
        }
    }
    let raw = String::from_utf8_lossy(bytes);
    // Responses repeat the request, with the tools' schemas, in some of their frames.
    let repeats = raw.matches("\"tools\":").count() + raw.matches("\"tools\": ").count() > 0;
    killed.retain(|text| {
        // Words of the dialect itself are none.
        let is_word = raw.contains(&format!("\"type\":\"{text}\""))
            || raw.contains(&format!("\"type\": \"{text}\""))
            || raw.contains(&format!("\"{text}\":"));
        let is_id = text.chars().any(|c| c.is_ascii_digit());
        text.len() >= 6
            && !is_word
            && (is_id || !repeats)
            && !kept.contains(&**text)
            && text.chars().all(char::is_alphanumeric)
    });
    killed
}

pub(super) fn names(told: &[Event<'_>]) -> Vec<String> {
    let mut names: Vec<_> = said(told).0.into_iter().map(|call| call.0).collect();
    names.sort();
    names.dedup();
    names.retain(|name| !name.is_empty());
    names
}

/// The numbers under which blocks open, in the dialects that number them on the wire.
fn are_contiguous(dialect: Dialect, told: &[Event<'_>]) -> bool {
    let mut numbers: Vec<(u16, u16)> = told
        .iter()
        .filter_map(|event| match event {
            Event::Open { channel, .. } | Event::Text { channel, .. } => {
                (channel.block != u16::MAX).then_some((channel.choice, channel.block))
            }
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let first = u16::from(dialect == Dialect::OpenaiChat);
    numbers.retain(|(_, block)| *block >= first);
    let mut next = std::collections::BTreeMap::<u16, u16>::new();
    numbers.into_iter().all(|(choice, block)| {
        let next = next.entry(choice).or_insert(first);
        *next += 1;
        block + 1 == *next
    })
}

/// Cuts at seeded places.
pub(super) fn run_at_random(plan: &Plan, bytes: &[u8], seed: u8) -> (Vec<u8>, Result<(), Broken>) {
    let mut random = u32::from(seed) + 1;
    let (mut relay, mut out, mut rest) = (Relay::with(plan), Vec::new(), bytes);
    while !rest.is_empty() {
        // Numerical Recipes' generator: any spread of lengths will do.
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = ((random >> 16) as usize % 700 + 1).min(rest.len());
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        if let Err(broken) = relay.bytes(piece, NOW, &mut out) {
            return (out, Err(broken));
        }
    }
    let ended = relay.end(NOW, &mut out);
    (out, ended)
}

#[test]
fn of_a_killed_call_no_byte_leaves_and_numbers_have_no_gaps() {
    let (mut killed, mut seen) = (0, Vec::new());
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        let before = events(dialect, &bytes);
        let was_contiguous = are_contiguous(dialect, &before);
        for tool in names(&before) {
            let plan = plan(dialect, dialect, killing(&tool), CallHold::Never);
            let (out, ended) = run(&plan, &bytes, bytes.len());
            for seed in 0..3 {
                let again = run_at_random(&plan, &bytes, seed);
                assert!(again == (out.clone(), ended.clone()), "{name} {tool}: {seed}");
            }
            let after = events(dialect, &out);
            assert!(!names(&after).contains(&tool), "{name} {tool}");
            for secret in secrets(&bytes, &before, &tool) {
                let found = memchr::memmem::find(&out, secret.as_bytes());
                assert!(found.is_none(), "{name} {tool}: {secret}");
            }
            if was_contiguous && ended.is_ok() && is_one_answer(&bytes) {
                assert!(are_contiguous(dialect, &after), "{name} {tool}");
            }
            seen.push(dialect);
            killed += 1;
        }
    }
    for dialect in Dialect::ALL {
        assert!(seen.contains(&dialect), "{dialect:?}");
    }
    assert!(killed > 100, "{killed}");
}

#[test]
fn killing_what_another_answer_calls_changes_no_byte() {
    let all = recorded(Recorded::Stream);
    let mut every: Vec<String> =
        all.iter().flat_map(|(dialect, _, bytes)| names(&events(*dialect, bytes))).collect();
    every.sort();
    every.dedup();
    for (number, (dialect, name, bytes)) in all.iter().enumerate() {
        let text = String::from_utf8_lossy(bytes);
        let Some(tool) = every
            .iter()
            .cycle()
            .skip(number)
            .take(every.len())
            .find(|tool| !text.contains(&***tool))
        else {
            continue;
        };
        let nothing = plan(*dialect, *dialect, KilledTools::default(), CallHold::Never);
        let guarded = plan(*dialect, *dialect, killing(tool), CallHold::Never);
        let (as_is, ended) = run(&nothing, bytes, bytes.len());
        let (out, _) = run(&guarded, bytes, 97);
        // Where the provider's stream breaks off, what waits for a name does not leave.
        assert!(out == as_is || (ended.is_err() && as_is.starts_with(&out)), "{name}: {tool}");
    }
}

#[test]
fn a_lever_in_a_guarded_stream_keeps_later_calls_in() {
    for (dialect, name, bytes) in recorded(Recorded::Stream) {
        if !is_one_answer(&bytes) {
            continue;
        }
        let all = frames(dialect, &bytes);
        let before = events(dialect, &bytes);
        for tool in names(&before) {
            for calls in [CallHold::Never, CallHold::UntilWhole] {
                let plan = plan(dialect, dialect, killing("no_such_tool"), calls);
                for at in (0..all.len().min(48)).step_by(8) {
                    let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
                    if relay.bytes(&all[..at].concat(), NOW, &mut out).is_err() {
                        continue;
                    }
                    let had = out.len();
                    let had_calls = said(&events(dialect, &out)).0;
                    let had_calls = had_calls.iter().filter(|call| call.0 == tool).count();
                    let answer = relay.kill_tools(killing(&tool));
                    let _ = relay.bytes(&all[at..].concat(), NOW, &mut out);
                    let _ = relay.end(NOW, &mut out);
                    let calls_now = said(&events(dialect, &out)).0;
                    let calls_now = calls_now.iter().filter(|call| call.0 == tool).count();
                    assert_eq!(calls_now, had_calls, "{name} {tool} {calls:?} {at} {answer:?}");
                    if had_calls == 0 {
                        for secret in secrets(&bytes, &before, &tool) {
                            let found = memchr::memmem::find(&out[had..], secret.as_bytes());
                            assert!(found.is_none(), "{name} {tool} {at}: {secret}");
                        }
                    }
                }
            }
        }
    }
}
