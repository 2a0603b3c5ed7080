// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The real engine in any crate's tests: the test program starts itself again as the engine's child.
//!
//! A test binary invokes [`crate::engine_in_tests!`] once, which makes a test that *is* the child when the variable is
//! set and does nothing otherwise. Must never be used by a binary that ships: it has the hidden argument instead.

use std::{ffi::OsString, path::Path};

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
