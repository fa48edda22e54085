//! Given text on a channel, says how far it is clear, what to edit, and whether to cut.

pub mod fold;
