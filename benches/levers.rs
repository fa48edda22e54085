//! What a lever costs, and how fast it cuts: the load of `benches/levers`, which says what runs
//! beside it.
//!
//! `kill` opens streams of all dialects through a gate and kills them; `pulls` times pulls that
//! reach nothing, beside syncs of a file on the same file system; `fill` puts levers in force
//! that reach no traffic; `floor` times endings that no gate writes. Times are of `CLOCK_MONOTONIC`, which the simulated provider stamps its
//! tokens with. A frame is dated when this process has read it, so the time that the frame waits
//! for this process is in every figure.

#[path = "floor.rs"]
mod floor;
#[path = "lever_client.rs"]
mod lever_client;

use lever_client::{End, Manner, Opening, Phase, Saw, client};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::watch;

type Fault = Box<dyn Error>;

/// How long endings are waited for.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// How long clients that do not read go on so after a kill.
const STUCK_FOR: Duration = Duration::from_millis(1500);
const BOUNDS_MS: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 250.0];

fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn main() -> Result<(), Fault> {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let command = words.next().unwrap_or_default();
    let mut options = BTreeMap::new();
    while let Some(name) = words.next() {
        let value = words.next().ok_or_else(|| format!("{name} needs a value"))?;
        options.insert(name.trim_start_matches('-').to_owned(), value);
    }
    let options = Options(options);
    match command.as_str() {
        "kill" => kill(&options),
        "pulls" => pulls(&options),
        "fill" => fill(&options),
        "floor" => floor::floor(&options),
        _ => {
            Err("levers kill|pulls|fill|floor [--OPTION VALUE ..]; benches/levers runs them".into())
        }
    }
}

/// The words of the command line, by name.
struct Options(BTreeMap<String, String>);

impl Options {
    fn text(&self, name: &str) -> Result<&str, Fault> {
        let found = self.0.get(name).ok_or_else(|| format!("--{name} is missing"))?;
        Ok(found)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Fault> {
        self.0.get(name).map_or(Ok(default), |text| Ok(text.parse()?))
    }

    /// Adds a line of JSON to the file that `--json` names.
    fn note(&self, line: &Value) -> Result<(), Fault> {
        if let Some(path) = self.0.get("json") {
            let mut file = File::options().create(true).append(true).open(path)?;
            writeln!(file, "{line}")?;
        }
        Ok(())
    }
}

fn say(line: &str) -> Result<(), Fault> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// One answer of the admin API.
struct Answered {
    status: u16,
    body: Value,
    /// When its request was begun to be sent, and when it was read whole.
    sent: u64,
    read: u64,
}

/// Asks over the admin socket, on a connection of its own, as the command line does.
fn ask(socket: &Path, verb: &str, path: &str, body: Option<&Value>) -> Result<Answered, Fault> {
    let mut stream = UnixStream::connect(socket)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{verb} {path} HTTP/1.1\r\nhost: firedoor\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let sent = now();
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    let (status, body, read) = loop {
        let count = stream.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..count]);
        if let Some((status, body)) = whole(&bytes)? {
            break (status, body.to_vec(), now());
        }
        if count == 0 {
            return Err(format!("{verb} {path}: the answer is not whole").into());
        }
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status >= 300 {
        return Err(format!("{verb} {path}: {status} {body}").into());
    }
    Ok(Answered { status, body, sent, read })
}

/// Status and body of an answer that has come whole.
fn whole(bytes: &[u8]) -> Result<Option<(u16, &[u8])>, Fault> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
    let status = head.split(' ').nth(1).unwrap_or_default().parse()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length.unwrap_or("0").trim().parse()?;
    Ok(bytes.get(end + 4..end + 4 + length).map(|body| (status, body)))
}

fn lift(socket: &Path, pulled: &Answered) -> Result<(), Fault> {
    let id = pulled.body["lever"]["id"].as_str().ok_or("the answer names no lever")?;
    let why = json!({ "reason": "measured", "author": "bench" });
    ask(socket, "DELETE", &format!("/api/v1/levers/{id}"), Some(&why)).map(|_| ())
}

fn order(scope: &str) -> Value {
    json!({ "kind": "kill", "scope": scope, "reason": "measured", "author": "bench" })
}

/// Times of one sort, in nanoseconds.
#[derive(Clone, Default)]
struct Times(Vec<i64>);

impl Times {
    fn add(&mut self, from: u64, to: u64) {
        self.0.push(to.cast_signed() - from.cast_signed());
    }

    fn ms(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * share).ceil() as usize;
        sorted.get(at.clamp(1, sorted.len().max(1)) - 1).map_or(0.0, |ns| *ns as f64 / 1e6)
    }

    fn line(&self) -> String {
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| self.ms(share));
        format!("p50 {p50:.2}, p90 {p90:.2}, p99 {p99:.2}, max {max:.2} ms")
    }

    fn json(&self) -> Value {
        json!({ "n": self.0.len(), "p50": self.ms(0.5), "p90": self.ms(0.9), "p99": self.ms(0.99), "max": self.ms(1.0) })
    }

    fn histogram(&self) -> String {
        let mut counts = [0_usize; BOUNDS_MS.len() + 1];
        for ns in &self.0 {
            let ms = *ns as f64 / 1e6;
            counts[BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(BOUNDS_MS.len())] += 1;
        }
        let names = BOUNDS_MS.iter().map(|bound| format!("≤{bound}")).chain([">250".to_owned()]);
        let shown = names.zip(counts).filter(|(_, count)| *count > 0);
        shown.map(|(name, count)| format!("{name}: {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// What all rounds came to.
#[derive(Default)]
struct Sum {
    from_ack: Times,
    from_pull: Times,
    ack: Times,
    took: Times,
    cut: usize,
    unread: usize,
    torn: [usize; 2],
    missed: usize,
    late: usize,
    after: usize,
}

fn kill(options: &Options) -> Result<(), Fault> {
    let streams = options.number("streams", 1000)?;
    let rounds = options.number("rounds", 1)?;
    let stuck = options.number("stuck", 0)?;
    let busy_percent = options.number("busy", 60)?;
    let scope = options.text("scope").unwrap_or("provider:mock-*").to_owned();
    let pauses: Vec<String> =
        options.text("itl-ms").unwrap_or("500,1000").split(',').map(str::to_owned).collect();
    let settle = Duration::from_millis(options.number("settle-ms", 5000)? as u64);
    let gate: Rc<str> = options.text("gate")?.into();
    let socket = PathBuf::from(options.text("socket")?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut sum = Sum::default();
    // Odd, so that every dialect has some.
    let stride = (streams / stuck.max(1)) | 1;
    for round in 0..rounds {
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            let (phases, phase) = watch::channel(Phase::Open);
            let opening = Opening::new();
            let mut clients = Vec::with_capacity(streams);
            for number in 0..streams {
                let (manner, script) = if number % stride == 1 && stuck > 0 {
                    (Manner::Stuck, "tokens=60000,bytes=1000,stamp=1".to_owned())
                } else if number / 4 % 100 < busy_percent {
                    let pause = &pauses[number / 4 % pauses.len()];
                    (Manner::Busy, format!("tokens=100000,itl_ms={pause},stamp=1"))
                } else {
                    (Manner::Idle, "tokens=100,itl_ms=1,stamp=1,fault=stall,at=5".to_owned())
                };
                let (gate, opening) = (Rc::clone(&gate), Rc::clone(&opening));
                clients.push(tokio::task::spawn_local(client(
                    gate,
                    number,
                    manner,
                    script,
                    opening,
                    phase.clone(),
                )));
            }
            opening.all(streams).await?;
            // Until what clients that do not read have taken up is full.
            tokio::time::sleep(settle).await;
            let (pulling, scope) = (socket.clone(), scope.clone());
            let pulled = tokio::task::spawn_blocking(move || {
                ask(&pulling, "POST", "/api/v1/levers", Some(&order(&scope)))
                    .map_err(|error| error.to_string())
            })
            .await??;
            tokio::time::sleep(STUCK_FOR).await;
            phases.send_replace(Phase::Drain);
            tokio::time::sleep(ENDING_MAX / 5).await;
            lift(&socket, &pulled)?;
            phases.send_replace(Phase::Over);
            let mut saw = Vec::with_capacity(streams);
            for client in clients {
                saw.push(client.await?);
            }
            judge(options, round, &pulled, &saw, &mut sum)
        })?;
        std::thread::sleep(Duration::from_secs(2));
    }
    say(&format!(
        "\n{rounds} rounds of {streams} streams, {stuck} of them with clients that do not read:"
    ))?;
    say(&format!("- acknowledgement to error frame: {}", sum.from_ack.line()))?;
    say(&format!("  in ms: {}", sum.from_ack.histogram()))?;
    say(&format!("- pull sent to error frame: {}", sum.from_pull.line()))?;
    say(&format!("- pull sent to acknowledgement: {}", sum.ack.line()))?;
    say(&format!("- the answer's own took_ms.total: {}", sum.took.line()))?;
    say(&format!(
        "- cut in their dialect {} that read and {} that do not, torn {} and {}, missed {}; tokens sent after the acknowledgement that arrived: {}, tokens behind an ending: {}",
        sum.cut, sum.unread, sum.torn[0], sum.torn[1], sum.missed, sum.late, sum.after
    ))?;
    options.note(&json!({
        "what": "kill", "streams": streams, "rounds": rounds, "stuck": stuck,
        "ack_to_frame_ms": sum.from_ack.json(), "pull_to_frame_ms": sum.from_pull.json(),
        "pull_to_ack_ms": sum.ack.json(), "took_ms": sum.took.json(), "cut": sum.cut, "unread": sum.unread,
        "torn_reading": sum.torn[0], "torn_stuck": sum.torn[1], "missed": sum.missed,
        "late_tokens": sum.late, "tokens_after_ending": sum.after,
    }))
}

/// Adds what one round came to, and tells it.
fn judge(
    options: &Options,
    round: usize,
    pulled: &Answered,
    saw: &[Saw],
    sum: &mut Sum,
) -> Result<(), Fault> {
    let (mut from_ack, mut from_pull) = (Times::default(), Times::default());
    let (mut cut, mut kept, mut torn, mut missed, mut late, mut failed) = (0, 0, [0, 0], 0, 0, 0);
    for saw in saw {
        match saw.end {
            // What lay in the kernel's buffers stands in front of the ending.
            End::Whole if saw.marked > 0 && saw.manner == Manner::Stuck => kept += 1,
            End::Whole if saw.marked > 0 => {
                cut += 1;
                from_ack.add(pulled.read, saw.marked);
                from_pull.add(pulled.sent, saw.marked);
            }
            End::Torn => torn[usize::from(saw.manner == Manner::Stuck)] += 1,
            End::Whole | End::None => missed += 1,
            End::Failed => failed += 1,
        }
        late += usize::from(saw.stamp > pulled.read);
        sum.after += saw.after;
    }
    let took = &pulled.body["took_ms"];
    say(&format!(
        "round {round} at {:.3} s: {} ack {:.2} ms, took {} (durable {}); from ack: {}; cut {cut} (and {kept} unread), torn {torn:?}, missed {missed}, not opened {failed}, late {late}; answer {}",
        pulled.sent as f64 / 1e9,
        pulled.status,
        (pulled.read - pulled.sent) as f64 / 1e6,
        took["total"],
        took["durable"],
        from_ack.line(),
        pulled.body["exchanges"],
    ))?;
    options.note(&json!({
        "what": "kill-round", "streams": saw.len(), "round": round, "took_ms": took,
        "ack_ms": (pulled.read - pulled.sent) as f64 / 1e6, "exchanges": pulled.body["exchanges"],
        "ack_to_frame_ms": from_ack.json(), "cut": cut, "unread": kept, "torn": torn, "missed": missed, "failed": failed, "late": late,
    }))?;
    sum.ack.add(pulled.sent, pulled.read);
    sum.took.0.push((took["total"].as_f64().unwrap_or_default() * 1e6) as i64);
    sum.from_ack.0.extend(from_ack.0);
    sum.from_pull.0.extend(from_pull.0);
    sum.cut += cut;
    sum.unread += kept;
    sum.torn[0] += torn[0];
    sum.torn[1] += torn[1];
    sum.missed += missed + failed;
    sum.late += late;
    Ok(())
}

/// Pulls that reach nothing, each beside one sync of a file on the same file system.
fn pulls(options: &Options) -> Result<(), Fault> {
    let socket = PathBuf::from(options.text("socket")?);
    let count = options.number("count", 500)?;
    let beside = PathBuf::from(options.text("dir")?).join("sync");
    let mut file = File::create(&beside)?;
    let page = [7; 4096];
    let (mut ack, mut durable, mut sync) = (Times::default(), Times::default(), Times::default());
    for number in 0..count {
        let pulled =
            ask(&socket, "POST", "/api/v1/levers", Some(&order(&format!("app:nobody-{number}"))))?;
        ack.add(pulled.sent, pulled.read);
        durable
            .0
            .push((pulled.body["took_ms"]["durable"].as_f64().unwrap_or_default() * 1e6) as i64);
        let began = now();
        file.write_all(&page)?;
        file.sync_data()?;
        sync.add(began, now());
        lift(&socket, &pulled)?;
    }
    std::fs::remove_file(beside)?;
    say(&format!("{count} pulls: sent to acknowledged: {}", ack.line()))?;
    say(&format!("  of it until durable: {}; one sync of 4 KiB: {}", durable.line(), sync.line()))?;
    options.note(&json!({
        "what": "pulls", "ack_ms": ack.json(), "durable_ms": durable.json(), "sync_ms": sync.json(),
    }))
}

/// Puts levers in force, none of which reaches the traffic of a measurement.
fn fill(options: &Options) -> Result<(), Fault> {
    let socket = PathBuf::from(options.text("socket")?);
    let to = options.text("to").unwrap_or("mock").to_owned();
    let count = options.number("count", 10_000)?;
    let mut ack = Times::default();
    for number in 0..count {
        let scope = match number % 8 {
            0 => format!("app:nobody-{number}"),
            1 => format!("agent:nobody-{number}"),
            2 => format!("session:nobody-{number}"),
            3 => format!("model:retired-{number}"),
            4 => format!("agent:crew-{number}-*"),
            5 => format!("model:gpt-4o+app:nobody-{number}"),
            6 => format!("model:old-{number}*+session:s-*"),
            _ => format!("agent:gang-{number}*+model:gpt-*"),
        };
        let mut order = order(&scope);
        if number % 4 == 1 || number % 16 == 3 {
            order["kind"] = json!("reroute");
            order["to"] = json!([to]);
        }
        let pulled = ask(&socket, "POST", "/api/v1/levers", Some(&order))?;
        ack.add(pulled.sent, pulled.read);
        if number + 1 == count || (number + 1) % 2500 == 0 {
            let tail = Times(ack.0[ack.0.len().saturating_sub(200)..].to_vec());
            say(&format!("{} levers in force; the last 200 pulls: {}", number + 1, tail.line()))?;
        }
    }
    Ok(())
}
