//! stub
use std::fmt;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding { Identity, Gzip, Deflate, Brotli, Zstd }
#[derive(Debug)]
pub struct CodingError;
impl fmt::Display for CodingError { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("x") } }
impl CodingError { pub fn is_too_large(&self) -> bool { false } }
impl Coding { pub fn parse(_t: &str) -> Result<Coding, CodingError> { Ok(Coding::Identity) } }
#[derive(Debug)]
pub struct Inflater;
impl Inflater { pub fn new(_c: Coding, _m: usize, _r: u32) -> Inflater { Inflater }
 pub fn push(&mut self, _i: &[u8], _o: &mut Vec<u8>) -> Result<(), CodingError> { Ok(()) }
 pub fn finish(&mut self, _o: &mut Vec<u8>) -> Result<(), CodingError> { Ok(()) } }
