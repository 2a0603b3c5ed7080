// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `register …`: loads the register, issues and revokes tokens, adds and revokes sensors.
//!
//! A token's secret is printed once, to standard output, and exists nowhere else.

use std::fmt::Write as _;

use anyhow::bail;
use lagewarte_base::{
    clock::{Clock as _, SystemClock},
    id::Uuid,
    token::EnrolmentToken,
};
use lagewarte_ingest::Ca;
use lagewarte_store::{
    Scope,
    control::{
        Control,
        load::{self, LoadReport},
        register::{Sensor, SensorState},
        tokens::{NewToken, TokenKind},
    },
};
use serde_json::json;

use super::{open, print, who};
use crate::{
    cli::{Cli, RegisterCommand, SensorArgs, TokenArgs, TokenWord},
    config::Config,
};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

pub(super) async fn run(cli: &Cli, config: &Config, command: &RegisterCommand) -> anyhow::Result<()> {
    let control = open(config).await?;
    let now = SystemClock.now().micros();
    match command {
        RegisterCommand::Load { dir, prune } => {
            let files = match load::read(dir) {
                Ok(files) => files,
                Err(faults) => {
                    let list: Vec<_> = faults.iter().map(|f| format!("  {f}")).collect();
                    bail!("the register in {} is not loaded; correct this:\n{}", dir.display(), list.join("\n"));
                }
            };
            let report = control.load_register(&files, *prune, &who(), now).await?;
            print(cli, &json!(report), &told(&report));
        }
        RegisterCommand::List => list(cli, &control).await?,
        RegisterCommand::Token(args) => token(cli, &control, args, now).await?,
        RegisterCommand::Tokens => tokens(cli, &control).await?,
        RegisterCommand::RevokeToken { sha256 } => {
            let n = control.revoke_token(sha256, &who(), now).await?;
            if n == 0 {
                bail!("no valid token's SHA-256 begins with {sha256}; see: register tokens");
            }
            print(cli, &json!({ "revoked": n }), &format!("{n} revoked"));
        }
        RegisterCommand::Sensor(args) => {
            let sensor = add(&control, args, now).await?;
            enrol(cli, config, &control, &sensor, 7, now).await?;
        }
        RegisterCommand::Enrol { sensor, days } => {
            let sensor = control.sensor_named(sensor).await?;
            enrol(cli, config, &control, &sensor, *days, now).await?;
        }
        RegisterCommand::Revoke { sensor } => {
            let sensor = control.sensor_named(sensor).await?;
            control.revoke_sensor(sensor.id, &who(), now).await?;
            print(cli, &json!({ "revoked": sensor.id }), &format!("sensor {} ({}) is revoked", sensor.name, sensor.id));
        }
    }
    Ok(())
}

fn told(r: &LoadReport) -> String {
    let mut out = String::new();
    for (what, counts) in [("added", &r.added), ("changed", &r.changed), ("unchanged", &r.unchanged)] {
        let list: Vec<_> = counts.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        if !list.is_empty() {
            let _ = writeln!(out, "{what}: {}", list.join(", ")); // writing to a String does not fail
        }
    }
    for (c, old, new) in &r.ags_changes {
        let _ = writeln!(out, "AGS of {c}: {old} until now, {new} from now");
    }
    for (what, list) in [
        ("in the register, no longer in the files, kept", &r.missing),
        ("removed", &r.removed),
        ("overlap", &r.overlaps),
    ] {
        for line in list {
            let _ = writeln!(out, "{what}: {line}");
        }
    }
    out.trim_end().to_owned()
}

async fn list(cli: &Cli, control: &Control) -> anyhow::Result<()> {
    let constituents = control.constituents(&Scope::Land).await?;
    let sensors = control.sensors(&Scope::Land).await?;
    let mut out = String::new();
    for c in &constituents {
        let _ = writeln!(out, "{}\t{}\t{}\t{}", c.id, c.ags, c.kind, c.name);
    }
    for s in &sensors {
        let serves: Vec<_> = s.serves.iter().map(|c| c.as_str()).collect();
        let _ = writeln!(out, "sensor {}\t{}\t{}\tserves {}", s.name, s.id, s.state, serves.join(", "));
    }
    print(cli, &json!({ "constituents": constituents, "sensors": sensors }), out.trim_end());
    Ok(())
}

async fn token(cli: &Cli, control: &Control, args: &TokenArgs, now: i64) -> anyhow::Result<()> {
    let kind = match args.kind {
        TokenWord::Feed => TokenKind::Feed,
        TokenWord::Api => TokenKind::Api,
        TokenWord::Cert => TokenKind::Cert,
        TokenWord::Eve => TokenKind::Eve,
    };
    let sensor = match (&args.sensor, kind) {
        (Some(name), TokenKind::Eve) => Some(control.sensor_named(name).await?.id),
        (None, TokenKind::Eve) => bail!("say which sensor's events it brings: --sensor NAME (see: register list)"),
        (Some(_), _) => bail!("--sensor is for eve tokens; this one has a constituent, or none"),
        (None, _) => None,
    };
    match (&args.constituent, kind) {
        (Some(_), TokenKind::Eve) => {
            bail!("the owner of a sensor's events is in the register; leave --constituent out")
        }
        (Some(_), TokenKind::Cert) => bail!("a cert token is for the whole Land; leave --constituent out"),
        (None, TokenKind::Feed | TokenKind::Api) => bail!("say whose it is: --constituent ID (see: register list)"),
        (Some(c), _) => control.constituent(c).await.map(drop)?,
        (None, _) => {}
    }
    let new = NewToken {
        kind,
        constituent: args.constituent.clone(),
        sensor,
        expires_us: args.days.map(|d| now + i64::from(d) * DAY_US),
        label: args.label.clone(),
    };
    let secret = control.issue_token(&new, &who(), now).await?.text();
    let answer = json!({
        "token": secret,
        "kind": kind,
        "constituent": args.constituent,
        "sensor": sensor,
        "expires_us": new.expires_us,
    });
    print(cli, &answer, &secret);
    Ok(())
}

async fn tokens(cli: &Cli, control: &Control) -> anyhow::Result<()> {
    let all = control.tokens(&Scope::Land).await?;
    let mut out = String::new();
    for t in &all {
        let owner = t.constituent.as_ref().map(ToString::to_string).or(t.sensor.map(|s| s.to_string()));
        let state = match (t.revoked_us, t.used_us) {
            (Some(_), _) => "revoked",
            (None, Some(_)) => "used",
            (None, None) => "valid",
        };
        let digits: String = t.sha256.chars().take(16).collect();
        let _ = writeln!(out, "{digits}\t{}\t{state}\t{}\t{}", t.kind, owner.as_deref().unwrap_or("-"), t.label);
    }
    print(cli, &json!(all), out.trim_end());
    Ok(())
}

async fn add(control: &Control, args: &SensorArgs, now: i64) -> anyhow::Result<Sensor> {
    let name = args.name.trim();
    if name.is_empty() || name.chars().count() > load::MAX_CELL_CHARS || name.chars().any(char::is_control) {
        bail!("a sensor's name is 1 to {} characters, without control characters", load::MAX_CELL_CHARS);
    }
    let sensor = Sensor {
        id: args.id.unwrap_or_else(Uuid::new_v4),
        name: name.to_owned(),
        constituent: args.constituent.clone(),
        serves: args.serves.iter().chain([&args.constituent]).cloned().collect(),
        interval_s: args.interval_s,
        state: SensorState::Invited,
        cert_serial: None,
        cert_not_after_us: None,
    };
    control.add_sensor(&sensor, &who(), now).await?;
    Ok(sensor)
}

async fn enrol(
    cli: &Cli,
    config: &Config,
    control: &Control,
    sensor: &Sensor,
    days: u32,
    now: i64,
) -> anyhow::Result<()> {
    if sensor.state == SensorState::Revoked {
        bail!("sensor {} is revoked; add a new one", sensor.name);
    }
    let ca = Ca::load_or_create(&config.data_dir.join("ca"), SystemClock.now())?;
    let new = NewToken {
        kind: TokenKind::Enrol,
        constituent: None,
        sensor: Some(sensor.id),
        expires_us: Some(now + i64::from(days) * DAY_US),
        label: format!("enrolment of {}", sensor.name),
    };
    let secret = control.issue_token(&new, &who(), now).await?;
    let token = EnrolmentToken { ca_sha256: ca.sha256(), secret: *secret.bytes(), url: config.enrolment_url() };
    let answer = json!({
        "sensor": sensor.id,
        "name": sensor.name,
        "token": token.to_string(),
        "url": token.url,
        "expires_us": new.expires_us,
    });
    let text = format!(
        "{token}\n(for sensor {}, good once, {days} days; on its host: lagewarte-sensor enrol TOKEN)",
        sensor.name
    );
    print(cli, &answer, &text);
    Ok(())
}
