// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Addresses that stand in feeds and mails. The acknowledgement link is the same each time it is written.
//!
//! Must never contain a constituent's login token: mails are forwarded.

use lagewarte_base::id::{ConstituentId, Uuid};
use lagewarte_store::control::tokens::LinkKey;

/// Makes links of the public address of the site and the link key.
#[derive(Clone, Debug)]
pub struct Links {
    public_url: String,
    key: LinkKey,
}

impl Links {
    /// `public_url` without a slash at its end, for example `https://lage.example.de`.
    pub fn new(public_url: &str, key: LinkKey) -> Self {
        Self { public_url: public_url.trim_end_matches('/').to_owned(), key }
    }
    /// The key the links are made with.
    pub fn key(&self) -> &LinkKey {
        &self.key
    }
    /// The public address, without a slash at its end.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }
    /// The link by which a constituent acknowledges: opening it shows the warning, its button acknowledges.
    pub fn acknowledge(&self, warning: Uuid, constituent: &ConstituentId) -> String {
        format!("{}/w/{warning}/{}", self.public_url, self.key.acknowledgement(warning, constituent).text())
    }
    /// The constituent's own page (after login).
    pub fn page(&self) -> String {
        format!("{}/ich", self.public_url)
    }
    /// The page of a warning for analysts.
    pub fn analyst(&self, warning: Uuid) -> String {
        format!("{}/lage/warnung/{warning}", self.public_url)
    }
}
