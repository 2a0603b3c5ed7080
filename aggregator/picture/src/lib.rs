// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The Lagebild: coverage, campaigns, levels with their reasons.
