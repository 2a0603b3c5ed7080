// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `keys new`, `keys show`, `sign`: for whoever signs assignments and profiles. Offline; never on an aggregator.
//!
//! Must never print a secret key or write one that others can read.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use lagewarte_base::{
    assignment::Assignment,
    profile::Profile,
    signed::{MAX_SIGNED_FILE, Purpose, SigningKey, signature_path},
};

/// Work on signing keys.
#[derive(Subcommand, Debug)]
pub enum Keys {
    /// Make an Ed25519 key pair: FILE (secret, 0600) and its public half on stdout
    New {
        /// Where the secret key goes; must not exist
        file: PathBuf,
    },
    /// Print the public half of a secret key
    Show {
        /// The secret key
        file: PathBuf,
    },
}

/// Sign an assignment or a release profile.
#[derive(Args, Debug)]
pub struct Sign {
    /// The file; FILE.sig is written beside it
    pub file: PathBuf,
    /// What it is
    #[arg(long, value_enum)]
    pub purpose: SignedAs,
    /// The secret key
    #[arg(long, value_name = "KEY")]
    pub key: PathBuf,
    /// Keep the signatures by other keys that already stand in FILE.sig
    #[arg(long)]
    pub add: bool,
}

/// `--purpose`.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum SignedAs {
    /// Which VLANs and addresses belong to whom.
    Assignment,
    /// What leaves the house.
    Profile,
}

impl Keys {
    /// Runs it.
    ///
    /// # Errors
    /// Where a file is in the way or cannot be read or written.
    pub fn run(self) -> anyhow::Result<()> {
        let key = match self {
            Self::New { file } => {
                let key = SigningKey::generate()?;
                write_secret(&file, &key.to_secret_text()).with_context(|| {
                    format!("cannot write {}: choose a file that does not exist yet", file.display())
                })?;
                key
            }
            Self::Show { file } => read_key(&file)?,
        };
        println!("{}", key.public().to_text());
        Ok(())
    }
}

impl Sign {
    /// Runs it.
    ///
    /// # Errors
    /// Where the file is not what it is to be signed as, or a file cannot be read or written.
    pub fn run(self) -> anyhow::Result<()> {
        let shown = self.file.display();
        let size = fs::metadata(&self.file).with_context(|| format!("cannot read {shown}"))?.len();
        if size > MAX_SIGNED_FILE {
            bail!("{shown} has {size} bytes; a signed file has at most {MAX_SIGNED_FILE}");
        }
        let payload = fs::read(&self.file).with_context(|| format!("cannot read {shown}"))?;
        // Whoever signs nonsense finds out now, not at a gateway that refuses to start.
        let (purpose, fault) = match self.purpose {
            SignedAs::Assignment => {
                let read: Assignment = serde_yaml_ng::from_slice(&payload)
                    .with_context(|| format!("{shown} is no assignment and was not signed"))?;
                (Purpose::Assignment, read.fault())
            }
            SignedAs::Profile => {
                let read: Profile = serde_yaml_ng::from_slice(&payload)
                    .with_context(|| format!("{shown} is no release profile and was not signed"))?;
                (Purpose::Profile, crate::release::profile_fault(&read))
            }
        };
        if let Some(fault) = fault {
            bail!("{shown}: {fault}; it was not signed");
        }
        let key = read_key(&self.key)?;
        let path = signature_path(&self.file);
        let kept = if self.add { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let own = key.public().id();
        let mut text: String = kept.lines().filter(|l| !l.starts_with(&own)).map(|l| format!("{l}\n")).collect();
        text.push_str(&key.sign(purpose, &payload));
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
        Ok(())
    }
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the key {}", path.display()))?;
    SigningKey::parse(&text).with_context(|| path.display().to_string())
}

/// Writes a new file that only its owner can read.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}
