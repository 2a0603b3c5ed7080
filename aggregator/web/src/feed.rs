// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! A constituent's Atom feed: `/feed/TOKEN/atom.xml`, or `/feed/atom.xml` with `Authorization: Bearer TOKEN`.
//!
//! Being fetched is a step of the chain: the first time that a warning is in an answer is kept. Must never serve by a
//! token that is not this constituent's own.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use lagewarte_deliver::atom::{self, CONTENT_TYPE, MAX_ENTRIES};
use lagewarte_store::{
    Scope,
    control::{deliveries::Channel, tokens::TokenKind},
};
use sha2::{Digest as _, Sha256};

use crate::{No, Site, auth::bearer};

pub(crate) async fn by_link(
    State(site): State<Arc<Site>>,
    Path(token): Path<String>,
    headers: HeaderMap,
) -> Result<Response, No> {
    answer(&site, Some(&token), &headers, &format!("/feed/{token}/atom.xml")).await
}

pub(crate) async fn by_header(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Response, No> {
    answer(&site, bearer(&headers), &headers, "/feed/atom.xml").await
}

async fn answer(site: &Site, token: Option<&str>, headers: &HeaderMap, path: &str) -> Result<Response, No> {
    let token = site.check(token, &[TokenKind::Feed]).await?;
    let id = token.constituent.ok_or(No::NotFound)?;
    let constituent = site.control.constituent(&id).await?;
    let most = u32::try_from(MAX_ENTRIES).unwrap_or(u32::MAX);
    let warnings = site.control.warnings(&Scope::Constituent(id.clone()), most).await?;
    let own = format!("{}{path}", site.links.public_url());
    let feed = atom::feed(&constituent, &warnings, &site.links, &site.config.cert, &own);
    // Only what was never served: a feed that is polled each second must not write each second.
    let served_before = |w: &uuid::Uuid| {
        let deliveries = warnings.iter().filter(|x| x.id == *w).flat_map(|x| &x.addressed).flat_map(|a| &a.deliveries);
        deliveries.filter(|d| d.channel == Channel::Feed).any(|d| d.first_served_us.is_some())
    };
    let fresh: Vec<_> = feed.warnings.iter().copied().filter(|w| !served_before(w)).collect();
    if !fresh.is_empty() {
        site.control.feed_served(&id, &fresh, site.now().micros()).await?;
    }
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&feed.xml)[..16]));
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|v| v.as_bytes() == tag.as_bytes());
    // The address is a secret: no shared cache may keep the answer.
    let head =
        [(header::CONTENT_TYPE, CONTENT_TYPE), (header::CACHE_CONTROL, "private, no-cache"), (header::ETAG, &tag)];
    Ok(if known { (StatusCode::NOT_MODIFIED, head).into_response() } else { (head, feed.xml).into_response() })
}
