//! Usage rows as CSV or JSON Lines: all that a filter means, page by page, so
//! that a million rows take no more memory than a thousand.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use cf_base::{Error, Kind};
use cf_collections::{ListParams, Principal};
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use utoipa::{IntoParams, ToSchema};

use super::usage::{UsageQuery, conditions, rows_of};
use crate::App;
use crate::error::BillingError;
use crate::extract::Params;
use crate::manager::Manager;
use crate::openapi::ErrorAnswer;
use crate::table::{amount, cell, line};

/// Rows read at a time.
const PAGE: i64 = 500;
/// Pages that wait for the client.
const AHEAD: usize = 2;
/// A client that takes nothing for so long is given up.
const STALL: Duration = Duration::from_secs(60);
/// Exports at a time.
pub const EXPORTS: usize = 4;

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A table for spreadsheets: RFC 4180, UTF-8.
    Csv,
    /// A JSON object a line.
    Jsonl,
}

/// Which rows, and how they are written.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportQuery {
    /// `csv` or `jsonl`.
    #[param(inline)]
    format: Format,
    /// From this day (UTC) or time on.
    #[serde(default)]
    from: String,
    /// To the end of this day (UTC), or before this time.
    #[serde(default)]
    to: String,
    /// Of this user.
    #[serde(default, alias = "user")]
    user_id: String,
    /// Of this tenant.
    #[serde(default, alias = "tenant")]
    tenant_id: String,
    /// Of this model, as it was asked for.
    #[serde(default)]
    model: String,
}

/// Exports usage, the newest first
///
/// Scope `read`. The rows and columns that `GET /api/usage` shows the same caller, all of them, as a
/// stream. Text that a spreadsheet would take for a formula begins with an apostrophe in CSV.
#[utoipa::path(
    get, path = "/api/usage/export", tag = "Usage", operation_id = "export_usage",
    params(ExportQuery),
    responses(
        (status = 200, description = "The rows", body = String, content_type = "text/csv"),
        (status = 400, description = "A filter cannot be understood", body = ErrorAnswer),
        (status = 401, description = "No key, or a wrong one", body = ErrorAnswer),
        (status = 403, description = "Not yours", body = ErrorAnswer),
        (status = 429, description = "Enough exports are running", body = ErrorAnswer),
    )
)]
pub async fn export(
    State(app): State<App>,
    manager: Manager,
    Params(query): Params<ExportQuery>,
) -> Result<Response, BillingError> {
    let principal = manager.principal();
    let filter = rows_of(
        &principal,
        UsageQuery::new(
            query.from,
            query.to,
            query.user_id,
            query.tenant_id,
            query.model,
        ),
    )?;
    let permit = std::sync::Arc::clone(&app.exports)
        .try_acquire_owned()
        .map_err(|_| {
            Error::new(
                Kind::RateLimited {
                    retry_after: Duration::from_secs(10),
                },
                format!("{EXPORTS} exports are running already; try again when one has ended."),
            )
        })?;
    let columns = columns(&app, &principal);
    let pages = Pages {
        app: app.clone(),
        principal,
        conditions: conditions(&filter),
        after: None,
    };
    let (sender, receiver) = mpsc::channel(AHEAD);
    app.tasks
        .spawn(send(pages, columns, query.format, sender, permit));
    let body = stream::unfold(Some(receiver), |receiver| async move {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Page(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Part::End) => None,
            // A body that breaks off must not look like the whole.
            None => Some((Err(std::io::Error::other("the export broke off")), None)),
        }
    });
    let (content_type, file) = match query.format {
        Format::Csv => ("text/csv; charset=utf-8", "usage.csv"),
        Format::Jsonl => ("application/jsonl; charset=utf-8", "usage.jsonl"),
    };
    let head = [
        (header::CONTENT_TYPE, content_type.to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{file}\""),
        ),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((head, Body::from_stream(body)).into_response())
}

/// The columns that the caller may see.
fn columns(app: &App, principal: &Principal) -> Vec<&'static str> {
    let level = principal.level();
    let collection = app.engine.collections().get("usage_logs");
    let fields = collection.iter().flat_map(|c| c.fields.iter());
    fields
        .filter(|field| field.visible <= level)
        .map(|field| field.name)
        .collect()
}

enum Part {
    Page(Bytes),
    End,
}

/// Reads page after page while the client takes them.
async fn send(
    mut pages: Pages,
    columns: Vec<&'static str>,
    format: Format,
    sender: mpsc::Sender<Part>,
    _permit: OwnedSemaphorePermit,
) {
    let cut_off = pages.app.cut_off.clone();
    let work = async {
        if format == Format::Csv {
            let head = line(columns.iter().copied().map(String::from))?;
            if !told(&sender, Part::Page(head)).await {
                return Ok(());
            }
        }
        while let Some(rows) = pages.next().await? {
            let page = match format {
                Format::Csv => csv(&rows, &columns)?,
                Format::Jsonl => json_lines(&rows)?,
            };
            if !told(&sender, Part::Page(page)).await {
                return Ok(());
            }
        }
        told(&sender, Part::End).await;
        Ok::<_, Error>(())
    };
    let done = tokio::select! {
        done = work => done,
        () = cut_off.cancelled() => return,
    };
    if let Err(error) = done {
        tracing::error!(%error, cause = ?error.source, "an export broke off");
    }
}

async fn told(sender: &mpsc::Sender<Part>, part: Part) -> bool {
    matches!(
        tokio::time::timeout(STALL, sender.send(part)).await,
        Ok(Ok(()))
    )
}

/// The rows of a filter, a page after the other: each begins after the last row
/// of the one before, so that what is booked meanwhile moves nothing.
struct Pages {
    app: App,
    principal: Principal,
    conditions: Vec<String>,
    after: Option<(String, String)>,
}

impl Pages {
    async fn next(&mut self) -> Result<Option<Vec<Map<String, Json>>>, Error> {
        let mut conditions = self.conditions.clone();
        if let Some((created, id)) = &self.after {
            conditions.push(format!(
                "created <= '{created}' && (created < '{created}' || id < '{id}')"
            ));
        }
        let params = ListParams {
            per_page: PAGE,
            sort: "-created,-id".into(),
            filter: conditions.join(" && "),
            skip_total: true,
            ..ListParams::default()
        };
        let answer = self
            .app
            .engine
            .list(&self.principal, "usage_logs", &params)
            .await
            .map_err(|error| BillingError::from(error).into_error())?;
        let Json::Object(mut answer) = answer else {
            return Ok(None);
        };
        let Some(Json::Array(items)) = answer.remove("items") else {
            return Ok(None);
        };
        let rows: Vec<Map<String, Json>> = items
            .into_iter()
            .filter_map(|item| match item {
                Json::Object(mut row) => {
                    // The same in every row, and no column.
                    row.remove("collectionId");
                    row.remove("collectionName");
                    Some(row)
                }
                _ => None,
            })
            .collect();
        let text = |row: &Map<String, Json>, name| Some(row.get(name)?.as_str()?.to_owned());
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        self.after = text(last, "created").zip(text(last, "id"));
        if self.after.is_none() {
            return Err(Error::internal("a usage row without id or date"));
        }
        Ok(Some(rows))
    }
}

fn csv(rows: &[Map<String, Json>], columns: &[&'static str]) -> Result<Bytes, Error> {
    let mut page = Vec::new();
    for row in rows {
        let cells = columns.iter().map(|name| match row.get(*name) {
            None | Some(Json::Null) => String::new(),
            Some(Json::String(text)) => cell(text),
            // All fractions are money or rates, in whole nano-units.
            Some(Json::Number(number)) => amount(number),
            Some(Json::Bool(is)) => is.to_string(),
            Some(other) => cell(&other.to_string()),
        });
        page.extend_from_slice(&line(cells)?);
    }
    Ok(page.into())
}

fn json_lines(rows: &[Map<String, Json>]) -> Result<Bytes, Error> {
    let mut page = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut page, row).map_err(Error::internal)?;
        page.push(b'\n');
    }
    Ok(page.into())
}
