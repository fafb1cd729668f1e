//! The two ways a person or a service manager asks a process to end.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for SIGINT (Ctrl-C) or SIGTERM. They are heard from this call on, not from the first look at what it returns: one
/// that comes while the runtime starts must end it in order, outputs and all. Where the system refuses the handlers, it waits
/// for ever and the signal ends the process the hard way, which every store of ours survives.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn wait() -> impl Future<Output = ()> {
    let handlers = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    async {
        match handlers {
            (Ok(mut interrupt), Ok(mut terminate)) => {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            }
            _ => std::future::pending().await,
        }
    }
}
