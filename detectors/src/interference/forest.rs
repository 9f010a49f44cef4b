//! A forest of small regression trees, boosted one after the other on what is left of the error, frozen once it is trained.
//!
//! Gradient boosting with squared loss (Friedman 2001) over binned features, with a direction for missing values learnt at
//! each split (Chen and Guestrin 2016, section 3.4) and signs that the answer must follow (monotone constraints): more
//! contention can never mean more speed, which holds the model to sense where it has seen nothing.
use serde::{Deserialize, Serialize};

/// A split, or a leaf where both children are 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(from = "Flat", into = "Flat")]
struct Node {
    /// Which feature is looked at.
    feature: u16,
    /// Values up to this go left.
    threshold: f32,
    /// Whether a missing value goes left.
    missing_left: bool,
    left: u16,
    right: u16,
    /// The answer of a leaf.
    value: f32,
}

/// A node as it is written: short, since there are thousands.
type Flat = (u16, f32, u8, u16, u16, f32);

impl From<Flat> for Node {
    fn from((feature, threshold, missing_left, left, right, value): Flat) -> Self {
        Self { feature, threshold, missing_left: missing_left != 0, left, right, value }
    }
}

impl From<Node> for Flat {
    fn from(node: Node) -> Self {
        let missing_left = u8::from(node.missing_left);
        (node.feature, node.threshold, missing_left, node.left, node.right, node.value)
    }
}

/// A tree, its root first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Tree(Vec<Node>);

impl Tree {
    fn answer(&self, features: &[f32]) -> f64 {
        let mut place = 0;
        // A tree is at most as deep as it has nodes, so a damaged one cannot hold us up.
        for _ in 0..self.0.len() {
            let Some(node) = self.0.get(place) else { return 0.0 };
            if node.left == 0 {
                return f64::from(node.value);
            }
            let value = features.get(usize::from(node.feature)).copied().unwrap_or(f32::NAN);
            let left = if value.is_nan() { node.missing_left } else { value <= node.threshold };
            place = usize::from(if left { node.left } else { node.right });
        }
        0.0
    }
}

/// The trained forest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Forest {
    base: f64,
    trees: Vec<Tree>,
}

/// What a forest is trained with. All numbers are ours, chosen on campaigns other than those that are tested.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// How many trees.
    pub trees: usize,
    /// Splits on the way from the root to a leaf at most.
    pub depth: usize,
    /// The share of each tree's answer that is taken.
    pub rate: f64,
    /// Rows that a leaf has at least.
    pub leaf: usize,
    /// How hard leaves are pulled to 0, in rows.
    pub pull: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self { trees: 150, depth: 3, rate: 0.06, leaf: 20, pull: 5.0 }
    }
}

/// Bins of a feature at most.
const BINS: usize = 48;
/// The bin of missing values.
const MISSING: u8 = u8::MAX;

/// Rows in bins, so that a split is found by counting.
struct Binned {
    /// Upper edges of the bins of each feature.
    edges: Vec<Vec<f32>>,
    /// Bins, feature by feature.
    bins: Vec<Vec<u8>>,
}

impl Binned {
    fn new(rows: &[Vec<f32>]) -> Self {
        let count = rows.first().map_or(0, Vec::len);
        let mut binned = Self { edges: Vec::with_capacity(count), bins: Vec::with_capacity(count) };
        for feature in 0..count {
            let mut values: Vec<f32> =
                rows.iter().map(|row| row[feature]).filter(|value| !value.is_nan()).collect();
            values.sort_by(f32::total_cmp);
            let step = |bin: usize| values[(bin * values.len() / BINS).min(values.len() - 1)];
            let mut edges: Vec<f32> =
                if values.is_empty() { Vec::new() } else { (1..BINS).map(step).collect() };
            edges.dedup();
            let bin = |row: &Vec<f32>| match row[feature] {
                value if value.is_nan() => MISSING,
                value => edges.partition_point(|edge| *edge < value) as u8,
            };
            binned.bins.push(rows.iter().map(bin).collect());
            binned.edges.push(edges);
        }
        binned
    }
}

/// Sum of residuals and number of rows.
#[derive(Debug, Clone, Copy, Default)]
struct Heap {
    sum: f64,
    count: f64,
}

impl Heap {
    fn add(&mut self, residual: f64) {
        self.sum += residual;
        self.count += 1.0;
    }

    fn plus(self, other: Self) -> Self {
        Self { sum: self.sum + other.sum, count: self.count + other.count }
    }

    fn minus(self, other: Self) -> Self {
        Self { sum: self.sum - other.sum, count: self.count - other.count }
    }

    /// The answer of a leaf with these rows, within bounds.
    fn answer(self, pull: f64, (low, high): (f64, f64)) -> f64 {
        (self.sum / (self.count + pull)).clamp(low, high)
    }

    /// How much of the squared error it explains with an answer.
    fn gain(self, answer: f64, pull: f64) -> f64 {
        2.0 * answer * self.sum - (self.count + pull) * answer * answer
    }
}

/// A split that was found.
#[derive(Debug, Clone, Copy)]
struct Split {
    feature: usize,
    bin: u8,
    missing_left: bool,
    gain: f64,
    answers: (f64, f64),
}

/// One tree in the making.
struct Grower<'a> {
    binned: &'a Binned,
    signs: &'a [i8],
    residuals: &'a [f64],
    training: Training,
    nodes: Vec<Node>,
}

impl Grower<'_> {
    fn grow(&mut self, rows: &[u32], depth: usize, bounds: (f64, f64)) -> u16 {
        let place = self.nodes.len();
        let mut all = Heap::default();
        rows.iter().for_each(|row| all.add(self.residuals[*row as usize]));
        let value = all.answer(self.training.pull, bounds) as f32;
        self.nodes.push(Node { feature: 0, threshold: 0.0, missing_left: true, left: 0, right: 0, value });
        let found = if depth == 0 { None } else { self.split(rows, all, bounds) };
        let Some(split) = found else { return place as u16 };
        let goes_left = |row: &u32| match self.binned.bins[split.feature][*row as usize] {
            MISSING => split.missing_left,
            bin => bin <= split.bin,
        };
        let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| goes_left(row));
        // What is on one side of a signed split may not pass the middle between both sides.
        let middle = f64::midpoint(split.answers.0, split.answers.1);
        let (low, high) = match self.signs[split.feature] {
            0 => (bounds, bounds),
            sign if sign > 0 => ((bounds.0, middle), (middle, bounds.1)),
            _ => ((middle, bounds.1), (bounds.0, middle)),
        };
        let left = self.grow(&left, depth - 1, low);
        let right = self.grow(&right, depth - 1, high);
        let threshold = self.binned.edges[split.feature][usize::from(split.bin)];
        let (feature, missing_left) = (split.feature as u16, split.missing_left);
        self.nodes[place] = Node { feature, threshold, missing_left, left, right, ..self.nodes[place] };
        place as u16
    }

    fn split(&self, rows: &[u32], all: Heap, bounds: (f64, f64)) -> Option<Split> {
        let pull = self.training.pull;
        let whole = all.gain(all.answer(pull, bounds), pull);
        let mut best: Option<Split> = None;
        for (feature, bins) in self.binned.bins.iter().enumerate() {
            let mut heaps = [Heap::default(); BINS];
            let mut missing = Heap::default();
            for row in rows {
                let residual = self.residuals[*row as usize];
                match bins[*row as usize] {
                    MISSING => missing.add(residual),
                    bin => heaps[usize::from(bin)].add(residual),
                }
            }
            let edges = self.binned.edges[feature].len();
            for missing_left in [true, false] {
                let mut left = if missing_left { missing } else { Heap::default() };
                for (bin, heap) in heaps[..edges].iter().enumerate() {
                    left = left.plus(*heap);
                    let right = all.minus(left);
                    if left.count.min(right.count) < self.training.leaf as f64 {
                        continue;
                    }
                    let answers = (left.answer(pull, bounds), right.answer(pull, bounds));
                    if (answers.1 - answers.0) * f64::from(self.signs[feature]) < 0.0 {
                        continue;
                    }
                    let gain = left.gain(answers.0, pull) + right.gain(answers.1, pull) - whole;
                    if gain > best.map_or(1e-9, |best| best.gain) {
                        best = Some(Split { feature, bin: bin as u8, missing_left, gain, answers });
                    }
                }
            }
        }
        best
    }
}

impl Forest {
    /// Trains a forest to answer `targets` from `rows`, all of one length; NaN for what is missing. `signs` says for each feature
    /// whether the answer may only rise with it (1), only fall (-1) or do either (0).
    pub fn train(rows: &[Vec<f32>], targets: &[f64], signs: &[i8], training: Training) -> Self {
        let count = rows.len().min(targets.len());
        if count == 0 {
            return Self::default();
        }
        let binned = Binned::new(&rows[..count]);
        let base = targets[..count].iter().sum::<f64>() / count as f64;
        let mut residuals: Vec<f64> = targets[..count].iter().map(|target| target - base).collect();
        let every: Vec<u32> = (0..count as u32).collect();
        let mut forest = Self { base, trees: Vec::with_capacity(training.trees) };
        for _ in 0..training.trees {
            let mut grower =
                Grower { binned: &binned, signs, residuals: &residuals, training, nodes: Vec::new() };
            grower.grow(&every, training.depth, (f64::NEG_INFINITY, f64::INFINITY));
            let mut tree = Tree(grower.nodes);
            tree.0.iter_mut().for_each(|node| node.value *= training.rate as f32);
            for (residual, row) in residuals.iter_mut().zip(rows) {
                *residual -= tree.answer(row);
            }
            forest.trees.push(tree);
        }
        forest
    }

    /// The answer for one row of features.
    pub fn answer(&self, features: &[f32]) -> f64 {
        self.base + self.trees.iter().map(|tree| tree.answer(features)).sum::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence between 0 and 1 that fills it evenly.
    fn even(number: usize, step: f64) -> f32 {
        (number as f64 * step).fract() as f32
    }

    fn rows() -> Vec<Vec<f32>> {
        (0..600).map(|n| vec![even(n, 0.618_034), even(n, 0.414_214), even(n, 0.732_051)]).collect()
    }

    #[test]
    fn a_forest_learns_a_step_and_a_slope_and_leaves_noise_alone() {
        let rows = rows();
        let truth = |row: &[f32]| f64::from(row[0]) + if row[1] > 0.5 { 1.0 } else { 0.0 };
        let targets: Vec<f64> = rows.iter().map(|row| truth(row)).collect();
        let forest = Forest::train(&rows, &targets, &[0, 0, 0], Training::default());
        for row in [[0.2, 0.9, 0.1], [0.2, 0.1, 0.9], [0.8, 0.7, 0.5]] {
            assert!((forest.answer(&row) - truth(&row)).abs() < 0.08, "{row:?}: {}", forest.answer(&row));
        }
    }

    #[test]
    fn a_sign_holds_everywhere_against_the_data() {
        let rows = rows();
        let targets: Vec<f64> = rows.iter().map(|row| f64::from((row[0] - 0.5).abs() + row[2])).collect();
        let forest = Forest::train(&rows, &targets, &[1, 0, 1], Training::default());
        let mut last = f64::NEG_INFINITY;
        for step in 0..50 {
            let answer = forest.answer(&[step as f32 / 50.0, 0.5, 0.5]);
            assert!(answer >= last - 1e-6, "the answer fell at {step}");
            last = answer;
        }
        let free = Forest::train(&rows, &targets, &[0, 0, 0], Training::default());
        assert!(
            free.answer(&[0.5, 0.5, 0.5]) < free.answer(&[0.05, 0.5, 0.5]),
            "without a sign it follows the data"
        );
    }

    #[test]
    fn missing_values_have_a_way_of_their_own() {
        let mut rows = rows();
        let targets: Vec<f64> = (0..rows.len()).map(|n| if n % 3 == 0 { 5.0 } else { 1.0 }).collect();
        rows.iter_mut().step_by(3).for_each(|row| row[1] = f32::NAN);
        let forest = Forest::train(&rows, &targets, &[0, 0, 0], Training::default());
        assert!((forest.answer(&[0.5, f32::NAN, 0.5]) - 5.0).abs() < 0.3);
        assert!((forest.answer(&[0.5, 0.4, 0.5]) - 1.0).abs() < 0.3);
    }

    #[test]
    fn nothing_to_learn_from_is_no_panic_and_a_damaged_tree_ends() {
        assert_eq!(Forest::train(&[], &[], &[], Training::default()).answer(&[1.0]), 0.0);
        let endless = Node { feature: 9, threshold: 0.0, missing_left: true, left: 0, right: 0, value: 2.0 };
        let tree = Tree(vec![Node { left: 1, right: 7, ..endless }, Node { left: 1, right: 1, ..endless }]);
        assert_eq!(tree.answer(&[0.0]), 0.0);
    }
}
