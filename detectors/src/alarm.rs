//! From a score to an alarm: did something just change, and by more than happens so often by itself?
//!
//! The jump of the score's root over its own slow mean is what alarms: a score that is high for long has jumped once. How high a jump
//! must be follows from the operator's budget of episodes by extreme values (`extreme`): peaks over a threshold, one a cluster, of the
//! last days, without those that alarmed, unless there were so many alarms that what is unusual has become the rule.
use crate::bytes::Reader;
use crate::extreme::{GAP, at_rank};
use std::collections::VecDeque;

/// The weight of the newest score in the slow mean. 0.02, 0.05 and 0.1 were tried on SMD and ASD.
const SLOW: f32 = 0.05;
/// Only jumps above this running quantile begin a cluster.
const TAIL: f32 = 0.98;
/// Its step, in units of the mean size of a jump.
const TAIL_STEP: f32 = 0.05;
/// Days that the threshold looks back. 5, 10 and 20 were tried.
const DAYS: f64 = 5.0;
/// Two alarms within so many days are more than the budget meant: everything counts again.
const CROWDED_DAYS: f64 = 3.0;
/// Peaks within so many seconds are taken for one: what repeats in one job, such as its checkpoints, tells no more of how high the next
/// job's may be than once. Ours: what recurs on a machine does so within an hour.
const APART_S: f64 = 3600.0;
/// While less than so many times that is known, the time that is known is cut into so many parts instead.
const PARTS_MIN: f64 = 8.0;
/// Clusters that are kept at most; the smallest go first, for the threshold is among the largest.
const CLUSTERS_MAX: usize = 128;
/// Days from one threshold to the next, and less while little is known: a tenth of what is.
const RENEW_DAYS: f64 = 0.25;
const RENEW_SHARE: f64 = 0.1;
/// Seconds from one threshold to the next at least.
const RENEW_MIN_S: f64 = 60.0;
/// Clusters before there is a threshold.
const CLUSTERS_MIN: usize = 4;
/// An alarm holds while the root of the score is above where it jumped from by this share of the threshold.
const HOLD: f32 = 0.5;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// The past counts every unusual episode, the budget only false ones, so a threshold may be passed more often than the budget says: this is
/// the share of the budget's episodes among all. Chosen on the 18 machines of SMD and ASD, with their labels, such that the false
/// episodes come out at the budget (0.16 and 0.17 a day at 0.2).
const FALSE_SHARE: f64 = 0.5;

/// One cluster of jumps.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cluster {
    at_s: f64,
    /// Its largest jump.
    peak: f32,
    /// Its largest jump that did not alarm.
    quiet: f32,
    alarmed: bool,
}

impl Cluster {
    /// Which part of the time it is in, with parts so long.
    fn part(&self, part_s: f64) -> u64 {
        // Seconds of an agent's life.
        (self.at_s / part_s) as u64
    }
}

/// What a score came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// How far the root of the score is above its slow mean.
    pub jump: f32,
    /// What a jump must pass; `None` while too little is known.
    pub threshold: Option<f32>,
    /// Whether the jump is as high as the highest of three hours in four: nothing by itself, and something when others do so too.
    pub stirs: bool,
    /// Whether the score alarms now, or has stayed up since it did.
    pub held: bool,
}

impl Verdict {
    /// Whether it alarms.
    pub fn alarms(&self) -> bool {
        self.threshold.is_some_and(|threshold| self.jump > threshold)
    }
}

/// The alarm of one score.
#[derive(Debug, Clone)]
pub struct Alarm {
    budget_per_day: f64,
    slow: Option<f32>,
    size: f32,
    tail: f32,
    clusters: VecDeque<Cluster>,
    /// Scores since the last one above the tail.
    quiet: usize,
    /// Seconds of scores that are known.
    known_s: f64,
    last_s: Option<f64>,
    renew_s: f64,
    threshold: Option<f32>,
    /// How high the highest jump of three hours in four is.
    usual: f32,
    /// What the root of the score must stay above for the alarm to hold, while it does.
    base: Option<f32>,
    room: Vec<f32>,
}

impl Alarm {
    /// An alarm that knows nothing. `budget_per_day`: false episodes a day that are put up with.
    pub fn new(budget_per_day: f64) -> Self {
        Self {
            budget_per_day,
            slow: None,
            size: 0.0,
            tail: 0.0,
            clusters: VecDeque::with_capacity(CLUSTERS_MAX + 1),
            quiet: usize::MAX,
            known_s: 0.0,
            last_s: None,
            renew_s: 0.0,
            threshold: None,
            usual: f32::INFINITY,
            base: None,
            room: Vec::with_capacity(CLUSTERS_MAX + 1),
        }
    }

    /// The share of what is needed for a threshold, 0 to 1.
    pub fn progress(&self) -> f64 {
        if self.threshold.is_some() { 1.0 } else { self.clusters.len() as f64 / CLUSTERS_MIN as f64 }.min(1.0)
    }

    /// Seconds of scores that it has seen.
    pub fn known_s(&self) -> f64 {
        self.known_s
    }

    /// Sets the budget anew, as when the number of models changes.
    pub fn set_budget(&mut self, budget_per_day: f64) {
        self.budget_per_day = budget_per_day;
    }

    /// Takes a score at a time in seconds; steps back or over gaps of the time count for nothing. Allocates nothing.
    pub fn push(&mut self, at_s: f64, score: f32) -> Verdict {
        let root = score.max(0.0).sqrt();
        let before = self.slow.unwrap_or(root);
        let slow = before + SLOW * (root - before);
        self.slow = Some(slow);
        let jump = root - slow;
        let step_s = self.last_s.map_or(0.0, |last_s| at_s - last_s);
        self.last_s = Some(at_s);
        if (0.0..=SECONDS_PER_DAY).contains(&step_s) {
            self.known_s += step_s;
        }
        let alarms = self.threshold.is_some_and(|threshold| jump > threshold);
        let begun = self.threshold.filter(|_| alarms).map(|threshold| before + HOLD * threshold);
        self.base = self.base.filter(|base| root > *base).or(begun);
        let verdict =
            Verdict { jump, threshold: self.threshold, stirs: jump >= self.usual, held: self.base.is_some() };
        self.follow(jump, alarms);
        // What has just alarmed counts at once, so that what comes again and again is soon no alarm.
        let over = self.quiet == GAP + 1 && self.clusters.back().is_some_and(|cluster| cluster.alarmed);
        self.renew_s -= if over { f64::INFINITY } else { step_s.max(0.0) };
        if self.renew_s <= 0.0 {
            self.renew_s = (RENEW_SHARE * self.known_s).clamp(RENEW_MIN_S, RENEW_DAYS * SECONDS_PER_DAY);
            self.renew();
        }
        verdict
    }

    /// Puts a jump in its cluster.
    fn follow(&mut self, jump: f32, alarmed: bool) {
        self.size += SLOW * 0.1 * (jump.abs() - self.size);
        self.tail += TAIL_STEP * self.size * if jump > self.tail { TAIL } else { TAIL - 1.0 };
        if jump <= self.tail && !alarmed {
            self.quiet = self.quiet.saturating_add(1);
            return;
        }
        let same = self.quiet <= GAP;
        self.quiet = 0;
        let quiet = if alarmed { 0.0 } else { jump };
        match self.clusters.back_mut().filter(|_| same) {
            Some(cluster) => {
                cluster.peak = cluster.peak.max(jump);
                cluster.quiet = cluster.quiet.max(quiet);
                cluster.alarmed |= alarmed;
            }
            None => self.clusters.push_back(Cluster { at_s: self.known_s, peak: jump, quiet, alarmed }),
        }
        if self.clusters.len() > CLUSTERS_MAX {
            self.clusters.remove(self.spare());
        }
    }

    /// How long a part of the time is of which the highest peak counts, in seconds.
    fn part_s(&self) -> f64 {
        (self.known_s / PARTS_MIN).clamp(1.0, APART_S)
    }

    /// The place of the cluster that tells least: the smallest of those that are not the only one of their time.
    fn spare(&self) -> usize {
        let part_s = self.part_s();
        let beside = |place: usize| self.clusters.get(place).map(|cluster| cluster.part(part_s));
        let crowded = |place: usize| {
            let own = beside(place);
            own == beside(place + 1) || place.checked_sub(1).is_some_and(|before| own == beside(before))
        };
        // The newest is still growing.
        let old =
            || self.clusters.iter().enumerate().take(CLUSTERS_MAX).filter(|(_, cluster)| !cluster.alarmed);
        let smallest = |a: &(usize, &Cluster), b: &(usize, &Cluster)| a.1.peak.total_cmp(&b.1.peak);
        let spare =
            old().filter(|(place, _)| crowded(*place)).min_by(smallest).or_else(|| old().min_by(smallest));
        spare.map_or(0, |(place, _)| place)
    }

    /// Takes the threshold anew from the last days.
    fn renew(&mut self) {
        let begin_s = self.known_s - DAYS * SECONDS_PER_DAY;
        while self.clusters.front().is_some_and(|cluster| cluster.at_s < begin_s) {
            self.clusters.pop_front();
        }
        let crowded_s = self.known_s - CROWDED_DAYS * SECONDS_PER_DAY;
        let alarms =
            self.clusters.iter().filter(|cluster| cluster.alarmed && cluster.at_s >= crowded_s).count();
        let height = |cluster: &Cluster| if alarms > 1 { cluster.peak } else { cluster.quiet };
        self.room.clear();
        let (mut part, part_s) = (None, self.part_s());
        for cluster in self.clusters.iter().filter(|cluster| height(cluster) > 0.0) {
            match self.room.last_mut().filter(|_| part == Some(cluster.part(part_s))) {
                Some(highest) => *highest = highest.max(height(cluster)),
                None => self.room.push(height(cluster)),
            }
            part = Some(cluster.part(part_s));
        }
        if self.room.len() < CLUSTERS_MIN && self.threshold.is_none() {
            return;
        }
        self.room.sort_unstable_by(|a, b| b.total_cmp(a));
        self.usual = self.room.get(self.room.len() * 3 / 4).copied().unwrap_or(f32::INFINITY);
        let days = (self.known_s / SECONDS_PER_DAY).min(DAYS);
        let rank = self.budget_per_day / FALSE_SHARE * days;
        self.threshold = at_rank(&self.room, rank).or(self.threshold);
    }

    /// Scores are missing from here on: that time counts for nothing. What is known stays, so that what began meanwhile is seen.
    pub fn pause(&mut self) {
        (self.last_s, self.base) = (None, None);
    }

    /// Appends what it knows; the budget is not part of it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut put = |value: f64| out.extend(value.to_le_bytes());
        put(f64::from(self.size));
        put(f64::from(self.tail));
        put(self.known_s);
        put(self.threshold.map_or(-1.0, f64::from));
        put(self.clusters.len() as f64);
        for cluster in &self.clusters {
            put(cluster.at_s);
            put(f64::from(cluster.peak));
            put(f64::from(cluster.quiet));
            put(f64::from(u8::from(cluster.alarmed)));
        }
    }

    /// Reads one off the front of `bytes`; `None` when they make none.
    pub fn read(bytes: &mut &[u8], budget_per_day: f64) -> Option<Self> {
        let mut reader = Reader(bytes);
        let head = reader.doubles(5)?;
        let mut alarm = Self::new(budget_per_day);
        // Written from values of seven digits.
        (alarm.size, alarm.tail, alarm.known_s) = (head[0] as f32, head[1] as f32, head[2].max(0.0));
        alarm.threshold = (head[3] >= 0.0).then_some(head[3] as f32);
        let count = head[4] as usize;
        for _ in 0..Some(count).filter(|count| *count <= CLUSTERS_MAX)? {
            let [at_s, peak, quiet, alarmed] = reader.doubles(4)?.try_into().ok()?;
            let alarmed = alarmed != 0.0;
            alarm.clusters.push_back(Cluster { at_s, peak: peak as f32, quiet: quiet as f32, alarmed });
        }
        Some(alarm)
    }

    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        self.clusters.capacity() * size_of::<Cluster>() + self.room.capacity() * size_of::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeded noise, 0 to 1.
    fn noise(state: &mut u64) -> f32 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 40) as f32 / (1_u64 << 24) as f32
    }

    /// Minutes of a score between 0.8 and 1.2, with a jump to `height` from a minute on; the minutes that alarmed.
    fn alarmed(minutes: u32, jump: Option<(u32, f32)>) -> Vec<u32> {
        let (mut alarm, mut state) = (Alarm::new(0.2), 7);
        let score = |minute: u32, state: &mut u64| match jump {
            Some((from, height)) if minute >= from => height + 0.4 * noise(state),
            _ => 0.8 + 0.4 * noise(state),
        };
        let minutes = 0..minutes;
        minutes
            .filter(|minute| alarm.push(f64::from(*minute) * 60.0, score(*minute, &mut state)).alarms())
            .collect()
    }

    #[test]
    fn a_jump_alarms_at_once_and_not_for_ever() {
        let found = alarmed(10_000, Some((9_000, 6.0)));
        let late: Vec<_> = found.iter().filter(|minute| **minute >= 9_000).collect();
        assert_eq!(late.first(), Some(&&9_000));
        assert!(late.len() < 60, "{}", late.len());
    }

    #[test]
    fn bounded_noise_alarms_no_more_than_the_budget_allows() {
        let found = alarmed(43_200, None);
        let episodes = found.windows(2).filter(|pair| pair[1] - pair[0] > GAP as u32).count()
            + usize::from(!found.is_empty());
        // 30 days at 0.4 unusual episodes a day are 12; a Poisson count passes 22 once in 300 runs.
        assert!(episodes <= 22, "{episodes} episodes");
    }

    #[test]
    fn a_clock_that_steps_back_is_no_time() {
        let mut alarm = Alarm::new(0.2);
        for n in 0..100 {
            alarm.push(f64::from(n), 1.0);
        }
        alarm.push(-3600.0, 1.0);
        alarm.push(1e12, 1.0);
        assert!((alarm.known_s - 99.0).abs() < 1e-9);
    }
}
