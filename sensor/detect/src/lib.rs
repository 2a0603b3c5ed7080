// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Rule engine: groups, prefilter, verification, thresholds; alerts as EVE.
