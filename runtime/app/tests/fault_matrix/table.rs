//! The fault matrix: what each fault of the simulator's menu does on each transport. The tests run every cell that names a
//! fault; `docs/fault-matrix.md` is this table in words.

use penstock_model::{BadReason, Quality, UncertainReason};

/// A way to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    RtuOverTcp,
    Rtu,
    OpcUa,
}

impl Transport {
    pub const ALL: [Transport; 4] = [Self::Tcp, Self::RtuOverTcp, Self::Rtu, Self::OpcUa];

    pub fn title(self) -> &'static str {
        match self {
            Self::Tcp => "Modbus TCP",
            Self::RtuOverTcp => "RTU over TCP",
            Self::Rtu => "RTU on a serial line",
            Self::OpcUa => "OPC UA",
        }
    }
}

/// What a fault does.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// The tags of the device turn to this quality, and the health of its link says one of these.
    Seen(&'static str, Quality, &'static [&'static str]),
    /// The values stay good and right; why, and what the health of the link must say of it (nothing where empty).
    Borne(&'static str, &'static str, &'static str),
    /// There is no such thing on this transport; why.
    None(&'static str),
}

/// A fault on every transport, in the order of [`Transport::ALL`].
pub struct Row {
    pub fault: &'static str,
    pub cells: [Cell; 4],
}

const LINK: Quality = Quality::Bad(BadReason::Link);
const REFUSED: Quality = Quality::Bad(BadReason::Refused);
const RANGE: Quality = Quality::Uncertain(UncertainReason::RangeExceeded);
const CONFIGURATION: Quality = Quality::Bad(BadReason::Configuration);

/// On a line a late answer may come while the line is to be silent, or after the next question.
const LATE: &[&str] = &["no answer", "of an answer", "place", "asked for", "chatters"];

const NO_FRAMES: Cell = Cell::None("its frames are the OPC UA library's; the simulator breaks Modbus frames alone");
const NO_SERVER: Cell = Cell::None("Modbus has no certificates, nodes or clock");
const UNITS_ONLY: Cell = Cell::None("a unit behind a gateway: OPC UA has none");

/// One row per fault of a link. `{}` is the device, `{}/12` its unit.
pub const MATRIX: &[Row] = &[
    Row {
        fault: "drop",
        cells: [
            Cell::Seen("drop {}", LINK, &["closed the connection"]),
            Cell::Seen("drop {}", LINK, &["no answer"]),
            Cell::Seen("drop {}", LINK, &["no answer"]),
            Cell::Seen("drop {}", LINK, &["closed the connection", "Bad", "connect"]),
        ],
    },
    Row {
        fault: "refuse",
        cells: [
            Cell::Seen("refuse {}", LINK, &["closed the connection", "nothing listens"]),
            Cell::Seen("refuse {}", LINK, &["closed the connection"]),
            Cell::Seen("refuse {}", LINK, &["closed the connection", "meters", "error"]),
            Cell::Seen("refuse {}", LINK, &["closed the connection", "Bad", "connect"]),
        ],
    },
    Row {
        fault: "delay",
        cells: [
            Cell::Seen("delay {}/12 1500ms", LINK, &["no answer"]),
            Cell::Seen("delay {}/12 1150ms", LINK, LATE),
            Cell::Seen("delay {}/12 1150ms", LINK, LATE),
            Cell::Borne("delay {} 300ms", "values come later and say when they were measured", ""),
        ],
    },
    Row {
        fault: "jitter",
        cells: [
            Cell::Borne("jitter {}/12 100ms", "less than the time-out: shown as round trip", ""),
            Cell::Borne("jitter {}/12 100ms", "less than the time-out: shown as round trip", ""),
            Cell::Borne("jitter {}/12 100ms", "less than the time-out: shown as round trip", ""),
            Cell::Borne("jitter {} 100ms", "values come later and say when they were measured", ""),
        ],
    },
    Row {
        fault: "mute",
        cells: [
            Cell::Seen("mute {}/12", LINK, &["no answer", "behind the gateway"]),
            Cell::Seen("mute {}/12", LINK, &["no answer"]),
            Cell::Seen("mute {}/12", LINK, &["no answer"]),
            Cell::Seen("mute {}", LINK, &["no answer", "answer", "Bad"]),
        ],
    },
    Row {
        fault: "slow",
        cells: [
            Cell::Seen("slow {}/12 1500ms", LINK, &["no answer"]),
            Cell::Seen("slow {}/12 1150ms", LINK, LATE),
            Cell::Seen("slow {}/12 1150ms", LINK, LATE),
            UNITS_ONLY,
        ],
    },
    Row {
        fault: "exception",
        cells: [
            Cell::Seen("exception {}/12 4", REFUSED, &[]),
            Cell::Seen("exception {}/12 4", REFUSED, &[]),
            Cell::Seen("exception {}/12 4", REFUSED, &[]),
            Cell::None("status codes take their place; the server of the simulator refuses nothing"),
        ],
    },
    Row {
        fault: "stale",
        cells: [
            Cell::Seen("stale {}/12", LINK, &["no answer"]),
            Cell::Seen("stale {}/12", LINK, &["answered in its place", "asked for", "no answer"]),
            Cell::Seen("stale {}/12", LINK, &["answered in its place", "asked for", "no answer"]),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "short",
        cells: [
            Cell::Seen("short {}/12", LINK, &["of an answer", "cannot be read", "no answer"]),
            Cell::Seen("short {}/12", LINK, &["of an answer"]),
            Cell::Seen("short {}/12", LINK, &["of an answer"]),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "restart",
        cells: [
            Cell::Seen("restart {} 2s", LINK, &["closed the connection", "nothing listens"]),
            Cell::Seen("restart {} 8s", LINK, &["no answer", "closed"]),
            Cell::Seen("restart {} 8s", LINK, &["no answer", "closed"]),
            Cell::Seen("restart {} 2s", LINK, &["closed the connection", "Bad", "connect"]),
        ],
    },
    Row {
        fault: "skew",
        cells: [
            NO_SERVER,
            NO_SERVER,
            NO_SERVER,
            Cell::Borne("skew {} -90s", "the values are right, their times are the server's", "behind ours"),
        ],
    },
    Row {
        fault: "bad-crc",
        cells: [
            Cell::None("Modbus TCP has no checksum of its own"),
            Cell::Seen("bad-crc {}/12", LINK, &["checksum"]),
            Cell::Seen("bad-crc {}/12", LINK, &["checksum"]),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "garbage",
        cells: [
            Cell::Seen("garbage {}/12", LINK, &["not Modbus", "of an answer", "no answer", "closed"]),
            Cell::Seen(
                "garbage {}/12",
                LINK,
                &["no answer", "of an answer", "checksum", "function", "place", "asked for"],
            ),
            Cell::Seen(
                "garbage {}/12",
                LINK,
                &["no answer", "of an answer", "checksum", "function", "place", "asked for"],
            ),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "word-swap",
        cells: [
            Cell::Seen("word-swap {}/12", RANGE, &[]),
            Cell::Seen("word-swap {}/12", RANGE, &[]),
            Cell::Seen("word-swap {}/12", RANGE, &[]),
            Cell::None("its values carry their types"),
        ],
    },
    Row {
        fault: "wrong-unit",
        cells: [
            Cell::Seen("wrong-unit {}/12", LINK, &["answered in its place"]),
            Cell::Seen("wrong-unit {}/12", LINK, &["answered in its place"]),
            Cell::Seen("wrong-unit {}/12", LINK, &["answered in its place"]),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "echo",
        cells: [
            Cell::Seen("echo {}/12", LINK, &["cannot be read", "asked for", "of an answer"]),
            Cell::Seen("echo {}/12", LINK, &["echo: true", "checksum"]),
            Cell::Seen("echo {}/12", LINK, &["echo: true", "checksum"]),
            NO_FRAMES,
        ],
    },
    Row {
        fault: "busy",
        cells: [
            Cell::Seen("busy {}/12 5s", REFUSED, &[]),
            Cell::Seen("busy {}/12 5s", REFUSED, &[]),
            Cell::Seen("busy {}/12 5s", REFUSED, &[]),
            Cell::None("status codes take their place; the server of the simulator refuses nothing"),
        ],
    },
    Row {
        fault: "cert-expired",
        cells: [NO_SERVER, NO_SERVER, NO_SERVER, Cell::Seen("cert-expired {}", LINK, &["has expired"])],
    },
    Row {
        fault: "new-certificate",
        cells: [NO_SERVER, NO_SERVER, NO_SERVER, Cell::Seen("new-certificate {}", LINK, &["not trusted"])],
    },
    Row { fault: "download", cells: [NO_SERVER, NO_SERVER, NO_SERVER, Cell::Seen("download {}", CONFIGURATION, &[])] },
];

/// Faults of the menu that are none of a link, and where they are judged.
pub const NOT_OF_A_LINK: &[(&str, &[&str])] = &[
    (
        "what an instrument makes of the truth: it comes as a value on every transport, and is judged there by the tag's \
         `range`, `frozen_after` and status, the validators of programs, and alarms",
        &["stuck", "drift", "bias", "noise", "spike", "range", "gain", "maintenance", "calibrate", "reagent-low"],
    ),
    (
        "what a machine does: the values are right, and alarms, interlocks and fallbacks of the site answer",
        &[
            "valve-stuck",
            "pump-trip",
            "blower-trip",
            "power-dip",
            "power-cut",
            "meter-reset",
            "meter-preset",
            "actuator-stuck",
            "actuator-cap",
            "actuator-gain",
            "plant",
        ],
    ),
];

/// The table as the page has it.
pub fn page() -> String {
    let mut out = String::from("| fault |");
    Transport::ALL.iter().for_each(|t| out.push_str(&format!(" {} |", t.title())));
    out.push_str("\n| --- | --- | --- | --- | --- |\n");
    for row in MATRIX {
        out.push_str(&format!("| `{}` |", row.fault));
        for cell in row.cells {
            out.push_str(&match cell {
                Cell::Seen(_, quality, reasons) => match reasons.first() {
                    Some(reason) => format!(" {quality}: “{reason}” |"),
                    None => format!(" {quality} |"),
                },
                Cell::Borne(_, why, "") => format!(" stays good: {why} |"),
                Cell::Borne(_, why, says) => format!(" stays good: {why}; “{says}” |"),
                Cell::None(why) => format!(" – {why} |"),
            });
        }
        out.push('\n');
    }
    out
}
