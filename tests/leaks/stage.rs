//! The gateway between a client that reads every byte and a provider that plays what it is told.

use super::secret::{Dice, WORDS};
use crate::support::{Answer, Client, Gateway, Upstream};
use firedoor::wire::Dialect;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Kinds of provider: name, `dialect`, path of the base URL, further lines, and what they speak.
const FAMILIES: [(&str, &str, &str, &str, Dialect); 5] = [
    ("cht", "openai", "/v1", "quirks = [\"no-responses\"]\n", Dialect::OpenaiChat),
    ("res", "openai", "/v1", "quirks = [\"no-chat\"]\n", Dialect::OpenaiResponses),
    ("ant", "anthropic", "", "", Dialect::Anthropic),
    ("gem", "gemini", "", "", Dialect::Gemini),
    ("bed", "bedrock", "", "", Dialect::Bedrock),
];

/// What a provider answers.
#[derive(Clone, Debug)]
pub struct Script {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// Into how many pieces the body is cut; 0 is one piece with its length.
    pub cuts: usize,
    pub dice: Dice,
}

#[derive(Debug, Default)]
struct Plays {
    scripts: HashMap<String, Script>,
    /// Requests as they came.
    arrived: HashMap<String, Vec<u8>>,
}

/// The gateway, under rules that redact and rules that cut.
pub struct Stage {
    gateway: Gateway,
    plays: Arc<Mutex<Plays>>,
    number: AtomicUsize,
    _upstream: Upstream,
    _packs: tempfile::TempDir,
}

/// The rules by which a case is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// What is found is hidden.
    Hide,
    /// What is found ends the answer.
    Stop,
    /// A rule of the pack `secrets`; all of them take long to compile without optimisation.
    Secrets,
}

impl Rules {
    pub fn name(self) -> &'static str {
        match self {
            Rules::Hide => "hide",
            Rules::Stop => "stop",
            Rules::Secrets => "keys",
        }
    }
}

fn pack(name: &str, expect: &str) -> String {
    // What is hidden in arguments would run as another call, so a pack may not say that.
    let action = match expect {
        "redact" => "{ default = \"redact\", tool_arguments = \"cut\" }",
        _ => "\"cut\"",
    };
    let rule = |id: &str, pattern: &str, hit: &str| {
        format!(
            "[[rule]]\nid = \"{id}\"\nabout = \"A planted text\"\nchannels = [\"system\", \
             \"user\", \"history\", \"document\", \"tool_result\", \"tool_definition\", \"answer\", \
             \"reasoning\", \"refusal\", \"tool_name\", \"tool_arguments\", \"citation\"]\n\
             match = {{ {pattern} }}\naction = {action}\nmode = \"enforce\"\non_error = \"cut\"\n\
             [[rule.case]]\ntext = \"{hit}\"\nexpect = \"{expect}\"\n\
             [[rule.case]]\ntext = \"nothing\"\nexpect = \"clear\"\n\n"
        )
    };
    let words = WORDS.map(|word| format!("\"{word}\"")).join(", ");
    format!("pack = \"{name}\"\nabout = \"Planted texts\"\n\n")
        + &rule("expression", "regex = 'QZX[A-Z0-9]{32}'", &format!("QZX{}", "7".repeat(32)))
        + &rule("word", &format!("literal = [{words}]"), WORDS[0])
        // It holds the last word of almost any text, which then must leave where it belongs.
        + &rule("wait", "regex = '[A-Za-z]{3,20} xyzzy'", "some xyzzy")
}

impl Stage {
    pub fn start(rules: &[Rules]) -> Stage {
        let packs = tempfile::tempdir().unwrap();
        for (name, action) in [("hide", "redact"), ("stop", "cut")] {
            let file = packs.path().join(format!("{name}.toml"));
            std::fs::write(file, pack(name, action)).unwrap();
        }
        let source = firedoor::table::packs::built_in_source("secrets").unwrap();
        let rule = source.split("[[rule]]").find(|rule| rule.contains("gh[pousr]_")).unwrap();
        let keys = format!("pack = \"keys\"\nabout = \"Keys of GitHub\"\n\n[[rule]]{rule}");
        std::fs::write(packs.path().join("keys.toml"), keys).unwrap();
        let plays = Arc::new(Mutex::new(Plays::default()));
        let seen = Arc::clone(&plays);
        let upstream = Upstream::start(move |request, stream| {
            let Some(case) = case_of(request) else { return };
            let script = {
                let mut plays = seen.lock().unwrap();
                plays.arrived.insert(case.clone(), request.to_vec());
                plays.scripts.get(&case).cloned()
            };
            if let Some(script) = script {
                // The gateway may have seen enough.
                let _ = play(script, stream);
            }
        });
        let mut routes = format!("[server]\nfilters = '{}'\n\n", packs.path().display());
        for (name, dialect, path, more, _) in FAMILIES {
            let url = upstream.url();
            routes += &format!(
                "[providers.{name}]\ndialect = \"{dialect}\"\nbase_url = \"{url}{path}\"\n\
                 {more}api_key = \"${{KEY}}\"\n\n"
            );
            for rules in rules {
                let rules = rules.name();
                routes += &format!(
                    "[[routes]]\nname = \"{rules}-{name}\"\nmatch = {{ model = \"{rules}-{name}\" }}\n\
                     targets = [{{ provider = \"{name}\", model = \"m\" }}]\nrules = [\"{rules}\"]\n\n"
                );
            }
        }
        let gateway = Gateway::start_with(&routes, &[("KEY", "of-the-provider")]);
        Stage { gateway, plays, number: AtomicUsize::new(0), _upstream: upstream, _packs: packs }
    }

    /// Asks as `caller` for what a provider of `source` answers by `script`, under `rules`.
    pub fn ask(
        &self,
        caller: Dialect,
        source: Dialect,
        rules: Rules,
        how: How,
        script: Script,
    ) -> Answer {
        let case = crate::support::Case { dialect: caller, provider: "" };
        let model = model(source, rules);
        let is_stream = how != How::Whole;
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let body = case.body(&model, &format!("hello {MARK}{number}."), is_stream);
        let mut target = case.target(&model, is_stream);
        if how == How::Array {
            target = target.replace("?alt=sse", "");
        }
        self.numbered(&number.to_string(), &target, body.as_bytes(), script).0
    }

    /// Sends a request as it is; gives the answer and what arrived at the provider.
    pub fn send(&self, target: &str, body: &[u8], script: Script) -> (Answer, Option<Vec<u8>>) {
        let number = self.number.fetch_add(1, Ordering::Relaxed).to_string();
        self.numbered(&number, target, body, script)
    }

    fn numbered(
        &self,
        case: &str,
        target: &str,
        body: &[u8],
        script: Script,
    ) -> (Answer, Option<Vec<u8>>) {
        self.plays.lock().unwrap().scripts.insert(case.to_owned(), script);
        let fields = [("content-type", "application/json"), ("x-case", case)];
        let mut client = Client::connect(self.gateway.data);
        let answer = client.request("POST", target, &fields, body).answer();
        let mut plays = self.plays.lock().unwrap();
        plays.scripts.remove(case);
        (answer, plays.arrived.remove(case))
    }
}

/// The model by which the route to a provider of `source` under `rules` is found.
pub fn model(source: Dialect, rules: Rules) -> String {
    let (name, ..) = FAMILIES.iter().find(|(.., speaks)| *speaks == source).unwrap();
    format!("{}-{name}", rules.name())
}

/// How an answer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Stream,
    /// Gemini's stream as one array.
    Array,
    Whole,
}

/// Stands before the number of a case in a prompt: a header does not go to a provider of another
/// dialect.
const MARK: &str = "case-";

fn case_of(request: &[u8]) -> Option<String> {
    let request = String::from_utf8_lossy(request);
    let (head, body) = request.split_once("\r\n\r\n")?;
    let line = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-case").then(|| value.trim().to_owned())
    });
    line.or_else(|| Some(body.split_once(MARK)?.1.split_once('.')?.0.to_owned()))
}

fn play(script: Script, stream: &mut std::net::TcpStream) -> std::io::Result<()> {
    let Script { status, content_type, body, cuts, mut dice } = script;
    stream.set_nodelay(true)?;
    let head = format!("HTTP/1.1 {status} Said\r\ncontent-type: {content_type}\r\n");
    if cuts == 0 {
        let length = body.len();
        write!(stream, "{head}content-length: {length}\r\n\r\n")?;
        return stream.write_all(&body);
    }
    write!(stream, "{head}transfer-encoding: chunked\r\n\r\n")?;
    let mut ends: Vec<usize> = (0..cuts).map(|_| dice.below(body.len() + 1)).collect();
    ends.extend([0, body.len()]);
    ends.sort_unstable();
    ends.dedup();
    for cut in ends.windows(2) {
        let piece = &body[cut[0]..cut[1]];
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        stream.write_all(&chunk)?;
    }
    stream.write_all(b"0\r\n\r\n")
}
