//! An incident as text for a person: what, since when, why, what speaks for it, what to do, what would confirm it.
use super::page;
use dashboards::format::{ago, clock, evidence, moment};
use model::incident::{Confidence, End};
use model::{Incident, Timestamp};

/// The story of one incident.
pub(super) fn text(incident: &Incident, now: Timestamp) -> String {
    let mut text = String::new();
    let times = match incident.returns {
        0 => String::new(),
        1 => ", came back once".to_owned(),
        count => format!(", came back {count} times"),
    };
    let head = format!("incident {}: {}: ", incident.id.0, incident.severity.as_str());
    page::put(&mut text, &head, &format!("{}{times}", incident.title()));
    let since = moment(incident.since.wall_ms, now.wall_ms);
    let lasted = |end: Timestamp| ago((end.wall_ms - incident.since.wall_ms).max(0) as f64 / 1e3);
    let end = match (incident.cleared, incident.end) {
        (Some(at), Some(End::Joined(other))) => {
            format!("told on as incident {} since {}", other.0, moment(at.wall_ms, now.wall_ms))
        }
        (Some(at), Some(End::Unwatched)) => {
            format!("last seen {}, when the agent ended", moment(at.wall_ms, now.wall_ms))
        }
        (Some(at), _) => format!("over {}, lasted {}", moment(at.wall_ms, now.wall_ms), lasted(at)),
        (None, _) => {
            format!("still there after {}, last seen {}", lasted(now), clock(incident.last.wall_ms))
        }
    };
    line(&mut text, "first sign", &format!("{since} UTC; {end}"));
    let sure = incident.confidence;
    let cause = match sure {
        Confidence::Unexplained => incident.cause.sentence.to_string(),
        _ => format!("{} ({}: {})", incident.cause.sentence, sure.as_str(), sure.why()),
    };
    line(&mut text, "cause", &cause);
    for (number, told) in incident.timeline.iter().enumerate() {
        let head = if number == 0 { "timeline" } else { "" };
        let (at, turn) = (moment(told.at.wall_ms, now.wall_ms), told.turn.as_str());
        let body = format!("{} on {} ({})", told.what, incident.name(told.device), told.severity.as_str());
        page::put(&mut text, &format!("  {head:<11} {at}  {turn:<9} "), &body);
    }
    if incident.untold > 0 {
        line(&mut text, "", &format!("and {} more moments that found no place", incident.untold));
    }
    for (number, proof) in incident.evidence.iter().enumerate() {
        let (metric, head) = (proof.evidence.metric, if number == 0 { "evidence" } else { "" });
        let [seen, expected] =
            [proof.evidence.observed, proof.evidence.expected].map(|number| evidence(metric, number));
        let body = format!("{} {metric}: {seen}, expected {expected}", incident.name(proof.device));
        line(&mut text, head, &body);
    }
    let asks = if incident.driver_asks { "The driver asks for it. " } else { "" };
    line(&mut text, "do", &format!("{asks}{}", incident.advice));
    let remedy = incident.remedy;
    let words =
        format!("remedy {}, NVSentinel {}, gpud {}", remedy.as_str(), remedy.nvsentinel(), remedy.gpud());
    line(&mut text, "", &words);
    line(&mut text, "confirm", &incident.cause.confirm);
    text
}

/// A heading and its text, wrapped beside it.
fn line(text: &mut String, head: &str, body: &str) {
    page::put(text, &format!("  {head:<11} "), body);
}
