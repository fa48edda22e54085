//! Simulated providers: as a process, or inside the test's own.

use super::Process;
use firedoor::cli::mock::{Options, serve};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// A provider that refuses every connection.
///
/// A port that was free a moment ago may be another test's by now; the lowest one is nobody's.
pub const NOBODY: &str = "http://127.0.0.1:1";

/// `firedoor mock` on a free port.
pub struct MockProcess {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl MockProcess {
    /// Starts it with further `arguments` and waits until it listens.
    pub fn start(arguments: &[&str]) -> MockProcess {
        let all = [&["mock", "--listen", "127.0.0.1:0"], arguments].concat();
        let process = Process::firedoor(&all, &[]);
        let line = process.stdout.find("the provider's address", |_| true);
        let Some(address) = line.and_then(|line| line.trim().parse().ok()) else {
            panic!("`firedoor mock` gave no address: {}", process.stderr.text());
        };
        MockProcess { process, address }
    }

    /// Its base URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A provider on a thread of this process, stopped on drop.
pub struct MockServer {
    /// Where it listens.
    pub address: SocketAddr,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl MockServer {
    /// A provider with the default script and no tapes.
    pub fn start() -> MockServer {
        MockServer::start_with(Options::default())
    }

    /// A provider that plays the recordings under `folder`.
    pub fn with_tape(folder: &Path) -> MockServer {
        MockServer::start_with(Options { tape: Some(folder.to_owned()), ..Options::default() })
    }

    /// A provider that behaves as `options` say.
    pub fn start_with(options: Options) -> MockServer {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (bound, address) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                bound.send(listener.local_addr().unwrap()).unwrap();
                tokio::select! {
                    served = serve(listener, options) => served.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        MockServer { address: address.recv().unwrap(), stop: Some(stop), thread: Some(thread) }
    }

    /// Its base URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for MockServer {
    fn drop(&mut self) {
        // The thread may have failed already, and then says so itself.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
