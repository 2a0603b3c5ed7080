// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The German texts: by kind what happened, by advice what to do first. For readers without IT training.
//!
//! Kinds and advices are those of the own rules' metadata (`lagewarte_kind`, `lagewarte_advice`); a test holds that each
//! one used there has its text. Anything else gets [`OTHER`] and [`CHECK`].

/// What happened, for one kind.
pub(crate) struct Kind {
    /// `lagewarte_kind`.
    pub(crate) name: &'static str,
    /// Title, one line.
    pub(crate) title: &'static str,
    /// What happened.
    pub(crate) happened: &'static str,
    /// A host of the constituent is probably taken over: raises the level.
    pub(crate) taken_over: bool,
}

/// What to do first.
pub(crate) struct Advice {
    /// `lagewarte_advice`.
    pub(crate) name: &'static str,
    /// The steps.
    pub(crate) first: &'static str,
}

const fn kind(name: &'static str, title: &'static str, happened: &'static str) -> Kind {
    Kind { name, title, happened, taken_over: false }
}
const fn taken_over(name: &'static str, title: &'static str, happened: &'static str) -> Kind {
    Kind { name, title, happened, taken_over: true }
}

/// For campaigns whose rules name no kind that is known here. `{}` is the rule's own name, cut.
pub(crate) const OTHER: Kind = kind("", "Auffälliger Datenverkehr", "Eine Erkennungsregel hat angeschlagen: „{}“.");

/// One entry a kind.
pub(crate) const KINDS: &[Kind] = &[
    kind(
        "ssh_bruteforce",
        "Passwörter werden durchprobiert: SSH",
        "Jemand probiert aus dem Internet viele Passwörter für die Fernwartung per SSH durch.",
    ),
    kind(
        "rdp_bruteforce",
        "Passwörter werden durchprobiert: Remotedesktop",
        "Jemand probiert aus dem Internet viele Passwörter für den Windows-Remotedesktop (RDP) durch.",
    ),
    kind(
        "ftp_bruteforce",
        "Passwörter werden durchprobiert: FTP",
        "Jemand probiert aus dem Internet viele Passwörter für einen FTP-Server durch.",
    ),
    taken_over(
        "wannacry",
        "Anzeichen für die Erpressungssoftware WannaCry",
        "Ein Rechner fragt nach einer Adresse, die nur die Erpressungssoftware WannaCry benutzt. Er ist wahrscheinlich \
         befallen.",
    ),
    taken_over(
        "cobalt_strike",
        "Anzeichen für Fernsteuerung durch Angreifer",
        "Ein Rechner meldet sich bei einem Steuerserver, wie es das Angriffswerkzeug Cobalt Strike tut. Wahrscheinlich \
         steuert ihn jemand von außen.",
    ),
    taken_over(
        "meterpreter",
        "Anzeichen für Fernsteuerung durch Angreifer",
        "Ein Rechner lädt ein Programm nach, wie es das Angriffswerkzeug Meterpreter tut. Wahrscheinlich steuert ihn \
         jemand von außen.",
    ),
    taken_over(
        "irc_bot",
        "Rechner nimmt Angriffsbefehle an",
        "Ein Rechner bekommt aus dem Internet den Befehl, andere anzugreifen. Er ist wahrscheinlich befallen.",
    ),
    taken_over(
        "coin_miner",
        "Rechner schürft heimlich Kryptowährung",
        "Ein Rechner meldet sich bei einem Dienst an, der Kryptowährung schürft. Wahrscheinlich läuft ein fremdes \
         Programm.",
    ),
    taken_over(
        "tftp_external",
        "Rechner lädt Programm über TFTP",
        "Ein Rechner lädt eine Datei per TFTP aus dem Internet. So holen sich Schadprogramme Nachschub.",
    ),
    kind(
        "icmp_tunnel",
        "Verdeckte Verbindung über Ping",
        "Ein Rechner sendet viele große Pings nach außen. So werden Daten an der Firewall vorbei geschmuggelt.",
    ),
    kind(
        "dns_tunnel",
        "Verdeckte Verbindung über DNS",
        "Ein Rechner stellt viele ungewöhnliche Namensanfragen (DNS). So werden Daten an der Firewall vorbei \
         geschmuggelt.",
    ),
    kind(
        "cleartext_credentials",
        "Passwort unverschlüsselt übertragen",
        "Ein Zugang wird aus dem Internet ohne Verschlüsselung benutzt. Wer mitliest, kennt das Passwort.",
    ),
    kind(
        "port_scan",
        "Ihr Netz wird abgesucht",
        "Jemand sucht aus dem Internet nach offenen Diensten auf Ihren Rechnern. Das bereitet oft einen Angriff vor.",
    ),
    kind(
        "host_scan",
        "Ihr Netz wird abgesucht",
        "Jemand sucht aus dem Internet nach erreichbaren Rechnern in Ihrem Netz. Das bereitet oft einen Angriff vor.",
    ),
    kind(
        "icmp_redirect",
        "Versuch, Datenverkehr umzuleiten",
        "Jemand fordert Ihre Rechner von außen auf, ihre Daten über einen fremden Weg zu senden.",
    ),
    kind(
        "ntp_amplification",
        "Zeitserver wird für Angriffe missbraucht",
        "Jemand fragt Ihren Zeitserver (NTP) so ab, dass er Unbeteiligte mit Daten überschüttet.",
    ),
    kind(
        "smb1_external",
        "Windows-Freigabe aus dem Internet erreichbar",
        "Jemand spricht aus dem Internet über das veraltete SMBv1 mit Ihren Windows-Freigaben.",
    ),
    kind(
        "smb_exploit",
        "Angriff auf Windows-Freigaben (SMB)",
        "Jemand versucht, die Lücke MS17-010 (EternalBlue) auszunutzen. Über sie verbreitet sich Erpressungssoftware.",
    ),
    kind(
        "log4shell",
        "Angriff auf Server mit Log4j",
        "Jemand versucht, die Lücke Log4Shell auszunutzen. Gelingt es, führt der Server fremde Programme aus.",
    ),
    kind(
        "webshell",
        "Angriff auf Webserver",
        "Jemand schickt Ihrem Webserver Befehle, wie sie für eine eingeschleuste Hintertür (Webshell) bestimmt sind.",
    ),
    taken_over(
        "webshell_success",
        "Webserver führt fremde Befehle aus",
        "Ihr Webserver hat auf einen eingeschleusten Befehl geantwortet. Wahrscheinlich ist er übernommen.",
    ),
];

/// For rules that name no advice that is known here.
pub(crate) const CHECK: Advice = Advice {
    name: "check",
    first: "Prüfen Sie den Rechner: Gehört das zu Ihrem Betrieb? Wenn nicht, trennen Sie ihn vom Netz und schalten Sie \
            ihn nicht aus.",
};

/// One entry an advice.
pub(crate) const ADVICES: &[Advice] = &[
    CHECK,
    Advice {
        name: "bruteforce",
        first: "Sperren Sie die fremde Adresse an der Firewall. Prüfen Sie, ob eine Anmeldung gelungen ist; wenn ja, \
                ändern Sie das Passwort. Erlauben Sie Fernzugriff nur über VPN.",
    },
    Advice {
        name: "cleartext",
        first: "Ändern Sie das benutzte Passwort. Stellen Sie den Dienst auf Verschlüsselung um oder schließen Sie ihn \
                nach außen.",
    },
    Advice {
        name: "close_port",
        first: "Schließen Sie den Dienst an der Firewall für Zugriffe aus dem Internet. Prüfen Sie, ob ihn jemand \
                missbraucht hat.",
    },
    Advice {
        name: "log4shell",
        first: "Sperren Sie ausgehende Verbindungen des Servers. Prüfen Sie, ob er Log4j verwendet, und spielen Sie \
                Updates ein.",
    },
    Advice {
        name: "malware",
        first: "Trennen Sie den Rechner sofort vom Netz. Schalten Sie ihn nicht aus. Melden Sie sich nicht mehr an ihm an.",
    },
    Advice {
        name: "scan",
        first: "Prüfen Sie, welche Dienste aus dem Internet erreichbar sind. Schließen Sie, was nicht nötig ist. Sperren \
                Sie die fremde Adresse.",
    },
    Advice {
        name: "smb",
        first: "Sperren Sie SMB (Ports 139 und 445) gegen das Internet. Spielen Sie das Update MS17-010 ein und schalten \
                Sie SMBv1 ab. Prüfen Sie den Rechner auf Befall.",
    },
    Advice {
        name: "tunnel",
        first: "Trennen Sie den Rechner vom Netz und schalten Sie ihn nicht aus. Lassen Sie prüfen, welches Programm die \
                Anfragen stellt.",
    },
    Advice {
        name: "webshell",
        first: "Nehmen Sie den Webserver vom Netz und schalten Sie ihn nicht aus. Lassen Sie nach fremden Dateien suchen. \
                Setzen Sie ihn aus einer sauberen Sicherung neu auf.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// One word, one meaning: the Lagebild's rule G3 and the warning's level follow the same kinds.
    #[test]
    fn kinds_of_a_host_taken_over_are_those_of_the_lagebild() {
        let here: BTreeSet<_> = super::KINDS.iter().filter(|k| k.taken_over).map(|k| k.name).collect();
        assert_eq!(here, lagewarte_picture::levels::TAKEN_OVER.into_iter().collect());
    }
}
