//! The product's own statistics, as they run on a node: level model, jump, threshold by extreme values.
//!
//! Level and alarm are the detector's own; their use is that of the data: a first fit after four days, then one a day, each row judged by
//! the fit before it and learnt from. What the detector adds on a node is not in the figures: masks, warm-up, three of five beats, one
//! beat in four learnt and none while it alarms, the budget shared by models, siblings. Its alarms are the deployable ones, with thresholds from the past alone.
use super::machine::Machine;
use super::scorer::{BUDGETS_PER_DAY, Run, Scorer, Unable};
use detectors::alarm::Alarm;
use detectors::level::{Level, Scratch};
use ndarray::{Array2, ArrayView1, s};

/// Days that are learnt from before anything is judged.
const FIRST_DAYS: f64 = 4.0;
/// Days from one fit to the next.
const REFIT_DAYS: f64 = 1.0;
/// The weight of the newest score in what ranks: long anomalies count, single rows less.
const RANKING_WEIGHT: f32 = 0.6;
const CHANNELS_MIN: usize = 2;

/// The product.
pub(super) struct Product;

impl Scorer for Product {
    fn name(&self) -> &'static str {
        "wattkeeper"
    }

    fn run(&self, machine: &Machine) -> Result<Run, Unable> {
        if machine.channels() < CHANNELS_MIN {
            return Err(Unable::FewChannels { least: CHANNELS_MIN });
        }
        let rows_a_day = 86_400.0 / machine.step_s;
        let first = (FIRST_DAYS * rows_a_day) as usize;
        let refit = (REFIT_DAYS * rows_a_day) as usize;
        let learnt = machine.train.nrows();
        if learnt < first {
            return Err(Unable::FewRows { least: first });
        }
        let mut level = Level::begin(machine.train.slice(s![..first, ..])).ok_or(Unable::Unfit)?;
        let mut judge = Judge::new(machine);
        let all = machine.train.rows().into_iter().skip(first).chain(machine.test.rows());
        for (n, row) in all.enumerate() {
            if n > 0 && n % refit == 0 {
                level.refit().fit().into_iter().for_each(|basis| level.refitted(basis));
            }
            judge.take(&mut level, first + n, row);
        }
        let bytes = level.bytes() + judge.alarms.iter().map(Alarm::bytes).sum::<usize>();
        Ok(Run { bytes, ..judge.run })
    }
}

/// What is made of each row.
struct Judge {
    alarms: [Alarm; BUDGETS_PER_DAY.len()],
    scratch: Scratch,
    learnt: usize,
    step_s: f64,
    ranking: f32,
    run: Run,
}

impl Judge {
    fn new(machine: &Machine) -> Self {
        let run = Run {
            blame: Some(Array2::zeros(machine.test.dim())),
            flags: Some(std::array::from_fn(|_| Vec::with_capacity(machine.test.nrows()))),
            ranking: Some(Vec::with_capacity(machine.test.nrows())),
            ..Run::default()
        };
        Self {
            alarms: BUDGETS_PER_DAY.map(Alarm::new),
            scratch: Scratch::default(),
            learnt: machine.train.nrows(),
            step_s: machine.step_s,
            ranking: 1.0,
            run,
        }
    }

    fn take(&mut self, level: &mut Level, n: usize, row: ArrayView1<'_, f32>) {
        let score = level.push(row.iter().copied(), true, &mut self.scratch);
        let score = score.map_or(1.0, |score| score.level);
        self.ranking += RANKING_WEIGHT * (score - self.ranking);
        let at_s = n as f64 * self.step_s;
        let verdicts = self.alarms.each_mut().map(|alarm| alarm.push(at_s, score));
        let Some(tested) = n.checked_sub(self.learnt) else {
            self.run.past.push(verdicts[0].jump);
            return;
        };
        self.run.score.push(verdicts[0].jump);
        self.run.ranking.iter_mut().for_each(|ranking| ranking.push(self.ranking));
        for (flags, verdict) in self.run.flags.iter_mut().flatten().zip(verdicts) {
            flags.push(verdict.alarms());
        }
        if let Some(blame) = &mut self.run.blame {
            blame.row_mut(tested).iter_mut().zip(&self.scratch.blame).for_each(|(to, from)| *to = *from);
        }
    }
}
