// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Bytes of a frame to layers, through etherparse. Never allocates, never fails: what cannot be decoded is a counted reason.
