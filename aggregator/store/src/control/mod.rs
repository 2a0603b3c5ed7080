// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The control plane: constituents, sensors, tokens, picture, warnings, deliveries, acknowledgements.
