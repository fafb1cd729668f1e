//! Sludge and effluent PLC: the program behind the OPC UA nodes.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Station;
use crate::instruments::{Class, Instrument};
use crate::plant::{Measured, Plant};

/// A writable node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CommandNode {
    /// Node identifier.
    pub id: &'static str,
    /// Least value, m3/h.
    pub low: f64,
    /// Greatest value, m3/h.
    pub high: f64,
}

/// Return sludge command.
pub const RAS: CommandNode = CommandNode { id: "Sludge.RasCmd", low: 200.0, high: 1500.0 };
/// Waste sludge command.
pub const WAS: CommandNode = CommandNode { id: "Sludge.WasCmd", low: 0.0, high: 77.0 };
/// Writable nodes.
pub const COMMANDS: [CommandNode; 2] = [RAS, WAS];
/// The one Boolean node.
pub const DEWATER_RUNNING: &str = "Sludge.DewaterRunning";

/// What server and program share.
#[derive(Debug, Clone, PartialEq)]
pub struct Nodes {
    /// Values of the read-only Double nodes, in the order of [`double_nodes`].
    pub doubles: Vec<f64>,
    /// Value of [`DEWATER_RUNNING`].
    pub dewater_running: bool,
    /// Values of [`COMMANDS`].
    pub commands: [f64; 2],
}

/// Values shared between the program and the OPC UA server.
pub type SharedNodes = Arc<Mutex<Nodes>>;

struct Spec {
    id: &'static str,
    tag: &'static str,
    read: fn(&Measured) -> f64,
    class: Class,
    sigma: f64,
    range: (f64, f64),
}

fn specs() -> Vec<Spec> {
    fn spec(
        id: &'static str,
        tag: &'static str,
        read: fn(&Measured) -> f64,
        class: Class,
        sigma: f64,
        top: f64,
    ) -> Spec {
        Spec { id, tag, read, class, sigma, range: (0.0, top) }
    }
    let flow = Class::Fast(2.0);
    vec![
        spec("Effluent.Flow", "eff/flow", |m| m.eff_flow, flow, 3.0, 3000.0),
        spec("Effluent.NH4", "eff/nh4", |m| m.eff_nh4, Class::B0, 0.05, 50.0),
        spec("Effluent.COD", "eff/cod", |m| m.eff_cod, Class::B1, 0.4, 500.0),
        spec("Effluent.TN", "eff/tn", |m| m.eff_tn, Class::B1, 0.1, 50.0),
        spec("Effluent.TSS", "eff/tss", |m| m.eff_tss, Class::A, 0.05, 200.0),
        spec("Effluent.PH", "eff/ph", |m| m.eff_ph, Class::A, 0.005, 14.0),
        spec("Effluent.Temp", "eff/temp", |m| m.eff_c, Class::A, 0.01, 40.0),
        spec("Sludge.RasFlow", "slu/ras/flow", |m| m.ras_flow, flow, 3.0, 2000.0),
        spec("Sludge.WasFlow", "slu/was/flow", |m| m.was_flow, flow, 0.05, 100.0),
        spec("Sludge.Blanket", "slu/blanket", |m| m.blanket_m, Class::A, 0.005, 4.0),
        spec("Sludge.RasTss", "slu/ras/tss", |m| m.ras_tss, Class::A, 30.0, 20_000.0),
        spec("Sludge.DewaterPower", "slu/dewater/power", |m| m.dewater_kw, Class::Fast(1.0), 0.1, 100.0),
    ]
}

/// Identifiers of the read-only Double nodes.
#[must_use]
pub fn double_nodes() -> Vec<&'static str> {
    specs().into_iter().map(|spec| spec.id).collect()
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
        for (spec, instrument) in &mut self.points {
            instrument.see((spec.read)(plant.measured()), dt);
        }
    }

    fn publish(&mut self, plant: &Plant) {
        let mut nodes = self.nodes.lock();
        nodes.doubles = self.points.iter().map(|(_, instrument)| instrument.value()).collect();
        nodes.dewater_running = plant.measured().dewater_running;
    }

    fn restart(&mut self) {
        self.nodes.lock().commands = self.power_on;
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
