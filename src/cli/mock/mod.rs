//! `firedoor mock`: a simulated provider, for tests, rehearsals and applications under
//! development.
//!
//! It speaks plain HTTP/1.1 on bare sockets, because what it is for is to misbehave exactly:
//! resets, stalls, lying lengths and broken chunks come out as the script says, frame for frame.
//! What an answer does is a script (`docs/mock.md`), taken from `--spec`, then the prompt, then
//! the header `x-mock`. With `--tape` it answers with recorded bodies. `GET /stats` and
//! `GET /requests` tell what arrived; credentials are never told, only a prefix of their hash.
//!
//! What it cannot do: TLS, HTTP/2. It is no place for real credentials, and by default it only
//! listens on the loopback.

pub(super) mod fixed;
mod ledger;
pub(super) mod peer;
pub(super) mod play;
mod route;
mod tape;

use super::{Exit, output};
use crate::exchange::simulated::{Script, ScriptError};
use crate::proxy::stream::bound_unsent;
use ledger::Ledger;
use peer::{Broken, Peer};
use play::Ending;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::net::{TcpListener, TcpStream};

/// Run a simulated provider: all dialects, plain HTTP, scripted answers and faults
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen; port 0 takes a free one. The address is the first line of stdout
    #[arg(long, default_value = "127.0.0.1:4810", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// What answers do unless the prompt says otherwise, such as `tokens=200,itl_ms=10`
    #[arg(long, default_value = "", value_name = "SCRIPT")]
    pub spec: String,
    /// Wait before the first byte of each answer, in milliseconds
    #[arg(long, value_name = "MS")]
    pub ttft_ms: Option<u32>,
    /// Wait between two pieces of text, in milliseconds
    #[arg(long, value_name = "MS")]
    pub itl_ms: Option<u32>,
    /// A folder of recorded bodies; a request with `x-tape: NAME` gets that one
    #[arg(long, value_name = "FOLDER")]
    pub tape: Option<PathBuf>,
}

/// How a simulated provider behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What answers do unless the request says otherwise.
    pub script: Script,
    /// Where recorded bodies lie.
    pub tape: Option<PathBuf>,
}

impl Args {
    /// The behaviour that the arguments ask for.
    ///
    /// # Errors
    /// What is wrong with `--spec`.
    pub fn options(&self) -> Result<Options, ScriptError> {
        let mut script = Script::default().with(&self.spec)?;
        let waits = [("ttft_ms", self.ttft_ms), ("itl_ms", self.itl_ms)];
        for (key, value) in waits {
            if let Some(value) = value {
                script = script.with(&format!("{key}={value}"))?;
            }
        }
        Ok(Options { script, tape: self.tape.clone() })
    }
}

/// Runs the subcommand: binds, prints the address on stdout, serves until it is killed.
pub fn run(args: &Args) -> Exit {
    let options = match args.options() {
        Ok(options) => options,
        Err(error) => {
            output::notice(&format!("firedoor mock: {error}"));
            return Exit::Usage;
        }
    };
    match listen(args.listen, options) {
        Ok(()) => Exit::Done,
        Err(error) => {
            output::notice(&format!("firedoor mock: {}: {error}", args.listen));
            Exit::Failed
        }
    }
}

fn listen(address: SocketAddr, options: Options) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        bound_unsent(&listener);
        output::data(&format!("{}\n", listener.local_addr()?));
        serve(listener, options).await
    })
}

/// Serves on `listener` for ever; dropping the future closes every connection.
///
/// # Errors
/// None today: a failure to accept is waited out.
pub async fn serve(listener: TcpListener, options: Options) -> io::Result<()> {
    let server = Arc::new(Server { options, ledger: Ledger::default() });
    match peer::each(&listener, |stream| connection(stream, Arc::clone(&server))).await {}
}

/// What all connections share.
#[derive(Debug)]
struct Server {
    options: Options,
    ledger: Ledger,
}

/// One connection: request after request, until either side has enough.
async fn connection(stream: TcpStream, server: Arc<Server>) {
    let ledger = &server.ledger;
    ledger.connections.fetch_add(1, Relaxed);
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut peer = Peer::new(stream);
    loop {
        let request = match peer.read().await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(broken) => {
                ledger.broken.fetch_add(1, Relaxed);
                if let Broken::Refused(status, what) = broken {
                    let play = route::unreadable(status, what);
                    // The connection ends here whatever becomes of the answer.
                    let _ = play::play(&mut peer, play).await;
                }
                return;
            }
        };
        let _open = ledger.open(&request);
        let play = route::answer(&server, request).await;
        match play::play(&mut peer, play).await {
            Ending::KeepAlive => {}
            Ending::Closed => return,
            Ending::ClientGone => {
                ledger.aborted.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}
