//! The edge node against a broker that is written here: it speaks just enough MQTT 3.1.1 to listen, to command and to vanish.
//! Payloads are read by a reader of their own, so that the node's encoder is not its own judge.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use penstock_model::{
    BadReason, Clock, Instant, Now, Quality, Sample, SystemClock, TagId, TagSample, TagTable, Utc, Value, ValueType,
};
use penstock_mqtt::{Broker, Config, MetricSource, TagMeta};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// What the broker saw.
#[derive(Debug)]
enum Seen {
    Connect { will_topic: String, will: Fields, client: String },
    Subscribe(String),
    Publish(String, Fields),
    Disconnect,
}

/// A protobuf message as numbers, texts and nested bytes by field number.
#[derive(Debug, Clone, Default)]
struct Fields(Vec<(u64, Field)>);

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Fields {
    fn read(mut bytes: &[u8]) -> Fields {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = bytes[0];
                *bytes = &bytes[1..];
                value |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    return value;
                }
            }
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => {
                    let (eight, rest) = bytes.split_at(8);
                    bytes = rest;
                    Field::Number(u64::from_le_bytes(eight.try_into().unwrap()))
                }
                2 => {
                    let length = usize::try_from(varint(&mut bytes)).unwrap();
                    let (body, rest) = bytes.split_at(length);
                    bytes = rest;
                    Field::Bytes(body.to_vec())
                }
                other => panic!("wire type {other}"),
            };
            fields.push((key >> 3, field));
        }
        Fields(fields)
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(n, _)| *n == number).map(|(_, f)| f)
    }

    fn number(&self, number: u64) -> Option<u64> {
        self.all(number).find_map(|f| if let Field::Number(n) = f { Some(*n) } else { None })
    }

    fn bytes(&self, number: u64) -> impl Iterator<Item = &[u8]> {
        self.all(number).filter_map(|f| if let Field::Bytes(b) = f { Some(b.as_slice()) } else { None })
    }

    fn text(&self, number: u64) -> Option<String> {
        self.bytes(number).next().map(|b| String::from_utf8(b.to_vec()).unwrap())
    }

    fn metrics(&self) -> Vec<Fields> {
        self.bytes(2).map(Fields::read).collect()
    }

    fn metric(&self, name: &str) -> Fields {
        self.metrics().into_iter().find(|m| m.text(1).as_deref() == Some(name)).unwrap_or_else(|| panic!("no {name}"))
    }

    fn bd_seq(&self) -> u64 {
        self.metric("bdSeq").number(11).unwrap()
    }

    fn seq(&self) -> Option<u64> {
        self.number(3)
    }

    fn double(&self) -> Option<f64> {
        self.number(13).map(f64::from_bits)
    }

    /// The property `Quality`.
    fn quality(&self) -> Option<u64> {
        let properties = Fields::read(self.bytes(9).next()?);
        let place = properties.bytes(1).position(|key| key == b"Quality")?;
        Fields::read(properties.bytes(2).nth(place)?).number(3)
    }
}

/// The broker: one client at a time.
struct Listener {
    listener: TcpListener,
}

struct Link {
    seen: mpsc::UnboundedReceiver<Seen>,
    write: Arc<tokio::sync::Mutex<tokio::net::tcp::OwnedWriteHalf>>,
    reader: tokio::task::JoinHandle<()>,
}

impl Listener {
    async fn new() -> Listener {
        Listener { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    async fn accept(&self) -> Link {
        let (stream, _) = within(self.listener.accept()).await.unwrap();
        Link::serve(stream)
    }
}

impl Link {
    fn serve(stream: TcpStream) -> Link {
        let (mut read, write) = stream.into_split();
        let write = Arc::new(tokio::sync::Mutex::new(write));
        let (tell, seen) = mpsc::unbounded_channel();
        let answer = write.clone();
        let reader = tokio::spawn(async move {
            while let Some((kind, body)) = packet(&mut read).await {
                let (seen, reply) = understand(kind, &body);
                if !reply.is_empty() {
                    answer.lock().await.write_all(&reply).await.unwrap();
                }
                if let Some(seen) = seen {
                    let _ = tell.send(seen);
                }
            }
        });
        Link { seen, write, reader }
    }

    async fn next(&mut self) -> Seen {
        within(self.seen.recv()).await.expect("the client went away")
    }

    /// The next message, which must be of that kind.
    async fn message(&mut self, kind: &str) -> Fields {
        match self.next().await {
            Seen::Publish(topic, fields) if topic == format!("spBv1.0/plant/{kind}/jinan") => fields,
            other => panic!("{kind} expected, not {other:?}"),
        }
    }

    /// Takes the greeting; answers the will and the birth.
    async fn greet(&mut self) -> (Fields, Fields) {
        let Seen::Connect { will_topic, will, client } = self.next().await else { panic!("no CONNECT") };
        assert_eq!((will_topic.as_str(), client.as_str()), ("spBv1.0/plant/NDEATH/jinan", "penstock"));
        assert!(matches!(self.next().await, Seen::Subscribe(topic) if topic == "spBv1.0/plant/NCMD/jinan"));
        (will, self.message("NBIRTH").await)
    }

    async fn command(&self, payload: &[u8]) {
        let topic = "spBv1.0/plant/NCMD/jinan";
        let length = u8::try_from(2 + topic.len() + payload.len()).unwrap();
        let topic_length = u8::try_from(topic.len()).unwrap();
        let packet = [&[0x30, length, 0, topic_length], topic.as_bytes(), payload].concat();
        self.write.lock().await.write_all(&packet).await.unwrap();
    }

    async fn cut(self) {
        self.reader.abort();
        let _ = self.reader.await;
        drop(self.write);
    }
}

async fn packet(read: &mut (impl AsyncReadExt + Unpin)) -> Option<(u8, Vec<u8>)> {
    let kind = read.read_u8().await.ok()?;
    let (mut length, mut shift) = (0usize, 0);
    loop {
        let byte = read.read_u8().await.ok()?;
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            break;
        }
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

/// Reads a client's packet; answers what was seen and what to reply.
fn understand(kind: u8, body: &[u8]) -> (Option<Seen>, Vec<u8>) {
    let field = |at: usize| -> (&[u8], usize) {
        let length = usize::from(u16::from_be_bytes([body[at], body[at + 1]]));
        (&body[at + 2..at + 2 + length], at + 2 + length)
    };
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match kind >> 4 {
        1 => {
            assert_eq!(&body[..7], b"\x00\x04MQTT\x04", "MQTT 3.1.1");
            // Clean session, will, will at least once, not retained.
            assert_eq!(body[7], 0b0000_1110);
            let (client, at) = field(10);
            let (will_topic, at) = field(at);
            let (will, _) = field(at);
            let seen = Seen::Connect { will_topic: text(will_topic), will: Fields::read(will), client: text(client) };
            (Some(seen), vec![0x20, 2, 0, 0])
        }
        3 => {
            assert_eq!(kind & 1, 0, "nothing is retained");
            let (topic, at) = field(0);
            let at = if kind & 6 == 0 { at } else { at + 2 };
            (Some(Seen::Publish(text(topic), Fields::read(&body[at..]))), Vec::new())
        }
        8 => {
            let (topic, _) = field(2);
            (Some(Seen::Subscribe(text(topic))), vec![0x90, 3, body[0], body[1], 1])
        }
        12 => (None, vec![0xd0, 0]),
        14 => (Some(Seen::Disconnect), Vec::new()),
        other => panic!("packet type {other}"),
    }
}

/// The tags of a little plant.
#[derive(Default)]
struct Plant {
    samples: Mutex<(u64, Vec<(u64, TagSample)>)>,
    table: Arc<TagTable>,
}

impl Plant {
    fn set(&self, tag: u32, sample: Sample) {
        let mut table = self.samples.lock().unwrap();
        table.0 += 1;
        let version = table.0;
        table.1.retain(|(_, s)| s.tag != TagId(tag));
        table.1.push((version, TagSample { tag: TagId(tag), sample }));
    }

    fn good(&self, tag: u32, value: impl Into<Value>) {
        self.set(tag, Sample::good(value, now()));
    }
}

impl MetricSource for Plant {
    fn changed_since(&self, v: u64) -> (u64, Vec<TagSample>) {
        let table = self.samples.lock().unwrap();
        (table.0, table.1.iter().filter(|(version, _)| *version > v).map(|(_, s)| s.clone()).collect())
    }

    fn tags(&self) -> Arc<TagTable> {
        self.table.clone()
    }
}

fn now() -> Now {
    Now { mono: Instant(1), utc: Utc::from_millis(1_795_000_000_000) }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing came for 20 s")
}

struct Running {
    plant: Arc<Plant>,
    stop: watch::Sender<bool>,
    node: tokio::task::JoinHandle<()>,
}

fn start(port: u16) -> Running {
    let plant = Arc::new(Plant::default());
    plant.good(0, 2.0);
    plant.good(1, true);
    let meta = |tag, path: &str, value_type| TagMeta::new(TagId(tag), path, value_type);
    let tags = vec![
        meta(0, "aer/do", ValueType::Float),
        meta(1, "aer/run", ValueType::Bool),
        meta(2, "aer/mode", ValueType::Int),
    ];
    let mut config = Config::new(Broker { host: "127.0.0.1".into(), port }, "plant", "jinan", tags);
    config.client_id = "penstock".into();
    config.publish_every = Duration::from_millis(10);
    let (stop, stopped) = watch::channel(false);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let node = tokio::spawn(penstock_mqtt::run(config, plant.clone(), clock, stopped));
    Running { plant, stop, node }
}

/// `{ metrics: [{ name: "Node Control/Rebirth", boolean_value: true }] }`, byte by byte.
fn rebirth() -> Vec<u8> {
    let name = b"Node Control/Rebirth";
    let metric = [&[0x0a, 20], &name[..], &[0x70, 1]].concat();
    [&[0x12, u8::try_from(metric.len()).unwrap()], &metric[..]].concat()
}

#[tokio::test]
async fn birth_data_quality_and_goodbye() {
    let broker = Listener::new().await;
    let run = start(broker.port());
    let mut link = broker.accept().await;
    let (will, birth) = link.greet().await;
    assert_eq!((will.bd_seq(), birth.bd_seq()), (0, 0));
    assert_eq!((will.seq(), birth.seq()), (None, Some(0)));
    assert_eq!(birth.metric("Node Control/Rebirth").number(14), Some(0));
    let oxygen = birth.metric("aer/do");
    let alias = oxygen.number(2).unwrap();
    assert_eq!((oxygen.number(4), oxygen.double(), oxygen.quality()), (Some(10), Some(2.0), Some(192)));
    assert_eq!(oxygen.number(3), Some(1_795_000_000_000), "the time of the source");
    let mode = birth.metric("aer/mode");
    assert_eq!((mode.number(7), mode.quality()), (Some(1), Some(0)), "never received: null and bad");

    run.plant.good(0, 2.5);
    let data = link.message("NDATA").await;
    let metrics = data.metrics();
    assert_eq!((data.seq(), metrics.len()), (Some(1), 1));
    assert_eq!((metrics[0].text(1), metrics[0].number(2), metrics[0].double()), (None, Some(alias), Some(2.5)));

    run.plant.set(0, Sample::bad(BadReason::Link, Some(Value::Float(2.5)), now()));
    let data = link.message("NDATA").await;
    assert_eq!((data.seq(), data.metrics()[0].quality()), (Some(2), Some(0)));

    run.stop.send(true).unwrap();
    assert_eq!(link.message("NDEATH").await.bd_seq(), 0);
    assert!(matches!(link.next().await, Seen::Disconnect));
    within(run.node).await.unwrap();
}

#[tokio::test]
async fn a_host_may_ask_for_a_birth_and_for_nothing_else() {
    let broker = Listener::new().await;
    let run = start(broker.port());
    let mut link = broker.accept().await;
    link.greet().await;
    run.plant.good(0, 3.0);
    link.message("NDATA").await;
    // Nonsense, then a write to a tag, then the rebirth: only the last has an effect.
    link.command(&[0xff, 0xff, 0xff]).await;
    link.command(b"\x12\x11\x0a\x06aer/do\x69\x00\x00\x00\x00\x00\x00\x22\x40").await;
    link.command(&rebirth()).await;
    let birth = link.message("NBIRTH").await;
    assert_eq!((birth.seq(), birth.bd_seq()), (Some(0), 0), "same session, new numbering");
    assert_eq!(birth.metric("aer/do").double(), Some(3.0), "nobody wrote it");
    run.plant.good(0, 3.5);
    assert_eq!(link.message("NDATA").await.seq(), Some(1));
}

#[tokio::test]
async fn a_lost_broker_is_found_again_with_the_latest_values() {
    let broker = Listener::new().await;
    let run = start(broker.port());
    let mut link = broker.accept().await;
    link.greet().await;
    link.cut().await;
    // While nobody listens a thousand values come and go.
    for i in 0..1_000 {
        run.plant.good(0, f64::from(i));
    }
    // Two connections that are closed at once.
    for _ in 0..2 {
        drop(within(broker.listener.accept()).await.unwrap());
    }
    let mut link = broker.accept().await;
    let (will, birth) = link.greet().await;
    assert_eq!((will.bd_seq(), birth.bd_seq(), birth.seq()), (3, 3, Some(0)), "one number per session tried");
    assert_eq!(birth.metric("aer/do").double(), Some(999.0));
    run.plant.good(0, 1.0);
    assert_eq!(link.message("NDATA").await.seq(), Some(1), "the latest once, not the thousand");
    run.stop.send(true).unwrap();
    within(run.node).await.unwrap();
}

#[tokio::test]
async fn a_node_without_a_broker_stops_at_once() {
    let broker = Listener::new().await;
    let port = broker.port();
    drop(broker);
    let run = start(port);
    run.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(2), run.node).await.expect("it hangs").unwrap();
    assert_eq!(run.plant.changed_since(0).1[0].sample.quality, Quality::Good);
}

#[tokio::test]
async fn a_broker_that_never_answers_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let run = start(listener.local_addr().unwrap().port());
    let (_silent, _) = within(listener.accept()).await.unwrap();
    run.stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(2), run.node).await.expect("it hangs").unwrap();
}
