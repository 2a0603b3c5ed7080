// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What NFS's calls name and its replies give: handles, names and status, of versions 2 (RFC 1094), 3 (RFC 1813) and 4
//! (RFC 7530, RFC 8881).
//!
//! Must never keep what is read or written. Limits: [`MAX_NAME`], [`MAX_OPERATIONS`].

use lagewarte_base::reader::Reader;

use super::rpc::opaque;

/// Longest name that is kept; the rest is cut. Threat: a name as long as a record.
pub const MAX_NAME: usize = 1024;
/// Most operations of a compound that are looked at. Threat: a compound of nothing but operations.
pub const MAX_OPERATIONS: usize = 64;

/// What a call is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Procedure; of version 4 the operation that a compound is for.
    pub procedure: u32,
    /// The handle of the file or folder.
    pub handle: Vec<u8>,
    /// The name in that folder.
    pub name: Option<Vec<u8>>,
    /// Of RENAME and LINK: the new name.
    pub to: Option<Vec<u8>>,
    /// Of READ and WRITE: where in the file.
    pub offset: Option<u64>,
    /// Of WRITE of version 3: it is stored at once (`FILE_SYNC`), no COMMIT follows.
    pub stored: bool,
}

fn kept(name: &[u8]) -> Vec<u8> {
    name.get(..name.len().min(MAX_NAME)).unwrap_or_default().to_vec()
}

// A handle: 32 bytes in version 2, with its length before it later on.
fn handle<'a>(r: &mut Reader<'a>, version: u32) -> Option<&'a [u8]> {
    let most = match version {
        2 => return r.take(32),
        3 => 64,
        _ => 128,
    };
    opaque(r).filter(|h| h.len() <= most)
}

/// Reads a call's arguments. None where they are damaged.
pub fn call(version: u32, procedure: u32, r: &mut Reader<'_>) -> Option<About> {
    if version >= 4 {
        return if procedure == COMPOUND { compound(r) } else { Some(About { procedure, ..About::default() }) };
    }
    let mut a = About { procedure, ..About::default() };
    // Of the two tables the same letters: a handle, a name in it, and a second pair.
    let shape = match (version, procedure) {
        (2, 0 | 3 | 7) | (3, 0) => return Some(a),
        (2, 4 | 9 | 10 | 13..=15) | (3, 3 | 8..=13) => Shape::Named,
        (2, 11) | (3, 14) => Shape::Renamed,
        (2, 12) | (3, 15) => Shape::Linked,
        _ => Shape::Handle,
    };
    a.handle = handle(r, version)?.to_vec();
    match shape {
        Shape::Handle => {
            a.offset = match (version, procedure) {
                (2, 6) => Some(r.u32()?.into()),
                (2, 8) => Some(r.u64()? & 0xffff_ffff), // behind where the file began once
                (3, 6 | 7) => Some(r.u64()?),
                _ => None,
            };
            if (version, procedure) == (3, 7) {
                r.u32()?; // how much
                a.stored = r.u32() == Some(2);
            }
        }
        Shape::Named => a.name = Some(kept(opaque(r)?)),
        Shape::Renamed => {
            a.name = Some(kept(opaque(r)?));
            handle(r, version)?;
            a.to = Some(kept(opaque(r)?));
        }
        Shape::Linked => {
            handle(r, version)?;
            a.to = Some(kept(opaque(r)?));
        }
    }
    Some(a)
}

enum Shape {
    Handle,
    Named,
    Renamed,
    Linked,
}

const COMPOUND: u32 = 1;

/// What a reply gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// Its status.
    pub status: u32,
    /// The handle of what was looked up or made.
    pub handle: Option<Vec<u8>>,
    /// Of READ of version 3: the file ends here.
    pub end: bool,
}

/// Reads a reply's results. None where they are damaged.
pub fn reply(version: u32, procedure: u32, r: &mut Reader<'_>) -> Option<Given> {
    let status = r.u32()?;
    if status != 0 {
        return Some(Given { status, ..Given::default() });
    }
    let end = (version, procedure) == (3, 6) && ends(*r) == Some(true);
    let given = match (version, procedure) {
        (2, 4 | 9 | 14) | (3, 3) => handle(r, version),
        // A handle is there, or it is not.
        (3, 8..=11) => (r.u32() == Some(1)).then(|| handle(r, version)).flatten(),
        _ => None,
    };
    Some(Given { status, handle: given.map(<[u8]>::to_vec), end })
}

// Attributes, where they follow; how much was read, and whether the end was (RFC 1813, 3.3.6).
fn ends(mut r: Reader<'_>) -> Option<bool> {
    if r.u32()? == 1 {
        r.take(84)?;
    }
    r.u32()?;
    Some(r.u32()? == 1)
}

/// Operations of version 4 that only prepare for others: they do not say what a compound is for.
const PREPARING: &[u32] = &[3, 9, 10, 15, 16, 22, 23, 24, 31, 32, 53];

// A compound (RFC 7530, 15.2): operations up to the first of which it is not known where it ends.
fn compound(r: &mut Reader<'_>) -> Option<About> {
    opaque(r)?; // a tag
    r.u32()?; // minor version
    let count = r.u32()?;
    let mut a = About { procedure: COMPOUND, ..About::default() };
    let mut last = None;
    for _ in 0..count.min(MAX_OPERATIONS as u32) {
        let Some(operation) = r.u32() else { break };
        if a.procedure == COMPOUND && !PREPARING.contains(&operation) {
            a.procedure = operation;
        }
        last = Some(operation);
        if arguments(operation, r, &mut a).is_none() {
            break;
        }
    }
    // Nothing but preparation: then the last one is what it is for.
    if a.procedure == COMPOUND
        && let Some(last) = last
    {
        a.procedure = last;
    }
    Some(a)
}

// The arguments of an operation. None where they are not read to their end: the operations after it are not known.
fn arguments(operation: u32, r: &mut Reader<'_>, a: &mut About) -> Option<()> {
    let size = match operation {
        10 | 16 | 23 | 24 | 27 | 31 | 32 => 0, // GETFH, LOOKUPP, the other root handles, READLINK, RESTOREFH, SAVEFH
        3 | 58 => 4,                           // ACCESS, RECLAIM_COMPLETE
        30 | 57 => 8,                          // RENEW, DESTROY_CLIENTID
        5 => 12,                               // COMMIT
        8 | 36 | 44 | 45 => 16,                // DELEGRETURN, SETCLIENTID_CONFIRM, DESTROY_SESSION, FREE_STATEID
        4 | 20 => 20,                          // CLOSE, OPEN_CONFIRM
        53 => 32,                              // SEQUENCE
        // GETATTR: a bitmap.
        9 => return words(r),
        // LOOKUP, REMOVE, LINK.
        15 | 28 => {
            a.name = Some(kept(opaque(r)?));
            return Some(());
        }
        11 => {
            a.to = Some(kept(opaque(r)?));
            return Some(());
        }
        // PUTFH.
        22 => {
            a.handle = handle(r, 4)?.to_vec();
            return Some(());
        }
        // READDIR: cookie, verifier, two limits, a bitmap.
        26 => {
            r.take(24)?;
            return words(r);
        }
        // RENAME.
        29 => {
            a.name = Some(kept(opaque(r)?));
            a.to = Some(kept(opaque(r)?));
            return Some(());
        }
        // SETATTR: a state, a bitmap, values.
        34 => {
            r.take(16)?;
            words(r)?;
            return opaque(r).map(|_| ());
        }
        // READ: a state, where and how much; WRITE: how sure, and the data.
        25 | 38 => {
            r.take(16)?;
            a.offset = Some(r.u64()?);
            r.u32()?;
            return if operation == 25 { Some(()) } else { opaque(r).map(|_| ()) };
        }
        // OPEN: a number, two choices, an owner, how it is opened, and by which name.
        18 => return open(r, a),
        // CREATE: a type, with a link's target or a device's numbers, and a name; attributes follow.
        6 => {
            match r.u32()? {
                5 => drop(opaque(r)?),
                3 | 4 => drop(r.u64()?),
                _ => {}
            }
            a.name = Some(kept(opaque(r)?));
            words(r)?;
            return opaque(r).map(|_| ());
        }
        _ => return None,
    };
    r.take(size).map(|_| ())
}

// A list of words with their number before it.
fn words(r: &mut Reader<'_>) -> Option<()> {
    let n = usize::try_from(r.u32()?).ok()?;
    r.take(n.checked_mul(4)?).map(|_| ())
}

// OPEN (RFC 7530, 16.16).
fn open(r: &mut Reader<'_>, a: &mut About) -> Option<()> {
    r.take(12)?; // number, access, denial
    r.u64()?; // client
    opaque(r)?; // owner
    if r.u32()? == 1 {
        // It is made where it is not there: in one of four ways.
        match r.u32()? {
            0 | 1 => {
                words(r)?;
                opaque(r)?;
            }
            2 => drop(r.u64()?),
            3 => {
                r.u64()?;
                words(r)?;
                opaque(r)?;
            }
            _ => return None,
        }
    }
    match r.u32()? {
        // By name; what claims a delegation by name has its kind before it.
        0 => {}
        2 => drop(r.take(16)?),
        _ => return None,
    }
    a.name = Some(kept(opaque(r)?));
    Some(())
}
