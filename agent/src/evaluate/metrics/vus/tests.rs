//! VUS-PR against figures that TSB-AD's own code (commit 8763009, `RangeAUC_volume_opt`, numpy) gave for the same series once.
use super::*;

/// A score with ties and three events, one of them beside its segment only.
fn series() -> (Vec<Range<usize>>, Vec<f32>) {
    let mut score: Vec<f64> = (0_u32..400).map(|row| f64::from(row * row * 7919 % 1009) / 1009.0).collect();
    (102..108).for_each(|row| score[row] += 0.8);
    (310..360).step_by(3).for_each(|row| score[row] += 0.6);
    (153..158).for_each(|row| score[row] += 0.5);
    (vec![100..110, 150..153, 300..360], score.into_iter().map(|score| score as f32).collect())
}

#[test]
fn it_agrees_with_the_reference_at_both_numbers_of_thresholds() {
    let (segments, score) = series();
    for (thresholds, reference) in
        [(THRESHOLDS, 0.714_871_994_698_897_3), (THRESHOLDS_COARSE, 0.711_936_909_378_005)]
    {
        let found = vus_pr(&segments, &score, thresholds).unwrap();
        assert!((found - reference).abs() < 1e-9, "{found} at {thresholds}");
    }
}

#[test]
fn segments_at_both_ends_keep_their_flanks_inside_the_series() {
    let found = vus_pr(&[0..4, 396..400], &series().1, THRESHOLDS).unwrap();
    assert!((found - 0.078_394_214_293_510_58).abs() < 1e-9, "{found}");
}

#[test]
fn without_a_segment_there_is_no_figure() {
    assert_eq!(vus_pr(&[], &[0.5; 10], THRESHOLDS), None);
}
