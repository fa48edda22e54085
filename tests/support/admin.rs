//! What operators see of a running gateway, asked through its unix socket.

use super::{Answer, End, Gateway, Head, wait_for};
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

impl Gateway {
    /// One call of the admin API through the unix socket, as an admin.
    pub fn admin_call(&self, method: &str, path: &str) -> Answer {
        self.try_admin_call(method, path).unwrap_or_else(|end| panic!("{method} {path}: {end:?}"))
    }

    /// Pulls a lever and gives its id: `what` is the call's body without reason and author.
    pub fn pull(&self, mut what: Value) -> String {
        what["reason"] = "a test".into();
        what["author"] = "test".into();
        let answer = self.admin_send("POST", "/api/v1/levers", &what.to_string()).unwrap();
        assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
        let said = answer.json();
        let id = said["id"].as_str().or_else(|| said["lever"]["id"].as_str());
        id.unwrap_or_else(|| panic!("a lever has an id: {said}")).to_owned()
    }

    /// Lifts a lever.
    pub fn lift(&self, id: &str) {
        let why = r#"{"reason":"a test","author":"test"}"#;
        let answer = self.admin_send("DELETE", &format!("/api/v1/levers/{id}"), why).unwrap();
        assert!(matches!(answer.status(), 200 | 204), "{}", answer.text());
    }

    /// The same, for a gateway that may be on its way out.
    pub fn try_admin_call(&self, method: &str, path: &str) -> Result<Answer, End> {
        self.admin_send(method, path, "")
    }

    fn admin_send(&self, method: &str, path: &str, body: &str) -> Result<Answer, End> {
        let gone = |_| End::Closed;
        let mut socket = UnixStream::connect(self.data_dir().join("admin.sock")).map_err(gone)?;
        let head = format!("{method} {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n");
        let length = match (method, body.len()) {
            ("GET", _) => String::new(),
            (_, 0) => "content-length: 0\r\n".to_owned(),
            (_, length) => {
                format!("content-type: application/json\r\ncontent-length: {length}\r\n")
            }
        };
        socket.write_all(format!("{head}{length}\r\n{body}").as_bytes()).map_err(gone)?;
        let mut raw = Vec::new();
        socket.read_to_end(&mut raw).map_err(gone)?;
        let end = raw.windows(4).position(|window| window == b"\r\n\r\n").ok_or(End::Closed)?;
        let body = raw.split_off(end + 4);
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok());
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.trim().to_owned()))
        };
        let status = status.ok_or_else(|| End::Malformed(text.clone()))?;
        let head = Head { status, fields: lines.filter_map(field).collect(), raw };
        let answer = Answer { head, body };
        assert!(!answer.head.is_chunked(), "{method} {path}: answers of the API are whole");
        Ok(answer)
    }

    /// A `GET` of the admin API.
    pub fn admin_json(&self, path: &str) -> Value {
        self.admin_call("GET", path).json()
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        self.admin_call("GET", "/metrics").text()
    }

    /// The sum of a whole-numbered metric over the series whose labels hold `labels`.
    pub fn metric(&self, name: &str, labels: &str) -> u64 {
        let text = self.metrics();
        let value = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let rest = series.strip_prefix(name)?;
            let is_it = (rest.is_empty() || rest.starts_with('{')) && rest.contains(labels);
            is_it.then(|| value.parse::<u64>().unwrap())
        };
        text.lines().filter_map(value).sum()
    }

    /// What is on record of an exchange, once it is over.
    pub fn exchange(&self, id: &str) -> Value {
        let path = format!("/api/v1/exchanges/{id}");
        wait_for("the exchange's record", || {
            let answer = self.admin_call("GET", &path);
            (answer.status() == 200).then(|| answer.json())
        })
    }

    /// The newest finished exchanges, newest first.
    pub fn exchanges(&self) -> Vec<Value> {
        self.admin_json("/api/v1/exchanges?limit=500")["items"].as_array().unwrap().clone()
    }

    /// The state of a target's circuit; `None` if it was not used yet.
    pub fn circuit(&self, target: &str) -> Option<String> {
        let status = self.admin_json("/api/v1/status");
        let found = status["targets"].as_array()?.iter().find(|one| one["target"] == target)?;
        found["state"].as_str().map(str::to_owned)
    }

    /// Waits until no exchange is under way.
    pub fn wait_idle(&self) {
        wait_for("the end of all exchanges", || {
            (self.admin_json("/api/v1/status")["open_exchanges"] == 0).then_some(())
        });
    }
}
