// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! DNP3's application layer (IEEE 1815, 4): a fragment's header, and its objects with their points.
//!
//! Must never keep points: a fragment is kept as bytes and walked when it is judged and when it is written. What an object
//! says of its number of points is compared with what there is before anything is read.

use lagewarte_base::reader::Reader;

use super::{
    Choices,
    link::Header,
    objects::{Field, Layout, layout},
};

/// Functions that name objects without giving data for their points: read, freeze, (un)solicited events, classes.
const BARE: &[u8] = &[1, 7, 8, 9, 10, 11, 12, 20, 21, 22];
/// The first function that is an answer.
const RESPONSE: u8 = 129;

/// A fragment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The header of its first frame.
    pub link: Header,
    /// All of it, from the application's control byte.
    pub bytes: Vec<u8>,
    /// Kinds of its objects: group above, variation below.
    pub objects: Vec<u16>,
    /// Whether all of its objects were read.
    pub complete: bool,
}

impl Message {
    /// The application's control byte.
    pub fn control(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }
    /// The function.
    pub fn function(&self) -> u8 {
        self.bytes.get(1).copied().unwrap_or(0)
    }
    /// Whether it answers, or comes unasked.
    pub fn is_response(&self) -> bool {
        self.function() >= RESPONSE
    }
    /// Internal indications of an answer, the first byte's above.
    pub fn indications(&self) -> Option<u16> {
        match self.bytes.get(2..4) {
            Some([a, b]) if self.is_response() => Some(u16::from_be_bytes([*a, *b])),
            _ => None,
        }
    }
    /// Where its objects stand.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(if self.is_response() { 4 } else { 2 }..).unwrap_or_default()
    }
}

/// What is wrong with objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody knows how long its points are.
    Unknown,
    /// More objects than [`Choices::max_objects`].
    Objects,
    /// More points than [`Choices::max_points`].
    Points,
    /// It ends too early.
    Short,
}

/// An object's header (4.2.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of the standard")]
pub struct Object {
    pub group: u8,
    pub variation: u8,
    pub qualifier: u8,
    pub start: u32,
    pub stop: u32,
    pub count: u32,
}

impl Object {
    /// What stands before each point: nothing, an index (1 to 3) or a size (4 to 6).
    pub const fn prefix_code(&self) -> u8 {
        self.qualifier >> 4 & 7
    }
    /// How the number of points is told.
    pub const fn range_code(&self) -> u8 {
        self.qualifier & 15
    }
}

/// A field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "kinds of values")]
pub enum Value<'a> {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a [u8]),
    Bytes(&'a [u8]),
}

/// A point.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Its number.
    pub index: u32,
    /// What stands before it; 0 where nothing does.
    pub prefix: u32,
    /// Its size, where that is told.
    pub size: Option<u32>,
    /// What it holds.
    pub held: Held<'a>,
}

/// What a point holds.
#[derive(Clone, Copy, Debug)]
pub enum Held<'a> {
    /// Nothing: it is only named.
    Nothing,
    /// A few bits, under this name.
    Packed(&'static str, u8),
    /// Fields and their bytes.
    Fields(&'static [Field], &'a [u8]),
}

/// Walks the objects of a fragment of this function; gives each object to `object`, and each of its points to `point`.
///
/// # Errors
/// What is wrong; everything before it was given.
pub fn walk<'a>(
    function: u8,
    body: &'a [u8],
    limits: &Choices,
    object: &mut dyn FnMut(&Object),
    point: &mut dyn FnMut(Point<'a>),
) -> Result<(), Fault> {
    let mut r = Reader::new(body);
    let mut left = limits.max_points;
    let mut place = 0;
    while !r.is_empty() {
        if place >= limits.max_objects {
            return Err(Fault::Objects);
        }
        let o = header(&mut r).ok_or(Fault::Short)?;
        object(&o);
        let sized = (4..=6).contains(&o.prefix_code());
        let bare = BARE.contains(&function) && !sized;
        if o.range_code() != ALL && !(bare && o.prefix_code() == 0) {
            left = left.checked_sub(o.count).ok_or(Fault::Points)?;
            points(&mut r, &o, bare, point)?;
        }
        place += 1;
    }
    Ok(())
}

/// The range code that means every point, none of which follows.
const ALL: u8 = 6;

fn header(r: &mut Reader<'_>) -> Option<Object> {
    let [group, variation, qualifier] = r.array()?;
    let mut o = Object { group, variation, qualifier, ..Object::default() };
    match o.range_code() {
        0 | 3 => (o.start, o.stop) = (r.u8()?.into(), r.u8()?.into()),
        1 | 4 => (o.start, o.stop) = (r.u16_le()?.into(), r.u16_le()?.into()),
        2 | 5 => (o.start, o.stop) = (r.u32_le()?, r.u32_le()?),
        ALL => return Some(o),
        7 | 11 => o.count = r.u8()?.into(),
        8 => o.count = r.u16_le()?.into(),
        9 => o.count = r.u32_le()?,
        _ => return None,
    }
    if o.range_code() <= 5 {
        o.count = o.stop.checked_sub(o.start)?.saturating_add(1);
    }
    Some(o)
}

fn points<'a>(r: &mut Reader<'a>, o: &Object, bare: bool, each: &mut dyn FnMut(Point<'a>)) -> Result<(), Fault> {
    let layout = if bare { None } else { Some(layout(o.group, o.variation).ok_or(Fault::Unknown)?) };
    if let (Some(Layout::Packed(name, width)), 0) = (layout, o.prefix_code()) {
        let bits = u64::from(o.count) * u64::from(width);
        let bytes = usize::try_from(bits.div_ceil(8)).map_err(|_| Fault::Short)?;
        let packed = r.take(bytes).ok_or(Fault::Short)?;
        for i in 0..o.count {
            let bit = u64::from(i) * u64::from(width);
            // bit / 8 is below the length: it was taken for all of them.
            let byte = packed.get((bit / 8) as usize).copied().unwrap_or(0);
            let value = byte >> (bit % 8) & ((1 << width) - 1);
            each(Point { index: o.start.saturating_add(i), prefix: 0, size: None, held: Held::Packed(name, value) });
        }
        return Ok(());
    }
    for i in 0..o.count {
        let prefix = match o.prefix_code() {
            0 => Some(0),
            1 | 4 => r.u8().map(u32::from),
            2 | 5 => r.u16_le().map(u32::from),
            3 | 6 => r.u32_le(),
            _ => None,
        };
        let prefix = prefix.ok_or(Fault::Short)?;
        let sized = o.prefix_code() >= 4;
        let index = match o.prefix_code() {
            1..=3 => prefix,
            _ => o.start.saturating_add(i),
        };
        let held = match layout {
            None => Held::Nothing,
            Some(Layout::Packed(name, width)) => {
                let byte = r.u8().ok_or(Fault::Short)?;
                Held::Packed(name, byte & ((1 << width) - 1))
            }
            Some(Layout::Fields(list)) => {
                let whole = if sized {
                    let n = usize::try_from(prefix).map_err(|_| Fault::Short)?;
                    r.take(n).ok_or(Fault::Short)?
                } else {
                    let before = r.rest();
                    let n = before.len() - length(list, before).ok_or(Fault::Short)?;
                    r.take(n).ok_or(Fault::Short)?
                };
                Held::Fields(list, whole)
            }
        };
        each(Point { index, prefix, size: sized.then_some(prefix), held });
    }
    Ok(())
}

// What is left behind the fields of a point whose size is not told; None where it is too short, or where only a size would
// tell where it ends.
fn length(list: &[Field], data: &[u8]) -> Option<usize> {
    if list.iter().any(|f| matches!(f, Field::TextToEnd(_) | Field::BytesToEnd(_))) {
        return None;
    }
    fields(list, data, &mut |_, _| {})
}

/// Gives each field of a point with its value; how many bytes are left. None where the point is too short.
pub fn fields<'a>(list: &[Field], data: &'a [u8], each: &mut dyn FnMut(&'static str, Value<'a>)) -> Option<usize> {
    let mut r = Reader::new(data);
    // Lengths of texts that come later.
    let mut lengths: [(&str, usize); 4] = [("", 0); 4];
    let mut known = 0;
    for f in list {
        let (name, value) = match *f {
            Field::Bits(parts) => {
                let mut byte = u16::from(r.u8()?);
                for (name, width) in parts {
                    each(name, Value::Unsigned(u64::from(byte & ((1 << width) - 1))));
                    byte >>= width;
                }
                continue;
            }
            Field::U8(name) => (name, Value::Unsigned(r.u8()?.into())),
            Field::U16(name) => {
                let n = r.u16_le()?;
                if let Some(slot) = lengths.get_mut(known)
                    && (name.ends_with("_size") || name.ends_with("_len"))
                {
                    *slot = (name, n.into());
                    known += 1;
                }
                (name, Value::Unsigned(n.into()))
            }
            Field::U24(name) => {
                let [a, b, c] = r.array()?;
                (name, Value::Unsigned(u32::from_le_bytes([a, b, c, 0]).into()))
            }
            Field::U32(name) => (name, Value::Unsigned(r.u32_le()?.into())),
            Field::I16(name) => (name, Value::Signed(i16::from_le_bytes(r.array()?).into())),
            Field::I32(name) => (name, Value::Signed(i32::from_le_bytes(r.array()?).into())),
            Field::F32(name) => (name, Value::Float(f32::from_le_bytes(r.array()?).into())),
            Field::F64(name) => (name, Value::Float(f64::from_le_bytes(r.array()?))),
            Field::Time(name) => {
                let [a, b, c, d, e, f] = r.array()?;
                (name, Value::Unsigned(u64::from_le_bytes([a, b, c, d, e, f, 0, 0])))
            }
            Field::Text(name, by) | Field::Bytes(name, by) => {
                let (_, n) = lengths.iter().find(|(l, _)| *l == by)?;
                let bytes = r.take(*n)?;
                (name, if matches!(f, Field::Text(..)) { Value::Text(bytes) } else { Value::Bytes(bytes) })
            }
            Field::TextToEnd(name) => (name, Value::Text(r.take(r.rest().len())?)),
            Field::BytesToEnd(name) => (name, Value::Bytes(r.take(r.rest().len())?)),
        };
        each(name, value);
    }
    Some(r.rest().len())
}
