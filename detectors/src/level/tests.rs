//! Tests of the level model on seeded rows.
use super::*;
use ndarray::Array2;

fn noise(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
}

/// Six channels that follow two hidden ones, with noise.
fn row(n: usize, state: &mut u64) -> [f32; 6] {
    let (one, two) = ((n as f32 / 17.0).sin(), (n as f32 / 41.0).cos());
    std::array::from_fn(|c| (1 + c) as f32 * one + (6 - c) as f32 * two + 0.3 * noise(state))
}

fn past(rows: usize, state: &mut u64) -> Array2<f32> {
    Array2::from_shape_vec((rows, 6), (0..rows).flat_map(|n| row(n, state)).collect()).unwrap()
}

#[test]
fn a_channel_that_leaves_the_others_is_strange_and_to_blame() {
    let mut state = 3;
    let mut level = Level::begin(past(2000, &mut state).view()).unwrap();
    let mut scratch = Scratch::default();
    let mut usual = Vec::new();
    for n in 2000..2400 {
        let score = level.push(row(n, &mut state).into_iter(), true, &mut scratch);
        usual.extend(score.map(|score| score.level));
    }
    let worst = usual.iter().copied().fold(0.0, f32::max);
    let mut wrong = [0.0; 6];
    let mut score = Score { level: 0.0, strange: 0.0 };
    for n in 2400..2406 {
        wrong = row(n, &mut state);
        wrong[4] += 6.0;
        score = level.push(wrong.into_iter(), true, &mut scratch).unwrap();
    }
    assert!(score.level > 1.5 * worst && score.strange > 1.0, "{score:?} against {worst}");
    let blamed = (0..6).max_by(|a, b| scratch.blame[*a].total_cmp(&scratch.blame[*b]));
    assert_eq!(blamed, Some(4));
    let expected = level.expected(4, &scratch);
    assert!((expected - f64::from(wrong[4] - 6.0)).abs() < 3.0, "{expected} for {}", wrong[4] - 6.0);
}

#[test]
fn a_gap_silences_until_the_window_is_whole() {
    let mut state = 5;
    let mut level = Level::begin(past(500, &mut state).view()).unwrap();
    let mut scratch = Scratch::default();
    assert!(level.push(row(500, &mut state).into_iter(), true, &mut scratch).is_some());
    level.gap();
    let silent =
        (501..520).filter(|n| level.push(row(*n, &mut state).into_iter(), true, &mut scratch).is_none());
    assert_eq!(silent.count(), REACH);
    assert!(level.push(row(520, &mut state).into_iter(), true, &mut scratch).is_some());
}

#[test]
fn a_moved_scale_leaves_the_distances_as_they_are() {
    let mut state = 9;
    let mut level = Level::begin(past(1000, &mut state).view()).unwrap();
    let mut scratch = Scratch::default();
    for n in 1000..1800 {
        // The second half has a tenfold spread in one channel.
        let mut row = row(n, &mut state);
        row[2] += 20.0 * noise(&mut state);
        level.push(row.into_iter(), true, &mut scratch);
    }
    let covariance = |level: &Level| level.sums.moments().unwrap().1;
    let (before, old) = (covariance(&level), level.scale.clone());
    let fit = level.refit();
    assert_ne!(old, level.scale);
    let after = covariance(&level);
    let steps: Vec<_> = old.steps(&level.scale).collect();
    for (a, b) in [(0, 0), (2, 2), (2, 5)] {
        let (x, y) = (a * LAGS.len(), b * LAGS.len());
        let wanted = before[(x, y)] * f64::from(steps[a].0 * steps[b].0);
        assert!((after[(x, y)] - wanted).abs() < 1e-3 * wanted.abs().max(0.1), "{wanted} {}", after[(x, y)]);
    }
    level.refitted(fit.fit().unwrap());
    assert!(level.push(row(1800, &mut state).into_iter(), true, &mut scratch).unwrap().level.is_finite());
}

#[test]
fn a_model_read_back_judges_like_the_one_that_was_written() {
    let mut state = 11;
    let mut level = Level::begin(past(800, &mut state).view()).unwrap();
    let mut bytes = Vec::new();
    level.write(&mut bytes);
    let mut back = Level::read(&mut bytes.as_slice()).unwrap();
    let mut scratch = Scratch::default();
    for n in 0..40 {
        let row = row(n, &mut state);
        let (one, two) = (
            level.push(row.into_iter(), false, &mut scratch),
            back.push(row.into_iter(), false, &mut scratch),
        );
        if let (Some(one), Some(two), true) = (one, two, n > 20) {
            assert!((one.level - two.level).abs() < 1e-3 * one.level, "{one:?} {two:?}");
        }
    }
    for cut in (0..bytes.len()).step_by(97) {
        assert!(Level::read(&mut &bytes[..cut]).is_none());
    }
    bytes[0] ^= 1;
    assert!(Level::read(&mut bytes.as_slice()).is_none());
}

#[test]
fn constant_and_absurd_rows_give_finite_scores() {
    let flat = Array2::from_elem((300, 3), 5.0_f32);
    // Nothing varies, so there is nothing to learn.
    assert!(Level::begin(flat.view()).is_none());
    let mut state = 1;
    let mut level = Level::begin(past(300, &mut state).view()).unwrap();
    let mut scratch = Scratch::default();
    for value in [f32::MAX, f32::MIN, 0.0, 1e-38] {
        let score = level.push([value; 6].into_iter(), true, &mut scratch);
        assert!(
            score.is_none_or(|score| score.level.is_finite() && score.strange >= 0.0),
            "{value}: {score:?}"
        );
    }
    assert!(level.refit().fit().is_none_or(|basis| basis.covers(6)));
}
