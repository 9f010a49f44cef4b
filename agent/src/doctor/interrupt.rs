//! Interrupts: while knobs are tried, a signal to stop ends the trial in order instead of the process at once.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};

/// Sets the flag on SIGINT, SIGTERM or SIGHUP, from now on.
pub(super) fn notice(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    let work = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)] = kinds.map(signal) else { return };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
            stop.store(true, Ordering::Relaxed);
        });
    };
    // Without a thread a signal ends the process, and the journal has what is to be given back.
    drop(std::thread::Builder::new().name("doctor signals".into()).spawn(work));
}
