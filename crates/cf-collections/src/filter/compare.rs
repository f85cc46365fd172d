//! Comparisons. Both sides are brought to one type first; where both are known
//! the answer is too, otherwise it is SQL that means the same on both databases.

use std::cmp::Ordering;

use cf_db::Value;

use super::FilterError;
use super::lex::Compare;
use super::resolve::{Class, Side, Term};
use super::sql::{Cond, Statement};

/// What two sides are compared as.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Common {
    Text {
        /// Without regard to case.
        folded: bool,
        /// Whether the order depends on the database's collation.
        collated: bool,
    },
    Int,
    Real,
}

pub(super) fn compare(
    left: Term,
    how: Compare,
    right: Term,
    statement: &mut Statement,
) -> Result<Cond, FilterError> {
    if matches!(how, Compare::Like | Compare::NotLike) {
        return like(left, how == Compare::NotLike, right, statement);
    }
    let (left, right) = match (is_literal(left.class), is_literal(right.class)) {
        (false, true) => match adapt(right, left.class, how)? {
            Adapted::Term(right) => (left, right),
            Adapted::Missing => return Ok(against_nothing(&left, how)),
            Adapted::NotANumber => return Ok(Cond::of(before_text(how, false))),
        },
        (true, false) => match adapt(left, right.class, how)? {
            Adapted::Term(left) => (left, right),
            Adapted::Missing => return Ok(against_nothing(&right, how)),
            Adapted::NotANumber => return Ok(Cond::of(before_text(how, true))),
        },
        (true, true) => literals(left, right),
        (false, false) => (left, right),
    };
    let common = common(left.class, right.class)?;
    let (left, right) = (bring(left, common), bring(right, common));
    if let (Side::Known(left), Side::Known(right)) = (&left, &right) {
        return Ok(Cond::of(decide(left, how, right)));
    }
    Ok(Cond::Sql(emit(left, how, right, common, statement)))
}

fn is_literal(class: Class) -> bool {
    matches!(
        class,
        Class::Null | Class::AnyText | Class::AnyNumber | Class::AnyBool
    )
}

/// A literal as a value of a column's kind.
enum Adapted {
    Term(Term),
    /// `null` beside a number: numbers are never null, unless a relation is empty.
    Missing,
    /// A text beside a number: it equals none and sorts after all, as in SQLite.
    NotANumber,
}

fn adapt(literal: Term, class: Class, how: Compare) -> Result<Adapted, FilterError> {
    let value = known(literal.side);
    if !class.is_numeric() {
        let ordered = !matches!(how, Compare::Equal | Compare::NotEqual);
        if class == Class::Json && literal.class == Class::AnyNumber && ordered {
            return Err(FilterError::invalid("JSON values have no order as numbers"));
        }
        let text = match (literal.class, value) {
            (Class::AnyBool, Value::Int(truth)) if class == Class::Json => {
                (if truth == 0 { "false" } else { "true" }).to_owned()
            }
            (_, Value::Text(text)) => text,
            (_, Value::Int(number)) => number.to_string(),
            _ => String::new(),
        };
        return Ok(Adapted::Term(Term::known(class, text)));
    }
    let digits = match value {
        Value::Null => return Ok(Adapted::Missing),
        Value::Int(truth) => truth.to_string(),
        Value::Text(text) => text.trim().to_owned(),
        _ => return Ok(Adapted::NotANumber),
    };
    // "inf" and "nan" are numbers to Rust only.
    let Some(real) = digits
        .parse::<f64>()
        .ok()
        .filter(|n| n.is_finite() && !digits.ends_with(|c: char| c.is_ascii_alphabetic()))
    else {
        return Ok(Adapted::NotANumber);
    };
    Ok(Adapted::Term(match class {
        Class::Money => match cf_base::parse_decimal_nanos(&digits) {
            Some(nanos) => Term::known(Class::Money, nanos),
            None => Term::known(Class::Real, real),
        },
        Class::Int | Class::Bool => match digits.parse::<i64>() {
            Ok(number) => Term::known(Class::Int, number),
            Err(_) => Term::known(Class::Real, real),
        },
        _ => Term::known(Class::Real, real),
    }))
}

/// Two literals: as numbers if both are, else as texts.
fn literals(left: Term, right: Term) -> (Term, Term) {
    let number = |class| matches!(class, Class::AnyNumber | Class::AnyBool);
    let as_text = |term: Term| {
        let text = match known(term.side) {
            Value::Text(text) => text,
            Value::Int(number) => number.to_string(),
            _ => String::new(),
        };
        Term::known(Class::Text, text)
    };
    let numbers = number(left.class) && number(right.class);
    let (left, right) = (as_text(left), as_text(right));
    if !numbers {
        return (left, right);
    }
    let as_real = |term: Term| match known(term.side) {
        Value::Text(text) => Term::known(Class::Real, text.parse::<f64>().unwrap_or(0.0)),
        other => Term::known(Class::Real, other),
    };
    (as_real(left), as_real(right))
}

fn known(side: Side) -> Value {
    match side {
        Side::Known(value) => value,
        Side::Sql { .. } => Value::Null,
    }
}

/// A number against `null`.
fn against_nothing(number: &Term, how: Compare) -> Cond {
    match (&number.side, how) {
        (
            Side::Sql {
                text,
                nullable: true,
            },
            Compare::Equal,
        ) => Cond::Sql(format!("{text} is null")),
        (
            Side::Sql {
                text,
                nullable: true,
            },
            Compare::NotEqual,
        ) => Cond::Sql(format!("{text} is not null")),
        (Side::Known(Value::Null), how) => Cond::of(how == Compare::Equal),
        (_, how) => Cond::of(how == Compare::NotEqual),
    }
}

/// Whether a number stands in this relation to a text that is no number.
fn before_text(how: Compare, text_is_left: bool) -> bool {
    match how {
        Compare::NotEqual => true,
        Compare::Less | Compare::LessOrEqual => !text_is_left,
        Compare::Greater | Compare::GreaterOrEqual => text_is_left,
        _ => false,
    }
}

fn common(left: Class, right: Class) -> Result<Common, FilterError> {
    match (left.is_numeric(), right.is_numeric()) {
        (false, false) => Ok(Common::Text {
            folded: left == Class::Email || right == Class::Email,
            collated: left != Class::Date && right != Class::Date,
        }),
        (true, true) => {
            let whole = |class| matches!(class, Class::Int | Class::Bool);
            let same =
                (whole(left) && whole(right)) || (left == Class::Money && right == Class::Money);
            Ok(if same { Common::Int } else { Common::Real })
        }
        _ => Err(FilterError::invalid(
            "a number cannot be compared with a text field",
        )),
    }
}

/// Nano-units to units, in SQL.
fn units(sql: &str) -> String {
    format!("(cast({sql} as double precision) / cast(1000000000 as double precision))")
}

fn bring(term: Term, common: Common) -> Side {
    match (common, term.side) {
        (Common::Text { folded, .. }, Side::Known(value)) => {
            let text = match value {
                Value::Text(text) => text,
                _ => String::new(),
            };
            Side::Known(Value::Text(if folded {
                text.to_ascii_lowercase()
            } else {
                text
            }))
        }
        (Common::Text { folded, .. }, Side::Sql { text, nullable }) => {
            let text = if nullable {
                format!("coalesce({text}, '')")
            } else {
                text
            };
            Side::Sql {
                text: if folded {
                    format!("lower({text})")
                } else {
                    text
                },
                nullable: false,
            }
        }
        (Common::Int, side) => side,
        #[allow(clippy::cast_precision_loss)] // compared with a number that has a fraction
        (Common::Real, Side::Known(Value::Int(number))) => {
            let number = number as f64;
            Side::Known(Value::Real(if term.class == Class::Money {
                number / 1e9
            } else {
                number
            }))
        }
        (Common::Real, Side::Known(other)) => Side::Known(other),
        (Common::Real, Side::Sql { text, nullable }) => Side::Sql {
            text: match term.class {
                Class::Money => units(&text),
                Class::Int | Class::Bool => format!("cast({text} as double precision)"),
                _ => text,
            },
            nullable,
        },
    }
}

fn decide(left: &Value, how: Compare, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Text(a), Value::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Real(a), Value::Real(b)) => a.partial_cmp(b),
        (Value::Null, Value::Null) => return how == Compare::Equal,
        _ => None,
    };
    match how {
        Compare::Equal => order == Some(Ordering::Equal),
        Compare::NotEqual => order != Some(Ordering::Equal),
        Compare::Greater => order == Some(Ordering::Greater),
        Compare::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        Compare::Less => order == Some(Ordering::Less),
        Compare::LessOrEqual => order.is_some_and(Ordering::is_le),
        Compare::Like | Compare::NotLike => false,
    }
}

fn emit(
    left: Side,
    how: Compare,
    right: Side,
    common: Common,
    statement: &mut Statement,
) -> String {
    let nullable = [&left, &right].into_iter().any(|side| match side {
        Side::Known(value) => *value == Value::Null,
        Side::Sql { nullable, .. } => *nullable,
    });
    let mut side = |side| match side {
        Side::Sql { text, .. } => text,
        Side::Known(Value::Null) => "null".to_owned(),
        Side::Known(value) => match (common, value) {
            (Common::Int, Value::Int(number)) => statement.int(number),
            (Common::Real, Value::Real(number)) => statement.real(number),
            (_, value) => statement.text(value),
        },
    };
    let (mut left, right) = (side(left), side(right));
    let sign = match how {
        Compare::Equal if nullable => "is not distinct from",
        Compare::Equal => "=",
        Compare::NotEqual if nullable => "is distinct from",
        Compare::NotEqual => "<>",
        Compare::Greater => ">",
        Compare::GreaterOrEqual => ">=",
        Compare::Less => "<",
        Compare::LessOrEqual => "<=",
        // Handled before this point.
        Compare::Like | Compare::NotLike => "=",
    };
    let ordered = !matches!(how, Compare::Equal | Compare::NotEqual);
    if ordered && statement.postgres && matches!(common, Common::Text { collated: true, .. }) {
        // As SQLite orders: by bytes, whatever the database's language.
        left.push_str(" collate \"C\"");
    }
    format!("{left} {sign} {right}")
}

/// `~`: contains, without regard to ASCII case; `%` is a wildcard.
fn like(
    left: Term,
    negated: bool,
    right: Term,
    statement: &mut Statement,
) -> Result<Cond, FilterError> {
    let pattern = match (&right.side, right.class) {
        (Side::Known(Value::Null), _) => Some(pattern_of("")),
        (Side::Known(Value::Text(text)), _) => Some(pattern_of(text)),
        (Side::Known(Value::Int(number)), Class::AnyBool | Class::Int | Class::Bool) => {
            Some(pattern_of(&number.to_string()))
        }
        _ => None,
    };
    let left = as_text(left, statement)?;
    let Some(pattern) = pattern else {
        // A field as the pattern is taken literally.
        let right = as_text(right, statement)?;
        let find = if statement.postgres {
            "strpos"
        } else {
            "instr"
        };
        let sign = if negated { "=" } else { "<>" };
        return Ok(Cond::Sql(format!(
            "{find}(lower({left}), lower({right})) {sign} 0"
        )));
    };
    let pattern = statement.text(pattern);
    let not = if negated { "not " } else { "" };
    // The one place where the dialects differ.
    let like = if statement.postgres { "ilike" } else { "like" };
    Ok(Cond::Sql(format!(
        "{left} {not}{like} {pattern} escape '\\'"
    )))
}

fn as_text(term: Term, statement: &mut Statement) -> Result<String, FilterError> {
    Ok(match (term.side, term.class) {
        (_, Class::Real) => {
            // The databases write such numbers differently.
            return Err(FilterError::invalid("a number with a fraction has no text"));
        }
        (Side::Known(Value::Int(nanos)), Class::Money) => {
            statement.text(cf_base::Nanos(nanos).to_string())
        }
        (Side::Known(Value::Int(number)), _) => statement.text(number.to_string()),
        (Side::Known(Value::Text(text)), _) => statement.text(text),
        (Side::Known(_), _) => "''".to_owned(),
        (Side::Sql { text, .. }, class) => {
            let text = match class {
                Class::Money => decimal(&text),
                Class::Int | Class::Bool => format!("cast({text} as text)"),
                _ => text,
            };
            format!("coalesce({text}, '')")
        }
    })
}

/// Nano-units as the decimal text that [`cf_base::Nanos`] has, in SQL.
fn decimal(nanos: &str) -> String {
    format!(
        "(case when {nanos} < 0 then '-' else '' end \
         || rtrim(rtrim(cast(abs({nanos}) / 1000000000 as text) || '.' \
         || substr(cast(1000000000 + abs({nanos}) % 1000000000 as text), 2), '0'), '.'))"
    )
}

/// The text as a `like` pattern: as it is if it has a wildcard, otherwise
/// anywhere in the value. `_` stands for itself, `\%` for a percent sign.
fn pattern_of(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    let mut wild = false;
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek() == Some(&'%') => {
                characters.next();
                pattern.push_str("\\%");
            }
            '\\' => pattern.push_str("\\\\"),
            '_' => pattern.push_str("\\_"),
            '%' => {
                wild = true;
                pattern.push('%');
            }
            other => pattern.push(other),
        }
    }
    if wild {
        pattern
    } else {
        format!("%{pattern}%")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_wrapped_unless_they_have_a_wildcard() {
        for (text, pattern) in [
            ("abc", "%abc%"),
            ("abc%", "abc%"),
            ("a_c", "%a\\_c%"),
            ("50\\%", "%50\\%%"),
            ("a\\b", "%a\\\\b%"),
            ("", "%%"),
        ] {
            assert_eq!(pattern_of(text), pattern, "{text}");
        }
    }
}
