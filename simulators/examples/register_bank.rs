//! Ten Modbus TCP devices that hold nothing but registers: what the bench `field` asks. No model, no faults, no library of the
//! driver's, so that its own share of the processor is small and told apart.
//!
//! `register_bank <devices>` prints `ready <port> ...`, the last two of which are gateways: one bus each, 10 ms for an answer, and
//! behind the very last one unit 7 is dead. Each line on its input is answered by `count <requests> <registers>`,
//! what was served so far; it ends with its input. Registers below 40000 hold single-precision numbers, high word first,
//! that change every second; from 40000 on they hold what was written.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bus time of an answer behind a gateway.
const BUS: Duration = Duration::from_millis(10);
/// The unit that answers nothing, behind the gateway that has one.
const DEAD: u8 = 7;
/// First register that can be written.
const WRITABLE: u16 = 40_000;
/// Longest frame after the unit: a PDU.
const LENGTH_MAX: usize = 254;

#[derive(Default)]
struct Served {
    requests: AtomicU64,
    registers: AtomicU64,
}

/// What stands between a port and its registers.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Direct,
    Gateway,
    GatewayWithADeadUnit,
}

type Held = Arc<Mutex<Vec<u16>>>;

fn main() {
    let devices = std::env::args().nth(1).and_then(|n| n.parse::<usize>().ok()).unwrap_or(10);
    let served = Arc::new(Served::default());
    let mut ready = String::from("ready");
    let ways = std::iter::repeat_n(Way::Direct, devices).chain([Way::Gateway, Way::GatewayWithADeadUnit]);
    for way in ways {
        let listener = match TcpListener::bind("127.0.0.1:0") {
            Ok(listener) => listener,
            Err(e) => return eprintln!("no port: {e}"),
        };
        if let Ok(address) = listener.local_addr() {
            ready.push_str(&format!(" {}", address.port()));
        }
        let (served, held): (_, Held) =
            (served.clone(), Arc::new(Mutex::new(vec![0; usize::from(u16::MAX - WRITABLE) + 1])));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, held) = (served.clone(), held.clone());
                std::thread::spawn(move || serve(stream, way, &served, &held));
            }
        });
    }
    println!("{ready}");
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            return;
        }
        let (requests, registers) = (&served.requests, &served.registers);
        println!("count {} {}", requests.load(Ordering::Relaxed), registers.load(Ordering::Relaxed));
    }
}

/// Answers one client until it goes.
fn serve(mut stream: TcpStream, way: Way, served: &Served, held: &Held) {
    let mut header = [0; 7];
    let mut pdu = [0; LENGTH_MAX];
    // An answer is small; waiting to fill a packet would be measured.
    let _ = stream.set_nodelay(true);
    while stream.read_exact(&mut header).is_ok() {
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if !(2..=LENGTH_MAX).contains(&length) || stream.read_exact(&mut pdu[..length - 1]).is_err() {
            return;
        }
        if way != Way::Direct {
            std::thread::sleep(BUS);
        }
        if way == Way::GatewayWithADeadUnit && header[6] == DEAD {
            continue;
        }
        let answer = answer(&pdu[..length - 1], held);
        if matches!(answer.first(), Some(3 | 4)) {
            served.requests.fetch_add(1, Ordering::Relaxed);
            served.registers.fetch_add((answer.len() as u64 - 2) / 2, Ordering::Relaxed);
        }
        let mut frame = header[..4].to_vec();
        frame.extend((answer.len() as u16 + 1).to_be_bytes());
        frame.push(header[6]);
        frame.extend(answer);
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

fn answer(pdu: &[u8], held: &Held) -> Vec<u8> {
    let word = |at: usize| pdu.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let (function, start, count) = (pdu[0], word(1), word(3));
    let place = |at: u16| at.checked_sub(WRITABLE).map(usize::from);
    let mut held = held.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match function {
        3 | 4 if (1..=125).contains(&count) && u32::from(start) + u32::from(count) <= 65_536 => {
            let second = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
            let mut out = vec![function, (count * 2) as u8];
            for at in start..=start + (count - 1) {
                let register = place(at).and_then(|i| held.get(i).copied()).unwrap_or_else(|| ramp(at, second));
                out.extend(register.to_be_bytes());
            }
            out
        }
        6 => match place(start).and_then(|i| held.get_mut(i)) {
            Some(register) => {
                *register = count;
                pdu.to_vec()
            }
            None => vec![function | 0x80, 2],
        },
        16 => {
            for i in 0..count {
                if let Some(register) = place(start + i).and_then(|p| held.get_mut(p)) {
                    *register = word(6 + usize::from(i) * 2);
                }
            }
            pdu[..5].to_vec()
        }
        _ => vec![function | 0x80, 1],
    }
}

/// Half of a number that is another one each second.
fn ramp(at: u16, second: u64) -> u16 {
    let value = 100.0 + f32::from(at / 2) * 0.01 + (second % 60) as f32;
    let bits = value.to_bits();
    if at.is_multiple_of(2) { (bits >> 16) as u16 } else { bits as u16 }
}
