//! What is queued for a client, on its way out while orders may come.

use super::super::client::Client;
use super::super::orders::{Ordered, Orders, killed};
use super::End;
use crate::table::lever::Lever;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::{Instant, sleep_until};

/// Sends what is queued, until `until`. A kill tears what a client has not taken by then; the
/// ending that a lever wrote is not torn by the next lever.
///
/// Whoever queued it has asked for orders in the same step, so the first try obeys only a kill that
/// did not wait for this step: were a small answer torn for any that came in that step, its client
/// would see a broken connection and no refusal.
pub(in crate::proxy) async fn flush<C: Client>(
    orders: &Orders<'_>,
    client: &mut C,
    until: Instant,
    end: End,
) -> End {
    let mut timer = pin!(sleep_until(until));
    let is_content = matches!(end, End::Whole);
    let mut is_first = true;
    let flushed = poll_fn(|cx| {
        if is_content
            && let Some(lever) = if is_first { orders.in_force() } else { poll_kill(orders, cx) }
        {
            return Poll::Ready(Flushed::Killed(lever));
        }
        let flushed = if is_content { write(orders, client, cx) } else { client.poll_flush(cx) };
        match flushed {
            Poll::Ready(Ok(())) => return Poll::Ready(Flushed::All),
            Poll::Ready(Err(_)) => return Poll::Ready(Flushed::Gone),
            Poll::Pending => {}
        }
        if std::mem::take(&mut is_first)
            && is_content
            && let Some(lever) = poll_kill(orders, cx)
        {
            return Poll::Ready(Flushed::Killed(lever));
        }
        timer.as_mut().poll(cx).map(|()| Flushed::Late)
    })
    .await;
    match flushed {
        Flushed::All => end,
        Flushed::Gone => End::Gone,
        Flushed::Killed(lever) => {
            client.tear();
            End::Torn(killed(&lever), Some(lever.id))
        }
        Flushed::Late => {
            client.tear();
            match end {
                End::Cut(refusal, lever) | End::Torn(refusal, lever) => End::Torn(refusal, lever),
                End::Unusable(refusal) => End::Torn(refusal, None),
                End::Whole
                | End::Ordered(_)
                | End::Blocked(_)
                | End::Ruled(_)
                | End::Broken(..)
                | End::Switched
                | End::Gone => End::Gone,
            }
        }
    }
}

/// The kill that stands now; if there is none, this task is woken by the next. What else is
/// ordered comes too late for an answer that is whole.
fn poll_kill(orders: &Orders<'_>, cx: &Context<'_>) -> Option<Arc<Lever>> {
    match orders.poll_end(cx) {
        Poll::Ready(Ordered::Killed(lever)) => Some(lever),
        Poll::Ready(
            Ordered::ShutDown | Ordered::Switch(_) | Ordered::Tools(_) | Ordered::Filters(_),
        )
        | Poll::Pending => None,
    }
}

/// Moves content to the client, and counts what a kill should have kept.
pub(super) fn write<C: Client>(
    orders: &Orders<'_>,
    client: &mut C,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    let before = client.backlog();
    let flushed = client.poll_flush(cx);
    if orders.is_stale() {
        orders.late(before.saturating_sub(client.backlog()) as u64);
    }
    flushed
}

enum Flushed {
    All,
    Gone,
    Killed(Arc<Lever>),
    Late,
}
