//! A child process: its output as it comes, its memory, its end.

use super::{PATIENCE, wait_for};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// The binary under test: `FIREDOOR_BIN`, else the one that was built with the tests.
pub fn binary() -> String {
    std::env::var("FIREDOOR_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_firedoor").to_owned())
}

/// A running process, killed on drop.
pub struct Process {
    child: Child,
    /// What it wrote on stdout.
    pub stdout: Lines,
    /// What it wrote on stderr.
    pub stderr: Lines,
}

/// The lines of one output, as they come.
#[derive(Clone, Default)]
pub struct Lines(Arc<(Mutex<Written>, Condvar)>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    is_over: bool,
}

impl Process {
    /// Starts `firedoor` with `arguments`.
    pub fn firedoor(arguments: &[&str], variables: &[(&str, &str)]) -> Process {
        Process::firedoor_under(&[], arguments, variables)
    }

    /// The same, started by a `wrapper` that ends by executing its arguments.
    pub fn firedoor_under(
        wrapper: &[&str],
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Process {
        let binary = binary();
        let whole = [wrapper, &[&*binary], arguments].concat();
        let mut command = Command::new(whole[0]);
        command.args(&whole[1..]).envs(variables.iter().copied());
        Process::spawn(command)
    }

    /// Starts `command`, without input.
    pub fn spawn(mut command: Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Lines::read(child.stdout.take().unwrap());
        let stderr = Lines::read(child.stderr.take().unwrap());
        Process { child, stdout, stderr }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory now, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most resident memory so far, in bytes.
    pub fn peak_memory_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    /// User and system time so far, in clock ticks of 10 ms.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        // Behind the name, which may hold anything, stand the state and then numbers.
        let rest = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
    }

    /// Open file descriptors.
    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kilobytes = line.and_then(|rest| rest.trim().strip_suffix(" kB")).unwrap();
        kilobytes.trim().parse::<u64>().unwrap() * 1024
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Asks it to read its configuration again (SIGHUP).
    pub fn hang_up(&self) {
        self.signal(rustix::process::Signal::HUP);
    }

    /// Sends SIGKILL and does not wait.
    pub fn strike(&self) {
        self.signal(rustix::process::Signal::KILL);
    }

    /// Kills it on the spot (SIGKILL) and waits for its end.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let id = i32::try_from(self.id()).ok().and_then(rustix::process::Pid::from_raw).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the process to end", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- stderr of process {}:\n{}", self.id(), self.stderr.text());
        }
    }
}

impl Lines {
    fn read(output: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let shared = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let (written, changed) = &*shared.0;
                written.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                changed.notify_all();
            }
            let (written, changed) = &*shared.0;
            written.lock().unwrap().is_over = true;
            changed.notify_all();
        });
        lines
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        self.0.0.lock().unwrap().lines.join("\n")
    }

    /// All of it, once the process has closed it.
    pub fn whole(&self) -> String {
        self.find("the end of the output", |_| false);
        self.text()
    }

    /// The first line that `wanted` takes, waiting for it; `None` if the output ends before.
    pub fn find(&self, what: &str, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let (written, changed) = &*self.0;
        let deadline = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut now = written.lock().unwrap();
        loop {
            if let Some(line) = now.lines[seen..].iter().find(|line| wanted(line)) {
                return Some(line.clone());
            }
            seen = now.lines.len();
            if now.is_over {
                return None;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {PATIENCE:?} in vain for {what}");
            now = changed.wait_timeout(now, left).unwrap().0;
        }
    }
}
