//! Background work: changes made elsewhere, budgets whose period ended,
//! reservations that nobody ended, realtime events of booked calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cf_collections::Action;
use cf_ledger::Booked;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::broadcast::error::RecvError;

use crate::outbox::{self, Channel};
use crate::{App, exchange_rates, extract, key_troubles, notices};

/// How often changes of other processes are looked for: felt within a second.
const CHANGES: Duration = Duration::from_millis(250);
/// How often budgets are looked at: a day that begins and an increase that ends
/// are felt within seconds. Each period is reset at most once.
const RESETS: Duration = Duration::from_secs(5);
/// How often exchange rates are read again: one that was entered for today holds
/// from midnight on.
const RELOAD: Duration = Duration::from_secs(60);
/// How often other processes are told that this one lives (dead after 30 s), and
/// the holds of dead ones are released.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often budgets that changed are looked at for notices, and all of them.
const TOUCHED: Duration = Duration::from_secs(2);
const SWEEP: Duration = Duration::from_secs(120);
/// Accounts of connections looked at again at a time: half of what the database
/// has connections for.
const RECHECKED: usize = 8;
/// How often the last use of keys is written down.
const CLEANING: Duration = Duration::from_secs(30);
/// How often it is looked whether exchange rates are to be fetched or are too old.
const RATES: Duration = Duration::from_secs(15 * 60);
/// How often answers kept for repeats are looked through for old ones.
const PRUNING: Duration = Duration::from_secs(600);

/// How often it is looked whether months are over.
const STATEMENTS: Duration = Duration::from_secs(600);
/// How often usage rows are looked through for old ones.
const RETENTION: Duration = Duration::from_secs(3600);

/// Starts every job.
pub fn start(app: &App) {
    let unchecked = Arc::new(AtomicBool::new(false));
    every(app, CHANGES, "changes", move |app: App| {
        let unchecked = Arc::clone(&unchecked);
        async move {
            if app.identity.refresh_if_changed().await? {
                unchecked.store(true, Ordering::Relaxed);
                app.refresh().await?;
            }
            // Until it has worked once: a database that is away for a moment must
            // not leave somebody listening who was shut out.
            if unchecked.load(Ordering::Relaxed) {
                recheck_connections(&app).await?;
                unchecked.store(false, Ordering::Relaxed);
            }
            Ok(())
        }
    });
    every(app, CHANGES, "checkpoint", |app: App| async move {
        app.db.checkpoint().await?;
        Ok(())
    });
    every(app, RESETS, "budget_reset", |app: App| async move {
        let reset = cf_ledger::reset_due_budgets(&app.db, &app.clock, &app.random).await?;
        if reset > 0 {
            tracing::info!(reset, "budgets started a new period");
        }
        Ok(())
    });
    every(app, RELOAD, "reload_rates", |app: App| async move {
        app.ledger.reload().await?;
        Ok(())
    });
    every(app, HEARTBEAT, "expire_holds", |app: App| async move {
        app.ledger.expire_holds(false).await?;
        Ok(())
    });
    let rates = Arc::new(exchange_rates::Times::default());
    every(app, RATES, "exchange_rates", move |app: App| {
        let times = Arc::clone(&rates);
        async move { exchange_rates::look(&app, &times).await }
    });
    app.tasks.spawn(heartbeat(app.clone()));
    every(app, CLEANING, "cleaning", |app: App| async move {
        app.identity.flush_last_used().await?;
        app.outbox.clean(&app.db).await?;
        notices::clean(&app.db, &app.clock).await?;
        Ok(())
    });
    every(app, TOUCHED, "notices", |app: App| async move {
        notices::look_at_touched(&app).await
    });
    every(app, SWEEP, "notices_sweep", |app: App| async move {
        notices::look_at_all(&app).await
    });
    for channel in [Channel::Mail, Channel::Webhook] {
        app.tasks.spawn(outbox::run(app.clone(), channel));
    }
    every(app, PRUNING, "idempotency", |app: App| async move {
        app.idempotency.prune(&app.db, &app.clock).await
    });
    every(app, STATEMENTS, "statements", |app: App| async move {
        let closed = app.ledger.close_statements().await?;
        if closed > 0 {
            tracing::info!(closed, "months are over, and their statements closed");
        }
        Ok(())
    });
    every(app, RETENTION, "retention", |app: App| async move {
        let days = app.config.usage_retention_days;
        let deleted = cf_ledger::prune_old_usage(&app.db, days, app.clock.now()).await?;
        if deleted > 0 {
            tracing::info!(deleted, "old usage rows were deleted; their sums are kept");
        }
        let days = app.config.budget_retention_days;
        let deleted = cf_ledger::prune_old_periods(&app.db, days, app.clock.now()).await?;
        if deleted > 0 {
            tracing::info!(deleted, "old periods of budgets were deleted");
        }
        Ok(())
    });
    every(app, RETENTION, "responses", |app: App| async move {
        let kept = app.config.response_retention;
        let forgotten = app.gateway.prune_responses(kept).await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "old responses were forgotten");
        }
        Ok(())
    });
    every(app, RETENTION, "cache", |app: App| async move {
        let forgotten = app.gateway.prune_cache().await?;
        if forgotten > 0 {
            tracing::info!(forgotten, "kept answers were forgotten");
        }
        Ok(())
    });
    every(app, RETENTION, "prompts", |app: App| async move {
        let deleted = app.gateway.prune_prompts().await?;
        if deleted > 0 {
            tracing::info!(
                deleted,
                "prompts were deleted, as they were kept long enough"
            );
        }
        Ok(())
    });
    app.tasks.spawn(publish_booked(app.clone()));
    app.tasks.spawn(key_troubles::listen(app.clone()));
    let (hub, stopping) = (app.hub.clone(), app.stopping.clone());
    app.tasks.spawn(async move {
        tokio::select! {
            () = hub.run() => {}
            () = stopping.cancelled() => {}
        }
    });
}

/// Runs `work` now and then every `period` until the server stops. A failure
/// is logged once until it works again.
fn every<F, W>(app: &App, period: Duration, name: &'static str, work: W)
where
    W: Fn(App) -> F + Send + 'static,
    F: Future<Output = cf_base::Result<()>> + Send,
{
    let app = app.clone();
    app.tasks.clone().spawn(async move {
        let mut failing = false;
        loop {
            match work(app.clone()).await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(job = name, %error, "a job still fails"),
                Err(error) => {
                    tracing::error!(job = name, %error, cause = ?error.source, "a job failed");
                    failing = true;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = app.stopping.cancelled() => return,
            }
        }
    });
}

/// Looks again at who is connected: another process may have suspended, deleted
/// or changed an account, its tenant or its password.
async fn recheck_connections(app: &App) -> cf_base::Result<()> {
    let now: Vec<_> = futures_util::stream::iter(app.hub.tokens())
        .map(|token| async move {
            let session = app.identity.session(token.expose()).await?;
            let principal = session.as_deref().map(extract::principal);
            Ok::<_, cf_base::Error>((token, principal))
        })
        .buffer_unordered(RECHECKED)
        .try_collect()
        .await?;
    app.hub.recheck(&now);
    Ok(())
}

/// Goes on while the server stops: its running calls must not seem dead.
async fn heartbeat(app: App) {
    loop {
        if let Err(error) = app.ledger.heartbeat().await {
            tracing::warn!(%error, "other processes could not be told that this one lives");
        }
        tokio::time::sleep(HEARTBEAT).await;
    }
}

/// Tells realtime subscribers of calls once they are in the books.
async fn publish_booked(app: App) {
    let mut booked = app.ledger.booked();
    loop {
        let event = tokio::select! {
            event = booked.recv() => event,
            () = app.stopping.cancelled() => return,
        };
        match &event {
            Ok(booked) => app.touched.mark(booked.user_id),
            Err(RecvError::Lagged(_)) => app.touched.mark_all(),
            Err(RecvError::Closed) => {}
        }
        match event {
            // Nobody listens most of the time: then the row need not be read.
            Ok(_) if app.hub.is_empty() => {}
            Ok(Booked { usage_id, user_id }) => {
                for (collection, action, id) in [
                    ("usage_logs", Action::Create, usage_id.as_str()),
                    ("users", Action::Update, user_id.as_str()),
                ] {
                    app.publish(collection, action, id).await;
                }
            }
            Err(RecvError::Lagged(missed)) => {
                tracing::warn!(missed, "realtime subscribers were not told of some calls");
            }
            Err(RecvError::Closed) => return,
        }
    }
}
