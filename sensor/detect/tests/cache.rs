// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What is kept on disk between two loadings: it saves work, changes no alert, and nothing on the disk does harm.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests: what they build is theirs")]

mod common;

use std::{
    fmt::Write as _,
    fs,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use common::{CLIENT, End, Frame, Rig, SERVER, rules, session, sids, tcp, udp};
use lagewarte_base::fs::{Fs as _, RealFs, faulty::FaultyFs};
use lagewarte_detect::{CACHE_FILE, Cache, Closed, Engine, Output};

/// Matchers of UDP, of TCP and its streams, of URIs and of bodies.
fn set(changed: &str) -> String {
    (1..40).fold(String::new(), |mut all, n| {
        let word = if n == 7 { changed } else { "word" };
        let _ = writeln!(all, "alert udp any any -> any any (content:\"{word}-{n:02}\"; nocase; sid:{n};)");
        let tcp = if n % 2 == 0 { "tcp-pkt" } else { "tcp" };
        let _ = writeln!(all, "alert {tcp} any any -> any any (flow:to_server; content:\"tcp-{n:02}-\"; sid:1{n:02};)");
        let _ = writeln!(all, "alert http any any -> any any (http.uri; content:\"/page/{n:02}\"; sid:2{n:02};)");
        let _ = writeln!(all, "alert http any any -> any any (file.data; content:\"body {n:02}\"; sid:3{n:02};)");
        all
    })
}

fn traffic() -> Vec<Frame> {
    let ask = b"GET /page/11 HTTP/1.1\r\nHost: h\r\nX: tcp-12-\r\n\r\n";
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n.body 13.";
    let mut frames = session(CLIENT, SERVER, &[(true, ask), (false, answer)]);
    let [asked, answered] = [ask.len(), answer.len()].map(|n| u32::try_from(n).unwrap());
    frames.push(tcp(CLIENT, SERVER, "A", 1001 + asked, 9001 + answered, b""));
    frames.push(tcp(SERVER, CLIENT, "A", 9001 + answered, 1001 + asked, b""));
    frames.extend([&b"WORD-07 word-08"[..], b"WoRk-07"].map(|data| udp(End(CLIENT.0, 5000), End(SERVER.0, 53), data)));
    frames
}

fn compiled(disk: &FaultyFs, text: &str, before: Option<&Engine>) -> (Engine, Closed) {
    let (cache, why) = Cache::open(disk.clone(), Path::new("/matchers"));
    assert_eq!(why, None);
    let engine = Engine::with(rules(text), Output::default(), before, Some(&cache)).unwrap();
    (engine, cache.close())
}

fn found(engine: Engine, text: &str) -> Vec<(u64, u64)> {
    let mut rig = Rig::new(rules(text), Output::default());
    rig.engine = engine;
    sids(&rig.run(&traffic()))
}

#[test]
fn alerts_are_the_same_without_with_an_empty_and_with_a_full_cache() {
    let text = set("word");
    let want = found(Engine::new(rules(&text), Output::default()).unwrap(), &text);
    for sid in [7, 8, 112, 211, 313] {
        assert!(want.iter().any(|(s, _)| *s == sid), "{sid} in {want:?}");
    }
    let disk = FaultyFs::default();
    let (engine, cold) = compiled(&disk, &text, None);
    assert_eq!(found(engine, &text), want);
    let (engine, warm) = compiled(&disk, &text, None);
    assert_eq!(found(engine, &text), want);
    assert!(cold.found == 0 && cold.compiled > 3 && cold.written.unwrap());
    assert_eq!((warm.found, warm.compiled, warm.written.unwrap()), (cold.compiled, 0, false));
}

#[test]
fn a_reload_with_one_rule_changed_compiles_the_matchers_with_it_alone() {
    let disk = FaultyFs::default();
    let (before, cold) = compiled(&disk, &set("word"), None);
    let (after, closed) = compiled(&disk, &set("work"), Some(&before));
    // UDP to the server, to the client, and without a flow.
    assert_eq!((closed.compiled, closed.found), (3, cold.compiled - 3));
    let got = found(after, &set("work"));
    assert!(got.iter().filter(|(s, _)| *s == 7).count() == 1 && got.iter().any(|(s, _)| *s == 8), "{got:?}");
    // What it wrote is what it used: the set before is new again, as far as it differs.
    assert_eq!(compiled(&disk, &set("word"), None).1.compiled, 3);
}

#[test]
fn bytes_changed_on_the_disk_change_no_alert() {
    let text = set("word");
    let disk = FaultyFs::default();
    let (engine, _) = compiled(&disk, &text, None);
    let want = found(engine, &text);
    let path = Path::new("/matchers").join(CACHE_FILE);
    let size = usize::try_from(disk.size(&path).unwrap()).unwrap();
    for at in (0..size).step_by(size / 9) {
        disk.rot(&path, at, 0x10);
        let (cache, why) = Cache::open(disk.clone(), Path::new("/matchers"));
        assert!(why.is_some(), "byte {at}");
        let engine = Engine::with(rules(&text), Output::default(), None, Some(&cache)).unwrap();
        assert_eq!(found(engine, &text), want);
        let closed = cache.close();
        assert!(closed.found == 0 && closed.written.unwrap());
    }
}

/// A directory of this test's own on the machine's disk.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lagewarte-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
    fn load(&self, text: &str) -> (Option<String>, Closed) {
        let (cache, why) = Cache::open(RealFs, &self.0);
        Engine::with(rules(text), Output::default(), None, Some(&cache)).unwrap();
        (why, cache.close())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn several_sensors_may_share_a_directory() {
    let folder = Folder::new("shared");
    let texts = [set("word"), set("work"), set("worn")];
    std::thread::scope(|threads| {
        for text in &texts {
            let folder = &folder;
            threads.spawn(move || {
                for _ in 0..12 {
                    let (why, closed) = folder.load(text);
                    assert_eq!(why, None, "what another one wrote is whole");
                    closed.written.unwrap();
                }
            });
        }
    });
    let all = folder.load(&texts[0]).1;
    assert!(all.compiled <= 3, "what they have in common is known: {all:?}");
    let mut names = RealFs.list(&folder.0).unwrap();
    names.retain(|n| !n.ends_with(".lock"));
    assert_eq!(names, [CACHE_FILE]);
}

#[test]
fn a_directory_that_cannot_be_used_is_told_and_the_set_compiled() {
    let text = set("word");
    let folder = Folder::new("wrong");
    // A file where the directory should be.
    let file = Folder(folder.0.join("file"));
    fs::write(&file.0, "x").unwrap();
    let (_, closed) = file.load(&text);
    assert!(closed.compiled > 0 && closed.written.is_err());
    // Something else by the file's name, which would be waited for: it is replaced.
    let other = Folder::new("socket");
    let _socket = UnixListener::bind(other.0.join(CACHE_FILE)).unwrap();
    let (why, closed) = other.load(&text);
    assert!(why.is_none() && closed.written.unwrap());
    assert_eq!(other.load(&text).1.compiled, 0);
    // A directory by its name.
    let third = Folder::new("directory");
    fs::create_dir(third.0.join(CACHE_FILE)).unwrap();
    let (why, closed) = third.load(&text);
    assert!(why.is_none() && closed.compiled > 0 && closed.written.is_err());
}
