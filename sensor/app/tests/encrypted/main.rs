// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! TLS and QUIC on the committed captures of real clients and servers.

mod quic;
mod streams;
mod tls;
