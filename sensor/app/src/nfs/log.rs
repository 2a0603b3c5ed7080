// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `nfs` and the `rpc` beside it.

use lagewarte_event::{
    eve::JsonWriter,
    names::{NFS2_PROCEDURES, NFS3_PROCEDURES, NFS4_OPERATIONS, name_of},
};

use super::Tx;
use crate::names::name;

/// The members of an event or an alert.
pub fn write(tx: &Tx, id: u64, w: &mut JsonWriter) {
    w.key("rpc").open().key("xid").u64(tx.call.xid.into());
    w.key("status").string(match tx.reply {
        Some(r) if !r.accepted => "DENIED",
        Some(_) => "ACCEPTED",
        None => "UNKNOWN",
    });
    let who = &tx.call.credentials;
    w.key("auth_type").string(match who.flavour {
        0 => "NULL",
        1 => "UNIX",
        2 => "SHORT",
        3 => "DES",
        6 => "GSS",
        _ => "UNKNOWN",
    });
    if let Some((machine, uid, gid)) = &who.unix {
        w.key("creds").open().key("machine_name").bytes(machine);
        w.key("uid").u64((*uid).into()).key("gid").u64((*gid).into()).close();
    }
    w.close();

    w.key("nfs").open().key("version").u64(tx.call.version.into());
    w.key("procedure").string(&procedure(tx));
    w.key("filename").bytes(tx.name().unwrap_or_default());
    if !tx.about.handle.is_empty() {
        w.key("hhash").string(&format!("{:x}", tx.hash));
    }
    w.key("id").u64(id).key("file_tx").bool(tx.file.is_some());
    w.key("type").string(if tx.reply.is_some() { "response" } else { "request" });
    if let Some(s) = tx.status {
        match status(s) {
            Some(name) => w.key("status").string(name),
            None => w.key("status").string(&format!("UNKNOWN_{s}")),
        };
    }
    if let Some(p) = tx.file {
        w.key(if p.write { "write" } else { "read" }).open().key("first").bool(p.first).key("last").bool(p.last);
        w.key("last_xid").u64(p.last_xid.into()).key("chunks").u64(p.chunks).close();
    }
    if let (true, Some(from), Some(to)) = (tx.renames(), tx.name(), &tx.about.to) {
        w.key("rename").open().key("from").bytes(from).key("to").bytes(to).close();
    }
    w.close();
}

fn procedure(tx: &Tx) -> String {
    let names = match tx.call.version {
        2 => NFS2_PROCEDURES,
        3 => NFS3_PROCEDURES,
        _ => NFS4_OPERATIONS,
    };
    let n = tx.about.procedure;
    name_of(names, n.into()).map_or_else(|| n.to_string(), str::to_ascii_uppercase)
}

// Status of all versions, whose numbers do not contradict each other (RFC 1094, 2.3.1; RFC 1813, 2.6; RFC 8881, 15.1).
fn status(n: u32) -> Option<&'static str> {
    name(STATUS, n)
}
const STATUS: &[(u32, &str)] = &[
    (0, "OK"),
    (1, "ERR_PERM"),
    (2, "ERR_NOENT"),
    (5, "ERR_IO"),
    (6, "ERR_NXIO"),
    (13, "ERR_ACCESS"),
    (17, "ERR_EXIST"),
    (18, "ERR_XDEV"),
    (19, "ERR_NODEV"),
    (20, "ERR_NOTDIR"),
    (21, "ERR_ISDIR"),
    (22, "ERR_INVAL"),
    (27, "ERR_FBIG"),
    (28, "ERR_NOSPC"),
    (30, "ERR_ROFS"),
    (31, "ERR_MLINK"),
    (63, "ERR_NAMETOOLONG"),
    (66, "ERR_NOTEMPTY"),
    (69, "ERR_DQUOT"),
    (70, "ERR_STALE"),
    (71, "ERR_REMOTE"),
    (99, "ERR_WFLUSH"),
    (10001, "ERR_BADHANDLE"),
    (10002, "ERR_NOT_SYNC"),
    (10003, "ERR_BAD_COOKIE"),
    (10004, "ERR_NOTSUPP"),
    (10005, "ERR_TOOSMALL"),
    (10006, "ERR_SERVERFAULT"),
    (10007, "ERR_BADTYPE"),
    (10008, "ERR_JUKEBOX"),
    (10009, "ERR_SAME"),
    (10010, "ERR_DENIED"),
    (10011, "ERR_EXPIRED"),
    (10012, "ERR_LOCKED"),
    (10013, "ERR_GRACE"),
    (10014, "ERR_FHEXPIRED"),
    (10016, "ERR_WRONGSEC"),
    (10017, "ERR_CLID_INUSE"),
    (10020, "ERR_NOFILEHANDLE"),
    (10022, "ERR_STALE_CLIENTID"),
    (10023, "ERR_STALE_STATEID"),
    (10024, "ERR_OLD_STATEID"),
    (10025, "ERR_BAD_STATEID"),
    (10026, "ERR_BAD_SEQID"),
    (10027, "ERR_NOT_SAME"),
    (10030, "ERR_LEASE_MOVED"),
    (10031, "ERR_ATTRNOTSUPP"),
    (10036, "ERR_BADXDR"),
    (10044, "ERR_OP_ILLEGAL"),
    (10052, "ERR_BADSESSION"),
];
