// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bounds of the language, each with the threat it answers. A rule file comes from many hands, some of them careless.

/// Longest rule, continuation lines joined. Threat: a file without line ends held in memory many times over.
pub const MAX_RULE_BYTES: usize = 64 << 10;
/// Most entries of one address or port list. Threat: a variable that expands to millions of ranges.
pub const MAX_ADDRESSES: usize = 100_000;
/// Deepest nesting of lists and variables. Threat: a variable that names itself.
pub const MAX_NESTING: usize = 32;
/// Most options of one rule. Threat: a generated rule that makes every packet slow.
pub const MAX_OPTIONS: usize = 512;
/// Longest `content`. Threat: a pattern that no packet can hold but every group must carry.
pub const MAX_CONTENT: usize = 4096;
/// Largest rule file. Threat: a wrong path (a capture, a device) read whole.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Largest `distance` and `within`, either sign (as Suricata has it). Threat: arithmetic at the edge of integers.
pub const MAX_DISTANCE: i32 = 1_048_576;
/// Largest count of `detection_filter` with `unique_on`. Threat: a rule that remembers every port of every host.
pub const MAX_UNIQUE: u32 = 1_024;
/// Longest time that a mark of `xbits` or `hostbits` lasts, in seconds: a year. Threat: a typing error that fills the table
/// of marks with what never goes.
pub const MAX_EXPIRE: u32 = 366 * 86_400;
/// Most names of flowbits, counters and marks of one rule set. Threat: a generated set that makes every flow carry a huge bitmap.
pub const MAX_FLOWBITS: usize = 65_536;
/// Longest pattern of a `pcre`. Threat: one that takes a second to compile.
pub const MAX_PCRE: usize = 8 << 10;
/// Most transforms of one buffer. Threat: a chain that hashes a body a hundred times.
pub const MAX_TRANSFORMS: usize = 16;
/// Most bytes that `gunzip` and `zlib_deflate` unpack. Threat: a bomb.
pub const MAX_UNPACKED: u32 = 16 << 20;
