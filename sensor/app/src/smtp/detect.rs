// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which bytes of a mail rules look into.

use lagewarte_flow::Direction;

use super::{ENVELOPE, HEADER, HELO, Smtp, Tx};
use crate::{buffer::Buffer, tx::DONE};

/// From which progress on a buffer is complete.
pub(super) const fn buffer_at(b: Buffer) -> u8 {
    match b {
        Buffer::SmtpHelo => HELO,
        Buffer::SmtpMailFrom | Buffer::SmtpRcptTo => ENVELOPE,
        Buffer::EmailUrl | Buffer::EmailBodyMd5 | Buffer::FileData | Buffer::FileName | Buffer::FileMagic => DONE,
        _ => HEADER,
    }
}

/// An instance of a buffer.
pub(super) fn buffer<'a>(s: &'a Smtp, tx: &'a Tx, b: Buffer, d: Direction, index: usize) -> Option<&'a [u8]> {
    if d == Direction::ToClient {
        return None;
    }
    let mime = tx.mime.as_deref();
    let one = |v: Option<&'a [u8]>| v.filter(|_| index == 0);
    let field = |name: &str| one(mime?.field(name.as_bytes()));
    match b {
        Buffer::SmtpHelo => one(s.helo()),
        Buffer::SmtpMailFrom => one(tx.mail_from.as_deref()),
        Buffer::SmtpRcptTo => tx.rcpt_to.get(index).map(Vec::as_slice),
        Buffer::EmailFrom => field("from"),
        Buffer::EmailTo => field("to"),
        Buffer::EmailCc => field("cc"),
        Buffer::EmailSubject => field("subject"),
        Buffer::EmailDate => field("date"),
        Buffer::EmailMessageId => field("message-id"),
        Buffer::EmailXMailer => field("x-mailer"),
        Buffer::EmailReceived => {
            mime?.fields().iter().filter(|f| f.name == b"received").nth(index).map(|f| f.value.as_slice())
        }
        Buffer::EmailUrl => mime?.urls().at(index),
        Buffer::EmailBodyMd5 => one(mime?.body_md5().map(str::as_bytes)),
        Buffer::FileData => tx.files.towards(d).filter_map(|f| f.window.shown()).nth(index),
        Buffer::FileName => tx.files.towards(d).nth(index).map(|f| f.name.as_slice()),
        Buffer::FileMagic => tx.files.magic(d, index),
        _ => None,
    }
}
