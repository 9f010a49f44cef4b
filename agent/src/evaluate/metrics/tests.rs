//! Quantiles of delays.
use super::*;

#[test]
fn a_quantile_is_a_delay_that_occurred() {
    assert_eq!(quantile(&[], 0.5), None);
    assert_eq!(quantile(&[7, 1, 3], 0.5), Some(3.0));
    assert_eq!(quantile(&[7, 1, 3], 0.95), Some(7.0));
    assert_eq!(quantile(&[1, 2], 0.5), Some(1.0));
}
