//! The floor under a kill: what the endings cost where there is no gate.
//!
//! Two threads write the same ending to as many open connections as they can, with nothing to
//! decide, and the same clients read it, on the same cores. No gate that shares these cores with
//! this load can end its streams sooner.

use super::lever_client::{End, MARK, Manner, Opening, Phase, client};
use super::{Fault, Options, Times, now, say};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

fn chunk(data: &str) -> Vec<u8> {
    format!("{:x}\r\n{data}\r\n", data.len()).into_bytes()
}

/// Answers every connection with a head and one token, and keeps it.
fn accept(
    listener: &TcpListener,
    count: usize,
    kept: &Mutex<Vec<TcpStream>>,
) -> std::io::Result<()> {
    for _ in 0..count {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        stream.write_all(&chunk(&format!("data: {:017x}\n\n", now())))?;
        kept.lock().map_err(|_| std::io::ErrorKind::Other)?.push(stream);
    }
    Ok(())
}

/// Opens `--streams` connections and ends them all, `--rounds` times.
pub fn floor(options: &Options) -> Result<(), Fault> {
    let streams = options.number("streams", 10_000)?;
    let mark = String::from_utf8_lossy(MARK);
    let mut ending = chunk(&format!(
        "data: {{\"error\":{{\"message\":\"{mark}: stopped by an operator (ref x)\",\"type\":\"invalid_request_error\",\"code\":\"firedoor_killed\"}}}}\n\n"
    ));
    ending.extend_from_slice(b"0\r\n\r\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut all = Times::default();
    for round in 0..options.number("rounds", 3)? {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let gate: Rc<str> = listener.local_addr()?.to_string().into();
        let kept = Arc::new(Mutex::new(Vec::with_capacity(streams)));
        let keeping = Arc::clone(&kept);
        let accepting = std::thread::spawn(move || accept(&listener, streams, &keeping));
        let local = tokio::task::LocalSet::new();
        let times = local.block_on(&runtime, async {
            let (phases, phase) = watch::channel(Phase::Open);
            let opening = Opening::new();
            let clients: Vec<_> = (0..streams)
                .map(|number| {
                    let (gate, opening) = (Rc::clone(&gate), Rc::clone(&opening));
                    let script = String::new();
                    tokio::task::spawn_local(client(
                        gate,
                        number,
                        Manner::Idle,
                        script,
                        opening,
                        phase.clone(),
                    ))
                })
                .collect();
            opening.all(streams).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            let mut open = std::mem::take(&mut *kept.lock().map_err(|_| "a thread failed")?);
            let rest = open.split_off(open.len() / 2);
            let began = now();
            let writers = [open, rest].map(|mut part| {
                let ending = ending.clone();
                std::thread::spawn(move || {
                    for stream in &mut part {
                        let _ = stream.write_all(&ending);
                    }
                })
            });
            tokio::time::sleep(Duration::from_secs(2)).await;
            phases.send_replace(Phase::Over);
            for writer in writers {
                writer.join().map_err(|_| "a thread failed")?;
            }
            let mut times = Times::default();
            for client in clients {
                let saw = client.await?;
                if saw.end == End::Whole {
                    times.add(began, saw.marked);
                }
            }
            Ok::<_, Fault>(times)
        })?;
        accepting.join().map_err(|_| "a thread failed")??;
        say(&format!("round {round}: {} ended; {}", times.0.len(), times.line()))?;
        all.0.extend(times.0);
    }
    say(&format!("\nfloor of {streams} endings: {}\n  in ms: {}", all.line(), all.histogram()))?;
    options.note(&json!({ "what": "floor", "streams": streams, "to_frame_ms": all.json() }))
}
