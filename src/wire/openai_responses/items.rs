//! Which item a frame is of.
//!
//! The API gives each item an `output_index` of its own, and says the item's id in every frame
//! beside. Some providers use a number again, or leave it out, and then the frames of two items
//! may come in turns. So an item is known by its id where the frame says one, and by its number
//! where not; and each item gets a *block*, which is its number unless another item has that.
//! Everything behind the decoder counts in blocks, also in what is kept of a frame, so that an
//! encoder that takes over writes items apart.
//!
//! What it cannot do: items without ids, and those beyond [`ITEMS_MAX`], are told apart only by
//! their numbers; so are ids that differ behind [`ID_BYTES_MAX`]. An id that was never opened is
//! of the last item under its number: some imitators make up an id for each frame.

use super::scan::{self, Frame};
use crate::wire::json;
use std::borrow::Cow;
use std::ops::Range;

/// The most items of one answer that are told apart by their ids.
const ITEMS_MAX: usize = 1024;

/// So much of an id is compared, in bytes.
const ID_BYTES_MAX: usize = 512;

/// The member that says an item's number.
pub(super) const INDEX: &str = "output_index";

/// The items of one answer, in the order in which they began.
#[derive(Clone, Debug, Default)]
pub(super) struct Items(Vec<Item>);

#[derive(Clone, Debug)]
struct Item {
    index: u16,
    /// Empty while no frame has said it.
    id: Box<str>,
    block: u16,
}

/// The block of a frame, and where the frame says a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'f> {
    pub(super) block: u16,
    said: Option<&'f str>,
}

impl Place<'_> {
    /// What has to be written where into `text`, the frame, so that it says its block.
    pub(super) fn edit(&self, text: &str) -> Option<(Range<usize>, String)> {
        let block = self.block.to_string();
        match self.said {
            Some(said) if said == block => None,
            Some(said) => {
                let start = json::offset_of(text.as_bytes(), said)?;
                Some((start..start + said.len(), block))
            }
            None => {
                let start = text.find('{')? + 1;
                Some((start..start, format!("\"{INDEX}\":{block},")))
            }
        }
    }
}

impl Items {
    /// The place of a frame of type `name`; `None` if it is of no item.
    pub(super) fn place<'f>(&mut self, name: &str, frame: &Frame<'f>) -> Option<Place<'f>> {
        let said = frame.get(INDEX);
        let is_item = matches!(name, "response.output_item.added" | "response.output_item.done");
        let id = if is_item {
            scan::string_member(frame.get("item")?, "id")
        } else {
            frame.get("item_id").and_then(scan::string)
        };
        if said.is_none() && id.is_none() && !is_item {
            return None;
        }
        // Imitators leave out an index that is 0.
        let index = said.map_or(Some(0), |said| said.parse().ok())?;
        let id = cut(id.as_deref().unwrap_or_default());
        let block = if name == "response.output_item.added" {
            self.open(index, id)
        } else {
            self.find(index, id).or_else(|| self.last(index)).unwrap_or_else(|| self.add(index, ""))
        };
        Some(Place { block, said })
    }

    /// The item of this id; of several the one with this number.
    fn find(&self, index: u16, id: &str) -> Option<u16> {
        let mut found = None;
        for item in self.0.iter().rev().filter(|item| !id.is_empty() && *item.id == *id) {
            if item.index == index {
                return Some(item.block);
            }
            found = found.or(Some(item.block));
        }
        found
    }

    /// The last item with this number.
    fn last(&self, index: u16) -> Option<u16> {
        self.0.iter().rfind(|item| item.index == index).map(|item| item.block)
    }

    fn open(&mut self, index: u16, id: &str) -> u16 {
        let same = |item: &&Item| item.index == index && *item.id == *id;
        if let Some(item) = self.0.iter().rfind(same) {
            return item.block;
        }
        match self.0.iter_mut().rfind(|item| item.index == index) {
            // Its first frame came before the one that opens it.
            Some(item) if item.id.is_empty() => {
                item.id = id.into();
                item.block
            }
            Some(item) if id.is_empty() => item.block,
            Some(_) | None => self.add(index, id),
        }
    }

    fn add(&mut self, index: u16, id: &str) -> u16 {
        if self.0.len() >= ITEMS_MAX {
            return self.last(index).unwrap_or(index);
        }
        let is_free = |block: &u16| self.0.iter().all(|item| item.block != *block);
        let next =
            self.0.iter().map(|item| item.block).max().map_or(0, |last| last.saturating_add(1));
        let block = [index, next]
            .into_iter()
            .find(|block| *block < u16::MAX && is_free(block))
            .or_else(|| (0..u16::MAX).find(is_free))
            .unwrap_or(index);
        self.0.push(Item { index, id: id.into(), block });
        block
    }
}

fn cut(id: &str) -> &str {
    &id[..id.floor_char_boundary(ID_BYTES_MAX)]
}

/// The number that a frame says, and where its digits stand.
pub fn number_of(data: &[u8]) -> Option<(u16, Range<usize>)> {
    let text = std::str::from_utf8(data).ok()?;
    let said = Frame::parse(text)?.get(INDEX)?;
    let start = json::offset_of(data, said)?;
    Some((said.parse().ok()?, start..start + said.len()))
}

/// `text` with what `place` has to say in it.
pub(super) fn placed<'t>(text: &'t str, place: Option<Place<'_>>) -> Cow<'t, str> {
    match place.and_then(|place| place.edit(text)) {
        None => Cow::Borrowed(text),
        Some((at, with)) => {
            let mut text = text.to_owned();
            text.replace_range(at, &with);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Name, `output_index` and id of a frame, and its block.
    type Said<'s> = (&'s str, Option<u16>, Option<&'s str>, u16);

    fn frame(name: &str, index: Option<u16>, id: Option<&str>) -> String {
        let index = index.map_or(String::new(), |index| format!("\"output_index\":{index},"));
        let id = match (name, id) {
            ("added" | "done", Some(id)) => format!("\"item\":{{\"id\":{id:?}}},"),
            ("added" | "done", None) => "\"item\":{},".to_owned(),
            (_, Some(id)) => format!("\"item_id\":{id:?},"),
            (_, None) => String::new(),
        };
        format!("{{{index}{id}\"x\":1}}")
    }

    fn blocks(all: &[Said<'_>]) {
        let mut items = Items::default();
        for (name, index, id, block) in all {
            let text = frame(name, *index, *id);
            let name = match *name {
                "added" => "response.output_item.added",
                "done" => "response.output_item.done",
                _ => "response.output_text.delta",
            };
            let place = items.place(name, &Frame::parse(&text).unwrap()).unwrap();
            assert_eq!(place.block, *block, "{text} of {all:?}");
            let told = placed(&text, Some(place)).into_owned();
            assert_eq!(number_of(told.as_bytes()).unwrap().0, *block, "{told}");
        }
    }

    #[test]
    fn numbers_are_blocks_where_each_item_has_its_own() {
        let (added, done) = ("added", "done");
        blocks(&[(added, Some(0), Some("a"), 0), ("", Some(0), Some("a"), 0)]);
        blocks(&[(added, Some(1), Some("a"), 1), (added, Some(0), Some("b"), 0)]);
        blocks(&[
            ("", Some(3), None, 3),
            (added, Some(3), Some("a"), 3),
            (done, None, Some("a"), 3),
        ]);
    }

    #[test]
    fn items_under_one_number_are_told_apart_by_id() {
        blocks(&[
            ("added", Some(0), Some("a"), 0),
            ("added", Some(0), Some("b"), 1),
            ("added", Some(1), Some("c"), 2),
            ("", Some(0), Some("a"), 0),
            ("", Some(0), Some("b"), 1),
            ("", Some(1), Some("c"), 2),
            // No id, or one that nobody knows: the last under the number.
            ("", Some(0), None, 1),
            ("", Some(0), Some("x"), 1),
            // The id is believed where the number contradicts it.
            ("", Some(1), Some("a"), 0),
            ("done", Some(0), Some("a"), 0),
            ("done", Some(0), Some("x"), 1),
            ("added", Some(0), Some("a"), 0),
        ]);
    }

    #[test]
    fn an_id_of_several_items_is_of_the_one_with_its_number() {
        blocks(&[
            ("added", Some(0), Some("a"), 0),
            ("added", Some(1), Some("a"), 1),
            ("", Some(0), Some("a"), 0),
            ("", Some(1), Some("a"), 1),
        ]);
    }

    #[test]
    fn without_ids_the_number_is_all() {
        blocks(&[
            ("added", Some(0), None, 0),
            ("added", Some(0), None, 0),
            ("added", None, None, 0),
            ("", Some(2), None, 2),
            ("added", Some(0), Some("a"), 0),
            ("added", Some(0), Some("b"), 3),
            ("added", Some(1), None, 1),
            ("added", Some(65_535), Some("c"), 4),
            ("added", Some(65_534), Some("d"), 65_534),
            ("added", Some(0), Some("e"), 5),
        ]);
    }

    #[test]
    fn frames_of_no_item_have_no_place() {
        let mut items = Items::default();
        for text in [r#"{"response":{}}"#, r#"{"output_index":-1}"#, r#"{"output_index":"0"}"#] {
            let frame = Frame::parse(text).unwrap();
            assert!(items.place("response.output_text.delta", &frame).is_none(), "{text}");
        }
    }

    proptest! {
        /// Two items never share a block, whatever their numbers are.
        #[test]
        fn blocks_are_apart(opened in proptest::collection::vec((0..5u16, 0..9u8), 0..40)) {
            let mut items = Items::default();
            let mut known: Vec<((u16, u8), u16)> = Vec::new();
            for (index, id) in opened {
                let text = frame("added", Some(index), Some(&format!("i{id}")));
                let frame = Frame::parse(&text).unwrap();
                let block = items.place("response.output_item.added", &frame).unwrap().block;
                for ((other, name), of) in &known {
                    prop_assert_eq!((index, id) == (*other, *name), block == *of);
                }
                known.push(((index, id), block));
            }
        }
    }
}
