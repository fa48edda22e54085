//! stub
use super::{Common, Exit};
/// c
#[derive(Debug, clap::Args)]
pub struct Demo {}
impl Demo { pub(super) fn run(&self, _c: &Common) -> Exit { Exit::Done } }
