// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The binary `lagewarte-sensor`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    lagewarte_agent::cli::main()
}
