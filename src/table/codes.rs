//! The catalogue: every code that a diagnostic can have, with what it means and an example.
//!
//! A code never changes its meaning and is never given again. Codes go by kind: `FD00..` files,
//! `FD01..` values, `FD02..` names of things elsewhere, `FD03..` references, `FD04..` dangers,
//! `FD05..` warnings. Tests hold that each example has its code and that each mended one has not.

use super::diagnostic::Severity;

/// What is known of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// Why it is wrong and what to do.
    pub explanation: &'static str,
    /// A file that has it; empty where no text can show it.
    pub wrong: &'static str,
    /// The same file, mended.
    pub right: &'static str,
}

/// The entry of `code`; case does not count.
pub fn explain(code: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.code.eq_ignore_ascii_case(code.trim()))
}

/// The code that was probably meant.
pub fn nearest(code: &str) -> Option<&'static str> {
    super::reader::nearest(code.trim(), ALL.iter().map(|entry| entry.code))
}

/// How bad `code` is, as the catalogue says; an error where it does not.
pub(super) fn severity(code: &str) -> Severity {
    explain(code).map_or(Severity::Error, |entry| entry.severity)
}

/// The file cannot be read.
pub const UNREADABLE: &str = "FD0001";
/// The file is too large.
pub const TOO_LARGE: &str = "FD0002";
/// The file is not TOML.
pub const SYNTAX: &str = "FD0100";
/// A key is set twice.
pub const DUPLICATE_KEY: &str = "FD0101";
/// Unknown key.
pub const UNKNOWN_KEY: &str = "FD0102";
/// A value of the wrong kind.
pub const WRONG_TYPE: &str = "FD0103";
/// A key is missing.
pub const MISSING_KEY: &str = "FD0104";
/// An empty value.
pub const EMPTY: &str = "FD0105";
/// A number out of range.
pub const OUT_OF_RANGE: &str = "FD0106";
/// Unknown word.
pub const UNKNOWN_WORD: &str = "FD0107";
/// A name that cannot be used.
pub const BAD_NAME: &str = "FD0108";
/// Something is named twice.
pub const DUPLICATE: &str = "FD0109";
/// Not an address to listen on.
pub const BAD_ADDRESS: &str = "FD0110";
/// Not a base URL.
pub const BAD_URL: &str = "FD0111";
/// Not a pattern.
pub const BAD_PATTERN: &str = "FD0112";
/// Not the SHA-256 of a key.
pub const BAD_HASH: &str = "FD0113";
/// A header that cannot be set.
pub const BAD_HEADER: &str = "FD0114";
/// A credential that cannot be sent.
pub const BAD_CREDENTIAL: &str = "FD0115";
/// Not a query.
pub const BAD_QUERY: &str = "FD0116";
/// A key that means nothing here.
pub const NOT_HERE: &str = "FD0117";
/// Too many parts.
pub const TOO_MANY: &str = "FD0118";
/// No such provider.
pub const UNKNOWN_PROVIDER: &str = "FD0201";
/// No such app.
pub const UNKNOWN_APP: &str = "FD0202";
/// Unknown pack.
pub const UNKNOWN_PACK: &str = "FD0203";
/// A key of two apps.
pub const SHARED_KEY: &str = "FD0204";
/// A dialect that no target speaks.
pub const NOT_SPOKEN: &str = "FD0205";
/// A variable is not set.
pub const MISSING_VARIABLE: &str = "FD0301";
/// A referenced file is missing.
pub const MISSING_FILE: &str = "FD0302";
/// A reference that cannot be read.
pub const BAD_REFERENCE: &str = "FD0303";
/// A reference cannot be looked up.
pub const UNREADABLE_REFERENCE: &str = "FD0304";
/// An open gate that would spend your credential.
pub const OPEN_GATE: &str = "FD0401";
/// A limit that is not in force yet.
pub const NOT_IN_FORCE: &str = "FD0501";
/// A target that does not speak what the route takes.
pub const SKIPPED_TARGET: &str = "FD0502";
/// A route that is never reached.
pub const UNREACHABLE_ROUTE: &str = "FD0503";
/// A credential in the clear.
pub const CLEAR_TEXT: &str = "FD0504";
/// A credential in the file.
pub const LITERAL_CREDENTIAL: &str = "FD0505";
/// A version that comes twice.
pub const DOUBLED_VERSION: &str = "FD0506";
/// Nothing is served.
pub const NOTHING_SERVED: &str = "FD0507";

/// Every code, in order.
pub const ALL: &[Entry] = &[
    Entry {
        code: UNREADABLE,
        severity: Severity::Error,
        title: "the file cannot be read",
        explanation: "The file does not exist, is not UTF-8, or its permissions forbid it. Nothing \
                     else was checked.",
        wrong: "",
        right: "",
    },
    Entry {
        code: TOO_LARGE,
        severity: Severity::Error,
        title: "the file is too large",
        explanation: "A routes file is at most 4 MiB. It was not read.",
        wrong: "",
        right: "",
    },
    Entry {
        code: SYNTAX,
        severity: Severity::Error,
        title: "the file is not TOML",
        explanation: "The grammar of TOML 1.0 is broken at this place. What stands behind a mistake of \
                     grammar is read as far as it can be understood, so more may come to light once \
                     it is mended. Strings need quotes; a table is `[name]`, an entry of a list of \
                     tables `[[name]]`.",
        wrong: r#"[server]
listen = 127.0.0.1:4800
"#,
        right: r#"[server]
listen = "127.0.0.1:4800"
"#,
    },
    Entry {
        code: DUPLICATE_KEY,
        severity: Severity::Error,
        title: "a key is set twice",
        explanation: "TOML allows a key once in a table, and a table once in a file.",
        wrong: r#"[server]
workers = 2
workers = 4
"#,
        right: r#"[server]
workers = 4
"#,
    },
    Entry {
        code: UNKNOWN_KEY,
        severity: Severity::Error,
        title: "unknown key",
        explanation: "The file is read strictly: a key that is not known would be without effect, and \
                     the slip that made it would be found in an emergency. docs/routes.md lists every \
                     key.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_kye = "${OPENAI_API_KEY:-}"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: WRONG_TYPE,
        severity: Severity::Error,
        title: "a value of the wrong kind",
        explanation: "The key is known, but its value is of another kind: a string where a number \
                     belongs, one thing where a list belongs.",
        wrong: r#"[server]
workers = "4"
"#,
        right: r#"[server]
workers = 4
"#,
    },
    Entry {
        code: MISSING_KEY,
        severity: Severity::Error,
        title: "a key is missing",
        explanation: "This part of the file cannot mean anything without the key.",
        wrong: r#"[[routes]]
name = "all"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: EMPTY,
        severity: Severity::Error,
        title: "an empty value",
        explanation: "The value is empty or blank, or the reference that it comes from is. Leave a key \
                     out to take its default. The one string that may be empty is `api_key`: then the \
                     caller's own credential is passed through.",
        wrong: r#"[server]
data_dir = ""
"#,
        right: r#"[server]
data_dir = "firedoor-data"
"#,
    },
    Entry {
        code: OUT_OF_RANGE,
        severity: Severity::Error,
        title: "a number out of range",
        explanation: "The number is smaller or larger than can be meant. To stop an app or a target \
                     for a while, pull a lever instead of writing 0.",
        wrong: r#"[server]
workers = 0
"#,
        right: r#"[server]
workers = 4
"#,
    },
    Entry {
        code: UNKNOWN_WORD,
        severity: Severity::Error,
        title: "unknown word",
        explanation: "The value is one of a closed set of words, and this is none of them. The dialect \
                     of a provider is what it speaks, not who it is: most speak `openai`.",
        wrong: r#"[providers.openai]
dialect = "opnai"
base_url = "https://api.openai.com/v1"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"#,
    },
    Entry {
        code: BAD_NAME,
        severity: Severity::Error,
        title: "a name that cannot be used",
        explanation: "Names of providers stand in paths (`/NAME/v1/...`), names of apps and routes in \
                     headers, labels and scopes of levers; so their characters are few, and a \
                     provider cannot be called what already means something in a path, such as `v1`.",
        wrong: r#"[providers.v1]
dialect = "simulated"
"#,
        right: r#"[providers.local]
dialect = "simulated"
"#,
    },
    Entry {
        code: DUPLICATE,
        severity: Severity::Error,
        title: "something is named twice",
        explanation: "The same route, header, address or target stands twice, where one of the two \
                     would be without effect.",
        wrong: r#"[server]
listen = "127.0.0.1:4800"
admin = "127.0.0.1:4800"
"#,
        right: r#"[server]
listen = "127.0.0.1:4800"
admin = "127.0.0.1:4801"
"#,
    },
    Entry {
        code: BAD_ADDRESS,
        severity: Severity::Error,
        title: "not an address to listen on",
        explanation: "An address is an IP address and a port. Names are not looked up, so that it is \
                     plain from the file which networks can reach the gate.",
        wrong: r#"[server]
listen = "localhost:4800"
"#,
        right: r#"[server]
listen = "127.0.0.1:4800"
"#,
    },
    Entry {
        code: BAD_URL,
        severity: Severity::Error,
        title: "not a base URL",
        explanation: "A base URL is `http://` or `https://`, a host, perhaps a port and a path. User \
                     name, password, query and fragment have no place in it: credentials are \
                     `api_key`, a query is `query`.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "api.openai.com/v1"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"#,
    },
    Entry {
        code: BAD_PATTERN,
        severity: Severity::Error,
        title: "not a pattern",
        explanation: "A pattern is text in which `*` stands for any run of characters; case counts. It \
                     is no regular expression. The model of a target is a plain name.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "four"
match = { model = "^gpt-4.*" }
targets = [{ provider = "openai" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "four"
match = { model = "gpt-4*" }
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: BAD_HASH,
        severity: Severity::Error,
        title: "not the SHA-256 of a key",
        explanation: "Only the hash of an app's key is stored: 64 hexadecimal digits, as `printf %s \
                     \"$KEY\" | sha256sum` writes them.",
        wrong: r#"[apps.helpdesk]
key_sha256 = ["helpdesk-key"]
"#,
        right: r#"[apps.helpdesk]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
"#,
    },
    Entry {
        code: BAD_HEADER,
        severity: Severity::Error,
        title: "a header that cannot be set",
        explanation: "The name or value is not one that HTTP can carry, or the header belongs to the \
                     connection, or it is a credential: that is written as `api_key`, so that it is \
                     never shown.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
headers = { authorization = "${OPENAI_API_KEY:-}" }
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: BAD_CREDENTIAL,
        severity: Severity::Error,
        title: "a credential that cannot be sent",
        explanation: "A credential is one run of visible ASCII characters, without `Bearer` in front: \
                     `auth` says how it is sent. A line end in a variable or file is the usual cause.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "Bearer ${OPENAI_API_KEY:-}"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: BAD_QUERY,
        severity: Severity::Error,
        title: "not a query",
        explanation: "A query is `name=value`, joined by `&`, without `?`.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
query = "?api-version=2024-10-21"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
query = "api-version=2024-10-21"
"#,
    },
    Entry {
        code: NOT_HERE,
        severity: Severity::Error,
        title: "a key that means nothing here",
        explanation: "The key is known, but not together with this dialect: `canned` and `simulated` \
                     answer in the process and have no URL; only `canned` has an answer.",
        wrong: r#"[providers.sim]
dialect = "simulated"
base_url = "https://api.openai.com/v1"
"#,
        right: r#"[providers.sim]
dialect = "simulated"
"#,
    },
    Entry {
        code: TOO_MANY,
        severity: Severity::Error,
        title: "too many parts",
        explanation: "Every list has a bound: 4096 providers, apps or routes, 64 targets of a route.",
        wrong: "",
        right: "",
    },
    Entry {
        code: UNKNOWN_PROVIDER,
        severity: Severity::Error,
        title: "no such provider",
        explanation: "A route names a provider that the file does not have.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "opnai" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: UNKNOWN_APP,
        severity: Severity::Error,
        title: "no such app",
        explanation: "A route is for an app that the file does not have.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "desk"
match = { app = "helpdesk" }
targets = [{ provider = "openai" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[apps.helpdesk]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]

[[routes]]
name = "desk"
match = { app = "helpdesk" }
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: UNKNOWN_PACK,
        severity: Severity::Error,
        title: "unknown pack",
        explanation: "A route names a pack of rules that does not exist. This version has no packs \
                     yet, and a route that believes itself guarded when it is not would be worse than \
                     an error.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
rules = ["secrets"]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
rules = []
"#,
    },
    Entry {
        code: SHARED_KEY,
        severity: Severity::Error,
        title: "a key of two apps",
        explanation: "The key of a request says which app is asking; a key that two apps share says \
                     nothing.",
        wrong: r#"[apps.one]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
[apps.two]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
"#,
        right: r#"[apps.one]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
[apps.two]
key_sha256 = ["a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"]
"#,
    },
    Entry {
        code: NOT_SPOKEN,
        severity: Severity::Error,
        title: "a dialect that no target speaks",
        explanation: "The route takes requests of a dialect that none of its targets answers in, so \
                     each would fail. Requests are not translated between dialects yet.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
match = { dialect = "anthropic" }
targets = [{ provider = "openai" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
match = { dialect = "openai-chat" }
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: MISSING_VARIABLE,
        severity: Severity::Error,
        title: "a variable is not set",
        explanation: "A string takes a value from an environment variable that is not set. \
                     `${NAME:-text}` gives it a default, `${NAME:-}` an empty one.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE}"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE:-}"
"#,
    },
    Entry {
        code: MISSING_FILE,
        severity: Severity::Error,
        title: "a referenced file is missing",
        explanation: "A string takes a value from a file that does not exist. A relative path starts \
                     at the folder of the routes file.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${file:no/such/file}"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: BAD_REFERENCE,
        severity: Severity::Error,
        title: "a reference that cannot be read",
        explanation: "References are `${NAME}`, `${NAME:-default}`, `${NAME:?why}` and \
                     `${file:/path}`. They do not nest. `$${` stands for `${` itself.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: UNREADABLE_REFERENCE,
        severity: Severity::Error,
        title: "a reference cannot be looked up",
        explanation: "The variable or file exists, but cannot be read: it is not UTF-8, or its \
                     permissions forbid it.",
        wrong: "",
        right: "",
    },
    Entry {
        code: OPEN_GATE,
        severity: Severity::Error,
        title: "an open gate that would spend your credential",
        explanation: "The data plane listens where the network can reach it, a provider has a \
                     credential of its own, and no app has to show a key: whoever finds the port \
                     could use the model at your expense. Name the apps, or listen on loopback, or \
                     let callers bring their own credentials.",
        wrong: r#"[server]
listen = "0.0.0.0:4800"

[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE:-not-a-real-key}"
"#,
        right: r#"[server]
listen = "0.0.0.0:4800"

[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE:-not-a-real-key}"

[apps.helpdesk]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
"#,
    },
    Entry {
        code: NOT_IN_FORCE,
        severity: Severity::Warning,
        title: "a limit that is not in force yet",
        explanation: "`tokens_per_day` and `usd_per_day` are known, and read, but this version does \
                     not hold anybody to them.",
        wrong: r#"[apps.helpdesk]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
limits = { usd_per_day = 50.0 }
"#,
        right: r#"[apps.helpdesk]
key_sha256 = ["0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"]
limits = { requests_per_minute = 600 }
"#,
    },
    Entry {
        code: SKIPPED_TARGET,
        severity: Severity::Warning,
        title: "a target that does not speak what the route takes",
        explanation: "The route takes requests of a dialect that other targets of it speak and this \
                     one does not. Requests are not translated between dialects yet, so it is skipped \
                     for them: a fallback that is skipped is none. `canned` and `simulated` speak \
                     every dialect.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[providers.anthropic]
dialect = "anthropic"
base_url = "https://api.anthropic.com"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
fallback = [{ provider = "anthropic" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[providers.paused]
dialect = "canned"
answer = "The assistant is paused."

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
fallback = [{ provider = "paused" }]
"#,
    },
    Entry {
        code: UNREACHABLE_ROUTE,
        severity: Severity::Warning,
        title: "a route that is never reached",
        explanation: "Routes are tried in the order of the file and the first that matches wins. A \
                     route before this one takes everything that this one takes.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]

[[routes]]
name = "four"
match = { model = "gpt-4*" }
targets = [{ provider = "openai" }]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "four"
match = { model = "gpt-4*" }
targets = [{ provider = "openai" }]

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
"#,
    },
    Entry {
        code: CLEAR_TEXT,
        severity: Severity::Warning,
        title: "a credential in the clear",
        explanation: "The base URL is `http`, its host is not of this machine or a private network, \
                     and the provider has a credential: everybody on the way can read it.",
        wrong: r#"[providers.far]
dialect = "openai"
base_url = "http://llm.example.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE:-not-a-real-key}"
"#,
        right: r#"[providers.far]
dialect = "openai"
base_url = "https://llm.example.com/v1"
api_key = "${FIREDOOR_NO_SUCH_VARIABLE:-not-a-real-key}"
"#,
    },
    Entry {
        code: LITERAL_CREDENTIAL,
        severity: Severity::Warning,
        title: "a credential in the file",
        explanation: "The credential itself stands in the file, and with it in every copy and in \
                     version control. Take it from a variable or a file.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "not-a-real-key"
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
api_key = "${OPENAI_API_KEY:-}"
"#,
    },
    Entry {
        code: DOUBLED_VERSION,
        severity: Severity::Warning,
        title: "a version that comes twice",
        explanation: "Clients of the Anthropic and Gemini dialects send paths that begin with the \
                     version (`/v1/messages`), and the base URL ends in it too: the provider would be \
                     asked for `/v1/v1/messages`.",
        wrong: r#"[providers.anthropic]
dialect = "anthropic"
base_url = "https://api.anthropic.com/v1"
"#,
        right: r#"[providers.anthropic]
dialect = "anthropic"
base_url = "https://api.anthropic.com"
"#,
    },
    Entry {
        code: NOTHING_SERVED,
        severity: Severity::Warning,
        title: "nothing is served",
        explanation: "The file has no provider, so every request is refused.",
        wrong: r#"[server]
workers = 2
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"#,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Reference, Source, prepare};
    use std::collections::BTreeSet;
    use std::path::Path;

    fn codes_of(text: &str) -> Vec<&'static str> {
        let source = Source { file: None, text: text.to_owned() };
        let lookup = |_: Reference<'_>| Ok(None);
        prepare(&source, &lookup).diagnostics.iter().map(|found| found.code).collect()
    }

    #[test]
    fn every_example_has_its_code_and_every_mended_one_has_not() {
        for entry in ALL.iter().filter(|entry| !entry.wrong.is_empty()) {
            let wrong = codes_of(entry.wrong);
            assert!(wrong.contains(&entry.code), "{}: {wrong:?}", entry.code);
            let right = codes_of(entry.right);
            assert!(!right.contains(&entry.code), "{}: {right:?}", entry.code);
            assert!(
                right.iter().all(|code| severity(code) == Severity::Warning),
                "{}: {right:?}",
                entry.code
            );
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(ALL.windows(2).all(|two| two[0].code < two[1].code));
    }

    /// Every constant is used outside this file, and no code is written as a string elsewhere.
    #[test]
    fn the_catalogue_and_the_code_agree() {
        let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/table");
        let here = std::fs::read_to_string(room.join("codes.rs")).unwrap();
        let mut elsewhere = String::new();
        for folder in [room.clone(), room.join("file")] {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("codes.rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    elsewhere.push_str(text.split("#[cfg(test)]").next().unwrap());
                }
            }
        }
        let declared: BTreeSet<&str> = here
            .lines()
            .filter_map(|line| line.strip_prefix("pub const ")?.split_once(": &str"))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(declared.len(), ALL.len());
        for name in declared {
            assert!(elsewhere.contains(&format!("codes::{name}")), "{name} is never reported");
        }
        for (at, _) in elsewhere.match_indices("\"FD0") {
            panic!("a code is written as a string: {}", &elsewhere[at..at + 12]);
        }
    }

    #[test]
    fn codes_are_found_and_guessed() {
        assert_eq!(explain("fd0102").unwrap().title, "unknown key");
        assert_eq!(explain("FD9999"), None);
        assert_eq!(nearest("FD102"), Some("FD0102"));
    }
}
