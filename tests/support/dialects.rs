//! One request of each dialect, and what its error bodies and endings look like.

use super::{Answer, Gateway};
use firedoor::wire::Dialect;
use serde_json::{Value, json};

/// A dialect and how it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The dialect.
    pub dialect: Dialect,
    /// The provider and route in [`routes_to`].
    pub provider: &'static str,
}

/// The dialects whose streams are text; `tests/bedrock.rs` has the binary one.
pub const CASES: [Case; 4] = [
    Case { dialect: Dialect::OpenaiChat, provider: "oai" },
    Case { dialect: Dialect::OpenaiResponses, provider: "oai" },
    Case { dialect: Dialect::Anthropic, provider: "ant" },
    Case { dialect: Dialect::Gemini, provider: "gem" },
];

/// One route, to the simulated model that is built in.
pub const SIMULATED: &str = "[providers.sim]\ndialect = \"simulated\"\n\n[[routes]]\nname = \"all\"\n\
                             targets = [{ provider = \"sim\" }]\n";

/// One provider and route for each family, all served at `url`; `more` goes into each route.
pub fn routes_to(url: &str, more: &str) -> String {
    let one = |name: &str, dialect: &str, base: &str, takes: &str| {
        format!(
            "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{base}\"\n\n\
             [[routes]]\nname = \"{name}\"\nmatch = {{ dialect = [{takes}] }}\n\
             targets = [{{ provider = \"{name}\" }}]\n{more}\n\n"
        )
    };
    one("oai", "openai", &format!("{url}/v1"), "\"openai-chat\", \"openai-responses\"")
        + &one("ant", "anthropic", url, "\"anthropic\"")
        + &one("gem", "gemini", url, "\"gemini\"")
}

/// The pieces of a body of server-sent events, each with its blank line.
pub fn frames(body: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(body).into_owned();
    text.split_inclusive("\n\n").map(str::to_owned).collect()
}

impl Case {
    /// Where a request goes.
    pub fn target(&self, model: &str, stream: bool) -> String {
        match (self.dialect, stream) {
            (Dialect::OpenaiChat, _) => "/v1/chat/completions".to_owned(),
            (Dialect::OpenaiResponses, _) => "/v1/responses".to_owned(),
            (Dialect::Anthropic, _) => "/v1/messages".to_owned(),
            (Dialect::Gemini, true) => {
                format!("/v1beta/models/{model}:streamGenerateContent?alt=sse")
            }
            (Dialect::Gemini, false) => format!("/v1beta/models/{model}:generateContent"),
            (Dialect::Bedrock, true) => format!("/model/{model}/converse-stream"),
            (Dialect::Bedrock, false) => format!("/model/{model}/converse"),
        }
    }

    /// A request's body.
    pub fn body(&self, model: &str, prompt: &str, stream: bool) -> String {
        let said = json!([{ "role": "user", "content": prompt }]);
        let body = match self.dialect {
            Dialect::OpenaiChat => json!({ "model": model, "stream": stream, "messages": said }),
            Dialect::OpenaiResponses => {
                json!({ "model": model, "stream": stream, "input": prompt })
            }
            Dialect::Anthropic => {
                json!({ "model": model, "stream": stream, "max_tokens": 64, "messages": said })
            }
            Dialect::Gemini => {
                json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] })
            }
            Dialect::Bedrock => {
                json!({ "messages": [{ "role": "user", "content": [{ "text": prompt }] }] })
            }
        };
        body.to_string()
    }

    /// Sends a request on a connection of its own; `script` is the simulated provider's.
    pub fn ask(&self, gateway: &Gateway, script: &str, stream: bool) -> super::Client {
        self.ask_with(gateway, &[("x-mock", script)], stream)
    }

    /// The same with any headers.
    pub fn ask_with(
        &self,
        gateway: &Gateway,
        fields: &[(&str, &str)],
        stream: bool,
    ) -> super::Client {
        let mut client = super::Client::connect(gateway.data);
        let all = [&[("content-type", "application/json")], fields].concat();
        let body = self.body("m", "hello", stream);
        client.request("POST", &self.target("m", stream), &all, body.as_bytes());
        client
    }

    /// Checks a whole error of ours: status, body in the dialect, headers, record.
    pub fn assert_refused(&self, gateway: &Gateway, answer: &Answer, status: u16, code: &str) {
        let who = format!("{self:?}: {answer:?}");
        assert_eq!(answer.status(), status, "{who}");
        assert_eq!(answer.head.field("content-type"), Some("application/json"), "{who}");
        let error = &answer.json()["error"];
        let message = error["message"].as_str().unwrap();
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        assert!(message.ends_with(&format!("(ref {id})")), "{who}");
        let record = gateway.exchange(id);
        assert_eq!(record["outcome"], "refused", "{record}");
        assert_eq!(record["class"], code, "{record}");
        assert_eq!(record["status"], status, "{record}");
        self.assert_error(&answer.json(), code);
        let is_transient = status >= 500;
        assert_eq!(answer.head.field("x-should-retry").is_none(), is_transient, "{who}");
        assert_eq!(answer.head.field("retry-after").is_some(), status == 503, "{who}");
    }

    /// Checks that a stream ends as the dialect ends on an error of ours; gives what came before.
    pub fn assert_cut(&self, gateway: &Gateway, answer: &Answer, code: &str) -> Vec<String> {
        assert_eq!(answer.status(), 200, "{self:?}: {answer:?}");
        let mut all = frames(&answer.body);
        let shown = format!("{self:?}: {all:?}");
        let mut last = || all.pop().unwrap_or_else(|| panic!("{shown}"));
        let (event, data) = match self.dialect {
            Dialect::OpenaiChat => {
                assert_eq!(last(), "data: [DONE]\n\n", "{shown}");
                parts(&last())
            }
            Dialect::Anthropic | Dialect::Gemini => parts(&last()),
            Dialect::Bedrock => panic!("its frames are binary: tests/bedrock.rs reads them"),
            Dialect::OpenaiResponses => {
                let (event, error) = parts(&last());
                assert_eq!(event, "error", "{shown}");
                assert_eq!(error["code"], code, "{shown}");
                let (event, failed) = parts(&last());
                assert_eq!(event, "response.failed", "{shown}");
                assert_eq!(failed["response"]["status"], "failed", "{shown}");
                let sequence = failed["sequence_number"].as_u64().unwrap();
                assert_eq!(error["sequence_number"], sequence + 1, "{shown}");
                (String::new(), error)
            }
        };
        if self.dialect == Dialect::Anthropic {
            assert_eq!(event, "error", "{shown}");
        }
        self.assert_error(&data, code);
        let id = answer.head.field("x-firedoor-exchange").unwrap();
        let record = gateway.exchange(id);
        assert_eq!(record["outcome"], "cut", "{record}");
        assert_eq!(record["class"], code, "{record}");
        // What came before are the provider's own frames, whole.
        for frame in &all {
            assert!(frame.ends_with("\n\n"), "{shown}");
            assert!(!frame.contains("firedoor_"), "{shown}");
        }
        all
    }

    /// Checks an error object in the dialect.
    fn assert_error(&self, body: &Value, code: &str) {
        let (anthropic, gemini) = match code {
            "firedoor_unavailable" => ("overloaded_error", (503, "UNAVAILABLE")),
            "firedoor_bad_gateway" => ("api_error", (502, "INTERNAL")),
            "firedoor_timeout" => ("timeout_error", (504, "DEADLINE_EXCEEDED")),
            "invalid_api_key" => ("authentication_error", (401, "UNAUTHENTICATED")),
            "model_not_found" => ("not_found_error", (404, "NOT_FOUND")),
            "firedoor_bad_request" => ("invalid_request_error", (400, "INVALID_ARGUMENT")),
            // At the end of a stream.
            "firedoor_blocked" | "firedoor_killed" => {
                ("permission_error", (403, "PERMISSION_DENIED"))
            }
            other => panic!("unknown code {other}"),
        };
        let error = &body["error"];
        assert!(error["message"].is_string(), "{body}");
        match self.dialect {
            Dialect::OpenaiChat | Dialect::OpenaiResponses => {
                assert_eq!(error["code"], code, "{body}");
            }
            Dialect::Anthropic => {
                assert_eq!(body["type"], "error", "{body}");
                assert_eq!(error["type"], anthropic, "{body}");
            }
            Dialect::Bedrock => panic!("its errors have no `error`: tests/bedrock.rs reads them"),
            Dialect::Gemini => {
                assert_eq!(error["code"], gemini.0, "{body}");
                assert_eq!(error["status"], gemini.1, "{body}");
            }
        }
    }

    /// Checks that a stream is whole, as the dialect ends one.
    pub fn assert_whole(&self, answer: &Answer) {
        assert_eq!(answer.status(), 200, "{self:?}: {answer:?}");
        let all = frames(&answer.body);
        // Gemini may tell the usage behind its last candidate.
        let last = all[all.len().saturating_sub(2)..].concat();
        let mark = match self.dialect {
            Dialect::OpenaiChat => "[DONE]",
            Dialect::OpenaiResponses => "response.completed",
            Dialect::Anthropic => "message_stop",
            Dialect::Gemini => "finishReason",
            Dialect::Bedrock => "messageStop",
        };
        assert!(last.contains(mark), "{self:?}: {last:?}");
    }
}

/// A frame's event and data.
fn parts(frame: &str) -> (String, Value) {
    let field = |name: &str| {
        let line = frame.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).unwrap_or_default().to_owned()
    };
    let data = field("data:");
    let value = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {frame:?}"));
    (field("event:"), value)
}
