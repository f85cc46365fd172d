//! The tree to SQL. Every value from outside is a bound parameter; every name
//! comes from a descriptor.

use std::fmt::Write as _;

use cf_base::Timestamp;
use cf_db::Value;
use serde_json::{Map, Value as Json};

use super::parse::Expr;
use super::resolve::Root;
use super::{FilterError, compare};
use crate::principal::{Level, Principal};
use crate::rules::RuleBook;
use crate::schema::Collection;
use crate::system::Schema;

/// What a condition is compiled for.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub schema: &'a Schema,
    pub rules: &'a RuleBook,
    pub principal: &'a Principal,
    pub now: Timestamp,
    /// What is being written, for rules that look at it.
    pub body: Option<&'a Map<String, Json>>,
    /// Whether the text is ours (a rule): it may name `@request` and hidden
    /// fields, and the collections it joins are not restricted once more.
    pub trusted: bool,
}

impl Context<'_> {
    /// Whether the caller sees everything there is, of this collection.
    pub(super) fn unrestricted(&self, collection: &Collection) -> bool {
        self.trusted || self.principal.bypasses(collection)
    }

    pub(super) fn sees(&self, level: Level) -> bool {
        self.trusted || (level != Level::Nobody && self.principal.level() >= level)
    }
}

/// A statement in the making: its parameters and table aliases so far.
pub(crate) struct Statement {
    pub postgres: bool,
    pub params: Vec<Value>,
    aliases: usize,
}

impl Statement {
    pub fn new(postgres: bool) -> Self {
        Self {
            postgres,
            params: Vec::new(),
            aliases: 0,
        }
    }

    fn bind_as(&mut self, value: Value, sql_type: &str) -> String {
        self.params.push(value);
        // The cast tells PostgreSQL the parameter's type, and gives it the
        // column's affinity on SQLite, so that both compare alike.
        format!("cast(${} as {sql_type})", self.params.len())
    }

    pub fn text(&mut self, value: impl Into<Value>) -> String {
        self.bind_as(value.into(), "text")
    }

    pub fn int(&mut self, value: i64) -> String {
        self.bind_as(Value::Int(value), "bigint")
    }

    pub fn real(&mut self, value: f64) -> String {
        self.bind_as(Value::Real(value), "double precision")
    }

    pub fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    /// The text with its parameters numbered without gaps: a condition that was
    /// decided early has left some behind that no text names.
    pub fn finish(self, sql: &str) -> (String, Vec<Value>) {
        let mut text = String::with_capacity(sql.len());
        let mut params = Vec::with_capacity(self.params.len());
        let mut renumbered: Vec<Option<usize>> = vec![None; self.params.len()];
        let mut pieces = sql.split('$');
        text.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            let end = piece
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(piece.len());
            // `$` stands in our SQL only before a parameter's number.
            let old = piece[..end].parse::<usize>().unwrap_or(0).saturating_sub(1);
            if let (Some(place), Some(value)) = (renumbered.get_mut(old), self.params.get(old)) {
                let new = *place.get_or_insert_with(|| {
                    params.push(value.clone());
                    params.len()
                });
                let _ = write!(text, "${new}");
            }
            text.push_str(&piece[end..]);
        }
        (text, params)
    }
}

/// A condition as far as it could be decided without the database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Cond {
    True,
    False,
    Sql(String),
}

impl Cond {
    pub fn of(truth: bool) -> Self {
        if truth { Self::True } else { Self::False }
    }

    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, only) | (only, Self::True) => only,
            (Self::Sql(a), Self::Sql(b)) => Self::Sql(format!("({a} and {b})")),
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::True, _) | (_, Self::True) => Self::True,
            (Self::False, only) | (only, Self::False) => only,
            (Self::Sql(a), Self::Sql(b)) => Self::Sql(format!("({a} or {b})")),
        }
    }

    /// ` where …`, or nothing.
    pub fn where_clause(&self) -> String {
        let mut text = String::new();
        match self {
            Self::True => {}
            Self::False => text.push_str(" where 1 = 0"),
            Self::Sql(sql) => {
                let _ = write!(text, " where {sql}");
            }
        }
        text
    }
}

/// Compiles a condition on the records of `collection` that `root` stands for.
pub(crate) fn condition(
    expr: &Expr,
    collection: &Collection,
    root: &Root<'_>,
    context: &Context<'_>,
    statement: &mut Statement,
) -> Result<Cond, FilterError> {
    match expr {
        Expr::All(terms) => terms.iter().try_fold(Cond::True, |sum, term| {
            Ok(sum.and(condition(term, collection, root, context, statement)?))
        }),
        Expr::Any(terms) => terms.iter().try_fold(Cond::False, |sum, term| {
            Ok(sum.or(condition(term, collection, root, context, statement)?))
        }),
        Expr::Compare(left, how, right) => {
            let left = super::resolve::operand(left, collection, root, context, statement)?;
            let right = super::resolve::operand(right, collection, root, context, statement)?;
            compare::compare(left, *how, right, statement)
        }
    }
}

/// A sort key: the field or path `name`, never null, ordered by bytes as
/// SQLite orders.
pub(crate) fn sort_key(
    name: &str,
    collection: &Collection,
    context: &Context<'_>,
    statement: &mut Statement,
) -> Result<String, FilterError> {
    use super::resolve::{Class, Side, path};
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_'))
    {
        return Err(FilterError::Invalid("not a sort key".to_owned()));
    }
    let parts: Vec<&str> = name.split('.').collect();
    let root = Root::Row("t0");
    let term = path(&parts, collection, &root, context, 0, statement)?;
    Ok(match term.side {
        // A constant, such as the collection's name, orders nothing.
        Side::Known(_) => "t0.\"id\"".to_owned(),
        Side::Sql { text, nullable } => {
            let zero = if term.class.is_numeric() { "0" } else { "''" };
            let text = if nullable {
                format!("coalesce({text}, {zero})")
            } else {
                text
            };
            if statement.postgres && !term.class.is_numeric() && term.class != Class::Date {
                format!("{text} collate \"C\"")
            } else {
                text
            }
        }
    })
}
