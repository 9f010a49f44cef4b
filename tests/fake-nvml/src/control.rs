//! Control: steers a node from outside, as the world does with real devices.
use crate::time::{AS_REAL, real_ns};
use crate::world::{Entered, Group, Shared, World, hash};
use sim::{Board, Fault, Node, Profile, Tenant, Workload};
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::Duration;

/// The longest step that a node catches up in one go; a longer advance is made of several.
const STRIDE: Duration = Duration::from_secs(30);

/// A hold on the shared file of a node.
#[derive(Debug)]
pub struct Control {
    world: World,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn wrong(what: String) -> Error {
    Error::new(ErrorKind::InvalidInput, what)
}

impl Control {
    /// Opens a node's file; where there is none, makes one of eight idle H100 boards.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_as(path, &sim::profile::H100, 8, 1)
    }

    /// The same with other boards, for a file that does not exist yet.
    ///
    /// # Errors
    /// When the file cannot be mapped.
    pub fn open_as(path: &Path, profile: &Profile, boards: usize, seed: u64) -> Result<Self> {
        World::open(path, profile, boards, seed).map(|world| Self { world })
    }

    /// Puts a new node in the place of the old one, for every process that shares the file.
    pub fn renew(&self, profile: &Profile, boards: usize, seed: u64) {
        *self.world.enter() = Shared::new(profile, boards, seed);
    }

    /// The state behind it.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    fn board<R>(&self, index: usize, work: impl FnOnce(&mut Board) -> R) -> Result<R> {
        let mut shared: Entered<'_> = self.world.enter();
        let board =
            shared.node.board_mut(index).ok_or_else(|| wrong(format!("there is no board {index}")))?;
        Ok(work(board))
    }

    /// Gives work to a board: idle, training, prefill, decode or serving.
    ///
    /// # Errors
    /// When there is no such board or workload.
    pub fn load(&self, board: usize, workload: &str) -> Result<()> {
        let workload =
            Workload::named(workload).ok_or_else(|| wrong(format!("there is no workload {workload:?}")))?;
        self.board(board, |board| board.set_workload(workload))
    }

    /// Seats a tenant on a board, with the share of its full rate that it is asked for; `nobody` frees the seat.
    ///
    /// # Errors
    /// When there is no such board or tenant.
    pub fn seat(&self, board: usize, place: usize, tenant: &str, duty: f64) -> Result<()> {
        let tenant = Tenant::named(tenant).ok_or_else(|| wrong(format!("there is no tenant {tenant:?}")))?;
        self.board(board, |board| board.seats.seat(place, tenant, duty))
    }

    /// Lets kernels of a board's tenants run at once, as with MPS, or in turns.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn mps(&self, board: usize, mps: bool) -> Result<()> {
        self.board(board, |board| board.seats.set_mps(mps))
    }

    /// Lets a board report an XID error.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn xid(&self, board: usize, code: u32) -> Result<()> {
        self.board(board, |board| board.xid(code))
    }

    /// Puts a fault into a board.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn inject(&self, board: usize, fault: Fault) -> Result<()> {
        self.board(board, |board| board.inject(fault))
    }

    /// Takes a fault out of a board.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn heal(&self, board: usize, fault: Fault) -> Result<()> {
        self.board(board, |board| board.heal(fault))
    }

    /// Lets a board fall off the bus.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn lose(&self, board: usize) -> Result<()> {
        self.inject(board, Fault::Lost)
    }

    /// Brings a lost board back.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn give_back(&self, board: usize) -> Result<()> {
        self.heal(board, Fault::Lost)
    }

    /// Adds uncorrectable memory errors to a board.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn ecc(&self, board: usize, uncorrected: u64) -> Result<()> {
        self.board(board, |board| board.ecc[1] += uncorrected)
    }

    /// Adds memory errors that ECC corrected to a board.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn ecc_corrected(&self, board: usize, corrected: u64) -> Result<()> {
        self.board(board, |board| board.ecc[0] += corrected)
    }

    /// Lets every call on a device hang, or lets hung calls return. Events are told all the same.
    ///
    /// # Errors
    /// None at present.
    pub fn hang(&self, hang: bool) -> Result<()> {
        [Group::Start, Group::Read, Group::Write]
            .into_iter()
            .try_for_each(|group| self.hang_group(group, hang))
    }

    /// Lets the calls of one group hang, or lets them return.
    ///
    /// # Errors
    /// None at present.
    pub fn hang_group(&self, group: Group, hang: bool) -> Result<()> {
        let mut shared = self.world.enter();
        if hang {
            shared.hang |= group.bit();
        } else {
            shared.hang &= !group.bit();
        }
        Ok(())
    }

    /// Lets every call on a device take this much longer.
    ///
    /// # Errors
    /// When it is more than an hour.
    pub fn slow(&self, by: Duration) -> Result<()> {
        if by > Duration::from_secs(3600) {
            return Err(wrong(format!("{by:?} is no slow call but a hung one")));
        }
        self.world.enter().slow_ns = nanoseconds(by);
        Ok(())
    }

    /// Lets simulated time stand still; it then moves by [`Control::advance`] only, the same in every run.
    pub fn freeze(&self) {
        self.world.enter().time.set_pace(real_ns(), 0);
    }

    /// Lets simulated time run this many times as fast as the machine's; 1 is the beginning's, 0 stands still.
    ///
    /// # Errors
    /// When it is not from 0 to 1000.
    pub fn pace(&self, times: f64) -> Result<()> {
        if !(0.0..=1000.0).contains(&times) {
            return Err(wrong(format!("{times} is not from 0 to 1000")));
        }
        // In range, so the cast is exact to a thousandth.
        self.world.enter().time.set_pace(real_ns(), (times * AS_REAL as f64).round() as u64);
        Ok(())
    }

    /// Moves simulated time forward at once.
    pub fn advance(&self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(STRIDE);
            self.world.enter().time.advance(nanoseconds(step));
            drop(self.world.enter());
            left -= step;
        }
    }

    /// A copy of the node's whole state at this moment: true power, energy, clocks and temperatures of every board.
    pub fn node(&self) -> Node {
        self.world.enter().node
    }

    /// Refuses setters, or allows them.
    ///
    /// # Errors
    /// None at present.
    pub fn read_only(&self, read_only: bool) -> Result<()> {
        self.world.enter().read_only = u64::from(read_only);
        Ok(())
    }

    /// Makes a function return a code; 0 lets it work again.
    ///
    /// # Errors
    /// When too many functions fail already.
    pub fn fail(&self, function: &str, code: u32) -> Result<()> {
        let (mut shared, hash) = (self.world.enter(), hash(function));
        let known = shared.failures.iter().position(|[known, _]| *known == hash);
        let place = known.or_else(|| shared.failures.iter().position(|[known, _]| *known == 0));
        let place = place.ok_or_else(|| wrong("too many functions fail already".into()))?;
        shared.failures[place] = if code == 0 { [0, 0] } else { [hash, u64::from(code)] };
        Ok(())
    }

    /// True power of a board, in watts: what no sensor shows.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn true_power(&self, board: usize) -> Result<f64> {
        self.board(board, |board| board.power_w)
    }

    /// The requested power limit of a board, in watts.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn power_limit(&self, board: usize) -> Result<f64> {
        self.board(board, |board| board.requested_w)
    }

    /// Sets the power limit of a board as another program would, in watts.
    ///
    /// # Errors
    /// When there is no such board or the limit is out of range.
    pub fn set_power_limit(&self, board: usize, watts: f64) -> Result<()> {
        let set = self.board(board, |board| board.set_power_limit(model::Watts(watts)))?;
        if set { Ok(()) } else { Err(wrong(format!("{watts} W is out of range"))) }
    }

    /// Sets the out-of-band limit of a board, in watts.
    ///
    /// # Errors
    /// When there is no such board.
    pub fn out_of_band(&self, board: usize, watts: f64) -> Result<()> {
        self.board(board, |board| board.out_of_band_w = watts)
    }

    /// The node as JSON, for people.
    pub fn status(&self) -> serde_json::Value {
        let shared = self.world.enter();
        let board = |(index, board): (usize, &Board)| {
            let faults: Vec<_> =
                Fault::ALL.into_iter().filter(|fault| board.has(*fault)).map(Fault::as_str).collect();
            serde_json::json!({
                "index": index, "model": board.profile().model, "uuid": shared.node.uuid(index), "workload": board.workload().as_str(), "faults": faults,
                "power_w": board.power_w, "limit_w": board.requested_w, "enforced_w": board.enforced().0,
                "clock_hz": board.clock_hz, "temperature_c": board.temperature_c, "energy_j": board.energy_j,
                "ecc_corrected": board.ecc[0], "ecc_uncorrected": board.ecc[1], "xids": board.xids,
            })
        };
        let boards: Vec<_> = shared.node.boards().iter().enumerate().map(board).collect();
        let hung = Group::ALL.into_iter().filter(|group| shared.hang & group.bit() != 0);
        let hung: Vec<_> = hung.map(Group::as_str).collect();
        serde_json::json!({ "simulated": true, "hang": !hung.is_empty(), "hung": hung, "boards": boards })
    }
}
