//! The replay rig: a recording, beat by beat, under its own time. Detectors and policy run anew; nothing is written.
use super::stepped::SteppedClock;
use super::{Assembly, Pace, RigError, node};
use crate::config::Config;
use crate::feed::Feed;
use crate::hands::Hands;
use crate::line::Place;
use crate::source::Opened;
use collectors::replay::{Recording, Replay};
use model::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn assemble(config: &Config) -> Result<Assembly, RigError> {
    let path: PathBuf = config.rig.replay_path.clone().unwrap_or_default();
    let recording = Recording::open(&path).map_err(|error| RigError::Recording(error.to_string()))?;
    let (host, beat_s, start) = (recording.host().to_owned(), recording.beat_s(), recording.start());
    let clock = Arc::new(SteppedClock::new(start));
    let any: Arc<dyn Clock> = Arc::clone(&clock) as Arc<dyn Clock>;
    let source = Opened::given(Box::new(Replay::new(recording)), Arc::clone(&any));
    let mut config = config.clone();
    config.beat.interval = Duration::from_secs_f64(beat_s);
    let note = format!("recorded in {}", path.display());
    Ok(Assembly {
        feed: Feed::new(vec![Place::Inline(Box::new(source))], config.beat.deadline(), Arc::clone(&any)),
        hands: Box::new(Hands::default),
        clock: any,
        pace: Pace::Stepped(clock),
        node: node(&config, host, note),
        energy: false,
        sim: None,
    })
}
