//! Victims: seven kinds of work whose rate can be measured, some tens of microseconds an operation.
use super::Work;
use super::duty::Steering;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of the buffer that fits a second-level cache: servers have 1 to 2 MiB a core.
const CACHED_BYTES: usize = 512 << 10;
/// Bytes that the chase goes through.
const CHASE_BYTES: usize = 16 << 20;
/// Bytes of each of the two buffers of the copy: more than a cache holds.
const STREAM_BYTES: usize = 96 << 20;
/// Bytes of one request to the disk, and of the file.
const BLOCK: usize = 4 << 10;
const FILE_BYTES: u64 = 32 << 20;
/// Bytes of a request and of an answer.
const REQUEST: usize = 64;
const ANSWER: usize = 4 << 10;

/// Does one kind of work and counts it.
///
/// # Errors
/// When a file, a pipe or a socket cannot be had.
pub(super) fn run(work: Work, steering: &Steering, folder: &Path) -> io::Result<()> {
    match work {
        Work::Compute => {
            let mut state = 1_u64;
            steering.count(|| {
                state = arithmetic(state, 16_000);
                Ok(())
            })
        }
        Work::Cached => cached(steering),
        Work::Chase => chase(steering),
        Work::Stream => stream(steering),
        Work::Syscall => syscall(steering),
        Work::Disk => disk(steering, folder),
        Work::Rpc => rpc(steering),
    }
}

/// A chain of multiplications, so that nothing of it can be left out or done at once.
pub(super) fn arithmetic(mut state: u64, steps: u32) -> u64 {
    for _ in 0..steps {
        state =
            black_box(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    }
    state
}

/// The next number of a linear congruential generator (Knuth, MMIX), its upper bits.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) as usize
}

fn cached(steering: &Steering) -> io::Result<()> {
    let mut words = vec![1_u64; CACHED_BYTES / 8];
    let (mask, mut state) = (words.len() - 1, 1);
    steering.count(|| {
        for _ in 0..8_000 {
            let place = next(&mut state) & mask;
            words[place] = words[place].wrapping_add(state);
        }
        black_box(&mut words);
        Ok(())
    })
}

/// A permutation of cache lines that is one circle (Sattolo's algorithm).
pub(super) fn circle(bytes: usize) -> Vec<u32> {
    let lines = bytes / 64;
    let mut order: Vec<u32> = (0..lines as u32).collect();
    let mut state = 7;
    for last in (1..lines).rev() {
        order.swap(last, next(&mut state) % last);
    }
    let mut chain = vec![0_u32; lines * 16];
    for place in 0..lines {
        chain[order[place] as usize * 16] = order[(place + 1) % lines] * 16;
    }
    chain
}

fn chase(steering: &Steering) -> io::Result<()> {
    let chain = circle(CHASE_BYTES);
    let mut at = 0_usize;
    steering.count(|| {
        for _ in 0..1_000 {
            at = chain[at] as usize;
        }
        black_box(at);
        Ok(())
    })
}

fn stream(steering: &Steering) -> io::Result<()> {
    const STRIDE: usize = 512 << 10;
    let (mut from, mut to) = (vec![1_u8; STREAM_BYTES], vec![2_u8; STREAM_BYTES]);
    let mut at = 0;
    steering.count(|| {
        to[at..at + STRIDE].copy_from_slice(&from[at..at + STRIDE]);
        black_box(&mut to);
        at += STRIDE;
        if at == STREAM_BYTES {
            std::mem::swap(&mut from, &mut to);
            at = 0;
        }
        Ok(())
    })
}

fn syscall(steering: &Steering) -> io::Result<()> {
    let (mut reader, mut writer) = io::pipe()?;
    let mut byte = [1];
    steering.count(|| {
        for _ in 0..64 {
            writer.write_all(&byte)?;
            reader.read_exact(&mut byte)?;
        }
        Ok(())
    })
}

fn disk(steering: &Steering, folder: &Path) -> io::Result<()> {
    let path = folder.join("blocks");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
    // The part holds the file; its name is not needed any more, so nothing is left however the part ends.
    std::fs::remove_file(&path)?;
    let mut block = [0_u8; BLOCK];
    for place in 0..FILE_BYTES / BLOCK as u64 {
        file.write_all_at(&block, place * BLOCK as u64)?;
    }
    file.sync_all()?;
    let mut state = 3;
    steering.count(|| {
        let place = next(&mut state) as u64 % (FILE_BYTES / BLOCK as u64);
        block[..8].copy_from_slice(&state.to_le_bytes());
        file.write_all_at(&block, place * BLOCK as u64)?;
        file.sync_data()
    })
}

/// A server that answers every request, on a thread of its own, and a client that waits for each answer.
fn rpc(steering: &Steering) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    std::thread::scope(|scope| {
        let serve = scope.spawn(move || {
            let (mut request, answer) = ([0; REQUEST], [1; ANSWER]);
            while server.read_exact(&mut request).and_then(|()| server.write_all(&answer)).is_ok() {}
        });
        let (request, mut answer) = ([1; REQUEST], [0; ANSWER]);
        let result = steering.count(|| {
            client.write_all(&request)?;
            client.read_exact(&mut answer)
        });
        let shut = client.shutdown(std::net::Shutdown::Both);
        let _ = serve.join();
        result.and(shut)
    })
}
