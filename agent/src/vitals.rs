//! Vitals: what the agent itself costs, read from the kernel without allocating.
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// Reads the agent's own processor time and resident memory.
#[derive(Debug)]
pub struct Own {
    statm: Option<File>,
    page: u64,
}

impl Default for Own {
    fn default() -> Self {
        Self { statm: File::open("/proc/self/statm").ok(), page: rustix::param::page_size() as u64 }
    }
}

impl Own {
    /// Processor time of all threads since the start, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    }

    /// Resident memory in bytes; 0 where procfs does not say.
    pub fn resident_bytes(&self) -> u64 {
        let mut buffer = [0_u8; 128];
        let read = self.statm.as_ref().and_then(|file| file.read_at(&mut buffer, 0).ok()).unwrap_or(0);
        let text = std::str::from_utf8(&buffer[..read]).unwrap_or("");
        let pages: Option<u64> = text.split_whitespace().nth(1).and_then(|field| field.parse().ok());
        pages.unwrap_or(0) * self.page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_knows_what_it_costs() {
        let own = Own::default();
        let before = own.cpu_seconds();
        let heavy: Vec<u8> = std::hint::black_box((0..16_u32 << 20).map(|n| n as u8).collect());
        assert!(own.cpu_seconds() > before);
        assert!(own.resident_bytes() >= heavy.len() as u64);
    }
}
