//! Attribution: what the processes on accelerators are called.
use collectors::Roots;
use collectors::workload::Names;
use model::Frame;

/// Names the processes that sources know by pid alone.
#[derive(Debug)]
pub struct Attribution {
    names: Names,
}

impl Attribution {
    /// An attribution that knows nobody yet.
    pub fn new(roots: &Roots) -> Self {
        Self { names: Names::new(roots) }
    }

    /// Fills in what the sources left open.
    pub fn attribute(&mut self, frame: &mut Frame) {
        self.names.turn();
        for process in frame.processes.iter_mut().filter(|process| process.name.is_empty()) {
            process.name = self.names.name(process.pid);
        }
    }
}
