//! Answers that another provider goes on with, cut at every border of a frame and inside of it.

use super::*;
use crate::wire::event::{Channel, Counts};

/// A stream of `next` that says a text, calls a tool, and counts.
fn with_call(next: Dialect) -> Vec<u8> {
    let source = if next == Dialect::Gemini { Dialect::Anthropic } else { Dialect::Gemini };
    let at = |block, kind| Channel { choice: 0, block, part: 0, kind };
    let arguments = at(1, Kind::ToolArguments);
    let call = Block::Tool {
        id: "call_after".into(),
        name: "after_the_seam".into(),
        flavour: crate::wire::event::ToolFlavour::Function,
    };
    let counts = Counts { input: Some(1000), output: Some(500), ..Counts::default() };
    let frames = [
        vec![Event::Start { id: "two".into(), model: "m2".into(), created: Some(2) }],
        vec![Event::Text { channel: at(0, Kind::Answer), text: "And so on.".into(), span: None }],
        vec![
            Event::Open { channel: arguments, block: call },
            Event::Text { channel: arguments, text: "{\"n\":7}".into(), span: None },
            Event::Close { channel: arguments },
        ],
        vec![
            Event::Usage { counts, native: "{}".into() },
            Event::Stop { choice: 0, reason: StopReason::ToolUse, native: "tool_use".into() },
        ],
        vec![Event::End],
    ];
    let (mut encoder, mut out) = (crate::wire::Encoder::new(next, source), Vec::new());
    for events in &frames {
        encoder.frame(events, &mut out);
    }
    out
}

#[test]
fn calls_counts_and_the_end_come_from_the_next_provider() {
    let (mut resumed, mut taken) = (0, std::collections::BTreeMap::<Dialect, usize>::new());
    for (source, name, bytes) in recorded(Recorded::Stream) {
        let is_whole = decode(source, &bytes).1 && is_one_answer(&bytes);
        let has_error =
            events(source, &bytes).iter().any(|event| matches!(event, Event::Error { .. }));
        if !is_whole || has_error || bytes.len() > 7_000 || *taken.entry(source).or_default() >= 3 {
            continue;
        }
        *taken.entry(source).or_default() += 1;
        let all = frames(source, &bytes);
        for client in Dialect::ALL {
            for next in Dialect::ALL {
                for at in 1..all.len() {
                    let half = if at % 2 == 0 { all[at].len() / 2 } else { 0 };
                    let cut = [&all[..at].concat(), &all[at][..half]].concat();
                    let plan = plan(client, source, KilledTools::default(), CallHold::UntilWhole);
                    let (mut relay, mut out) = (Relay::with(&plan), Vec::new());
                    relay.bytes(&cut, NOW, &mut out).unwrap();
                    let place = format!("{name} as {client:?}, then {next:?} at {at}");
                    if relay.seen.stop.is_some() {
                        assert!(relay.end_if_answered(&mut out), "{place}");
                        assert!(decode(client, &out).1, "{place}");
                        continue;
                    }
                    if relay.go_on(next, Coding::Identity, Resume::Prompt).is_err() {
                        continue;
                    }
                    for piece in with_call(next).chunks(11) {
                        relay.bytes(piece, NOW, &mut out).unwrap();
                    }
                    relay.end(NOW, &mut out).unwrap();
                    let (told, is_complete) = decode(client, &out);
                    assert!(is_complete, "{place}");
                    let (calls, text) = said(&told);
                    let call = calls.last().map(|call| (&*call.0, &*call.1));
                    assert_eq!(call, Some(("after_the_seam", "{\"n\":7}")), "{place}");
                    assert!(text.ends_with("And so on."), "{place}: {text}");
                    let starts = told.iter().filter(|event| matches!(event, Event::Start { .. }));
                    assert!(starts.count() <= 1, "{place}");
                    let output = told.iter().rev().find_map(|event| match event {
                        Event::Usage { counts, .. } => counts.output,
                        _ => None,
                    });
                    assert!(output.is_some_and(|output| output >= 500), "{place}: {output:?}");
                    resumed += 1;
                }
            }
        }
    }
    assert!(resumed > 500 && taken.len() == Dialect::ALL.len(), "{resumed} {taken:?}");
}
