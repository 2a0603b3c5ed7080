// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Packets from files and interfaces; the only sensor crate with `unsafe`.
