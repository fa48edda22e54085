//! What is refused before anything is served.

use crate::support::{Gateway, Process};
use serde_json::{Value, json};
use std::net::TcpListener;
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
    for word in ["FD0401", "anybody could spend them", "[apps.NAME]"] {
        assert!(said.contains(word), "{said}");
    }
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

/// A gate that no lever could reach takes no request, and says why.
#[test]
fn without_an_admin_plane_it_does_not_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let routes = format!("[server]\nlisten = \"127.0.0.1:0\"\n\n{KEYED}");
    let file = folder.path().join("routes.toml");
    std::fs::write(&file, routes).unwrap();
    let data = folder.path().join("data");
    let start = || {
        let arguments = [
            "serve",
            "--config",
            file.to_str().unwrap(),
            "--data-dir",
            data.to_str().unwrap(),
            "--admin",
            &admin,
        ];
        let mut process = Process::firedoor(&arguments, &[]);
        (process.wait().success(), process.stderr.whole())
    };
    let (started, said) = start();
    assert!(!started && said.contains("cannot serve the admin plane"), "{said}");
    drop(taken);
    std::fs::write(data.join("tokens.json"), "junk").unwrap();
    let (started, said) = start();
    assert!(!started && said.contains("tokens.json"), "{said}");
}

/// What the network can reach stays shut to strangers when the file changes too.
#[test]
fn a_reload_opens_no_gate_and_empties_none() {
    let hash = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";
    let app = format!("[apps.shop]\nkey_sha256 = [\"{hash}\"]\n\n");
    let wrapper = ["sh", "-c", "exec \"$0\" \"$@\" --listen 0.0.0.0:0"];
    let gateway = Gateway::start_under(&wrapper, &(app.clone() + KEYED), &[]);
    let reload = || gateway.admin_send("POST", "/api/v1/reload", &json!({}));
    // What is said of it has a code, of which there is more to read.
    let refused = |why: &str, code: &str, more: &str| {
        let answer = reload();
        assert_eq!(answer.status(), 422, "{}", answer.text());
        let told: Value = serde_json::from_str(&answer.text()).unwrap();
        let found = &told["diagnostics"][0];
        assert!(found["message"].as_str().unwrap().contains(why), "{told}");
        assert_eq!((&found["code"], &found["severity"]), (&json!(code), &json!("error")), "{told}");
        let (explained, _) = ran(&["explain", code]);
        assert!(explained.contains(more), "{explained}");
    };
    gateway.write_config(KEYED);
    refused("anybody could spend them", "FD0401", "whoever finds the port");
    std::fs::write(gateway.config(), "\n").unwrap();
    refused("it is empty", "FD0003", "keeps the table that it has");
    gateway.write_config(&(app + KEYED + "\n"));
    assert_eq!(reload().status(), 200);
}

/// What a command says that does its work, on standard output and on standard error.
fn ran(arguments: &[&str]) -> (String, String) {
    let mut process = Process::firedoor(arguments, &[]);
    assert!(process.wait().success(), "{arguments:?}");
    (process.stdout.whole(), process.stderr.whole())
}

/// An empty file is a start, and no reload: whoever checks one is told both.
#[test]
fn a_check_of_an_empty_file_says_what_a_reload_does() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    for (text, code, is_kept) in
        [("", "FD0003", true), (" \n", "FD0003", true), ("# soon\n", "FD0507", false)]
    {
        std::fs::write(&file, text).unwrap();
        let (_, said) = ran(&["check", file.to_str().unwrap()]);
        assert!(said.contains(&format!("warning[{code}]")) && said.contains("good;"), "{said}");
        assert_eq!(said.contains("refuses the reload"), is_kept, "{said}");
    }
    let gateway = Gateway::start(" \n");
    let again = gateway.admin_send("POST", "/api/v1/reload", &json!({}));
    assert_eq!(again.status(), 200, "what is live is no change: {}", again.text());
}
