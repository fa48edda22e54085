//! Reading segments: frames, their lines, and what the lines say.
//!
//! A segment is read frame by frame with one decompressor and one buffer for the text, and lines
//! are slices of it. Damage is told with its place and passed over: reading goes on at the next
//! frame that is whole, so one bad byte costs one frame. Files of other names are none of ours.

use super::digits::unbase64;
use super::disk::{Disk, Folder};
use super::line;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use zstd::bulk::Decompressor;

/// The most bytes of a frame, on disk and as text; what is larger is none of ours.
pub const FRAME_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// What a zstd frame begins with (RFC 8878).
const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// What zstd says of a frame whose end is not there yet.
const TOO_SHORT: &str = "Src size is incorrect";

/// The number of the segment that a file's name says.
pub fn segment_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".ndjson.zst")?;
    let is_ours = (10..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number = digits.parse().ok().filter(|_| is_ours)?;
    (segment_name(number) == name).then_some(number)
}

/// The name of a segment's file.
pub fn segment_name(number: u64) -> String {
    format!("seg-{number:010}.ndjson.zst")
}

/// The segments of a folder, in order.
///
/// # Errors
/// The folder cannot be listed.
pub fn segments(disk: &dyn Disk) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        disk.list()?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Where a line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub segment: u64,
    /// Where its frame begins in the file.
    pub frame: u64,
    /// Which line of the frame it is; the first is 0.
    pub line: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "segment {}, frame at byte {}, line {}", self.segment, self.frame, self.line)
    }
}

/// Bytes of a file that are no whole frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where it begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whether the file ends with it, as it does where a write was cut short.
    pub is_tail: bool,
}

/// What a reader met.
#[derive(Debug, PartialEq, Eq)]
pub enum Met<'r> {
    /// A line, without its end.
    Line(Position, &'r [u8]),
    /// Bytes that are no whole frame.
    Damage(Damage),
    /// The end.
    End,
}

/// What stands in the place of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed {
    /// A frame; its lines are to be taken.
    Whole,
    /// Bytes that are no whole frame.
    Damage(Damage),
    /// The end.
    End,
}

/// Reads one segment.
pub struct Segment {
    number: u64,
    source: Box<dyn Read + Send>,
    /// Bytes of the file from `offset` on; those before `start` are done with.
    buffer: Vec<u8>,
    start: usize,
    /// Where `buffer[start]` stands in the file.
    offset: u64,
    is_at_end: bool,
    decompressor: Decompressor<'static>,
    text: Vec<u8>,
    /// What of the text was not handed out.
    rest: Range<usize>,
    position: Position,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("number", &self.number).finish_non_exhaustive()
    }
}

/// What stands at the beginning of the buffer.
enum Next {
    /// A frame of this many bytes.
    Frame(usize),
    /// None that is whole, and the file ends.
    Torn,
    /// Nothing.
    End,
}

impl Segment {
    /// Opens a segment of `disk` at the frame that begins at byte `frame`.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(disk: &dyn Disk, number: u64, frame: u64) -> io::Result<Segment> {
        Ok(Segment {
            number,
            source: disk.read(&segment_name(number), frame)?,
            buffer: Vec::new(),
            start: 0,
            offset: frame,
            is_at_end: false,
            decompressor: Decompressor::new()?,
            text: Vec::new(),
            rest: 0..0,
            position: Position { segment: number, frame, line: 0 },
        })
    }

    /// Opens a segment in a folder from its beginning.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open_in(folder: &Path, number: u64) -> io::Result<Segment> {
        Segment::open(&Folder::at(folder), number, 0)
    }

    /// Where the frames that were handed out end.
    pub fn frames_end(&self) -> u64 {
        self.offset
    }

    /// Goes on to the next frame; lines of the one before that were not taken are passed over.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_frame(&mut self) -> io::Result<Framed> {
        self.rest = 0..0;
        loop {
            if let Some(damage) = self.advance()? {
                return Ok(Framed::Damage(damage));
            }
            if !self.rest.is_empty() {
                return Ok(Framed::Whole);
            }
            if self.is_done() {
                return Ok(Framed::End);
            }
        }
    }

    /// Goes on to the next frame that is whole; `false` at the end. A place in a segment from which
    /// lines were erased may have none of its own any more: what is left of it stands in that one.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_whole_frame(&mut self) -> io::Result<bool> {
        loop {
            match self.next_frame()? {
                Framed::Whole => return Ok(true),
                Framed::Damage(_) => {}
                Framed::End => return Ok(false),
            }
        }
    }

    /// Where the frame begins whose lines are handed out.
    pub fn frame_begin(&self) -> u64 {
        self.position.frame
    }

    /// The next line of the frame, without its end; `None` at the frame's end.
    pub fn line_of_frame(&mut self) -> Option<(Position, &[u8])> {
        if self.rest.is_empty() {
            return None;
        }
        let begin = self.rest.start;
        let text = &self.text[self.rest.clone()];
        let end = memchr::memchr(b'\n', text).map_or(self.rest.end, |at| begin + at);
        self.rest.start = (end + 1).min(self.rest.end);
        let position = self.position;
        self.position.line += 1;
        Some((position, &self.text[begin..end]))
    }

    /// The next line, or what stands in its place.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Met<'_>> {
        if self.rest.is_empty() {
            match self.next_frame()? {
                Framed::Whole => {}
                Framed::Damage(damage) => return Ok(Met::Damage(damage)),
                Framed::End => return Ok(Met::End),
            }
        }
        match self.line_of_frame() {
            Some((position, line)) => Ok(Met::Line(position, line)),
            None => Ok(Met::End),
        }
    }

    fn is_done(&self) -> bool {
        self.is_at_end && self.start == self.buffer.len()
    }

    /// Decompresses the next frame; tells what damage had to be passed over instead.
    fn advance(&mut self) -> io::Result<Option<Damage>> {
        match self.frame()? {
            Next::End => Ok(None),
            Next::Frame(len) if self.decompress(len) => {
                self.position = Position { segment: self.number, frame: self.offset, line: 0 };
                self.pass(len);
                Ok(None)
            }
            Next::Frame(_) | Next::Torn => self.pass_damage().map(Some),
        }
    }

    /// Finds the length of the frame at the beginning of the buffer.
    fn frame(&mut self) -> io::Result<Next> {
        let mut enough = READ_BYTES / 2;
        loop {
            self.fill(enough)?;
            let here = &self.buffer[self.start..];
            if here.is_empty() {
                return Ok(Next::End);
            }
            let code = match zstd::zstd_safe::find_frame_compressed_size(here) {
                Ok(len) => return Ok(Next::Frame(len)),
                Err(code) => code,
            };
            let is_short = zstd::zstd_safe::get_error_name(code) == TOO_SHORT;
            if self.is_at_end || !is_short || here.len() >= FRAME_BYTES_MAX {
                return Ok(Next::Torn);
            }
            enough = here.len() * 2;
        }
    }

    /// Whether the first `len` bytes of the buffer are a frame; its text then stands in `text`.
    fn decompress(&mut self, len: usize) -> bool {
        let frame = &self.buffer[self.start..self.start + len];
        let size = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
        let size = size.and_then(|size| usize::try_from(size).ok());
        // A frame that was streamed does not say its size; ours do.
        let Some(size) = size.or(Some(FRAME_BYTES_MAX)).filter(|size| *size <= FRAME_BYTES_MAX)
        else {
            return false;
        };
        self.text.clear();
        self.text.reserve(size);
        let is_whole = self.decompressor.decompress_to_buffer(frame, &mut self.text).is_ok();
        self.rest = if is_whole { 0..self.text.len() } else { 0..0 };
        is_whole
    }

    /// Goes on to the next frame that is whole, or to the end.
    fn pass_damage(&mut self) -> io::Result<Damage> {
        let offset = self.offset;
        let is_tail = loop {
            self.pass(1);
            self.fill(READ_BYTES / 2)?;
            let here = &self.buffer[self.start..];
            if here.is_empty() {
                break true;
            }
            let Some(at) = memchr::memmem::find(here, &MAGIC) else {
                // The beginning of a frame may stand at the end of what was read.
                let done = if self.is_at_end { here.len() } else { here.len() - 3 };
                self.pass(done.saturating_sub(1));
                continue;
            };
            self.pass(at);
            if let Next::Frame(len) = self.frame()?
                && self.decompress(len)
            {
                self.rest = 0..0;
                break false;
            }
        };
        Ok(Damage { offset, bytes: self.offset - offset, is_tail })
    }

    fn pass(&mut self, bytes: usize) {
        let bytes = bytes.min(self.buffer.len() - self.start);
        self.start += bytes;
        self.offset += bytes as u64;
    }

    /// Reads until at least `enough` bytes stand in the buffer, or the file ends.
    fn fill(&mut self, enough: usize) -> io::Result<()> {
        if self.buffer.len() - self.start >= enough || self.is_at_end {
            return Ok(());
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < enough {
            let more = enough.max(READ_BYTES) as u64;
            let read = (&mut self.source).take(more).read_to_end(&mut self.buffer)?;
            if read == 0 {
                self.is_at_end = true;
                break;
            }
        }
        Ok(())
    }
}

/// A text of a line that stands in the line as it is, where no escape is in it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(transparent)]
pub struct Text<'l>(#[serde(borrow)] pub Cow<'l, str>);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Where delivered bytes stand in the provider's answer.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
pub struct SameAs {
    /// The attempt.
    pub attempt: u16,
    /// The first byte in that attempt's answer.
    pub offset: u64,
}

/// What each line has, and what a body's line has. Members of other kinds are in the line itself,
/// for a type of the reader's own.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Record<'l> {
    /// The schema's version.
    pub v: u32,
    /// The line's number; they have no holes.
    pub seq: u64,
    /// When, RFC 3339.
    #[serde(borrow)]
    pub at: Text<'l>,
    /// What it tells.
    #[serde(borrow)]
    pub kind: Text<'l>,
    /// The exchange that it belongs to.
    #[serde(borrow, default)]
    pub exchange: Option<Text<'l>>,
    /// The attempt.
    #[serde(default)]
    pub attempt: Option<u16>,
    /// Where its bytes begin in their stream.
    #[serde(default)]
    pub offset: Option<u64>,
    /// Bytes that are text.
    #[serde(borrow, default)]
    pub text: Option<Text<'l>>,
    /// Bytes that are not.
    #[serde(borrow, default)]
    pub base64: Option<Text<'l>>,
    /// Arrivals or departures: microseconds since the exchange began, and bytes.
    #[serde(default)]
    pub chunks: Vec<(u64, u32)>,
    /// Whether the first chunk goes on from the last of the line before.
    #[serde(default)]
    pub joins: bool,
}

impl<'l> Record<'l> {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no JSON object with what each line has, or of a newer version.
    pub fn parse(line: &'l [u8]) -> Result<Record<'l>, String> {
        let record: Record<'l> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if record.v > line::VERSION {
            return Err(format!(
                "it is of version {}, and this Firedoor knows version {}",
                record.v,
                line::VERSION
            ));
        }
        Ok(record)
    }

    /// The bytes of a body that stand in the line; `None` if none do.
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match (&self.text, &self.base64) {
            (Some(text), _) => Some(Cow::Borrowed(text.0.as_bytes())),
            (None, Some(base64)) => unbase64(base64).map(Cow::Owned),
            (None, None) => None,
        }
    }
}
