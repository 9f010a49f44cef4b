//! Signals for autoscalers, made from a snapshot. What is not known is left out; nothing is ever zero for want of data.
use model::event::Health;
use model::snapshot::{PowerState, PowerTrouble};
use model::{DeviceId, DeviceKind, Metric, Severity, Signal, Snapshot};
use std::collections::BTreeMap;

/// The signals of each pool of accelerators that the node has.
pub fn signals(snapshot: &Snapshot) -> Vec<Signal> {
    let pools = [DeviceKind::Gpu, DeviceKind::Npu];
    pools.into_iter().filter_map(|kind| pool(snapshot, kind)).collect()
}

fn pool(snapshot: &Snapshot, kind: DeviceKind) -> Option<Signal> {
    let frame = &snapshot.frame;
    let ever = frame.devices.iter().filter(|d| d.info.kind == kind).count();
    if ever == 0 {
        return None;
    }
    let there: Vec<DeviceId> = frame.devices.of_kind(kind).map(|d| d.id).collect();
    let works = |device: &&DeviceId| {
        let broken =
            |e: &&model::Event| e.active() && e.device == **device && e.severity == Severity::Critical;
        snapshot.events.iter().find(broken).is_none() && snapshot.health(**device) != Health::Unknown
    };
    let able: Vec<DeviceId> = there.iter().filter(works).copied().collect();
    let mean = |value: &dyn Fn(DeviceId) -> Option<f64>| -> Option<f64> {
        let values: Option<Vec<f64>> = able.iter().map(|device| value(*device)).collect();
        values.filter(|list| !list.is_empty()).map(|list| list.iter().sum::<f64>() / list.len() as f64)
    };
    let memory = |d| Some(frame.value(d, Metric::MemoryUsed)? / frame.value(d, Metric::MemorySize)?);
    let limited = |d| {
        let (now, default) =
            (frame.value(d, Metric::PowerLimitEnforced)?, frame.value(d, Metric::PowerLimitDefault)?);
        Some(f64::from(u8::from(now < default - 1.0)))
    };
    let demand = mean(&|d| frame.value(d, Metric::Utilization));
    let healthy = there.iter().filter(|d| snapshot.health(**d) == Health::Healthy).count();
    let values = [
        ("devices", Some(there.len() as f64)),
        ("capacity", Some(able.len() as f64)),
        ("demand_ratio", demand),
        ("headroom_ratio", demand.map(|demand| 1.0 - demand)),
        ("memory_used_ratio", mean(&memory)),
        ("power_headroom_watts", snapshot.power.as_ref().map(|power| power.budget.0 - power.counted.0)),
        ("power_limited_ratio", mean(&limited)),
        ("power_feasible", snapshot.power.as_ref().map(feasible)),
        ("health_ratio", Some(healthy as f64 / ever as f64)),
    ];
    let known = values.into_iter().filter_map(|(name, value)| value.map(|value| (name.to_owned(), value)));
    let values: BTreeMap<_, _> = known.filter(|(_, value)| value.is_finite()).collect();
    Some(Signal { pool: kind.as_str().to_owned(), values })
}

fn feasible(power: &PowerState) -> f64 {
    f64::from(u8::from(!power.troubles.contains(&PowerTrouble::Infeasible)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{DeviceInfo, Reading, Timestamp};
    use std::sync::Arc;

    #[test]
    fn a_silent_device_is_no_capacity_and_lends_no_zero_to_the_demand() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let mut add = |key: &str| table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, key))).unwrap();
        let (busy, _silent) = (add("GPU-a"), add("GPU-b"));
        snapshot.frame.begin(Timestamp::default());
        snapshot.frame.put(busy, Metric::Utilization, Reading::Value(0.8));
        let signal = &signals(&snapshot)[0];
        assert_eq!((signal.values["devices"], signal.values["capacity"]), (2.0, 1.0));
        assert_eq!(signal.values["demand_ratio"], 0.8);
        assert_eq!(signal.values.get("memory_used_ratio"), None);
        assert_eq!(signal.values["health_ratio"], 0.5);
        assert!(
            signal.values.keys().all(|name| model::signal::SIGNALS.iter().any(|(known, _)| known == name))
        );
    }

    #[test]
    fn pools_are_apart_and_what_nobody_knows_is_not_there() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        let mut add = |kind, key: &str| table.register(&Arc::new(DeviceInfo::new(kind, key))).unwrap();
        let (gpu, npu) = (add(DeviceKind::Gpu, "GPU-a"), add(DeviceKind::Npu, "NPU-a"));
        let lost = add(DeviceKind::Npu, "NPU-b");
        table.retire(lost);
        snapshot.frame.begin(Timestamp::default());
        for (metric, value) in [
            (Metric::Utilization, 0.25),
            (Metric::MemoryUsed, 0.0),
            (Metric::MemorySize, 0.0),
            (Metric::PowerLimitEnforced, 300.0),
            (Metric::PowerLimitDefault, 700.0),
        ] {
            snapshot.frame.put(gpu, metric, Reading::Value(value));
        }
        snapshot.frame.put(npu, Metric::Temperature, Reading::Value(40.0));
        let signals = signals(&snapshot);
        let values = |n: usize| -> Vec<_> { signals[n].values.iter().map(|(k, v)| (&**k, *v)).collect() };
        assert_eq!([&*signals[0].pool, &*signals[1].pool], ["gpu", "npu"]);
        let known = [
            ("capacity", 1.0),
            ("demand_ratio", 0.25),
            ("devices", 1.0),
            ("headroom_ratio", 0.75),
            ("health_ratio", 1.0),
        ];
        assert_eq!(values(0), [&known[..], &[("power_limited_ratio", 1.0)]].concat());
        assert_eq!(values(1), [("capacity", 1.0), ("devices", 1.0), ("health_ratio", 0.5)]);
    }

    #[test]
    fn power_headroom_is_negative_when_the_budget_is_passed() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        snapshot.frame.begin(Timestamp::default());
        snapshot.power = Some(PowerState {
            budget: model::Watts(5000.0),
            accelerators: model::Watts(4000.0),
            rest: model::Watts(1000.0),
            rest_measured: true,
            counted: model::Watts(5200.0),
            low: 0.8,
            high: 0.89,
            stage: model::snapshot::PowerStage::Brake,
            ..Default::default()
        });
        assert_eq!(signals(&snapshot)[0].values["power_headroom_watts"], -200.0);
    }

    #[test]
    fn an_autoscaler_is_told_of_a_budget_that_no_cap_can_hold_and_nothing_where_there_is_none() {
        let mut snapshot = Snapshot::default();
        let table = Arc::make_mut(&mut snapshot.frame.devices);
        table.register(&Arc::new(DeviceInfo::new(DeviceKind::Gpu, "GPU-a"))).unwrap();
        snapshot.frame.begin(Timestamp::default());
        assert_eq!(signals(&snapshot)[0].values.get("power_feasible"), None);
        for (troubles, expected) in [(vec![], 1.0), (vec![PowerTrouble::Infeasible], 0.0)] {
            snapshot.power = Some(PowerState { troubles, ..PowerState::default() });
            assert_eq!(signals(&snapshot)[0].values["power_feasible"], expected);
        }
    }

    #[test]
    fn a_node_without_accelerators_has_no_pool() {
        assert!(signals(&Snapshot::default()).is_empty());
    }
}
