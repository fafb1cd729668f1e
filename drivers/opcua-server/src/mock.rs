//! A plant for tests: one level with a high alarm, and a history that the test fills.

use crate::{Interval, Person, Plant, Point, Refused, Status};
use parking_lot::Mutex;
use penstock_model::{
    AlarmCondition, AlarmDef, AlarmEvent, AlarmId, AlarmPriority, AlarmState, AlarmView, Now, Role, Sample, Source,
    TagDef, TagId, TagSample, TagTable, Text, Unit, Utc, Value,
};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Mock {
    pub(crate) history: Mutex<Vec<Point>>,
    pub(crate) state: Mutex<AlarmState>,
}

pub(crate) fn level() -> TagDef {
    let mut def = TagDef::float(TagId(0), "tank/level", Unit::parse("m").unwrap(), Source::System);
    def.title = Text::new("液位", "Level");
    def.range = Some((0.0, 10.0));
    def
}

pub(crate) fn high() -> AlarmDef {
    AlarmDef {
        id: AlarmId(0),
        name: "tank/level/high".into(),
        tag: TagId(0),
        condition: AlarmCondition::Above { limit: 8.0, deadband: 0.5 },
        on_delay: Duration::ZERO,
        off_delay: Duration::ZERO,
        priority: AlarmPriority::High,
        title: Text::new("液位高", "Level is high"),
        cause: Text::default(),
        consequence: Text::default(),
        response: Text::default(),
    }
}

impl Plant for Mock {
    fn tags(&self) -> Arc<TagTable> {
        Arc::new(TagTable::new(vec![level()]).unwrap())
    }

    fn read(&self, _: TagId) -> Sample {
        Sample::good(9.0, Now::default())
    }

    fn changed_since(&self, version: u64) -> (u64, Vec<TagSample>) {
        (version, Vec::new())
    }

    fn alarm_defs(&self) -> Vec<AlarmDef> {
        vec![high()]
    }

    fn alarms(&self) -> Vec<AlarmView> {
        let state = *self.state.lock();
        vec![AlarmView { id: AlarmId(0), state, raised: None, returned: None, acknowledged: None, value: None }]
    }

    fn alarm_events(&self) -> Vec<AlarmEvent> {
        Vec::new()
    }

    fn person(&self, token: &str) -> Option<Person> {
        let role = Role::parse(token)?;
        Some(Person { name: token.into(), role })
    }

    fn log_in(&self, name: &str, _: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn log_in_by_certificate(&self, _: &str) -> Option<String> {
        None
    }

    fn admit(&self, certificate: &[u8]) -> Result<(), String> {
        if certificate == b"known" { Ok(()) } else { Err("unknown".to_owned()) }
    }

    fn write(&self, _: &Person, _: TagId, _: Option<Value>) -> Result<(), Refused> {
        Err(Refused::ReadOnly)
    }

    fn write_refused(&self, _: Option<&Person>, _: &str, _: &str) {}

    fn acknowledge(&self, _: &Person, _: AlarmId, _: &str) -> Result<bool, Refused> {
        Ok(true)
    }

    fn comment(&self, _: &Person, _: AlarmId, _: &str) -> Result<(), Refused> {
        Ok(())
    }

    fn points(&self, _: TagId, from: Utc, to: Utc, max: usize, backwards: bool) -> Result<Vec<Point>, String> {
        let mut inside: Vec<Point> =
            self.history.lock().iter().filter(|p| p.utc >= from && p.utc < to).cloned().collect();
        if backwards {
            inside.reverse();
        }
        inside.truncate(max);
        Ok(inside)
    }

    fn point_before(&self, _: TagId, at: Utc) -> Result<Option<Point>, String> {
        Ok(self.history.lock().iter().rfind(|p| p.utc < at).cloned())
    }

    fn intervals(&self, _: TagId, from: Utc, to: Utc, count: usize) -> Result<Vec<Interval>, String> {
        let step = (to.0 - from.0) / i64::try_from(count).unwrap();
        let part = |i: i64| {
            let (low, high) = (Utc(from.0 + i * step), Utc(from.0 + (i + 1) * step));
            let points = self.points(TagId(0), low, high, usize::MAX, false).unwrap();
            let numbers: Vec<f64> = points.iter().filter_map(|p| p.value.as_ref()?.as_f64()).collect();
            let worst = points.iter().map(|p| p.quality).reduce(|a, b| a.worst(b))?;
            Some(Interval {
                from: low,
                first: numbers.first().copied(),
                last: numbers.last().copied(),
                min: numbers.iter().copied().reduce(f64::min),
                max: numbers.iter().copied().reduce(f64::max),
                mean: (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64),
                count: u32::try_from(points.len()).unwrap(),
                worst,
            })
        };
        Ok((0..i64::try_from(count).unwrap()).filter_map(part).collect())
    }

    fn status(&self, _: &Status) {}
}
