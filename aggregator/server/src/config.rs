// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The configuration file: YAML, every key optional, unknown keys refused.
//!
//! [`KEYS`] is the one table of all keys: `docs/aggregator-config.md` is made of it, and tests hold that it names exactly
//! the keys that are read and their real defaults. Must never hold a secret: passwords are in files of their own.

mod keys;

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lagewarte_deliver::MailConfig;
use lagewarte_picture::PictureConfig;
use lagewarte_warn::{CertContact, WarnConfig};
use serde::Deserialize;

pub use keys::{KEYS, Key, documentation};

/// Where the file is looked for where nobody names one.
pub const DEFAULT_PATH: &str = "/etc/lagewarte/aggregator.yaml";
/// Largest file read. Threat: the wrong file.
pub const MAX_BYTES: u64 = 1 << 20;

/// The whole configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// See [`KEYS`], as for every field below.
    pub data_dir: PathBuf,
    /// The site.
    pub http: Http,
    /// The Lagebild's map.
    pub site: SiteSection,
    /// Prometheus.
    pub metrics: Metrics,
    /// Sensors' listener.
    pub uplink: Uplink,
    /// Enrolment's listener.
    pub enrolment: Enrolment,
    /// Foreign sensors' listener.
    pub foreign: Foreign,
    /// Telemetry store.
    pub clickhouse: Clickhouse,
    /// Control plane.
    pub control: ControlSection,
    /// Ingest.
    pub ingest: IngestSection,
    /// Picture.
    pub picture: PictureConfig,
    /// Warnings.
    pub warn: WarnConfig,
    /// Mail; None: no mail is sent.
    pub mail: Option<MailConfig>,
    /// Whom municipalities call.
    pub contact: CertContact,
}

/// Section `http`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Http {
    /// Address and port of the site.
    pub listen: SocketAddr,
    /// How readers reach it; stands in feeds and mails.
    pub public_url: Option<String>,
}

/// Section `site`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SiteSection {
    /// GeoJSON of the municipalities.
    pub map: Option<PathBuf>,
}

/// Section `metrics`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metrics {
    /// Address and port of `/metrics`.
    pub listen: SocketAddr,
}

/// Section `uplink`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Uplink {
    /// Address and port for sensors.
    pub listen: SocketAddr,
    /// Names and addresses under which sensors reach this host.
    pub names: Vec<String>,
    /// `https://host:port` that sensors are told.
    pub public_url: Option<String>,
}

/// Section `enrolment`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Enrolment {
    /// Address and port for enrolment.
    pub listen: SocketAddr,
    /// `https://host:port` that stands in enrolment tokens.
    pub public_url: Option<String>,
}

/// Section `foreign`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Foreign {
    /// Address and port for EVE over HTTPS; None: not taken.
    pub listen: Option<SocketAddr>,
    /// Classes of events that are taken.
    pub classes: Vec<String>,
}

impl Default for Foreign {
    fn default() -> Self {
        Self { listen: None, classes: vec!["alert".into(), "health".into()] }
    }
}

/// Section `clickhouse`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Clickhouse {
    /// A server's URL; None: the embedded engine.
    pub url: Option<String>,
    /// The embedded engine's library.
    pub library: Option<PathBuf>,
    /// Port of the embedded engine on 127.0.0.1; 0: any free one.
    pub http_port: u16,
    /// One server's URL for each shard; empty: one node, by `url`.
    pub shards: Vec<String>,
    /// Name of the cluster in the servers' `remote_servers`.
    pub cluster: String,
    /// Size of the store in GiB; None: a tenth of the disk stays free.
    pub max_gib: Option<u64>,
    /// Folder on a server's machine into which backups go.
    pub backup_path: Option<PathBuf>,
}

/// Section `control`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ControlSection {
    /// `sqlite:PATH` or `postgres://…`; None: a file in the data directory.
    pub url: Option<String>,
}

/// Section `ingest`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct IngestSection {
    /// A segment is closed this long after its first event.
    pub flush_ms: u64,
    /// Or at this many rows.
    pub flush_rows: usize,
    /// Validity of a sensor's certificate.
    pub certificate_days: u32,
    /// Events a second of one constituent.
    pub constituent_events: u32,
    /// Bytes a second of one constituent.
    pub constituent_bytes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/lagewarte-aggregator".into(),
            http: Http::default(),
            site: SiteSection::default(),
            metrics: Metrics::default(),
            uplink: Uplink::default(),
            enrolment: Enrolment::default(),
            foreign: Foreign::default(),
            clickhouse: Clickhouse::default(),
            control: ControlSection::default(),
            ingest: IngestSection::default(),
            picture: PictureConfig::default(),
            warn: WarnConfig::default(),
            mail: None,
            contact: CertContact::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), public_url: None }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for Uplink {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7443)), names: vec!["localhost".into()], public_url: None }
    }
}

impl Default for Enrolment {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([0, 0, 0, 0], 7444)), public_url: None }
    }
}

impl Default for Clickhouse {
    fn default() -> Self {
        Self {
            url: None,
            library: None,
            http_port: 0,
            shards: Vec::new(),
            cluster: "lagewarte".into(),
            max_gib: None,
            backup_path: None,
        }
    }
}

impl Default for IngestSection {
    fn default() -> Self {
        let lagewarte_ingest::Budget { events, bytes } = lagewarte_ingest::Budget::default();
        Self {
            flush_ms: 100,
            flush_rows: 20_000,
            certificate_days: 90,
            constituent_events: events,
            constituent_bytes: bytes,
        }
    }
}

/// What is wrong with the configuration: file, key, what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file named, or the default one where it exists, or gives the defaults; then the environment.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn load(path: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        let path = path.or(Some(default).filter(|p| p.exists()));
        let mut config = match path {
            None => Self::default(),
            Some(path) => {
                let wrong = |what: String| ConfigError(format!("configuration {}: {what}", path.display()));
                let size = std::fs::metadata(path).map_err(|e| wrong(format!("cannot be read: {e}")))?.len();
                if size > MAX_BYTES {
                    return Err(wrong("is larger than 1 MiB; this is no configuration".into()));
                }
                let text = std::fs::read_to_string(path).map_err(|e| wrong(format!("cannot be read: {e}")))?;
                Self::parse(&text).map_err(|e| wrong(e.0))?
            }
        };
        let filled = |name: &str| env(name).filter(|v| !v.is_empty());
        config.clickhouse.url = filled("CLICKHOUSE_URL").or(config.clickhouse.url);
        config.control.url = filled("LAGEWARTE_CONTROL_URL").or(config.control.url);
        Ok(config)
    }

    /// Reads YAML text; an empty one gives the defaults.
    ///
    /// # Errors
    /// [`ConfigError`], without the file's name.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let read: Option<Self> = serde_yaml_ng::from_str(text).map_err(|e| ConfigError(e.to_string()))?;
        let config = read.unwrap_or_default();
        config.check().map_err(ConfigError)?;
        Ok(config)
    }

    /// What the types do not hold.
    fn check(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for (key, address) in [
            ("http.listen", self.http.listen),
            ("metrics.listen", self.metrics.listen),
            ("uplink.listen", self.uplink.listen),
            ("enrolment.listen", self.enrolment.listen),
        ]
        .into_iter()
        .chain(self.foreign.listen.map(|a| ("foreign.listen", a)))
        {
            if address.port() != 0 && !seen.insert(address) {
                return Err(format!("{key}: {address} is another listener's already"));
            }
        }
        for (key, url, schemes) in [
            ("http.public-url", &self.http.public_url, &["http://", "https://"][..]),
            ("uplink.public-url", &self.uplink.public_url, &["https://"]),
            ("enrolment.public-url", &self.enrolment.public_url, &["https://"]),
        ] {
            let Some(url) = url else { continue };
            let rest = schemes.iter().find_map(|s| url.strip_prefix(s));
            let fine = rest.is_some_and(|r| !r.is_empty()) && !url.contains(char::is_whitespace);
            if !fine {
                return Err(format!("{key}: {url:?} is no address; it begins with {}", schemes.join(" or ")));
            }
        }
        if self.uplink.names.is_empty() {
            return Err("uplink.names: is empty; name this host as sensors reach it".into());
        }
        if self.clickhouse.url.is_some() && !self.clickhouse.shards.is_empty() {
            return Err("clickhouse.shards: clickhouse.url is set, too; name a single server or the shards".into());
        }
        if self.clickhouse.max_gib == Some(0) {
            return Err(
                "clickhouse.max-gib: 0 would drop everything; leave it out to keep a tenth of the disk free".into()
            );
        }
        if !(1..=10_000).contains(&self.ingest.flush_ms) {
            return Err(format!("ingest.flush-ms: {} is not from 1 to 10000", self.ingest.flush_ms));
        }
        if !(1..=1_000_000).contains(&self.ingest.flush_rows) {
            return Err(format!("ingest.flush-rows: {} is not from 1 to 1000000", self.ingest.flush_rows));
        }
        if !(1..=397).contains(&self.ingest.certificate_days) {
            return Err(format!("ingest.certificate-days: {} is not from 1 to 397", self.ingest.certificate_days));
        }
        if self.ingest.constituent_events == 0 || self.ingest.constituent_bytes == 0 {
            return Err("ingest.constituent-events, ingest.constituent-bytes: have to be 1 or more".into());
        }
        const CLASSES: [&str; 6] = ["alert", "health", "flow", "anomaly", "protocol", "file"];
        if let Some(other) = self.foreign.classes.iter().find(|c| !CLASSES.contains(&c.as_str())) {
            return Err(format!("foreign.classes: {other:?} is no event class; there are: {}", CLASSES.join(", ")));
        }
        self.picture.check()?;
        self.warn.check().map_err(|e| e.to_string())?;
        self.contact.check().map_err(|e| e.to_string())?;
        if let Some(mail) = &self.mail {
            mail.server().map_err(|e| e.to_string())?;
            mail.sender().map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The control plane's database.
    pub fn control_url(&self) -> String {
        let own = || format!("sqlite:{}", self.data_dir.join("control.db").display());
        self.control.url.clone().unwrap_or_else(own)
    }

    /// How readers reach the site.
    pub fn public_url(&self) -> String {
        let own = || format!("http://{}", self.http.listen);
        self.http.public_url.clone().unwrap_or_else(own).trim_end_matches('/').to_owned()
    }

    /// The address in enrolment tokens: configured, or the first name and the port.
    pub fn enrolment_url(&self) -> String {
        let name = self.uplink.names.first().map_or("localhost", String::as_str);
        let host = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
        let own = || format!("https://{host}:{}", self.enrolment.listen.port());
        self.enrolment.public_url.clone().unwrap_or_else(own)
    }
}

#[cfg(test)]
mod tests;
