//! `firedoor demo`: everything at once, offline.
//!
//! A simulated provider and a gateway run on free ports of this machine with their state in a
//! temporary folder; some requests show what a normal day and a bad minute look like.

use super::mock;
use super::{Common, Exit, output};
use crate::admin::client::{Address, Client};
use crate::telemetry::connect;
use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the gateway may take to listen.
const START_TIME_MAX: Duration = Duration::from_secs(10);

/// Everything at once, offline: a simulated provider, a gateway, some traffic
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Keep everything running until Ctrl-C
    #[arg(long)]
    keep: bool,
}

/// The gateway of a demo; it ends, and its folder goes, when this is dropped.
struct Gateway {
    child: Child,
    folder: PathBuf,
    data: String,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Demo {
    pub(super) fn run(&self, _common: &Common) -> Exit {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let told = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
            runtime.block_on(async {
                let (provider, address) = provider().await?;
                let gateway = gateway(address)?;
                tour(&gateway).await?;
                if self.keep {
                    say("\nrunning until Ctrl-C ...");
                    let _ = tokio::signal::ctrl_c().await;
                }
                provider.abort();
                Ok(())
            })
        });
        match told {
            Ok(()) => Exit::Done,
            Err(why) => {
                output::notice(&format!("firedoor: {why}"));
                Exit::Failed
            }
        }
    }
}

/// A simulated provider on a free port.
async fn provider() -> Result<(tokio::task::JoinHandle<std::io::Result<()>>, SocketAddr), String> {
    let listener =
        tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    Ok((tokio::spawn(mock::serve(listener, mock::Options::default())), address))
}

/// A gateway in front of it, as a process of its own.
fn gateway(provider: SocketAddr) -> Result<Gateway, String> {
    let folder = std::env::temp_dir().join(format!("firedoor-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let routes = folder.join("routes.toml");
    std::fs::write(&routes, routes_text(provider)).map_err(|error| error.to_string())?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let child = Command::new(program)
        .arg("serve")
        .arg("--config")
        .arg(&routes)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut gateway = Gateway { child, folder, data: String::new() };
    gateway.data = address(&gateway.folder.join("data/listen.json"))?;
    Ok(gateway)
}

fn routes_text(provider: SocketAddr) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata_dir = \"data\"\n\n\
         [providers.openai]\ndialect = \"openai\"\nbase_url = \"http://{provider}/v1\"\n\n\
         [providers.anthropic]\ndialect = \"anthropic\"\nbase_url = \"http://{provider}\"\n\n\
         [providers.down]\ndialect = \"openai\"\nbase_url = \"http://127.0.0.1:9/v1\"\n\n\
         [providers.paused]\ndialect = \"canned\"\n\
         answer = \"The assistant is paused. A person will get back to you.\"\n\n\
         [[routes]]\nname = \"support\"\nmatch = {{ model = \"support-bot\" }}\n\
         targets = [{{ provider = \"down\" }}]\nfallback = [{{ provider = \"paused\" }}]\n\n\
         [[routes]]\nname = \"anthropic\"\nmatch = {{ dialect = \"anthropic\" }}\n\
         targets = [{{ provider = \"anthropic\" }}]\n\n\
         [[routes]]\nname = \"openai\"\ntargets = [{{ provider = \"openai\" }}]\n"
    )
}

/// The gateway's data plane, once it listens.
fn address(file: &Path) -> Result<String, String> {
    let until = Instant::now() + START_TIME_MAX;
    while Instant::now() < until {
        let found = std::fs::read(file)
            .ok()
            .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok())
            .and_then(|value| value["data"][0].as_str().map(str::to_owned));
        if let Some(found) = found {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err("the gateway did not start in time".to_owned())
}

/// Some traffic, and what it shows.
async fn tour(gateway: &Gateway) -> Result<(), String> {
    let at = &gateway.data;
    say(&format!("A simulated provider and a gateway run on this machine, at http://{at}\n"));

    say("1. An application asks in OpenAI's dialect; the answer streams through as it came:");
    let prompt = "mock:text=Good%20morning.%20All%20doors%20are%20open%20today.,itl_ms=60;";
    let chat = serde_json::json!({
        "model": "gpt-4o", "stream": true,
        "messages": [{ "role": "user", "content": prompt }],
    });
    stream(at, "/v1/chat/completions", &chat, |frame| {
        frame["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
    })
    .await?;

    say("\n2. Another asks in Anthropic's, on the same port:");
    let messages = serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "stream": true,
        "messages": [{ "role": "user", "content": "mock:text=Same%20port%2C%20another%20wire.,itl_ms=60;" }],
    });
    stream(at, "/v1/messages", &messages, |frame| {
        frame["delta"]["text"].as_str().map(str::to_owned)
    })
    .await?;

    say("\n3. A route whose provider is down falls back to a rule-based answer:");
    let down = serde_json::json!({
        "model": "support-bot", "messages": [{ "role": "user", "content": "Is anybody there?" }],
    });
    let whole = post(at, "/v1/chat/completions", &down).await?;
    say(&format!("   {}", whole["choices"][0]["message"]["content"].as_str().unwrap_or("?")));

    say("\n4. A provider that dies in the middle of an answer is never taken for a short answer:");
    let reset = serde_json::json!({
        "model": "gpt-4o", "stream": true,
        "messages": [{ "role": "user", "content": "mock:tokens=30,itl_ms=40,fault=reset,at=6;" }],
    });
    stream(at, "/v1/chat/completions", &reset, |frame| {
        frame["error"]["message"]
            .as_str()
            .map(|message| format!("\n   error to the application: {message}"))
            .or_else(|| frame["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
    })
    .await?;

    say("\n5. A model is killed while it answers; durable, in flight, everywhere:");
    let slow = serde_json::json!({
        "model": "gpt-4o", "stream": true,
        "messages": [{ "role": "user", "content": "mock:text=I%20count%20the%20doors%3A%20one%2C%20two%2C%20three%2C%20four%2C%20five%2C%20six%2C%20seven%2C%20eight%2C%20nine%2C%20ten%2C%20eleven%2C%20twelve%2C%20thirteen%2C%20fourteen%2C%20fifteen%2C%20sixteen%2C%20seventeen%2C%20eighteen%2C%20nineteen%2C%20twenty%2C%20and%20I%20go%20on%20and%20on%20and%20on%20and%20on.,itl_ms=60;" }],
    });
    let answer = stream(at, "/v1/chat/completions", &slow, |frame| {
        frame["error"]["message"]
            .as_str()
            .map(|message| format!("\n   error to the application: {message}"))
            .or_else(|| frame["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
    });
    let kill = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        pull(&gateway.folder.join("data")).await
    };
    let (answered, proof) = tokio::join!(answer, kill);
    answered?;
    say(&format!("   {}", proof?));
    let refused = post(at, "/v1/chat/completions", &slow).await?;
    say(&format!("   asked again: {}", refused["error"]["message"].as_str().unwrap_or("?")));

    say("\nThree things to try next:");
    say(
        "  firedoor serve                      a gateway for OpenAI, Anthropic and Gemini, with your own keys",
    );
    say("  firedoor run -- python app.py       your application, pointed at it");
    say("  firedoor kill --help                what can be stopped, and how");
    Ok(())
}

/// Kills the model by the gateway's socket; gives the proof in words.
async fn pull(data_dir: &Path) -> Result<String, String> {
    let socket = data_dir.join(crate::admin::folder::SOCKET_FILE);
    let order = serde_json::json!({
        "kind": "kill", "scope": "model:gpt-4o", "reason": "it leaks", "author": "demo",
    });
    let answer = Client::new(Address::Unix(socket))
        .post("/api/v1/levers", &order, None)
        .await
        .map_err(|fault| fault.to_string())?;
    let value = answer.json();
    let ms = |name: &str| value["took_ms"][name].as_f64().unwrap_or(0.0);
    Ok(format!(
        "the lever: durable after {:.1} ms, in force after {:.1} ms; {} stream ended, {} bytes after that",
        ms("durable"),
        ms("published"),
        value["exchanges"]["ended"],
        value["exchanges"]["bytes_after_publication"],
    ))
}

fn say(text: &str) {
    let _ = output::data(&format!("{text}\n"));
}

fn request(at: &str, path: &str, body: &serde_json::Value) -> Result<Request<Bytes>, String> {
    Request::post(format!("http://{at}{path}"))
        .header("content-type", "application/json")
        .header("host", at)
        .body(Bytes::from(body.to_string()))
        .map_err(|error| error.to_string())
}

async fn post(at: &str, path: &str, body: &serde_json::Value) -> Result<serde_json::Value, String> {
    let answer = connect::request(request(at, path, body)?, START_TIME_MAX)
        .await
        .map_err(|fault| fault.to_string())?;
    serde_json::from_slice(answer.body()).map_err(|error| error.to_string())
}

/// Asks for a stream and prints what `shown` finds in each of its frames, as it comes.
async fn stream(
    at: &str,
    path: &str,
    body: &serde_json::Value,
    shown: impl Fn(&serde_json::Value) -> Option<String>,
) -> Result<(), String> {
    let request = request(at, path, body)?;
    let io = connect::connect(request.uri()).await.map_err(|fault| fault.to_string())?;
    let answer = connect::send(io, request).await.map_err(|fault| fault.to_string())?;
    let mut body = answer.into_body();
    let mut held = String::new();
    let mut out = std::io::stdout();
    let _ = write!(out, "   ");
    while let Some(Ok(frame)) = body.frame().await {
        held.push_str(&String::from_utf8_lossy(frame.data_ref().unwrap_or(&Bytes::new())));
        while let Some(end) = held.find('\n') {
            let line: String = held.drain(..=end).collect();
            let json = line.strip_prefix("data: ").and_then(|data| serde_json::from_str(data).ok());
            if let Some(text) = json.and_then(|json: serde_json::Value| shown(&json)) {
                let _ = write!(out, "{text}").and_then(|()| out.flush());
            }
        }
    }
    let _ = writeln!(out);
    Ok(())
}
