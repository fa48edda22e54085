//! A read file becomes a table: names are resolved to indices, and what only the whole file can
//! tell is checked.
//!
//! Order: read, link, check, build. Nothing is built while there is an error, and building cannot
//! fail in a way that a file could cause.

use super::file::{self, File, Link, RoutePart, TargetPart};
use super::implicit;
use super::packs::{self, Books, Packs, built_in_diagnostics};
use super::reader::Reader;
use super::rules::Rulebook;
use super::syntax::{keep_sure, syntax};
use super::value::header_value;
use super::words::{listed, nearest, shown};
use super::{
    AppIndex, Limit, Lookup, Matcher, Prepared, Prices, Provider, ProviderIndex, Route, RouteIndex,
    Routes, Source, Table, Target, TargetIndex, Unit, Weighted, codes,
};
use crate::id::{Epoch, ModelName, RouteName, hex};
use crate::table::diagnostic::Severity;
use crate::wire::Dialect;
use aws_lc_rs::digest;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;

/// Most bytes of a routes file.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// Most different targets of a table; indices are 16 bits.
const TARGETS_MAX: usize = 1 << 15;

/// Reads, links, checks and builds.
pub(super) fn compile(
    source: &Source,
    lookup: &Lookup<'_>,
    shadowed: &HashSet<String>,
) -> Prepared {
    let mut reader = Reader::new(source.file.as_deref(), &source.text, lookup);
    if source.text.len() > TEXT_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", TEXT_BYTES_MAX >> 20);
        reader.report(codes::TOO_LARGE, 0..0, message, None);
        return Prepared { table: None, diagnostics: reader.finish().0 };
    }
    let (root, mistakes) = DeTable::parse_recoverable(&source.text);
    for mistake in &mistakes {
        syntax(&mut reader, mistake);
    }
    let file = file::read(&mut reader, &root);
    let (mut of_packs, mut taken_by_packs) = (Vec::new(), Vec::new());
    let packs = match source.file {
        Some(_) => {
            let folder = &file.server.filters;
            packs::load(folder, lookup, shadowed, &mut of_packs, &mut taken_by_packs)
        }
        None => Packs::shadowing(shadowed),
    };
    let linked = link(&mut reader, &file, &packs, shadowed);
    check(&mut reader, &file, &linked);
    if file.providers.is_empty() {
        check_emptiness(&mut reader, source);
    }
    keep_sure(&mut reader, &source.text);

    let (mut diagnostics, mut taken) = reader.finish();
    diagnostics.extend(of_packs);
    taken.extend(taken_by_packs);
    let is_right = diagnostics.iter().all(|found| found.severity == Severity::Warning);
    let digest = digest_of(&source.text, &taken);
    let table = if is_right { build(file, linked, packs, digest, source) } else { None };
    Prepared { table, diagnostics }
}

/// SHA-256 over the text and what its references stood for, each with its length in front, so that
/// a changed secret is a changed table.
fn digest_of(text: &str, taken: &[String]) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in std::iter::once(text).chain(taken.iter().map(String::as_str)) {
        context.update(&(piece.len() as u64).to_be_bytes());
        context.update(piece.as_bytes());
    }
    hex(context.finish().as_ref())
}

/// What the names of the file stand for.
#[derive(Debug, Default)]
struct Linked {
    /// In the order of the file's routes.
    routes: Vec<LinkedRoute>,
    targets: Vec<Arc<Target>>,
    /// The apps of each of the file's limits.
    limits: Vec<Vec<AppIndex>>,
    /// What guards every route.
    everywhere: Option<Arc<Rulebook>>,
}

#[derive(Debug, Default)]
struct LinkedRoute {
    matcher: Matcher,
    targets: Vec<Weighted>,
    fallback: Vec<TargetIndex>,
    book: Option<Arc<Rulebook>>,
}

/// Gives every provider and model pair one number.
#[derive(Default)]
struct Targets {
    list: Vec<Arc<Target>>,
    by_pair: HashMap<(u16, Option<ModelName>), TargetIndex>,
}

impl Targets {
    fn number(&mut self, provider: u16, name: &str, model: Option<&ModelName>) -> TargetIndex {
        *self.by_pair.entry((provider, model.cloned())).or_insert_with(|| {
            let text = model.map_or_else(|| name.to_owned(), |model| format!("{name}/{model}"));
            self.list.push(Arc::new(Target {
                provider: ProviderIndex(provider),
                model: model.cloned(),
                name_value: header_value(&text),
                name: Arc::from(text),
            }));
            TargetIndex((self.list.len() - 1) as u16)
        })
    }
}

fn link(reader: &mut Reader<'_>, file: &File, packs: &Packs, shadowed: &HashSet<String>) -> Linked {
    let providers: HashMap<&str, u16> = file.providers.iter().map(|p| &*p.name).zip(0..).collect();
    let apps: HashMap<&str, u16> = file.apps.iter().map(|app| &*app.name).zip(0..).collect();
    let mut targets = Targets::default();
    let mut books = Books::default();
    let everywhere = known_packs(reader, &file.rules, packs);
    let everywhere_book = book(reader, &mut books, packs, &everywhere, &file.rules, shadowed);
    let mut routes = Vec::with_capacity(file.routes.len());
    for part in &file.routes {
        let mut number = |reader: &mut Reader<'_>, part: &TargetPart| {
            let provider = &part.provider;
            let found = resolve(reader, codes::UNKNOWN_PROVIDER, provider, "provider", &providers)?;
            if targets.list.len() == TARGETS_MAX {
                let message = format!("more than {TARGETS_MAX} different targets");
                reader.report(codes::TOO_MANY, part.span.clone(), message, None);
                return None;
            }
            Some(targets.number(found, &provider.name, part.model.as_ref()))
        };
        let mut linked = LinkedRoute::default();
        for part in &part.targets {
            if let Some(target) = number(reader, part) {
                linked.targets.push(Weighted { target, weight: part.weight });
            }
        }
        linked.fallback = part.fallback.iter().filter_map(|part| number(reader, part)).collect();
        linked.matcher = matcher(reader, part, &providers, &apps);
        let mut names = known_packs(reader, &part.rules, packs);
        names.extend(everywhere.iter().map(Arc::clone));
        linked.book = book(reader, &mut books, packs, &names, &part.rules, shadowed);
        routes.push(linked);
    }
    // Every provider is a target of its own implicit route.
    for (provider, part) in (0..).zip(&file.providers) {
        targets.number(provider, &part.name, None);
    }
    let mut limits = Vec::with_capacity(file.limits.len());
    for part in &file.limits {
        let found = |link| resolve(reader, codes::UNKNOWN_APP, link, "app", &apps).map(AppIndex);
        limits.push(part.apps.iter().filter_map(found).collect());
    }
    Linked { routes, targets: targets.list, limits, everywhere: everywhere_book }
}

/// The packs that `links` name; those that there are not are complained of.
fn known_packs(reader: &mut Reader<'_>, links: &[Link], packs: &Packs) -> Vec<Arc<str>> {
    let mut known = Vec::with_capacity(links.len());
    for link in links {
        if packs.get(&link.name).is_some() {
            known.push(Arc::from(link.name.as_str()));
            continue;
        }
        // What is wrong with it was said where it stands.
        if packs.is_broken(&link.name) {
            continue;
        }
        let wrong = built_in_diagnostics(&link.name);
        if let Some(first) = wrong.iter().find(|found| found.severity == Severity::Error) {
            let message = format!("the pack `{}` does not compile", shown(&link.raw));
            let help = Some(first.message.clone());
            reader.report(codes::BAD_RULE, link.span.clone(), message, help);
            continue;
        }
        let message = format!("there is no pack `{}`", shown(&link.raw));
        let help = Some(packs.help(&link.raw));
        reader.report(codes::UNKNOWN_PACK, link.span.clone(), message, help);
    }
    known
}

/// The rulebook of packs that there are.
fn book(
    reader: &mut Reader<'_>,
    books: &mut Books,
    packs: &Packs,
    names: &[Arc<str>],
    links: &[Link],
    shadowed: &HashSet<String>,
) -> Option<Arc<Rulebook>> {
    match books.of(packs, names.to_vec(), shadowed) {
        Ok(book) => book,
        Err(why) => {
            let span = links.first().map_or(0..0, |link| link.span.clone());
            let message = format!("these packs do not compile together: {why}");
            reader.report(codes::BAD_RULE, span, message, None);
            None
        }
    }
}

fn matcher(
    reader: &mut Reader<'_>,
    part: &RoutePart,
    providers: &HashMap<&str, u16>,
    apps: &HashMap<&str, u16>,
) -> Matcher {
    let provider = part.provider.as_ref().and_then(|link| {
        resolve(reader, codes::UNKNOWN_PROVIDER, link, "provider", providers).map(ProviderIndex)
    });
    let apps = part
        .apps
        .iter()
        .filter_map(|link| resolve(reader, codes::UNKNOWN_APP, link, "app", apps).map(AppIndex));
    Matcher {
        provider,
        apps: apps.collect(),
        agents: part.agents.clone(),
        models: part.models.clone(),
        dialects: part.dialects.iter().map(|(dialect, _)| *dialect).collect(),
        paths: part.paths.clone(),
        headers: part.headers.clone(),
    }
}

/// The number of what `link` names, or the complaint that it is not there.
fn resolve(
    reader: &mut Reader<'_>,
    code: &'static str,
    link: &Link,
    what: &str,
    names: &HashMap<&str, u16>,
) -> Option<u16> {
    let found = names.get(link.name.as_str()).copied();
    if found.is_none() {
        let mut known: Vec<&str> = names.keys().copied().collect();
        known.sort_unstable();
        let help = match nearest(&link.name, known.iter().copied()) {
            Some(right) => format!("did you mean `{right}`?"),
            None if known.is_empty() => format!("the file has no {what}"),
            None => format!("known: {}", listed(known)),
        };
        let message = format!("there is no {what} `{}`", shown(&link.raw));
        reader.report(code, link.span.clone(), message, Some(help));
    }
    found
}

/// What only the whole file can tell.
fn check(reader: &mut Reader<'_>, file: &File, linked: &Linked) {
    check_keys(reader, file);
    check_gate(reader, file);
    check_limits(reader, file);
    for part in &file.providers {
        if let Some(provider) = &part.value {
            check_clear_text(reader, provider, part.span.clone());
        }
    }
    let providers: HashMap<&str, Option<&Provider>> =
        file.providers.iter().map(|part| (&*part.name, part.value.as_ref())).collect();
    let mut names: HashSet<&str> = HashSet::new();
    for (at, part) in file.routes.iter().enumerate() {
        if let Some(name) = &part.name
            && !names.insert(&name.value)
        {
            let message = format!("two routes are called `{}`", shown(&name.raw));
            reader.report(codes::DUPLICATE, name.span.clone(), message, None);
        }
        check_dialects(reader, &providers, part);
        check_reach(reader, file, linked, at);
    }
}

/// One key is one app's.
fn check_keys(reader: &mut Reader<'_>, file: &File) {
    let mut owners: HashMap<[u8; 32], &str> = HashMap::new();
    for part in &file.apps {
        for (hash, span) in part.value.iter().flat_map(|app| &app.keys) {
            if let Some(owner) = owners.insert(*hash, &part.name) {
                let message = format!("app `{}` has this key already", shown(owner));
                let help = "give each app its own keys: the key says who is asking";
                reader.report(codes::SHARED_KEY, span.clone(), message, Some(help.to_owned()));
            }
        }
    }
}

/// A limit's counters are found by its name; and where money is limited, prices matter.
fn check_limits(reader: &mut Reader<'_>, file: &File) {
    let of_apps = file.apps.iter().filter_map(|part| part.value.as_ref()?.limit.as_ref());
    let mut names: HashSet<&str> = of_apps.clone().map(|limit| &*limit.name).collect();
    for part in &file.limits {
        if let Some(name) = &part.name
            && !names.insert(&name.value)
        {
            let message = format!("two limits are called `{}`", shown(&name.raw));
            reader.report(codes::DUPLICATE, name.span.clone(), message, None);
        }
    }
    let mut limits = of_apps.chain(file.limits.iter().map(|part| &part.limit));
    if !limits.any(|limit| limit.counts(Unit::Money)) {
        return;
    }
    let prices = Prices::new(file.prices.clone());
    let providers: HashMap<&str, &Provider> = file
        .providers
        .iter()
        .filter_map(|part| Some((&*part.name, part.value.as_ref()?)))
        .collect();
    for target in file.routes.iter().flat_map(|part| part.targets.iter().chain(&part.fallback)) {
        let Some(provider) = providers.get(&*target.provider.name) else { continue };
        let Some(model) = &target.model else { continue };
        if prices.of(provider, model.as_str()).is_none() {
            reader.report(
                codes::NO_PRICE,
                target.span.clone(),
                format!(
                    "money is limited, and what `{}` costs is not known",
                    shown(model.as_str())
                ),
                Some("add a `[prices.\"..\"]` with `input` and `output`".to_owned()),
            );
        }
    }
}

/// A file that serves nobody: written so, or not written to its end.
fn check_emptiness(reader: &mut Reader<'_>, source: &Source) {
    let (code, message) = if source.is_blank() {
        let message = "the file is empty: a gate that starts with it refuses every request, and one \
                       that runs refuses the reload and keeps the table that it has";
        (codes::EMPTY_FILE, message)
    } else {
        (codes::NOTHING_SERVED, "the file has no provider, so every request is refused")
    };
    let help = "add a `[providers.NAME]`; docs/providers.md has rows to copy";
    reader.report(code, 0..0, message, Some(help.to_owned()));
}

/// A gate that the network can reach never lends its own credentials to strangers.
fn check_gate(reader: &mut Reader<'_>, file: &File) {
    let keyed = file
        .providers
        .iter()
        .find(|part| part.value.as_ref().is_some_and(Provider::has_credential));
    let Some(keyed) = keyed.filter(|_| file.apps.is_empty()) else { return };
    for span in &file.open_listeners {
        reader.report(
            codes::OPEN_GATE,
            span.clone(),
            format!(
                "the network can reach this listener, no app is named, and provider `{}` has a \
                 credential: whoever connects would spend it",
                keyed.name
            ),
            Some(
                "add an `[apps.NAME]` with `key_sha256`, or listen on `127.0.0.1`, or take \
                 `api_key` away so that callers bring their own"
                    .to_owned(),
            ),
        );
    }
}

/// A credential in the clear, to somewhere that is not near.
fn check_clear_text(reader: &mut Reader<'_>, provider: &Provider, span: Range<usize>) {
    let Some(base) = provider.base.as_ref().filter(|base| !base.tls) else { return };
    let is_near = match base.host.parse::<std::net::IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(std::net::IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(std::net::IpAddr::V6(ip)) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
        }
        // A name without a dot, or under one of these, is of the own network.
        Err(_) => {
            !base.host.contains('.')
                || [".local", ".internal", ".localhost", ".svc", ".lan"]
                    .iter()
                    .any(|ending| base.host.ends_with(ending))
        }
    };
    if !is_near && provider.has_credential() {
        reader.report(
            codes::CLEAR_TEXT,
            span,
            "the credential of this provider leaves in the clear",
            Some("write `https://` in its `base_url`".to_owned()),
        );
    }
}

/// A target that has to be asked in another dialect than the caller's cannot be asked for the
/// caller's model: providers of other dialects do not have it.
fn check_dialects(
    reader: &mut Reader<'_>,
    providers: &HashMap<&str, Option<&Provider>>,
    part: &RoutePart,
) {
    let provider =
        |target: &TargetPart| providers.get(target.provider.name.as_str()).copied().flatten();
    let speakers: Option<Vec<&Provider>> = part.targets.iter().map(&provider).collect();
    // A target that could not be read has been complained of, and might speak anything.
    let Some(speakers) = speakers.filter(|all| !all.is_empty()) else { return };
    let taken = |dialect: &Dialect| {
        if part.dialects.is_empty() {
            speakers.iter().any(|provider| provider.speaks(*dialect))
        } else {
            part.dialects.iter().any(|(one, _)| one == dialect)
        }
    };
    let wanted: Vec<Dialect> = Dialect::ALL.into_iter().filter(taken).collect();
    for target in part.targets.iter().chain(&part.fallback) {
        let Some(provider) = provider(target).filter(|_| target.model.is_none()) else { continue };
        let is_foreign = wanted.iter().any(|dialect| {
            provider.dialect_for(*dialect) != *dialect && !shares_models(provider, *dialect)
        });
        if is_foreign {
            reader.report(
                codes::FOREIGN_MODEL,
                target.span.clone(),
                format!(
                    "provider `{}` is asked in its own dialect, for the model that the caller named",
                    provider.name
                ),
                Some("name a `model` that this provider has".into()),
            );
        }
    }
}

/// Whether callers of `dialect` name this provider's own models.
fn shares_models(provider: &Provider, dialect: Dialect) -> bool {
    provider.family.speaks(dialect)
}

/// A route that stands behind one which takes all that it takes.
fn check_reach(reader: &mut Reader<'_>, file: &File, linked: &Linked, at: usize) {
    let matcher = &linked.routes[at].matcher;
    let before = linked.routes[..at].iter().position(|one| one.matcher.covers(matcher));
    // A matcher with a broken part may look wider than it is meant.
    let has_errors = reader.found().iter().any(|found| found.severity == Severity::Error);
    let Some(before) = before.filter(|_| !has_errors) else { return };
    let name = file.routes[before].name.as_ref().map_or("", |name| &*name.raw);
    let span =
        file.routes[at].name.as_ref().map_or(file.routes[at].span.clone(), |n| n.span.clone());
    reader.report(
        codes::UNREACHABLE_ROUTE,
        span,
        format!("this route is never reached: `{}` before it takes all that it takes", shown(name)),
        Some("the first route that matches wins: put the narrower one first".to_owned()),
    );
}

/// `None` only where a part is missing, which has been reported as an error by then.
fn build(
    file: File,
    linked: Linked,
    packs: Packs,
    digest: String,
    source: &Source,
) -> Option<Table> {
    let providers: Vec<Provider> =
        file.providers.into_iter().map(|part| part.value).collect::<Option<_>>()?;
    let mut apps = Vec::with_capacity(file.apps.len());
    let mut app_keys = HashMap::new();
    let mut limits = Vec::new();
    for (index, part) in (0..).zip(file.apps) {
        let part = part.value?;
        app_keys.extend(part.keys.into_iter().map(|(hash, _)| (hash, AppIndex(index))));
        limits.extend(part.limit.map(|limit| under(limit, vec![AppIndex(index)])));
        apps.push(part.app);
    }
    for (part, apps) in file.limits.into_iter().zip(linked.limits) {
        limits.push(under(part.limit, apps));
    }
    let mut routes = Vec::with_capacity(file.routes.len() + providers.len());
    for (part, linked) in file.routes.into_iter().zip(linked.routes) {
        let name = part.name?.value;
        routes.push(Route {
            name: RouteName::new(&name),
            name_value: header_value(&name),
            matcher: linked.matcher,
            targets: linked.targets,
            fallback: linked.fallback,
            rules: linked.book,
            retry: part.retry,
            timeouts: part.timeouts,
            midstream: part.midstream,
            capture: part.capture,
            originals_to: part.originals_to,
            when_full: part.when_full,
            kept: part.kept,
        });
    }
    let whole: HashMap<ProviderIndex, u16> = (0..)
        .zip(&linked.targets)
        .filter(|(_, target)| target.model.is_none())
        .map(|(at, target)| (target.provider, at))
        .collect();
    let mut by_provider_name = HashMap::new();
    for (index, provider) in (0..).zip(&providers) {
        let target = *whole.get(&ProviderIndex(index))?;
        let route = RouteIndex(routes.len() as u16);
        by_provider_name.insert(provider.name.shared(), (ProviderIndex(index), route));
        let rules = linked.everywhere.clone();
        let (index, target) = (ProviderIndex(index), TargetIndex(target));
        let mut route = implicit::route(provider, index, target, rules, &routes, &linked.targets);
        // It keeps its records no shorter than what no route says of.
        let is_longer =
            |days: &u16| Duration::from_hours(24 * u64::from(*days)) > file.evidence.kept_for;
        route.kept.days = route.kept.days.filter(is_longer);
        routes.push(route);
    }
    let routes = Routes {
        digest,
        source: source.file.clone(),
        server: file.server,
        evidence: file.evidence,
        identity: file.identity,
        providers,
        targets: linked.targets,
        apps,
        app_keys,
        limits,
        prices: Prices::new(file.prices),
        routes,
        by_provider_name,
        packs,
    };
    Some(Table { epoch: Epoch(0), files: Arc::new(routes), levers: Arc::default() })
}

/// The limit, holding for these apps.
fn under(mut limit: Limit, apps: Vec<AppIndex>) -> Limit {
    limit.matcher.apps = apps;
    limit
}
