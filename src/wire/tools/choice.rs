//! What refers to tools that were taken out: choices, and lists of allowed ones.

use super::Left;
use crate::wire::Dialect;
use crate::wire::fields::{Field, Fields};
use crate::wire::request::BodyError;
use crate::wire::splice::{Edit, Fate, sift};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the pass over the definitions found.
pub(super) struct Context<'r> {
    pub(super) dialect: Dialect,
    pub(super) left: Left,
    pub(super) removed: &'r [String],
}

impl Context<'_> {
    /// What becomes of a member of the body that refers to tools; `None` if it does not.
    pub(super) fn member<'b>(
        &self,
        top: &Fields<'b>,
        field: &Field<'b>,
    ) -> Result<Option<Fate>, BodyError> {
        let is_left = self.left.tools > 0;
        let name = &*field.name;
        let fate = match (self.dialect, name) {
            (Dialect::OpenaiChat, "parallel_tool_calls") if !is_left => Fate::Remove,
            (
                Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Anthropic,
                "tool_choice",
            ) => match top.get(name)? {
                None => return Ok(None),
                Some(_) if !is_left => Fate::Remove,
                Some(raw) => self.choice(top, raw)?,
            },
            (Dialect::OpenaiChat, "function_call") => match top.get(name)? {
                None => return Ok(None),
                Some(_) if self.left.functions == 0 => Fate::Remove,
                Some(raw) => self.choice(top, raw)?,
            },
            (Dialect::Gemini, "toolConfig" | "tool_config") => {
                top.clone().take_either("toolConfig", "tool_config")?;
                match top.get(name)? {
                    None => return Ok(None),
                    Some(raw) => self.gemini(&top.within(raw, name)?)?,
                }
            }
            (
                Dialect::OpenaiChat
                | Dialect::OpenaiResponses
                | Dialect::Anthropic
                | Dialect::Gemini
                | Dialect::Bedrock,
                _,
            ) => return Ok(None),
        };
        Ok(Some(fate))
    }

    /// A choice: a word, a tool, or a list of allowed tools.
    fn choice<'b>(&self, top: &Fields<'b>, raw: &'b RawValue) -> Result<Fate, BodyError> {
        if !raw.get().starts_with('{') {
            return Ok(Fate::AS_IT_IS);
        }
        let choice = top.within(raw, "tool_choice")?;
        if text(&choice, "type")?.as_deref() == Some("allowed_tools") {
            // Chat has them one level deeper.
            return match choice.get("allowed_tools")? {
                Some(inner) => {
                    let inner = choice.within(inner, "allowed_tools")?;
                    self.allowed(top, raw, &inner)
                }
                None => self.allowed(top, raw, &choice),
            };
        }
        if !self.has(&names(&choice)?) {
            return Ok(Fate::AS_IT_IS);
        }
        let auto: &[u8] = match self.dialect {
            Dialect::Anthropic => br#"{"type":"auto"}"#,
            Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::Gemini | Dialect::Bedrock => {
                br#""auto""#
            }
        };
        Ok(Fate::Keep(vec![Edit { place: top.place(raw), with: auto.to_vec() }]))
    }

    fn allowed<'b>(
        &self,
        top: &Fields<'b>,
        raw: &'b RawValue,
        list: &Fields<'b>,
    ) -> Result<Fate, BodyError> {
        let Some(tools) = list.get("tools")? else { return Ok(Fate::AS_IT_IS) };
        let mut items = Vec::new();
        for element in list.elements(tools, "tools")? {
            let is_gone = self.has(&names(&list.within(element, "tools")?)?);
            let fate = if is_gone { Fate::Remove } else { Fate::AS_IT_IS };
            items.push((list.place(element), fate));
        }
        let sifted = sift(items);
        if sifted.kept == 0 && sifted.removed > 0 {
            // The automatic choice would allow what the caller did not.
            let with = br#""none""#.to_vec();
            return Ok(Fate::Keep(vec![Edit { place: top.place(raw), with }]));
        }
        Ok(Fate::Keep(sifted.edits))
    }

    /// Gemini's `toolConfig`, in whose calling config stand the names of allowed functions.
    fn gemini(&self, config: &Fields<'_>) -> Result<Fate, BodyError> {
        config.clone().take_either("functionCallingConfig", "function_calling_config")?;
        let mut items = Vec::new();
        for field in config.iter() {
            let is_calling =
                matches!(&*field.name, "functionCallingConfig" | "function_calling_config");
            let fate = match config.get(&field.name)?.filter(|_| is_calling) {
                None => Fate::AS_IT_IS,
                Some(_) if self.left.functions == 0 => Fate::Remove,
                Some(raw) => self.calling(config, raw)?,
            };
            items.push((config.place_of(field), fate));
        }
        let sifted = sift(items);
        if sifted.kept == 0 && sifted.removed > 0 {
            return Ok(Fate::Remove);
        }
        Ok(Fate::Keep(sifted.edits))
    }

    fn calling<'b>(&self, config: &Fields<'b>, raw: &'b RawValue) -> Result<Fate, BodyError> {
        let calling = config.within(raw, "functionCallingConfig")?;
        let allowed =
            calling.clone().take_either("allowedFunctionNames", "allowed_function_names")?;
        let Some(allowed) = allowed else { return Ok(Fate::AS_IT_IS) };
        let mut items = Vec::new();
        for element in calling.elements(allowed, "allowedFunctionNames")? {
            let name = calling.text(element, "allowedFunctionNames")?;
            let fate = if self.has(&[name.into()]) { Fate::Remove } else { Fate::AS_IT_IS };
            items.push((calling.place(element), fate));
        }
        let sifted = sift(items);
        if sifted.kept == 0 && sifted.removed > 0 {
            let with = br#"{"mode":"NONE"}"#.to_vec();
            return Ok(Fate::Keep(vec![Edit { place: config.place(raw), with }]));
        }
        Ok(Fate::Keep(sifted.edits))
    }

    fn has(&self, names: &[Cow<'_, str>]) -> bool {
        names.iter().any(|name| self.removed.iter().any(|removed| removed == name))
    }
}

/// The names of a tool of Chat: that in the member of its type, or else its type.
pub(super) fn chat_names<'b>(tool: &Fields<'b>) -> Result<Vec<Cow<'b, str>>, BodyError> {
    let mut names: Vec<Cow<'b, str>> = Vec::new();
    let kind = text(tool, "type")?;
    // Whatever the type says, a reader may go by the member.
    for inner in ["function", "custom"] {
        if let Some(raw) = tool.get(inner)? {
            names.extend(text(&tool.within(raw, inner)?, "name")?.map(Cow::Owned));
        }
    }
    names.extend(text(tool, "name")?.map(Cow::Owned));
    if names.is_empty() {
        names.extend(kind.map(Cow::Owned));
    }
    Ok(names)
}

/// The names by which a choice may refer to a tool, in any dialect.
fn names<'b>(choice: &Fields<'b>) -> Result<Vec<Cow<'b, str>>, BodyError> {
    let mut names = chat_names(choice)?;
    names.extend(text(choice, "server_label")?.map(Cow::Owned));
    if let Some(kind) = text(choice, "type")?
        && !matches!(&*kind, "function" | "custom" | "tool" | "mcp" | "auto" | "any" | "none")
    {
        names.push(kind.into());
    }
    Ok(names)
}

/// A string, decoded; a value of another type is the provider's to refuse.
pub(super) fn text(object: &Fields<'_>, name: &str) -> Result<Option<String>, BodyError> {
    Ok(object.get(name)?.and_then(crate::wire::json::string).map(Cow::into_owned))
}
