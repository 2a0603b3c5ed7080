// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! What leaves the house: the one door through which every event goes on its way to the spool.
//!
//! Must never let a field out that the profile does not name: the rule is an allow-list by event type and path.

use lagewarte_base::profile::Profile;

/// The names of event classes a profile may list.
pub const CLASSES: [&str; 6] = ["alert", "health", "flow", "anomaly", "protocol", "file"];

/// What is wrong with a profile, in a sentence; None where nothing is.
pub fn profile_fault(profile: &Profile) -> Option<String> {
    if profile.name.is_empty() || profile.name.len() > 64 || profile.name.contains('@') {
        return Some("the profile's name must have 1 to 64 characters and no @".into());
    }
    profile
        .classes
        .iter()
        .find(|c| !CLASSES.contains(&c.as_str()))
        .map(|c| format!("{c:?} is no event class; there are: {}", CLASSES.join(", ")))
}
