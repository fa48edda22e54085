//! What a simulated answer does, read from text: `tokens=200,itl_ms=10`.
//!
//! Keys are separated by commas; values that need more than plain letters are percent-encoded,
//! so that a directive survives JSON, any client and any gateway. Everything is strict: an
//! unknown key, a key that stands twice or a number out of bounds is an error that says so.

use crate::wire::event::StopReason;
use std::fmt;
use std::time::Duration;

/// The most tokens that an answer may be asked for.
const TOKENS_MAX: u64 = 100_000;
/// The most bytes of one token.
const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// The most bytes of a whole answer of words.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(10);
/// The most calls in one answer.
const CALLS_MAX: usize = 64;
/// The longest directive.
const DIRECTIVE_BYTES_MAX: usize = 64 << 10;

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// That it is simulated, and how long the prompt was; nothing if tools are called.
    Friendly,
    /// So many words from the list.
    Words(u32),
    /// A given text.
    Text(Box<str>),
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tool.
    pub name: Box<str>,
    /// Its arguments, JSON unless the script wants them broken.
    pub arguments: Box<str>,
}

/// A failure that is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The connection is reset before a byte of the answer.
    Refuse,
    /// The answer stops and the connection stays open until the client leaves.
    Stall,
    /// The connection is reset.
    Reset,
    /// Bytes that are no frame; in place of the whole answer, not even HTTP, if at frame 0.
    Garbage,
    /// The body ends inside a frame, correctly framed as HTTP.
    Truncate,
    /// One frame larger than any honest one.
    Oversize,
    /// The connection is closed in order, but inside the body.
    Close,
    /// `content-length` promises more than comes.
    LieLength,
    /// Two different `content-length`s.
    TwoLengths,
    /// A thousand interim answers come first.
    InterimStorm,
    /// A chunk whose size is no number.
    BadChunk,
    /// Text that is not UTF-8.
    InvalidUtf8,
    /// The provider reports an error inside the stream, which ends there.
    ErrorEvent,
}

impl Fault {
    /// Every fault, with its word.
    pub const ALL: [(&'static str, Fault); 13] = [
        ("refuse", Fault::Refuse),
        ("stall", Fault::Stall),
        ("reset", Fault::Reset),
        ("garbage", Fault::Garbage),
        ("truncate", Fault::Truncate),
        ("oversize", Fault::Oversize),
        ("close", Fault::Close),
        ("lie_length", Fault::LieLength),
        ("two_lengths", Fault::TwoLengths),
        ("interim_storm", Fault::InterimStorm),
        ("bad_chunk", Fault::BadChunk),
        ("invalid_utf8", Fault::InvalidUtf8),
        ("error_event", Fault::ErrorEvent),
    ];
}

/// What an answer does. Fields are named by their keys in [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// What is said.
    pub say: Say,
    /// Bytes that each of [`Say::Words`] is filled up to; 0 for words as they are.
    pub token_bytes: u32,
    /// What is thought before it is said; empty for nothing.
    pub reasoning: Box<str>,
    /// The tools that are called.
    pub calls: Vec<Call>,
    /// Why it stops, if not by itself.
    pub stop: Option<StopReason>,
    /// The wait before the first byte.
    pub first_wait: Duration,
    /// The wait between two texts.
    pub between_wait: Duration,
    /// Texts per write; at least 1.
    pub batch: u32,
    /// Whether each of [`Say::Words`] is the sender's clock instead of a word.
    pub stamp: bool,
    /// A shorter prompt than this was cut on its way and is refused, in bytes.
    pub prompt_bytes_min: u64,
    /// An error status to answer with instead.
    pub status: Option<u16>,
    /// The `retry-after` of that answer, in seconds.
    pub retry_after: Option<u32>,
    /// A failure of the transport.
    pub fault: Option<Fault>,
    /// The frame before which `fault` strikes; the last frame if there are fewer.
    pub at: u32,
    /// The share of requests, in percent, that `status` and `fault` strike.
    pub percent: u8,
    /// Which directive of its prompt this is, from 1; part of the ids of its calls.
    turn: u32,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            say: Say::Friendly,
            token_bytes: 0,
            reasoning: Box::default(),
            calls: Vec::new(),
            stop: None,
            first_wait: Duration::ZERO,
            between_wait: Duration::ZERO,
            batch: 1,
            stamp: false,
            prompt_bytes_min: 0,
            status: None,
            retry_after: None,
            fault: None,
            at: 10,
            percent: 100,
            turn: 1,
        }
    }
}

/// Every key with what it takes, for help and errors.
pub const KEYS: [(&str, &str); 18] = [
    ("tokens", "answer with that many words"),
    ("bytes", "fill each word up to that many bytes"),
    ("text", "answer with this text, percent-encoded"),
    ("reasoning", "think this first, percent-encoded"),
    ("tool", "call a tool: NAME or NAME:ARGUMENTS, percent-encoded; repeatable"),
    ("stop", "stop | length | tool_calls | content_filter"),
    ("ttft_ms", "wait before the first byte"),
    ("ttft_us", "the same in microseconds"),
    ("itl_ms", "wait between two texts"),
    ("itl_us", "the same in microseconds"),
    ("batch", "texts per write"),
    ("stamp", "1: each word is the sender's clock"),
    ("plen", "refuse a body shorter than that many bytes"),
    ("status", "answer with this error status, 400 to 599"),
    ("retry_after", "seconds that the error answer asks to wait"),
    ("fault", "a failure of the transport, an error status, or none"),
    ("at", "the frame before which the fault strikes"),
    ("pct", "the share of requests that fail, in percent"),
];

/// What is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptError(String);

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mock script: {}", self.0)
    }
}

impl std::error::Error for ScriptError {}

fn wrong<T>(what: impl Into<String>) -> Result<T, ScriptError> {
    Err(ScriptError(what.into()))
}

impl Script {
    /// An answer with this text and nothing else (the `canned` family).
    pub fn saying(text: &str) -> Script {
        Script { say: Say::Text(text.into()), ..Script::default() }
    }

    /// This script, changed by the keys of `text`.
    ///
    /// # Errors
    /// Unknown, repeated or malformed keys.
    pub fn with(&self, text: &str) -> Result<Script, ScriptError> {
        let mut script = self.clone();
        let mut seen: Vec<&str> = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let Some((key, value)) = pair.split_once('=') else {
                return wrong(format!("`{pair}` is not KEY=VALUE"));
            };
            // One slot for each meaning: two ways to say the same thing contradict each other.
            let slot = match key {
                "text" => "tokens",
                "ttft_us" => "ttft_ms",
                "itl_us" => "itl_ms",
                _ => key,
            };
            if key != "tool" && seen.contains(&slot) {
                return wrong(format!("`{key}` is given twice, or contradicts an earlier key"));
            }
            if key == "tool" && !seen.contains(&"tool") {
                script.calls.clear();
            }
            seen.push(slot);
            script.set(key, value)?;
        }
        if let Say::Words(count) = script.say
            && u64::from(count) * u64::from(script.token_bytes) > ANSWER_BYTES_MAX
        {
            return wrong(format!("an answer has at most {ANSWER_BYTES_MAX} bytes"));
        }
        Ok(script)
    }

    /// This script as `prompt`, a whole request body, and the header `x-mock` change it.
    ///
    /// The prompt's last directive counts, so that each turn of a conversation can have its own;
    /// the header comes on top. Calls that the prompt shows to have been made are not made again,
    /// so that an agent's loop ends.
    ///
    /// # Errors
    /// What is wrong with the directive or the header.
    pub fn for_request(&self, prompt: &[u8], header: Option<&[u8]>) -> Result<Script, ScriptError> {
        let mut script = self.clone();
        if let Some((turn, text, rest)) = last_directive(prompt)? {
            script = script.with(text)?;
            script.turn = turn;
            // One is enough: the others may have been taken out of the answer on its way.
            let is_made = |id: String| memchr::memmem::find(rest, id.as_bytes()).is_some();
            if (0..script.calls.len()).any(|index| is_made(script.call_id(index))) {
                script.calls.clear();
            }
        }
        match header.map(plain) {
            None => Ok(script),
            Some(text) => script.with(text?.trim_end_matches(';')),
        }
    }

    /// This script without its failures, unless they strike the request numbered `counter`.
    ///
    /// They are spread evenly: of any hundred requests in a row, `percent` fail.
    #[must_use]
    pub fn struck(mut self, counter: u64) -> Script {
        let share = u128::from(self.percent);
        let failed_before = |count: u128| count * share / 100;
        let counter = u128::from(counter);
        if failed_before(counter) == failed_before(counter + 1) {
            self.fault = None;
            self.status = None;
        }
        self
    }

    /// The id of the call at `index`.
    pub fn call_id(&self, index: usize) -> String {
        format!("call_mock_{}_{index}", self.turn)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), ScriptError> {
        let number = |max: u64| number(key, value, max);
        let millis = || Ok(Duration::from_millis(number(WAIT_MAX.as_millis() as u64)?));
        let micros = || Ok(Duration::from_micros(number(WAIT_MAX.as_micros() as u64)?));
        match key {
            "tokens" => self.say = Say::Words(number(TOKENS_MAX)? as u32),
            "bytes" => self.token_bytes = number(TOKEN_BYTES_MAX)? as u32,
            "text" => self.say = Say::Text(decoded(key, value)?.into()),
            "reasoning" => self.reasoning = decoded(key, value)?.into(),
            "tool" => self.calls.push(self.call(value)?),
            "stop" => self.stop = Some(stop(value)?),
            "ttft_ms" => self.first_wait = millis()?,
            "ttft_us" => self.first_wait = micros()?,
            "itl_ms" => self.between_wait = millis()?,
            "itl_us" => self.between_wait = micros()?,
            "batch" => self.batch = number(TOKENS_MAX)?.max(1) as u32,
            "stamp" => self.stamp = number(1)? == 1,
            "plen" => self.prompt_bytes_min = number(u64::MAX)?,
            "status" => self.status = Some(status(key, value)?),
            "retry_after" => self.retry_after = Some(number(u64::from(u32::MAX))? as u32),
            "fault" => self.fail(value)?,
            "at" => self.at = number(u64::from(u32::MAX))? as u32,
            "pct" => self.percent = number(100)? as u8,
            _ => {
                let known: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
                return wrong(format!("unknown key `{key}`; keys are {}", known.join(", ")));
            }
        }
        Ok(())
    }

    fn fail(&mut self, value: &str) -> Result<(), ScriptError> {
        if value == "none" {
            self.fault = None;
            self.status = None;
        } else if let Some((_, fault)) = Fault::ALL.iter().find(|(word, _)| *word == value) {
            self.fault = Some(*fault);
        } else if value.starts_with(|first: char| first.is_ascii_digit()) {
            self.status = Some(status("fault", value)?);
        } else {
            let known: Vec<&str> = Fault::ALL.iter().map(|(word, _)| *word).collect();
            return wrong(format!(
                "unknown fault `{value}`; faults are none, a status, {}",
                known.join(", ")
            ));
        }
        Ok(())
    }

    fn call(&self, value: &str) -> Result<Call, ScriptError> {
        if self.calls.len() == CALLS_MAX {
            return wrong(format!("an answer has at most {CALLS_MAX} calls"));
        }
        let (name, arguments) = value.split_once(':').unwrap_or((value, "{}"));
        if name.is_empty() {
            return wrong("`tool` needs a name: tool=NAME or tool=NAME:ARGUMENTS");
        }
        Ok(Call {
            name: decoded("tool", name)?.into(),
            arguments: decoded("tool", arguments)?.into(),
        })
    }
}

fn number(key: &str, value: &str, max: u64) -> Result<u64, ScriptError> {
    let is_digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    match value.parse::<u64>() {
        Ok(number) if is_digits && number <= max => Ok(number),
        _ => wrong(format!("`{key}` takes a whole number from 0 to {max}, not `{value}`")),
    }
}

fn status(key: &str, value: &str) -> Result<u16, ScriptError> {
    let status = number(key, value, 599)?;
    if status < 400 {
        return wrong(format!("`{key}` takes an error status from 400 to 599, not `{value}`"));
    }
    Ok(status as u16)
}

fn stop(value: &str) -> Result<StopReason, ScriptError> {
    match value {
        "stop" => Ok(StopReason::EndTurn),
        "length" => Ok(StopReason::MaxTokens),
        "tool_calls" => Ok(StopReason::ToolUse),
        "content_filter" => Ok(StopReason::ContentFilter),
        _ => {
            wrong(format!("`stop` takes stop, length, tool_calls or content_filter, not `{value}`"))
        }
    }
}

/// Undoes percent-encoding (RFC 3986, section 2.1). A plus stays a plus.
fn decoded(key: &str, value: &str) -> Result<String, ScriptError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after
            .get(..2)
            .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(byte) = byte else {
            return wrong(format!("`{key}`: a percent sign needs two hexadecimal digits"));
        };
        bytes.push(byte);
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).or_else(|_| wrong(format!("`{key}` does not decode to UTF-8")))
}

/// A directive in a prompt: which one it is, from 1; its keys; what stands behind it.
type Directive<'p> = (u32, &'p str, &'p [u8]);

/// The last directive of a prompt.
///
/// `mock:` is a directive only where a key and an equals sign follow, so that prose may say it.
fn last_directive(prompt: &[u8]) -> Result<Option<Directive<'_>>, ScriptError> {
    const MARK: &[u8] = b"mock:";
    let mut count = 0;
    let mut last = None;
    for at in memchr::memmem::find_iter(prompt, MARK) {
        let text = &prompt[at + MARK.len()..];
        let key =
            text.iter().take_while(|byte| byte.is_ascii_lowercase() || **byte == b'_').count();
        if key > 0 && text.get(key) == Some(&b'=') {
            count += 1;
            last = Some(text);
        }
    }
    let Some(text) = last else { return Ok(None) };
    let window = &text[..text.len().min(DIRECTIVE_BYTES_MAX)];
    let Some(end) = memchr::memchr(b';', window) else {
        return wrong(format!(
            "a directive ends with `;` within {DIRECTIVE_BYTES_MAX} bytes, and this one does not"
        ));
    };
    Ok(Some((count, plain(&text[..end])?, &text[end..])))
}

/// A script's bytes as text: only what no JSON writer escapes.
fn plain(bytes: &[u8]) -> Result<&str, ScriptError> {
    let is_plain = |byte: &u8| (b' '..=b'~').contains(byte) && !matches!(byte, b'"' | b'\\');
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.iter().all(is_plain) => Ok(text),
        _ => wrong("quotes, backslashes, line ends and non-ASCII text must be percent-encoded"),
    }
}
