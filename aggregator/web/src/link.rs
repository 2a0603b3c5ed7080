// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The acknowledgement link of feed and mail: `/w/WARNING/TOKEN`.
//!
//! GET shows the warning, POST acknowledges: mail scanners and previews follow links, they press no buttons. The token
//! is good for one warning of one constituent and opens nothing else. A wrong link is simply not there.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse as _, Redirect, Response},
};
use lagewarte_warn::{acknowledge_by_link, by_link};
use uuid::Uuid;

use crate::{No, Site, gather, html, page};

type Link = Path<(String, String)>;

pub(crate) async fn show(State(site): State<Arc<Site>>, Path((warning, token)): Link) -> Result<Response, No> {
    let id: Uuid = warning.parse().map_err(|_| No::NotFound)?;
    let Some((constituent, warning)) = by_link(&site.control, id, &token, site.now().micros()).await? else {
        return Err(site.wrong_link().await);
    };
    let own = gather::own_view(&warning).ok_or(No::NotFound)?;
    let name = site.control.constituent(&constituent).await?.name;
    Ok(html(&page::answer::acknowledge(&name, &own, &format!("/w/{id}/{token}"), &site.config.cert)).into_response())
}

pub(crate) async fn acknowledge(State(site): State<Arc<Site>>, Path((warning, token)): Link) -> Result<Response, No> {
    let id: Uuid = warning.parse().map_err(|_| No::NotFound)?;
    match acknowledge_by_link(&site.control, id, &token, site.now().micros()).await? {
        Some(_) => Ok(Redirect::to(&format!("/w/{id}/{token}")).into_response()),
        None => Err(site.wrong_link().await),
    }
}
