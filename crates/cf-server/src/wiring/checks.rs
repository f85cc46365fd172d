//! What a record must be before it is saved, as far as the record alone says it.

use cf_base::{Margin, Timestamp};
use cf_collections::{Level, Principal, Record, RecordError, Result, Write};
use cf_db::Value;
use cf_ledger::{OwnPrices, PriceList, is_time_zone};
use serde_json::Value as Json;

use crate::plans::check_product_windows;

/// Days, weeks and months of budgets begin by the tenant's clock.
pub(super) fn check_zone(write: &Write) -> Result<()> {
    match write.text("time_zone") {
        Some(zone) if !is_time_zone(zone) => Err(RecordError::field(
            "time_zone",
            "validation_invalid_value",
            "A time zone such as Europe/Berlin.",
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_windows(write: &Write) -> Result<()> {
    write
        .text("budget_windows")
        .map_or(Ok(()), check_product_windows)
}

/// When other models are asked in its place, and which; its prices.
pub(super) fn check_model(write: &Write) -> Result<()> {
    const CAUSES: [&str; 3] = ["unavailable", "context_length", "content_filter"];
    let list = |field| -> Vec<String> {
        let text = write.text(field);
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    };
    if let Some(unknown) = (list("fallback_on").iter()).find(|c| !CAUSES.contains(&c.as_str())) {
        return Err(RecordError::field(
            "fallback_on",
            "validation_not_in_invalid",
            format!(
                "There is no cause \"{unknown}\"; causes are {}.",
                CAUSES.join(", ")
            ),
        ));
    }
    if list("fallbacks").len() > cf_gateway::FALLBACKS {
        return Err(RecordError::field(
            "fallbacks",
            "validation_invalid_value",
            format!("At most {} models.", cf_gateway::FALLBACKS),
        ));
    }
    check_prices(write)
}

/// A region that names none would shut a tenant out of every model.
pub(super) fn check_regions(write: &Write) -> Result<()> {
    let regions: Vec<String> = (write.text("regions"))
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let names = |region: &String| !region.trim().trim_end_matches('*').is_empty();
    if regions.iter().all(names) {
        return Ok(());
    }
    Err(RecordError::field(
        "regions",
        "validation_invalid_value",
        "Names of regions, such as eu or europe-west3.",
    ))
}

fn check_prices(write: &Write) -> Result<()> {
    let Some(text) = write.text("prices") else {
        return Ok(());
    };
    let json: Json = serde_json::from_str(text).unwrap_or(Json::Null);
    OwnPrices::parse(&json)
        .map(drop)
        .map_err(|sentence| RecordError::field("prices", "validation_invalid_value", sentence))
}

/// What customers pay: a margin that can be one, a price list that can be read.
pub(super) fn check_terms(write: &Write) -> Result<()> {
    let kept = 1..cf_ledger::LEAST_RETENTION_DAYS;
    if let Some(Value::Int(days)) = write.get("usage_retention_days")
        && kept.contains(days)
    {
        return Err(RecordError::field(
            "usage_retention_days",
            "validation_invalid_value",
            format!(
                "Usage is kept for {} days at least; 0 is as the installation.",
                kept.end
            ),
        ));
    }
    if let Some(Value::Real(percent)) = write.get("margin")
        && Margin::of_percent(*percent).is_none()
    {
        return Err(RecordError::field(
            "margin",
            "validation_invalid_value",
            "A margin is -100 to 10000 percent.",
        ));
    }
    let Some(text) = write.text("prices") else {
        return Ok(());
    };
    let json: Json = serde_json::from_str(text).unwrap_or(Json::Null);
    PriceList::parse(&json)
        .map(drop)
        .map_err(|sentence| RecordError::field("prices", "validation_invalid_value", sentence))
}

/// The day decides which rate is in force, by its order as text.
pub(super) fn check_day(write: &Write) -> Result<()> {
    match write.text("date") {
        Some(day) if Timestamp::parse(day).is_none_or(|time| time.to_day() != day) => {
            Err(RecordError::field(
                "date",
                "validation_invalid_value",
                "A day such as 2026-01-31.",
            ))
        }
        _ => Ok(()),
    }
}

/// A user without a product has no limits but the budget: only administrators
/// of the whole may leave it out.
pub(super) fn check_product(principal: &Principal, write: &Write, new: bool) -> Result<()> {
    let without = match write.text("product_id") {
        Some(product) => product.is_empty(),
        None => new,
    };
    if without && principal.level() == Level::TenantAdmin {
        return Err(RecordError::field(
            "product_id",
            "validation_required",
            "Choose the user's product.",
        ));
    }
    Ok(())
}

/// A secret stays with the address it was entered for: whoever changes the
/// address must know it.
pub(super) fn check_secret_moves(old: &Record, write: &Write) -> Result<()> {
    let moves = ["base_url", "provider", "url"]
        .iter()
        .any(|field| write.text(field).is_some_and(|new| new != old.text(field)));
    let entered = write.input_text("secret").is_some_and(|s| !s.is_empty());
    if moves && !entered && !old.text("secret").is_empty() {
        return Err(RecordError::field(
            "secret",
            "validation_required",
            "Enter the secret again when the address or the provider changes.",
        ));
    }
    Ok(())
}

/// Names that components have under the base domain.
const RESERVED_SLUGS: &[&str] = &["api", "admin", "billing", "www"];

pub(super) fn check_slug(write: &Write) -> Result<()> {
    match write.text("slug") {
        Some(slug) if RESERVED_SLUGS.contains(&slug) => Err(RecordError::field(
            "slug",
            "validation_not_in_invalid",
            "This name belongs to a component of the program; choose another.",
        )),
        _ => Ok(()),
    }
}
