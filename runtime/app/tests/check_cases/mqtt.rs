//! Broken publications over MQTT.

use super::Edit;

/// What may be wrong with the publication over MQTT: each case puts one more key into it.
pub fn cases() -> Vec<(&'static str, usize, Vec<Edit>)> {
    let broker = "broker: \"127.0.0.1:1883\", group: g";
    let with = |name, errors, keys: &'static str| (name, errors, vec![("site.yaml", "tags: [tank/*]", keys)]);
    vec![
        ("mqtt without a broker", 1, vec![("site.yaml", broker, "group: g")]),
        ("mqtt broker without a port", 1, vec![("site.yaml", "127.0.0.1:1883", "scada.local")]),
        (
            "mqtt with broker and brokers",
            1,
            vec![("site.yaml", broker, "broker: \"a:1\", brokers: [\"b:1\"], group: g")],
        ),
        ("mqtt group with a slash", 1, vec![("site.yaml", "group: g", "group: g/h")]),
        with("mqtt ca that is not there", 1, "tls: { ca: no.pem }"),
        (
            "mqtt ca that is none",
            1,
            vec![("site.yaml", "tags: [tank/*]", "tls: { ca: ca.pem }"), ("ca.pem", "", "hello\n")],
        ),
        with("mqtt password without a place", 1, "user: u, password: {}"),
        with("mqtt password without a user", 1, "password: { env: SECRET }"),
        with("mqtt store too small", 1, "store: { size_max: 5 kB }"),
        with("mqtt store that is never sent", 1, "store: { values_per_s: 0 }"),
        with("mqtt device without tags", 1, "devices: { tank: [tnak/*] }"),
        with("mqtt tag in two devices", 1, "devices: { a: [tank/*], b: [tank/level] }"),
        with("mqtt command of a tag that is read only", 1, "commands: { user: hq, tags: [tank/level] }"),
        with(
            "mqtt command of a tag that is not published",
            1,
            "tags: [tank/flow], commands: { user: hq, tags: [tank/level_sp] }",
        ),
        with("mqtt command with a short lease", 1, "commands: { user: hq, lease: 1s, tags: [tank/level_sp] }"),
    ]
}
