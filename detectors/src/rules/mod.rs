//! Rules that need no statistics: each says what it sees on every beat on which it sees it.
pub mod clock;
pub mod ecc;
pub mod fabric;
pub mod fans;
pub mod health;
pub mod hung;
pub mod kernel;
pub mod links;
pub mod lost;
pub mod notice;
pub mod pcie;
pub mod ports;
pub mod repeats;
pub mod spares;
pub mod stuck;
pub mod supply;
pub mod throttle;
mod watch;
pub mod xid;

use crate::catalogue::{Catalogue, Row};
use model::{Device, DeviceId, Evidence, FaultKind, Finding, Metric, Severity};

/// A finding of a rule with one piece of evidence, as bad as the fault's row says; the score is what was observed over what
/// the rule allows.
fn finding(detector: &'static str, device: DeviceId, row: &Row, evidence: Evidence) -> Finding {
    let score = if evidence.expected > 0.0 { evidence.observed / evidence.expected } else { 1.0 };
    Finding {
        detector,
        device,
        fault: row.fault,
        code: 0,
        detail: "",
        severity: row.severity,
        remedy: row.remedy,
        score,
        evidence: Finding::evidence(&[evidence]),
    }
}

fn evidence(metric: Metric, observed: f64, expected: f64) -> Evidence {
    Evidence { metric, observed, expected }
}

/// A rule of a detector at hand: the catalogue, and under which name it speaks.
#[derive(Debug, Clone, Copy)]
struct Voice {
    name: &'static str,
    catalogue: &'static Catalogue,
}

impl Voice {
    /// The finding of a fault as its row has it.
    fn says(self, fault: FaultKind, device: &Device, evidence: Evidence) -> Finding {
        finding(self.name, device.id, self.catalogue.row(fault), evidence)
    }

    /// The same in the worse case of its row.
    fn warns(self, fault: FaultKind, device: &Device, evidence: Evidence) -> Finding {
        Finding { severity: self.catalogue.row(fault).worst, ..self.says(fault, device, evidence) }
    }

    /// The finding, in the worse case or not.
    fn tells(self, fault: FaultKind, device: &Device, evidence: Evidence, worst: bool) -> Finding {
        if worst { self.warns(fault, device, evidence) } else { self.says(fault, device, evidence) }
    }

    fn row(self, fault: FaultKind) -> &'static Row {
        self.catalogue.row(fault)
    }

    fn worst(self, fault: FaultKind) -> Severity {
        self.row(fault).worst
    }
}

#[cfg(test)]
mod tests;
