// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Who asks: cookie, bearer token, form token, and the price of wrong tries.
//!
//! A token is 256 random bits and looked up by its hash: guessing is hopeless, so a wrong try need not lock anybody
//! out; it only must not cost us. A wrong try is answered late and holds one of [`MAX_FAILING`] places; where none is
//! free, the answer is *busy*, at once. A right token is never refused because of others' wrong ones, also behind a
//! proxy where everybody has one address. Must never log what was presented.

use std::{sync::Arc, time::Duration};

use axum::http::{HeaderMap, header};
use lagewarte_base::id::ConstituentId;
use lagewarte_store::control::tokens::{Token, TokenKind};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::Semaphore;

use crate::{No, Site};

/// Wrong tries that may wait at the same time. Threat: a flood of tries holding memory and the register.
pub const MAX_FAILING: usize = 32;
/// How long a wrong try waits for its answer: together with [`MAX_FAILING`], 128 tries a second at most.
pub const FAIL_DELAY: Duration = Duration::from_millis(250);
/// Longest Cookie header that is read. Threat: parsing kilobytes for each request.
const MAX_COOKIES: usize = 4 << 10;
/// How long a login lasts, seconds: a working day.
const LOGIN_S: u32 = 12 * 3600;

/// Places for wrong tries.
#[derive(Debug)]
pub struct Tries(Arc<Semaphore>);

impl Tries {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_FAILING)))
    }

    async fn fail(&self) -> No {
        let Ok(_place) = self.0.try_acquire() else { return No::Busy };
        tokio::time::sleep(FAIL_DELAY).await;
        No::Unknown { tried: true }
    }
}

/// A logged-in reader.
#[derive(Debug)]
pub(crate) struct Session {
    /// What the token opens.
    pub(crate) token: Token,
    /// Form token: known only to pages of this session.
    pub(crate) csrf: String,
}

impl Session {
    /// The constituent whose token this is.
    pub(crate) fn constituent(&self) -> Result<&ConstituentId, No> {
        self.token.constituent.as_ref().ok_or(No::NotFound)
    }

    /// Whether a form came from one of this session's own pages.
    pub(crate) fn same_site(&self, presented: &str) -> Result<(), No> {
        let same = bool::from(presented.as_bytes().ct_eq(self.csrf.as_bytes()));
        if same {
            Ok(())
        } else {
            Err(No::Form("Das Formular ist abgelaufen. Laden Sie die Seite neu und versuchen Sie es noch einmal."))
        }
    }
}

impl Site {
    /// The token behind what was presented, if it is alive and of one of `kinds`.
    pub(crate) async fn check(&self, presented: Option<&str>, kinds: &[TokenKind]) -> Result<Token, No> {
        let Some(text) = presented else { return Err(No::Unknown { tried: false }) };
        match self.control.check_token(text, kinds, self.now().micros()).await? {
            Some(token) => Ok(token),
            None => Err(self.tries.fail().await),
        }
    }

    /// What a wrong link is told, at the price of a wrong try: nobody logs in there.
    pub(crate) async fn wrong_link(&self) -> No {
        match self.tries.fail().await {
            No::Busy => No::Busy,
            _ => No::NotFound,
        }
    }

    /// The session of a page. A reader with a live token of the other kind gets *not found*: the page is not theirs.
    pub(crate) async fn session(&self, headers: &HeaderMap, kind: TokenKind) -> Result<Session, No> {
        let presented = cookie(headers, self.cookie_name());
        let token = self.check(presented, &[TokenKind::Cert, TokenKind::Feed]).await?;
        if token.kind != kind {
            return Err(No::NotFound);
        }
        Ok(Session { token, csrf: csrf(presented.unwrap_or_default()) })
    }

    fn cookie_name(&self) -> &'static str {
        // The prefix binds the cookie to this host and TLS (RFC 6265bis); without TLS browsers would refuse it.
        if self.secure() { "__Host-lagewarte" } else { "lagewarte" }
    }

    /// Set-Cookie of a login; of a logout, where there is no token.
    pub(crate) fn set_cookie(&self, token: Option<&str>) -> String {
        let secure = if self.secure() { "; Secure" } else { "" };
        let age = if token.is_some() { LOGIN_S } else { 0 };
        // Lax, not Strict: a link in a mail to one's own page must find one logged in. Forms carry a token besides.
        format!("{}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}", self.cookie_name(), token.unwrap_or(""))
    }
}

/// The form token of a session: derived, so that nothing is stored, and of no use to find the session's token.
fn csrf(session: &str) -> String {
    hex::encode(Sha256::digest(format!("lagewarte-form-v1\0{session}")))
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter(|v| v.len() <= MAX_COOKIES);
    all.filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
        .filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, values: &[&str]) -> HeaderMap {
        let mut h = HeaderMap::new();
        for v in values {
            h.append(&name, HeaderValue::from_str(v).expect("a test's own header"));
        }
        h
    }

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        for (values, want) in [
            (&["lagewarte=abc"][..], Some("abc")),
            (&["a=b; lagewarte=abc; c=d"], Some("abc")),
            (&["a=b", "lagewarte=abc"], Some("abc")),
            (&["xlagewarte=abc"], None),
            (&["lagewarte"], None),
            (&["lagewarte="], None),
            (&["__Host-lagewarte=abc"], None),
            (&[], None),
        ] {
            assert_eq!(cookie(&headers(header::COOKIE, values), "lagewarte"), want, "{values:?}");
        }
        let long = format!("x={}; lagewarte=abc", "y".repeat(MAX_COOKIES));
        assert_eq!(
            cookie(&headers(header::COOKIE, &[&long]), "lagewarte"),
            None,
            "a header over the bound is not read"
        );
    }

    #[tokio::test]
    async fn wrong_tries_wait_and_where_too_many_wait_the_answer_is_busy_at_once() {
        let tries = Tries::new();
        let all_but_one = u32::try_from(MAX_FAILING - 1).expect("small");
        let held = Arc::clone(&tries.0).acquire_many_owned(all_but_one).await.expect("open");
        assert_eq!(tries.fail().await, No::Unknown { tried: true });
        let last = Arc::clone(&tries.0).acquire_owned().await.expect("the place came back");
        assert_eq!(tries.fail().await, No::Busy);
        drop((held, last));
        assert_eq!(tries.0.available_permits(), MAX_FAILING);
    }

    #[test]
    fn bearer_tokens_are_read_whatever_the_case_of_the_scheme() {
        for (value, want) in
            [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None), ("Bearer", None)]
        {
            assert_eq!(bearer(&headers(header::AUTHORIZATION, &[value])), want, "{value}");
        }
    }

    #[test]
    fn form_tokens_differ_by_session_and_do_not_hold_it() {
        assert_ne!(csrf("a"), csrf("b"));
        assert_eq!(csrf("a").len(), 64);
        assert!(!csrf("secret-token").contains("secret"));
    }
}
