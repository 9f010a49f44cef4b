//! What the learner of settings sees of a beat: each accelerator's work, by its engine's tokens or by counters near to them.
use super::Seen;
use model::{Device, DeviceId, DeviceKind, Knob, Metric, Timestamp, View, Work};

/// An engine's tokens when they last changed: of prompts, and generated.
#[derive(Debug, Clone, Copy, Default)]
struct Tokens {
    generation: u32,
    counts: [Option<(f64, Timestamp)>; 2],
    /// Tokens a second and the seconds they took, on the beat on which the count changed.
    rates: [Option<(f64, f64)>; 2],
}

/// The eye: makes [`Seen`] of each accelerator. Allocates only when devices are added.
#[derive(Debug, Clone, Default)]
pub struct Eye {
    /// By device index.
    engines: Vec<Tokens>,
    seen: Vec<Seen>,
}

impl Eye {
    /// Looks at a beat.
    pub fn look(&mut self, view: &View<'_>) -> &[Seen] {
        self.follow_engines(view);
        self.seen.clear();
        let mut seen = std::mem::take(&mut self.seen);
        for device in view.frame.devices.accelerators() {
            let value = |metric| view.frame.value(device.id, metric);
            let work = view.frame.work(device.id).map(|state| state.work);
            let (rate, sharers) = self.rate(view, device, work);
            let limits = value(Metric::PowerLimitEnforced).zip(value(Metric::PowerLimitMax));
            seen.push(Seen {
                device: device.id,
                work,
                power_w: value(Metric::PowerAverage).or_else(|| value(Metric::PowerInstant)),
                rate,
                sharers,
                limit: limits.filter(|(_, max)| *max > 0.0).map(|(enforced, max)| enforced / max),
                clock: clock(view, device.id),
                priority: view.priority(device.id),
            });
        }
        self.seen = seen;
        &self.seen
    }

    fn follow_engines(&mut self, view: &View<'_>) {
        self.engines.resize(view.frame.devices.len(), Tokens::default());
        for device in view.frame.devices.of_kind(DeviceKind::Engine) {
            let tokens = &mut self.engines[device.id.index()];
            if tokens.generation != device.generation {
                *tokens = Tokens { generation: device.generation, ..Tokens::default() };
            }
            tokens.rates = [None; 2];
            for (place, metric) in
                [Metric::EngineTokensPrompt, Metric::EngineTokensGenerated].iter().enumerate()
            {
                let Some(now) = view.frame.value(device.id, *metric) else { continue };
                match tokens.counts[place] {
                    Some((before, _)) if before == now => {}
                    Some((before, at)) if before < now => {
                        let seconds = view.now.seconds_since(at);
                        tokens.rates[place] = (seconds > 0.0).then(|| ((now - before) / seconds, seconds));
                        tokens.counts[place] = Some((now, view.now));
                    }
                    _ => tokens.counts[place] = Some((now, view.now)),
                }
            }
        }
    }

    /// Work a second with the seconds that it is the mean of, and how many requests share it.
    fn rate(
        &self,
        view: &View<'_>,
        device: &Device,
        work: Option<Work>,
    ) -> (Option<(f64, f64)>, Option<f64>) {
        let value = |metric| view.frame.value(device.id, metric);
        let mut engines = view.frame.devices.of_kind(DeviceKind::Engine);
        let place = match work {
            Some(Work::Prefill) => Some(0),
            Some(Work::Decode) => Some(1),
            _ => None,
        };
        if let Some((place, engine)) = place.zip(engines.find(|engine| uses(engine, device))) {
            let running = view.frame.value(engine.id, Metric::EngineRequestsRunning);
            // Prompts share no step with each other, so only generation is told by request.
            return (self.engines[engine.id.index()].rates[place], running.filter(|_| place == 1));
        }
        let rate = match work {
            Some(Work::Training | Work::Prefill) => {
                let pipes = value(Metric::TensorActive).or_else(|| value(Metric::SmActive));
                pipes.zip(value(Metric::ClockSm)).map(|(active, hertz)| active * hertz)
            }
            Some(Work::Decode) => value(Metric::DramActive),
            _ => None,
        };
        (rate.map(|rate| (rate, view.frame.beat_s)), None)
    }
}

/// The highest clock allowed as a share of the highest there is: 1 where it is not limited, `None` where it cannot be.
fn clock(view: &View<'_>, device: DeviceId) -> Option<f64> {
    let span = view.reach(device, Knob::ClockMax)?;
    Some(view.clock_cap(device).map_or(1.0, |cap| (cap.limit.0 / span.max()).min(1.0)))
}

/// Whether an engine names an accelerator as its own.
fn uses(engine: &Device, device: &Device) -> bool {
    let names = engine.info.attributes.get("devices").map_or("", String::as_str);
    names.split(',').any(|name| !name.is_empty() && (name == device.info.name || name == device.info.key))
}
