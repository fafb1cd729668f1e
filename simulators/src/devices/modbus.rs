//! Modbus TCP sockets: one listener per device, several units behind it where it is a gateway.
//!
//! Refusals: unknown unit 0x0B, unknown or read-only address 0x02, count or value 0x03, other functions 0x01.

use std::collections::BTreeMap;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};
use tracing::{debug, warn};

use super::SharedImage;
use super::image::Refusal;

/// Connections a device keeps at a time, as a small PLC does; further ones are closed at once.
pub const CONNECTIONS_MAX: usize = 16;
/// Most registers and bits of one read, and registers of one write (protocol limits).
const READ_REGISTERS_MAX: u16 = 125;
const READ_BITS_MAX: u16 = 2000;
const WRITE_REGISTERS_MAX: usize = 123;
const WRITE_BITS_MAX: usize = 1968;

/// Units behind one socket.
#[derive(Debug, Clone)]
pub struct Units(Arc<BTreeMap<u8, SharedImage>>);

impl Units {
    /// Units by their number.
    #[must_use]
    pub fn new(units: impl IntoIterator<Item = (u8, SharedImage)>) -> Units {
        Units(Arc::new(units.into_iter().collect()))
    }

    fn answer(&self, unit: u8, request: &Request<'_>) -> Result<Response, ExceptionCode> {
        let image = self.0.get(&unit).ok_or(ExceptionCode::GatewayTargetDevice)?;
        let mut image = image.lock();
        let answer = match request {
            Request::ReadCoils(at, count) => {
                check(*count, READ_BITS_MAX)?;
                image.read_coils(*at, *count).map(|bits| Response::ReadCoils(bits.to_vec()))
            }
            Request::ReadDiscreteInputs(at, count) => {
                check(*count, READ_BITS_MAX)?;
                image.read_discrete(*at, *count).map(|bits| Response::ReadDiscreteInputs(bits.to_vec()))
            }
            Request::ReadInputRegisters(at, count) => {
                check(*count, READ_REGISTERS_MAX)?;
                image.read_input(*at, *count).map(|words| Response::ReadInputRegisters(words.to_vec()))
            }
            Request::ReadHoldingRegisters(at, count) => {
                check(*count, READ_REGISTERS_MAX)?;
                image.read_holding(*at, *count).map(|words| Response::ReadHoldingRegisters(words.to_vec()))
            }
            Request::WriteSingleRegister(at, word) => {
                image.write_holding(*at, &[*word]).map(|()| Response::WriteSingleRegister(*at, *word))
            }
            Request::WriteMultipleRegisters(at, words) => {
                let count = check_write(words.len(), WRITE_REGISTERS_MAX)?;
                image.write_holding(*at, words).map(|()| Response::WriteMultipleRegisters(*at, count))
            }
            Request::WriteSingleCoil(at, bit) => {
                image.write_coils(*at, &[*bit]).map(|()| Response::WriteSingleCoil(*at, *bit))
            }
            Request::WriteMultipleCoils(at, bits) => {
                let count = check_write(bits.len(), WRITE_BITS_MAX)?;
                image.write_coils(*at, bits).map(|()| Response::WriteMultipleCoils(*at, count))
            }
            _ => return Err(ExceptionCode::IllegalFunction),
        };
        answer.map_err(|refusal| match refusal {
            Refusal::Address => ExceptionCode::IllegalDataAddress,
            Refusal::Value => ExceptionCode::IllegalDataValue,
        })
    }
}

fn check(count: u16, most: u16) -> Result<(), ExceptionCode> {
    if (1..=most).contains(&count) { Ok(()) } else { Err(ExceptionCode::IllegalDataValue) }
}

fn check_write(count: usize, most: usize) -> Result<u16, ExceptionCode> {
    if (1..=most).contains(&count) { Ok(count as u16) } else { Err(ExceptionCode::IllegalDataValue) }
}

/// Units as one connection sees them; the permit is given back when the connection ends.
struct Connection {
    units: Units,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Service for Connection {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.units.answer(request.slave, &request.request))
    }
}

/// Serves the units until the future is dropped, which also closes its connections.
pub async fn serve(device: &'static str, listener: TcpListener, units: Units) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let server = Server::new(listener);
    let on_connected = |stream: TcpStream, peer: SocketAddr| {
        let (units, permits) = (units.clone(), permits.clone());
        async move {
            let Ok(permit) = permits.try_acquire_owned() else {
                debug!(device, %peer, "connection refused: {CONNECTIONS_MAX} are open");
                return Ok(None);
            };
            // An answer of one segment must not wait for an acknowledgement; a failure only costs time.
            let _ = stream.set_nodelay(true);
            Ok(Some((Connection { units, _permit: permit }, stream)))
        }
    };
    loop {
        let on_error = move |error: std::io::Error| debug!(device, %error, "connection ended");
        if let Err(error) = server.serve(&on_connected, on_error).await {
            // Out of descriptors, most likely: wait for some to come back.
            warn!(device, %error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
