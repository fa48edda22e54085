//! Fills the caches of automata with what ordinary text needs, before the first stream needs it.

use super::engine::{Cache, Engine, Ruleset};
use super::release::Release;
use super::sample::{ENGLISH, hostile};
use super::scanner::Scanner;
use std::sync::Arc;

/// Text without structure that fills caches.
const NOISE_BYTES: usize = 1024;

impl Engine {
    /// Runs the built-in texts once, so that every worker begins with filled caches.
    pub fn warm(self: &Arc<Self>) {
        if self.lanes.warm.get().is_some() {
            return;
        }
        let mut cache = Cache::default();
        let mut out = Release::default();
        // Only so much noise: what it leads to deep down is never met again.
        let noise: String = hostile().take(NOISE_BYTES).map(char::from).collect();
        for text in [ENGLISH, noise.as_str(), ENGLISH] {
            let mut scanner = Scanner::new(self);
            for piece in text.split_inclusive(' ') {
                scanner.push(&mut cache, piece, &mut out);
            }
            scanner.finish(&mut cache, &mut out);
        }
        if let Some(slot) = cache.slots.pop() {
            self.lanes.warm.get_or_init(|| slot.machines);
        }
    }
}

impl Cache {
    /// Fills the caches of all engines of a ruleset, and drops those of engines that are gone.
    pub fn warm(&mut self, rules: &Ruleset) {
        for engine in rules.engines() {
            engine.warm();
            self.slot(engine);
        }
    }
}
