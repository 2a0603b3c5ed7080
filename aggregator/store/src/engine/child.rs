// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The engine's process: takes the lock, loads the library, and runs the server until its standard input closes.
//!
//! The only `unsafe` of the aggregator. Must never run inside the aggregator itself: the library takes over signals and
//! memory, and a fault in it must not take the aggregator along. Undocumented upstream; the engine's tests stand on it.

use std::{
    ffi::{CStr, CString, OsString, c_char, c_int, c_void},
    fs::{self, File, OpenOptions},
    io::{Seek, Write},
    path::{Path, PathBuf},
};

/// Another engine runs on this folder.
pub(super) const EXIT_LOCKED: i32 = 73;
/// The library could not be loaded or lacks what we call.
pub(super) const EXIT_LIBRARY: i32 = 74;
/// Called with other arguments than the aggregator's.
pub(super) const EXIT_USAGE: i32 = 64;
/// The server ended with an error.
pub(super) const EXIT_SERVER: i32 = 70;

/// Runs the engine and does not return before it ends: the body of the aggregator's hidden argument `__engine`.
/// `args` are what follows that argument: the library, the engine's folder, the port file's name. Returns the exit code.
pub fn child_main(args: impl IntoIterator<Item = OsString>) -> i32 {
    let mut args = args.into_iter().map(PathBuf::from);
    let (Some(library), Some(dir), Some(port_file), None) = (args.next(), args.next(), args.next(), args.next()) else {
        eprintln!("engine: internal command, started by the aggregator only");
        return EXIT_USAGE;
    };
    let lock = match lock(&dir) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    let code = match serve(&library, &dir, &port_file) {
        Ok(()) => 0,
        Err((code, why)) => {
            eprintln!("engine: {why}");
            code
        }
    };
    drop(lock);
    code
}

/// Our own lock: the library's says "locked" with exit code 0. Holds the process id for people.
fn lock(dir: &Path) -> Result<File, i32> {
    let path = dir.join("engine.lock");
    let mut file = match OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&path) {
        Ok(f) => f,
        Err(e) => {
            eprintln!("engine: {}: {e}", path.display());
            return Err(EXIT_SERVER);
        }
    };
    if file.try_lock().is_err() {
        let holder = fs::read_to_string(&path).unwrap_or_default();
        eprintln!("engine: {} is held by process {}", path.display(), holder.trim());
        return Err(EXIT_LOCKED);
    }
    let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    // Only the holder of the lock may remove what an earlier engine left.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("http.port.") {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(file)
}

fn serve(library: &Path, dir: &Path, port_file: &Path) -> Result<(), (i32, String)> {
    let text = |p: &Path| {
        p.to_str().filter(|s| !s.contains(['\'', '\\', '\0'])).map(str::to_owned).ok_or_else(|| {
            (
                EXIT_USAGE,
                format!(
                    "{} has a quote, a backslash or other than UTF-8 in its name; choose another data-dir",
                    p.display()
                ),
            )
        })
    };
    let (dir, port) = (text(dir)?, text(port_file)?);
    // The last query reads standard input: it ends when the parent closes the pipe, exits or is killed.
    let config = fs::read_to_string(Path::new(&dir).join("config.xml")).unwrap_or_default();
    let tcp = if config.contains("<tcp_port>") { "SYSTEM START LISTEN TCP; " } else { "" };
    let query = format!(
        "SYSTEM START LISTEN HTTP; {tcp}\
         SELECT getServerPort('http_port') INTO OUTFILE '{port}' TRUNCATE FORMAT TSV; \
         SELECT count() FROM file('/dev/stdin', 'LineAsString', 'l String') FORMAT Null SETTINGS max_execution_time = 0"
    );
    let arguments = [
        "clickhouse".to_owned(),
        format!("--config-file={dir}/config.xml"),
        // `<logger><level>` is ignored by the engine; without this the trace log grows by 90 MB an hour.
        "--log-level=warning".to_owned(),
        format!("--logger.log={dir}/engine.log"),
        format!("--query={query}"),
    ];
    run(library, &arguments).map_err(|e| (if e.1 { EXIT_LIBRARY } else { EXIT_SERVER }, e.0))
}

type QueryCmdline = unsafe extern "C" fn(c_int, *const *const c_char) -> *mut c_void;
type ResultError = unsafe extern "C" fn(*mut c_void) -> *const c_char;

/// Calls the library as its command line would be; the flag in the error says whether loading failed.
#[expect(unsafe_code, reason = "loading a shared library and calling a C function have no safe form")]
fn run(library: &Path, arguments: &[String]) -> Result<(), (String, bool)> {
    let arguments: Vec<CString> = arguments
        .iter()
        .map(|a| CString::new(a.as_str()).map_err(|e| (e.to_string(), false)))
        .collect::<Result<_, _>>()?;
    let mut pointers: Vec<*const c_char> = arguments.iter().map(|a| a.as_ptr()).collect();
    pointers.push(std::ptr::null());
    let count = c_int::try_from(arguments.len()).map_err(|e| (e.to_string(), false))?;
    let failed = |e: libloading::Error| (format!("{}: {e}", library.display()), true);
    // SAFETY: the library is the pinned one (size checked by the parent, hash by `cargo xtask engine`); its initialisers
    // run in a process that does nothing else.
    let loaded = unsafe { libloading::Library::new(library) }.map_err(failed)?;
    // SAFETY: the signatures are those of chdb.h of this version, which the engine's tests exercise.
    let query = unsafe { loaded.get::<QueryCmdline>(b"chdb_query_cmdline\0") }.map_err(failed)?;
    // SAFETY: as above.
    let error = unsafe { loaded.get::<ResultError>(b"chdb_result_error\0") }.map_err(failed)?;
    // SAFETY: `pointers` is a null-terminated array of `count` C strings; it and `arguments` outlive the call.
    let result = unsafe { query(count, pointers.as_ptr()) };
    let why = if result.is_null() {
        None
    } else {
        // SAFETY: `result` came from the call above and was not freed; the text lives as long as it does.
        let text = unsafe { error(result) };
        // SAFETY: not null, and a C string by the library's contract.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    };
    // Never unloaded: threads of the library may still run until the process ends.
    std::mem::forget(loaded);
    why.map_or(Ok(()), |w| Err((w, false)))
}
