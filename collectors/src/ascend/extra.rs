//! What is no plain number: error codes with a notice for each new one, processes, and utilisation that is doubted.
use super::codes::CODES;
use super::doubt::{Doubt, Seen};
use super::session::{Place, Session, at};
use crate::able::Able;
use crate::library::{Fault, Scope, ask};
use crate::listed::Seat;
use model::source::SlotProcess;
use model::{Absence, Batch, Metric, NoticeKind, Reading, Timestamp};
use std::ffi::c_int;

/// The most error codes that are asked for (npu-smi asks for 128) and processes.
const ERRORS_MAX: usize = 128;
const PROCESSES_MAX: u8 = 32;

/// What is kept of a device between beats.
#[derive(Debug, Default)]
pub(super) struct Memory {
    errors: Able,
    processes: Able,
    /// Codes that were reported on the last beat.
    told: Vec<u32>,
    doubt: Doubt,
}

/// An entry of `dcmi_proc_mem_info`: a process and its device memory in bytes.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
struct Process {
    pid: c_int,
    bytes: u64,
}

/// Adds all of it to what the calls of this beat gave.
///
/// # Errors
/// When the device or the library is gone.
pub(super) fn add(
    session: &Session,
    seat: &mut Seat<Session>,
    now: Timestamp,
    batch: &mut Batch,
) -> Result<(), Fault> {
    errors(session, seat, now, batch)?;
    processes(session, seat, batch)?;
    let value = |metric| seat.value(metric);
    let seen = Seen {
        power_w: value(Metric::PowerInstant),
        clock_hz: value(Metric::ClockSm),
        clock_max_hz: value(Metric::ClockSmMax),
        core: value(Metric::Utilization),
        vector: value(Metric::VectorUtilization),
        bandwidth: value(Metric::DramActive),
    };
    let doubts = seat.memory.doubt.judge(&seen);
    for (metric, doubted) in [(Metric::Utilization, doubts.core), (Metric::VectorUtilization, doubts.vector)]
    {
        if let Some((_, reading)) = seat.fresh.iter_mut().find(|(known, _)| doubted && *known == metric) {
            *reading = Reading::Absent(Absence::Implausible);
        }
    }
    Ok(())
}

/// Passes a fault on that is of more than one value.
fn beyond(answer: Result<(), Fault>) -> Result<bool, Fault> {
    match answer {
        Ok(()) => Ok(true),
        Err(fault) if matches!(fault.scope, Scope::Device | Scope::Library) => Err(fault),
        Err(_) => Ok(false),
    }
}

fn errors(
    session: &Session,
    seat: &mut Seat<Session>,
    now: Timestamp,
    batch: &mut Batch,
) -> Result<(), Fault> {
    if seat.memory.errors == Able::Lacks {
        return Ok(());
    }
    let (mut count, mut codes): (c_int, _) = (0, [0; ERRORS_MAX]);
    let (room, place) = (ERRORS_MAX as u32, seat.place);
    let answer = at!(
        session,
        place,
        dcmi_get_device_errorcode_v2 | dcmiv2_get_device_errorcode(&mut count, codes.as_mut_ptr(), room)
    );
    seat.memory.errors.learn(&answer, Fault::never);
    if let Err(fault) = answer {
        batch.absent(seat.slot, Metric::ErrorCodes, fault.absence);
    }
    if !beyond(answer)? {
        return Ok(());
    }
    let codes = &codes[..usize::try_from(count).unwrap_or(0).min(ERRORS_MAX)];
    // At most 128.
    batch.set(seat.slot, Metric::ErrorCodes, codes.len() as f64);
    if let Some(first) = codes.first() {
        batch.set(seat.slot, Metric::ErrorLastCode, f64::from(*first));
    }
    for code in codes.iter().filter(|code| !seat.memory.told.contains(code)) {
        batch.notice(seat.slot, NoticeKind::Fault, *code, now);
    }
    seat.memory.told.clear();
    seat.memory.told.extend(codes);
    Ok(())
}

fn processes(session: &Session, seat: &mut Seat<Session>, batch: &mut Batch) -> Result<(), Fault> {
    if seat.memory.processes == Able::Lacks {
        return Ok(());
    }
    // The reference says at most 32; the call is not told how much room there is.
    let mut list = [Process::default(); 8 * PROCESSES_MAX as usize];
    let (mut count, place) = (c_int::from(PROCESSES_MAX), seat.place);
    let mut answer = at!(
        session,
        place,
        dcmi_get_device_resource_info | dcmiv2_get_device_resource_info(list.as_mut_ptr().cast(), &mut count)
    );
    if let (Err(Fault::MISSING), Place::Flat(device)) = (answer, place) {
        answer = ask!(session, dcmiv2_get_device_proc_mem_info(device, list.as_mut_ptr().cast(), &mut count));
    }
    seat.memory.processes.learn(&answer, Fault::never);
    if let Err(fault) = answer {
        batch.absent(seat.slot, Metric::Processes, fault.absence);
    }
    if !beyond(answer)? {
        return Ok(());
    }
    let list = &list[..usize::try_from(count).unwrap_or(0).min(PROCESSES_MAX.into())];
    let there = list.iter().filter(|process| process.pid > 0);
    batch.set(seat.slot, Metric::Processes, there.clone().count() as f64);
    for process in there {
        let memory_bytes = Some(process.bytes);
        batch.process(SlotProcess {
            memory_bytes,
            ..SlotProcess::new(seat.slot, process.pid.cast_unsigned())
        });
    }
    Ok(())
}
