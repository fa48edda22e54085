//! The entries of the catalogue, in the order of their codes.

use super::Entry;
use super::Severity;

/// Every code, in order.
pub const ALL: &[Entry] = &[
    Entry {
        code: super::UNREADABLE,
        severity: Severity::Error,
        title: "the file cannot be read",
        explanation: "The file does not exist, is not UTF-8, or its permissions forbid it. Nothing \
                     else was checked.",
        wrong: "",
        right: "",
    },
    Entry {
        code: super::TOO_LARGE,
        severity: Severity::Error,
        title: "the file is too large",
        explanation: "A routes file is at most 4 MiB. It was not read.",
        wrong: "",
        right: "",
    },
    Entry {
        code: super::EMPTY_FILE,
        severity: Severity::Warning,
        title: "the file is empty",
        explanation: "A gate that starts with an empty file refuses every request. A gate that runs \
                     keeps the table that it has: an empty file is one that is being written, or for \
                     which the disk had no room. To serve nobody, kill `all`.",
        wrong: "\n",
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"#,
    },
    Entry {
        code: super::SYNTAX,
        severity: Severity::Error,
        title: "the file is not TOML",
        explanation: "The grammar of TOML 1.0 is broken at this place. What stands behind a mistake of \
                     grammar is read as far as it can be understood, so more may come to light once \
                     it is mended. Strings need quotes; a table is `[name]`, an entry of a list of \
                     tables `[[name]]`.",
        wrong: r"[server]
listen = 127.0.0.1:4800
",
        right: r#"[server]
listen = "127.0.0.1:4800"
"#,
    },
    Entry {
        code: super::DUPLICATE_KEY,
        severity: Severity::Error,
        title: "a key is set twice",
        explanation: "TOML allows a key once in a table, and a table once in a file.",
        wrong: r"[server]
workers = 2
workers = 4
",
        right: r"[server]
workers = 4
",
    },
    Entry {
        code: super::UNKNOWN_KEY,
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
        code: super::WRONG_TYPE,
        severity: Severity::Error,
        title: "a value of the wrong kind",
        explanation: "The key is known, but its value is of another kind: a string where a number \
                     belongs, one thing where a list belongs.",
        wrong: r#"[server]
workers = "4"
"#,
        right: r"[server]
workers = 4
",
    },
    Entry {
        code: super::MISSING_KEY,
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
        code: super::EMPTY,
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
        code: super::OUT_OF_RANGE,
        severity: Severity::Error,
        title: "a number out of range",
        explanation: "The number is smaller or larger than can be meant. To stop an app or a target \
                     for a while, pull a lever instead of writing 0.",
        wrong: r"[server]
workers = 0
",
        right: r"[server]
workers = 4
",
    },
    Entry {
        code: super::UNKNOWN_WORD,
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
        code: super::BAD_NAME,
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
        code: super::DUPLICATE,
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
        code: super::BAD_ADDRESS,
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
        code: super::BAD_URL,
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
        code: super::BAD_PATTERN,
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
        code: super::BAD_HASH,
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
        code: super::BAD_HEADER,
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
        code: super::BAD_CREDENTIAL,
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
        code: super::BAD_QUERY,
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
        code: super::NOT_HERE,
        severity: Severity::Error,
        title: "a key that means nothing here",
        explanation: "The key is known, but not together with this dialect: `canned` and `simulated` \
                     answer in the process and have no URL; only `canned` has an answer; only `openai` has \
                     quirks and `translate_to`.",
        wrong: r#"[providers.sim]
dialect = "simulated"
base_url = "https://api.openai.com/v1"
"#,
        right: r#"[providers.sim]
dialect = "simulated"
"#,
    },
    Entry {
        code: super::TOO_MANY,
        severity: Severity::Error,
        title: "too many parts",
        explanation: "Every list has a bound: 4096 providers, apps or routes, 64 targets of a route.",
        wrong: "",
        right: "",
    },
    Entry {
        code: super::BAD_DURATION,
        severity: Severity::Error,
        title: "not a time",
        explanation: "A time is a whole number and its unit, `s`, `m`, `h` or `d`, in one string: \
                     `\"30s\"`, `\"2m\"`.",
        wrong: r#"[[limits]]
name = "loops"
loop = { same_call = 20, within = "2 minutes" }
"#,
        right: r#"[[limits]]
name = "loops"
loop = { same_call = 20, within = "2m" }
"#,
    },
    Entry {
        code: super::CONTRADICTION,
        severity: Severity::Error,
        title: "two keys that contradict each other",
        explanation: "Each of the two could stand alone; together they ask for what the other rules \
                     out. `translate_to` names the API in which a provider is asked for callers of \
                     other dialects, the quirks `no-chat` and `no-responses` say which API it lacks; \
                     `originals_to` names who may read what `capture = \"redacted\"` leaves out or \
                     `capture = \"sealed\"` keeps.",
        wrong: r#"[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:8000/v1"
quirks = ["no-responses"]
translate_to = "openai-responses"
"#,
        right: r#"[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:8000/v1"
quirks = ["no-responses"]
"#,
    },
    Entry {
        code: super::BAD_RECIPIENT,
        severity: Severity::Error,
        title: "not a public key of age",
        explanation: "Originals are sealed for X25519 recipients of age: `age1` and 58 characters, as \
                     `age-keygen` prints them beside the secret key, which stays with who may read.",
        wrong: r#"[providers.sim]
dialect = "simulated"

[[routes]]
name = "all"
targets = [{ provider = "sim" }]
capture = "redacted"
originals_to = ["ann@example.com"]
"#,
        right: r#"[providers.sim]
dialect = "simulated"

[[routes]]
name = "all"
targets = [{ provider = "sim" }]
capture = "redacted"
originals_to = ["age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"]
"#,
    },
    Entry {
        code: super::UNKNOWN_PROVIDER,
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
        code: super::UNKNOWN_APP,
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
        code: super::UNKNOWN_PACK,
        severity: Severity::Error,
        title: "unknown pack",
        explanation: "The file names a pack of rules that is neither built in nor in the folder of \
                     packs: a route that believes itself guarded when it is not would be worse than \
                     an error.",
        wrong: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
rules = ["secretz"]
"#,
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
rules = ["secrets"]
"#,
    },
    Entry {
        code: super::SHARED_KEY,
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
        code: super::MISSING_VARIABLE,
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
        code: super::MISSING_FILE,
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
        code: super::BAD_REFERENCE,
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
        code: super::UNREADABLE_REFERENCE,
        severity: Severity::Error,
        title: "a reference cannot be looked up",
        explanation: "The variable or file exists, but cannot be read: it is not UTF-8, or its \
                     permissions forbid it.",
        wrong: "",
        right: "",
    },
    Entry {
        code: super::OPEN_GATE,
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
        code: super::UNREACHABLE_ROUTE,
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
        code: super::CLEAR_TEXT,
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
        code: super::LITERAL_CREDENTIAL,
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
        code: super::DOUBLED_VERSION,
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
        code: super::NOTHING_SERVED,
        severity: Severity::Warning,
        title: "nothing is served",
        explanation: "The file has no provider, so every request is refused.",
        wrong: r"[server]
workers = 2
",
        right: r#"[providers.openai]
dialect = "openai"
base_url = "https://api.openai.com/v1"
"#,
    },
    Entry {
        code: super::NO_PRICE,
        severity: Severity::Warning,
        title: "a model without a price, where money is limited",
        explanation: "A limit counts money, and what this target's model costs is not known: its \
                     requests pass the limit and are counted as unpriced, or are refused where the \
                     limit says `unpriced = \"refuse\"`. Give the model a price.",
        wrong: r#"[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:8000/v1"

[[limits]]
name = "budget"
usd_per_day = 50.0

[[routes]]
name = "all"
targets = [{ provider = "local", model = "our-own" }]
"#,
        right: r#"[providers.local]
dialect = "openai"
base_url = "http://127.0.0.1:8000/v1"

[prices."local/*"]
input = 0.0
output = 0.0

[[limits]]
name = "budget"
usd_per_day = 50.0

[[routes]]
name = "all"
targets = [{ provider = "local", model = "our-own" }]
"#,
    },
    Entry {
        code: super::FOREIGN_MODEL,
        severity: Severity::Warning,
        title: "a target of another dialect is asked for the caller's own model",
        explanation: "The route takes requests of a dialect that this target does not speak. They are \
                     translated, but the target names no model, so it would be asked for the one that \
                     the caller named, which providers of another dialect do not have.",
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

[providers.anthropic]
dialect = "anthropic"
base_url = "https://api.anthropic.com"

[[routes]]
name = "all"
targets = [{ provider = "openai" }]
fallback = [{ provider = "anthropic", model = "claude-haiku-4-5" }]
"#,
    },
    super::of_packs::BAD_RULE,
    super::of_packs::COSTLY_RULE,
];
