// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packet builder and capture helpers for tests and benches; never linked into a binary.
