//! A small isolation forest (Liu, Ting and Zhou, ICDM 2008): few random cuts separate what is unusual.
use ndarray::{Array2, ArrayView1};

/// Trees in the forest.
const TREES: u64 = 100;
/// Rows a tree is grown from, drawn without replacement.
const SAMPLE: usize = 256;
/// A tree's depth: the binary logarithm of the sample, beyond which everything is usual.
const DEPTH: usize = 8;

enum Node {
    Cut {
        channel: usize,
        at: f32,
        left: usize,
        right: usize,
    },
    /// The depth at which a row comes to rest, with what further cuts would add on average.
    Leaf {
        depth: f32,
    },
}

/// A fitted forest.
pub(super) struct Forest {
    trees: Vec<Vec<Node>>,
    /// The average depth in a tree of the sample's size.
    usual: f32,
}

/// A stream of random numbers: one seed a tree.
struct Draws {
    tree: u64,
    drawn: u64,
}

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.drawn += 1;
        (sim::noise::word(1, self.tree, self.drawn) % bound as u64) as usize
    }

    /// Uniform in 0 to 1.
    fn share(&mut self) -> f32 {
        self.drawn += 1;
        sim::noise::signed(1, self.tree, self.drawn).midpoint(1.0) as f32
    }
}

impl Forest {
    /// Grows trees from rows drawn out of `rows`.
    pub(super) fn grow(rows: &Array2<f32>) -> Self {
        let size = SAMPLE.min(rows.nrows());
        let tree = |tree: u64| {
            let mut draws = Draws { tree, drawn: 0 };
            let mut all: Vec<usize> = (0..rows.nrows()).collect();
            for place in 0..size {
                let other = place + draws.below(all.len() - place);
                all.swap(place, other);
            }
            let mut nodes = Vec::new();
            grow_below(&mut nodes, (rows, &mut draws), &mut all[..size], 0);
            nodes
        };
        Self { trees: (0..TREES).map(tree).collect(), usual: average_depth(size) }
    }

    /// The anomaly score of a row, 0 to 1: the nearer to the roots it comes to rest, the higher.
    pub(super) fn score(&self, row: &ArrayView1<'_, f32>) -> f32 {
        let depth = |nodes: &Vec<Node>| {
            let mut place = 0;
            loop {
                match &nodes[place] {
                    Node::Cut { channel, at, left, right } => {
                        place = if row[*channel] < *at { *left } else { *right };
                    }
                    Node::Leaf { depth } => return *depth,
                }
            }
        };
        let mean = self.trees.iter().map(depth).sum::<f32>() / self.trees.len() as f32;
        (-mean / self.usual.max(f32::MIN_POSITIVE)).exp2()
    }

    pub(super) fn bytes(&self) -> usize {
        self.trees.iter().map(|nodes| nodes.len() * size_of::<Node>()).sum()
    }
}

/// Grows the subtree of `members` and returns its place.
fn grow_below(
    nodes: &mut Vec<Node>,
    (rows, draws): (&Array2<f32>, &mut Draws),
    members: &mut [usize],
    depth: usize,
) -> usize {
    let place = nodes.len();
    nodes.push(Node::Leaf { depth: depth as f32 + average_depth(members.len()) });
    if depth >= DEPTH || members.len() < 2 {
        return place;
    }
    let span = |channel: usize| {
        let values = members.iter().map(|member| rows[(*member, channel)]);
        values
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
    };
    let moving: Vec<usize> =
        (0..rows.ncols()).filter(|channel| span(*channel).0 < span(*channel).1).collect();
    if moving.is_empty() {
        return place;
    }
    let channel = moving[draws.below(moving.len())];
    let (low, high) = span(channel);
    let at = low + (high - low) * draws.share();
    members.sort_by(|a, b| rows[(*a, channel)].total_cmp(&rows[(*b, channel)]));
    let (below, above) =
        members.split_at_mut(members.partition_point(|member| rows[(*member, channel)] < at));
    let left = grow_below(nodes, (rows, &mut *draws), below, depth + 1);
    let right = grow_below(nodes, (rows, draws), above, depth + 1);
    nodes[place] = Node::Cut { channel, at, left, right };
    place
}

/// The average depth of an unsuccessful search in a binary tree of `size` entries.
fn average_depth(size: usize) -> f32 {
    match size {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = size as f32 - 1.0;
            // The harmonic number by Euler's constant.
            2.0 * (n.ln() + 0.577_215_7) - 2.0 * n / (n + 1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_apart_from_all_others_scores_highest() {
        let mut rows = Array2::from_shape_fn((300, 2), |(row, channel)| {
            sim::noise::signed(5, channel as u64, row as u64) as f32
        });
        rows[(7, 1)] = 9.0;
        let forest = Forest::grow(&rows);
        let scores: Vec<f32> = rows.rows().into_iter().map(|row| forest.score(&row)).collect();
        let highest = (0..300).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap();
        assert_eq!(highest, 7);
        assert!(scores[7] > 0.6 && scores.iter().filter(|score| **score > 0.6).count() < 15, "{}", scores[7]);
    }

    #[test]
    fn rows_that_are_all_alike_are_usual() {
        let rows = Array2::from_elem((50, 3), 1.0);
        assert!((Forest::grow(&rows).score(&rows.row(0)) - 0.5).abs() < 1e-6);
    }
}
