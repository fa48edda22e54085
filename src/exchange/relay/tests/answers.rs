//! Whole answers in another dialect.

use super::*;
use crate::wire::event::Counts;
use crate::wire::{decode_unary, encode_unary};

fn read(dialect: Dialect, body: &[u8]) -> Vec<Event<'static>> {
    let mut told = Vec::new();
    decode_unary(dialect, body, &mut |event| told.push(event.into_owned()));
    told
}

fn counts(told: &[Event<'_>]) -> (u64, u64) {
    let last = told.iter().rev().find_map(|event| match event {
        Event::Usage { counts, .. } => Some(*counts),
        _ => None,
    });
    let Counts { input, output, .. } = last.unwrap_or_default();
    (input.unwrap_or(0), output.unwrap_or(0))
}

fn stops_for_tools(told: &[Event<'_>]) -> bool {
    told.iter()
        .any(|event| matches!(event, Event::Stop { choice: 0, reason: StopReason::ToolUse, .. }))
}

#[test]
fn every_pair_of_dialects_tells_text_calls_stop_and_counts() {
    let mut compared = 0;
    for (source, name, body) in recorded(Recorded::Body) {
        let told = read(source, &body);
        let has = |is_it: fn(&Event<'_>) -> bool| told.iter().any(is_it);
        let is_answer = has(|event| matches!(event, Event::Stop { choice: 0, .. }))
            && !has(|event| matches!(event, Event::Error { .. }));
        let refuses = has(
            |event| matches!(event, Event::Text { channel, .. } if channel.kind == Kind::Refusal),
        );
        for client in Dialect::ALL.into_iter().filter(|client| *client != source) {
            let done = whole(client, source, &body, &KilledTools::default(), 0).unwrap();
            let mut losses = Losses::default();
            let encoded = encode_unary(client, source, &told, &mut losses);
            let there = read(client, &done.body);
            assert_eq!(there, read(client, &encoded), "{name} as {client:?}");
            if !is_answer || refuses {
                continue;
            }
            let is_ours = |event: &&Event<'_>| match event {
                Event::Open { channel, block: Block::Tool { flavour, .. } } => {
                    channel.choice == 0 && *flavour != crate::wire::event::ToolFlavour::Server
                }
                _ => false,
            };
            let calls = told.iter().filter(is_ours).count();
            let calls_there = there.iter().filter(is_ours).count();
            if there.iter().any(|event| matches!(event, Event::Error { .. })) {
                // Arguments that are no JSON cannot be told everywhere.
                assert!(calls > 0, "{name} as {client:?}");
                continue;
            }
            assert_eq!(said(&there).1, said(&told).1, "{name} as {client:?}");
            assert!(calls_there <= calls, "{name} as {client:?}");
            assert!(calls_there == calls || !done.losses.is_empty(), "{name} as {client:?}");
            assert_eq!(stops_for_tools(&there), calls_there > 0 && !is_cut(&told), "{name}");
            // Gemini counts reasoning apart from the answer.
            if source != Dialect::Gemini && client != Dialect::Gemini {
                assert_eq!(counts(&there), counts(&told), "{name} as {client:?}");
            }
            compared += 1;
        }
    }
    assert!(compared > 400, "{compared}");
}

/// Whether the answer stopped for something that hides its calls.
fn is_cut(told: &[Event<'_>]) -> bool {
    told.iter().any(|event| match event {
        Event::Stop { choice: 0, reason, .. } => {
            !matches!(reason, StopReason::ToolUse | StopReason::EndTurn | StopReason::Other)
        }
        _ => false,
    })
}
