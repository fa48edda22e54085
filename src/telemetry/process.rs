//! The `process_*` metrics that Prometheus' own client libraries define, read when asked for.
//!
//! Written by hand, because a counter of seconds is a fraction and the recorder counts in whole
//! numbers. Where `/proc` is missing they are left out.

use super::names::{self, Metric};
use rustix::process::{Resource, getrlimit};
use std::fmt::Write;

/// What the kernel counts CPU time in: `USER_HZ`, which is 100 on every architecture that this
/// program is built for (proc_pid_stat(5), sysconf(3)).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the metrics to `out`.
pub(super) fn render(out: &mut String) {
    if let Some(stat) = Stat::read() {
        put(out, names::PROCESS_CPU, stat.cpu_seconds);
        put(out, names::PROCESS_VIRTUAL, stat.virtual_bytes);
        put(out, names::PROCESS_THREADS, stat.threads);
        if let Some(boot) = boot_seconds() {
            put(out, names::PROCESS_START, boot + stat.start_seconds);
        }
    }
    if let Some(bytes) = resident_bytes() {
        put(out, names::PROCESS_MEMORY, bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the folder that is being read.
        put(out, names::PROCESS_FILES, files.count().saturating_sub(1) as f64);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        put(out, names::PROCESS_FILES_MAX, most as f64);
    }
}

fn put(out: &mut String, metric: Metric, value: f64) {
    // Writing into a string cannot fail.
    let _ = write!(
        out,
        "# HELP {0} {1}\n# TYPE {0} {2}\n{0} {value}\n\n",
        metric.name,
        metric.about,
        metric.kind.name(),
    );
}

struct Stat {
    cpu_seconds: f64,
    threads: f64,
    start_seconds: f64,
    virtual_bytes: f64,
}

impl Stat {
    /// `/proc/self/stat`; the fields are counted from 1 in proc_pid_stat(5).
    fn read() -> Option<Stat> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program may hold spaces and brackets; the last bracket ends it.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Stat {
            cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
            threads: field(20)?,
            start_seconds: field(22)? / TICKS_PER_SECOND,
            virtual_bytes: field(23)?,
        })
    }
}

/// Resident memory, from `/proc/self/status`, which unlike `statm` does not count in pages.
fn resident_bytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// When the machine was started, in seconds since the Unix epoch.
fn boot_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn every_process_metric_is_there() {
        let mut text = String::new();
        render(&mut text);
        for metric in names::ALL.iter().filter(|metric| metric.name.starts_with("process_")) {
            assert!(text.contains(&format!("\n{} ", metric.name)), "{}: {text}", metric.name);
        }
    }
}
