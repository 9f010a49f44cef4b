//! The recorder: every beat as one line of JSON, written by a thread of its own so that a slow disk cannot hold up the beat.
use model::Snapshot;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

/// Beats that wait to be written; further ones are dropped and counted.
const QUEUE_MAX: usize = 16;

/// Writes beats to a file.
#[derive(Debug)]
pub struct Recorder {
    queue: SyncSender<Snapshot>,
    dropped: u64,
}

impl Recorder {
    /// Opens the file for appending and starts the thread.
    ///
    /// # Errors
    /// When the file cannot be opened or the system has no thread to give.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::options().create(true).append(true).open(path)?;
        let (queue, beats) = sync_channel(QUEUE_MAX);
        std::thread::Builder::new().name("wk-record".into()).spawn(move || write_all(file, &beats))?;
        Ok(Self { queue, dropped: 0 })
    }

    /// Hands a beat over, or counts it as dropped when the disk does not keep up or is full.
    pub fn write(&mut self, snapshot: &Snapshot) {
        match self.queue.try_send(snapshot.clone()) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.dropped += 1;
                if self.dropped.is_power_of_two() {
                    tracing::warn!(
                        dropped = self.dropped,
                        "beats are missing in the recording: the disk is slow or full"
                    );
                }
            }
        }
    }
}

fn write_all(file: File, beats: &Receiver<Snapshot>) {
    let mut out = BufWriter::new(file);
    while let Ok(snapshot) = beats.recv() {
        let written = serde_json::to_writer(&mut out, &snapshot).map_err(std::io::Error::from);
        // A line is flushed whole, so that a killed agent leaves at most one torn line at the end.
        if let Err(error) = written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
            tracing::error!("the recording ends here: {error}");
            return;
        }
    }
}
