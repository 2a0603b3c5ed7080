// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Durable queue on disk: reserve, append, group commit, read, acknowledge.
