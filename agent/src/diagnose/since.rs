//! Looking back: `--since 2h`, what is known of that time, and how far back anything is known.
use crate::archive;
use crate::client::Incidents;
use crate::config::Config;
use dashboards::format::ago;
use model::{Incident, Snapshot, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// The longest time to look back.
const SINCE_MAX: Duration = Duration::from_secs(366 * 86_400);

/// Reads a time to look back, such as `90m`, `2h` or `1d`.
///
/// # Errors
/// When it is no such time, in words.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time to look back; write it like 45s, 90m, 2h or 1d");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: u64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let count: u64 = digits.parse().map_err(|_| wrong())?;
    let since = count.checked_mul(seconds).map(Duration::from_secs).filter(|since| *since <= SINCE_MAX);
    let since = since.ok_or_else(|| format!("{text:?} is too long ago; at most 366d"))?;
    if since.is_zero() {
        Err(format!("{text:?} is no time at all; write it like 90m or 2h"))
    } else {
        Ok(since)
    }
}

/// What is known of the time looked back over.
#[derive(Debug, Clone, PartialEq)]
pub struct LookBack {
    /// From when on was asked, in wall-clock milliseconds.
    pub asked_ms: i64,
    /// From when on incidents are known.
    pub from_ms: i64,
    /// When this run of the agent began to watch.
    pub started_ms: i64,
    /// Incidents that ended in that time, the latest first.
    pub incidents: Vec<Arc<Incident>>,
    now: Timestamp,
}

impl LookBack {
    /// What an agent knows.
    pub(super) fn of(since: Duration, now: Timestamp, known: Incidents) -> Self {
        let asked_ms = now.wall_ms.saturating_sub(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        let ended = |incident: &Arc<Incident>| incident.cleared.is_some_and(|at| at.wall_ms >= asked_ms);
        let mut incidents: Vec<_> = known.incidents.into_iter().filter(ended).collect();
        incidents
            .sort_by_key(|incident| std::cmp::Reverse((incident.cleared.map(|at| at.wall_ms), incident.id)));
        Self { asked_ms, from_ms: known.from_ms, started_ms: known.started_ms, incidents, now }
    }

    /// What is on disk and in a short look of our own, where no agent was asked.
    pub(super) fn without_agent(since: Duration, snapshot: &Snapshot, config: &Config) -> Self {
        let started_ms = snapshot.lookback.started_ms;
        let mut known = Incidents {
            started_ms,
            from_ms: snapshot.lookback.from_ms,
            incidents: snapshot.incidents.clone(),
        };
        let real = snapshot.node.rig == model::snapshot::Rig::Hardware;
        match archive::read(&config.state_directory) {
            Ok(Some(past)) if real => {
                known.from_ms = known.from_ms.min(past.from_ms);
                let ended = past.incidents.into_iter().map(|mut incident| {
                    if incident.active() {
                        incident.cleared = Some(incident.last);
                        incident.end = Some(model::incident::End::Unwatched);
                    }
                    Arc::new(incident)
                });
                known.incidents.extend(ended);
            }
            Ok(_) => {}
            Err(error) => tracing::error!("what earlier runs found is not known: {error}"),
        }
        Self::of(since, snapshot.frame.at, known)
    }

    /// How far back it looks, and what that leaves out.
    pub fn told(&self) -> String {
        let before = |ms: i64| ago((self.now.wall_ms - ms).max(0) as f64 / 1e3);
        let mut text = format!("looks back {}", before(self.asked_ms));
        if self.from_ms > self.asked_ms {
            text = format!("looks back {} only: nothing is known of the time before", before(self.from_ms));
        }
        if self.from_ms < self.started_ms && self.asked_ms < self.started_ms {
            let started = before(self.started_ms);
            text.push_str(&format!(
                "; watched without a break for {started}, before that only while an agent ran"
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_look_back_are_a_number_and_a_unit() {
        let second = Duration::from_secs;
        for (text, seconds) in
            [("45s", 45), ("90m", 5400), ("2h", 7200), ("1d", 86_400), ("366d", 31_622_400)]
        {
            assert_eq!(parse(text), Ok(second(seconds)), "{text}");
        }
        for text in ["", "2", "h", "2 h", "-2h", "+2h", "2.5h", "2w", "twoh", "2h30m", "９h", "2ü"] {
            assert!(parse(text).unwrap_err().contains("90m"), "{text}");
        }
        assert!(parse("0h").unwrap_err().contains("no time at all"));
        for text in ["367d", "99999999999999999999d", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_known_of_the_time_asked_for_is_said() {
        let now = Timestamp { mono_ns: 0, wall_ms: 10_000_000 };
        let told = |from_ms, started_ms| {
            let known = Incidents { started_ms, from_ms, incidents: Vec::new() };
            LookBack::of(Duration::from_secs(7200), now, known).told()
        };
        assert_eq!(
            told(10_000_000 - 720_000, 10_000_000 - 720_000),
            "looks back 12 min only: nothing is known of the time before"
        );
        assert_eq!(told(0, 0), "looks back 2 h");
        assert!(
            told(0, 9_000_000)
                .ends_with("watched without a break for 17 min, before that only while an agent ran")
        );
    }
}
