//! The command line: arguments in, one room called, an exit code out.
//!
//! Data goes to standard output and notices to standard error. Exit codes: 0 done, 1 failed,
//! 2 usage, 3 partly applied, 69 no running gateway answers, 78 the configuration is wrong.

mod backtest;
mod bundle;
mod check;
mod clients;
mod config;
mod demo;
mod eval;
mod evidence;
mod explain;
mod findings;
mod hold;
mod init;
mod lever;
mod live;
pub mod mock;
mod output;
mod progress;
mod record;
mod replay;
mod rules;
mod search;
mod serve;
mod session;
mod status;
mod stored;
mod tap;
mod tape;
mod test;
mod top;
mod unseal;

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed; the reason was said.
    Failed,
    /// Done in part: what was and what was not was said.
    Partly,
    /// The arguments do not fit.
    Usage,
    /// No running gateway answers.
    Unreachable,
    /// The configuration is wrong.
    Configuration,
    /// A child process's own code.
    Child(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Partly => 3,
            Exit::Unreachable => 69,
            Exit::Configuration => 78,
            Exit::Child(code) => code,
        })
    }
}

#[derive(Debug, Parser)]
#[command(
    name = "firedoor",
    version,
    about = "An inline LLM gateway that can stop a model incident in milliseconds and prove it",
    after_help = "Start here: `firedoor demo` (offline), then `firedoor serve` and `firedoor env openai`.\nExit codes: 0 done, 1 failed, 2 usage, 3 done in part, 69 no gateway answers, 78 configuration.",
    disable_help_subcommand = true
)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// The routes file [default: routes.toml here if there is one, else the built-in routes]
    #[arg(long, short, global = true, value_name = "FILE", env = "FIREDOOR_CONFIG")]
    pub config: Option<PathBuf>,
    /// How to print what is asked for
    #[arg(long, short, global = true, value_enum, value_name = "FORM")]
    pub output: Option<output::Form>,
}

impl Common {
    /// The routes file that counts: the one named, or `routes.toml` of the current folder.
    pub fn routes_file(&self) -> Option<PathBuf> {
        let here = PathBuf::from("routes.toml");
        self.config.clone().or_else(|| here.is_file().then_some(here))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve(serve::Serve),
    /// Everything at once, offline: a simulated provider, a gateway, some traffic
    Demo(demo::Demo),
    /// Write a commented routes.toml to start from
    Init(init::Init),
    /// Check a configuration and say all that is wrong with it
    #[command(visible_alias = "validate")]
    Check(check::Check),
    /// Run the cases that stand beside the rules of packs
    Test(test::Test),
    /// Measure packs on texts whose label is known
    Eval(eval::Eval),
    /// Look after the record of what passed
    Evidence(evidence::Evidence),
    /// Explain an error code, such as FD0102, or a rule
    Explain(explain::Explain),
    /// Show the configuration that counts, or its schema
    Config(config::Config),
    /// Stop a provider, model, route, app, agent, tool or session, everywhere, now
    Kill(lever::Kill),
    /// Send traffic to other targets, now
    Reroute(lever::Reroute),
    /// Put rules in force, now
    Filter(lever::Filter),
    /// Let no more through than so much, now
    Limit(lever::Limit),
    /// Give a lever another end
    Extend(lever::Extend),
    /// Take a lever out of force
    Lift(lever::Lift),
    /// List the levers in force, or their history
    Levers(lever::List),
    /// List the rules of the running gateway, or let one only report
    Rules(rules::Rules),
    /// One screen about the running gateway
    Status(status::Status),
    /// What runs through the gateway, as it changes
    Top(top::Top),
    /// Follow finished exchanges and levers as they happen
    Tap(tap::Tap),
    /// Recorded sessions: list, show, search, export
    Session(session::Sessions),
    /// Run recorded exchanges again, offline, through the same code
    Replay(Box<replay::Replay>),
    /// Run a pack over the recorded traffic, before it is put in force
    Backtest(backtest::Backtest),
    /// Serve recorded answers as a provider, in all dialects, with their original timing
    Tape(tape::Tape),
    /// Print the settings that point a client at the gateway
    Env(clients::Env),
    /// Run a command with those settings
    Run(clients::Run),
    /// Run a simulated provider for tests and trials
    Mock(mock::Args),
    /// Print a shell's completions
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let arguments = session::with_terms(std::env::args_os().collect());
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Done.into() };
        }
    };
    let common = cli.common;
    let exit = match cli.command {
        Command::Serve(command) => command.run(&common),
        Command::Demo(command) => command.run(&common),
        Command::Init(command) => command.run(&common),
        Command::Check(command) => command.run(&common),
        Command::Test(command) => command.run(&common),
        Command::Eval(command) => command.run(&common),
        Command::Evidence(command) => command.run(&common),
        Command::Explain(command) => command.run(&common),
        Command::Config(command) => command.run(&common),
        Command::Kill(command) => command.run(&common),
        Command::Reroute(command) => command.run(&common),
        Command::Filter(command) => command.run(&common),
        Command::Limit(command) => command.run(&common),
        Command::Extend(command) => command.run(&common),
        Command::Lift(command) => command.run(&common),
        Command::Levers(command) => command.run(&common),
        Command::Rules(command) => command.run(&common),
        Command::Status(command) => command.run(&common),
        Command::Top(command) => command.run(&common),
        Command::Tap(command) => command.run(&common),
        Command::Session(command) => command.run(&common),
        Command::Replay(command) => command.run(&common),
        Command::Backtest(command) => command.run(&common),
        Command::Tape(command) => command.run(&common),
        Command::Env(command) => command.run(&common),
        Command::Run(command) => command.run(&common),
        Command::Mock(command) => mock::run(&command),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "firedoor", &mut text);
            output::data(&String::from_utf8_lossy(&text))
        }
        Command::Version => version(&common),
    };
    exit.into()
}

fn version(common: &Common) -> Exit {
    let version = env!("CARGO_PKG_VERSION");
    if output::is_json(common) {
        output::json(&serde_json::json!({ "name": "firedoor", "version": version }))
    } else {
        output::data(&format!("firedoor {version}\n"))
    }
}
