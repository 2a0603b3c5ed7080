// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What a rule looks for in bytes: the payload's, an inspection buffer's, or those that were decoded out of them.
//!
//! Meanings follow the Suricata user guide, "Payload Keywords", "Base64 keywords" and "Transformations".

use crate::{ast::Interval, buffers::Buffer, dataset::Lookup};

/// A number that the rule writes, or one that it takes out of the bytes (`byte_extract`, `byte_math`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// Written.
    Number(i64),
    /// The rule's variable of that number, below [`crate::Rule::variables`].
    Variable(u16),
}

impl Value {
    /// The number where it is written.
    pub const fn number(self) -> Option<i64> {
        match self {
            Self::Number(n) => Some(n),
            Self::Variable(_) => None,
        }
    }
}

/// As [`Value`], for what is compared or calculated with: all 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// Written.
    Number(u64),
    /// The rule's variable of that number.
    Variable(u16),
}

/// A test on bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PayloadTest {
    /// `content` with its modifiers.
    Content(Content),
    /// `isdataat`.
    Isdataat {
        /// `!`
        negated: bool,
        /// Counted from the end of the match before.
        relative: bool,
        /// Bytes.
        at: Value,
    },
    /// `pcre`.
    Pcre(Pcre),
    /// `byte_test`.
    ByteTest(ByteTest),
    /// `byte_jump`.
    ByteJump(ByteJump),
    /// `byte_extract`.
    ByteExtract(ByteExtract),
    /// `byte_math`.
    ByteMath(ByteMath),
    /// `bsize`: how many bytes there are.
    Bsize(Interval),
    /// `absent`: there is no such buffer; or, with `or_else`, what else is asked of it holds.
    Absent {
        /// `or_else`
        or_else: bool,
    },
    /// `base64_decode`, and what follows `base64_data`.
    Base64(Base64),
    /// `dataset`, `datarep`: the whole buffer, in a set.
    Lookup(Lookup),
    /// `entropy`
    Entropy(Entropy),
    /// `asn1`
    Asn1(Asn1),
}

impl PayloadTest {
    /// The keyword's name in the registry.
    pub const fn keyword(&self) -> &'static str {
        match self {
            Self::Content(_) => "content",
            Self::Isdataat { .. } => "isdataat",
            Self::Pcre(_) => "pcre",
            Self::ByteTest(_) => "byte_test",
            Self::ByteJump(_) => "byte_jump",
            Self::ByteExtract(_) => "byte_extract",
            Self::ByteMath(_) => "byte_math",
            Self::Bsize(_) => "bsize",
            Self::Absent { .. } => "absent",
            Self::Base64(_) => "base64_decode",
            Self::Lookup(l) => l.keyword(),
            Self::Entropy(_) => "entropy",
            Self::Asn1(_) => "asn1",
        }
    }

    /// Whether it counts from the end of the match before.
    pub const fn relative(&self) -> bool {
        match self {
            Self::Content(c) => c.relative(),
            Self::Isdataat { relative, .. } => *relative,
            Self::Pcre(p) => p.relative,
            Self::ByteTest(t) => t.read.relative,
            Self::ByteJump(t) => t.read.relative,
            Self::ByteExtract(t) => t.read.relative,
            Self::ByteMath(t) => t.read.relative,
            Self::Base64(t) => t.relative,
            Self::Asn1(t) => t.relative,
            Self::Bsize(_) | Self::Absent { .. } | Self::Lookup(_) | Self::Entropy(_) => false,
        }
    }
}

/// What a rule looks for in one inspection buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferTest {
    /// Which buffer.
    pub buffer: &'static Buffer,
    /// What is made of its bytes before they are looked at, in this order.
    pub transforms: Vec<Transform>,
    /// Contents and the like, in the rule's order.
    pub tests: Vec<PayloadTest>,
}

impl BufferTest {
    /// Whether it also holds where there is no such buffer.
    pub fn absent(&self) -> bool {
        self.tests.iter().any(|t| matches!(t, PayloadTest::Absent { .. }))
    }
}

/// `content` with its modifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// The bytes, as written (case kept).
    pub bytes: Vec<u8>,
    /// `!`: must not occur in the window.
    pub negated: bool,
    /// `nocase`.
    pub nocase: bool,
    /// `offset`: where the search begins, from the payload's start.
    pub offset: Option<Value>,
    /// `depth`: how many bytes from `offset` on are searched.
    pub depth: Option<Value>,
    /// `distance`: where the search begins, from the end of the match before; may be negative.
    pub distance: Option<Value>,
    /// `within`: how many bytes from there on are searched.
    pub within: Option<Value>,
    /// `startswith`: as offset 0 with a depth of the pattern's length.
    pub startswith: bool,
    /// `endswith`: the match ends where the payload ends.
    pub endswith: bool,
    /// `fast_pattern`: the writer's choice of prefilter; no effect on what matches.
    pub fast_pattern: bool,
}

impl Content {
    /// Whether its window refers to the match before.
    pub const fn relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// `pcre`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pcre {
    /// What stands between the slashes.
    pub pattern: String,
    /// `!`: must not match.
    pub negated: bool,
    /// `R`: looked for from the end of the match before on, which is where `^` holds.
    pub relative: bool,
    /// The letters that change how the pattern is read.
    pub flags: PcreFlags,
    /// What is kept of a match.
    pub captures: Vec<Capture>,
}

/// Letters of `pcre` that change how the pattern is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PcreFlags {
    /// `i`
    pub caseless: bool,
    /// `m`: `^` and `$` hold at each line.
    pub multi_line: bool,
    /// `s`: a dot is also a line's end.
    pub dot_all: bool,
    /// `x`: blanks and comments in the pattern are not part of it.
    pub extended: bool,
    /// `A`: matches where the search begins or nowhere.
    pub anchored: bool,
    /// `E`: `$` does not hold before a line's end that ends the bytes.
    pub dollar_end: bool,
    /// `G`: quantifiers are lazy, and greedy with `?`.
    pub ungreedy: bool,
}

/// One group of a `pcre` that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Capture {
    /// Where it goes.
    pub to: CaptureTo,
    /// Its name; of `key` and `value` of a packet the one is the other's name.
    pub name: String,
    /// The group's number, from 1.
    pub group: u16,
}

/// Where a captured group goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaptureTo {
    /// `flow:`: to the flow: EVE `metadata.flowvars`.
    Flow,
    /// `pkt:`: to the packet's alerts: EVE `metadata.pktvars`.
    Packet,
    /// `alert:`: to the alert: EVE `alert.context`.
    Alert,
}

/// Where and how a number is read out of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// How many bytes.
    pub bytes: Value,
    /// Where they begin.
    pub offset: Value,
    /// `relative`: counted from the end of the match before.
    pub relative: bool,
    /// Which byte comes first.
    pub order: Order,
    /// `string`: digits, not bytes.
    pub digits: Option<Base>,
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// `big`: the highest.
    #[default]
    Big,
    /// `little`: the lowest.
    Little,
    /// `dce`: as the call that is looked into says.
    Call,
}

/// How digits are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// `hex`
    Hex,
    /// `dec`
    Dec,
    /// `oct`
    Oct,
    /// Not said: `0x` is for hex, `0` for oct.
    Unsaid,
}

/// `bitmask`: the bits of a number that count, moved down so that the lowest of them is the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitmask(pub u64);

impl Bitmask {
    /// Applies it.
    pub const fn of(self, n: u64) -> u64 {
        // A mask of no bits moves nothing, and leaves nothing.
        if self.0 == 0 { 0 } else { (n & self.0) >> self.0.trailing_zeros() }
    }
}

/// `byte_test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteTest {
    /// The number that is tested.
    pub read: Reading,
    /// `!`
    pub negated: bool,
    /// How it is tested.
    pub compare: Compare,
    /// Against what.
    pub against: Operand,
    /// `bitmask`
    pub bitmask: Option<Bitmask>,
}

/// How `byte_test` compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `=`
    Eq,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `&`: a bit of both is set.
    And,
    /// `^`: a bit of one is set and not of the other.
    Xor,
}

/// `byte_jump`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteJump {
    /// The number that says how far.
    pub read: Reading,
    /// `multiplier`
    pub multiplier: u32,
    /// `align`: rounded up to a multiple of four.
    pub align: bool,
    /// From where.
    pub from: JumpFrom,
    /// `post_offset`: how much further, either way.
    pub post_offset: i32,
    /// `bitmask`
    pub bitmask: Option<Bitmask>,
}

/// From where `byte_jump` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JumpFrom {
    /// From behind the number.
    Number,
    /// `from_beginning`
    Beginning,
    /// `from_end`
    End,
}

/// `byte_extract`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteExtract {
    /// The number that is kept.
    pub read: Reading,
    /// `multiplier`
    pub multiplier: u32,
    /// `align`: rounded up to a multiple of this; 1 where not said.
    pub align: u8,
    /// The rule's variable that it goes to.
    pub into: u16,
}

/// `byte_math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByteMath {
    /// The left number.
    pub read: Reading,
    /// What is done.
    pub oper: Oper,
    /// The right one.
    pub rvalue: Operand,
    /// `bitmask`
    pub bitmask: Option<Bitmask>,
    /// The rule's variable that the result goes to.
    pub into: u16,
}

/// What `byte_math` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Oper {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `<<`
    Left,
    /// `>>`
    Right,
}

/// `base64_decode`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Base64 {
    /// Most bytes that are decoded; None: all.
    pub bytes: Option<Value>,
    /// Where they begin.
    pub offset: Value,
    /// `relative`: counted from the end of the match before.
    pub relative: bool,
    /// What is asked of the decoded bytes (`base64_data`), in the rule's order.
    pub tests: Vec<PayloadTest>,
}

/// `entropy`: Shannon's entropy of bytes, in bits a byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entropy {
    /// Most bytes that are looked at; there must be as many. None: all.
    pub bytes: Option<u32>,
    /// Where they begin; the buffer must reach that far.
    pub offset: u32,
    /// What it must be.
    pub test: Level,
    /// What EVE calls the buffer in `metadata.entropy`.
    pub name: &'static str,
}

/// `asn1`: what is odd about an element of BER (X.690) or one inside it. One of the things asked for is enough. As the
/// Snort manual, "asn1", has it, from which Suricata takes the keyword.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Asn1 {
    /// `bitstring_overflow`: a BIT STRING in which more bits are unused than there are.
    pub bitstring: bool,
    /// `double_overflow`: a REAL in decimal digits that is longer than what takes them.
    pub double: bool,
    /// `oversize_length`: an element that says to be longer than this.
    pub oversize: Option<u32>,
    /// `absolute_offset`, `relative_offset`: where the element begins.
    pub offset: i64,
    /// `relative_offset`: counted from the end of the match before.
    pub relative: bool,
}

/// A test on a number that is not whole: Suricata's syntax of floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// `n`, `=n`
    Eq(Real),
    /// `!=n`
    Ne(Real),
    /// `<n`
    Lt(Real),
    /// `<=n`
    Le(Real),
    /// `>n`
    Gt(Real),
    /// `>=n`
    Ge(Real),
    /// `a-b`: both ends excluded.
    Between(Real, Real),
    /// `!a-b`: outside, both ends included.
    Outside(Real, Real),
}

impl Level {
    /// Whether `n` passes.
    pub fn matches(self, n: f64) -> bool {
        match self {
            Self::Eq(a) => n == a.get(),
            Self::Ne(a) => n != a.get(),
            Self::Lt(a) => n < a.get(),
            Self::Le(a) => n <= a.get(),
            Self::Gt(a) => n > a.get(),
            Self::Ge(a) => n >= a.get(),
            Self::Between(a, b) => n > a.get() && n < b.get(),
            Self::Outside(a, b) => n <= a.get() || n >= b.get(),
        }
    }
}

/// A finite number of 64 bits that can be a key: two are equal where their bits are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Real(u64);

impl Real {
    /// None where it is not finite.
    pub fn new(n: f64) -> Option<Self> {
        n.is_finite().then_some(Self(n.to_bits()))
    }
    /// The number.
    pub const fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// How base64 treats what is no letter of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Base64Mode {
    /// `strict`: nothing is decoded.
    Strict,
    /// `rfc4648`: what stands before it is decoded.
    #[default]
    Rfc4648,
    /// `rfc2045`: it is left out.
    Rfc2045,
}

/// What is made of a buffer's bytes before they are looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Transform {
    /// `dotprefix`: a dot before the first byte.
    DotPrefix,
    /// `strip_whitespace`
    StripWhitespace,
    /// `compress_whitespace`: one blank for each run.
    CompressWhitespace,
    /// `to_lowercase`
    ToLowercase,
    /// `to_uppercase`
    ToUppercase,
    /// `to_md5`: the hash, raw.
    ToMd5,
    /// `to_sha1`
    ToSha1,
    /// `to_sha256`
    ToSha256,
    /// `url_decode`
    UrlDecode,
    /// `xor` from this place on; what stands before it stays.
    Xor {
        /// Where it begins.
        offset: u16,
        /// With what.
        key: XorKey,
    },
    /// `header_lowercase`: what stands before the colon of each line.
    HeaderLowercase,
    /// `strip_pseudo_headers`: lines that begin with a colon.
    StripPseudoHeaders,
    /// `pcrexform`: the first group of this pattern.
    Pcre(String),
    /// `from_base64`
    FromBase64 {
        /// Most bytes that are decoded; None: all.
        bytes: Option<u32>,
        /// Where they begin.
        offset: u32,
        /// What becomes of foreign letters.
        mode: Base64Mode,
    },
    /// `gunzip`: at most so many bytes.
    Gunzip(u32),
    /// `zlib_deflate`: unpacks zlib's format, at most so many bytes.
    ZlibDeflate(u32),
    /// `subslice`: a part.
    Subslice(Subslice),
    /// `domain`: the registered domain of a name, by the list of public suffixes; nothing where there is none.
    Domain,
    /// `tld`: the public suffix of a name that has a domain.
    Tld,
}

/// The key of `xor`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum XorKey {
    /// Written in the rule.
    Written(Vec<u8>),
    /// `extract`: so many bytes from this place of the buffer on. Where it is too short nothing is changed.
    Extract {
        /// How many bytes, at least one.
        bytes: u8,
        /// Where they begin.
        from: u16,
    },
}

/// `subslice`: a part of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subslice {
    /// Where it begins; below zero counted from the end.
    pub offset: i32,
    /// How many bytes; below zero how many before the end it ends. None: up to the end. Never 0.
    pub bytes: Option<i32>,
    /// `truncate`: what lies outside is left out; otherwise nothing is left of the buffer.
    pub truncate: bool,
}

impl Subslice {
    /// The part. An end before its beginning is the beginning.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let len = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let place = |n: i64| (self.truncate || (0..=len).contains(&n)).then_some(n.clamp(0, len));
        let offset = i64::from(self.offset);
        // Beyond the end counts as outside, whichever way it is counted.
        let from = if offset < 0 { place(len + offset) } else { place(offset) };
        let to = from.and_then(|from| match self.bytes.map(i64::from) {
            None => Some(len),
            Some(n) if n < 0 => place(len + n),
            Some(n) => place(from + n),
        });
        let Some((from, to)) = from.zip(to) else { return &[] };
        let (from, to) = (from.min(to), from.max(to));
        // Both are from 0 to the buffer's length.
        let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
        bytes.get(range).unwrap_or_default()
    }
}
