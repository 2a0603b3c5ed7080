// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The signed files in the state directory: `assignment.yaml` and `profile.yaml`, each with its `.sig`.
//!
//! Must never return content that no trusted key signed, that is for another sensor, or that is older than what this
//! sensor has seen (`seen.json`). A profile that was in force cannot be taken away by removing the file: without it the
//! default would hold, which may be wider.

use std::{
    io,
    path::{Path, PathBuf},
};

use lagewarte_base::{
    assignment::Assignment,
    fs::{Fs as _, RealFs},
    id::Uuid,
    profile::Profile,
    signed::{self, PublicKey, Purpose, SignedError},
};
use ring::digest;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::profile_fault;

/// What was read: in force from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orders {
    /// Who owns what.
    pub assignment: Assignment,
    /// What leaves.
    pub profile: Profile,
}

/// Why a sensor may not start.
#[derive(Debug, thiserror::Error)]
pub enum OrdersError {
    /// No key is trusted.
    #[error(
        "no key is trusted to sign this sensor's assignment: put the CERT's public key under lagewarte.trusted-keys in the configuration"
    )]
    NoTrustedKey,
    /// No assignment.
    #[error(
        "there is no assignment at {path}: without it the sensor cannot tell whose traffic it sees, so nothing may leave. Ask the CERT for assignment.yaml and assignment.yaml.sig of sensor {sensor} and copy both there"
    )]
    NoAssignment {
        /// Where it should be.
        path: PathBuf,
        /// For whom.
        sensor: Uuid,
    },
    /// The profile that was in force is gone.
    #[error(
        "the release profile {path} was in force (version {version}) and is missing: put it back with its .sig, or sign a newer one"
    )]
    ProfileGone {
        /// Where it was.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
    /// Signature or reading.
    #[error(
        "{path}: {source}. Copy the file and its .sig again as you got them, or add the signer's public key under lagewarte.trusted-keys"
    )]
    Signed {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: SignedError,
    },
    /// Signed, and yet not what it should be.
    #[error("{path} is signed, but {what}. Ask whoever signed it for a correct one")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Older than what was seen.
    #[error(
        "{path} has version {version}, but version {seen} was in force here: an older file is refused. Use the newer one, or have it signed again with a higher version"
    )]
    Rollback {
        /// Which file.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// The version seen.
        seen: u64,
    },
    /// The memory of versions cannot be read or written.
    #[error(
        "{path}: {source}. Without this file the sensor cannot refuse older orders; make the state directory writable, or put the file back"
    )]
    Seen {
        /// `seen.json`.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The highest versions this sensor has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    sensor: Uuid,
    assignment: Option<Version>,
    profile: Option<Version>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Version {
    version: u64,
    /// Of the file: two different files of one version are one too many.
    sha256: String,
}

/// Reads the orders of `sensor` and remembers their versions.
///
/// # Errors
/// Every [`OrdersError`]; nothing may leave then.
pub fn read(state_dir: &Path, sensor: Uuid, trusted: &[PublicKey]) -> Result<Orders, OrdersError> {
    if trusted.is_empty() {
        return Err(OrdersError::NoTrustedKey);
    }
    let mut seen = read_seen(state_dir)?;
    if seen.sensor != sensor {
        seen = Seen { sensor, ..Seen::default() }; // enrolled anew: other orders, other versions
    }
    let before = seen.clone();

    let path = state_dir.join("assignment.yaml");
    let (assignment, bytes) = match signed_yaml::<Assignment>(&path, Purpose::Assignment, trusted)? {
        Some(read) => read,
        None => return Err(OrdersError::NoAssignment { path, sensor }),
    };
    let content = |what: String| OrdersError::Content { path: path.clone(), what };
    if assignment.sensor != sensor {
        return Err(content(format!("it is for sensor {}, and this is {sensor}", assignment.sensor)));
    }
    if let Some(fault) = assignment.fault() {
        return Err(content(fault));
    }
    seen.assignment = Some(newer(&path, seen.assignment.as_ref(), assignment.version, &bytes)?);

    let path = state_dir.join("profile.yaml");
    let profile = match (signed_yaml::<Profile>(&path, Purpose::Profile, trusted)?, &seen.profile) {
        (Some((profile, bytes)), was) => {
            if let Some(what) = profile_fault(&profile) {
                return Err(OrdersError::Content { path, what });
            }
            seen.profile = Some(newer(&path, was.as_ref(), profile.version, &bytes)?);
            profile
        }
        (None, Some(was)) => return Err(OrdersError::ProfileGone { path, version: was.version }),
        (None, None) => Profile::alerts_only(),
    };
    if seen != before {
        let path = state_dir.join("seen.json");
        let text = serde_json::to_string_pretty(&seen).unwrap_or_default(); // plain fields cannot fail
        RealFs.replace(&path, text.as_bytes(), false).map_err(|source| OrdersError::Seen { path, source })?;
    }
    Ok(Orders { assignment, profile })
}

fn read_seen(state_dir: &Path) -> Result<Seen, OrdersError> {
    let path = state_dir.join("seen.json");
    let seen = match RealFs.read(&path, 0, 64 << 10) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Seen::default()),
        Err(e) => Err(e),
    };
    seen.map_err(|source| OrdersError::Seen { path, source })
}

/// Reads a signed YAML file; None where it is not there.
fn signed_yaml<T: DeserializeOwned>(
    path: &Path,
    purpose: Purpose,
    trusted: &[PublicKey],
) -> Result<Option<(T, Vec<u8>)>, OrdersError> {
    let bytes = match signed::read_verified(path, purpose, trusted) {
        Ok(bytes) => bytes,
        Err(SignedError::Io { path: missing, source })
            if missing == path && source.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(None);
        }
        Err(source) => return Err(OrdersError::Signed { path: path.to_owned(), source }),
    };
    match serde_yaml_ng::from_slice(&bytes) {
        Ok(read) => Ok(Some((read, bytes))),
        Err(e) => Err(OrdersError::Content { path: path.to_owned(), what: format!("cannot be read: {e}") }),
    }
}

fn newer(path: &Path, seen: Option<&Version>, version: u64, bytes: &[u8]) -> Result<Version, OrdersError> {
    let this = Version { version, sha256: hex::encode(digest::digest(&digest::SHA256, bytes)) };
    match seen {
        Some(seen) if version < seen.version => {
            Err(OrdersError::Rollback { path: path.to_owned(), version, seen: seen.version })
        }
        Some(seen) if version == seen.version && this.sha256 != seen.sha256 => Err(OrdersError::Content {
            path: path.to_owned(),
            what: format!("another file of the same version {version} was in force here"),
        }),
        _ => Ok(this),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lagewarte_base::signed::{SigningKey, signature_path};

    use super::*;

    struct Dir {
        dir: tempfile::TempDir,
        key: SigningKey,
        sensor: Uuid,
    }

    impl Dir {
        fn new() -> Self {
            let sensor = Uuid::from_u128(7);
            let new = Self { dir: tempfile::tempdir().unwrap(), key: SigningKey::generate().unwrap(), sensor };
            new.assign(sensor, 3, "10.0.0.0/8");
            new
        }
        fn write(&self, name: &str, purpose: Purpose, text: &str) {
            let path = self.dir.path().join(name);
            fs::write(signature_path(&path), self.key.sign(purpose, text.as_bytes())).unwrap();
            fs::write(path, text).unwrap();
        }
        fn assign(&self, sensor: Uuid, version: u64, network: &str) {
            let text = format!(
                "name: t\nversion: {version}\nsensor: {sensor}\ndefault: a\nowners: [{{constituent: a, networks: [{network}]}}]\n"
            );
            self.write("assignment.yaml", Purpose::Assignment, &text);
        }
        fn profile(&self, version: u64, class: &str) {
            let text = format!(
                "name: p\nversion: {version}\nclasses: [{class}]\ninner-addresses: pseudonym\npayload: drop\nurl-query: drop\nmail-addresses: drop\nfile-names: drop\nuser-names: drop\n"
            );
            self.write("profile.yaml", Purpose::Profile, &text);
        }
        fn read(&self) -> Result<Orders, String> {
            read(self.dir.path(), self.sensor, &[self.key.public()]).map_err(|e| e.to_string())
        }
        fn refused(&self, wanted: &str) {
            let e = self.read().expect_err("was taken");
            assert!(e.contains(wanted), "{wanted:?} is missing in: {e}");
        }
    }

    #[test]
    fn good_orders_are_taken_and_the_default_profile_holds_without_one() {
        let d = Dir::new();
        let orders = d.read().unwrap();
        assert_eq!(orders.profile, Profile::alerts_only());
        assert_eq!(orders.assignment.version, 3);
        assert_eq!(d.read().unwrap(), orders, "a second time");
        d.profile(1, "alert");
        assert_eq!(d.read().unwrap().profile.classes, ["alert"]);
    }

    #[test]
    fn what_is_missing_is_named_with_what_to_do() {
        let d = Dir::new();
        fs::remove_file(d.dir.path().join("assignment.yaml")).unwrap();
        d.refused("Ask the CERT for assignment.yaml");
        let d = Dir::new();
        fs::remove_file(d.dir.path().join("assignment.yaml.sig")).unwrap();
        d.refused("assignment.yaml.sig");
        let d = Dir::new();
        let e = read(d.dir.path(), d.sensor, &[]).unwrap_err().to_string();
        assert!(e.contains("lagewarte.trusted-keys"), "{e}");
    }

    #[test]
    fn a_bad_signature_a_wrong_sensor_and_nonsense_are_refused() {
        let d = Dir::new();
        fs::write(d.dir.path().join("assignment.yaml"), "changed: yes\n").unwrap();
        d.refused("no trusted key has signed this as Assignment");
        d.assign(Uuid::from_u128(8), 3, "10.0.0.0/8");
        d.refused("it is for sensor 00000000-0000-0000-0000-000000000008");
        d.write("assignment.yaml", Purpose::Assignment, "name: [");
        d.refused("cannot be read");
        d.write("assignment.yaml", Purpose::Profile, "name: t");
        d.refused("no trusted key");
        let d = Dir::new();
        d.profile(1, "everything");
        d.refused("\"everything\" is no event class");
    }

    #[test]
    fn older_orders_are_refused_also_after_a_restart() {
        let d = Dir::new();
        d.read().unwrap();
        d.assign(d.sensor, 2, "10.0.0.0/8");
        d.refused("version 3 was in force here");
        d.assign(d.sensor, 3, "10.0.0.0/9");
        d.refused("another file of the same version 3");
        d.assign(d.sensor, 4, "10.0.0.0/9");
        assert_eq!(d.read().unwrap().assignment.version, 4);

        d.profile(5, "alert");
        d.read().unwrap();
        d.profile(4, "alert, flow");
        d.refused("version 5 was in force");
        fs::remove_file(d.dir.path().join("profile.yaml")).unwrap();
        d.refused("is missing: put it back");

        fs::write(d.dir.path().join("seen.json"), "{").unwrap();
        d.refused("seen.json");
    }

    #[test]
    fn a_refused_file_leaves_no_trace_in_what_was_seen() {
        let d = Dir::new();
        d.read().unwrap();
        d.assign(d.sensor, 9, "10.0.0.0/8");
        d.profile(1, "nonsense");
        d.refused("no event class");
        d.assign(d.sensor, 3, "10.0.0.0/8");
        fs::remove_file(d.dir.path().join("profile.yaml")).unwrap();
        d.read().unwrap();
    }
}
