//! Sharing a cut: who gives up how many watts. Lowest priority first, inside a class the highest consumers first.
use model::{Priority, Watts};

/// A device that may be asked to give up power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Giver {
    /// Its priority.
    pub priority: Priority,
    /// What it may draw now.
    pub from: Watts,
    /// The least it can be brought to.
    pub floor: Watts,
    /// What it may draw afterwards: the result.
    pub to: Watts,
}

/// Cuts `need` watts in all from the givers of these classes and gives back what could not be cut.
///
/// Dynamo (ISCA'16) takes from priority groups, low first, and inside a group from the highest bucket first. The bucket
/// here is infinitely thin: the highest are lowered to one common level.
pub fn cut(givers: &mut [Giver], classes: &[Priority], mut need: Watts) -> Watts {
    for giver in givers.iter_mut() {
        giver.to = giver.from;
    }
    for class in classes {
        if need <= Watts::ZERO {
            break;
        }
        need = need - cut_class(givers, *class, need);
    }
    need.max(Watts::ZERO)
}

/// Lowers the givers of one class to a common level and gives back how much that frees.
fn cut_class(givers: &mut [Giver], class: Priority, need: Watts) -> Watts {
    let freed = |givers: &[Giver], level: f64| -> f64 {
        let of_class = givers.iter().filter(|giver| giver.priority == class);
        of_class.map(|giver| (giver.from.0 - level.max(giver.floor.0)).max(0.0)).sum()
    };
    let mut high =
        givers.iter().filter(|giver| giver.priority == class).map(|giver| giver.from.0).fold(0.0, f64::max);
    let mut low = 0.0;
    // Bisection: 60 halvings of a few kilowatts are far below a milliwatt.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if freed(givers, middle) >= need.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    let sum = freed(givers, low);
    for giver in givers.iter_mut().filter(|giver| giver.priority == class) {
        giver.to = Watts(giver.from.0.min(low.max(giver.floor.0)));
    }
    Watts(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn giver(priority: Priority, from: f64) -> Giver {
        Giver { priority, from: Watts(from), floor: Watts(200.0), to: Watts::ZERO }
    }

    #[test]
    fn the_low_class_gives_first_and_its_highest_consumer_most() {
        let mut givers =
            [giver(Priority::High, 700.0), giver(Priority::Low, 600.0), giver(Priority::Low, 400.0)];
        let left = cut(&mut givers, &[Priority::Low, Priority::Normal, Priority::High], Watts(250.0));
        assert!(left.0 < 1e-6);
        let to: Vec<_> = givers.iter().map(|g| g.to.0.round()).collect();
        assert_eq!(to, [700.0, 375.0, 375.0]);
    }

    proptest! {
        #[test]
        fn a_cut_frees_what_is_needed_or_ends_at_the_floors(
            powers in prop::collection::vec((0_u8..3, 200.0..700.0_f64), 1..9),
            need in 0.0..5000.0_f64,
        ) {
            let class = |n| [Priority::Low, Priority::Normal, Priority::High][usize::from(n)];
            let mut givers: Vec<_> = powers.iter().map(|(n, from)| giver(class(*n), *from)).collect();
            let left = cut(&mut givers, &[Priority::Low, Priority::Normal, Priority::High], Watts(need));
            let freed: f64 = givers.iter().map(|g| g.from.0 - g.to.0).sum();
            prop_assert!(givers.iter().all(|g| g.to >= g.floor && g.to <= g.from));
            prop_assert!((freed + left.0 - need).abs() < 1e-3);
            prop_assert!(left.0 < 1e-3 || givers.iter().all(|g| (g.to.0 - g.floor.0).abs() < 1e-3));
        }
    }
}
