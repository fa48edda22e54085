//! A request to the model of all dialects, and back.

mod closed;
mod read;
mod write;

pub(in crate::wire) use read::read;
pub(in crate::wire) use write::write;
