//! `penstock point` against a server written by others: pymodbus.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends here; the lint knows only test functions")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Environment variable with the Python that has the packages of `simulators/tests/peers/requirements.txt`.
const PYTHON: &str = "PENSTOCK_PEERS_PYTHON";

struct Peer {
    child: Child,
    address: String,
}

impl Peer {
    fn start() -> Option<Peer> {
        let Some(python) = std::env::var_os(PYTHON) else {
            println!("skipped: {PYTHON} is not set; `cargo xtask test --only peers` sets it");
            return None;
        };
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/modbus_server.py");
        let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
        let address = format!("127.0.0.1:{}", ready.expect("the peer comes up"));
        Some(Peer { child, address })
    }

    fn point(&self, verb: &str, more: &[&str]) -> (bool, String) {
        let start = ["point", verb, "--address", &self.address, "--unit", "3"];
        let output = Command::new(env!("CARGO_BIN_EXE_penstock")).args(start).args(more).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), format!("{}{}", text(output.stdout), text(output.stderr)))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pymodbus_is_read_written_scanned_and_decoded() {
    let Some(peer) = Peer::start() else { return };
    let (well, said) = peer.point("read", &["--at", "40001", "--as", "float32"]);
    assert!(well && said.contains("40001 = 12.5 (good)") && said.contains("0x4148 0x0000"), "{said}");
    let (well, said) = peer.point("read", &["--at", "3!400011#LB", "--as", "real"]);
    assert!(well && said.contains("= 12.5 (good)"), "{said}");
    let (well, said) = peer.point("read", &["--at", "40101"]);
    assert!(!well && said.contains("exception 2") && said.contains("PDU 100 (40101)"), "{said}");
    let state = tempfile::tempdir().unwrap();
    let write = ["--at", "HR31", "--as", "lreal", "--value", "-7.75", "--yes", "--raw", "--state"];
    let (well, said) = peer.point("write", &[&write[..], &[state.path().to_str().unwrap()]].concat());
    assert!(well && said.contains("equal: ") && said.contains("0xC01F 0x0000 0x0000 0x0000"), "{said}");
    let (well, said) = peer.point("decode", &["--at", "40011", "--range", "10..20"]);
    assert!(well && said.contains("byte_order: CDAB") && said.contains("as: float32"), "{said}");
    let (well, said) = peer.point("decode", &["--at", "40021", "--as", "float64"]);
    assert!(well && said.contains("-2.25"), "{said}");
    let (well, said) = peer.point("scan", &["--pause", "1ms", "--places", "0..199", "--area", "holding"]);
    assert!(well && said.contains("readable  PDU 0..99 (40001..40100), 100") && said.contains("Peer"), "{said}");
}
