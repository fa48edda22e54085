//! Packs on their way into a table: which there are, and what they compile to.
//!
//! Packs are built in, or lie in the folder of packs; one in the folder takes the place of one that
//! is built in under the same name. All that lie in the folder are compiled, named or not, so that
//! a mistake is found when the file is written; built-in ones, and copies of them, only where a
//! route names them.
//! Routes that name the same packs share one rulebook.

use super::diagnostic::{Diagnostic, Severity};
use super::file::packs::{Placed, Read, read};
use super::reader::Reader;
use super::rules::{Pack, PackRule, Rulebook};
use super::words::{listed, nearest, shown};
use super::{Lookup, Reference, Routes, codes};
use crate::filter::{Complaint, Severity as Weight};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use toml::de::DeTable;

/// Most bytes of a pack.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// What stands before the path of a file that is built in.
const BUILT_IN: &str = "<built-in>";

/// The name of a pack that came by a call, not from a file.
const INLINE: &str = "rules";

macro_rules! built_in {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../filters/", $path)))),*]
    };
}

/// The packs that are built in, by file.
const PACKS: &[(&str, &str)] = built_in![
    "abuse.toml",
    "exfiltration.toml",
    "injection.toml",
    "leak.toml",
    "pii.toml",
    "secrets.toml",
    "tools.toml",
];

/// The files that they name.
const FILES: &[(&str, &str)] = built_in![
    "words/profanity-ar.txt",
    "words/profanity-cs.txt",
    "words/profanity-da.txt",
    "words/profanity-de.txt",
    "words/profanity-en.txt",
    "words/profanity-es.txt",
    "words/profanity-fa.txt",
    "words/profanity-fi.txt",
    "words/profanity-fil.txt",
    "words/profanity-fr.txt",
    "words/profanity-hi.txt",
    "words/profanity-hu.txt",
    "words/profanity-it.txt",
    "words/profanity-ja.txt",
    "words/profanity-ko.txt",
    "words/profanity-nl.txt",
    "words/profanity-no.txt",
    "words/profanity-pl.txt",
    "words/profanity-pt.txt",
    "words/profanity-ru.txt",
    "words/profanity-sv.txt",
    "words/profanity-th.txt",
    "words/profanity-tr.txt",
    "words/profanity-zh.txt",
    "words/slurs.txt",
];

/// The models that they name.
const MODELS: &[(&str, &[u8])] =
    &[("models/injection.fdlm", include_bytes!("../../filters/models/injection.fdlm"))];

/// The names of the packs that are built in.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    PACKS.iter().filter_map(|(path, _)| path.strip_suffix(".toml"))
}

/// The source of a pack that is built in.
pub fn built_in_source(name: &str) -> Option<&'static str> {
    PACKS.iter().find(|(path, _)| path.strip_suffix(".toml") == Some(name)).map(|(_, text)| *text)
}

/// What came of a pack that is built in.
type BuiltIn = (Option<Arc<Compiled>>, Vec<Diagnostic>);

/// Reads and compiles a pack that is built in, once a process; `None` if there is none.
fn read_built_in(name: &str) -> Option<&'static BuiltIn> {
    static READ: OnceLock<HashMap<&'static str, OnceLock<BuiltIn>>> = OnceLock::new();
    let all = READ.get_or_init(|| built_in_names().map(|name| (name, OnceLock::new())).collect());
    let text = built_in_source(name)?;
    Some(all.get(name)?.get_or_init(|| {
        let path = PathBuf::from(format!("{BUILT_IN}/{name}.toml"));
        let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
        let nowhere = |_: Reference<'_>| Ok(None);
        let compiled = one(&path, text, &nowhere, &mut diagnostics, &mut taken);
        (compiled, diagnostics)
    }))
}

/// A pack that is built in, read and compiled once a process.
pub fn built_in(name: &str) -> Option<Arc<Compiled>> {
    read_built_in(name)?.0.clone()
}

/// Everything that is wrong with a pack that is built in.
pub fn built_in_diagnostics(name: &str) -> Vec<Diagnostic> {
    read_built_in(name).map(|(_, found)| found.clone()).unwrap_or_default()
}

/// The file in [`FILES`] or [`MODELS`] that `path`, relative to the packs, names.
fn built_in_file(path: &str) -> Option<Cow<'static, str>> {
    let text = FILES.iter().find(|(name, _)| *name == path).map(|(_, text)| Cow::from(*text));
    let model = || MODELS.iter().find(|(name, _)| *name == path).map(|(_, bytes)| *bytes);
    text.or_else(|| Some(model()?.iter().copied().map(char::from).collect::<String>().into()))
}

/// A pack and what it compiles to alone.
#[derive(Debug)]
pub struct Compiled {
    /// The pack.
    pub pack: Arc<Pack>,
    /// Its rulebook.
    pub book: Arc<Rulebook>,
}

/// The packs of a table.
#[derive(Clone, Debug, Default)]
pub struct Packs {
    /// Those of the folder, by name.
    own: BTreeMap<Arc<str>, Arc<Compiled>>,
    /// The names of those of the folder that have an error.
    broken: HashSet<String>,
    /// Rules that only report, whatever their packs say, as `pack/id`.
    shadowed: Arc<HashSet<String>>,
}

impl Packs {
    /// Only the packs that are built in, with the rules that `shadowed` names in shadow.
    pub(super) fn shadowing(shadowed: &HashSet<String>) -> Packs {
        Packs { shadowed: Arc::new(shadowed.clone()), ..Packs::default() }
    }

    /// The pack of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Compiled>> {
        self.own.get(name).map(Arc::clone).or_else(|| built_in(name))
    }

    /// The rulebook of a pack, or of one rule of it as `pack/rule`.
    ///
    /// # Errors
    /// There is none; in words for who asks.
    pub fn book(&self, name: &str) -> Result<Arc<Rulebook>, String> {
        let (pack, rule) = name.split_once('/').map_or((name, None), |(p, r)| (p, Some(r)));
        let Some(found) = self.get(pack) else { return Err(self.missing(pack)) };
        let Some(rule) = rule else {
            let is_shadowed = found.pack.rules.iter().any(|rule| self.is_shadowed(&rule.name));
            if !is_shadowed {
                return Ok(Arc::clone(&found.book));
            }
            let (book, _) = Rulebook::compile(&[Arc::clone(&found.pack)], &self.shadowed);
            return book.map(Arc::new).ok_or_else(|| "the pack does not compile".to_owned());
        };
        let wanted = found.pack.rules.iter().find(|known| *known.name == *name);
        let Some(wanted) = wanted else {
            return Err(no_such_rule(&found.pack, rule));
        };
        let one = Pack { rules: vec![Arc::clone(wanted)], ..(*found.pack).clone() };
        let (book, _) = Rulebook::compile(&[Arc::new(one)], &self.shadowed);
        book.map(Arc::new).ok_or_else(|| "the rule does not compile alone".to_owned())
    }

    /// The rules that only report, whatever their packs say, as `pack/id`.
    pub fn shadowed(&self) -> &Arc<HashSet<String>> {
        &self.shadowed
    }

    /// Whether the rule `pack/id` only reports, whatever its pack says.
    pub fn is_shadowed(&self, rule: &str) -> bool {
        self.shadowed.contains(rule)
    }

    /// The rule `pack/id` and its pack.
    ///
    /// # Errors
    /// There is none; in words for who asks.
    pub fn rule(&self, name: &str) -> Result<(Arc<Compiled>, Arc<PackRule>), String> {
        let (pack, id) = name
            .split_once('/')
            .ok_or_else(|| format!("`{}` names no rule: a rule is written PACK/ID", shown(name)))?;
        let found = self.get(pack).ok_or_else(|| self.missing(pack))?;
        match found.pack.rules.iter().find(|known| *known.name == *name) {
            Some(rule) => Ok((Arc::clone(&found), Arc::clone(rule))),
            None => Err(no_such_rule(&found.pack, id)),
        }
    }

    /// Why there is no pack of this name, in words.
    pub fn missing(&self, name: &str) -> String {
        if self.broken.contains(name) {
            return format!("the pack `{}` has an error", shown(name));
        }
        let found = built_in_diagnostics(name);
        let Some(wrong) = found.iter().find(|found| found.severity == Severity::Error) else {
            return format!("there is no pack `{}`: {}", shown(name), self.help(name));
        };
        let (place, _) = wrong.range();
        format!(
            "the pack `{name}`, which is built in, does not compile: line {}: {}",
            place.line, wrong.message
        )
    }

    /// Whether the folder holds a pack of this name that has an error, which was reported there.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.broken.contains(name)
    }

    /// The packs of the folder, by name.
    pub fn own(&self) -> impl Iterator<Item = &Arc<Compiled>> {
        self.own.values()
    }

    /// Every pack there is: those of the folder, and those built in.
    pub fn all(&self) -> Vec<Arc<Compiled>> {
        let mut all: Vec<Arc<Compiled>> = self.own.values().map(Arc::clone).collect();
        let others = built_in_names().filter(|name| !self.own.contains_key(*name));
        all.extend(others.filter_map(built_in));
        all.sort_by(|a, b| a.pack.name.cmp(&b.pack.name));
        all
    }

    /// The names of every pack there is.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.own.keys().map(ToString::to_string).collect();
        names.extend(
            built_in_names().filter(|name| !self.own.contains_key(*name)).map(str::to_owned),
        );
        names.sort_unstable();
        names
    }

    /// The word that was probably meant, or what there is.
    pub fn help(&self, wrong: &str) -> String {
        let names = self.names();
        let names = || names.iter().map(String::as_str);
        nearest(wrong, names()).map_or_else(
            || format!("packs here: {}", listed(names())),
            |right| format!("did you mean `{right}`?"),
        )
    }
}

fn no_such_rule(pack: &Pack, id: &str) -> String {
    let name = &pack.name;
    let ids = pack.rules.iter().filter_map(|known| known.name.split('/').nth(1));
    let near = nearest(id, ids).map(|id| format!("; did you mean `{name}/{id}`?"));
    format!("the pack `{name}` has no rule `{}`{}", shown(id), near.unwrap_or_default())
}

/// Reads the packs of `folder`, with the rules that `shadowed` names in shadow; complaints and what
/// was taken go to the lists.
pub(super) fn load(
    folder: &Path,
    lookup: &Lookup<'_>,
    shadowed: &HashSet<String>,
    diagnostics: &mut Vec<Diagnostic>,
    taken: &mut Vec<String>,
) -> Packs {
    let mut packs = Packs::shadowing(shadowed);
    let names = match lookup(Reference::Folder(&folder.to_string_lossy())) {
        Ok(Some(names)) => names,
        Ok(None) => return packs,
        Err(why) => {
            diagnostics.push(Diagnostic::unreadable(folder, &why));
            return packs;
        }
    };
    let mut from: HashMap<Arc<str>, PathBuf> = HashMap::new();
    for name in names.lines().filter(|name| is_pack(name)) {
        let path = folder.join(name);
        let text = match lookup(Reference::File(&path.to_string_lossy())) {
            Ok(Some(text)) => text,
            // It has gone since.
            Ok(None) => continue,
            Err(why) => {
                diagnostics.push(Diagnostic::unreadable(&path, &why));
                continue;
            }
        };
        let built_in = name.strip_suffix(".toml").and_then(built_in_source);
        let is_copy = built_in.is_some_and(|known| known.trim_end() == text.trim_end());
        if is_copy && !brings_other_files(folder, &text, lookup) {
            continue;
        }
        taken.push(name.to_owned());
        taken.push(text.clone());
        // Beside a copy, the files that were not copied are those that are built in.
        let or_built_in = |reference: Reference<'_>| match (lookup(reference), reference) {
            (Ok(None), Reference::File(path) | Reference::Bytes(path)) if is_copy => {
                let inside = Path::new(path).strip_prefix(folder).ok().and_then(Path::to_str);
                Ok(inside.and_then(built_in_file).map(Cow::into_owned))
            }
            (found, _) => found,
        };
        let Some(compiled) = one(&path, &text, &or_built_in, diagnostics, taken) else {
            packs.broken.extend(name_of(&text).or(name.strip_suffix(".toml").map(str::to_owned)));
            continue;
        };
        let name = Arc::clone(&compiled.pack.name);
        if let Some(other) = from.get(&name) {
            diagnostics.push(Diagnostic {
                code: codes::DUPLICATE,
                severity: Severity::Error,
                message: format!("the pack `{name}` is also in {}", other.display()),
                file: path.clone(),
                text: text.into(),
                span: 0..0,
                help: Some("give one of them another name".to_owned()),
            });
            continue;
        }
        from.insert(Arc::clone(&name), path);
        packs.own.insert(name, compiled);
    }
    packs
}

/// The name that the text of a pack gives itself.
fn name_of(text: &str) -> Option<String> {
    let (root, _) = DeTable::parse_recoverable(text);
    root.get_ref().get("pack")?.get_ref().as_str().map(str::to_owned)
}

/// Whether `folder` holds another form of a file that is built in and that `pack`, the text of a
/// pack that is built in, names.
fn brings_other_files(folder: &Path, pack: &str, lookup: &Lookup<'_>) -> bool {
    let is_other = |path: &str, known: &str, bytes: bool| {
        let full = folder.join(path);
        let full = full.to_string_lossy();
        let full = if bytes { Reference::Bytes(&full) } else { Reference::File(&full) };
        // One that cannot be read is reported when the pack is read.
        let known = if bytes { known } else { known.trim_end() };
        let differs = |own: String| if bytes { own != known } else { own.trim_end() != known };
        lookup(full).map_or(true, |own| own.is_some_and(differs))
    };
    let is_named = |path: &str| pack.contains(path);
    FILES.iter().filter(|(path, _)| is_named(path)).any(|(path, text)| is_other(path, text, false))
        || MODELS.iter().filter(|(path, _)| is_named(path)).any(|(path, bytes)| {
            let known: String = bytes.iter().copied().map(char::from).collect();
            is_other(path, &known, true)
        })
}

fn is_pack(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ending| ending == "toml")
}

/// Reads and compiles one pack; `None` if it has an error.
fn one(
    path: &Path,
    text: &str,
    lookup: &Lookup<'_>,
    diagnostics: &mut Vec<Diagnostic>,
    taken: &mut Vec<String>,
) -> Option<Arc<Compiled>> {
    let inside = |reference: Reference<'_>| {
        if let Reference::File(path) | Reference::Bytes(path) = reference
            && let Some(path) = path.strip_prefix(BUILT_IN)
        {
            return Ok(built_in_file(path.trim_start_matches('/')).map(Cow::into_owned));
        }
        lookup(reference)
    };
    let mut reader = Reader::new(Some(path), text, &inside);
    if text.len() > TEXT_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", TEXT_BYTES_MAX >> 20);
        reader.report(codes::TOO_LARGE, 0..0, message, None);
    }
    let (root, mistakes) = DeTable::parse_recoverable(text);
    for mistake in &mistakes {
        super::syntax::syntax(&mut reader, mistake);
    }
    let found = read(
        &mut reader,
        &root,
        path.to_str().filter(|p| !p.starts_with(BUILT_IN)).map(Path::new),
        text,
        path == Path::new(INLINE),
    );
    super::syntax::keep_sure(&mut reader, text);
    let is_read = reader.found().iter().all(|found| found.severity == Severity::Warning);
    let compiled = found.filter(|_| is_read).and_then(|found| {
        let Read { pack, places, .. } = found;
        let pack = Arc::new(pack);
        let (book, complaints) = Rulebook::compile(&[Arc::clone(&pack)], &HashSet::new());
        for complaint in &complaints {
            complain(&mut reader, &pack, &places, complaint);
        }
        Some(Arc::new(Compiled { book: Arc::new(book?), pack }))
    });
    let (found, used) = reader.finish();
    diagnostics.extend(found);
    taken.extend(used);
    compiled
}

/// The pack in a file, and everything that is wrong with it.
pub fn from_file(path: &Path, lookup: &Lookup<'_>) -> (Option<Arc<Compiled>>, Vec<Diagnostic>) {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let text = match lookup(Reference::File(&path.to_string_lossy())) {
        Ok(Some(text)) => text,
        Ok(None) => {
            diagnostics.push(Diagnostic::unreadable(path, "there is no such file"));
            return (None, diagnostics);
        }
        Err(why) => {
            diagnostics.push(Diagnostic::unreadable(path, &why));
            return (None, diagnostics);
        }
    };
    let found = one(path, &text, lookup, &mut diagnostics, &mut taken);
    (found, diagnostics)
}

/// The pack in a text, with its rulebook.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn inline(text: &str) -> Result<Arc<Compiled>, String> {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let nowhere = |_: Reference<'_>| Ok(None);
    let found = one(Path::new(INLINE), text, &nowhere, &mut diagnostics, &mut taken);
    match (found, diagnostics.iter().find(|found| found.severity == Severity::Error)) {
        (Some(found), None) => Ok(found),
        (_, Some(wrong)) => {
            let (place, _) = wrong.range();
            let help = wrong.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            Err(format!("`rules`, line {}: {}{help}", place.line, wrong.message))
        }
        (None, None) => Err("`rules` is no pack".to_owned()),
    }
}

/// Everything that is wrong with the text of a pack; variables that it names are taken to be set.
pub fn check(text: &str) -> Vec<Diagnostic> {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let is_set = |reference: Reference<'_>| match reference {
        Reference::Variable(_) => Ok(Some("set".to_owned())),
        Reference::File(_) | Reference::Bytes(_) | Reference::Folder(_) => Ok(None),
    };
    one(Path::new("pack.toml"), text, &is_set, &mut diagnostics, &mut taken);
    diagnostics
}

/// Says where in the pack a complaint of the engine belongs.
fn complain(
    reader: &mut Reader<'_>,
    pack: &Pack,
    places: &[Vec<Vec<Placed>>],
    complaint: &Complaint,
) {
    let parts = places
        .iter()
        .zip(&pack.rules)
        .flat_map(|(parts, rule)| parts.iter().map(move |texts| (rule, texts)));
    let Some((rule, texts)) = parts.into_iter().nth(complaint.rule) else { return };
    let Some(at) = texts.get(complaint.text).or(texts.first()) else { return };
    let span = if at.is_exact {
        let start = at.span.start + 1;
        let end = (start + complaint.span.end).min(at.span.end);
        (start + complaint.span.start).min(end)..end
    } else {
        at.span.clone()
    };
    let code = match complaint.severity {
        Weight::Error => codes::BAD_RULE,
        Weight::Warning => codes::COSTLY_RULE,
    };
    let reason = match &complaint.reason {
        crate::filter::Reason::Shadowed { by } => {
            let other = places
                .iter()
                .zip(&pack.rules)
                .flat_map(|(parts, rule)| parts.iter().map(move |_| rule))
                .nth(*by);
            let other = other.map_or("another rule", |rule| &rule.name);
            format!("`{other}` already does all that it does")
        }
        reason => reason.to_string(),
    };
    let help = complaint.suggestion.as_ref().map(|form| format!("this would do: {form}"));
    reader.report(code, span, format!("rule `{}`: {reason}", rule.name), help);
}

impl Routes {
    /// The same routes, with exactly the rules that `shadowed` names in shadow.
    ///
    /// # Errors
    /// Their packs do not compile together so; the engine's words.
    pub fn shadowing(&self, shadowed: &HashSet<String>) -> Result<Routes, String> {
        let changed: HashSet<&str> = shadowed
            .symmetric_difference(&self.packs.shadowed)
            .filter_map(|rule| rule.split('/').next())
            .collect();
        let mut next = self.clone();
        next.packs.shadowed = Arc::new(shadowed.clone());
        let mut books = Books::default();
        for route in &mut next.routes {
            let Some(book) = &route.rules else { continue };
            if book.packs.iter().any(|pack| changed.contains(&**pack)) {
                route.rules = books.of(&next.packs, book.packs.clone(), shadowed)?;
            }
        }
        Ok(next)
    }
}

/// Rulebooks of the sets of packs that routes name.
#[derive(Debug, Default)]
pub(super) struct Books {
    made: HashMap<Vec<Arc<str>>, Option<Arc<Rulebook>>>,
}

impl Books {
    /// The rulebook of the packs of these names, all of which there are; `None` for no packs.
    ///
    /// # Errors
    /// They do not compile together; the engine's words.
    pub(super) fn of(
        &mut self,
        packs: &Packs,
        mut names: Vec<Arc<str>>,
        shadowed: &HashSet<String>,
    ) -> Result<Option<Arc<Rulebook>>, String> {
        names.sort_unstable();
        names.dedup();
        if let Some(book) = self.made.get(&names) {
            return Ok(book.clone());
        }
        let found: Vec<Arc<Compiled>> = names.iter().filter_map(|name| packs.get(name)).collect();
        let is_shadowed =
            found.iter().flat_map(|one| &one.pack.rules).any(|rule| shadowed.contains(&*rule.name));
        let book = match &found[..] {
            [] => None,
            [one] if !is_shadowed => Some(Arc::clone(&one.book)),
            several => {
                let all: Vec<Arc<Pack>> = several.iter().map(|one| Arc::clone(&one.pack)).collect();
                let (book, complaints) = Rulebook::compile(&all, shadowed);
                let why = || {
                    let worst = complaints.iter().find(|one| one.severity == Weight::Error);
                    worst.map_or_else(String::new, |one| one.reason.to_string())
                };
                Some(Arc::new(book.ok_or_else(why)?))
            }
        };
        self.made.insert(names, book.clone());
        Ok(book)
    }
}
