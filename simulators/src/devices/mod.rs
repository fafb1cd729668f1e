//! The devices in front of the plant: they read it through instruments, drive its handles and speak to clients.
//!
//! A [`Station`] is the program inside a device; sockets and serial lines stand apart in [`gate`],
//! [`serial`] and [`opcua`].
//!
//! Two times meet here. Instruments and machines live in plant time; watchdogs and revert timers watch the client and
//! so run in real time, whatever the speed of the plant.

pub mod aeration;
pub mod dosing;
pub mod gate;
pub mod heat_pump;
pub mod image;
pub mod inverter;
pub mod lockstep;
pub mod modbus;
pub mod opcua;
pub mod panel;
pub mod pdu;
pub mod power_meters;
pub mod rtu;
pub mod serial;
pub mod sludge;
pub mod sunspec;

use std::sync::Arc;

use parking_lot::Mutex;

use crate::instruments::Instrument;
use crate::plant::Plant;
use image::Image;

/// Registers shared between a device's program and its socket.
pub type SharedImage = Arc<Mutex<Image>>;

/// The program inside a device.
pub trait Station {
    /// Drives the handles of the plant before it goes on by `dt` seconds of plant time and `real_dt` of real time.
    fn control(&mut self, plant: &mut Plant, dt: f64, real_dt: f64);
    /// Lets the instruments see the plant.
    fn sense(&mut self, plant: &Plant, dt: f64);
    /// Lays what the instruments show where clients read it.
    fn publish(&mut self, plant: &Plant);
    /// Starts again: what clients wrote is gone, commands hold their power-on values.
    fn restart(&mut self);
    /// The instrument of a measured quantity, if it is one of this device.
    fn instrument(&mut self, tag: &str) -> Option<&mut Instrument>;
    /// Reports tag, truth and shown value of every measured quantity.
    fn quantities(&self, plant: &Plant, see: &mut dyn FnMut(&str, f64, f64));
}

/// Registers of zeros; a device lays its power-on values in and calls [`Image::keep_power_on`].
fn shared(map: image::Map) -> SharedImage {
    Arc::new(Mutex::new(Image::new(map)))
}
