//! Work on a GPU: what victims do and what antagonists press with, in short operations, each waited for.
use super::Flags;
use super::duty::Steering;
use crate::lab::LabError;
use crate::lab::gpu::{Job, Press};
use collectors::cuda::{Card, CudaError};
use std::io;

/// Small kernels of a burst, and beside a pass over memory.
const BURST: u32 = 64;
const SMALL_BESIDE: u32 = 16;
/// Large kernels that are begun before one waits: about a millisecond on a large board.
const LARGE: u32 = 4;

/// Opens the GPU and works on it until the lab says that it is over.
///
/// # Errors
/// When the GPU cannot be opened, or a call fails on the way.
pub(super) fn run(flags: &Flags, steering: &Steering) -> Result<(), LabError> {
    let card = Card::open(&flags.cuda, flags.device)?;
    let told = |error: CudaError| io::Error::other(error);
    let worked = match (flags.job, flags.press) {
        (Some(job), _) => steering.count(|| operation(&card, job).map_err(told)),
        (None, Some(press)) => steering.press(|| pressure(&card, press).map_err(told)),
        (None, None) => Ok(()),
    };
    worked.map_err(|error| LabError::io("work on the GPU", error))
}

fn times(count: u32, mut begin: impl FnMut() -> Result<(), CudaError>) -> Result<(), CudaError> {
    (0..count).try_for_each(|_| begin())
}

/// One operation of a victim.
fn operation(card: &Card, job: Job) -> Result<(), CudaError> {
    match job {
        Job::Compute => times(LARGE, || card.compute(false))?,
        Job::Stream => times(LARGE, || card.stream())?,
        Job::Copy => {
            card.copy()?;
            card.compute(true)?;
        }
        Job::Launch => times(BURST, || card.compute(true))?,
        Job::Decode => {
            card.stream()?;
            times(SMALL_BESIDE, || card.compute(true))?;
        }
    }
    card.wait()
}

/// A millisecond or so of an antagonist.
fn pressure(card: &Card, press: Press) -> Result<(), CudaError> {
    match press {
        Press::Compute => times(LARGE, || card.compute(false))?,
        Press::Memory => times(LARGE, || card.stream())?,
        Press::Copy => card.copy()?,
        Press::Mixed => {
            card.compute(false)?;
            card.stream()?;
            card.copy()?;
        }
        // The lab lowers nobody's limit.
        Press::Power => {}
    }
    card.wait()
}
