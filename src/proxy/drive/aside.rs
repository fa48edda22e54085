//! Judging that takes long, on other threads, so that it holds up nobody's stream.
//!
//! What always holds: as many judge at once as there are cores, the others wait for their turn; an
//! answer that was judged meanwhile obeys what was ordered meanwhile.

use super::asking::Asking;
use super::book::Book;
use super::{Attempted, Exchange, Failed, Interrupt, Stop};
use crate::exchange::attempts::Failure;
use crate::exchange::screen::Found;
use crate::proxy::client::Client;
use crate::table::rules::Judge;
use crate::wire::coding::Coding;
use crate::wire::refusal::{Class, Refusal};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// What is longer is judged on other threads.
const INLINE_BYTES_MAX: usize = 64 << 10;

static TURNS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)))
});

/// Whether so much is judged where it is.
pub(super) fn is_inline(length: usize) -> bool {
    length <= INLINE_BYTES_MAX
}

/// What `work` makes of `length` bytes.
///
/// # Errors
/// The gateway is shutting down, or `work` panicked.
pub(super) async fn judged<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    if is_inline(length) {
        return Ok(work());
    }
    let busy = || Refusal::new(Class::Unavailable, "the gateway is shutting down");
    let turn = Arc::clone(&TURNS).acquire_owned().await.map_err(|_| busy())?;
    let task = tokio::task::spawn_blocking(move || {
        let made = work();
        // Not earlier: who left meanwhile has not ended the work.
        drop(turn);
        made
    });
    task.await.map_err(|_| Refusal::new(Class::Internal, "the text was not judged"))
}

/// A whole answer, and how it is coded.
#[derive(Debug)]
pub(super) struct Content {
    /// `None` for a coding that cannot be undone.
    pub(super) coding: Option<Coding>,
    pub(super) bytes: Vec<u8>,
}

impl Exchange<'_> {
    /// What `work` leaves of a whole answer by the judges of `asking`, and by those that are
    /// ordered until it is judged.
    ///
    /// # Errors
    /// The client left, an order or the deadline came first, or rules are gone.
    pub(super) async fn judge_answer<'a, C: Client>(
        &self,
        client: &mut C,
        book: &mut Book<'_>,
        until: Instant,
        asking: &'a Asking,
        mut content: Content,
        work: impl Fn(&[Arc<Judge>], Content) -> (Content, Found) + Copy + Send + 'static,
    ) -> Result<(Cow<'a, Asking>, Content, Found), Attempted> {
        let refuse = |refusal: Refusal| Attempted::Stop(refusal.into());
        let mut asking = match self.caught_up(book, asking).map_err(refuse)? {
            Some(caught_up) => Cow::Owned(caught_up),
            None => Cow::Borrowed(asking),
        };
        let mut judges = asking.judges.clone();
        let mut found = Found::default();
        loop {
            let length = content.bytes.len();
            let judging = judged(length, move || work(&judges, content));
            let (left, met) = match self.race(client, until, judging).await {
                Ok(judged) => judged.map_err(refuse)?,
                Err(Interrupt::Gone) => return Err(Attempted::Stop(Stop::Gone)),
                Err(Interrupt::Ordered(order)) => return Err(self.obey(book, order)),
                Err(Interrupt::Late) => {
                    let message = "the answer took longer than the route allows";
                    let refusal = Refusal::new(Class::Timeout, message);
                    let failure = Failure::FirstByteTimeout;
                    return Err(Attempted::Failed(Failed { failure, refusal }));
                }
            };
            content = left;
            found.join(met);
            let Some(caught_up) = self.caught_up(book, &asking).map_err(refuse)? else {
                return Ok((asking, content, found));
            };
            judges = caught_up.judges.get(asking.judges.len()..).unwrap_or_default().to_vec();
            asking = Cow::Owned(caught_up);
        }
    }
}
