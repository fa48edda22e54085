//! What a lever makes of an exchange, stated as a rule and not as it was observed.
//!
//! An exchange stands in a [`State`] at a target when a lever of a [`Kind`] over a [`Scope`] is
//! pulled; [`outcome`] says what its client gets, and [`fresh`] what the next request gets. The
//! words are those of `docs/levers.md`.

use super::stage::Role;
use firedoor::wire::Dialect;

/// What is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    KillCut,
    KillDrain,
    Limit,
    RerouteFinish,
    RerouteSwitch,
    /// Hides the words behind which an answer ends.
    Filter,
}

impl Kind {
    pub const ALL: [Kind; 6] = [
        Kind::KillCut,
        Kind::KillDrain,
        Kind::Limit,
        Kind::RerouteFinish,
        Kind::RerouteSwitch,
        Kind::Filter,
    ];

    pub fn is_kill(self) -> bool {
        match self {
            Kind::KillCut | Kind::KillDrain => true,
            Kind::Limit | Kind::RerouteFinish | Kind::RerouteSwitch | Kind::Filter => false,
        }
    }
}

/// What the lever's scope names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The provider that the exchange stands at.
    Provider,
    /// The model that it is asked for.
    Model,
    /// The exchange's route.
    Route,
    App,
    Agent,
    /// A tool that some of the answers call.
    Tool,
    Session,
    /// Several terms that all hold, the target's model among them.
    Conjunction,
    /// A pattern.
    Glob,
    /// Several terms of which one does not hold.
    Miss,
    All,
}

impl Scope {
    pub const ALL: [Scope; 11] = [
        Scope::Provider,
        Scope::Model,
        Scope::Route,
        Scope::App,
        Scope::Agent,
        Scope::Tool,
        Scope::Session,
        Scope::Conjunction,
        Scope::Glob,
        Scope::Miss,
        Scope::All,
    ];

    /// Whether the target that is left when this one is gone is out of its reach.
    pub fn leaves_the_spare(self) -> bool {
        match self {
            Scope::Provider | Scope::Model | Scope::Conjunction => true,
            Scope::Route
            | Scope::App
            | Scope::Agent
            | Scope::Tool
            | Scope::Session
            | Scope::Glob
            | Scope::Miss
            | Scope::All => false,
        }
    }
}

/// Where an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The provider does not take the connection.
    Connect,
    /// The provider says nothing in the TLS handshake.
    Handshake,
    /// The provider has the request.
    Waiting,
    /// The head of the answer is there, and no byte of it.
    Headed,
    /// Half of an answer that is no stream is there.
    Half,
    /// The first target has failed, the fallback has the request.
    Fallback,
    /// The provider is asked again and again, with pauses between.
    Pause,
    /// The first token is out.
    FirstToken,
    /// Tokens come all the time.
    Busy,
    /// The provider is silent between two tokens.
    Idle,
    /// The same on a route that lets the next target go on.
    Going,
    /// The client does not read.
    Unread,
    /// The same on a route that lets the next target go on.
    UnreadGoing,
    /// Half of a tool call is held until it is whole.
    CallHeld,
    /// Only the end mark is missing.
    Last,
    /// The same on a route that lets the next target go on.
    LastGoing,
    /// The first target died in the middle, and the second goes on.
    Continued,
}

/// How far an answer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The target has not been sent this attempt's request.
    Unasked,
    /// It has; nothing of its answer is out.
    Asked,
    /// A part of its answer is out; may the next target go on with it?
    Begun { goes_on: bool },
}

impl State {
    /// All of them, the one that costs retries last.
    pub const ALL: [State; 17] = [
        State::Waiting,
        State::Headed,
        State::Half,
        State::FirstToken,
        State::Busy,
        State::Idle,
        State::Going,
        State::Unread,
        State::UnreadGoing,
        State::CallHeld,
        State::Last,
        State::LastGoing,
        State::Continued,
        State::Fallback,
        State::Connect,
        State::Handshake,
        State::Pause,
    ];

    /// Its word in a prompt.
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub fn of(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }

    /// Whether providers of this dialect can be in it.
    pub fn is_of(self, dialect: Dialect) -> bool {
        // Gemini's calls come whole.
        !(self == State::CallHeld && dialect == Dialect::Gemini)
    }

    fn phase(self, dialect: Dialect) -> Phase {
        match self {
            State::Connect | State::Handshake | State::Pause => Phase::Unasked,
            State::Waiting | State::Headed | State::Half | State::Fallback => Phase::Asked,
            State::FirstToken
            | State::Busy
            | State::Idle
            | State::Last
            | State::Unread
            // What waits for the client is not the client's, so nobody knows where to go on.
            | State::UnreadGoing => Phase::Begun { goes_on: false },
            State::Going | State::CallHeld | State::Continued => Phase::Begun { goes_on: true },
            State::LastGoing => Phase::Begun { goes_on: !tells_stop_early(dialect) },
        }
    }

    /// Whether a part of the answer is at the client.
    pub fn is_begun(self) -> bool {
        matches!(self.phase(Dialect::OpenaiChat), Phase::Begun { .. })
    }

    /// Whether the client reads.
    pub fn is_read(self) -> bool {
        !matches!(self, State::Unread | State::UnreadGoing)
    }
}

/// Whether the reason for which an answer stopped is told before its end mark: behind it nobody
/// can go on.
fn tells_stop_early(dialect: Dialect) -> bool {
    match dialect {
        Dialect::OpenaiChat | Dialect::Anthropic | Dialect::Bedrock => true,
        Dialect::OpenaiResponses | Dialect::Gemini => false,
    }
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The whole answer of the target where the exchange stood.
    Whole,
    /// The same, without the call of the killed tool.
    WithoutCall,
    /// A whole answer of another target alone.
    By(Role),
    /// What had come, and the rest by another target.
    OnBy(Role),
    /// The refusal of the lever's kind.
    Refused,
    /// What had come, ended in the dialect in the lever's name.
    Cut,
    /// The same for a client that does not read, which may find the connection broken instead.
    CutOrTorn,
    /// The limit's refusal.
    Limited,
}

/// Whether the vocabulary has such a lever.
pub fn is_sayable(kind: Kind, scope: Scope) -> bool {
    match (kind, scope) {
        // Tools are killed or not; limits are counted before a target is chosen.
        (Kind::Limit, Scope::Tool | Scope::Provider)
        | (Kind::RerouteFinish | Kind::RerouteSwitch | Kind::Filter, Scope::Tool) => false,
        (
            Kind::KillCut
            | Kind::KillDrain
            | Kind::Limit
            | Kind::RerouteFinish
            | Kind::RerouteSwitch
            | Kind::Filter,
            _,
        ) => true,
    }
}

/// Whether the lever is one that reaches the exchange itself.
fn reaches(kind: Kind, scope: Scope) -> bool {
    is_sayable(kind, scope) && !matches!(scope, Scope::Miss | Scope::Tool)
}

/// Whether the exchange is ordered to end where it stands: what the proof counts.
pub fn is_ordered(kind: Kind, scope: Scope) -> bool {
    kind == Kind::KillCut && reaches(kind, scope)
}

/// What a lever makes of an exchange under way; `has_spare` where its route has a target left.
pub fn outcome(
    kind: Kind,
    scope: Scope,
    state: State,
    has_spare: bool,
    dialect: Dialect,
) -> Outcome {
    if kind.is_kill() && scope == Scope::Tool && state == State::CallHeld {
        return Outcome::WithoutCall;
    }
    if !reaches(kind, scope) {
        return Outcome::Whole;
    }
    let spare = has_spare && scope.leaves_the_spare();
    let ended = if state.is_read() { Outcome::Cut } else { Outcome::CutOrTorn };
    match (kind, state.phase(dialect)) {
        (Kind::KillCut, Phase::Unasked | Phase::Asked) | (Kind::KillDrain, Phase::Unasked) => {
            if spare {
                Outcome::By(Role::Spare)
            } else {
                Outcome::Refused
            }
        }
        (Kind::KillCut, Phase::Begun { goes_on }) => {
            if spare && goes_on {
                Outcome::OnBy(Role::Spare)
            } else {
                ended
            }
        }
        (Kind::RerouteSwitch, Phase::Unasked | Phase::Asked) => Outcome::By(Role::Other),
        // Content of a provider that is not killed may still leave.
        (Kind::RerouteSwitch, Phase::Begun { goes_on }) => {
            let goes_on = goes_on || state == State::UnreadGoing;
            if goes_on { Outcome::OnBy(Role::Other) } else { Outcome::Whole }
        }
        (Kind::KillDrain, Phase::Asked | Phase::Begun { .. })
        | (Kind::Limit | Kind::RerouteFinish | Kind::Filter, _) => Outcome::Whole,
    }
}

/// Whether a filter over the words that end an answer still meets them.
pub fn is_hidden(kind: Kind, scope: Scope, state: State) -> bool {
    let have_left = matches!(state, State::Last | State::LastGoing);
    kind == Kind::Filter && reaches(kind, scope) && !have_left
}

/// What a request gets that begins under the lever.
pub fn fresh(kind: Kind, scope: Scope) -> Outcome {
    if !reaches(kind, scope) {
        return Outcome::Whole;
    }
    match kind {
        Kind::KillCut | Kind::KillDrain => Outcome::Refused,
        Kind::Limit => Outcome::Limited,
        Kind::RerouteFinish | Kind::RerouteSwitch => Outcome::By(Role::Other),
        Kind::Filter => Outcome::Whole,
    }
}

/// How many requests each role gets after the acknowledgement: at least, and at most.
pub fn asked_after(
    kind: Kind,
    scope: Scope,
    state: State,
    own: Role,
    outcome: Outcome,
) -> Vec<(Role, usize, usize)> {
    // An attempt between two pauses may have been on its way when the lever was pulled.
    let straggler = usize::from(state == State::Pause);
    let none = |role| (role, 0, 0);
    let one = |role| (role, 1, 1);
    match outcome {
        Outcome::By(role) | Outcome::OnBy(role) => {
            vec![none(Role::First), (own, 0, straggler), one(role)]
        }
        Outcome::Refused | Outcome::Cut | Outcome::CutOrTorn | Outcome::Limited => {
            let others = [Role::First, Role::Spare, Role::Other].map(none);
            [vec![(own, 0, straggler)], others.to_vec()].concat()
        }
        Outcome::Whole | Outcome::WithoutCall => {
            let is_tool = kind.is_kill() && scope == Scope::Tool;
            let is_asked_anew = is_tool || kind == Kind::Filter && reaches(kind, scope);
            let own = match state {
                State::Connect | State::Handshake => one(own),
                State::Pause => (own, 1, usize::MAX),
                // What was asked holds no more once a tool of it is killed, or rules would change it.
                State::Waiting | State::Headed | State::Half | State::Fallback if is_asked_anew => {
                    one(own)
                }
                _ => none(own),
            };
            let others = [Role::First, Role::Spare, Role::Other].map(none);
            [vec![own], others.to_vec()].concat()
        }
    }
}
