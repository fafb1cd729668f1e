//! History for clients: raw values page by page with bounds, values at moments, and simple aggregates.
//!
//! Stored values stand until the next one, so a moment between two has the value of the one before. Every call is bounded.
//! Everything here may wait for the disk.

use crate::convert::{date_time, utc, value_and_status};
use crate::limits::{HISTORY_INTERVALS_MAX, HISTORY_TIMES_MAX};
use crate::{Interval, Plant, Point};
use opcua::types::{
    DataValue, DateTime, NodeId, ObjectId, ReadAtTimeDetails, ReadProcessedDetails, ReadRawModifiedDetails, StatusCode,
    TimestampsToReturn, Variant,
};
use penstock_model::{Quality, TagId, Utc};

/// What a value is besides its status: of a data value (part 4, 7.39.1), and by calculation or interpolation (part 11).
const CALCULATED: u32 = 0x0400 | 0b01;
/// See [`CALCULATED`].
const INTERPOLATED: u32 = 0x0400 | 0b10;
const FIRST: Utc = Utc(i64::MIN);
const LAST: Utc = Utc(i64::MAX);

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Time of the last value told, and how many of that time were told.
    at: Utc,
    told: usize,
}

/// A page of values, and where the next one begins.
pub(crate) type Page = (Vec<DataValue>, Option<Cursor>);

/// What a raw read asks for, in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw {
    start: Utc,
    end: Utc,
    backwards: bool,
    /// Both ends were given: what does not fit comes by continuation.
    continues: bool,
    bounds: bool,
    /// Values of one answer; 0 for as many as fit.
    most: usize,
}

fn is_given(time: &DateTime) -> bool {
    !time.is_null() && *time != DateTime::endtimes()
}

impl Raw {
    /// Reads a client's question (part 11, 6.5.3.2).
    ///
    /// # Errors
    /// When fewer than two of start, end and number are given, or changed values are asked for: there are none.
    pub(crate) fn parse(details: &ReadRawModifiedDetails) -> Result<Raw, StatusCode> {
        if details.is_read_modified {
            return Err(StatusCode::BadHistoryOperationUnsupported);
        }
        let most = usize::try_from(details.num_values_per_node).unwrap_or(usize::MAX);
        let bounds = details.return_bounds;
        let raw = |start, end, backwards, continues| Raw { start, end, backwards, continues, bounds, most };
        match (is_given(&details.start_time), is_given(&details.end_time), most) {
            (true, true, _) => {
                let (start, end) = (utc(&details.start_time), utc(&details.end_time));
                Ok(raw(start, end, end < start, true))
            }
            (true, false, 1..) => Ok(raw(utc(&details.start_time), LAST, false, false)),
            (false, true, 1..) => Ok(raw(utc(&details.end_time), FIRST, true, false)),
            _ => Err(StatusCode::BadHistoryOperationInvalid),
        }
    }

    /// The stored times asked for: from, and up to but without.
    fn range(&self) -> (Utc, Utc) {
        let after = |t: Utc| Utc(t.0.saturating_add(1));
        match (self.backwards, self.start == self.end) {
            (_, true) => (self.start, after(self.start)),
            (false, _) => (self.start, self.end),
            (true, _) => (if self.end == FIRST { FIRST } else { after(self.end) }, after(self.start)),
        }
    }
}

fn stored(point: &Point, info: u32) -> DataValue {
    let (value, status) = value_and_status(point.value.as_ref(), point.quality);
    let time = date_time(point.utc);
    DataValue {
        value: Some(value),
        status: Some(StatusCode::from(status.bits() | info)),
        source_timestamp: Some(time),
        server_timestamp: Some(time),
        ..DataValue::default()
    }
}

fn nothing(at: Utc, status: StatusCode) -> DataValue {
    DataValue {
        value: Some(Variant::Empty),
        status: Some(status),
        source_timestamp: Some(date_time(at)),
        server_timestamp: Some(date_time(at)),
        ..DataValue::default()
    }
}

fn failed(why: String) -> StatusCode {
    tracing::error!(%why, "history cannot be read for an OPC UA client");
    StatusCode::BadHistoryOperationInvalid
}

/// One page of raw values, at most `page` of them and the bounds.
pub(crate) fn raw(
    plant: &dyn Plant,
    tag: TagId,
    ask: &Raw,
    from: Option<&Cursor>,
    page: usize,
) -> Result<Page, StatusCode> {
    let most = if ask.most == 0 { page } else { page.min(ask.most) };
    let (mut low, mut high) = ask.range();
    let mut told = 0;
    if let Some(cursor) = from {
        told = cursor.told;
        if ask.backwards {
            high = Utc(cursor.at.0.saturating_add(1));
        } else {
            low = cursor.at;
        }
    }
    let wanted = most.saturating_add(told).saturating_add(1);
    let mut points = plant.points(tag, low, high, wanted, ask.backwards).map_err(failed)?;
    points.drain(..told.min(points.len()));
    let more = points.len() > most;
    points.truncate(most);
    let mut values = Vec::with_capacity(points.len() + 2);
    if ask.bounds && from.is_none() && points.first().is_none_or(|p| p.utc != ask.start) {
        values.push(bound(plant, tag, ask.start, !ask.backwards)?);
    }
    values.extend(points.iter().map(|p| stored(p, 0)));
    let ends = ask.bounds && ask.continues && !more && ask.start != ask.end;
    if ends {
        values.push(bound(plant, tag, ask.end, ask.backwards)?);
    }
    let next = points.last().filter(|_| more && ask.continues).map(|last| {
        let same = points.iter().rev().take_while(|p| p.utc == last.utc).count();
        let before = from.filter(|c| c.at == last.utc && same == points.len()).map_or(0, |c| c.told);
        Cursor { at: last.utc, told: same + before }
    });
    Ok((values, next))
}

/// The value at an end of a range, or the nearest beyond it.
fn bound(plant: &dyn Plant, tag: TagId, at: Utc, before: bool) -> Result<DataValue, StatusCode> {
    let found = if before {
        plant.point_before(tag, Utc(at.0.saturating_add(1))).map_err(failed)?
    } else {
        plant.points(tag, at, LAST, 1, false).map_err(failed)?.into_iter().next()
    };
    Ok(found.map_or_else(|| nothing(at, StatusCode::BadBoundNotFound), |p| stored(&p, 0)))
}

/// The values at moments.
pub(crate) fn at_times(
    plant: &dyn Plant,
    tag: TagId,
    details: &ReadAtTimeDetails,
) -> Result<Vec<DataValue>, StatusCode> {
    let times = details.req_times.as_deref().unwrap_or_default();
    if times.is_empty() {
        return Err(StatusCode::BadNothingToDo);
    }
    if times.len() > HISTORY_TIMES_MAX {
        return Err(StatusCode::BadTooManyOperations);
    }
    let value = |time: &DateTime| {
        let at = utc(time);
        let found = plant.point_before(tag, Utc(at.0.saturating_add(1))).map_err(failed)?;
        Ok(match found {
            None => nothing(at, StatusCode::BadNoData),
            Some(point) if point.utc == at => stored(&point, 0),
            Some(point) => stored(&Point { utc: at, ..point }, INTERPOLATED),
        })
    };
    times.iter().map(value).collect()
}

/// Aggregates that are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Average,
    Minimum,
    Maximum,
    Count,
    Start,
    End,
}

impl Aggregate {
    pub(crate) const ALL: [(ObjectId, Aggregate); 6] = [
        (ObjectId::AggregateFunction_Average, Aggregate::Average),
        (ObjectId::AggregateFunction_Minimum, Aggregate::Minimum),
        (ObjectId::AggregateFunction_Maximum, Aggregate::Maximum),
        (ObjectId::AggregateFunction_Count, Aggregate::Count),
        (ObjectId::AggregateFunction_Start, Aggregate::Start),
        (ObjectId::AggregateFunction_End, Aggregate::End),
    ];

    fn of(id: &NodeId) -> Option<Aggregate> {
        Self::ALL.iter().find(|(object, _)| id == object).map(|(_, aggregate)| *aggregate)
    }

    fn pick(self, i: &Interval) -> Option<f64> {
        match self {
            Aggregate::Average => i.mean,
            Aggregate::Minimum => i.min,
            Aggregate::Maximum => i.max,
            Aggregate::Count => Some(f64::from(i.count)),
            Aggregate::Start => i.first,
            Aggregate::End => i.last,
        }
    }
}

/// Values by intervals.
pub(crate) fn processed(
    plant: &dyn Plant,
    tag: TagId,
    details: &ReadProcessedDetails,
) -> Result<Vec<DataValue>, StatusCode> {
    // The library does not say which node of a question an aggregate belongs to.
    let aggregates = details.aggregate_type.as_deref().unwrap_or_default();
    let first = aggregates.first().ok_or(StatusCode::BadAggregateListMismatch)?;
    if aggregates.iter().any(|a| a != first) {
        return Err(StatusCode::BadAggregateListMismatch);
    }
    let aggregate = Aggregate::of(first).ok_or(StatusCode::BadAggregateNotSupported)?;
    if !is_given(&details.start_time) || !is_given(&details.end_time) || details.end_time <= details.start_time {
        return Err(StatusCode::BadInvalidArgument);
    }
    let (start, end) = (utc(&details.start_time), utc(&details.end_time));
    let span = i128::from(end.0) - i128::from(start.0);
    if !details.processing_interval.is_finite() || details.processing_interval < 0.0 {
        return Err(StatusCode::BadAggregateInvalidInputs);
    }
    #[expect(clippy::cast_possible_truncation, reason = "beyond the span it is the span")]
    let step = match (details.processing_interval * 1e6) as i128 {
        0 => span,
        step => step.min(span),
    };
    let whole = usize::try_from(span / step).unwrap_or(usize::MAX);
    if whole > HISTORY_INTERVALS_MAX {
        return Err(StatusCode::BadTooManyOperations);
    }
    #[expect(clippy::cast_possible_truncation, reason = "within the range of the question")]
    let at = |number: usize| Utc((i128::from(start.0) + step * number as i128) as i64);
    let mut found = plant.intervals(tag, start, at(whole), whole).map_err(failed)?;
    let mut count = whole;
    if at(whole) < end {
        found.extend(plant.intervals(tag, at(whole), end, 1).map_err(failed)?);
        count += 1;
    }
    let mut found = found.into_iter().peekable();
    let mut values = Vec::with_capacity(count);
    for number in 0..count {
        let (from, to) = (at(number), if number < whole { at(number + 1) } else { end });
        let interval = found.next_if(|i| i.from >= from && i.from < to);
        values.push(summed(aggregate, from, interval.as_ref()));
    }
    Ok(values)
}

fn summed(aggregate: Aggregate, from: Utc, interval: Option<&Interval>) -> DataValue {
    let number = match interval {
        None if aggregate == Aggregate::Count => Some(0.0),
        None => None,
        Some(interval) => aggregate.pick(interval),
    };
    let Some(number) = number else { return nothing(from, StatusCode::BadNoData) };
    let status = match interval.map(|i| i.worst) {
        None | Some(Quality::Good) => StatusCode::Good,
        // Some of the interval could not be used, or only with care.
        Some(_) => StatusCode::UncertainDataSubNormal,
    };
    DataValue {
        value: Some(Variant::Double(number)),
        status: Some(StatusCode::from(status.bits() | CALCULATED)),
        source_timestamp: Some(date_time(from)),
        server_timestamp: Some(date_time(from)),
        ..DataValue::default()
    }
}

/// Leaves out the times that were not asked for.
pub(crate) fn timed(values: Vec<DataValue>, wanted: TimestampsToReturn) -> Vec<DataValue> {
    values.into_iter().map(|v| crate::convert::with_times(v, wanted)).collect()
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
