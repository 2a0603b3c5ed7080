// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! ONC RPC version 2 (RFC 5531): calls and replies, their credentials, and the marks between records of a stream.
//!
//! Must never look into a verifier. Limit: [`MAX_NAME`].

use lagewarte_base::reader::Reader;

/// The program that NFS is.
pub const NFS: u32 = 100_003;
/// Longest machine name that is kept (RFC 5531, appendix A allows 255).
pub const MAX_NAME: usize = 255;
/// Longest credential or verifier (RFC 5531, 8.2).
const MAX_AUTH: u32 = 400;

/// Who calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Flavour: 0 none, 1 Unix, 6 GSS.
    pub flavour: u32,
    /// Of Unix: machine, user and group.
    pub unix: Option<(Vec<u8>, u32, u32)>,
}

/// A call's header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number, by which the reply belongs to it.
    pub xid: u32,
    /// Version of the program.
    pub version: u32,
    /// Procedure.
    pub procedure: u32,
    /// Who calls.
    pub credentials: Credentials,
}

/// A reply's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// Number of the call.
    pub xid: u32,
    /// Whether the call was accepted.
    pub accepted: bool,
    /// Whether the procedure was carried out: results follow.
    pub done: bool,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// A call of NFS.
    Call(Call),
    /// A reply, of whatever was called.
    Reply(Reply),
    /// A call of another program.
    Other,
}

/// Reads a message's header; what follows it stays in the reader. None where it is none.
pub fn header(r: &mut Reader<'_>) -> Option<Header> {
    let xid = r.u32()?;
    match r.u32()? {
        0 => {
            let (rpc, program, version, procedure) = (r.u32()?, r.u32()?, r.u32()?, r.u32()?);
            if rpc != 2 {
                return None;
            }
            if program != NFS {
                return Some(Header::Other);
            }
            let (flavour, body) = auth(r)?;
            let unix = if flavour == 1 { unix(body) } else { None };
            auth(r)?;
            Some(Header::Call(Call { xid, version, procedure, credentials: Credentials { flavour, unix } }))
        }
        1 => match r.u32()? {
            0 => {
                auth(r)?;
                let done = r.u32()? == 0;
                Some(Header::Reply(Reply { xid, accepted: true, done }))
            }
            1 => Some(Header::Reply(Reply { xid, ..Reply::default() })),
            _ => None,
        },
        _ => None,
    }
}

fn auth<'a>(r: &mut Reader<'a>) -> Option<(u32, Reader<'a>)> {
    let (flavour, len) = (r.u32()?, r.u32()?);
    if len > MAX_AUTH {
        return None;
    }
    Some((flavour, Reader::new(opaque_of(r, len)?)))
}

// A stamp, a machine, a user and a group (RFC 5531, appendix A).
fn unix(mut r: Reader<'_>) -> Option<(Vec<u8>, u32, u32)> {
    r.u32()?;
    let machine = opaque(&mut r)?;
    Some((machine.get(..machine.len().min(MAX_NAME))?.to_vec(), r.u32()?, r.u32()?))
}

/// Bytes with their length before them, filled up to four (RFC 4506, 4.10).
pub fn opaque<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = r.u32()?;
    opaque_of(r, len)
}

fn opaque_of<'a>(r: &mut Reader<'a>, len: u32) -> Option<&'a [u8]> {
    let len = usize::try_from(len).ok()?;
    let bytes = r.take(len)?;
    let fill = len.next_multiple_of(4) - len; // a length of 32 bits cannot overflow
    r.take(fill.min(r.rest().len()))?;
    Some(bytes)
}

/// The mark before a record's fragment: whether it is the last, and its length (RFC 5531, 11).
pub fn mark(data: &[u8]) -> Option<(bool, usize)> {
    let word = Reader::new(data).u32()?;
    Some((word & 0x8000_0000 != 0, usize::try_from(word & 0x7fff_ffff).ok()?))
}
