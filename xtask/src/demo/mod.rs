// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The whole chain on one machine.

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs unattended to the end.
    #[arg(long)]
    once: bool,
    /// Last line is one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
pub(crate) fn main(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("being built")
}
