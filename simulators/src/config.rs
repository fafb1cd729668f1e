//! What a simulation is started with: seed, speed, start time and where each device listens.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::devices::opcua::OpcUaSettings;
use crate::faults::Injection;
use crate::models::wet::Weather;

/// The device sockets of the plant with their default ports, in the order they are reported.
pub const DEVICES: [(&str, u16); 6] = [
    ("aeration_plc", 5021),
    ("dosing_skid", 5022),
    ("pv_inverter", 5023),
    ("power_meters", 5024),
    ("heat_pump", 5025),
    ("sludge_effluent_plc", 4841),
];

/// Largest accepted speed, in simulated seconds per second: above it the models cannot keep up on one core.
pub const SPEED_MAX: f64 = 2000.0;

/// What a simulation is started with.
#[derive(Debug, Clone)]
pub struct SimConfig {
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
    /// Security of the OPC UA device.
    pub opcua: OpcUaSettings,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            seed: 1,
            speed: 1.0,
            start: None,
            weather: Weather::Dry,
            faults: Vec::new(),
            api: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            ports: Ports::default(),
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
    /// [`SimError::Range`] with the setting that is out of range, [`SimError::Api`] for an address others could reach.
    pub fn check(&self) -> Result<(), SimError> {
        if !(self.speed > 0.0 && self.speed <= SPEED_MAX) {
            return Err(SimError::Range { what: "speed", value: self.speed, allowed: "above 0, up to 2000" });
        }
        if let Some(address) = self.api.filter(|address| !address.ip().is_loopback()) {
            return Err(SimError::Api { address });
        }
        match self.start {
            Some(start) if !START_RANGE.contains(&start) => {
                Err(SimError::Range { what: "start", value: start as f64, allowed: "1970 to 2100" })
            }
            _ => Ok(()),
        }
    }
}

/// TCP port of every device socket; 0 lets the system choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ports(BTreeMap<&'static str, u16>);

impl Default for Ports {
    fn default() -> Ports {
        Ports(DEVICES.into_iter().collect())
    }
}

impl Ports {
    /// Every device on a port chosen by the system.
    #[must_use]
    pub fn ephemeral() -> Ports {
        Ports(DEVICES.into_iter().map(|(name, _)| (name, 0)).collect())
    }

    /// Moves one device to another port.
    ///
    /// # Errors
    /// [`PortError`] when no device of that name exists.
    pub fn set(&mut self, device: &str, port: u16) -> Result<(), PortError> {
        match DEVICES.iter().find(|(name, _)| *name == device) {
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
    }
}
