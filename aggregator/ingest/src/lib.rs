// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! gRPC server for sensors: enrolment, mutual TLS, lanes, journal, exactly-once inserts.
