// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! From campaign to warning: text, TLP, release by a person or a named policy, acknowledgement.
