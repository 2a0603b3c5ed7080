// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Builds the world: configuration, aggregator, mail server, register, enrolled sensors with signed assignments.
//!
//! Must never reach past a command line or a documented file of the product.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::Context;
use lagewarte_store::engine::testing::free_port;
use serde_json::Value;

use crate::{
    Constituent, SensorRow,
    paths::{self, aggregator, root, sensor},
    process::{Process, output, wait_for},
    register,
};

/// How a world is.
pub struct Options {
    /// Its folder under `target/e2e`.
    pub name: &'static str,
    /// Who is in the register.
    pub constituents: Vec<Constituent>,
    /// The sensors in the register.
    pub sensors: Vec<SensorRow>,
    /// From how many constituents on something is a campaign.
    pub campaign_k: u32,
    /// Further lines of the aggregator's configuration.
    pub more: String,
}

/// The world: folders, addresses, processes.
pub struct World {
    /// Everything is in here.
    pub dir: PathBuf,
    /// Base URL of the site.
    pub http: String,
    /// The aggregator, where it was started.
    pub aggregator: Option<Process>,
    /// The mail server, where it was started.
    pub mail: Option<Process>,
    /// Python with the packages of `xtask/src/setup.rs`.
    pub python: PathBuf,
    /// Environment of the aggregator and of its commands beside the inherited.
    pub env: Vec<(String, OsString)>,
    /// Host and port at which sensors find the aggregator, where something stands between.
    reached_at: Option<(String, u16)>,
    register: PathBuf,
    campaign_k: u32,
    more: String,
    ports: [u16; 6],
}

/// One sensor's folder.
pub struct Sensor {
    /// As in the register.
    pub name: String,
    /// Configuration, state, release log.
    pub dir: PathBuf,
}

impl World {
    /// A fresh folder with the aggregator's configuration and the register in it.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn new(options: Options) -> anyhow::Result<Self> {
        let dir = paths::target().join("e2e").join(options.name);
        let register = dir.with_extension("register");
        register::write(&register, &options.constituents, &options.sensors)?;
        Self::in_folder(dir, register, options.campaign_k, options.more)
    }

    /// The same in any folder, which is emptied, with a register of files that are there already.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn in_folder(dir: PathBuf, register: PathBuf, campaign_k: u32, more: String) -> anyhow::Result<Self> {
        let _ = fs::remove_dir_all(&dir); // the last run's world
        for sub in ["logs", "aggregator", "sensors", "offline"] {
            fs::create_dir_all(dir.join(sub)).with_context(|| format!("cannot create {}", dir.display()))?;
        }
        let ports = std::array::from_fn(|_| free_port());
        let http = format!("http://127.0.0.1:{}", ports[0]);
        let python = paths::python();
        let (env, reached_at) = (Vec::new(), None);
        let world = Self {
            dir,
            http,
            aggregator: None,
            mail: None,
            python,
            env,
            reached_at,
            register,
            campaign_k,
            more,
            ports,
        };
        fs::write(world.config(), world.yaml())?;
        Ok(world)
    }

    /// Sensors come by way of this host and port instead.
    ///
    /// # Errors
    /// Where the configuration cannot be written again.
    pub fn reached_at(&mut self, host: &str, port: u16) -> anyhow::Result<()> {
        self.reached_at = Some((host.to_owned(), port));
        Ok(fs::write(self.config(), self.yaml())?)
    }

    /// Sends its mail to another world's mail server.
    pub fn mails_of(&mut self, other: &Self) {
        self.ports[4] = other.ports[4];
    }

    fn yaml(&self) -> String {
        let [http, metrics, uplink, enrolment, smtp, clickhouse] = self.ports;
        let (host, port) = self.reached_at.clone().unwrap_or_else(|| ("127.0.0.1".into(), uplink));
        format!(
            "data-dir: {data}\n\
             http: {{ listen: \"127.0.0.1:{http}\", public-url: \"{url}\" }}\n\
             metrics: {{ listen: \"127.0.0.1:{metrics}\" }}\n\
             uplink: {{ listen: \"127.0.0.1:{uplink}\", names: [\"127.0.0.1\", \"{host}\"], public-url: \"https://{host}:{port}\" }}\n\
             enrolment: {{ listen: \"127.0.0.1:{enrolment}\", public-url: \"https://127.0.0.1:{enrolment}\" }}\n\
             clickhouse: {{ http-port: {clickhouse} }}\n\
             picture: {{ interval-ms: 250, campaign: {{ k: {k}, window: 1h }} }}\n\
             warn: {{ policies: [ {{ name: sofort, min-level: 2, tlp: \"TLP:AMBER\" }} ] }}\n\
             mail: {{ smtp: \"smtp://127.0.0.1:{smtp}\", from: \"cert@land.example\" }}\n\
             contact: {{ name: \"CERT\", phone: \"+49 30 23125 110\", mail: \"cert@land.example\" }}\n{more}",
            data = self.data_dir().display(),
            url = self.http,
            k = self.campaign_k,
            more = self.more,
        )
    }

    /// The aggregator's configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("aggregator.yaml")
    }

    /// The aggregator's data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("aggregator")
    }

    /// Where every process writes its log.
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// One JSON line a mail: `to`, `subject`, `text`, `html`, `raw` (base64).
    pub fn mails(&self) -> PathBuf {
        self.dir.join("mails.ndjson")
    }

    /// Where the aggregator itself listens for sensors.
    pub fn uplink_address(&self) -> std::net::SocketAddr {
        std::net::SocketAddr::from(([127, 0, 0, 1], self.ports[2]))
    }

    /// `https://` address that sensors send to.
    pub fn uplink(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports[2])
    }

    /// What the aggregator tells Prometheus.
    ///
    /// # Errors
    /// Where it does not answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        get(&format!("http://127.0.0.1:{}/metrics", self.ports[1]), None)
    }

    /// Loads the register, starts mail server and aggregator, makes the offline signing key.
    ///
    /// # Errors
    /// Where one of them does not come up.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let args: [OsString; 3] = [
            root().join("aggregator/e2e/tools/mailsink.py").into(),
            self.ports[4].to_string().into(),
            self.mails().into(),
        ];
        self.mail = Some(Process::start("mail", &self.python, args, vec![], &self.logs())?);
        let port = self.ports[4];
        let mail = &mut self.mail;
        wait_for("the mail server", Duration::from_secs(20), || {
            mail.as_mut().map_or(Ok(()), Process::alive)?;
            Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        self.cli(&["register", "load", &self.register.to_string_lossy()])?;
        let key = self.dir.join("offline/signing");
        let public = output(Command::new(sensor()?).args(["keys", "new"]).arg(&key))?;
        fs::write(self.dir.join("offline/signing.pub"), public)?;
        self.start_aggregator()
    }

    /// Starts the aggregator alone.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start_aggregator(&mut self) -> anyhow::Result<()> {
        let args: [OsString; 3] = ["serve".into(), "--config".into(), self.config().into()];
        self.aggregator = Some(Process::start("aggregator", &aggregator()?, args, self.env.clone(), &self.logs())?);
        self.wait_for_aggregator()
    }

    /// Waits until the site says it is healthy.
    ///
    /// # Errors
    /// Where the aggregator ends or is silent.
    pub fn wait_for_aggregator(&mut self) -> anyhow::Result<()> {
        let url = format!("{}/healthz", self.http);
        let process = &mut self.aggregator;
        wait_for("the aggregator's start", Duration::from_secs(60), || {
            process.as_mut().map_or(Ok(()), Process::alive)?;
            Ok(get(&url, None).is_ok())
        })
    }

    /// One aggregator command; what it printed.
    ///
    /// # Errors
    /// Where it ends badly.
    pub fn cli(&self, args: &[&str]) -> anyhow::Result<String> {
        let env = self.env.iter().map(|(k, v)| (k, v));
        output(Command::new(aggregator()?).args(args).arg("--config").arg(self.config()).envs(env))
    }

    /// The same with `--json`.
    ///
    /// # Errors
    /// Where it ends badly or prints no JSON.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.cli(&[args, &["--json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("lagewarte-aggregator {} answered no JSON: {text}", args.join(" ")))
    }

    /// A token: `["feed", "--constituent", "x"]`, `["cert", "--label", "x"]`.
    ///
    /// # Errors
    /// Where none is made.
    pub fn token(&self, args: &[&str]) -> anyhow::Result<String> {
        let answer = self.json(&[&["register", "token"], args].concat())?;
        answer["token"].as_str().map(str::to_owned).with_context(|| format!("no token in {answer}"))
    }

    /// A one-time enrolment token for a sensor of the register.
    ///
    /// # Errors
    /// Where none is made.
    pub fn enrolment_token(&self, sensor: &str) -> anyhow::Result<String> {
        let answer = self.json(&["register", "enrol", sensor])?;
        answer["token"].as_str().map(str::to_owned).with_context(|| format!("no token in {answer}"))
    }

    /// A sensor's folder with a configuration: `more` is appended inside the section `lagewarte`, `top` outside of it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn prepare(&self, name: &str, home_net: &str, top: &str) -> anyhow::Result<Sensor> {
        let s = Sensor { name: name.to_owned(), dir: self.dir.join("sensors").join(name) };
        fs::create_dir_all(s.state())?;
        let public = fs::read_to_string(self.dir.join("offline/signing.pub"))?;
        fs::write(s.config(), s.yaml(public.trim(), home_net, top))?;
        Ok(s)
    }

    /// Enrols a prepared sensor and gives it its assignment, signed.
    ///
    /// # Errors
    /// Where a step fails.
    pub fn enrol(&self, s: &Sensor) -> anyhow::Result<()> {
        let token = self.enrolment_token(&s.name)?;
        output(Command::new(sensor()?).args(["enrol", &token]).arg("-c").arg(s.config()))
            .with_context(|| format!("{} could not enrol", s.name))?;
        let assignment = self.cli(&["assignment", "export", &s.name])?;
        self.sign(&s.state().join("assignment.yaml"), "assignment", &assignment)
    }

    /// Writes a file and signs it with the offline key.
    ///
    /// # Errors
    /// Where the sensor's `sign` refuses it.
    pub fn sign(&self, file: &Path, purpose: &str, text: &str) -> anyhow::Result<()> {
        fs::write(file, text)?;
        let key = self.dir.join("offline/signing");
        output(Command::new(sensor()?).arg("sign").arg(file).args(["--purpose", purpose, "--key"]).arg(key)).map(drop)
    }

    /// Starts a sensor with these arguments (`run -r …`, `tail …`); its configuration is added.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start_sensor(&self, s: &Sensor, args: &[&str]) -> anyhow::Result<Process> {
        let args = args.iter().map(OsString::from).chain(["-c".into(), s.config().into()]);
        Process::start(&s.name, &sensor()?, args, vec![], &self.logs())
    }

    /// Runs one of the Python programs in `tools/`; what it printed.
    ///
    /// # Errors
    /// Where it ends badly.
    pub fn tool(&self, script: &str, args: &[&str]) -> anyhow::Result<String> {
        output(Command::new(&self.python).arg(root().join("aggregator/e2e/tools").join(script)).args(args))
    }

    /// Asks ClickHouse as the read-only user; rows as JSON arrays of strings.
    ///
    /// # Errors
    /// Where the engine does not answer or refuses the query.
    pub fn sql(&self, query: &str) -> anyhow::Result<Vec<Vec<String>>> {
        let text = self.tool("sql.py", &[&self.data_dir().to_string_lossy(), query])?;
        Ok(serde_json::from_str(&text)?)
    }
}

impl Sensor {
    /// Its configuration.
    pub fn config(&self) -> PathBuf {
        self.dir.join("sensor.yaml")
    }
    /// Its state directory.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }
    /// NDJSON of everything that left.
    pub fn release_log(&self) -> PathBuf {
        self.dir.join("released.ndjson")
    }

    fn yaml(&self, public_key: &str, home_net: &str, top: &str) -> String {
        format!(
            "%YAML 1.1\n---\n\
             vars:\n  address-groups:\n    HOME_NET: \"{home_net}\"\n    EXTERNAL_NET: \"!$HOME_NET\"\n\
             default-rule-path: {rules}\nrule-files: [\"*.rules\"]\nclassification-file: {rules}/classification.config\n{top}\
             lagewarte:\n  state-dir: {state}\n  trusted-keys: [\"{public_key}\"]\n  release-log: {log}\n",
            rules = root().join("rules/sets").display(),
            state = self.state().display(),
            log = self.release_log().display(),
        )
    }
}

/// A page of the site, as somebody sees it who is logged in with this token.
///
/// # Errors
/// Where nobody answers, or not with 2xx.
pub fn page(url: &str, token: &str) -> anyhow::Result<String> {
    let request = ureq::get(url).header("Cookie", format!("lagewarte={token}"));
    Ok(request.config().timeout_global(Some(Duration::from_secs(5))).build().call()?.body_mut().read_to_string()?)
}

/// Body of an HTTP answer, asked with a bearer token where one is given; an error where it is not 2xx.
///
/// # Errors
/// Where nobody answers, or not with 2xx.
pub fn get(url: &str, token: Option<&str>) -> anyhow::Result<String> {
    let mut request = ureq::get(url);
    if let Some(token) = token {
        request = request.header("Authorization", &format!("Bearer {token}"));
    }
    Ok(request.config().timeout_global(Some(Duration::from_secs(5))).build().call()?.body_mut().read_to_string()?)
}
