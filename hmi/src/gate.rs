//! The door: how many connections there are, from whom, and how long one may stand still.

use crate::limits::{
    CONNECTION_IDLE_MAX, CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX, FIRST_ANSWER_WAIT_MAX, QUESTION_TIME_MAX,
};
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
use tokio::time::{Instant, Sleep, sleep_until};

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
                        let patience = Patience::new(Instant::now());
                        let end = Box::pin(sleep_until(patience.end));
                        return (GatedStream { stream, patience, end, _place: place, _permit: permit }, from);
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

/// How long a connection may go on without an answer of ours. What a client sends never prolongs it: only what we
/// answer does, and the live feed answers four times a second.
#[derive(Debug, PartialEq)]
struct Patience {
    end: Instant,
    asked: bool,
}

impl Patience {
    fn new(now: Instant) -> Patience {
        Patience { end: now + FIRST_ANSWER_WAIT_MAX, asked: true }
    }

    /// Bytes of a client came.
    fn asked(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.asked, true) {
            self.end = now + QUESTION_TIME_MAX;
        }
    }

    /// Bytes of ours went.
    fn answered(&mut self, now: Instant) {
        self.asked = false;
        self.end = now + CONNECTION_IDLE_MAX;
    }
}

/// A connection that ends with an error when its [`Patience`] is over.
pub(crate) struct GatedStream {
    stream: TcpStream,
    patience: Patience,
    end: Pin<Box<Sleep>>,
    _place: Place,
    _permit: Option<OwnedSemaphorePermit>,
}

impl GatedStream {
    /// Passes a result on while the connection may go on; `moved` tells what a finished one means.
    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
        moved: fn(&mut Patience, Instant),
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            moved(&mut self.patience, Instant::now());
            let end = self.patience.end;
            self.end.as_mut().reset(end);
        }
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => polled,
        }
    }
}

impl AsyncRead for GatedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watched(cx, polled, Patience::asked)
    }
}

impl AsyncWrite for GatedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watched(cx, polled, Patience::answered)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watched(cx, polled, Patience::answered)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_prolongs_a_connection_and_dripping_bytes_do_not() {
        let start = Instant::now();
        let mut new = Patience::new(start);
        new.asked(start + FIRST_ANSWER_WAIT_MAX / 2);
        assert_eq!(new.end, start + FIRST_ANSWER_WAIT_MAX);
        new.answered(start);
        assert_eq!(new.end, start + CONNECTION_IDLE_MAX);
        for second in 0..30 {
            new.asked(start + Duration::from_secs(second));
        }
        assert_eq!(new.end, start + QUESTION_TIME_MAX);
        new.answered(start + Duration::from_secs(1));
        assert_eq!(new.end, start + Duration::from_secs(1) + CONNECTION_IDLE_MAX);
    }
}
