// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Modbus over TCP: each request with its response, by transaction id; which function, which table, which addresses and
//! values ("MODBUS Application Protocol Specification V1.1b3").
//!
//! Must never wait for more than a frame, which the protocol bounds at [`MAX_FRAME`]. Limit: [`MAX_TXS`].

mod check;
mod log;

use lagewarte_base::reader::Reader;
use lagewarte_event::eve::JsonWriter;
use lagewarte_flow::{AppProto, Direction};

use crate::{
    buffer::{Buffer, Field},
    config::Config,
    protocol::{Cx, Input, Protocol, Step, own_txs, transaction},
    tx::{DONE, TxCore, Txs},
};

/// Longest frame: a header of 7 bytes, 253 bytes of PDU, and room for those who are generous. Threat: a length of 64 KiB.
pub const MAX_FRAME: usize = 1024;
/// Most requests that wait for their response. Threat: a master that asks and never hears.
pub const MAX_TXS: usize = 256;

/// Names of events, by number.
pub const EVENTS: &[&str] = &[
    "invalid_protocol_id",
    "unsolicited_response",
    "invalid_length",
    "invalid_function_code",
    "invalid_value",
    "invalid_exception_code",
    "value_mismatch",
    "flooded",
];
const PROTOCOL_ID: u8 = 0;
const UNSOLICITED: u8 = 1;
const LENGTH: u8 = 2;
const FUNCTION: u8 = 3;
const VALUE: u8 = 4;
const EXCEPTION: u8 = 5;
const MISMATCH: u8 = 6;
const FLOODED: u8 = 7;

/// Kinds of access, as bits.
pub mod access {
    #![expect(missing_docs, reason = "names of the specification's tables")]
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const DISCRETES: u8 = 4;
    pub const COILS: u8 = 8;
    pub const INPUT: u8 = 0x10;
    pub const HOLDING: u8 = 0x20;
    pub const SINGLE: u8 = 0x40;
    pub const MULTIPLE: u8 = 0x80;
}

/// Categories of functions, as bits.
pub mod category {
    #![expect(missing_docs, reason = "names of the specification, 5")]
    pub const ASSIGNED: u8 = 1;
    pub const UNASSIGNED: u8 = 2;
    pub const USER: u8 = 4;
    pub const RESERVED: u8 = 8;
}

/// A frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Number of the transaction, of the protocol (0), of the unit.
    pub ids: (u16, u16, u8),
    /// The function, without the bit of an exception.
    pub function: u8,
    /// The exception, where it is one.
    pub exception: Option<u8>,
    /// What follows the function.
    pub data: Vec<u8>,
    /// What is wrong with it: [`check::flag`], as bits.
    flags: u8,
}

/// The frame at the beginning of `data` and its length. None where more is wanted.
pub fn frame(data: &[u8]) -> Option<(Frame, usize)> {
    let mut r = Reader::new(data);
    let (transaction, protocol, len) = (r.u16()?, r.u16()?, r.u16()?);
    let mut body = r.sub(len.into())?;
    let (unit, function) = (body.u8().unwrap_or(0), body.u8().unwrap_or(0));
    let exception = (function & 0x80 != 0).then(|| body.u8().unwrap_or(0));
    let ids = (transaction, protocol, unit);
    let f = Frame { ids, function: function & 0x7f, exception, data: body.rest().to_vec(), flags: 0 };
    Some((f, 6 + usize::from(len)))
}

impl Frame {
    fn word(&self, at: usize) -> Option<u16> {
        Reader::new(self.data.get(at..)?).u16()
    }
    /// What a request touches.
    pub const fn access(&self) -> u8 {
        use access::{COILS, DISCRETES, HOLDING, INPUT, MULTIPLE, READ, SINGLE, WRITE};
        match self.function {
            1 => READ | COILS,
            2 => READ | DISCRETES,
            3 => READ | HOLDING,
            4 => READ | INPUT,
            5 => WRITE | COILS | SINGLE,
            6 => WRITE | HOLDING | SINGLE,
            15 => WRITE | COILS | MULTIPLE,
            16 => WRITE | HOLDING | MULTIPLE,
            22 => WRITE | HOLDING,
            23 => READ | WRITE | HOLDING | MULTIPLE,
            _ => 0,
        }
    }
    /// Its number within a function that has several.
    pub fn sub(&self) -> Option<u16> {
        match self.function {
            _ if self.exception.is_some() => None,
            8 => self.word(0),
            43 => self.data.first().map(|b| u16::from(*b)),
            _ => None,
        }
    }
    /// Which category its function belongs to (specification, 5; as Suricata counts them: what has a name is assigned).
    /// None where an exception leaves out by what it would be told.
    pub fn category(&self) -> u8 {
        match (self.function, self.sub()) {
            (8 | 43, None) => 0,
            (8, Some(0..=4 | 10..=21)) | (43, Some(13 | 14)) => category::ASSIGNED,
            (8 | 43, _) => category::RESERVED,
            (1..=24, _) => category::ASSIGNED,
            (41 | 42 | 90 | 91 | 125..=127, _) => category::RESERVED,
            (65..=72 | 100..=110, _) => category::USER,
            _ => category::UNASSIGNED,
        }
    }
    /// Addresses that a request reads or writes, counted from 1: first, last.
    pub fn addresses(&self, write: bool) -> Option<(u64, u64)> {
        let (start, count) = match (self.function, write) {
            (1..=4, false) | (15 | 16, true) | (23, false) => (self.word(0)?, self.word(2)?),
            (5 | 6 | 22, true) => (self.word(0)?, 1),
            (23, true) => (self.word(4)?, self.word(6)?),
            _ => return None,
        };
        let first = u64::from(start) + 1;
        Some((first, first + u64::from(count.max(1)) - 1))
    }
    /// The `index`-th holding register that a request writes, and its value.
    pub fn written(&self, index: usize) -> Option<(u64, u16)> {
        let (first, last) = self.addresses(true)?;
        let address = first + index as u64;
        let from = match self.function {
            6 if index == 0 => 2,
            16 => 5 + 2 * index,
            23 => 9 + 2 * index,
            _ => return None,
        };
        (address <= last).then_some((address, self.word(from)?))
    }
    /// The function's name as EVE writes it.
    pub const fn name(&self) -> &'static str {
        match self.function {
            1 => "RdCoils",
            2 => "RdDiscreteInputs",
            3 => "RdHoldRegs",
            4 => "RdInputRegs",
            5 => "WrSingleCoil",
            6 => "WrSingleReg",
            7 => "RdExcStatus",
            8 => "Diagnostic",
            9 => "Program484",
            10 => "Poll484",
            11 => "GetCommEventCtr",
            12 => "GetCommEventLog",
            13 => "ProgramController",
            14 => "PollController",
            15 => "WrMultCoils",
            16 => "WrMultRegs",
            17 => "ReportServerID",
            18 => "Program884",
            19 => "ResetCommLink",
            20 => "RdFileRec",
            21 => "WrFileRec",
            22 => "MaskWrReg",
            23 => "RdWrMultRegs",
            24 => "RdFIFOQueue",
            43 => "MEI",
            _ => "Unknown",
        }
    }
}

/// A request and its response.
#[derive(Debug, Default)]
pub struct Tx {
    core: TxCore,
    /// The request, where one was seen.
    pub request: Option<Frame>,
    /// The response.
    pub response: Option<Frame>,
}

transaction!(Tx);

/// A flow's state.
#[derive(Debug)]
pub struct Modbus {
    txs: Txs<Tx>,
}

impl Default for Modbus {
    fn default() -> Self {
        Self { txs: Txs::new(MAX_TXS) }
    }
}

impl Modbus {
    fn take(&mut self, d: Direction, mut f: Frame, cx: &mut Cx<'_>) {
        let size = size_of::<Tx>() + f.data.len();
        f.flags = check::flags(&f, d == Direction::ToServer);
        let odd: Vec<u8> =
            check::EVENTS.iter().filter(|(flag, _)| f.flags & flag != 0).map(|(_, event)| *event).collect();
        let open = |t: &&mut Tx| {
            let asked = t.request.as_ref().is_some_and(|r| (r.ids.0, r.function) == (f.ids.0, f.function));
            asked && t.response.is_none() && t.core.progress(Direction::ToClient) < DONE
        };
        if d == Direction::ToClient
            && let Some(tx) = self.txs.iter_mut().find(open)
        {
            if tx.request.as_ref().is_some_and(|asked| !check::fits(asked, &f)) {
                tx.core.raise(MISMATCH);
                f.flags |= check::flag::VALUE;
            }
            if cx.charge(&mut tx.core.charged, f.data.len()) {
                tx.response = Some(f);
            }
            odd.into_iter().for_each(|e| tx.core.raise(e));
            tx.core.reach(Direction::ToClient, DONE);
            return;
        }
        let mut tx = Tx::default();
        if !cx.charge(&mut tx.core.charged, size) {
            return;
        }
        odd.into_iter().for_each(|e| tx.core.raise(e));
        match d {
            Direction::ToServer => {
                tx.request = Some(f);
                tx.core.reach(Direction::ToServer, DONE);
            }
            Direction::ToClient => {
                tx.response = Some(f);
                tx.core.raise(UNSOLICITED);
                tx.core.only = Some(d);
                tx.core.finish();
            }
        }
        let crowded = self.txs.crowded;
        self.txs.push(tx);
        if self.txs.crowded > crowded
            && let Some(tx) = self.txs.last()
        {
            tx.core.raise(FLOODED);
        }
    }
}

impl Protocol for Modbus {
    type Tx = Tx;
    const EVENTS: &'static [&'static str] = EVENTS;

    fn data(&mut self, input: Input<'_>, cx: &mut Cx<'_>) -> Step {
        let mut at = 0;
        while let Some(rest) = input.data.get(at..).filter(|r| !r.is_empty()) {
            if let [_, _, _, _, high, low, ..] = rest {
                let len = usize::from(u16::from_be_bytes([*high, *low]));
                if !(2..=MAX_FRAME).contains(&len) {
                    let mut tx = Tx::default();
                    if cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
                        tx.core.raise(LENGTH);
                        tx.core.only = Some(input.direction);
                        tx.core.finish();
                        self.txs.push(tx);
                    }
                    return Step::Error;
                }
            }
            match frame(rest) {
                Some((f, n)) => {
                    self.take(input.direction, f, cx);
                    at += n;
                }
                None if input.eof => break,
                None => return Step::More { consumed: at, needed: rest.len() + 1 },
            }
        }
        Step::Ok(input.data.len())
    }
    fn gap(&mut self, _: Direction, _: u64, _: &mut Cx<'_>) -> Step {
        Step::Error // where the next frame begins is not known
    }
    fn proto(&self) -> AppProto {
        AppProto::Modbus
    }
    own_txs!();
    fn buffer<'a>(&'a self, _: &'a Tx, _: Buffer, _: Direction, _: usize) -> Option<&'a [u8]> {
        None
    }
    fn number(&self, tx: &Tx, field: Field, direction: Direction, index: usize) -> Option<u64> {
        let r = tx.request.as_ref().filter(|_| direction == Direction::ToServer)?;
        // Ranges come as first and last, one behind the other.
        let range = |write: bool| {
            let (first, last) = r.addresses(write)?;
            [first, last].get(index).copied()
        };
        match field {
            Field::ModbusRead => range(false),
            Field::ModbusWrite => range(true),
            // The address above 16 bits of value.
            Field::ModbusWritten => r.written(index).map(|(address, value)| address << 16 | u64::from(value)),
            _ if index > 0 => None,
            Field::ModbusUnit => Some(r.ids.2.into()),
            Field::ModbusFunction => Some(r.function.into()),
            Field::ModbusSubfunction => r.sub().map(u64::from),
            Field::ModbusCategory => Some(r.category().into()),
            Field::ModbusAccess => Some(r.access().into()),
            _ => None,
        }
    }
    fn buffer_at(_: Buffer, _: Direction) -> u8 {
        DONE
    }
    fn number_at(_: Field, _: Direction) -> u8 {
        DONE
    }
    fn event_type(&self, tx: &Tx, _: &Config) -> Option<(&'static str, Option<Direction>)> {
        (tx.request.is_some() || tx.response.is_some()).then_some(("modbus", None))
    }
    fn log(&self, tx: &Tx, config: &Config, w: &mut JsonWriter) {
        w.key("tx_id").u64(tx.core.id);
        self.metadata(tx, config, w);
    }
    fn metadata(&self, tx: &Tx, _: &Config, w: &mut JsonWriter) {
        w.key("modbus").open().key("id").u64(tx.core.id + 1);
        for (name, f) in [("request", &tx.request), ("response", &tx.response)] {
            if let Some(f) = f {
                w.key(name).open();
                log::write(f, name == "request", w);
                w.close();
            }
        }
        w.close();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::single::testing::{Talk, hostile};

    use Direction::{ToClient, ToServer};

    fn wire(id: u16, pdu: &[u8]) -> Vec<u8> {
        let len = u16::try_from(pdu.len() + 1).unwrap();
        [&id.to_be_bytes()[..], &[0, 0], &len.to_be_bytes(), &[10], pdu].concat()
    }

    #[test]
    fn requests_and_responses_in_pairs_however_they_come() {
        for size in [1, 5, 100] {
            let mut t = Talk::<Modbus>::new();
            let up = [wire(1, &[1, 0, 0, 0, 3]), wire(2, &[16, 0, 9, 0, 2, 4, 0, 7, 1, 0]), wire(3, &[8, 0, 1, 0, 0])];
            let down = [wire(2, &[16, 0, 9, 0, 2]), wire(1, &[1, 1, 5]), wire(3, &[0x88, 11]), wire(9, &[1, 1, 5])];
            up.concat().chunks(size).for_each(|p| t.say(ToServer, p, false));
            down.concat().chunks(size).for_each(|p| t.say(ToClient, p, false));
            let json = t.json();
            assert_eq!(
                json[0],
                concat!(
                    r#"{"modbus":{"id":1,"request":{"transaction_id":1,"protocol_id":0,"unit_id":10,"function_raw":1,"function_code":"RdCoils","access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"NONE","read":{"address":0,"quantity":3}},"#,
                    r#""response":{"transaction_id":1,"protocol_id":0,"unit_id":10,"function_raw":1,"function_code":"RdCoils","access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"NONE","read":{"data":"\u0005"}}}}"#
                )
            );
            assert!(json[2].contains(r#""exception":{"raw":11,"code":"GatewayTargetFailToResp"}"#), "{}", json[2]);
            assert_eq!(t.events(), ["unsolicited_response"]);
            let all = |f| (0..4).map_while(|i| t.number(1, f, ToServer, i)).collect::<Vec<_>>();
            assert_eq!((all(Field::ModbusRead), all(Field::ModbusWrite)), (vec![], vec![10, 11]));
            assert_eq!(all(Field::ModbusWritten), [10 << 16 | 7, 11 << 16 | 256]);
            assert_eq!(all(Field::ModbusAccess), [u64::from(access::WRITE | access::HOLDING | access::MULTIPLE)]);
        }
    }

    /// The functions of the specification (6.1 to 6.21, with its own examples), and of its Annex A those that are reserved; names,
    /// accesses and categories as Suricata's EVE has them.
    #[test]
    fn each_function_says_what_it_is_and_what_it_touches() {
        type Range = Option<(u64, u64)>;
        type Row<'a> = (&'a [u8], &'a str, &'a str, &'a str, Range, Range);
        let rows: &[Row<'_>] = &[
            (&[1, 0, 0x13, 0, 0x13], "RdCoils", "READ | COILS", "PUBLIC_ASSIGNED", Some((19, 19)), None),
            (&[2, 0, 0xc4, 0, 0x16], "RdDiscreteInputs", "READ | DISCRETES", "PUBLIC_ASSIGNED", Some((196, 22)), None),
            (&[3, 0, 0x6b, 0, 3], "RdHoldRegs", "READ | HOLDING", "PUBLIC_ASSIGNED", Some((107, 3)), None),
            (&[4, 0, 8, 0, 1], "RdInputRegs", "READ | INPUT", "PUBLIC_ASSIGNED", Some((8, 1)), None),
            (
                &[5, 0, 0xac, 0xff, 0],
                "WrSingleCoil",
                "WRITE | COILS | SINGLE | WRITE_SINGLE",
                "PUBLIC_ASSIGNED",
                None,
                Some((172, 1)),
            ),
            (
                &[6, 0, 1, 0, 3],
                "WrSingleReg",
                "WRITE | HOLDING | SINGLE | WRITE_SINGLE",
                "PUBLIC_ASSIGNED",
                None,
                Some((1, 1)),
            ),
            (&[7], "RdExcStatus", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[8, 0, 0, 0xa5, 0x37], "Diagnostic", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[8, 0, 21], "Diagnostic", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[9], "Program484", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[10], "Poll484", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[11], "GetCommEventCtr", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[12], "GetCommEventLog", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[13], "ProgramController", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[14], "PollController", "NONE", "PUBLIC_ASSIGNED", None, None),
            (
                &[15, 0, 0x13, 0, 0x0a, 2, 0xcd, 1],
                "WrMultCoils",
                "WRITE | COILS | MULTIPLE | WRITE_MULTIPLE",
                "PUBLIC_ASSIGNED",
                None,
                Some((19, 10)),
            ),
            (
                &[16, 0, 1, 0, 2, 4, 0, 10, 1, 2],
                "WrMultRegs",
                "WRITE | HOLDING | MULTIPLE | WRITE_MULTIPLE",
                "PUBLIC_ASSIGNED",
                None,
                Some((1, 2)),
            ),
            (&[17], "ReportServerID", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[18], "Program884", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[19], "ResetCommLink", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[20, 7, 6, 0, 4, 0, 1, 0, 2], "RdFileRec", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[21, 9, 6, 0, 4, 0, 7, 0, 1, 6, 0xaf], "WrFileRec", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[22, 0, 4, 0, 0xf2, 0, 0x25], "MaskWrReg", "WRITE | HOLDING", "PUBLIC_ASSIGNED", None, Some((4, 1))),
            (
                &[23, 0, 3, 0, 6, 0, 14, 0, 3, 6, 0, 0xff, 0, 0xfe, 0, 0xfd],
                "RdWrMultRegs",
                "READ | WRITE | HOLDING | MULTIPLE | WRITE_MULTIPLE",
                "PUBLIC_ASSIGNED",
                Some((3, 6)),
                Some((14, 3)),
            ),
            (&[24, 4, 0xde], "RdFIFOQueue", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[43, 14, 1, 0], "MEI", "NONE", "PUBLIC_ASSIGNED", None, None),
            (&[66], "Unknown", "NONE", "USER_DEFINED", None, None),
            (&[99], "Unknown", "NONE", "PUBLIC_UNASSIGNED", None, None),
            (&[127], "Unknown", "NONE", "RESERVED", None, None),
        ];
        for (pdu, name, access, category, read, write) in rows {
            let mut t = Talk::<Modbus>::new();
            t.say(ToServer, &wire(7, pdu), false);
            let told: serde_json::Value = serde_json::from_str(&t.json()[0]).unwrap();
            let asked = &told["modbus"]["request"];
            let words = [&asked["function_code"], &asked["access_type"], &asked["category"]];
            assert_eq!(words, [name, access, category], "{pdu:?}");
            // Of a single one it is not said how many.
            let range =
                |key: &str| Some((asked[key]["address"].as_u64()?, asked[key]["quantity"].as_u64().unwrap_or(1)));
            assert_eq!((range("read"), range("write")), (*read, *write), "{pdu:?}");
            // What rules compare is the same; its addresses count from 1.
            let ends = |f| (0..3).map_while(|i| t.number(0, f, ToServer, i)).collect::<Vec<_>>();
            let counted = |r: &Range| r.map_or_else(Vec::new, |(at, n)| vec![at + 1, at + n]);
            assert_eq!((ends(Field::ModbusRead), ends(Field::ModbusWrite)), (counted(read), counted(write)), "{pdu:?}");
            assert_eq!(ends(Field::ModbusFunction), [u64::from(pdu[0])]);
            assert_eq!(ends(Field::ModbusUnit), [10]);
            assert_eq!(t.events(), if *name == "Unknown" { vec!["invalid_function_code"] } else { vec![] }, "{pdu:?}");
            assert_eq!(t.number(0, Field::ModbusFunction, ToClient, 0), None, "only of the request");
        }
    }

    #[test]
    fn rules_compare_the_subfunction_and_the_registers_that_are_written() {
        let numbers = |pdu: &[u8], f| {
            let mut t = Talk::<Modbus>::new();
            t.say(ToServer, &wire(1, pdu), false);
            (0..4).map_while(|i| t.number(0, f, ToServer, i)).collect::<Vec<_>>()
        };
        for (pdu, sub) in [
            (&[8, 0, 18][..], vec![18]),
            (&[8, 1, 0], vec![256]),
            (&[43, 13, 9], vec![13]),
            (&[8, 0], vec![]), // cut off
            (&[43], vec![]),
            (&[3, 0, 0, 0, 1], vec![]),
        ] {
            assert_eq!(numbers(pdu, Field::ModbusSubfunction), sub, "{pdu:?}");
        }
        let at = |address: u64, value: u64| address << 16 | value;
        for (pdu, written) in [
            (&[6, 0, 1, 0, 3][..], vec![at(2, 3)]),
            (&[16, 0, 1, 0, 2, 4, 0, 10, 1, 2], vec![at(2, 10), at(3, 258)]),
            (&[16, 0, 1, 0, 2, 4, 0, 10], vec![at(2, 10)]), // cut off
            (&[23, 0, 3, 0, 6, 0, 14, 0, 2, 4, 0, 0xff, 0, 0xfe], vec![at(15, 0xff), at(16, 0xfe)]),
            (&[5, 0, 1, 0xff, 0], vec![]),           // a coil is no register
            (&[22, 0, 4, 0, 0xf2, 0, 0x25], vec![]), // which value results depends on what was there
            (&[3, 0, 0, 0, 1], vec![]),
        ] {
            assert_eq!(numbers(pdu, Field::ModbusWritten), written, "{pdu:?}");
        }
        assert_eq!(numbers(&[66], Field::ModbusCategory), [u64::from(category::USER)]);
        assert_eq!(numbers(&[4, 0, 8, 0, 1], Field::ModbusAccess), [u64::from(access::READ | access::INPUT)]);
        assert!(numbers(&[4, 0, 8, 0, 1], Field::DnsOpcode).is_empty(), "nobody else's number");
    }

    /// Exceptions of the specification (7).
    #[test]
    fn an_exception_is_named_and_stands_for_the_whole_response() {
        for (code, name) in [
            (1, "IllegalFunction"),
            (2, "IllegalDataAddr"),
            (3, "IllegalDataValue"),
            (4, "ServerDeviceFail"),
            (5, "Ack"),
            (6, "ServerDeviceBusy"),
            (7, "NegAck"),
            (8, "MemParityErr"),
            (9, "Unknown"),
            (10, "GatewayPathUnavailable"),
            (11, "GatewayTargetFailToResp"),
            (12, "Unknown"),
        ] {
            let mut t = Talk::<Modbus>::new();
            t.say(ToServer, &wire(1, &[8, 0, 0, 1, 2]), false);
            t.say(ToClient, &wire(1, &[0x88, code]), false);
            let told: serde_json::Value = serde_json::from_str(&t.json()[0]).unwrap();
            assert_eq!(told["modbus"]["request"]["diagnostic"]["raw"], 0);
            let response = &told["modbus"]["response"];
            assert_eq!(response["exception"], serde_json::json!({"raw": code, "code": name}));
            assert_eq!((&response["function_raw"], response.get("diagnostic")), (&0x88.into(), None));
            assert_eq!(t.events(), if name == "Unknown" { vec!["invalid_exception_code"] } else { vec![] });
        }
    }

    /// Without a byte of its length nothing says where the next frame begins: after a gap nothing is read any more.
    #[test]
    fn a_gap_ends_it_and_what_is_cut_off_at_the_end_is_no_request() {
        let mut t = Talk::<Modbus>::new();
        t.say(ToServer, &wire(1, &[7]), false);
        t.say(ToServer, &wire(2, &[7])[..7], false);
        t.end();
        assert!(!t.stopped && t.state.txs().len() == 1 && t.state.proto() == AppProto::Modbus);
        let mut cx = Cx::marking(&t.config, &mut t.memory, (50_000, 502));
        assert_eq!(t.state.gap(ToServer, 1, &mut cx), Step::Error);
    }

    #[test]
    fn functions_have_their_category() {
        let of = |pdu: &[u8]| frame(&wire(1, pdu)).map(|(f, _)| f.category());
        for (pdu, want) in [
            (&[3][..], category::ASSIGNED),
            (&[8, 0, 9], category::RESERVED),
            (&[8, 0, 18], category::ASSIGNED),
            (&[9], category::ASSIGNED),
            (&[8, 0, 19], category::ASSIGNED),
            (&[0x88, 11], 0),
            (&[0x81, 11], category::ASSIGNED),
            (&[43, 14], category::ASSIGNED),
            (&[43, 1], category::RESERVED),
            (&[66], category::USER),
            (&[99], category::UNASSIGNED),
        ] {
            assert_eq!(of(pdu), Some(want), "{pdu:?}");
        }
    }

    #[test]
    fn what_is_damaged_is_an_event_and_every_truncation_waits() {
        let whole = wire(1, &[1, 0, 0, 0, 3]);
        assert!((0..whole.len()).all(|n| frame(&whole[..n]).is_none()));
        let mut t = Talk::<Modbus>::new();
        t.say(ToServer, &[0, 1, 0, 0, 0xff, 0xff], false); // threat: a length of 64 KiB
        assert!(t.stopped && t.events() == ["invalid_length"]);
        let mut t = Talk::<Modbus>::new();
        t.say(ToServer, &[0, 1, 0, 5, 0, 2, 1, 7], false);
        assert_eq!(t.events(), ["invalid_protocol_id"]);
        for (asked, answered, event) in [
            (&[99][..], &[99][..], "invalid_function_code"),
            (&[1, 0, 0, 0, 0], &[0x81, 3], "invalid_value"),
            (&[1, 0, 0, 0, 3], &[0x81, 9], "invalid_exception_code"),
            (&[6, 0, 1, 0, 7], &[6, 0, 1, 0, 8], "value_mismatch"),
        ] {
            let mut t = Talk::<Modbus>::new();
            t.say(ToServer, &wire(1, asked), false);
            t.say(ToClient, &wire(1, answered), false);
            assert!(t.events().iter().all(|e| *e == event) && !t.events().is_empty(), "{event}: {:?}", t.events());
        }
        let mut t = Talk::<Modbus>::new();
        t.say(ToServer, &whole.repeat(MAX_TXS), false);
        assert_eq!(t.events(), [""; 0]);
        t.say(ToServer, &whole.repeat(3000), false);
        assert!(t.events().contains(&"flooded"));
        assert!(t.state.txs().len() <= 2 * MAX_TXS);
    }

    proptest! {
        #[test]
        fn any_bytes(pieces in prop::collection::vec((any::<bool>(), prop_oneof![
            prop::collection::vec(any::<u8>(), 0..20).prop_map(|pdu| wire(1, &pdu)),
            prop::collection::vec(any::<u8>(), 0..40)]), 0..7), cut in 0usize..50) {
            hostile::<Modbus>(&pieces, cut, false);
        }
    }
}
