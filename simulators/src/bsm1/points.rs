//! What the benchmark's controller shows and takes: its sensors and handles with their registers.
//!
//! One Modbus unit, float32 high word first. Input register 30001 holds the first sensor, holding register 40001 the
//! first handle, two registers each, in the order of [`POINTS`] and [`HANDLES`].

use super::plant::Handles;
use super::sensors::Measured;
use crate::devices::image::{Order, holding, input};
use crate::instruments::Class;
use crate::models::asm1::{SALK, SNH, SNO, SO};

/// Modbus unit of the controller.
pub const UNIT: u8 = 1;
/// Order of the registers.
pub const ORDER: Order = Order::Abcd;
/// PDU address of the first sensor.
pub const FIRST_INPUT: u16 = input(30_001);
/// PDU address of the first handle.
pub const FIRST_HANDLE: u16 = holding(40_001);

/// One sensor of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Tag.
    pub tag: &'static str,
    /// What it measures.
    pub measured: Measured,
    /// Class of the sensor.
    pub class: Class,
    /// End of its range, in the unit of the quantity; the range begins at 0.
    pub range_max: f64,
}

const fn point(tag: &'static str, measured: Measured, class: Class, range_max: f64) -> Point {
    Point { tag, measured, class, range_max }
}

/// Number of sensors.
pub const COUNT: usize = 29;

/// Sensors with classes and ranges of the benchmark: oxygen 0 to 10 g/m3, ammonium and nitrate 0 to 20 (influent 0 to
/// 50), solids of the liquor 0 to 10 000, of the effluent 0 to 200, flows 0 to 100 000 m3/d. What the actuators give
/// they report themselves, without lag and noise.
pub const POINTS: [Point; COUNT] = [
    // The default loops come first: their noise is that of the first two columns of the benchmark's file.
    point("t5/do", Measured::Tank(4, SO), Class::A, 10.0),
    point("t2/no3", Measured::Tank(1, SNO), Class::B0, 20.0),
    point("t3/do", Measured::Tank(2, SO), Class::A, 10.0),
    point("t4/do", Measured::Tank(3, SO), Class::A, 10.0),
    point("t5/nh4", Measured::Tank(4, SNH), Class::B0, 20.0),
    point("t5/no3", Measured::Tank(4, SNO), Class::B0, 20.0),
    point("inf/nh4", Measured::Influent(SNH), Class::B0, 50.0),
    point("inf/flow", Measured::InfluentFlow, Class::A, 100_000.0),
    point("eff/nh4", Measured::Effluent(SNH), Class::B0, 20.0),
    point("eff/no3", Measured::Effluent(SNO), Class::B0, 20.0),
    point("t1/do", Measured::Tank(0, SO), Class::A, 10.0),
    point("t2/do", Measured::Tank(1, SO), Class::A, 10.0),
    point("t5/alk", Measured::Tank(4, SALK), Class::B0, 20.0),
    point("t5/mlss", Measured::Solids(4), Class::A, 10_000.0),
    point("ras/tss", Measured::UnderflowSolids, Class::A, 20_000.0),
    point("eff/tss", Measured::EffluentSolids, Class::A, 200.0),
    point("eff/flow", Measured::EffluentFlow, Class::A, 100_000.0),
    point("inf/cod", Measured::InfluentCod, Class::D, 1000.0),
    point("eff/cod", Measured::EffluentCod, Class::D, 1000.0),
    point("eff/tn", Measured::EffluentNitrogen, Class::D, 100.0),
    point("t1/kla", Measured::Kla(0), Class::Direct, 360.0),
    point("t2/kla", Measured::Kla(1), Class::Direct, 360.0),
    point("t3/kla", Measured::Kla(2), Class::Direct, 360.0),
    point("t4/kla", Measured::Kla(3), Class::Direct, 360.0),
    point("t5/kla", Measured::Kla(4), Class::Direct, 360.0),
    point("internal/flow", Measured::InternalFlow, Class::Direct, 92_230.0),
    point("ras/flow", Measured::ReturnFlow, Class::Direct, 36_892.0),
    point("was/flow", Measured::WasteFlow, Class::Direct, 1844.6),
    point("t1/nh4", Measured::Tank(0, SNH), Class::B0, 50.0),
];

/// One handle of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// KLa of a tank counted from 0, 1/d.
    Kla(usize),
    /// Internal recycle, m3/d.
    Internal,
    /// Return sludge, m3/d.
    Return,
    /// Waste sludge, m3/d.
    Waste,
    /// External carbon into a tank counted from 0, m3/d.
    Carbon(usize),
    /// Share of a stream (0 influent, 1 return sludge, 2 internal recycle) that enters a tank counted from 0.
    Feed(usize, usize),
}

/// Handles with the names faults use, in the order of their registers.
pub const HANDLES: [(&str, Handle); 28] = [
    ("kla1", Handle::Kla(0)),
    ("kla2", Handle::Kla(1)),
    ("kla3", Handle::Kla(2)),
    ("kla4", Handle::Kla(3)),
    ("kla5", Handle::Kla(4)),
    ("internal", Handle::Internal),
    ("ras", Handle::Return),
    ("was", Handle::Waste),
    ("carbon1", Handle::Carbon(0)),
    ("carbon2", Handle::Carbon(1)),
    ("carbon3", Handle::Carbon(2)),
    ("carbon4", Handle::Carbon(3)),
    ("carbon5", Handle::Carbon(4)),
    ("influent_feed1", Handle::Feed(0, 0)),
    ("influent_feed2", Handle::Feed(0, 1)),
    ("influent_feed3", Handle::Feed(0, 2)),
    ("influent_feed4", Handle::Feed(0, 3)),
    ("influent_feed5", Handle::Feed(0, 4)),
    ("ras_feed1", Handle::Feed(1, 0)),
    ("ras_feed2", Handle::Feed(1, 1)),
    ("ras_feed3", Handle::Feed(1, 2)),
    ("ras_feed4", Handle::Feed(1, 3)),
    ("ras_feed5", Handle::Feed(1, 4)),
    ("internal_feed1", Handle::Feed(2, 0)),
    ("internal_feed2", Handle::Feed(2, 1)),
    ("internal_feed3", Handle::Feed(2, 2)),
    ("internal_feed4", Handle::Feed(2, 3)),
    ("internal_feed5", Handle::Feed(2, 4)),
];

impl Handle {
    /// Its value.
    #[must_use]
    pub fn of(self, handles: &Handles) -> f64 {
        match self {
            Handle::Kla(tank) => handles.kla[tank],
            Handle::Internal => handles.q_internal,
            Handle::Return => handles.q_ras,
            Handle::Waste => handles.q_was,
            Handle::Carbon(tank) => handles.carbon_m3_d[tank],
            Handle::Feed(stream, tank) => handles.feeds[stream][tank],
        }
    }

    /// Sets it.
    pub fn set(self, handles: &mut Handles, value: f64) {
        match self {
            Handle::Kla(tank) => handles.kla[tank] = value,
            Handle::Internal => handles.q_internal = value,
            Handle::Return => handles.q_ras = value,
            Handle::Waste => handles.q_was = value,
            Handle::Carbon(tank) => handles.carbon_m3_d[tank] = value,
            Handle::Feed(stream, tank) => handles.feeds[stream][tank] = value,
        }
    }
}

/// PDU address of the handle at a place of [`HANDLES`].
#[must_use]
pub fn handle_register(place: usize) -> u16 {
    FIRST_HANDLE + 2 * place as u16
}

/// PDU address of the sensor at a place of [`POINTS`].
#[must_use]
pub fn point_register(place: usize) -> u16 {
    FIRST_INPUT + 2 * place as u16
}
