// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The fictional Land on this machine: its register, tokens, sensors with a composed line each, municipalities.
//!
//! Everything goes through the two binaries' command lines, as an operator would do it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use lagewarte_e2e::{Process, Sensor, World, get, page};
use lagewarte_testkit::{Capture, Map};
use serde_json::{Value, json};

use super::{plan, seconds};
use crate::{paths, run::output};

/// How long `rules/captures/background.pcap` lasts: an hour, in seconds.
pub(crate) const BACKGROUND_S: f64 = 3600.0;

/// The Land: the world of processes, and what the demo knows of it.
pub(crate) struct Land {
    pub(crate) world: World,
    pub(crate) cert_token: String,
    /// Feed tokens by constituent.
    pub(crate) feed_tokens: BTreeMap<String, String>,
    pub(crate) gateways: Vec<Gateway>,
}

/// One row of `dashboards/land/sensors.csv`.
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) serves: Vec<String>,
    sensor: Option<Sensor>,
}

impl Land {
    /// A fresh world under the build output.
    pub(crate) fn new(python: PathBuf) -> anyhow::Result<Self> {
        let register = paths::root().join("dashboards/land");
        let map = format!("site: {{ map: \"{}\" }}\n", register.join("map.geojson").display());
        let mut world = World::in_folder(paths::target_dir().join("demo"), register, 3, map)?;
        world.python = python;
        Ok(Self { world, cert_token: String::new(), feed_tokens: BTreeMap::new(), gateways: read_gateways()? })
    }

    /// Makes the CERT's and the municipalities' tokens.
    pub(crate) fn issue_tokens(&mut self) -> anyhow::Result<()> {
        self.cert_token = self.world.token(&["cert", "--label", "Demo"])?;
        for c in plan::touched().map(|(c, _)| c).chain(plan::UNTOUCHED.iter().copied()) {
            if !self.feed_tokens.contains_key(c) {
                let token = self.world.token(&["feed", "--constituent", c])?;
                self.feed_tokens.insert(c.to_owned(), token);
            }
        }
        Ok(())
    }

    /// Enrols every sensor, signs its assignment offline, composes its line: an hour of background, then the attacks.
    pub(crate) fn prepare_sensors(&mut self, progress: impl Fn(&str)) -> anyhow::Result<()> {
        for g in &mut self.gateways {
            progress(&g.name);
            let s = self.world.prepare(&g.name, &home_net(&g.serves)?, "")?;
            self.world.enrol(&s)?;
            if g.name == plan::FOREIGN {
                fs::write(foreign_eve(&s), "")?;
            } else {
                fs::write(line(&s), compose(&g.serves)?)?;
            }
            g.sensor = Some(s);
        }
        Ok(())
    }

    /// Starts one sensor: on its line as if live, or on the foreign eve.json. `zero` is when the attacks begin.
    pub(crate) fn start_sensor(&self, g: &Gateway, zero: i64, speed: f64) -> anyhow::Result<Process> {
        let s = g.sensor()?;
        if g.name == plan::FOREIGN {
            return self.world.start_sensor(s, &["tail", &foreign_eve(s).to_string_lossy()]);
        }
        let start_at = (zero - seconds(BACKGROUND_S)).to_string();
        let play_at = (zero - seconds(BACKGROUND_S / speed)).to_string();
        let (line, speed) = (line(s), speed.to_string());
        let args = ["--pace", &speed, "--start-at", &start_at, "--play-at", &play_at];
        self.world.start_sensor(s, &[&["run", "-r", &line.to_string_lossy()], &args[..]].concat())
    }

    /// The eve.json that the demo writes in the place of a Suricata.
    pub(crate) fn foreign_eve(&self) -> anyhow::Result<PathBuf> {
        let g = self.gateways.iter().find(|g| g.name == plan::FOREIGN).context("no sensor with a foreign eve.json")?;
        Ok(foreign_eve(g.sensor()?))
    }

    /// A municipality's own process, with its own token only.
    pub(crate) fn start_municipality(&self, constituent: &str, seconds: f64) -> anyhow::Result<Process> {
        let token = self.feed_tokens.get(constituent).context("no token for this constituent")?;
        let args: [OsString; 5] = [
            script("municipality.py").into(),
            self.world.http.clone().into(),
            token.into(),
            seconds.to_string().into(),
            self.acknowledged(constituent).into(),
        ];
        Process::start(&format!("gemeinde-{constituent}"), &self.world.python, args, vec![], &self.world.logs())
    }

    /// Where a municipality's process writes down what it has acknowledged.
    pub(crate) fn acknowledged(&self, constituent: &str) -> PathBuf {
        self.world.dir.join(format!("acknowledged-{constituent}.ndjson"))
    }

    /// What the site's API says of a sensor's coverage.
    pub(crate) fn coverage_of(&self, sensor: &str) -> anyhow::Result<Option<String>> {
        let text = get(&format!("{}/api/v1/lage", self.world.http), Some(&self.cert_token))?;
        let lage: Value = serde_json::from_str(&text)?;
        let row = lage["sensors"].as_array().into_iter().flatten().find(|s| s["name"] == sensor).cloned();
        Ok(row.and_then(|s| s["sight"].as_str().map(str::to_owned)))
    }

    /// The Lagebild page as the CERT sees it.
    pub(crate) fn lagebild(&self) -> anyhow::Result<String> {
        page(&format!("{}/lage", self.world.http), &self.cert_token)
    }

    /// Counts with independent clients: clickhouse-connect and Python's sqlite3.
    pub(crate) fn measure(&self, start_us: i64) -> anyhow::Result<Value> {
        let released: Vec<_> = self.gateways.iter().filter_map(|g| Some(g.sensor.as_ref()?.release_log())).collect();
        let acknowledged: serde_json::Map<_, _> =
            self.feed_tokens.keys().map(|c| (c.clone(), json!(self.acknowledged(c)))).collect();
        let question = json!({
            "data": self.world.data_dir(),
            "tools": paths::root().join("aggregator/e2e/tools"),
            "released": released,
            "mails": self.world.mails(),
            "acknowledged": acknowledged,
            "start_us": start_us,
        });
        let text = output(Command::new(&self.world.python).arg(script("measure.py")).arg(question.to_string()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Gateway {
    fn sensor(&self) -> anyhow::Result<&Sensor> {
        self.sensor.as_ref().with_context(|| format!("{} is not prepared", self.name))
    }
}

fn script(name: &str) -> PathBuf {
    paths::root().join("xtask/src/demo").join(name)
}

fn line(s: &Sensor) -> PathBuf {
    s.dir.join("line.pcap")
}

fn foreign_eve(s: &Sensor) -> PathBuf {
    s.dir.join("eve.json")
}

fn read_gateways() -> anyhow::Result<Vec<Gateway>> {
    let text = fs::read_to_string(paths::root().join("dashboards/land/sensors.csv"))?;
    let gateways: Vec<_> = text
        .lines()
        .skip(1)
        .filter_map(|l| {
            let f: Vec<_> = l.split(',').collect();
            let (name, serves) = (*f.get(1)?, *f.get(3)?);
            Some(Gateway {
                name: name.to_owned(),
                serves: serves.split(';').map(str::to_owned).collect(),
                sensor: None,
            })
        })
        .collect();
    ensure!(gateways.len() >= 8, "the demo wants eight sensors; sensors.csv has {}", gateways.len());
    Ok(gateways)
}

/// The second octet of a constituent's 10.n.0.0/16.
pub(crate) fn network(constituent: &str) -> anyhow::Result<u8> {
    let text = fs::read_to_string(paths::root().join("dashboards/land/networks.csv"))?;
    text.lines()
        .find_map(|l| l.strip_prefix(constituent)?.strip_prefix(",10.")?.split('.').next()?.parse().ok())
        .with_context(|| format!("networks.csv has no 10.n.0.0/16 of {constituent}"))
}

fn home_net(serves: &[String]) -> anyhow::Result<String> {
    let nets: anyhow::Result<Vec<_>> = serves.iter().map(|c| Ok(format!("10.{}.0.0/16", network(c)?))).collect();
    Ok(format!("[{}]", nets?.join(",")))
}

/// The line of one gateway: for each constituent behind it an hour of legitimate traffic, then its attacks.
fn compose(serves: &[String]) -> anyhow::Result<Vec<u8>> {
    let root = paths::root().join("rules");
    let mut parts = Vec::new();
    for c in serves {
        parts.push(part(&root.join("captures/background.pcap"), 0.0, c, None)?);
        for (_, attack) in plan::touched().filter(|(who, _)| who == c) {
            let at = attack.at.iter().find(|(who, _)| who == c).map_or(0.0, |(_, at)| *at);
            let file = root.join("sets/tests").join(attack.case).join("fires.pcap");
            parts.push(part(&file, BACKGROUND_S + at, c, Some(attack.attacker))?);
        }
    }
    let parts: Vec<(&[u8], i64, &Map)> = parts.iter().map(|(bytes, at, map)| (bytes.as_slice(), *at, map)).collect();
    Ok(lagewarte_testkit::compose(&parts)?)
}

/// A recording, when it begins, and where its addresses are in this demo: the recorded town hall (10.20.0.0/16) in the
/// constituent's network, the recorded attackers at the attack's own outside address.
fn part(file: &Path, at: f64, constituent: &str, attacker: Option<&str>) -> anyhow::Result<(Vec<u8>, i64, Map)> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let n = network(constituent)?;
    let mut map = Map::new();
    for p in Capture::read(&bytes)?.packets {
        // Addresses of an IPv4 frame without VLAN, as the recordings are; others keep theirs.
        let Some([0x08, 0x00, header @ ..]) = p.data.get(12..34) else { continue };
        for four in header[12..20].chunks_exact(4) {
            let from = Ipv4Addr::new(four[0], four[1], four[2], four[3]);
            match (from.octets(), attacker) {
                ([10, 20, c, d], _) => drop(map.insert(IpAddr::V4(from), IpAddr::from([10, n, c, d]))),
                (_, Some(a)) if plan::RECORDED_ATTACKERS.contains(&from.to_string().as_str()) => {
                    map.insert(IpAddr::V4(from), a.parse()?);
                }
                _ => {}
            }
        }
    }
    Ok((bytes, seconds(at), map))
}
