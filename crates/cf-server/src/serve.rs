//! Listening, and stopping without losing anything.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tower::Service as _;

use crate::App;
use crate::dispatch::{Dispatch, Peer};

/// Connections at a time; others wait to be accepted.
const CONNECTIONS: usize = 16_384;
/// Below so many a busy server would run out.
const OPEN_FILES: u64 = 4_096;
/// How long a client may take to send its request's head.
const HEAD: Duration = Duration::from_secs(30);

/// Binds the address, or says in a sentence why it cannot.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            format!(
                "port {} is in use by another program; stop it, or choose another with \
                 --listen {}:PORT",
                address.port(),
                address.ip()
            )
        } else {
            format!("cannot listen on {address}: {error}")
        }
    })
}

/// Takes as many open files as the system lets this process have: shells and
/// supervisors often start with 1,024, and a stream needs two.
pub fn take_open_files() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) if files < OPEN_FILES => tracing::warn!(
            files,
            "few files may be open at a time: each running call needs two; raise the hard limit (LimitNOFILE)"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

/// Serves until SIGTERM or SIGINT, then gives running answers time to end.
pub async fn serve(app: &App, listener: TcpListener) {
    let dispatch = Dispatch::new(app.clone());
    let connections = TaskTracker::new();
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let stop = stop_signal();
    tokio::pin!(stop);
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut stop => break,
        };
        let Ok(place) = place else { break };
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: the next try may work.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut stop => break,
        };
        connections.spawn({
            let (app, dispatch) = (app.clone(), dispatch.clone());
            async move {
                connection(&app, dispatch, stream, peer).await;
                drop(place);
            }
        });
    }
    drop(listener);
    connections.close();
    tracing::info!("stopping: no new connections, running answers may end");
    app.stopping.cancel();
    if tokio::time::timeout(app.config.shutdown_grace, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!("some answers had not ended in time and are cut off");
        // Cut off they are booked, which the flush below waits for.
        app.cut_off.cancel();
        connections.wait().await;
    }
    app.stop().await;
}

async fn connection(app: &App, dispatch: Dispatch, stream: TcpStream, peer: SocketAddr) {
    // Small packets must not wait for more: a streamed token is one.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let mut dispatch = dispatch.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        async move { dispatch.call(request).await }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended early");
            }
        }
        () = app.stopping.cancelled() => {
            // An idle connection ends now, a busy one after its answer.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                _ = connection => {}
                () = app.cut_off.cancelled() => {}
            }
        }
    }
}

async fn stop_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("signals cannot be received; stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
