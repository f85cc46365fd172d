//! Five storage classes, and rows made of them.

use std::sync::Arc;

use cf_base::{Id, Nanos, Timestamp};

use crate::{DbError, Result};

/// A value as it goes into and comes out of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// SQL null.
    Null,
    /// bigint; also booleans (0, 1), money and times.
    Int(i64),
    /// double precision.
    Real(f64),
    /// text.
    Text(String),
    /// bytea or blob.
    Blob(Vec<u8>),
}

macro_rules! into_value {
    ($($type:ty => |$v:ident| $expr:expr),* $(,)?) => {$(
        impl From<$type> for Value {
            fn from($v: $type) -> Self { $expr }
        }
    )*};
}

into_value! {
    i64 => |v| Self::Int(v),
    u32 => |v| Self::Int(i64::from(v)),
    i32 => |v| Self::Int(i64::from(v)),
    bool => |v| Self::Int(i64::from(v)),
    f64 => |v| Self::Real(v),
    &str => |v| Self::Text(v.to_owned()),
    String => |v| Self::Text(v),
    &String => |v| Self::Text(v.clone()),
    Nanos => |v| Self::Int(v.0),
    Timestamp => |v| Self::Int(v.as_millis()),
    Id => |v| Self::Text(v.to_string()),
    cf_base::UserId => |v| Self::Text(v.to_string()),
    cf_base::TenantId => |v| Self::Text(v.to_string()),
    cf_base::KeyId => |v| Self::Text(v.to_string()),
    cf_base::ProductId => |v| Self::Text(v.to_string()),
    &cf_base::RequestId => |v| Self::Text(v.to_string()),
    Vec<u8> => |v| Self::Blob(v),
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row of an answer.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) columns: Arc<[String]>,
    pub(crate) values: Vec<Value>,
}

impl Row {
    /// The column named `name`, as `T`.
    pub fn get<T: FromValue>(&self, name: &str) -> Result<T> {
        let at = self
            .columns
            .iter()
            .position(|c| c == name)
            .ok_or_else(|| DbError::Data(format!("there is no column {name}")))?;
        T::from_value(&self.values[at])
            .ok_or_else(|| DbError::Data(format!("column {name} holds another type")))
    }

    /// The column at `index` (from 0), as `T`.
    pub fn at<T: FromValue>(&self, index: usize) -> Result<T> {
        self.values
            .get(index)
            .and_then(T::from_value)
            .ok_or_else(|| DbError::Data(format!("column {index} is missing or of another type")))
    }

    /// Names and values, in the statement's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.columns.iter().map(String::as_str).zip(&self.values)
    }
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// `None` if the value is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty => $pattern:pat => $expr:expr),* $(,)?) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value { $pattern => $expr, _ => None }
            }
        }
    )*};
}

from_value! {
    i64 => Value::Int(v) => Some(*v),
    u64 => Value::Int(v) => u64::try_from(*v).ok(),
    u32 => Value::Int(v) => u32::try_from(*v).ok(),
    bool => Value::Int(v) => Some(*v != 0),
    String => Value::Text(v) => Some(v.clone()),
    Vec<u8> => Value::Blob(v) => Some(v.clone()),
    Nanos => Value::Int(v) => Some(Self(*v)),
    Timestamp => Value::Int(v) => Some(Self::from_millis(*v)),
    Id => Value::Text(v) => Self::parse(v).ok(),
}

impl FromValue for f64 {
    #[allow(clippy::cast_precision_loss)] // counts and shown numbers only; money is Nanos
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Real(v) => Some(*v),
            Value::Int(v) => Some(*v as Self),
            _ => None,
        }
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}
