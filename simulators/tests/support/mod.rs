//! The running simulator on free ports, and hand-written Modbus TCP frames.

#![allow(clippy::unwrap_used, dead_code)] // helpers of tests, of which each file uses its share

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use penstock_simulators::{Ports, SimConfig, SimError, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const SUMMER_NOON: i64 = 1_782_014_400;

pub struct Sim {
    pub addresses: HashMap<String, SocketAddr>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), SimError>>,
}

impl Sim {
    pub async fn start() -> Sim {
        Sim::start_with(SimConfig::default()).await
    }

    pub async fn start_with(config: SimConfig) -> Sim {
        let config = SimConfig { ports: Ports::ephemeral(), start: Some(SUMMER_NOON), ..config };
        let (ready, is_ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(run(
            config,
            move |addresses| ready.send(addresses.iter().cloned().collect()).unwrap(),
            async {
                let _ = stopped.await;
            },
        ));
        Sim { addresses: is_ready.await.unwrap(), stop, task }
    }

    pub async fn connect(&self, device: &str) -> TcpStream {
        TcpStream::connect(self.addresses[device]).await.unwrap()
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.task).await.unwrap().unwrap().unwrap();
    }
}

/// Sends one frame of literal bytes and returns the PDU of the answer after checking its header.
pub async fn ask(stream: &mut TcpStream, unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x12, 0x34, 0, 0, 0, pdu.len() as u8 + 1, unit];
    frame.extend(pdu);
    stream.write_all(&frame).await.unwrap();
    let mut header = [0; 7];
    let read = async {
        stream.read_exact(&mut header).await.unwrap();
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[4], header[5]])) - 1];
        stream.read_exact(&mut body).await.unwrap();
        body
    };
    let body = tokio::time::timeout(Duration::from_secs(5), read).await.expect("no answer");
    assert_eq!((&header[..4], header[6]), (&[0x12, 0x34, 0, 0][..], unit));
    body
}
