// SPDX-FileCopyrightText: Lagewarte contributors
// SPDX-License-Identifier: EUPL-1.2
//! The listener's loop: HTTP/1.1 with a bound on everything that a client can make us hold.
//!
//! Connections, their heads, their slowness and the time of one answer are bounded by [`Limits`]. Must never stop
//! because a connection failed. Ends when told to, and lets running answers finish.

use std::{future::Future, io, time::Duration};

use axum::{Router, http::StatusCode, response::IntoResponse as _};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tower::{ServiceExt as _, service_fn};

/// What one site may hold for its clients.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most connections. Threat: a flood of idle ones.
    pub connections: usize,
    /// Most bytes of a request's head. Threat: endless headers.
    pub head_bytes: usize,
    /// Longest time for a request's head to arrive. Threat: one byte a minute.
    pub head_time: Duration,
    /// Longest time of one answer. Threat: a store that hangs, a body that never ends.
    pub answer_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head_bytes: 16 << 10,
            head_time: Duration::from_secs(10),
            answer_time: Duration::from_secs(30),
        }
    }
}

/// How long running answers may take after the end was told.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Serves until `end` resolves.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, end: impl Future<Output = ()>) {
    let graceful = GracefulShutdown::new();
    let places = std::sync::Arc::new(Semaphore::new(limits.connections));
    let answer_time = limits.answer_time;
    let bounded = service_fn(move |request: axum::http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let answer = tokio::time::timeout(answer_time, router.oneshot(request.map(axum::body::Body::new)));
            answer.await.unwrap_or_else(|_| Ok(StatusCode::GATEWAY_TIMEOUT.into_response()))
        }
    });
    tokio::pin!(end);
    loop {
        let accepted = tokio::select! {
            a = async {
                // A place first: a client over the bound waits in the kernel's queue.
                let place = std::sync::Arc::clone(&places).acquire_owned().await;
                (listener.accept().await, place)
            } => a,
            () = &mut end => break,
        };
        let (Ok((stream, _)), Ok(place)) = accepted else {
            if let (Err(e), _) = accepted {
                pause(&e).await;
            }
            continue;
        };
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            .max_buf_size(limits.head_bytes.max(8 << 10));
        let service = TowerToHyperService::new(bounded.clone());
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "connection");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::warn!("connections were cut: their answers took too long");
    }
}

/// Out of file descriptors: the next accept would fail at once, and the loop would burn a core.
async fn pause(e: &io::Error) {
    tracing::warn!(error = %e, "accept");
    tokio::time::sleep(Duration::from_millis(100)).await;
}
