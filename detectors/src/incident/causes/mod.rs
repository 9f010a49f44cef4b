//! The ranking of causes as data: what each fault explains, how far and for how long, and what would confirm it.
//!
//! A cause stands above what it explains (a test checks that), so a story's cause can only move up. Where a row names no
//! source its place and windows are ours.
mod board;
mod host;
mod xid;

use model::FaultKind;

/// A fault, or some codes of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// The fault.
    pub fault: FaultKind,
    /// Its codes; empty for any.
    pub codes: &'static [u32],
}

impl Sign {
    /// Any code of a fault.
    const fn any(fault: FaultKind) -> Self {
        Self { fault, codes: &[] }
    }

    /// Some XID errors.
    const fn xid(codes: &'static [u32]) -> Self {
        Self { fault: FaultKind::Xid, codes }
    }

    /// Whether an event with this fault and code is meant.
    pub fn matches(&self, fault: FaultKind, code: u32) -> bool {
        self.fault == fault && (self.codes.is_empty() || self.codes.contains(&code))
    }
}

/// How far from its own device a cause explains things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Its own device, with what is a part of that one.
    Own,
    /// Its own device, and those at the other end of its links.
    Peers,
    /// The whole node, where it is not about one accelerator.
    Node,
    /// The whole node, whatever it is about.
    Everything,
}

/// One cause.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which events it is about.
    pub sign: Sign,
    /// How near to the root: the higher stands first. Ours.
    pub rank: u8,
    /// Whether the device, its driver or the kernel says so itself.
    pub stated: bool,
    /// Whether it is a statistic, which alone explains nothing.
    pub statistic: bool,
    /// What follows from it.
    pub explains: &'static [Sign],
    /// How far.
    pub reach: Reach,
    /// How long before it a symptom may have begun, in seconds.
    pub lead_s: f64,
    /// How long after it was last seen a symptom may begin, in seconds.
    pub window_s: f64,
    /// Within this many seconds the same fault on another device is the same incident; 0 for never.
    pub together_s: f64,
    /// What has probably happened, in a sentence.
    pub sentence: &'static str,
    /// What would confirm it, in a sentence.
    pub confirm: &'static str,
}

/// A row's usual values. A minute of lead: the rule for slowdowns looks back that far, and detectors with delays of their
/// own come late. Five minutes of window: the longest that a job takes to run into what it was left with. Both ours.
const USUAL: Row = Row {
    sign: Sign::any(FaultKind::Residual),
    rank: 0,
    stated: false,
    statistic: false,
    explains: &[],
    reach: Reach::Own,
    lead_s: 60.0,
    window_s: 300.0,
    together_s: 0.0,
    sentence: "",
    confirm: "",
};

/// How long before what is beyond repair the slow signs of it may have begun: an hour. Ours.
const SLOW_LEAD_S: f64 = 3600.0;

/// Every cause, in groups; within the XID errors the first row that matches counts.
pub const CAUSES: [&[Row]; 3] = [xid::ROWS, board::ROWS, host::ROWS];

/// The row of an event.
pub fn row(fault: FaultKind, code: u32) -> &'static Row {
    let rows = || CAUSES.into_iter().flatten();
    // A test checks that every fault has a row.
    rows().find(|row| row.sign.matches(fault, code)).unwrap_or(&USUAL)
}

impl Row {
    /// Whether an event with this fault and code may follow from this cause.
    pub fn explains(&self, fault: FaultKind, code: u32) -> bool {
        self.explains.iter().any(|sign| sign.matches(fault, code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> impl Iterator<Item = &'static Row> {
        CAUSES.into_iter().flatten()
    }

    #[test]
    fn every_fault_has_a_row_that_says_what_happened_and_what_would_confirm_it() {
        for fault in FaultKind::ALL {
            let row = rows().find(|row| row.sign.matches(*fault, 0));
            assert!(row.is_some(), "{} has no row", fault.as_str());
        }
        for row in rows() {
            let name = row.sign.fault.as_str();
            assert!(row.sentence.ends_with('.') && row.confirm.ends_with('.'), "{name}");
            assert!(row.rank > 0 && row.lead_s >= 0.0 && row.window_s > 0.0, "{name}");
        }
    }

    #[test]
    fn a_cause_stands_above_everything_that_it_explains() {
        for cause in rows() {
            for sign in cause.explains {
                let code = sign.codes.first().copied().unwrap_or(0);
                let symptom = row(sign.fault, code);
                let names = (cause.sign.fault.as_str(), cause.sign.codes, sign.fault.as_str(), code);
                assert!(cause.rank > symptom.rank, "{names:?}: {} over {}", cause.rank, symptom.rank);
            }
        }
    }

    #[test]
    fn the_codes_of_one_sign_belong_to_one_row() {
        for sign in rows().flat_map(|row| row.explains) {
            let of = |code: &u32| row(sign.fault, *code).rank;
            assert!(sign.codes.windows(2).all(|pair| of(&pair[0]) == of(&pair[1])), "{:?}", sign.codes);
        }
    }

    #[test]
    fn an_error_that_ends_the_device_is_told_from_one_of_an_application() {
        let off_the_bus = row(FaultKind::Xid, 79);
        assert!(off_the_bus.explains(FaultKind::DeviceLost, 0) && off_the_bus.explains(FaultKind::Xid, 45));
        let application = row(FaultKind::Xid, 13);
        assert!(!application.explains(FaultKind::DeviceLost, 0));
        assert!(application.rank < row(FaultKind::ThermalSlowdown, 0).rank);
    }
}
