// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Foundation of both sides: identities, time, municipality keys, labels, hostile-byte reader, signed files.
//!
//! Must never: know an event's content, a packet, a database or a socket. Reads no clock but through [`clock`], touches no
//! disk but through [`fs`] and a signed file's reader.
//! Limits: pure values; the only allocation bound that matters is stated at each type.

pub mod ags;
pub mod assignment;
pub mod berlin;
pub mod clock;
pub mod fs;
pub mod id;
pub mod profile;
pub mod reader;
pub mod signed;
pub mod spelling;
pub mod time;
pub mod tlp;
pub mod token;
