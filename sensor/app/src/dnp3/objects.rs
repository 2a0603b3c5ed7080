// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! How the points of DNP3's objects are laid out (IEEE 1815, annex A). Names of fields are those of Suricata's EVE output.
//!
//! Must never hold the layout of an object twice: one table reads the points and writes them.

/// A field of a point. Numbers stand with their least significant byte first.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "kinds of numbers, each with its name")]
pub enum Field {
    /// A byte of several parts: name and bits of each, from the lowest.
    Bits(&'static [(&'static str, u8)]),
    U8(&'static str),
    U16(&'static str),
    U24(&'static str),
    U32(&'static str),
    I16(&'static str),
    I32(&'static str),
    F32(&'static str),
    F64(&'static str),
    /// Milliseconds since 1970, in 48 bits.
    Time(&'static str),
    /// A text: its name and that of the field with its length.
    Text(&'static str, &'static str),
    /// Bytes: their name and that of the field with their length.
    Bytes(&'static str, &'static str),
    /// A text up to the end of the point, whose size is told.
    TextToEnd(&'static str),
    /// Bytes up to the end of the point, whose size is told.
    BytesToEnd(&'static str),
}

use Field::{Bits, Bytes, BytesToEnd, F32, F64, I16, I32, Text, TextToEnd, Time, U8, U16, U24, U32};

/// How a point is laid out.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// Several to a byte: the name, and how many bits each has.
    Packed(&'static str, u8),
    /// One after the other.
    Fields(&'static [Field]),
}

const INPUT: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("chatter_filter", 1),
    ("reserved", 1),
    ("state", 1),
]);
const DOUBLE: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("chatter_filter", 1),
    ("state", 2),
]);
const OUTPUT: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("reserved0", 1),
    ("reserved1", 1),
    ("state", 1),
]);
const COUNTER: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("rollover", 1),
    ("discontinuity", 1),
    ("reserved0", 1),
]);
const DELTA: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("rollover", 1),
    ("reserved0", 1),
    ("reserved1", 1),
]);
const ANALOG: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("over_range", 1),
    ("reference_err", 1),
    ("reserved0", 1),
]);
const STATISTIC: Field = Bits(&[
    ("online", 1),
    ("restart", 1),
    ("comm_lost", 1),
    ("remote_forced", 1),
    ("local_forced", 1),
    ("reserved0", 1),
    ("discontinuity", 1),
    ("reserved1", 1),
]);
const COMMAND: Field = Bits(&[("status_code", 7), ("commanded_state", 1)]);
const COMMANDED: Field = Bits(&[("status_code", 7), ("reserved0", 1)]);
const CONTROL: Field = Bits(&[("op_type", 4), ("qu", 1), ("cr", 1), ("tcc", 2)]);
const CONTROL_STATUS: Field = Bits(&[("status_code", 7), ("reserved", 1)]);
const TIME: Field = Time("timestamp");

/// The layout of an object's points; None where it is not known.
pub const fn layout(group: u8, variation: u8) -> Option<Layout> {
    use Layout::{Fields, Packed};
    Some(match (group, variation) {
        (1 | 10 | 80, 1) => Packed("state", 1),
        (3, 1) => Packed("state", 2),
        (12, 3) => Packed("point", 1),
        (1, 2) => Fields(&[INPUT]),
        (2, 1) => Fields(&[U8("state")]),
        (2, 2) => Fields(&[INPUT, TIME]),
        (2, 3) => Fields(&[INPUT, U16("timestamp")]),
        (3, 2) | (4, 1) => Fields(&[DOUBLE]),
        (4, 2) => Fields(&[DOUBLE, TIME]),
        (4, 3) => Fields(&[DOUBLE, U16("relative_time_ms")]),
        (10, 2) | (11, 1) => Fields(&[OUTPUT]),
        (11, 2) => Fields(&[OUTPUT, TIME]),
        (12, 1 | 2) => Fields(&[CONTROL, U8("count"), U32("ontime"), U32("offtime"), CONTROL_STATUS]),
        (13, 1) => Fields(&[COMMAND]),
        (13, 2) => Fields(&[COMMAND, TIME]),
        (20..=23, 1) => Fields(&[COUNTER, U32("count")]),
        (20..=23, 2) => Fields(&[COUNTER, U16("count")]),
        (20..=23, 3) => Fields(&[DELTA, U32("count")]),
        (20..=23, 4) => Fields(&[DELTA, U16("count")]),
        (20, 5 | 7) | (21, 9 | 11) => Fields(&[U32("count")]),
        (20, 6 | 8) | (21, 10 | 12) => Fields(&[U16("count")]),
        (21..=23, 5) => Fields(&[COUNTER, U32("count"), TIME]),
        (21..=23, 6) => Fields(&[COUNTER, U16("count"), TIME]),
        (21..=23, 7) => Fields(&[DELTA, U32("count"), TIME]),
        (21..=23, 8) => Fields(&[DELTA, U16("count"), TIME]),
        (30, 1) | (31..=33, 1) | (40 | 42, 1) => Fields(&[ANALOG, I32("value")]),
        (30, 2) | (31..=33, 2) | (40 | 42, 2) => Fields(&[ANALOG, I16("value")]),
        (30, 3) | (31, 5) => Fields(&[I32("value")]),
        (30, 4) | (31, 6) => Fields(&[I16("value")]),
        (31..=33 | 42, 3) => Fields(&[ANALOG, I32("value"), TIME]),
        (31..=33 | 42, 4) => Fields(&[ANALOG, I16("value"), TIME]),
        (30 | 32 | 33 | 42, 5) | (31, 7) | (40, 3) => Fields(&[ANALOG, F32("value")]),
        (30 | 32 | 33 | 42, 6) | (31, 8) | (40, 4) => Fields(&[ANALOG, F64("value")]),
        (32 | 33 | 42, 7) => Fields(&[ANALOG, F32("value"), TIME]),
        (32 | 33 | 42, 8) => Fields(&[ANALOG, F64("value"), TIME]),
        (34, 1) => Fields(&[U16("deadband_value")]),
        (34, 2) => Fields(&[U32("deadband_value")]),
        (34, 3) => Fields(&[F32("deadband_value")]),
        (41, 1) => Fields(&[I32("value"), U8("control_status")]),
        (41, 2) => Fields(&[I16("value"), U8("control_status")]),
        (41, 3) => Fields(&[F32("value"), U8("control_status")]),
        (41, 4) => Fields(&[F64("value"), U8("control_status")]),
        (43, 1) => Fields(&[COMMANDED, I32("commanded_value")]),
        (43, 2) => Fields(&[COMMANDED, I16("commanded_value")]),
        (43, 3) => Fields(&[COMMANDED, I32("commanded_value"), TIME]),
        (43, 4) => Fields(&[COMMANDED, I16("commanded_value"), TIME]),
        (43, 5) => Fields(&[COMMANDED, F32("commanded_value")]),
        (43, 6) => Fields(&[COMMANDED, F64("commanded_value")]),
        (43, 7) => Fields(&[COMMANDED, F32("commanded_value"), TIME]),
        (43, 8) => Fields(&[COMMANDED, F64("commanded_value"), TIME]),
        (50, 1 | 3) | (51, 1 | 2) => Fields(&[TIME]),
        (50, 2) => Fields(&[TIME, U32("interval")]),
        (50, 4) => Fields(&[TIME, U32("interval_count"), U8("interval_units")]),
        (52, 1) => Fields(&[U16("delay_secs")]),
        (52, 2) => Fields(&[U16("delay_ms")]),
        (70, 1..=8) => Fields(file(variation)),
        (81, 1) => Fields(&[Bits(&[("fill_percentage", 7), ("overflow_state", 1)]), U8("group"), U8("variation")]),
        (102, 1) => Fields(&[U8("value")]),
        (120, 1..=15) => Fields(authentication(variation)),
        (121, 1) | (122, 1) => Fields(&[STATISTIC, U16("association_id"), U32("count_value")]),
        (122, 2) => Fields(&[STATISTIC, U16("association_id"), U32("count_value"), TIME]),
        _ => return None,
    })
}

// Files (annex A, group 70).
const fn file(variation: u8) -> &'static [Field] {
    match variation {
        1 => &[
            U16("filename_size"),
            U8("filetype_code"),
            U8("attribute_code"),
            U16("start_record"),
            U16("end_record"),
            U32("file_size"),
            Time("created_timestamp"),
            U16("permission"),
            U32("file_id"),
            U32("owner_id"),
            U32("group_id"),
            U8("file_function_code"),
            U8("status_code"),
            Text("filename", "filename_size"),
            U16("data_size"),
            Text("data", "data_size"),
        ],
        2 => &[
            U16("username_offset"),
            U16("username_size"),
            U16("password_offset"),
            U16("password_size"),
            U32("authentication_key"),
            Text("username", "username_size"),
            Text("password", "password_size"),
        ],
        3 => &[
            U16("filename_offset"),
            U16("filename_size"),
            Time("created"),
            U16("permissions"),
            U32("authentication_key"),
            U32("file_size"),
            U16("operational_mode"),
            U16("maximum_block_size"),
            U16("request_id"),
            Text("filename", "filename_size"),
        ],
        4 => &[
            U32("file_handle"),
            U32("file_size"),
            U16("maximum_block_size"),
            U16("request_id"),
            U8("status_code"),
            TextToEnd("optional_text"),
        ],
        5 => &[U32("file_handle"), U32("block_number"), TextToEnd("file_data")],
        6 => &[U32("file_handle"), U32("block_number"), U8("status_code"), TextToEnd("optional_text")],
        7 => &[
            U16("filename_offset"),
            U16("filename_size"),
            U16("file_type"),
            U32("file_size"),
            Time("created_timestamp"),
            U16("permissions"),
            U16("request_id"),
            Text("filename", "filename_size"),
        ],
        _ => &[TextToEnd("file_specification")],
    }
}

// Secure authentication (annex A, group 120).
const fn authentication(variation: u8) -> &'static [Field] {
    match variation {
        1 => &[U32("csq"), U16("usr"), U8("mal"), U8("reason"), BytesToEnd("challenge_data")],
        2 => &[U32("csq"), U16("usr"), BytesToEnd("mac_value")],
        3 => &[U32("csq"), U16("user_number")],
        4 => &[U16("user_number")],
        5 => &[
            U32("ksq"),
            U16("user_number"),
            U8("key_wrap_alg"),
            U8("key_status"),
            U8("mal"),
            U16("challenge_data_len"),
            Bytes("challenge_data", "challenge_data_len"),
            BytesToEnd("mac_value"),
        ],
        6 => &[U24("ksq"), U16("usr"), BytesToEnd("wrapped_key_data")],
        7 => &[
            U32("sequence_number"),
            U16("usr"),
            U16("association_id"),
            U8("error_code"),
            Time("time_of_error"),
            TextToEnd("error_text"),
        ],
        8 => &[U8("key_change_method"), U8("certificate_type"), BytesToEnd("certificate")],
        9 => &[BytesToEnd("mac_value")],
        10 => &[
            U8("key_change_method"),
            U8("operation"),
            U32("scs"),
            U16("user_role"),
            U16("user_role_expiry_interval"),
            U16("username_len"),
            U16("user_public_key_len"),
            U16("certification_data_len"),
            Text("username", "username_len"),
            Bytes("user_public_key", "user_public_key_len"),
            Bytes("certification_data", "certification_data_len"),
        ],
        11 => &[
            U8("key_change_method"),
            U16("username_len"),
            U16("master_challenge_data_len"),
            Text("username", "username_len"),
            Bytes("master_challenge_data", "master_challenge_data_len"),
        ],
        12 => {
            &[U32("ksq"), U16("user_number"), U16("challenge_data_len"), Bytes("challenge_data", "challenge_data_len")]
        }
        13 => &[
            U32("ksq"),
            U16("user_number"),
            U16("encrypted_update_key_len"),
            Bytes("encrypted_update_key_data", "encrypted_update_key_len"),
        ],
        14 => &[BytesToEnd("digital_signature")],
        _ => &[BytesToEnd("mac")],
    }
}
