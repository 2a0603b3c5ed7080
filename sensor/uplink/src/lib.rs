// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Sends the spool to the aggregator over mutual TLS and frees what is acknowledged; enrols a sensor.
