//! Load on the network stack: one TCP connection to ourselves over the loopback interface, and nowhere else.
use crate::bounds::SENT_MAX;
use crate::pace::Pace;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

/// Bytes handed to the kernel at a time.
const CHUNK: usize = 64 << 10;
/// Bytes a second at intensity 1.
const RATE: f64 = (256 << 20) as f64;

/// Sends to ourselves; the intensity is the share of [`RATE`]. Gives the bytes sent.
pub(crate) fn send(pace: Pace, intensity: f64) -> std::io::Result<u64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = TcpStream::connect(listener.local_addr()?)?;
    let (mut into, _) = listener.accept()?;
    drop(listener);
    std::thread::scope(|scope| {
        let drain = scope.spawn(move || {
            let mut sink = vec![0_u8; CHUNK];
            while into.read(&mut sink).is_ok_and(|read| read > 0) {}
        });
        let chunk = vec![1_u8; CHUNK];
        let mut sent = 0;
        let mut result = Ok(());
        while pace.goes_on() && sent < SENT_MAX && result.is_ok() {
            pace.due(sent, RATE * intensity);
            result = out.write_all(&chunk);
            sent += CHUNK as u64;
        }
        // The other end reads nothing more and ends, whatever became of this one.
        let shut = out.shutdown(Shutdown::Both);
        let _ = drain.join();
        pace.sit_out();
        result.and(shut).map(|()| sent)
    })
}
