// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Project commands: `demo`, `test`, `engine`, `setup`.

fn main() {}
