//! Takes tools out of a request, so that the model never hears of them.
//!
//! What always holds: no definition of a killed tool is left, under whatever spelling a provider
//! would read; what refers to it is mended; every other byte stays as it came. Where a body could
//! be read in two ways (a member that stands twice), it is refused.
//!
//! What this cannot do: a server of tools (MCP, a namespace that the provider expands) lists its
//! tools to the provider alone, so one of them can be taken out only where the request names it;
//! and calls of a removed tool in earlier turns stay, because they are what happened.

mod choice;

use super::Dialect;
use super::fields::{Field, Fields};
use super::request::BodyError;
use super::splice::{Edit, Fate, sift, splice};
use choice::Context;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::ops::Range;

/// A body without some of its tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripped {
    /// The body.
    pub body: Vec<u8>,
    /// The tools that were taken out, each once, in order.
    pub names: Vec<String>,
}

/// Takes the tools of which `is_killed` holds out of `body`; `None` if none is there, and the body
/// stays as it came.
///
/// A tool that the provider runs is asked about by its type, one of Gemini in both spellings; a
/// server of tools by its label. A choice of a removed tool becomes the dialect's automatic one.
/// Of a list of allowed tools the removed ones go; if none is left, no tool may be called. Where
/// no tool is left at all, the list and the choice go as well, because APIs refuse an empty list.
///
/// # Errors
/// If the body is not a request of the dialect, or says something about tools twice.
pub fn strip_tools(
    dialect: Dialect,
    body: &[u8],
    is_killed: &mut dyn FnMut(&str) -> bool,
) -> Result<Option<Stripped>, BodyError> {
    let top = Fields::body(body)?;
    let mut removed: Vec<String> = Vec::new();
    let mut judge = |names: &[Cow<'_, str>]| -> bool {
        let is_killed = names.iter().any(|name| is_killed(name));
        if is_killed
            && let Some(name) = names.first()
            && !removed.iter().any(|known| known == name)
        {
            removed.push(name.clone().into_owned());
        }
        is_killed
    };
    let mut strip = Strip { dialect, judge: &mut judge, left: Left::default() };
    let members: Vec<&Field<'_>> = top.iter().collect();
    let mut fates: Vec<(Range<usize>, Fate)> = Vec::with_capacity(members.len());
    for field in &members {
        fates.push((top.place_of(field), strip.member(&top, field)?));
    }
    let left = strip.left;
    if removed.is_empty() {
        return Ok(None);
    }
    let context = Context { dialect, left, removed: &removed };
    for (field, (_, fate)) in members.iter().zip(&mut fates) {
        if let Some(mended) = context.member(&top, field)? {
            *fate = mended;
        }
    }
    Ok(Some(Stripped { body: splice(body, sift(fates).edits), names: removed }))
}

/// Tells `sink` every tool that `body` defines, by the name that [`strip_tools`] asks about first.
///
/// # Errors
/// If the body is not a request of the dialect, or says something about tools twice.
pub fn tool_names(
    dialect: Dialect,
    body: &[u8],
    sink: &mut dyn FnMut(&str),
) -> Result<(), BodyError> {
    let top = Fields::body(body)?;
    let mut judge = |names: &[Cow<'_, str>]| {
        if let Some(name) = names.first() {
            sink(name);
        }
        false
    };
    let mut strip = Strip { dialect, judge: &mut judge, left: Left::default() };
    for field in top.iter() {
        strip.member(&top, field)?;
    }
    Ok(())
}

/// How many tools stay, by the list that they stand in.
#[derive(Clone, Copy, Debug, Default)]
struct Left {
    tools: usize,
    /// Chat's legacy `functions`; of Gemini's tools those that are functions.
    functions: usize,
}

/// The pass over the definitions.
struct Strip<'j> {
    dialect: Dialect,
    /// Whether a tool of these names, which mean the same, is killed.
    judge: &'j mut dyn FnMut(&[Cow<'_, str>]) -> bool,
    left: Left,
}

impl Strip<'_> {
    /// What becomes of a member of the body.
    fn member<'b>(&mut self, top: &Fields<'b>, field: &Field<'b>) -> Result<Fate, BodyError> {
        match (self.dialect, &*field.name) {
            (_, "tools") => {
                let Some(raw) = top.get("tools")? else { return Ok(Fate::AS_IT_IS) };
                let (fate, left) = self.list(top, raw, "tools", Strip::tool)?;
                self.left.tools += left;
                Ok(fate)
            }
            (Dialect::OpenaiChat, "functions") => {
                let Some(raw) = top.get("functions")? else { return Ok(Fate::AS_IT_IS) };
                let (fate, left) = self.list(top, raw, "functions", Strip::named)?;
                self.left.functions += left;
                Ok(fate)
            }
            (Dialect::OpenaiChat, "web_search_options") => {
                let names = [Cow::Borrowed("web_search"), Cow::Borrowed("web_search_options")];
                Ok(if (self.judge)(&names) { Fate::Remove } else { Fate::AS_IT_IS })
            }
            (Dialect::Anthropic, "mcp_servers") => {
                let Some(raw) = top.get("mcp_servers")? else { return Ok(Fate::AS_IT_IS) };
                Ok(self.list(top, raw, "mcp_servers", Strip::mcp_server)?.0)
            }
            (Dialect::OpenaiResponses, "input") => self.input(top),
            (Dialect::Bedrock, "toolConfig") => self.bedrock(top),
            (
                Dialect::OpenaiChat
                | Dialect::OpenaiResponses
                | Dialect::Anthropic
                | Dialect::Gemini
                | Dialect::Bedrock,
                _,
            ) => Ok(Fate::AS_IT_IS),
        }
    }

    /// What becomes of a list of tools: it goes if all of them do. Gives too how many stay.
    fn list<'b>(
        &mut self,
        object: &Fields<'b>,
        raw: &'b RawValue,
        name: &str,
        item: fn(&mut Self, &Fields<'b>) -> Result<Fate, BodyError>,
    ) -> Result<(Fate, usize), BodyError> {
        let mut items = Vec::new();
        for element in object.elements(raw, name)? {
            let place = object.place(element);
            items.push((place, item(self, &object.within(element, name)?)?));
        }
        let sifted = sift(items);
        let fate = if sifted.kept == 0 && sifted.removed > 0 {
            Fate::Remove
        } else {
            Fate::Keep(sifted.edits)
        };
        Ok((fate, sifted.kept))
    }

    fn tool(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        match self.dialect {
            Dialect::OpenaiChat => self.chat(tool),
            Dialect::OpenaiResponses => self.responses(tool),
            Dialect::Anthropic => self.anthropic(tool),
            Dialect::Gemini => self.gemini(tool),
            // Its tools stand in `toolConfig`.
            Dialect::Bedrock => Ok(Fate::AS_IT_IS),
        }
    }

    /// An object with a `name`.
    fn named(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let Some(name) = tool.get("name")? else { return Ok(Fate::AS_IT_IS) };
        Ok(self.fate(&[tool.text(name, "name")?.into()]))
    }

    fn chat(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let names = choice::chat_names(tool)?;
        Ok(self.fate(&names))
    }

    fn responses(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let kind = choice::text(tool, "type")?.unwrap_or_default();
        match &*kind {
            "function" | "custom" => self.named(tool),
            "mcp" => self.mcp(tool),
            "namespace" => {
                if self.named(tool)? == Fate::Remove {
                    return Ok(Fate::Remove);
                }
                let Some(raw) = tool.get("tools")? else { return Ok(Fate::AS_IT_IS) };
                Ok(self.list(tool, raw, "tools", Strip::responses)?.0)
            }
            // What we do not know may have a name all the same.
            _ => {
                let mut names: Vec<Cow<'_, str>> = Vec::new();
                names.extend(choice::text(tool, "name")?.map(Cow::Owned));
                names.push(kind.into());
                Ok(self.fate(&names))
            }
        }
    }

    /// A server of tools; the tools of it that the request names are tools too.
    fn mcp(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let label = choice::text(tool, "server_label")?.unwrap_or_default();
        if self.fate(&[label.into()]) == Fate::Remove {
            return Ok(Fate::Remove);
        }
        let Some(raw) = tool.get("allowed_tools")? else { return Ok(Fate::AS_IT_IS) };
        if raw.get().starts_with('[') {
            return self.allowed(tool, raw);
        }
        let filter = tool.within(raw, "allowed_tools")?;
        match filter.get("tool_names")? {
            Some(names) => self.allowed(&filter, names),
            None => Ok(Fate::AS_IT_IS),
        }
    }

    /// A list of names. Without any left the server has no tool; an empty list might mean all.
    fn allowed<'b>(&mut self, object: &Fields<'b>, raw: &'b RawValue) -> Result<Fate, BodyError> {
        let mut items = Vec::new();
        for element in object.elements(raw, "allowed_tools")? {
            let name = object.text(element, "allowed_tools")?;
            items.push((object.place(element), self.fate(&[name.into()])));
        }
        let sifted = sift(items);
        if sifted.kept == 0 && sifted.removed > 0 {
            return Ok(Fate::Remove);
        }
        Ok(Fate::Keep(sifted.edits))
    }

    fn anthropic(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let kind = choice::text(tool, "type")?.unwrap_or_default();
        if kind == "mcp_toolset" {
            return self.toolset(tool);
        }
        let mut names: Vec<Cow<'_, str>> = Vec::new();
        names.extend(choice::text(tool, "name")?.map(Cow::Owned));
        if !matches!(&*kind, "" | "custom") {
            names.push(kind.into());
        }
        Ok(self.fate(&names))
    }

    /// The tools of a server that are switched on or off one by one. One that is killed is
    /// switched off, because without a word of it the server's default would hold.
    fn toolset(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        let server = choice::text(tool, "mcp_server_name")?.unwrap_or_default();
        if self.fate(&[server.into()]) == Fate::Remove {
            return Ok(Fate::Remove);
        }
        let Some(raw) = tool.get("configs")? else { return Ok(Fate::AS_IT_IS) };
        let configs = tool.within(raw, "configs")?;
        let mut edits = Vec::new();
        for field in configs.iter() {
            configs.get(&field.name)?;
            let is_off = field.value.get().starts_with('{')
                && configs
                    .within(field.value, "configs")?
                    .get("enabled")?
                    .is_some_and(|enabled| enabled.get() == "false");
            if !is_off && self.fate(std::slice::from_ref(&field.name)) == Fate::Remove {
                let place = configs.place(field.value);
                edits.push(Edit { place, with: br#"{"enabled":false}"#.to_vec() });
            }
        }
        Ok(Fate::Keep(edits))
    }

    fn mcp_server(&mut self, server: &Fields<'_>) -> Result<Fate, BodyError> {
        if self.named(server)? == Fate::Remove {
            return Ok(Fate::Remove);
        }
        let Some(raw) = server.get("tool_configuration")? else { return Ok(Fate::AS_IT_IS) };
        let configuration = server.within(raw, "tool_configuration")?;
        match configuration.get("allowed_tools")? {
            Some(names) => self.allowed(&configuration, names),
            None => Ok(Fate::AS_IT_IS),
        }
    }

    /// An object of several lists and of tools that Google runs, each under its own name.
    fn gemini(&mut self, tool: &Fields<'_>) -> Result<Fate, BodyError> {
        tool.clone().take_either("functionDeclarations", "function_declarations")?;
        let mut items = Vec::new();
        for field in tool.iter() {
            let fate = match &*field.name {
                "functionDeclarations" | "function_declarations" => match tool.get(&field.name)? {
                    None => Fate::AS_IT_IS,
                    Some(raw) => {
                        let (fate, left) =
                            self.list(tool, raw, "functionDeclarations", Strip::named)?;
                        self.left.functions += left;
                        fate
                    }
                },
                name => self.fate(&spellings(name)),
            };
            items.push((tool.place_of(field), fate));
        }
        let sifted = sift(items);
        if sifted.kept == 0 && sifted.removed > 0 {
            return Ok(Fate::Remove);
        }
        Ok(Fate::Keep(sifted.edits))
    }

    /// Bedrock's tools and the choice among them, in one object. A cache point between them is no
    /// tool, and does not stay alone.
    fn bedrock(&mut self, top: &Fields<'_>) -> Result<Fate, BodyError> {
        let Some(raw) = top.get("toolConfig")? else { return Ok(Fate::AS_IT_IS) };
        let config = top.within(raw, "toolConfig")?;
        let Some(list) = config.get("tools")? else { return Ok(Fate::AS_IT_IS) };
        let (mut items, mut gone, mut left) = (Vec::new(), Vec::new(), 0usize);
        for element in config.elements(list, "tools")? {
            let tool = config.within(element, "tools")?;
            let mut fate = Fate::AS_IT_IS;
            for kind in ["toolSpec", "systemTool"] {
                let Some(inner) = tool.get(kind)? else { continue };
                let inner = tool.within(inner, kind)?;
                let Some(name) = choice::text(&inner, "name")? else { continue };
                if self.fate(&[Cow::Borrowed(&*name)]) == Fate::Remove {
                    gone.push(name);
                    fate = Fate::Remove;
                } else {
                    left += 1;
                }
            }
            items.push((config.place(element), fate));
        }
        if gone.is_empty() {
            return Ok(Fate::AS_IT_IS);
        }
        if left == 0 {
            return Ok(Fate::Remove);
        }
        let mut edits = sift(items).edits;
        if let Some(raw) = config.get("toolChoice")? {
            let chosen = config.within(raw, "toolChoice")?;
            let named = match chosen.get("tool")? {
                Some(tool) => choice::text(&chosen.within(tool, "tool")?, "name")?,
                None => None,
            };
            if named.is_some_and(|name| gone.iter().any(|known| **known == *name)) {
                let with = br#"{"auto":{}}"#.to_vec();
                edits.push(Edit { place: config.place(raw), with });
            }
        }
        edits.sort_by_key(|edit| edit.place.start);
        Ok(Fate::Keep(edits))
    }

    /// Tools that earlier turns bring along (a search of tools found them). Such a list may be
    /// empty.
    fn input(&mut self, top: &Fields<'_>) -> Result<Fate, BodyError> {
        let Some(raw) = top.get("input")?.filter(|raw| raw.get().starts_with('[')) else {
            return Ok(Fate::AS_IT_IS);
        };
        let mut edits = Vec::new();
        for element in top.elements(raw, "input")? {
            if !element.get().starts_with('{') {
                continue;
            }
            let item = top.within(element, "input")?;
            let kind = item.iter().find(|field| field.name == "type").map(|field| field.value);
            let kind = kind.and_then(super::json::string).unwrap_or_default();
            let judge: fn(&mut Self, &Fields<'_>) -> Result<Fate, BodyError> = match &*kind {
                "tool_search_output" | "additional_tools" => Strip::responses,
                "mcp_list_tools" => Strip::named,
                _ => continue,
            };
            let Some(raw) = item.get("tools")? else { continue };
            let mut items = Vec::new();
            for tool in item.elements(raw, "tools")? {
                items.push((item.place(tool), judge(self, &item.within(tool, "tools")?)?));
            }
            let sifted = sift(items);
            if kind == "additional_tools" {
                self.left.tools += sifted.kept;
            }
            edits.extend(sifted.edits);
        }
        Ok(Fate::Keep(edits))
    }

    fn fate(&mut self, names: &[Cow<'_, str>]) -> Fate {
        if !names.is_empty() && (self.judge)(names) { Fate::Remove } else { Fate::AS_IT_IS }
    }
}

/// A name of Gemini in the spelling of the documentation, as it is written, and in the other one.
fn spellings(name: &str) -> Vec<Cow<'_, str>> {
    let mut camel = String::with_capacity(name.len());
    let mut snake = String::with_capacity(name.len() + 2);
    let mut is_new_word = false;
    for letter in name.chars() {
        if letter == '_' {
            is_new_word = true;
        } else if std::mem::take(&mut is_new_word) {
            camel.push(letter.to_ascii_uppercase());
        } else {
            camel.push(letter);
        }
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    let mut all: Vec<Cow<'_, str>> = vec![camel.into()];
    for other in [Cow::Borrowed(name), Cow::Owned(snake)] {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    all
}

#[cfg(test)]
mod tests;
