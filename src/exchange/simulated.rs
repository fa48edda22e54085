//! A model of ours that needs no provider.
//!
//! One model serves three ends: providers of the `simulated` family, providers of the `canned`
//! family (a fixed answer), and the simulated provider server that tests and rehearsals run
//! against. A [`Script`] says what an answer does; [`Frames`] gives its events, frame by frame,
//! as a Chat Completions stream would have given them, so that every dialect's encoder can write
//! them (source: [`crate::wire::Dialect::OpenaiChat`]).
//!
//! What always holds: the same script and context give the same frames; a stream without a
//! fault is `Start`, texts, calls, `Stop`, `Usage` if asked for, `End`, each a frame of its own.
//! Pace and faults of the transport are only named here: whoever has the socket performs them.

mod script;
mod words;

pub use script::{Call, Fault, KEYS, Say, Script, ScriptError};
pub use words::{STAMP_BYTES, stamp};

use crate::wire::event::{Block, Channel, Counts, Event, Kind, Place, StopReason, ToolFlavour};
use std::borrow::Cow;

/// Stands in the text that [`Fault::InvalidUtf8`] strikes; whoever writes the bytes puts invalid
/// ones in its place. A private use character, three bytes long in UTF-8.
pub const INVALID_MARK: char = '\u{F8FF}';

/// Bytes of a call's arguments in one frame.
const ARGUMENT_PIECE_BYTES: usize = 16;

/// What an answer must know of its request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The model that was asked for.
    pub model: String,
    /// The id that the answer gives itself.
    pub id: String,
    /// Unix seconds at which it begins.
    pub created: u64,
    /// Bytes of the request's body.
    pub prompt_bytes: u64,
    /// Whether token counts are told. Chat streams tell them only to who asks
    /// (`stream_options.include_usage`); all else always does.
    pub usage: bool,
}

/// The frames of an answer, collected. See [`Frames`].
pub fn events(script: &Script, context: &Context) -> Vec<Vec<Event<'static>>> {
    Frames::new(script.clone(), context.clone()).collect()
}

/// Where an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Start,
    Reasoning { from: usize },
    Answer { from: usize },
    Call { index: usize, from: Option<usize> },
    Stop,
    Usage,
    End,
    Over,
}

/// The frames of an answer, made as they are taken.
///
/// [`Fault::ErrorEvent`] is performed here and [`Fault::InvalidUtf8`] is marked; faults of the
/// transport are not.
#[derive(Clone, Debug)]
pub struct Frames {
    script: Script,
    context: Context,
    text: Cow<'static, str>,
    step: Step,
    made: u32,
    is_marked: bool,
    pieces: u64,
    reasoning_pieces: u64,
}

impl Frames {
    /// An answer at its start.
    pub fn new(script: Script, context: Context) -> Frames {
        let text = match &script.say {
            Say::Text(text) => Cow::Owned(text.to_string()),
            Say::Friendly if script.calls.is_empty() => Cow::Owned(friendly(context.prompt_bytes)),
            Say::Words(_) | Say::Friendly => Cow::Borrowed(""),
        };
        Frames {
            script,
            context,
            text,
            step: Step::Start,
            made: 0,
            is_marked: false,
            pieces: 0,
            reasoning_pieces: 0,
        }
    }

    /// The script that is played.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// The next piece of answer text, and where the one after it begins.
    fn piece(&self, from: usize) -> Option<(Cow<'static, str>, usize)> {
        if let Say::Words(count) = self.script.say {
            let index = u32::try_from(from).ok().filter(|index| *index < count)?;
            let text = if self.script.stamp {
                words::unstamped()
            } else {
                words::token(index as usize, self.script.token_bytes as usize)
            };
            return Some((text, from + 1));
        }
        let end = words::piece_end(&self.text, from)?;
        Some((Cow::Owned(self.text[from..end].to_owned()), end))
    }

    /// The frame that `self.step` names, moving on; empty if that step has nothing to say.
    fn advance(&mut self) -> Vec<Event<'static>> {
        match self.step {
            Step::Start => {
                self.step = Step::Reasoning { from: 0 };
                let start = Event::Start {
                    id: Cow::Owned(self.context.id.clone()),
                    model: Cow::Owned(self.context.model.clone()),
                    created: Some(self.context.created),
                };
                let role = Event::Extra {
                    place: Place::Delta(0),
                    key: Cow::Borrowed("role"),
                    json: Cow::Borrowed("\"assistant\""),
                };
                vec![start, role]
            }
            Step::Reasoning { from } => match words::piece_end(&self.script.reasoning, from) {
                Some(end) => {
                    self.step = Step::Reasoning { from: end };
                    self.reasoning_pieces += 1;
                    let text = self.script.reasoning[from..end].to_owned();
                    vec![said(0, Kind::Reasoning, Cow::Owned(text))]
                }
                None => self.go(Step::Answer { from: 0 }),
            },
            Step::Answer { from } => match self.piece(from) {
                Some((text, next)) => {
                    self.step = Step::Answer { from: next };
                    self.pieces += 1;
                    vec![said(0, Kind::Answer, self.marked(text, next))]
                }
                None => self.go(Step::Call { index: 0, from: None }),
            },
            Step::Call { index, from } => self.call(index, from),
            Step::Stop => {
                self.step = if self.context.usage { Step::Usage } else { Step::End };
                let (reason, native) = self.stop();
                vec![Event::Stop { choice: 0, reason, native: Cow::Borrowed(native) }]
            }
            Step::Usage => {
                self.step = Step::End;
                vec![self.usage()]
            }
            Step::End => {
                self.step = Step::Over;
                vec![Event::End]
            }
            Step::Over => Vec::new(),
        }
    }

    /// `text`, marked if it is what [`Fault::InvalidUtf8`] strikes; `next` is the piece behind it.
    fn marked(&mut self, text: Cow<'static, str>, next: usize) -> Cow<'static, str> {
        let strikes = self.script.fault == Some(Fault::InvalidUtf8)
            && !self.is_marked
            && (self.made >= self.script.at || self.piece(next).is_none());
        if !strikes {
            return text;
        }
        self.is_marked = true;
        Cow::Owned(format!("{text}{INVALID_MARK}"))
    }

    fn go(&mut self, step: Step) -> Vec<Event<'static>> {
        self.step = step;
        Vec::new()
    }

    /// A call opens in a frame of its own, then come its arguments; the last of them closes it.
    fn call(&mut self, index: usize, from: Option<usize>) -> Vec<Event<'static>> {
        let Some(call) = self.script.calls.get(index) else {
            return self.go(Step::Stop);
        };
        let block = u16::try_from(index + 1).unwrap_or(u16::MAX);
        let channel = Channel { choice: 0, block, part: 0, kind: Kind::ToolArguments };
        let Some(from) = from else {
            self.step = Step::Call { index, from: Some(0) };
            let id = Cow::Owned(self.script.call_id(index));
            let name = Cow::Owned(call.name.to_string());
            let block = Block::Tool { id, name, flavour: ToolFlavour::Function };
            return vec![Event::Open { channel, block }];
        };
        let mut end = (from + ARGUMENT_PIECE_BYTES).min(call.arguments.len());
        while !call.arguments.is_char_boundary(end) {
            end += 1;
        }
        self.pieces += 1;
        let mut frame = Vec::with_capacity(2);
        if from < end {
            let text = Cow::Owned(call.arguments[from..end].to_owned());
            frame.push(said(block, Kind::ToolArguments, text));
        }
        if end == call.arguments.len() {
            frame.push(Event::Close { channel });
            self.step = Step::Call { index: index + 1, from: None };
        } else {
            self.step = Step::Call { index, from: Some(end) };
        }
        frame
    }

    /// Why it stops, in shared words and in those of Chat Completions.
    fn stop(&self) -> (StopReason, &'static str) {
        let by_itself =
            if self.script.calls.is_empty() { StopReason::EndTurn } else { StopReason::ToolUse };
        let reason = self.script.stop.unwrap_or(by_itself);
        let native = match reason {
            StopReason::MaxTokens => "length",
            StopReason::ToolUse => "tool_calls",
            StopReason::ContentFilter => "content_filter",
            StopReason::EndTurn
            | StopReason::StopSequence
            | StopReason::Refusal
            | StopReason::Pause
            | StopReason::Error
            | StopReason::Other => "stop",
        };
        (reason, native)
    }

    /// A token is taken for four bytes of the prompt, and for one piece of the answer.
    fn usage(&self) -> Event<'static> {
        let input = (self.context.prompt_bytes / 4).max(1);
        let output = self.pieces + self.reasoning_pieces;
        let reasoning = self.reasoning_pieces;
        let native = format!(
            "{{\"prompt_tokens\":{input},\"completion_tokens\":{output},\"total_tokens\":{},\
             \"prompt_tokens_details\":{{\"cached_tokens\":0}},\
             \"completion_tokens_details\":{{\"reasoning_tokens\":{reasoning}}}}}",
            input + output
        );
        Event::Usage {
            counts: Counts {
                input: Some(input),
                output: Some(output),
                cache_read: Some(0),
                cache_write: None,
                reasoning: Some(reasoning),
            },
            native: Cow::Owned(native),
        }
    }

    /// The provider fails in mid-stream: nothing comes behind it, not even the end mark.
    fn fail(&mut self) -> Vec<Event<'static>> {
        self.step = Step::Over;
        vec![Event::Error {
            code: Cow::Borrowed("server_error"),
            message: Cow::Borrowed("The simulated model failed on request."),
            native: Cow::Borrowed(
                "{\"message\":\"The simulated model failed on request.\",\
                 \"type\":\"server_error\",\"param\":null,\"code\":\"server_error\"}",
            ),
        }]
    }
}

impl Iterator for Frames {
    type Item = Vec<Event<'static>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.step == Step::Over {
            return None;
        }
        let fails = self.script.fault == Some(Fault::ErrorEvent);
        if fails && self.made >= self.script.at {
            return Some(self.fail());
        }
        let mut frame = self.advance();
        while frame.is_empty() {
            frame = self.advance();
        }
        if fails && self.step == Step::Over {
            return Some(self.fail());
        }
        self.made += 1;
        Some(frame)
    }
}

fn said(block: u16, kind: Kind, text: Cow<'static, str>) -> Event<'static> {
    Event::Text { channel: Channel { choice: 0, block, part: 0, kind }, text, span: None }
}

/// What is said to a prompt that asks for nothing in particular.
fn friendly(prompt_bytes: u64) -> String {
    format!(
        "Hello! I am a simulated model: no provider was asked. Your request had {prompt_bytes} \
         bytes, and it arrived."
    )
}

#[cfg(test)]
mod tests;
