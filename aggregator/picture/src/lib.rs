// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The Lagebild: what each sensor lets us see, campaigns, and levels with their reasons.
//!
//! The rules are published in `docs/lagebild.md` and live here as pure functions over stored evidence; [`Picture`] only
//! fetches, asks them, and writes the results to the control plane. Must never show *blind* as *quiet*, never let a late
//! event trigger anything, and never hold a level without its reasons. Limits: [`campaigns::MAX_KEYS`],
//! [`campaigns::MAX_PER_KEY`].

pub mod campaigns;
pub mod config;
pub mod coverage;
pub mod levels;
mod metrics;
mod tick;

pub use config::PictureConfig;
pub use metrics::Metrics;
pub use tick::{Picture, PictureError, Ticked};
