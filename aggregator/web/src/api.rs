// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The JSON API, version 1: `Authorization: Bearer TOKEN`, UTF-8, times in microseconds since 1970 UTC.
//!
//! `GET /api/v1/warnings` and `POST /api/v1/warnings/ID/acknowledge` are a constituent's (token of kind `api`),
//! `GET /api/v1/lage` is the CERT's (kind `cert`). Must never take a cookie: a foreign page could then make a browser ask.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::HeaderMap,
};
use lagewarte_store::{
    Scope,
    control::{
        tokens::TokenKind,
        warnings::{Acknowledgement, Via},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{No, Site, auth::bearer, gather, view::OwnWarning};

#[derive(Serialize)]
struct ApiWarning {
    id: String,
    title: String,
    tlp: String,
    level: i64,
    text: String,
    released_us: i64,
    withdrawn: Option<String>,
    acknowledged_us: Option<i64>,
    acknowledge: String,
}

impl ApiWarning {
    fn new(site: &Site, w: OwnWarning) -> Self {
        Self {
            id: format!("urn:uuid:{}", w.id),
            acknowledge: format!("{}/api/v1/warnings/{}/acknowledge", site.links.public_url(), w.id),
            title: w.title,
            tlp: w.tlp.to_string(),
            level: w.level.number(),
            text: w.text,
            released_us: w.released.micros(),
            withdrawn: w.withdrawn,
            acknowledged_us: w.acknowledged.map(|t| t.micros()),
        }
    }
}

pub(crate) async fn warnings(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Json<Value>, No> {
    let token = site.check(bearer(&headers), &[TokenKind::Api]).await?;
    let scope = Scope::Constituent(token.constituent.ok_or(No::NotFound)?);
    let all = gather::own_warnings(&site, &scope).await?;
    let all: Vec<_> = all.into_iter().map(|w| ApiWarning::new(&site, w)).collect();
    Ok(Json(json!({ "warnings": all })))
}

/// Body of an acknowledgement; an empty body is one without a name.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Who {
    #[serde(default)]
    who: String,
}

pub(crate) async fn acknowledge(
    State(site): State<Arc<Site>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, No> {
    let token = site.check(bearer(&headers), &[TokenKind::Api]).await?;
    let constituent = token.constituent.ok_or(No::NotFound)?;
    let id = id.strip_prefix("urn:uuid:").unwrap_or(&id).parse::<Uuid>().map_err(|_| No::NotFound)?;
    let body = if body.is_empty() {
        Who::default()
    } else {
        serde_json::from_slice(&body).map_err(|_| No::Form(r#"The body is empty or {"who": "NAME"}."#))?
    };
    let new = Acknowledgement { acknowledged_us: site.now().micros(), via: Via::Api, who: body.who };
    let (counts, first) = site.control.acknowledge_warning(id, &constituent, &new).await?;
    Ok(Json(json!({ "acknowledged_us": counts.acknowledged_us, "via": counts.via, "first": first })))
}

pub(crate) async fn lage(State(site): State<Arc<Site>>, headers: HeaderMap) -> Result<Json<Value>, No> {
    site.check(bearer(&headers), &[TokenKind::Cert]).await?;
    let lage = gather::lagebild(&site, &Scope::Land).await?;
    serde_json::to_value(lage).map(Json).map_err(|e| {
        tracing::error!(error = %e, "Lagebild as JSON");
        No::Broken
    })
}
