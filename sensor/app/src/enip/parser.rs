// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes to an EtherNet/IP message and what it carries of CIP ("The CIP Networks Library", volume 1, chapter 2 and appendix
//! C; volume 2, chapter 2). Numbers stand with their least significant byte first.
//!
//! Must never open a service inside a service inside a service: one level of "multiple services" is followed. Limits:
//! [`MAX_SERVICES`], [`MAX_SEGMENTS`], [`MAX_ITEMS`].

use lagewarte_base::reader::Reader;

use super::asked;

/// Bytes of the encapsulation header.
pub const HEADER: usize = 24;
/// Most CIP services of a message that are looked at. Threat: a message of nothing but services.
pub const MAX_SERVICES: usize = 128;
/// Most segments of a path and attributes of a list that are kept.
pub const MAX_SEGMENTS: usize = 32;
/// Most items of a message that are looked at.
pub const MAX_ITEMS: usize = 16;
/// Most combinations of service, class and attribute that are kept. Threat: paths of classes and attributes, each class with
/// each attribute.
pub const MAX_ASKED: usize = 1024;
/// Longest name that is kept.
pub const MAX_NAME: usize = 64;

/// Commands that are looked into.
#[expect(missing_docs, reason = "names of volume 2, 2-3.2")]
pub mod command {
    pub const NOP: u16 = 0;
    pub const LIST_SERVICES: u16 = 4;
    pub const LIST_IDENTITY: u16 = 0x63;
    pub const REGISTER_SESSION: u16 = 0x65;
    pub const UNREGISTER_SESSION: u16 = 0x66;
    pub const SEND_RR_DATA: u16 = 0x6f;
    pub const SEND_UNIT_DATA: u16 = 0x70;
}

/// The encapsulation header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of volume 2, 2-3.1")]
pub struct Header {
    pub command: u16,
    pub length: u16,
    pub session: u32,
    pub status: u32,
    pub options: u32,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of volume 2, 2-4.3")]
pub struct Identity {
    pub protocol_version: u16,
    pub vendor: u16,
    pub device: u16,
    pub product: u16,
    pub revision: (u8, u8),
    pub status: u16,
    pub serial: u32,
    pub name: Vec<u8>,
    pub state: u8,
}

/// What a device offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "names of volume 2, 2-4.6")]
pub struct Services {
    pub protocol_version: u16,
    pub capabilities: u16,
    pub name: Vec<u8>,
}

/// A segment of a path: its type and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first byte.
    pub kind: u8,
    /// What it names.
    pub value: u32,
}

impl Segment {
    /// Whether it names a class.
    pub const fn is_class(&self) -> bool {
        self.kind & 0xfc == 0x20
    }
    /// Whether it names an instance.
    pub const fn is_instance(&self) -> bool {
        self.kind & 0xfc == 0x24
    }
    /// Whether it names an attribute.
    pub const fn is_attribute(&self) -> bool {
        self.kind & 0xfc == 0x30
    }
}

/// A CIP service that is asked for or answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Its number, without the bit of a response.
    pub code: u8,
    /// Whether it is an answer.
    pub response: bool,
    /// Of a request: what it is about.
    pub path: Vec<Segment>,
    /// Attributes in a list.
    pub attributes: Vec<u32>,
    /// Of an answer: its status.
    pub status: u8,
    /// Of an answer: more about the status.
    pub extended: Vec<u16>,
    /// Whether it stands inside a service that carries several.
    pub inner: bool,
}

impl Service {
    /// Attributes that it names, in its path or a list.
    pub fn named(&self) -> impl Iterator<Item = u32> + '_ {
        let in_path = self.path.iter().filter(|s| s.is_attribute()).map(|s| s.value);
        in_path.chain(self.attributes.iter().copied())
    }
    // Itself, with each of its classes, and those with each of its attributes.
    fn asked(&self) -> impl Iterator<Item = u64> + '_ {
        let service = u64::from(self.code) * asked::SERVICE;
        let some = |n: u32| u16::try_from(n).ok().map(u64::from);
        let classes = self.path.iter().filter(|p| p.is_class()).filter_map(move |p| some(p.value));
        let of_class = move |c: u64| {
            let class = service | asked::HAS_CLASS | (c * asked::CLASS);
            let attributes = self.named().filter_map(some).map(move |a| class | asked::HAS_ATTRIBUTE | a);
            std::iter::once(class).chain(attributes)
        };
        std::iter::once(service).chain(classes.flat_map(of_class))
    }
}

/// What a message carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing that is looked into.
    #[default]
    Other,
    /// A session's version and options.
    Session(u16, u16),
    /// What a device says of itself.
    Identity(Identity),
    /// What a device offers.
    Services(Services),
    /// Services: the one that is carried and those inside it.
    Cip(Vec<Service>),
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Its header.
    pub header: Header,
    /// What it carries.
    pub content: Content,
    /// What it carries could not be read.
    pub damaged: bool,
    /// Service, class and attribute in each combination that its services have, as [`super::asked`] says. Made once: rules
    /// ask for one after the other.
    pub asked: Vec<u64>,
}

impl Message {
    /// Bytes that it holds.
    pub fn held(&self) -> usize {
        let content = match &self.content {
            Content::Other | Content::Session(..) => 0,
            Content::Identity(i) => i.name.len(),
            Content::Services(s) => s.name.len(),
            Content::Cip(all) => all
                .iter()
                .map(|s| {
                    size_of::<Service>()
                        + s.path.len() * size_of::<Segment>()
                        + s.attributes.len() * 4
                        + s.extended.len() * 2
                })
                .sum(),
        };
        content + size_of_val(self.asked.as_slice())
    }
    /// The services that it carries.
    pub fn services(&self) -> &[Service] {
        match &self.content {
            Content::Cip(all) => all,
            _ => &[],
        }
    }
}

/// The header at the beginning; None where more is wanted.
pub fn header(data: &[u8]) -> Option<Header> {
    let mut r = Reader::new(data);
    let (command, length, session, status) = (r.u16_le()?, r.u16_le()?, r.u32_le()?, r.u32_le()?);
    r.u64()?; // the sender's context
    Some(Header { command, length, session, status, options: r.u32_le()? })
}

/// Reads a whole message.
pub fn message(header: Header, body: &[u8], response: bool) -> Message {
    let mut r = Reader::new(body);
    let content = match (header.command, response) {
        (command::REGISTER_SESSION, _) => r.u16_le().zip(r.u16_le()).map(|(v, o)| Content::Session(v, o)),
        (command::LIST_IDENTITY, true) => {
            item(&mut r, 0x0c).map(|i| identity(i).map_or(Content::Other, Content::Identity))
        }
        (command::LIST_SERVICES, true) => {
            item(&mut r, 0x100).map(|i| services(i).map_or(Content::Other, Content::Services))
        }
        (command::SEND_RR_DATA | command::SEND_UNIT_DATA, _) => carried(&mut r),
        _ => Some(Content::Other),
    };
    // An answer that reports an error carries nothing.
    let excused = header.status != 0 && body.is_empty();
    let mut m = Message {
        header,
        damaged: content.is_none() && !excused,
        content: content.unwrap_or_default(),
        asked: Vec::new(),
    };
    m.asked = m.services().iter().flat_map(Service::asked).take(MAX_ASKED).collect();
    m
}

// The first item of a kind; None where the list cannot be read.
fn item<'a>(r: &mut Reader<'a>, kind: u16) -> Option<Reader<'a>> {
    let count = usize::from(r.u16_le()?);
    for _ in 0..count.min(MAX_ITEMS) {
        let (k, len) = (r.u16_le()?, r.u16_le()?);
        let body = r.sub(len.into())?;
        if k == kind {
            return Some(body);
        }
    }
    (count == 0).then_some(Reader::new(&[]))
}

fn text(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    bytes.get(..end.min(MAX_NAME)).unwrap_or_default().to_vec()
}

fn identity(mut r: Reader<'_>) -> Option<Identity> {
    let protocol_version = r.u16_le()?;
    r.take(16)?; // a socket's address
    let (vendor, device, product) = (r.u16_le()?, r.u16_le()?, r.u16_le()?);
    let [major, minor] = r.array()?;
    let (status, serial, len) = (r.u16_le()?, r.u32_le()?, r.u8()?);
    let name = text(r.take(len.into())?);
    Some(Identity {
        protocol_version,
        vendor,
        device,
        product,
        revision: (major, minor),
        status,
        serial,
        name,
        state: r.u8()?,
    })
}

fn services(mut r: Reader<'_>) -> Option<Services> {
    Some(Services { protocol_version: r.u16_le()?, capabilities: r.u16_le()?, name: text(r.take(16)?) })
}

// What "send RR data" and "send unit data" carry.
fn carried(r: &mut Reader<'_>) -> Option<Content> {
    r.u32()?; // interface
    r.u16()?; // timeout
    let count = usize::from(r.u16_le()?);
    for _ in 0..count.min(MAX_ITEMS) {
        let (kind, len) = (r.u16_le()?, r.u16_le()?);
        let mut body = r.sub(len.into())?;
        if kind == CONNECTED {
            body.u16()?; // a number that counts up
        }
        if matches!(kind, CONNECTED | UNCONNECTED) {
            let (mut all, mut left) = (Vec::new(), body.rest().len());
            return service(body.rest(), false, &mut all, &mut left).map(|()| Content::Cip(all));
        }
    }
    Some(Content::Other)
}

const CONNECTED: u16 = 0xb1;
const UNCONNECTED: u16 = 0xb2;

// A service, and where it carries several, those. What comes before a damage is kept in `all`. `left`: bytes of the message
// that no service has used yet; without it many services could stand for the same bytes.
fn service(data: &[u8], inner: bool, all: &mut Vec<Service>, left: &mut usize) -> Option<()> {
    let mut r = Reader::new(data);
    let code = r.u8()?;
    let mut s = Service { code: code & 0x7f, response: code & 0x80 != 0, inner, ..Service::default() };
    if s.response {
        r.u8()?; // reserved
        s.status = r.u8()?;
        let words = usize::from(r.u8()?);
        let mut more = r.sub(2 * words)?;
        s.extended.extend(std::iter::from_fn(|| more.u16_le()).take(MAX_SEGMENTS));
    } else {
        let words = usize::from(r.u8()?);
        s.path = path(r.sub(2 * words)?);
        // Lists of attributes that are read or written.
        if matches!(s.code, GET_LIST | SET_LIST) {
            let mut list = r;
            let count = list.u16_le().map_or(0, usize::from);
            // Of those that are written only the first stands at a known place: values are of any size.
            let count = if s.code == SET_LIST { count.min(1) } else { count.min(MAX_SEGMENTS) };
            s.attributes.extend(std::iter::from_fn(|| list.u16_le()).map(u32::from).take(count));
        }
    }
    *left = left.checked_sub(data.len() - r.rest().len() + 2 * s.attributes.len())?;
    let several = s.code == MULTIPLE && !inner;
    all.push(s);
    if several {
        let from = r;
        let count = r.u16_le().map_or(0, usize::from);
        for _ in 0..count {
            if all.len() >= MAX_SERVICES {
                break;
            }
            let at = usize::from(r.u16_le()?); // from where their number stands
            service(from.rest().get(at..)?, true, all, left)?;
        }
    }
    Some(())
}

const GET_LIST: u8 = 3;
const SET_LIST: u8 = 4;
const MULTIPLE: u8 = 10;

// The logical segments of a path (volume 1, C-1.4); ends at what it does not know the length of.
fn path(mut r: Reader<'_>) -> Vec<Segment> {
    let mut all = Vec::new();
    while all.len() < MAX_SEGMENTS {
        let Some(kind) = r.u8() else { break };
        let value = match (kind >> 5, kind & 3) {
            (1, 0) => r.u8().map(u32::from),
            (1, 1) => r.u8().and_then(|_| r.u16_le()).map(u32::from),
            (1, 2) => r.u8().and_then(|_| r.u32_le()),
            // A symbol's name, of an even number of bytes.
            (4, _) if kind == 0x91 => {
                let Some(len) = r.u8().map(usize::from) else { break };
                if r.take(len + len % 2).is_none() {
                    break;
                }
                continue;
            }
            _ => None,
        };
        let Some(value) = value else { break };
        all.push(Segment { kind, value });
    }
    all
}
