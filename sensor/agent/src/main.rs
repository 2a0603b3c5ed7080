// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The binary `lagewarte-sensor`: command line, configuration, the loop, release profile and pseudonyms.

fn main() {}
