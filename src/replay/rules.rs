//! Who judges an exchange that is run again: the rules that its route names, in a configuration
//! that may be another one than then, with candidate packs in it.
//!
//! A candidate takes the place of the pack of its name wherever a route names that; one that no
//! route names is added to every route. So a changed file is tried as it would come into force, and
//! a new one as if it were put in force everywhere.

use crate::evidence::exchange::Exchange;
use crate::table::rules::{Judge, Pack, Rulebook, share_of};
use crate::table::{Route, Table};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A pack that is tried.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pack.
    pub pack: Arc<Pack>,
    /// Whether it is on every route if none names it.
    pub is_everywhere: bool,
}

type Books = HashMap<Vec<Arc<str>>, Option<Arc<Rulebook>>>;

/// The rules of a configuration, with candidates in them.
#[derive(Debug)]
pub struct Rules {
    table: Arc<Table>,
    candidates: Vec<Candidate>,
    /// By the names of packs: what the candidates make of them.
    books: Mutex<Books>,
}

impl Rules {
    /// The rules of `table`, with `candidates` in them.
    ///
    /// # Errors
    /// A route's rules do not compile with them.
    pub fn new(table: Arc<Table>, candidates: Vec<Candidate>) -> Result<Rules, String> {
        let rules = Rules { table, candidates, books: Mutex::default() };
        let table = Arc::clone(&rules.table);
        for route in &table.routes {
            rules.book(route).map_err(|why| format!("route `{}`: {why}", route.name))?;
        }
        Ok(rules)
    }

    /// The configuration.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Whether it is other rules than those of the configuration.
    pub fn has_candidates(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.table.routes.iter().find(|route| route.name.as_str() == name)
    }

    /// What judges an exchange; `None` if its route is not in the configuration.
    pub fn judges(&self, recorded: &Exchange) -> Option<Vec<Arc<Judge>>> {
        let route = self.route(recorded.known.route.as_deref()?)?;
        let share = share_of(recorded.known.session.as_deref().unwrap_or(&recorded.id));
        let book = self.book(route).ok()?;
        Some(book.iter().filter_map(|book| book.judge(share)).map(Arc::clone).collect())
    }

    fn book(&self, route: &Route) -> Result<Option<Arc<Rulebook>>, String> {
        if self.candidates.is_empty() {
            return Ok(route.rules.clone());
        }
        let named = route.rules.as_ref().map_or(&[][..], |book| &book.packs);
        let mut books = self.books.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(book) = books.get(named) {
            return Ok(book.clone());
        }
        let mut packs = Vec::new();
        for name in named {
            let candidate = self.candidates.iter().find(|one| one.pack.name == *name);
            let pack = match candidate {
                Some(one) => Some(Arc::clone(&one.pack)),
                None => self.table.packs.get(name).map(|found| Arc::clone(&found.pack)),
            };
            packs.push(pack.ok_or_else(|| self.table.packs.missing(name))?);
        }
        let is_named = |pack: &Arc<Pack>| {
            let mut routes = self.table.routes.iter().filter_map(|route| route.rules.as_ref());
            routes.any(|book| book.packs.contains(&pack.name))
        };
        let everywhere = self.candidates.iter().filter(|one| one.is_everywhere);
        packs.extend(everywhere.map(|one| Arc::clone(&one.pack)).filter(|pack| !is_named(pack)));
        packs.sort_by(|a, b| a.name.cmp(&b.name));
        let book = if packs.is_empty() {
            None
        } else {
            let (book, complaints) = Rulebook::compile(&packs, self.table.packs.shadowed());
            let why = || complaints.first().map_or_else(String::new, |one| one.reason.to_string());
            Some(Arc::new(book.ok_or_else(why)?))
        };
        books.insert(named.to_vec(), book.clone());
        Ok(book)
    }
}
