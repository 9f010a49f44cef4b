//! What a device can do: a call that it does not have is found out once and costs nothing afterwards.
use super::codes::Fault;

/// Whether a call is worth making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Able {
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
    pub(super) fn learn<T>(&mut self, answer: &Result<T, Fault>, never: impl Fn(Fault) -> bool) {
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
        let mut able = Able::default();
        able.learn::<()>(&Err(Fault::TIMEOUT), Fault::never);
        assert_eq!(able, Able::Untried);
        able.learn(&Ok(()), Fault::never);
        able.learn::<()>(&Err(Fault::NOT_SUPPORTED), Fault::never);
        assert_eq!(able, Able::Works);
        let mut other = Able::default();
        other.learn::<()>(&Err(Fault::NOT_SUPPORTED), Fault::never);
        assert_eq!(other, Able::Lacks);
    }
}
