//! Rules that need no statistics: each says what it sees on every beat on which it sees it.
pub mod ecc;
pub mod hung;
pub mod lost;
pub mod notice;
pub mod pcie;
pub mod throttle;
pub mod xid;

use model::{DeviceId, Evidence, FaultKind, Finding, Metric, Severity};

/// A finding of a rule with one piece of evidence; the score is what was observed over what the rule allows.
fn finding(
    detector: &'static str,
    device: DeviceId,
    fault: FaultKind,
    severity: Severity,
    evidence: Evidence,
) -> Finding {
    let score = if evidence.expected > 0.0 { evidence.observed / evidence.expected } else { 1.0 };
    Finding {
        detector,
        device,
        fault,
        code: 0,
        detail: "",
        severity,
        remedy: fault.remedy(),
        score,
        evidence: Finding::evidence(&[evidence]),
    }
}

fn evidence(metric: Metric, observed: f64, expected: f64) -> Evidence {
    Evidence { metric, observed, expected }
}

#[cfg(test)]
mod tests;
