//! stub
use super::Exit;
/// m
#[derive(Debug, clap::Args)]
pub struct Args {}
/// r
pub fn run(_a: &Args) -> Exit { Exit::Done }
