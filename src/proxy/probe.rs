//! Looks after targets that could not be reached: asks them to connect, outside of traffic.
//!
//! A circuit that opened because no connection could be made closes again as soon as one can be:
//! the next request probes it. A target that answers with errors is left to its circuit, because
//! a connection says nothing of it.

use super::Gate;
use super::upstream::{Origin, dial};
use std::sync::Arc;
use std::time::Duration;

/// How often unreachable targets are tried.
const EVERY: Duration = Duration::from_secs(1);
/// How long one try may take.
const TIME_MAX: Duration = Duration::from_secs(2);

/// Probes until dropped. Belongs on the control runtime.
pub async fn run(gate: Arc<Gate>) {
    let mut every = tokio::time::interval(EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let table = gate.board.table();
        for target in &table.targets {
            let health = gate.health.target(&target.name);
            let base = &table.providers[usize::from(target.provider.0)].base;
            let (true, Some(base)) = (health.is_unreachable(), base) else { continue };
            let dialed = tokio::time::timeout(TIME_MAX, dial(&Origin::from(base))).await;
            if matches!(dialed, Ok(Ok(_))) {
                health.reachable(gate.clock.now());
            }
        }
    }
}
