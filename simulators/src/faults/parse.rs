//! From text to fault: `<name> <target> [parameters] [for <duration>]`, words apart by blanks.

use std::str::FromStr;

use super::targets::{self, ACTUATORS, METERS, OPCUA, PLANT_PARTS, PUMPS, nearest, quantities};
use super::{ActuatorFault, Fault, Injection, LinkFault, MachineFault, SensorFault};
use crate::config::DEVICES;
use crate::instruments::service::{calibration_s, uses_reagents};

/// One line of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MenuEntry {
    /// First word.
    pub name: &'static str,
    /// Form of the text.
    pub usage: &'static str,
    /// A text that parses.
    pub example: &'static str,
}

const fn entry(name: &'static str, usage: &'static str, example: &'static str) -> MenuEntry {
    MenuEntry { name, usage, example }
}

/// Everything that can be asked for.
pub const MENU: [MenuEntry; 41] = [
    entry("drop", "drop <device>", "drop aeration_plc for 10s"),
    entry("refuse", "refuse <device>", "refuse dosing_skid for 5min"),
    entry("delay", "delay <device>[/<unit>] <time>", "delay aeration_plc 200ms"),
    entry("jitter", "jitter <device>[/<unit>] <time>", "jitter aeration_plc 100ms"),
    entry("mute", "mute <device>[/<unit>]", "mute power_meters/12 for 1min"),
    entry("slow", "slow <device>/<unit> [<time>]", "slow power_meters/14 1500ms"),
    entry("exception", "exception <device>[/<unit>] [<code>]", "exception dosing_skid 4"),
    entry("stale", "stale <device>[/<unit>]", "stale heat_pump"),
    entry("short", "short <device>[/<unit>]", "short pv_inverter for 30s"),
    entry("restart", "restart <device> [<time>]", "restart aeration_plc 10s"),
    entry("skew", "skew <device> <time>", "skew sludge_effluent_plc -90s"),
    entry("bad-crc", "bad-crc <device>[/<unit>]", "bad-crc power_meters/12 for 1min"),
    entry("garbage", "garbage <device>[/<unit>]", "garbage power_meters for 10s"),
    entry("word-swap", "word-swap <device>[/<unit>]", "word-swap power_meters/11"),
    entry("wrong-unit", "wrong-unit <device>[/<unit>]", "wrong-unit power_meters/13"),
    entry("echo", "echo <device>[/<unit>]", "echo power_meters"),
    entry("busy", "busy <device>[/<unit>] [<time>]", "busy heat_pump 20ms"),
    entry("cert-expired", "cert-expired <device>", "cert-expired sludge_effluent_plc for 10min"),
    entry("new-certificate", "new-certificate <device>", "new-certificate sludge_effluent_plc"),
    entry("download", "download <device>", "download sludge_effluent_plc for 20s"),
    entry("stuck", "stuck <tag> [<value>]", "stuck aer/z5/nh4 0.5 for 30min"),
    entry("drift", "drift <tag> <per hour>", "drift aer/z5/do 0.04"),
    entry("bias", "bias <tag> <value>", "bias dos/po4/out -0.1"),
    entry("noise", "noise <tag> <standard deviation>", "noise aer/z4/do 0.3"),
    entry("spike", "spike <tag> <value> [<mean interval>]", "spike eff/nh4 8 10min"),
    entry("range", "range <tag> high|low", "range aer/z3/do high"),
    entry("gain", "gain <tag> <factor>", "gain inf/flow 0.8"),
    entry("maintenance", "maintenance <tag>", "maintenance eff/nh4 for 30min"),
    entry("calibrate", "calibrate <tag>", "calibrate aer/z5/nh4"),
    entry("reagent-low", "reagent-low <tag>", "reagent-low dos/po4/out"),
    entry("valve-stuck", "valve-stuck z3|z4|z5 [<position>]", "valve-stuck z4 40"),
    entry("pump-trip", "pump-trip pac|carbon|naclo|recycle|ras", "pump-trip pac for 20min"),
    entry("blower-trip", "blower-trip b1|b2|b3", "blower-trip b1"),
    entry("power-dip", "power-dip", "power-dip"),
    entry("power-cut", "power-cut", "power-cut for 2min"),
    entry("meter-reset", "meter-reset grid|blowers|pumps|heat_pump|aux|pv", "meter-reset pumps"),
    entry("meter-preset", "meter-preset <meter> <kWh>", "meter-preset blowers 42949672"),
    entry("actuator-stuck", "actuator-stuck <actuator>", "actuator-stuck kla5 for 2h"),
    entry("actuator-cap", "actuator-cap <actuator> <greatest>", "actuator-cap kla 120 for 4h"),
    entry("actuator-gain", "actuator-gain <actuator> <factor>", "actuator-gain carbon1 0.5"),
    entry("plant", "plant alpha|growth|efficacy|phosphate|hypochlorite <factor>", "plant alpha 0.8"),
];

/// A dip without a duration lasts so long, s.
const DIP_S: f64 = 1.0;
/// An event stays so long in the list of faults, s.
const EVENT_S: f64 = 1.0;
/// Time without a listener where `restart` names none, s.
const RESTART_S: f64 = 10.0;
/// Delay of a unit where `slow` names none, ms.
const SLOW_MS: f64 = 1500.0;
/// Server device failure: the exception where none is named.
const EXCEPTION: u8 = 4;
/// Pause a busy device needs where none is named, ms.
const BUSY_MS: f64 = 20.0;
/// Mean time between spikes where none is named, s.
const SPIKE_EVERY_S: f64 = 600.0;
/// Longest delay of an answer: a client has given up long before, ms.
const DELAY_MAX_MS: f64 = 600_000.0;
/// Longest duration, s: beyond any run.
const DURATION_MAX_S: f64 = 10.0 * 365.0 * 86_400.0;

/// Why a text is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No word.
    #[error("the fault is empty; the menu has {}", MENU.map(|entry| entry.name).join(", "))]
    Empty,
    /// The first word is not in the menu.
    #[error("no fault is called `{word}`; the nearest is `{nearest}`")]
    Name {
        /// The word.
        word: String,
        /// The nearest name.
        nearest: &'static str,
    },
    /// The target does not exist.
    #[error("no {kind} is called `{word}`; the nearest is `{nearest}`")]
    Target {
        /// What it should be.
        kind: &'static str,
        /// The word.
        word: String,
        /// The nearest target.
        nearest: String,
    },
    /// The device cannot have this fault.
    #[error("`{name}` does not concern {device}: {reason}")]
    Device {
        /// Name of the fault.
        name: &'static str,
        /// The device.
        device: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A word is missing.
    #[error("{what} is missing; the form is `{usage}`")]
    Missing {
        /// What is missing.
        what: &'static str,
        /// Form of the text.
        usage: &'static str,
    },
    /// A word is not what it should be.
    #[error("`{word}` is no {what}; the form is `{usage}`")]
    Word {
        /// What it should be.
        what: &'static str,
        /// The word.
        word: String,
        /// Form of the text.
        usage: &'static str,
    },
    /// There are words after the end.
    #[error("`{word}` is one word too many; the form is `{usage}`")]
    Surplus {
        /// The first of them.
        word: String,
        /// Form of the text.
        usage: &'static str,
    },
    /// The part after `for` is wrong.
    #[error("`for` needs one duration at the end, as `for 30min`; units are ms, s, min, h, d")]
    For,
    /// A restart ends by itself.
    #[error("`restart` ends by itself after its time; it takes no `for`")]
    RestartFor,
}

/// Seconds of a duration such as `250ms`, `-90s`, `30min`, `1.5h` or `2d`.
pub(crate) fn duration(word: &str) -> Option<f64> {
    let split = word.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = word.split_at(split);
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * factor;
    (seconds.abs() <= DURATION_MAX_S).then_some(seconds)
}

/// The words of one fault and its form.
struct Words<'a> {
    rest: std::str::SplitWhitespace<'a>,
    entry: MenuEntry,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Words<'a> {
    fn word(&mut self, what: &'static str) -> Parsed<&'a str> {
        self.rest.next().ok_or(ParseError::Missing { what, usage: self.entry.usage })
    }

    fn is_no(&self, what: &'static str, word: &str) -> ParseError {
        ParseError::Word { what, word: word.to_owned(), usage: self.entry.usage }
    }

    fn read<T>(&self, what: &'static str, word: &str, read: impl Fn(&str) -> Option<T>) -> Parsed<T> {
        read(word).ok_or_else(|| self.is_no(what, word))
    }

    fn number(&mut self, what: &'static str) -> Parsed<f64> {
        let word = self.word(what)?;
        self.read(what, word, finite)
    }

    fn optional<T>(&mut self, what: &'static str, read: impl Fn(&str) -> Option<T>) -> Parsed<Option<T>> {
        self.rest.next().map(|word| self.read(what, word, read)).transpose()
    }

    fn end(&mut self) -> Parsed<()> {
        match self.rest.next() {
            Some(word) => Err(ParseError::Surplus { word: word.to_owned(), usage: self.entry.usage }),
            None => Ok(()),
        }
    }

    fn device(&mut self) -> Parsed<(&'static str, Option<u8>)> {
        let word = self.word("the device")?;
        let (name, unit) = word.split_once('/').map_or((word, None), |(name, unit)| (name, Some(unit)));
        let names = DEVICES.map(|(device, _)| device);
        let no = |kind, nearest: String| ParseError::Target { kind, word: word.to_owned(), nearest };
        let device = names.into_iter().find(|device| *device == name);
        let device = device.ok_or_else(|| no("device", nearest(name, names).to_owned()))?;
        let Some(unit) = unit else { return Ok((device, None)) };
        let units = targets::units(device);
        let wanted = unit.parse::<u8>().ok();
        match wanted.filter(|unit| units.contains(unit)) {
            Some(unit) => Ok((device, Some(unit))),
            None => {
                let near = wanted.and_then(|wanted| units.iter().min_by_key(|unit| unit.abs_diff(wanted)));
                let near = near.or(units.first()).map_or_else(|| device.to_owned(), |unit| format!("{device}/{unit}"));
                Err(no("unit", near))
            }
        }
    }

    fn tag(&mut self) -> Parsed<&'static str> {
        let word = self.word("the tag")?;
        let no = || ParseError::Target {
            kind: "measured quantity",
            word: word.to_owned(),
            nearest: nearest(word, quantities()).to_owned(),
        };
        quantities().find(|tag| *tag == word).ok_or_else(no)
    }

    /// One of a few names.
    fn one_of<T: Copy>(&mut self, kind: &'static str, names: &[(&'static str, T)]) -> Parsed<T> {
        let word = self.word(kind)?;
        let found = names.iter().find(|(name, _)| *name == word);
        found.map(|(_, value)| *value).ok_or_else(|| ParseError::Target {
            kind,
            word: word.to_owned(),
            nearest: nearest(word, names.iter().map(|(name, _)| *name)).to_owned(),
        })
    }

    fn link(&mut self) -> Parsed<Fault> {
        let (device, unit) = self.device()?;
        let name = self.entry.name;
        let milliseconds =
            |word: &str| duration(word).map(|s| s * 1000.0).filter(|ms| (0.0..=DELAY_MAX_MS).contains(ms));
        let fault = match name {
            "drop" => LinkFault::Drop,
            "refuse" => LinkFault::Refuse,
            "delay" | "jitter" => {
                let word = self.word("the time")?;
                let ms = self.read("time up to 10min", word, milliseconds)?;
                if name == "delay" { LinkFault::Delay { ms } } else { LinkFault::Jitter { ms } }
            }
            "slow" if unit.is_none() => {
                return Err(ParseError::Missing { what: "the unit", usage: self.entry.usage });
            }
            "slow" => LinkFault::Delay { ms: self.optional("time up to 10min", milliseconds)?.unwrap_or(SLOW_MS) },
            "mute" => LinkFault::Mute,
            "exception" => {
                let code = |word: &str| word.parse::<u8>().ok().filter(|code| *code > 0);
                LinkFault::Exception { code: self.optional("exception code (1 to 255)", code)?.unwrap_or(EXCEPTION) }
            }
            "stale" => LinkFault::Stale,
            "short" => LinkFault::Short,
            "bad-crc" => LinkFault::BadCrc,
            "garbage" => LinkFault::Garbage,
            "word-swap" => LinkFault::WordSwap,
            "wrong-unit" => LinkFault::WrongUnit,
            "echo" => LinkFault::Echo,
            "busy" => LinkFault::Busy { ms: self.optional("time up to 10min", milliseconds)?.unwrap_or(BUSY_MS) },
            "restart" => LinkFault::Restart { after_s: self.optional("duration", positive)?.unwrap_or(RESTART_S) },
            "cert-expired" => LinkFault::CertExpired,
            "new-certificate" => LinkFault::NewCertificate,
            "download" => LinkFault::Download,
            _ => {
                let word = self.word("the time")?;
                LinkFault::Skew { s: self.read("time", word, duration)? }
            }
        };
        let opcua_only = matches!(fault, LinkFault::CertExpired | LinkFault::NewCertificate | LinkFault::Download);
        let whole = opcua_only
            || matches!(
                fault,
                LinkFault::Drop | LinkFault::Refuse | LinkFault::Restart { .. } | LinkFault::Skew { .. }
            );
        let framed = matches!(
            fault,
            LinkFault::Exception { .. }
                | LinkFault::Stale
                | LinkFault::Short
                | LinkFault::BadCrc
                | LinkFault::Garbage
                | LinkFault::WordSwap
                | LinkFault::WrongUnit
                | LinkFault::Echo
                | LinkFault::Busy { .. }
        );
        let reason = match &fault {
            LinkFault::Skew { .. } if device != OPCUA => "Modbus carries no time",
            _ if opcua_only && device != OPCUA => "it does not speak OPC UA",
            _ if framed && device == OPCUA => "it has no Modbus frames",
            _ if whole && unit.is_some() => "it is for the device as a whole, without a unit",
            _ => return Ok(Fault::Link { device, unit, fault }),
        };
        Err(ParseError::Device { name, device, reason })
    }

    fn sensor(&mut self) -> Parsed<Fault> {
        let tag = self.tag()?;
        let fault = match self.entry.name {
            "stuck" => SensorFault::Stuck { at: self.optional("number", finite)? },
            "drift" => {
                let word = self.word("the drift per hour")?;
                let per_h = |word: &str| finite(word.strip_suffix("/h").unwrap_or(word));
                SensorFault::Drift { per_h: self.read("number", word, per_h)? }
            }
            "bias" => SensorFault::Bias { by: self.number("number")? },
            "noise" => {
                let word = self.word("the standard deviation")?;
                let sigma = |word: &str| finite(word).filter(|sigma| *sigma >= 0.0);
                SensorFault::Noise { sigma: self.read("number of 0 or more", word, sigma)? }
            }
            "spike" => {
                let by = self.number("number")?;
                let every_s = self.optional("duration", positive)?.unwrap_or(SPIKE_EVERY_S);
                SensorFault::Spike { by, every_s }
            }
            "range" => SensorFault::OutOfRange { high: self.one_of("direction", &[("high", true), ("low", false)])? },
            "maintenance" => SensorFault::Maintenance,
            "calibrate" => SensorFault::Calibrate,
            "reagent-low" if !uses_reagents(tag) => {
                let analysers = quantities().filter(|tag| uses_reagents(tag));
                let nearest = nearest(tag, analysers).to_owned();
                return Err(ParseError::Target { kind: "analyser with reagents", word: tag.to_owned(), nearest });
            }
            "reagent-low" => SensorFault::ReagentLow,
            _ => SensorFault::Gain { factor: self.number("number")? },
        };
        Ok(Fault::Sensor { tag, fault })
    }

    fn machine(&mut self) -> Parsed<Fault> {
        Ok(Fault::Machine(match self.entry.name {
            "valve-stuck" => {
                let zone = self.one_of("zone", &[("z3", 0), ("z4", 1), ("z5", 2)])?;
                let position = |word: &str| finite(word).filter(|pct| (0.0..=100.0).contains(pct));
                MachineFault::ValveStuck { zone, at: self.optional("position (0 to 100 %)", position)? }
            }
            "pump-trip" => MachineFault::PumpTrip(self.one_of("pump", &PUMPS)?),
            "blower-trip" => {
                MachineFault::BlowerTrip { blower: self.one_of("blower", &[("b1", 0), ("b2", 1), ("b3", 2)])? }
            }
            "power-dip" => MachineFault::PowerDip,
            "power-cut" => MachineFault::PowerCut,
            "meter-reset" => MachineFault::MeterReset(self.one_of("meter", &METERS)?),
            "meter-preset" => {
                let feeder = self.one_of("meter", &METERS)?;
                let word = self.word("the reading in kWh")?;
                let reading = |word: &str| finite(word).filter(|kwh| *kwh >= 0.0);
                MachineFault::MeterPreset { feeder, kwh: self.read("number of 0 or more", word, reading)? }
            }
            "plant" => {
                let part = self.one_of("property of the plant", &PLANT_PARTS)?;
                let word = self.word("the factor")?;
                let some = |word: &str| finite(word).filter(|factor| (0.1..=10.0).contains(factor));
                MachineFault::Plant { part, factor: self.read("number from 0.1 to 10", word, some)? }
            }
            name => {
                let actuator = self.one_of("actuator", &ACTUATORS)?;
                let least_0 = |word: &str| finite(word).filter(|number| *number >= 0.0);
                let mut number = |what| {
                    let word = self.word(what)?;
                    self.read("number of 0 or more", word, least_0)
                };
                let fault = match name {
                    "actuator-cap" => ActuatorFault::Cap { max: number("the greatest value")? },
                    "actuator-gain" => ActuatorFault::Gain { factor: number("the factor")? },
                    _ => ActuatorFault::Stuck,
                };
                MachineFault::Actuator { actuator, fault }
            }
        }))
    }
}

/// A number a plant could meet: within the range of a register's float32.
fn finite(word: &str) -> Option<f64> {
    word.parse::<f64>().ok().filter(|number| number.abs() <= f64::from(f32::MAX))
}

fn positive(word: &str) -> Option<f64> {
    duration(word).filter(|s| *s > 0.0)
}

impl FromStr for Injection {
    type Err = ParseError;

    fn from_str(text: &str) -> Parsed<Injection> {
        let (text, for_s) = match text.split_whitespace().position(|word| word == "for") {
            None => (text, None),
            Some(_) => {
                let (head, tail) = text.rsplit_once(" for").ok_or(ParseError::For)?;
                (head, Some(positive(tail.trim()).ok_or(ParseError::For)?))
            }
        };
        let mut rest = text.split_whitespace();
        let name = rest.next().ok_or(ParseError::Empty)?;
        let at = |name: &str| MENU.iter().position(|entry| entry.name == name);
        let Some((index, entry)) = at(name).map(|index| (index, MENU[index])) else {
            let nearest = nearest(name, MENU.map(|entry| entry.name));
            return Err(ParseError::Name { word: name.to_owned(), nearest });
        };
        let mut words = Words { rest, entry };
        // The menu lists links first, then instruments from `stuck`, then machines from `valve-stuck`.
        let fault = if Some(index) < at("stuck") {
            words.link()?
        } else if Some(index) < at("valve-stuck") {
            words.sensor()?
        } else {
            words.machine()?
        };
        words.end()?;
        let for_s = match &fault {
            Fault::Link { fault: LinkFault::Restart { .. }, .. } if for_s.is_some() => {
                return Err(ParseError::RestartFor);
            }
            Fault::Machine(MachineFault::PowerDip) => for_s.or(Some(DIP_S)),
            // They happen; there is nothing that could last.
            Fault::Machine(MachineFault::MeterReset(_) | MachineFault::MeterPreset { .. }) => Some(EVENT_S),
            Fault::Sensor { tag, fault: SensorFault::Calibrate } => for_s.or(Some(calibration_s(tag))),
            _ => for_s,
        };
        Ok(Injection { fault, for_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_parses_and_its_normal_form_is_the_same_fault() {
        for entry in MENU {
            let injection: Injection = entry.example.parse().unwrap_or_else(|e| panic!("{}: {e}", entry.example));
            let again: Injection = injection.to_string().parse().unwrap();
            assert_eq!(injection, again, "{}", entry.example);
            assert!(entry.usage.starts_with(entry.name) && entry.example.starts_with(entry.name));
        }
        let examples = MENU.map(|entry| entry.example.parse::<Injection>().unwrap().fault);
        let at = |name: &str| MENU.iter().position(|entry| entry.name == name).unwrap();
        assert!(examples.iter().enumerate().all(|(i, fault)| match fault {
            Fault::Link { .. } => i < at("stuck"),
            Fault::Sensor { .. } => (at("stuck")..at("valve-stuck")).contains(&i),
            Fault::Machine(_) => i >= at("valve-stuck"),
        }));
    }

    #[test]
    fn texts_mean_what_they_say() {
        let parse = |text: &str| text.parse::<Injection>().unwrap();
        let stuck = Fault::Sensor { tag: "aer/z5/nh4", fault: SensorFault::Stuck { at: Some(0.5) } };
        assert_eq!(parse("  stuck aer/z5/nh4   0.5 for 30min "), Injection { fault: stuck, for_s: Some(1800.0) });
        let slow = Fault::Link { device: "power_meters", unit: Some(12), fault: LinkFault::Delay { ms: 1500.0 } };
        assert_eq!(parse("slow power_meters/12").fault, slow);
        assert_eq!(parse("drift aer/z5/do 0.04/h"), parse("drift aer/z5/do 0.04"));
        assert_eq!(parse("power-dip").for_s, Some(DIP_S));
        assert_eq!(parse("calibrate aer/z5/nh4").for_s, Some(2700.0));
        assert_eq!(parse("calibrate aer/z5/nh4 for 5min").for_s, Some(300.0));
        assert_eq!(parse("maintenance aer/z5/nh4").for_s, None);
        assert_eq!(parse("power-dip for 300ms").for_s, Some(0.3));
        for (word, seconds) in [("250ms", 0.25), ("-90s", -90.0), ("1.5h", 5400.0), ("2d", 172_800.0)] {
            assert_eq!(duration(word), Some(seconds));
        }
        assert!(["", "5", "s", "5 s", "5sec", "1e30h", "NaNs", "infs"].iter().all(|word| duration(word).is_none()));
    }

    #[test]
    fn errors_name_the_place_and_the_nearest_target() {
        let cases = [
            ("", "empty"),
            ("stuk aer/z5/nh4", "`stuk`; the nearest is `stuck`"),
            ("stuck aer/z5/nh3", "measured quantity is called `aer/z5/nh3`; the nearest is `aer/z5/nh4`"),
            ("stuck aer/z5/nh4 low", "`low` is no number"),
            ("stuck aer/z5/nh4 inf", "`inf` is no number"),
            ("stuck aer/z5/nh4 NaN", "`NaN` is no number"),
            ("stuck aer/z5/nh4 0.5 1", "`1` is one word too many"),
            ("stuck aer/z5/nh4 for", "for 30min"),
            ("stuck aer/z5/nh4 for 0s", "for 30min"),
            ("stuck aer/z5/nh4 for 30min more", "for 30min"),
            ("for 30min", "for 30min"),
            ("drop aeration", "device is called `aeration`; the nearest is `aeration_plc`"),
            ("mute power_meters/10", "the nearest is `power_meters/11`"),
            ("mute aeration_plc/x", "the nearest is `aeration_plc/1`"),
            ("mute sludge_effluent_plc/1", "the nearest is `sludge_effluent_plc`"),
            ("drop power_meters/12", "without a unit"),
            ("slow power_meters", "the unit is missing"),
            ("exception heat_pump 0", "exception code"),
            ("exception sludge_effluent_plc", "no Modbus frames"),
            ("word-swap sludge_effluent_plc", "no Modbus frames"),
            ("garbage power_meters/17", "the nearest is `power_meters/16`"),
            ("busy heat_pump soon", "`soon` is no time"),
            ("skew heat_pump 5s", "Modbus carries no time"),
            ("delay heat_pump", "the time is missing; the form is `delay"),
            ("delay heat_pump -5ms", "`-5ms` is no time"),
            ("restart heat_pump 5s for 5s", "ends by itself"),
            ("cert-expired heat_pump", "it does not speak OPC UA"),
            ("download sludge_effluent_plc/1", "the nearest is `sludge_effluent_plc`"),
            ("maintenance eff/nh3", "the nearest is `eff/nh4`"),
            ("reagent-low eff/nh4", "analyser with reagents is called `eff/nh4`; the nearest is `eff/cod`"),
            ("valve-stuck z6", "zone is called `z6`"),
            ("valve-stuck z4 140", "position (0 to 100 %)"),
            ("pump-trip pak", "pump is called `pak`; the nearest is `pac`"),
            ("noise eff/nh4 -1", "0 or more"),
            ("range eff/nh4 up", "direction is called `up`"),
            ("meter-reset gird", "meter is called `gird`; the nearest is `grid`"),
            ("meter-preset grid -1", "0 or more"),
            ("actuator-cap kla9 3", "actuator is called `kla9`; the nearest is `kla"),
            ("actuator-cap kla -3", "0 or more"),
            ("actuator-gain was", "the factor is missing"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Injection>().unwrap_err().to_string();
            assert!(error.contains(expected), "`{text}`: {error}");
        }
    }
}
