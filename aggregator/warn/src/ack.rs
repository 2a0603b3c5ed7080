// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The acknowledgement link: a secret for one warning and one constituent, good for nothing else.
//!
//! Looking at the warning ([`by_link`]) never acknowledges: mail scanners follow links. Acknowledging twice is the same
//! as once.

use lagewarte_base::id::{ConstituentId, Uuid};
use lagewarte_store::{
    Scope,
    control::{
        Control, ControlError,
        tokens::TokenKind,
        warnings::{Acknowledgement, Via, Warning},
    },
};

/// The constituent whose link this is; None for a wrong, foreign or revoked one.
async fn holder(
    control: &Control,
    warning: Uuid,
    secret: &str,
    now_us: i64,
) -> Result<Option<ConstituentId>, ControlError> {
    let token = control.check_token(secret, &[TokenKind::Ack], now_us).await?;
    Ok(token.filter(|t| t.warning == Some(warning)).and_then(|t| t.constituent))
}

/// The warning behind a link, as its constituent may see it. Changes nothing.
///
/// # Errors
/// Where the database does not answer.
pub async fn by_link(
    control: &Control,
    warning: Uuid,
    secret: &str,
    now_us: i64,
) -> Result<Option<(ConstituentId, Warning)>, ControlError> {
    let Some(who) = holder(control, warning, secret, now_us).await? else { return Ok(None) };
    let found = control.warning(&Scope::Constituent(who.clone()), warning).await?;
    Ok(found.map(|w| (who, w)))
}

/// Acknowledges by a link; the acknowledgement that counts (the first), and whether it is this one. None for a wrong link.
///
/// # Errors
/// Where the database does not answer.
pub async fn acknowledge_by_link(
    control: &Control,
    warning: Uuid,
    secret: &str,
    now_us: i64,
) -> Result<Option<(Acknowledgement, bool)>, ControlError> {
    let Some(constituent) = holder(control, warning, secret, now_us).await? else { return Ok(None) };
    let new = Acknowledgement { acknowledged_us: now_us, via: Via::Link, who: String::new() };
    control.acknowledge_warning(warning, &constituent, &new).await.map(Some)
}
