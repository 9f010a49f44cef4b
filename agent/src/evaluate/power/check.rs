//! Checks: the invariants of power, looked at in every step. A breach is kept with its moment.
use super::site::{SITES, Site};
use model::{DeviceId, Order, Timestamp, Watts, Why};
use policy::Settings;
use sim::plant::board::Board;
use sim::plant::host::{PACKAGE_RANGE_W, PACKAGES};
use sim::plant::mishap::Mishap;
use sim::plant::{BOARDS, Plant};

/// Breaches of one day that are kept one by one; all are counted.
const KEPT_MAX: usize = 8;
/// The least time between two loosenings: the shortest hold, a fifth of 5 s (Thunderbolt, OSDI'20: 1 to 10 s).
const HOLD_S: f64 = 1.0;
/// Time in which a new range must have been seen, in seconds: two beats.
const SEEN_S: f64 = 2.0;

/// An invariant that did not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Limits in force and the reserve add up to more than the budget after all work was trimmed.
    Sum,
    /// Something was loosened while something that had been read could not be read.
    Blind,
    /// A limit was raised for another reason than headroom.
    Raised,
    /// A limit outside the range was ordered, long after the range could be seen.
    Range,
    /// Two loosenings within the shortest hold, or of two classes at once.
    Hold,
    /// An original is not in the journal, or what was given back is not what the journal held.
    Original,
    /// What was journalled as an original was the limit in force, and not what had been asked for: a tighter one hid it.
    Hidden,
    /// A brake left out a board that would have obeyed.
    Standstill,
    /// A tighter quota of somebody else was raised, or a position that somebody raised was set back too often.
    Fought,
}

impl Breach {
    /// Every breach.
    pub const ALL: [Self; 9] = [
        Self::Sum,
        Self::Blind,
        Self::Raised,
        Self::Range,
        Self::Hold,
        Self::Original,
        Self::Hidden,
        Self::Standstill,
        Self::Fought,
    ];

    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum_of_caps",
            Self::Blind => "loosened_blind",
            Self::Raised => "raised_without_headroom",
            Self::Range => "outside_range",
            Self::Hold => "two_loosenings_a_hold",
            Self::Original => "original_lost",
            Self::Hidden => "original_hidden",
            Self::Standstill => "board_left_out",
            Self::Fought => "fought_another_writer",
        }
    }
}

/// One breach.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    /// What.
    pub breach: Breach,
    /// Seconds into the day.
    pub at_s: f64,
    /// Which board, where it is about one; behind the boards come packages and groups.
    pub board: usize,
    /// What was going wrong then.
    pub under_way: Vec<Mishap>,
}

/// The breaches of a day, and what must be remembered to see them.
#[derive(Debug, Default)]
pub(super) struct Breaches {
    pub(super) counts: [u64; Breach::ALL.len()],
    pub(super) kept: Vec<Broken>,
    /// What was asked of a site before our first write, and what was journalled.
    originals: [Option<(f64, f64)>; SITES],
    /// How often a site of the host was set back in a row, and when last.
    set_back: [(u32, f64); SITES],
    /// Since when each board has its range.
    ranges: [((f64, f64), f64); BOARDS],
    /// The reserve since all work was trimmed and nothing was loosened.
    trimmed: Option<Watts>,
    loosened_s: Option<f64>,
    /// Originals that were not what came back.
    pub(super) lost: u64,
    /// What is going wrong.
    pub(super) under_way: Vec<Mishap>,
}

fn seconds(now: Timestamp) -> f64 {
    now.seconds_since(Timestamp::default())
}

impl Breaches {
    /// Notes a breach.
    pub(super) fn note(&mut self, breach: Breach, now: Timestamp, board: usize) {
        self.counts[breach as usize] += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Broken { breach, at_s: seconds(now), board, under_way: self.under_way.clone() });
        }
    }

    /// Remembers what was asked of a site before our first write, and what is journalled as that.
    pub(super) fn first_write(&mut self, site: usize, requested: f64, journalled: f64) {
        self.originals[site].get_or_insert((requested, journalled));
    }

    /// What stood there before is gone with the group.
    pub(super) fn vanished(&mut self, site: usize) {
        self.originals[site] = None;
    }

    /// Compares what was given back with what had been there, or with what somebody else has written since.
    pub(super) fn given_back(&mut self, device: DeviceId, plant: &Plant, now: Timestamp) {
        let Some(site) = Site::of(device) else { return };
        let Some((requested, journalled)) = self.originals[site.number()].take() else { return };
        let (is, wanted, slack) = match site {
            Site::Board(board) => (plant.boards[board].requested_w, requested, 1.0),
            Site::Package(package) => (plant.host().packages[package].limit_w, requested, 1.0),
            Site::Group(group) => {
                let group = &plant.host().groups[group];
                (group.quota, group.foreign.unwrap_or(requested), 0.001)
            }
        };
        if (is - wanted).abs() > slack {
            self.lost += 1;
            let hidden = (journalled - requested).abs() > slack;
            self.note(if hidden { Breach::Hidden } else { Breach::Original }, now, site.number());
        }
    }

    /// An order is carried out: with the position before it, and the one that we had set last.
    pub(super) fn ordered(
        &mut self,
        order: &Order,
        (before, set): (Option<f64>, Option<f64>),
        why: Why,
        now: Timestamp,
    ) {
        let Some(site) = Site::of(order.device()).filter(|site| !matches!(site, Site::Board(_))) else {
            return;
        };
        let (number, slack) = (site.number(), order.knob().slack());
        let settings = Settings::default();
        let least = match site {
            Site::Package(_) => settings.host_floor * PACKAGE_RANGE_W.1,
            _ => settings.host_cores.0,
        };
        let floor = before.map_or(least, |before| before.min(least));
        if order.value() < floor - slack {
            self.note(Breach::Range, now, number);
        }
        let tighter = before.zip(set).is_some_and(|(before, set)| before + slack < set);
        if tighter && before.is_some_and(|before| order.value() > before + slack) && why != Why::Stop {
            self.note(Breach::Fought, now, number);
        }
        if why == Why::Drift {
            let (times, last_s) = &mut self.set_back[number];
            let anew = seconds(now) - *last_s >= settings.reassert_memory.as_secs_f64();
            (*times, *last_s) = (if anew { 1 } else { *times + 1 }, seconds(now));
            if *times > settings.reassert_max {
                self.note(Breach::Fought, now, number);
            }
        }
    }

    /// A site that never came back to its original by the end of the day, though it would have obeyed.
    pub(super) fn kept_back(&mut self, plant: &Plant, now: Timestamp) {
        for site in BOARDS..SITES {
            let group = site.checked_sub(BOARDS + PACKAGES);
            let answers = group.is_none_or(|group| plant.quota(group).is_ok());
            if self.originals[site].is_some() && plant.permits() && answers {
                self.lost += 1;
                self.note(Breach::Original, now, site);
            }
        }
        for board in 0..BOARDS {
            // While it takes less than it did, its original stays in the journal.
            let takes = |(requested_w, _): &(f64, f64)| *requested_w <= plant.boards[board].range_w.1;
            let held =
                self.originals[board].as_ref().is_some_and(takes) || plant.boards[board].locked_hz > 0.0;
            if held && plant.may_write(board).is_ok() {
                self.lost += 1;
                self.note(Breach::Original, now, board);
            }
        }
    }

    /// An order outside the range of the moment.
    pub(super) fn refused(&mut self, site: usize, now: Timestamp) {
        // The ranges of the host's knobs do not change.
        let since_s = self.ranges.get(site).map_or(f64::NEG_INFINITY, |range| range.1);
        if seconds(now) > since_s + SEEN_S {
            self.note(Breach::Range, now, site);
        }
    }

    /// Nothing more is known of sums: the ground has changed.
    pub(super) fn unsettle(&mut self) {
        self.trimmed = None;
    }

    /// All work was trimmed and every order was carried out; `reserve` is what everything but the boards may draw.
    pub(super) fn trimmed(&mut self, reserve: Watts) {
        self.trimmed = Some(reserve);
    }

    /// Something was loosened: on which classes, and whether something was missing.
    pub(super) fn loosened(&mut self, now: Timestamp, classes: usize, blind: bool) {
        let at_s = seconds(now);
        // Beats are a few nanoseconds off whole seconds at most.
        if classes > 1 || self.loosened_s.is_some_and(|last_s| at_s - last_s < HOLD_S - 1e-6) {
            self.note(Breach::Hold, now, 0);
        }
        if blind {
            self.note(Breach::Blind, now, 0);
        }
        (self.loosened_s, self.trimmed) = (Some(at_s), None);
    }

    /// Looks at one step.
    pub(super) fn step(&mut self, plant: &Plant, budget: Watts, now: Timestamp) {
        for (range, board) in self.ranges.iter_mut().zip(&plant.boards) {
            if range.0 != board.range_w {
                *range = (board.range_w, seconds(now));
            }
        }
        let Some(reserve) = self.trimmed else { return };
        let there = || plant.boards.iter().filter(|board| !board.lost);
        let sum_w: f64 = there().map(Board::enforced_w).sum();
        let floors = there().all(|board| board.enforced_w() <= board.range_w.0 + 1.0);
        if sum_w + reserve.0 > budget.0 + 1.0 && !floors {
            self.note(Breach::Sum, now, 0);
            self.trimmed = None;
        }
    }
}
