// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What can be wrong with TLS traffic, by Suricata's names (`app-layer-event: tls.<name>`).

macro_rules! events {
    ($($variant:ident = $name:literal, $what:literal;)*) => {
        /// One kind of damage or of odd behaviour.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Event { $(#[doc = $what] $variant,)* }
        impl Event {
            /// All, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Name behind `tls.` in rules and in EVE `anomaly`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
        /// Names, by number.
        pub const NAMES: &[&str] = &[$($name,)*];
    };
}

events! {
    InvalidSslv2Header = "invalid_sslv2_header", "An SSL 2.0 record that cannot be one.";
    InvalidRecordVersion = "invalid_record_version", "A record of a version that there is not.";
    InvalidRecordType = "invalid_record_type", "A record of a type that there is not.";
    InvalidRecordLength = "invalid_record_length", "A record longer than any may be.";
    InvalidHandshakeMessage = "invalid_handshake_message", "A handshake message whose fields do not fit.";
    HandshakeInvalidLength = "handshake_invalid_length", "A handshake message longer than any may be.";
    InvalidCertificate = "invalid_certificate", "A certificate that cannot be read.";
    CertificateInvalidLength = "certificate_invalid_length", "A certificate that ends too early.";
    CertificateInvalidVersion = "certificate_invalid_version", "A certificate of a version that there is not.";
    CertificateInvalidSerial = "certificate_invalid_serial", "A serial number that is none.";
    CertificateInvalidAlgorithm = "certificate_invalid_algorithmidentifier", "An algorithm that cannot be read.";
    CertificateInvalidName = "certificate_invalid_x509name", "A name that cannot be read.";
    CertificateInvalidDate = "certificate_invalid_date", "A date that is none.";
    CertificateInvalidExtensions = "certificate_invalid_extensions", "Extensions that cannot be read.";
    CertificateInvalidDer = "certificate_invalid_der", "A certificate that is no DER.";
    CertificateInvalidString = "certificate_invalid_string", "A name whose bytes are not of its kind of text.";
    ErrorMessage = "error_message_encountered", "An error message of SSL 2.0.";
    InvalidSslRecord = "invalid_ssl_record", "Something between records that is none.";
    InvalidAlert = "invalid_alert_message", "An alert that is not two bytes long.";
    TooManyRecords = "too_many_records_in_packet", "More records at once than anyone needs.";
    Heartbeat = "heartbeat_message", "A heartbeat in clear.";
    InvalidHeartbeat = "invalid_heartbeat_message", "A heartbeat whose padding is too short.";
    OverflowHeartbeat = "overflow_heartbeat_message", "A heartbeat that claims more than it carries (CVE-2014-0160).";
    LeakingHeartbeat = "dataleak_heartbeat_mismatch", "An encrypted heartbeat answered by more than was sent.";
    MultipleSniExtensions = "multiple_sni_extensions", "More than one server name extension.";
    InvalidSniType = "invalid_sni_type", "A server name that is not a host's.";
    InvalidSniLength = "invalid_sni_length", "A server name extension whose lengths do not fit.";
}

/// A set of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u64);

impl Events {
    /// Adds one.
    pub const fn set(&mut self, e: Event) {
        self.0 |= 1 << e as u8; // fewer than 64 variants: tested
    }
    /// Whether it is in.
    pub const fn has(self, e: Event) -> bool {
        self.0 & 1 << e as u8 != 0
    }
    /// Adds all of another set.
    pub const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
    /// Whether nothing was wrong.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
    /// The events in order.
    pub fn iter(self) -> impl Iterator<Item = Event> {
        Event::ALL.iter().copied().filter(move |e| self.has(*e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_every_event_once_and_names_differ() {
        assert!(Event::ALL.len() < 64);
        let mut all = Events::default();
        Event::ALL.iter().for_each(|e| all.set(*e));
        assert_eq!(all.iter().collect::<Vec<_>>(), Event::ALL);
        let names: std::collections::BTreeSet<_> = Event::ALL.iter().map(|e| e.name()).collect();
        assert_eq!(names.len(), Event::ALL.len());
    }
}
