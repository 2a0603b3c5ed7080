// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Modbus as EVE writes it. Field names are Suricata's; names of functions, subfunctions and exceptions are the
//! specification's, shortened as there.

use lagewarte_event::eve::JsonWriter;

use super::{Frame, access, category, check::flag};
use crate::names::name;

/// The members of a request or a response.
pub(super) fn write(f: &Frame, request: bool, w: &mut JsonWriter) {
    let (transaction, protocol, unit) = f.ids;
    let raw = f.function | if f.exception.is_some() { 0x80 } else { 0 };
    w.key("transaction_id").u64(transaction.into()).key("protocol_id").u64(protocol.into());
    w.key("unit_id").u64(unit.into()).key("function_raw").u64(raw.into());
    w.key("function_code").string(f.name());
    w.key("access_type").string(&named(ACCESS, f.access()));
    w.key("category").string(name(CATEGORIES, f.category()).unwrap_or("NONE"));
    w.key("error_flags").string(&named(FLAGS, f.flags));
    if let Some(code) = f.exception {
        let name = name(EXCEPTIONS, code).unwrap_or("Unknown");
        w.key("exception").open().key("raw").u64(code.into()).key("code").string(name).close();
    } else if contents(f, request, w).is_none() && !f.data.is_empty() {
        // Too short for what its function says.
        w.key("data").bytes(&f.data);
    }
}

// What stands behind the function. None where it is too short.
fn contents(f: &Frame, request: bool, w: &mut JsonWriter) -> Option<()> {
    let rest = |at: usize| f.data.get(at..).unwrap_or_default();
    match (f.function, request) {
        (1..=4, true) => {
            let (address, quantity) = (f.word(0)?, f.word(2)?);
            w.key("read").open().key("address").u64(address.into()).key("quantity").u64(quantity.into()).close();
        }
        (1..=4 | 23, false) => {
            f.data.first()?; // how many bytes follow
            w.key("read").open().key("data").bytes(rest(1)).close();
        }
        (5 | 6, _) | (15 | 16, false) => {
            let (address, value) = (f.word(0)?, f.word(2)?);
            w.key("write").open().key("address").u64(address.into()).key("data").u64(value.into()).close();
        }
        (15 | 16, true) => written(f, 0, w)?,
        (22, _) => {
            let (address, and, or) = (f.word(0)?, f.word(2)?, f.word(4)?);
            w.key("write").open().key("address").u64(address.into());
            w.key("and_mask").u64(and.into()).key("or_mask").u64(or.into()).close();
        }
        (23, true) => {
            let (address, quantity) = (f.word(0)?, f.word(2)?);
            f.data.get(8)?;
            w.key("read").open().key("address").u64(address.into()).key("quantity").u64(quantity.into()).close();
            written(f, 4, w)?;
        }
        (8, _) => subfunction("diagnostic", DIAGNOSTICS, "Reserved", f.sub()?, rest(2), w),
        (43, _) => subfunction("mei", ENCAPSULATED, "Unknown", f.sub()?, rest(1), w),
        _ => {
            w.key("data").bytes(&f.data);
        }
    }
    Some(())
}

// Where, how many, and what.
fn written(f: &Frame, at: usize, w: &mut JsonWriter) -> Option<()> {
    let (address, quantity, data) = (f.word(at)?, f.word(at + 2)?, f.data.get(at + 5..)?);
    w.key("write").open().key("address").u64(address.into()).key("quantity").u64(quantity.into());
    w.key("data").bytes(data).close();
    Some(())
}

fn subfunction(key: &str, names: &[(u16, &'static str)], other: &str, sub: u16, data: &[u8], w: &mut JsonWriter) {
    w.key(key).open().key("raw").u64(sub.into()).key("code").string(name(names, sub).unwrap_or(other));
    w.key("data").bytes(data).close();
}

// Names of the bits that are set.
fn named(names: &[(u8, &str)], bits: u8) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "NONE".to_owned() } else { set.join(" | ") }
}

const ACCESS: &[(u8, &str)] = &[
    (access::READ, "READ"),
    (access::WRITE, "WRITE"),
    (access::DISCRETES, "DISCRETES"),
    (access::COILS, "COILS"),
    (access::INPUT, "INPUT"),
    (access::HOLDING, "HOLDING"),
    (access::SINGLE, "SINGLE | WRITE_SINGLE"),
    (access::MULTIPLE, "MULTIPLE | WRITE_MULTIPLE"),
];

const CATEGORIES: &[(u8, &str)] = &[
    (category::ASSIGNED, "PUBLIC_ASSIGNED"),
    (category::UNASSIGNED, "PUBLIC_UNASSIGNED"),
    (category::USER, "USER_DEFINED"),
    (category::RESERVED, "RESERVED"),
];

const FLAGS: &[(u8, &str)] = &[
    (flag::VALUE, "DATA_VALUE"),
    (flag::LENGTH, "DATA_LENGTH"),
    (flag::EXCEPTION, "EXC_CODE"),
    (flag::FUNCTION, "FUNC_CODE"),
    (flag::PROTOCOL, "PROTO_ID"),
];

// Specification, 7.
const EXCEPTIONS: &[(u8, &str)] = &[
    (1, "IllegalFunction"),
    (2, "IllegalDataAddr"),
    (3, "IllegalDataValue"),
    (4, "ServerDeviceFail"),
    (5, "Ack"),
    (6, "ServerDeviceBusy"),
    (7, "NegAck"),
    (8, "MemParityErr"),
    (10, "GatewayPathUnavailable"),
    (11, "GatewayTargetFailToResp"),
];

// Specification, 6.8.
const DIAGNOSTICS: &[(u16, &str)] = &[
    (0, "RetQueryData"),
    (1, "RestartCommOpt"),
    (2, "RetDiagReg"),
    (3, "ChangeInputDelimiter"),
    (4, "ForceListenOnlyMode"),
    (10, "ClearCtrDiagReg"),
    (11, "RetBusMsgCount"),
    (12, "RetBusCommErrCount"),
    (13, "RetBusExcErrCount"),
    (14, "RetServerMsgCount"),
    (15, "RetServerNoRespCount"),
    (16, "RetServerNAKCount"),
    (17, "RetServerBusyCount"),
    (18, "RetBusCharOverrunCount"),
    (19, "RetOverrunErrCount"),
    (20, "ClearOverrunCounterFlag"),
    (21, "GetClearPlusStats"),
];

// Specification, 6.19.
const ENCAPSULATED: &[(u16, &str)] = &[(13, "CANOpenGenRefReqResp"), (14, "RdDevId")];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::{check, frame};

    fn said(pdu: &[u8], request: bool) -> String {
        let len = u16::try_from(pdu.len() + 1).unwrap();
        let wire = [&[0, 1, 0, 0][..], &len.to_be_bytes(), &[10], pdu].concat();
        let (mut f, _) = frame(&wire).unwrap();
        f.flags = check::flags(&f, request);
        let mut w = JsonWriter::new();
        w.open();
        write(&f, request, &mut w);
        w.close();
        let json = w.finish();
        let from = json.find(r#""access_type""#).unwrap();
        json[from..json.len() - 1].to_owned()
    }

    /// What Suricata 7.0.10 writes of the same messages.
    #[test]
    fn a_message_is_written_by_what_its_function_says() {
        for (pdu, request, want) in [
            (
                &[3, 0, 5, 0, 2][..],
                true,
                r#""access_type":"READ | HOLDING","category":"PUBLIC_ASSIGNED","error_flags":"NONE","read":{"address":5,"quantity":2}"#,
            ),
            (
                &[3, 4, 0, 1, 0, 2],
                false,
                r#""access_type":"READ | HOLDING","category":"PUBLIC_ASSIGNED","error_flags":"NONE","read":{"data":"\u0000\u0001\u0000\u0002"}"#,
            ),
            (
                &[5, 0, 2, 0xff, 0],
                true,
                r#""access_type":"WRITE | COILS | SINGLE | WRITE_SINGLE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","write":{"address":2,"data":65280}"#,
            ),
            (
                &[6, 0, 2, 0, 7],
                false,
                r#""access_type":"WRITE | HOLDING | SINGLE | WRITE_SINGLE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","write":{"address":2,"data":7}"#,
            ),
            (
                &[15, 0, 19, 0, 10, 2, 0xcd, 1],
                true,
                r#""access_type":"WRITE | COILS | MULTIPLE | WRITE_MULTIPLE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","write":{"address":19,"quantity":10,"data":"\\xcd\u0001"}"#,
            ),
            (
                &[16, 0, 1, 0, 2],
                false,
                r#""access_type":"WRITE | HOLDING | MULTIPLE | WRITE_MULTIPLE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","write":{"address":1,"data":2}"#,
            ),
            (
                &[22, 0, 4, 0, 0xf2, 0, 0x25],
                true,
                r#""access_type":"WRITE | HOLDING","category":"PUBLIC_ASSIGNED","error_flags":"NONE","write":{"address":4,"and_mask":242,"or_mask":37}"#,
            ),
            (
                &[23, 0, 3, 0, 6, 0, 14, 0, 1, 2, 0, 65],
                true,
                r#""access_type":"READ | WRITE | HOLDING | MULTIPLE | WRITE_MULTIPLE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","read":{"address":3,"quantity":6},"write":{"address":14,"quantity":1,"data":"\u0000A"}"#,
            ),
            (
                &[8, 0, 4, 0, 0],
                true,
                r#""access_type":"NONE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","diagnostic":{"raw":4,"code":"ForceListenOnlyMode","data":"\u0000\u0000"}"#,
            ),
            (
                &[8, 0, 5, 0, 0],
                false,
                r#""access_type":"NONE","category":"RESERVED","error_flags":"NONE","diagnostic":{"raw":5,"code":"Reserved","data":"\u0000\u0000"}"#,
            ),
            (
                &[43, 14, 1, 0],
                true,
                r#""access_type":"NONE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","mei":{"raw":14,"code":"RdDevId","data":"\u0001\u0000"}"#,
            ),
            (&[17], true, r#""access_type":"NONE","category":"PUBLIC_ASSIGNED","error_flags":"NONE","data":"""#),
            (
                &[0x88, 11],
                false,
                r#""access_type":"NONE","category":"NONE","error_flags":"NONE","exception":{"raw":11,"code":"GatewayTargetFailToResp"}"#,
            ),
            (
                &[0x81, 13],
                false,
                r#""access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"EXC_CODE","exception":{"raw":13,"code":"Unknown"}"#,
            ),
            (
                &[1, 0, 0],
                true,
                r#""access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"DATA_LENGTH","data":"\u0000\u0000""#,
            ),
            (&[1], false, r#""access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"DATA_LENGTH""#),
        ] {
            assert_eq!(said(pdu, request), want, "{pdu:?}");
        }
    }
}
