// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The pages' requests: log in, ask for the view, draw it; take the forms.
//!
//! Every change is a POST with the session's form token, and ends in a redirect, so that reloading repeats nothing.

use std::sync::Arc;

use axum::{
    extract::{
        Form, Path, Query, State,
        rejection::{FormRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse as _, Redirect, Response},
};
use lagewarte_base::tlp::Tlp;
use lagewarte_store::{
    Scope,
    control::{
        tokens::TokenKind,
        warnings::{Acknowledgement, Release, Via},
    },
};
use serde::Deserialize;
use uuid::Uuid;

use crate::{No, Site, gather, html, page};

type Answer = Result<Response, No>;
type Taken<T> = Result<Form<T>, FormRejection>;

fn taken<T>(form: Taken<T>) -> Result<T, No> {
    form.map(|Form(f)| f)
        .map_err(|_| No::Form("Im Formular fehlt etwas. Laden Sie die Seite neu und versuchen Sie es noch einmal."))
}

fn id(text: &str) -> Result<Uuid, No> {
    text.parse().map_err(|_| No::NotFound)
}

/// A name or reason from a form: there, not longer than the form allows, one line.
fn line(text: &str, missing: &'static str) -> Result<String, No> {
    let text = text.trim();
    let fine =
        !text.is_empty() && text.chars().count() <= page::warning::MAX_FIELD && !text.chars().any(char::is_control);
    if fine { Ok(text.to_owned()) } else { Err(No::Form(missing)) }
}

pub(crate) async fn start(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    // Whoever is logged in wants their page; everybody else gets the form.
    for (kind, to) in [(TokenKind::Cert, "/lage"), (TokenKind::Feed, "/ich")] {
        match site.session(&headers, kind).await {
            Ok(_) => return Redirect::to(to).into_response(),
            Err(No::NotFound) => {}
            Err(_) => break,
        }
    }
    html(&page::answer::login(false, &site.config.cert)).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Login {
    token: String,
}

async fn log_in(site: &Site, login: &Login) -> Answer {
    let presented = login.token.trim();
    let token = site.check(Some(presented), &[TokenKind::Cert, TokenKind::Feed]).await?;
    let to = if token.kind == TokenKind::Cert { "/lage" } else { "/ich" };
    // A live token is base64url: it cannot break the header.
    let cookie = HeaderValue::from_str(&site.set_cookie(Some(presented))).map_err(|_| No::NotFound)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(to)).into_response())
}

pub(crate) async fn login(State(site): State<Arc<Site>>, form: Taken<Login>) -> Answer {
    log_in(&site, &taken(form)?).await
}

pub(crate) async fn login_by_link(
    State(site): State<Arc<Site>>,
    query: Result<Query<Login>, QueryRejection>,
) -> Answer {
    match query {
        Ok(Query(login)) => log_in(&site, &login).await,
        Err(_) => Ok(Redirect::to("/").into_response()),
    }
}

pub(crate) async fn logout(State(site): State<Arc<Site>>) -> Answer {
    let cookie = HeaderValue::from_str(&site.set_cookie(None)).map_err(|_| No::NotFound)?;
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Auto {
    #[serde(default)]
    auto: String,
}

pub(crate) async fn lage(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    auto: Result<Query<Auto>, QueryRejection>,
) -> Answer {
    site.session(&headers, TokenKind::Cert).await?;
    let lage = gather::lagebild(&site, &Scope::Land).await?;
    let refresh = auto.is_ok_and(|Query(a)| a.auto == "1");
    Ok(html(&page::lage::page(&lage, site.config.map.as_ref(), &site.config.cert, refresh)).into_response())
}

pub(crate) async fn campaign(State(site): State<Arc<Site>>, Path(text): Path<String>, headers: HeaderMap) -> Answer {
    site.session(&headers, TokenKind::Cert).await?;
    let campaign = gather::campaign(&site, &Scope::Land, id(&text)?).await?;
    Ok(html(&page::campaign::page(&campaign, &site.config.cert)).into_response())
}

pub(crate) async fn warning(State(site): State<Arc<Site>>, Path(text): Path<String>, headers: HeaderMap) -> Answer {
    let session = site.session(&headers, TokenKind::Cert).await?;
    let warning = gather::warning(&site, &Scope::Land, id(&text)?).await?;
    Ok(html(&page::warning::page(&warning, &session.csrf, &site.config.cert)).into_response())
}

#[derive(Deserialize)]
pub(crate) struct ReleaseForm {
    csrf: String,
    who: String,
    tlp: Option<String>,
    late: Option<String>,
}

pub(crate) async fn release(
    State(site): State<Arc<Site>>,
    Path(text): Path<String>,
    headers: HeaderMap,
    form: Taken<ReleaseForm>,
) -> Answer {
    let session = site.session(&headers, TokenKind::Cert).await?;
    let form = taken(form)?;
    session.same_site(&form.csrf)?;
    let id = id(&text)?;
    let who = line(&form.who, "Nennen Sie bitte Ihren Namen: Er steht im Protokoll der Freigabe.")?;
    let tlp = form
        .tlp
        .as_deref()
        .map(str::parse::<Tlp>)
        .transpose()
        .map_err(|_| No::Form("Wählen Sie bitte, wer die Warnung lesen darf."))?;
    let release = Release { who: &who, policy: None, tlp, late_too: form.late.is_some() };
    site.control.release_warning(id, &release, site.links.key(), site.now().micros()).await?;
    Ok(Redirect::to(&format!("/lage/warnung/{id}")).into_response())
}

#[derive(Deserialize)]
pub(crate) struct WithdrawForm {
    csrf: String,
    who: String,
    why: String,
}

pub(crate) async fn withdraw(
    State(site): State<Arc<Site>>,
    Path(text): Path<String>,
    headers: HeaderMap,
    form: Taken<WithdrawForm>,
) -> Answer {
    let session = site.session(&headers, TokenKind::Cert).await?;
    let form = taken(form)?;
    session.same_site(&form.csrf)?;
    let id = id(&text)?;
    let who = line(&form.who, "Nennen Sie bitte Ihren Namen: Er steht im Protokoll.")?;
    let why = line(&form.why, "Nennen Sie bitte einen Grund: Die Adressaten lesen ihn.")?;
    site.control.withdraw_warning(id, &who, &why, site.now().micros()).await?;
    Ok(Redirect::to(&format!("/lage/warnung/{id}")).into_response())
}

pub(crate) async fn own(State(site): State<Arc<Site>>, headers: HeaderMap) -> Answer {
    let session = site.session(&headers, TokenKind::Feed).await?;
    let own = gather::own(&site, session.constituent()?).await?;
    let feed = format!("{}/feed/ZUGANG/atom.xml", site.links.public_url());
    Ok(html(&page::own::page(&own, &session.csrf, &feed, &site.config.cert)).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Csrf {
    csrf: String,
}

pub(crate) async fn acknowledge(
    State(site): State<Arc<Site>>,
    Path(text): Path<String>,
    headers: HeaderMap,
    form: Taken<Csrf>,
) -> Answer {
    let session = site.session(&headers, TokenKind::Feed).await?;
    session.same_site(&taken(form)?.csrf)?;
    let new = Acknowledgement { acknowledged_us: site.now().micros(), via: Via::Page, who: String::new() };
    site.control.acknowledge_warning(id(&text)?, session.constituent()?, &new).await?;
    Ok(Redirect::to("/ich").into_response())
}
