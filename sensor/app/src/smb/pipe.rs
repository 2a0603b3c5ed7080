// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DCE/RPC in a named pipe (MS-RPCE 2.1.1.2): what is written to the pipe and read from it, whichever command carries it,
//! is a stream of PDUs each way.
//!
//! Must never hold more of a stream than the PDU that it waits for: a fragment is 65,535 bytes at most. What is no PDU is
//! left alone.

use lagewarte_flow::Direction;

use super::{About, Body, FileId, Smb, Status, Tx};
use crate::{
    dcerpc::{
        call::{Call, Interfaces},
        pdu::{self, HEAD, Head},
    },
    protocol::Cx,
    tx::DONE,
};

/// A pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    interfaces: Interfaces,
    // What came of a PDU that is not whole, by direction.
    partial: [Vec<u8>; 2],
}

impl Smb {
    /// Takes what goes through a pipe. Whether it was DCE/RPC.
    pub(super) fn through(
        &mut self,
        d: Direction,
        about: &About,
        id: &FileId,
        bytes: &[u8],
        status: Option<Status>,
        cx: &mut Cx<'_>,
    ) -> bool {
        let side = d.index();
        let Some(pipe) = self.open.get_mut(id).and_then(|o| o.pipe.as_mut()) else { return false };
        let mut data = std::mem::take(&mut pipe.partial[side]);
        let mut back = data.len() as u64;
        data.extend_from_slice(bytes);
        let mut rest = data.as_slice();
        let mut any = false;
        let keep = loop {
            let Some(head) = pdu::head(rest) else {
                // Too little to tell, or nothing of the kind.
                break rest.len() < HEAD && matches!(rest, [5] | [5, 0 | 1, ..]);
            };
            any = true;
            let Some((whole, after)) = rest.split_at_checked(head.len) else { break true };
            self.pdu(d, about, id, &head, whole, status, cx);
            rest = after;
        };
        // What was kept before is given back, what is kept now is charged.
        self.settle(id, &mut back, cx);
        if keep {
            let mut charged = 0;
            if cx.charge(&mut charged, rest.len())
                && let Some(open) = self.open.get_mut(id)
                && let Some(pipe) = &mut open.pipe
            {
                pipe.partial[side] = rest.to_vec();
                open.charged += charged;
                self.charged += charged;
            } else {
                cx.release(&mut charged);
            }
        }
        any || keep
    }

    fn settle(&mut self, id: &FileId, back: &mut u64, cx: &mut Cx<'_>) {
        if let Some(open) = self.open.get_mut(id) {
            open.charged = open.charged.saturating_sub(*back);
        }
        self.charged = self.charged.saturating_sub(*back);
        cx.release(back);
    }

    #[expect(clippy::too_many_arguments, reason = "one PDU where it came")]
    fn pdu(
        &mut self,
        d: Direction,
        about: &About,
        id: &FileId,
        head: &Head,
        whole: &[u8],
        status: Option<Status>,
        cx: &mut Cx<'_>,
    ) {
        let up = d == Direction::ToServer;
        let Some(body) = pdu::body(head, whole).filter(|_| Call::is_of_one(head.kind, up)) else { return };
        let fits = |t: &&mut Tx| match &t.body {
            Body::Rpc { id: of, call } => of == id && t.core.progress(d) < DONE && call.takes(head, up),
            _ => false,
        };
        let found = self.txs.iter_mut().find(fits).map(|t| t.core.id);
        let number = match found {
            Some(n) => n,
            None => {
                let mut tx = Tx {
                    about: *about,
                    status,
                    body: Body::Rpc { id: *id, call: Call::new(head, d) },
                    ..Tx::default()
                };
                if !cx.charge(&mut tx.core.charged, size_of::<Tx>()) {
                    return;
                }
                if !up {
                    tx.core.reach(Direction::ToServer, DONE); // what was asked was not seen
                }
                self.txs.limit(cx.config.smb.max_tx);
                self.txs.push(tx).core.id
            }
        };
        let Some(open) = self.open.get_mut(id) else { return };
        let Some(pipe) = &mut open.pipe else { return };
        let Some(tx) = self.txs.by_id(number) else { return };
        let Body::Rpc { call, .. } = &mut tx.body else { return };
        call.heard(head, up);
        let before = self.charged;
        let mut charged = [tx.core.charged, before];
        call.fragment(head, &body, d, true, cx, &mut charged[0]);
        call.bind(&body, &mut pipe.interfaces, cx, &mut charged);
        [tx.core.charged, self.charged] = charged;
        open.charged += self.charged.saturating_sub(before);
        if status.is_some() {
            tx.status = status;
        }
        if head.last {
            tx.core.reach(d, DONE);
        } else {
            tx.core.touch(d);
        }
    }
}
