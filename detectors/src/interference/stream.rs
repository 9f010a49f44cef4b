//! The stream of truths of one workload: what its application's pages say of the windows between them.
use super::frozen::Told;
use super::pace::{Lap, Quiet};
use super::truth::{Point, Truths};
use model::DeviceInfo;
use std::sync::Arc;

/// The windows since the last page.
#[derive(Debug, Clone, Copy)]
struct Open {
    windows: u32,
    judged: u32,
    /// Whether nobody was in the way in any of them.
    quiet: bool,
    points: Point,
    told: Told,
}

impl Default for Open {
    fn default() -> Self {
        Self { windows: 0, judged: 0, quiet: true, points: Point::default(), told: Told::default() }
    }
}

/// What is known of one workload by its own metric: about 3 KiB.
#[derive(Debug, Clone, Default)]
pub(super) struct Stream {
    of: Option<Arc<DeviceInfo>>,
    quiet: Quiet,
    truths: Truths,
    open: Open,
}

impl Stream {
    /// Bytes that one takes at most.
    #[cfg(test)]
    pub(super) const MOST: usize = size_of::<Self>() + Truths::MOST;

    /// What is told of a window, after all that was heard.
    pub(super) fn correct(&self, point: &Point, told: Told) -> Told {
        self.truths.correct(point, told)
    }

    /// Takes a window: whether nobody was in the way, and what the frozen model told of it, if anything.
    pub(super) fn add(&mut self, quiet: bool, judged: Option<(Point, Told)>) {
        let open = &mut self.open;
        open.windows += 1;
        open.quiet &= quiet;
        if let Some((point, told)) = judged {
            open.judged += 1;
            open.points.add(&point);
            let sum = &mut open.told;
            *sum = Told { y: sum.y + told.y, low: sum.low + told.low, high: sum.high + told.high };
        }
    }

    /// Hears what the application did in the windows since its last page.
    pub(super) fn hear(&mut self, lap: &Lap) {
        let open = std::mem::take(&mut self.open);
        let same = self.of.as_ref().is_some_and(|of| of.key == lap.of.key && of.model == lap.of.model);
        if !same {
            // The first page, whose windows were not all seen, or another application, of which what was learnt says nothing.
            *self = Self { of: Some(Arc::clone(&lap.of)), ..Self::default() };
            return;
        }
        // A lap most of whose windows were not judged is no truth of what was told.
        if let Some(truth) = self.quiet.compare(lap).filter(|_| 2 * open.judged > open.windows) {
            let count = f64::from(open.judged);
            let Told { y, low, high } = open.told;
            let told = Told { y: y / count, low: low / count, high: high / count };
            self.truths.hear(&open.points.over(count), told, truth);
        }
        if open.quiet && open.windows > 0 {
            self.quiet.learn(lap);
        }
    }

    /// Whether estimates rest on it.
    pub(super) fn stands(&self) -> bool {
        self.truths.stands()
    }

    /// Bytes of memory behind it.
    pub(super) fn bytes(&self) -> usize {
        self.truths.bytes()
    }
}
