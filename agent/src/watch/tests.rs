//! What can be switched off.
use super::*;
use crate::actuate::KeeperThread;
use crate::govern::Keeping;
use model::{DeviceInfo, DeviceKind};
use std::sync::Arc;
use std::time::Duration;

/// A watch over one control group for some beats.
fn watched(disabled: &[&str]) -> (Watch, Frame) {
    let disabled: Vec<String> = disabled.iter().map(|name| (*name).to_owned()).collect();
    let mut watch = Watch::new(&Thresholds::default(), &disabled, false).unwrap();
    watch.judge_with(crate::interference::model(&crate::config::load(None, &[]).unwrap()).unwrap());
    let mut frame = Frame::default();
    let info = Arc::new(DeviceInfo::new(DeviceKind::Cgroup, "a.service"));
    Arc::make_mut(&mut frame.devices).register(&info).unwrap();
    let history = History::new(10);
    for second in 1..4 {
        frame.begin(Timestamp { mono_ns: 1, wall_ms: 1 }.after(Duration::from_secs(second)));
        watch.observe(&frame, &history, &Kin::default());
    }
    (watch, frame)
}

#[test]
fn interference_is_estimated_unless_it_is_switched_off() {
    let (watch, frame) = watched(&[]);
    assert_eq!(watch.interference(&frame).len(), 1);
    let (mut watch, frame) = watched(&[interference::NAME]);
    assert!(watch.interference(&frame).is_empty());
    let kept = tempfile::tempdir().unwrap();
    let config = crate::config::load(None, &[]).unwrap();
    let mut govern = Govern::new(&config.power, Keeping::Thread(KeeperThread::default()));
    watch.keep_in(kept.path(), frame.at, &mut govern);
    watch.finish(&frame, &govern);
    assert!(!kept.path().join("learnt-interference.bin").exists(), "and keeps nothing");
}

#[test]
fn its_name_is_one_that_may_be_switched_off() {
    let set = |value: &str| crate::config::Override {
        origin: "--set".into(),
        key: "detectors.disabled".into(),
        value: value.into(),
    };
    let config = crate::config::load(None, &[set(r#"["interference"]"#)]).unwrap();
    assert_eq!(config.detectors_disabled, [interference::NAME]);
    assert!(crate::config::load(None, &[set(r#"["astrology"]"#)]).is_err());
}
