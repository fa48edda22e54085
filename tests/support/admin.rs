//! What operators see of a running gateway, asked through its unix socket.

use super::{Answer, End, Gateway, Head, wait_for};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// One call of the admin API through the unix socket in `folder`.
pub fn admin_send(
    folder: &Path,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
    body: Option<&str>,
) -> Result<Answer, End> {
    let gone = |_| End::Closed;
    let mut socket = UnixStream::connect(folder.join("admin.sock")).map_err(gone)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: local\r\nconnection: close\r\n");
    for (name, value) in fields {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    if body.is_some() || method == "POST" {
        let length = body.map_or(0, str::len);
        write!(head, "content-type: application/json\r\ncontent-length: {length}\r\n").unwrap();
    }
    let whole = format!("{head}\r\n{}", body.unwrap_or(""));
    socket.write_all(whole.as_bytes()).map_err(gone)?;
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
    let length = answer.head.field("content-length").and_then(|length| length.parse().ok());
    // A process that was killed in the middle of its answer has not given one.
    if length.is_some_and(|length: usize| length != answer.body.len()) {
        return Err(End::Closed);
    }
    Ok(answer)
}

impl Gateway {
    /// One call of the admin API through the unix socket, as an admin.
    pub fn admin_call(&self, method: &str, path: &str) -> Answer {
        self.try_admin_call(method, path).unwrap_or_else(|end| panic!("{method} {path}: {end:?}"))
    }

    /// Pulls a lever and gives its id: `what` is the call's body without reason and author.
    pub fn pull(&self, mut what: Value) -> String {
        what["reason"] = "a test".into();
        what["author"] = "test".into();
        let answer = self.admin_send("POST", "/api/v1/levers", &what);
        assert!(matches!(answer.status(), 200 | 201), "{}", answer.text());
        let said = answer.json();
        let id = said["id"].as_str().or_else(|| said["lever"]["id"].as_str());
        id.unwrap_or_else(|| panic!("a lever has an id: {said}")).to_owned()
    }

    /// Lifts a lever.
    pub fn lift(&self, id: &str) {
        let why = serde_json::json!({ "reason": "a test", "author": "test" });
        let answer = self.admin_send("DELETE", &format!("/api/v1/levers/{id}"), &why);
        assert!(matches!(answer.status(), 200 | 204), "{}", answer.text());
    }

    /// The same, for a gateway that may be on its way out.
    pub fn try_admin_call(&self, method: &str, path: &str) -> Result<Answer, End> {
        admin_send(&self.data_dir(), method, path, &[], None)
    }

    /// A call with a JSON body.
    pub fn admin_send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.admin_send_with(method, path, &[], body)
    }

    /// The same with header fields.
    pub fn admin_send_with(
        &self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        admin_send(&self.data_dir(), method, path, fields, Some(&body.to_string()))
            .unwrap_or_else(|end| panic!("{method} {path}: {end:?}"))
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
