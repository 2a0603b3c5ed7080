// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `warning …`: lists, shows, releases and withdraws warnings, as the Lagebild page does.

use std::fmt::Write as _;

use anyhow::bail;
use lagewarte_base::{
    berlin,
    clock::{Clock as _, SystemClock},
    time::Timestamp,
};
use lagewarte_store::{Scope, control::warnings::Warning};
use lagewarte_warn::Warner;
use serde_json::json;

use super::{open, print};
use crate::{
    cli::{Cli, WarningCommand},
    config::Config,
    start,
};

pub(super) async fn run(cli: &Cli, config: &Config, command: &WarningCommand) -> anyhow::Result<()> {
    let control = open(config).await?;
    let now = SystemClock.now().micros();
    let warner = || -> anyhow::Result<Warner> {
        Ok(Warner::new(control.clone(), start::links(config)?, config.warn.clone(), config.contact.clone()))
    };
    match command {
        WarningCommand::List { limit } => {
            let all = control.warnings(&Scope::Land, *limit).await?;
            let lines: Vec<_> = all.iter().map(line).collect();
            print(cli, &json!(all), &lines.join("\n"));
        }
        WarningCommand::Show { id } => {
            let Some(w) = control.warning(&Scope::Land, *id).await? else { bail!("there is no warning {id}") };
            print(cli, &json!(w), &shown(&w));
        }
        WarningCommand::Release { id, who, tlp } => {
            let newly = warner()?.release(*id, who, *tlp, now).await?;
            let names: Vec<_> = newly.iter().map(|c| c.as_str()).collect();
            let text = match names.len() {
                0 => "nobody was waiting for it".to_owned(),
                n => format!("released to {n}: {}", names.join(", ")),
            };
            print(cli, &json!({ "released": names }), &text);
        }
        WarningCommand::Withdraw { id, who, why } => {
            warner()?.withdraw(*id, who, why, now).await?;
            print(cli, &json!({ "withdrawn": id }), "withdrawn");
        }
    }
    Ok(())
}

fn line(w: &Warning) -> String {
    let released = w.addressed.iter().filter(|a| a.released_us.is_some()).count();
    let answered = w.addressed.iter().filter(|a| a.acknowledged.is_some()).count();
    format!(
        "{}\t{}\t{}\tStufe {}\t{}\t{released} of {} warned, {answered} acknowledged\t{}",
        w.id,
        berlin::date_time(Timestamp::from_micros(w.drafted_us)),
        w.state,
        w.level,
        w.tlp,
        w.addressed.len(),
        w.title
    )
}

fn shown(w: &Warning) -> String {
    let mut out = format!("{}\n{}\n", line(w), w.summary);
    for a in &w.addressed {
        let _ = writeln!(out, "\n== {}{}\n{}", a.constituent, if a.late { " (late)" } else { "" }, a.text);
        for d in &a.deliveries {
            let _ = writeln!(out, "-- {} {}: {} {}", d.channel, d.recipient, d.state, d.error);
        }
        if let Some(k) = &a.acknowledged {
            let when = berlin::date_time(Timestamp::from_micros(k.acknowledged_us));
            let _ = writeln!(out, "-- acknowledged {when} by {} {}", k.via, k.who);
        }
    }
    out.trim_end().to_owned()
}
