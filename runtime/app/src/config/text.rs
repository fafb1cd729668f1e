//! The small grammars of configuration files: durations, rates, sizes, fallbacks, clock times; and the
//! deserialised forms that remember where they stood.

use crate::diagnostics::Pos;
use penstock_model::{FallbackAction, Text, Value, ValueType};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::Spanned;
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// A value and where it stands in its file.
#[derive(Debug, Clone, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub pos: Pos,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(d)?;
        Ok(Self { value: spanned.value, pos: pos_of(&spanned.referenced) })
    }
}

/// The place a YAML location names.
pub fn pos_of(at: &serde_yaml::Location) -> Pos {
    let small = |n: u64| u32::try_from(n).unwrap_or(0);
    Pos { line: small(at.line()), column: small(at.column()), len: small(at.span().len()) }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// A mapping in the order of its file.
#[derive(Debug, Clone)]
pub struct Pairs<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Pairs<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Pairs<T> {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.0.iter().find(|(k, _)| k.value == key).map(|(_, v)| v)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pairs<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pick<T> {
            type Value = Pairs<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names with values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut out = Vec::new();
                while let Some(pair) = map.next_entry::<At<String>, T>()? {
                    out.push(pair);
                }
                Ok(Pairs(out))
            }
        }
        d.deserialize_map(Pick(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Pairs<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("Pairs_{}", T::schema_name()))
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": of })
    }
}

/// A value whose meaning depends on what it is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// true or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// Words.
    Text(String),
    /// A list.
    List(Vec<At<Node>>),
    /// Names with values.
    Map(Vec<(At<String>, At<Node>)>),
}

impl Node {
    /// The number, where it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "written by hand in a file: far below 2^53")]
            Self::Int(i) => Some(*i as f64),
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// What a person would call it.
    pub fn describe(&self) -> String {
        match self {
            Self::Bool(b) => b.to_string(),
            Self::Int(i) => i.to_string(),
            Self::Float(x) => x.to_string(),
            Self::Text(t) => format!("`{t}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a mapping".to_owned(),
        }
    }

    /// As a value of this type, where nothing is lost. A switch is no number and a number no switch: whoever writes
    /// one for the other means something else.
    pub fn to_value(&self, wanted: ValueType) -> Option<Value> {
        if matches!(self, Self::Bool(_)) != (wanted == ValueType::Bool) {
            return None;
        }
        let value = match self {
            Self::Bool(b) => Value::Bool(*b),
            Self::Int(i) => Value::Int(*i),
            Self::Float(x) => Value::Float(*x),
            Self::Text(t) => Value::Text(t.as_str().into()),
            Self::List(_) | Self::Map(_) => return None,
        };
        value.convert(wanted).filter(Value::is_finite)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick;
        impl<'de> Visitor<'de> for Pick {
            type Value = Node;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, v: bool) -> Result<Node, E> {
                Ok(Node::Bool(v))
            }
            fn visit_i64<E>(self, v: i64) -> Result<Node, E> {
                Ok(Node::Int(v))
            }
            fn visit_u64<E>(self, v: u64) -> Result<Node, E> {
                #[expect(clippy::cast_precision_loss, reason = "beyond i64 nothing here needs every digit")]
                Ok(i64::try_from(v).map_or(Node::Float(v as f64), Node::Int))
            }
            fn visit_f64<E>(self, v: f64) -> Result<Node, E> {
                Ok(Node::Float(v))
            }
            fn visit_str<E>(self, v: &str) -> Result<Node, E> {
                Ok(Node::Text(v.to_owned()))
            }
            fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
                Err(E::custom("a value is missing here"))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut out = Vec::new();
                while let Some(item) = seq.next_element::<At<Node>>()? {
                    out.push(item);
                }
                Ok(Node::List(out))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut out = Vec::new();
                while let Some(pair) = map.next_entry::<At<String>, At<Node>>()? {
                    out.push(pair);
                }
                Ok(Node::Map(out))
            }
        }
        d.deserialize_any(Pick)
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Value".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["number", "boolean", "string", "object", "array"] })
    }
}

/// Text for a person: `{ zh: ..., en: ... }`, or one text for both languages.
#[derive(Debug, Clone, PartialEq)]
pub struct Label(pub Text);

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Pick;
        impl<'de> Visitor<'de> for Pick {
            type Value = Label;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or { zh: ..., en: ... }")
            }
            fn visit_str<E>(self, v: &str) -> Result<Label, E> {
                Ok(Label(Text::same(v)))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Label, A::Error> {
                use serde::de::Error;
                let (mut zh, mut en) = (None, None);
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "zh" => zh = Some(map.next_value::<String>()?),
                        "en" => en = Some(map.next_value::<String>()?),
                        other => return Err(A::Error::unknown_field(other, &["zh", "en"])),
                    }
                }
                match (zh, en) {
                    (Some(zh), Some(en)) => Ok(Label(Text::new(&zh, &en))),
                    (Some(one), None) | (None, Some(one)) => Ok(Label(Text::same(&one))),
                    (None, None) => Err(A::Error::missing_field("zh")),
                }
            }
        }
        d.deserialize_any(Pick)
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text in Chinese and English, or one text for both.",
            "anyOf": [
                { "type": "string" },
                { "type": "object", "properties": { "zh": { "type": "string" }, "en": { "type": "string" } },
                  "additionalProperties": false, "minProperties": 1 }
            ]
        })
    }
}

/// Longest duration of a file: 100 years. Longer than anything that is waited for or kept, and short enough that no
/// multiple or sum of it that the runtime forms leaves the range of its clocks (292 years of nanoseconds).
const DURATION_MAX: Duration = Duration::from_secs(36_525 * 86_400);

/// `100ms`, `1s`, `1.5s`, `15min`, `2h`, `400d`; at most 100 years.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 5] = [("ms", 1e-3), ("min", 60.0), ("s", 1.0), ("h", 3_600.0), ("d", 86_400.0)];
    let text = text.trim();
    let split = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = (text[..split].trim(), text[split..].trim());
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("`{text}` is not a duration"));
    };
    if unit.is_empty() {
        return Err(format!("`{text}` needs a unit of time"));
    }
    let Some((_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("`{unit}` is not a unit of time"));
    };
    let seconds = number * seconds;
    if seconds > DURATION_MAX.as_secs_f64() {
        return Err(format!("`{text}` is too long: a duration is at most 36525d"));
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is not a duration"))
}

/// What to write instead of a wrong duration.
pub const DURATION_HELP: &str = "write a number and a unit: 100ms, 1s, 15min, 2h, 30d";

/// `1/s`, `30/min`: change per second.
pub fn parse_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a rate");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3_600.0,
        _ => return Err(wrong()),
    };
    if number.is_finite() && number > 0.0 { Ok(number / seconds) } else { Err(wrong()) }
}

/// `20 GB`, `500 MB`.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size");
    let text = text.trim();
    let split = text.find(|c: char| c.is_alphabetic()).ok_or_else(wrong)?;
    let number: u64 = text[..split].trim().parse().map_err(|_| wrong())?;
    let unit: u64 = match &text[split..] {
        "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}

/// `07:30` as minutes of the day; `24:00` is the day's end.
pub fn parse_clock(text: &str) -> Result<u16, String> {
    let wrong = || format!("`{text}` is not a time of day");
    let (hour, minute) = text.trim().split_once(':').ok_or_else(wrong)?;
    let hour: u16 = hour.parse().map_err(|_| wrong())?;
    let minute: u16 = minute.parse().map_err(|_| wrong())?;
    if minute > 59 || hour > 24 || (hour == 24 && minute > 0) { Err(wrong()) } else { Ok(hour * 60 + minute) }
}

/// What to write instead of a wrong fallback.
pub const FALLBACK_HELP: &str = "write a value, `hold`, `hold 5min then 40`, or `device` (hand back to the device)";

/// A fallback: a value, `hold`, `hold 5min then 40`, or `device`.
pub fn parse_fallback(node: &Node, wanted: ValueType) -> Result<FallbackAction, String> {
    let not_a_value = |what: &str| format!("{what} is not a {wanted} to fall back to");
    let Node::Text(text) = node else {
        let value = node.to_value(wanted).ok_or_else(|| not_a_value(&node.describe()))?;
        return Ok(FallbackAction::Value(value));
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["hold"] => Ok(FallbackAction::Hold),
        ["device"] => Ok(FallbackAction::Release),
        ["hold", time, "then", value] => {
            let time = parse_duration(time)?;
            let node = match (value.parse::<f64>(), *value) {
                (Ok(number), _) => Node::Float(number),
                (_, "true") => Node::Bool(true),
                (_, "false") => Node::Bool(false),
                _ => return Err(not_a_value(&format!("`{value}`"))),
            };
            let value = node.to_value(wanted).ok_or_else(|| not_a_value(&format!("`{value}`")))?;
            Ok(FallbackAction::HoldThen(time, value))
        }
        _ => Err(format!("`{text}` is not a fallback")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(parse_duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(parse_duration("1.5 s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("15min"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_duration("400d"), Ok(Duration::from_secs(400 * 86_400)));
        assert!(parse_duration("500").unwrap_err().contains("needs a unit"));
        assert!(parse_duration("5 parsec").unwrap_err().contains("parsec"));
        assert!(parse_duration("-5s").is_err());
        assert!(parse_duration("infs").is_err());
        assert_eq!(parse_duration("36525d"), Ok(DURATION_MAX));
        for long in ["36526d", "99999999999999d", "999999999999999999999999s"] {
            assert!(parse_duration(long).unwrap_err().contains("too long"), "{long}");
        }
        assert!(parse_duration("NaNs").is_err());
        assert!(parse_duration("").is_err());
    }

    #[test]
    fn rates_sizes_and_clock_times() {
        assert_eq!(parse_rate("30/min"), Ok(0.5));
        assert!(parse_rate("0/s").is_err());
        assert!(parse_rate("1").is_err());
        assert_eq!(parse_size("20 GB"), Ok(20_000_000_000));
        assert!(parse_size("20").is_err());
        assert_eq!(parse_clock("07:30"), Ok(450));
        assert_eq!(parse_clock("24:00"), Ok(1440));
        assert!(parse_clock("24:01").is_err());
        assert!(parse_clock("7h").is_err());
    }

    #[test]
    fn the_fallback_grammar_is_typed() {
        let text = |t: &str| Node::Text(t.to_owned());
        assert_eq!(parse_fallback(&text("hold"), ValueType::Float), Ok(FallbackAction::Hold));
        assert_eq!(parse_fallback(&text("device"), ValueType::Bool), Ok(FallbackAction::Release));
        assert_eq!(
            parse_fallback(&text("hold 5min then 40"), ValueType::Float),
            Ok(FallbackAction::HoldThen(Duration::from_secs(300), Value::Float(40.0)))
        );
        assert_eq!(
            parse_fallback(&text("hold 1s then false"), ValueType::Bool),
            Ok(FallbackAction::HoldThen(Duration::from_secs(1), Value::Bool(false)))
        );
        assert_eq!(parse_fallback(&Node::Int(40), ValueType::Float), Ok(FallbackAction::Value(Value::Float(40.0))));
        assert!(parse_fallback(&text("stay"), ValueType::Float).is_err());
        assert!(parse_fallback(&Node::Bool(true), ValueType::Text).is_err());
        assert!(parse_fallback(&text("hold 5 then 40"), ValueType::Float).is_err());
    }
}
