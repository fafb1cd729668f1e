//! A SunSpec meter (models 1 and 203) on the grid connection point, unit 240 behind the inverter's port.
//!
//! Import from the grid is positive power and `TotWhImp`. The plant's net is balanced: each phase carries a third.

use super::models::M203;
use super::{BASE, COMMON, Placed, Scale, chain, fixed_i16, put_common, put_u32};
use crate::devices::SharedImage;
use crate::devices::image::{Image, Map};
use crate::models::meters::Meter;

/// Modbus unit of the meter.
pub const UNIT: u8 = 240;
/// Model 203.
pub const METER: Placed = COMMON.then(M203);
/// Event bits: power failure, undervoltage.
const POWER_FAILURE: u32 = 1 << 2;
const UNDER_VOLTAGE: u32 = 1 << 3;
/// Voltage below which the events stand, V line to line.
const UNDER_V: f64 = 340.0;
const FAILED_V: f64 = 10.0;
/// Steps of the plant's energy registers, Wh.
const WH_PER_COUNT: u64 = 10;

/// The meter.
pub struct SunSpecMeter {
    image: SharedImage,
    amperes: Scale,
    watts: Scale,
    apparent: Scale,
    reactive: Scale,
}

impl Default for SunSpecMeter {
    fn default() -> SunSpecMeter {
        SunSpecMeter::new()
    }
}

impl SunSpecMeter {
    /// A meter whose measurements are not implemented until the first publication.
    #[must_use]
    pub fn new() -> SunSpecMeter {
        let words = chain(&[COMMON, METER]);
        let image = super::super::shared(Map { holding: vec![(BASE, words.len() as u16)], ..Map::default() });
        image.lock().put_holding(BASE, &words);
        put_common(&mut image.lock(), "GCM-3P", "1.8", "PSGCM-2023-0092", UNIT);
        SunSpecMeter {
            image,
            amperes: Scale::signed(-2, 0),
            watts: Scale::signed(-1, 3),
            apparent: Scale::signed(-1, 3),
            reactive: Scale::signed(-1, 3),
        }
    }

    /// Registers.
    #[must_use]
    pub fn image(&self) -> SharedImage {
        self.image.clone()
    }

    /// Lays what the meter shows.
    pub fn publish(&mut self, meter: &Meter) {
        let image = &mut *self.image.lock();
        let (w, var) = (meter.power_kw * 1000.0, meter.reactive_kvar * 1000.0);
        let va = w.hypot(var);
        let sign = if w < 0.0 { -1.0 } else { 1.0 };
        let each = sign * meter.current_a();
        let factor = self.amperes.fit(3.0 * each);
        let (sum, phase) = (self.amperes.lay(3.0 * each), self.amperes.lay(each));
        image.put_holding(const { METER.point("A") }, &[sum, phase, phase, phase, factor]);
        let line = fixed_i16(meter.voltage_v, -1);
        let phase = fixed_i16(meter.voltage_v / 3.0_f64.sqrt(), -1);
        let minus_one = -1_i16 as u16;
        image.put_holding(
            const { METER.point("PhV") },
            &[phase, phase, phase, phase, line, line, line, line, minus_one],
        );
        image.put_holding(const { METER.point("Hz") }, &[fixed_i16(meter.frequency_hz, -2), -2_i16 as u16]);
        put_quantity(image, const { METER.point("W") }, &mut self.watts, w);
        put_quantity(image, const { METER.point("VA") }, &mut self.apparent, va);
        put_quantity(image, const { METER.point("VAR") }, &mut self.reactive, var);
        // In percent: 100.00 is unity.
        let factor = fixed_i16(100.0 * meter.power_factor(), -2);
        image.put_holding(const { METER.point("PF") }, &[factor, factor, factor, factor, -2_i16 as u16]);
        // The counters roll over at 2^32 Wh, a good 4 GWh.
        put_u32(image, const { METER.point("TotWhExp") }, (meter.export.count() * WH_PER_COUNT) as u32);
        put_u32(image, const { METER.point("TotWhImp") }, (meter.import.count() * WH_PER_COUNT) as u32);
        image.put_holding(const { METER.point("TotWh_SF") }, &[0]);
        let events = match meter.voltage_v {
            v if v < FAILED_V => POWER_FAILURE | UNDER_VOLTAGE,
            v if v < UNDER_V => UNDER_VOLTAGE,
            _ => 0,
        };
        put_u32(image, const { METER.point("Evt") }, events);
    }
}

/// Total, three equal phases and their factor.
fn put_quantity(image: &mut Image, at: u16, scale: &mut Scale, total: f64) {
    let factor = scale.fit(total);
    let phase = scale.lay(total / 3.0);
    image.put_holding(at, &[scale.lay(total), phase, phase, phase, factor]);
}
