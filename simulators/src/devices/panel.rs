//! The analogue side of a device: instruments and where their values stand in the registers.

use super::image::{Image, Order, encode_f32, encode_i16, encode_u16, encode_u32};
use crate::clock::PlantClock;
use crate::instruments::{Class, Instrument, service};

/// How a value is laid into input registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Wire {
    /// Float32 in two registers.
    F32(Order),
    /// Unsigned register in steps of a resolution.
    U16(f64),
    /// Signed register in steps of a resolution.
    I16(f64),
    /// Signed value in two registers, high word first, in steps of a resolution.
    I32(f64),
}

/// One point: what it sees in `S`, through which instrument, and its PDU address.
pub struct Point<S> {
    at: u16,
    tag: String,
    wire: Wire,
    read: fn(&S) -> f64,
    instrument: Instrument,
}

/// Description of a point as it stands in a device's table.
pub struct Spec<S> {
    /// PDU address of the first input register.
    pub at: u16,
    /// Tag of the quantity, also the name of its noise stream.
    pub tag: String,
    /// Truth the point sees.
    pub read: fn(&S) -> f64,
    /// Behaviour of the instrument.
    pub class: Class,
    /// Standard deviation of its noise.
    pub sigma: f64,
    /// Measuring range.
    pub range: (f64, f64),
}

/// All points of a device.
pub struct Panel<S> {
    points: Vec<Point<S>>,
}

impl<S> Panel<S> {
    /// Instruments of their own seeds, one wire format for all.
    #[must_use]
    pub fn new(seed: u64, wire: Wire, specs: Vec<Spec<S>>) -> Panel<S> {
        let points = specs
            .into_iter()
            .map(|spec| Point {
                at: spec.at,
                wire,
                read: spec.read,
                instrument: Instrument::new(seed, &spec.tag, spec.class, spec.sigma, spec.range),
                tag: spec.tag,
            })
            .collect();
        Panel { points }
    }

    /// Points of another wire format on the same panel.
    #[must_use]
    pub fn and(mut self, other: Panel<S>) -> Panel<S> {
        self.points.extend(other.points);
        self
    }

    /// The instrument of a tag.
    pub fn instrument(&mut self, tag: &str) -> Option<&mut Instrument> {
        self.points.iter_mut().find(|point| point.tag == tag).map(|point| &mut point.instrument)
    }

    /// Reports tag, truth and shown value of every point.
    pub fn quantities(&self, truth: &S, see: &mut dyn FnMut(&str, f64, f64)) {
        for point in &self.points {
            see(&point.tag, (point.read)(truth), point.instrument.value());
        }
    }

    /// The instruments see the truth for `dt` seconds.
    pub fn see(&mut self, truth: &S, dt: f64) {
        for point in &mut self.points {
            point.instrument.see((point.read)(truth), dt);
        }
    }

    /// The instruments look at the plant's clock and mains, before they see.
    pub fn attend(&mut self, clock: &PlantClock, mains: bool) {
        let week_s = service::week_s(clock);
        self.points.iter_mut().for_each(|point| point.instrument.attend(week_s, mains));
    }

    /// The instruments lose their power for a moment.
    pub fn power_cycle(&mut self) {
        self.points.iter_mut().for_each(|point| point.instrument.power_cycle());
    }

    /// The instrument of one of the tags is cleaned, calibrated or out of service.
    #[must_use]
    pub fn in_service(&self, tags: &[&str]) -> bool {
        let mut points = self.points.iter().filter(|point| tags.contains(&point.tag.as_str()));
        points.any(|point| point.instrument.condition().in_service())
    }

    /// Lays the status words of the instruments of some tags into input registers, one after the other.
    pub fn publish_status(&self, image: &mut Image, first: u16, tags: &[&str]) {
        for (at, tag) in (first..).zip(tags) {
            if let Some(point) = self.points.iter().find(|point| point.tag == *tag) {
                image.put_input(at, &[point.instrument.status()]);
            }
        }
    }

    /// Tells the addresses of the points that show a value beyond a range; true where there is one.
    pub fn beyond(&self, range: (f64, f64), mut tell: impl FnMut(u16)) -> bool {
        let out = |value: f64| !(range.0..=range.1).contains(&value);
        let mut any = false;
        for point in self.points.iter().filter(|point| out(point.instrument.value())) {
            tell(point.at);
            any = true;
        }
        any
    }

    /// Lays the shown values into the registers.
    pub fn publish(&self, image: &mut Image) {
        for point in &self.points {
            let value = point.instrument.value();
            match point.wire {
                Wire::F32(order) => image.put_input_pair(point.at, encode_f32(value, order)),
                Wire::U16(resolution) => image.put_input(point.at, &[encode_u16(value, resolution)]),
                Wire::I16(resolution) => image.put_input(point.at, &[encode_i16(value, resolution)]),
                Wire::I32(resolution) => {
                    let steps = (value / resolution).round() as i32;
                    image.put_input_pair(point.at, encode_u32(steps as u32, Order::Abcd));
                }
            }
        }
    }
}
