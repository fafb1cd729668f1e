use super::*;
use crate::mock::Mock;
use penstock_model::{BadReason, Value};

const TAG: TagId = TagId(0);

fn at(s: i64) -> Utc {
    Utc(s * 1_000_000_000)
}

/// Values equal to their seconds.
fn plant(seconds: &[i64]) -> Mock {
    let mock = Mock::default();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let points =
        seconds.iter().map(|s| Point { utc: at(*s), value: Some(Value::Float(*s as f64)), quality: Quality::Good });
    *mock.history.lock() = points.collect();
    mock
}

fn ask(start: Option<i64>, end: Option<i64>, most: u32, bounds: bool) -> Raw {
    let time = |s: Option<i64>| s.map_or_else(DateTime::null, |s| date_time(at(s)));
    Raw::parse(&ReadRawModifiedDetails {
        is_read_modified: false,
        start_time: time(start),
        end_time: time(end),
        num_values_per_node: most,
        return_bounds: bounds,
    })
    .unwrap()
}

/// Every value by pages: seconds, and -1 for a bound that is not there.
fn read(plant: &Mock, ask: &Raw, page: usize) -> Vec<i64> {
    let (mut seen, mut cursor) = (Vec::new(), None);
    for _ in 0..100 {
        let (values, next) = raw(plant, TAG, ask, cursor.as_ref(), page).unwrap();
        assert!(values.len() <= page + 2);
        seen.extend(values.iter().map(|v| match v.value {
            Some(Variant::Double(s)) => s as i64,
            _ => -1,
        }));
        cursor = next;
        if cursor.is_none() {
            return seen;
        }
    }
    panic!("never ends: {seen:?}");
}

#[test]
fn raw_values_come_whole_in_pages_of_any_size_and_in_both_directions() {
    // Three of one time, so that a page ends between them.
    let plant = plant(&[10, 20, 20, 20, 30, 40]);
    for page in 1..8 {
        assert_eq!(read(&plant, &ask(Some(10), Some(40), 0, false), page), [10, 20, 20, 20, 30], "page {page}");
        assert_eq!(read(&plant, &ask(Some(40), Some(10), 0, false), page), [40, 30, 20, 20, 20], "page {page}");
        assert_eq!(read(&plant, &ask(Some(10), Some(40), 2, false), page), [10, 20, 20, 20, 30], "two an answer");
    }
    assert_eq!(read(&plant, &ask(Some(20), None, 4, false), 100), [20, 20, 20, 30], "a number from a start");
    assert_eq!(read(&plant, &ask(None, Some(30), 2, false), 100), [30, 20], "a number back from an end");
    assert_eq!(read(&plant, &ask(Some(20), Some(20), 0, false), 100), [20, 20, 20], "a moment");
    assert_eq!(read(&plant, &ask(Some(50), Some(60), 0, false), 100), Vec::<i64>::new());
}

#[test]
fn bounds_are_the_nearest_values_beyond_or_said_to_be_missing() {
    let plant = plant(&[10, 20, 30]);
    for page in 1..5 {
        assert_eq!(read(&plant, &ask(Some(15), Some(25), 0, true), page), [10, 20, 30]);
        assert_eq!(read(&plant, &ask(Some(25), Some(15), 0, true), page), [30, 20, 10]);
        assert_eq!(read(&plant, &ask(Some(10), Some(30), 0, true), page), [10, 20, 30], "values at the ends");
        assert_eq!(read(&plant, &ask(Some(5), Some(35), 0, true), page), [-1, 10, 20, 30, -1]);
    }
}

#[test]
fn a_question_without_two_of_start_end_and_number_is_refused() {
    let parse = |start: DateTime, num_values_per_node: u32, is_read_modified: bool| {
        let end_time = DateTime::null();
        let details = ReadRawModifiedDetails {
            is_read_modified,
            start_time: start,
            end_time,
            num_values_per_node,
            return_bounds: false,
        };
        Raw::parse(&details).unwrap_err()
    };
    assert_eq!(parse(date_time(at(1)), 0, false), StatusCode::BadHistoryOperationInvalid);
    assert_eq!(parse(DateTime::null(), 5, false), StatusCode::BadHistoryOperationInvalid);
    assert_eq!(parse(date_time(at(1)), 5, true), StatusCode::BadHistoryOperationUnsupported);
}

#[test]
fn a_moment_between_two_values_has_the_one_before_marked_so() {
    let plant = plant(&[10, 20]);
    let details =
        ReadAtTimeDetails { req_times: Some([5, 10, 15].map(|s| date_time(at(s))).to_vec()), use_simple_bounds: false };
    let values = at_times(&plant, TAG, &details).unwrap();
    assert_eq!(values[0].status, Some(StatusCode::BadNoData));
    assert_eq!((values[1].value.clone(), values[1].status), (Some(Variant::Double(10.0)), Some(StatusCode::Good)));
    assert_eq!(values[2].value, Some(Variant::Double(10.0)));
    assert_eq!(values[2].status.map(|s| s.bits()), Some(INTERPOLATED));
    assert_eq!(values[2].source_timestamp, Some(date_time(at(15))));
    let many =
        ReadAtTimeDetails { req_times: Some(vec![DateTime::now(); HISTORY_TIMES_MAX + 1]), use_simple_bounds: false };
    assert_eq!(at_times(&plant, TAG, &many), Err(StatusCode::BadTooManyOperations));
}

#[test]
fn aggregates_fill_every_interval_and_say_where_values_could_not_be_used() {
    let plant = plant(&[10, 12, 35]);
    plant.history.lock().push(Point { utc: at(36), value: None, quality: Quality::Bad(BadReason::Link) });
    let ask = |id: ObjectId, interval_s: f64| {
        let details = ReadProcessedDetails {
            start_time: date_time(at(10)),
            end_time: date_time(at(40)),
            processing_interval: interval_s * 1e3,
            aggregate_type: Some(vec![id.into()]),
            aggregate_configuration: opcua::types::AggregateConfiguration::default(),
        };
        processed(&plant, TAG, &details)
    };
    let values = ask(ObjectId::AggregateFunction_Average, 10.0).unwrap();
    let numbers: Vec<Option<Variant>> = values.iter().map(|v| v.value.clone()).collect();
    let number = |x: f64| Some(Variant::Double(x));
    assert_eq!(numbers, [number(11.0), Some(Variant::Empty), number(35.0)]);
    assert_eq!(values[0].status.map(|s| s.bits()), Some(CALCULATED));
    assert_eq!(values[1].status, Some(StatusCode::BadNoData));
    assert!(values[2].status.is_some_and(|s| s.is_uncertain()));
    let counts = ask(ObjectId::AggregateFunction_Count, 20.0).unwrap();
    assert_eq!(
        counts.iter().map(|v| v.value.clone()).collect::<Vec<_>>(),
        [number(2.0), number(2.0)],
        "the last is short"
    );
    assert_eq!(ask(ObjectId::AggregateFunction_Average, 0.0).unwrap().len(), 1);
    assert_eq!(ask(ObjectId::AggregateFunction_Range, 10.0), Err(StatusCode::BadAggregateNotSupported));
    assert_eq!(ask(ObjectId::AggregateFunction_Average, 0.001), Err(StatusCode::BadTooManyOperations));
}
