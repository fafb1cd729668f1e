//! Aeration PLC: tanks, valves, blowers, internal recycle; float32 ABCD, unit 1. Behind the measured values stand surge
//! margins, starts and energy of the blowers.
//!
//! Obeys its command registers while the client beats. Once the heartbeat register has been written, silence of five
//! seconds of real time hands the air to the PLC's own control: valves at 40 %, blower 1 on the header pressure, the
//! others off. The next beat hands it back.
//!
//! The status words of its analysers stand from input register 30201 on, in the order of [`STATUS_TAGS`].

use super::image::{Image, Map, Order, Rule, coil, discrete, encode_f32, encode_u16, encode_u32, holding, input};
use super::panel::{Panel, Spec, Wire};
use super::{SharedImage, Station, shared};
use crate::instruments::{Class, Instrument};
use crate::plant::{Mains, Measured, Plant};

/// Modbus unit of the PLC.
pub const UNIT: u8 = 1;
/// Silence after which the PLC no longer trusts its client, s of real time.
pub const HEARTBEAT_TIMEOUT_S: f64 = 5.0;
/// First input register of the status words.
const STATUS: u16 = input(30_201);
/// Instruments with a status word, in the order of their registers.
pub const STATUS_TAGS: [&str; 8] =
    ["aer/z3/do", "aer/z4/do", "aer/z5/do", "aer/z5/nh4", "aer/z2/no3", "inf/nh4", "aer/mlss", "inf/cod"];
const ORDER: Order = Order::Abcd;
const HEARTBEAT: u16 = holding(40_900);
const VALVE_COMMANDS: u16 = holding(40_001);
const SPEED_COMMANDS: u16 = holding(40_004);
const RECYCLE_COMMAND: u16 = holding(40_011);
const NH4_SET_POINT: u16 = holding(40_021);
const PRESSURE_SET_POINT: u16 = holding(40_023);
const RUN_COMMANDS: u16 = coil(1);
/// Steps of valve and speed commands, %.
const COMMAND_STEP: f64 = 0.01;
/// Local control: valve position, %, and PI on the header pressure, %/kPa and s, not below the speed of the surge line
/// at 60 kPa and 40 degC.
const LOCAL_SPEED_MIN_PCT: f64 = 86.0;
const LOCAL_VALVE_PCT: f64 = 40.0;
const LOCAL_GAIN: f64 = 1.5;
const LOCAL_INTEGRAL_S: f64 = 15.0;

/// The PLC.
pub struct AerationPlc {
    image: SharedImage,
    panel: Panel<Measured>,
    beats: u64,
    silence_s: f64,
    local_speed: Option<f64>,
}

impl AerationPlc {
    /// A PLC whose command registers hold what the plant is doing.
    #[must_use]
    pub fn new(seed: u64, plant: &Plant) -> AerationPlc {
        let image = shared(map());
        {
            let mut image = image.lock();
            let air = plant.handles.air;
            for i in 0..3 {
                let at = i as u16;
                image.put_holding(VALVE_COMMANDS + at, &[encode_u16(air.valve_pct[i], COMMAND_STEP)]);
                image.put_holding(SPEED_COMMANDS + at, &[encode_u16(air.speed_pct[i], COMMAND_STEP)]);
                image.put_coil(RUN_COMMANDS + at, air.run[i]);
            }
            image.put_holding(RECYCLE_COMMAND, &encode_f32(plant.handles.recycle_m3_h, ORDER));
            image.put_holding(NH4_SET_POINT, &encode_f32(2.0, ORDER));
            image.put_holding(PRESSURE_SET_POINT, &encode_f32(55.0, ORDER));
            image.keep_power_on();
        }
        AerationPlc {
            image,
            panel: Panel::new(seed, Wire::F32(ORDER), points()),
            beats: 0,
            silence_s: 0.0,
            local_speed: None,
        }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }

    /// The PLC obeys its command registers.
    #[must_use]
    pub fn remote(&self) -> bool {
        self.local_speed.is_none()
    }

    /// Counts silence; a beat is any write of the heartbeat register.
    fn watch(&mut self, beats: u64, real_dt: f64, plant: &Plant) {
        if beats != self.beats {
            self.beats = beats;
            self.silence_s = 0.0;
            self.local_speed = None;
            return;
        }
        self.silence_s += real_dt;
        if self.beats > 0 && self.silence_s > HEARTBEAT_TIMEOUT_S && self.local_speed.is_none() {
            self.local_speed = Some(plant.measured().blower_speed[0].max(LOCAL_SPEED_MIN_PCT));
        }
    }
}

impl Station for AerationPlc {
    fn control(&mut self, plant: &mut Plant, dt: f64, real_dt: f64) {
        let image = self.image.clone();
        let image = image.lock();
        self.watch(image.writes(HEARTBEAT), real_dt, plant);
        plant.handles.recycle_m3_h = image.float(RECYCLE_COMMAND, ORDER);
        let air = &mut plant.handles.air;
        if let Some(integral) = &mut self.local_speed {
            let error = image.float(PRESSURE_SET_POINT, ORDER) - plant.measured().header_kpa;
            let wanted = *integral + LOCAL_GAIN * error;
            // The integral stops where the speed does.
            let limited = wanted.clamp(LOCAL_SPEED_MIN_PCT, 100.0);
            if limited == wanted || (limited - wanted) * error > 0.0 {
                *integral += LOCAL_GAIN * error * dt / LOCAL_INTEGRAL_S;
            }
            let air = &mut plant.handles.air;
            air.valve_pct = [LOCAL_VALVE_PCT; 3];
            air.speed_pct[0] = limited;
            air.run = [true, false, false];
            return;
        }
        for i in 0..3 {
            let at = i as u16;
            air.valve_pct[i] = f64::from(image.word(VALVE_COMMANDS + at)) * COMMAND_STEP;
            air.speed_pct[i] = f64::from(image.word(SPEED_COMMANDS + at)) * COMMAND_STEP;
            air.run[i] = image.coil(RUN_COMMANDS + at);
        }
    }

    fn sense(&mut self, plant: &Plant, dt: f64) {
        self.panel.attend(plant.clock(), plant.disturbances.mains != Mains::Absent);
        self.panel.see(plant.measured(), dt);
    }

    fn publish(&mut self, plant: &Plant) {
        let m = plant.measured();
        let remote = self.remote();
        let image: &mut Image = &mut self.image.lock();
        self.panel.publish(image);
        self.panel.publish_status(image, STATUS, &STATUS_TAGS);
        for i in 0..3 {
            image.put_discrete(discrete(10_001) + i as u16, m.blower_running[i]);
            image.put_discrete(discrete(10_004) + i as u16, m.blower_fault[i]);
        }
        image.put_discrete(discrete(10_007), remote);
        // Counters of 0.1 kWh in ABCD pairs.
        for (at, blower) in (0..).map(|i| input(30_061) + 2 * i).zip(&plant.air().blowers) {
            image.put_input_pair(at, encode_u32(blower.energy.count() as u32, ORDER));
        }
    }

    fn restart(&mut self) {
        self.image.lock().power_on();
        self.panel.power_cycle();
        (self.beats, self.silence_s, self.local_speed) = (0, 0.0, None);
    }

    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.panel.instrument(tag)
    }

    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64)) {
        self.panel.quantities(plant.measured(), see);
    }
}

fn map() -> Map {
    let mut rules: Vec<Rule> = (0..3).map(|i| Rule::Word { at: VALVE_COMMANDS + i, low: 1500, high: 8500 }).collect();
    rules.extend((0..3).map(|i| Rule::Word { at: SPEED_COMMANDS + i, low: 4000, high: 10_000 }));
    let float = |at, low, high| Rule::Float { at, order: ORDER, low, high };
    rules.push(float(RECYCLE_COMMAND, 0.0, 3800.0));
    rules.push(float(NH4_SET_POINT, 0.5, 8.0));
    rules.push(float(PRESSURE_SET_POINT, 45.0, 70.0));
    rules.push(Rule::Word { at: HEARTBEAT, low: 0, high: u16::MAX });
    Map {
        input: vec![(input(30_001), 66), (STATUS, STATUS_TAGS.len() as u16)],
        holding: vec![(holding(40_001), 24), (HEARTBEAT, 1)],
        discrete: vec![(discrete(10_001), 7)],
        coils: vec![(RUN_COMMANDS, 3)],
        rules,
    }
}

fn points() -> Vec<Spec<Measured>> {
    fn spec(
        number: u16,
        tag: &'static str,
        read: fn(&Measured) -> f64,
        class: Class,
        sigma: f64,
        top: f64,
    ) -> Spec<Measured> {
        Spec { at: input(number), tag: tag.to_owned(), read, class, sigma, range: (0.0, top) }
    }
    let flow = Class::Fast(2.0);
    let power = Class::Fast(1.0);
    vec![
        spec(30_001, "aer/z3/do", |m| m.tank_do[2], Class::A, 0.02, 10.0),
        spec(30_003, "aer/z4/do", |m| m.tank_do[3], Class::A, 0.02, 10.0),
        spec(30_005, "aer/z5/do", |m| m.tank_do[4], Class::A, 0.02, 10.0),
        spec(30_007, "aer/z5/nh4", |m| m.z5_nh4, Class::B0, 0.08, 50.0),
        spec(30_009, "aer/z2/no3", |m| m.z2_no3, Class::B0, 0.05, 20.0),
        spec(30_011, "aer/z3/air", |m| m.zone_air[0], flow, 8.0, 4000.0),
        spec(30_013, "aer/z4/air", |m| m.zone_air[1], flow, 8.0, 4000.0),
        spec(30_015, "aer/z5/air", |m| m.zone_air[2], flow, 8.0, 4000.0),
        spec(30_017, "aer/z3/valve/pos", |m| m.valve_pct[0], Class::Direct, 0.0, 100.0),
        spec(30_019, "aer/z4/valve/pos", |m| m.valve_pct[1], Class::Direct, 0.0, 100.0),
        spec(30_021, "aer/z5/valve/pos", |m| m.valve_pct[2], Class::Direct, 0.0, 100.0),
        spec(30_023, "aer/header/pressure", |m| m.header_kpa, Class::Fast(0.3), 0.06, 90.0),
        spec(30_025, "aer/b1/speed", |m| m.blower_speed[0], Class::Direct, 0.0, 105.0),
        spec(30_027, "aer/b2/speed", |m| m.blower_speed[1], Class::Direct, 0.0, 105.0),
        spec(30_029, "aer/b3/speed", |m| m.blower_speed[2], Class::Direct, 0.0, 105.0),
        spec(30_031, "aer/b1/power", |m| m.blower_kw[0], power, 0.15, 150.0),
        spec(30_033, "aer/b2/power", |m| m.blower_kw[1], power, 0.15, 150.0),
        spec(30_035, "aer/b3/power", |m| m.blower_kw[2], power, 0.15, 150.0),
        spec(30_037, "aer/water/temp", |m| m.water_c, Class::A, 0.01, 40.0),
        spec(30_039, "inf/flow", |m| m.inf_flow, flow, 4.0, 3000.0),
        spec(30_041, "inf/nh4", |m| m.inf_nh4, Class::B0, 0.25, 80.0),
        spec(30_043, "aer/recycle/flow", |m| m.recycle_flow, flow, 6.0, 4000.0),
        spec(30_045, "aer/mlss", |m| m.mlss, Class::A, 20.0, 10_000.0),
        spec(30_047, "inf/cod", |m| m.inf_cod, Class::B1, 4.0, 1500.0),
        margin(30_049, "aer/b1/surge_margin", |m| m.surge_margin[0]),
        margin(30_051, "aer/b2/surge_margin", |m| m.surge_margin[1]),
        margin(30_053, "aer/b3/surge_margin", |m| m.surge_margin[2]),
        spec(30_055, "aer/b1/starts", |m| m.blower_starts[0], Class::Direct, 0.0, 1e6),
        spec(30_057, "aer/b2/starts", |m| m.blower_starts[1], Class::Direct, 0.0, 1e6),
        spec(30_059, "aer/b3/starts", |m| m.blower_starts[2], Class::Direct, 0.0, 1e6),
    ]
}

/// Surge margin as the blower's controller computes it, % of the surge flow.
fn margin(number: u16, tag: &'static str, read: fn(&Measured) -> f64) -> Spec<Measured> {
    let range = (-100.0, 300.0);
    Spec { at: input(number), tag: tag.to_owned(), read, class: Class::Fast(0.5), sigma: 0.2, range }
}
