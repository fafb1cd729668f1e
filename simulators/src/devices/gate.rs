//! The way between clients and a device's own server: passes bytes, or does to them what the active link faults say.
//!
//! A gate owns the public port. Each client has a connection of its own to the inner server, which listens on a
//! loopback port of the system's choice and knows nothing of faults. On a Modbus link requests and answers pass as
//! frames, one at a time; on any other link as bytes.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use crate::faults::{LinkState, Treatment};
use crate::rng::Rng;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Modbus TCP frames.
    Modbus,
    /// Bytes.
    Stream,
}

/// One gate.
pub struct Gate {
    device: &'static str,
    protocol: Protocol,
    address: SocketAddr,
    inner: SocketAddr,
    link: watch::Receiver<LinkState>,
    seed: u64,
    connections: u64,
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
    /// A gate at `address` in front of the server at `inner`; `seed` drives the jitter.
    #[must_use]
    pub fn new(
        device: &'static str,
        protocol: Protocol,
        address: SocketAddr,
        inner: SocketAddr,
        link: watch::Receiver<LinkState>,
        seed: u64,
    ) -> Gate {
        Gate { device, protocol, address, inner, link, seed, connections: 0 }
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
                    Ok((client, _)) => {
                        self.connections += 1;
                        let jitter = Rng::new(self.seed, &format!("jitter {} {}", self.device, self.connections));
                        links.spawn(pass(self.device, self.protocol, client, self.inner, link, jitter));
                    }
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
    client: TcpStream,
    inner: SocketAddr,
    link: watch::Receiver<LinkState>,
    jitter: Rng,
) {
    if link.borrow().closed() {
        return;
    }
    let mut until = link.clone();
    let passing = async {
        let server = TcpStream::connect(inner).await?;
        // An answer of one segment must not wait for an acknowledgement; a failure only costs time.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        match protocol {
            Protocol::Modbus => pass_frames(client, server, &link, jitter).await,
            Protocol::Stream => pass_bytes(client, server, &link, jitter).await,
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

async fn pass_frames(
    mut client: TcpStream,
    mut server: TcpStream,
    link: &watch::Receiver<LinkState>,
    mut jitter: Rng,
) -> io::Result<()> {
    let mut earlier: Option<[u8; 2]> = None;
    let mut surplus = [0; 1];
    loop {
        let request = tokio::select! {
            request = read_frame(&mut client) => request?,
            // Between requests the server has nothing to say but that it is gone.
            _ = server.read(&mut surplus) => return Ok(()),
        };
        let transaction = [request[0], request[1]];
        let treatment = link.borrow().treatment(Some(request[MBAP - 1]));
        let mut answer = match treatment.exception {
            Some(code) => exception(&request, code),
            None => {
                server.write_all(&request).await?;
                read_frame(&mut server).await?
            }
        };
        hold_back(&treatment, &mut jitter).await;
        if !treatment.mute {
            if treatment.stale {
                let stale = earlier.filter(|id| *id != transaction);
                let before = u16::from_be_bytes(transaction).wrapping_sub(1).to_be_bytes();
                answer[..2].copy_from_slice(&stale.unwrap_or(before));
            }
            if treatment.short {
                answer.truncate(MBAP + (answer.len() - MBAP) / 2);
            }
            write(&mut client, &answer).await?;
        }
        earlier = Some(transaction);
    }
}

async fn write(client: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    let written = tokio::time::timeout(WRITE_WAIT, client.write_all(bytes)).await;
    written.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)))
}

/// One frame as its length field says.
async fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; MBAP - 1];
    stream.read_exact(&mut frame).await?;
    let length = usize::from(u16::from_be_bytes([frame[4], frame[5]]));
    // Unit and function code at least.
    if !(2..=LENGTH_MAX).contains(&length) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    frame.resize(MBAP - 1 + length, 0);
    stream.read_exact(&mut frame[MBAP - 1..]).await?;
    Ok(frame)
}

/// The refusal of a request.
fn exception(request: &[u8], code: u8) -> Vec<u8> {
    let mut answer = request[..MBAP].to_vec();
    answer[4..6].copy_from_slice(&3_u16.to_be_bytes());
    answer.extend([request[MBAP] | 0x80, code]);
    answer
}

async fn hold_back(treatment: &Treatment, jitter: &mut Rng) {
    let ms = treatment.delay_ms + treatment.jitter_ms * jitter.uniform();
    if ms > 0.0 {
        tokio::time::sleep(Duration::from_secs_f64(ms / 1000.0)).await;
    }
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
    fn refusal_has_the_header_of_its_request() {
        let request = [0x12, 0x34, 0, 0, 0, 6, 9, 4, 0, 0, 0, 1];
        assert_eq!(exception(&request, 4), [0x12, 0x34, 0, 0, 0, 3, 9, 0x84, 4]);
    }
}
