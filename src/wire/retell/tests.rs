//! Order, calls that wait, calls that broke off, ids.

use super::*;
use proptest::prelude::*;

const ROOM: Room = Room {
    choices: Choices::One,
    reasoning: Reasoning::Blocks,
    refusal: super::Refusal::AsText,
    arguments: Arguments::Object,
    id_prefix: "call",
    id_bytes_max: 24,
};

fn at(block: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part: 0, kind }
}

fn call(block: u16, id: &'static str) -> Event<'static> {
    let (id, name) = (Cow::Borrowed(id), Cow::Borrowed("f"));
    let block_of = Block::Tool { id, name, flavour: ToolFlavour::Function };
    Event::Open { channel: at(block, Kind::ToolArguments), block: block_of }
}

fn text(block: u16, kind: Kind, text: &'static str) -> Event<'static> {
    Event::Text { channel: at(block, kind), text: Cow::Borrowed(text), span: None }
}

fn piece(block: u16, piece: &'static str) -> Event<'static> {
    text(block, Kind::ToolArguments, piece)
}

fn stop(reason: StopReason) -> Event<'static> {
    Event::Stop { choice: 0, reason, native: Cow::Borrowed("") }
}

/// What is told, in short: `(id` opens a call, `)` closes it.
fn told(events: &[Event<'static>]) -> (String, Losses) {
    let mut retelling = Retelling::new(Dialect::OpenaiResponses, ROOM);
    let mut out = Vec::new();
    retelling.events(events, &mut out);
    let mut line = String::new();
    for event in &out {
        match event {
            Event::Open { block: Block::Tool { id, name, .. }, .. } => {
                line += &["(", id, " ", name, " "].concat();
            }
            Event::Text { text, .. } => line += text,
            Event::Close { .. } => line.push(')'),
            Event::Stop { reason, .. } => {
                let reason = format!(" {reason:?}");
                line += &reason;
            }
            Event::Error { message, .. } => line += &[" error: ", message].concat(),
            _ => {}
        }
    }
    (line, retelling.losses())
}

#[test]
fn interleaved_calls_are_told_one_after_another() {
    let (line, losses) = told(&[
        call(1, "a"),
        piece(1, "{\"x\":"),
        call(2, "b"),
        piece(2, "{\"y\":"),
        text(0, Kind::Answer, "words"),
        piece(1, "1}"),
        piece(2, "2}"),
        stop(StopReason::EndTurn),
    ]);
    assert_eq!(line, "(a f {\"x\":1})(b f {\"y\":2})words ToolUse");
    assert!(losses.is_empty());
}

#[test]
fn calls_without_arguments_have_the_empty_object() {
    for pieces in [vec![], vec![piece(1, "")], vec![piece(1, "nu"), piece(1, "ll")]] {
        let mut events = vec![call(1, "a")];
        events.extend(pieces);
        events.extend([call(2, "b"), piece(2, "{}"), stop(StopReason::ToolUse)]);
        assert_eq!(told(&events).0, "(a f {})(b f {}) ToolUse");
    }
}

#[test]
fn a_call_that_broke_off_is_not_closed() {
    let half = [call(1, "a"), piece(1, "{\"x\":\"}"), call(2, "b")];
    let mut events = half.to_vec();
    events.push(stop(StopReason::MaxTokens));
    let (line, losses) = told(&events);
    assert_eq!(line, "(a f {\"x\":\"} MaxTokens");
    assert_eq!(losses.to_string(), "call-cut");
    let mut events = half.to_vec();
    events.push(stop(StopReason::ToolUse));
    assert!(told(&events).0.contains("error: "));
    let again = [call(1, "a"), piece(1, "{\"x\":"), call(1, "b"), piece(1, "1}")];
    assert!(told(&again).0.contains("error: "));
}

#[test]
fn what_waits_is_bounded() {
    let long: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    let mut events = vec![call(1, "a"), piece(1, "{"), call(2, "b")];
    events.extend(vec![piece(2, long); 1 + (HELD_BYTES_MAX >> 20)]);
    assert!(told(&events).0.contains("error: "));
    let mut events = vec![call(1, "a"), piece(1, "{")];
    events.extend((2..).take(WAITING_MAX + 1).map(|block| call(block, "")));
    assert!(told(&events).0.contains("error: "));
}

#[test]
fn ids_are_valid_and_unique() {
    let mut ids = Ids::new("call", 24);
    ids.answer("msg_0123456789");
    let mut give = |id| ids.give(id).unwrap().into_string();
    assert_eq!(give("toolu_1"), "toolu_1");
    assert_eq!(give("toolu_1"), "toolu_1_2");
    assert_eq!(give("a.b/c"), "a_b_c");
    assert_eq!(give(""), "call_msg0123456789_3");
    let long = "x".repeat(90);
    assert_eq!(give(&long), "x".repeat(24));
    assert_eq!(give(&long), "x".repeat(22) + "_2");
}

proptest! {
    #[test]
    fn blocks_never_overlap(
        steps in proptest::collection::vec((0u8..5, 0u16..4, 0usize..5), 0..40),
    ) {
        let pieces = ["{", "}", "{\"a\":", "1}", "null"];
        let mut events: Vec<Event<'static>> = steps
            .into_iter()
            .map(|(step, block, number)| match step {
                0 => call(block, "id"),
                1 => text(block, Kind::Answer, "t"),
                2 => Event::Close { channel: at(block, Kind::ToolArguments) },
                3 => stop(StopReason::MaxTokens),
                _ => piece(block, pieces[number]),
            })
            .collect();
        events.push(Event::End);
        let mut retelling = Retelling::new(Dialect::Anthropic, ROOM);
        let mut out = Vec::new();
        retelling.events(&events, &mut out);
        let mut open = None;
        for event in &out {
            match event {
                Event::Open { channel, .. } => open = Some(*channel),
                Event::Close { channel } if channel.kind == Kind::ToolArguments => {
                    prop_assert_eq!(open.take(), Some(*channel));
                }
                Event::Text { channel, .. } if channel.kind == Kind::ToolArguments => {
                    prop_assert_eq!(open, Some(*channel));
                }
                _ => {}
            }
        }
    }
}
