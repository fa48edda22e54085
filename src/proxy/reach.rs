//! How a lever reaches what is under way: the gate's part of the order of effect.

use super::Gate;
use crate::control::Reach;
use crate::table::lever::Lever;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a worker may take to finish the step that it is in. A worker that takes longer is
/// stuck in something that is not a stream.
const SETTLE_MAX: Duration = Duration::from_millis(250);

impl Reach for Gate {
    fn reach<'r>(&'r self, lever: &'r Arc<Lever>) -> Pin<Box<dyn Future<Output = ()> + Send + 'r>> {
        Box::pin(async move {
            let tally = self.board.tally(lever.id);
            // All workers begin at once.
            let reaching: Vec<_> =
                self.registries.iter().map(|registry| registry.reach(lever, &tally)).collect();
            let reached = async {
                for worker in reaching {
                    worker.await;
                }
            };
            if tokio::time::timeout(SETTLE_MAX, reached).await.is_err() {
                tracing::warn!(lever = %lever.id, "a worker is in one step for long; it obeys the lever at its next");
            }
            tally.settle();
        })
    }
}
