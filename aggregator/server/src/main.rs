// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The binary `lagewarte-aggregator`: command line, configuration, wiring.

fn main() {}
