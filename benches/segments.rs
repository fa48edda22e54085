//! What the walk over a request's texts costs: `cargo bench --bench segments` runs it.

use firedoor::wire::Dialect;
use firedoor::wire::segments::{Go, Step, walk};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::hint::black_box;
use std::io::Write;

const ROUNDS: usize = 15;

/// A paragraph as people and agents write it, with the escapes of JSON.
const PROSE: &str = "The first reports came in shortly after nine: \\\"nothing works\\\", said the \
    caller, and hung up.\\nBy ten there were forty of them, and the queue of those who waited grew \
    faster than anybody could answer. Nobody had changed anything, or nobody remembered.\\n\\n";

/// Code as it stands in the arguments of a call: escaped twice.
const CODE: &str = "fn main() {\\\\n    let name = \\\\\\\"world\\\\\\\";\\\\n    \
    println!(\\\\\\\"hello, {name}\\\\\\\");\\\\n}\\\\n";

fn turns(bytes: usize, turn: &dyn Fn(usize) -> String, around: [&str; 2]) -> String {
    let mut turns = Vec::new();
    let mut length = 0;
    while length < bytes {
        turns.push(turn(turns.len()));
        length += turns.last().map_or(0, String::len);
    }
    format!("{}{}{}", around[0], turns.join(","), around[1])
}

/// The names of the bodies, and bodies of about so many bytes.
fn bodies(bytes: usize) -> Vec<(&'static str, Dialect, String)> {
    let around = [r#"{"model":"m","messages":["#, r#"],"stream":true}"#];
    let prose = PROSE.repeat(8);
    let chat = turns(
        bytes,
        &|at| {
            let role = if at % 2 == 0 { "user" } else { "assistant" };
            format!(r#"{{"role":"{role}","content":"{prose}"}}"#)
        },
        around,
    );
    let sorted = turns(
        bytes,
        &|_| format!(r#"{{"content":[{{"text":"{prose}","type":"text"}}],"role":"user"}}"#),
        around,
    );
    let code = CODE.repeat(8);
    let calls = turns(
        bytes,
        &|at| {
            format!(
                r#"{{"role":"assistant","tool_calls":[{{"id":"c{at}","type":"function","function":{{"name":"write","arguments":"{{\"path\":\"a.rs\",\"text\":\"{code}\"}}"}}}}]}}"#
            )
        },
        around,
    );
    let small = turns(
        bytes,
        &|at| {
            format!(
                r#"{{"role":"user","content":[{{"toolResult":{{"toolUseId":"t{at}","content":[{{"json":{{"city":"Rome","temperature":{at},"sky":"clear","wind":["north",3]}}}}]}}}}]}}"#
            )
        },
        around,
    );
    vec![
        ("prose in Chat", Dialect::OpenaiChat, chat),
        ("prose in Anthropic, members sorted", Dialect::Anthropic, sorted),
        ("code in arguments of Chat", Dialect::OpenaiChat, calls),
        ("small values in Bedrock", Dialect::Bedrock, small),
    ]
}

/// What this thread has used of a processor: others on the machine do not count.
fn seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    for bytes in [64 << 10, 1 << 20] {
        for (name, dialect, body) in bodies(bytes) {
            let mut rounds = Vec::new();
            let (mut texts, mut length) = (0usize, 0usize);
            for _ in 0..ROUNDS {
                let repeats = ((4 << 20) / body.len()).max(1);
                let began = seconds();
                for _ in 0..repeats {
                    (texts, length) = (0, 0);
                    walk(Some(dialect), black_box(body.as_bytes()), &mut |step| {
                        if let Step::Segment(segment) = step {
                            texts += 1;
                            length += black_box(&*segment.text).len();
                        }
                        Go::On
                    })?;
                }
                let each = (seconds() - began) / repeats as f64;
                rounds.push(body.len() as f64 / each / 1e6);
            }
            rounds.sort_by(f64::total_cmp);
            writeln!(
                out,
                "{name}, {} KiB: {:.0} MB/s (median of {ROUNDS}; best {:.0}); {texts} texts, {length} bytes",
                body.len() >> 10,
                rounds[ROUNDS / 2],
                rounds[ROUNDS - 1],
            )?;
        }
    }
    Ok(())
}
