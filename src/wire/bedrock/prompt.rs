//! A request to the model of all dialects, and back.
//!
//! The model and whether the answer is a stream stand in the path, so a prompt read here has
//! neither, and one written here leaves both to the path. What is one model's own
//! (`additionalModelRequestFields`) is understood and written for Anthropic's models alone.

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(in crate::wire) use read::read;
pub(in crate::wire) use write::write;
