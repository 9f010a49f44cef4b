//! What a device can do: a call that it does not have is found out once and costs nothing afterwards.
/// Whether a call is worth making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Able {
    /// It has given neither a value nor a final refusal.
    #[default]
    Untried,
    /// It has given a value. A later refusal has a cause that may pass, so it is made again.
    Works,
    /// The device or the driver does not have it.
    Lacks,
}

impl Able {
    /// Learns from what a call gave; `never` says which faults are final.
    pub(crate) fn learn<T, F: Copy>(&mut self, answer: &Result<T, F>, never: impl Fn(F) -> bool) {
        match answer {
            Ok(_) => *self = Self::Works,
            Err(fault) if *self == Self::Untried && never(*fault) => *self = Self::Lacks,
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_given_up_only_when_it_was_refused_for_good_and_never_worked() {
        let never = |code: u32| code == 3;
        let mut able = Able::default();
        able.learn::<(), _>(&Err(10), never);
        assert_eq!(able, Able::Untried);
        able.learn::<_, u32>(&Ok(()), never);
        able.learn::<(), _>(&Err(3), never);
        assert_eq!(able, Able::Works);
        let mut other = Able::default();
        other.learn::<(), _>(&Err(3), never);
        assert_eq!(other, Able::Lacks);
    }
}
