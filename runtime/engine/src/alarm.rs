//! The state machine of one alarm (ISA-18.2 without shelving): delays, deadband, acknowledgement.

use penstock_model::{
    AlarmCondition, AlarmDef, AlarmEvent, AlarmState, AlarmView, Instant, Now, Sample, Utc, Value, ValueType,
};
use std::sync::Arc;
use std::time::Duration;

/// An alarm as it stands, with its running delay.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlarmCell {
    state: AlarmState,
    /// For how long the condition has differed from the state. Stands still while the tag is bad.
    differs_for: Option<Duration>,
    last: Option<Instant>,
    raised: Option<Utc>,
    returned: Option<Utc>,
    acknowledged: Option<(Utc, Arc<str>)>,
    value: Option<Value>,
}

impl AlarmCell {
    /// One evaluation; the event where the state changes.
    pub fn evaluate(&mut self, def: &AlarmDef, sample: &Sample, now: Now) -> Option<AlarmEvent> {
        let dt = self.last.map_or(Duration::ZERO, |last| now.mono.since(last));
        self.last = Some(now.mono);
        let active = self.state.is_active();
        let present = present(def.condition, sample, active)?;
        if present == active {
            self.differs_for = None;
            return None;
        }
        let differs_for = self.differs_for.map_or(Duration::ZERO, |t| t + dt);
        self.differs_for = Some(differs_for);
        if differs_for < if present { def.on_delay } else { def.off_delay } {
            return None;
        }
        self.differs_for = None;
        if present {
            self.state = AlarmState::ActiveUnacknowledged;
            self.raised = Some(now.utc);
            self.value.clone_from(&sample.value);
        } else {
            self.returned = Some(now.utc);
            self.state = match self.state {
                AlarmState::ActiveUnacknowledged => AlarmState::ReturnedUnacknowledged,
                _ => AlarmState::Normal,
            };
        }
        Some(AlarmEvent { id: def.id, state: self.state, at: now.utc, value: sample.value.clone(), by: None })
    }

    /// Acknowledges; the event where there was something to acknowledge.
    pub fn acknowledge(&mut self, def: &AlarmDef, by: &str, now: Now) -> Option<AlarmEvent> {
        if !self.state.needs_acknowledge() {
            return None;
        }
        let by: Arc<str> = by.into();
        self.state = if self.state.is_active() { AlarmState::ActiveAcknowledged } else { AlarmState::Normal };
        self.acknowledged = Some((now.utc, by.clone()));
        Some(AlarmEvent { id: def.id, state: self.state, at: now.utc, value: self.value.clone(), by: Some(by) })
    }

    /// Takes over what stood before a restart.
    pub fn restore(&mut self, view: AlarmView) {
        *self = AlarmCell {
            state: view.state,
            raised: view.raised,
            returned: view.returned,
            acknowledged: view.acknowledged,
            value: view.value,
            ..AlarmCell::default()
        };
    }

    pub fn view(&self, def: &AlarmDef) -> AlarmView {
        AlarmView {
            id: def.id,
            state: self.state,
            raised: self.raised,
            returned: self.returned,
            acknowledged: self.acknowledged.clone(),
            value: self.value.clone(),
        }
    }
}

/// Whether the condition holds; `None` while that cannot be known. The deadband counts only while the alarm is active.
fn present(condition: AlarmCondition, sample: &Sample, active: bool) -> Option<bool> {
    match condition {
        AlarmCondition::Bad => Some(sample.quality.is_bad()),
        AlarmCondition::Above { limit, deadband } => {
            sample.usable_f64().map(|x| x > if active { limit - deadband } else { limit })
        }
        AlarmCondition::Below { limit, deadband } => {
            sample.usable_f64().map(|x| x < if active { limit + deadband } else { limit })
        }
        AlarmCondition::Equals(wanted) => match sample.usable()? {
            Value::Bool(b) => Some(i64::from(*b) == wanted),
            other => Some(other.convert(ValueType::Int) == Some(Value::Int(wanted))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AlarmState::{ActiveAcknowledged, ActiveUnacknowledged, Normal, ReturnedUnacknowledged};
    use penstock_model::{AlarmId, AlarmPriority, BadReason, TagId, Text};

    fn def(condition: AlarmCondition, on_s: u64, off_s: u64) -> AlarmDef {
        AlarmDef {
            id: AlarmId(0),
            name: "a".into(),
            tag: TagId(0),
            condition,
            on_delay: Duration::from_secs(on_s),
            off_delay: Duration::from_secs(off_s),
            priority: AlarmPriority::High,
            title: Text::default(),
            cause: Text::default(),
            consequence: Text::default(),
            response: Text::default(),
        }
    }

    fn at(s: u64) -> Now {
        Now { mono: Instant(s * 1_000_000_000), utc: Utc::from_millis(i64::try_from(s * 1_000).unwrap()) }
    }

    /// Evaluates one value per second and returns the state after each; `None` is a bad sample.
    fn states(cell: &mut AlarmCell, def: &AlarmDef, from: u64, values: &[Option<f64>]) -> Vec<AlarmState> {
        (from..)
            .zip(values)
            .map(|(s, v)| {
                let sample = v.map_or_else(|| Sample::bad(BadReason::Link, None, at(s)), |v| Sample::good(v, at(s)));
                cell.evaluate(def, &sample, at(s));
                cell.state
            })
            .collect()
    }

    #[test]
    fn the_condition_must_hold_for_the_delay_on_and_off() {
        let def = def(AlarmCondition::Above { limit: 5.0, deadband: 1.0 }, 2, 3);
        let mut cell = AlarmCell::default();
        let high = Some(6.0);
        // One dip starts the delay again.
        let seen = states(&mut cell, &def, 0, &[high, high, Some(5.0), high, high, high]);
        assert_eq!(seen, [Normal, Normal, Normal, Normal, Normal, ActiveUnacknowledged]);
        assert_eq!(cell.view(&def).raised, Some(at(5).utc));
        // Within the deadband it stays; below it, for three seconds, it returns.
        let seen = states(&mut cell, &def, 6, &[Some(4.5), Some(3.9), Some(3.9), Some(4.5), Some(3.9)]);
        assert!(seen.iter().all(|s| *s == ActiveUnacknowledged), "{seen:?}");
        let seen = states(&mut cell, &def, 11, &[Some(3.9), Some(3.9), Some(3.9)]);
        assert_eq!(seen, [ActiveUnacknowledged, ActiveUnacknowledged, ReturnedUnacknowledged]);
    }

    #[test]
    fn a_bad_value_changes_nothing_and_runs_no_delay() {
        let def = def(AlarmCondition::Below { limit: 2.0, deadband: 0.0 }, 2, 0);
        let mut cell = AlarmCell::default();
        let seen = states(&mut cell, &def, 0, &[Some(1.0), Some(1.0), None, None, None, Some(1.0)]);
        assert_eq!(seen[..5], [Normal; 5]);
        assert_eq!(seen[5], ActiveUnacknowledged);
        assert_eq!(states(&mut cell, &def, 6, &[None; 3]), [ActiveUnacknowledged; 3]);
        assert_eq!(states(&mut cell, &def, 9, &[Some(2.0)]), [ReturnedUnacknowledged]);
    }

    #[test]
    fn an_alarm_on_quality_is_raised_by_bad_and_by_nothing_else() {
        let def = def(AlarmCondition::Bad, 1, 0);
        let mut cell = AlarmCell::default();
        let seen = states(&mut cell, &def, 0, &[Some(0.0), None, None, Some(0.0)]);
        assert_eq!(seen, [Normal, Normal, ActiveUnacknowledged, ReturnedUnacknowledged]);
    }

    #[test]
    fn acknowledging_works_in_either_order_and_only_once() {
        let def = def(AlarmCondition::Equals(3), 0, 0);
        let mut cell = AlarmCell::default();
        assert!(cell.acknowledge(&def, "li", at(0)).is_none());
        assert_eq!(states(&mut cell, &def, 1, &[Some(3.0)]), [ActiveUnacknowledged]);
        let event = cell.acknowledge(&def, "li", at(2)).unwrap();
        assert_eq!((event.state, event.by.as_deref()), (ActiveAcknowledged, Some("li")));
        assert!(cell.acknowledge(&def, "li", at(2)).is_none());
        assert_eq!(
            states(&mut cell, &def, 3, &[Some(2.0), Some(3.0), Some(2.0)]),
            [Normal, ActiveUnacknowledged, ReturnedUnacknowledged]
        );
        assert_eq!(cell.acknowledge(&def, "wang", at(6)).map(|e| e.state), Some(Normal));
        assert_eq!(cell.view(&def).acknowledged, Some((at(6).utc, "wang".into())));
    }

    #[test]
    fn a_restored_alarm_goes_on_where_it_stood_without_a_new_event() {
        let def = def(AlarmCondition::Above { limit: 5.0, deadband: 0.0 }, 0, 0);
        let mut cell = AlarmCell::default();
        states(&mut cell, &def, 0, &[Some(9.0)]);
        cell.acknowledge(&def, "li", at(1));
        let view = cell.view(&def);
        let mut restored = AlarmCell::default();
        restored.restore(view.clone());
        assert_eq!(restored.view(&def), view);
        assert!(restored.evaluate(&def, &Sample::good(9.0, at(100)), at(100)).is_none());
        assert_eq!(restored.evaluate(&def, &Sample::good(1.0, at(101)), at(101)).map(|e| e.state), Some(Normal));
    }
}
