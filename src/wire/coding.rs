//! Content codings (RFC 9110, section 8.4), undone in passing so that a compressed body can be
//! inspected while it is forwarded as it came.
//!
//! A few bytes can stand for very many, so an [`Inflater`] is told how much it may give in all and
//! how many times what it was given; it stops at the first byte beyond. Windows are bounded by the
//! codings' own rules: 32 KiB for deflate, 16 MiB for Brotli (its "large window" form is not a
//! content coding), and 8 MiB for Zstandard (RFC 9659). It gives all that the bytes so far say:
//! nothing is kept back for want of more.

mod gzip;

#[cfg(test)]
mod tests;

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use gzip::Gzip;
use std::fmt;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

/// How much is decoded at a time, in bytes; what `out` may grow by before limits are looked at.
const STEP: usize = 16 << 10;
/// Decoded bytes up to which the ratio does not matter.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;
/// Zstandard windows may have `1 << 23` bytes (RFC 9659, section 3).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// One content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// The body as it is.
    Identity,
    /// RFC 1952; several members one after the other are one body.
    Gzip,
    /// zlib (RFC 1950), or, as some servers send, bare deflate (RFC 1951).
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

/// Why a `Content-Encoding` cannot be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingUnread {
    /// More than one coding was applied.
    Several,
    /// A coding that we do not know.
    Unknown,
}

impl fmt::Display for CodingUnread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CodingUnread::Several => "the body has several content codings",
            CodingUnread::Unknown => "the body has a content coding that is not known",
        })
    }
}

impl std::error::Error for CodingUnread {}

/// Why a coded body cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodingError {
    /// It is not what its coding says, or ends too early or too late.
    Malformed,
    /// It decodes to more than `limit` bytes.
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It decodes to more than `ratio` times its own length.
    Bomb {
        /// Decoded bytes for each coded one.
        ratio: u32,
    },
    /// It asks for a window of more than `limit` bytes.
    Window {
        /// In bytes.
        limit: u64,
    },
}

impl CodingError {
    /// Whether a limit was met, and not the format broken.
    pub fn is_limit(&self) -> bool {
        match self {
            CodingError::TooLarge { .. }
            | CodingError::Bomb { .. }
            | CodingError::Window { .. } => true,
            CodingError::Malformed => false,
        }
    }
}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodingError::Malformed => f.write_str("the body is not what its content coding says"),
            CodingError::TooLarge { limit } => {
                write!(f, "the body decodes to more than {limit} bytes")
            }
            CodingError::Bomb { ratio } => {
                write!(f, "the body decodes to more than {ratio} times its length")
            }
            CodingError::Window { limit } => {
                write!(f, "the body asks for a window of more than {limit} bytes")
            }
        }
    }
}

impl std::error::Error for CodingError {}

impl Coding {
    /// Reads the value of a `Content-Encoding` header; several header lines are joined by commas
    /// first. Names have no case, and `x-gzip` is `gzip`.
    ///
    /// # Errors
    /// There is more than one coding besides `identity`, or one that is not known.
    pub fn parse(header: &str) -> Result<Coding, CodingUnread> {
        let mut found = Coding::Identity;
        for name in header.split(',').map(str::trim) {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let coding = match () {
                () if name.is_empty() || is("identity") => continue,
                () if is("gzip") || is("x-gzip") => Coding::Gzip,
                () if is("deflate") => Coding::Deflate,
                () if is("br") => Coding::Brotli,
                () if is("zstd") => Coding::Zstd,
                () => return Err(CodingUnread::Unknown),
            };
            if found != Coding::Identity {
                return Err(CodingUnread::Several);
            }
            found = coding;
        }
        Ok(found)
    }
}

/// Undoes a coding piece by piece.
pub struct Inflater {
    engine: Engine,
    step: Box<[u8]>,
    /// Coded bytes used so far.
    read: u64,
    /// Decoded bytes given so far; `given <= limit`.
    given: u64,
    limit: u64,
    ratio: u32,
    /// What went wrong; it stays so.
    failed: Option<CodingError>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater")
            .field("read", &self.read)
            .field("given", &self.given)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl Inflater {
    /// Undoes `coding`, for at most `limit` decoded bytes, and, beyond [`RATIO_FREE_BYTES`], at
    /// most `ratio` for each coded byte.
    pub fn new(coding: Coding, limit: u64, ratio: u32) -> Inflater {
        let engine = match coding {
            Coding::Identity => Engine::Identity,
            Coding::Gzip => Engine::Gzip(Gzip::default()),
            Coding::Deflate => Engine::Sniff(None),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                // Not `new`: that also takes large windows, of up to 1 GiB.
                Engine::Brotli {
                    state: Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())),
                    done: false,
                }
            }
            Coding::Zstd => {
                let decoder = ZstdDecoder::new().and_then(|mut decoder| {
                    decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
                    Ok(decoder)
                });
                match decoder {
                    Ok(decoder) => Engine::Zstd { decoder, at_end: true },
                    Err(_) => Engine::Broken,
                }
            }
        };
        Inflater {
            engine,
            step: vec![0; STEP].into(),
            read: 0,
            given: 0,
            limit,
            ratio,
            failed: None,
        }
    }

    /// Appends to `out` all that `input`, the next piece of the body, decodes to.
    ///
    /// # Errors
    /// The body is malformed or beyond a limit. What was decoded before that is in `out`; every
    /// further call gives the same error.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let done = self.decode(input, out);
        self.failed = done.err();
        done
    }

    /// Says whether the body was whole. A body of no bytes at all is.
    ///
    /// # Errors
    /// It ends too early, or went wrong before.
    pub fn finish(self) -> Result<(), CodingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let whole = match &self.engine {
            Engine::Identity => true,
            Engine::Gzip(gzip) => gzip.is_whole(),
            Engine::Deflate { done, .. } | Engine::Brotli { done, .. } => *done,
            Engine::Zstd { at_end, .. } => *at_end,
            Engine::Sniff(_) | Engine::Broken => false,
        };
        if whole || self.read == 0 { Ok(()) } else { Err(CodingError::Malformed) }
    }

    fn decode(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), CodingError> {
        let mut full = false;
        while !input.is_empty() || full {
            // One byte more than may be given, to see whether there is one.
            let left = self.limit - self.given;
            let room = usize::try_from(left.saturating_add(1)).unwrap_or(STEP).min(STEP);
            let step = self.step.get_mut(..room).unwrap_or_default();
            let run = self.engine.run(input, step)?;
            if run.read == 0 && run.written == 0 && !input.is_empty() {
                return Err(CodingError::Malformed);
            }
            full = run.written == room;
            input = input.get(run.read..).unwrap_or_default();
            self.read += run.read as u64;
            let given = (run.written as u64).min(left);
            out.extend_from_slice(step.get(..given as usize).unwrap_or_default());
            self.given += given;
            if run.written as u64 > left {
                return Err(CodingError::TooLarge { limit: self.limit });
            }
            if self.given > RATIO_FREE_BYTES
                && self.given > self.read.saturating_mul(u64::from(self.ratio))
            {
                return Err(CodingError::Bomb { ratio: self.ratio });
            }
        }
        Ok(())
    }
}

/// How far one step of an engine came.
struct Run {
    read: usize,
    written: usize,
}

/// The decoder of one coding.
enum Engine {
    Identity,
    Gzip(Gzip),
    /// Deflate of which only the first byte is known, if any: the second tells what it is.
    Sniff(Option<u8>),
    Deflate {
        inflate: Decompress,
        done: bool,
    },
    Brotli {
        state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>,
        done: bool,
    },
    Zstd {
        decoder: ZstdDecoder<'static>,
        /// Between frames, where the body may end.
        at_end: bool,
    },
    /// The decoder could not be made.
    Broken,
}

impl Engine {
    /// Decodes as much of `input` into `step` as fits.
    fn run(&mut self, input: &[u8], step: &mut [u8]) -> Result<Run, CodingError> {
        match self {
            Engine::Identity => {
                let length = input.len().min(step.len());
                for (to, from) in step.iter_mut().zip(input) {
                    *to = *from;
                }
                Ok(Run { read: length, written: length })
            }
            Engine::Gzip(gzip) => gzip.run(input, step),
            Engine::Sniff(first) => {
                let Some((&byte, after)) = input.split_first() else {
                    return Ok(Run { read: 0, written: 0 });
                };
                let (first, rest) = match (*first, after) {
                    (None, []) => {
                        *first = Some(byte);
                        return Ok(Run { read: 1, written: 0 });
                    }
                    (None, [second, ..]) => ((byte, *second), None),
                    (Some(held), _) => ((held, byte), Some(held)),
                };
                let mut inflate = Decompress::new(is_zlib(first.0, first.1));
                if let Some(held) = rest {
                    inflate_into(&mut inflate, &[held], &mut [])?;
                }
                *self = Engine::Deflate { inflate, done: false };
                self.run(input, step)
            }
            Engine::Deflate { done: true, .. } | Engine::Brotli { done: true, .. } => {
                // Nothing may follow.
                Ok(Run { read: 0, written: 0 })
            }
            Engine::Deflate { inflate, done } => {
                let (run, end) = inflate_into(inflate, input, step)?;
                *done = end;
                Ok(run)
            }
            Engine::Brotli { state, done } => {
                let (mut input_left, mut read) = (input.len(), 0);
                let (mut room, mut written, mut total) = (step.len(), 0, 0);
                let result = BrotliDecompressStream(
                    &mut input_left,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    step,
                    &mut total,
                    state,
                );
                match result {
                    BrotliResult::ResultFailure => return Err(CodingError::Malformed),
                    BrotliResult::ResultSuccess => *done = true,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
                }
                Ok(Run { read, written })
            }
            Engine::Zstd { decoder, at_end } => {
                if *at_end {
                    if input.is_empty() {
                        return Ok(Run { read: 0, written: 0 });
                    }
                    decoder.reinit().map_err(|_| CodingError::Malformed)?;
                }
                let status = decoder.run_on_buffers(input, step).map_err(|error| {
                    // The library names the reason in words only.
                    if error.to_string().contains("too much memory") {
                        CodingError::Window { limit: 1 << ZSTD_WINDOW_LOG_MAX }
                    } else {
                        CodingError::Malformed
                    }
                })?;
                *at_end = status.remaining == 0;
                Ok(Run { read: status.bytes_read, written: status.bytes_written })
            }
            Engine::Broken => Err(CodingError::Malformed),
        }
    }
}

/// Whether two bytes begin a zlib stream (RFC 1950, section 2.2). Bare deflate does not begin so:
/// it would be a stored block with bits set where encoders leave none.
fn is_zlib(method: u8, flags: u8) -> bool {
    method & 0x0F == 8
        && method >> 4 <= 7
        && (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31)
}

/// One step of deflate, and whether it was the last.
fn inflate_into(
    inflate: &mut Decompress,
    input: &[u8],
    step: &mut [u8],
) -> Result<(Run, bool), CodingError> {
    let (read, written) = (inflate.total_in(), inflate.total_out());
    let status = inflate
        .decompress(input, step, FlushDecompress::None)
        .map_err(|_| CodingError::Malformed)?;
    let run = Run {
        read: (inflate.total_in() - read) as usize,
        written: (inflate.total_out() - written) as usize,
    };
    Ok((run, status == Status::StreamEnd))
}
