//! A serial device server: what comes over TCP goes to the line, and back. It keeps the port open while the line is there,
//! and closes its client's connection when it is not.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Not the terminal that controls this process.
const NO_CONTROLLING_TERMINAL: i32 = 0o400;

#[derive(Default)]
struct Ends {
    client: Option<TcpStream>,
    line: Option<File>,
}

/// The device server.
pub struct Bridge {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    ends: Arc<Mutex<Ends>>,
}

impl Bridge {
    pub fn to(port: &Path) -> Bridge {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (over, ends) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Ends::default())));
        let (port, ended, both): (PathBuf, _, _) = (port.to_owned(), over.clone(), ends.clone());
        std::thread::spawn(move || from_line(&port, &ended, &both));
        let (ended, both) = (over.clone(), ends.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(client) = client else { return };
                let mut ends = both.lock().unwrap();
                if ends.line.is_none() {
                    // The port is gone: whoever connects is turned away.
                    continue;
                }
                // One master at a time, the last one.
                if let Some(before) = ends.client.replace(client.try_clone().unwrap()) {
                    let _ = before.shutdown(Shutdown::Both);
                }
                drop(ends);
                let both = both.clone();
                std::thread::spawn(move || from_client(client, &both));
            }
        });
        Bridge { address, over, ends }
    }
}

fn from_client(mut client: TcpStream, ends: &Mutex<Ends>) {
    let mut chunk = [0; 512];
    while let Ok(count) = client.read(&mut chunk) {
        let line = ends.lock().unwrap().line.as_ref().and_then(|line| line.try_clone().ok());
        let passed = count > 0 && line.is_some_and(|mut line| line.write_all(&chunk[..count]).is_ok());
        if !passed {
            break;
        }
    }
    let _ = client.shutdown(Shutdown::Both);
}

fn from_line(port: &Path, over: &AtomicBool, ends: &Mutex<Ends>) {
    while !over.load(Ordering::SeqCst) {
        let open = std::fs::OpenOptions::new().read(true).write(true).custom_flags(NO_CONTROLLING_TERMINAL).open(port);
        let Ok(mut line) = open else {
            std::thread::sleep(Duration::from_millis(20));
            continue;
        };
        ends.lock().unwrap().line = line.try_clone().ok();
        let mut chunk = [0; 512];
        while let Ok(count @ 1..) = line.read(&mut chunk) {
            let client = ends.lock().unwrap().client.as_ref().and_then(|client| client.try_clone().ok());
            if let Some(mut client) = client {
                // A client that has gone loses what was for it.
                let _ = client.write_all(&chunk[..count]);
            }
        }
        let mut ends = ends.lock().unwrap();
        ends.line = None;
        if let Some(client) = ends.client.take() {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        if let Some(client) = self.ends.lock().unwrap().client.take() {
            let _ = client.shutdown(Shutdown::Both);
        }
        // Wakes the one that waits for clients.
        let _ = TcpStream::connect(self.address);
    }
}
