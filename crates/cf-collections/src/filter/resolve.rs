//! What a name in a filter stands for: a column, a value that is known already,
//! or a scalar subselect behind a relation.

use cf_db::Value;
use serde_json::Value as Json;

use super::parse::Operand;
use super::sql::{Cond, Context, Statement};
use super::{FilterError, macros};
use crate::principal::Principal;
use crate::schema::{Collection, Field, FieldKind, Source};

/// Most relations in one path.
const MAX_DEPTH: usize = 6;

/// What the names of a condition's own collection stand for.
#[derive(Clone, Copy)]
pub(crate) enum Root<'a> {
    /// The table under this alias.
    Row(&'a str),
    /// These values, in the order of the collection's fields: a record that is
    /// not in the table yet, no longer, or was read already.
    Values(&'a [Value]),
}

/// One side of a comparison, resolved.
pub(super) struct Term {
    pub class: Class,
    pub side: Side,
}

/// What kind of value a side is. The first four are literals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Null,
    AnyText,
    AnyNumber,
    AnyBool,
    Text,
    Email,
    /// Text of fixed width and plain characters: sorts alike in every collation.
    Date,
    Json,
    Int,
    Bool,
    Money,
    Real,
}

pub(super) enum Side {
    Known(Value),
    Sql {
        text: String,
        /// Whether it may be null: what lies behind a relation may be missing.
        nullable: bool,
    },
}

impl Term {
    pub fn known(class: Class, value: impl Into<Value>) -> Self {
        Self {
            class,
            side: Side::Known(value.into()),
        }
    }
}

impl Class {
    fn of(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Email => Self::Email,
            FieldKind::Int { .. } => Self::Int,
            FieldKind::Real => Self::Real,
            FieldKind::Money { .. } => Self::Money,
            FieldKind::Bool => Self::Bool,
            FieldKind::Json { .. } => Self::Json,
            FieldKind::Date | FieldKind::Autodate { .. } | FieldKind::Id => Self::Date,
            FieldKind::Text { .. }
            | FieldKind::Select(_)
            | FieldKind::Relation { .. }
            | FieldKind::Password
            | FieldKind::Secret => Self::Text,
        }
    }

    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Bool | Self::Money | Self::Real)
    }
}

pub(super) fn operand(
    operand: &Operand,
    collection: &Collection,
    root: &Root<'_>,
    context: &Context<'_>,
    statement: &mut Statement,
) -> Result<Term, FilterError> {
    Ok(match operand {
        Operand::Text(text) => Term::known(Class::AnyText, text),
        Operand::Number(text) => Term::known(Class::AnyNumber, text),
        Operand::Bool(truth) => Term::known(Class::AnyBool, *truth),
        Operand::Null => Term::known(Class::Null, Value::Null),
        Operand::Macro(name) => match macros::value(name, context.now)? {
            Operand::Text(text) => Term::known(Class::AnyText, text),
            Operand::Number(text) => Term::known(Class::AnyNumber, text),
            _ => Term::known(Class::Null, Value::Null),
        },
        Operand::Path { parts, modifier } => {
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            let term = match parts.as_slice() {
                ["@request", "body", name] => {
                    return body(name, modifier.as_deref(), context);
                }
                ["@request", rest @ ..] => request(rest, context, statement)?,
                [first, ..] if first.starts_with('@') => {
                    return Err(FilterError::invalid("not available here"));
                }
                parts => path(parts, collection, root, context, 0, statement)?,
            };
            match modifier.as_deref() {
                None => term,
                Some("lower") => lower(term),
                Some(_) => return Err(FilterError::invalid("unknown modifier")),
            }
        }
    })
}

fn lower(term: Term) -> Term {
    let side = match term.side {
        Side::Known(Value::Text(text)) => Side::Known(text.to_ascii_lowercase().into()),
        Side::Sql { text, nullable } if !term.class.is_numeric() => Side::Sql {
            text: format!("lower({text})"),
            nullable,
        },
        other => other,
    };
    Term { side, ..term }
}

/// `@request.body.x`: what was sent, before it is read as the field's kind;
/// `:isset` asks whether anything was.
fn body(name: &str, modifier: Option<&str>, context: &Context<'_>) -> Result<Term, FilterError> {
    let sent = |name: &str| context.body.and_then(|body| body.get(name));
    match modifier {
        None => {}
        Some("isset") => {
            let set = ["", "+", "-"]
                .iter()
                .any(|sign| sent(&format!("{name}{sign}")).is_some());
            return Ok(Term::known(Class::AnyBool, set));
        }
        Some(_) => return Err(FilterError::invalid("unknown modifier")),
    }
    Ok(match sent(name) {
        None | Some(Json::Null) => Term::known(Class::Null, Value::Null),
        Some(Json::Bool(truth)) => Term::known(Class::AnyBool, *truth),
        Some(Json::Number(number)) => Term::known(Class::AnyNumber, number.to_string()),
        Some(Json::String(text)) => Term::known(Class::AnyText, text),
        Some(other) => Term::known(Class::AnyText, other.to_string()),
    })
}

/// `@request.auth.…`: who asks.
fn request(
    parts: &[&str],
    context: &Context<'_>,
    statement: &mut Statement,
) -> Result<Term, FilterError> {
    let ["auth", name, rest @ ..] = parts else {
        return Err(FilterError::invalid("not available here"));
    };
    let principal = context.principal;
    let user = match principal {
        Principal::User(user) => Some(user),
        Principal::Guest | Principal::Superuser { .. } => None,
    };
    let known = match *name {
        "id" => Some(principal.id()),
        "email" => Some(principal.email()),
        "collectionName" => Some(principal.collection()),
        "collectionId" => Some(crate::system::id_of(principal.collection())),
        "role" => Some(user.map_or("", |u| u.role.as_str())),
        "status" => Some(user.map_or("", |u| u.status.as_str())),
        "tenant_id" => Some(user.map_or("", |u| u.tenant_id.as_str())),
        "product_id" => Some(user.map_or("", |u| u.product_id.as_str())),
        _ => None,
    };
    if rest.is_empty()
        && let Some(known) = known
    {
        let class = if *name == "email" {
            Class::Email
        } else {
            Class::Text
        };
        return Ok(Term::known(class, known));
    }
    // Anything else of the caller's own record is looked up.
    let Some(own) = context.schema.get(match principal {
        Principal::Guest => "users",
        _ => principal.collection(),
    }) else {
        return Err(FilterError::invalid("unknown field"));
    };
    let id = Side::Known(principal.id().into());
    related(own, id, &parts[1..], context, 0, statement)
}

/// A field of `collection`, or what lies behind its relations.
pub(super) fn path(
    parts: &[&str],
    collection: &Collection,
    root: &Root<'_>,
    context: &Context<'_>,
    depth: usize,
    statement: &mut Statement,
) -> Result<Term, FilterError> {
    let unknown = || FilterError::invalid("unknown field");
    let [name, rest @ ..] = parts else {
        return Err(unknown());
    };
    let Some(at) = collection.position(name) else {
        return match (*name, root, rest) {
            ("collectionId", _, []) => Ok(Term::known(Class::Text, collection.id)),
            ("collectionName", _, []) => Ok(Term::known(Class::Text, collection.name)),
            _ => Err(unknown()),
        };
    };
    let field = &collection.fields[at];
    if matches!(field.source, Source::Input) || !context.sees(field.visible) {
        return Err(unknown());
    }
    let side = match root {
        Root::Row(alias) => Side::Sql {
            text: field.sql(alias).ok_or_else(unknown)?,
            nullable: false,
        },
        Root::Values(values) => {
            Side::Known(values.get(at).cloned().unwrap_or_else(|| field.kind.zero()))
        }
    };
    match (rest, field.kind) {
        ([], kind) => Ok(Term {
            class: Class::of(&kind),
            side,
        }),
        (_, FieldKind::Relation { collection, .. }) => {
            let target = context.schema.get(collection).ok_or_else(unknown)?;
            related(target, side, rest, context, depth, statement)
        }
        (_, FieldKind::Json { .. }) => Ok(json(field, side, rest, statement)),
        _ => Err(unknown()),
    }
}

/// A field of the record of `target` with the id `id`, as a scalar subselect:
/// null where there is no such record, or none that the caller may list.
fn related(
    target: &Collection,
    id: Side,
    parts: &[&str],
    context: &Context<'_>,
    depth: usize,
    statement: &mut Statement,
) -> Result<Term, FilterError> {
    if depth == MAX_DEPTH {
        return Err(FilterError::invalid("too many relations in a path"));
    }
    let alias = statement.alias();
    let root = Root::Row(&alias);
    let inner = path(parts, target, &root, context, depth + 1, statement)?;
    let restriction = if context.unrestricted(target) {
        Cond::True
    } else {
        let trusted = Context {
            trusted: true,
            ..*context
        };
        context
            .rules
            .listable(target, &root, &trusted, statement)?
            .ok_or_else(|| FilterError::invalid("the joined collection may not be listed"))?
    };
    let Side::Sql { text, .. } = inner.side else {
        // A constant of the collection, such as its name.
        return Ok(inner);
    };
    let id = match id {
        // Nothing has the empty id, so nothing needs to be asked.
        Side::Known(Value::Null) => {
            return Ok(Term::known(inner.class, Value::Null));
        }
        Side::Known(Value::Text(id)) if id.is_empty() => {
            return Ok(Term::known(inner.class, Value::Null));
        }
        Side::Known(id) => statement.text(id),
        Side::Sql { text, .. } => text,
    };
    let restriction = match restriction {
        Cond::True => String::new(),
        Cond::False => " and 1 = 0".to_owned(),
        Cond::Sql(sql) => format!(" and {sql}"),
    };
    Ok(Term {
        class: inner.class,
        side: Side::Sql {
            text: format!(
                "(select {text} from \"{}\" {alias} where {alias}.\"id\" = {id}{restriction})",
                target.table
            ),
            nullable: true,
        },
    })
}

/// A place inside of a JSON column, as text.
fn json(field: &Field, side: Side, parts: &[&str], statement: &mut Statement) -> Term {
    let index = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let side = match side {
        Side::Known(Value::Text(text)) => {
            let root: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
            let place = parts.iter().try_fold(&root, |place, part| match place {
                Json::Array(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
                Json::Object(map) => map.get(*part),
                _ => None,
            });
            Side::Known(match place {
                None | Some(Json::Null) => "".into(),
                Some(Json::String(text)) => text.into(),
                Some(other) => other.to_string().into(),
            })
        }
        Side::Known(_) => Side::Known("".into()),
        Side::Sql { text, .. } if statement.postgres => {
            let path = statement.text(parts.join("."));
            Side::Sql {
                text: format!("(cast({text} as jsonb) #>> string_to_array({path}, '.'))"),
                nullable: true,
            }
        }
        Side::Sql { text, .. } => {
            let mut path = String::from("$");
            for part in parts {
                if index(part) {
                    path.push_str(&format!("[{part}]"));
                } else {
                    path.push_str(&format!(".\"{part}\""));
                }
            }
            let path = statement.text(path);
            Side::Sql {
                // SQLite reads JSON's true as 1, PostgreSQL as true.
                text: format!(
                    "(case json_type({text}, {path}) when 'true' then 'true' \
                     when 'false' then 'false' \
                     else cast(json_extract({text}, {path}) as text) end)"
                ),
                nullable: true,
            }
        }
    };
    debug_assert!(matches!(field.kind, FieldKind::Json { .. }));
    Term {
        class: Class::Json,
        side,
    }
}
