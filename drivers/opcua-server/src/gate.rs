//! The public port: bounds what comes in before the library sees it.
//!
//! The library takes the length in the head of a chunk for granted and keeps what arrives until it is whole, from
//! anybody. Here a head that says too much ends the connection, a hello has to come whole and in time, connections are
//! counted, in all and of each address, and a client that does not take its answers is cut off. The certificate that opens
//! a channel, or renews it, is judged here, because the library knows no authorities.

use crate::Plant;
use crate::hail::{Hail, certificate_of, refusal};
use crate::limits::{
    ADMISSIONS_MAX, CHUNK_BYTES_MAX, CONNECTION_IDLE_MAX, CONNECTIONS_PER_ADDRESS_MAX, HELLO_BYTES_MAX, HELLO_WAIT_MAX,
    SEND_WAIT_MAX,
};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

/// Bytes of the head of a message: three letters of its kind, one of the chunk, four of the length.
const HEAD: usize = 8;
/// Bytes passed at a time.
const PIECE: usize = 16 * 1024;
/// Wait before the next attempt where the system has no descriptor left.
const ACCEPT_WAIT: Duration = Duration::from_millis(200);

/// What is counted at the gate, for as long as the runtime lives.
pub(crate) struct Gate {
    places: Arc<Semaphore>,
    places_max: usize,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    turned_away: AtomicU64,
    door: Door,
}

/// Where certificates are judged, a few at a time: strangers read our disk that way.
#[derive(Clone)]
struct Door {
    plant: Arc<dyn Plant>,
    turns: Arc<Semaphore>,
}

impl Door {
    /// Whether a client with this certificate may open a channel.
    async fn admits(&self, certificate: Vec<u8>) -> io::Result<()> {
        let turn = timely(async { self.turns.clone().acquire_owned().await.map_err(io::Error::other) }).await?;
        let plant = self.plant.clone();
        let judged = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            plant.admit(&certificate)
        });
        judged.await.map_err(io::Error::other)?.map_err(|why| io::Error::new(io::ErrorKind::PermissionDenied, why))
    }
}

impl Gate {
    pub(crate) fn new(connections_max: usize, plant: Arc<dyn Plant>) -> Gate {
        Gate {
            door: Door { plant, turns: Arc::new(Semaphore::new(ADMISSIONS_MAX)) },
            places: Arc::new(Semaphore::new(connections_max)),
            places_max: connections_max,
            by_address: Arc::default(),
            turned_away: AtomicU64::new(0),
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.places_max - self.places.available_permits()
    }

    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }

    /// Takes connections and passes them to the server whose port stands in `inner`, until dropped.
    pub(crate) async fn serve(&self, listener: &TcpListener, inner: &watch::Receiver<Option<SocketAddr>>) {
        let mut passing = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = passing.join_next() => continue,
            };
            match accepted {
                Ok((client, peer)) => match (self.place(peer.ip()), *inner.borrow()) {
                    (Some(place), Some(inner)) => {
                        passing.spawn(pass(client, inner, place, self.door.clone()));
                    }
                    (None, _) => {
                        self.turned_away.fetch_add(1, Ordering::Relaxed);
                        tracing::debug!(%peer, "an OPC UA client was turned away: all connections are taken");
                    }
                    (Some(_), None) => tracing::debug!(%peer, "an OPC UA client came while the server was begun anew"),
                },
                Err(error) => {
                    tracing::debug!(%error, "cannot accept an OPC UA connection");
                    tokio::time::sleep(ACCEPT_WAIT).await;
                }
            }
        }
    }

    fn place(&self, address: IpAddr) -> Option<Place> {
        let permit = self.places.clone().try_acquire_owned().ok()?;
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        drop(by_address);
        Some(Place { address, by_address: self.by_address.clone(), _permit: permit })
    }
}

/// A connection's place; free again when it ends.
struct Place {
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

async fn pass(client: TcpStream, inner: SocketAddr, _place: Place, door: Door) {
    let passing = async {
        // Small answers go out at once; where that cannot be had they go out a little later.
        let _ = client.set_nodelay(true);
        let (mut from_client, mut to_client) = client.into_split();
        let mut hello = Vec::new();
        tokio::time::timeout(HELLO_WAIT_MAX, read_hello(&mut from_client, &mut hello)).await.map_err(|_| late())??;
        let server = TcpStream::connect(inner).await?;
        let _ = server.set_nodelay(true);
        let (mut from_server, mut to_server) = server.into_split();
        to_server.write_all(&hello).await?;
        let requests = async {
            chunks(&mut from_client, &mut to_server, &door).await?;
            to_server.shutdown().await
        };
        let ended = tokio::select! {
            ended = answers(&mut from_server, &mut to_client) => ended,
            Err(error) = requests => Err(error),
        };
        if ended.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::PermissionDenied) {
            timely(to_client.write_all(&refusal())).await?;
        }
        ended
    };
    match passing.await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            tracing::info!(%error, "an OPC UA client was not let in");
        }
        Err(error) => tracing::debug!(%error, "an OPC UA client's connection ended"),
    }
}

fn late() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

fn refused(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// The length a head says.
fn length(head: [u8; HEAD], least: usize, most: usize) -> io::Result<usize> {
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if (least..=most).contains(&length) { Ok(length) } else { Err(refused(format!("a message of {length} bytes"))) }
}

async fn read_hello(from: &mut (impl AsyncRead + Unpin), hello: &mut Vec<u8>) -> io::Result<()> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head).await?;
    if &head[..4] != b"HELF" {
        return Err(refused("not a client of OPC UA".to_owned()));
    }
    let length = length(head, HEAD, HELLO_BYTES_MAX)?;
    hello.extend(head);
    hello.resize(length, 0);
    from.read_exact(&mut hello[HEAD..]).await.map(drop)
}

/// Passes whole chunks of kinds that a client may send, piece by piece; one that opens a channel when its certificate was
/// judged.
async fn chunks(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    door: &Door,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let mut head = [0; HEAD];
        let first = tokio::time::timeout(CONNECTION_IDLE_MAX, from.read(&mut head)).await.map_err(|_| late())??;
        if first == 0 {
            return Ok(());
        }
        timely(from.read_exact(&mut head[first..])).await?;
        if !matches!(&head[..3], b"OPN" | b"MSG" | b"CLO") || !matches!(head[3], b'F' | b'C' | b'A') {
            return Err(refused("a message of an unknown kind".to_owned()));
        }
        let mut left = length(head, HEAD + 4, CHUNK_BYTES_MAX)? - HEAD;
        if &head[..3] == b"OPN" {
            let mut body = vec![0; left];
            timely(from.read_exact(&mut body)).await?;
            match certificate_of(&body) {
                Hail::Open => {}
                Hail::Signed(certificate) => door.admits(certificate.to_vec()).await?,
                Hail::Broken => return Err(refused("a channel that is opened in a wrong way".to_owned())),
            }
            timely(to.write_all(&[&head[..], &body].concat())).await?;
            continue;
        }
        timely(to.write_all(&head)).await?;
        while left > 0 {
            let most = left.min(piece.len());
            let count = timely(from.read(&mut piece[..most])).await?;
            if count == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            timely(to.write_all(&piece[..count])).await?;
            left -= count;
        }
    }
}

async fn answers(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let count = from.read(&mut piece).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        timely(to.write_all(&piece[..count])).await?;
    }
}

async fn timely<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SEND_WAIT_MAX, work).await.map_err(|_| late())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: &[u8; 4], body: usize) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend(u32::try_from(HEAD + body).unwrap().to_le_bytes());
        bytes.resize(HEAD + body, 7);
        bytes
    }

    fn door() -> Door {
        Door { plant: Arc::new(crate::mock::Mock::default()), turns: Arc::new(Semaphore::new(1)) }
    }

    async fn passed(bytes: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
        let (mut from, mut to) = (bytes, Vec::new());
        let ended = chunks(&mut from, &mut to, &door()).await;
        (to, ended.err().map(|e| e.kind()))
    }

    #[tokio::test]
    async fn whole_chunks_pass_and_heads_that_lie_end_the_connection() {
        let two = [message(b"CLOF", 100), message(b"MSGC", CHUNK_BYTES_MAX - HEAD)].concat();
        assert_eq!(passed(&two).await, (two, None));
        let huge = [b"MSGF".to_vec(), u32::MAX.to_le_bytes().to_vec()].concat();
        assert_eq!(passed(&huge).await, (Vec::new(), Some(io::ErrorKind::InvalidData)));
        let short = [b"MSGF".to_vec(), 3u32.to_le_bytes().to_vec()].concat();
        assert_eq!(passed(&short).await.1, Some(io::ErrorKind::InvalidData));
        assert_eq!(passed(b"GET / HTTP/1.1\r\n").await.1, Some(io::ErrorKind::InvalidData));
    }

    /// A message that opens a channel with this certificate.
    fn opening(certificate: Option<&[u8]>) -> Vec<u8> {
        let mut body = 7u32.to_le_bytes().to_vec();
        body.extend(6i32.to_le_bytes());
        body.extend(b"policy");
        match certificate {
            Some(certificate) => {
                body.extend(i32::try_from(certificate.len()).unwrap().to_le_bytes());
                body.extend(certificate);
            }
            None => body.extend((-1i32).to_le_bytes()),
        }
        body.extend([0xFF; 4]);
        body.extend([1; 30]);
        let mut bytes = b"OPNF".to_vec();
        bytes.extend(u32::try_from(HEAD + body.len()).unwrap().to_le_bytes());
        [bytes, body].concat()
    }

    #[tokio::test]
    async fn a_channel_is_opened_by_whom_the_plant_admits_and_renewed_too() {
        let known = opening(Some(b"known"));
        let (open, signed) = (opening(None), message(b"MSGF", 40));
        assert_eq!(passed(&open).await, (open.clone(), None), "who shows none opens a channel without security");
        let good = [known.clone(), signed.clone()].concat();
        assert_eq!(passed(&good).await, (good.clone(), None));
        let stranger = [opening(Some(b"stranger")), signed.clone()].concat();
        assert_eq!(passed(&stranger).await, (Vec::new(), Some(io::ErrorKind::PermissionDenied)));
        let later = [good.clone(), stranger].concat();
        assert_eq!(passed(&later).await, (good, Some(io::ErrorKind::PermissionDenied)), "a renewal is judged too");
        let broken = message(b"OPNF", 100);
        assert_eq!(passed(&broken).await, (Vec::new(), Some(io::ErrorKind::InvalidData)));
    }

    #[tokio::test]
    async fn a_hello_comes_first_and_is_short() {
        let mut hello = Vec::new();
        read_hello(&mut message(b"HELF", 40).as_slice(), &mut hello).await.unwrap();
        assert_eq!(hello.len(), 48);
        for bytes in [message(b"OPNF", 40), message(b"HELF", HELLO_BYTES_MAX)] {
            assert!(read_hello(&mut bytes.as_slice(), &mut Vec::new()).await.is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_end_without_more_than_was_said(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (to, _) = runtime.block_on(passed(&bytes));
            assert!(to.len() <= bytes.len());
        }
    }

    #[test]
    fn an_address_cannot_take_every_place() {
        let gate = Gate::new(CONNECTIONS_PER_ADDRESS_MAX + 1, door().plant);
        let home = IpAddr::from([127, 0, 0, 1]);
        let places: Vec<_> = (0..CONNECTIONS_PER_ADDRESS_MAX).map(|_| gate.place(home).unwrap()).collect();
        assert!(gate.place(home).is_none());
        assert_eq!(gate.connections(), CONNECTIONS_PER_ADDRESS_MAX);
        assert!(gate.place(IpAddr::from([10, 0, 0, 1])).is_some());
        drop(places);
        assert!(gate.place(home).is_some() && gate.by_address.lock().is_empty());
    }
}
