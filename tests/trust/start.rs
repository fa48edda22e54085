//! What is refused before anything is served.

use crate::support::Process;
use std::path::Path;

const KEYED: &str = "[providers.oai]\ndialect = \"openai\"\nbase_url = \"https://api.openai.com/v1\"\n\
                     api_key = \"k\"\n\n[[routes]]\nname = \"r\"\ntargets = [{ provider = \"oai\" }]\n";

/// Runs `serve` on `routes`, which must not start; gives what it says.
pub(super) fn refused(folder: &Path, routes: &str, more: &[&str]) -> String {
    let file = folder.join("routes.toml");
    std::fs::write(&file, routes).unwrap();
    let data = folder.join("data");
    let fixed = ["serve", "--config", file.to_str().unwrap(), "--data-dir", data.to_str().unwrap()];
    let admin = ["--admin", "127.0.0.1:0"];
    let mut process = Process::firedoor(&[&fixed[..], &admin, more].concat(), &[]);
    let status = process.wait();
    assert!(!status.success(), "it started");
    // The output ends with the process.
    assert!(process.stderr.find("its end", |_| false).is_none());
    process.stderr.text()
}

/// The network, a key of ours, and nobody who has to show one of theirs.
#[test]
fn an_open_gate_with_keys_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let said = refused(folder.path(), KEYED, &["--listen", "0.0.0.0:0"]);
    assert!(said.contains("anybody could spend them") && said.contains("[apps.NAME]"), "{said}");
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80"] {
        let routes = format!("[server]\nlisten = \"{listen}\"\n\n{KEYED}");
        let said = refused(folder.path(), &routes, &[]);
        assert!(said.contains("FD0401"), "{listen}: {said}");
    }
}

/// Two processes on one state folder would each undo the other's.
#[test]
fn a_state_folder_has_one_process() {
    let gateway = crate::support::Gateway::start(KEYED);
    let data = gateway.data_dir();
    let said = refused(data.parent().unwrap(), KEYED, &["--listen", "127.0.0.1:0"]);
    assert!(said.contains("another firedoor is running"), "{said}");
    assert_eq!(gateway.admin_call("GET", "/healthz").status(), 200);
}
