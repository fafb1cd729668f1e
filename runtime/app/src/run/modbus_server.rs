//! The engine behind the Modbus server: what it reads, whether control is alive, and how it stands as tags.

use penstock_engine::Engine;
use penstock_modbus_server::{Source, Status};
use penstock_model::limits::{HEARTBEAT_PERIODS_MAX, HEARTBEAT_SILENCE_MIN};
use penstock_model::{Clock, Sample, TagId, Value, ValueType};
use std::sync::Arc;

type OwnTag = (&'static str, &'static str, &'static str, &'static str, ValueType);

/// What the server says of itself: path, Chinese, English, unit, type.
const OWN_TAGS: &[OwnTag] = &[
    ("sys/modbus_server/up", "Modbus 服务可用", "Modbus server listens", "", ValueType::Bool),
    ("sys/modbus_server/connections", "Modbus 服务连接数", "Modbus server connections", "", ValueType::Int),
    ("sys/modbus_server/answered", "Modbus 服务应答次数", "Modbus server answers", "", ValueType::Int),
    ("sys/modbus_server/refused", "Modbus 服务拒绝请求", "Modbus server refused requests", "", ValueType::Int),
    ("sys/modbus_server/turned_away", "Modbus 服务拒绝连接", "Modbus server refused connections", "", ValueType::Int),
];

/// The system tags of a site that has a server.
pub(crate) fn tags(has_server: bool) -> &'static [OwnTag] {
    if has_server { OWN_TAGS } else { &[] }
}

/// The engine as the server sees it.
pub struct EngineRegisters {
    engine: Engine,
    clock: Arc<dyn Clock>,
}

impl EngineRegisters {
    /// For a server of this engine's tags.
    pub fn new(engine: &Engine, clock: &Arc<dyn Clock>) -> EngineRegisters {
        EngineRegisters { engine: engine.clone(), clock: clock.clone() }
    }
}

impl Source for EngineRegisters {
    fn read(&self, tag: TagId) -> Sample {
        self.engine.read(tag)
    }

    fn alive(&self) -> bool {
        let silence = self.engine.silence(self.clock.now().mono);
        let in_time = |(task, silence): (penstock_engine::TaskView, Option<std::time::Duration>)| {
            let most = (task.period * HEARTBEAT_PERIODS_MAX).max(HEARTBEAT_SILENCE_MIN);
            silence.is_some_and(|s| s <= most)
        };
        self.engine.tasks().into_iter().zip(silence).all(in_time)
    }

    fn status(&self, status: &Status) {
        let count = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let values = [
            ("sys/modbus_server/up", Value::Bool(status.listening)),
            ("sys/modbus_server/connections", count(status.connections as u64)),
            ("sys/modbus_server/answered", count(status.answered)),
            ("sys/modbus_server/refused", count(status.refused)),
            ("sys/modbus_server/turned_away", count(status.turned_away)),
        ];
        super::history::publish(&self.engine.tags(), &*self.engine.sink(), self.clock.now(), values);
    }
}
