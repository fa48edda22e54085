//! What writers of several dialects ask a prompt for.

use super::{
    Budget, Call, Choice, Effort, Function, Input, Json, Part, Prompt, Role, Thinking, Tool,
    ToolResult,
};
use crate::wire::Dialect;
use crate::wire::json::push_string;
use crate::wire::loss::{Loss, Losses};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The system texts, and turns of user and model that alternate.
pub(crate) type Alternating<'p> = (Vec<&'p str>, Vec<(Role, Vec<&'p Part>)>);

/// The tools that a dialect without free-text tools can be told, and the choice among them.
pub(crate) struct Offered<'p> {
    pub(crate) functions: Vec<Cow<'p, Function>>,
    pub(crate) hosted: Vec<&'p Json>,
    pub(crate) choice: Option<&'p Choice>,
}

impl Prompt {
    /// For dialects whose turns alternate and have no system texts between them. A prompt of
    /// system texts alone becomes a turn of the user, because such APIs refuse an empty one.
    pub(crate) fn alternating(&self, losses: &mut Losses) -> Alternating<'_> {
        let mut system: Vec<&str> = self.system.iter().map(String::as_str).collect();
        let mut turns: Vec<(Role, Vec<&Part>)> = Vec::new();
        for turn in &self.turns {
            if turn.role == Role::System {
                losses.add(Loss::SystemPlacement);
                for part in &turn.parts {
                    match part {
                        Part::Text(text) => system.push(text),
                        Part::Media(_)
                        | Part::Call(_)
                        | Part::Result(_)
                        | Part::Reasoning(_)
                        | Part::Refusal(_)
                        | Part::Native(_) => losses.add(Loss::UnknownParts),
                    }
                }
                continue;
            }
            match turns.last_mut().filter(|(role, _)| *role == turn.role) {
                Some((_, parts)) => parts.extend(&turn.parts),
                None => turns.push((turn.role, turn.parts.iter().collect())),
            }
        }
        for (role, parts) in &mut turns {
            if *role == Role::User {
                parts.sort_by_key(|part| !matches!(part, Part::Result(_)));
            }
        }
        (system, turns)
    }

    /// See [`Offered`]. Tools of free text become functions; a choice of what cannot be offered
    /// is lost.
    pub(crate) fn offered(&self, dialect: Dialect, losses: &mut Losses) -> Offered<'_> {
        let mut offered = Offered { functions: Vec::new(), hosted: Vec::new(), choice: None };
        for tool in &self.tools {
            match tool {
                Tool::Function(function) => offered.functions.push(Cow::Borrowed(function)),
                Tool::Custom { name, description, .. } => {
                    losses.add(Loss::CustomTools);
                    offered.functions.push(Cow::Owned(of_text(name, description.as_deref())));
                }
                Tool::Hosted { native, .. } if dialect == self.dialect => {
                    offered.hosted.push(native);
                }
                Tool::Hosted { .. } => losses.add(Loss::HostedTools),
            }
        }
        let has = |name: &String| offered.functions.iter().any(|known| known.name == *name);
        offered.choice = match &self.choice {
            Some(Choice::One(name)) if !has(name) => {
                losses.add(Loss::ToolChoice);
                None
            }
            Some(Choice::Native(_)) if dialect != self.dialect => {
                losses.add(Loss::ToolChoice);
                None
            }
            Some(Choice::Required) if offered.functions.is_empty() && offered.hosted.is_empty() => {
                losses.add(Loss::ToolChoice);
                None
            }
            choice => choice.as_ref(),
        };
        // Some only: the others are not offered, which says the same wherever it must be said so.
        if let Some(Choice::Among { names, .. }) = offered.choice {
            offered.functions.retain(|function| names.contains(&function.name));
        }
        offered
    }

    /// Whether the call `id` is one of a custom tool.
    pub(crate) fn is_custom(&self, id: &str) -> bool {
        self.call(id).is_some_and(|call| matches!(call.input, Input::Text(_)))
    }

    /// Whether the provider is asked to keep the answer. Responses do unless told otherwise.
    pub(crate) fn is_kept(&self) -> bool {
        self.labels.store.unwrap_or(self.dialect == Dialect::OpenaiResponses)
    }

    /// Whether the caller runs a tool of this name.
    pub(crate) fn defines(&self, wanted: &str) -> bool {
        self.tools.iter().any(|tool| match tool {
            Tool::Function(Function { name, .. }) | Tool::Custom { name, .. } => name == wanted,
            Tool::Hosted { .. } => false,
        })
    }

    /// Whether the tool of this name takes free text.
    pub(crate) fn takes_text(&self, wanted: &str) -> bool {
        self.tools.iter().any(|tool| match tool {
            Tool::Custom { name, .. } => name == wanted,
            Tool::Function(_) | Tool::Hosted { .. } => false,
        })
    }

    /// States what is lost of a part that only its own dialect knows.
    pub(crate) fn lose_native(role: Role, losses: &mut Losses) {
        losses.add(match role {
            Role::Assistant => Loss::HostedToolCalls,
            Role::User | Role::System => Loss::UnknownParts,
        });
    }
}

/// The function that stands for a tool of free text.
fn of_text(name: &str, description: Option<&str>) -> Function {
    const SCHEMA: &str =
        r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
    Function {
        name: name.to_owned(),
        description: description.map(str::to_owned),
        schema: Json::parse(SCHEMA),
        strict: None,
    }
}

impl Call {
    /// The arguments as a JSON object, which many dialects demand. Free text, and what is no
    /// object, becomes the member `input`.
    pub(crate) fn object(&self) -> Cow<'_, str> {
        let text = match &self.input {
            Input::Json(text) if text.trim().is_empty() => return Cow::Borrowed("{}"),
            Input::Json(text) => {
                let is_object = text.trim_start().starts_with('{')
                    && serde_json::from_str::<&RawValue>(text).is_ok();
                if is_object {
                    return Cow::Borrowed(text);
                }
                text
            }
            Input::Text(text) => text,
        };
        let mut out = b"{\"input\":".to_vec();
        push_string(&mut out, text);
        out.push(b'}');
        Cow::Owned(String::from_utf8(out).unwrap_or_default())
    }
}

impl ToolResult {
    /// Its texts, one after another.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(&**text),
                Part::Media(_)
                | Part::Call(_)
                | Part::Result(_)
                | Part::Reasoning(_)
                | Part::Refusal(_)
                | Part::Native(_) => None,
            })
            .collect();
        texts.join("\n")
    }

    /// What is not text.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !matches!(part, Part::Text(_)))
    }
}

impl Effort {
    /// The effort of a word, if it is one.
    pub(crate) fn of(word: &str) -> Option<Effort> {
        Some(match word {
            "none" => Effort::None,
            "minimal" => Effort::Minimal,
            "low" => Effort::Low,
            "medium" => Effort::Medium,
            "high" => Effort::High,
            "xhigh" => Effort::Xhigh,
            "max" => Effort::Max,
            _ => return None,
        })
    }

    /// The word, the same in every dialect that has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Effort::None => "none",
            Effort::Minimal => "minimal",
            Effort::Low => "low",
            Effort::Medium => "medium",
            Effort::High => "high",
            Effort::Xhigh => "xhigh",
            Effort::Max => "max",
        }
    }
}

impl Thinking {
    /// In words, of a budget the nearest ones.
    pub(crate) fn in_words(&self, losses: &mut Losses) -> Option<Effort> {
        if self.effort.is_some() {
            losses.add_if(matches!(self.budget, Some(Budget::Tokens(_))), Loss::ReasoningEffort);
            return self.effort;
        }
        match self.budget? {
            Budget::Off | Budget::Tokens(0) => Some(Effort::None),
            Budget::Dynamic => {
                losses.add(Loss::ReasoningEffort);
                None
            }
            Budget::Tokens(tokens) => {
                losses.add(Loss::ReasoningEffort);
                Some(match tokens {
                    0..4096 => Effort::Low,
                    4096..16384 => Effort::Medium,
                    _ => Effort::High,
                })
            }
        }
    }

    /// In tokens; words as Google's own translation of them has it.
    pub(crate) fn in_tokens(&self, losses: &mut Losses) -> Option<Budget> {
        if self.budget.is_some() {
            losses.add_if(self.effort.is_some(), Loss::ReasoningEffort);
            return self.budget;
        }
        let effort = self.effort?;
        losses.add_if(effort != Effort::None, Loss::ReasoningEffort);
        Some(match effort {
            Effort::None => Budget::Off,
            Effort::Minimal | Effort::Low => Budget::Tokens(1024),
            Effort::Medium => Budget::Tokens(8192),
            Effort::High | Effort::Xhigh | Effort::Max => Budget::Tokens(24576),
        })
    }
}
