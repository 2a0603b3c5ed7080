// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Whose bytes count where segments overlap: by the system that receives them (`host-os-policy`).
//!
//! After Novak and Sturges, "Target-Based TCP Stream Reassembly" (2007): each policy favours the earlier segment or the
//! later one by where each begins and ends. Must never decide by content.

/// How a host resolves overlapping segments; named as in `host-os-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[expect(missing_docs, reason = "names of operating systems")]
pub enum Policy {
    #[default]
    Bsd,
    Windows,
    Linux,
    OldLinux,
    Solaris,
    Hpux10,
    Hpux11,
    Irix,
    Macos,
    Vista,
    Windows2k3,
    /// The earlier segment, always.
    First,
    /// The later segment, always.
    Last,
}

/// A segment's place in its stream: first byte and the byte behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Policy {
    /// From its name in the configuration; None for a name that there is not.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "bsd" => Self::Bsd,
            "bsd-right" => Self::Last,
            "windows" => Self::Windows,
            "linux" => Self::Linux,
            "old-linux" | "old_linux" => Self::OldLinux,
            "solaris" | "old-solaris" => Self::Solaris,
            "hpux10" => Self::Hpux10,
            "hpux11" => Self::Hpux11,
            "irix" => Self::Irix,
            "macos" => Self::Macos,
            "vista" => Self::Vista,
            "windows2k3" => Self::Windows2k3,
            "first" => Self::First,
            "last" => Self::Last,
            _ => return None,
        })
    }

    /// Whether the later segment's bytes take the place of the earlier one's where both have some.
    pub(crate) const fn later_wins(self, later: Extent, earlier: Extent) -> bool {
        match self {
            Self::First | Self::Vista => false,
            Self::Last => true,
            // The earlier one, unless the later begins before it.
            Self::Bsd | Self::Windows | Self::Windows2k3 | Self::Hpux10 | Self::Irix | Self::Macos => {
                later.from < earlier.from
            }
            // As BSD, and the later where both begin together and it reaches further.
            Self::Linux => later.from < earlier.from || later.from == earlier.from && later.to > earlier.to,
            // As BSD, and the later where both begin together and it reaches as far or further.
            Self::OldLinux => later.from < earlier.from || later.from == earlier.from && later.to >= earlier.to,
            // The later one, unless the earlier ends behind it or begins before it and ends with it.
            Self::Solaris | Self::Hpux11 => {
                !(earlier.to > later.to || earlier.from < later.from && earlier.to >= later.to)
            }
        }
    }
}
