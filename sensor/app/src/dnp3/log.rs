// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! EVE `dnp3`: a fragment with its objects and their points. Bytes are base64. An alert has it under `request` or
//! `response`. Limit: [`MAX_POINTS`].

use std::cell::RefCell;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lagewarte_event::{eve::JsonWriter, names::DNP3_INDICATORS};

use super::{
    Choices,
    parser::{Held, Message, Object, Point, Value, fields, walk},
};

/// Most points of a fragment that are written. Threat: one fragment with 16,384 points, each an object of ten members.
pub const MAX_POINTS: u32 = 1024;

/// The members of an event.
pub fn write(m: &Message, choices: &Choices, w: &mut JsonWriter) {
    w.key("dnp3").open();
    message(m, choices, w);
    w.close();
}

/// The members of an alert.
pub fn metadata(m: &Message, choices: &Choices, w: &mut JsonWriter) {
    w.key("dnp3").open();
    w.key(if m.is_response() { "response" } else { "request" }).open();
    message(m, choices, w);
    w.close().close();
}

fn message(m: &Message, choices: &Choices, w: &mut JsonWriter) {
    let kind = match m.function() {
        130 => "unsolicited_response",
        _ if m.is_response() => "response",
        _ => "request",
    };
    let link = m.link.control;
    w.key("type").string(kind).key("control").open();
    w.key("dir").bool(link & 0x80 != 0).key("pri").bool(link & 0x40 != 0);
    w.key("fcb").bool(link & 0x20 != 0).key("fcv").bool(link & 0x10 != 0);
    w.key("function_code").u64((link & 15).into()).close();
    w.key("src").u64(m.link.src.into()).key("dst").u64(m.link.dst.into());
    let control = m.control();
    w.key("application").open().key("control").open();
    w.key("fir").bool(control & 0x80 != 0).key("fin").bool(control & 0x40 != 0);
    w.key("con").bool(control & 0x20 != 0).key("uns").bool(control & 0x10 != 0);
    w.key("sequence").u64((control & 15).into()).close();
    w.key("function_code").u64(m.function().into());
    objects(m, choices, w);
    w.key("complete").bool(m.complete).close();
    if let Some(bits) = m.indications() {
        w.key("iin").open();
        let mut set = DNP3_INDICATORS.iter().filter(|(_, bit)| u64::from(bits) & bit != 0).peekable();
        if set.peek().is_some() {
            w.key("indicators").open_array();
            set.for_each(|(name, _)| _ = w.string(name));
            w.close_array();
        }
        w.close();
    }
}

fn objects(m: &Message, choices: &Choices, w: &mut JsonWriter) {
    if m.objects.is_empty() {
        return;
    }
    w.key("objects").open_array();
    // Both closures write, one after the other; an object stays open until the next one begins.
    let out = RefCell::new((w, Open::Nothing));
    let object = &mut |o: &Object| {
        let (w, open) = &mut *out.borrow_mut();
        std::mem::replace(open, Open::Object).close(w);
        w.open().key("group").u64(o.group.into()).key("variation").u64(o.variation.into());
        w.key("qualifier").u64(o.qualifier.into()).key("prefix_code").u64(o.prefix_code().into());
        w.key("range_code").u64(o.range_code().into()).key("start").u64(o.start.into());
        w.key("stop").u64(o.stop.into()).key("count").u64(o.count.into());
    };
    let mut written = 0;
    let point = &mut |p: Point<'_>| {
        if written < MAX_POINTS {
            written += 1;
            let (w, open) = &mut *out.borrow_mut();
            if std::mem::replace(open, Open::Points) == Open::Object {
                w.key("points").open_array();
            }
            point(&p, w);
        }
    };
    // What is wrong with it was an event when it came.
    let _ = walk(m.function(), m.body(), choices, object, point);
    let (w, open) = out.into_inner();
    open.close(w);
    w.close_array();
}

/// What of an object is written and not closed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Object,
    Points,
}

impl Open {
    fn close(self, w: &mut JsonWriter) {
        if self == Self::Points {
            w.close_array();
        }
        if self != Self::Nothing {
            w.close();
        }
    }
}

fn point(p: &Point<'_>, w: &mut JsonWriter) {
    w.open().key("prefix").u64(p.prefix.into()).key("index").u64(p.index.into());
    if let Some(size) = p.size {
        w.key("size").u64(size.into());
    }
    match p.held {
        Held::Nothing => {}
        Held::Packed(name, value) => drop(w.key(name).u64(value.into())),
        Held::Fields(list, data) => {
            fields(list, data, &mut |name, value| {
                w.key(name);
                match value {
                    Value::Unsigned(n) => w.u64(n),
                    Value::Signed(n) => w.i64(n),
                    // JSON has no word for the others.
                    Value::Float(x) if x.is_finite() => w.raw(&format!("{x:?}")),
                    Value::Float(x) => w.string(&x.to_string()),
                    Value::Text(t) => w.bytes(t),
                    Value::Bytes(b) => w.string(&STANDARD.encode(b)),
                };
            });
        }
    }
    w.close();
}
