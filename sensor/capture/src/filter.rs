// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Capture filters in the language of tcpdump, compiled by libpcap, run here for files and in the kernel for interfaces.
//!
//! Must never let an unreadable filter pass as "everything".

use pcap::{BpfProgram, Capture, Linktype};

use crate::Error;

/// A filter for frames of the link types of one file.
pub struct Filter {
    text: String,
    programs: Vec<(u16, BpfProgram)>,
}

impl Filter {
    /// Compiles `text` for Ethernet, so that mistakes show before a file is opened.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] with libpcap's reason.
    pub fn new(text: &str) -> Result<Self, Error> {
        let mut f = Self { text: text.to_owned(), programs: Vec::new() };
        f.program(1)?;
        Ok(f)
    }

    /// Whether a frame of this link type passes.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] where the filter cannot be compiled for the link type (`ether host` on raw IP, say).
    pub fn passes(&mut self, linktype: u16, data: &[u8]) -> Result<bool, Error> {
        Ok(self.program(linktype)?.filter(data))
    }

    fn program(&mut self, linktype: u16) -> Result<&BpfProgram, Error> {
        if let Some(at) = self.programs.iter().position(|(l, _)| *l == linktype) {
            return Ok(&self.programs[at].1); // at comes from position
        }
        let mistake = |e: pcap::Error| Error::Filter { filter: self.text.clone(), reason: e.to_string() };
        // LINKTYPE_RAW is 101 in files; libpcap compiles for DLT numbers, where it is 12.
        let dlt = if linktype == 101 { 12 } else { i32::from(linktype) };
        let program = Capture::dead(Linktype(dlt)).and_then(|c| c.compile(&self.text, true)).map_err(mistake)?;
        self.programs.push((linktype, program));
        Ok(&self.programs[self.programs.len() - 1].1) // just pushed
    }
}
