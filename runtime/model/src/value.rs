//! A value as a tag carries it.

use std::fmt;
use std::sync::Arc;

/// The type a tag declares for its values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// On or off.
    Bool,
    /// A whole number: counters, status words, modes.
    Int,
    /// A measured or computed quantity.
    Float,
    /// Text: serial numbers, names of states.
    Text,
}

impl ValueType {
    /// The word used in configuration files and on screens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
        }
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value. A `Float` may be NaN or infinite only between a driver's wire and its first check: every
/// entry into the engine turns such a value into a Bad sample.
// A tag as wide as the payload: with a tag of one byte a copy is of pieces that overlap, and the processor waits for each
// before it can read the whole again; measured, a latch of such samples took three times as long.
#[repr(u64)]
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// On or off.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A quantity in the tag's unit.
    Float(f64),
    /// Text of at most [`crate::limits::TEXT_BYTES_MAX`] bytes.
    Text(Arc<str>),
}

impl Value {
    /// The type of this value.
    #[must_use]
    pub fn value_type(&self) -> ValueType {
        match self {
            Self::Bool(_) => ValueType::Bool,
            Self::Int(_) => ValueType::Int,
            Self::Float(_) => ValueType::Float,
            Self::Text(_) => ValueType::Text,
        }
    }

    /// The value as a number: `false` is 0, `true` is 1, text has none.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(b) => Some(f64::from(u8::from(*b))),
            #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 is shown rounded, never controlled on")]
            Self::Int(i) => Some(*i as f64),
            Self::Float(f) => Some(*f),
            Self::Text(_) => None,
        }
    }

    /// The value as a switch: a number is on when it is not 0, text has no such reading.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(b) => Some(*b),
            Self::Int(i) => Some(*i != 0),
            Self::Float(f) => Some(*f != 0.0),
            Self::Text(_) => None,
        }
    }

    /// True unless the value is a NaN or infinite number.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        !matches!(self, Self::Float(f) if !f.is_finite())
    }

    /// This value as `wanted`, where no information is lost: a whole `Float` becomes an `Int`, an `Int` a `Float`,
    /// 0 and 1 a `Bool`. `None` otherwise.
    #[must_use]
    pub fn convert(&self, wanted: ValueType) -> Option<Value> {
        if self.value_type() == wanted {
            return Some(self.clone());
        }
        let number = self.as_f64()?;
        match wanted {
            ValueType::Bool if number == 0.0 || number == 1.0 => Some(Value::Bool(number == 1.0)),
            ValueType::Float => Some(Value::Float(number)),
            // 2^53 bounds the whole numbers an f64 holds exactly.
            #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
            ValueType::Int if number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0 => {
                Some(Value::Int(number as i64))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}
impl From<i64> for Value {
    fn from(x: i64) -> Self {
        Self::Int(x)
    }
}
impl From<bool> for Value {
    fn from(x: bool) -> Self {
        Self::Bool(x)
    }
}
impl From<&str> for Value {
    fn from(x: &str) -> Self {
        Self::Text(x.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversion_never_loses_information() {
        assert_eq!(Value::Float(3.0).convert(ValueType::Int), Some(Value::Int(3)));
        assert_eq!(Value::Float(3.5).convert(ValueType::Int), None);
        assert_eq!(Value::Float(f64::NAN).convert(ValueType::Int), None);
        assert_eq!(Value::Int(1).convert(ValueType::Bool), Some(Value::Bool(true)));
        assert_eq!(Value::Int(2).convert(ValueType::Bool), None);
        assert_eq!(Value::from("on").convert(ValueType::Float), None);
        assert_eq!(Value::Bool(true).convert(ValueType::Float), Some(Value::Float(1.0)));
    }
}
