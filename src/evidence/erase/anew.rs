//! The segment without the lines that go: every frame where it began, holes between them.

use super::super::disk::Out;
use super::super::line;
use super::super::log::compressor;
use super::super::read::Segment;
use super::super::segment::Ranges;
use super::sorter::{Fate, Run, Sorter};
use std::io;
use std::ops::Range;
use zstd::bulk::Compressor;

/// How hard a frame is compressed that does not fit into its place otherwise.
const HARD_LEVEL: i32 = 19;
/// The most bytes of lines that are carried on to the next frame, where they do not fit either.
const CARRIED_MAX: usize = 8 * 1024 * 1024;
/// What a skippable frame begins with, and the length of its head.
const SKIPPABLE: u32 = 0x184D_2A50;
const SKIPPABLE_HEAD: u64 = 8;
/// The most bytes of one, so that whoever reads a whole frame at once needs no more.
const SKIPPABLE_MAX: u64 = 4 * 1024 * 1024;

/// The segment in the making.
pub(super) struct Anew {
    out: Box<dyn Out>,
    /// Where the last frame ends.
    end: u64,
    compressor: Compressor<'static>,
    /// The run of erased lines that may go on.
    run: Option<Run>,
    /// The frame in which it began, if that is an earlier one: its place and its text.
    waiting: Option<(u64, Vec<u8>)>,
    /// Lines that did not fit into their place: they stand before those of the next frame.
    carried: Vec<u8>,
    pub erased: Ranges,
    /// Over the lines that stand in the places of those.
    pub places: blake3::Hasher,
    /// How many lines went.
    pub records: u64,
}

impl Anew {
    pub(super) fn new(out: Box<dyn Out>) -> io::Result<Anew> {
        Ok(Anew {
            out,
            end: 0,
            compressor: compressor()?,
            run: None,
            waiting: None,
            carried: Vec::new(),
            erased: Ranges::default(),
            places: blake3::Hasher::new(),
            records: 0,
        })
    }

    /// Takes a frame; gives its place if it stays as it is.
    pub(super) fn frame(
        &mut self,
        sorter: &mut Sorter<'_>,
        segment: &mut Segment,
    ) -> io::Result<Option<Range<u64>>> {
        let mut begin = 0;
        let mut text = std::mem::take(&mut self.carried);
        let mut stays = text.is_empty();
        while let Some((position, line)) = segment.line_of_frame() {
            begin = position.frame;
            match sorter.fate(line) {
                Fate::Stays => {
                    stays &= self.run.is_none();
                    self.end_run(begin, &mut text)?;
                    text.extend_from_slice(line);
                    text.push(b'\n');
                }
                Fate::Goes(run) => {
                    stays = false;
                    self.records += run.records;
                    match &mut self.run {
                        Some(open) if open.last.saturating_add(1) == run.first => {
                            open.last = run.last;
                            open.chain = run.chain;
                        }
                        _ => {
                            self.end_run(begin, &mut text)?;
                            self.run = Some(run);
                        }
                    }
                }
                Fate::Drops => {
                    self.end_run(begin, &mut text)?;
                    stays = false;
                }
            }
        }
        // Behind the seal there is room.
        let end = if sorter.seal.is_some() { u64::MAX } else { segment.frames_end() };
        match &self.run {
            // All of it goes with what began before it.
            Some(_) if self.waiting.is_some() => Ok(None),
            Some(_) => {
                self.waiting = Some((begin, text));
                Ok(None)
            }
            None if stays => Ok(Some(begin..segment.frames_end())),
            None if text.is_empty() => Ok(None),
            None => self.put_text(begin..end, text).map(|()| None),
        }
    }

    /// Leaves nothing open before what begins at `next`.
    pub(super) fn settle(&mut self, next: u64) -> io::Result<()> {
        let mut carried = Vec::new();
        self.end_run(next, &mut carried)?;
        carried.append(&mut self.carried);
        if carried.is_empty() { Ok(()) } else { Err(does_not_fit(next)) }
    }

    /// Ends the run of erased lines where one is open, before what begins at `next`; its line goes
    /// to the frame in which it began: the one that waits, else the one whose text is `here`.
    fn end_run(&mut self, next: u64, here: &mut Vec<u8>) -> io::Result<()> {
        let Some(run) = self.run.take() else { return Ok(()) };
        self.erased.extend(run.first, run.last);
        let mut line = Vec::new();
        line::write_erased(&mut line, run.first, run.last, &run.at, run.chain);
        self.places.update(&line);
        let Some((begin, mut text)) = self.waiting.take() else {
            here.extend_from_slice(&line);
            return Ok(());
        };
        text.extend_from_slice(&line);
        self.put_text(begin..next, text)?;
        // The frame at hand has nothing yet but what goes.
        here.splice(0..0, std::mem::take(&mut self.carried));
        Ok(())
    }

    /// Writes a frame that has room up to the end of its place; where it does not fit, it goes with the
    /// next one.
    fn put_text(&mut self, place: Range<u64>, text: Vec<u8>) -> io::Result<()> {
        let room = place.end - place.start;
        let fits = |frame: &[u8]| {
            let length = frame.len() as u64;
            length == room || length.saturating_add(SKIPPABLE_HEAD) <= room
        };
        let mut frame = self.compressor.compress(&text)?;
        if !fits(&frame) {
            let mut harder = compressor()?;
            harder.set_compression_level(HARD_LEVEL)?;
            frame = harder.compress(&text)?;
        }
        if fits(&frame) {
            return self.put(place.start, &frame);
        }
        if text.len() > CARRIED_MAX {
            return Err(does_not_fit(place.start));
        }
        self.carried = text;
        Ok(())
    }

    /// Writes the last frame; then all of it is on the disk.
    pub(super) fn finish(&mut self, text: &[u8]) -> io::Result<()> {
        let frame = self.compressor.compress(text)?;
        self.put(self.end, &frame)?;
        self.out.sync()
    }

    /// Writes bytes in their place.
    pub(super) fn put(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        if at < self.end {
            return Err(does_not_fit(at));
        }
        while self.end < at {
            let gap = at - self.end;
            // What is left over must have room for a head of its own.
            let length = if gap <= SKIPPABLE_MAX { gap } else { SKIPPABLE_MAX - SKIPPABLE_HEAD };
            let payload = u32::try_from(length.saturating_sub(SKIPPABLE_HEAD)).unwrap_or(0);
            let head = [SKIPPABLE.to_le_bytes(), payload.to_le_bytes()].concat();
            self.out.write_at(self.end, &head)?;
            self.end += length;
        }
        self.out.write_at(at, bytes)?;
        self.end = at + bytes.len() as u64;
        Ok(())
    }
}

fn does_not_fit(at: u64) -> io::Error {
    io::Error::other(format!("what stays of the frame at byte {at} does not fit into its place"))
}
