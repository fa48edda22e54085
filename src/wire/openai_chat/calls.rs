//! Which call an entry of `tool_calls` goes on with.
//!
//! The dialect tells calls apart by `index`; imitators leave it out, give every call the same one,
//! repeat ids and names in every frame, or send empty ones. A call's block is 1 + its index, or
//! the next free one where the index does not tell.

/// The block of a legacy `function_call`.
pub(super) const LEGACY_BLOCK: u16 = u16::MAX;

/// The most calls of one answer that are told apart; later ones go on with the last.
const CALLS_MAX: usize = 1024;

/// How much of an id or a name is remembered, in bytes.
const NAME_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
struct Known {
    choice: u16,
    /// The provider's index, which may be shared by several.
    index: Option<u16>,
    block: u16,
    id: Box<str>,
    name: Box<str>,
}

/// The calls of one answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(Vec<Known>);

/// Where an entry belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub block: u16,
    /// The call was not seen before.
    pub is_new: bool,
    /// The call had no id, and this entry brings one.
    pub id_is_new: bool,
    /// The entry brings a further piece of the name.
    pub name_goes_on: bool,
}

impl Calls {
    /// Where an entry with these members belongs.
    pub(super) fn find(&mut self, choice: u16, index: Option<u16>, id: &str, name: &str) -> Found {
        let (id, name) = (cut(id), cut(name));
        let known = match index {
            Some(index) => self.last(|known| known.choice == choice && known.index == Some(index)),
            None if !id.is_empty() => self.last(|known| known.choice == choice && *known.id == *id),
            None if !name.is_empty() => None,
            None => self.last(|known| known.choice == choice && known.block != LEGACY_BLOCK),
        };
        let is_other = |known: &Known| {
            !id.is_empty() && !known.id.is_empty() && *known.id != *id && !name.is_empty()
        };
        match known.filter(|at| !is_other(&self.0[*at])) {
            Some(at) => self.go_on(at, id, name),
            None => self.begin(choice, index, id, name),
        }
    }

    /// Where a legacy `function_call` belongs: a choice has one at most.
    pub(super) fn find_legacy(&mut self, choice: u16, name: &str) -> Found {
        let name = cut(name);
        match self.last(|known| known.choice == choice && known.block == LEGACY_BLOCK) {
            Some(at) => self.go_on(at, "", name),
            None => self.push(choice, None, LEGACY_BLOCK, "", name),
        }
    }

    fn last(&self, is_it: impl Fn(&Known) -> bool) -> Option<usize> {
        self.0.iter().rposition(is_it)
    }

    fn go_on(&mut self, at: usize, id: &str, name: &str) -> Found {
        let known = &mut self.0[at];
        let id_is_new = known.id.is_empty() && !id.is_empty();
        if id_is_new {
            known.id = Box::from(id);
        }
        let name_goes_on = !name.is_empty() && *known.name != *name;
        if name_goes_on {
            known.name = Box::from(cut(&format!("{}{name}", known.name)));
        }
        Found { block: known.block, is_new: false, id_is_new, name_goes_on }
    }

    fn begin(&mut self, choice: u16, index: Option<u16>, id: &str, name: &str) -> Found {
        let blocks = |known: &&Known| known.choice == choice && known.block != LEGACY_BLOCK;
        let wanted = index.map(|index| index + 1);
        let is_free = |block: u16| self.0.iter().filter(blocks).all(|known| known.block != block);
        let block = wanted.filter(|block| is_free(*block)).unwrap_or_else(|| {
            self.0.iter().filter(blocks).map(|known| known.block).max().unwrap_or(0) + 1
        });
        self.push(choice, index, block.min(LEGACY_BLOCK - 1), id, name)
    }

    fn push(&mut self, choice: u16, index: Option<u16>, block: u16, id: &str, name: &str) -> Found {
        if self.0.len() >= CALLS_MAX
            && let Some(last) = self.0.len().checked_sub(1)
        {
            return self.go_on(last, id, name);
        }
        let (id, name) = (Box::from(id), Box::from(name));
        // A call without an index is afterwards known by the one that its block stands for.
        let index = index.or(block.checked_sub(1));
        self.0.push(Known { choice, index, block, id, name });
        Found { block, is_new: true, id_is_new: false, name_goes_on: false }
    }
}

/// As much of `text` as is remembered.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NAME_BYTES_MAX)]
}
