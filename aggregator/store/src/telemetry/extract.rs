// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From an envelope and its EVE JSON to one encoded row, driven by the table of columns.
//!
//! Everything is validated here, before the insert: a bad event becomes a row in quarantine with its reason and never
//! blocks the rest. Must never panic, and never trust the sender: class, owner and types are checked. Limits below.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lagewarte_base::{
    ags::Ags,
    id::{ConstituentId, EventId},
    time::Timestamp,
};
use lagewarte_event::{Class, Envelope, Gap, MAX_EVE_BYTES};
use uuid::Uuid;

use super::{
    columns::{Column, Source, Table, Type},
    members::{Member, Members, Plan},
    rows::{Row, Value, encode},
};

/// Deepest nesting of an EVE object; Suricata's own stays below ten. Threat: recursion by an event of brackets.
pub const MAX_DEPTH: usize = 64;
/// Longest value of a dictionary-encoded column, bytes. Threat: a dictionary blown up by long distinct names.
pub const MAX_NAME: usize = 1024;
/// Most lists, and most values in each, of a column like `alert.metadata`. Threat: millions of tiny map entries.
pub const MAX_LISTS: usize = 256;
/// Longest detail kept with a quarantined event, bytes. Threat: an error text that repeats hostile input.
pub const MAX_DETAIL: usize = 400;
/// An event this much older than its receipt is late: it completes the picture and never triggers a warning.
pub const LATE_US: i64 = 15 * 60 * 1_000_000;
/// Furthest into the future that a sensor's clock may be wrong. Threat: forged dates, each a partition of a rollup.
pub const MAX_AHEAD_US: i64 = 24 * 3600 * 1_000_000;
/// Oldest event that is taken. Threat: as above.
pub const MAX_BEHIND_US: i64 = 400 * 24 * 3600 * 1_000_000;

/// What the register says of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its AGS now; None where it has none, as a state-wide provider.
    pub ags: Option<Ags>,
}

/// Asks the register for whom a sensor may speak.
pub trait Resolver {
    /// The owner's place, or None where the sensor may not speak for it (or nobody knows it).
    fn place(&self, sensor: Uuid, constituent: &ConstituentId) -> Option<Place>;
}

impl<F: Fn(Uuid, &ConstituentId) -> Option<Place>> Resolver for F {
    fn place(&self, sensor: Uuid, constituent: &ConstituentId) -> Option<Place> {
        self(sensor, constituent)
    }
}

/// Why an event was not taken: a bounded set, the `reason` in quarantine and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The EVE JSON is larger than the contract allows.
    TooLarge,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// No JSON object.
    NotJson,
    /// A member has another type than its column, or is too long for it.
    WrongType,
    /// A member without which the event says nothing.
    Missing,
    /// Class, event type and JSON contradict each other.
    WrongClass,
    /// No constituent id.
    NoOwner,
    /// The sensor may not speak for this constituent.
    NotItsOwner,
    /// The event's time lies too far ahead or behind.
    ImplausibleTime,
}

impl Reason {
    /// The word in the column and the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::NotJson => "not-json",
            Self::WrongType => "wrong-type",
            Self::Missing => "missing",
            Self::WrongClass => "wrong-class",
            Self::NoOwner => "no-owner",
            Self::NotItsOwner => "not-its-owner",
            Self::ImplausibleTime => "implausible-time",
        }
    }
}

/// An event that cannot be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", reason.as_str())]
pub struct Poison {
    /// Why.
    pub reason: Reason,
    /// What exactly; at most [`MAX_DETAIL`] bytes.
    pub detail: String,
}

impl Poison {
    fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if detail.len() > MAX_DETAIL {
            let end = (0..=MAX_DETAIL).rev().find(|i| detail.is_char_boundary(*i)).unwrap_or(0);
            detail.truncate(end);
        }
        Self { reason, detail }
    }
}

/// The row of an event.
///
/// `id` is made by the receiver: the sensor from its certificate, epoch and nonce from the frame. `sent` is the
/// batch's, `received` the aggregator's clock.
///
/// # Errors
/// [`Poison`]: hand it to [`quarantine`].
pub fn extract(
    id: &EventId,
    env: &Envelope,
    sent: Timestamp,
    received: Timestamp,
    resolver: &dyn Resolver,
) -> Result<Row, Poison> {
    if env.eve.len() > MAX_EVE_BYTES {
        return Err(Poison::new(Reason::TooLarge, format!("{} bytes; {MAX_EVE_BYTES} are the most", env.eve.len())));
    }
    let age = received.micros().saturating_sub(env.event_us);
    // A sensor whose clock is wrong must still be seen: its health counts by receipt, and no rollup goes by its event time.
    let dated = env.class != Class::Health as i32;
    if dated && !(-MAX_AHEAD_US..=MAX_BEHIND_US).contains(&age) {
        let event = Timestamp::from_micros(env.event_us);
        return Err(Poison::new(Reason::ImplausibleTime, format!("event {event}, received {received}")));
    }
    for (name, us) in
        [("event", env.event_us), ("observed", env.observed_us), ("spooled", env.spooled_us), ("sent", sent.micros())]
    {
        if !(0..=MAX_CLOCK_US).contains(&us) {
            return Err(Poison::new(Reason::ImplausibleTime, format!("{name} is {us} µs")));
        }
    }
    let constituent: ConstituentId =
        env.constituent.parse().map_err(|e| Poison::new(Reason::NoOwner, format!("{e}")))?;
    let place = resolver.place(id.sensor, &constituent).ok_or_else(|| {
        Poison::new(Reason::NotItsOwner, format!("the register does not let this sensor speak for {constituent}"))
    })?;
    let class = Class::of(&env.event_type);
    let plan = Plan::of(class);
    let members = parse(plan, &env.eve)?;
    check_class(env, class, members.event_type(plan))?;
    let mut ruleset = vec![0; 2 * env.ruleset.len()];
    let _ = hex::encode_to_slice(&env.ruleset, &mut ruleset); // it has the room
    let ags = place.ags;
    let (inner, external) = sides(members.addresses(plan), members.inner(plan))?;

    let mut bytes = Vec::with_capacity(env.eve.len() + 512);
    for &(column, place) in &plan.columns {
        let value = match column.source {
            Source::Sensor => Value::Id(id.sensor),
            Source::Epoch => Value::Unsigned(id.epoch.counter),
            Source::Nonce => Value::Unsigned(id.epoch.nonce),
            Source::Seq => Value::Unsigned(id.seq),
            Source::Constituent => Value::Text(constituent.as_str().as_bytes()),
            Source::Ags => Value::Text(ags.as_ref().map_or("", Ags::as_str).as_bytes()),
            Source::Kreis => Value::Text(ags.as_ref().map_or("", Ags::kreis).as_bytes()),
            Source::Class => Value::Text(class.name().as_bytes()),
            Source::EventType => Value::Text(env.event_type.as_bytes()),
            Source::EventTime => Value::Time(Timestamp::from_micros(env.event_us)),
            Source::Observed => Value::Time(Timestamp::from_micros(env.observed_us)),
            Source::Spooled => Value::Time(Timestamp::from_micros(env.spooled_us)),
            Source::Sent => Value::Time(sent),
            Source::Received => Value::Time(received),
            Source::Ruleset => Value::Text(&ruleset),
            Source::Profile => Value::Text(env.profile.as_bytes()),
            Source::Late => Value::Bool(age > LATE_US),
            Source::External => Value::Ip(external),
            Source::Inner => Value::Text(inner.as_bytes()),
            Source::Raw => Value::Text(&env.eve),
            Source::Json(path) => from_json(column, members.at(place), path)?,
            Source::Required(path) => match members.at(place) {
                Member::Absent => {
                    return Err(Poison::new(Reason::Missing, format!("{} is missing", path.join("."))));
                }
                there => from_json(column, there, path)?,
            },
            Source::Segment => continue, // Rows::push adds it
            // Of other tables only, as the table of columns has it.
            Source::Reason | Source::Detail | Source::ToSeq | Source::Lane | Source::Rows => continue,
            Source::FirstReceived | Source::LastReceived | Source::Durable => continue,
        };
        put(&mut bytes, column, &value)?;
    }
    Ok(Row::new(plan.table, *id, received, bytes))
}

/// The row of a poisoned event: kept as it came (cut to the contract's size), with the reason.
pub fn quarantine(id: &EventId, env: &Envelope, received: Timestamp, poison: &Poison) -> Row {
    let class = Class::try_from(env.class).unwrap_or(Class::Unspecified);
    let event = Timestamp::from_micros(env.event_us.clamp(0, MAX_CLOCK_US));
    let mut bytes = Vec::new();
    for column in Table::Quarantine.columns() {
        let value = match column.source {
            Source::Sensor => Value::Id(id.sensor),
            Source::Epoch => Value::Unsigned(id.epoch.counter),
            Source::Nonce => Value::Unsigned(id.epoch.nonce),
            Source::Seq => Value::Unsigned(id.seq),
            Source::Constituent => Value::Text(head(env.constituent.as_bytes(), 64)),
            Source::Class => Value::Text(class.name().as_bytes()),
            Source::EventType => Value::Text(head(env.event_type.as_bytes(), 64)),
            Source::EventTime => Value::Time(event),
            Source::Received => Value::Time(received),
            Source::Reason => Value::Text(poison.reason.as_str().as_bytes()),
            Source::Detail => Value::Text(poison.detail.as_bytes()),
            Source::Raw => Value::Text(head(&env.eve, MAX_EVE_BYTES)),
            _ => continue, // the segment; no other column stands in this table (held by a test)
        };
        encode(&mut bytes, column, &value);
    }
    Row::new(Table::Quarantine, *id, received, bytes)
}

/// The row of a gap. `sensor_epoch` names sensor and epoch; its `seq` is not read.
pub fn gap(sensor_epoch: &EventId, gap: &Gap, received: Timestamp) -> Row {
    let mut bytes = Vec::new();
    for column in Table::Gap.columns() {
        let value = match column.source {
            Source::Sensor => Value::Id(sensor_epoch.sensor),
            Source::Epoch => Value::Unsigned(sensor_epoch.epoch.counter),
            Source::Nonce => Value::Unsigned(sensor_epoch.epoch.nonce),
            Source::Seq => Value::Unsigned(gap.from_seq),
            Source::ToSeq => Value::Unsigned(gap.to_seq),
            Source::Received => Value::Time(received),
            Source::Reason => Value::Text(head(gap.reason.as_bytes(), 64)),
            _ => continue,
        };
        encode(&mut bytes, column, &value);
    }
    Row::new(Table::Gap, EventId { seq: gap.from_seq, ..*sensor_epoch }, received, bytes)
}

// 2299-12-31T23:59:59Z: the end of ClickHouse's DateTime64(6).
const MAX_CLOCK_US: i64 = 10_413_791_999_000_000;

fn head(bytes: &[u8], n: usize) -> &[u8] {
    &bytes[..bytes.len().min(n)]
}

fn parse<'a>(plan: &Plan, eve: &'a [u8]) -> Result<Members<'a>, Poison> {
    if too_deep(eve) {
        return Err(Poison::new(Reason::TooDeep, format!("nested deeper than {MAX_DEPTH}")));
    }
    let text = str::from_utf8(eve).map_err(|e| Poison::new(Reason::NotJson, e.to_string()))?;
    match plan.read(text) {
        Ok(Some(members)) => Ok(members),
        Ok(None) => Err(Poison::new(Reason::NotJson, "a JSON value, but no object")),
        Err(e) => Err(Poison::new(Reason::NotJson, e.to_string())),
    }
}

/// Counts brackets outside strings, before anything recurses.
fn too_deep(eve: &[u8]) -> bool {
    // Almost always there are too few of them, wherever they stand. Counting alone is many times faster, in bytes most of all:
    // 255 of them fit into one.
    let opening = |some: &[u8]| some.iter().map(|b| u8::from(matches!(b, b'{' | b'['))).sum::<u8>();
    if eve.chunks(255).map(|some| usize::from(opening(some))).sum::<usize>() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for b in eve {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Whether envelope, event type and JSON agree on the class: a sender must not pass a flow off as an alert.
fn check_class(env: &Envelope, class: Class, event_type: &Member<'_>) -> Result<(), Poison> {
    let said = event_type.text().unwrap_or_default();
    if said != env.event_type || said.is_empty() || said.len() > 64 {
        let detail = format!("the envelope says {:?}, the JSON {said:?}", env.event_type);
        return Err(Poison::new(Reason::WrongClass, detail));
    }
    if Class::try_from(env.class) != Ok(class) {
        let detail = format!("{said} is of class {}, the envelope says number {}", class.name(), env.class);
        return Err(Poison::new(Reason::WrongClass, detail));
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, column: &Column, value: &Value<'_>) -> Result<(), Poison> {
    if let (Type::Name, Value::Text(t)) = (column.ty, value)
        && t.len() > MAX_NAME
    {
        return Err(Poison::new(
            Reason::WrongType,
            format!("{} has {} bytes; {MAX_NAME} are the most", column.name, t.len()),
        ));
    }
    if encode(out, column, value) {
        Ok(())
    } else {
        Err(Poison::new(Reason::WrongType, format!("{} does not fit {}", column.name, column.ty.sql())))
    }
}

fn from_json<'a>(column: &Column, there: &'a Member<'_>, path: &[&str]) -> Result<Value<'a>, Poison> {
    let wrong = || {
        let name = path.join(".");
        Err(Poison::new(Reason::WrongType, format!("{name} is no {}", column.ty.sql())))
    };
    match (column.ty, there) {
        (ty, Member::Absent) => Ok(absent(ty)),
        (Type::Text | Type::Name, Member::Text(s)) => Ok(Value::Text(s.as_bytes())),
        (Type::U8 | Type::U16 | Type::U32 | Type::U64, Member::Unsigned(n)) => Ok(Value::Unsigned(*n)),
        (Type::I64, Member::Unsigned(n)) => i64::try_from(*n).map_or_else(|_| wrong(), |n| Ok(Value::Signed(n))),
        (Type::I64, Member::Signed(n)) => Ok(Value::Signed(*n)),
        (Type::Bool, Member::Bool(b)) => Ok(Value::Bool(*b)),
        (Type::Ip, Member::Text(s)) => ip(s).map_or_else(wrong, |ip| Ok(Value::Ip(mapped(ip)))),
        (Type::NameLists, Member::Lists(lists)) => Ok(Value::Lists(lists)),
        _ => wrong(),
    }
}

fn absent(ty: Type) -> Value<'static> {
    match ty {
        Type::Id => Value::Id(Uuid::nil()),
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => Value::Unsigned(0),
        Type::I64 => Value::Signed(0),
        Type::Bool => Value::Bool(false),
        Type::Time => Value::Time(Timestamp::from_micros(0)),
        Type::Text | Type::Name => Value::Text(b""),
        Type::Ip => Value::Ip(Ipv6Addr::UNSPECIFIED),
        Type::NameLists => Value::Lists(&[]),
    }
}

fn ip(s: &str) -> Option<IpAddr> {
    s.parse().ok()
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// Which side is the constituent's, and the address of the other. Where the sensor does not say, the external address
/// is the first public one: a private address seen at many constituents is no sign of one attacker.
fn sides(addresses: [&Member<'_>; 2], inner: &Member<'_>) -> Result<(&'static str, Ipv6Addr), Poison> {
    let [src, dest] = addresses.map(|a| a.text().and_then(ip));
    let said = match inner {
        Member::Absent => "none",
        Member::Text(s) => s,
        _ => return Err(Poison::new(Reason::WrongType, "lagewarte.inner is no text")),
    };
    let (inner, external) = match said {
        "src" => ("src", dest),
        "dest" => ("dest", src),
        "both" => ("both", None),
        "none" => ("none", [src, dest].into_iter().flatten().find(|ip| is_public(*ip))),
        _ => return Err(Poison::new(Reason::WrongType, "lagewarte.inner is none of src, dest, both, none")),
    };
    Ok((inner, external.map_or(Ipv6Addr::UNSPECIFIED, mapped)))
}

/// Whether an address can be somebody's on the internet: not private, shared, local, multicast or nobody's
/// (IANA special-purpose registries). Documentation ranges count as public, so that exercises work.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public_v4(v4),
            None => {
                !(v6.is_unspecified()
                    || v6.is_loopback()
                    || v6.is_multicast()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local())
            }
        },
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, ..] = v4.octets();
    let shared = a == 100 && (64..128).contains(&b);
    !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast() || shared || a == 0 || a >= 240)
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
