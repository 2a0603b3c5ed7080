// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `$NAME` in rule headers: the YAML section `vars` with `address-groups` and `port-groups`.
//!
//! Values are lists in the header's own syntax and may name other variables.

use std::collections::BTreeMap;

/// Address and port variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    address: BTreeMap<String, String>,
    port: BTreeMap<String, String>,
}

// Names and values as a stock Suricata configuration has them, so that public rule sets load without a configuration.
const ADDRESS: &[(&str, &str)] = &[
    ("HOME_NET", "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]"),
    ("EXTERNAL_NET", "!$HOME_NET"),
    ("HTTP_SERVERS", "$HOME_NET"),
    ("SMTP_SERVERS", "$HOME_NET"),
    ("SQL_SERVERS", "$HOME_NET"),
    ("DNS_SERVERS", "$HOME_NET"),
    ("TELNET_SERVERS", "$HOME_NET"),
    ("AIM_SERVERS", "$EXTERNAL_NET"),
    ("DC_SERVERS", "$HOME_NET"),
    ("DNP3_SERVER", "$HOME_NET"),
    ("DNP3_CLIENT", "$HOME_NET"),
    ("MODBUS_CLIENT", "$HOME_NET"),
    ("MODBUS_SERVER", "$HOME_NET"),
    ("ENIP_CLIENT", "$HOME_NET"),
    ("ENIP_SERVER", "$HOME_NET"),
];
const PORT: &[(&str, &str)] = &[
    ("HTTP_PORTS", "80"),
    ("SHELLCODE_PORTS", "!80"),
    ("ORACLE_PORTS", "1521"),
    ("SSH_PORTS", "22"),
    ("DNP3_PORTS", "20000"),
    ("MODBUS_PORTS", "502"),
    ("FILE_DATA_PORTS", "[$HTTP_PORTS,110,143]"),
    ("FTP_PORTS", "21"),
    ("GENEVE_PORTS", "6081"),
    ("VXLAN_PORTS", "4789"),
    ("TEREDO_PORTS", "3544"),
    ("SIP_PORTS", "[5060, 5061]"),
];

impl Variables {
    /// The stock names: private networks are `HOME_NET`, everything else is `EXTERNAL_NET`.
    pub fn suricata() -> Self {
        let own = |t: &[(&str, &str)]| t.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { address: own(ADDRESS), port: own(PORT) }
    }

    /// Sets one of `vars.address-groups`.
    pub fn set_address(&mut self, name: &str, value: &str) {
        self.address.insert(name.to_owned(), value.to_owned());
    }

    /// Sets one of `vars.port-groups`.
    pub fn set_port(&mut self, name: &str, value: &str) {
        self.port.insert(name.to_owned(), value.to_owned());
    }

    /// The value of an address variable.
    ///
    /// # Errors
    /// Says what is defined.
    pub fn address(&self, name: &str) -> Result<&str, String> {
        get(&self.address, name, "vars.address-groups")
    }

    /// The value of a port variable.
    ///
    /// # Errors
    /// Says what is defined.
    pub fn port(&self, name: &str) -> Result<&str, String> {
        get(&self.port, name, "vars.port-groups")
    }
}

fn get<'a>(of: &'a BTreeMap<String, String>, name: &str, section: &str) -> Result<&'a str, String> {
    of.get(name).map(String::as_str).ok_or_else(|| {
        let known = of.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!("the variable ${name} is not defined in {section} (defined: {known})")
    })
}
