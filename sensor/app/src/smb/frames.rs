// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The frames of a record: that of the session service, and in it one for each message (Suricata's `nbss.*`, `smb1.*`,
//! `smb2.*`, `smb3.*`), each whole, its header and what follows that.
//!
//! Must never look outside the record, nor at more than [`MAX_COMPOUND`] messages of it.

use lagewarte_flow::AppProto;

use super::{v2::MAX_COMPOUND, wire::FRAME};
use crate::{frames::Kind, protocol::Cx};

const NBSS: [Kind; 3] = [Kind::NbssPdu, Kind::NbssHdr, Kind::NbssData];
/// By the first byte of a message's mark: the kinds, and the length of its header (MS-CIFS 2.2.3.1, MS-SMB2 2.2.1, 2.2.41).
const MESSAGES: [(u8, [Kind; 3], usize); 3] = [
    (0xff, [Kind::Smb1Pdu, Kind::Smb1Hdr, Kind::Smb1Data], 32),
    (0xfe, [Kind::Smb2Pdu, Kind::Smb2Hdr, Kind::Smb2Data], 64),
    (0xfd, [Kind::Smb3Pdu, Kind::Smb3Hdr, Kind::Smb3Data], 52),
];

/// Marks the frames of the record at the beginning of `data`, which has `len` bytes behind its header of [`FRAME`]; perhaps
/// they are not all there.
pub(super) fn mark(data: &[u8], len: usize, cx: &mut Cx<'_>) {
    if !cx.asks_frames(AppProto::Smb) {
        return;
    }
    three(NBSS, data.len(), FRAME, FRAME + len, cx);
    let record = data.get(FRAME..).unwrap_or_default();
    let record = record.get(..len).unwrap_or(record);
    let mut at = 0;
    for _ in 0..MAX_COMPOUND {
        let message = record.get(at..).unwrap_or_default();
        let [first, b'S', b'M', b'B', ..] = message else { return };
        let Some((_, kinds, header)) = MESSAGES.iter().find(|(mark, ..)| mark == first) else { return };
        // Only SMB 2 has messages behind each other; each says where the next one begins.
        let next = message.get(20..24).and_then(|n| Some(u32::from_le_bytes(n.try_into().ok()?) as usize));
        let next = next.filter(|n| *first == 0xfe && *n >= *header && *n < len - at); // at is within the record
        three(*kinds, data.len() - FRAME - at, *header, next.unwrap_or(len - at), cx);
        let Some(n) = next else { return };
        at += n;
    }
}

fn three([pdu, hdr, data]: [Kind; 3], left: usize, header: usize, len: usize, cx: &mut Cx<'_>) {
    cx.frame(hdr, left, header.min(len) as u64);
    cx.frame(pdu, left, len as u64);
    if let Some(left) = left.checked_sub(header) {
        cx.frame(data, left, len.saturating_sub(header) as u64);
    }
}
