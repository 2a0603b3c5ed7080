// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The multi-pattern matcher: one pass over some bytes names the patterns that occur in them. The only place that knows how;
//! verification does not rely on positions.
//!
//! A pattern is found by two neighbouring windows of four bytes, the rarest it has, of which one lies at an even place
//! wherever the pattern is: so only every second place is looked at. The window there is hashed into a filter, one bit for
//! each; what passes is looked up, and only then is the whole pattern compared. Letters are equal in either case until
//! then. Patterns of three or four bytes are in the filter with a byte that is any; so are those of which a window is of
//! nothing but zeros or blanks, since traffic is full of those: no such window is in the filter. Shorter patterns, and those
//! that are all zeros or blanks, are searched for by themselves.
//!
//! Must never miss an occurrence: a pattern named too often costs time, one missed costs an alert. The worst that bytes can
//! do is to pass the filter at every place: each then costs as many comparisons as patterns share a window, which
//! [`Tables::add`] keeps few.

use std::collections::HashMap;

use aho_corasick::packed;
use memchr::{memchr, memchr2, memmem};
use multiversion::multiversion;

use crate::{
    cache::{Cache, Places},
    rarity,
};

/// A window of zeros or blanks, folded.
const BLANK: u32 = 0x2020_2020;
/// Bytes are hashed with this bit set in each, so that letters are equal in either case.
pub(crate) const FOLD: u32 = 0x2020_2020;
/// What a byte can be once it is folded.
const FOLDED: [u8; 128] = folded();
/// Most patterns of zeros and blanks that are searched for one by one. Threat: a set with every length of them.
const MAX_SINGLE: usize = 8;
/// So many patterns, all of one case, are quicker searched for one by one than together.
const FEW: usize = 8;
/// Bytes of a pattern that are looked for; what is longer is told apart when it is verified. Threat: contents that fill the
/// tables; a slot is small.
const MAX_PATTERN: usize = u16::MAX as usize;
/// Spreads windows over the filter: 2^32 divided by the golden ratio.
const MIX: u32 = 0x9e37_79b9;

/// Bytes to look for. With `nocase` they are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pattern {
    bytes: Vec<u8>,
    nocase: bool,
    /// The bits in which a byte may differ.
    other_case: u8,
}

impl Pattern {
    /// Of a long one the first [`MAX_PATTERN`] bytes: what is verified later is the whole content.
    pub(crate) fn new(bytes: &[u8], nocase: bool) -> Self {
        let bytes = bytes.get(..MAX_PATTERN).unwrap_or(bytes);
        let nocase = nocase && bytes.iter().any(u8::is_ascii_alphabetic);
        let (bytes, other_case) = if nocase { (bytes.to_ascii_lowercase(), 0x20) } else { (bytes.to_vec(), 0) };
        Self { bytes, nocase, other_case }
    }

    /// How many bytes it has.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Its bytes, and whether case does not matter.
    pub(crate) const fn what(&self) -> (&[u8], bool) {
        (self.bytes.as_slice(), self.nocase)
    }

    /// Whether these bytes, as many as it has, are it.
    pub(crate) fn is(&self, found: &[u8]) -> bool {
        if self.nocase { found.eq_ignore_ascii_case(&self.bytes) } else { found == self.bytes }
    }
}

/// Which patterns were named in this pass, so that each is named once.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    marks: Vec<u32>,
    mark: u32,
}

impl Seen {
    /// Begins a pass over a set of so many patterns.
    fn begin(&mut self, patterns: usize) {
        if self.marks.len() < patterns {
            self.marks.resize(patterns, 0);
        }
        self.mark = self.mark.checked_add(1).unwrap_or_else(|| {
            self.marks.fill(0);
            1
        });
    }
    fn has(&self, pattern: usize) -> bool {
        self.marks.get(pattern).is_none_or(|m| *m == self.mark)
    }
    fn set(&mut self, pattern: usize) {
        if let Some(m) = self.marks.get_mut(pattern) {
            *m = self.mark;
        }
    }
}

/// A set of patterns.
#[derive(Debug)]
pub(crate) struct Matcher {
    patterns: Vec<Pattern>,
    /// None where all patterns are short.
    filter: Option<Filter>,
    /// By windows of four bytes: patterns of five and more.
    long: Slots,
    /// By three bytes: patterns of three, and of four at odd places.
    middle: Slots,
    /// A pattern in the tables is of nothing but zeros and blanks.
    blanks: bool,
    /// Patterns searched for one by one.
    single: Vec<(u32, Single)>,
    /// Patterns of two bytes.
    pairs: Option<Pairs>,
}

#[derive(Debug)]
enum Single {
    /// Of one byte, in both cases: no more than there are bytes.
    Byte(u8, u8),
    Bytes(Box<memmem::Finder<'static>>),
}

impl Matcher {
    /// Compiles patterns, none of them empty; their numbers are their positions. None where there are none. What is decided
    /// is asked of `cache` first, and told to it.
    pub(crate) fn new(patterns: Vec<Pattern>, cache: Option<&Cache>) -> Option<Self> {
        if patterns.is_empty() {
            return None;
        }
        let kept = cache.filter(|_| patterns.len() > FEW).map(|c| c.entry(&patterns));
        let known = kept.as_ref().and_then(|k| k.places.clone());
        let mut tables = Tables { known, chosen: vec![0; patterns.len()], ..Tables::default() };
        let mut single = Vec::new();
        let mut pairs = Vec::new();
        let few = patterns.len() <= FEW && patterns.iter().all(|p| !p.nocase);
        let mut blanks = 0;
        for (i, p) in (0u32..).zip(&patterns) {
            match p.bytes.as_slice() {
                [] => {}
                [a] => single.push((i, Single::Byte(*a, if p.nocase { a.to_ascii_uppercase() } else { *a }))),
                bytes if few => single.push((i, Single::Bytes(finder(bytes)))),
                zeros if blanks < MAX_SINGLE && all_blank(zeros) => {
                    blanks += 1;
                    single.push((i, Single::Bytes(finder(zeros))));
                }
                [a, b] => pairs.extend(cases(*a, *b, p.nocase).map(|pair| (u16::from_le_bytes(pair), i))),
                _ => tables.add(i, p),
            }
        }
        if let Some(kept) = kept {
            kept.keep(tables.chosen);
        }
        let filter = (!tables.windows.is_empty()).then(|| Filter::of(&tables.windows));
        Some(Self {
            filter,
            blanks: tables.blanks,
            long: Slots::of(tables.long),
            middle: Slots::of(tables.middle),
            single,
            pairs: Pairs::of(pairs),
            patterns,
        })
    }

    /// Calls `hit` with the number of each pattern that occurs, once.
    pub(crate) fn scan(&self, data: &[u8], seen: &mut Seen, mut hit: impl FnMut(usize)) {
        for (i, single) in &self.single {
            let occurs = match single {
                Single::Byte(a, b) if a == b => memchr(*a, data).is_some(),
                Single::Byte(a, b) => memchr2(*a, *b, data).is_some(),
                Single::Bytes(finder) => finder.find(data).is_some(),
            };
            if occurs {
                hit(*i as usize);
            }
        }
        seen.begin(self.patterns.len());
        if let Some(pairs) = &self.pairs {
            pairs.scan(data, seen, &mut hit);
        }
        let Some(filter) = &self.filter else { return };
        let look = |i: usize, window: u32| self.look(data, i, window, seen, &mut hit);
        match filter {
            Filter::Small(f) => pass(f, data, self.blanks, look),
            Filter::Middle(f) => pass(f, data, self.blanks, look),
            Filter::Large(f) => pass(f, data, self.blanks, look),
            Filter::Huge(f) => pass(f, data, self.blanks, look),
        }
        // Three bytes at the end have no window that begins with them.
        if let Some([a, b, c]) = data.last_chunk::<3>() {
            self.compare(&self.middle, three(*a, *b, *c), data, data.len() - 3, seen, &mut hit);
        }
    }

    /// A window passed the filter.
    #[inline(never)]
    fn look(&self, data: &[u8], i: usize, window: u32, seen: &mut Seen, hit: &mut impl FnMut(usize)) {
        self.compare(&self.long, window, data, i, seen, hit);
        for (window, i) in [(window & 0x00ff_ffff, i), (window >> 8, i + 1)] {
            if self.middle.may_have(window) {
                self.compare(&self.middle, window, data, i, seen, hit);
            }
        }
    }

    #[inline]
    fn compare(&self, slots: &Slots, window: u32, data: &[u8], i: usize, seen: &mut Seen, hit: &mut impl FnMut(usize)) {
        for slot in slots.of_window(window) {
            let number = slot.pattern as usize;
            if slot.window == window
                && let Some(found) = slot.place(data, i)
                && !seen.has(number)
                && self.patterns.get(number).is_some_and(|p| p.is(found))
            {
                seen.set(number);
                hit(number);
            }
        }
    }
}

/// Calls `look` for each of every second window of `data` that passes the filter. `blanks`: windows of blanks are looked for.
///
/// A block at a time: first its strides that pass, then the places in them, then those are looked up. Neither of the first
/// two branches on what the bytes are, which no processor can foresee.
#[inline]
fn pass<const W: usize>(filter: &[u32; W], data: &[u8], blanks: bool, mut look: impl FnMut(usize, u32)) {
    // Blanks that are not looked for can pass by chance, and there are many of them.
    let wanted = |window: u32| passes(filter, window) & u32::from(blanks || window | FOLD != BLANK) & 1;
    let Some(last) = data.len().checked_sub(STRIDE + 2) else {
        for i in (0..data.len()).step_by(2) {
            let Some(window) = window(data, i) else { return };
            if wanted(window) == 1 {
                look(i, window | FOLD);
            }
        }
        return;
    };
    let mut strides = [0u16; BLOCK];
    let mut places = [0u16; BLOCK * STRIDE / 2];
    let mut from = 0;
    while from + 4 <= data.len() {
        // The last stride begins within the one before, at an even place.
        from = from.min(last & !1);
        let Some(block) = data.get(from..) else { return };
        let (end, passed) = passing(filter, block, &mut strides);
        let mut found = 0;
        for at in strides.iter().take(passed) {
            let Some(windows) = stride(block, usize::from(*at)) else { break };
            for (k, w) in (0..).zip(windows) {
                // The next one takes the place of one that is not wanted.
                if let Some(place) = places.get_mut(found) {
                    *place = at + 2 * k; // within the block
                }
                found += wanted(w) as usize;
            }
        }
        for at in places.iter().take(found).map(|p| usize::from(*p)) {
            if let Some(window) = window(block, at) {
                look(from + at, window | FOLD);
            }
        }
        from += end;
    }
}

/// Strides of a block.
const BLOCK: usize = 32;
/// Bytes that are looked at with one test of what the filter says.
const STRIDE: usize = 16;

fn window(data: &[u8], i: usize) -> Option<u32> {
    data.get(i..).and_then(|d| d.first_chunk()).map(|w| u32::from_le_bytes(*w))
}

/// The eight windows of the stride that begins there, of which the last reaches two bytes into the next one.
#[inline(always)]
fn stride(data: &[u8], i: usize) -> Option<[u32; STRIDE / 2]> {
    let bytes = data.get(i..).and_then(|d| d.first_chunk::<{ STRIDE + 2 }>())?;
    let windows = bytes.array_windows::<4>().step_by(2).map(|w| u32::from_le_bytes(*w));
    let mut all = [0; STRIDE / 2];
    all.iter_mut().zip(windows).for_each(|(to, w)| *to = w);
    Some(all)
}

/// Where the strides of the first block of `data` begin of which a window passes the filter: where the block ends, and how
/// many they are. A function by itself, so that all it needs stays in registers, and compiled a second time for processors
/// that hash eight windows at once (the attribute calls that one, which is `unsafe`, where the processor says it can).
#[multiversion(targets("x86_64+avx2+bmi1+bmi2"))]
fn passing<const W: usize>(filter: &[u32; W], data: &[u8], strides: &mut [u16; BLOCK]) -> (usize, usize) {
    let (mut i, mut passed) = (0, 0);
    while let (Some(windows), Some(at)) = (stride(data, i), strides.get_mut(passed)) {
        if i == BLOCK * STRIDE {
            break;
        }
        *at = i as u16; // below the length of a block
        passed += (windows.map(|w| passes(filter, w)).into_iter().fold(0, |any, p| any | p) & 1) as usize;
        i += STRIDE;
    }
    (i, passed)
}

/// The lowest bit is set where the window may be one that is looked for; the others say nothing.
#[inline(always)]
fn passes<const W: usize>(filter: &[u32; W], window: u32) -> u32 {
    let (word, bit) = place::<W>(window);
    filter[word].wrapping_shr(bit) // a place below W
}

/// The word of a window in a filter of `W` words, which its first three bytes choose, and its bit there, which its fourth
/// byte chooses, too: the lowest five bits of the number. The bit that tells cases apart has no say.
///
/// One product says both: the lowest 24 bits of a product know nothing of the fourth byte.
#[inline(always)]
const fn place<const W: usize>(window: u32) -> (usize, u32) {
    let h = (window & !FOLD).wrapping_mul(MIX);
    (h as usize >> (24 - W.ilog2()) & (W - 1), h >> 24)
}

/// What is put into a filter.
#[derive(Clone, Copy, Debug)]
enum Window {
    Of(u32),
    /// Three bytes, and a fourth that may be any.
    Open(u32),
}

/// A bit for each window. Of a few sizes, each known when compiled: that saves a test at each place.
#[derive(Debug)]
enum Filter {
    Small(Box<[u32; 128]>),
    Middle(Box<[u32; 2_048]>),
    Large(Box<[u32; 16_384]>),
    Huge(Box<[u32; 131_072]>),
}

impl Filter {
    /// At least 32 bits for a window, but for the largest sets: one in thirty then passes by chance.
    fn of(windows: &[Window]) -> Self {
        let bits: usize = windows.iter().map(|w| if matches!(w, Window::Open(_)) { 32 } else { 1 }).sum();
        match bits {
            0..=32 => Self::Small(filled(windows)),
            33..=2_048 => Self::Middle(filled(windows)),
            2_049..=16_384 => Self::Large(filled(windows)),
            _ => Self::Huge(filled(windows)),
        }
    }
}

fn filled<const W: usize>(windows: &[Window]) -> Box<[u32; W]> {
    let mut filter = Box::new([0u32; W]);
    for w in windows {
        let (Window::Of(window) | Window::Open(window)) = *w;
        let (word, bit) = place::<W>(window);
        // Places below W. A fourth byte can choose any bit of a word.
        filter[word] |= if matches!(w, Window::Open(_)) { u32::MAX } else { 1u32.wrapping_shl(bit) };
    }
    filter
}

/// What a set is put together from.
#[derive(Default)]
struct Tables {
    windows: Vec<Window>,
    long: Vec<Slot>,
    middle: Vec<Slot>,
    /// How many patterns are found by each window: what is asked where places are not known.
    used: HashMap<u32, u32>,
    /// Where in each pattern its pair of windows lies, as it was chosen before.
    known: Option<Places>,
    /// As it is chosen now; zero where there is none.
    chosen: Vec<u16>,
    /// One is of nothing but zeros and blanks.
    blanks: bool,
}

/// Sixteen bytes: what is looked up lies in the caches together with what else the sensor needs, or not.
#[derive(Clone, Copy, Debug)]
struct Slot {
    window: u32,
    pattern: u32,
    /// Where the window lies in the pattern.
    at: u16,
    /// The pattern's length.
    len: u16,
    /// Its first and last byte, and the bits in which they count: most patterns are told apart by them, without being
    /// fetched from memory.
    ends: [u8; 2],
    care: u8,
}

impl Slot {
    fn of(window: u32, pattern: u32, at: u32, p: &Pattern) -> Self {
        let ends = [p.bytes.first(), p.bytes.last()].map(|b| b.copied().unwrap_or_default());
        let [at, len] = [at as usize, p.bytes.len()].map(|n| u16::try_from(n).unwrap_or(u16::MAX)); // see MAX_PATTERN
        Self { window, pattern, at, len, ends, care: !p.other_case }
    }

    /// Where the pattern would lie, if the window is at `i`; None where it does not.
    fn place<'d>(&self, data: &'d [u8], i: usize) -> Option<&'d [u8]> {
        let found = data.get(i.checked_sub(self.at.into())?..)?.get(..self.len.into())?;
        let near = |a: Option<&u8>, b: u8| a.is_some_and(|a| (a ^ b) & self.care == 0);
        (near(found.first(), self.ends[0]) && near(found.last(), self.ends[1])).then_some(found)
    }
}

impl Tables {
    /// A pattern of three bytes or more.
    fn add(&mut self, pattern: u32, p: &Pattern) {
        self.blanks |= all_blank(&p.bytes);
        match *p.bytes.as_slice() {
            [a, b, c] => {
                self.after_any(pattern, p, [a, b, c], 0);
                self.before_any(pattern, p, [a, b, c], 0);
            }
            [a, b, c, d] => {
                // At an even place it is a window; at an odd one its end begins one, and its beginning ends one.
                self.whole(u32::from_le_bytes([a, b, c, d]) | FOLD, pattern, p, 0);
                match all_blank(&[b, c, d]) {
                    true => self.after_any(pattern, p, [a, b, c], 0),
                    false => self.before_any(pattern, p, [b, c, d], 1),
                }
            }
            _ => {
                let number = pattern as usize;
                let known = self.known.as_deref().and_then(|k| k.get(number)).map(|at| u32::from(*at));
                let known = known.and_then(|at| Some((at, p.bytes.get(at as usize..)?.first_chunk()?)));
                // Windows of blanks alone are not looked for where a pattern has others.
                let known = known.filter(|(_, five)| !all_blank(*five) || all_blank(&p.bytes));
                let Some((at, five)) = known.or_else(|| self.rarest(p)) else { return };
                if let Some(chosen) = self.chosen.get_mut(number) {
                    *chosen = at as u16; // within a pattern: see MAX_PATTERN
                }
                let [first, second] = pair_of(five);
                let [a, b, c, d, e] = *five;
                let blank = [all_blank(&[a, b, c, d]), all_blank(&[b, c, d, e])];
                match blank {
                    [true, false] => self.before_any(pattern, p, [c, d, e], at + 2),
                    _ => self.whole(first, pattern, p, at),
                }
                match blank {
                    [false, true] => self.after_any(pattern, p, [a, b, c], at),
                    _ => self.whole(second, pattern, p, at + 1),
                }
            }
        }
    }

    /// The rarest pair of windows; where many patterns have it already, another.
    fn rarest<'p>(&self, p: &'p Pattern) -> Option<(u32, &'p [u8; 5])> {
        let worth = |five: &[u8; 5]| {
            let worth = |w: u32| rarity::window(w).saturating_sub(self.used.get(&w).copied().unwrap_or(0));
            pair_of(five).into_iter().map(worth).min()
        };
        let places = (0u32..).zip(p.bytes.array_windows::<5>());
        // Of pairs with a window of blanks one that has another byte.
        let mixed = |five: &[u8; 5]| !all_blank(five);
        let worth = |five: &[u8; 5]| (worth(five), mixed(five));
        places.max_by_key(|(at, five)| (worth(five), std::cmp::Reverse(*at)))
    }

    /// The pattern is found by a window of four of its bytes.
    fn whole(&mut self, window: u32, pattern: u32, p: &Pattern, at: u32) {
        if self.known.is_none() {
            *self.used.entry(window).or_default() += 1;
        }
        self.windows.push(Window::Of(window));
        self.long.push(Slot::of(window, pattern, at, p));
    }
    /// By one that begins with three of its bytes.
    fn before_any(&mut self, pattern: u32, p: &Pattern, [a, b, c]: [u8; 3], at: u32) {
        let window = three(a, b, c);
        self.windows.push(Window::Open(window));
        self.middle.push(Slot::of(window, pattern, at, p));
    }
    /// By one that ends with three of its bytes, after one that may be any.
    fn after_any(&mut self, pattern: u32, p: &Pattern, [a, b, c]: [u8; 3], at: u32) {
        let window = three(a, b, c);
        self.windows.extend(FOLDED.iter().map(|x| Window::Of(window << 8 | u32::from(*x))));
        self.middle.push(Slot::of(window, pattern, at, p));
    }
}

/// The two windows of five bytes.
const fn pair_of([a, b, c, d, e]: &[u8; 5]) -> [u32; 2] {
    [u32::from_le_bytes([*a, *b, *c, *d]) | FOLD, u32::from_le_bytes([*b, *c, *d, *e]) | FOLD]
}

/// A zero or a blank, which are the same once they are folded.
const fn blank(b: u8) -> bool {
    b | 0x20 == 0x20
}

fn all_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|b| blank(*b))
}

fn three(a: u8, b: u8, c: u8) -> u32 {
    (u32::from_le_bytes([a, b, c, 0]) | FOLD) & 0x00ff_ffff
}

const fn folded() -> [u8; 128] {
    let mut all = [0; 128];
    let mut i = 0;
    while i < 128 {
        // The bits beside the one that folding sets.
        all[i] = (i as u8 & 0x1f) | 0x20 | (i as u8 & 0x60) << 1;
        i += 1;
    }
    all
}

fn finder(bytes: &[u8]) -> Box<memmem::Finder<'static>> {
    Box::new(memmem::Finder::new(bytes).into_owned())
}

/// Two bytes in each case that they may have.
fn cases(a: u8, b: u8, nocase: bool) -> impl Iterator<Item = [u8; 2]> {
    let of = move |x: u8| [Some(x), Some(x.to_ascii_uppercase()).filter(|u| nocase && *u != x)].into_iter().flatten();
    of(a).flat_map(move |a| of(b).map(move |b| [a, b]))
}

/// Patterns of two bytes.
#[derive(Debug)]
struct Pairs {
    patterns: HashMap<u16, Vec<u32>>,
    /// Know them together; none where the processor has not what they need.
    searchers: Vec<packed::Searcher>,
    /// A bit for each that there is: slower where there are none in the bytes, quicker where there are many.
    bits: Box<[u64; 1_024]>,
}

impl Pairs {
    /// Most that one searcher takes on every processor.
    const TOGETHER: usize = 32;
    /// Most that are found by a searcher in one pass, which begins anew after each. Threat: bytes full of them.
    const FEW: usize = 8;

    /// None where there are none.
    fn of(pairs: Vec<(u16, u32)>) -> Option<Self> {
        let mut patterns: HashMap<u16, Vec<u32>> = HashMap::new();
        let mut bits = Box::new([0; 1_024]);
        for (pair, pattern) in pairs {
            bits[usize::from(pair >> 6)] |= 1 << (pair & 63); // 10 bits
            patterns.entry(pair).or_default().push(pattern);
        }
        let mut all: Vec<u16> = patterns.keys().copied().collect();
        all.sort_unstable();
        let searcher = |some: &[u16]| packed::Searcher::new(some.iter().map(|p| p.to_le_bytes()));
        let searchers: Option<Vec<_>> = all.chunks(Self::TOGETHER).map(searcher).collect();
        (!patterns.is_empty()).then(|| Self { patterns, searchers: searchers.unwrap_or_default(), bits })
    }

    fn scan(&self, data: &[u8], seen: &mut Seen, hit: &mut impl FnMut(usize)) {
        let mut found = |pair: u16| {
            for number in self.patterns.get(&pair).into_iter().flatten().map(|n| *n as usize) {
                if !seen.has(number) {
                    seen.set(number);
                    hit(number);
                }
            }
        };
        if self.searchers.is_empty() {
            return self.each(data, found);
        }
        for searcher in &self.searchers {
            let (mut rest, mut few) = (data, Self::FEW);
            while let Some(at) = searcher.find(rest).map(|m| m.start()) {
                rest = rest.get(at..).unwrap_or_default();
                if few == 0 {
                    return self.each(data, found);
                }
                few -= 1;
                if let Some(pair) = rest.first_chunk() {
                    found(u16::from_le_bytes(*pair));
                }
                // The next one may begin with the last byte of this.
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }

    /// Each that occurs, as often as it does.
    fn each(&self, data: &[u8], mut found: impl FnMut(u16)) {
        let bit = |pair: &[u8; 2]| {
            let pair = u16::from_le_bytes(*pair);
            self.bits[usize::from(pair >> 6)] >> (pair & 63) // 10 bits
        };
        // Eight pairs are told with one test; the last of them begins with the last byte of a stride.
        for i in (0..data.len()).step_by(8) {
            let stride = data.get(i..).map_or(&[][..], |d| d.get(..=8).unwrap_or(d));
            if stride.array_windows().fold(0, |any, pair| any | bit(pair)) & 1 == 1 {
                stride.array_windows().filter(|p| bit(p) & 1 == 1).for_each(|p| found(u16::from_le_bytes(*p)));
            }
        }
    }
}

/// Slots by their window.
#[derive(Debug)]
struct Slots {
    slots: Buckets<Slot>,
    /// A bit for the hash of each window that there is.
    bits: Box<[u32; 128]>,
}

impl Slots {
    fn of(slots: Vec<Slot>) -> Self {
        let bits = filled(&slots.iter().map(|s| Window::Of(s.window)).collect::<Vec<_>>());
        Self { slots: Buckets::of(slots, |s| s.window), bits }
    }

    /// False where there is none with this window for certain.
    fn may_have(&self, window: u32) -> bool {
        passes(&self.bits, window) & 1 == 1
    }

    fn of_window(&self, window: u32) -> &[Slot] {
        self.slots.at(window)
    }
}

/// What is found by windows, by the hash of its window: two buckets for each and more, so that many of the windows that pass
/// by chance find none.
#[derive(Debug)]
pub(crate) struct Buckets<T> {
    /// Where those of each bucket begin; one more at the end.
    starts: Vec<u32>,
    shift: u32,
    all: Vec<T>,
}

impl<T> Buckets<T> {
    /// In a bucket they keep their order.
    pub(crate) fn of(mut all: Vec<T>, window: impl Fn(&T) -> u32) -> Self {
        let size = (2 * all.len()).next_power_of_two().max(2);
        let shift = 32 - size.ilog2();
        all.sort_by_key(|x| bucket(window(x), shift));
        let mut starts = vec![0u32; size + 1];
        for x in &all {
            starts[bucket(window(x), shift) + 1] += 1; // a bucket below `size`
        }
        let mut sum = 0;
        for b in &mut starts {
            sum += *b;
            *b = sum;
        }
        Self { starts, shift, all }
    }

    /// Those of the window's bucket: all that have the window, and perhaps others.
    #[inline]
    pub(crate) fn at(&self, window: u32) -> &[T] {
        let b = bucket(window, self.shift);
        match (self.starts.get(b), self.starts.get(b + 1)) {
            (Some(from), Some(to)) => self.all.get(*from as usize..*to as usize).unwrap_or_default(),
            _ => &[],
        }
    }
}

fn bucket(window: u32, shift: u32) -> usize {
    (window.wrapping_mul(MIX) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use lagewarte_base::fs::faulty::FaultyFs;
    use proptest::prelude::*;

    use super::*;

    fn hits(patterns: &[(&str, bool)], data: &str) -> Vec<usize> {
        let p: Vec<Pattern> = patterns.iter().map(|(p, nocase)| Pattern::new(p.as_bytes(), *nocase)).collect();
        let mut out = Vec::new();
        if let Some(m) = Matcher::new(p, None) {
            m.scan(data.as_bytes(), &mut Seen::default(), |n| out.push(n));
        }
        out.sort_unstable();
        out
    }

    fn named(set: &[Vec<u8>], data: &[u8]) -> Vec<usize> {
        let mut got = Vec::new();
        let m = Matcher::new(set.iter().map(|p| Pattern::new(p, false)).collect(), None).unwrap();
        m.scan(data, &mut Seen::default(), |n| got.push(n));
        got.sort_unstable();
        got
    }

    fn occurring(set: &[Vec<u8>], data: &[u8]) -> Vec<usize> {
        (0..set.len()).filter(|i| memmem::find(data, &set[*i]).is_some()).collect()
    }

    #[test]
    fn every_pattern_that_occurs_is_named_once() {
        let set =
            [("abc", true), ("bc", true), ("c", true), ("x", true), ("ABCDE", true), ("ABCDE", false), ("d", false)];
        assert_eq!(hits(&set, "..aBcde..abcdeabcde"), [0, 1, 2, 4, 6]);
        assert_eq!(hits(&[], "abc"), [] as [usize; 0]);
        assert_eq!(hits(&[("abcd", false)], "abc"), [] as [usize; 0]);
    }

    #[test]
    fn patterns_are_found_at_every_place_and_at_both_ends() {
        for pattern in ["ab", "abc", "abcd", "abcde", "abcdef"] {
            // Within a stride, from one to the next, and from one block to the next.
            for before in (0..24).chain(BLOCK * STRIDE - 20..BLOCK * STRIDE + 20) {
                for after in 0..24 {
                    let data = format!("{}{}{}", ".".repeat(before), pattern.to_uppercase(), "-".repeat(after));
                    assert_eq!(hits(&[(pattern, true)], &data), [0], "{pattern} in {data}");
                    assert_eq!(hits(&[(pattern, false)], &data), [] as [usize; 0], "{pattern} in {data}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_the_patterns_that_occur_are_named(
            set in prop::collection::vec(("[abAB@`]{1,7}", any::<bool>()), 1..40), data in "[abAB@`]{0,60}",
        ) {
            let set: Vec<(&str, bool)> = set.iter().map(|(p, n)| (p.as_str(), *n)).collect();
            let want: Vec<usize> = (0..set.len()).filter(|i| {
                let (p, nocase) = set[*i];
                if nocase { data.to_ascii_lowercase().contains(&p.to_ascii_lowercase()) } else { data.contains(p) }
            }).collect();
            prop_assert_eq!(hits(&set, &data), want);
        }
        #[test]
        fn any_bytes_may_be_looked_for_in_any_bytes(
            set in prop::collection::vec(prop::collection::vec(0u8..7, 1..6), 1..90),
            data in prop::collection::vec(0u8..8, 0..60),
            shift: u8,
        ) {
            // Any bytes, but few of them at once, so that they meet.
            let turn = |all: &[u8]| all.iter().map(|b| b.wrapping_mul(37).wrapping_add(shift)).collect::<Vec<u8>>();
            let (set, data) = (set.iter().map(|p| turn(p)).collect::<Vec<_>>(), turn(&data));
            prop_assert_eq!(named(&set, &data), occurring(&set, &data));
        }
    }

    proptest! {
        /// Zeros and blanks are looked for by other windows than their own; 0x40 and 0x80 share their bit in the filter.
        #[test]
        fn patterns_between_zeros_and_blanks_are_found(
            set in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\0\0\0\0 \x01A\x40\x80"[..]), 1..9), 1..20),
            data in prop::collection::vec(prop::sample::select(&b"\0\0\0\0\0\0 \x01A\x40\x80"[..]), 0..60),
        ) {
            prop_assert_eq!(named(&set, &data), occurring(&set, &data));
        }
    }

    #[test]
    fn pairs_are_found_with_and_without_what_the_processor_has() {
        // More than one searcher takes; some share a byte, so that one begins with the end of another.
        let all: Vec<u16> = (0..100).map(|i| u16::from_le_bytes([i, i.wrapping_mul(7) % 100])).collect();
        let mut pairs = Pairs::of(all.iter().zip(0..).map(|(p, n)| (*p, n)).collect()).unwrap();
        let data: Vec<u8> = (0..2_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 25) as u8).collect();
        let want: Vec<usize> =
            (0..all.len()).filter(|i| memmem::find(&data, &all[*i].to_le_bytes()).is_some()).collect();
        assert!(!want.is_empty() && want.len() < all.len());
        for _ in 0..2 {
            let (mut seen, mut got) = (Seen::default(), Vec::new());
            seen.begin(all.len());
            pairs.scan(&data, &mut seen, &mut |n| got.push(n));
            got.sort_unstable();
            assert_eq!(got, want);
            pairs.searchers.clear();
        }
    }

    proptest! {
        /// What was compiled with what was known is what was compiled without, table by table.
        #[test]
        fn what_is_known_makes_the_same_tables(
            set in prop::collection::vec(("[abAB@`\0 ]{1,9}", any::<bool>()), FEW + 1..60), data in "[abAB@`\0 ]{0,90}",
        ) {
            let set: Vec<Pattern> = set.iter().map(|(p, nocase)| Pattern::new(p.as_bytes(), *nocase)).collect();
            let disk = FaultyFs::default();
            let compile = |set: &[Pattern]| {
                let (cache, why) = Cache::open(disk.clone(), "/c".as_ref());
                assert_eq!(why, None);
                (Matcher::new(set.to_vec(), Some(&cache)).unwrap(), cache.close())
            };
            let tables = |m: &Matcher| format!("{:?}{:?}{:?}{}", m.filter, m.long, m.middle, m.blanks);
            let fresh = Matcher::new(set.clone(), None).unwrap();
            for found in [0, 1] {
                let (m, closed) = compile(&set);
                prop_assert_eq!((closed.found, closed.compiled), (found, 1 - found));
                prop_assert_eq!(tables(&m), tables(&fresh));
                let hits = |m: &Matcher| {
                    let mut hits = Vec::new();
                    m.scan(data.as_bytes(), &mut Seen::default(), |n| hits.push(n));
                    hits
                };
                prop_assert_eq!(hits(&m), hits(&fresh));
            }
        }

        /// A file may say what it likes.
        #[test]
        fn whatever_places_are_known_patterns_are_found(
            set in prop::collection::vec(prop::collection::vec(prop::sample::select(&b"\0\0\0\0 \x01A\x40\x80"[..]), 1..12), FEW + 1..30),
            places in prop::collection::vec(prop_oneof![9 => 0..8u16, 1 => any::<u16>()], 0..30),
            with in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"\0 \x01A"[..])), 0..9),
        ) {
            let data: Vec<u8> = with.iter().flat_map(|(n, b)| [n.get(&set).as_slice(), &[*b]].concat()).collect();
            let patterns: Vec<Pattern> = set.iter().map(|p| Pattern::new(p, false)).collect();
            let within = |(at, p): (&u16, &Pattern)| usize::from(*at).min(p.len().saturating_sub(5)) as u16;
            let fitting: Vec<u16> = places.iter().cycle().zip(&patterns).map(within).collect();
            for places in [places, fitting] {
                let cache = Cache::knowing(&patterns, &places);
                let m = Matcher::new(patterns.clone(), Some(&cache)).unwrap();
                let mut got = Vec::new();
                m.scan(&data, &mut Seen::default(), |n| got.push(n));
                got.sort_unstable();
                prop_assert_eq!(got, occurring(&set, &data));
            }
        }
    }

    #[test]
    fn a_set_of_any_size_finds_its_patterns() {
        for n in [1, 300, 5_000, 40_000] {
            let set: Vec<Pattern> = (0..n).map(|i: u32| Pattern::new(format!("<{i:07}>").as_bytes(), false)).collect();
            let m = Matcher::new(set, None).unwrap();
            let mut got = Vec::new();
            m.scan(format!("..<{:07}>.<{n:07}>.", n - 1).as_bytes(), &mut Seen::default(), |i| got.push(i));
            assert_eq!(got, [n as usize - 1]);
        }
    }
}
