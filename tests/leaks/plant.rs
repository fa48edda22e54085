//! A secret put into a recorded answer, as a provider would have sent it.

use super::frames::{Frame, Framing};
use super::leaf::{Leaf, Step, at_mut, is_repeated, is_structure, leaves};
use super::secret::{Dice, Form, Secret};
use firedoor::wire::Dialect;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Where a secret is put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where the recording has text, second copies included.
    Text(String),
    /// The same, with the probabilities of its tokens beside it.
    Spelled(String),
    /// A member that nobody knows.
    Member,
    /// The same, a piece of it in each of a few frames.
    MemberInPieces,
    /// The name of a member.
    Name,
    /// An event that nobody knows.
    Event,
    /// The same, a piece of it in each of a few.
    EventInPieces,
    /// The provider's own words on why it ends the stream.
    Error,
    /// A comment of SSE.
    Comment,
    /// The name of an SSE event.
    EventName,
}

/// A recording with a secret in it.
#[derive(Clone, Debug)]
pub struct Planted {
    pub frames: Vec<Frame>,
    /// The secret as it is written in texts.
    pub spelled: String,
}

/// The kinds of place of a recording that has text in it.
pub fn classes(frames: &[Frame]) -> Vec<String> {
    let mut found: Vec<String> = frames
        .iter()
        .flat_map(leaves)
        .filter(|leaf| !leaf.text.is_empty() && !is_structure(&leaf.class))
        .filter(|leaf| !is_repeated(&leaf.path))
        .map(|leaf| leaf.class)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Whether SDKs put the texts of this kind of place together.
pub fn is_delta(class: &str) -> bool {
    let ends = [
        ".delta.content",
        ".delta.reasoning_content",
        ".delta.reasoning",
        ".delta.refusal",
        ".delta.tool_calls[].function.arguments",
        ".delta.content[].text",
        ".delta.delta",
        ".delta.reasoning_details[].text",
        ".delta.content[].thinking[].text",
        "content_block_delta.delta.text",
        "content_block_delta.delta.thinking",
        "content_block_delta.delta.partial_json",
        ".content.parts[].text",
        ".content.parts[]!thought.text",
        "contentBlockDelta.delta.text",
        "contentBlockDelta.delta.reasoningContent.text",
        "contentBlockDelta.delta.toolUse.input",
    ];
    ends.iter().any(|end| class.ends_with(end))
}

/// Whether the text is JSON.
pub fn is_arguments(class: &str) -> bool {
    [".function.arguments", ".partial_json", ".toolUse.input", "_call_arguments.delta.delta"]
        .iter()
        .any(|end| class.ends_with(end))
}

impl Place {
    /// Puts `secret` there; `None` if the recording has no such place.
    pub fn plant(
        &self,
        dialect: Dialect,
        framing: Framing,
        frames: &[Frame],
        secret: &Secret,
        dice: &mut Dice,
    ) -> Option<Planted> {
        let mut planted = Planted { frames: frames.to_vec(), spelled: secret.text.clone() };
        match self {
            Place::Text(class) => planted.text(framing, class, secret, false, dice)?,
            Place::Spelled(class) => planted.text(framing, class, secret, true, dice)?,
            Place::Member => planted.member(framing, &[format!("- {} -", secret.text)], dice)?,
            Place::MemberInPieces => planted.member(framing, &pieces(&secret.text, dice), dice)?,
            Place::Name => planted.name(framing, secret, dice)?,
            Place::Event => planted.event(framing, std::slice::from_ref(&secret.text), dice),
            Place::EventInPieces => planted.event(framing, &pieces(&secret.text, dice), dice),
            Place::Error => planted.error(dialect, framing, secret, dice),
            Place::Comment if framing == Framing::Sse => {
                planted.line(&format!(": see {} \n", secret.text), dice);
            }
            Place::EventName if framing == Framing::Sse => {
                let at = dice.below(planted.frames.len());
                let data = planted.frames.get(at)?.data.clone();
                let name = format!("surprise {} .", secret.text);
                planted.frames.insert(at, Frame::new(framing, &name, data));
            }
            Place::Comment | Place::EventName => return None,
        }
        if dialect == Dialect::OpenaiResponses && planted.frames.len() != frames.len() {
            planted.number(framing);
        }
        Some(planted)
    }
}

/// `text` in two to four pieces.
fn pieces(text: &str, dice: &mut Dice) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut cuts: Vec<usize> =
        (0..1 + dice.below(3)).map(|_| 1 + dice.below(letters.len() - 1)).collect();
    cuts.sort_unstable();
    cuts.dedup();
    cuts.insert(0, 0);
    cuts.push(letters.len());
    cuts.windows(2).map(|cut| letters[cut[0]..cut[1]].iter().collect()).collect()
}

impl Planted {
    fn text(
        &mut self,
        framing: Framing,
        class: &str,
        secret: &Secret,
        is_spelled: bool,
        dice: &mut Dice,
    ) -> Option<()> {
        let mut slots: BTreeMap<String, Vec<(usize, Leaf)>> = BTreeMap::new();
        for (at, frame) in self.frames[..self.open()].iter().enumerate() {
            for leaf in leaves(frame).into_iter().filter(|leaf| leaf.class == class) {
                // What stands in several parts of one frame is several texts.
                let is_joined = is_delta(class) && self.frames.len() > 1;
                let key =
                    if is_joined { leaf.key.clone() } else { format!("{at} {:?}", leaf.path) };
                slots.entry(key).or_default().push((at, leaf));
            }
        }
        slots.retain(|_, pieces| pieces.iter().any(|(_, leaf)| !leaf.text.is_empty()));
        let all: Vec<_> = slots.into_values().collect();
        let mut slot = all.get(dice.below(all.len().max(1)))?.clone();
        if slot.len() == 1 && is_delta(class) && !class.contains("tool_calls") {
            self.repeat(framing, &mut slot);
        }

        let before: String = slot.iter().map(|(_, leaf)| leaf.text.as_str()).collect();
        let inner = is_arguments(class) && dice.one_in(2);
        self.spelled = if inner { escaped(&secret.text, dice) } else { secret.text.clone() };
        let (full, at, length) = self.put(class, secret, &before, dice);
        let cut = recut(&slot, &full, (at, length), dice);
        let twins = self.twins(&slot);
        let is_escaped = dice.one_in(3);
        for ((at, leaf), text) in slot.iter().zip(&cut) {
            if leaf.text == *text && !is_spelled {
                continue;
            }
            let mut value = self.frames[*at].json()?;
            for other in leaves(&self.frames[*at]) {
                if twins.contains(&other.exact) {
                    *at_mut(&mut value, &other.path) = text.as_str().into();
                }
            }
            *at_mut(&mut value, &leaf.path) = text.as_str().into();
            if is_spelled {
                spell(&mut value, leaf, text);
            }
            let data = written(&value, is_escaped);
            self.frames[*at].set(framing, data);
        }
        self.copies(framing, &slot, &before, &full, is_escaped);
        Some(())
    }

    /// Places that say the same as the slot in all of its frames, in another way.
    fn twins(&self, slot: &[(usize, Leaf)]) -> Vec<String> {
        let says_it = |(at, leaf): &(usize, Leaf)| -> Vec<String> {
            let others = leaves(&self.frames[*at]).into_iter();
            let same = others.filter(|other| other.path != leaf.path && other.text == leaf.text);
            same.filter(|other| other.class.contains("reasoning") && !is_structure(&other.class))
                .map(|other| other.exact)
                .collect()
        };
        let mut twins = says_it(&slot[0]);
        for piece in slot {
            let here = says_it(piece);
            twins.retain(|twin| here.contains(twin));
        }
        twins.retain(|_| slot[0].1.class.contains("reasoning"));
        twins
    }

    /// `before` with the secret in it, and where it stands there.
    fn put(
        &self,
        class: &str,
        secret: &Secret,
        before: &str,
        dice: &mut Dice,
    ) -> (String, usize, usize) {
        let spelled = &self.spelled;
        // A key's rule wants a word of its own.
        let padded = match secret.form {
            Form::Key => format!(" {spelled} "),
            Form::Expression | Form::Word => spelled.clone(),
        };
        if is_arguments(class) {
            let starts = before.match_indices(":\"").map(|(at, mark)| at + mark.len());
            let spaced = before.match_indices(": \"").map(|(at, mark)| at + mark.len());
            let places: Vec<usize> = starts.chain(spaced).collect();
            if places.is_empty() || serde_json::from_str::<Value>(before).is_err() {
                let opening = "{\"words\":\"";
                return (format!("{opening}{padded}\"}}"), opening.len(), padded.len());
            }
            let at = *dice.pick(&places);
            return (format!("{}{padded}{}", &before[..at], &before[at..]), at, padded.len());
        }
        let places: Vec<usize> =
            before.char_indices().map(|(at, _)| at).chain([before.len()]).collect();
        let at = *dice.pick(&places);
        (format!("{}{padded}{}", &before[..at], &before[at..]), at, padded.len())
    }

    /// Two more frames like the only one of a text, which say nothing yet.
    fn repeat(&mut self, framing: Framing, slot: &mut Vec<(usize, Leaf)>) {
        let (at, leaf) = slot[0].clone();
        let Some(mut value) = self.frames[at].json() else { return };
        let ends = self.frames[at].data.contains("inish_reason\":\"")
            || self.frames[at].data.contains("finishReason");
        if ends {
            return;
        }
        for other in leaves(&self.frames[at]) {
            if other.text == leaf.text {
                *at_mut(&mut value, &other.path) = "".into();
            }
        }
        for more in 1..=2 {
            let mut frame = self.frames[at].clone();
            frame.set(framing, value.to_string());
            self.frames.insert(at + more, frame);
            slot.push((at + more, Leaf { text: String::new(), ..leaf.clone() }));
        }
    }

    /// Puts the text that was changed into its second copies.
    fn copies(
        &mut self,
        framing: Framing,
        slot: &[(usize, Leaf)],
        before: &str,
        full: &str,
        is_escaped: bool,
    ) {
        if before.len() < 4 {
            return;
        }
        for (at, frame) in self.frames.iter_mut().enumerate() {
            let Some(mut value) = frame.json() else { continue };
            let mut is_changed = false;
            for leaf in leaves(frame) {
                let is_own = slot.iter().any(|(own, o)| *own == at && o.path == leaf.path);
                let is_copy =
                    leaf.text == before || before.len() >= 12 && leaf.text.contains(before);
                let is_answer = !is_structure(&leaf.class) && !is_repeated(&leaf.path);
                if is_copy && !is_own && is_answer {
                    *at_mut(&mut value, &leaf.path) = leaf.text.replace(before, full).into();
                    is_changed = true;
                }
            }
            if is_changed {
                frame.set(framing, written(&value, is_escaped));
            }
        }
    }

    /// An object of a random frame, as the steps to it.
    fn object(&self, at: usize, dice: &mut Dice) -> Option<Vec<Step>> {
        let all = leaves(self.frames.get(at)?);
        let mut places: Vec<Vec<Step>> = all
            .into_iter()
            .map(|leaf| leaf.path)
            .filter_map(|mut path| {
                while let Some(step) = path.pop() {
                    if matches!(step, Step::Member(_)) {
                        return Some(path);
                    }
                }
                None
            })
            .collect();
        let is_format = |path: &[Step]| matches!(path, [Step::Member(one)] if one == "text");
        places.retain(|path| !is_repeated(path) && !is_format(path));
        places.sort_by_key(Vec::len);
        places.dedup();
        (!places.is_empty()).then(|| dice.pick(&places).clone())
    }

    /// A member that nobody knows, in as many frames as it has `parts`: where there are several,
    /// beside the pieces of a text, for only there would anybody put them together.
    fn member(&mut self, framing: Framing, parts: &[String], dice: &mut Dice) -> Option<()> {
        let objects: Vec<(usize, Vec<Step>)> = (0..self.frames.len())
            .filter(|at| self.frames[*at].json().is_some_and(|v| v.get("response").is_none()))
            .filter_map(|at| Some((at, self.object(at, dice)?)))
            .collect();
        if let [part] = parts {
            let (at, path) = objects.get(dice.below(objects.len().max(1)))?;
            return self.add(framing, *at, path, part);
        }
        let mut beside: BTreeMap<String, Vec<(usize, Vec<Step>)>> = BTreeMap::new();
        for (at, frame) in self.frames[..self.open()].iter().enumerate() {
            for leaf in leaves(frame).into_iter().filter(|leaf| is_delta(&leaf.class)) {
                let mut path = leaf.path;
                path.pop();
                let places = beside.entry(leaf.key).or_default();
                if places.last().is_none_or(|(last, _)| *last != at) {
                    places.push((at, path));
                }
            }
        }
        let all: Vec<_> = beside.into_values().filter(|all| all.len() >= parts.len()).collect();
        let places = all.get(dice.below(all.len().max(1)))?;
        let first = dice.below(places.len() - parts.len() + 1);
        for (part, (at, path)) in parts.iter().zip(&places[first..]) {
            self.add(framing, *at, path, part)?;
        }
        Some(())
    }

    /// Frames up to the one that says why the answer stopped: a text that goes on behind that is
    /// another one.
    fn open(&self) -> usize {
        let stops = |frame: &Frame| {
            ["finish_reason\":\"", "finishReason\":"].iter().any(|mark| frame.data.contains(mark))
        };
        self.frames.iter().position(stops).map_or(self.frames.len(), |at| at + 1)
    }

    fn add(&mut self, framing: Framing, at: usize, path: &[Step], text: &str) -> Option<()> {
        let mut value = self.frames[at].json()?;
        at_mut(&mut value, path)["x_words"] = text.into();
        self.frames[at].set(framing, value.to_string());
        Some(())
    }

    fn name(&mut self, framing: Framing, secret: &Secret, dice: &mut Dice) -> Option<()> {
        let at = dice.below(self.frames.len());
        let chosen = self.object(at, dice)?;
        let mut value = self.frames[at].json()?;
        at_mut(&mut value, &chosen)[format!("x {} y", secret.text)] = json!(1);
        self.frames[at].set(framing, value.to_string());
        Some(())
    }

    fn event(&mut self, framing: Framing, parts: &[String], dice: &mut Dice) {
        // Not before the first, which begins the answer.
        let first = 1 + dice.below(self.frames.len());
        for (number, part) in parts.iter().enumerate() {
            let data = json!({ "type": "surprise.delta", "index": 0, "words": part });
            let name = if framing == Framing::Array { "" } else { "surprise.delta" };
            let at = (first + number).min(self.frames.len());
            self.frames.insert(at, Frame::new(framing, name, data.to_string()));
        }
    }

    fn error(&mut self, dialect: Dialect, framing: Framing, secret: &Secret, dice: &mut Dice) {
        let message = format!("Overloaded: {} was too much", secret.text);
        let (name, data) = match dialect {
            Dialect::OpenaiChat => (
                "",
                json!({ "error": { "message": message, "type": "server_error", "code": "x" } }),
            ),
            Dialect::OpenaiResponses => (
                "error",
                json!({ "type": "error", "sequence_number": 1, "code": "x", "message": message,
                        "param": null }),
            ),
            Dialect::Anthropic => (
                "error",
                json!({ "type": "error",
                        "error": { "type": "overloaded_error", "message": message } }),
            ),
            Dialect::Gemini => (
                "",
                json!({ "error": { "code": 503, "message": message, "status": "UNAVAILABLE" } }),
            ),
            Dialect::Bedrock => ("throttlingException", json!({ "message": message })),
        };
        let at = 1 + dice.below(self.frames.len());
        self.frames.truncate(at);
        self.frames.push(Frame::new(framing, name, data.to_string()));
    }

    /// A line of SSE of its own in front of a frame.
    fn line(&mut self, line: &str, dice: &mut Dice) {
        let at = dice.below(self.frames.len());
        let frame = &mut self.frames[at];
        frame.raw = [line.as_bytes(), &frame.raw].concat();
    }

    fn number(&mut self, framing: Framing) {
        for (number, frame) in self.frames.iter_mut().enumerate() {
            let Some(mut value) = frame.json() else { continue };
            if value.get("sequence_number").is_some() {
                value["sequence_number"] = json!(number);
                frame.set(framing, value.to_string());
            }
        }
    }
}

/// Cuts `full` into as many pieces as the slot has, some of them inside of what was put in.
fn recut(
    slot: &[(usize, Leaf)],
    full: &str,
    (at, length): (usize, usize),
    dice: &mut Dice,
) -> Vec<String> {
    let mut ends: Vec<usize> = slot
        .iter()
        .scan(0, |sum, (_, leaf)| {
            *sum += leaf.text.len();
            Some(*sum)
        })
        .collect();
    ends.pop();
    let here = ends.iter().filter(|end| **end <= at).count();
    ends.iter_mut().skip(here).for_each(|end| *end += length);
    let inside: Vec<usize> = full
        .char_indices()
        .map(|(place, _)| place)
        .filter(|place| *place > at && *place < at + length)
        .collect();
    if !inside.is_empty() && !ends.is_empty() {
        let count = dice.below(5).min(ends.len());
        let first = here - dice.below(count.min(here) + 1);
        let first = first.min(ends.len() - count);
        let mut chosen: Vec<usize> = (0..count).map(|_| *dice.pick(&inside)).collect();
        chosen.sort_unstable();
        ends[first..first + count].copy_from_slice(&chosen);
    }
    // The text may have become another one altogether.
    let mut from = 0;
    let mut cut = Vec::new();
    for end in ends.into_iter().chain([full.len()]) {
        let mut end = end.clamp(from, full.len());
        while !full.is_char_boundary(end) {
            end += 1;
        }
        cut.push(full[from..end].to_owned());
        from = end;
    }
    cut
}

/// Some letters as JSON's escapes.
fn escaped(text: &str, dice: &mut Dice) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if dice.one_in(3) {
            out.push_str(&format!("\\u{:04x}", u32::from(letter)));
        } else {
            out.push(letter);
        }
    }
    out
}

/// JSON, with every letter beyond ASCII, and every `Q`, as an escape if `is_escaped`.
fn written(value: &Value, is_escaped: bool) -> String {
    let plain = value.to_string();
    if !is_escaped {
        return plain;
    }
    let mut out = String::new();
    for letter in plain.chars() {
        if letter.is_ascii() && letter != 'Q' {
            out.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// The probabilities of a text, as its dialect tells them.
fn spell(value: &mut Value, leaf: &Leaf, text: &str) {
    let one = json!({ "token": text, "logprob": -0.1, "bytes": text.as_bytes(),
                      "top_logprobs": [{ "token": text, "logprob": -0.1 }] });
    match leaf.path.first() {
        Some(Step::Member(name)) if name == "choices" => {
            at_mut(value, &leaf.path[..2])["logprobs"] = json!({ "content": [one] });
        }
        Some(Step::Member(name)) if name == "candidates" => {
            at_mut(value, &leaf.path[..2])["logprobsResult"] = json!({ "chosenCandidates": [one] });
        }
        _ => value["logprobs"] = json!([one]),
    }
}
