//! What a simulation is started with: seed, speed, start time and where each device listens.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::bsm1::Bsm1Error;
use crate::devices::modbus::Gateway;
use crate::devices::opcua::OpcUaSettings;
use crate::devices::serial::SerialPort;
use crate::faults::Injection;
use crate::field::PlantKind;
use crate::models::wet::Weather;

/// The device sockets of the plant with their default ports, in the order they are reported.
pub const DEVICES: [(&str, u16); 7] = [
    ("aeration_plc", 5021),
    ("dosing_skid", 5022),
    ("pv_inverter", 5023),
    ("power_meters", 5024),
    ("heat_pump", 5025),
    ("sludge_effluent_plc", 4841),
    ("bsm1_plc", 5031),
];

/// The lock-step register with its default port; there is none without `lockstep`.
pub const LOCKSTEP: (&str, u16) = ("lockstep", 5029);

/// The one device that speaks OPC UA and has no Modbus registers.
pub(crate) const OPCUA_DEVICE: &str = "sludge_effluent_plc";

/// Largest accepted speed, in simulated seconds per second: above it the models cannot keep up on one core.
pub const SPEED_MAX: f64 = 2000.0;

/// What a simulation is started with.
#[derive(Debug, Clone)]
pub struct SimConfig {
    /// Which plant.
    pub plant: PlantKind,
    /// Folder with the benchmark's influent and noise, for its plant; our own generator where absent.
    pub influent: Option<PathBuf>,
    /// Seed of weather, influent and instrument noise: the same seed gives the same plant, byte for byte.
    pub seed: u64,
    /// Simulated seconds per second of real time, above 0 and up to [`SPEED_MAX`].
    pub speed: f64,
    /// Start of the plant clock in Unix seconds; the time of the host where absent.
    pub start: Option<i64>,
    /// Weather over the catchment.
    pub weather: Weather,
    /// Faults active from the start.
    pub faults: Vec<Injection>,
    /// Loopback address of the fault interface; none where absent.
    pub api: Option<SocketAddr>,
    /// Address all devices listen on.
    pub host: IpAddr,
    /// Where each device listens.
    pub ports: Ports,
    /// Devices that answer on a serial line too.
    pub serial: Vec<SerialPort>,
    /// What stands in front of the units of a device; [`Gateway::Knowing`] where absent.
    pub gateways: BTreeMap<String, Gateway>,
    /// Plant time stands still but for what a client asks of the lock-step register; `speed` has no meaning.
    pub lockstep: bool,
    /// Security of the OPC UA device.
    pub opcua: OpcUaSettings,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            plant: PlantKind::Jinan,
            influent: None,
            seed: 1,
            speed: 1.0,
            start: None,
            weather: Weather::Dry,
            faults: Vec::new(),
            api: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::default(),
            serial: Vec::new(),
            gateways: BTreeMap::new(),
            lockstep: false,
            opcua: OpcUaSettings::default(),
        }
    }
}

/// Plant times the calendar of the models is made for, Unix seconds: 1970 to 2100.
const START_RANGE: std::ops::RangeInclusive<i64> = 0..=4_102_444_800;

impl SimConfig {
    /// Checks the ranges of speed and start, and the address of the fault interface.
    ///
    /// # Errors
    /// [`SimError::Range`] with the setting that is out of range, [`SimError::Api`] for an address others could reach,
    /// [`SimError::NotModbus`] for a serial line or gateway of a device that has none, [`SimError::Faults`] for a fault
    /// of a serial line that is not there.
    pub fn check(&self) -> Result<(), SimError> {
        if !(self.speed > 0.0 && self.speed <= SPEED_MAX) {
            return Err(SimError::Range { what: "speed", value: self.speed, allowed: "above 0, up to 2000" });
        }
        if let Some(address) = self.api.filter(|address| !address.ip().is_loopback()) {
            return Err(SimError::Api { address });
        }
        let modbus = |device: &str| DEVICES.iter().any(|(name, _)| *name == device && *name != OPCUA_DEVICE);
        let named = self.serial.iter().map(|port| &port.device).chain(self.gateways.keys());
        if let Some(device) = named.into_iter().find(|device| !modbus(device)) {
            return Err(SimError::NotModbus { device: device.clone() });
        }
        for fault in &self.faults {
            let fits = fault.fits(&self.on_serial());
            fits.map_err(|refused| SimError::Faults { reason: refused.to_string() })?;
        }
        match self.start {
            Some(start) if !START_RANGE.contains(&start) => {
                Err(SimError::Range { what: "start", value: start as f64, allowed: "1970 to 2100" })
            }
            _ => Ok(()),
        }
    }
}

impl SimConfig {
    /// Devices on a serial line.
    #[must_use]
    pub fn on_serial(&self) -> Vec<&str> {
        self.serial.iter().map(|port| port.device.as_str()).collect()
    }
}

/// TCP port of every device socket; 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(BTreeMap<&'static str, u16>);

impl Default for Ports {
    fn default() -> Ports {
        Ports(DEVICES.into_iter().chain([LOCKSTEP]).collect())
    }
}

impl Ports {
    /// Every device on a port chosen by the system.
    #[must_use]
    pub fn ephemeral() -> Ports {
        Ports(DEVICES.into_iter().chain([LOCKSTEP]).map(|(name, _)| (name, 0)).collect())
    }

    /// Moves one device to another port.
    ///
    /// # Errors
    /// [`PortError`] when no device of that name exists.
    pub fn set(&mut self, device: &str, port: u16) -> Result<(), PortError> {
        match DEVICES.iter().chain([&LOCKSTEP]).find(|(name, _)| *name == device) {
            Some((name, _)) => {
                self.0.insert(name, port);
                Ok(())
            }
            None => Err(PortError { device: device.to_owned() }),
        }
    }

    /// The port of a device; 0 where the system chooses (and for an unknown name).
    #[must_use]
    pub fn get(&self, device: &str) -> u16 {
        self.0.get(device).copied().unwrap_or(0)
    }
}

/// A port was given for a device the plant does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no simulated device is called `{device}`; there are {}", device_names())]
pub struct PortError {
    /// The name that was given.
    pub device: String,
}

fn device_names() -> String {
    DEVICES.map(|(name, _)| name).join(", ")
}

fn modbus_names() -> String {
    DEVICES.map(|(name, _)| name).into_iter().filter(|name| *name != OPCUA_DEVICE).collect::<Vec<_>>().join(", ")
}

/// Why a simulation could not run.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A device's socket could not be opened.
    #[error("device {device} cannot listen on {address}")]
    Listen {
        /// Device socket name.
        device: String,
        /// Address it should have listened on.
        address: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A serial line could not be opened.
    #[error("device {device}: serial line {link}")]
    Serial {
        /// Device socket name.
        device: String,
        /// Where its link should be.
        link: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// A serial line or a gateway was asked for at a device of the other plant.
    #[error("the plant `{plant}` has no device `{device}`")]
    OtherPlant {
        /// The name given.
        device: String,
        /// The plant that runs.
        plant: PlantKind,
    },
    /// A serial line or a gateway was asked for where there are no Modbus units.
    #[error("`{device}` is no device with Modbus registers; there are {}", modbus_names())]
    NotModbus {
        /// The name given.
        device: String,
    },
    /// The OPC UA server could not be built or stopped working.
    #[error("device {device}: OPC UA server: {reason}")]
    OpcUa {
        /// Device socket name.
        device: String,
        /// What the library reported.
        reason: String,
    },
    /// The fault interface has no passwords and must not be reachable from elsewhere.
    #[error("the fault interface may listen on a loopback address only, not on {address}")]
    Api {
        /// The address given.
        address: SocketAddr,
    },
    /// A file of the benchmark is missing or wrong.
    #[error(transparent)]
    Benchmark(#[from] Bsm1Error),
    /// The faults of the start do not fit.
    #[error("faults of the start: {reason}")]
    Faults {
        /// Why not.
        reason: String,
    },
    /// A number in the configuration is outside its range.
    #[error("simulation {what} is {value}, allowed is {allowed}")]
    Range {
        /// Which setting.
        what: &'static str,
        /// The value given.
        value: f64,
        /// The allowed range in words.
        allowed: &'static str,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_by_name_and_ranges_of_settings() {
        let mut ports = Ports::default();
        assert_eq!(ports.get("aeration_plc"), 5021);
        ports.set("aeration_plc", 6021).unwrap();
        assert_eq!((ports.get("aeration_plc"), ports.get("heat_pump")), (6021, 5025));
        let error = ports.set("pump_house", 1).unwrap_err();
        assert!(error.to_string().contains("pump_house") && error.to_string().contains("power_meters"), "{error}");
        assert!(DEVICES.iter().all(|(name, _)| Ports::ephemeral().get(name) == 0));

        for speed in [0.0, -1.0, f64::NAN, SPEED_MAX * 2.0] {
            assert!(SimConfig { speed, ..SimConfig::default() }.check().is_err(), "{speed}");
        }
        let api = |text: &str| SimConfig { api: Some(text.parse().unwrap()), ..SimConfig::default() }.check();
        assert!(api("127.0.0.1:0").is_ok() && api("[::1]:80").is_ok() && api("0.0.0.0:80").is_err());
        assert!(SimConfig { start: Some(-1), ..SimConfig::default() }.check().is_err());
        assert!(SimConfig::default().check().is_ok());

        let on = |device: &str| format!("{device}=/tmp/line").parse().unwrap();
        let wrong = SimConfig { serial: vec![on("sludge_effluent_plc")], ..SimConfig::default() }.check().unwrap_err();
        assert!(
            wrong.to_string().contains("power_meters") && !wrong.to_string().contains("sludge_effluent_plc,"),
            "{wrong}"
        );
        let faults = vec!["bad-crc power_meters/12".parse().unwrap()];
        let tcp = SimConfig { faults: faults.clone(), ..SimConfig::default() }.check().unwrap_err().to_string();
        assert!(tcp.contains("no CRC") && tcp.contains("--serial power_meters="), "{tcp}");
        assert!(SimConfig { faults, serial: vec![on("power_meters")], ..SimConfig::default() }.check().is_ok());
    }
}
