//! stub
use super::{Common, Exit};
use crate::table::diagnostic::Diagnostic;
/// c
#[derive(Debug, clap::Args)]
pub struct Check {}
/// e
#[derive(Debug, clap::Args)]
pub struct Explain { code: String }
impl Check { pub(super) fn run(&self, _c: &Common) -> Exit { Exit::Done } }
impl Explain { pub(super) fn run(&self, _c: &Common) -> Exit { let _ = &self.code; Exit::Done } }
pub(super) fn report(_d: &[Diagnostic]) {}
