//! Broken settings of the OPC UA server.

use super::Edit;

/// The name of the case, and what `opcua-server.yaml` then holds.
fn with(name: &'static str, text: &'static str) -> (&'static str, usize, Vec<Edit>) {
    (name, 1, vec![("opcua-server.yaml", "", text)])
}

pub fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    vec![
        with("OPC UA server with an address that is none", "address: localhost:4840\n"),
        with("OPC UA server with a policy that is none", "security: [Basic128Rsa15]\n"),
        with("OPC UA server that offers one policy twice", "security: [Basic256Sha256, basic256sha256]\n"),
        with("OPC UA server that lets everybody write", "anonymous: write\n"),
        with("OPC UA server with a language that is none", "texts: de\n"),
        with("OPC UA server with tags that are not there", "tags: [tnak/*]\n"),
        with("OPC UA server that writes what nobody writes", "write: [tank/volume]\n"),
        with("OPC UA server that writes what it does not show", "tags: [tank/*]\nwrite: [gain]\n"),
        with("OPC UA server with too many sessions", "sessions_max: 1000\n"),
        with("OPC UA server with a namespace that is none", "namespace: tags\n"),
        with("OPC UA server with a key that is none", "adress: 127.0.0.1:4840\n"),
    ]
}
