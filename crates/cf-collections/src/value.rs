//! Values between JSON and columns: coercion and validation on the way in,
//! PocketBase's shapes on the way out.

use cf_base::{Id, Nanos, Timestamp};
use cf_db::Value;
use serde_json::{Number, Value as Json};

use crate::error::FieldError;
use crate::schema::{Field, FieldKind, JsonShape};

/// Least and greatest length of a password, in characters and bytes.
const PASSWORD_MIN: usize = 8;
const PASSWORD_MAX: usize = 71;
/// Greatest length of a secret.
const SECRET_MAX: usize = 100_000;
/// Greatest length of an address (RFC 5321).
const EMAIL_MAX: usize = 254;

/// A value as it was sent, as the field's column holds it. PocketBase is
/// lenient here: what cannot be read is mostly the zero value.
pub(crate) fn coerce(field: &Field, sent: &Json) -> Result<Value, FieldError> {
    Ok(match field.kind {
        FieldKind::Int { .. } => whole(sent)?,
        FieldKind::Real => Value::Real(real(sent)),
        FieldKind::Money { .. } => Value::Int(money(sent)?),
        FieldKind::Bool => Value::Int(i64::from(truth(sent))),
        FieldKind::Json { shape, .. } => Value::Text(json(sent, shape)?),
        FieldKind::Date | FieldKind::Autodate { .. } => Value::Text(date(&text(sent))),
        FieldKind::Select(_) | FieldKind::Relation { .. } => match sent {
            Json::Array(items) => Value::Text(items.last().map(text).unwrap_or_default()),
            other => Value::Text(text(other)),
        },
        FieldKind::Email => Value::Text(text(sent).trim().to_owned()),
        FieldKind::Id | FieldKind::Text { .. } | FieldKind::Password | FieldKind::Secret => {
            Value::Text(text(sent))
        }
    })
}

/// Whether a coerced value may stand in the field.
pub(crate) fn validate(field: &Field, value: &Value) -> Result<(), FieldError> {
    if let Value::Text(text) = value
        && (text.contains('\0')
            || (matches!(field.kind, FieldKind::Json { .. }) && text.contains("\\u0000")))
    {
        // PostgreSQL cannot hold it.
        return Err(FieldError::format());
    }
    if is_blank(field, value) {
        return if field.required {
            Err(FieldError::required())
        } else {
            Ok(())
        };
    }
    match (field.kind, value) {
        (FieldKind::Text { min, max, pattern }, Value::Text(text)) => {
            length(text, min, max)?;
            match pattern {
                Some(pattern) if !(pattern.matches)(text) => Err(FieldError::format()),
                _ => Ok(()),
            }
        }
        (FieldKind::Id, Value::Text(text)) => {
            length(text, 15, 15)?;
            Id::parse(text).map(drop).map_err(|_| FieldError::format())
        }
        (FieldKind::Email, Value::Text(text)) => email(text),
        (FieldKind::Password, Value::Text(text)) => password(text),
        (FieldKind::Secret, Value::Text(text)) => length(text, 0, SECRET_MAX),
        (FieldKind::Int { min, max }, Value::Int(number)) => bounds(*number, min, max, false),
        (FieldKind::Money { min }, Value::Int(nanos)) => bounds(*nanos, min, None, true),
        (FieldKind::Select(choices), Value::Text(text)) => {
            if choices.contains(&text.as_str()) {
                Ok(())
            } else {
                Err(FieldError::new(
                    "validation_invalid_value",
                    format!("Invalid value {text}."),
                ))
            }
        }
        (FieldKind::Json { max_bytes, .. }, Value::Text(text)) if text.len() > max_bytes => {
            Err(FieldError::new(
                "validation_json_size_limit",
                format!("The maximum allowed JSON size is {max_bytes} bytes."),
            ))
        }
        (FieldKind::Relation { .. }, Value::Text(text)) if Id::parse(text).is_err() => {
            Err(missing_relation())
        }
        _ => Ok(()),
    }
}

/// Whether the value counts as blank for `required`.
pub(crate) fn is_blank(field: &Field, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Text(text) => match field.kind {
            FieldKind::Json { .. } => matches!(text.as_str(), "null" | "[]" | "{}" | "\"\""),
            _ => text.is_empty(),
        },
        Value::Int(number) => field.required && *number == 0,
        Value::Real(number) => field.required && *number == 0.0,
        Value::Blob(_) => false,
    }
}

/// As JSON shows it.
pub(crate) fn show(field: &Field, value: &Value) -> Json {
    match (field.kind, value) {
        (FieldKind::Bool, Value::Int(truth)) => Json::Bool(*truth != 0),
        (FieldKind::Money { .. }, Value::Int(nanos)) => {
            let nanos = Nanos(*nanos);
            if nanos.0 % 1_000_000_000 == 0 {
                (nanos.0 / 1_000_000_000).into()
            } else {
                number(nanos.to_f64())
            }
        }
        (FieldKind::Json { .. }, Value::Text(text)) => {
            serde_json::from_str(text).unwrap_or(Json::Null)
        }
        (FieldKind::Real, Value::Int(whole)) | (_, Value::Int(whole)) => (*whole).into(),
        (_, Value::Real(real)) => number(*real),
        (_, Value::Text(text)) => text.clone().into(),
        (_, Value::Null | Value::Blob(_)) => match field.kind.zero() {
            Value::Null | Value::Blob(_) => Json::Null,
            zero => show(field, &zero),
        },
    }
}

#[allow(clippy::cast_possible_truncation)] // checked to be whole and small
fn number(real: f64) -> Json {
    // JavaScript knows no difference, but people read `100.0` as something else.
    if real.fract() == 0.0 && real.abs() < 9e15 {
        return (real as i64).into();
    }
    Number::from_f64(real).map_or(Json::Null, Json::Number)
}

pub(crate) fn missing_relation() -> FieldError {
    FieldError::new(
        "validation_missing_rel_records",
        "Failed to find all relation records with the provided ids.",
    )
}

fn text(sent: &Json) -> String {
    match sent {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        Json::Bool(truth) => truth.to_string(),
        Json::Null | Json::Array(_) | Json::Object(_) => String::new(),
    }
}

fn truth(sent: &Json) -> bool {
    match sent {
        Json::Bool(truth) => *truth,
        Json::Number(number) => number.as_f64().is_some_and(|n| n != 0.0),
        Json::String(text) => matches!(text.as_str(), "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => false,
    }
}

fn real(sent: &Json) -> f64 {
    match sent {
        Json::Number(number) => number.as_f64().unwrap_or(0.0),
        Json::Bool(truth) => f64::from(u8::from(*truth)),
        Json::String(text) => text
            .trim()
            .parse()
            .ok()
            .filter(|n: &f64| n.is_finite())
            .unwrap_or(0.0),
        _ => 0.0,
    }
}

fn whole(sent: &Json) -> Result<Value, FieldError> {
    if let Json::Number(number) = sent
        && let Some(whole) = number.as_i64()
    {
        return Ok(Value::Int(whole));
    }
    let real = real(sent);
    if real.fract() != 0.0 {
        return Err(FieldError::new(
            "validation_only_int_constraint",
            "Decimal numbers are not allowed.",
        ));
    }
    // Above this a JSON number no longer tells neighbours apart.
    if real.abs() > 9e15 {
        return Err(FieldError::new(
            "validation_max_number_constraint",
            "Must be less or equal than 9e+15.",
        ));
    }
    #[allow(clippy::cast_possible_truncation)] // whole and small enough, as checked
    Ok(Value::Int(real as i64))
}

/// An amount, read from its decimal text. Unlike other numbers garbage is an
/// error here: a budget of nothing because of a typing mistake is no favour.
fn money(sent: &Json) -> Result<i64, FieldError> {
    let text = match sent {
        Json::Null => return Ok(0),
        Json::Number(number) => number.to_string(),
        Json::String(text) if text.trim().is_empty() => return Ok(0),
        Json::String(text) => text.clone(),
        _ => return Err(FieldError::format()),
    };
    cf_base::parse_decimal_nanos(&text).ok_or_else(FieldError::format)
}

/// The date in the one form we store; empty if it is none.
fn date(text: &str) -> String {
    let written = match Timestamp::parse(text) {
        Some(time) => time.to_date_text().to_string(),
        None => return String::new(),
    };
    // A year of five digits or before Christ would not sort.
    if written.len() == 24 && !written.starts_with('-') {
        written
    } else {
        String::new()
    }
}

fn json(sent: &Json, shape: JsonShape) -> Result<String, FieldError> {
    // A form sends JSON as a text.
    let parsed;
    let sent = match sent {
        Json::String(text) => match serde_json::from_str::<Json>(text) {
            Ok(json) => {
                parsed = json;
                &parsed
            }
            Err(_) => sent,
        },
        other => other,
    };
    let blank = matches!(sent, Json::Null) || sent.as_str() == Some("");
    let fits = match (shape, sent) {
        (JsonShape::Any, _) => return Ok(sent.to_string()),
        (JsonShape::Texts | JsonShape::Objects, _) if blank => return Ok("[]".to_owned()),
        (JsonShape::Object, _) if blank => return Ok("{}".to_owned()),
        (JsonShape::Texts, Json::Array(items)) => items.iter().all(Json::is_string),
        (JsonShape::Objects, Json::Array(items)) => items.iter().all(Json::is_object),
        (JsonShape::Object, other) => other.is_object(),
        _ => false,
    };
    if fits {
        Ok(sent.to_string())
    } else {
        Err(FieldError::format())
    }
}

fn length(text: &str, min: usize, max: usize) -> Result<(), FieldError> {
    let characters = text.chars().count();
    if characters < min {
        return Err(FieldError::new(
            "validation_min_text_constraint",
            format!("Must be at least {min} character(s)."),
        ));
    }
    if characters > max {
        return Err(FieldError::new(
            "validation_max_text_constraint",
            format!("Must be no more than {max} character(s)."),
        ));
    }
    Ok(())
}

fn password(text: &str) -> Result<(), FieldError> {
    if text.chars().count() < PASSWORD_MIN {
        return Err(FieldError::new(
            "validation_min_text_constraint",
            format!("Must be at least {PASSWORD_MIN} character(s)."),
        ));
    }
    if text.len() > PASSWORD_MAX {
        return Err(FieldError::new(
            "validation_max_text_constraint",
            format!("Must be less than {PASSWORD_MAX} character(s)."),
        ));
    }
    Ok(())
}

/// A mailbox in ASCII: one `@`, a dotted host, nothing a mail header could be
/// broken with. Whether mail arrives there only sending shows.
fn email(text: &str) -> Result<(), FieldError> {
    let valid = text.len() <= EMAIL_MAX
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"()<>[],;:\\\"".contains(&b))
        && text.split_once('@').is_some_and(|(local, host)| {
            !local.is_empty()
                && local.len() <= 64
                && !local.starts_with('.')
                && !local.ends_with('.')
                && !local.contains("..")
                && host.contains('.')
                && host.split('.').all(|label| {
                    !label.is_empty()
                        && label.len() <= 63
                        && label
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                })
        });
    if valid {
        Ok(())
    } else {
        Err(FieldError::new(
            "validation_is_email",
            "Must be a valid email address.",
        ))
    }
}

fn bounds(value: i64, min: Option<i64>, max: Option<i64>, money: bool) -> Result<(), FieldError> {
    let show = |bound: i64| {
        if money {
            Nanos(bound).to_string()
        } else {
            bound.to_string()
        }
    };
    if let Some(min) = min
        && value < min
    {
        return Err(FieldError::new(
            "validation_min_number_constraint",
            format!("Must be greater or equal than {}.", show(min)),
        ));
    }
    if let Some(max) = max
        && value > max
    {
        return Err(FieldError::new(
            "validation_max_number_constraint",
            format!("Must be less or equal than {}.", show(max)),
        ));
    }
    Ok(())
}
