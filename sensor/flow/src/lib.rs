// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Flow table on packet time: states, timeouts, memory cap, community_id.
