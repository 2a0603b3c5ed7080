// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Names of IKE's numbers as EVE writes them, and which algorithms are weak. Numbers: IANA, "Internet Key Exchange (IKE)
//! Attributes" and "Internet Key Exchange Version 2 (IKEv2) Parameters".
//!
//! Must never name a number that is not assigned: EVE then says `Unknown`.

use super::{
    Event,
    parser::{Attribute, Class},
};
use crate::names::name;

/// The key of an attribute in EVE, which is the rules' name too.
pub const fn key(class: Class) -> &'static str {
    match class {
        Class::AlgEnc => "alg_enc",
        Class::AlgHash => "alg_hash",
        Class::AlgAuth => "alg_auth",
        Class::AlgDh => "alg_dh",
        Class::SaGroupType => "sa_group_type",
        Class::SaLifeType => "sa_life_type",
        Class::SaLifeDuration => "sa_life_duration",
        Class::AlgPrf => "alg_prf",
        Class::SaKeyLength => "sa_key_length",
        Class::SaFieldSize => "sa_field_size",
        Class::AlgEsn => "alg_esn",
    }
}

/// The key of an attribute's number in EVE.
pub const fn raw_key(class: Class) -> &'static str {
    match class {
        Class::AlgEnc => "alg_enc_raw",
        Class::AlgHash => "alg_hash_raw",
        Class::AlgAuth => "alg_auth_raw",
        Class::AlgDh => "alg_dh_raw",
        Class::SaGroupType => "sa_group_type_raw",
        Class::SaLifeType => "sa_life_type_raw",
        Class::SaLifeDuration => "sa_life_duration_raw",
        Class::AlgPrf => "alg_prf_raw",
        Class::SaKeyLength => "sa_key_length_raw",
        Class::SaFieldSize => "sa_field_size_raw",
        Class::AlgEsn => "alg_esn_raw",
    }
}

/// The name of an attribute's value; `Unknown` where there is none.
pub fn value(a: &Attribute) -> &'static str {
    let table: &[(u32, &'static str)] = match (a.class, a.v2) {
        (Class::AlgEnc, false) => ENC,
        (Class::AlgHash, _) => HASH,
        (Class::AlgAuth, false) => AUTH,
        (Class::AlgDh, false) => GROUP,
        (Class::SaGroupType, _) => GROUP_TYPE,
        (Class::SaLifeType, _) => LIFE,
        (Class::AlgEnc, true) => ENC_2,
        (Class::AlgPrf, true) => PRF_2,
        (Class::AlgAuth, true) => AUTH_2,
        (Class::AlgDh, true) => GROUP_2,
        (Class::AlgEsn, _) => ESN,
        _ => &[],
    };
    name(table, a.value).unwrap_or("Unknown")
}

/// What is weak about a choice of version 2, where something is.
pub const fn weakness(a: &Attribute) -> Option<Event> {
    Some(match (a.class, a.value) {
        (Class::AlgEnc, 1..=9) => Event::WeakCryptoEnc,
        (Class::AlgEnc, 0 | 11) => Event::NoEncryption,
        (Class::AlgPrf, 1 | 2) => Event::WeakCryptoPrf,
        (Class::AlgAuth, 0) => Event::WeakCryptoNoauth,
        (Class::AlgAuth, 1..=4 | 6 | 7) => Event::WeakCryptoAuth,
        (Class::AlgDh, 0) => Event::WeakCryptoNodh,
        (Class::AlgDh, 1 | 2 | 5 | 22) => Event::WeakCryptoDh,
        _ => return None,
    })
}

/// An exchange's type (RFC 2408, 3.1; RFC 2409, appendix A; RFC 7296, 3.1).
pub fn exchange(kind: u8) -> Option<&'static str> {
    name(EXCHANGES, kind)
}
const EXCHANGES: &[(u8, &str)] = &[
    (0, "None"),
    (1, "Base"),
    (2, "Identity Protection"),
    (3, "Authentication Only"),
    (4, "Aggressive"),
    (5, "Informational"),
    (32, "Quick Mode"),
    (33, "New Group Mode"),
    (34, "IKE_SA_INIT"),
    (35, "IKE_AUTH"),
    (36, "CREATE_CHILD_SA"),
    (37, "INFORMATIONAL"),
];

/// A payload's type.
pub fn payload(kind: u8) -> &'static str {
    name(PAYLOADS, kind).unwrap_or("Unknown")
}
const PAYLOADS: &[(u8, &str)] = &[
    (0, "NoNextPayload"),
    (1, "SecurityAssociation"),
    (2, "Proposal"),
    (3, "Transform"),
    (4, "KeyExchange"),
    (5, "Identification"),
    (6, "Certificate"),
    (7, "CertificateRequest"),
    (8, "Hash"),
    (9, "Signature"),
    (10, "Nonce"),
    (11, "Notification"),
    (12, "Delete"),
    (13, "VendorID"),
    (15, "SaKekPayload"),
    (16, "SaTekPayload"),
    (17, "KeyDownload"),
    (18, "SequenceNumber"),
    (19, "ProofOfPossession"),
    (20, "NatDiscovery"),
    (21, "NatOriginalAddress"),
    (22, "GroupAssociatedPolicy"),
    (33, "SecurityAssociation"),
    (34, "KeyExchange"),
    (35, "IDInitiator"),
    (36, "IDResponder"),
    (37, "Certificate"),
    (38, "CertificateRequest"),
    (39, "Authentication"),
    (40, "Nonce"),
    (41, "Notify"),
    (42, "Delete"),
    (43, "VendorID"),
    (44, "TSInitiator"),
    (45, "TSResponder"),
    (46, "EncryptedAndAuthenticated"),
    (47, "Configuration"),
    (48, "ExtensibleAuthentication"),
];

/// A notification of version 2 (RFC 7296, 3.10.1): below 16384 it is an error.
pub fn notify(kind: u16) -> Option<&'static str> {
    name(NOTIFICATIONS, kind)
}
const NOTIFICATIONS: &[(u16, &str)] = &[
    (1, "UNSUPPORTED_CRITICAL_PAYLOAD"),
    (4, "INVALID_IKE_SPI"),
    (5, "INVALID_MAJOR_VERSION"),
    (7, "INVALID_SYNTAX"),
    (9, "INVALID_MESSAGE_ID"),
    (11, "INVALID_SPI"),
    (14, "NO_PROPOSAL_CHOSEN"),
    (17, "INVALID_KE_PAYLOAD"),
    (24, "AUTHENTICATION_FAILED"),
    (34, "SINGLE_PAIR_REQUIRED"),
    (35, "NO_ADDITIONAL_SAS"),
    (36, "INTERNAL_ADDRESS_FAILURE"),
    (37, "FAILED_CP_REQUIRED"),
    (38, "TS_UNACCEPTABLE"),
    (39, "INVALID_SELECTORS"),
    (43, "TEMPORARY_FAILURE"),
    (44, "CHILD_SA_NOT_FOUND"),
    (16384, "INITIAL_CONTACT"),
    (16385, "SET_WINDOW_SIZE"),
    (16386, "ADDITIONAL_TS_POSSIBLE"),
    (16387, "IPCOMP_SUPPORTED"),
    (16388, "NAT_DETECTION_SOURCE_IP"),
    (16389, "NAT_DETECTION_DESTINATION_IP"),
    (16390, "COOKIE"),
    (16391, "USE_TRANSPORT_MODE"),
    (16392, "HTTP_CERT_LOOKUP_SUPPORTED"),
    (16393, "REKEY_SA"),
    (16394, "ESP_TFC_PADDING_NOT_SUPPORTED"),
    (16395, "NON_FIRST_FRAGMENTS_ALSO"),
];

const ENC: &[(u32, &str)] = &[
    (1, "EncDesCbc"),
    (2, "EncIdeaCbc"),
    (3, "EncBlowfishCbc"),
    (4, "EncRc5R16B64Cbc"),
    (5, "EncTripleDesCbc"),
    (6, "EncCastCbc"),
    (7, "EncAesCbc"),
    (8, "EncCamelliaCbc"),
];
const HASH: &[(u32, &str)] =
    &[(1, "HashMd5"), (2, "HashSha"), (3, "HashTiger"), (4, "HashSha2_256"), (5, "HashSha2_384"), (6, "HashSha2_512")];
const AUTH: &[(u32, &str)] = &[
    (1, "AuthPreSharedKey"),
    (2, "AuthDssSignatures"),
    (3, "AuthRsaSignatures"),
    (4, "AuthEncryptionWithRsa"),
    (5, "AuthRevisedEncryptionWithRsa"),
    (9, "AuthEcdsaWithSha256P256"),
    (10, "AuthEcdsaWithSha384P384"),
    (11, "AuthEcdsaWithSha512P521"),
];
const GROUP: &[(u32, &str)] = &[
    (1, "GroupDefault768BitModp"),
    (2, "GroupAlternate1024BitModpGroup"),
    (3, "GroupEC2NOnGP2p155"),
    (4, "GroupEC2NOnGP2p185"),
    (5, "GroupModp1536Bit"),
    (14, "GroupModp2048Bit"),
    (15, "GroupModp3072Bit"),
    (16, "GroupModp4096Bit"),
    (17, "GroupModp6144Bit"),
    (18, "GroupModp8192Bit"),
    (19, "GroupEcp256Bit"),
    (20, "GroupEcp384Bit"),
    (21, "GroupEcp521Bit"),
];
const GROUP_TYPE: &[(u32, &str)] = &[(1, "GroupTypeModp"), (2, "GroupTypeEcp"), (3, "GroupTypeEc2n")];
const LIFE: &[(u32, &str)] = &[(1, "LifeTypeSeconds"), (2, "LifeTypeKilobytes")];
/// No encryption.
pub const ENCR_NULL: u32 = 11;
const ENC_2: &[(u32, &str)] = &[
    (1, "ENCR_DES_IV64"),
    (2, "ENCR_DES"),
    (3, "ENCR_3DES"),
    (4, "ENCR_RC5"),
    (5, "ENCR_IDEA"),
    (6, "ENCR_CAST"),
    (7, "ENCR_BLOWFISH"),
    (8, "ENCR_3IDEA"),
    (9, "ENCR_DES_IV32"),
    (ENCR_NULL, "ENCR_NULL"),
    (12, "ENCR_AES_CBC"),
    (13, "ENCR_AES_CTR"),
    (14, "ENCR_AES_CCM_8"),
    (15, "ENCR_AES_CCM_12"),
    (16, "ENCR_AES_CCM_16"),
    (18, "ENCR_AES_GCM_8"),
    (19, "ENCR_AES_GCM_12"),
    (20, "ENCR_AES_GCM_16"),
    (21, "ENCR_NULL_AUTH_AES_GMAC"),
    (23, "ENCR_CAMELLIA_CBC"),
    (24, "ENCR_CAMELLIA_CTR"),
    (25, "ENCR_CAMELLIA_CCM_8"),
    (26, "ENCR_CAMELLIA_CCM_12"),
    (27, "ENCR_CAMELLIA_CCM_16"),
    (28, "ENCR_CHACHA20_POLY1305"),
];
const PRF_2: &[(u32, &str)] = &[
    (0, "PRF_NULL"),
    (1, "PRF_HMAC_MD5"),
    (2, "PRF_HMAC_SHA1"),
    (3, "PRF_HMAC_TIGER"),
    (4, "PRF_AES128_XCBC"),
    (5, "PRF_HMAC_SHA2_256"),
    (6, "PRF_HMAC_SHA2_384"),
    (7, "PRF_HMAC_SHA2_512"),
    (8, "PRF_AES128_CMAC"),
];
const AUTH_2: &[(u32, &str)] = &[
    (0, "NONE"),
    (1, "AUTH_HMAC_MD5_96"),
    (2, "AUTH_HMAC_SHA1_96"),
    (3, "AUTH_DES_MAC"),
    (4, "AUTH_KPDK_MD5"),
    (5, "AUTH_AES_XCBC_96"),
    (6, "AUTH_HMAC_MD5_128"),
    (7, "AUTH_HMAC_SHA1_160"),
    (8, "AUTH_AES_CMAC_96"),
    (9, "AUTH_AES_128_GMAC"),
    (10, "AUTH_AES_192_GMAC"),
    (11, "AUTH_AES_256_GMAC"),
    (12, "AUTH_HMAC_SHA2_256_128"),
    (13, "AUTH_HMAC_SHA2_384_192"),
    (14, "AUTH_HMAC_SHA2_512_256"),
];
const GROUP_2: &[(u32, &str)] = &[
    (0, "None"),
    (1, "Modp768"),
    (2, "Modp1024"),
    (5, "Modp1536"),
    (14, "Modp2048"),
    (15, "Modp3072"),
    (16, "Modp4096"),
    (17, "Modp6144"),
    (18, "Modp8192"),
    (19, "Ecp256"),
    (20, "Ecp384"),
    (21, "Ecp521"),
    (22, "Modp1024s160"),
    (23, "Modp2048s224"),
    (24, "Modp2048s256"),
    (25, "Ecp192"),
    (26, "Ecp224"),
    (27, "BrainpoolP224r1"),
    (28, "BrainpoolP256r1"),
    (29, "BrainpoolP384r1"),
    (30, "BrainpoolP512r1"),
    (31, "Curve25519"),
    (32, "Curve448"),
];
const ESN: &[(u32, &str)] = &[(0, "NoESN"), (1, "ESN")];
