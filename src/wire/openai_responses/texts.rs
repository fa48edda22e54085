//! Where the texts of a frame stand.
//!
//! One walk serves both ways: the decoder takes the texts that it finds out of a frame and keeps
//! the rest as the frame's skeleton; the encoder finds the same places in the skeleton and puts
//! texts back. So whatever stands around a text survives, known to us or not, and no second copy
//! hides in what is kept.
//!
//! A string in a place that we do not know is text all the same ([`Kind::Other`]); only members
//! that hold ids, states and ciphertext are left alone.

use super::REASONING_CONTENT;
use super::scan::{self, Frame};
use crate::wire::event::{Block, Channel, Form, Kind, ToolFlavour};
use crate::wire::json;
use std::borrow::Cow;

/// The most texts that are looked at in one frame; a frame with more is opaque.
const TEXTS_MAX: usize = 65_536;

/// How deep the walk goes into a place that we do not know; what is deeper is one text, as JSON.
const DEPTH_MAX: usize = 16;

/// What a text is to its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The whole text of a channel, which deltas may have brought before.
    Whole,
    /// A text that no delta brings.
    Alone,
    /// An array of log probabilities: the tokens of a text once more.
    Logprobs,
}

/// One text of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) channel: Channel,
    pub(super) role: Role,
    pub(super) form: Form,
    /// The inside of the string, or the value.
    pub(super) raw: &'a str,
}

impl<'a> Text<'a> {
    pub(super) fn decoded(&self) -> Cow<'a, str> {
        match self.form {
            Form::Quoted => json::unescape(self.raw),
            Form::Json => Cow::Borrowed(self.raw),
        }
    }
}

/// The texts of one frame, in their order.
#[derive(Debug, Default)]
pub(super) struct Texts<'a> {
    pub(super) list: Vec<Text<'a>>,
    /// Whether the frame has more texts or items than are looked at.
    pub(super) overflow: bool,
}

/// What a frame is about.
#[derive(Clone, Debug)]
pub(super) enum Shape<'a> {
    /// The response object, as it begins, goes on or ends.
    Response { object: &'a str, state: State },
    /// An output item.
    Item { block: u16, item: &'a str, is_done: bool },
    /// A content part.
    ContentPart { block: u16, part: u16, object: &'a str, is_done: bool },
    /// A part of a reasoning summary.
    SummaryPart { block: u16, part: u16, object: &'a str },
    /// The whole text of a channel.
    Done { channel: Channel, text: &'a str, logprobs: Option<&'a str> },
    /// An annotation of a content part.
    Annotation { block: u16, part: u16, object: &'a str },
    /// A frame of which we know that it only reports progress.
    Progress,
    /// The error frame; the object that says what is wrong.
    Error { object: &'a str },
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Completed,
    Incomplete,
    Cancelled,
    Failed,
}

/// The members that hold a text and its place, by the stem of the frame's type.
pub(super) struct TextShape {
    pub(super) kind: Kind,
    index: &'static str,
    offset: u16,
    pub(super) whole: &'static str,
}

/// The shape of `response.{stem}.delta` and `.done`.
pub(super) fn text_shape(stem: &str) -> Option<TextShape> {
    let (kind, index, offset, whole) = match stem {
        "output_text" => (Kind::Answer, "content_index", 0, "text"),
        "refusal" => (Kind::Refusal, "content_index", 0, "refusal"),
        "reasoning_text" => (Kind::Reasoning, "content_index", REASONING_CONTENT, "text"),
        "reasoning_summary_text" => (Kind::Reasoning, "summary_index", 0, "text"),
        "function_call_arguments" | "mcp_call_arguments" => {
            (Kind::ToolArguments, "", 0, "arguments")
        }
        "custom_tool_call_input" => (Kind::ToolArguments, "", 0, "input"),
        "code_interpreter_call_code" => (Kind::ToolArguments, "", 0, "code"),
        "shell_call_command" => (Kind::ToolArguments, "command_index", 0, "command"),
        "apply_patch_call_operation_diff" => (Kind::ToolArguments, "", 0, "diff"),
        _ => return None,
    };
    Some(TextShape { kind, index, offset, whole })
}

impl TextShape {
    /// The member that says which part, empty if there is none.
    pub(super) fn index(&self) -> &'static str {
        self.index
    }

    /// The channel of a frame of this shape; `None` if its indexes cannot be read.
    pub(super) fn channel(&self, frame: &Frame<'_>) -> Option<Channel> {
        let part = if self.index.is_empty() { 0 } else { part_index(frame, self.index)? };
        Some(at(index(frame, "output_index")?, part + self.offset, self.kind))
    }
}

/// An index; imitators leave out those that are 0.
fn index(frame: &Frame<'_>, name: &str) -> Option<u16> {
    frame.get(name).map_or(Some(0), |value| value.parse().ok())
}

/// What the frame of type `name` is about; `None` if we do not know it.
pub(super) fn shape<'a>(name: &str, frame: &Frame<'a>) -> Option<Shape<'a>> {
    let response = |state| Some(Shape::Response { object: object(frame.get("response")?)?, state });
    let block = || index(frame, "output_index");
    let is_done = name.strip_suffix(".done").is_some();
    match name {
        "error" => {
            return Some(Shape::Error { object: frame.get("error").unwrap_or(frame.text()) });
        }
        "response.created" | "response.in_progress" | "response.queued" => {
            return response(State::Running);
        }
        "response.completed" => return response(State::Completed),
        "response.incomplete" => return response(State::Incomplete),
        "response.failed" => return response(State::Failed),
        "response.cancelled" => return response(State::Cancelled),
        "response.output_item.added" | "response.output_item.done" => {
            let item = object(frame.get("item")?)?;
            return Some(Shape::Item { block: block()?, item, is_done });
        }
        "response.content_part.added" | "response.content_part.done" => {
            return Some(Shape::ContentPart {
                block: block()?,
                part: part_index(frame, "content_index")?,
                object: object(frame.get("part")?)?,
                is_done,
            });
        }
        "response.reasoning_summary_part.added" | "response.reasoning_summary_part.done" => {
            return Some(Shape::SummaryPart {
                block: block()?,
                part: part_index(frame, "summary_index")?,
                object: object(frame.get("part")?)?,
            });
        }
        "response.output_text.annotation.added" => {
            return Some(Shape::Annotation {
                block: block()?,
                part: part_index(frame, "content_index")?,
                object: object(frame.get("annotation")?)?,
            });
        }
        _ => {}
    }
    let (stem, verb) = name.strip_prefix("response.")?.rsplit_once('.')?;
    match (text_shape(stem), verb) {
        (Some(shape), "done" | "added") => Some(Shape::Done {
            channel: shape.channel(frame)?,
            text: frame.get(shape.whole).unwrap_or("\"\""),
            logprobs: frame.get("logprobs"),
        }),
        (None, "in_progress" | "searching" | "interpreting" | "generating" | "completed")
            if stem.ends_with("_call") || stem == "mcp_list_tools" =>
        {
            // Nothing but ids and indexes; with anything more the frame is not what we know.
            let plain = |(key, _): (&Cow<'_, str>, _)| {
                matches!(&**key, "type" | "sequence_number" | "output_index" | "item_id")
            };
            frame.iter().all(plain).then_some(Shape::Progress)
        }
        _ => None,
    }
}

fn part_index(frame: &Frame<'_>, name: &str) -> Option<u16> {
    index(frame, name).filter(|&part| part < REASONING_CONTENT)
}

fn object(value: &str) -> Option<&str> {
    value.starts_with('{').then_some(value)
}

/// The texts of a frame.
pub(super) fn texts<'a>(shape: &Shape<'a>) -> Texts<'a> {
    let mut texts = Texts::default();
    match *shape {
        Shape::Response { object, .. } => texts.response(object),
        Shape::Item { block, item, .. } => texts.item(block, item),
        Shape::ContentPart { block, part, object, .. } => texts.part(block, part, object),
        Shape::SummaryPart { block, part, object } => texts.summary_part(block, part, object),
        Shape::Done { channel, text, logprobs } => {
            texts.value(channel, Role::Whole, text);
            texts.logprobs(channel, logprobs);
        }
        Shape::Annotation { block, part, object } => {
            texts.annotation(Channel { choice: 0, block, part, kind: Kind::Citation }, object);
        }
        Shape::Error { object } => texts.error(object),
        Shape::Progress => {}
    }
    texts
}

/// What an item is.
pub(super) struct ItemKind<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) block: Block<'a>,
    /// The kind of its main text.
    pub(super) kind: Kind,
    /// Whether the caller has to act on it before the model goes on.
    pub(super) is_for_caller: bool,
}

/// Reads what `item` is; a message has no block of its own, its parts have.
pub(super) fn item_kind(item: &str) -> ItemKind<'_> {
    let name = scan::string_member(item, "type").unwrap_or(Cow::Borrowed(""));
    let tool = |flavour, id: &str| Block::Tool {
        id: scan::string_member(item, id).unwrap_or_default(),
        name: scan::string_member(item, "name").unwrap_or_default(),
        flavour,
    };
    let (block, kind) = match &*name {
        "message" => (Block::Text, Kind::Answer),
        "reasoning" => (Block::Reasoning, Kind::Reasoning),
        "function_call" => (tool(ToolFlavour::Function, "call_id"), Kind::ToolArguments),
        "custom_tool_call" => (tool(ToolFlavour::Custom, "call_id"), Kind::ToolArguments),
        "mcp_call" => (tool(ToolFlavour::Server, "id"), Kind::ToolArguments),
        "mcp_approval_request" => (Block::Other(name.clone()), Kind::ToolArguments),
        _ if name.ends_with("_call") => (Block::Other(name.clone()), Kind::ToolArguments),
        _ => (Block::Other(name.clone()), Kind::Other),
    };
    let is_for_caller = matches!(
        &*name,
        "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "apply_patch_call"
            | "computer_call"
            | "mcp_approval_request"
    );
    ItemKind { name, block, kind, is_for_caller }
}

impl<'a> Texts<'a> {
    fn push(&mut self, channel: Channel, role: Role, form: Form, raw: &'a str) {
        if self.list.len() < TEXTS_MAX {
            self.list.push(Text { channel, role, form, raw });
        } else {
            self.overflow = true;
        }
    }

    /// A text that should be a string; an object or array in its place is a text too.
    fn value(&mut self, channel: Channel, role: Role, value: &'a str) {
        match scan::inside(value) {
            Some("") => {}
            Some(inner) => self.push(channel, role, Form::Quoted, inner),
            None if value.starts_with(['{', '[']) && value.len() > 2 => {
                self.push(channel, role, Form::Json, value);
            }
            None => {}
        }
    }

    fn logprobs(&mut self, channel: Channel, value: Option<&'a str>) {
        if let Some(value) = value
            && scan::elements(value).next().is_some()
        {
            self.push(channel, Role::Logprobs, Form::Json, value);
        }
    }

    /// The texts of a response object: its items, then the convenience copy of all its text.
    pub(super) fn response(&mut self, object: &'a str) {
        for (key, value) in scan::members(object) {
            match &*key {
                "output" => {
                    for (at, item) in scan::elements(value).enumerate() {
                        match u16::try_from(at) {
                            Ok(block) => self.item(block, item),
                            Err(_) => self.overflow = true,
                        }
                    }
                }
                "output_text" => self.value(at(0, 0, Kind::Answer), Role::Alone, value),
                "error" => self.error(value),
                _ => {}
            }
        }
    }

    /// The message of an error, which quotes what it likes.
    fn error(&mut self, error: &'a str) {
        let message = if error.starts_with('{') { scan::member(error, "message") } else { None };
        self.value(at(0, 0, Kind::Other), Role::Alone, message.unwrap_or(error));
    }

    fn item(&mut self, block: u16, item: &'a str) {
        let kind = item_kind(item);
        for (key, value) in scan::members(item) {
            match (&*kind.name, &*key) {
                ("message", "content") => {
                    self.each(value, |texts, part, object| texts.part(block, part, object));
                }
                ("reasoning", "summary") => {
                    self.each(value, |texts, part, object| texts.summary_part(block, part, object));
                }
                ("reasoning", "content") => self.each(value, |texts, part, object| {
                    texts.summary_part(block, REASONING_CONTENT + part, object);
                }),
                (
                    "function_call" | "mcp_call" | "mcp_approval_request" | "tool_search_call",
                    "arguments",
                )
                | ("custom_tool_call", "input")
                | ("code_interpreter_call", "code") => {
                    self.value(at(block, 0, Kind::ToolArguments), Role::Whole, value);
                }
                ("shell_call", "action") => self.shell_action(block, value),
                ("apply_patch_call", "operation") => {
                    for (key, value) in scan::members(value) {
                        if key == "diff" {
                            let channel = at(block, 0, Kind::ToolArguments);
                            self.value(channel, Role::Whole, value);
                        } else {
                            self.leaves(at(block, 0, Kind::ToolArguments), &key, value, 1);
                        }
                    }
                }
                ("image_generation_call", "result") => {}
                (_, "name") => self.leaves(at(block, 0, Kind::ToolName), "name", value, 0),
                (_, "output" | "outputs" | "results" | "error") => {
                    self.leaves(at(block, 0, Kind::ToolResult), &key, value, 0);
                }
                (_, "tools") => self.leaves(at(block, 0, Kind::ToolDefinition), &key, value, 0),
                (_, "arguments" | "input" | "action" | "operation" | "queries" | "code") => {
                    self.leaves(at(block, 0, Kind::ToolArguments), &key, value, 0);
                }
                _ => self.leaves(at(block, 0, Kind::Other), &key, value, 0),
            }
        }
    }

    /// Looks at every element of an array with its number.
    fn each(&mut self, array: &'a str, look: impl Fn(&mut Self, u16, &'a str)) {
        for (number, element) in scan::elements(array).enumerate() {
            match u16::try_from(number) {
                Ok(part) if part < REASONING_CONTENT => look(self, part, element),
                _ => self.overflow = true,
            }
        }
    }

    fn shell_action(&mut self, block: u16, action: &'a str) {
        for (key, value) in scan::members(action) {
            if key == "commands" {
                self.each(value, |texts, part, command| {
                    texts.value(at(block, part, Kind::ToolArguments), Role::Whole, command);
                });
            } else {
                self.leaves(at(block, 0, Kind::ToolArguments), &key, value, 1);
            }
        }
    }

    /// A content part, of a message or of reasoning.
    fn part(&mut self, block: u16, part: u16, object: &'a str) {
        let kind = scan::string_member(object, "type").unwrap_or_default();
        for (key, value) in scan::members(object) {
            match (&*kind, &*key) {
                ("reasoning_text", "text") => {
                    let channel = at(block, REASONING_CONTENT + part, Kind::Reasoning);
                    self.value(channel, Role::Whole, value);
                }
                ("output_text" | "text" | "", "text") => {
                    self.value(at(block, part, Kind::Answer), Role::Whole, value);
                }
                ("refusal", "refusal") => {
                    self.value(at(block, part, Kind::Refusal), Role::Whole, value);
                }
                (_, "logprobs") => self.logprobs(at(block, part, Kind::Answer), Some(value)),
                (_, "annotations") => {
                    for object in scan::elements(value) {
                        self.annotation(at(block, part, Kind::Citation), object);
                    }
                }
                _ => self.leaves(at(block, part, Kind::Other), &key, value, 0),
            }
        }
    }

    fn summary_part(&mut self, block: u16, part: u16, object: &'a str) {
        for (key, value) in scan::members(object) {
            if key == "text" {
                self.value(at(block, part, Kind::Reasoning), Role::Whole, value);
            } else {
                self.leaves(at(block, part, Kind::Other), &key, value, 0);
            }
        }
    }

    fn annotation(&mut self, channel: Channel, object: &'a str) {
        for (key, value) in scan::members(object) {
            let role = match &*key {
                "quote" | "text" | "title" | "snippet" => Role::Whole,
                _ => Role::Alone,
            };
            if role == Role::Whole && scan::inside(value).is_some() {
                self.value(channel, role, value);
            } else {
                self.leaves(channel, &key, value, 0);
            }
        }
    }

    /// Every string under `value`, the member `key`, as a text of its own.
    fn leaves(&mut self, channel: Channel, key: &str, value: &'a str, depth: usize) {
        if is_bookkeeping(key) {
            return;
        }
        match value.as_bytes().first() {
            Some(b'"') => self.value(channel, Role::Alone, value),
            Some(b'{' | b'[') if depth >= DEPTH_MAX => self.value(channel, Role::Alone, value),
            Some(b'{') => {
                for (key, value) in scan::members(value) {
                    self.leaves(channel, &key, value, depth + 1);
                }
            }
            Some(b'[') => {
                for value in scan::elements(value) {
                    self.leaves(channel, key, value, depth + 1);
                }
            }
            _ => {}
        }
    }
}

/// Members that hold ids, states and ciphertext, never words.
fn is_bookkeeping(key: &str) -> bool {
    matches!(key, "id" | "type" | "status" | "role" | "phase" | "object" | "encrypted_content")
        || key.ends_with("_id")
}

/// A channel of the only choice that a response has.
pub(super) fn at(block: u16, part: u16, kind: Kind) -> Channel {
    Channel { choice: 0, block, part, kind }
}
