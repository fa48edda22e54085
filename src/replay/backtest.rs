//! One pack of rules over the whole record, before it may be put in force.
//!
//! Every text is judged that the gate would judge: prompts with their tools and documents, and the
//! answers of every attempt, by the functions that judge them live. Segments are independent, so
//! each thread reads its own; what of an exchange stands in two segments is joined at the end. A
//! message that was sent again with the history, in which nothing was found, is not judged again,
//! as the gate does not.
//!
//! What always holds: an exchange that cannot be judged is counted with the reason; an interrupted
//! run says that it is one, and goes on later from its own report; samples are bounded, and nothing
//! else of the texts is kept.
//!
//! What it cannot do: ask webhooks, which are told as not asked.

mod judge;
mod report;
mod samples;

pub use judge::Judged;
pub use report::{Report, RuleCount, Sample, Share, Unjudged, VERSION};

use super::gather::{Fragment, Gatherer, Select};
use super::walk::{joined, numbers, size, through};
use crate::evidence::age::Identity;
use crate::evidence::exchange::{Times, Wants};
use crate::table::rules::{Judge, Pack, Rulebook};
use judge::Judging;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of segments.
    pub folder: PathBuf,
    /// Which exchanges.
    pub select: Select,
    /// How many threads.
    pub threads: usize,
    /// Whose sealed texts are judged too.
    pub identity: Option<Arc<Identity>>,
    /// The most samples of a rule.
    pub samples_max: usize,
    /// The most bytes of lines of exchanges that are not whole yet that each thread holds.
    pub pending_bytes_max: usize,
}

/// How far a run is. Shared with whoever tells it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Bytes of all segments on disk.
    pub disk_bytes_all: AtomicU64,
    /// Bytes of them that were read.
    pub disk_bytes: AtomicU64,
    /// How many of those were read in a run before this one.
    pub disk_bytes_before: AtomicU64,
    /// Bytes of bodies that were judged.
    pub text_bytes: AtomicU64,
    /// Exchanges judged.
    pub exchanges: AtomicU64,
    /// Hits.
    pub hits: AtomicU64,
    /// Set to end it early, with what there is.
    pub stop: AtomicBool,
}

/// A part of a run: what one thread, or one segment, came to.
struct Part {
    report: Report,
    fragments: BTreeMap<u64, BTreeMap<Box<str>, Fragment>>,
}

/// The rules of `packs`, all of them in force.
///
/// # Errors
/// Why they do not go together.
pub fn book(packs: &[Arc<Pack>]) -> Result<Arc<Rulebook>, String> {
    let (book, complaints) = Rulebook::compile(packs, &HashSet::new());
    let book = book.and_then(|book| Arc::new(book).enforcing());
    book.ok_or_else(|| {
        let why = complaints.first().map_or_else(String::new, |one| one.reason.to_string());
        format!("the packs do not compile together: {why}")
    })
}

/// Runs `book` over the record; goes on from `before` where there is one.
///
/// # Errors
/// The folder cannot be listed, or `before` is of other rules.
pub fn run(
    book: &Rulebook,
    options: &Options,
    progress: &Progress,
    before: Option<Report>,
) -> io::Result<Report> {
    let judges: Vec<Arc<Judge>> = book.judge(0).into_iter().map(Arc::clone).collect();
    let all = numbers(&options.folder, options.select.since.as_deref())?;
    let mut report = before.unwrap_or_else(|| Report::new(book, &options.select));
    report.is_partial = false;
    let sizes: BTreeMap<u64, u64> =
        all.iter().map(|number| (*number, size(&options.folder, *number))).collect();
    progress.disk_bytes_all.store(sizes.values().sum(), Ordering::Relaxed);
    let done = report.segments_done.clone();
    let left: Vec<u64> = all.iter().copied().filter(|number| !done.contains(number)).collect();
    let begun: u64 = done.iter().filter_map(|number| sizes.get(number)).sum();
    progress.disk_bytes.store(begun, Ordering::Relaxed);
    progress.disk_bytes_before.store(begun, Ordering::Relaxed);
    let next = AtomicUsize::new(0);
    let parts: Mutex<Vec<io::Result<Part>>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..options.threads.clamp(1, left.len().max(1)) {
            scope.spawn(|| {
                let mut judging = Judging::new(&judges, options.samples_max);
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(number) = left.get(at) else { return };
                    let part = segment(*number, options, progress, &mut judging, book);
                    let mut parts = parts.lock().unwrap_or_else(PoisonError::into_inner);
                    parts.push(part);
                    if progress.stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
    });
    let mut fragments: BTreeMap<u64, BTreeMap<Box<str>, Fragment>> = BTreeMap::new();
    for part in parts.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let part = part?;
        report.join(part.report, options.samples_max);
        fragments.extend(part.fragments);
    }
    report.is_partial = left.iter().any(|number| !report.segments_done.contains(number));
    for (number, held) in &fragments {
        if report.segments_done.contains(number) {
            report.fragments.insert(*number, held.keys().map(ToString::to_string).collect());
        }
    }
    if report.is_partial {
        return Ok(report);
    }
    // What a part that was run before left is read once more.
    for (number, ids) in &report.fragments {
        if !fragments.contains_key(number) {
            let ids = ids.iter().map(|id| id.as_str().into()).collect();
            let mut gatherer = gatherer(options).only(Arc::new(ids));
            let pass_on = &mut |_, _: &_| ControlFlow::Continue(());
            through(&options.folder, &[*number], &mut gatherer, pass_on)?;
            fragments.insert(*number, gatherer.rest());
        }
    }
    let mut judging = Judging::new(&judges, options.samples_max);
    let mut last = Report::new(book, &options.select);
    // What began before the first segment that is read is not selected, or not on record.
    for left in joined(fragments.into_values()).into_values().filter(Fragment::has_beginning) {
        judging.see(&left.finish(), &mut last, progress);
    }
    report.join(last, options.samples_max);
    report.fragments.clear();
    Ok(report)
}

/// Gathers what is judged: no verdict depends on when a text came.
fn gatherer(options: &Options) -> Gatherer {
    let identity = options.identity.clone();
    let wanted = Wants { times: Times::PassedOver, originals: false, identity };
    Gatherer::new(options.select.clone(), wanted, options.pending_bytes_max)
}

/// Judges what stands whole in one segment.
fn segment(
    number: u64,
    options: &Options,
    progress: &Progress,
    judging: &mut Judging<'_>,
    book: &Rulebook,
) -> io::Result<Part> {
    let mut report = Report::new(book, &options.select);
    let mut part = Part { report: Report::default(), fragments: BTreeMap::new() };
    let mut gatherer = gatherer(options);
    let mut told = 0;
    let walked = through(&options.folder, &[number], &mut gatherer, &mut |exchange, walked| {
        judging.see(&exchange, &mut report, progress);
        progress.disk_bytes.fetch_add(walked.disk_bytes - told, Ordering::Relaxed);
        told = walked.disk_bytes;
        // A segment counts whole or not at all, so that it can be gone on with.
        if progress.stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if walked.is_partial {
        return Ok(part);
    }
    progress.disk_bytes.fetch_add(walked.disk_bytes - told, Ordering::Relaxed);
    // What retention took meanwhile is not judged.
    report.segments_gone += u64::from(walked.segments == 0);
    report.record_bytes += walked.line_bytes;
    report.damaged_bytes += walked.damaged_bytes;
    report.disk_bytes += walked.disk_bytes;
    report.too_large += gatherer.given_up;
    report.segments_done.insert(number);
    part.report = report;
    let rest = gatherer.rest();
    if !rest.is_empty() {
        part.fragments.insert(number, rest);
    }
    Ok(part)
}
