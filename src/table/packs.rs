//! Packs on their way into a table: which there are, and what they compile to.
//!
//! Packs are built in, or lie in the folder of packs; one in the folder takes the place of one that
//! is built in under the same name. All that lie in the folder are compiled, named or not, so that
//! a mistake is found when the file is written; built-in ones, and copies of them, only where a
//! route names them.
//! Routes that name the same packs share one rulebook.

use super::diagnostic::{Diagnostic, Severity};
use super::file::packs::{Placed, Read, read};
use super::reader::{Reader, listed, nearest, shown};
use super::rules::{Pack, Rulebook};
use super::{Lookup, Reference, codes};
use crate::filter::{Complaint, Severity as Weight};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use toml::de::DeTable;

/// Most bytes of a pack.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// What stands before the path of a file that is built in.
const BUILT_IN: &str = "<built-in>";

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

/// A pack that is built in, read and compiled once a process.
pub fn built_in(name: &str) -> Option<Arc<Compiled>> {
    static READ: OnceLock<HashMap<&'static str, OnceLock<Option<Arc<Compiled>>>>> = OnceLock::new();
    let all = READ.get_or_init(|| built_in_names().map(|name| (name, OnceLock::new())).collect());
    all.get(name)?
        .get_or_init(|| {
            let text = built_in_source(name)?;
            let path = PathBuf::from(format!("{BUILT_IN}/{name}.toml"));
            let mut diagnostics = Vec::new();
            let mut taken = Vec::new();
            let nowhere = |_: Reference<'_>| Ok(None);
            one(&path, text, &nowhere, &mut diagnostics, &mut taken)
        })
        .clone()
}

/// Everything that is wrong with a pack that is built in.
pub fn built_in_diagnostics(name: &str) -> Vec<Diagnostic> {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let nowhere = |_: Reference<'_>| Ok(None);
    if let Some(text) = built_in_source(name) {
        let path = PathBuf::from(format!("{BUILT_IN}/{name}.toml"));
        one(&path, text, &nowhere, &mut diagnostics, &mut taken);
    }
    diagnostics
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
#[derive(Debug, Default)]
pub struct Packs {
    /// Those of the folder, by name.
    own: BTreeMap<Arc<str>, Arc<Compiled>>,
}

impl Packs {
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
        let Some(found) = self.get(pack) else {
            return Err(format!("there is no pack `{}`: {}.", shown(pack), self.help(pack)));
        };
        let Some(rule) = rule else { return Ok(Arc::clone(&found.book)) };
        let wanted = found.pack.rules.iter().find(|known| *known.name == *name);
        let Some(wanted) = wanted else {
            let ids = found.pack.rules.iter().filter_map(|known| known.name.split('/').nth(1));
            let near = nearest(rule, ids).map(|id| format!("; did you mean `{pack}/{id}`?"));
            let near = near.unwrap_or_default();
            return Err(format!("the pack `{pack}` has no rule `{}`{near}", shown(rule)));
        };
        let one = Pack { rules: vec![Arc::clone(wanted)], ..(*found.pack).clone() };
        let (book, _) = Rulebook::compile(&[Arc::new(one)], &HashSet::new());
        book.map(Arc::new).ok_or_else(|| "the rule does not compile alone".to_owned())
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

/// Reads the packs of `folder`; complaints and what was taken go to the lists.
pub(super) fn load(
    folder: &Path,
    lookup: &Lookup<'_>,
    diagnostics: &mut Vec<Diagnostic>,
    taken: &mut Vec<String>,
) -> Packs {
    let mut packs = Packs::default();
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
        if built_in.is_some_and(|known| known.trim_end() == text.trim_end()) {
            continue;
        }
        taken.push(name.to_owned());
        taken.push(text.clone());
        let Some(compiled) = one(&path, &text, lookup, diagnostics, taken) else { continue };
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
        if let Reference::File(path) = reference
            && let Some(path) = path.strip_prefix(BUILT_IN)
        {
            let path = path.trim_start_matches('/');
            let found = FILES.iter().find(|(name, _)| *name == path);
            return Ok(found.map(|(_, text)| (*text).to_owned()));
        }
        if let Reference::Bytes(path) = reference
            && let Some(path) = path.strip_prefix(BUILT_IN)
        {
            let path = path.trim_start_matches('/');
            let found = MODELS.iter().find(|(name, _)| *name == path);
            return Ok(found.map(|(_, bytes)| bytes.iter().copied().map(char::from).collect()));
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
        super::compile::syntax(&mut reader, mistake);
    }
    let found = read(
        &mut reader,
        &root,
        path.to_str().filter(|p| !p.starts_with(BUILT_IN)).map(Path::new),
        text,
    );
    super::compile::keep_sure(&mut reader, text);
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

/// The rulebook of the text of a pack.
///
/// # Errors
/// The first thing that is wrong with it.
pub fn inline(text: &str) -> Result<Arc<Rulebook>, String> {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let nowhere = |_: Reference<'_>| Ok(None);
    let found = one(Path::new("rules"), text, &nowhere, &mut diagnostics, &mut taken);
    match (found, diagnostics.iter().find(|found| found.severity == Severity::Error)) {
        (Some(found), None) => Ok(Arc::clone(&found.book)),
        (_, Some(wrong)) => {
            let (place, _) = wrong.range();
            let help = wrong.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            Err(format!("`rules`, line {}: {}{help}", place.line, wrong.message))
        }
        (None, None) => Err("`rules` is no pack".to_owned()),
    }
}

/// Everything that is wrong with the text of a pack.
pub fn check(text: &str) -> Vec<Diagnostic> {
    let (mut diagnostics, mut taken) = (Vec::new(), Vec::new());
    let nowhere = |_: Reference<'_>| Ok(None);
    one(Path::new("pack.toml"), text, &nowhere, &mut diagnostics, &mut taken);
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
