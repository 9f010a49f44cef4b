//! Seeded noise without state: a value is a function of the seed, a stream and a moment, so one more draw disturbs nothing.

/// A well-mixed 64-bit word of three numbers (the finaliser of SplitMix64, Steele et al., OOPSLA 2014).
pub fn word(seed: u64, stream: u64, moment: u64) -> u64 {
    let mut x =
        seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ moment.wrapping_mul(0xd1b5_4a32_d192_ed03);
    for _ in 0..2 {
        x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
    }
    x
}

/// Uniform in -1 to 1.
pub fn signed(seed: u64, stream: u64, moment: u64) -> f64 {
    // 53 bits are exact in f64.
    (word(seed, stream, moment) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Uniform in 0 to 1.
pub fn unit(seed: u64, stream: u64, moment: u64) -> f64 {
    0.5 * (1.0 + signed(seed, stream, moment))
}

/// Uniform between two bounds.
pub fn between(seed: u64, stream: u64, moment: u64, (low, high): (f64, f64)) -> f64 {
    low + (high - low) * unit(seed, stream, moment)
}

/// Nearly normal with mean 0 and variance 1: the sum of four uniform parts of one word.
pub fn normal(seed: u64, stream: u64, moment: u64) -> f64 {
    let word = word(seed, stream, moment);
    let part = |shift: u32| f64::from((word >> shift) as u16) / f64::from(u16::MAX);
    // Four uniform numbers have variance 1/3 together.
    (part(0) + part(16) + part(32) + part(48) - 2.0) * 3.0_f64.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_spread_and_repeats() {
        let draws: Vec<f64> = (0..4000).map(|n| signed(7, 3, n)).collect();
        let mean = draws.iter().sum::<f64>() / 4000.0;
        assert!(mean.abs() < 0.05 && draws.iter().all(|d| (-1.0..=1.0).contains(d)));
        assert_eq!(signed(7, 3, 9), draws[9]);
        assert_ne!(signed(8, 3, 9), draws[9]);
    }
}
