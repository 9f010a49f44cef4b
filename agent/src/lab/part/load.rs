//! Antagonists: what gets in a victim's way, for a share of the time.
use super::Load;
use super::duty::Steering;
use super::work::arithmetic;
use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes that the antagonist of the cache writes over: as much as the last level of a server's processor has.
const CACHE_BYTES: usize = 32 << 20;
/// Bytes of each buffer of the antagonist of memory bandwidth, over all threads.
const BUS_BYTES: usize = 192 << 20;
/// Bytes taken and given back at a time.
const PAGES_BYTES: usize = 4 << 20;
/// Bytes written to the disk before they are flushed, and of the file.
const BLOCK: usize = 256 << 10;
const FILE_BYTES: u64 = 64 << 20;
/// Bytes sent at a time.
const CHUNK: usize = 32 << 10;

/// Presses with so many threads until it is over.
///
/// # Errors
/// The first of any thread's: a file or a socket that cannot be had.
pub(super) fn run(load: Load, threads: usize, steering: &Steering, folder: &Path) -> io::Result<()> {
    let one = |number: usize| match load {
        Load::Cpu => {
            let mut state = 1;
            steering.press(|| {
                state = arithmetic(state, 50_000);
                Ok(())
            })
        }
        Load::Cache => cache(steering),
        Load::Bandwidth => bandwidth(steering, BUS_BYTES / threads),
        Load::Memory => memory(steering),
        Load::Disk => disk(steering, &folder.join(format!("press{number}"))),
        Load::Network => network(steering),
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|number| scope.spawn(move || one(number))).collect();
        let first = one(0);
        others.into_iter().fold(first, |result, other| result.and(other.join().unwrap_or(Ok(()))))
    })
}

/// Writes to one word of every line in an order that no prefetcher guesses.
fn cache(steering: &Steering) -> io::Result<()> {
    let mut words = vec![1_u64; CACHE_BYTES / 8];
    let mask = words.len() - 1;
    let mut place = 0_usize;
    steering.press(|| {
        for _ in 0..4_000 {
            // A step that is odd in lines goes through every line before it repeats.
            place = (place + 8 * 40_503) & mask;
            words[place] = words[place].wrapping_add(1);
        }
        black_box(&mut words);
        Ok(())
    })
}

fn bandwidth(steering: &Steering, bytes: usize) -> io::Result<()> {
    const STRIDE: usize = 512 << 10;
    let half = (bytes / 2 / STRIDE).max(1) * STRIDE;
    let (mut from, mut to) = (vec![1_u8; half], vec![2_u8; half]);
    let mut at = 0;
    steering.press(|| {
        to[at..at + STRIDE].copy_from_slice(&from[at..at + STRIDE]);
        black_box(&mut to);
        at += STRIDE;
        if at == half {
            std::mem::swap(&mut from, &mut to);
            at = 0;
        }
        Ok(())
    })
}

/// Takes pages from the kernel, touches each, and gives them back.
fn memory(steering: &Steering) -> io::Result<()> {
    steering.press(|| {
        // Above the allocator's threshold, so that it maps and unmaps.
        let mut pages = Vec::<u8>::with_capacity(PAGES_BYTES);
        pages.resize(PAGES_BYTES, 1);
        black_box(&mut pages);
        Ok(())
    })
}

fn disk(steering: &Steering, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    std::fs::remove_file(path)?;
    let mut block = vec![0_u8; BLOCK];
    let mut number = 0_u64;
    steering.press(|| {
        // Sectors differ, in case the file system or the medium saves itself the work.
        block.chunks_mut(512).for_each(|sector| sector[..8].copy_from_slice(&number.to_le_bytes()));
        file.write_all_at(&block, number * BLOCK as u64 % FILE_BYTES)?;
        number += 1;
        file.sync_data()
    })
}

fn network(steering: &Steering) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = TcpStream::connect(listener.local_addr()?)?;
    let (mut into, _) = listener.accept()?;
    std::thread::scope(|scope| {
        let drain = scope.spawn(move || {
            let mut sink = vec![0_u8; CHUNK];
            while into.read(&mut sink).is_ok_and(|read| read > 0) {}
        });
        let chunk = vec![1_u8; CHUNK];
        let result = steering.press(|| out.write_all(&chunk));
        let shut = out.shutdown(Shutdown::Both);
        let _ = drain.join();
        result.and(shut)
    })
}
