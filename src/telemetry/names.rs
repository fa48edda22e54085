//! The name, labels and meaning of every metric, in one table.
//!
//! `docs/metrics.md` is checked against [`ALL`], so that a metric cannot appear or be renamed
//! unseen. Label values come from closed sets: names that the routes file gives, and enums of
//! ours. What a client writes (a model, an agent, a path) never becomes a label.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the process runs.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

impl Kind {
    /// The name that Prometheus gives it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name as Prometheus shows it; the unit stands at its end.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it counts.
    pub about: &'static str,
}

macro_rules! metrics {
    ($($name:ident = $kind:ident $text:literal [$($label:literal),*] $about:literal;)*) => {
        $(
            #[doc = $about]
            pub const $name: Metric = Metric {
                name: $text,
                kind: Kind::$kind,
                labels: &[$($label),*],
                about: $about,
            };
        )*

        /// Every metric, in the order of the documentation.
        pub const ALL: &[Metric] = &[$($name),*];
    };
}

metrics! {
    EXCHANGES = Counter "firedoor_exchanges_total" ["route", "target", "dialect", "outcome", "status"]
        "Finished exchanges.";
    EXCHANGE_SECONDS = Histogram "firedoor_exchange_seconds" ["route", "target"]
        "From the head of a request to the end of its answer.";
    FIRST_BYTE_SECONDS = Histogram "firedoor_first_byte_seconds" ["route", "target"]
        "From the head of a request to the provider's first byte.";
    FIRST_TEXT_SECONDS = Histogram "firedoor_first_text_seconds" ["route", "target"]
        "From the head of a request to the first text of its answer.";
    TOKENS = Counter "firedoor_tokens_total" ["type", "target"]
        "Tokens, as providers count them.";
    REQUEST_BYTES = Counter "firedoor_request_bytes_total" ["route"]
        "Bytes of request bodies.";
    RESPONSE_BYTES = Counter "firedoor_response_bytes_total" ["route"]
        "Bytes of answer bodies written to clients.";
    ATTEMPTS = Counter "firedoor_attempts_total" ["target"]
        "Requests sent to providers, counted at the target of the last attempt.";
    RETRIES = Counter "firedoor_retries_total" ["route"]
        "Attempts after the first of their exchange.";
    REFUSALS = Counter "firedoor_refusals_total" ["class"]
        "Exchanges that Firedoor answered itself.";
    CUTS = Counter "firedoor_cuts_total" ["class"]
        "Streams that Firedoor ended in their dialect.";
    APP_EXCHANGES = Counter "firedoor_app_exchanges_total" ["app", "outcome"]
        "Finished exchanges of authenticated apps.";
    APP_TOKENS = Counter "firedoor_app_tokens_total" ["app", "type"]
        "Input and output tokens of authenticated apps.";
    PANICS = Counter "firedoor_panics_total" []
        "Exchanges that a panic ended: each is a bug, and the log has its place.";
    OPEN_EXCHANGES = Gauge "firedoor_open_exchanges" []
        "Exchanges under way.";
    OPEN_CONNECTIONS = Gauge "firedoor_open_connections" []
        "Open client connections.";
    CONNECTIONS_SHED = Counter "firedoor_connections_shed_total" []
        "Client connections closed unserved because connections_max were open.";
    UPSTREAM_CONNECTIONS = Gauge "firedoor_upstream_connections" ["state"]
        "Connections to providers.";
    CIRCUIT_STATE = Gauge "firedoor_circuit_state" ["target"]
        "0 closed, 1 half open, 2 open.";
    RELOADS = Counter "firedoor_reloads_total" ["outcome"]
        "Attempts to load the routes file again.";
    RELOAD_FAILED = Gauge "firedoor_config_reload_failed" []
        "1 if the last reload was refused and the table before it is still live.";
    TABLE_EPOCH = Gauge "firedoor_table_epoch" []
        "The number of the live table.";
    LEVERS = Gauge "firedoor_levers" ["kind"]
        "Levers in force.";
    LEVER_CHANGES = Counter "firedoor_lever_changes_total" ["change"]
        "Levers pulled, extended, lifted and expired.";
    LEVER_REPEATS = Counter "firedoor_lever_repeats_total" []
        "Requests refused by a kill that the client's SDK says are repeats.";
    CONTROL_LOG_UP = Gauge "firedoor_control_log_up" []
        "1 while the control log answers; 0 while the gate keeps the levers that it has.";
    EVIDENCE_UP = Gauge "firedoor_evidence_up" []
        "1 while the record is written; 0 while its disk is full or fails.";
    EVIDENCE_QUEUED = Gauge "firedoor_evidence_queued_bytes" []
        "Bytes of the record that wait for the disk.";
    EVIDENCE_QUEUE_MAX = Gauge "firedoor_evidence_queue_bytes_max" []
        "The bound on them.";
    EVIDENCE_SEGMENTS = Gauge "firedoor_evidence_segments" []
        "Segments on disk.";
    EVIDENCE_STALLED = Gauge "firedoor_evidence_stalled_seconds" []
        "For how long the writer of the record has waited for the disk.";
    EVIDENCE_RECORDS = Counter "firedoor_evidence_records_total" []
        "Lines of the record on disk.";
    EVIDENCE_TEXT_BYTES = Counter "firedoor_evidence_text_bytes_total" []
        "Bytes of those lines.";
    EVIDENCE_DISK_BYTES = Counter "firedoor_evidence_disk_bytes_total" []
        "Bytes of the frames that hold them.";
    EVIDENCE_DROPPED = Counter "firedoor_evidence_dropped_records_total" []
        "Lines that were lost because the record took no more; gaps tell of them.";
    EVIDENCE_DROPPED_BYTES = Counter "firedoor_evidence_dropped_bytes_total" []
        "Bytes of bodies that those lines told of.";
    EVIDENCE_GAPS = Counter "firedoor_evidence_gaps_total" []
        "Gaps on record.";
    EVIDENCE_ERASED = Counter "firedoor_evidence_erased_records_total" []
        "Records that were erased, as their routes keep them no longer.";
    EVIDENCE_ERASE_FAILURES = Counter "firedoor_evidence_erase_failures_total" []
        "Tries to erase records that failed; each is repeated after an hour.";
    EVIDENCE_COMMITS = Counter "firedoor_evidence_commits_total" []
        "Commits of the record.";
    EVIDENCE_FAILURES = Counter "firedoor_evidence_failures_total" []
        "Commits that failed and were tried again.";
    INDEX_UP = Gauge "firedoor_index_up" []
        "1 while the index of the record takes what is on record; 0 while it fails.";
    INDEX_CAUGHT_UP = Gauge "firedoor_index_caught_up" []
        "1 when all that was on disk was in the index as it looked last.";
    INDEX_EXCHANGES = Counter "firedoor_index_exchanges_total" []
        "Exchanges that were indexed.";
    INDEX_TEXT_BYTES = Counter "firedoor_index_text_bytes_total" []
        "Bytes of lines of the record that were read for the index.";
    INDEX_CONTEXTS_GIVEN_UP = Counter "firedoor_index_contexts_given_up_total" []
        "Documents of sessions that gave way to later ones before an exchange of theirs began: they are on record, and found with none.";
    INDEX_FAILURES = Counter "firedoor_index_failures_total" []
        "Steps of the index that failed and were tried again.";
    RUNS = Counter "firedoor_runs_total" ["kind", "state"]
        "Backtests and replays by call that are over: done, ended before their end, failed.";
    RUNS_KEPT = Gauge "firedoor_runs_kept_bytes" []
        "Bytes of what those came to that are kept.";
    LABEL_SETS = Gauge "firedoor_label_sets" []
        "Label sets of firedoor_exchanges_total and the app counters that are kept apart.";
    LABEL_OVERFLOW = Counter "firedoor_label_overflow_total" []
        "Exchanges counted under `other` because the bound on label sets was met.";
    COST = Counter "firedoor_cost_micro_usd_total" ["target"]
        "Millionths of USD that answers cost, where the provider counted tokens and the model has a price.";
    LIMIT_USED = Gauge "firedoor_limit_used" ["limit", "what"]
        "What is used of a limit, by the counter of it that is used most.";
    LIMIT_ALLOWED = Gauge "firedoor_limit_allowed" ["limit", "what"]
        "What a limit allows.";
    LIMIT_REFUSALS = Counter "firedoor_limit_refusals_total" ["limit", "what"]
        "Exchanges that a limit refused.";
    LIMIT_UNPRICED = Counter "firedoor_limit_unpriced_total" ["limit"]
        "Exchanges that passed a limit in money because their model has no price.";
    LIMIT_EVICTIONS = Counter "firedoor_limit_evictions_total" []
        "Counters of limits that were forgotten because there were too many.";
    LOOPS = Counter "firedoor_limit_loops_total" ["limit"]
        "Loops that were met: the same call of a tool, again and again.";
    TRIPS = Counter "firedoor_limit_trips_total" ["limit"]
        "Levers that limits asked for.";
    RULE_HITS = Counter "firedoor_rule_hits_total" ["rule", "action"]
        "Hits of rules, and what was done about them.";
    RULE_UNJUDGED = Counter "firedoor_rule_unjudged_total" []
        "Texts that rules could not judge.";
    RULE_DEMOTIONS = Counter "firedoor_rule_demotions_total" ["rule"]
        "Rules that fell back to shadow because they hit too large a share of exchanges.";
    WEBHOOK_CALLS = Counter "firedoor_webhook_calls_total" ["rule", "outcome"]
        "Prompts, and pieces of answers, that a webhook was asked about: clear, flagged, timeout, busy, failed, too_much, unreadable.";
    WEBHOOK_SECONDS = Histogram "firedoor_webhook_seconds" ["rule"]
        "How long prompts waited for a webhook.";
    WEBHOOK_OPEN = Gauge "firedoor_webhook_calls_open" []
        "Calls of webhooks under way.";
    SPANS_EXPORTED = Counter "firedoor_spans_exported_total" []
        "Spans that the collector accepted.";
    SPANS_DROPPED = Counter "firedoor_spans_dropped_total" ["reason"]
        "Spans that were given up.";
    LOG_LINES_DROPPED = Counter "firedoor_log_lines_dropped_total" []
        "Log lines given up because stderr did not take them in time.";
    BUILD_INFO = Gauge "firedoor_build_info" ["version"]
        "Always 1; the label says what runs.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" []
        "User and system CPU time of the process.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" []
        "Resident memory of the process.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" []
        "Virtual memory of the process.";
    PROCESS_FILES = Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_FILES_MAX = Gauge "process_max_fds" []
        "The most file descriptors that the process may open.";
    PROCESS_THREADS = Gauge "process_threads" []
        "Threads of the process.";
    PROCESS_START = Gauge "process_start_time_seconds" []
        "When the process began, in seconds since the Unix epoch.";
}

/// Upper bounds of the buckets of every histogram of seconds: 10 ms doubled up to about 11 minutes,
/// as the OpenTelemetry GenAI conventions advise, and three below for refusals.
pub const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48,
    40.96, 81.92, 163.84, 327.68, 655.36,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_say_their_kind() {
        let mut seen = std::collections::HashSet::new();
        for metric in ALL {
            assert!(seen.insert(metric.name), "{} stands twice", metric.name);
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{metric:?}");
            assert!(metric.about.ends_with('.'), "{metric:?}");
        }
    }

    #[test]
    fn the_documentation_lists_exactly_these() {
        let doc = include_str!("../../docs/metrics.md");
        let rows: Vec<&str> = doc.lines().filter(|line| line.starts_with("| `")).collect();
        let expected: Vec<String> = ALL
            .iter()
            .map(|metric| {
                let labels: Vec<String> =
                    metric.labels.iter().map(|label| format!("`{label}`")).collect();
                format!(
                    "| `{}` | {} | {} | {} |",
                    metric.name,
                    metric.kind.name(),
                    labels.join(", "),
                    metric.about
                )
                .replace("|  |", "| |")
            })
            .collect();
        assert_eq!(rows, expected, "docs/metrics.md should read:\n{}", expected.join("\n"));
    }
}
