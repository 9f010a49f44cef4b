//! Jobs: what the boards of one job do together, step by step.
use super::{STEP_S, STEPS_A_SECOND};
use crate::noise::{between, normal, unit, word};
use model::Priority;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Idle,
    /// Synchronous training.
    Training,
    /// Prompts alone, for another node to go on with.
    Prefill,
    /// Tokens alone, of prompts from another node.
    Decode,
    /// Prompts and tokens on the same boards.
    Serving,
}

const KINDS: [Kind; 6] =
    [Kind::Training, Kind::Serving, Kind::Decode, Kind::Serving, Kind::Training, Kind::Prefill];
/// The shortest and longest job: training, and inference, which stays for hours. In seconds; assumptions.
const TRAINING_S: (f64, f64) = (1800.0, 14_400.0);
const INFERENCE_S: (f64, f64) = (3600.0, 28_800.0);
/// The pause between jobs; one in four is long. In seconds; assumptions.
const PAUSE_S: (f64, f64) = (20.0, 300.0);
const LONG_PAUSE_S: (f64, f64) = (600.0, 3600.0);
/// How long a job loads, in seconds.
const LOAD_S: (f64, f64) = (30.0, 60.0);
/// How long an iteration takes, how often a checkpoint is written, and for how long. In seconds; assumptions.
const ITERATION_S: (f64, f64) = (1.5, 6.0);
const CHECKPOINT_EVERY_S: f64 = 600.0;
const CHECKPOINT_S: (f64, f64) = (5.0, 20.0);
/// The part of an iteration in which gradients are exchanged.
const BOUNDARY: f64 = 0.1;
/// Power at an iteration's boundary as a share of a board's largest limit: RoBERTa, GPT-NeoX and Flan-T5 (POLCA, arXiv 2308.12908).
const DIPS: [f64; 3] = [0.75, 0.50, 0.20];
/// Seconds of prompt work a token: 53 ms for 512 tokens of a 70B model on eight H100s are 0.1 ms (splitwise-sim); twice that
/// here, for models that are sized to the boards that they have.
const PROMPT_S: f64 = 0.2e-3;
/// Seconds from token to token, alone and for each further request of the batch: a line through 16.6, 22.4, 39.8 and 106 ms at 8, 64,
/// 256 and about 1024 requests of a 70B model on four H100s (ML.ENERGY).
const TOKEN_S: (f64, f64) = (0.015, 0.09e-3);
/// What a generated token counts as work, in seconds: its part of a batch of eight.
const TOKEN_WORK_S: f64 = 0.002;
/// No batch is larger: beyond it requests go elsewhere.
const BATCH_MAX: f64 = 512.0;
/// Prompts and answers, in tokens: the median, and the spread of the logarithm that the 90 % quantile makes; conversations and code
/// (Azure LLM inference traces, 2023).
const SIZES: [[(f64, f64); 2]; 2] = [[(1020.0, 0.77), (129.0, 0.93)], [(1469.0, 0.985), (13.0, 1.12)]];
/// No queue is longer, in seconds of prompt work: beyond it requests go elsewhere.
const BACKLOG_MAX_S: f64 = 20.0;

/// What a job asks of each of its boards in one step: first the heavier part, then the lighter one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Demand {
    /// The heavier part's share of the step.
    pub share: f64,
    /// Dynamic power of both parts at full clock, as shares of the board's.
    pub level: [f64; 2],
    /// How much of each part's time goes with the clock: at 1 half the clock is half the speed, at 0 it changes nothing.
    pub bound: [f64; 2],
    /// Whether there is work in each part, 0 or 1.
    pub busy: [f64; 2],
}

/// A job on neighbouring boards, or the pause between two.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    stream: u64,
    /// What it does.
    pub kind: Kind,
    /// The first of its boards.
    pub first: usize,
    /// How many it has.
    pub boards: usize,
    /// How much it matters.
    pub priority: Priority,
    /// Since which step it is what it is.
    pub since: u64,
    number: u64,
    works_from: u64,
    ends: u64,
    level: f64,
    dip: f64,
    bound: f64,
    iteration_s: f64,
    checkpoint_s: f64,
    /// Prompt work at the day's peak, as a share of the time.
    load: f64,
    sizes: usize,
    /// Progress since it began to work, in seconds at full speed.
    progress_s: f64,
    backlog_s: f64,
    batch: f64,
    /// The chance of a request in a step, and the mean answer in tokens.
    arrives: f64,
    answer: f64,
}

impl Job {
    /// A pause that ends soon, on `boards` boards from the first.
    pub fn new(seed: u64, (first, boards): (usize, usize), priority: Priority) -> Self {
        let stream = 2000 + 64 * first as u64;
        Self {
            stream,
            kind: Kind::Idle,
            first,
            boards,
            priority,
            since: 0,
            number: 0,
            works_from: 0,
            ends: steps(between(seed, stream, 0, (5.0, 900.0))),
            level: 0.0,
            dip: 0.0,
            bound: 0.0,
            iteration_s: 1.0,
            checkpoint_s: 0.0,
            load: 0.0,
            sizes: 0,
            progress_s: 0.0,
            backlog_s: 0.0,
            batch: 0.0,
            arrives: 0.0,
            answer: 1.0,
        }
    }

    /// Its boards.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.boards
    }

    /// Whether it works, rather than loads or rests.
    pub fn works(&self, step: u64) -> bool {
        self.kind != Kind::Idle && step >= self.works_from
    }

    /// Begins the present job anew, as after a fault.
    pub fn restart(&mut self, step: u64) {
        self.works_from = step + steps(LOAD_S.1);
        (self.progress_s, self.backlog_s, self.batch) = (0.0, 0.0, 0.0);
    }

    /// What it asks for in this step. Draws the next job where the present one has ended.
    pub fn ask(&mut self, seed: u64, step: u64) -> Demand {
        if step >= self.ends {
            self.next(seed, step);
        }
        if self.kind == Kind::Idle {
            return Demand::default();
        }
        if step < self.works_from {
            return Demand { level: [0.0, 0.04], ..Demand::default() };
        }
        if self.kind == Kind::Training { self.train() } else { self.infer(seed, step) }
    }

    /// Takes what came of the step, the speeds of its slowest board in both parts. Gives what was done, in seconds of work at full
    /// speed.
    pub fn advance(&mut self, demand: &Demand, speed: [f64; 2]) -> f64 {
        let heavy_s = STEP_S * demand.share * speed[0] * demand.busy[0];
        let light_s = STEP_S * (1.0 - demand.share) * speed[1] * demand.busy[1];
        if self.kind == Kind::Training {
            self.progress_s += heavy_s + light_s;
            return heavy_s + light_s;
        }
        self.backlog_s = (self.backlog_s - heavy_s).max(0.0);
        let tokens = self.batch * light_s / (TOKEN_S.0 + TOKEN_S.1 * self.batch);
        let answered = (tokens / self.answer).min(self.batch);
        self.batch -= answered;
        heavy_s + answered * self.answer * TOKEN_WORK_S
    }

    fn next(&mut self, seed: u64, step: u64) {
        self.number += 1;
        let draw = |place: u64, bounds| between(seed, self.stream + place, self.number, bounds);
        let paused = self.kind == Kind::Idle;
        let kind = if paused {
            KINDS[(word(seed, self.stream + 1, self.number) % KINDS.len() as u64) as usize]
        } else {
            Kind::Idle
        };
        let lasts_s = match kind {
            Kind::Idle if word(seed, self.stream + 2, self.number).is_multiple_of(4) => draw(0, LONG_PAUSE_S),
            Kind::Idle => draw(0, PAUSE_S),
            Kind::Training => draw(0, TRAINING_S),
            Kind::Prefill | Kind::Decode | Kind::Serving => draw(0, INFERENCE_S),
        };
        let chosen = word(seed, self.stream + 3, self.number);
        // Training is partly bound by memory and links; prompts go with the clock and tokens hardly (arXiv 2501.08219).
        let (level, bound, load) = match kind {
            Kind::Training => ((0.85, 0.97), (0.3, 1.0), (0.0, 0.0)),
            Kind::Prefill => ((0.93, 1.0), (0.0, 0.25), (0.45, 0.8)),
            Kind::Decode => ((0.0, 0.0), (0.0, 0.25), (0.2, 0.5)),
            Kind::Serving | Kind::Idle => ((0.88, 0.98), (0.0, 0.25), (0.2, 0.55)),
        };
        let dip = (DIPS[(chosen % 3) as usize] * 700.0 - 72.0) / 688.0;
        (self.level, self.bound, self.load) = (draw(4, level), draw(5, bound), draw(6, load));
        (self.dip, self.sizes) = (dip.min(self.level), (chosen >> 8) as usize % SIZES.len());
        (self.iteration_s, self.checkpoint_s) = (draw(7, ITERATION_S), draw(8, CHECKPOINT_S));
        self.works_from = step + steps(draw(9, LOAD_S));
        (self.progress_s, self.backlog_s, self.batch) = (0.0, 0.0, 0.0);
        self.arrives = 0.0;
        (self.kind, self.since, self.ends) = (kind, step, step + steps(lasts_s));
    }

    fn train(&self) -> Demand {
        let into_s = self.progress_s % CHECKPOINT_EVERY_S;
        if into_s >= CHECKPOINT_EVERY_S - self.checkpoint_s {
            return Demand { level: [0.0, 0.08], busy: [0.0, 1.0], ..Demand::default() };
        }
        if into_s % self.iteration_s >= (1.0 - BOUNDARY) * self.iteration_s {
            return Demand { level: [0.0, self.dip], busy: [0.0, 1.0], ..Demand::default() };
        }
        Demand { share: 1.0, level: [self.level, 0.0], bound: [self.bound, 0.0], busy: [1.0, 0.0] }
    }

    fn infer(&mut self, seed: u64, step: u64) -> Demand {
        let [prompt, answer] = SIZES[self.sizes];
        if step.is_multiple_of(STEPS_A_SECOND) || self.arrives == 0.0 {
            let mean_s = PROMPT_S * prompt.0 * (0.5 * prompt.1 * prompt.1).exp();
            let rate = self.load * traffic(seed, self.stream, step) / mean_s;
            self.arrives = 1.0 - (-rate * STEP_S).exp();
            self.answer = answer.0 * (0.5 * answer.1 * answer.1).exp();
        }
        if unit(seed, self.stream + 20, step) < self.arrives {
            let tokens = prompt.0 * (prompt.1 * normal(seed, self.stream + 21, step)).exp();
            self.backlog_s = (self.backlog_s + PROMPT_S * tokens).min(BACKLOG_MAX_S);
            self.batch = (self.batch + 1.0).min(BATCH_MAX);
        }
        // Prompts cost boards nothing that only generate, and tokens those that only read prompts.
        match self.kind {
            Kind::Decode => self.backlog_s = 0.0,
            Kind::Prefill => self.batch = 0.0,
            Kind::Serving | Kind::Training | Kind::Idle => {}
        }
        let share = (self.backlog_s / STEP_S).min(1.0);
        let (level, busy) = self.tokens();
        Demand { share, level: [self.level, level], bound: [1.0, self.bound], busy: [1.0, busy] }
    }

    /// Dynamic power of token generation, and whether there are any tokens to generate. The shape is a logistic curve in the
    /// logarithm of the batch, as ML.ENERGY fits it. Alone, tokens draw 137 to 300 of 700 W (arXiv 2605.11999); mixed with
    /// prompts in one batch they draw more.
    fn tokens(&self) -> (f64, f64) {
        let busy = if self.batch > 0.3 { 1.0 } else { 0.0 };
        let grown = 1.0 / (1.0 + (-((1.0 + self.batch).log2() - 3.0)).exp());
        let level = match self.kind {
            Kind::Prefill => return (0.12, 0.0),
            Kind::Decode => 0.09 + 0.24 * grown,
            Kind::Serving | Kind::Training | Kind::Idle => 0.12 + 0.33 * grown,
        };
        (if busy > 0.0 { level } else { 0.06 }, busy)
    }
}

/// Requests as a share of the day's usual peak: a day's swing that all jobs share, minutes of more and less, and now and then a
/// surge by half. An assumption in the shape of production traffic.
fn traffic(seed: u64, stream: u64, step: u64) -> f64 {
    const DAY: f64 = 86_400.0 * STEPS_A_SECOND as f64;
    const BURST: u64 = 120 * STEPS_A_SECOND;
    // A day of steps is far below 2^53.
    let day = (std::f64::consts::TAU * (step as f64 / DAY + unit(seed, 4000, 0))).sin();
    let (number, into) = (step / BURST, (step % BURST) as f64 / BURST as f64);
    let swing = |number| 2.0 * unit(seed, stream + 30, number) - 1.0;
    let own = swing(number) * (1.0 - into) + swing(number + 1) * into;
    let surge = if word(seed, stream + 31, number).is_multiple_of(20) { 1.5 } else { 1.0 };
    (0.68 + 0.32 * day + 0.15 * own).max(0.1) * surge
}

fn steps(seconds: f64) -> u64 {
    // A few hours at most.
    (seconds * STEPS_A_SECOND as f64).ceil() as u64
}
