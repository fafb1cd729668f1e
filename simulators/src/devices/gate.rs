//! The TCP port of a device: serves Modbus frames or passes bytes, and does to them what the active link faults say.
//!
//! A gate owns the public port. On a Modbus link it answers frames, one at a time, from the units' registers. On any
//! other link each client has a connection of its own to the inner server, which listens on a loopback port of the
//! system's choice and knows nothing of faults.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::modbus::{Units, garbage, hold_back};
use crate::faults::LinkState;
use crate::rng::Rng;

/// Connections a device keeps at a time, as a small PLC does; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 16;
/// Bytes before the PDU: transaction, protocol, length, unit.
const MBAP: usize = 7;
/// Longest Modbus TCP frame: what the length field counts is at most unit and 253 bytes of PDU.
const LENGTH_MAX: usize = 254;
/// Bytes passed at a time on a link without frames.
const CHUNK: usize = 8192;
/// Wait before the next attempt to accept, or to open a port again that something else has taken meanwhile.
const RETRY: Duration = Duration::from_millis(50);
/// A client that does not take its answers is cut off after this: nothing here waits for ever.
const WRITE_WAIT: Duration = Duration::from_secs(30);

/// What passes through a gate.
#[derive(Debug, Clone)]
pub enum Protocol {
    /// Modbus TCP frames, answered from these units.
    Modbus(Units),
    /// Bytes, to and from the server at this address.
    Stream(SocketAddr),
}

/// One gate.
pub struct Gate {
    device: &'static str,
    protocol: Protocol,
    address: SocketAddr,
    link: watch::Receiver<LinkState>,
    seed: u64,
    connections: u64,
    permits: Arc<Semaphore>,
}

/// A listener for the inner server of a device.
///
/// # Errors
/// The system's reason.
pub async fn inner_listener() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

impl Gate {
    /// A gate at `address`; `seed` drives jitter and garbage.
    #[must_use]
    pub fn new(
        device: &'static str,
        protocol: Protocol,
        address: SocketAddr,
        link: watch::Receiver<LinkState>,
        seed: u64,
    ) -> Gate {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Gate { device, protocol, address, link, seed, connections: 0, permits }
    }

    /// Passes connections until the future is dropped, which also closes them.
    pub async fn serve(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        loop {
            let Some(open) = listener.take() else {
                // An error here is the end of the simulation, which drops this future.
                let _ = self.link.wait_for(|link| !link.refused).await;
                match TcpListener::bind(self.address).await {
                    Ok(again) => listener = Some(again),
                    Err(error) => {
                        warn!(device = self.device, %error, "cannot listen again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
                continue;
            };
            self.accept(&open).await;
        }
    }

    /// Accepts until the port is to be closed.
    async fn accept(&mut self, listener: &TcpListener) {
        let mut links = JoinSet::new();
        loop {
            let (link, mut until) = (self.link.clone(), self.link.clone());
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, peer)) => match self.permits.clone().try_acquire_owned() {
                        Ok(permit) => {
                            self.connections += 1;
                            let jitter = Rng::new(self.seed, &format!("jitter {} {}", self.device, self.connections));
                            links.spawn(pass(self.device, self.protocol.clone(), (client, permit), link, jitter));
                        }
                        Err(_) => {
                            debug!(device = self.device, %peer, "connection refused: {CONNECTIONS_MAX} are open");
                        }
                    },
                    Err(error) => {
                        // Out of descriptors, most likely: wait for some to come back.
                        warn!(device = self.device, %error, "cannot accept a connection");
                        tokio::time::sleep(RETRY).await;
                    }
                },
                () = refused(&mut until) => return,
                Some(_) = links.join_next() => {}
            }
        }
    }
}

/// Completes when nobody is to listen any more.
async fn refused(link: &mut watch::Receiver<LinkState>) {
    if link.wait_for(|link| link.refused).await.is_err() {
        // The simulation ends, which drops this future.
        std::future::pending::<()>().await;
    }
}

/// One connection, until an end of it closes or the link is to be closed.
async fn pass(
    device: &'static str,
    protocol: Protocol,
    (client, _permit): (TcpStream, OwnedSemaphorePermit),
    link: watch::Receiver<LinkState>,
    jitter: Rng,
) {
    if link.borrow().closed() {
        return;
    }
    let mut until = link.clone();
    let passing = async {
        // An answer of one segment must not wait for an acknowledgement; a failure only costs time.
        let _ = client.set_nodelay(true);
        match protocol {
            Protocol::Modbus(units) => answer_frames(client, &units, &link, jitter).await,
            Protocol::Stream(inner) => {
                let server = TcpStream::connect(inner).await?;
                let _ = server.set_nodelay(true);
                pass_bytes(client, server, &link, jitter).await
            }
        }
    };
    let ended: io::Result<()> = tokio::select! {
        ended = passing => ended,
        _ = until.wait_for(LinkState::closed) => Ok(()),
    };
    if let Err(error) = ended {
        debug!(device, %error, "connection ended");
    }
}

async fn answer_frames(
    mut client: TcpStream,
    units: &Units,
    link: &watch::Receiver<LinkState>,
    mut jitter: Rng,
) -> io::Result<()> {
    let mut earlier: Option<[u8; 2]> = None;
    loop {
        let request = read_frame(&mut client).await?;
        let transaction = [request[0], request[1]];
        let (unit, pdu) = (request[MBAP - 1], &request[MBAP..]);
        let done = units.exchange((unit, pdu), link, &mut jitter, false).await;
        if let Some(pdu) = done.answer {
            let mut answer = frame(transaction, unit, &pdu);
            if done.treatment.stale {
                let stale = earlier.filter(|id| *id != transaction);
                let before = u16::from_be_bytes(transaction).wrapping_sub(1).to_be_bytes();
                answer[..2].copy_from_slice(&stale.unwrap_or(before));
            }
            if done.treatment.wrong_unit {
                answer[MBAP - 1] = unit.wrapping_add(1);
            }
            if done.treatment.short {
                answer.truncate(MBAP + (answer.len() - MBAP) / 2);
            }
            if done.treatment.garbage {
                answer.splice(0..0, garbage(&mut jitter));
            }
            if done.treatment.echo {
                answer.splice(0..0, request.iter().copied());
            }
            write(&mut client, &answer).await?;
        }
        earlier = Some(transaction);
    }
}

/// A frame around an answer.
fn frame(transaction: [u8; 2], unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = transaction.to_vec();
    frame.extend([0, 0]);
    frame.extend((pdu.len() as u16 + 1).to_be_bytes());
    frame.push(unit);
    frame.extend(pdu);
    frame
}

async fn write(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let written = tokio::time::timeout(WRITE_WAIT, client.write_all(bytes)).await;
    written.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

/// One frame as its length field says.
async fn read_frame(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; MBAP - 1];
    stream.read_exact(&mut frame).await?;
    let length = usize::from(u16::from_be_bytes([frame[4], frame[5]]));
    if frame[2..4] != [0, 0] {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of another protocol"));
    }
    // Unit and function code at least.
    if !(2..=LENGTH_MAX).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    frame.resize(MBAP - 1 + length, 0);
    stream.read_exact(&mut frame[MBAP - 1..]).await?;
    Ok(frame)
}

async fn pass_bytes(
    client: TcpStream,
    server: TcpStream,
    link: &watch::Receiver<LinkState>,
    mut jitter: Rng,
) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        to_server.shutdown().await
    };
    let answers = async {
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = from_server.read(&mut chunk).await?;
            if count == 0 {
                return Ok(());
            }
            let treatment = link.borrow().treatment(None);
            hold_back(&treatment, &mut jitter).await;
            if !treatment.mute {
                to_client.write_all(&chunk[..count]).await?;
            }
        }
    };
    // The server closes after its last answer; a client that closes first is answered to the end.
    tokio::select! {
        ended = answers => ended,
        Err(error) = requests => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_transaction_of_its_request_and_a_length() {
        assert_eq!(frame([0x12, 0x34], 9, &[0x84, 4]), [0x12, 0x34, 0, 0, 0, 3, 9, 0x84, 4]);
    }

    /// Reads frames from bytes as a client may send them until there are no more.
    async fn frames_of(bytes: &[u8]) -> (usize, io::ErrorKind) {
        let mut stream = bytes;
        let mut count = 0;
        loop {
            match read_frame(&mut stream).await {
                Ok(frame) => {
                    assert!((MBAP + 1..=MBAP - 1 + LENGTH_MAX).contains(&frame.len()));
                    count += 1;
                }
                Err(error) => return (count, error.kind()),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_in_frames_or_an_error(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (_, kind) = runtime.block_on(frames_of(&bytes));
            assert!(matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData), "{kind}");
        }
    }
}
