//! Mistakes in the file of an OPC UA server: name, number of findings, edits of the small site.

/// File, text, and what stands in its place.
type Edit = (&'static str, &'static str, &'static str);

pub fn opcua_servers() -> Vec<(&'static str, usize, Vec<Edit>)> {
    const FILE: &str = "devices/server.yaml";
    let security = |to: &'static str| vec![(FILE, "security: none", to)];
    let group = |to: &'static str| vec![(FILE, "{ publish: 1s }", to)];
    vec![
        ("security not said", 1, security("timeout: 2s")),
        ("a password in a file of the site", 1, security("security: none\nuser: op\npassword: turbid")),
        (
            "two places of a password",
            1,
            security("security: Basic256Sha256\nuser: op\npassword_env: A\npassword_file: b"),
        ),
        ("a user's certificate without its key", 1, security("security: Basic256Sha256\nuser_certificate: op.der")),
        (
            "a user's certificate on an open channel",
            1,
            security("security: none\nuser_certificate: a.der\nuser_key: a.pem"),
        ),
        ("an unknown exception of certificates", 1, security("security: Basic256Sha256\naccept_certificate: [expird]")),
        ("no deadband", 1, group("{ publish: 1s, deadband: some }")),
        ("a deadband beyond the range", 1, group("{ publish: 1s, deadband: 120 % }")),
        ("an empty queue", 1, group("{ publish: 1s, queue: 0 }")),
        ("a queue of what is read", 1, group("{ publish: 1s, queue: 5, fetch: read }")),
        ("no way to fetch", 1, group("{ publish: 1s, fetch: poll }")),
        ("no index", 1, vec![(FILE, "node: s=Lab.PH", "node: s=Lab.PH\n    index: -1")]),
    ]
}
