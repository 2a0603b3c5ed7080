// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What the machine must have beside Rust, Node and Python: Debian packages, and Python packages in a venv of our own.
//!
//! Must never install behind the back of a user who is not root: then it prints the one command to type.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

use crate::{
    paths,
    run::{check, on_path, output},
};

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// To build and run the demo.
    Demo,
    /// To build, test and check everything.
    Everything,
}

/// Debian packages, and the file that shows each is there.
const DEMO: &[(&str, &str)] = &[
    ("gcc", "/usr/bin/gcc"),
    ("pkg-config", "/usr/bin/pkg-config"),
    ("libpcap-dev", "/usr/include/pcap/pcap.h"),
    ("python3-venv", "/usr/lib/python3.11/ensurepip/__init__.py"),
];
const TESTS: &[(&str, &str)] = &[
    ("chromium", "/usr/bin/chromium"),
    ("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"),
    ("poppler-utils", "/usr/bin/pdftoppm"),
    ("postgresql", "/usr/lib/postgresql"),
    ("prometheus", "/usr/bin/promtool"),
    ("openssl", "/usr/bin/openssl"),
    ("tinyproxy-bin", "/usr/bin/tinyproxy"),
    ("tshark", "/usr/bin/tshark"),
    ("tcpdump", "/usr/bin/tcpdump"),
    ("iproute2", "/usr/sbin/ip"),
    ("faketime", "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"),
    ("procps", "/usr/bin/pgrep"),
    ("util-linux", "/usr/bin/setpriv"),
    ("libxml2-utils", "/usr/bin/xmllint"),
];
/// Python packages of the demo's mail sink and of the independent clients in the tests; pinned.
const PYTHON: &[&str] =
    &["aiosmtpd==1.4.6", "feedparser==6.0.14", "clickhouse-connect==1.12.0", "lz4==4.4.5", "zstandard==0.25.0"];

/// Installs what is missing, or says what to type.
pub(crate) fn ensure(need: Need) -> anyhow::Result<()> {
    let wanted = if need == Need::Everything { [DEMO, TESTS].concat() } else { DEMO.to_vec() };
    let missing: Vec<&str> = wanted.iter().filter(|(p, file)| !present(p, file)).map(|(p, _)| *p).collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    python().map(drop)
}

fn present(package: &str, file: &str) -> bool {
    // Where Python is not Debian's own, its ensurepip is elsewhere: ask Python itself.
    if package == "python3-venv" {
        return output(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok();
    }
    Path::new(file).exists() || Path::new(file).file_name().is_some_and(|n| on_path(&n.to_string_lossy()))
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let list = packages.join(" ");
    let root = output(Command::new("id").arg("-u")).is_ok_and(|u| u.trim() == "0");
    if !root || !on_path("apt-get") {
        bail!(
            "this machine lacks: {list}\ninstall with:\n    sudo apt-get update && sudo apt-get install -y --no-install-recommends {list}"
        );
    }
    eprintln!("installing with apt: {list}");
    check(Command::new("apt-get").args(["update", "-qq"]))?;
    check(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(packages),
    )
    .context("apt could not install everything; the packages are named above")
}

/// The Python of a venv in the cache that has the pinned packages; made on first use.
pub(crate) fn python() -> anyhow::Result<PathBuf> {
    let dir = paths::cache().join("venv");
    let python = dir.join("bin/python");
    let stamp = dir.join("installed");
    let wanted = PYTHON.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|s| s == wanted) && python.exists() {
        return Ok(python);
    }
    eprintln!("making a Python environment in {}", dir.display());
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    check(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    check(
        Command::new(&python)
            .args(["-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:"])
            .args(PYTHON),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}
