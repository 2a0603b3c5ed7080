// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Which lines of the parsers are run by the tests of their own crate, committed fuzz corpora included; held against a floor.
//!
//! Not part of `cargo xtask test`: what it needs is built a second time, instrumented, into a target directory of its own.
//! Must never count test code, nor what another crate's tests run by the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::{
    paths,
    run::{cargo, check, output},
};

/// Arguments of `cargo xtask coverage`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes the report and raises the floor.
    #[arg(long)]
    write: bool,
    /// Only this crate's folder, as `sensor/app`; nothing is written then.
    #[arg(long, conflicts_with = "write")]
    only: Option<String>,
    /// Prints the lines of this room that no test runs.
    #[arg(long)]
    missing: Option<String>,
}

/// Folders of the crates that read what others wrote.
const CRATES: &[&str] = &["rules", "sensor/app", "sensor/decode", "sensor/flow"];
const FLOOR: &str = "xtask/coverage.floor";
const REPORT: &str = "docs/coverage.md";
/// Least share of a room that the floor's file does not name, in percent.
const LEAST: u32 = 90;

/// Lines of a file that can be run, and whether one was.
type Lines = BTreeMap<u32, bool>;

/// A room: a folder or file below a crate's `src`, by file.
type Rooms = BTreeMap<String, BTreeMap<String, Lines>>;

/// Counts them.
pub(crate) fn main(args: &Args) -> anyhow::Result<()> {
    let tools = tools()?;
    let chosen: Vec<_> = CRATES.iter().filter(|c| args.only.as_deref().is_none_or(|o| o == **c)).collect();
    ensure!(!chosen.is_empty(), "none of {CRATES:?} is {:?}", args.only);
    let folder = paths::target_dir().join("coverage");
    let mut programs = build(&folder, &chosen)?;
    let mut rooms = Rooms::new();
    for krate in chosen {
        for program in programs.remove(*krate).with_context(|| format!("{krate} has no tests"))? {
            add(&mut rooms, krate, &lcov(&tools, &folder, krate, &program)?)?;
        }
    }
    for (room, files) in &rooms {
        let (all, run) = count(files.values());
        println!("{room}: {run} of {all} lines, {:.1} %", share(all, run));
    }
    if let Some(name) = &args.missing {
        let files = rooms.get(name).with_context(|| format!("no room is called {name}"))?;
        for (file, lines) in files {
            println!("{file}: {}", ranges(lines));
        }
    }
    let floor_file = paths::root().join(FLOOR);
    let mut floor = parse(&fs::read_to_string(&floor_file).with_context(|| format!("cannot read {FLOOR}"))?)?;
    if args.write {
        raise(&mut floor, &rooms);
        fs::write(&floor_file, text(&floor))?;
        fs::write(paths::root().join(REPORT), report(&rooms))?;
    }
    let below = below(&rooms, &floor);
    ensure!(below.is_empty(), "coverage fell: {}", below.join(", "));
    Ok(())
}

/// Folder of the toolchain's own `llvm-cov` and `llvm-profdata`, so that they read what this compiler writes.
fn tools() -> anyhow::Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let folder = Path::new(sysroot.trim()).join("lib/rustlib").join(host()?).join("bin");
    if !folder.join("llvm-cov").is_file() {
        check(Command::new("rustup").args(["component", "add", "llvm-tools"])).context("llvm-tools are missing")?;
    }
    Ok(folder)
}

fn host() -> anyhow::Result<String> {
    let version = output(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|l| l.strip_prefix("host: ")).context("rustc does not say its host")?;
    Ok(host.to_owned())
}

/// Builds the tests; their programs by crate's folder.
fn build(folder: &Path, crates: &[&&str]) -> anyhow::Result<BTreeMap<String, Vec<PathBuf>>> {
    // With `--target`, build scripts and macros are not instrumented.
    let host = host()?;
    let mut c = cargo(&["test", "--no-run", "--locked", "--message-format=json-render-diagnostics", "--target", &host]);
    for krate in crates {
        c.args(["-p", &format!("lagewarte-{}", krate.rsplit('/').next().unwrap_or(krate))]);
    }
    let said = output(c.env("RUSTFLAGS", "-C instrument-coverage").env("CARGO_TARGET_DIR", folder))?;
    let mut programs = BTreeMap::<_, Vec<_>>::new();
    for line in said.lines() {
        let message: Value = serde_json::from_str(line).with_context(|| format!("cargo said {line:?}"))?;
        let (Some(program), Some(manifest)) = (message["executable"].as_str(), message["manifest_path"].as_str())
        else {
            continue;
        };
        let krate = Path::new(manifest).parent().and_then(|p| p.strip_prefix(paths::root()).ok());
        let krate = krate.with_context(|| format!("{manifest} is not in the source tree"))?;
        programs.entry(krate.display().to_string()).or_default().push(PathBuf::from(program));
    }
    Ok(programs)
}

/// Runs a program of tests; what it ran, as lcov writes it. Each by itself: the same function is not the same in all of them.
fn lcov(tools: &Path, folder: &Path, krate: &str, program: &Path) -> anyhow::Result<String> {
    let raw = folder.join("profiles").join(program.file_name().unwrap_or_default());
    let _ = fs::remove_dir_all(&raw); // of an earlier run, if there was one
    check(
        Command::new(program)
            .arg("--quiet")
            .current_dir(paths::root().join(krate))
            .env("LLVM_PROFILE_FILE", raw.join("%p-%m.profraw")),
    )?;
    let merged = raw.join("all.profdata");
    let mut merge = Command::new(tools.join("llvm-profdata"));
    merge.args(["merge", "--sparse", "-o"]).arg(&merged);
    for file in fs::read_dir(&raw)? {
        merge.arg(file?.path());
    }
    check(&mut merge)?;
    output(
        Command::new(tools.join("llvm-cov"))
            .args(["export", "--format=lcov", "--instr-profile"])
            .arg(&merged)
            .arg(program),
    )
}

/// Adds the files of a crate's sources, without test code, to their rooms.
fn add(rooms: &mut Rooms, krate: &str, lcov: &str) -> anyhow::Result<()> {
    let source = paths::root().join(krate).join("src");
    let mut file: Option<(String, &mut Lines)> = None;
    for line in lcov.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            file = None;
            // Relative to the source tree, or absolute.
            let path = paths::root().join(path);
            let Ok(inner) = path.strip_prefix(&source) else { continue };
            if inner.components().any(|c| matches!(c.as_os_str().to_str(), Some("tests" | "tests.rs"))) {
                continue;
            }
            let room = inner.iter().next().unwrap_or_default().to_string_lossy();
            let room = format!("{krate}/{}", room.trim_end_matches(".rs"));
            let name = format!("{krate}/src/{}", inner.display());
            let lines = rooms.entry(room).or_default().entry(name).or_default();
            file = Some((fs::read_to_string(&path)?, lines));
        } else if let (Some(data), Some((_, lines))) = (line.strip_prefix("DA:"), &mut file) {
            let (number, runs) = data.split_once(',').with_context(|| format!("{line:?} is no line of lcov"))?;
            *lines.entry(number.parse()?).or_default() |= runs != "0";
        } else if line == "end_of_record"
            && let Some((text, lines)) = file.take()
        {
            let tests = test_lines(&text);
            lines.retain(|n, _| !tests.contains(n));
        }
    }
    Ok(())
}

/// Numbers of the lines of items under `#[cfg(test)]`: to the brace that closes as far left as the attribute stands.
fn test_lines(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut open: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let indent = &line[..line.len() - line.trim_start().len()];
        if open.is_none() && line.trim() == "#[cfg(test)]" {
            open = Some(indent);
        }
        let Some(wanted) = open else { continue };
        found.insert(number);
        if indent == wanted && (line.trim() == "}" || line.ends_with(';')) {
            open = None;
        }
    }
    found
}

/// Lines that can be run, and those that were.
fn count<'a>(files: impl Iterator<Item = &'a Lines>) -> (usize, usize) {
    files.fold((0, 0), |(all, run), f| (all + f.len(), run + f.values().filter(|r| **r).count()))
}

fn share(all: usize, run: usize) -> f64 {
    100.0 * run as f64 / all.max(1) as f64
}

/// The lines that were not run, runs of them as `from-to`.
fn ranges(lines: &Lines) -> String {
    let mut out = String::new();
    let mut open: Option<(u32, u32)> = None;
    let mut close = |open: Option<(u32, u32)>| match open {
        Some((a, b)) if a == b => out.push_str(&format!("{a} ")),
        Some((a, b)) => out.push_str(&format!("{a}-{b} ")),
        None => {}
    };
    for (n, run) in lines {
        match (&mut open, run) {
            (Some(o), false) => o.1 = *n,
            (o @ None, false) => *o = Some((*n, *n)),
            (o, true) => close(o.take()),
        }
    }
    close(open);
    out.trim_end().to_owned()
}

/// The floor file's text: `room = percent` a line, `#` begins a comment.
fn parse(text: &str) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut floor = BTreeMap::new();
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let (room, least) = line.split_once('=').with_context(|| format!("{line:?} is no `room = percent`"))?;
        floor.insert(room.trim().to_owned(), least.trim().parse().with_context(|| format!("in {line:?}"))?);
    }
    Ok(floor)
}

fn text(floor: &BTreeMap<String, u32>) -> String {
    let mut out = format!(
        "# Least share of lines that a room's own tests run, in percent; may only rise (`cargo xtask coverage --write`).\n\
         # A room that is not named is held to {LEAST}.\n"
    );
    for (room, least) in floor {
        let _ = writeln!(out, "{room} = {least}"); // into a String
    }
    out
}

/// Which rooms lie below their floor.
fn below(rooms: &Rooms, floor: &BTreeMap<String, u32>) -> Vec<String> {
    let mut bad = Vec::new();
    for (room, files) in rooms {
        let (all, run) = count(files.values());
        let least = floor.get(room).copied().unwrap_or(LEAST);
        if all > 0 && share(all, run) < f64::from(least) {
            bad.push(format!("{room} {:.1} is below {least}", share(all, run)));
        }
    }
    bad
}

/// Raises the floor to what is reached, less the half percent that tests of random inputs may differ by. Rooms that are gone
/// are forgotten.
fn raise(floor: &mut BTreeMap<String, u32>, rooms: &Rooms) {
    floor.retain(|room, _| rooms.contains_key(room));
    for (room, files) in rooms {
        let (all, run) = count(files.values());
        if all > 0 {
            let reached = (share(all, run) - 0.5).max(0.0) as u32;
            let least = floor.entry(room.clone()).or_insert(reached);
            *least = reached.max(*least);
        }
    }
}

fn report(rooms: &Rooms) -> String {
    let mut out = format!(
        "# Coverage\n\nWritten by `cargo xtask coverage --write`; do not edit.\n\n\
         Lines of what reads bytes and rules of others, and how many of them the tests of the same crate run: unit tests, and the\n\
         committed fuzz corpora, which are tests, too. Test code does not count, nor does what tests of other crates run by the\n\
         way. The shares in `{FLOOR}` may not fall. Not part of `cargo xtask test`: the crates are built a second time for it,\n\
         instrumented. `cargo xtask coverage --missing ROOM` prints the lines of a room that no test runs.\n\n\
         | room | lines | run | share |\n|---|---|---|---|\n"
    );
    let mut line = |name: &str, (all, run): (usize, usize)| {
        let _ = writeln!(out, "| {name} | {all} | {run} | {:.1} % |", share(all, run)); // into a String
    };
    for (room, files) in rooms {
        let counted = count(files.values());
        if counted.0 > 0 {
            line(room, counted);
        }
    }
    line("all", count(rooms.values().flat_map(BTreeMap::values)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_under_cfg_test_do_not_count() {
        let text = "fn a() {\n}\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more {\n    fn b() {\n    }\n}\nfn c() {}\n\
                    impl D {\n    #[cfg(test)]\n    fn e() {\n    }\n    fn f() {}\n}\n";
        assert_eq!(test_lines(text).into_iter().collect::<Vec<_>>(), [3, 4, 5, 6, 7, 8, 9, 12, 13, 14]);
    }

    #[test]
    fn a_room_below_its_floor_is_named_and_the_floor_only_rises() {
        let lines: Lines = (1..=10).map(|n| (n, n != 4 && n != 5 && n != 9)).collect();
        assert_eq!(ranges(&lines), "4-5 9");
        let rooms = Rooms::from([("sensor/app/smb".to_owned(), BTreeMap::from([("v1.rs".to_owned(), lines)]))]);
        let mut floor = parse(&text(&BTreeMap::from([("sensor/app/gone".to_owned(), 99)]))).expect("own text");
        assert_eq!(below(&rooms, &floor), ["sensor/app/smb 70.0 is below 90"], "not named: held to {LEAST}");
        raise(&mut floor, &rooms);
        assert_eq!(floor, BTreeMap::from([("sensor/app/smb".to_owned(), 69)]));
        assert!(below(&rooms, &floor).is_empty());
        floor.insert("sensor/app/smb".to_owned(), 75);
        raise(&mut floor, &rooms);
        assert_eq!(floor["sensor/app/smb"], 75);
        assert!(report(&rooms).contains("| sensor/app/smb | 10 | 7 | 70.0 % |\n| all | 10 | 7 | 70.0 % |\n"));
        assert!(parse("no line").is_err() && parse("a = b").is_err());
    }
}
