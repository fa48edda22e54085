//! The rules that filter levers put in force, compiled once for each lever.

use crate::id::LeverId;
use crate::table::Routes;
use crate::table::packs;
use crate::table::rules::Rulebook;
use std::collections::HashSet;
use std::sync::Arc;

/// The rules that one lever puts in force for somebody.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The lever.
    pub lever: LeverId,
    /// Its rulebooks; empty if a pack that it names is gone.
    pub books: Vec<Arc<Rulebook>>,
}

/// The rules of a filter lever, compiled; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Those of packs, then those of its own text.
    books: Vec<Arc<Rulebook>>,
    /// Whether the last one is of its own text, and so the same beside all routes.
    has_own: bool,
    /// The digest of the routes that have the packs.
    beside: Arc<str>,
    /// The rules that only reported there.
    shadowed: Arc<HashSet<String>>,
}

impl Rules {
    /// Compiles the packs of these names and the rules of `text`. Takes its time where `text` is
    /// long: not for who keeps another lever waiting.
    ///
    /// # Errors
    /// What is wrong, in words for who pulls the lever.
    pub fn compile(names: &[String], text: Option<&str>, routes: &Routes) -> Result<Rules, String> {
        Rules::again(names, text, routes, None)
    }

    /// The same for a lever whose rules were compiled `before`, maybe beside other routes.
    ///
    /// # Errors
    /// A pack is gone, or there is nothing from before and the text is wrong.
    pub(super) fn again(
        names: &[String],
        text: Option<&str>,
        routes: &Routes,
        before: Option<&Rules>,
    ) -> Result<Rules, String> {
        let is_same = |before: &&Rules| {
            *before.beside == *routes.digest && before.shadowed == *routes.packs.shadowed()
        };
        if let Some(before) = before.filter(is_same) {
            return Ok(before.clone());
        }
        let mut books = Vec::with_capacity(names.len() + 1);
        for name in names {
            books.push(routes.packs.book(name)?);
        }
        if let Some(text) = text {
            let own = before.filter(|before| before.has_own).and_then(|before| before.books.last());
            books.push(match own {
                Some(own) => Arc::clone(own),
                None => Arc::clone(&packs::inline(text)?.book),
            });
        }
        Ok(Rules {
            books,
            has_own: text.is_some(),
            beside: routes.digest.as_str().into(),
            shadowed: Arc::clone(routes.packs.shadowed()),
        })
    }

    /// The rulebooks; none if a pack is gone.
    pub fn books(&self) -> &[Arc<Rulebook>] {
        &self.books
    }

    /// Makes them ready for their first texts.
    pub fn warm(&self) {
        self.books.iter().for_each(|book| book.warm());
    }
}
