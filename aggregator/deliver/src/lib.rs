// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Delivery of released warnings: Atom feed documents and mail.
//!
//! [`atom::feed`] writes a constituent's feed; [`Mailer`] works off the queue of mails. Must never deliver what the
//! channel may not carry (TLP), nor anything of one constituent to another; never decide whether to warn.

pub mod atom;
mod config;
mod mail;
mod queue;

pub use config::{MailConfig, MailConfigError, Smtp, Tls};
pub use mail::{MAX_ADDRESS, compose};
pub use queue::{MailStep, Mailer, retry_after_us};
