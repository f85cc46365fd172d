//! A body that was sent, read against the descriptor: which columns change,
//! what is handed to hooks, and what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use cf_base::{Id, Nanos, Random, Timestamp};
use cf_db::Value;
use serde_json::{Map, Value as Json};

use crate::error::FieldError;
use crate::principal::{Level, Principal};
use crate::record::Record;
use crate::schema::{Collection, Field, FieldKind, Source, Writing};
use crate::value::{coerce, is_blank, validate};

/// What is about to be written, for hooks to look at and add to.
#[derive(Clone, Debug)]
pub struct Write {
    id: String,
    values: BTreeMap<&'static str, Value>,
    deltas: BTreeMap<&'static str, Value>,
    inputs: BTreeMap<&'static str, Value>,
    answer: Map<String, Json>,
}

impl Write {
    fn new(id: String) -> Self {
        Self {
            id,
            values: BTreeMap::new(),
            deltas: BTreeMap::new(),
            inputs: BTreeMap::new(),
            answer: Map::new(),
        }
    }

    /// The record's id, also of one that is being made.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Sets a column of the table.
    pub fn set(&mut self, column: &'static str, value: impl Into<Value>) {
        self.deltas.remove(column);
        self.values.insert(column, value.into());
    }

    /// What will stand in a column, if the write sets it.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.values.get(column)
    }

    /// Whether a column is counted up or down from what stands in it.
    pub fn is_relative(&self, column: &str) -> bool {
        self.deltas.contains_key(column)
    }

    /// A text that the write sets, by its column.
    pub fn text(&self, column: &str) -> Option<&str> {
        match self.values.get(column) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The columns that the write sets, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.values.iter().map(|(column, value)| (*column, value))
    }

    /// What was sent for a field that is not stored by the engine (`password`,
    /// `oldPassword`, `budget_total`, `litellm_api_key`, `secret` …); `None` if
    /// nothing was sent, or nothing but the present value.
    pub fn input(&self, field: &str) -> Option<&Value> {
        self.inputs.get(field)
    }

    /// A text that was handed over.
    pub fn input_text(&self, field: &str) -> Option<&str> {
        match self.inputs.get(field) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// An amount that was handed over.
    pub fn input_nanos(&self, field: &str) -> Option<Nanos> {
        match self.inputs.get(field) {
            Some(Value::Int(nanos)) => Some(Nanos(*nanos)),
            _ => None,
        }
    }

    /// Adds a field to the answer of this one request, or replaces one (a key
    /// that is shown once).
    pub fn answer(&mut self, field: &str, value: impl Into<Json>) {
        self.answer.insert(field.to_owned(), value.into());
    }

    pub(crate) fn take_answer(&mut self) -> Map<String, Json> {
        std::mem::take(&mut self.answer)
    }

    pub(crate) fn values(&self) -> &BTreeMap<&'static str, Value> {
        &self.values
    }

    pub(crate) fn deltas(&self) -> &BTreeMap<&'static str, Value> {
        &self.deltas
    }
}

/// A body, read.
pub(crate) struct Parsed {
    pub write: Write,
    /// What is wrong with which field.
    pub errors: Vec<(String, FieldError)>,
    /// Records that must exist: field, collection, id.
    pub relations: Vec<(&'static str, &'static str, String)>,
    /// The record's values as they would be, in the order of the fields: what
    /// the create rule looks at.
    pub row: Vec<Value>,
}

/// What was sent for a field.
enum Sent<'a> {
    Nothing,
    Value(&'a Json),
    Plus(&'a Json),
    Minus(&'a Json),
}

fn sent<'a>(field: &Field, body: &'a Map<String, Json>) -> Sent<'a> {
    if let Some(value) = body.get(field.name) {
        return Sent::Value(value);
    }
    if matches!(
        field.kind,
        FieldKind::Int { .. } | FieldKind::Real | FieldKind::Money { .. }
    ) {
        if let Some(value) = body.get(&format!("{}+", field.name)) {
            return Sent::Plus(value);
        }
        if let Some(value) = body.get(&format!("{}-", field.name)) {
            return Sent::Minus(value);
        }
    }
    Sent::Nothing
}

/// `present` plus or minus what was sent, and the difference itself.
fn moved(
    field: &Field,
    present: &Value,
    by: &Json,
    minus: bool,
) -> Result<(Value, Value), FieldError> {
    let too_large = || {
        FieldError::new(
            "validation_max_number_constraint",
            "The number is too large.",
        )
    };
    match (present, coerce(field, by)?) {
        (Value::Int(present), Value::Int(by)) => {
            let by = if minus { by.checked_neg() } else { Some(by) }.ok_or_else(too_large)?;
            let sum = present.checked_add(by).ok_or_else(too_large)?;
            Ok((Value::Int(sum), Value::Int(by)))
        }
        (Value::Real(present), Value::Real(by)) => {
            let by = if minus { -by } else { by };
            Ok((Value::Real(present + by), Value::Real(by)))
        }
        _ => Err(FieldError::format()),
    }
}

/// How much of a record the caller may set: on the own record a tenant's
/// administrator is a user like others.
fn level_on(principal: &Principal, collection: &Collection, id: &str) -> Level {
    let level = principal.level();
    if level < Level::Admin && principal.is(collection, id) {
        level.min(Level::User)
    } else {
        level
    }
}

/// Reads the body of a new record.
pub(crate) fn parse_create(
    collection: &Arc<Collection>,
    principal: &Principal,
    body: &Map<String, Json>,
    now: Timestamp,
    random: &Random,
) -> Parsed {
    let level = principal.level();
    let mut parsed = Parsed {
        write: Write::new(String::new()),
        errors: Vec::new(),
        relations: Vec::new(),
        row: Vec::with_capacity(collection.fields.len()),
    };
    for field in &collection.fields {
        let value = match field.kind {
            FieldKind::Id => {
                // An id that belonged to a deleted user has books: whoever may
                // choose ids could inherit them.
                let id = match body.get("id").and_then(Json::as_str) {
                    Some(id) if !id.is_empty() && level >= Level::Admin => id.to_owned(),
                    _ => Id::new(random).to_string(),
                };
                parsed.write.id.clone_from(&id);
                let id = Value::Text(id);
                if let Err(e) = validate(field, &id) {
                    parsed.errors.push(("id".to_owned(), e));
                }
                id
            }
            FieldKind::Autodate { .. } => Value::Text(now.to_date_text().to_string()),
            FieldKind::Password => {
                password(field, body, None, &mut parsed);
                Value::Null
            }
            _ => match new_value(field, level, body) {
                Ok((value, handed)) => {
                    if handed {
                        parsed.write.inputs.insert(field.name, value.clone());
                    }
                    value
                }
                Err(e) => {
                    parsed.errors.push((field.name.to_owned(), e));
                    field.blank()
                }
            },
        };
        if let (FieldKind::Relation { collection, .. }, Value::Text(id)) = (field.kind, &value)
            && Id::parse(id).is_ok()
        {
            parsed.relations.push((field.name, collection, id.clone()));
        }
        if let Source::Column(column) = field.source
            && !matches!(field.kind, FieldKind::Secret)
        {
            parsed.write.values.insert(column, value.clone());
        }
        parsed.row.push(value);
    }
    parsed
}

/// The value of a new record's field, and whether it goes to the hook.
fn new_value(
    field: &Field,
    level: Level,
    body: &Map<String, Json>,
) -> Result<(Value, bool), FieldError> {
    let blank = field.blank();
    let value = match sent(field, body) {
        _ if field.on_create == Writing::Ignored => return Ok((blank, false)),
        Sent::Nothing => {
            if field.on_create == Writing::Stored {
                validate(field, &blank)?;
            }
            return Ok((blank, false));
        }
        // A stranger's wishes for what strangers may not set are not even read.
        _ if level == Level::Guest && level < field.create_level => return Ok((blank, false)),
        Sent::Value(sent) => coerce(field, sent)?,
        Sent::Plus(by) => moved(field, &field.kind.zero(), by, false)?.0,
        Sent::Minus(by) => moved(field, &field.kind.zero(), by, true)?.0,
    };
    if level < field.create_level && !same(field, &value, &blank) && !is_blank(field, &value) {
        return Err(FieldError::not_allowed());
    }
    if let Value::Text(choice) = &value
        && level < Level::Admin
        && field.admin_choices.contains(&choice.as_str())
    {
        return Err(FieldError::not_allowed());
    }
    validate(field, &value)?;
    let given = !matches!(&value, Value::Text(text) if text.is_empty());
    Ok((value, field.on_create == Writing::Handed && given))
}

/// Reads the body of a change.
pub(crate) fn parse_update(
    collection: &Arc<Collection>,
    principal: &Principal,
    old: &Record,
    body: &Map<String, Json>,
    now: Timestamp,
) -> Parsed {
    let level = level_on(principal, collection, old.id());
    let mut parsed = Parsed {
        write: Write::new(old.id().to_owned()),
        errors: Vec::new(),
        relations: Vec::new(),
        row: old.values().to_vec(),
    };
    for (field, present) in collection.fields.iter().zip(old.values()) {
        match field.kind {
            FieldKind::Id => {
                if body
                    .get("id")
                    .is_some_and(|id| id.as_str() != Some(old.id()))
                {
                    parsed.errors.push((
                        "id".to_owned(),
                        FieldError::new(
                            "validation_pk_change",
                            "The record primary key cannot be changed.",
                        ),
                    ));
                }
            }
            FieldKind::Autodate { on_update } => {
                if let (true, Source::Column(column)) = (on_update, field.source) {
                    parsed
                        .write
                        .values
                        .insert(column, now.to_date_text().to_string().into());
                }
            }
            FieldKind::Password => {
                let own = principal.is(collection, old.id()) && level < Level::Superuser;
                password(field, body, Some(own), &mut parsed);
            }
            _ => {
                if let Err(e) = change(field, level, present, body, &mut parsed) {
                    parsed.errors.push((field.name.to_owned(), e));
                }
            }
        }
    }
    parsed
}

fn change(
    field: &Field,
    level: Level,
    present: &Value,
    body: &Map<String, Json>,
    parsed: &mut Parsed,
) -> Result<(), FieldError> {
    let (value, delta) = match sent(field, body) {
        _ if field.on_update == Writing::Ignored => return Ok(()),
        Sent::Nothing => return Ok(()),
        Sent::Value(sent) => (coerce(field, sent)?, None),
        Sent::Plus(by) => {
            let (sum, by) = moved(field, present, by, false)?;
            (sum, Some(by))
        }
        Sent::Minus(by) => {
            let (sum, by) = moved(field, present, by, true)?;
            (sum, Some(by))
        }
    };
    // Clients send whole records back: what has not changed is not a change.
    if same(field, &value, present) {
        return Ok(());
    }
    if let Writing::Refused(why) = field.on_update {
        return Err(FieldError::new("validation_not_allowed", why));
    }
    if level < field.update_level {
        return Err(match field.name {
            // As PocketBase says it.
            "email" | "verified" => FieldError::mismatch(),
            _ => FieldError::not_allowed(),
        });
    }
    if let Value::Text(choice) = &value
        && level < Level::Admin
        && field.admin_choices.contains(&choice.as_str())
    {
        return Err(FieldError::not_allowed());
    }
    validate(field, &value)?;
    if let (FieldKind::Relation { collection, .. }, Value::Text(id)) = (field.kind, &value)
        && !id.is_empty()
    {
        parsed.relations.push((field.name, collection, id.clone()));
    }
    if field.on_update == Writing::Handed {
        // A form that shows no secret sends it back empty.
        if !matches!(&value, Value::Text(text) if text.is_empty()) {
            parsed.write.inputs.insert(field.name, value);
        }
    } else if let Source::Column(column) = field.source {
        match delta {
            Some(delta) => parsed.write.deltas.insert(column, delta),
            None => parsed.write.values.insert(column, value),
        };
    }
    Ok(())
}

/// `own` is `None` for a new record, else whether it is the caller's own.
fn password(field: &Field, body: &Map<String, Json>, own: Option<bool>, parsed: &mut Parsed) {
    let text = |name: &str| body.get(name).and_then(Json::as_str).unwrap_or_default();
    let (new, confirm, old) = (
        text("password"),
        text("passwordConfirm"),
        text("oldPassword"),
    );
    if new.is_empty() && own.is_some() {
        return;
    }
    let mut refuse = |name: &str, e: FieldError| parsed.errors.push((name.to_owned(), e));
    let value = Value::Text(new.to_owned());
    if let Err(e) = validate(field, &value) {
        refuse(field.name, e);
    }
    if confirm.is_empty() {
        refuse("passwordConfirm", FieldError::required());
    } else if confirm != new {
        refuse("passwordConfirm", FieldError::mismatch());
    }
    if own == Some(true) {
        if old.is_empty() {
            refuse(
                "oldPassword",
                FieldError::new(
                    "validation_invalid_old_password",
                    "Missing or invalid old password.",
                ),
            );
        }
        parsed.write.inputs.insert("oldPassword", old.into());
    }
    parsed.write.inputs.insert("password", value);
}

fn same(field: &Field, a: &Value, b: &Value) -> bool {
    match (field.kind, a, b) {
        (FieldKind::Json { .. }, Value::Text(a), Value::Text(b)) => {
            a == b
                || match (
                    serde_json::from_str::<Json>(a),
                    serde_json::from_str::<Json>(b),
                ) {
                    (Ok(a), Ok(b)) => a == b,
                    _ => false,
                }
        }
        // A date without its time, as the ledger may keep it.
        (FieldKind::Date, Value::Text(a), Value::Text(b)) => {
            a == b || (!a.is_empty() && !b.is_empty() && Timestamp::parse(a) == Timestamp::parse(b))
        }
        _ => a == b,
    }
}
