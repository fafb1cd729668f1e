//! What a person points at: a tag of a site, or a place in a device that no site knows.

use crate::config::{Device, DriverConfig, Overrides, Site, load};
use crate::diagnostics::suggest;
use clap::Args;
use penstock_modbus::{
    ByteOrder, ChannelConfig, DeviceConfig, GroupConfig, Parity, PointConfig, Quirks, SerialSettings, Transport,
    WireType, parse_place,
};
use penstock_model::{DeviceId, Source, TagDef, TagId, ValueType};
use std::path::PathBuf;
use std::time::Duration;

/// The way to a Modbus device that no site knows.
#[derive(Debug, Clone, Args)]
pub struct LinkArgs {
    /// Address of a Modbus device, as 10.0.0.7:502, or a serial port, as /dev/ttyUSB0.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// The address is a serial device server: RTU frames over TCP.
    #[arg(long, requires = "address")]
    pub rtu_over_tcp: bool,
    /// How characters go over a serial port: 9600,8N1. Default 19200,8E1, the standard's own.
    #[arg(long, requires = "address", value_name = "BAUD,FORMAT", value_parser = line)]
    pub line: Option<SerialSettings>,
    /// How long an answer may take.
    #[arg(long, default_value = "1s", value_parser = crate::cli::duration)]
    pub timeout: Duration,
    /// Silence between two questions.
    #[arg(long, value_parser = crate::cli::duration)]
    pub pause: Option<Duration>,
    /// The device's manual counts addresses from 0.
    #[arg(long)]
    pub zero_based: bool,
}

/// A tag of a site, or a place in a Modbus device.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Site folder, followed by the path of a tag.
    #[arg(required_unless_present = "address", conflicts_with = "address", requires = "tag")]
    pub site: Option<PathBuf>,
    /// Path of the tag.
    pub tag: Option<String>,
    #[command(flatten)]
    pub link: LinkArgs,
    /// Unit, with --address.
    #[arg(long, default_value_t = 1)]
    pub unit: u8,
    /// Place in the device in any notation: 40001, HR1, h0, 1!400001#LB.
    #[arg(long, requires = "address")]
    pub at: Option<String>,
    /// Wire type: uint16, float32, bit and so on. Default uint16, bit for coils and discrete inputs.
    #[arg(long = "as", requires = "at", value_name = "TYPE")]
    pub wire: Option<String>,
    /// Byte order: ABCD, CDAB, BADC, DCBA.
    #[arg(long, requires = "at")]
    pub byte_order: Option<String>,
    /// Value = what is on the wire × scale + offset.
    #[arg(long, requires = "at", default_value_t = 1.0)]
    pub scale: f64,
    /// See --scale.
    #[arg(long, requires = "at", default_value_t = 0.0, allow_negative_numbers = true)]
    pub offset: f64,
    /// Address of a site's device in place of the configured one, as <device>=<host:port>; may be repeated.
    #[arg(long = "device", value_name = "DEVICE=ADDRESS", value_parser = crate::cli::device_address, requires = "site")]
    pub devices: Vec<(String, String)>,
    /// State folder of the site: where certificates are, and whether it runs.
    #[arg(long, default_value = "var/penstock")]
    pub state: PathBuf,
}

/// What was pointed at.
pub enum Place {
    /// A point of a Modbus device.
    Modbus(Box<ModbusPlace>),
    /// A point of an OPC UA server.
    OpcUa(Box<OpcUaPlace>),
}

/// A point of a Modbus device.
pub struct ModbusPlace {
    /// The device with all its points.
    pub config: DeviceConfig,
    /// Which point.
    pub index: usize,
    /// The tag, where a site was named.
    pub tag: Option<TagDef>,
}

/// A point of an OPC UA server.
pub struct OpcUaPlace {
    /// The server with this point alone.
    pub config: penstock_opcua::DeviceConfig,
    /// The tag.
    pub tag: TagDef,
}

impl PlaceArgs {
    /// Finds what is meant.
    ///
    /// # Errors
    /// Mistakes of the site; a tag that it has not, or that no device has; a place or type that is none.
    pub fn find(&self) -> Result<Place, String> {
        match (&self.site, &self.tag) {
            (Some(site), Some(tag)) => {
                let overrides = Overrides { device_address: self.devices.clone() };
                let site = load(site, &overrides).map_err(|d| d.to_string())?.site;
                self.of_tag(&site, tag)
            }
            _ => {
                let (config, index) = self.of_address()?;
                Ok(Place::Modbus(Box::new(ModbusPlace { config, index, tag: None })))
            }
        }
    }

    fn of_tag(&self, site: &Site, path: &str) -> Result<Place, String> {
        let id = site.tags.find(path).ok_or_else(|| {
            let help = suggest(path, site.tags.iter().map(|t| &*t.path)).map_or(String::new(), |h| format!("; {h}"));
            format!("the site `{}` has no tag `{path}`{help}", site.id)
        })?;
        let tag = site.tags.get(id).clone();
        let has = |device: &&Device| match &device.driver {
            DriverConfig::Modbus(config) => config.points.iter().any(|p| p.tag == id),
            DriverConfig::OpcUa(config) => config.points.iter().any(|p| p.tag == id),
        };
        let Some(device) = site.devices.iter().find(has) else {
            let whose = match &tag.source {
                Source::Program(name) => format!("the program `{name}` computes it"),
                Source::Operator => "a person enters it".to_owned(),
                _ => "the runtime itself makes it".to_owned(),
            };
            return Err(format!("`{path}` is no point of a device: {whose}"));
        };
        match &device.driver {
            DriverConfig::Modbus(config) => {
                let index = config.points.iter().position(|p| p.tag == id).unwrap_or_default();
                let config = config.clone();
                Ok(Place::Modbus(Box::new(ModbusPlace { config, index, tag: Some(tag) })))
            }
            DriverConfig::OpcUa(config) => {
                let mut config = crate::pki::with_folder(config, &self.state);
                config.points.retain(|p| p.tag == id);
                config.certificate_tag = None;
                Ok(Place::OpcUa(Box::new(OpcUaPlace { config, tag })))
            }
        }
    }

    /// A device with one point, as the options say.
    fn of_address(&self) -> Result<(DeviceConfig, usize), String> {
        let at = self.at.as_deref().ok_or("say which place is meant: --at 40001")?;
        let place = parse_place(at, self.link.zero_based).map_err(|e| e.to_string())?;
        let wire = self.wire.as_deref().map(WireType::parse).transpose().map_err(|e| e.to_string())?;
        let single = !place.address.area.is_register() || place.address.bit.is_some();
        let wire = wire.or(place.wire).unwrap_or(if single { WireType::Bit } else { WireType::Uint16 });
        let order = self.byte_order.as_deref().map(ByteOrder::parse).transpose().map_err(|e| e.to_string())?;
        let scaled = self.scale != 1.0 || self.offset != 0.0;
        let value_type = match wire {
            WireType::Bit => ValueType::Bool,
            WireType::Text(_) => ValueType::Text,
            WireType::Float32 | WireType::Float64 => ValueType::Float,
            _ if scaled => ValueType::Float,
            _ => ValueType::Int,
        };
        let mut config = self.link.config(place.unit.unwrap_or(self.unit))?;
        config.points.push(PointConfig {
            tag: TagId(0),
            path: at.into(),
            address: place.address,
            wire,
            order: order.or(place.order).unwrap_or_default(),
            scale: self.scale,
            offset: self.offset,
            value_type,
            range: None,
            group: 0,
            write: None,
            sunspec: None,
        });
        let found = config.check();
        if found.is_empty() { Ok((config, 0)) } else { Err(found.join("\n")) }
    }
}

impl LinkArgs {
    /// A device without points at the address.
    ///
    /// # Errors
    /// Without an address, and with one that is none.
    pub fn config(&self, unit: u8) -> Result<DeviceConfig, String> {
        let address = self.address.clone().ok_or("say where the device is: --address 10.0.0.7:502")?;
        let transport = match (address.starts_with('/'), self.rtu_over_tcp) {
            (true, true) => return Err(format!("{address} is a serial port: --rtu-over-tcp is for host:port")),
            (true, false) => Transport::Serial(self.line.unwrap_or_default()),
            (false, _) if self.line.is_some() => {
                return Err(format!("{address} is no serial port: --line is for one, as /dev/ttyUSB0"));
            }
            (false, true) => Transport::RtuOverTcp,
            (false, false) => Transport::Tcp,
        };
        let config = DeviceConfig {
            id: DeviceId(0),
            name: address.as_str().into(),
            address,
            unit,
            timeout: self.timeout,
            groups: vec![GroupConfig { name: "point".into(), every: Duration::from_secs(1) }],
            points: penstock_modbus::Points::default(),
            registers_max: penstock_modbus::limits::REGISTERS_MAX,
            bits_max: penstock_modbus::limits::BITS_MAX,
            gap_max: 0,
            heartbeat: None,
            pause_after_connect: Duration::ZERO,
            channel: ChannelConfig { transport, ..ChannelConfig::default() },
            quirks: Quirks { pause: self.pause.unwrap_or_default(), ..Quirks::default() },
            sunspec: penstock_modbus::sunspec::Settings::default(),
        };
        let found = config.check();
        if found.is_empty() { Ok(config) } else { Err(found.join("\n")) }
    }
}

/// `9600,8N1`: bits per second, parity and stop bits.
fn line(text: &str) -> Result<SerialSettings, String> {
    let form = || format!("`{text}` is not of the form 9600,8N1");
    let (baud, format) = text.split_once(',').unwrap_or((text, "8E1"));
    let baud = baud.trim().parse().map_err(|_| form())?;
    let (parity, stop_bits) = match format.trim().to_ascii_uppercase().as_str() {
        "8N1" => (Parity::None, 1),
        "8N2" => (Parity::None, 2),
        "8E1" => (Parity::Even, 1),
        "8E2" => (Parity::Even, 2),
        "8O1" => (Parity::Odd, 1),
        "8O2" => (Parity::Odd, 2),
        other => return Err(format!("`{other}` is no character format; there are 8N1, 8N2, 8E1, 8E2, 8O1, 8O2")),
    };
    Ok(SerialSettings { baud, parity, stop_bits, ..SerialSettings::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_written_as_on_the_nameplate() {
        let nine = line("9600,8N1").unwrap();
        assert_eq!((nine.baud, nine.parity, nine.stop_bits), (9_600, Parity::None, 1));
        assert_eq!(line("19200").unwrap(), SerialSettings::default());
        assert_eq!(line("38400, 8o2").unwrap().parity, Parity::Odd);
        for wrong in ["", "fast", "9600,7E1", "9600,8N1,x"] {
            assert!(line(wrong).is_err(), "{wrong}");
        }
    }
}
