// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The Certificate message (RFC 5246, 7.4.2) and what an analyst reads in its first certificate.
//!
//! Pure. The certificate itself is read by `x509-parser`. Nothing is verified: a sensor reports what was shown, not what
//! is true. Must never keep more than [`MAX_CHAIN`] certificates.

use lagewarte_base::reader::Reader;
use lagewarte_event::eve;
use x509_parser::{
    certificate::X509Certificate,
    der_parser::asn1_rs::{BmpString, Tag},
    error::X509Error,
    extensions::GeneralName,
    nom::Err,
    objects::{oid_registry, oid2abbrev},
    prelude::FromDer,
    x509::X509Name,
};

use super::events::{Event, Events};

/// Most certificates of a chain that are kept. Threat: a message of 128 KiB may hold 40,000 empty ones.
pub const MAX_CHAIN: usize = 32;
/// Most alternative names that are kept. Threat: a certificate of 128 KiB may name 30,000 hosts; real ones name some hundred.
pub const MAX_ALTERNATIVE_NAMES: usize = 1024;

/// A chain as it was sent, with the fields of its first certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Subject, `C=DE, O=..., CN=...`. None where the certificate could not be read.
    pub subject: Option<Vec<u8>>,
    /// Issuer, in the same form.
    pub issuer: Option<Vec<u8>>,
    /// Serial, `00:AB:...`.
    pub serial: String,
    /// SHA-1 of the certificate, `ab:cd:...`.
    pub fingerprint: String,
    /// Begin of validity, seconds since 1970.
    pub not_before: i64,
    /// End of validity, seconds since 1970.
    pub not_after: i64,
    /// Hosts, addresses and mail addresses that the certificate is for.
    pub alternative_names: Vec<Vec<u8>>,
    /// The certificates, DER, the first as the first.
    pub certificates: Vec<Vec<u8>>,
}

impl Chain {
    /// Reads the body of a Certificate message. What cannot be read is named in `events`; what stands before is kept.
    /// `cut`: the body's end is missing because nobody kept it; the certificates before are read, and that is no fault of theirs.
    pub fn parse(body: &[u8], cut: bool, events: &mut Events) -> Self {
        let mut chain = Self::default();
        let mut r = Reader::new(body);
        let list = u24(&mut r).and_then(|n| r.sub(n).or(cut.then_some(r)));
        let Some(mut list) = list else {
            events.set(Event::InvalidCertificate);
            return chain;
        };
        while !list.is_empty() && chain.certificates.len() < MAX_CHAIN {
            match u24(&mut list).and_then(|n| list.take(n)) {
                Some(der) => chain.push(der, events),
                None if cut => break,
                None => {
                    events.set(Event::InvalidCertificate);
                    break;
                }
            }
        }
        chain
    }
    /// One certificate alone, as SSL 2.0 sends it.
    pub fn of_one(der: &[u8], events: &mut Events) -> Self {
        let mut chain = Self::default();
        chain.push(der, events);
        chain
    }
    fn push(&mut self, der: &[u8], events: &mut Events) {
        if self.certificates.is_empty() && !der.is_empty() {
            self.fingerprint =
                colons(ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der).as_ref(), eve::LOWER);
            match self.first(der) {
                Ok(true) => {}
                Ok(false) => events.set(Event::CertificateInvalidString),
                Err(e) => events.set(e),
            }
        }
        self.certificates.push(der.to_vec());
    }
    /// Whether all of its names are text.
    fn first(&mut self, der: &[u8]) -> Result<bool, Event> {
        let (_, cert) = X509Certificate::from_der(der).map_err(|e| event(&e))?;
        let mut text = true;
        self.subject = Some(name(cert.subject(), &mut text));
        self.issuer = Some(name(cert.issuer(), &mut text));
        self.serial = colons(cert.raw_serial(), eve::UPPER);
        self.not_before = cert.validity().not_before.timestamp();
        self.not_after = cert.validity().not_after.timestamp();
        if let Ok(Some(names)) = cert.subject_alternative_name() {
            let known = names.value.general_names.iter().take(MAX_ALTERNATIVE_NAMES).filter_map(alternative);
            self.alternative_names = known.collect();
        }
        Ok(text)
    }
}

/// Serials of a Certificate message's certificates, as hexadecimal numbers; what cannot be read is left out.
pub fn serials(body: &[u8]) -> Vec<String> {
    let serial = |der: &Vec<u8>| {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        let digits: String = cert.raw_serial().iter().map(|b| format!("{b:02x}")).collect();
        Some(digits.trim_start_matches('0').to_owned())
    };
    Chain::parse(body, false, &mut Events::default()).certificates.iter().filter_map(serial).collect()
}

fn u24(r: &mut Reader<'_>) -> Option<usize> {
    r.array::<3>().map(|[a, b, c]| usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c))
}

fn event(e: &Err<X509Error>) -> Event {
    let e = match e {
        Err::Incomplete(_) => return Event::CertificateInvalidLength,
        Err::Error(e) | Err::Failure(e) => e,
    };
    match e {
        X509Error::InvalidVersion => Event::CertificateInvalidVersion,
        X509Error::InvalidSerial => Event::CertificateInvalidSerial,
        X509Error::InvalidAlgorithmIdentifier => Event::CertificateInvalidAlgorithm,
        X509Error::InvalidX509Name => Event::CertificateInvalidName,
        X509Error::InvalidDate => Event::CertificateInvalidDate,
        X509Error::InvalidExtensions | X509Error::DuplicateExtensions => Event::CertificateInvalidExtensions,
        X509Error::Der(x509_parser::der_parser::error::BerError::Incomplete(_)) => Event::CertificateInvalidLength,
        X509Error::Der(_) => Event::CertificateInvalidDer,
        _ => Event::InvalidCertificate,
    }
}

/// A name as text: `C=DE, O=Example` with `+` inside a part of several attributes. Bytes stay as they are, NUL included:
/// what was sent is what rules look for. BMP strings become UTF-8, what is no text becomes hexadecimal.
fn name(n: &X509Name<'_>, text: &mut bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    for rdn in n.iter_rdn() {
        if !out.is_empty() {
            out.extend(b", ");
        }
        for (i, a) in rdn.iter().enumerate() {
            if i > 0 {
                out.extend(b" + ");
            }
            match oid2abbrev(a.attr_type(), oid_registry()) {
                Ok(abbreviation) => out.extend(abbreviation.as_bytes()),
                Err(_) => out.extend(a.attr_type().to_id_string().as_bytes()),
            }
            out.push(b'=');
            let value = a.attr_value();
            match value.tag() {
                Tag::NumericString
                | Tag::VisibleString
                | Tag::PrintableString
                | Tag::GeneralString
                | Tag::ObjectDescriptor
                | Tag::GraphicString
                | Tag::Utf8String
                | Tag::Ia5String => {
                    *text &= std::str::from_utf8(value.data).is_ok();
                    out.extend(value.data);
                }
                Tag::T61String | Tag::VideotexString => out.extend(value.data),
                Tag::BmpString if let Ok(s) = BmpString::try_from(value.clone()) => {
                    out.extend(s.string().as_bytes());
                }
                _ => out.extend(hex::encode_upper(value.data).as_bytes()),
            }
        }
    }
    out
}

fn alternative(n: &GeneralName<'_>) -> Option<Vec<u8>> {
    Some(match n {
        GeneralName::DNSName(s) | GeneralName::RFC822Name(s) | GeneralName::URI(s) => s.as_bytes().to_vec(),
        GeneralName::IPAddress(b) => match (<[u8; 4]>::try_from(*b), <[u8; 16]>::try_from(*b)) {
            (Ok(v4), _) => std::net::Ipv4Addr::from(v4).to_string().into_bytes(),
            (_, Ok(v6)) => std::net::Ipv6Addr::from(v6).to_string().into_bytes(),
            _ => return None,
        },
        // Not UTF-8, but a host's, a mail address or a URI by its tag.
        GeneralName::Invalid(Tag(1 | 2 | 6), b) => b.to_vec(),
        _ => return None,
    })
}

// `ab:cd:ef` with these digits.
fn colons(bytes: &[u8], digits: &[u8; 16]) -> String {
    let mut s = String::with_capacity(bytes.len() * 3);
    eve::octets(&mut s, bytes, digits);
    s
}
