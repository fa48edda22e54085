//! The fields that a term can name.

use crate::exchange::facts::Outcome;
use crate::exchange::screen::Done;
use crate::filter::Kind;
use crate::wire::Dialect;
use crate::wire::refusal::Class;

macro_rules! fields {
    ($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$one])* $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[$name] = &[$($name::$variant,)+];

            /// The word that the language has for it.
            pub fn word(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }
        }
    };
}

fields! {
    /// Fields that hold one name.
    Name {
        /// The authenticated app.
        App = "app",
        /// The declared agent.
        Agent = "agent",
        /// The session, declared or inferred.
        Session = "session",
        /// The route.
        Route = "route",
        /// The provider of the last attempt.
        Provider = "provider",
        /// The target of the last attempt.
        Target = "target",
        /// The model asked for, or the one that the provider reports.
        Model = "model",
        /// The caller's dialect.
        Dialect = "dialect",
        /// How it ended.
        Outcome = "outcome",
        /// Why it was refused or cut.
        Class = "class",
        /// What the rules said.
        Verdict = "verdict",
        /// The trace.
        Trace = "trace",
        /// The exchange itself.
        Exchange = "exchange",
    }
}

fields! {
    /// Fields that hold any number of names.
    Mark {
        /// A rule that hit.
        Rule = "rule",
        /// A lever that acted, or was in force when it began.
        Lever = "lever",
        /// A tool that the answer calls.
        Tool = "tool",
    }
}

fields! {
    /// Fields that hold a number.
    Number {
        /// The status that the client got.
        Status = "status",
        /// From the request's head to the end, in microseconds.
        Latency = "latency",
        /// To the first text, in microseconds.
        Ttft = "ttft",
        /// In micro-USD.
        Cost = "cost",
        /// Of prompt and answer.
        Tokens = "tokens",
        /// Requests to providers.
        Attempts = "attempts",
        /// Bytes of the request's body.
        Prompt = "prompt_bytes",
        /// Bytes of the answer's body.
        Answer = "answer_bytes",
    }
}

fields! {
    /// Texts that words can be asked in.
    Texts {
        /// What was asked: the user's words, and the system prompt.
        Prompt = "prompt",
        /// Retrieved documents.
        Document = "document",
        /// What tools returned.
        Result = "result",
        /// What was answered, reasoning and refusals included.
        Answer = "answer",
        /// What tools were called with.
        Arguments = "arguments",
    }
}

impl Texts {
    /// Where a text of this kind stands.
    pub fn of(kind: Kind) -> Texts {
        match kind {
            Kind::System | Kind::User | Kind::Other | Kind::ToolDefinition => Texts::Prompt,
            Kind::Document => Texts::Document,
            Kind::ToolResult => Texts::Result,
            Kind::History | Kind::Answer | Kind::Reasoning | Kind::Refusal | Kind::Citation => {
                Texts::Answer
            }
            Kind::ToolName | Kind::ToolArguments => Texts::Arguments,
        }
    }
}

/// How exchanges end of which there are no facts: only in the record.
const WITHOUT_FACTS: [&str; 3] = ["abandoned", "under_way", "unfinished"];

impl Name {
    /// The words that it can hold, where they are known.
    pub fn words(self) -> Option<Vec<&'static str>> {
        match self {
            Name::Dialect => Some(Dialect::ALL.into_iter().map(Dialect::name).collect()),
            Name::Outcome => Some([&Outcome::NAMES[..], &WITHOUT_FACTS].concat()),
            Name::Class => Some(Class::ALL.into_iter().map(Class::name).collect()),
            Name::Verdict => Some(Done::VERDICTS.to_vec()),
            Name::App
            | Name::Agent
            | Name::Session
            | Name::Route
            | Name::Provider
            | Name::Target
            | Name::Model
            | Name::Trace
            | Name::Exchange => None,
        }
    }
}

impl Number {
    /// What a number of it is written as, for messages.
    pub fn form(self) -> &'static str {
        match self {
            Number::Status => "a status such as `503`, `>=400` or `5xx`",
            Number::Latency | Number::Ttft => "a time such as `>500ms`, `<2s` or `1s..5s`",
            Number::Cost => "an amount in USD such as `>0.01`",
            Number::Tokens | Number::Attempts => "a number such as `>1000` or `10..20`",
            Number::Prompt | Number::Answer => "a number of bytes such as `>1000`",
        }
    }
}

/// Every word that can stand before a colon.
pub fn words() -> Vec<&'static str> {
    let mut words = vec!["since", "until", "gaps"];
    words.extend(Name::ALL.iter().map(|name| name.word()));
    words.extend(Mark::ALL.iter().map(|mark| mark.word()));
    words.extend(Number::ALL.iter().map(|number| number.word()));
    words.extend(Texts::ALL.iter().map(|texts| texts.word()));
    words
}
