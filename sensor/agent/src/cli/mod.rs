// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The command line: names and letters of Suricata where it has them.
//!
//! Answers go to stdout, everything else to stderr. Exit code 0: done; 1: it could not be done, stderr says what to do;
//! 2: the command line itself is wrong. Must never panic on what a user types.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand, ValueEnum};

use rules::refused_rules;

pub mod config;
mod enrol;
pub mod keys;
mod reload;
mod replay;
mod rules;
mod run;
mod tail;
mod tools;

/// Sensor of Lagewarte: parses packets, matches Suricata rules, and streams what the release profile lets through.
#[derive(Parser, Debug)]
#[command(name = "lagewarte-sensor", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Read a capture file and write OUTDIR/eve.json; nothing leaves the machine
    Replay(Replay),
    /// Listen on an interface (or play captures as if live) and stream to the aggregator
    Run(Run),
    /// Ship the events of an existing Suricata
    Tail(Tail),
    /// Work on rule files
    #[command(subcommand)]
    Rules(Rules),
    /// Compare two EVE files of the same traffic: which rules alerted how often, and on which flows not alike
    Compare(Compare),
    /// Work on the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Make this sensor's key and get its certificate with the one-time token of the CERT
    Enrol(Enrol),
    /// Turn a pseudonym of this sensor back into the address it stands for
    Resolve(Resolve),
    /// Sign an assignment or a release profile
    Sign(keys::Sign),
    /// Work on signing keys
    #[command(subcommand)]
    Keys(keys::Keys),
}

/// Options that several commands share.
#[derive(Args, Debug, Default)]
pub struct Common {
    /// Configuration file (YAML, Suricata's keys)
    #[arg(short = 'c', value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// Set one configuration value; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// `replay`.
#[derive(Args, Debug)]
pub struct Replay {
    /// Capture file (pcap or pcapng)
    #[arg(short = 'r', value_name = "CAPTURE")]
    pub capture: PathBuf,
    /// Directory for eve.json; made if it is not there
    #[arg(short = 'l', value_name = "OUTDIR")]
    pub out: PathBuf,
    /// Rules and pipeline
    #[command(flatten)]
    pub engine: Engine,
}

/// What `replay` and `run` share.
#[derive(Args, Debug)]
pub struct Engine {
    /// Configuration
    #[command(flatten)]
    pub common: Common,
    /// Only these rules, not those of the configuration; may be repeated
    #[arg(short = 'S', value_name = "RULES", conflicts_with = "more_rules")]
    pub only_rules: Vec<PathBuf>,
    /// These rules beside those of the configuration; may be repeated
    #[arg(short = 's', value_name = "RULES")]
    pub more_rules: Vec<PathBuf>,
    /// Checksums: `none` ignores wrong ones, `all` leaves such packets out
    #[arg(short = 'k', value_name = "none|all", value_enum)]
    pub checksums: Option<Checksums>,
    /// single: one worker; workers, autofp: as many as configured
    #[arg(long, value_name = "MODE", value_enum)]
    pub runmode: Option<Runmode>,
    /// Worker threads
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Exit with 1 where a rule or a rule file is refused
    #[arg(long)]
    pub init_errors_fatal: bool,
    /// Capture filter in the language of tcpdump
    #[arg(value_name = "BPF")]
    pub bpf: Vec<String>,
}

/// `-k`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksums {
    /// Packets with wrong checksums are inspected too.
    None,
    /// They are left out, and counted.
    All,
    /// As the capture suggests.
    Auto,
}

/// `--runmode`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runmode {
    /// One worker.
    Single,
    /// As many workers as configured.
    Workers,
    /// The same here.
    Autofp,
}

/// `run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Interface to listen on
    #[arg(short = 'i', value_name = "IFACE", conflicts_with = "captures")]
    pub interface: Option<String>,
    /// Play this capture as if live; may be repeated
    #[arg(short = 'r', value_name = "CAPTURE")]
    pub captures: Vec<PathBuf>,
    /// How many times as fast a played capture's past is caught up; below 1: slower than recorded
    #[arg(long, value_name = "SPEED", requires = "captures", conflicts_with = "interface")]
    pub pace: Option<f64>,
    /// Time of a played capture's first packet, in microseconds since the epoch (default: now)
    #[arg(long, value_name = "EPOCH_US", requires = "captures", conflicts_with = "interface")]
    pub start_at: Option<i64>,
    /// When playing begins, in microseconds since the epoch (default: at --start-at); what was due before the process
    /// began is left out, as a live line would have been missed
    #[arg(long, value_name = "EPOCH_US", requires = "captures", conflicts_with = "interface")]
    pub play_at: Option<i64>,
    /// End with the captures, when everything is acknowledged; without it the line is then quiet
    #[arg(long, requires = "captures", conflicts_with = "interface")]
    pub once: bool,
    /// Rules and pipeline
    #[command(flatten)]
    pub engine: Engine,
}

/// `tail`.
#[derive(Args, Debug)]
pub struct Tail {
    /// The eve.json that Suricata writes
    #[arg(value_name = "EVE.JSON")]
    pub file: PathBuf,
    /// Where to begin in a file that was never read before
    #[arg(long, value_enum, default_value = "start")]
    pub from: From,
    /// Stop when everything that stands in the file has been acknowledged, instead of waiting for more
    #[arg(long)]
    pub once: bool,
    /// Configuration
    #[command(flatten)]
    pub common: Common,
}

/// `tail --from`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// All that it holds.
    Start,
    /// Only what is written from now on.
    End,
}

#[derive(Subcommand, Debug)]
enum Rules {
    /// Say which rules are taken and which are refused, with file, line, keyword and reason
    Check {
        /// Rule file
        #[arg(value_name = "RULES", required = true)]
        rules: Vec<PathBuf>,
        /// One JSON object instead of text
        #[arg(long)]
        json: bool,
        /// Exit with 1 where a rule is refused
        #[arg(long)]
        init_errors_fatal: bool,
        /// Configuration (for its variables)
        #[command(flatten)]
        common: Common,
    },
    /// Find rules that can never match in their set, cost too much, have no effect or do not say what they are
    Lint {
        /// Rule file
        #[arg(value_name = "RULES", required = true)]
        rules: Vec<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
        /// Exit with 1 where something is found
        #[arg(long)]
        fatal: bool,
        /// Configuration (for its variables)
        #[command(flatten)]
        common: Common,
    },
    /// Say in words what a rule asks for and what a match does
    Explain {
        /// Its sid
        sid: u32,
        /// Rule file; those of the configuration where none is given
        #[arg(value_name = "RULES")]
        rules: Vec<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
        /// Configuration
        #[command(flatten)]
        common: Common,
    },
    /// Test rules on captures: in each folder of FOLDER a rule, a `fires.pcap` on which it must fire and a `quiet.pcap` on
    /// which it must not
    Test {
        /// Folder of folders
        folder: PathBuf,
        /// Rule file for folders that hold none; may be repeated
        #[arg(short = 'S', value_name = "RULES")]
        rules: Vec<PathBuf>,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
        /// Configuration
        #[command(flatten)]
        common: Common,
    },
    /// Say what each rule costs on a capture: time, how often it was looked at, how often it matched
    Profile {
        /// Rule file; those of the configuration where none is given
        #[arg(value_name = "RULES")]
        rules: Vec<PathBuf>,
        /// Capture file
        #[arg(short = 'r', value_name = "CAPTURE")]
        capture: PathBuf,
        /// Rules shown as text, the dearest first; JSON has all
        #[arg(long, default_value_t = 50)]
        most: usize,
        /// JSON instead of text
        #[arg(long)]
        json: bool,
        /// Configuration
        #[command(flatten)]
        common: Common,
    },
}

/// `compare`.
#[derive(Args, Debug)]
pub struct Compare {
    /// EVE file of this sensor
    #[arg(value_name = "OURS.JSON")]
    pub ours: PathBuf,
    /// EVE file of the other engine
    #[arg(value_name = "THEIRS.JSON")]
    pub theirs: PathBuf,
    /// A sid that is left out; may be repeated
    #[arg(long, value_name = "SID")]
    pub ignore: Vec<u32>,
    /// Flows listed for a rule at most
    #[arg(long, default_value_t = 20)]
    pub flows: usize,
    /// Exit with 1 where fewer per cent of the rules have the same number of alerts
    #[arg(long, value_name = "PERCENT")]
    pub at_least: Option<f64>,
    /// JSON instead of text
    #[arg(long)]
    pub json: bool,
}

/// `enrol`.
#[derive(Args, Debug)]
pub struct Enrol {
    /// The token, as the CERT sent it (`-`: read it from stdin)
    pub token: String,
    /// Configuration
    #[command(flatten)]
    pub common: Common,
}

/// `resolve`.
#[derive(Args, Debug)]
pub struct Resolve {
    /// The pseudonym: an address as it stands in an event
    pub pseudonym: std::net::IpAddr,
    /// Configuration
    #[command(flatten)]
    pub common: Common,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log();
    let done = match cli.command {
        Command::Replay(r) => r.run(),
        Command::Run(r) => r.run(),
        Command::Tail(t) => t.run(),
        Command::Rules(Rules::Check { rules, json, init_errors_fatal, common }) => {
            rules::check(&rules, json, init_errors_fatal, &common)
        }
        Command::Rules(Rules::Lint { rules, json, fatal, common }) => tools::lint(&rules, json, fatal, &common),
        Command::Rules(Rules::Explain { sid, rules, json, common }) => tools::explain(sid, &rules, json, &common),
        Command::Rules(Rules::Test { folder, rules, json, common }) => tools::test(&folder, &rules, json, &common),
        Command::Rules(Rules::Profile { rules, capture, most, json, common }) => {
            tools::profile(&capture, &rules, json, most, &common)
        }
        Command::Compare(c) => tools::compared([&c.ours, &c.theirs], &c.ignore, c.flows, c.at_least, c.json),
        Command::Config(c) => c.run(),
        Command::Enrol(e) => e.run(),
        Command::Resolve(r) => r.run(),
        Command::Sign(s) => s.run(),
        Command::Keys(k) => k.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("lagewarte-sensor: {}", told(&e));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: many errors already quote theirs.
fn told(e: &anyhow::Error) -> String {
    e.chain().skip(1).fold(e.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

/// Log lines go to stderr; `LAGEWARTE_LOG` sets the level (error, warn, info, debug).
fn log() {
    let mut filter = tracing_subscriber::EnvFilter::try_from_env("LAGEWARTE_LOG").unwrap_or_else(|_| "info".into());
    // It would log what it makes of a file's bytes, thousands of lines for each file.
    if let Ok(silent) = "pure_magic=off".parse() {
        filter = filter.add_directive(silent);
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("lagewarte-sensor").chain(line.split_whitespace()))
    }

    #[test]
    fn a_cause_is_said_once() {
        let io = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let quoted = crate::config::ConfigError::Read { path: "a.yaml".into(), source: io() };
        assert_eq!(told(&quoted.into()).matches(&io().to_string()).count(), 1);
        assert_eq!(told(&anyhow::Error::new(io()).context("reading a")), format!("reading a: {}", io()));
    }

    #[test]
    fn suricatas_letters_are_understood() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        let Command::Replay(r) = parse(
            "replay -r a.pcap -l out -S x.rules -c s.yaml -k none --runmode=single --set a.b=c --set d=e port 22",
        )
        .unwrap()
        .command
        else {
            panic!("not replay")
        };
        assert_eq!(r.engine.checksums, Some(Checksums::None));
        assert_eq!(r.engine.runmode, Some(Runmode::Single));
        assert_eq!(r.engine.common.sets, ["a.b=c", "d=e"]);
        assert_eq!(r.engine.bpf, ["port", "22"]);
        for line in [
            "replay -r a -l o",
            "run -i eth0",
            "run -r a -r b --pace 10 --start-at 17 --play-at 20",
            "tail eve.json --once",
            "rules check a.rules --json",
            "resolve 2001:db8::1",
        ] {
            parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        for line in [
            "replay -r a",
            "run -i eth0 -r a",
            "run -i eth0 --pace 2",
            "replay -r a -l o --workers 0",
            "replay -r a -l o -k some",
            "resolve x",
            "nothing",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
