//! Hop 5: rules over the prompt, and which rules an exchange is under.
//!
//! The rules of a route and those that levers put in force are read anew before each attempt, so
//! an attempt never begins under fewer rules than are in force. A prompt is judged once by the same
//! rules; long ones are judged on other threads, so that they hold up nobody's stream.

use super::aside;
use super::asking::Asking;
use super::book::Book;
use super::shape::coding_of;
use super::{Attempted, Body, Exchange, Wanted};
use crate::exchange::screen::{Digest, Prompt, blocked, reads_prompts, screen_prompt};
use crate::proxy::client::Client;
use crate::proxy::orders::Ordered;
use crate::table::Route;
use crate::table::lever::Filter;
use crate::table::rules::{Judge, share_of};
use crate::wire::coding::Coding;
use crate::wire::refusal::{Class, Refusal};
use bytes::Bytes;
use std::cell::RefCell;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use tokio::time::Instant;

/// The most messages without a finding that a worker remembers, twice.
const KNOWN_MAX: usize = 16 << 10;

thread_local! {
    pub(super) static KNOWN: RefCell<Known> = RefCell::default();
}

/// Messages in which nothing was found, by the judges that looked; the older half is forgotten when
/// there are too many.
#[derive(Default)]
pub(super) struct Known {
    newer: HashSet<(u64, Digest)>,
    older: HashSet<(u64, Digest)>,
}

impl Known {
    pub(super) fn has(&self, key: &(u64, Digest)) -> bool {
        self.newer.contains(key) || self.older.contains(key)
    }

    pub(super) fn add(&mut self, key: (u64, Digest)) {
        if self.newer.len() >= KNOWN_MAX {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(key);
    }
}

/// What guards one exchange, and what that made of its prompt.
#[derive(Default)]
pub(super) struct Guard {
    /// The rules of the answer.
    pub(super) judges: Vec<Arc<Judge>>,
    /// The prompt, if rules changed it.
    pub(super) body: Option<Bytes>,
    /// The judges that have read the prompt.
    read_by: Option<Vec<u64>>,
    /// Whether a rule sends the exchange past the route's own targets.
    pub(super) goes_on: bool,
}

impl Guard {
    /// The prompt to send: `content`, unless rules changed it.
    pub(super) fn content<'g>(&'g self, content: &'g Bytes) -> &'g Bytes {
        self.body.as_ref().unwrap_or(content)
    }
}

/// Adds what judges for `filters`.
fn add(judges: &mut Vec<Arc<Judge>>, filters: &[Filter], share: u8) -> Result<(), Refusal> {
    for filter in filters {
        if filter.books.is_empty() {
            return Err(Refusal {
                class: Class::Unavailable,
                message: "rules that an operator put in force are not here any more".into(),
                reference: Some(filter.lever.to_string().into()),
            });
        }
        judges.extend(filter.books.iter().filter_map(|book| book.judge(share)).map(Arc::clone));
    }
    Ok(())
}

impl Exchange<'_> {
    /// The rules that are in force over this exchange now.
    fn judges(&self, book: &Book<'_>, route: &Route) -> Result<Vec<Arc<Judge>>, Refusal> {
        let share = self.share(book);
        let mut judges: Vec<Arc<Judge>> = Vec::new();
        judges.extend(route.rules.iter().filter_map(|book| book.judge(share)).map(Arc::clone));
        let live = self.gate.board.peek();
        if live.levers.is_empty() {
            return Ok(judges);
        }
        let filters = self.seat.with(|subject| live.levers.filters(subject));
        self.orders.is_judged_by(filters.iter().map(|filter| filter.lever));
        add(&mut judges, &filters, share)?;
        Ok(judges)
    }

    /// What was ordered while a drain let nobody ask anew: the answer, which is there whole, obeys
    /// it. `None` if nothing was.
    ///
    /// # Errors
    /// Rules that should judge it are gone.
    pub(super) fn caught_up(
        &self,
        book: &Book<'_>,
        asking: &Asking,
    ) -> Result<Option<Asking>, Refusal> {
        let mut caught_up: Option<Asking> = None;
        while let Some(order) = self.orders.held_back() {
            let asking = caught_up.get_or_insert_with(|| asking.clone());
            match order {
                Ordered::Tools(tools) => asking.killed = tools,
                Ordered::Filters(filters) => {
                    add(&mut asking.judges, &filters, self.share(book))?;
                }
                // Neither is held back.
                Ordered::ShutDown | Ordered::Killed(_) | Ordered::Switch(_) => break,
            }
        }
        Ok(caught_up)
    }

    /// The number of the exchange's session among [`SHARES`]; always the same for one session.
    pub(super) fn share(&self, book: &Book<'_>) -> u8 {
        share_of(book.facts.identity.session.as_deref().unwrap_or_else(|| self.id.as_str()))
    }

    /// Judges the prompt by the rules that are in force now, unless it was judged by them before.
    ///
    /// # Errors
    /// A rule forbids it, or it cannot be read.
    pub(super) async fn guard<C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        wanted: &Wanted,
        route: &Route,
        guard: &mut Guard,
        until: Instant,
    ) -> Result<(), Attempted> {
        let refuse = |refusal: Refusal| Attempted::Stop(refusal.into());
        guard.judges = self.judges(book, route).map_err(refuse)?;
        if !guard.judges.is_empty() {
            book.facts.is_judged = true;
        }
        let ids: Vec<u64> = guard.judges.iter().map(|judge| judge.id).collect();
        if guard.read_by.as_ref() == Some(&ids) {
            return Ok(());
        }
        let asks_others = guard.judges.iter().any(|judge| judge.webhooks().next().is_some());
        let Body::Whole { raw, plain } = &wanted.body else {
            guard.read_by = Some(ids);
            self.webhooks_unasked(book, &guard.judges).map_err(refuse)?;
            return self.guard_unread(book, None, None, guard).await.map_err(refuse);
        };
        let coding = if guard.body.is_some() || plain.is_some() {
            Some(Coding::Identity)
        } else {
            coding_of(self.asked.headers)
        };
        let content = guard.body.as_ref().unwrap_or(plain.as_ref().unwrap_or(raw)).clone();
        let is_judged = asks_others || reads_prompts(&guard.judges);
        if !is_judged || content.is_empty() {
            guard.read_by = Some(ids);
            return Ok(());
        }
        let is_read = self.admission.dialect.is_some()
            || coding == Some(Coding::Identity)
                && content.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
        if !is_read {
            guard.read_by = Some(ids);
            self.webhooks_unasked(book, &guard.judges).map_err(refuse)?;
            return self.guard_unread(book, Some(content), coding, guard).await.map_err(refuse);
        }
        if (asks_others || !aside::is_inline(content.len()))
            && let Some(track) = client.track()
        {
            // This may take its time.
            track.flush(self.gate.clock.now());
        }
        let judged =
            self.judge_prompt(&guard.judges, &ids, content.clone()).await.map_err(refuse)?;
        let Prompt { body, found, clear } = judged;
        KNOWN.with_borrow_mut(|known| {
            let set = set_of(&ids);
            for digest in clear {
                known.add((set, digest));
            }
        });
        let is_cut = found.is_cut() && !found.is_reroute();
        let goes_on = found.is_reroute();
        let refusal = is_cut.then(|| blocked(&found, "request"));
        book.facts.found.join(found);
        if let Some(refusal) = refusal {
            return Err(refuse(refusal));
        }
        guard.goes_on |= goes_on;
        guard.body = body.map(Bytes::from).or(guard.body.take());
        if asks_others {
            // They are told what would be sent: what our own rules hid stays hidden.
            let content = guard.body.as_ref().unwrap_or(&content).clone();
            let set = set_of(&ids);
            let judges = &guard.judges;
            guard.goes_on |= self.ask_webhooks(client, book, judges, set, &content, until).await?;
        }
        guard.read_by = Some(ids);
        Ok(())
    }

    async fn judge_prompt(
        &self,
        judges: &[Arc<Judge>],
        ids: &[u64],
        content: Bytes,
    ) -> Result<Prompt, Refusal> {
        let set = set_of(ids);
        let dialect = self.admission.dialect;
        let judged = if aside::is_inline(content.len()) {
            let is_known = |digest: &Digest| KNOWN.with_borrow(|known| known.has(&(set, *digest)));
            screen_prompt(judges, dialect, &content, &is_known)
        } else {
            let judges = judges.to_vec();
            let known: HashSet<Digest> = KNOWN.with_borrow(|known| {
                let all = known.newer.iter().chain(&known.older);
                all.filter(|(of, _)| *of == set).map(|(_, digest)| *digest).collect()
            });
            aside::judged(content.len(), move || {
                screen_prompt(&judges, dialect, &content, &|digest| known.contains(digest))
            })
            .await?
        };
        judged.map_err(|error| Refusal::new(Class::BadRequest, error.to_string()))
    }
}

/// A number for a set of judges.
fn set_of(ids: &[u64]) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hasher = KEYS.build_hasher();
    for id in ids {
        hasher.write_u64(*id);
    }
    hasher.finish()
}
