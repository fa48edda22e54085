//! `firedoor tape`: recorded answers, served as a provider.

use super::mock::fixed;
use super::mock::peer::{self, Broken, Gone, Peer, Request};
use super::mock::play::{Framing, push_framed};
use super::progress::Progress;
use super::record::{Which, go_on, interruption};
use super::{Common, Exit, output};
use crate::replay::gather;
use crate::replay::tape::{Played, Tape as Record, Wanted, header_map};
use crate::replay::walk;
use crate::wire::Dialect;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Serve recorded answers as a provider, in all dialects, with their original timing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A request is answered by what was answered to the same body then; else, if it names its session, by the session's next\nanswer; else by 404, which says what is on tape. Answers are the provider's bytes, status and fields, and name their\nexchange in x-firedoor-tape.\nExamples:\n  firedoor tape --session s-17                  then: OPENAI_BASE_URL=http://127.0.0.1:4810/v1 my-app\n  firedoor tape --since 2h --speed max"
)]
pub struct Tape {
    #[command(flatten)]
    which: Which,
    /// Where to listen; port 0 takes a free one. The address is the first line of stdout
    #[arg(long, default_value = "127.0.0.1:4810", value_name = "ADDR")]
    listen: SocketAddr,
    /// How fast: 1 as it was, 2 twice as fast, `max` without waiting
    #[arg(long, default_value = "1", value_name = "SPEED", value_parser = speed)]
    speed: Speed,
}

/// How fast a tape plays.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
}

fn speed(text: &str) -> Result<Speed, String> {
    match text.parse::<f64>() {
        _ if text == "max" => Ok(Speed::Max),
        Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
        Ok(_) | Err(_) => Err("a speed is a number above 0, such as 1 or 2.5, or `max`".to_owned()),
    }
}

impl Speed {
    /// When a piece is due that came `at_us` after its request.
    fn due(self, asked: Instant, at_us: u64) -> Option<Instant> {
        match self {
            Speed::Max => None,
            Speed::Times(times) => {
                // A day is more than any answer took.
                let seconds = (at_us as f64 / 1e6 / times).min(86_400.0);
                Some(asked + Duration::from_secs_f64(seconds))
            }
        }
    }
}

impl Tape {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let (folder, wants) = match (self.which.folder(common), self.which.wants()) {
            (Ok(folder), Ok(wants)) => (folder, wants),
            (Err(exit), _) | (_, Err(exit)) => return exit,
        };
        let (stop, mut progress, mut tape) = (interruption(), Progress::new(), Record::default());
        let walked = walk::walk(
            &folder,
            &self.which.select(),
            wants,
            gather::PENDING_BYTES_MAX,
            &mut |recorded, _| {
                tape.add(&recorded);
                progress.tell(|| format!("tape: {} answers", tape.len()));
                go_on(!stop.load(Ordering::Relaxed))
            },
        );
        progress.end();
        match walked {
            Ok(walked) if walked.is_partial => return Exit::Partly,
            Ok(_) => {}
            Err(error) => {
                output::notice(&format!("firedoor: {}: {error}", folder.display()));
                return Exit::Failed;
            }
        }
        output::notice(&format!(
            "firedoor tape: {} answers; {} exchanges without a whole answer of a provider",
            tape.len(),
            tape.left_out
        ));
        if tape.over_bound > 0 {
            output::notice(&format!(
                "firedoor tape: {} answers did not fit: choose fewer with --session, --since, --route or --app",
                tape.over_bound
            ));
        }
        if tape.is_empty() {
            output::notice("firedoor tape: nothing to serve");
            return Exit::Failed;
        }
        match listen(self.listen, tape, self.speed) {
            Ok(()) => Exit::Done,
            Err(error) => {
                output::notice(&format!("firedoor tape: {}: {error}", self.listen));
                Exit::Failed
            }
        }
    }
}

struct Server {
    tape: Mutex<Record>,
    speed: Speed,
}

fn listen(address: SocketAddr, tape: Record, speed: Speed) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        output::data(&format!("{}\n", listener.local_addr()?));
        let server = Arc::new(Server { tape: Mutex::new(tape), speed });
        tokio::select! {
            never = peer::each(&listener, |stream| connection(stream, Arc::clone(&server))) => {
                match never {}
            }
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    })
}

/// One connection: request after request, until either side has enough.
async fn connection(stream: TcpStream, server: Arc<Server>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut peer = Peer::new(stream);
    loop {
        let request = match peer.read().await {
            Ok(Some(request)) => request,
            Ok(None) | Err(Broken::Gone) => return,
            Err(Broken::Refused(status, what)) => {
                let request = Request::default();
                let _ = plain(&mut peer, &request, status, what).await;
                return;
            }
        };
        let keep_alive = request.keep_alive;
        let played = match (request.method.as_str(), request.path()) {
            ("GET" | "HEAD", "/") => plain(&mut peer, &request, 200, "a tape of Firedoor").await,
            _ => match found(&server, &request) {
                Ok(answer) => play(&mut peer, &request, &answer, server.speed).await,
                Err(why) => {
                    output::notice(&format!(
                        "firedoor tape: {} {}: {why}",
                        request.method,
                        request.path()
                    ));
                    plain(&mut peer, &request, 404, &why).await
                }
            },
        };
        if played.is_err() || !keep_alive {
            peer.close().await;
            return;
        }
    }
}

fn found(server: &Server, request: &Request) -> Result<Played, String> {
    let headers = header_map(request.fields.iter().map(|(name, value)| (&**name, &**value)));
    let wanted = Wanted {
        method: &request.method,
        path: &request.target,
        headers: &headers,
        body: &request.body,
    };
    server.tape.lock().unwrap_or_else(PoisonError::into_inner).find(&wanted)
}

/// An answer of the tape's own.
async fn plain(peer: &mut Peer, request: &Request, status: u16, what: &str) -> Result<(), Gone> {
    let dialect = match request.path() {
        path if path.ends_with("/messages") => Dialect::Anthropic,
        path if path.contains("enerateContent") => Dialect::Gemini,
        path if path.contains("/model/") => Dialect::Bedrock,
        _ => Dialect::OpenaiChat,
    };
    let body = match status {
        200 => format!("{{\"service\":\"{what}\"}}\n").into_bytes(),
        status => fixed::error(dialect, status, what),
    };
    let mut out = head(status, request.keep_alive);
    let _ = write!(out, "content-type: application/json\r\nx-should-retry: false\r\n");
    let _ = write!(out, "content-length: {}\r\n\r\n", body.len());
    let mut out = out.into_bytes();
    if request.method != "HEAD" {
        out.extend_from_slice(&body);
    }
    peer.send(&out).await
}

fn head(status: u16, keep_alive: bool) -> String {
    let status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    let reason = status.canonical_reason().unwrap_or("");
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16());
    if !keep_alive {
        out.push_str("connection: close\r\n");
    }
    out
}

/// Plays an answer, each piece at its time.
async fn play(
    peer: &mut Peer,
    request: &Request,
    answer: &Played,
    speed: Speed,
) -> Result<(), Gone> {
    let asked = Instant::now();
    let mut out = head(answer.status, request.keep_alive);
    for (name, value) in answer.headers.iter() {
        // Nothing of a record may end a line of the head.
        let is_plain = |text: &str| !text.contains(['\r', '\n', '\0']);
        if is_plain(name) && is_plain(value) {
            let _ = write!(out, "{name}: {value}\r\n");
        }
    }
    let _ = write!(out, "x-firedoor-tape: {}\r\n", answer.exchange);
    let length: usize = answer.pieces.iter().map(|(_, piece)| piece.len()).sum();
    let has_body = request.method != "HEAD" && !matches!(answer.status, 100..=199 | 204 | 304);
    let framing = if !has_body {
        Framing::Bare
    } else if answer.has_length || !request.takes_chunks {
        let _ = write!(out, "content-length: {length}\r\n");
        Framing::Bare
    } else {
        out.push_str("transfer-encoding: chunked\r\n");
        Framing::Chunks
    };
    out.push_str("\r\n");
    let mut out = out.into_bytes();
    if has_body {
        for (at_us, piece) in answer.pieces.iter() {
            if let Some(due) = speed.due(asked, *at_us)
                && due > Instant::now()
            {
                peer.send(&out).await?;
                out.clear();
                peer.pause(due).await?;
            }
            push_framed(&mut out, piece, framing);
        }
        if framing == Framing::Chunks {
            out.extend_from_slice(b"0\r\n\r\n");
        }
    }
    peer.send(&out).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds() {
        assert_eq!(speed("max"), Ok(Speed::Max));
        assert_eq!(speed("2.5"), Ok(Speed::Times(2.5)));
        for bad in ["0", "-1", "fast", "inf", "NaN", ""] {
            assert!(speed(bad).is_err(), "{bad}");
        }
        let now = Instant::now();
        assert_eq!(Speed::Times(2.0).due(now, 3_000_000), Some(now + Duration::from_millis(1500)));
        assert_eq!(Speed::Max.due(now, 3_000_000), None);
    }
}
