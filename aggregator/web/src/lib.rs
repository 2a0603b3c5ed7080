// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The German site: Lagebild, constituent page, feeds, acknowledgement, API. Server-rendered.
