// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The binary `lagewarte-sensor`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

/// Packets, streams and transactions are many small allocations that end in another order than they began.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    lagewarte_agent::cli::main()
}
