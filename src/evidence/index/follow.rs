//! From the segments into the index: the one way in which rows are made.
//!
//! A step reads whole frames until it has enough, then writes what it learned and how far it has
//! read in one transaction. What is under way between two steps stays in memory, up to a bound; what
//! does not fit, or was under way when the process before ended, is read again from its places when
//! its end comes.

use super::super::disk::{Disk, Folder};
use super::super::exchange::{Exchange, Gather, Place, Wants, read_at};
use super::super::line;
use super::super::read::{Framed, Segment, Text, segments};
use super::super::retire::Erasure;
use super::super::share::Erased;
use super::super::store::FOLDER;
use super::super::texts::Part;
use super::context::{self, Waiting};
use super::write::{Entry, Names, Texts, Writing, add_places, has_earlier, known, put};
use super::{At, Fault, forget, open_to_write, position, remove, set_position};
use crate::id::ExchangeId;
use rusqlite::{Connection, TransactionBehavior};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most exchanges that end in a step: words are merged commit by commit, so large ones are
/// cheap. A gateway that is not behind commits several times a second all the same.
const ENDS_MAX: usize = 4_000;
/// The most bytes of lines that a step reads.
const STEP_BYTES_MAX: usize = 32 << 20;
/// The longest that a step reads.
const STEP_TIME_MAX: Duration = Duration::from_secs(1);
/// The most bytes of bodies of exchanges under way that are kept from step to step.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// The most exchanges under way that are kept.
const KEPT_MAX: usize = 20_000;
/// How often it is looked whether segments were retired.
const RETIRED_EVERY: Duration = Duration::from_secs(30);

/// What a step came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the segments that it read.
    pub disk_bytes: u64,
    /// Bytes of lines in them.
    pub text_bytes: u64,
    /// Exchanges that ended in it.
    pub exchanges: u64,
    /// Frames that were damaged and passed over.
    pub damaged: u64,
    /// Exchanges that were taken out because they were retired or erased.
    pub forgotten: u64,
    /// Documents of sessions that gave way to later ones before an exchange of theirs began.
    pub contexts_given_up: u64,
    /// Whether all that there is has been read.
    pub is_caught_up: bool,
}

/// Follows the segments of a data folder.
pub struct Follower {
    data_dir: PathBuf,
    disk: Arc<dyn Disk>,
    connection: Connection,
    names: Names,
    at: At,
    under_way: HashMap<ExchangeId, Pending>,
    /// Contexts that were read and are not written yet.
    contexts: Vec<Waiting>,
    /// What was erased, as far as that was read, and as far as it was taken out.
    erasures: Erased,
    erased: Erased,
    /// The most contexts that wait for exchanges.
    pub(super) contexts_max: u32,
    kept_bytes: usize,
    looked: Option<Instant>,
    /// Device and inode of the file that is open.
    identity: Option<(u64, u64)>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("data_dir", &self.data_dir).finish_non_exhaustive()
    }
}

/// An exchange of which lines were read.
struct Pending {
    row: Option<i64>,
    /// Its lines, if all of them were seen and kept.
    gather: Option<Gather>,
    kept_bytes: usize,
    places: Vec<Place>,
    /// How it ended.
    end: Option<End>,
    /// Whether the index does not have all of it yet.
    is_dirty: bool,
    /// Whether the index has its end.
    is_ended: bool,
    /// Whether something came behind its end that belongs to it.
    is_late: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// As its last line says.
    Closed,
    /// Its last line is lost.
    Unfinished,
}

/// What the follower asks of a line.
#[derive(Deserialize)]
struct Told<'l> {
    v: u32,
    #[serde(borrow)]
    kind: Text<'l>,
    #[serde(borrow, default)]
    exchange: Option<Text<'l>>,
    #[serde(borrow, default)]
    store: Option<Text<'l>>,
    #[serde(default)]
    unfinished: Vec<String>,
    #[serde(default)]
    erased: Erased,
}

impl Follower {
    /// Opens the index of a data folder and goes on where it ends. One that cannot be used is
    /// dropped and begun again.
    ///
    /// # Errors
    /// The index cannot be written now.
    pub fn open(data_dir: &Path) -> Result<Follower, Fault> {
        let disk: Arc<dyn Disk> = Arc::new(Folder::at(&data_dir.join(FOLDER)));
        Follower::open_on(data_dir, &disk)
    }

    /// The same, of the segments on any disk.
    ///
    /// # Errors
    /// The index cannot be written now.
    pub fn open_on(data_dir: &Path, disk: &Arc<dyn Disk>) -> Result<Follower, Fault> {
        match Follower::try_open(data_dir, disk) {
            Err(Fault::Unusable(why)) => {
                tracing::warn!(why, "the index of evidence is made again");
                remove(data_dir).map_err(|error| Fault::Unavailable(error.to_string()))?;
                Follower::try_open(data_dir, disk)
            }
            other => other,
        }
    }

    fn try_open(data_dir: &Path, disk: &Arc<dyn Disk>) -> Result<Follower, Fault> {
        let connection = open_to_write(data_dir)?;
        let at = position(&connection)?.unwrap_or_default();
        let erased = forget::known(&connection)?;
        check(&**disk, &at)?;
        Ok(Follower {
            data_dir: data_dir.to_path_buf(),
            disk: Arc::clone(disk),
            connection,
            names: Names::default(),
            at,
            under_way: HashMap::new(),
            contexts: Vec::new(),
            erasures: Erased::default(),
            erased,
            contexts_max: context::WAITING_MAX,
            kept_bytes: 0,
            looked: None,
            identity: identity(data_dir),
        })
    }

    /// How many bytes of segments are still to be read.
    pub fn behind(&self) -> u64 {
        super::behind(&*self.disk, (self.at.segment, self.at.end))
    }

    /// Reads on, and writes what it learned. An index that turns out damaged is begun again.
    ///
    /// # Errors
    /// The index cannot be written now, or the segments cannot be read; the next step tries again.
    pub fn step(&mut self) -> Result<Step, Fault> {
        match self.try_step() {
            Err(Fault::Unusable(why)) => {
                tracing::warn!(why, "the index of evidence is made again");
                remove(&self.data_dir).map_err(|error| Fault::Unavailable(error.to_string()))?;
                let contexts_max = self.contexts_max;
                *self = Follower::try_open(&self.data_dir, &self.disk)?;
                self.contexts_max = contexts_max;
                Ok(Step::default())
            }
            Err(fault) => {
                // What was read and not written is read again.
                self.begin_again()?;
                Err(fault)
            }
            done => done,
        }
    }

    fn begin_again(&mut self) -> Result<(), Fault> {
        self.names.clear();
        self.under_way.clear();
        self.contexts.clear();
        self.erasures = Erased::default();
        self.erased = forget::known(&self.connection)?;
        self.kept_bytes = 0;
        self.at = position(&self.connection)?.unwrap_or_default();
        Ok(())
    }

    /// Empties the index, so that all is read anew.
    ///
    /// # Errors
    /// The index cannot be written now.
    pub fn reset(&mut self) -> Result<(), Fault> {
        // Not by removing the file: others may have it open.
        super::reset(&mut self.connection)?;
        self.begin_again()
    }

    fn try_step(&mut self) -> Result<Step, Fault> {
        if identity(&self.data_dir) != self.identity {
            return Err(Fault::Unavailable("its file was replaced".to_owned()));
        }
        let mut step = Step::default();
        let there = segments(&*self.disk).map_err(unreadable)?;
        if self.looked.is_none_or(|looked| looked.elapsed() >= RETIRED_EVERY) {
            step.forgotten = forget::gone(&mut self.connection, &there)?;
            self.looked = Some(Instant::now());
        }
        let was = self.at.clone();
        let began = Instant::now();
        let mut ends = 0;
        let is_enough = |step: &Step, ends: usize| {
            ends >= ENDS_MAX
                || step.text_bytes >= STEP_BYTES_MAX as u64
                || began.elapsed() >= STEP_TIME_MAX
        };
        step.is_caught_up = loop {
            if is_enough(&step, ends) {
                break false;
            }
            let next = there.iter().copied().find(|number| *number > self.at.segment);
            if there.contains(&self.at.segment) {
                self.read_segment(next.is_some(), &mut step, &mut ends, &is_enough)?;
                if is_enough(&step, ends) {
                    break false;
                }
            }
            match next {
                Some(next) => {
                    self.at = At { segment: next, frame: 0, end: 0, ..self.at.clone() };
                }
                None => break true,
            }
        };
        // Before it is told that this was read.
        let read = std::mem::take(&mut self.erasures);
        step.forgotten += forget::erased(&mut self.connection, &read, &mut self.erased, &there)?;
        if self.at != was || ends > 0 {
            step.contexts_given_up = self.write(&was, &there)?;
            step.exchanges = ends as u64;
        }
        Ok(step)
    }

    /// Reads the segment that it stands in, from where it stands to its end or until it is enough.
    fn read_segment(
        &mut self,
        is_complete: bool,
        step: &mut Step,
        ends: &mut usize,
        is_enough: &impl Fn(&Step, usize) -> bool,
    ) -> Result<(), Fault> {
        let number = self.at.segment;
        let size = self.disk.size(&super::super::read::segment_name(number)).map_err(unreadable)?;
        if size.unwrap_or(0) <= self.at.end {
            return Ok(());
        }
        let mut segment = Segment::open(&*self.disk, number, self.at.end).map_err(unreadable)?;
        while !is_enough(step, *ends) {
            let begin = segment.frames_end();
            match segment.next_frame().map_err(unreadable)? {
                Framed::End => return Ok(()),
                // The end of the newest segment is being written.
                Framed::Damage(damage) if damage.is_tail && !is_complete => return Ok(()),
                Framed::Damage(damage) => {
                    step.damaged += 1;
                    self.at.end = damage.offset + damage.bytes;
                }
                Framed::Whole => {
                    let place = Place { segment: number, frame: begin };
                    while let Some((_, line)) = segment.line_of_frame() {
                        step.text_bytes += line.len() as u64;
                        *ends += self.line(place, line)?;
                        if let Some((_, chain)) = line::split(line) {
                            self.at.chain = chain.to_string();
                        }
                    }
                    self.at.frame = begin;
                    self.at.end = segment.frames_end();
                    step.disk_bytes += self.at.end - begin;
                }
            }
        }
        Ok(())
    }

    /// Takes a line; gives how many exchanges end with it.
    fn line(&mut self, place: Place, line: &[u8]) -> Result<usize, Fault> {
        // A line that cannot be read is for `verify` to tell of.
        let Ok(told) = serde_json::from_slice::<Told<'_>>(line) else { return Ok(0) };
        if told.v > line::VERSION {
            return Ok(0);
        }
        match (&*told.kind, &told.exchange) {
            ("segment", _) => {
                if let Some(store) = told.store {
                    self.at.store = store.to_string();
                }
                // The lines that told it first may be gone with their segment.
                self.erasures.join(&told.erased);
                Ok(0)
            }
            ("recovered", _) => {
                let mut ends = 0;
                for id in told.unfinished.iter().filter_map(|id| ExchangeId::parse(id)) {
                    let pending = self.pending(id)?;
                    if pending.places.is_empty() {
                        // All of its lines are gone.
                        self.under_way.remove(&id);
                        continue;
                    }
                    pending.end = Some(End::Unfinished);
                    pending.is_dirty = true;
                    ends += 1;
                }
                Ok(ends)
            }
            (kind, Some(id)) => {
                let Some(id) = ExchangeId::parse(id) else { return Ok(0) };
                let is_end = kind == "close";
                let is_note = kind == "note";
                let is_late = is_note || kind == "gap";
                let pending = self.pending(id)?;
                if is_note && pending.places.is_empty() {
                    // Anybody can attach something to an exchange that never was.
                    self.under_way.remove(&id);
                    return Ok(0);
                }
                pending.is_late |= is_late;
                if pending.places.last() != Some(&place) {
                    pending.places.push(place);
                }
                // Only its places change with what is between the first line and the last.
                pending.is_dirty = true;
                let mut grown = 0;
                if let Some(gather) = &mut pending.gather {
                    _ = gather.line(line);
                    grown = gather.kept_bytes() - pending.kept_bytes;
                    pending.kept_bytes += grown;
                }
                if is_end {
                    pending.end = Some(End::Closed);
                }
                self.kept_bytes += grown;
                Ok(usize::from(is_end))
            }
            ("erasure", None) => {
                if let Ok(erasure) = serde_json::from_slice::<Erasure>(line) {
                    self.erasures.insert(erasure.segment, erasure.routes.iter().map(|r| &**r));
                }
                Ok(0)
            }
            ("note", None) => {
                self.contexts.extend(Waiting::of(line, place));
                Ok(0)
            }
            (_, None) => Ok(0),
        }
    }

    fn pending(&mut self, id: ExchangeId) -> Result<&mut Pending, Fault> {
        use std::collections::hash_map::Entry as Slot;
        match self.under_way.entry(id) {
            Slot::Occupied(slot) => Ok(slot.into_mut()),
            Slot::Vacant(slot) => {
                let pending = match known(&self.connection, id)? {
                    // Its earlier lines were read by somebody else.
                    Some((row, places, is_ended)) => Pending {
                        row: Some(row),
                        gather: None,
                        kept_bytes: 0,
                        places,
                        end: None,
                        is_dirty: false,
                        is_ended,
                        is_late: false,
                    },
                    None => Pending {
                        row: None,
                        gather: Some(Gather::new(id, Wants::default())),
                        kept_bytes: 0,
                        places: Vec::new(),
                        end: None,
                        is_dirty: false,
                        is_ended: false,
                        is_late: false,
                    },
                };
                Ok(slot.insert(pending))
            }
        }
    }

    /// Writes what was learned since `was`, unless somebody else has been here; tells how many
    /// documents of sessions gave way.
    fn write(&mut self, was: &At, there: &[u64]) -> Result<u64, Fault> {
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if position(&transaction)?.unwrap_or_default() != *was {
            drop(transaction);
            self.begin_again()?;
            return Ok(0);
        }
        let given_up = context::keep(&transaction, self.contexts.drain(..), self.contexts_max)?;
        let mut dirty: Vec<ExchangeId> = self
            .under_way
            .iter()
            .filter(|(_, pending)| pending.is_dirty)
            .map(|(id, _)| *id)
            .collect();
        // Ids sort by time.
        dirty.sort_unstable();
        for id in dirty {
            let Some(pending) = self.under_way.get_mut(&id) else { continue };
            let is_late = pending.is_ended && pending.is_late;
            let is_middle = pending.row.is_some() && pending.end.is_none();
            if !is_late && (pending.is_ended || is_middle) {
                // In the middle of an exchange, and behind its end, only its places are new.
                add_places(&transaction, id, &pending.places)?;
                pending.is_dirty = false;
                continue;
            }
            let mut exchange = match (&mut pending.gather, pending.end) {
                (Some(gather), None) => gather.clone().finish(),
                (Some(gather), Some(_)) => std::mem::take(gather).finish(),
                (None, _) => read_at(&*self.disk, id, &pending.places).map_err(unreadable)?,
            };
            if pending.end == Some(End::Unfinished) || (is_late && !exchange.is_closed) {
                exchange.unfinished();
            }
            let writing = if is_late { Writing::Again } else { Writing::New };
            let contexts = context::of(&transaction, &exchange, pending.row)?;
            exchange.notes.extend(context::read(&*self.disk, &contexts, None).map_err(unreadable)?);
            let texts = if pending.end.is_some() || is_late {
                let part = part(&transaction, id, pending.row, &exchange)?;
                Some(Texts::of(&exchange, part))
            } else {
                None
            };
            let entry = Entry { exchange, places: pending.places.clone(), texts };
            let row = put(&transaction, &mut self.names, id, pending.row, &entry, writing)?;
            if pending.row.replace(row).is_none() {
                context::bind(&transaction, &entry.exchange, row)?;
            }
            pending.is_dirty = false;
        }
        for number in there.iter().filter(|number| (was.segment..=self.at.segment).contains(number))
        {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO segments VALUES (?1)")?
                .execute([super::integer(*number)])?;
        }
        set_position(&transaction, &self.at)?;
        transaction.commit()?;
        self.thin_out();
        Ok(given_up as u64)
    }

    /// Lets go of what has ended, and of what is too much to keep.
    fn thin_out(&mut self) {
        self.under_way.retain(|_, pending| pending.end.is_none() && !pending.is_ended);
        if self.under_way.len() > KEPT_MAX {
            // All of them have a row: they are found again by it.
            self.under_way.clear();
        }
        self.kept_bytes = self.under_way.values().map(|pending| pending.kept_bytes).sum();
        if self.kept_bytes > KEPT_BYTES_MAX {
            for pending in self.under_way.values_mut() {
                pending.gather = None;
                pending.kept_bytes = 0;
            }
            self.kept_bytes = 0;
        }
    }
}

/// Which texts of a request are indexed: all, if no exchange of its session from before is.
fn part(
    connection: &Connection,
    id: ExchangeId,
    row: Option<i64>,
    exchange: &Exchange,
) -> Result<Part, Fault> {
    match &exchange.known.session {
        Some(session) if !has_earlier(connection, session, id, row)? => Ok(Part::All),
        Some(_) | None => Ok(Part::New),
    }
}

/// Checks that the segments still say what was read last. Power that is lost can take the end of
/// the newest segment back, and what is written then stands in the same place.
fn check(disk: &dyn Disk, at: &At) -> Result<(), Fault> {
    if at.end == 0 {
        return Ok(());
    }
    let there = segments(disk).map_err(unreadable)?;
    if !there.contains(&at.segment) {
        // Retired, unless nothing newer is there.
        let is_retired = there.iter().any(|number| *number > at.segment);
        let gone = || Fault::Unusable("the segment that it read last is gone".to_owned());
        return if is_retired { Ok(()) } else { Err(gone()) };
    }
    let mut segment = Segment::open(disk, at.segment, at.frame).map_err(unreadable)?;
    let mut chain = None;
    if segment.next_frame().map_err(unreadable)? == Framed::Whole {
        while let Some((_, line)) = segment.line_of_frame() {
            chain = line::split(line).map(|(_, chain)| chain.to_string());
        }
    }
    match chain {
        Some(chain) if chain == at.chain => Ok(()),
        Some(_) | None => {
            Err(Fault::Unusable("the segments say something else than it has read".to_owned()))
        }
    }
}

fn identity(data_dir: &Path) -> Option<(u64, u64)> {
    let meta = super::path(data_dir).metadata().ok()?;
    Some((meta.dev(), meta.ino()))
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` gives")]
fn unreadable(error: io::Error) -> Fault {
    Fault::Unavailable(format!("the segments cannot be read: {error}"))
}
