// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use lagewarte_base::{id::ConstituentId, id::Uuid, tlp::Tlp};

/// Aggregator of Lagewarte: takes events from sensors, draws the Lagebild, warns municipalities.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Configuration file. Default: /etc/lagewarte/aggregator.yaml where it exists, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the aggregator until SIGTERM or Ctrl-C
    Serve,
    /// Brings both databases' schemas up to date, and ends
    Migrate,
    /// Reads the configuration and says whether it is right
    Config,
    /// Copies both stores into a new folder, while the aggregator runs
    Backup {
        /// The folder; made, and refused where it holds anything
        dir: PathBuf,
    },
    /// Puts a backup in the place of both stores; the aggregator must not run
    Restore {
        /// The backup's folder
        dir: PathBuf,
        /// Replace what the stores hold
        #[arg(long)]
        replace: bool,
    },
    /// The embedded ClickHouse
    #[command(subcommand)]
    Engine(EngineCommand),
    /// A store of several shards
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Size of the telemetry store, and whether its rollups are right
    #[command(subcommand)]
    Store(StoreCommand),
    /// Constituents, sensors, tokens
    #[command(subcommand)]
    Register(RegisterCommand),
    /// Assignments of sensors
    #[command(subcommand)]
    Assignment(AssignmentCommand),
    /// Warnings
    #[command(subcommand)]
    Warning(WarningCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum EngineCommand {
    /// Checks the library (whole SHA-256), the CPU, and that the engine starts
    Check,
    /// Runs the engine alone until SIGTERM or Ctrl-C, for several aggregators of this host: prints their CLICKHOUSE_URL
    Serve,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// Prints the DDL of a cluster, for an administrator to run once
    Ddl {
        /// With replicated tables
        #[arg(long)]
        replicated: bool,
    },
    /// Prints an example of the servers' configuration
    Configuration {
        /// How many shards
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
        shards: u16,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Lists tables with rows, bytes, and how far back they reach
    Sizes,
    /// Compares every rollup with raw; exact while nothing is ingested
    Check {
        /// Days back
        #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=170))]
        days: u32,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegisterCommand {
    /// Loads constituents.csv, networks.csv, sensors.csv, contacts.csv from a folder: all or nothing, again and again
    Load {
        /// The folder
        dir: PathBuf,
        /// Also remove networks, contacts and assignments that are no longer in the files
        #[arg(long)]
        prune: bool,
    },
    /// Lists constituents and sensors
    List,
    /// Issues a token and prints it once
    Token(TokenArgs),
    /// Lists tokens, without their secrets
    Tokens,
    /// Revokes the token whose SHA-256 begins like this
    RevokeToken {
        /// 8 or more digits of its SHA-256
        sha256: String,
    },
    /// Adds a sensor and prints its enrolment token once
    Sensor(SensorArgs),
    /// Issues an enrolment token for a sensor of the register and prints it once
    Enrol {
        /// Name or UUID
        sensor: String,
        /// Days until the token is void
        #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=90))]
        days: u32,
    },
    /// Revokes a sensor: its certificate and its tokens are refused from now on
    Revoke {
        /// Name or UUID
        sensor: String,
    },
}

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenWord {
    /// A constituent's own page and Atom feed
    Feed,
    /// A constituent's own API
    Api,
    /// The Lagebild, for analysts of the CERT
    Cert,
    /// Sending EVE of a foreign sensor over HTTPS
    Eve,
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// What it opens
    pub(crate) kind: TokenWord,
    /// Whose; for feed and api
    #[arg(long)]
    pub(crate) constituent: Option<ConstituentId>,
    /// Which sensor's (name or UUID); for eve
    #[arg(long)]
    pub(crate) sensor: Option<String>,
    /// Who gets it, for what: shown in lists
    #[arg(long, default_value = "")]
    pub(crate) label: String,
    /// Days until it is void; without it, until it is revoked
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct SensorArgs {
    /// Name, unique
    pub(crate) name: String,
    /// Who runs the gateway
    #[arg(long)]
    pub(crate) constituent: ConstituentId,
    /// Whom else it serves
    #[arg(long, value_delimiter = ',')]
    pub(crate) serves: Vec<ConstituentId>,
    /// Seconds between its health events
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub(crate) interval_s: u32,
    /// Its UUID; a new one without
    #[arg(long)]
    pub(crate) id: Option<Uuid>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssignmentCommand {
    /// Writes a sensor's assignment as YAML, unsigned: sign it on a machine that is no aggregator
    Export {
        /// Name or UUID
        sensor: String,
        /// Version; a sensor refuses a lower one than it has seen. Default: seconds since 1970
        #[arg(long)]
        version: Option<u64>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WarningCommand {
    /// Lists warnings, newest first
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: u32,
    },
    /// Shows a warning: texts, deliveries, acknowledgements
    Show {
        /// Its id
        id: Uuid,
    },
    /// Releases a warning to everyone it waits for
    Release {
        /// Its id
        id: Uuid,
        /// Who releases
        #[arg(long)]
        who: String,
        /// Another label than the draft's
        #[arg(long)]
        tlp: Option<Tlp>,
    },
    /// Withdraws a warning
    Withdraw {
        /// Its id
        id: Uuid,
        /// Who withdraws
        #[arg(long)]
        who: String,
        /// Why, in a German sentence: the municipalities read it
        #[arg(long)]
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
