// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `enrol` and `resolve`: what a person at the gateway host does by hand.
//!
//! Must never print the token, a key, or an address that was not asked for.

use std::{io::Read as _, net::IpAddr};

use anyhow::{Context as _, bail};
use lagewarte_base::token::{EnrolmentToken, MAX_TOKEN};

use super::{Enrol, Resolve};
use crate::{
    config::{self, Strictness},
    release::pseudonym::Keyring,
};

impl Enrol {
    /// Runs it.
    ///
    /// # Errors
    /// A token that is none, an aggregator that cannot be reached or refuses, a state directory that cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = config::load(self.common.config.as_deref(), &self.common.sets, Strictness::Refuse)?;
        let text = if self.token == "-" {
            let mut text = String::new();
            std::io::stdin().take(MAX_TOKEN as u64 + 1).read_to_string(&mut text).context("reading the token")?;
            text
        } else {
            self.token
        };
        let token: EnrolmentToken = text.parse()?;
        let state = &loaded.settings.own.state_dir;
        std::fs::create_dir_all(state).with_context(|| {
            format!(
                "cannot make the state directory {}: run as the sensor's user, or change lagewarte.state-dir",
                state.display()
            )
        })?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let enrolment = {
            let proxy = loaded.settings.own.uplink.proxy()?;
            runtime.block_on(lagewarte_uplink::enrol_through(&token, &state.join("identity"), proxy.as_ref()))?
        };
        println!("This sensor is {}; its key was made here and stays here.", enrolment.sensor);
        println!("Its aggregator is {}.", enrolment.uplink_url);
        let assignment = state.join("assignment.yaml");
        if !assignment.exists() {
            println!(
                "Next: ask the CERT for this sensor's assignment.yaml and assignment.yaml.sig and copy both to {}.",
                state.display()
            );
        }
        Ok(())
    }
}

impl Resolve {
    /// Runs it: one line for each key, as a pseudonym does not say whose it is.
    ///
    /// # Errors
    /// Where there are no keys, or one cannot be read.
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = config::load(self.common.config.as_deref(), &self.common.sets, Strictness::Refuse)?;
        let dir = loaded.settings.own.state_dir.join("pseudonyms");
        let keys = Keyring::new(dir.clone()).all()?;
        if keys.is_empty() {
            bail!("there are no pseudonym keys in {}: name the sensor's configuration with -c", dir.display());
        }
        println!("constituent\tkey\taddress");
        for (constituent, key) in keys {
            let address: IpAddr = key.resolve(self.pseudonym);
            println!("{constituent}\t{}\t{address}", key.id());
        }
        Ok(())
    }
}
