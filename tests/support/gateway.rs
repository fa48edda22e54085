//! The gateway as a process of its own.

use super::{Process, wait_for};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A pack `own` whose one rule hides the words `zebra crossing` in an answer.
pub const ZEBRA: &str = r#"pack = "own"
[[rule]]
id = "hidden"
channels = ["answer"]
match = { words = ["zebra crossing"] }
action = "redact"
on_error = "cut"
"#;

/// `firedoor serve` on free ports, with a configuration and a data folder of its own.
pub struct Gateway {
    /// The process.
    pub process: Process,
    /// Where applications connect.
    pub data: SocketAddr,
    /// Where operators connect.
    pub admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts the gateway with `routes` as its configuration and waits until it listens.
    ///
    /// Addresses and `data_dir` are put into `[server]`, which `routes` may leave out.
    pub fn start(routes: &str) -> Gateway {
        Gateway::start_with(routes, &[])
    }

    /// The same, with environment variables.
    pub fn start_with(routes: &str, variables: &[(&str, &str)]) -> Gateway {
        Gateway::start_under(&[], routes, variables)
    }

    /// The same, started by a `wrapper` that ends by executing its arguments.
    pub fn start_under(wrapper: &[&str], routes: &str, variables: &[(&str, &str)]) -> Gateway {
        Gateway::start_in(tempfile::tempdir().unwrap(), wrapper, routes, variables)
    }

    /// Starts it with `pack` among its packs.
    pub fn start_with_pack(pack: &str, routes: &str) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("filters")).unwrap();
        std::fs::write(folder.path().join("filters/own.toml"), pack).unwrap();
        Gateway::start_in(folder, &[], routes, &[])
    }

    fn start_in(
        folder: tempfile::TempDir,
        wrapper: &[&str],
        routes: &str,
        variables: &[(&str, &str)],
    ) -> Gateway {
        let config = folder.path().join("routes.toml");
        std::fs::write(&config, completed(routes, folder.path())).unwrap();
        let process = launch(wrapper, &config, &[], variables);
        Gateway::listening(process, folder)
            .unwrap_or_else(|(_, said)| panic!("the gateway ended at once: {said}"))
    }

    /// Waits until `process` listens; else how it ended and what it said.
    fn listening(
        mut process: Process,
        folder: tempfile::TempDir,
    ) -> Result<Gateway, (Ended, String)> {
        let listen = folder.path().join("data").join("listen.json");
        let found = wait_for("listen.json", || {
            if let Some(status) = process.ended() {
                return Some(Err(status.code()));
            }
            addresses(&listen, process.id()).map(Ok)
        });
        match found {
            Ok((data, admin)) => Ok(Gateway { process, data, admin, folder }),
            Err(code) => {
                let said = process.stderr.whole();
                Err((Ended { code, folder }, said))
            }
        }
    }

    /// Starts it again on the same configuration and state, after its process was killed or has
    /// ended; `more` goes behind `serve`. Ports are new.
    ///
    /// # Errors
    /// It ended at once: how, and what it said.
    pub fn again(
        mut self,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Gateway, (Ended, String)> {
        self.process.kill();
        let config = self.config();
        let Gateway { process, folder, .. } = self;
        drop(process);
        Gateway::listening(launch(&[], &config, more, variables), folder)
    }

    /// The same, of which the test expects that it starts.
    #[must_use]
    pub fn restarted(self) -> Gateway {
        self.again(&[], &[]).unwrap_or_else(|(_, said)| panic!("the gateway ended at once: {said}"))
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Replaces the configuration file in one step; the caller says when to read it.
    pub fn write_config(&self, routes: &str) {
        let next = self.folder.path().join("routes.toml.next");
        std::fs::write(&next, completed(routes, self.folder.path())).unwrap();
        std::fs::rename(next, self.config()).unwrap();
    }

    /// The first admin's token.
    pub fn admin_token(&self) -> String {
        let file = self.data_dir().join("admin.token");
        wait_for("the admin's token", || std::fs::read_to_string(&file).ok()).trim().to_owned()
    }
}

/// A gateway that did not start.
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    folder: tempfile::TempDir,
}

impl Ended {
    /// Its data folder.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Tries once more.
    ///
    /// # Errors
    /// It ended at once again.
    pub fn again(self, more: &[&str]) -> Result<Gateway, (Ended, String)> {
        let config = self.folder.path().join("routes.toml");
        Gateway::listening(launch(&[], &config, more, &[]), self.folder)
    }
}

fn launch(wrapper: &[&str], config: &Path, more: &[&str], variables: &[(&str, &str)]) -> Process {
    let arguments = [&["serve", "--config", config.to_str().unwrap()], more].concat();
    Process::firedoor_under(wrapper, &arguments, variables)
}

/// The first addresses in `listen.json`; `None` while the process `id` has not written it.
fn addresses(file: &Path, id: u32) -> Option<(SocketAddr, SocketAddr)> {
    let text = std::fs::read_to_string(file).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    let address = |name: &str| {
        let named = &value[name];
        named.as_str().or_else(|| named[0].as_str())?.parse().ok()
    };
    (value["pid"] == id).then_some((address("data")?, address("admin")?))
}

/// `routes` with free ports and a data folder under `folder`.
fn completed(routes: &str, folder: &Path) -> String {
    let data = folder.join("data");
    let server = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata_dir = '{}'\n",
        data.display()
    );
    if routes.contains("[server]\n") {
        routes.replacen("[server]\n", &server, 1)
    } else {
        format!("{server}\n{routes}")
    }
}
