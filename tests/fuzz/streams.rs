//! Decoders, encoders and the relay under rules, over damaged streams.

use super::corpus::{answers, streams};
use super::harness::{pieces, run};
use crate::secret::Dice;
use firedoor::clock::Tick;
use firedoor::exchange::relay::{CallHold, Plan, Relay};
use firedoor::table::lever::KilledTools;
use firedoor::table::packs::inline;
use firedoor::table::rules::Judge;
use firedoor::wire::coding::Coding;
use firedoor::wire::event::Event;
use firedoor::wire::framing::{Framing, Splitter};
use firedoor::wire::loss::Losses;
use firedoor::wire::{Decoder, Dialect, Encoder, decode_unary, encode_unary};
use std::sync::Arc;

const ALL: [Dialect; 5] = [
    Dialect::OpenaiChat,
    Dialect::OpenaiResponses,
    Dialect::Anthropic,
    Dialect::Gemini,
    Dialect::Bedrock,
];

/// Gemini's streams as arrays.
pub fn arrays() -> Vec<Vec<u8>> {
    let as_array = |stream: Vec<u8>| {
        let text = String::from_utf8_lossy(&stream).into_owned();
        let all: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        format!("[{}]", all.join(",\r\n")).into_bytes()
    };
    streams(Dialect::Gemini).into_iter().map(as_array).collect()
}

/// What the frames of `input` say. Messages with a wrong checksum would all be thrown away, so
/// half of the damage is done behind it.
fn decode(dialect: Dialect, input: &[u8], dice: &mut Dice) -> Vec<Vec<Event<'static>>> {
    let framing = dialect.framing();
    let (mut splitter, mut decoder) = (Splitter::new(framing), Decoder::new(dialect));
    let mut rest = input;
    let mut told = Vec::new();
    while let Ok(Some(length)) = splitter.next(rest) {
        let (raw, behind) = rest.split_at(length);
        rest = behind;
        let mut raw = raw.to_vec();
        if framing == Framing::EventStream && dice.one_in(3) {
            let at = dice.below(raw.len());
            raw[at] = u8::try_from(dice.below(256)).unwrap();
        }
        let mut events = Vec::new();
        decoder.frame(&framing.frame(&raw), &mut |event| {
            if let Event::Text { span: Some(span), .. } | Event::Repeat { span: Some(span), .. } =
                &event
            {
                let (start, end) = (span.start as usize, span.end as usize);
                assert!(
                    start <= end && end <= raw.len(),
                    "a place outside of its frame: {event:?}"
                );
            }
            events.push(event.into_owned());
        });
        told.push(events);
    }
    told
}

fn decoder(dialect: Dialect) {
    run(&format!("decode-{dialect:?}"), &streams(dialect), |input, dice| {
        let told = decode(dialect, input, dice);
        let target = *dice.pick(&ALL);
        let mut encoder = Encoder::new(target, dialect);
        let mut out = Vec::new();
        for events in &told {
            encoder.frame(events, &mut out);
        }
        // What an encoder writes can be cut again, to the last byte.
        let mut splitter = Splitter::new(target.framing());
        let mut rest = out.as_slice();
        while let Some(length) = splitter.next(rest).expect("our own frames") {
            rest = &rest[length..];
        }
        assert!(rest.is_empty(), "half a frame: {}", String::from_utf8_lossy(rest));
    });
    run(&format!("decode-whole-{dialect:?}"), &answers(dialect), |input, dice| {
        let mut told = Vec::new();
        decode_unary(dialect, input, &mut |event| told.push(event.into_owned()));
        let target = *dice.pick(&ALL);
        let out = encode_unary(target, dialect, &told, &mut Losses::default());
        // What is no JSON is passed on as it came.
        if serde_json::from_slice::<serde_json::Value>(input).is_err() {
            return;
        }
        let read: Result<serde_json::Value, _> = serde_json::from_slice(&out);
        assert!(read.is_ok(), "{read:?}: {}", String::from_utf8_lossy(&out));
    });
}

#[test]
fn decode_openai_chat() {
    decoder(Dialect::OpenaiChat);
}

#[test]
fn decode_openai_responses() {
    decoder(Dialect::OpenaiResponses);
}

#[test]
fn decode_anthropic() {
    decoder(Dialect::Anthropic);
}

#[test]
fn decode_gemini() {
    decoder(Dialect::Gemini);
}

#[test]
fn decode_bedrock() {
    decoder(Dialect::Bedrock);
}

/// Rules that often begin to match and sometimes do.
fn judges() -> Vec<Arc<Judge>> {
    let rule = |id: &str, pattern: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nabout = \"x\"\nchannels = [\"answer\", \"reasoning\", \
             \"refusal\", \"citation\"]\nmatch = {{ {pattern} }}\naction = \"redact\"\n\
             mode = \"enforce\"\non_error = \"cut\"\n\n"
        )
    };
    let pack = "pack = \"fuzz\"\nabout = \"x\"\n\n".to_owned()
        + &rule("word", "words = [\"the\", \"and then\", \"weather\"]")
        + &rule("number", "regex = '[0-9]{2,6}'")
        + &rule("part", "literal = [\"ing t\", \"a\\u00e9\", \"\\\"q\"]");
    let book = &inline(&pack).expect("a pack").book;
    book.judge(0).into_iter().cloned().collect()
}

fn relayed(plan: &Plan, is_array: bool, all: &[&[u8]]) -> (Vec<u8>, String) {
    let mut relay = if is_array {
        Relay::of_array(Coding::Identity, plan.judges.clone())
    } else {
        Relay::with(plan)
    };
    let mut out = Vec::new();
    for piece in all {
        if let Err(broken) = relay.bytes(piece, Tick::default(), &mut out) {
            return (out, format!("{broken:?}"));
        }
    }
    let end = relay.end(Tick::default(), &mut out);
    (out, format!("{end:?}"))
}

/// What leaves, and how it ends, is the same at every cut; also the fuzz of `reframe`.
#[test]
fn relay_under_rules() {
    let judges = judges();
    for dialect in ALL {
        run(&format!("relay-{dialect:?}"), &streams(dialect), |input, dice| {
            let client = if dice.one_in(3) { *dice.pick(&ALL) } else { dialect };
            let plan = Plan {
                tells_usage: true,
                began_s: 0,
                client,
                source: dialect,
                coding: Coding::Identity,
                killed: KilledTools::default(),
                calls: if dice.one_in(3) { CallHold::UntilWhole } else { CallHold::Never },
                judges: judges.clone(),
            };
            let whole = relayed(&plan, false, &[input]);
            assert_eq!(whole, relayed(&plan, false, &pieces(input, dice)));
        });
    }
    run("relay-array", &arrays(), |input, dice| {
        let plan = Plan {
            tells_usage: true,
            began_s: 0,
            client: Dialect::Gemini,
            source: Dialect::Gemini,
            coding: Coding::Identity,
            killed: KilledTools::default(),
            calls: CallHold::Never,
            judges: judges.clone(),
        };
        let whole = relayed(&plan, true, &[input]);
        assert_eq!(whole, relayed(&plan, true, &pieces(input, dice)));
    });
}
