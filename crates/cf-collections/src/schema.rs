//! Descriptors: what a collection is, as plain data.

use cf_db::Value;
use serde_json::{Value as Json, json};

use crate::principal::Level;

/// One collection: its table, its fields and who may do what.
#[derive(Clone, Debug)]
pub struct Collection {
    /// PocketBase's id, `pbc_` and ten digits.
    pub id: &'static str,
    /// Name in addresses and answers.
    pub name: &'static str,
    /// Table in the database.
    pub table: &'static str,
    /// Whether its records can sign in.
    pub kind: CollectionKind,
    /// The fields, `id` first.
    pub fields: Vec<Field>,
    /// Columns that only hooks write and nobody reads through the engine.
    pub internal: &'static [&'static str],
    /// Columns of `internal` that a hook must fill before a record can be made.
    pub from_hook: &'static [&'static str],
    /// Who may do what.
    pub rules: Rules,
    /// Unique indexes and the field to blame.
    pub unique: &'static [Unique],
    /// Whether processes keep copies: a change then raises `data_version`.
    pub cached: bool,
    /// Books and logs: written by the program alone, not even by superusers.
    pub read_only: bool,
}

/// Whether records of a collection can sign in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CollectionKind {
    /// Plain records.
    Base,
    /// Records that can sign in.
    Auth,
}

/// Access rules in the filter language: `None` for superusers only, `""` for everybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Which records are listed.
    pub list: Option<&'static str>,
    /// Which records can be looked at by id.
    pub view: Option<&'static str>,
    /// Which records may be made.
    pub create: Option<&'static str>,
    /// Which records may be changed.
    pub update: Option<&'static str>,
    /// Which records may be deleted.
    pub delete: Option<&'static str>,
}

/// A unique index, and the field whose value is to blame when it refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unique {
    /// Name of the index.
    pub index: &'static str,
    /// Its columns.
    pub columns: &'static [&'static str],
    /// The field shown in the error.
    pub field: &'static str,
}

/// What happens to a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// It was made.
    Create,
    /// It was changed.
    Update,
    /// It is gone.
    Delete,
}

impl Action {
    /// The word in realtime messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// One field of a collection.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name in JSON and filters.
    pub name: &'static str,
    /// Where the value is.
    pub source: Source,
    /// What the value is.
    pub kind: FieldKind,
    /// Whether it may not be blank.
    pub required: bool,
    /// The least level that sees it.
    pub visible: Level,
    /// The least level that may set it on a new record.
    pub create_level: Level,
    /// The least level that may change it.
    pub update_level: Level,
    /// What becomes of a value sent with a new record.
    pub on_create: Writing,
    /// What becomes of a value sent with a change.
    pub on_update: Writing,
    /// The value where none is sent.
    pub default: Option<Value>,
    /// Choices (of a select) that only administrators may make.
    pub admin_choices: &'static [&'static str],
}

/// Where a field's value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// In a column of the table.
    Column(&'static str),
    /// Computed by SQL; `{t}` stands for the table's alias.
    Computed(&'static str),
    /// Nowhere: it can only be sent (a password).
    Input,
}

/// What becomes of a value that is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writing {
    /// It is stored in the column.
    Stored,
    /// It is parsed and handed to the hook, which knows what it means.
    Handed,
    /// It is ignored: the program writes this field.
    Ignored,
    /// It is refused unless it equals the present value; the sentence says what to do instead.
    Refused(&'static str),
}

/// What a field's value is.
#[derive(Clone, Copy, Debug)]
pub enum FieldKind {
    /// The record's id.
    Id,
    /// Text, its length counted in characters.
    Text {
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
        /// What it must look like.
        pattern: Option<Pattern>,
    },
    /// An e-mail address, compared without case.
    Email,
    /// A whole number.
    Int {
        /// Smallest value.
        min: Option<i64>,
        /// Largest value.
        max: Option<i64>,
    },
    /// A number with a fraction (never money).
    Real,
    /// An amount or rate in 10⁻⁹, shown as a decimal number.
    Money {
        /// Smallest value, in 10⁻⁹.
        min: Option<i64>,
    },
    /// Yes or no.
    Bool,
    /// One of some words.
    Select(&'static [&'static str]),
    /// JSON.
    Json {
        /// Greatest size in bytes.
        max_bytes: usize,
        /// What it must be.
        shape: JsonShape,
    },
    /// A date and time, `2026-01-31 10:00:00.123Z`, or empty.
    Date,
    /// Set to the time of writing.
    Autodate {
        /// Also when the record changes.
        on_update: bool,
    },
    /// The id of a record of another collection, or empty.
    Relation {
        /// The other collection.
        collection: &'static str,
        /// What happens when that record is deleted.
        on_delete: OnDelete,
    },
    /// A password: it goes in and never comes out.
    Password,
    /// A secret: a hook seals or hashes it; what is read back is the masked column.
    Secret,
}

/// What a text must look like.
#[derive(Clone, Copy)]
pub struct Pattern {
    /// As a regular expression, for people and the data browser.
    pub regex: &'static str,
    /// Whether a text fits.
    pub matches: fn(&str) -> bool,
}

impl std::fmt::Debug for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.regex)
    }
}

/// What a JSON value must be. Blank becomes the empty value of its shape, so
/// that readers of the column need not expect `null`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JsonShape {
    /// Anything.
    Any,
    /// A list of texts.
    Texts,
    /// A list of objects.
    Objects,
    /// An object.
    Object,
}

/// What happens to a record when the one it points at is deleted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnDelete {
    /// It is deleted too.
    Cascade,
    /// The deletion is refused.
    Restrict,
    /// The field is emptied.
    Clear,
    /// It stays as it is: books keep their references.
    Keep,
}

impl Collection {
    /// The field named `name` in JSON.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|f| f.name == name)
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name)
    }

    /// As `/api/collections` shows it to superusers.
    pub fn to_json(&self) -> Json {
        let fields: Vec<Json> = self.fields.iter().map(Field::to_json).collect();
        let indexes: Vec<String> = self
            .unique
            .iter()
            .map(|u| {
                let columns: Vec<String> = u.columns.iter().map(|c| format!("`{c}`")).collect();
                format!(
                    "CREATE UNIQUE INDEX `{}` ON `{}` ({})",
                    u.index,
                    self.table,
                    columns.join(", ")
                )
            })
            .collect();
        let mut shown = json!({
            "id": self.id,
            "name": self.name,
            "type": match self.kind { CollectionKind::Base => "base", CollectionKind::Auth => "auth" },
            "system": true,
            "fields": fields,
            "indexes": indexes,
            "listRule": self.rules.list,
            "viewRule": self.rules.view,
            "createRule": self.rules.create,
            "updateRule": self.rules.update,
            "deleteRule": self.rules.delete,
            "created": "",
            "updated": "",
        });
        if self.kind == CollectionKind::Auth {
            shown["authRule"] = json!("");
            shown["manageRule"] = Json::Null;
            shown["passwordAuth"] = json!({"enabled": true, "identityFields": ["email"]});
        }
        shown
    }
}

impl Field {
    fn new(name: &'static str, kind: FieldKind) -> Self {
        Self {
            name,
            source: Source::Column(name),
            kind,
            required: false,
            visible: Level::Guest,
            create_level: Level::Guest,
            update_level: Level::Guest,
            on_create: Writing::Stored,
            on_update: Writing::Stored,
            default: None,
            admin_choices: &[],
        }
    }

    /// The id that every record has.
    pub fn id() -> Self {
        Self::new("id", FieldKind::Id)
    }

    /// A text of at most `max` characters.
    pub fn text(name: &'static str, max: usize) -> Self {
        Self::new(
            name,
            FieldKind::Text {
                min: 0,
                max,
                pattern: None,
            },
        )
    }

    /// An e-mail address.
    pub fn email(name: &'static str) -> Self {
        Self::new(name, FieldKind::Email)
    }

    /// A whole number from 0.
    pub fn count(name: &'static str) -> Self {
        Self::new(
            name,
            FieldKind::Int {
                min: Some(0),
                max: None,
            },
        )
    }

    /// A number with a fraction.
    pub fn real(name: &'static str) -> Self {
        Self::new(name, FieldKind::Real)
    }

    /// An amount from 0.
    pub fn money(name: &'static str) -> Self {
        Self::new(name, FieldKind::Money { min: Some(0) })
    }

    /// An amount of either sign.
    pub fn signed_money(name: &'static str) -> Self {
        Self::new(name, FieldKind::Money { min: None })
    }

    /// Yes or no.
    pub fn bool(name: &'static str) -> Self {
        Self::new(name, FieldKind::Bool)
    }

    /// One of `choices`.
    pub fn select(name: &'static str, choices: &'static [&'static str]) -> Self {
        Self::new(name, FieldKind::Select(choices))
    }

    /// JSON of a shape, at most `max_bytes` long.
    pub fn json(name: &'static str, shape: JsonShape, max_bytes: usize) -> Self {
        Self::new(name, FieldKind::Json { max_bytes, shape })
    }

    /// A date and time.
    pub fn date(name: &'static str) -> Self {
        Self::new(name, FieldKind::Date)
    }

    /// The time the record was made.
    pub fn created() -> Self {
        Self::new("created", FieldKind::Autodate { on_update: false })
    }

    /// The time the record was last written.
    pub fn updated() -> Self {
        Self::new("updated", FieldKind::Autodate { on_update: true })
    }

    /// A record of another collection.
    pub fn relation(name: &'static str, collection: &'static str, on_delete: OnDelete) -> Self {
        Self::new(
            name,
            FieldKind::Relation {
                collection,
                on_delete,
            },
        )
    }

    /// The password of an auth record.
    pub fn password() -> Self {
        let mut field = Self::new("password", FieldKind::Password);
        field.source = Source::Input;
        field.visible = Level::Nobody;
        field.on_create = Writing::Handed;
        field.on_update = Writing::Handed;
        field.required = true;
        field
    }

    /// A secret whose masked form stands in `column`.
    pub fn secret(name: &'static str, column: &'static str) -> Self {
        let mut field = Self::new(name, FieldKind::Secret);
        field.source = Source::Column(column);
        field.on_create = Writing::Handed;
        field.on_update = Writing::Handed;
        field
    }

    /// Its column has another name.
    pub fn column(mut self, column: &'static str) -> Self {
        self.source = Source::Column(column);
        self
    }

    /// It is computed, and what is sent is ignored unless said otherwise.
    pub fn computed(mut self, sql: &'static str) -> Self {
        self.source = Source::Computed(sql);
        self.read_only()
    }

    /// It may not be blank.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// It must look like `pattern` where it is not blank.
    pub fn matching(mut self, wanted: Pattern) -> Self {
        if let FieldKind::Text { pattern, .. } = &mut self.kind {
            *pattern = Some(wanted);
        }
        self
    }

    /// It is at least `least` (whole numbers and characters).
    pub fn at_least(mut self, least: u32) -> Self {
        match &mut self.kind {
            FieldKind::Int { min, .. } => *min = Some(i64::from(least)),
            FieldKind::Text { min, .. } => *min = usize::try_from(least).unwrap_or(usize::MAX),
            _ => {}
        }
        self
    }

    /// It is at most `most` (whole numbers).
    pub fn at_most(mut self, most: u32) -> Self {
        if let FieldKind::Int { max, .. } = &mut self.kind {
            *max = Some(i64::from(most));
        }
        self
    }

    /// Only this level and those above see it.
    pub fn seen_by(mut self, level: Level) -> Self {
        self.visible = level;
        self
    }

    /// Only this level and those above may set or change it.
    pub fn set_by(mut self, level: Level) -> Self {
        self.create_level = level;
        self.update_level = level;
        self
    }

    /// Only this level and those above may change it.
    pub fn changed_by(mut self, level: Level) -> Self {
        self.update_level = level;
        self
    }

    /// What becomes of values that are sent.
    pub fn writing(mut self, on_create: Writing, on_update: Writing) -> Self {
        self.on_create = on_create;
        self.on_update = on_update;
        self
    }

    /// The program writes it; what is sent is ignored.
    pub fn read_only(self) -> Self {
        self.writing(Writing::Ignored, Writing::Ignored)
    }

    /// The value where none is sent.
    pub fn or(mut self, default: impl Into<Value>) -> Self {
        self.default = Some(default.into());
        self
    }

    /// Choices that only administrators may make.
    pub fn only_admins_choose(mut self, choices: &'static [&'static str]) -> Self {
        self.admin_choices = choices;
        self
    }

    /// The value where none is sent and none is said.
    pub(crate) fn blank(&self) -> Value {
        if let Some(default) = &self.default {
            return default.clone();
        }
        self.kind.zero()
    }

    /// The SQL that reads it from the table called `alias`.
    pub(crate) fn sql(&self, alias: &str) -> Option<String> {
        match self.source {
            Source::Column(column) => Some(format!("{alias}.\"{column}\"")),
            Source::Computed(sql) => Some(sql.replace("{t}", alias)),
            Source::Input => None,
        }
    }

    fn to_json(&self) -> Json {
        let mut shown = json!({
            "id": format!("{}_{}", self.kind.word(), self.name),
            "name": self.name,
            "type": self.kind.word(),
            "required": self.required,
            "hidden": self.visible >= Level::Admin,
            "system": matches!(self.kind, FieldKind::Id | FieldKind::Password | FieldKind::Email),
            "presentable": matches!(self.name, "name" | "email"),
            "primaryKey": matches!(self.kind, FieldKind::Id),
        });
        match self.kind {
            FieldKind::Text { min, max, pattern } => {
                shown["min"] = json!(min);
                shown["max"] = json!(max);
                shown["pattern"] = json!(pattern.map_or("", |p| p.regex));
            }
            FieldKind::Int { min, max } => {
                shown["min"] = json!(min);
                shown["max"] = json!(max);
                shown["onlyInt"] = json!(true);
            }
            FieldKind::Real | FieldKind::Money { .. } => shown["onlyInt"] = json!(false),
            FieldKind::Select(values) => {
                shown["values"] = json!(values);
                shown["maxSelect"] = json!(1);
            }
            FieldKind::Json { max_bytes, .. } => shown["maxSize"] = json!(max_bytes),
            FieldKind::Relation {
                collection,
                on_delete,
            } => {
                // The data browser follows relations by the collection's id.
                shown["collectionId"] = json!(crate::system::id_of(collection));
                shown["cascadeDelete"] = json!(on_delete == OnDelete::Cascade);
                shown["maxSelect"] = json!(1);
            }
            FieldKind::Autodate { on_update } => {
                shown["onCreate"] = json!(true);
                shown["onUpdate"] = json!(on_update);
            }
            _ => {}
        }
        shown
    }
}

impl FieldKind {
    /// The value of a field that was never set.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Self::Int { .. } | Self::Money { .. } | Self::Bool => Value::Int(0),
            Self::Real => Value::Real(0.0),
            Self::Json { shape, .. } => Value::Text(
                match shape {
                    JsonShape::Any => "null",
                    JsonShape::Texts | JsonShape::Objects => "[]",
                    JsonShape::Object => "{}",
                }
                .to_owned(),
            ),
            _ => Value::Text(String::new()),
        }
    }

    /// PocketBase's word for it.
    fn word(&self) -> &'static str {
        match self {
            Self::Id | Self::Text { .. } | Self::Secret => "text",
            Self::Email => "email",
            Self::Int { .. } | Self::Real | Self::Money { .. } => "number",
            Self::Bool => "bool",
            Self::Select(_) => "select",
            Self::Json { .. } => "json",
            Self::Date => "date",
            Self::Autodate { .. } => "autodate",
            Self::Relation { .. } => "relation",
            Self::Password => "password",
        }
    }
}
