//! The door: how many connections there are, from whom, and how long one may stand still.

use crate::limits::{CONNECTION_IDLE_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

/// Wait after the system refused an accept (out of file handles): trying at once would only burn the core.
const ACCEPT_RETRY: Duration = Duration::from_millis(250);

type PerAddress = Arc<Mutex<HashMap<IpAddr, usize>>>;

/// A listener with a bounded number of connections, over all and per address.
pub(crate) struct Gate {
    listener: TcpListener,
    places: Arc<Semaphore>,
    per_address: PerAddress,
    turned_away: Arc<AtomicU64>,
}

impl Gate {
    pub(crate) fn new(listener: TcpListener, turned_away: Arc<AtomicU64>) -> Gate {
        Gate {
            listener,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            per_address: PerAddress::default(),
            turned_away,
        }
    }

    fn enter(&self, from: IpAddr) -> Option<Place> {
        let mut per_address = self.per_address.lock();
        let count = per_address.entry(from).or_insert(0);
        if *count >= CONNECTIONS_PER_ADDRESS_MAX {
            return None;
        }
        *count += 1;
        Some(Place { per_address: self.per_address.clone(), from })
    }
}

impl Listener for Gate {
    type Io = GatedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (GatedStream, SocketAddr) {
        loop {
            // The semaphore is never closed; were it, the door would simply stay unguarded by it.
            let permit = self.places.clone().acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, from)) => match self.enter(from.ip()) {
                    Some(place) => {
                        let _ = stream.set_nodelay(true);
                        let idle = Box::pin(tokio::time::sleep(CONNECTION_IDLE_MAX));
                        return (GatedStream { stream, idle, _place: place, _permit: permit }, from);
                    }
                    None => {
                        self.turned_away.fetch_add(1, Ordering::Relaxed);
                    }
                },
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

struct Place {
    per_address: PerAddress,
    from: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut per_address = self.per_address.lock();
        if let Some(count) = per_address.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                per_address.remove(&self.from);
            }
        }
    }
}

/// A connection that ends with an error when nothing moves on it for [`CONNECTION_IDLE_MAX`].
pub(crate) struct GatedStream {
    stream: TcpStream,
    idle: Pin<Box<Sleep>>,
    _place: Place,
    _permit: Option<OwnedSemaphorePermit>,
}

impl GatedStream {
    /// Passes a result on; a pending one only while the connection may still stand still.
    fn watched<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            let at = tokio::time::Instant::now() + CONNECTION_IDLE_MAX;
            self.idle.as_mut().reset(at);
            return polled;
        }
        self.idle.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watched(cx, polled)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Connected<IncomingStream<'_, Gate>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate>) -> Peer {
        Peer(stream.remote_addr().ip())
    }
}
