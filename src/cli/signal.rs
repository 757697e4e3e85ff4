//! Ending in good order.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, and the wish of the system that this process end. From here on neither ends it by itself,
/// and none is missed.
pub(super) fn stopped() -> impl Future<Output = ()> {
    let signals = [signal(SignalKind::interrupt()), signal(SignalKind::terminate())];
    let [mut interrupt, mut terminate] = signals.map(Result::ok);
    async move {
        tokio::select! {
            () = received(interrupt.as_mut()) => {}
            () = received(terminate.as_mut()) => {}
        }
    }
}

/// Waits for a signal; for ever where the system lets nobody wait for it.
async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
