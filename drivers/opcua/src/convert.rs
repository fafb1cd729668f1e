//! The one way between an OPC UA value and a tag's sample.

use crate::config::PointConfig;
use crate::limits::SOURCE_AHEAD_MAX;
use opcua::types::{DataValue, DateTime, StatusCode, Variant, VariantScalarTypeId};
use penstock_model::limits::TEXT_BYTES_MAX;
use penstock_model::{BadReason, Now, Quality, UncertainReason, Utc, Value, ValueType};

/// What a server's value means for a tag.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// The value; `None` when there is none to be used.
    pub(crate) value: Option<Value>,
    pub(crate) quality: Quality,
    pub(crate) source_time: Utc,
    /// What is wrong, for the log, with the server's own code; empty when nothing is.
    pub(crate) why: String,
}

/// The status without its informational bits.
pub(crate) fn bare(status: StatusCode) -> StatusCode {
    StatusCode::from(status.bits() & 0xFFFF_0000)
}

/// Quality of a status: Bad and Uncertain are the device's own word unless it says more.
pub(crate) fn quality(status: StatusCode) -> Quality {
    match bare(status) {
        s if s.is_good() => Quality::Good,
        StatusCode::UncertainLastUsableValue => Quality::Uncertain(UncertainReason::LastKnown),
        StatusCode::UncertainInitialValue => Quality::Uncertain(UncertainReason::Initial),
        StatusCode::UncertainSubstituteValue => Quality::Uncertain(UncertainReason::Substituted),
        StatusCode::UncertainEngineeringUnitsExceeded => Quality::Uncertain(UncertainReason::RangeExceeded),
        s if s.is_uncertain() => Quality::Uncertain(UncertainReason::Device),
        StatusCode::BadWaitingForInitialData => Quality::Bad(BadReason::Initial),
        StatusCode::BadOutOfService => Quality::Bad(BadReason::Disabled),
        StatusCode::BadOutOfRange => Quality::Bad(BadReason::OutOfRange),
        s => Quality::Bad(refused(s).unwrap_or(BadReason::Device)),
    }
}

/// The quality of a refusal to read or watch a node; `None` when the status speaks of the value, not of our asking.
pub(crate) fn refused(status: StatusCode) -> Option<BadReason> {
    match bare(status) {
        StatusCode::BadNodeIdUnknown
        | StatusCode::BadNodeIdInvalid
        | StatusCode::BadAttributeIdInvalid
        | StatusCode::BadIndexRangeInvalid
        | StatusCode::BadTypeMismatch => Some(BadReason::Configuration),
        StatusCode::BadUserAccessDenied
        | StatusCode::BadNotReadable
        | StatusCode::BadNotSupported
        | StatusCode::BadTooManyMonitoredItems => Some(BadReason::Refused),
        _ => None,
    }
}

/// Reads a server's value for a point.
pub(crate) fn read(point: &PointConfig, data: &DataValue, now: Now) -> Reading {
    let status = data.status.unwrap_or(StatusCode::Good);
    let source_time = source_time(data, now);
    let bad = |reason: BadReason, why: String| Reading { value: None, quality: Quality::Bad(reason), source_time, why };
    let base = quality(status);
    if let Quality::Bad(reason) = base {
        return bad(reason, status.to_string());
    }
    let Some(variant) = data.value.as_ref().filter(|v| !v.is_empty()) else {
        return bad(BadReason::Device, "the server sends no value".to_owned());
    };
    let variant = match point.part.of(variant) {
        Ok(part) => part,
        Err(why) => return bad(BadReason::Configuration, why),
    };
    let raw = match value_of(variant) {
        Some(raw) if (raw.value_type() == ValueType::Text) == (point.value_type == ValueType::Text) => raw,
        _ => {
            let kind = variant.scalar_type_id().map_or("structure".to_owned(), |t| t.to_string());
            let array = if variant.is_array() { "array of " } else { "" };
            let why = format!("the node is a {array}{kind}, the tag a {}", point.value_type);
            return bad(BadReason::Configuration, why);
        }
    };
    if !raw.is_finite() {
        return bad(BadReason::NotFinite, "the server sends a number that is not finite".to_owned());
    }
    let Some(value) = engineering(point, &raw) else {
        return bad(BadReason::Undecodable, format!("{raw} is no {}", point.value_type));
    };
    let inside = match (point.range, value.as_f64()) {
        (Some((low, high)), Some(x)) if point.value_type != ValueType::Bool => (low..=high).contains(&x),
        _ => true,
    };
    let quality = if inside { base } else { base.worst(Quality::Uncertain(UncertainReason::RangeExceeded)) };
    let why = match (quality, inside) {
        (Quality::Good, _) => String::new(),
        (_, true) => status.to_string(),
        // Without the value: what changes with each one would be logged with each one.
        (_, false) => format!("outside the range of the tag; the server says {status}"),
    };
    Reading { value: Some(value), quality, source_time, why }
}

/// A scalar as a value; `None` for arrays, structures and texts beyond our bound.
fn value_of(variant: &Variant) -> Option<Value> {
    Some(match variant {
        Variant::Boolean(x) => Value::Bool(*x),
        Variant::SByte(x) => Value::Int((*x).into()),
        Variant::Byte(x) => Value::Int((*x).into()),
        Variant::Int16(x) => Value::Int((*x).into()),
        Variant::UInt16(x) => Value::Int((*x).into()),
        Variant::Int32(x) => Value::Int((*x).into()),
        Variant::UInt32(x) => Value::Int((*x).into()),
        Variant::Int64(x) => Value::Int(*x),
        #[expect(clippy::cast_precision_loss, reason = "a counter beyond 2^63 can only be shown rounded")]
        Variant::UInt64(x) => i64::try_from(*x).map_or(Value::Float(*x as f64), Value::Int),
        Variant::Float(x) => Value::Float((*x).into()),
        Variant::Double(x) => Value::Float(*x),
        Variant::String(x) => text(x.as_ref())?,
        Variant::LocalizedText(x) => text(x.text.as_ref())?,
        _ => return None,
    })
}

fn text(text: &str) -> Option<Value> {
    (text.len() <= TEXT_BYTES_MAX).then(|| Value::Text(text.into()))
}

fn engineering(point: &PointConfig, raw: &Value) -> Option<Value> {
    if point.scale == 1.0 && point.offset == 0.0 {
        return raw.convert(point.value_type);
    }
    Value::Float(raw.as_f64()? * point.scale + point.offset).convert(point.value_type)
}

/// The source's own time, else the server's, else ours. A time before 1970 or ahead of us is a wrong clock.
fn source_time(data: &DataValue, now: Now) -> Utc {
    let usable = |t: &DateTime| {
        let chrono = t.as_chrono();
        let utc = Utc(chrono.timestamp_nanos_opt()?);
        (utc.0 > 0 && utc <= now.utc + SOURCE_AHEAD_MAX).then_some(utc)
    };
    let times = [&data.source_timestamp, &data.server_timestamp];
    times.into_iter().flatten().find_map(usable).unwrap_or(now.utc)
}

/// What to write into a node of type `kind` for a value of the tag; whole types take the nearest whole number.
///
/// # Errors
/// When the node cannot hold the value; in words for a person.
pub(crate) fn write(point: &PointConfig, value: &Value, kind: VariantScalarTypeId) -> Result<Variant, String> {
    use VariantScalarTypeId as T;
    let wrong = || format!("a {} cannot be written into a {kind}", value.value_type());
    match (kind, value) {
        (T::String, Value::Text(text)) => return Ok(Variant::from(text.as_ref())),
        (_, Value::Text(_)) | (T::String, _) => return Err(wrong()),
        (T::Boolean, _) => {
            let on = value.convert(ValueType::Bool).and_then(|v| v.as_bool());
            return on.map(Variant::Boolean).ok_or_else(|| format!("{value} is neither off (0) nor on (1)"));
        }
        _ => {}
    }
    let number = value.as_f64().ok_or_else(wrong)?;
    if !number.is_finite() {
        return Err("a number that is not finite cannot be written".to_owned());
    }
    let unscaled = (number - point.offset) / point.scale;
    // Exact where the value is a whole number and nothing is scaled, nearest otherwise.
    let whole: i128 = match value {
        Value::Int(i) if point.scale == 1.0 && point.offset == 0.0 => i128::from(*i),
        #[expect(clippy::cast_possible_truncation, reason = "a float saturates, and the range check follows")]
        _ => unscaled.round() as i128,
    };
    let range = |_| format!("{value} does not fit a {kind}");
    Ok(match kind {
        T::SByte => Variant::SByte(i8::try_from(whole).map_err(range)?),
        T::Byte => Variant::Byte(u8::try_from(whole).map_err(range)?),
        T::Int16 => Variant::Int16(i16::try_from(whole).map_err(range)?),
        T::UInt16 => Variant::UInt16(u16::try_from(whole).map_err(range)?),
        T::Int32 => Variant::Int32(i32::try_from(whole).map_err(range)?),
        T::UInt32 => Variant::UInt32(u32::try_from(whole).map_err(range)?),
        T::Int64 => Variant::Int64(i64::try_from(whole).map_err(range)?),
        T::UInt64 => Variant::UInt64(u64::try_from(whole).map_err(range)?),
        T::Float if unscaled.abs() > f64::from(f32::MAX) => return Err(format!("{value} does not fit a {kind}")),
        #[expect(clippy::cast_possible_truncation, reason = "checked to stay finite as a single")]
        T::Float => Variant::Float(unscaled as f32),
        T::Double => Variant::Double(unscaled),
        _ => return Err(wrong()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{Instant, TagId};

    fn point(value_type: ValueType) -> PointConfig {
        PointConfig {
            tag: TagId(0),
            path: "t".into(),
            node: "i=1".into(),
            part: crate::part::Part::default(),
            value_type,
            scale: 1.0,
            offset: 0.0,
            range: None,
            group: 0,
            write: None,
        }
    }

    fn now() -> Now {
        Now { mono: Instant(5), utc: Utc::from_millis(1_800_000_000_000) }
    }

    fn good(variant: Variant) -> DataValue {
        DataValue { value: Some(variant), ..DataValue::null() }
    }

    fn with(variant: Variant, status: StatusCode) -> DataValue {
        DataValue { status: Some(status), ..good(variant) }
    }

    #[test]
    fn scalars_become_the_tags_type_or_say_why_not() {
        let bad = |r: BadReason| (None, Quality::Bad(r));
        for (variant, wanted, want) in [
            (Variant::Double(2.5), ValueType::Float, (Some(Value::Float(2.5)), Quality::Good)),
            (Variant::Float(2.5), ValueType::Float, (Some(Value::Float(2.5)), Quality::Good)),
            (Variant::Int32(-3), ValueType::Float, (Some(Value::Float(-3.0)), Quality::Good)),
            (Variant::Double(3.0), ValueType::Int, (Some(Value::Int(3)), Quality::Good)),
            (Variant::UInt64(7), ValueType::Int, (Some(Value::Int(7)), Quality::Good)),
            (Variant::Boolean(true), ValueType::Bool, (Some(Value::Bool(true)), Quality::Good)),
            (Variant::Byte(1), ValueType::Bool, (Some(Value::Bool(true)), Quality::Good)),
            (Variant::from("on"), ValueType::Text, (Some(Value::from("on")), Quality::Good)),
            (Variant::Double(3.5), ValueType::Int, bad(BadReason::Undecodable)),
            (Variant::Byte(2), ValueType::Bool, bad(BadReason::Undecodable)),
            (Variant::UInt64(u64::MAX), ValueType::Int, bad(BadReason::Undecodable)),
            (Variant::from("on"), ValueType::Float, bad(BadReason::Configuration)),
            (Variant::Double(1.0), ValueType::Text, bad(BadReason::Configuration)),
            (Variant::from(vec![1.0_f64]), ValueType::Float, bad(BadReason::Configuration)),
            (Variant::from("x".repeat(257)), ValueType::Text, bad(BadReason::Configuration)),
            (Variant::Double(f64::NAN), ValueType::Float, bad(BadReason::NotFinite)),
            (Variant::Empty, ValueType::Float, bad(BadReason::Device)),
        ] {
            let got = read(&point(wanted), &good(variant.clone()), now());
            assert_eq!((got.value, got.quality), want, "{variant:?} as {wanted}");
        }
    }

    #[test]
    fn a_status_becomes_a_quality() {
        let of = |status| read(&point(ValueType::Float), &with(Variant::Double(1.0), status), now()).quality;
        assert_eq!(of(StatusCode::GoodClamped), Quality::Good);
        assert_eq!(of(StatusCode::UncertainSensorNotAccurate), Quality::Uncertain(UncertainReason::Device));
        assert_eq!(of(StatusCode::UncertainLastUsableValue), Quality::Uncertain(UncertainReason::LastKnown));
        assert_eq!(of(StatusCode::BadSensorFailure), Quality::Bad(BadReason::Device));
        assert_eq!(of(StatusCode::BadNodeIdUnknown), Quality::Bad(BadReason::Configuration));
        assert_eq!(of(StatusCode::BadUserAccessDenied), Quality::Bad(BadReason::Refused));
        // Informational bits, here "overflow", do not hide the code.
        let overflow = StatusCode::from(StatusCode::BadNodeIdUnknown.bits() | 0x480);
        assert_eq!(of(overflow), Quality::Bad(BadReason::Configuration));
    }

    #[test]
    fn an_element_of_an_array_is_a_value_of_its_own() {
        let mut p = point(ValueType::Float);
        p.part.index = vec![2];
        let got = read(&p, &good(Variant::from(vec![1.0_f64, 2.0, 3.5])), now());
        assert_eq!((got.value, got.quality), (Some(Value::Float(3.5)), Quality::Good));
        let got = read(&p, &good(Variant::from(vec![1.0_f64, 2.0])), now());
        assert_eq!(got.quality, Quality::Bad(BadReason::Configuration));
        assert!(got.why.contains("no index 2"), "{}", got.why);
        let uncertain =
            read(&point(ValueType::Float), &with(Variant::Double(1.0), StatusCode::UncertainSubNormal), now());
        assert!(uncertain.why.contains("UncertainSubNormal"), "the server's own code is told: {}", uncertain.why);
    }

    #[test]
    fn a_value_outside_its_range_is_uncertain_and_scaled() {
        let p = PointConfig { scale: 0.1, offset: -1.0, range: Some((0.0, 5.0)), ..point(ValueType::Float) };
        let got = read(&p, &good(Variant::Int16(60)), now());
        assert_eq!((got.value, got.quality), (Some(Value::Float(5.0)), Quality::Good));
        let got = read(&p, &good(Variant::Int16(70)), now());
        assert_eq!(got.quality, Quality::Uncertain(UncertainReason::RangeExceeded));
        assert_eq!(write(&p, &Value::Float(5.0), VariantScalarTypeId::Int16), Ok(Variant::Int16(60)));
    }

    #[test]
    fn the_source_time_is_taken_unless_its_clock_is_wrong() {
        let at = |ms: i64| DataValue {
            source_timestamp: Some(DateTime::from(ms * 10_000 + 116_444_736_000_000_000)),
            ..good(Variant::Double(1.0))
        };
        let time = |d: &DataValue| read(&point(ValueType::Float), d, now()).source_time.millis();
        assert_eq!(time(&at(1_799_999_999_000)), 1_799_999_999_000);
        assert_eq!(time(&at(1_800_000_001_000)), 1_800_000_001_000);
        assert_eq!(time(&at(1_800_000_060_000)), now().utc.millis(), "a minute ahead");
        assert_eq!(time(&at(-1)), now().utc.millis(), "before 1970");
        assert_eq!(time(&good(Variant::Double(1.0))), now().utc.millis());
    }

    #[test]
    fn writing_checks_the_nodes_type() {
        use VariantScalarTypeId as T;
        let p = point(ValueType::Float);
        for (value, kind, want) in [
            (Value::Float(2.5), T::Double, Some(Variant::Double(2.5))),
            (Value::Float(2.5), T::Float, Some(Variant::Float(2.5))),
            (Value::Float(2.5), T::Int16, Some(Variant::Int16(3))),
            (Value::Float(40_000.0), T::Int16, None),
            (Value::Float(-1.0), T::UInt32, None),
            (Value::Float(1e39), T::Float, None),
            (Value::Float(f64::NAN), T::Double, None),
            (Value::Int(i64::MAX), T::Int64, Some(Variant::Int64(i64::MAX))),
            (Value::Bool(true), T::Boolean, Some(Variant::Boolean(true))),
            (Value::Bool(true), T::Byte, Some(Variant::Byte(1))),
            (Value::Float(0.5), T::Boolean, None),
            (Value::from("a"), T::String, Some(Variant::from("a"))),
            (Value::from("a"), T::Double, None),
            (Value::Float(1.0), T::String, None),
            (Value::Float(1.0), T::Guid, None),
        ] {
            assert_eq!(write(&p, &value, kind).ok(), want, "{value} into {kind}");
        }
    }
}
