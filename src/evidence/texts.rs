//! What was said in an exchange: the texts of its request and of its answer.
//!
//! A client sends the whole conversation with every request. What is new in a request is what
//! stands behind the model's last turn; the rest was said in exchanges before ([`Part::New`]). The
//! first request of a conversation is all new, its system prompt included.
//!
//! What cannot be read in its dialect is text all the same: the strings of JSON, or the body itself.
//! Nothing here fails.

use super::exchange::{Exchange, Fields, field};
use crate::filter::Kind;
use crate::wire::coding::{Coding, Inflater};
use crate::wire::event::{Block, Channel, Event};
use crate::wire::segments::{Go, Join, Step, walk};
use crate::wire::{Dialect, decode_answer};
use serde::de::IgnoredAny;
use serde_json::Value;
use std::borrow::Cow;

/// The most bytes that a body is decompressed to.
const PLAIN_BYTES_MAX: u64 = 64 << 20;
/// How many times larger than it came a compressed body may be.
const RATIO_MAX: u32 = 1_000;

/// A text, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What it is.
    pub kind: Kind,
    /// The text.
    pub text: String,
    /// The tool that is called, of [`Kind::ToolArguments`] in an answer.
    pub tool: Option<String>,
}

/// Which texts of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those that were not in an earlier request of the conversation.
    New,
    /// All.
    All,
}

/// An answer's texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// In the order in which they began.
    pub said: Vec<Said>,
    /// The tools that it calls.
    pub tools: Vec<String>,
}

impl Answer {
    fn is_empty(&self) -> bool {
        self.said.is_empty() && self.tools.is_empty()
    }
}

/// All texts of an exchange, and the tools that its answers call: what was asked and attached, what the
/// client got, and what of the provider's answer it did not get.
pub fn of(exchange: &Exchange, part: Part) -> Answer {
    let mut said = asked(exchange, part);
    said.extend(attached(exchange));
    let mut delivered = delivered(exchange);
    if let Some(mut received) = received(exchange) {
        received.said.retain(|said| !delivered.said.contains(said));
        delivered.said.append(&mut received.said);
        delivered.tools.append(&mut received.tools);
    }
    said.append(&mut delivered.said);
    Answer { said, tools: delivered.tools }
}

/// The texts of an exchange's request.
pub fn asked(exchange: &Exchange, part: Part) -> Vec<Said> {
    let body = prompt(exchange);
    if body.is_empty() {
        return Vec::new();
    }
    let dialect = exchange.dialect();
    let mut conversation = Conversation::new(part, dialect.is_some());
    let walked = walk(dialect, &body, &mut |step| conversation.step(step));
    let said = conversation.finish();
    if walked.is_err() && said.is_empty() { strings(&body, Kind::Other) } else { said }
}

/// The body of a request without its content coding.
fn prompt(exchange: &Exchange) -> Cow<'_, [u8]> {
    let (own, fields) = (&exchange.request.body.bytes, &exchange.request.headers);
    if !own.is_empty() {
        return plain(fields, own);
    }
    // Where only what was sent is on record, that is what was asked.
    let sent = exchange.attempts.iter().find_map(|one| one.sent.as_ref());
    let sent = sent.map_or(&[][..], |sent| &sent.bytes);
    // What rules changed is sent uncoded, and no coded body is JSON.
    let is_plain = field(fields, "content-encoding").is_none()
        || serde_json::from_slice::<IgnoredAny>(sent).is_ok();
    if is_plain { Cow::Borrowed(sent) } else { plain(fields, sent) }
}

/// The documents that an application attached.
pub fn attached(exchange: &Exchange) -> Vec<Said> {
    let contexts = exchange.notes.iter().filter(|note| note.what == "context");
    let said = contexts.map(|note| {
        let mut text = String::new();
        push_strings(&note.about()["documents"], &mut text);
        Said { kind: Kind::Document, text, tool: None }
    });
    said.filter(|said| !said.text.is_empty()).collect()
}

/// The texts of the answer that the client got.
pub fn delivered(exchange: &Exchange) -> Answer {
    let body = plain(&exchange.delivered.headers, &exchange.delivered.body.bytes);
    let media = field(&exchange.delivered.headers, "content-type").unwrap_or("");
    read_answer(exchange.dialect(), media, &body)
}

/// The texts of the answer that the provider gave; `None` if the client got the same bytes, or
/// none came.
///
/// The record does not say in which dialect the provider spoke: the caller's is tried first.
pub fn received(exchange: &Exchange) -> Option<Answer> {
    if exchange.delivered.is_same {
        return None;
    }
    let attempt = exchange.attempts.iter().rev().find(|one| !one.received.bytes.is_empty())?;
    let body = plain(&attempt.headers, &attempt.received.bytes);
    let media = field(&attempt.headers, "content-type").unwrap_or("");
    let own = exchange.dialect();
    let others = Dialect::ALL.into_iter().filter(|other| Some(*other) != own);
    for dialect in own.into_iter().chain(others) {
        let answer = read_in(dialect, media, &body);
        if !answer.is_empty() {
            return Some(answer);
        }
    }
    let said = strings(&body, Kind::Answer);
    Some(Answer { said, tools: Vec::new() })
}

/// A body without its content coding; as far as it can be undone.
pub fn plain<'b>(headers: &Fields, body: &'b [u8]) -> Cow<'b, [u8]> {
    let coding = field(headers, "content-encoding").map(Coding::parse);
    match coding {
        None | Some(Ok(Coding::Identity) | Err(_)) => Cow::Borrowed(body),
        Some(Ok(coding)) => {
            let mut out = Vec::new();
            // What was decoded before an error is there.
            let _ = Inflater::new(coding, PLAIN_BYTES_MAX, RATIO_MAX).push(body, &mut out);
            Cow::Owned(out)
        }
    }
}

fn read_answer(dialect: Option<Dialect>, media: &str, body: &[u8]) -> Answer {
    let answer = dialect.map(|dialect| read_in(dialect, media, body)).unwrap_or_default();
    if answer.is_empty() && !body.is_empty() {
        return Answer { said: strings(body, Kind::Answer), tools: Vec::new() };
    }
    answer
}

/// Reads an answer of a dialect, whole or as a stream.
fn read_in(dialect: Dialect, media: &str, body: &[u8]) -> Answer {
    let mut telling = Telling::default();
    decode_answer(dialect, Some(media), body, &mut |event| telling.take(&event));
    telling.finish()
}

/// Texts of an answer as its events tell them.
#[derive(Default)]
struct Telling {
    said: Vec<(Channel, Said)>,
    opened: Vec<(Channel, String)>,
    tools: Vec<String>,
}

impl Telling {
    fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Open { channel, block: Block::Tool { name, .. } } => {
                self.tools.push(name.to_string());
                self.opened.push((*channel, name.to_string()));
                self.at(*channel);
            }
            Event::Text { channel, text, .. } => self.at(*channel).text.push_str(text),
            Event::Repeat { channel, text, .. } => {
                let said = self.at(*channel);
                if said.text.is_empty() {
                    said.text.push_str(text);
                }
            }
            Event::Error { code, message, .. } => {
                let channel = Channel { choice: 0, block: u16::MAX, part: 0, kind: Kind::Other };
                let text = format!("{code} {message}").trim().to_owned();
                self.said.push((channel, Said { kind: Kind::Other, text, tool: None }));
            }
            Event::Start { .. }
            | Event::Open { .. }
            | Event::Signature { .. }
            | Event::Close { .. }
            | Event::Stop { .. }
            | Event::Usage { .. }
            | Event::Ping
            | Event::Extra { .. }
            | Event::Opaque { .. }
            | Event::End => {}
        }
    }

    fn at(&mut self, channel: Channel) -> &mut Said {
        let found = self.said.iter().rposition(|(known, _)| *known == channel);
        let at = found.unwrap_or_else(|| {
            let of_block =
                |known: &Channel| (known.choice, known.block) == (channel.choice, channel.block);
            let tool = self.opened.iter().rev().find(|(known, _)| of_block(known));
            let tool = tool.map(|(_, name)| name.clone());
            self.said.push((channel, Said { kind: channel.kind, text: String::new(), tool }));
            self.said.len() - 1
        });
        &mut self.said[at].1
    }

    fn finish(self) -> Answer {
        let is_said = |said: &Said| !said.text.is_empty() || said.tool.is_some();
        let said = self.said.into_iter().map(|(_, said)| said).filter(is_said).collect();
        Answer { said, tools: self.tools }
    }
}

/// Finds what is new in a conversation while it is walked.
#[expect(clippy::struct_excessive_bools, reason = "where a walk is; none of them decides alone")]
struct Conversation {
    part: Part,
    /// Whether the body is of a dialect that is known, so that unknown members are no texts.
    has_dialect: bool,
    /// Texts that stand outside turns: the system prompt.
    outside: Vec<Said>,
    /// The run of messages behind the model's last turn.
    run: Vec<Said>,
    /// The run before that turn: new where the model's turn is the last, as a beginning that it is
    /// to go on with.
    before: Vec<Said>,
    all: Vec<Said>,
    has_answer: bool,
    is_turn: bool,
    /// Whether the message that is walked is one of the model's.
    is_answer: bool,
}

impl Conversation {
    fn new(part: Part, has_dialect: bool) -> Conversation {
        Conversation {
            part,
            has_dialect,
            outside: Vec::new(),
            run: Vec::new(),
            before: Vec::new(),
            all: Vec::new(),
            has_answer: false,
            is_turn: false,
            is_answer: false,
        }
    }

    fn step(&mut self, step: Step<'_>) -> Go {
        match step {
            Step::Message(message) => {
                let turns = ["messages", "input", "contents"];
                self.is_turn = turns.contains(&&*message.member);
                self.is_answer = false;
                Go::On
            }
            Step::Segment(segment) => {
                let said = Said { kind: segment.kind, text: segment.text.into_owned(), tool: None };
                self.take(said, segment.join)
            }
        }
    }

    fn take(&mut self, said: Said, join: Join) -> Go {
        let is_of_model = matches!(said.kind, Kind::History | Kind::ToolArguments);
        let list = match said.kind {
            // Re-sent each time, and no text of the conversation.
            Kind::ToolDefinition => return Go::Past,
            Kind::Other if self.has_dialect && !self.is_turn => return Go::On,
            _ if self.part == Part::All => &mut self.all,
            _ if self.is_turn && is_of_model && !self.is_answer => {
                self.is_answer = true;
                self.has_answer = true;
                if !self.run.is_empty() {
                    self.before = std::mem::take(&mut self.run);
                }
                return Go::Past;
            }
            _ if self.is_turn => &mut self.run,
            _ => &mut self.outside,
        };
        match list.last_mut() {
            Some(last) if join == Join::Continues && last.kind == said.kind => {
                last.text.push_str(&said.text);
            }
            Some(_) | None => list.push(said),
        }
        Go::On
    }

    fn finish(self) -> Vec<Said> {
        match self.part {
            Part::All => self.all,
            Part::New => {
                let new = if self.run.is_empty() { self.before } else { self.run };
                let mut said = if self.has_answer { Vec::new() } else { self.outside };
                said.extend(new);
                said
            }
        }
    }
}

/// The strings of JSON, those of each event of a stream, or the body itself.
fn strings(body: &[u8], kind: Kind) -> Vec<Said> {
    let mut text = String::new();
    if let Ok(value) = serde_json::from_slice::<Value>(body) {
        push_strings(&value, &mut text);
    } else if let Ok(whole) = std::str::from_utf8(body) {
        for line in whole.lines() {
            let line = line.strip_prefix("data:").unwrap_or(line);
            if let Ok(value @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str(line) {
                push_strings(&value, &mut text);
            } else {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    if text.is_empty() { Vec::new() } else { vec![Said { kind, text, tool: None }] }
}

/// Depth is bounded by the reader of JSON.
fn push_strings(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => {
            out.push_str(text);
            out.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| push_strings(item, out)),
        Value::Object(members) => members.values().for_each(|item| push_strings(item, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exchange(dialect: Dialect, request: &Value) -> Exchange {
        let mut exchange = Exchange::default();
        exchange.known.dialect = Some(dialect.name().to_owned());
        exchange.request.body.bytes = serde_json::to_vec(request).unwrap();
        exchange
    }

    fn texts(said: &[Said]) -> Vec<&str> {
        said.iter().map(|said| &*said.text).collect()
    }

    #[test]
    fn only_what_is_behind_the_models_last_turn_is_new() {
        let turn = |role: &str, text: &str| json!({ "role": role, "content": text });
        let call = json!({ "role": "assistant", "content": null, "tool_calls": [
            { "id": "c", "type": "function", "function": { "name": "look", "arguments": "{\"q\":1}" } }] });
        let result = json!({ "role": "tool", "tool_call_id": "c", "content": "found" });
        let first = [turn("system", "be kind"), turn("user", "one")];
        let second = [&first[..], &[turn("assistant", "ein"), turn("user", "two")]].concat();
        let third = [&second[..], &[call, result]].concat();
        let prefilled = [&second[..], &[turn("assistant", "Well")]].concat();
        for (messages, expected) in [
            (&first[..], &["be kind", "one"][..]),
            (&second, &["two"]),
            (&third, &["found"]),
            (&prefilled, &["two"]),
        ] {
            let request = json!({ "model": "m", "messages": messages, "tools": [
                { "type": "function", "function": { "name": "look", "description": "looks" } }] });
            let found = asked(&exchange(Dialect::OpenaiChat, &request), Part::New);
            assert_eq!(texts(&found), expected);
        }
        let request = json!({ "model": "m", "messages": third });
        let all = asked(&exchange(Dialect::OpenaiChat, &request), Part::All);
        assert!(all.iter().any(|said| said.kind == Kind::History && said.text == "ein"));
    }

    #[test]
    fn a_system_prompt_behind_the_turns_is_not_new_again() {
        let messages = json!([
            { "role": "user", "content": "one" },
            { "role": "assistant", "content": "ein" },
            { "role": "user", "content": [{ "type": "document", "title": "T", "source":
                { "type": "text", "media_type": "text/plain", "data": "of the document" } },
                { "type": "text", "text": "two" }] },
        ]);
        let request = json!({ "model": "m", "messages": messages, "system": "be kind" });
        let found = asked(&exchange(Dialect::Anthropic, &request), Part::New);
        assert_eq!(texts(&found), ["of the document", "T", "two"]);
        assert_eq!(found[0].kind, Kind::Document);
    }

    #[test]
    fn an_answer_is_read_whole_and_as_a_stream() {
        let mut whole = exchange(Dialect::OpenaiChat, &json!({}));
        whole.delivered.headers = vec![("content-type".into(), Some("application/json".into()))];
        whole.delivered.body.bytes = serde_json::to_vec(&json!({
            "id": "1", "object": "chat.completion", "choices": [{ "index": 0, "finish_reason": "stop",
            "message": { "role": "assistant", "content": "hello", "tool_calls": [{ "id": "c",
                "type": "function", "function": { "name": "look", "arguments": "{\"q\":1}" } }] } }]
        }))
        .unwrap();
        let answer = delivered(&whole);
        assert_eq!(answer.tools, ["look"]);
        assert_eq!(answer.said[0].text, "hello");
        assert_eq!(answer.said[1].tool.as_deref(), Some("look"));
        let mut stream = exchange(Dialect::OpenaiChat, &json!({}));
        stream.delivered.headers = vec![("content-type".into(), Some("text/event-stream".into()))];
        let delta = |text: &str| json!({ "id": "1", "choices": [{ "index": 0, "delta": { "content": text } }] });
        stream.delivered.body.bytes =
            format!("data: {}\n\ndata: {}\n\n", delta("hel"), delta("lo")).into_bytes();
        assert_eq!(texts(&delivered(&stream).said), ["hello"]);
    }

    #[test]
    fn what_no_dialect_reads_is_text_all_the_same() {
        let mut other = Exchange::default();
        other.request.body.bytes = b"plain words".to_vec();
        assert_eq!(asked(&other, Part::New)[0].text, "plain words\n");
        other.delivered.body.bytes = br#"{"a":["x",{"b":"y"}],"n":1}"#.to_vec();
        assert_eq!(delivered(&other).said[0].text, "x\ny\n");
        other.delivered.body.bytes = vec![0xFF, 0xFE];
        assert_eq!(delivered(&other), Answer::default());
    }
}
