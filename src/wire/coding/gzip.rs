//! Gzip (RFC 1952) around deflate.
//!
//! Header and trailer are read here because the library's low-level decoder, which lets us bound
//! each step, knows them only with a C backend.

use super::{CodingError, Run, inflate_into};
use flate2::{Crc, Decompress};

/// A gzip file (RFC 1952): members of header, deflate and trailer.
pub(super) struct Gzip {
    at: GzipAt,
    inflate: Decompress,
    crc: Crc,
}

/// Where in a member the next byte stands.
#[derive(Clone, Copy)]
enum GzipAt {
    /// In the ten fixed bytes.
    Header { at: u8, flags: u8 },
    /// In the length of the extra field, of which `bytes` are known.
    ExtraLength { flags: u8, at: u8, length: u16 },
    /// In the extra field, with `left` to go.
    Extra { flags: u8, left: u16 },
    /// In name or comment, both of which end in a zero.
    Text { flags: u8 },
    /// In the header's own checksum, with `left` bytes to go; it is not looked at.
    HeaderCrc { left: u8 },
    /// In the deflate stream.
    Body,
    /// In checksum and length.
    Trailer { at: u8, crc: u32, length: u32 },
}

const FLAG_HEADER_CRC: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0b1110_0000;

impl Default for Gzip {
    fn default() -> Self {
        Gzip {
            at: GzipAt::Header { at: 0, flags: 0 },
            inflate: Decompress::new(false),
            crc: Crc::new(),
        }
    }
}

impl Gzip {
    /// Whether the body may end here: between members.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.at, GzipAt::Header { at: 0, .. })
    }

    /// Decodes as much of `input` into `step` as fits.
    pub(super) fn run(&mut self, input: &[u8], step: &mut [u8]) -> Result<Run, CodingError> {
        let mut read = 0;
        loop {
            if matches!(self.at, GzipAt::Body) {
                let rest = input.get(read..).unwrap_or_default();
                let (run, end) = inflate_into(&mut self.inflate, rest, step)?;
                self.crc.update(step.get(..run.written).unwrap_or_default());
                if end {
                    self.at = GzipAt::Trailer { at: 0, crc: 0, length: 0 };
                }
                return Ok(Run { read: read + run.read, written: run.written });
            }
            let Some(&byte) = input.get(read) else {
                return Ok(Run { read, written: 0 });
            };
            read += 1;
            self.at = self.next(byte)?;
        }
    }

    /// Takes one byte of header or trailer.
    fn next(&mut self, byte: u8) -> Result<GzipAt, CodingError> {
        let right = |right: bool| if right { Ok(()) } else { Err(CodingError::Malformed) };
        Ok(match self.at {
            GzipAt::Header { at, flags } => {
                let flags = if at == 3 { byte } else { flags };
                match at {
                    0 => right(byte == 0x1F)?,
                    1 => right(byte == 0x8B)?,
                    2 => right(byte == 8)?,
                    3 => right(byte & FLAGS_RESERVED == 0)?,
                    // Time, extra flags and system say nothing of the body.
                    _ => {}
                }
                if at < 9 {
                    return Ok(GzipAt::Header { at: at + 1, flags });
                }
                self.inflate.reset(false);
                self.crc.reset();
                if flags & FLAG_EXTRA == 0 {
                    after_extra(flags)
                } else {
                    GzipAt::ExtraLength { flags, at: 0, length: 0 }
                }
            }
            GzipAt::ExtraLength { flags, at: 0, .. } => {
                GzipAt::ExtraLength { flags, at: 1, length: byte.into() }
            }
            GzipAt::ExtraLength { flags, length, .. } => match length | u16::from(byte) << 8 {
                0 => after_extra(flags),
                left => GzipAt::Extra { flags, left },
            },
            GzipAt::Extra { flags, left: 1 } => after_extra(flags),
            GzipAt::Extra { flags, left } => GzipAt::Extra { flags, left: left - 1 },
            GzipAt::Text { flags } if byte != 0 => GzipAt::Text { flags },
            GzipAt::Text { flags } if flags & FLAG_NAME != 0 => after_extra(flags & !FLAG_NAME),
            GzipAt::Text { flags } => after_extra(flags & !FLAG_COMMENT),
            GzipAt::HeaderCrc { left: 2 } => GzipAt::HeaderCrc { left: 1 },
            GzipAt::HeaderCrc { .. } | GzipAt::Body => GzipAt::Body,
            GzipAt::Trailer { at, crc, length } => {
                let (crc, length) = if at < 4 {
                    (crc | u32::from(byte) << (8 * at), length)
                } else {
                    (crc, length | u32::from(byte) << (8 * (at - 4)))
                };
                if at < 7 {
                    return Ok(GzipAt::Trailer { at: at + 1, crc, length });
                }
                right(crc == self.crc.sum() && length == self.crc.amount())?;
                GzipAt::Header { at: 0, flags: 0 }
            }
        })
    }
}

/// What follows the extra field.
fn after_extra(flags: u8) -> GzipAt {
    if flags & (FLAG_NAME | FLAG_COMMENT) != 0 {
        GzipAt::Text { flags }
    } else if flags & FLAG_HEADER_CRC != 0 {
        GzipAt::HeaderCrc { left: 2 }
    } else {
        GzipAt::Body
    }
}
