//! The one way between a sample and an OPC UA value: value, quality, times.

use opcua::types::{DataTypeId, DataValue, DateTime, StatusCode, TimestampsToReturn, Variant};
use penstock_model::{BadReason, Quality, Sample, UncertainReason, Utc, Value, ValueType};

/// 100 ns steps from 1601 to 1970.
const EPOCH_TICKS: i64 = 116_444_736_000_000_000;

/// A civil time as OPC UA counts it.
pub(crate) fn date_time(utc: Utc) -> DateTime {
    DateTime::from(utc.0.div_euclid(100) + EPOCH_TICKS)
}

/// A civil time of a client; beyond the years 1678 to 2262 the nearest there is.
pub(crate) fn utc(time: &DateTime) -> Utc {
    Utc(time.checked_ticks().saturating_sub(EPOCH_TICKS).saturating_mul(100))
}

/// The quality as a status: the table of `docs/opcua-server.md`.
pub(crate) fn status(quality: Quality) -> StatusCode {
    match quality {
        Quality::Good => StatusCode::Good,
        Quality::Uncertain(reason) => match reason {
            UncertainReason::LastKnown => StatusCode::UncertainLastUsableValue,
            UncertainReason::Initial => StatusCode::UncertainInitialValue,
            UncertainReason::Substituted => StatusCode::UncertainSubstituteValue,
            UncertainReason::RangeExceeded => StatusCode::UncertainEngineeringUnitsExceeded,
            UncertainReason::Frozen | UncertainReason::Verification | UncertainReason::Maintenance => {
                StatusCode::UncertainSensorNotAccurate
            }
            UncertainReason::Input => StatusCode::UncertainSubNormal,
            UncertainReason::Device => StatusCode::Uncertain,
        },
        Quality::Bad(reason) => match reason {
            BadReason::Initial => StatusCode::BadWaitingForInitialData,
            BadReason::Link => StatusCode::BadNoCommunication,
            BadReason::Stale => StatusCode::BadTimeout,
            BadReason::Refused => StatusCode::BadNotReadable,
            BadReason::Undecodable => StatusCode::BadDecodingError,
            BadReason::NotFinite | BadReason::OutOfRange => StatusCode::BadOutOfRange,
            BadReason::ProgramFault | BadReason::Overrun => StatusCode::BadInternalError,
            BadReason::Disabled => StatusCode::BadOutOfService,
            BadReason::Configuration => StatusCode::BadConfigurationError,
            BadReason::Device => StatusCode::BadDeviceFailure,
            BadReason::Shutdown => StatusCode::BadShutdown,
            BadReason::NotImplemented => StatusCode::BadNotSupported,
            BadReason::Input => StatusCode::Bad,
        },
    }
}

/// The data type of a tag's node.
pub(crate) fn data_type(value_type: ValueType) -> DataTypeId {
    match value_type {
        ValueType::Bool => DataTypeId::Boolean,
        ValueType::Int => DataTypeId::Int64,
        ValueType::Float => DataTypeId::Double,
        ValueType::Text => DataTypeId::String,
    }
}

fn variant(value: &Value) -> Variant {
    match value {
        Value::Bool(b) => Variant::Boolean(*b),
        Value::Int(i) => Variant::Int64(*i),
        Value::Float(x) => Variant::Double(*x),
        Value::Text(t) => Variant::String((&**t).into()),
    }
}

/// A value and its quality as clients get them. A bad value is empty: nobody is to use it. Empty and not absent, because
/// the library forgets the status of what is absent.
pub(crate) fn value_and_status(value: Option<&Value>, quality: Quality) -> (Variant, StatusCode) {
    let status = status(quality);
    match value.filter(|_| !status.is_bad()) {
        Some(value) => (variant(value), status),
        None if status.is_bad() => (Variant::Empty, status),
        None => (Variant::Empty, StatusCode::BadWaitingForInitialData),
    }
}

/// A sample with both its times.
pub(crate) fn data_value(sample: &Sample, now: DateTime) -> DataValue {
    let (value, status) = value_and_status(sample.value.as_ref(), sample.quality);
    DataValue {
        value: Some(value),
        status: Some(status),
        source_timestamp: Some(date_time(sample.source_time)),
        server_timestamp: Some(now),
        ..DataValue::default()
    }
}

/// Leaves the times that a client did not ask for out.
pub(crate) fn with_times(mut value: DataValue, wanted: TimestampsToReturn) -> DataValue {
    if !matches!(wanted, TimestampsToReturn::Source | TimestampsToReturn::Both) {
        value.source_timestamp = None;
    }
    if !matches!(wanted, TimestampsToReturn::Server | TimestampsToReturn::Both) {
        value.server_timestamp = None;
    }
    value
}

/// A client's value as ours. An empty one is "nothing any more".
///
/// # Errors
/// When it is no single number, switch or text, or a whole number beyond what a tag holds.
pub(crate) fn read(variant: &Variant) -> Result<Option<Value>, StatusCode> {
    let value = match variant {
        Variant::Empty => return Ok(None),
        Variant::Boolean(b) => Value::Bool(*b),
        Variant::SByte(n) => Value::Int(i64::from(*n)),
        Variant::Byte(n) => Value::Int(i64::from(*n)),
        Variant::Int16(n) => Value::Int(i64::from(*n)),
        Variant::UInt16(n) => Value::Int(i64::from(*n)),
        Variant::Int32(n) => Value::Int(i64::from(*n)),
        Variant::UInt32(n) => Value::Int(i64::from(*n)),
        Variant::Int64(n) => Value::Int(*n),
        Variant::UInt64(n) => Value::Int(i64::try_from(*n).map_err(|_| StatusCode::BadOutOfRange)?),
        Variant::Float(x) => Value::Float(f64::from(*x)),
        Variant::Double(x) => Value::Float(*x),
        Variant::String(text) if !text.is_null() => Value::from(text.as_ref()),
        _ => return Err(StatusCode::BadTypeMismatch),
    };
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use penstock_model::{Instant, Now};

    #[test]
    fn times_come_back_and_the_epoch_is_that_of_1601() {
        assert_eq!(date_time(Utc(0)).ticks(), EPOCH_TICKS);
        for ns in [0, 1_700_000_000_123_456_700, -86_400_000_000_000] {
            assert_eq!(utc(&date_time(Utc(ns))), Utc(ns));
        }
        assert!(utc(&DateTime::null()) < Utc(0) && utc(&DateTime::endtimes()) > Utc(0));
    }

    #[test]
    fn a_bad_sample_has_no_value_and_every_quality_keeps_its_class() {
        let now = Now { mono: Instant(1), utc: Utc(0) };
        for reason in BadReason::ALL {
            let data = data_value(&Sample::bad(*reason, Some(Value::Float(7.0)), now), DateTime::now());
            assert!(data.status.is_some_and(|s| s.is_bad()), "{reason}");
            assert_eq!(data.value, Some(Variant::Empty));
        }
        for reason in UncertainReason::ALL {
            let data = data_value(&Sample::with_quality(7.0, Quality::Uncertain(*reason), now), DateTime::now());
            assert!(data.status.is_some_and(|s| s.is_uncertain()), "{reason}");
            assert_eq!(data.value, Some(Variant::Double(7.0)));
        }
        assert!(status(Quality::Good).is_good());
    }

    #[test]
    fn a_clients_value_is_taken_whole_or_not_at_all() {
        assert_eq!(read(&Variant::UInt16(7)), Ok(Some(Value::Int(7))));
        assert_eq!(read(&Variant::Float(0.5)), Ok(Some(Value::Float(0.5))));
        assert_eq!(read(&Variant::Empty), Ok(None));
        assert_eq!(read(&Variant::UInt64(u64::MAX)), Err(StatusCode::BadOutOfRange));
        assert_eq!(read(&Variant::from(vec![1.0, 2.0])), Err(StatusCode::BadTypeMismatch));
        assert_eq!(read(&Variant::DateTime(Box::new(DateTime::now()))), Err(StatusCode::BadTypeMismatch));
    }
}
