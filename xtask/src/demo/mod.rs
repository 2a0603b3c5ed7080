// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The whole chain on one machine: a fictional Land, its sensors on real captures, the aggregator, a mail server, and
//! municipalities that read their feeds and acknowledge.
//!
//! Must never touch anything outside its folder under the build output and ports of the loopback interface.

mod plan;
mod story;
mod world;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    engine,
    run::{cargo, check},
    setup,
};
use world::Land;

/// Arguments of `cargo xtask demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Runs unattended to the end, and checks what came of it.
    #[arg(long)]
    once: bool,
    /// With --once: the last line is one JSON object.
    #[arg(long)]
    json: bool,
    /// How many times as fast the hour of legitimate traffic before the attacks is played.
    #[arg(long, default_value_t = 400.0)]
    speed: f64,
    /// Kills nothing: for watching, not for proving.
    #[arg(long)]
    gentle: bool,
}

/// Runs the demo.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    anyhow::ensure!(args.speed >= 1.0, "--speed must be 1 or more: the hour before has to be over at some time");
    setup::ensure(setup::Need::Demo)?;
    engine::ensure()?;
    let python = setup::python()?;
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{elapsed:>4} {spinner} {msg}")?);
    bar.enable_steady_tick(Duration::from_millis(200));
    let say = |text: &str| {
        if bar.is_hidden() {
            eprintln!("{text}"); // not a terminal: one line a step
        }
        bar.set_message(text.to_owned());
    };
    if std::env::var_os("LAGEWARTE_BIN_DIR").is_none() {
        say("building (the first time takes some minutes)");
        // The whole workspace: a smaller choice would unify features differently, program by program.
        check(&mut cargo(&["build", "--quiet", "--locked", "--workspace", "--bins"]))?;
    }
    let begun = Instant::now();

    let mut land = Land::new(python)?;
    say("starting the mail server and the aggregator with its engine; loading the register of Land Auenmark");
    land.world.start()?;
    land.issue_tokens()?;
    land.prepare_sensors(|name| say(&format!("enrolling {name}")))?;

    // The hour before is over two seconds after now plus its playing time; then the attacks begin.
    let zero = now_us() + seconds(2.0 + world::BACKGROUND_S / args.speed);
    let told = story::Told { zero, speed: args.speed, kills: !args.gentle };
    if args.once {
        let report = story::play(&mut land, &told, &say)?;
        bar.finish_and_clear();
        story::print(&report, begun.elapsed(), args.json)
    } else {
        bar.suspend(|| where_to_look(&land));
        story::watch(&mut land, &told, &|text| bar.suspend(|| println!("{text}")))
    }
}

fn where_to_look(land: &Land) {
    println!("\nLagebild of the CERT:   {}/anmelden?token={}", land.world.http, land.cert_token);
    for (constituent, token) in &land.feed_tokens {
        println!(
            "{constituent:<28} page {}/anmelden?token={token}\n{:<28} feed {}/feed/{token}/atom.xml",
            land.world.http, "", land.world.http
        );
    }
    println!("Mails: {}   Logs: {}", land.world.mails().display(), land.world.logs().display());
    println!(
        "Look at: the map turning yellow and orange, erlenwerder going blind, the warnings, who has not answered."
    );
    println!("Ctrl-C ends everything.\n");
}

/// Now, in microseconds since the epoch.
fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_possible_truncation, reason = "the demo lasts minutes")]
fn seconds(s: f64) -> i64 {
    (s * 1e6) as i64
}
