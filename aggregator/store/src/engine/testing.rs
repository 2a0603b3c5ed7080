// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The real engine in any crate's tests: the test program starts itself again as the engine's child. And ports for what
//! tests start.
//!
//! A test binary invokes [`crate::engine_in_tests!`] once, which makes a test that *is* the child when the variable is
//! set and does nothing otherwise. Must never be used by a binary that ships: it has the hidden argument instead.

use std::{
    ffi::OsString,
    net::TcpListener,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{EngineError, Options, child_main};

const VARIABLE: &str = "LAGEWARTE_TEST_ENGINE_CHILD";

/// Options for an engine in `dir`, whose child is the running test program. `module` is where the macro was invoked:
/// `module_path!()` there.
///
/// # Errors
/// [`EngineError`] where library, CPU or platform do not fit: a test must then fail, not pass.
pub fn options(dir: &Path, module: &str) -> Result<Options, EngineError> {
    let mut options = Options::new(dir, None)?;
    // The crate's own name is no part of a test's name.
    let path = module.split_once("::").map(|(_, rest)| format!("{rest}::")).unwrap_or_default();
    options.arguments =
        vec!["--exact".into(), format!("{path}lagewarte_engine_child").into(), "--nocapture".into(), "--".into()];
    options.environment = vec![
        (VARIABLE.into(), "1".into()),
        // The engine needs a deep stack; the harness runs a test in a thread with a small one.
        ("RUST_MIN_STACK".into(), "67108864".into()),
    ];
    Ok(options)
}

/// A TCP port of the loopback interface that is free now, another one at each call.
///
/// It lies below the ports that outgoing connections take (from 32,768), so that none of them has it when a program
/// wants it, and a killed program finds it again.
///
/// # Panics
/// Where 12,000 ports are all taken.
pub fn free_port() -> u16 {
    const RANGE: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test programs that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(97);
    (0..RANGE)
        .map(|_| 20_000 + (begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("no port from 20000 to 31999 is free")
}

/// The child, if this process is one; called by the macro's test.
pub fn run_if_child() {
    if std::env::var_os(VARIABLE).is_some() {
        let arguments: Vec<OsString> = std::env::args_os().skip_while(|a| a != "--").skip(1).collect();
        std::process::exit(child_main(arguments));
    }
}

/// Makes this test program able to be the engine's child. Invoke once, in the module whose `module_path!()` is given to
/// [`options`].
#[macro_export]
macro_rules! engine_in_tests {
    () => {
        #[test]
        fn lagewarte_engine_child() {
            $crate::engine::testing::run_if_child();
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The soak once gave one port to two listeners of one aggregator.
    #[test]
    fn no_port_is_given_twice() {
        let ports: std::collections::HashSet<u16> = (0..500).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 500);
        assert!(ports.iter().all(|p| (20_000..32_000).contains(p)));
    }
}
