//! The simulated field in memory: each device of the site on the registers or nodes of the plant model.

use crate::config::{DriverConfig, Site};
use parking_lot::Mutex;
use penstock_modbus::{Area, Lockstep as ModbusDevice, Registers};
use penstock_model::{Command, CommandSink, DeviceId, Now, QueueFull, SampleSink};
use penstock_opcua::{Lockstep as OpcUaDevice, NodeRef, Nodes, Plain};
use penstock_simulators::Field as Plant;
use penstock_simulators::devices::SharedImage;
use penstock_simulators::devices::sludge::{COMMANDS, DEWATER_RUNNING, SharedNodes, double_nodes};
use std::sync::Arc;

/// Commands on their way from the arbiter to the devices, one list per device.
#[derive(Default)]
pub struct Mailboxes(Mutex<Vec<Vec<Command>>>);

impl Mailboxes {
    /// Empty boxes for so many devices.
    pub fn new(devices: usize) -> Arc<Mailboxes> {
        Arc::new(Mailboxes(Mutex::new(vec![Vec::new(); devices])))
    }

    fn empty(&self) -> bool {
        self.0.lock().iter().all(Vec::is_empty)
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

/// All devices of a site on one plant model.
pub struct Field {
    devices: Vec<Device>,
    mailboxes: Arc<Mailboxes>,
}

impl Field {
    /// Binds every device of the site to the simulated device at whose default port it is configured.
    ///
    /// # Errors
    /// When a device of the site has no counterpart in the model.
    pub fn new(site: &Site, plant: &dyn Plant, mailboxes: Arc<Mailboxes>) -> Result<Field, String> {
        let mut devices = Vec::new();
        for device in &site.devices {
            let socket = crate::sim::socket_of(&device.address).ok_or_else(|| {
                format!("device `{}` at {} has no counterpart in the plant model", device.name, device.address)
            })?;
            devices.push(match &device.driver {
                DriverConfig::Modbus(config) => {
                    let image = plant.image(socket, config.unit).ok_or_else(|| {
                        format!(
                            "device `{}`: unit {} of `{socket}` is not in the plant model",
                            device.name, config.unit
                        )
                    })?;
                    Device::Modbus(Box::new(ModbusDevice::new(config.clone())), Memory(image))
                }
                DriverConfig::OpcUa(config) => {
                    let shared = plant
                        .opcua_nodes()
                        .ok_or_else(|| format!("device `{}`: the plant model has no OPC UA device", device.name))?;
                    let nodes = Variables { shared, names: double_nodes() };
                    Device::OpcUa(Box::new(OpcUaDevice::new(config.clone())), nodes)
                }
            });
        }
        Ok(Field { devices, mailboxes })
    }

    /// Carries out what the last scans commanded, as a driver on the wire does at once: a plant that is stepped by the
    /// minute must not wait one for it.
    pub fn deliver(&mut self, sink: &dyn SampleSink, now: Now) {
        if !self.mailboxes.empty() {
            self.step(sink, now);
        }
    }

    /// One step of every device: commands out, then what is due in.
    pub fn step(&mut self, sink: &dyn SampleSink, now: Now) {
        for (index, device) in self.devices.iter_mut().enumerate() {
            let commands = self.mailboxes.take(index);
            match device {
                Device::Modbus(driver, memory) => driver.step(memory, commands, sink, now),
                Device::OpcUa(driver, nodes) => driver.step(nodes, commands, sink, now),
            }
        }
    }
}

/// Registers of one simulated unit.
struct Memory(SharedImage);

impl Registers for Memory {
    fn words(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<u16>> {
        let image = self.0.lock();
        let words = match area {
            Area::Input => image.read_input(start, count),
            Area::Holding => image.read_holding(start, count),
            Area::Coil | Area::Discrete => return None,
        };
        words.ok().map(<[u16]>::to_vec)
    }

    fn bits(&mut self, area: Area, start: u16, count: u16) -> Option<Vec<bool>> {
        let image = self.0.lock();
        let bits = match area {
            Area::Discrete => image.read_discrete(start, count),
            Area::Coil => image.read_coils(start, count),
            Area::Input | Area::Holding => return None,
        };
        bits.ok().map(<[bool]>::to_vec)
    }

    fn write_words(&mut self, start: u16, words: &[u16]) -> bool {
        self.0.lock().write_holding(start, words).is_ok()
    }

    fn write_bit(&mut self, at: u16, on: bool) -> bool {
        self.0.lock().write_coils(at, &[on]).is_ok()
    }
}

/// Nodes of the simulated OPC UA server.
struct Variables {
    shared: SharedNodes,
    names: Vec<&'static str>,
}

impl Nodes for Variables {
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
