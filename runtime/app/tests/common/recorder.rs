//! A Modbus device that holds registers and remembers every write, for tests that ask what a device really got. It
//! shares nothing with the driver: the few functions it knows are written down from the protocol.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Held {
    registers: Mutex<HashMap<u16, u16>>,
    writes: Mutex<Vec<(Instant, u16, u16)>>,
    open: Mutex<Vec<TcpStream>>,
}

/// The device.
pub struct Recorder {
    pub address: SocketAddr,
    held: Arc<Held>,
    on: Arc<AtomicBool>,
}

impl Recorder {
    pub fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Recorder {
            address: listener.local_addr().unwrap(),
            held: Arc::default(),
            on: Arc::new(AtomicBool::new(true)),
        };
        recorder.serve(listener);
        recorder
    }

    fn serve(&self, listener: TcpListener) {
        let (held, on) = (self.held.clone(), self.on.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                if !on.load(Ordering::SeqCst) {
                    // The cable is out: whoever connects is cut off.
                    continue;
                }
                held.open.lock().unwrap().push(stream.try_clone().unwrap());
                let held = held.clone();
                std::thread::spawn(move || while answer(&stream, &held).is_some() {});
            }
        });
    }

    /// Pulls the cable, or puts it back.
    pub fn connected(&self, on: bool) {
        self.on.store(on, Ordering::SeqCst);
        if !on {
            for stream in self.held.open.lock().unwrap().drain(..) {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }
    }

    pub fn set(&self, register: u16, value: u16) {
        self.held.registers.lock().unwrap().insert(register, value);
    }

    /// What a register of this number (1 is 40001) holds.
    pub fn holds(&self, register: u16) -> u16 {
        self.held.registers.lock().unwrap().get(&register).copied().unwrap_or(0)
    }

    /// Every value written to a register since the moment, oldest first, with its time.
    pub fn written(&self, register: u16, since: Instant) -> Vec<(Instant, u16)> {
        let writes = self.held.writes.lock().unwrap();
        writes.iter().filter(|(at, r, _)| *r == register && *at >= since).map(|(at, _, v)| (*at, *v)).collect()
    }

    /// The first write of all since the moment: which register, and what.
    pub fn first_written(&self, since: Instant) -> Option<(u16, u16)> {
        let writes = self.held.writes.lock().unwrap();
        writes.iter().find(|(at, ..)| *at >= since).map(|(_, register, value)| (*register, *value))
    }

    /// Waits until a register was written with this value since the moment; how long after it that was.
    pub fn wait_for(&self, register: u16, value: u16, since: Instant, limit: Duration) -> Duration {
        let start = Instant::now();
        loop {
            let got = self.written(register, since);
            if let Some((at, _)) = got.iter().find(|(_, v)| *v == value) {
                return at.duration_since(since);
            }
            let values: Vec<u16> = got.iter().map(|(_, v)| *v).collect();
            assert!(start.elapsed() < limit, "register {register} never got {value}, but {values:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Answers one request; `None` when the connection is over.
fn answer(mut stream: &TcpStream, held: &Held) -> Option<()> {
    let mut head = [0; 7];
    stream.read_exact(&mut head).ok()?;
    let mut body = vec![0; usize::from(u16::from_be_bytes([head[4], head[5]])) - 1];
    stream.read_exact(&mut body).ok()?;
    let word = |i: usize| u16::from_be_bytes([body[i], body[i + 1]]);
    let number = |pdu: u16| pdu + 1;
    let mut registers = held.registers.lock().unwrap();
    let mut put = |register: u16, value: u16| {
        registers.insert(register, value);
        held.writes.lock().unwrap().push((Instant::now(), register, value));
    };
    let reply = match body[0] {
        // Both areas are one here.
        3 | 4 => {
            let mut reply = vec![body[0], u8::try_from(word(3) * 2).unwrap()];
            for i in 0..word(3) {
                let value = registers.get(&number(word(1) + i)).copied().unwrap_or(0);
                reply.extend(value.to_be_bytes());
            }
            reply
        }
        6 => {
            put(number(word(1)), word(3));
            body.clone()
        }
        16 => {
            for i in 0..word(3) {
                put(number(word(1) + i), word(6 + 2 * usize::from(i)));
            }
            body[..5].to_vec()
        }
        function => vec![function | 0x80, 1],
    };
    drop(registers);
    let length = u16::try_from(reply.len() + 1).unwrap().to_be_bytes();
    head[4..6].copy_from_slice(&length);
    stream.write_all(&[&head[..], &reply].concat()).ok()
}
