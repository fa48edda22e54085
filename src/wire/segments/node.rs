//! The words in which a grammar says what a value means.
//!
//! A grammar is functions from a member's name to a [`Node`]. A list has the node of its elements.
//! What comes in another form than its node expects (an object where a string belongs) is not
//! taken for nothing: it is walked as what nobody knows.

use super::super::event::Kind;
use super::file::File;
use std::borrow::Cow;

/// What the members of an object mean, by their decoded names.
pub(in crate::wire) type Members = fn(Sense, &str) -> Node;

/// What is known on the way down to a value.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Sense {
    /// Whose text it is.
    pub(in crate::wire) kind: Kind,
    /// What a file here is.
    pub(in crate::wire) file: File,
    /// How many objects that had to be looked into lie around it.
    level: u8,
}

impl Sense {
    /// Text of a kind.
    pub(in crate::wire) const fn of(kind: Kind) -> Sense {
        Sense { kind, file: File::Unsaid, level: 0 }
    }

    /// The same place, but text of another kind.
    pub(in crate::wire) const fn to(self, kind: Kind) -> Sense {
        Sense { kind, ..self }
    }

    /// A file of the kind.
    pub(in crate::wire) const fn with(self, file: File) -> Sense {
        Sense { file, ..self }
    }

    /// One level down; `None` if that is too deep to look into objects again and again.
    pub(in crate::wire) fn deeper(self) -> Option<Sense> {
        (self.level < LEVEL_MAX).then_some(Sense { level: self.level + 1, ..self })
    }
}

/// How often a byte may be looked at in advance. A block of a document in the result of a tool is
/// on the third level.
const LEVEL_MAX: u8 = 6;

/// The members that an object was asked for, in the order of their names.
#[derive(Debug, Default)]
pub(in crate::wire) struct Told<'t>(pub(super) [Option<Cow<'t, str>>; 2]);

impl Told<'_> {
    /// The first.
    pub(in crate::wire) fn first(&self) -> Option<&str> {
        self.0[0].as_deref()
    }

    /// The second.
    pub(in crate::wire) fn second(&self) -> Option<&str> {
        self.0[1].as_deref()
    }
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Not text.
    No,
    /// A text by itself.
    Alone,
    /// A text that somebody signed: another one cannot stand in its place.
    Signed,
    /// A part of a longer text.
    Part,
    /// JSON, whose strings are the texts.
    Json,
    /// An address; one that begins with `data:` is a file.
    Address,
    /// A file in base64, or an address of it.
    File,
    /// The name of a type in a schema.
    SchemaType,
}

/// What an object is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Object {
    /// Not text, whatever it has.
    No,
    /// What its members say.
    Members(Members),
    /// Members of these names, two at the most, decide what it is.
    Told(&'static [&'static str], fn(Sense, &Told<'_>) -> Node),
}

/// What a value means.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) struct Node {
    pub(super) text: Text,
    pub(super) object: Object,
    pub(super) sense: Sense,
    /// Whether parts of text on both sides of it are not neighbours.
    pub(super) is_apart: bool,
    /// The name of the member, which must not stand twice.
    pub(super) once: Option<&'static str>,
    /// Whether the member's name is text as well.
    pub(super) is_named: bool,
    /// Whether numbers are text as well.
    pub(super) has_numbers: bool,
}

impl Node {
    const fn new(sense: Sense, text: Text, object: Object) -> Node {
        Node {
            text,
            object,
            sense,
            is_apart: false,
            once: None,
            is_named: false,
            has_numbers: false,
        }
    }

    /// What no model reads.
    pub(in crate::wire) const SKIP: Node = Node::new(Sense::of(Kind::Other), Text::No, Object::No);

    /// A string that no model reads; what stands in its place in another form may be text.
    const fn word(sense: Sense) -> Node {
        Node::new(sense, Text::No, Object::Members(loose))
    }

    /// A text by itself.
    pub(in crate::wire) const fn text(sense: Sense) -> Node {
        Node::new(sense, Text::Alone, Object::Members(loose))
    }

    /// A text that cannot be changed.
    pub(in crate::wire) const fn signed(sense: Sense) -> Node {
        Node::new(sense, Text::Signed, Object::Members(loose))
    }

    /// A text that the next part goes on with.
    pub(in crate::wire) const fn part(sense: Sense) -> Node {
        Node::new(sense, Text::Part, Object::Members(loose))
    }

    /// An object of these members.
    pub(in crate::wire) const fn object(sense: Sense, members: Members) -> Node {
        Node::new(sense, Text::Alone, Object::Members(members))
    }

    /// A part of a text, or an object of these members that has it.
    pub(in crate::wire) const fn part_in(sense: Sense, members: Members) -> Node {
        Node::new(sense, Text::Part, Object::Members(members))
    }

    /// A text, or its parts, each an object of these members.
    pub(in crate::wire) const fn parts(sense: Sense, members: Members) -> Node {
        Node::part_in(sense, members).apart()
    }

    /// A text, or its parts, each an object that these members decide on.
    pub(in crate::wire) const fn told(
        sense: Sense,
        names: &'static [&'static str],
        by: fn(Sense, &Told<'_>) -> Node,
    ) -> Node {
        Node::new(sense, Text::Part, Object::Told(names, by))
    }

    /// JSON that is data: all of it is text.
    pub(in crate::wire) const fn free(sense: Sense) -> Node {
        Node { has_numbers: true, ..Node::new(sense, Text::Alone, Object::Members(free)) }
    }

    /// It may stand as JSON in a string.
    pub(in crate::wire) const fn in_string(self) -> Node {
        Node { text: Text::Json, ..self }
    }

    /// Text no more: it has been taken out of its string.
    pub(super) const fn out_of_string(self) -> Node {
        Node { text: Text::Alone, ..self }
    }

    /// An address.
    pub(in crate::wire) const fn address(sense: Sense) -> Node {
        Node::new(sense, Text::Address, Object::Members(unknown))
    }

    /// The bytes of a file, of the sense's kind.
    pub(in crate::wire) const fn file(sense: Sense) -> Node {
        Node::new(sense, Text::File, Object::Members(loose))
    }

    /// The type in a schema.
    pub(super) const fn schema_type(sense: Sense) -> Node {
        Node::new(sense, Text::SchemaType, Object::Members(loose))
    }

    /// It keeps the parts on both sides of it from being neighbours.
    pub(in crate::wire) const fn apart(self) -> Node {
        Node { is_apart: true, ..self }
    }

    /// It stands once.
    pub(in crate::wire) const fn once(self, name: &'static str) -> Node {
        Node { once: Some(name), ..self }
    }

    /// Its member's name is text.
    pub(in crate::wire) const fn named(self) -> Node {
        Node { is_named: true, ..self }
    }

    /// Whether nothing in it can be text.
    pub(super) fn is_skipped(&self) -> bool {
        self.text == Text::No && matches!(self.object, Object::No)
    }
}

/// What a member of the body means.
#[derive(Clone, Copy, Debug)]
pub(in crate::wire) enum Top {
    /// It is one message.
    Whole(Node),
    /// Each element of its list is one.
    Each(Node),
}

/// Members of JSON that is data.
fn free(sense: Sense, _: &str) -> Node {
    Node::free(sense).named()
}

/// Members of what nobody knows.
fn loose(sense: Sense, name: &str) -> Node {
    let node = known_anywhere(sense, name);
    if node.text == Text::No { node } else { node.named() }
}

/// A member that a grammar does not know.
pub(in crate::wire) fn unknown(sense: Sense, name: &str) -> Node {
    let kind = match sense.kind {
        Kind::Document
        | Kind::ToolResult
        | Kind::ToolDefinition
        | Kind::ToolArguments
        | Kind::Citation => sense.kind,
        Kind::System
        | Kind::User
        | Kind::History
        | Kind::Answer
        | Kind::Reasoning
        | Kind::Refusal
        | Kind::ToolName
        | Kind::Other => Kind::Other,
    };
    known_anywhere(sense.to(kind), name)
}

/// What names mean in every dialect.
fn known_anywhere(sense: Sense, name: &str) -> Node {
    match name {
        "id" | "ids" | "type" | "role" | "object" | "status" | "bucketOwner" => Node::word(sense),
        // What its provider alone can read.
        "encrypted_content" | "signature" | "thought_signature" | "thoughtSignature" => {
            Node::word(sense)
        }
        // What servers of tools are to be shown, and the pieces of an answer.
        "authorization" | "authorization_token" | "headers" | "logprobs" => Node::SKIP,
        "cache_control" => Node::object(sense, cache_mark),
        "url" | "uri" | "image_url" | "file_url" => Node::address(sense),
        _ if ["_id", "_ids", "Id", "Ids"].iter().any(|end| name.ends_with(end)) => {
            Node::word(sense)
        }
        _ => Node::text(sense),
    }
}

/// A mark of a prompt cache.
fn cache_mark(sense: Sense, name: &str) -> Node {
    match name {
        "ttl" => Node::word(sense),
        _ => unknown(sense, name),
    }
}
