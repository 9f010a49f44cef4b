//! `wattkeeper`: reads the command line, runs one subcommand, and alone decides the exit code.
use agent::cli::{Cli, Command, Common, ConfigCommand, LogFormat};
use agent::config::Config;
use agent::run::Failed;
use clap::Parser as _;
use std::io::Write as _;
use std::process::ExitCode;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Exit code for a configuration or command line that is at fault.
const EXIT_FAULTY_CONFIG: u8 = 2;
/// Exit code for everything else that failed.
const EXIT_FAILED: u8 = 1;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match &cli.command {
        Command::Config(ConfigCommand::Default) => return say(&agent::config::keys::default_file(), 0),
        Command::Catalogue(flags) if flags.sources => return say(&agent::catalogue::sources(), 0),
        Command::Catalogue(flags) if flags.json => {
            return say(&format!("{:#}\n", agent::catalogue::json()), 0);
        }
        Command::Catalogue(_) => return say(&agent::catalogue::table(), 0),
        _ => {}
    }
    let config = match cli.common.load() {
        Ok(config) => config,
        Err(faults) => return complain(&faults, EXIT_FAULTY_CONFIG),
    };
    let result = command(&cli, config);
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => complain(error.as_ref(), EXIT_FAILED),
    }
}

fn command(cli: &Cli, config: Config) -> Result<u8, Failed> {
    let common: &Common = &cli.common;
    match &cli.command {
        Command::Run => {
            log_to_stderr(&config, None);
            agent::run::run(common, config).map(|()| 0)
        }
        Command::Top(flags) => agent::top::top(&config, flags).map(|()| 0),
        Command::Demo(flags) => agent::demo::demo(common, config, flags).map(|()| 0),
        Command::Diagnose(flags) => {
            log_to_stderr(&config, Some("error"));
            let report = agent::diagnose::diagnose(&config, flags)?;
            let text = if flags.json { format!("{:#}\n", report.json()) } else { report.text() };
            say(&text, 0);
            Ok(report.exit_code())
        }
        Command::Energy(flags) => {
            log_to_stderr(&config, Some("error"));
            let report = agent::energy::energy(&config, flags)?;
            let text = if flags.json { format!("{:#}\n", report.json()) } else { report.text(flags.by) };
            say(&text, 0);
            Ok(0)
        }
        Command::Doctor(flags) => {
            let report = agent::doctor::doctor(&config, flags);
            say(&report.print(flags), 0);
            Ok(report.exit_code())
        }
        Command::Release => {
            log_to_stderr(&config, Some("error"));
            let released = agent::guardian::release(&config)?;
            say(&released.text(), 0);
            Ok(released.exit_code())
        }
        Command::Power(flags) => {
            log_to_stderr(&config, Some("error"));
            let picture = agent::power::power(&config, flags)?;
            let text = if flags.json { format!("{:#}\n", picture.json()) } else { picture.text() };
            say(&text, 0);
            Ok(0)
        }
        Command::Guardian(flags) => {
            log_to_stderr(&config, None);
            agent::guardian::guard(&config, flags.spawned).map(|()| 0)
        }
        Command::Evaluate(flags) => evaluate(flags),
        Command::Lab(flags) => {
            log_to_stderr(&config, Some("error"));
            say(&agent::lab::lab(&config, flags)?, 0);
            Ok(0)
        }
        Command::LabPart(flags) => agent::lab::part::run(flags).map(|()| 0).map_err(Into::into),
        Command::Config(_) => {
            say("the configuration has no fault\n", 0);
            Ok(0)
        }
        Command::Catalogue(_) => Ok(0),
    }
}

/// Evaluates what the flags ask for, and prints it.
fn evaluate(flags: &agent::cli::Evaluate) -> Result<u8, Failed> {
    let (text, code) = if flags.simulated {
        (agent::evaluate::simulated::evaluate(flags)?.text(), 0)
    } else if flags.power {
        let report = agent::evaluate::power::evaluate(flags)?;
        (report.text(), report.exit_code())
    } else if flags.gpu {
        (agent::evaluate::sharers::evaluate(flags)?.text(), 0)
    } else if flags.interference {
        (agent::evaluate::interference::evaluate(flags)?.text(), 0)
    } else {
        let report = agent::evaluate::evaluate(flags)?;
        (report.text(), report.exit_code())
    };
    say(&text, 0);
    Ok(code)
}

/// Starts logging to standard error, at the configured level or at `level`.
fn log_to_stderr(config: &Config, level: Option<&str>) {
    let level = level.unwrap_or(&config.log.level).parse().unwrap_or(tracing::Level::INFO);
    let filter = Targets::new().with_default(level);
    let registry = tracing_subscriber::registry().with(filter);
    if config.log.format == format!("{:?}", LogFormat::Json).to_lowercase() {
        registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).init();
    } else {
        registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr)).init();
    }
}

/// Prints to standard output; a closed pipe is the reader's way of saying that it has seen enough.
fn say(text: &str, code: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::from(code)
}

/// Prints an error with what lies beneath it.
fn complain(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    let mut text = format!("wattkeeper: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(code)
}
