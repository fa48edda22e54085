//! One exchange of a sweep: brought into its state, and read to its end.

use super::model::State;
use super::stage::{Role, Stage};
use crate::levers::hand::{Ending, rest};
use crate::support::{Answer, Case, Client, Gateway, Head, Told};
use firedoor::wire::Dialect;
use std::fmt::Write as _;

/// The key of the app that asks.
pub const KEY: &str = "desk-key";
/// The hash under which the routes file knows it.
const KEY_SHA256: &str = "fd501e4e4eabb3b62f313e4d323048dfbddebb4d702c7b63512125b3fa21dd28";
/// What routes wait for: nothing is late in a sweep.
const PATIENCE: &str = "{ connect_ms = 600000, first_byte_ms = 600000, idle_ms = 600000 }";

/// Each dialect, how its rows begin, the family's word, and the path of its base.
const FAMILIES: [(Dialect, &str, &str, &str); 5] = [
    (Dialect::OpenaiChat, "chat", "openai", "/v1"),
    (Dialect::OpenaiResponses, "resp", "openai", "/v1"),
    (Dialect::Anthropic, "anth", "anthropic", ""),
    (Dialect::Gemini, "gemi", "gemini", ""),
    (Dialect::Bedrock, "bedr", "bedrock", ""),
];

/// How a route leads to the target that counts.
const SHAPES: [&str; 7] = ["plain", "full", "secured", "fallback", "pause", "going", "continued"];

/// The shape of the route for a state.
fn shape(state: State) -> &'static str {
    match state {
        State::Connect => "full",
        State::Handshake => "secured",
        State::Fallback => "fallback",
        State::Pause => "pause",
        State::Going | State::UnreadGoing | State::CallHeld | State::LastGoing => "going",
        State::Continued => "continued",
        State::Waiting
        | State::Headed
        | State::Half
        | State::FirstToken
        | State::Busy
        | State::Idle
        | State::Unread
        | State::Last => "plain",
    }
}

/// The role at which an exchange in this state stands.
pub fn role(state: State) -> Role {
    match state {
        State::Connect => Role::Full,
        State::Handshake => Role::Secured,
        _ => Role::Main,
    }
}

fn row(name: &str, word: &str, url: &str) -> String {
    format!("[providers.{name}]\ndialect = \"{word}\"\nbase_url = \"{url}\"\napi_key = \"k\"\n\n")
}

/// The routes of a sweep: for each dialect one of each shape, with a target left and without.
pub fn routes(stage: &Stage) -> String {
    let mut text = format!(
        "[apps.desk]\nkey_sha256 = [\"{KEY_SHA256}\"]\n\n\
         [providers.paused]\ndialect = \"canned\"\nanswer = \"Paused.\"\n\n\
         [[routes]]\nname = \"paused\"\nmatch = {{ model = \"paused\" }}\n\
         targets = [{{ provider = \"paused\" }}]\n\n"
    );
    for role in [Role::Other, Role::Third] {
        text += &row(&role.word(), "anthropic", &stage.url(role));
    }
    for (at, (dialect, prefix, word, path)) in FAMILIES.into_iter().enumerate() {
        for role in [Role::First, Role::Main, Role::Full, Role::Secured] {
            let url = stage.url(role) + path;
            text += &row(&format!("{prefix}-{}", role.word()), word, &url);
        }
        // Of another dialect than the one whose place it takes.
        let (_, _, word, path) = FAMILIES[(at + 2) % 5];
        text += &row(&format!("{prefix}-spare"), word, &(stage.url(Role::Spare) + path));
        for shape in SHAPES {
            for has_spare in [false, true] {
                let first = match shape {
                    "full" | "secured" => shape,
                    "fallback" | "continued" => "first",
                    _ => "main",
                };
                let mut fallback = Vec::new();
                if first == "first" {
                    fallback.push(format!("{{ provider = \"{prefix}-main\" }}"));
                }
                if has_spare {
                    fallback
                        .push(format!("{{ provider = \"{prefix}-spare\", model = \"spare\" }}"));
                }
                let attempts = if shape == "pause" { 10 } else { 1 };
                let midstream =
                    if matches!(shape, "going" | "continued") { "continue" } else { "end" };
                let fallback = match fallback.join(", ") {
                    none if none.is_empty() => none,
                    some => format!("fallback = [{some}]\n"),
                };
                let name = route_name(dialect, shape, has_spare);
                write!(
                    text,
                    "[[routes]]\nname = \"{name}\"\n\
                     match = {{ dialect = [\"{}\"], header = {{ x-route = \"{name}\" }} }}\n\
                     targets = [{{ provider = \"{prefix}-{first}\" }}]\n{fallback}\
                     retry = {{ attempts = {attempts} }}\nmidstream = \"{midstream}\"\n\
                     timeouts = {PATIENCE}\n\n",
                    dialect.name()
                )
                .unwrap();
            }
        }
    }
    text
}

fn prefix(dialect: Dialect) -> &'static str {
    FAMILIES.iter().find(|family| family.0 == dialect).unwrap().1
}

fn route_name(dialect: Dialect, shape: &str, has_spare: bool) -> String {
    let spare = if has_spare { "-spare" } else { "" };
    format!("{}-{shape}{spare}", prefix(dialect))
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Who {
    pub agent: String,
    pub session: String,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ask {
    pub state: State,
    pub has_spare: bool,
    pub dialect: Dialect,
}

impl Ask {
    /// The route that takes it.
    pub fn route(self) -> String {
        route_name(self.dialect, shape(self.state), self.has_spare)
    }

    /// The provider at which it stands.
    pub fn provider(self) -> String {
        format!("{}-{}", prefix(self.dialect), role(self.state).word())
    }

    fn streams(self) -> bool {
        self.state != State::Half
    }

    fn case(self) -> Case {
        Case { dialect: self.dialect, provider: "" }
    }
}

/// An exchange under way.
pub struct Open {
    pub number: u32,
    pub ask: Ask,
    client: Client,
    head: Option<Head>,
    body: Vec<u8>,
}

/// What a client got.
#[derive(Debug)]
pub enum Got {
    /// An answer that is no stream.
    Answer(Answer),
    /// A stream that was framed to its end.
    Stream(Head, Vec<u8>),
    /// A stream that was torn.
    Torn(Head, Vec<u8>),
}

impl Open {
    /// Sends it.
    pub fn begin(gateway: &Gateway, number: u32, ask: Ask, who: &Who) -> Open {
        let narrow = !ask.state.is_read();
        let mut client = if narrow {
            Client::connect_narrow(gateway.data)
        } else {
            Client::connect(gateway.data)
        };
        let prompt = format!("play-{number}-{}-", ask.state.word());
        let body = ask.case().body("held", &prompt, ask.streams());
        let route = ask.route();
        let fields = [
            ("content-type", "application/json"),
            ("x-firedoor-key", KEY),
            ("x-firedoor-agent", &who.agent),
            ("x-firedoor-session", &who.session),
            ("x-route", &route),
        ];
        let target = ask.case().target("held", ask.streams());
        client.request("POST", &target, &fields, body.as_bytes());
        Open { number, ask, client, head: None, body: Vec::new() }
    }

    /// Waits until it stands where it should.
    pub fn settle(&mut self, stage: &Stage) {
        let state = self.ask.state;
        // Neither is known to the provider.
        if !matches!(state, State::Connect | State::Handshake) {
            stage.wait_reached(self.number, Role::Main);
        }
        if state.is_begun() && self.head.is_none() {
            let head = self.client.head();
            assert_eq!(head.status, 200, "{:?}: {head:?}", self.ask);
            self.head = Some(head);
            let mark: &[u8] = b"<<";
            while state.is_read() && !self.body.windows(2).any(|window| window == mark) {
                let chunk = self.client.chunk().unwrap().expect("the stream goes on");
                self.body.extend_from_slice(&chunk);
            }
        }
    }

    /// Reads it to its end.
    pub fn finish(&mut self) -> Got {
        let what = format!("{} {:?}", self.number, self.ask);
        let head = match self.head.take() {
            Some(head) => head,
            None => self.client.try_head().unwrap_or_else(|end| panic!("{what}: {end:?}")),
        };
        if !head.is_chunked() {
            let body = self.client.body(&head).unwrap_or_else(|end| panic!("{what}: {end:?}"));
            return Got::Answer(Answer { head, body });
        }
        let (more, ending) = rest(&mut self.client, &head);
        let mut body = std::mem::take(&mut self.body);
        body.extend(more);
        match ending {
            Ending::Framed => Got::Stream(head, body),
            Ending::Torn => Got::Torn(head, body),
        }
    }

    /// What a whole answer says.
    pub fn told(&self, got: &Got) -> Told {
        match got {
            Got::Answer(answer) => Told::of(self.ask.dialect, false, answer),
            Got::Stream(_, body) => Told::of_stream(self.ask.dialect, body),
            Got::Torn(..) => panic!("{} {:?}: torn", self.number, self.ask),
        }
    }
}

impl Got {
    pub fn head(&self) -> &Head {
        match self {
            Got::Answer(answer) => &answer.head,
            Got::Stream(head, _) | Got::Torn(head, _) => head,
        }
    }

    pub fn body(&self) -> &[u8] {
        match self {
            Got::Answer(answer) => &answer.body,
            Got::Stream(_, body) | Got::Torn(_, body) => body,
        }
    }
}
