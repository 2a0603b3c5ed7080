// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! Tokens: 32 bytes, shown once as base64url, stored as their SHA-256 only.
//!
//! Enrolment tokens are good once, however many take them at the same moment. Acknowledgement tokens are not random but
//! derived (HMAC-SHA-256 under the aggregator's link key), so that each rendering of a feed or mail shows the same link
//! without its secret ever being stored. Must never log or store a secret. Limits: nothing but 43 characters of
//! base64url is hashed.

use std::{fmt, io, path::Path};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lagewarte_base::id::ConstituentId;
use ring::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::{
    Control, ControlError, Result, audit,
    db::{Row, vals},
    words,
};
use crate::Scope;

words! {
    /// What a token opens.
    TokenKind {
        /// Enrolment of one sensor, once.
        Enrol = "enrol",
        /// A constituent's own page and Atom feed.
        Feed = "feed",
        /// The Lagebild of the whole Land, for analysts.
        Cert = "cert",
        /// The acknowledgement link of one warning for one constituent.
        Ack = "ack",
        /// A constituent's own API.
        Api = "api",
        /// A foreign sensor's events.
        Eve = "eve",
    }
}

/// A token's secret. Printed only where somebody asked for it by [`Secret::text`].
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A new random one.
    ///
    /// # Errors
    /// Where the system has no randomness.
    pub fn generate() -> Result<Self> {
        let mut raw = [0; 32];
        let refused = |_| ControlError::Refused("the system gave no random numbers".into());
        SystemRandom::new().fill(&mut raw).map_err(refused)?;
        Ok(Self(raw))
    }
    /// Reads 43 characters of base64url; None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 43 {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
    /// From its bytes, as an enrolment token carries them.
    pub const fn from_bytes(raw: [u8; 32]) -> Self {
        Self(raw)
    }
    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
    /// Base64url, 43 characters: what a person or a machine is given.
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
    fn sha256(&self) -> String {
        hex::encode(Sha256::digest(self.0))
    }
}

/// The aggregator's key for acknowledgement links; a file beside the databases, never in one.
#[derive(Clone)]
pub struct LinkKey(hmac::Key);

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

impl LinkKey {
    /// From 32 secret bytes.
    pub fn new(raw: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, raw))
    }
    /// Reads the key file, or makes it (mode 0600) where there is none. Several aggregators share one file's content.
    ///
    /// # Errors
    /// Where the file cannot be read or made, or holds something else.
    pub fn load_or_create(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt as _;
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let what = "is no link key; restore it from the backup, or remove it to void all open links";
                let bad = || io::Error::other(format!("{} {what}", path.display()));
                Secret::parse(text.trim()).map(|s| Self::new(&s.0)).ok_or_else(bad)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let secret = Secret::generate().map_err(io::Error::other)?;
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
                io::Write::write_all(&mut file, secret.text().as_bytes())?;
                file.sync_all()?;
                Ok(Self::new(&secret.0))
            }
            Err(e) => Err(e),
        }
    }
    /// The acknowledgement secret of one warning for one constituent; the same each time.
    pub fn acknowledgement(&self, warning: Uuid, constituent: &ConstituentId) -> Secret {
        let tag = hmac::sign(&self.0, format!("lagewarte-ack-v1\0{warning}\0{constituent}").as_bytes());
        let mut raw = [0; 32];
        raw.copy_from_slice(tag.as_ref()); // HMAC-SHA-256 is 32 bytes
        Secret(raw)
    }
}

/// What to issue.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it opens.
    pub kind: TokenKind,
    /// Whose, where it is a constituent's.
    pub constituent: Option<ConstituentId>,
    /// Which sensor's, where it enrols one or brings its events.
    pub sensor: Option<Uuid>,
    /// End of its life; None where it has none.
    pub expires_us: Option<i64>,
    /// For people: who was given it, for what.
    pub label: String,
}

/// A token as stored: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Token {
    /// SHA-256 of the secret, hex: its name in lists and revocations.
    pub sha256: String,
    /// What it opens.
    pub kind: TokenKind,
    /// Whose.
    pub constituent: Option<ConstituentId>,
    /// Which sensor's.
    pub sensor: Option<Uuid>,
    /// Which warning's, for an acknowledgement.
    pub warning: Option<Uuid>,
    /// When issued.
    pub created_us: i64,
    /// End of its life.
    pub expires_us: Option<i64>,
    /// When it was first used up (enrolment).
    pub used_us: Option<i64>,
    /// When it was revoked.
    pub revoked_us: Option<i64>,
    /// For people.
    pub label: String,
}

impl Token {
    /// The scope of who holds it; None for tokens that open no view (enrolment).
    pub fn scope(&self) -> Option<Scope> {
        match (self.kind, &self.constituent) {
            (TokenKind::Cert, _) => Some(Scope::Land),
            (TokenKind::Feed | TokenKind::Api | TokenKind::Ack, Some(c)) => Some(Scope::Constituent(c.clone())),
            _ => None,
        }
    }
}

const TOKEN: &str = "sha256, kind, constituent, sensor, warning, created_us, expires_us, used_us, revoked_us, label";

fn token(r: &Row) -> Result<Token> {
    Ok(Token {
        sha256: r.text("sha256")?,
        kind: r.parse("kind")?,
        constituent: r.opt_parse("constituent")?,
        sensor: r.opt_parse("sensor")?,
        warning: r.opt_parse("warning")?,
        created_us: r.int("created_us")?,
        expires_us: r.opt_int("expires_us")?,
        used_us: r.opt_int("used_us")?,
        revoked_us: r.opt_int("revoked_us")?,
        label: r.text("label")?,
    })
}

impl Control {
    /// Issues a random token; its secret exists in the answer only.
    ///
    /// # Errors
    /// [`ControlError::Refused`] where the kind's owner is not named: a token of nobody must not exist.
    pub async fn issue_token(&self, new: &NewToken, who: &str, now_us: i64) -> Result<Secret> {
        let owned = match new.kind {
            TokenKind::Enrol | TokenKind::Eve => new.sensor.is_some(),
            TokenKind::Feed | TokenKind::Api => new.constituent.is_some(),
            TokenKind::Cert => new.constituent.is_none() && new.sensor.is_none(),
            TokenKind::Ack => false, // derived, stored when its warning is released
        };
        if !owned {
            return Err(ControlError::Refused(format!("a token of kind {} is not issued for this owner", new.kind)));
        }
        let secret = Secret::generate()?;
        let mut tx = self.pool.begin().await?;
        let sql = "INSERT INTO token (sha256, kind, constituent, sensor, created_us, expires_us, label) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let vals =
            vals![secret.sha256(), new.kind, new.constituent.as_ref(), new.sensor, now_us, new.expires_us, &new.label];
        tx.execute(sql, vals).await?;
        let whose = new.constituent.as_ref().map(ToString::to_string).or(new.sensor.map(|s| s.to_string()));
        let what = format!("token {} issued for {}: {}", new.kind, whose.as_deref().unwrap_or("the CERT"), new.label);
        audit::note(&mut tx, now_us, who, &what).await?;
        tx.commit().await?;
        Ok(secret)
    }

    /// The valid token behind a presented text, if it is of one of `kinds`. Not for enrolment: see
    /// [`Control::take_token`].
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn check_token(&self, presented: &str, kinds: &[TokenKind], now_us: i64) -> Result<Option<Token>> {
        let Some(secret) = Secret::parse(presented) else { return Ok(None) };
        let hash = secret.sha256();
        let sql = format!("SELECT {TOKEN} FROM token WHERE sha256 = $1");
        let Some(row) = self.pool.row(&sql, vals![&hash]).await? else { return Ok(None) };
        let found = token(&row)?;
        // The look-up is by hash, so its timing tells nothing about a secret; the last word is constant-time all the same.
        let same = bool::from(found.sha256.as_bytes().ct_eq(hash.as_bytes()));
        let alive = found.revoked_us.is_none() && found.expires_us.is_none_or(|e| now_us < e);
        Ok((same && alive && found.kind != TokenKind::Enrol && kinds.contains(&found.kind)).then_some(found))
    }

    /// Uses up a one-time token: of all who present it, at whatever moment, exactly one gets it.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn take_token(&self, secret: &Secret, kind: TokenKind, now_us: i64) -> Result<Option<Token>> {
        let sql = format!(
            "UPDATE token SET used_us = $3 WHERE sha256 = $1 AND kind = $2 AND used_us IS NULL \
             AND revoked_us IS NULL AND (expires_us IS NULL OR expires_us > $3) RETURNING {TOKEN}"
        );
        self.pool.row(&sql, vals![secret.sha256(), kind, now_us]).await?.as_ref().map(token).transpose()
    }

    /// Revokes tokens: the one whose SHA-256 begins with `prefix` (8 digits at least). Gives how many.
    ///
    /// # Errors
    /// [`ControlError::Refused`] for a short prefix.
    pub async fn revoke_token(&self, prefix: &str, who: &str, now_us: i64) -> Result<u64> {
        if prefix.len() < 8 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(ControlError::Refused(
                "name a token by 8 or more digits of its SHA-256 (see: register tokens)".into(),
            ));
        }
        let mut tx = self.pool.begin().await?;
        let sql = "UPDATE token SET revoked_us = $2 WHERE sha256 LIKE $1 || '%' AND revoked_us IS NULL";
        let n = tx.execute(sql, vals![prefix.to_ascii_lowercase(), now_us]).await?;
        if n > 0 {
            audit::note(&mut tx, now_us, who, &format!("token {prefix} revoked")).await?;
        }
        tx.commit().await?;
        Ok(n)
    }

    /// Tokens in scope, newest first; acknowledgement tokens are left out.
    ///
    /// # Errors
    /// Where the database does not answer.
    pub async fn tokens(&self, scope: &Scope) -> Result<Vec<Token>> {
        let sql = format!(
            "SELECT {TOKEN} FROM token WHERE kind <> $2 AND ($1 IS NULL OR constituent = $1) \
             ORDER BY created_us DESC, sha256"
        );
        self.pool.rows(&sql, vals![scope.only(), TokenKind::Ack]).await?.iter().map(token).collect()
    }
}

pub(super) async fn store_acknowledgement(
    tx: &mut super::db::Tx,
    secret: &Secret,
    warning: Uuid,
    constituent: &ConstituentId,
    now_us: i64,
) -> Result<()> {
    let sql = "INSERT INTO token (sha256, kind, constituent, warning, created_us, label) \
               VALUES ($1, $2, $3, $4, $5, '') ON CONFLICT (sha256) DO NOTHING";
    tx.execute(sql, vals![secret.sha256(), TokenKind::Ack, constituent, warning, now_us]).await.map(|_| ())
}
