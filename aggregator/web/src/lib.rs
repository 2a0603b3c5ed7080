// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The German site: Lagebild, constituent page, feeds, acknowledgement, API. Server-rendered.
//!
//! Who asks is decided once a request ([`auth`]), by a token that opens one scope; [`gather`] asks the stores with that
//! scope and nothing wider, [`page`] draws what came. Works without a script; every page says so to the browser by a
//! Content-Security-Policy that allows none. Must never acknowledge on GET (mail scanners follow links), never answer
//! without a token more than that something is missing, and never log a token or a URL that carries one. It speaks
//! plain HTTP: TLS is the reverse proxy's, which stands on the same machine or network.

mod api;
pub mod auth;
mod feed;
mod gather;
mod link;
pub mod map;
pub mod page;
mod serve;
mod site;
mod svg;
pub mod view;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use lagewarte_base::{clock::Clock, time::Timestamp};
use lagewarte_store::{
    control::{Control, ControlError},
    telemetry::Telemetry,
};
use lagewarte_warn::{CertContact, Links};
use prometheus::{IntCounterVec, Opts, Registry};
pub use serve::{Limits, serve};

use crate::{auth::Tries, map::LandMap};

/// Largest body of a request. Threat: memory. The longest form is a few hundred bytes.
pub const MAX_BODY: usize = 16 << 10;

/// What the site says of itself.
#[derive(Clone, Debug)]
pub struct SiteConfig {
    /// Whom to call.
    pub cert: CertContact,
    /// The Land's map, if there is one.
    pub map: Option<LandMap>,
}

/// The site's parts.
pub struct Site {
    control: Control,
    telemetry: Telemetry,
    links: Links,
    clock: Arc<dyn Clock>,
    config: SiteConfig,
    tries: Tries,
    requests: IntCounterVec,
}

impl Site {
    /// Puts the site together; asks nothing yet.
    ///
    /// # Errors
    /// Where the registry already has a metric of the site's names.
    pub fn new(
        control: Control,
        telemetry: Telemetry,
        links: Links,
        clock: Arc<dyn Clock>,
        config: SiteConfig,
        registry: &Registry,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let opts = Opts::new("lagewarte_http_requests_total", "Requests answered, by route and status");
        let requests = IntCounterVec::new(opts, &["route", "status"])?;
        registry.register(Box::new(requests.clone()))?;
        Ok(Arc::new(Self { control, telemetry, links, clock, config, tries: Tries::new(), requests }))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn secure(&self) -> bool {
        self.links.public_url().starts_with("https://")
    }
}

/// All routes.
pub fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(site::start))
        .route("/anmelden", get(site::login_by_link).post(site::login))
        .route("/abmelden", post(site::logout))
        .route("/lage", get(site::lage))
        .route("/lage/kampagne/{id}", get(site::campaign))
        .route("/lage/warnung/{id}", get(site::warning))
        .route("/lage/warnung/{id}/freigeben", post(site::release))
        .route("/lage/warnung/{id}/zurueckziehen", post(site::withdraw))
        .route("/ich", get(site::own))
        .route("/ich/warnung/{id}/quittieren", post(site::acknowledge))
        .route("/feed/{token}/atom.xml", get(feed::by_link))
        .route("/feed/atom.xml", get(feed::by_header))
        .route("/w/{warning}/{token}", get(link::show).post(link::acknowledge))
        .route("/api/v1/lage", get(api::lage))
        .route("/api/v1/warnings", get(api::warnings))
        .route("/api/v1/warnings/{id}/acknowledge", post(api::acknowledge))
        .route("/healthz", get(health))
        .route("/static/lagewarte.css", get(|| fixed("text/css; charset=utf-8", include_str!("assets/lagewarte.css"))))
        .route("/static/icon.svg", get(|| fixed("image/svg+xml", include_str!("assets/icon.svg"))))
        .fallback(async || No::NotFound)
        .method_not_allowed_fallback(async || No::NotFound)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&site), finish))
        .with_state(site)
}

async fn fixed(kind: &'static str, body: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=300")], body).into_response()
}

/// For load balancers: whether the register answers. Says nothing else.
async fn health(State(site): State<Arc<Site>>) -> Response {
    match site.control.ping().await {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(e) => {
            tracing::warn!(error = %e, "health check");
            (StatusCode::SERVICE_UNAVAILABLE, "register does not answer\n").into_response()
        }
    }
}

/// An answer that says no. What it looks like (page, JSON, plain text) is decided by [`finish`], in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum No {
    /// Not logged in, or by a token that opens nothing. `tried`: a token was presented.
    Unknown {
        /// A token was presented.
        tried: bool,
    },
    /// There is no such thing, or not for this reader: the same answer for both.
    NotFound,
    /// Too many wrong tokens at the same time.
    Busy,
    /// The request is not what its form sends.
    Form(&'static str),
    /// The request contradicts what is stored: a sentence for a CERT reader.
    Refused(String),
    /// A store does not answer; the reason is in the log.
    Broken,
}

impl axum::response::IntoResponse for No {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown { .. } => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Form(_) => StatusCode::BAD_REQUEST,
            Self::Refused(_) => StatusCode::CONFLICT,
            Self::Broken => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut r = status.into_response();
        r.extensions_mut().insert(self);
        r
    }
}

impl From<ControlError> for No {
    fn from(e: ControlError) -> Self {
        match e {
            ControlError::Missing { .. } => Self::NotFound,
            ControlError::Refused(why) => Self::Refused(why),
            e => {
                tracing::error!(error = %e, "control plane");
                Self::Broken
            }
        }
    }
}

/// Gives each answer its security headers, a refusal its body, and counts.
async fn finish(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let machine = path.starts_with("/api/");
    let feed = path.starts_with("/feed/");
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let answer = next.run(request).await;
    let mut answer = match answer.extensions().get::<No>().cloned() {
        Some(no) => refusal(&site, &no, answer.status(), machine, feed),
        None => answer,
    };
    site.requests.with_label_values(&[route.as_str(), answer.status().as_str()]).inc();
    const HEADERS: [(HeaderName, &str); 7] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Login and acknowledgement links carry a token in their address.
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
    ];
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if site.secure() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    answer
}

fn refusal(site: &Site, no: &No, status: StatusCode, machine: bool, feed: bool) -> Response {
    let cert = &site.config.cert;
    let (title, text) = match no {
        No::Unknown { .. } => ("Nicht angemeldet", "Dafür brauchen Sie einen gültigen Zugang."),
        No::NotFound => ("Nicht gefunden", "Diese Seite gibt es nicht, oder nicht für Ihren Zugang."),
        No::Busy => (
            "Bitte warten",
            "Gerade werden zu viele falsche Zugänge versucht. Versuchen Sie es in einer Minute wieder.",
        ),
        No::Form(why) => ("Eingabe unvollständig", *why),
        No::Refused(why) => ("Nicht möglich", why.as_str()),
        No::Broken => (
            "Gerade nicht möglich",
            "Der Speicher antwortet nicht. Versuchen Sie es in einer Minute wieder, oder rufen Sie das CERT an.",
        ),
    };
    let mut r = if machine {
        (status, axum::Json(serde_json::json!({ "error": text }))).into_response()
    } else if feed {
        (status, format!("{text}\n")).into_response()
    } else if let No::Unknown { tried } = no {
        (status, html(&page::answer::login(*tried, cert))).into_response()
    } else {
        (status, html(&page::answer::refusal(title, text, cert))).into_response()
    };
    if status == StatusCode::UNAUTHORIZED && (machine || feed) {
        r.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    r
}

/// A page as an answer.
pub(crate) fn html(page: &maud::Markup) -> axum::response::Html<String> {
    axum::response::Html(page.0.clone())
}
