// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `fileinfo`, field for field in Suricata's order.

use lagewarte_event::eve::JsonWriter;

use super::{File, FileState};

impl File {
    /// Writes the members of the `fileinfo` object into an open object.
    pub fn log(&self, tx_id: u64, w: &mut JsonWriter) {
        w.key("filename").bytes(&self.name);
        if let Some(words) = self.magic.words() {
            w.key("magic").string(words);
        }
        w.key("gaps").bool(self.gaps);
        w.key("state").string(self.state.name());
        if self.state == FileState::Closed {
            if let Some(d) = self.digests().md5 {
                w.key("md5").string(&hex::encode(d));
            }
            if let Some(d) = self.digests().sha1 {
                w.key("sha1").string(&hex::encode(d));
            }
        }
        if let Some(d) = self.digests().sha256 {
            w.key("sha256").string(&hex::encode(d));
        }
        w.key("stored").bool(self.stored.is_some());
        match self.stored {
            Some(id) => {
                w.key("file_id").u64(id);
            }
            None if self.keep && self.undecided => {
                w.key("storing").bool(true);
            }
            None => {}
        }
        w.key("size").u64(self.size);
        if let Some((start, end)) = self.range {
            w.key("start").u64(start).key("end").u64(end);
        }
        w.key("tx_id").u64(tx_id);
    }
}
