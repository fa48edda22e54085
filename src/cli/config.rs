//! stub
use super::{Common, Exit};
/// c
#[derive(Debug, clap::Args)]
pub struct Config {}
impl Config { pub(super) fn run(&self, _c: &Common) -> Exit { Exit::Done } }
