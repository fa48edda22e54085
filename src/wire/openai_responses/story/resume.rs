//! A story that goes on where a provider's own frames broke off.

use super::Story;

impl Story {
    /// Takes the ids of the items that the provider's frames told: block, id, and stem. Gives
    /// whether the story has the same items in the same places, so that it can go on.
    pub(in super::super) fn take_over(&mut self, told: &[(u16, Box<str>, &'static str)]) -> bool {
        let are_same = self.has_started
            && !self.is_cut
            && told.len() == self.items.len()
            && self.items.iter().zip(told).enumerate().all(|(place, (item, (block, ..)))| {
                item.block == *block && usize::from(*block) == place
            });
        if are_same {
            for (item, (_, id, _)) in self.items.iter_mut().zip(told) {
                if !id.is_empty() {
                    item.id = id.to_string();
                }
            }
        }
        are_same
    }
}
