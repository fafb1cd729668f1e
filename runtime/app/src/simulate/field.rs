//! The simulated field in memory: each device of the site on the registers or nodes of the plant model.

use crate::config::{DriverConfig, Site};
use parking_lot::Mutex;
use penstock_modbus::{Area, Lockstep as ModbusDevice, Registers};
use penstock_model::{Command, CommandSink, DeviceId, Now, QueueFull, Reach, SampleSink};
use penstock_opcua::{Lockstep as OpcUaDevice, NodeRef, Nodes, Plain};
use penstock_simulators::Field as Plant;
use penstock_simulators::devices::SharedImage;
use penstock_simulators::devices::sludge::{COMMANDS, DEWATER_RUNNING, SharedNodes, double_nodes};
use penstock_simulators::faults::LinkState;
use std::sync::Arc;
use std::time::Duration;

/// Commands on their way from the arbiter to the devices, one list per device.
#[derive(Default)]
pub struct Mailboxes(Mutex<Vec<Vec<Command>>>);

impl Mailboxes {
    /// Empty boxes for so many devices.
    pub fn new(devices: usize) -> Arc<Mailboxes> {
        Arc::new(Mailboxes(Mutex::new(vec![Vec::new(); devices])))
    }

    fn take(&self, device: usize) -> Vec<Command> {
        self.0.lock().get_mut(device).map(std::mem::take).unwrap_or_default()
    }
}

impl CommandSink for Mailboxes {
    fn submit(&self, device: DeviceId, command: Command) -> Result<(), QueueFull> {
        self.0.lock().get_mut(usize::from(device.0)).ok_or(QueueFull)?.push(command);
        Ok(())
    }
}

enum Device {
    Modbus(Box<ModbusDevice>, Memory),
    OpcUa(Box<OpcUaDevice>, Variables),
}

/// Where a device of the site is found in the plant model.
struct Place {
    socket: &'static str,
    /// Modbus unit; none for OPC UA.
    unit: Option<u8>,
    /// How long an answer may take.
    timeout: Duration,
}

impl Device {
    fn step(&mut self, commands: Vec<Command>, sink: &dyn SampleSink, now: Now) {
        match self {
            Device::Modbus(driver, memory) => driver.step(&mut *memory, commands, sink, now),
            Device::OpcUa(driver, nodes) => driver.step(&mut *nodes, commands, sink, now),
        }
    }
}

/// What the faults of a link do to the requests of one device: what becomes of them, and whether all are refused.
/// An answer that comes too late, belongs to another request or unit, or is no frame, is no answer; the codes of a gateway
/// that cannot reach its device are a link that is not there. Pauses a device needs do not exist here: a step has no time.
fn treatment(link: &LinkState, place: &Place) -> (Reach, bool) {
    const GATEWAY_CODES: [u8; 2] = [10, 11];
    if link.closed() {
        return (Reach::Closed, false);
    }
    let of = link.treatment(place.unit);
    let late = of.delay_ms + of.jitter_ms >= place.timeout.as_secs_f64() * 1000.0;
    let garbled = of.stale || of.short || of.garbage || of.wrong_unit || of.echo;
    match of.exception {
        _ if of.mute || garbled || late => (Reach::Silent, false),
        Some(code) if GATEWAY_CODES.contains(&code) => (Reach::Closed, false),
        code => (Reach::Answers, code.is_some()),
    }
}

/// All devices of a site on one plant model.
pub struct Field {
    devices: Vec<Device>,
    places: Vec<Place>,
    /// A link fault was active at the last step.
    disturbed: bool,
    mailboxes: Arc<Mailboxes>,
}

impl Field {
    /// Binds every device of the site to the simulated device at whose default port it is configured.
    ///
    /// # Errors
    /// When a device of the site has no counterpart in the model.
    pub fn new(site: &Site, plant: &dyn Plant, mailboxes: Arc<Mailboxes>) -> Result<Field, String> {
        let (mut devices, mut places) = (Vec::new(), Vec::new());
        for device in &site.devices {
            let socket = crate::sim::socket_of(&device.address).ok_or_else(|| {
                format!("device `{}` at {} has no counterpart in the plant model", device.name, device.address)
            })?;
            let (unit, timeout) = match &device.driver {
                DriverConfig::Modbus(config) => (Some(config.unit), config.timeout),
                DriverConfig::OpcUa(config) => (None, config.timeout),
            };
            places.push(Place { socket, unit, timeout });
            devices.push(match &device.driver {
                DriverConfig::Modbus(config) => {
                    let image = plant.image(socket, config.unit).ok_or_else(|| {
                        format!(
                            "device `{}`: unit {} of `{socket}` is not in the plant model",
                            device.name, config.unit
                        )
                    })?;
                    Device::Modbus(
                        Box::new(ModbusDevice::new(config.clone())),
                        Memory { image, reach: Reach::Answers, refuses: false },
                    )
                }
                DriverConfig::OpcUa(config) => {
                    let shared = plant
                        .opcua_nodes()
                        .ok_or_else(|| format!("device `{}`: the plant model has no OPC UA device", device.name))?;
                    let nodes = Variables { shared, names: double_nodes(), reach: Reach::Answers };
                    Device::OpcUa(Box::new(OpcUaDevice::new(config.clone())), nodes)
                }
            });
        }
        Ok(Field { devices, places, disturbed: false, mailboxes })
    }

    /// Carries out what the last scans commanded, as a driver on the wire does at once: a plant that is stepped by the
    /// minute must not wait one for it.
    pub fn deliver(&mut self, sink: &dyn SampleSink, now: Now) {
        for (index, device) in self.devices.iter_mut().enumerate() {
            let commands = self.mailboxes.take(index);
            if !commands.is_empty() {
                device.step(commands, sink, now);
            }
        }
    }

    /// One step of every device: commands out, then what is due in, over links as the plant's faults leave them.
    pub fn step(&mut self, plant: &dyn Plant, sink: &dyn SampleSink, now: Now) {
        let disturbed = plant.faults().iter().any(|active| active.fault.in_real_time());
        if disturbed || self.disturbed {
            self.disturbed = disturbed;
            for (device, place) in self.devices.iter_mut().zip(&self.places) {
                let (reach, refuses) = treatment(&plant.link(place.socket), place);
                match device {
                    Device::Modbus(_, memory) => (memory.reach, memory.refuses) = (reach, refuses),
                    Device::OpcUa(_, nodes) => nodes.reach = reach,
                }
            }
        }
        for (index, device) in self.devices.iter_mut().enumerate() {
            device.step(self.mailboxes.take(index), sink, now);
        }
    }
}

/// Registers of one simulated unit.
struct Memory {
    image: SharedImage,
    reach: Reach,
    refuses: bool,
}

impl Registers for Memory {
    fn reach(&self) -> Reach {
        self.reach
    }

    fn words(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<u16>> {
        if self.refuses {
            return None;
        }
        let image = self.image.lock();
        let words = match area {
            Area::Input => image.read_input(start, count),
            Area::Holding => image.read_holding(start, count),
            Area::Coil | Area::Discrete => return None,
        };
        words.ok().map(<[u16]>::to_vec)
    }

    fn bits(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<bool>> {
        if self.refuses {
            return None;
        }
        let image = self.image.lock();
        let bits = match area {
            Area::Discrete => image.read_discrete(start, count),
            Area::Coil => image.read_coils(start, count),
            Area::Input | Area::Holding => return None,
        };
        bits.ok().map(<[bool]>::to_vec)
    }

    fn write_words(&mut self, start: u16, words: &[u16]) -> bool {
        !self.refuses && self.image.lock().write_holding(start, words).is_ok()
    }

    fn write_bit(&mut self, at: u16, on: bool) -> bool {
        !self.refuses && self.image.lock().write_coils(at, &[on]).is_ok()
    }
}

/// Nodes of the simulated OPC UA server.
struct Variables {
    shared: SharedNodes,
    names: Vec<&'static str>,
    reach: Reach,
}

impl Nodes for Variables {
    fn reach(&self) -> Reach {
        self.reach
    }

    fn read(&mut self, node: &NodeRef) -> Option<Plain> {
        let id = node.string_id()?;
        let nodes = self.shared.lock();
        if id == DEWATER_RUNNING {
            return Some(Plain::Boolean(nodes.dewater_running));
        }
        if let Some(i) = COMMANDS.iter().position(|c| c.id == id) {
            return Some(Plain::Double(nodes.commands[i]));
        }
        let i = self.names.iter().position(|n| *n == id)?;
        nodes.doubles.get(i).copied().map(Plain::Double)
    }

    fn write(&mut self, node: &NodeRef, value: Plain) -> bool {
        let command = node.string_id().and_then(|id| COMMANDS.iter().position(|c| c.id == id));
        let (Some(i), Plain::Double(x)) = (command, value) else { return false };
        let fits = (COMMANDS[i].low..=COMMANDS[i].high).contains(&x);
        if fits {
            self.shared.lock().commands[i] = x;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_links_are_refusals_losses_or_nothing_as_on_the_wire() {
        let place = |unit| Place { socket: "power_meters", unit, timeout: Duration::from_millis(500) };
        let with = |fault: &str| {
            let mut plant = penstock_simulators::simulation::Simulation::new(1, 1_781_452_800);
            plant.inject(fault.parse().unwrap()).unwrap();
            plant.link("power_meters")
        };
        for (fault, expected) in [
            ("drop power_meters", (Reach::Closed, false)),
            ("refuse power_meters", (Reach::Closed, false)),
            ("restart power_meters", (Reach::Closed, false)),
            ("mute power_meters/12", (Reach::Silent, false)),
            ("mute power_meters/13", (Reach::Answers, false)),
            ("mute dosing_skid", (Reach::Answers, false)),
            ("stale power_meters", (Reach::Silent, false)),
            ("short power_meters", (Reach::Silent, false)),
            ("garbage power_meters", (Reach::Silent, false)),
            ("wrong-unit power_meters/12", (Reach::Silent, false)),
            ("echo power_meters", (Reach::Silent, false)),
            ("busy power_meters 20ms", (Reach::Answers, false)),
            ("delay power_meters 400ms", (Reach::Answers, false)),
            ("slow power_meters/12", (Reach::Silent, false)),
            ("exception power_meters", (Reach::Answers, true)),
            ("exception power_meters/12 11", (Reach::Closed, false)),
        ] {
            assert_eq!(treatment(&with(fault), &place(Some(12))), expected, "{fault}");
        }
    }
}
