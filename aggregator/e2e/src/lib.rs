// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A small world over the two real binaries: an aggregator with its embedded engine, a mail server, enrolled sensors.
//!
//! Everything goes through the command lines, as an operator would do it; no test here links a stage of the product. The
//! exceptions: the program `fleet`, whose thousands of sensors are the sensor's own spool and uplink in one process, and
//! [`soak`], which has the CA make a certificate that is about to expire.
//! The binaries are looked for in `LAGEWARTE_BIN_DIR`, else in `debug/` of cargo's target directory; Python (for the mail
//! server and the independent clients) is `LAGEWARTE_PYTHON`, else `python3`. Must never touch anything outside its own
//! folder under the target directory and ports of the loopback interface, and never leave a process behind.
#![expect(clippy::disallowed_methods, reason = "a test harness waits on wall time; nothing here is on the packet path")]

mod line;
mod paths;
mod process;
mod procfs;
mod register;
pub mod soak;
mod wire;
mod world;

pub use line::Line;
pub use paths::{aggregator, binary, python, root, sensor};
pub use process::{Process, output, root_user, wait_for};
pub use procfs::{Usage, children, descriptors_limit, usage};
pub use register::{Constituent, SensorRow, write as write_register};
pub use wire::{NEAR, Wire};
pub use world::{Options, Sensor, World, get, page};
