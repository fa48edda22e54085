//! A sum over a window that slides.
//!
//! The window is cut into [`SLOTS`] slots. What was used in a slot counts until the whole slot is
//! older than the window, so the sum is never less than what was used in the window, and at most
//! one slot more. Slots in which nothing was used take no memory.

use std::collections::VecDeque;

/// Parts of a window.
pub(super) const SLOTS: u64 = 60;

/// Moments are nanoseconds that only grow; the caller passes the width of a slot with each.
#[derive(Debug, Default)]
pub(super) struct Sliding {
    /// Number of the slot and what was used in it, oldest first; at most `SLOTS + 1`.
    slots: VecDeque<(u64, u64)>,
}

impl Sliding {
    /// Forgets what the window has passed by.
    pub(super) fn expire(&mut self, width: u64, now: u64) {
        let current = now / width;
        while self.slots.front().is_some_and(|(slot, _)| slot + SLOTS < current) {
            self.slots.pop_front();
        }
    }

    /// Adds what is used now.
    pub(super) fn add(&mut self, width: u64, now: u64, amount: u64) {
        self.expire(width, now);
        if amount == 0 {
            return;
        }
        let current = now / width;
        match self.slots.back_mut() {
            // Two threads read the clock before one of them came here: the later slot takes both.
            Some((slot, sum)) if *slot >= current => *sum = sum.saturating_add(amount),
            Some(_) | None => self.slots.push_back((current, amount)),
        }
    }

    /// What counts now.
    pub(super) fn used(&self, width: u64, now: u64) -> u64 {
        let current = now / width;
        self.slots
            .iter()
            .filter(|(slot, _)| slot + SLOTS >= current)
            .fold(0, |sum, (_, amount)| sum.saturating_add(*amount))
    }

    /// After how many nanoseconds `excess` less is used than now; `None` if there is not that much.
    pub(super) fn frees_in(&self, width: u64, now: u64, excess: u64) -> Option<u64> {
        let current = now / width;
        let mut freed: u64 = 0;
        for (slot, amount) in self.slots.iter().filter(|(slot, _)| slot + SLOTS >= current) {
            freed = freed.saturating_add(*amount);
            if freed >= excess {
                return Some(((slot + SLOTS + 1) * width).saturating_sub(now));
            }
        }
        None
    }

    /// The slots that count now, oldest first: the last moment of each, and what was used in it.
    pub(super) fn slots(&self, width: u64, now: u64) -> impl Iterator<Item = (u64, u64)> {
        let current = now / width;
        let counts = move |(slot, _): &&(u64, u64)| slot + SLOTS >= current;
        self.slots.iter().filter(counts).map(move |(slot, sum)| ((slot + 1) * width - 1, *sum))
    }

    /// Whether nothing counts now.
    pub(super) fn is_empty(&self, width: u64, now: u64) -> bool {
        self.used(width, now) == 0
    }
}
