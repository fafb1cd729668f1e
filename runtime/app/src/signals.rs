//! The two ways a person or a service manager asks a process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Returns at SIGINT (Ctrl-C) or SIGTERM. Where the system refuses the handlers, it waits for ever and the signal
/// ends the process the hard way, which every store of ours survives.
pub async fn wait() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        _ => std::future::pending().await,
    }
}
