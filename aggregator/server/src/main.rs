// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The program `lagewarte-aggregator`. Everything is in the library; here is only the way in.

use std::process::ExitCode;

fn main() -> ExitCode {
    lagewarte_server::main(std::env::args_os())
}
