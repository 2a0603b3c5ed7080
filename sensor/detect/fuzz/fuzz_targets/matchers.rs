// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Any bytes where the kept matchers should be, and a sound file that was changed and sealed again: the set is compiled, the
//! file is mended, and the next loading knows what this one did.
#![no_main]
use std::path::Path;

use lagewarte_base::fs::{Fs as _, faulty::FaultyFs};
use lagewarte_detect::{CACHE_FILE, Cache, Closed, Engine, Output};
use lagewarte_rules::Options;
use sha2::{Digest as _, Sha256};

const DIR: &str = "/matchers";

fn load(disk: &FaultyFs) -> Closed {
    let text: String = (0..10).map(|n| format!("alert udp any any -> any any (content:\"{n}word\"; sid:1{n};)\n")).collect();
    let set = lagewarte_rules::parse(&[("rules", text.as_bytes())], &Options::default());
    let (cache, _) = Cache::open(disk.clone(), Path::new(DIR));
    Engine::with(set, Output::default(), None, Some(&cache)).expect("it compiles");
    cache.close()
}

fn put(disk: &FaultyFs, bytes: &[u8]) {
    let _ = disk.create(&Path::new(DIR).join(CACHE_FILE), true).and_then(|mut f| f.append(bytes));
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, input @ ..] = input else { return };
    let disk = FaultyFs::default();
    let compiled = load(&disk).compiled;
    let sound = disk.read(&Path::new(DIR).join(CACHE_FILE), 0, 1 << 20).expect("it was written");
    // The head says whose it is; the last 32 bytes are the hash of what is before them.
    let (head, body) = sound.split_at(48);
    let mut body = body[..body.len() - 32].to_vec();
    match how % 3 {
        0 => put(&disk, input),
        1 => {
            let all = [head, input].concat();
            put(&disk, &[&all[..], &Sha256::digest(&all)].concat());
        }
        _ => {
            for d in input.chunks_exact(3) {
                let at = usize::from(u16::from_be_bytes([d[0], d[1]])) % body.len();
                body[at] ^= d[2];
            }
            let all = [head, &body].concat();
            put(&disk, &[&all[..], &Sha256::digest(&all)].concat());
        }
    }
    let closed = load(&disk);
    assert_eq!(closed.found + closed.compiled, compiled);
    assert!(closed.written.is_ok());
    let again = load(&disk);
    assert_eq!((again.found, again.compiled), (compiled, 0));
});
