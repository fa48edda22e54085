//! Waiting inside an exchange: for work, the client, an order, or a deadline, whichever is first.

use super::Exchange;
use crate::proxy::client::Client;
use crate::proxy::orders::Ordered;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use tokio::time::{Instant, sleep_until};

/// What ended a wait early.
pub(super) enum Interrupt {
    Gone,
    Ordered(Ordered),
    Late,
}

impl Exchange<'_> {
    /// Waits for `work`, the client's leaving, an order to cut, or the deadline.
    pub(super) async fn race<C: Client, T>(
        &self,
        client: &mut C,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupt> {
        let mut work = pin!(work);
        let mut timer = pin!(sleep_until(until));
        poll_fn(|cx| {
            // Orders first: a step that begins after a kill was published sends nothing more.
            if let Some(order) = self.orders.look() {
                return Poll::Ready(Err(Interrupt::Ordered(order)));
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Interrupt::Gone));
            }
            if let Poll::Ready(order) = self.orders.poll(cx) {
                return Poll::Ready(Err(Interrupt::Ordered(order)));
            }
            timer.as_mut().poll(cx).map(|()| Err(Interrupt::Late))
        })
        .await
    }

    /// Waits for `work`, an order to end, or the deadline, while the client itself is at work.
    pub(super) async fn unless_ended<T>(
        &self,
        until: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Interrupt> {
        let mut work = pin!(work);
        let mut timer = pin!(sleep_until(until));
        poll_fn(|cx| {
            if let Poll::Ready(order) = self.orders.poll_end(cx) {
                return Poll::Ready(Err(Interrupt::Ordered(order)));
            }
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            timer.as_mut().poll(cx).map(|()| Err(Interrupt::Late))
        })
        .await
    }
}
