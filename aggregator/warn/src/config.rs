// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Configuration of the warning room: the label of a draft, the named policies, whom municipalities call.

use std::collections::BTreeSet;

use lagewarte_base::tlp::Tlp;
use lagewarte_store::control::levels::Level;
use serde::Deserialize;

use crate::text;

/// Section `warn` of the aggregator's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct WarnConfig {
    /// Label of a draft. A person may choose another at the release.
    pub tlp: Tlp,
    /// Policies that release without a person, in order; the first that fits is named in the audit. None by default.
    pub policies: Vec<Policy>,
}

impl Default for WarnConfig {
    fn default() -> Self {
        Self { tlp: Tlp::Amber, policies: Vec::new() }
    }
}

/// A named policy: a warning that meets every condition is released at once. Late events never are.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Its name, in the audit and beside each warning it released.
    pub name: String,
    /// Lowest level of the warning, 1 to 4.
    #[serde(default = "lowest")]
    pub min_level: Level,
    /// Kinds of warnings (`lagewarte_kind` of the rules); empty: all.
    #[serde(default)]
    pub kinds: BTreeSet<String>,
    /// Signature ids; empty: all.
    #[serde(default)]
    pub signatures: BTreeSet<u64>,
    /// Fewest constituents in the campaign.
    #[serde(default = "one")]
    pub k: usize,
    /// Label that it releases with; has to be chosen.
    pub tlp: Tlp,
}

fn lowest() -> Level {
    Level::Grey
}
fn one() -> usize {
    1
}

/// Section `contact`: whom municipalities call. Stands in every warning.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct CertContact {
    /// Name of the CERT.
    pub name: String,
    /// Phone number.
    pub phone: String,
    /// Mail address.
    pub mail: String,
}

impl Default for CertContact {
    fn default() -> Self {
        Self { name: "Landes-CERT".into(), phone: "(Telefonnummer eintragen)".into(), mail: String::new() }
    }
}

/// What is wrong with the configuration, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct ConfigFault {
    /// Which key.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

impl WarnConfig {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), ConfigFault> {
        let mut names = BTreeSet::new();
        for (i, p) in self.policies.iter().enumerate() {
            let fault = |key: &str, what: String| ConfigFault { key: format!("warn.policies[{i}].{key}"), what };
            if p.name.is_empty() || p.name.chars().any(char::is_control) || p.name.len() > 80 {
                return Err(fault("name", "must be 1 to 80 characters".into()));
            }
            if !names.insert(&p.name) {
                return Err(fault("name", format!("{:?} names two policies", p.name)));
            }
            if p.k == 0 {
                return Err(fault("k", "0 constituents are nobody to warn; 1 or more".into()));
            }
            if let Some(unknown) = p.kinds.iter().find(|k| !text::knows_kind(k)) {
                let known = text::kinds().collect::<Vec<_>>().join(", ");
                return Err(fault("kinds", format!("{unknown:?} is none of {known}")));
            }
        }
        Ok(())
    }
}

impl CertContact {
    /// Most words of name and phone together: they stand in every text of 120 words.
    pub const MAX_WORDS: usize = 12;

    /// Checks that it fits into a warning.
    ///
    /// # Errors
    /// Where it does not.
    pub fn check(&self) -> Result<(), ConfigFault> {
        if [&self.name, &self.phone, &self.mail].iter().any(|t| t.chars().any(char::is_control)) {
            return Err(ConfigFault { key: "contact".into(), what: "holds a control character".into() });
        }
        let words = text::words(&self.name) + text::words(&self.phone);
        if words > Self::MAX_WORDS || self.name.len() + self.phone.len() > 200 {
            let what = format!("name and phone have {words} words; {} are the most", Self::MAX_WORDS);
            return Err(ConfigFault { key: "contact".into(), what });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(yaml: &str) -> Result<WarnConfig, String> {
        let c: WarnConfig = serde_yaml_ng::from_str(yaml).map_err(|e| e.to_string())?;
        c.check().map_err(|e| e.to_string())?;
        Ok(c)
    }

    #[test]
    fn faults_name_the_key_and_what_would_be_right() {
        for (yaml, want) in [
            ("policies: [{name: a, tlp: 'TLP:AMBER', colour: x}]", "unknown field `colour`"),
            ("policies: [{name: a}]", "missing field `tlp`"),
            ("policies: [{name: a, tlp: 'TLP:WHITE'}]", "TLP:WHITE"),
            ("policies: [{name: a, tlp: 'TLP:AMBER', min-level: 5}]", "5 is no level: 1, 2, 3 or 4"),
            ("policies: [{name: a, tlp: 'TLP:AMBER', k: 0}]", "warn.policies[0].k: 0 constituents"),
            ("policies: [{name: a, tlp: 'TLP:AMBER', kinds: [ssh]}]", "\"ssh\" is none of"),
            (
                "policies: [{name: a, tlp: 'TLP:AMBER'}, {name: a, tlp: 'TLP:GREEN'}]",
                "warn.policies[1].name: \"a\" names two policies",
            ),
        ] {
            let e = parsed(yaml).unwrap_err();
            assert!(e.contains(want), "{yaml}: {e}");
        }
        let c = parsed("policies: [{name: a, tlp: 'TLP:GREEN', min-level: 3, kinds: [ssh_bruteforce], k: 4}]").unwrap();
        assert_eq!((c.tlp, c.policies[0].min_level, c.policies[0].k), (Tlp::Amber, Level::Orange, 4));
    }

    #[test]
    fn a_contact_that_would_fill_the_warning_is_refused() {
        assert!(CertContact::default().check().is_ok());
        let long = CertContact { name: "wort ".repeat(CertContact::MAX_WORDS), ..CertContact::default() };
        assert!(long.check().is_err());
    }
}
