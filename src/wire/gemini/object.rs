//! A response object being put together.
//!
//! Everything is written as JSON members at once; only how they nest is kept. An object is built
//! in the order in which the decoder speaks, so that decoding it gives the same events; what would
//! stand before something already said goes into a next object.

use crate::wire::json;

/// How far an object, or a candidate in it, has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Start,
    Parts,
    Content,
    Candidate,
    Stop,
    Frame,
    Usage,
    Error,
}

/// Members of an object: `"key":value` with commas between.
#[derive(Debug, Default)]
pub(super) struct Members(Vec<u8>);

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member whose value is JSON.
    pub(super) fn json(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        self.0.extend_from_slice(value);
    }

    /// Adds a member whose value is a string.
    pub(super) fn string(&mut self, key: &str, value: &str) {
        self.key(key);
        json::push_string(&mut self.0, value);
    }

    /// Adds a member whose value is a number.
    pub(super) fn number(&mut self, key: &str, value: u64) {
        self.json(key, value.to_string().as_bytes());
    }

    /// The object.
    pub(super) fn object(&self) -> Vec<u8> {
        [b"{", &self.0[..], b"}"].concat()
    }

    fn key(&mut self, key: &str) {
        if !self.0.is_empty() {
            self.0.push(b',');
        }
        json::push_string(&mut self.0, key);
        self.0.push(b':');
    }
}

/// One part of a candidate.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) members: Members,
    /// The members of its `functionCall`, if it is one.
    pub(super) call: Option<Members>,
    /// It was opened, and nothing was said of it since.
    pub(super) fresh: bool,
}

/// One candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) choice: u16,
    rank: Rank,
    parts: Vec<Vec<u8>>,
    pub(super) part: Option<Part>,
    pub(super) content: Members,
    pub(super) has_role: bool,
    pub(super) members: Members,
}

impl Candidate {
    fn new(choice: u16) -> Candidate {
        Candidate {
            choice,
            rank: Rank::Parts,
            parts: Vec::new(),
            part: None,
            content: Members::default(),
            has_role: false,
            members: Members::default(),
        }
    }

    /// Begins a part, after the last.
    pub(super) fn open(&mut self, part: Part) -> &mut Part {
        self.close();
        self.part.insert(part)
    }

    /// Ends the part; one that has come to nothing is left out.
    pub(super) fn close(&mut self) {
        let Some(mut part) = self.part.take() else {
            return;
        };
        if let Some(call) = part.call {
            part.members.json("functionCall", &call.object());
        }
        if !part.members.is_empty() {
            self.parts.push(part.members.object());
        }
    }

    fn object(mut self) -> Vec<u8> {
        self.close();
        let mut whole = Members::default();
        if !self.parts.is_empty() || !self.content.is_empty() {
            let mut content = Members::default();
            if !self.parts.is_empty() {
                content.json("parts", &array(&self.parts));
            }
            if !self.has_role {
                content.string("role", "model");
            }
            append(&mut content, &self.content);
            whole.json("content", &content.object());
        }
        append(&mut whole, &self.members);
        whole.number("index", u64::from(self.choice));
        whole.object()
    }
}

/// One response.
#[derive(Debug)]
pub(super) struct Object {
    rank: Rank,
    candidates: Vec<Candidate>,
    pub(super) members: Members,
    /// It has a member by which a reader knows it for a response.
    pub(super) known: bool,
    /// It says its own `responseId`, or `modelVersion`.
    pub(super) has_id: bool,
    pub(super) has_model: bool,
}

impl Object {
    fn new() -> Object {
        Object {
            rank: Rank::Start,
            candidates: Vec::new(),
            members: Members::default(),
            known: false,
            has_id: false,
            has_model: false,
        }
    }

    /// The object, with the ids of the answer.
    fn json(self, id: &str, model: &str) -> Vec<u8> {
        let mut whole = Members::default();
        let is_error = self.rank == Rank::Error && self.candidates.is_empty();
        let ids = !is_error || self.known;
        let names_id = ids && !id.is_empty() && !self.has_id;
        let names_model = ids && !model.is_empty() && !self.has_model;
        if !self.candidates.is_empty() {
            let candidates: Vec<_> = self.candidates.into_iter().map(Candidate::object).collect();
            whole.json("candidates", &array(&candidates));
        } else if !(self.known || is_error || names_id || names_model) {
            whole.json("candidates", b"[]");
        }
        append(&mut whole, &self.members);
        if names_model {
            whole.string("modelVersion", model);
        }
        if names_id {
            whole.string("responseId", id);
        }
        whole.object()
    }
}

/// What the events of one frame come to.
#[derive(Debug)]
pub(super) enum Piece {
    /// A response.
    Json(Vec<u8>),
    /// What was not understood, as it was.
    Raw { name: String, data: Vec<u8> },
}

/// Objects in the making, the last one open.
#[derive(Debug)]
pub(super) struct Objects {
    done: Vec<Piece>,
    open: Option<Object>,
    /// Everything goes into one object, in whatever order it comes.
    merged: bool,
}

impl Objects {
    pub(super) fn new(merged: bool) -> Objects {
        Objects { done: Vec::new(), open: None, merged }
    }

    /// The object to which something of `rank` may be added; what stands `once` needs an object
    /// that has not come to it.
    pub(super) fn at(&mut self, rank: Rank, once: bool, ids: (&str, &str)) -> &mut Object {
        let late = |object: &Object| object.rank > rank || (once && object.rank == rank);
        if !self.merged && self.open.as_ref().is_some_and(late) {
            self.end(ids);
        }
        let object = self.open.get_or_insert_with(Object::new);
        object.rank = object.rank.max(rank);
        object
    }

    /// The candidate to which something of `rank` may be added.
    pub(super) fn candidate(
        &mut self,
        choice: u16,
        rank: Rank,
        ids: (&str, &str),
    ) -> &mut Candidate {
        let late = |object: &Object| {
            let earlier = object.candidates.iter().position(|other| other.choice == choice);
            object.rank > Rank::Stop
                || earlier.is_some_and(|at| {
                    let is_last = at + 1 == object.candidates.len();
                    object.candidates.get(at).is_none_or(|candidate| {
                        !is_last
                            || candidate.rank > rank
                            || (rank == Rank::Stop && candidate.rank == rank)
                    })
                })
        };
        if !self.merged && self.open.as_ref().is_some_and(late) {
            self.end(ids);
        }
        let object = self.open.get_or_insert_with(Object::new);
        let rank_of_object = Rank::Parts;
        object.rank = object.rank.max(rank_of_object);
        object.known = true;
        let found = object.candidates.iter().position(|other| other.choice == choice);
        let at = found.unwrap_or_else(|| {
            object.candidates.push(Candidate::new(choice));
            object.candidates.len() - 1
        });
        let candidate = &mut object.candidates[at];
        candidate.rank = candidate.rank.max(rank);
        candidate
    }

    /// The candidate that was spoken of last.
    pub(super) fn last_choice(&self) -> Option<u16> {
        self.open.as_ref()?.candidates.last().map(|candidate| candidate.choice)
    }

    /// Adds something that is not a response of this answer.
    pub(super) fn raw(&mut self, piece: Piece, ids: (&str, &str)) {
        self.end(ids);
        self.done.push(piece);
    }

    /// Ends the open object.
    fn end(&mut self, (id, model): (&str, &str)) {
        if let Some(object) = self.open.take() {
            self.done.push(Piece::Json(object.json(id, model)));
        }
    }

    /// All that there is.
    pub(super) fn finish(mut self, ids: (&str, &str)) -> Vec<Piece> {
        self.end(ids);
        self.done
    }
}

fn array(elements: &[Vec<u8>]) -> Vec<u8> {
    [b"[", &elements.join(&b","[..])[..], b"]"].concat()
}

fn append(to: &mut Members, from: &Members) {
    if !to.0.is_empty() && !from.0.is_empty() {
        to.0.push(b',');
    }
    to.0.extend_from_slice(&from.0);
}
