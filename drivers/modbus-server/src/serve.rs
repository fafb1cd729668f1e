//! Connections and requests.

use crate::limits::{BEAT_EVERY, BIND_WAIT};
use crate::map::{Map, Refused};
use crate::{Config, Source, Status};
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval, sleep};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response};

/// What all connections share.
struct Shared {
    map: Map,
    source: Arc<dyn Source>,
    heartbeat: AtomicU16,
    places: Arc<Semaphore>,
    places_max: usize,
    answered: AtomicU64,
    refused: AtomicU64,
    turned_away: AtomicU64,
}

/// Serves until `stop` turns true or its sender is gone. Tells the address on `ready` once it listens. An address that is
/// taken is tried again for ever: control goes on without us.
pub async fn run(
    config: Config,
    source: Arc<dyn Source>,
    mut stop: watch::Receiver<bool>,
    mut ready: Option<oneshot::Sender<SocketAddr>>,
) {
    let map = match Map::new(config.points.clone(), config.heartbeat_at) {
        Ok(map) => map,
        Err((place, why)) => {
            let path = config.points.get(place).map_or("?", |p| &*p.path);
            tracing::error!(tag = path, why, "the Modbus server is not run");
            return;
        }
    };
    let shared = Arc::new(Shared {
        map,
        source,
        heartbeat: AtomicU16::new(0),
        places: Arc::new(Semaphore::new(config.connections_max)),
        places_max: config.connections_max,
        answered: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        turned_away: AtomicU64::new(0),
    });
    let mut told = String::new();
    loop {
        let served = tokio::select! {
            served = listen(&config, &shared, &mut ready) => served,
            // Never ends by itself.
            () = beat(&shared) => Ok(()),
            () = stopped(&mut stop) => return,
        };
        let text = served.err().map_or("it ended".to_owned(), |e| e.to_string());
        if text != told {
            tracing::error!(address = %config.bind, error = %text, "the Modbus server cannot listen; tried again");
            told = text;
        }
        shared.source.status(&shared.status(false));
        tokio::select! {
            () = sleep(BIND_WAIT) => {}
            () = stopped(&mut stop) => return,
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn beat(shared: &Shared) {
    let mut ticks = interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if shared.source.alive() {
            shared.heartbeat.fetch_add(1, Ordering::Relaxed);
        }
        shared.source.status(&shared.status(true));
    }
}

async fn listen(
    config: &Config,
    shared: &Arc<Shared>,
    ready: &mut Option<oneshot::Sender<SocketAddr>>,
) -> io::Result<()> {
    let listener = TcpListener::bind(config.bind).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, points = config.points.len(), "Modbus server listens");
    if let Some(ready) = ready.take() {
        // Who asked may have gone; serving is right all the same.
        let _ = ready.send(address);
    }
    let idle = config.idle;
    let on_connected = |stream: TcpStream, peer: SocketAddr| {
        let shared = shared.clone();
        async move {
            let Ok(place) = shared.places.clone().try_acquire_owned() else {
                shared.turned_away.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%peer, "a Modbus client was turned away: all connections are taken");
                return Ok(None);
            };
            // Small answers go out at once; where that cannot be had they go out a little later.
            let _ = stream.set_nodelay(true);
            Ok(Some((Client { shared, _place: place }, Timed::new(stream, idle))))
        }
    };
    let on_error = |error: io::Error| tracing::debug!(%error, "a Modbus client's connection ended");
    Server::new(listener).serve(&on_connected, on_error).await
}

impl Shared {
    fn status(&self, listening: bool) -> Status {
        Status {
            listening,
            connections: self.places_max - self.places.available_permits(),
            answered: self.answered.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            turned_away: self.turned_away.load(Ordering::Relaxed),
        }
    }

    fn answer(&self, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        let read = |tag| self.source.read(tag);
        let code = |refused| match refused {
            Refused::Address => ExceptionCode::IllegalDataAddress,
            Refused::Count => ExceptionCode::IllegalDataValue,
            Refused::Value => ExceptionCode::ServerDeviceFailure,
        };
        let registers = |start, count| {
            let heartbeat = self.heartbeat.load(Ordering::Relaxed);
            self.map.registers(start, count, heartbeat, &read).map_err(code)
        };
        let bits = |start, count| self.map.bits(start, count, &read).map_err(code);
        match request {
            Request::ReadCoils(start, count) => bits(*start, *count).map(Response::ReadCoils),
            Request::ReadDiscreteInputs(start, count) => bits(*start, *count).map(Response::ReadDiscreteInputs),
            Request::ReadInputRegisters(start, count) => registers(*start, *count).map(Response::ReadInputRegisters),
            Request::ReadHoldingRegisters(start, count) => {
                registers(*start, *count).map(Response::ReadHoldingRegisters)
            }
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

/// One connection; its place is free again when it ends.
struct Client {
    shared: Arc<Shared>,
    _place: OwnedSemaphorePermit,
}

impl Service for Client {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Request<'static>) -> Self::Future {
        let answer = self.shared.answer(&request);
        let counter = if answer.is_ok() { &self.shared.answered } else { &self.shared.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        ready(answer)
    }
}

/// A stream that fails when nothing moves on it for too long, in either direction.
struct Timed {
    stream: TcpStream,
    idle: Duration,
    until: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(stream: TcpStream, idle: Duration) -> Timed {
        Timed { stream, idle, until: Box::pin(sleep(idle)) }
    }

    fn timed<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.until.as_mut().reset(Instant::now() + self.idle);
            return polled;
        }
        match self.until.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Timed {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.timed(cx, polled)
    }
}

impl AsyncWrite for Timed {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.timed(cx, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.timed(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.timed(cx, polled)
    }
}
