//! `firedoor env` and `firedoor run`: how a client is pointed at the gateway.
//!
//! OpenAI-style clients want the base with `/v1`, Anthropic clients without: the names and forms
//! are those that each client reads, taken from its own source or documentation.

use super::{Common, Exit, check, output};
use std::fmt::Write;
use std::process::Command;

/// A client that is known to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// The OpenAI SDKs, Agents SDK, @ai-sdk/openai
    Openai,
    /// The Anthropic SDKs, @ai-sdk/anthropic
    Anthropic,
    /// google-genai, @google/genai
    Genai,
    /// LangChain, both vendors
    Langchain,
    /// Claude Code
    ClaudeCode,
    /// Codex CLI
    Codex,
    /// aider
    Aider,
    /// boto3 and the AWS SDKs
    Boto3,
}

/// Print the settings that point a client at the gateway
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  eval \"$(firedoor env openai)\"")]
pub struct Env {
    /// The client
    #[arg(value_enum, default_value = "openai")]
    client: Client,
}

/// Run a command with those settings
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  firedoor run -- python app.py")]
pub struct Run {
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<std::ffi::OsString>,
}

impl Client {
    const ALL: [Client; 8] = [
        Client::Openai,
        Client::Anthropic,
        Client::Genai,
        Client::Langchain,
        Client::ClaudeCode,
        Client::Codex,
        Client::Aider,
        Client::Boto3,
    ];

    /// Variables and values.
    fn settings(self, base: &str) -> Vec<(&'static str, String)> {
        let openai = format!("{base}/v1");
        match self {
            Client::Openai | Client::Codex => vec![("OPENAI_BASE_URL", openai)],
            Client::Anthropic => vec![("ANTHROPIC_BASE_URL", base.to_owned())],
            Client::Genai => vec![("GOOGLE_GEMINI_BASE_URL", base.to_owned())],
            Client::Langchain => vec![
                ("OPENAI_API_BASE", openai.clone()),
                ("OPENAI_BASE_URL", openai),
                ("ANTHROPIC_API_URL", base.to_owned()),
                ("ANTHROPIC_BASE_URL", base.to_owned()),
            ],
            Client::ClaudeCode => vec![
                ("ANTHROPIC_BASE_URL", base.to_owned()),
                ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ],
            Client::Aider => vec![("OPENAI_API_BASE", openai)],
            Client::Boto3 => vec![("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", base.to_owned())],
        }
    }
}

/// The base URL of the gateway's data plane.
fn base(common: &Common) -> Result<String, Exit> {
    let (_, prepared) = check::prepared(common);
    let Some(table) = prepared.table else {
        check::report(&prepared.diagnostics);
        return Err(Exit::Configuration);
    };
    let scheme = if table.server.tls.is_some() { "https" } else { "http" };
    let running = std::fs::read(table.server.data_dir.join("listen.json"))
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
        .and_then(|value| value["data"][0].as_str().map(str::to_owned));
    let address = running
        .or_else(|| table.server.listen.first().map(ToString::to_string))
        .unwrap_or_else(|| "127.0.0.1:4800".to_owned());
    Ok(format!("{scheme}://{address}"))
}

impl Env {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let base = match base(common) {
            Ok(base) => base,
            Err(exit) => return exit,
        };
        let settings = self.client.settings(&base);
        if common.output == Some(output::Form::Json) {
            let map: serde_json::Map<String, serde_json::Value> =
                settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            return output::json(&map.into());
        }
        let mut text = String::new();
        for (name, value) in settings {
            let _ = writeln!(text, "export {name}='{value}'");
        }
        if self.client == Client::Codex {
            output::notice(
                "# Codex reads its provider from its configuration rather than from the environment:",
            );
            output::notice(&format!(
                "# codex -c model_provider=firedoor -c 'model_providers.firedoor={{name=\"firedoor\",base_url=\"{base}/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}'"
            ));
        }
        output::data(&text)
    }
}

impl Run {
    pub(super) fn run(&self, common: &Common) -> Exit {
        let base = match base(common) {
            Ok(base) => base,
            Err(exit) => return exit,
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Exit::Usage;
        };
        let mut command = Command::new(program);
        command.args(arguments);
        for client in Client::ALL {
            command.envs(client.settings(&base));
        }
        match command.status() {
            Ok(status) => {
                Exit::Child(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
            }
            Err(error) => {
                output::notice(&format!(
                    "firedoor: cannot run {}: {error}",
                    program.to_string_lossy()
                ));
                Exit::Failed
            }
        }
    }
}
