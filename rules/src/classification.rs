// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! `classification.config` and `reference.config`: what a class is called, how grave it is, where a reference leads.
//!
//! Must never refuse a rule for an unknown class: it gets priority 3 and a warning, as in Suricata.

use std::collections::BTreeMap;

/// Classes and reference systems.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    classes: BTreeMap<String, (String, u32)>,
    references: BTreeMap<String, String>,
}

// The classes that public rule sets use without bringing a file: short name, description, priority.
const CLASSES: &[(&str, &str, u32)] = &[
    ("not-suspicious", "Not Suspicious Traffic", 3),
    ("unknown", "Unknown Traffic", 3),
    ("bad-unknown", "Potentially Bad Traffic", 2),
    ("attempted-recon", "Attempted Information Leak", 2),
    ("successful-recon-limited", "Information Leak", 2),
    ("successful-recon-largescale", "Large Scale Information Leak", 2),
    ("attempted-dos", "Attempted Denial of Service", 2),
    ("successful-dos", "Denial of Service", 2),
    ("attempted-user", "Attempted User Privilege Gain", 1),
    ("unsuccessful-user", "Unsuccessful User Privilege Gain", 1),
    ("successful-user", "Successful User Privilege Gain", 1),
    ("attempted-admin", "Attempted Administrator Privilege Gain", 1),
    ("successful-admin", "Successful Administrator Privilege Gain", 1),
    ("rpc-portmap-decode", "Decode of an RPC Query", 2),
    ("shellcode-detect", "Executable code was detected", 1),
    ("string-detect", "A suspicious string was detected", 3),
    ("suspicious-filename-detect", "A suspicious filename was detected", 2),
    ("suspicious-login", "An attempted login using a suspicious username was detected", 2),
    ("system-call-detect", "A system call was detected", 2),
    ("tcp-connection", "A TCP connection was detected", 4),
    ("trojan-activity", "A Network Trojan was detected", 1),
    ("unusual-client-port-connection", "A client was using an unusual port", 2),
    ("network-scan", "Detection of a Network Scan", 3),
    ("denial-of-service", "Detection of a Denial of Service Attack", 2),
    ("non-standard-protocol", "Detection of a non-standard protocol or event", 2),
    ("protocol-command-decode", "Generic Protocol Command Decode", 3),
    ("web-application-activity", "access to a potentially vulnerable web application", 2),
    ("web-application-attack", "Web Application Attack", 1),
    ("misc-activity", "Misc activity", 3),
    ("misc-attack", "Misc Attack", 2),
    ("icmp-event", "Generic ICMP event", 3),
    ("inappropriate-content", "Inappropriate Content was Detected", 1),
    ("policy-violation", "Potential Corporate Privacy Violation", 1),
    ("default-login-attempt", "Attempt to login by a default username and password", 2),
    ("targeted-activity", "Targeted Malicious Activity was Detected", 1),
    ("exploit-kit", "Exploit Kit Activity Detected", 1),
    ("external-ip-check", "Device Retrieving External IP Address Detected", 2),
    ("domain-c2", "Domain Observed Used for C2 Detected", 1),
    ("pup-activity", "Possibly Unwanted Program Detected", 2),
    ("credential-theft", "Successful Credential Theft Detected", 1),
    ("social-engineering", "Possible Social Engineering Attempted", 2),
    ("coin-mining", "Crypto Currency Mining Activity Detected", 2),
    ("command-and-control", "Malware Command and Control Activity Detected", 1),
];
const REFERENCES: &[(&str, &str)] = &[
    ("bugtraq", "http://www.securityfocus.com/bid/"),
    ("bid", "http://www.securityfocus.com/bid/"),
    ("cve", "https://cve.mitre.org/cgi-bin/cvename.cgi?name="),
    ("secunia", "http://www.secunia.com/advisories/"),
    ("arachnids", "http://www.whitehats.com/info/IDS"),
    ("mcafee", "http://vil.nai.com/vil/content/v_"),
    ("nessus", "http://cgi.nessus.org/plugins/dump.php3?id="),
    ("url", "https://"),
    ("et", "http://doc.emergingthreats.net/"),
    ("etpro", "http://doc.emergingthreatspro.com/"),
    ("telus", "http://"),
    ("osvdb", "http://osvdb.org/show/osvdb/"),
    ("threatexpert", "http://www.threatexpert.com/report.aspx?md5="),
    ("md5", "http://www.threatexpert.com/report.aspx?md5="),
    ("exploitdb", "http://www.exploit-db.com/exploits/"),
    ("openpacket", "https://www.openpacket.org/capture/grab/"),
    ("securitytracker", "http://securitytracker.com/id?"),
    ("xforce", "http://xforce.iss.net/xforce/xfdb/"),
    ("msft", "http://technet.microsoft.com/security/bulletin/"),
];

impl Default for Classification {
    fn default() -> Self {
        Self {
            classes: CLASSES.iter().map(|(n, d, p)| ((*n).to_owned(), ((*d).to_owned(), *p))).collect(),
            references: REFERENCES.iter().map(|(n, u)| ((*n).to_owned(), (*u).to_owned())).collect(),
        }
    }
}

impl Classification {
    /// Description and priority of a class.
    pub fn class(&self, name: &str) -> Option<(&str, u32)> {
        self.classes.get(&name.to_ascii_lowercase()).map(|(d, p)| (d.as_str(), *p))
    }

    /// What stands before the id in a link.
    pub fn reference(&self, system: &str) -> Option<&str> {
        self.references.get(&system.to_ascii_lowercase()).map(String::as_str)
    }

    /// Takes in `config classification: name,description,priority` lines; later ones replace. Returns what was not
    /// understood, by line.
    pub fn read_classes(&mut self, text: &str) -> Vec<(u32, String)> {
        read(text, "classification", |rest| {
            let (name, rest) = rest.split_once(',')?;
            let (description, priority) = rest.rsplit_once(',')?;
            let priority = priority.trim().parse().ok()?;
            let name = name.trim().to_ascii_lowercase();
            self.classes.insert(name, (description.trim().to_owned(), priority));
            Some(())
        })
    }

    /// Where a reference leads: an address.
    pub fn link(&self, system: &str, id: &str) -> String {
        match self.reference(system) {
            Some(base) if !id.contains("://") => format!("{base}{id}"),
            _ => id.to_owned(),
        }
    }

    /// Takes in `config reference: system address` lines; later ones replace. Returns what was not understood, by line.
    pub fn read_references(&mut self, text: &str) -> Vec<(u32, String)> {
        read(text, "reference", |rest| {
            let (system, address) = rest.trim().split_once(char::is_whitespace)?;
            self.references.insert(system.to_ascii_lowercase(), address.trim().to_owned());
            Some(())
        })
    }
}

fn read(text: &str, word: &str, mut entry: impl FnMut(&str) -> Option<()>) -> Vec<(u32, String)> {
    let mut bad = Vec::new();
    for (n, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fine = line
            .strip_prefix("config")
            .and_then(|l| l.trim_start().strip_prefix(word))
            .and_then(|l| l.trim_start().strip_prefix(':'))
            .and_then(|l| entry(l.trim_start()));
        if fine.is_none() {
            let shown: String = line.chars().take(60).collect();
            bad.push((
                u32::try_from(n + 1).unwrap_or(u32::MAX),
                format!("{shown:?} is not a `config {word}: ...` line"),
            ));
        }
    }
    bad
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_add_and_replace() {
        let mut c = Classification::default();
        let bad = c.read_classes(
            "\u{feff}# x\r\nconfig classification: Own-Class, A, b and c , 1\r\nconfig  classification:unknown,U,9\nnonsense\nconfig classification: a,b\n",
        );
        assert_eq!(bad.iter().map(|b| b.0).collect::<Vec<_>>(), [4, 5]);
        assert_eq!(c.class("own-class"), Some(("A, b and c", 1)));
        assert_eq!(c.class("UNKNOWN"), Some(("U", 9)));
        assert_eq!(c.class("misc-attack"), Some(("Misc Attack", 2)));
        assert_eq!(c.class("nothing"), None);
        assert!(c.read_references("config reference: bsi https://www.bsi.bund.de/").is_empty());
        assert_eq!(c.reference("BSI"), Some("https://www.bsi.bund.de/"));
        assert_eq!(c.link("bsi", "x"), "https://www.bsi.bund.de/x");
        assert_eq!(c.link("url", "ftp://files.example/x"), "ftp://files.example/x");
        assert_eq!(c.link("nobody", "x"), "x");
        assert_eq!(c.read_references("config reference: bsi").len(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(s in "(config )?(classification|reference)?:?[a-z, 0-9\n]{0,40}") {
            let mut c = Classification::default();
            let _ = (c.read_classes(&s), c.read_references(&s));
        }
    }
}
