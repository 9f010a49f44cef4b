//! One run of the probe: a chase of pointers and a copy, in pieces that are timed one by one, so that time is bounded.
use super::machine::Machine;

/// Bytes of the buffer that is chased through: four times the second-level cache of a core of today's servers (1 to 2 MiB),
/// so that little of it is there, and a fraction of the third level that cores share (16 to 480 MiB), so that on a quiet
/// host it stays there and costs nobody's work its place.
const CHASE_BYTES: usize = 4 << 20;
/// Bytes of each of the two buffers of the copy, which together are as large.
const COPY_BYTES: usize = 2 << 20;
/// Bytes of memory that a domain takes.
pub(super) const BYTES: usize = CHASE_BYTES + 2 * COPY_BYTES;
/// Bytes of a cache line of x86, and of most of Arm's servers.
const LINE_BYTES: usize = 64;
/// Loads of a piece of the chase, each of which waits for the one before.
const LOADS: usize = 64;
/// Bytes of a piece of the copy.
const PIECE_BYTES: usize = 16 << 10;
/// Pieces of each in a run.
const PIECES_MAX: usize = 16;
/// Nanoseconds that the pieces of each may take together: two of them leave a fifth of 100 us for moving to a processor
/// and back.
const PART_NS: u64 = 40_000;
/// Nanoseconds by which a run may be longer than its processor time: two readings of that clock. What is longer was
/// taken by somebody else, or by the hypervisor where it tells.
const LOST_NS_MAX: u64 = 5_000;

/// One line: where the next one is.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Line(u32);
const _: () = assert!(size_of::<Line>() == LINE_BYTES);

/// What a run found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Seconds from a load to its value.
    pub(super) latency_s: f64,
    /// Bytes copied a second; each is read once and written once.
    pub(super) copy_bytes_per_s: f64,
}

/// The buffers, and how far the last run got.
pub(super) struct Work {
    lines: Vec<Line>,
    at: u32,
    from: Vec<u8>,
    to: Vec<u8>,
    piece: usize,
}

impl Work {
    /// Fills the buffers: lines are one cycle in random order (Sattolo's algorithm), which no prefetcher foresees.
    pub(super) fn new() -> Self {
        let count = CHASE_BYTES / LINE_BYTES;
        let mut lines: Vec<Line> = (0..count as u32).map(Line).collect();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for last in (1..count).rev() {
            // Marsaglia, Xorshift RNGs, 2003: the triple 13, 7, 17. The order need not differ from run to run.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            lines.swap(last, (state % last as u64) as usize);
        }
        Self { lines, at: 0, from: vec![1; COPY_BYTES], to: vec![2; COPY_BYTES], piece: 0 }
    }

    /// Chases and copies; nothing where something else ran meanwhile.
    pub(super) fn run(&mut self, time: &mut dyn Machine) -> Option<Sample> {
        let (cpu_ns, begin_ns) = (time.cpu_ns(), time.wall_ns());
        let chase_ns = paced(time, || self.chase());
        let copy_ns = paced(time, || self.copy());
        let wall_ns = time.wall_ns().saturating_sub(begin_ns);
        let lost_ns = wall_ns.saturating_sub(time.cpu_ns().saturating_sub(cpu_ns));
        (lost_ns <= LOST_NS_MAX).then(|| Sample {
            latency_s: chase_ns as f64 / LOADS as f64 * 1e-9,
            copy_bytes_per_s: PIECE_BYTES as f64 / (copy_ns.max(1) as f64 * 1e-9),
        })
    }

    fn chase(&mut self) {
        let mut at = self.at;
        for _ in 0..LOADS {
            at = self.lines[at as usize].0;
        }
        self.at = std::hint::black_box(at);
    }

    fn copy(&mut self) {
        let begin = self.piece * PIECE_BYTES;
        let window = begin..begin + PIECE_BYTES;
        self.to[window.clone()].copy_from_slice(&self.from[window]);
        std::hint::black_box(&mut self.to);
        self.piece = (self.piece + 1) % (COPY_BYTES / PIECE_BYTES);
    }
}

/// Does pieces of work until they are [`PIECES_MAX`], or until another one as long as the longest would go past [`PART_NS`];
/// gives the median of their times in nanoseconds.
fn paced(time: &mut dyn Machine, mut piece: impl FnMut()) -> u64 {
    let mut took = [0_u64; PIECES_MAX];
    let (begin, mut count, mut longest) = (time.wall_ns(), 0, 0);
    let mut last = begin;
    while count < PIECES_MAX && last - begin + longest <= PART_NS {
        piece();
        let now = time.wall_ns();
        took[count] = now - last;
        longest = longest.max(took[count]);
        (last, count) = (now, count + 1);
    }
    let took = &mut took[..count];
    took.sort_unstable();
    took[count / 2]
}

#[cfg(test)]
mod tests;
