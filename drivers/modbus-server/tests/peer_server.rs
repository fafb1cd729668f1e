//! The server over real sockets: with the client of tokio-modbus, with bytes that are none of the protocol, and with
//! pymodbus where the peers' environment is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use penstock_modbus_server::{Bad, Config, Form, Point, Source, Status, WordOrder};
use penstock_model::{BadReason, Now, Sample, TagId, Text, Value};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_modbus::ExceptionCode;
use tokio_modbus::client::{Context, Reader, Writer, tcp};

#[derive(Default)]
struct Plant {
    alive: AtomicBool,
    status: Mutex<Status>,
}

impl Source for Plant {
    fn read(&self, tag: TagId) -> Sample {
        match tag.0 {
            0 => Sample::good(2.25, Now::default()),
            1 => Sample::good(-7i64, Now::default()),
            2 => Sample::good(true, Now::default()),
            _ => Sample::bad(BadReason::Link, Some(Value::Float(9.0)), Now::default()),
        }
    }

    fn alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    fn status(&self, status: &Status) {
        *self.status.lock().unwrap() = *status;
    }
}

fn point(tag: u32, at: u16, form: Form, quality_at: Option<u16>) -> Point {
    Point {
        tag: TagId(tag),
        path: format!("t{tag}").into(),
        title: Text::same("t"),
        unit: String::new(),
        at,
        form,
        order: WordOrder::HighFirst,
        scale: 1.0,
        bad: Bad::Mark,
        quality_at,
    }
}

struct Running {
    address: SocketAddr,
    plant: Arc<Plant>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn start(connections_max: usize, idle: Duration) -> Running {
    let points = vec![
        point(0, 10, Form::F32, Some(100)),
        point(1, 12, Form::I16, Some(101)),
        point(2, 0, Form::Bit, Some(102)),
        point(3, 13, Form::F32, Some(103)),
    ];
    let bind = "127.0.0.1:0".parse().unwrap();
    let config = Config { bind, connections_max, idle, heartbeat_at: Some(9), points };
    let plant = Arc::new(Plant { alive: AtomicBool::new(true), ..Plant::default() });
    let (stop, stopped) = watch::channel(false);
    let (ready, address) = oneshot::channel();
    let task = tokio::spawn(penstock_modbus_server::run(config, plant.clone(), stopped, Some(ready)));
    let address = within(address).await.unwrap();
    Running { address, plant, stop, task }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing came for a minute")
}

async fn client(running: &Running) -> Context {
    within(tcp::connect(running.address)).await.unwrap()
}

#[tokio::test]
async fn a_client_reads_values_and_their_quality() {
    let running = start(4, Duration::from_secs(600)).await;
    let mut client = client(&running).await;
    let wanted = [0x4010, 0, (-7i16).cast_unsigned(), 0x7fc0, 0];
    assert_eq!(within(client.read_holding_registers(10, 5)).await.unwrap().unwrap(), wanted);
    assert_eq!(within(client.read_input_registers(10, 5)).await.unwrap().unwrap(), wanted);
    assert_eq!(within(client.read_holding_registers(100, 4)).await.unwrap().unwrap(), [192, 192, 192, 0]);
    assert_eq!(within(client.read_coils(0, 1)).await.unwrap().unwrap(), [true]);
    assert_eq!(within(client.read_discrete_inputs(0, 1)).await.unwrap().unwrap(), [true]);
    let refused = within(client.read_holding_registers(104, 1)).await.unwrap();
    assert_eq!(refused, Err(ExceptionCode::IllegalDataAddress));
    running.stop.send(true).unwrap();
    within(running.task).await.unwrap();
    assert!(within(client.read_coils(0, 1)).await.is_err(), "the connection is closed");
}

#[tokio::test]
async fn nothing_can_be_written_by_any_function() {
    let running = start(4, Duration::from_secs(600)).await;
    let mut client = client(&running).await;
    let illegal = Err(ExceptionCode::IllegalFunction);
    assert_eq!(within(client.write_single_register(10, 1)).await.unwrap(), illegal);
    assert_eq!(within(client.write_multiple_registers(10, &[1, 2])).await.unwrap(), illegal);
    assert_eq!(within(client.write_single_coil(0, false)).await.unwrap(), illegal);
    assert_eq!(within(client.write_multiple_coils(0, &[false])).await.unwrap(), illegal);
    assert_eq!(within(client.masked_write_register(10, 1, 2)).await.unwrap(), illegal);
    let both = within(client.read_write_multiple_registers(10, 1, 10, &[1])).await.unwrap();
    assert_eq!(both, Err(ExceptionCode::IllegalFunction));
    assert_eq!(within(client.read_coils(0, 1)).await.unwrap().unwrap(), [true], "and the connection is good");
}

#[tokio::test]
async fn the_heartbeat_counts_while_control_is_alive() {
    let running = start(4, Duration::from_secs(600)).await;
    let mut client = client(&running).await;
    let first = within(client.read_holding_registers(9, 1)).await.unwrap().unwrap()[0];
    let mut later = first;
    while later.wrapping_sub(first) < 2 {
        later = within(client.read_holding_registers(9, 1)).await.unwrap().unwrap()[0];
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.plant.alive.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let stood = within(client.read_holding_registers(9, 1)).await.unwrap().unwrap()[0];
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(within(client.read_holding_registers(9, 1)).await.unwrap().unwrap()[0], stood);
}

#[tokio::test]
async fn connections_are_bounded_and_silent_ones_make_room() {
    let running = start(2, Duration::from_secs(1)).await;
    let mut silent = within(TcpStream::connect(running.address)).await.unwrap();
    let mut half = within(TcpStream::connect(running.address)).await.unwrap();
    // A request that is never finished.
    half.write_all(&[0, 1, 0, 0]).await.unwrap();
    let mut third = within(TcpStream::connect(running.address)).await.unwrap();
    assert_eq!(within(third.read(&mut [0; 8])).await.unwrap_or(0), 0, "turned away");
    assert_eq!(within(silent.read(&mut [0; 8])).await.unwrap_or(0), 0, "closed");
    assert_eq!(within(half.read(&mut [0; 8])).await.unwrap_or(0), 0, "closed");
    let mut client = client(&running).await;
    assert_eq!(within(client.read_coils(0, 1)).await.unwrap().unwrap(), [true]);
    let counted = async {
        while running.plant.status.lock().unwrap().turned_away == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(counted).await;
}

/// Bytes from a seed: the same in every run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

#[tokio::test]
async fn bytes_that_are_no_requests_harm_nobody() {
    let running = start(8, Duration::from_secs(600)).await;
    let mut client = client(&running).await;
    for seed in 0..200 {
        let mut stream = within(TcpStream::connect(running.address)).await.unwrap();
        let mut bytes = noise(seed, 64);
        if seed % 2 == 0 {
            // A sound header before nonsense: protocol 0, a length, unit 1.
            bytes[2..7].copy_from_slice(&[0, 0, 0, u8::try_from(seed % 60).unwrap() + 2, 1]);
        }
        // The server may close at any byte.
        let _ = stream.write_all(&bytes).await;
        drop(stream);
    }
    assert_eq!(within(client.read_coils(0, 1)).await.unwrap().unwrap(), [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peer_pymodbus_reads_the_map() {
    let Some(python) = std::env::var_os("PENSTOCK_PEERS_PYTHON") else {
        println!("skipped: PENSTOCK_PEERS_PYTHON is not set; `cargo xtask test --only peers` sets it");
        return;
    };
    let running = start(4, Duration::from_secs(600)).await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/modbus_reader.py");
    let mut command = tokio::process::Command::new(python);
    command.arg(script).arg(running.address.port().to_string()).kill_on_drop(true);
    let output = within(command.output()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}
