//! Sludge and effluent PLC: the program behind the OPC UA nodes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Station;
use crate::instruments::status::Condition;
use crate::instruments::{Class, Instrument, service};
use crate::plant::{Mains, Measured, Plant};

/// An engineering unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Common code of UNECE recommendation 20.
    pub code: &'static str,
    /// What people write.
    pub symbol: &'static str,
}

const CUBIC_METRE_PER_HOUR: Unit = Unit { code: "MQH", symbol: "m\u{b3}/h" };
const MILLIGRAM_PER_LITRE: Unit = Unit { code: "M1", symbol: "mg/L" };
const PH: Unit = Unit { code: "Q30", symbol: "pH" };
const CELSIUS: Unit = Unit { code: "CEL", symbol: "\u{b0}C" };
const METRE: Unit = Unit { code: "MTR", symbol: "m" };
const KILOWATT: Unit = Unit { code: "KWT", symbol: "kW" };

impl Unit {
    /// The identifier OPC UA gives it: the bytes of its code as a number (part 8, 5.6.3.3).
    #[must_use]
    pub fn id(&self) -> i32 {
        self.code.bytes().fold(0, |id, byte| id << 8 | i32::from(byte))
    }
}

/// A writable node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommandNode {
    /// Node identifier.
    pub id: &'static str,
    /// What it is, in English and in Chinese.
    pub description: [&'static str; 2],
    /// Least value, m3/h.
    pub low: f64,
    /// Greatest value, m3/h.
    pub high: f64,
}

/// Return sludge command.
pub const RAS: CommandNode = CommandNode {
    id: "Sludge.RasCmd",
    description: ["Return sludge command", "回流污泥流量指令"],
    low: 200.0,
    high: 1500.0,
};
/// Waste sludge command.
pub const WAS: CommandNode = CommandNode {
    id: "Sludge.WasCmd",
    description: ["Waste sludge command", "剩余污泥排放指令"],
    low: 0.0,
    high: 77.0,
};
/// Unit of the commands.
pub const COMMAND_UNIT: Unit = CUBIC_METRE_PER_HOUR;
/// Writable nodes.
pub const COMMANDS: [CommandNode; 2] = [RAS, WAS];
/// The one Boolean node.
pub const DEWATER_RUNNING: &str = "Sludge.DewaterRunning";

/// What server and program share.
#[derive(Debug, Clone, PartialEq)]
pub struct Nodes {
    /// Values of the read-only Double nodes, in the order of [`double_nodes`].
    pub doubles: Vec<f64>,
    /// What their instruments are doing, in the same order.
    pub conditions: Vec<Condition>,
    /// Samples their instruments have taken so far, in the same order.
    pub samples: Vec<u64>,
    /// Values of the status nodes, in the order of [`STATUS_NODES`].
    pub statuses: Vec<u16>,
    /// Value of [`DEWATER_RUNNING`].
    pub dewater_running: bool,
    /// Values of [`COMMANDS`].
    pub commands: [f64; 2],
}

/// Values shared between the program and the OPC UA server.
pub type SharedNodes = Arc<Mutex<Nodes>>;

/// A read-only Double node.
struct Spec {
    id: &'static str,
    tag: &'static str,
    read: fn(&Measured) -> f64,
    class: Class,
    sigma: f64,
    range: (f64, f64),
    unit: Unit,
}

/// A read-only Double node as clients see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnalogNode {
    /// Node identifier.
    pub id: &'static str,
    /// Measuring range of its instrument.
    pub range: (f64, f64),
    /// Unit of value and range.
    pub unit: Unit,
    /// What it is, in English and in Chinese.
    pub description: [&'static str; 2],
}

/// Nodes with the status word of an instrument: identifier, tag of the quantity.
pub const STATUS_NODES: [(&str, &str); 5] = [
    ("Effluent.NH4Status", "eff/nh4"),
    ("Effluent.CODStatus", "eff/cod"),
    ("Effluent.TNStatus", "eff/tn"),
    ("Effluent.TSSStatus", "eff/tss"),
    ("Effluent.PHStatus", "eff/ph"),
];

fn specs() -> Vec<Spec> {
    type Truth = fn(&Measured) -> f64;
    let spec = |id, tag, read: Truth, (class, sigma, top): (Class, f64, f64), unit| Spec {
        id,
        tag,
        read,
        class,
        sigma,
        range: (0.0, top),
        unit,
    };
    let flow = |sigma, top| (Class::Fast(2.0), sigma, top);
    let (m3_h, mg_l) = (CUBIC_METRE_PER_HOUR, MILLIGRAM_PER_LITRE);
    let (a, b0, b1) = (Class::A, Class::B0, Class::B1);
    let power = (Class::Fast(1.0), 0.1, 100.0);
    vec![
        spec("Effluent.Flow", "eff/flow", |m| m.eff_flow, flow(3.0, 3000.0), m3_h),
        spec("Effluent.NH4", "eff/nh4", |m| m.eff_nh4, (b0, 0.05, 50.0), mg_l),
        spec("Effluent.COD", "eff/cod", |m| m.eff_cod, (b1, 0.4, 500.0), mg_l),
        spec("Effluent.TN", "eff/tn", |m| m.eff_tn, (b1, 0.1, 50.0), mg_l),
        spec("Effluent.TSS", "eff/tss", |m| m.eff_tss, (a, 0.05, 200.0), mg_l),
        spec("Effluent.PH", "eff/ph", |m| m.eff_ph, (a, 0.005, 14.0), PH),
        spec("Effluent.Temp", "eff/temp", |m| m.eff_c, (a, 0.01, 40.0), CELSIUS),
        spec("Sludge.RasFlow", "slu/ras/flow", |m| m.ras_flow, flow(3.0, 2000.0), m3_h),
        spec("Sludge.WasFlow", "slu/was/flow", |m| m.was_flow, flow(0.05, 100.0), m3_h),
        spec("Sludge.Blanket", "slu/blanket", |m| m.blanket_m, (a, 0.005, 4.0), METRE),
        spec("Sludge.RasTss", "slu/ras/tss", |m| m.ras_tss, (a, 30.0, 20_000.0), mg_l),
        spec("Sludge.DewaterPower", "slu/dewater/power", |m| m.dewater_kw, power, KILOWATT),
    ]
}

/// What a read-only Double node is, in English and in Chinese.
fn describe(id: &str) -> [&'static str; 2] {
    match id {
        "Effluent.Flow" => ["Effluent flow", "出水流量"],
        "Effluent.NH4" => ["Effluent ammonia nitrogen", "出水氨氮"],
        "Effluent.COD" => ["Effluent COD", "出水化学需氧量"],
        "Effluent.TN" => ["Effluent total nitrogen", "出水总氮"],
        "Effluent.TSS" => ["Effluent suspended solids", "出水悬浮物"],
        "Effluent.PH" => ["Effluent pH", "出水酸碱度"],
        "Effluent.Temp" => ["Effluent temperature", "出水温度"],
        "Sludge.RasFlow" => ["Return sludge flow", "回流污泥流量"],
        "Sludge.WasFlow" => ["Waste sludge flow", "剩余污泥流量"],
        "Sludge.Blanket" => ["Sludge blanket height", "二沉池泥位"],
        "Sludge.RasTss" => ["Return sludge solids", "回流污泥浓度"],
        "Sludge.DewaterPower" => ["Dewatering power", "脱水机功率"],
        _ => [""; 2],
    }
}

/// Identifiers of the read-only Double nodes.
#[must_use]
pub fn double_nodes() -> Vec<&'static str> {
    specs().into_iter().map(|spec| spec.id).collect()
}

/// The read-only Double nodes, in the order of [`double_nodes`].
#[must_use]
pub fn analog_nodes() -> Vec<AnalogNode> {
    let node =
        |spec: Spec| AnalogNode { id: spec.id, range: spec.range, unit: spec.unit, description: describe(spec.id) };
    specs().into_iter().map(node).collect()
}

/// The PLC.
pub struct SludgePlc {
    nodes: SharedNodes,
    points: Vec<(Spec, Instrument)>,
    power_on: [f64; 2],
}

impl SludgePlc {
    /// A PLC whose commands hold what the plant is doing.
    #[must_use]
    pub fn new(seed: u64, plant: &Plant) -> SludgePlc {
        let points: Vec<(Spec, Instrument)> = specs()
            .into_iter()
            .map(|spec| {
                let instrument = Instrument::new(seed, spec.tag, spec.class, spec.sigma, spec.range);
                (spec, instrument)
            })
            .collect();
        let nodes = Nodes {
            doubles: vec![0.0; points.len()],
            conditions: vec![Condition::default(); points.len()],
            samples: vec![0; points.len()],
            statuses: vec![0; STATUS_NODES.len()],
            dewater_running: false,
            commands: [plant.handles.ras_m3_h, plant.handles.was_m3_h],
        };
        SludgePlc { power_on: nodes.commands, nodes: Arc::new(Mutex::new(nodes)), points }
    }

    /// Values shared with the server.
    #[must_use]
    pub fn nodes(&self) -> SharedNodes {
        self.nodes.clone()
    }
}

impl Station for SludgePlc {
    fn control(&mut self, plant: &mut Plant, _dt: f64, _real_dt: f64) {
        [plant.handles.ras_m3_h, plant.handles.was_m3_h] = self.nodes.lock().commands;
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        let week_s = service::week_s(plant.clock());
        for (spec, instrument) in &mut self.points {
            instrument.attend(week_s, plant.disturbances.mains != Mains::Absent);
            instrument.see((spec.read)(plant.measured()), dt);
        }
    }

    fn publish(&mut self, plant: &Plant) {
        let mut nodes = self.nodes.lock();
        let instruments = || self.points.iter().map(|(_, instrument)| instrument);
        nodes.doubles = instruments().map(Instrument::value).collect();
        nodes.conditions = instruments().map(Instrument::condition).collect();
        nodes.samples = instruments().map(Instrument::samples).collect();
        let status = |tag: &str| self.points.iter().find(|(spec, _)| spec.tag == tag).map_or(0, |(_, i)| i.status());
        nodes.statuses = STATUS_NODES.iter().map(|(_, tag)| status(tag)).collect();
        nodes.dewater_running = plant.measured().dewater_running;
    }

    fn restart(&mut self) {
        self.nodes.lock().commands = self.power_on;
        self.points.iter_mut().for_each(|(_, instrument)| instrument.power_cycle());
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.points.iter_mut().find(|(spec, _)| spec.tag == tag).map(|(_, instrument)| instrument)
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        for (spec, instrument) in &self.points {
            see(spec.tag, (spec.read)(plant.measured()), instrument.value());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_a_description_in_both_languages_and_a_unit_code_of_the_standard() {
        for node in analog_nodes() {
            assert!(node.description.iter().all(|text| !text.is_empty()), "{}", node.id);
            assert!(node.description[1].chars().any(|c| c > '\u{4e00}'), "{}", node.id);
        }
        // UNECE to OPC UA mapping: CEL is 4408652, KWT 4937556, MTR 5067858.
        assert_eq!([CELSIUS, KILOWATT, METRE].map(|unit| unit.id()), [4_408_652, 4_937_556, 5_067_858]);
        assert!(STATUS_NODES.iter().all(|(_, tag)| specs().iter().any(|spec| spec.tag == *tag)));
    }
}
