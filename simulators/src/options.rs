//! Options of the simulators on a command line: the same for every program that runs them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::config::{PortError, Ports, SimConfig};
use crate::devices::modbus::Gateway;
use crate::devices::opcua::{Anonymous, OpcUaSettings, Secret};
use crate::devices::serial::SerialPort;
use crate::faults::Injection;
use crate::field::PlantKind;
use crate::models::wet::Weather;

/// What simulators are started with.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Plant: jinan, or bsm1 for the benchmark.
    #[arg(long, default_value = "jinan")]
    pub plant: PlantKind,
    /// Folder with the benchmark's influent and noise files, for its plant; our own generator where absent.
    #[arg(long, value_name = "FOLDER")]
    pub influent: Option<PathBuf>,
    /// Seed of weather, influent and instrument noise.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Simulated seconds per second, up to 2000.
    #[arg(long, default_value_t = 1.0)]
    pub speed: f64,
    /// Start of the plant clock: RFC 3339 (`2026-06-21T12:00:00+08:00`) or Unix seconds; now where absent.
    #[arg(long, value_parser = parse_start)]
    pub start: Option<i64>,
    /// Weather over the catchment: dry, rain or storm.
    #[arg(long, default_value = "dry")]
    pub weather: Weather,
    /// A fault active from the start, as `stuck aer/z5/nh4 0.5 for 30min`; may be given several times.
    #[arg(long = "fault", value_name = "TEXT")]
    pub faults: Vec<Injection>,
    /// Loopback address of the HTTP fault interface, as `127.0.0.1:5090`; off where absent.
    #[arg(long, value_name = "ADDRESS")]
    pub api: Option<SocketAddr>,
    /// Address all devices listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// Another port for one device, as `<device>=<port>`; may be given several times.
    #[arg(long = "port", value_name = "DEVICE=PORT", value_parser = parse_port)]
    pub ports: Vec<(String, u16)>,
    /// Every device on a free port chosen by the system.
    #[arg(long)]
    pub free_ports: bool,
    /// A device on a serial line too, as `power_meters=/tmp/meters,9600,8N1`: makes a link to a pseudo-terminal that
    /// speaks Modbus RTU; may be given several times.
    #[arg(long, value_name = "DEVICE=LINK[,BAUD[,FORMAT]]")]
    pub serial: Vec<SerialPort>,
    /// How a device's gateway answers for units that do not, as `power_meters=knowing|silent|<timeout>`; may be given
    /// several times.
    #[arg(long = "gateway", value_name = "DEVICE=KIND", value_parser = parse_gateway)]
    pub gateways: Vec<(String, Gateway)>,
    /// Plant time moves only as a client asks of the register at device `lockstep` (port 5029).
    #[arg(long, conflicts_with = "speed")]
    pub lockstep: bool,
    /// Stop when standard input closes, so that the plant ends with the process that started it.
    #[arg(long)]
    pub exit_with_stdin: bool,
    /// Security of the OPC UA device.
    #[command(flatten)]
    pub opcua: OpcUaOptions,
}

impl Options {
    /// The configuration they ask for.
    ///
    /// # Errors
    /// [`PortError`] when a port is given for a device that does not exist.
    pub fn config(self) -> Result<SimConfig, PortError> {
        let mut ports = if self.free_ports { Ports::ephemeral() } else { Ports::default() };
        for (device, port) in &self.ports {
            ports.set(device, *port)?;
        }
        Ok(SimConfig {
            plant: self.plant,
            influent: self.influent,
            seed: self.seed,
            speed: self.speed,
            start: self.start,
            weather: self.weather,
            faults: self.faults,
            api: self.api,
            host: self.host,
            ports,
            serial: self.serial,
            gateways: self.gateways.into_iter().collect(),
            lockstep: self.lockstep,
            opcua: self.opcua.settings(),
        })
    }
}

/// Environment variable with the password of the OPC UA user `operator`.
const PASSWORD_VARIABLE: &str = "PENSTOCK_SIM_OPCUA_PASSWORD";

/// Security of the OPC UA device.
#[derive(Debug, Clone, clap::Args)]
pub struct OpcUaOptions {
    /// Folder of the OPC UA device's keys and certificates; a temporary one where absent.
    #[arg(long, value_name = "FOLDER")]
    pub pki: Option<PathBuf>,
    /// Trust every OPC UA client certificate: for demonstrations.
    #[arg(long)]
    pub trust_all: bool,
    /// What OPC UA clients without an identity may do: read, or write the commands too.
    #[arg(long, value_name = "read|write", default_value = "write")]
    pub opcua_anonymous: Anonymous,
    /// Password of the OPC UA user `operator`; PENSTOCK_SIM_OPCUA_PASSWORD says it without showing it to other users of
    /// the machine. Without either there is no such user.
    #[arg(long, value_name = "TEXT")]
    pub opcua_password: Option<String>,
    /// Days a new certificate of the OPC UA device is valid; 0 has expired when it is shown.
    #[arg(long, value_name = "DAYS", default_value_t = OpcUaSettings::default().certificate_days, value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub certificate_days: u32,
}

impl OpcUaOptions {
    fn settings(self) -> OpcUaSettings {
        let password = self.opcua_password.or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
        OpcUaSettings {
            pki: self.pki,
            trust_all: self.trust_all,
            anonymous: self.opcua_anonymous,
            password: password.and_then(Secret::new),
            certificate_days: self.certificate_days,
        }
    }
}

fn parse_start(text: &str) -> Result<i64, String> {
    text.parse::<i64>().or_else(|_| text.parse::<jiff::Timestamp>().map(|t| t.as_second()).map_err(|e| e.to_string()))
}

fn parse_port(text: &str) -> Result<(String, u16), String> {
    let (device, port) = text.split_once('=').ok_or("expected <device>=<port>")?;
    let port = port.parse().map_err(|_| format!("`{port}` is not a port number"))?;
    Ports::ephemeral().set(device, port).map_err(|e| e.to_string())?;
    Ok((device.to_owned(), port))
}

fn parse_gateway(text: &str) -> Result<(String, Gateway), String> {
    let (device, kind) = text.split_once('=').ok_or("expected <device>=knowing|silent|<timeout>")?;
    Ok((device.to_owned(), kind.parse()?))
}
