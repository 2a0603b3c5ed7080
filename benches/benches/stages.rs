// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Stage by stage on the committed captures, one thread: decode, flow, everything up to detect, alerts as JSON, spool.
//!
//! Each stage includes the ones before it where it needs their output; the difference of two lines is the stage. Wall time
//! on a shared machine lies: compare runs on an idle one.
#![expect(missing_docs, reason = "criterion's macros write undocumented functions")]

use std::{hint::black_box, sync::Arc};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use lagewarte_app::Apps;
use lagewarte_base::{clock::SystemClock, fs::RealFs, time::Timestamp};
use lagewarte_benches::{Capture, engine, inspect, rule_set};
use lagewarte_decode::Decoder;
use lagewarte_detect::{Ordered, Scratch};
use lagewarte_flow::{Config, FlowTable};
use lagewarte_spool::{Options, Priority, Spool};

fn table() -> FlowTable {
    FlowTable::new(Arc::new(Config { community_id: Some(0), ..Config::default() }), 1)
}

fn packets(c: &mut Criterion) {
    let capture = Capture::committed().expect("the committed captures");
    let engine = engine().expect("the own rules compile");
    let mut group = c.benchmark_group("packets");
    group.throughput(Throughput::Elements(capture.frames.len() as u64)).sample_size(20);
    group.bench_function("decode", |b| {
        b.iter(|| {
            for f in capture.raw() {
                black_box(Decoder::default().decode(f));
            }
        });
    });
    group.bench_function("decode+flow", |b| {
        b.iter_batched_ref(
            || (table(), Vec::new()),
            |(table, out)| {
                for f in capture.raw() {
                    let _ = black_box(table.packet(&Decoder::default().decode(f), out));
                }
                table.finish(Timestamp::from_micros(i64::MAX / 4), u64::MAX, out);
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("decode+flow+app+detect", |b| {
        b.iter_batched_ref(
            || (table(), Apps::new(Arc::default(), 1), Scratch::default(), Vec::new()),
            |(table, apps, scratch, out)| {
                for f in capture.raw() {
                    inspect(f, table, apps, &engine, scratch, out);
                }
                assert!(!out.is_empty(), "the captures fire rules");
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn alerts(c: &mut Criterion) {
    let capture = Capture::committed().expect("the committed captures");
    let engine = engine().expect("the own rules compile");
    let (mut t, mut apps) = (table(), Apps::new(Arc::default(), 1));
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    for f in capture.raw() {
        inspect(f, &mut t, &mut apps, &engine, &mut scratch, &mut out);
    }
    let mut group = c.benchmark_group("alerts");
    group.throughput(Throughput::Elements(out.len() as u64)).sample_size(20);
    group.bench_function("threshold+json", |b| {
        b.iter_batched_ref(
            Ordered::default,
            |ordered| {
                for candidate in &out {
                    black_box(ordered.admit(candidate));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn rules(c: &mut Criterion) {
    c.bench_function("rules/load", |b| b.iter(|| black_box(rule_set().rules.len())));
    c.bench_function("rules/compile", |b| {
        b.iter_batched(
            rule_set,
            |s| black_box(lagewarte_detect::Engine::new(s, lagewarte_detect::Output::default())),
            BatchSize::PerIteration,
        )
    });
}

fn spool(c: &mut Criterion) {
    const EVENTS: u64 = 10_000;
    let dir = tempfile::tempdir().expect("a folder");
    let spool = Spool::open(dir.path(), Options::default(), Arc::new(RealFs), Arc::new(SystemClock)).expect("a spool");
    let record = vec![b'x'; 900]; // an alert with its envelope
    let mut group = c.benchmark_group("spool");
    group.throughput(Throughput::Elements(EVENTS)).sample_size(10);
    group.bench_function("append+fsync+acknowledge", |b| {
        b.iter(|| {
            let mut last = 0;
            for _ in 0..EVENTS {
                last = spool.append(Priority::Alert, |_| record.clone()).expect("room in the spool");
            }
            spool.commit().expect("the disk takes it");
            spool.acknowledge(spool.epoch(), last);
        });
    });
    group.finish();
}

criterion_group!(benches, packets, alerts, rules, spool);
criterion_main!(benches);
