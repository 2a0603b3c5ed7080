// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The rule language: parser, linter, compiler front end. Knows no packet.
