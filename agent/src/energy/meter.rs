//! The meter of inference engines: the energy of the accelerators that an engine has to itself, over the tokens it generated.
//!
//! Tokens are counted when an engine's page shows more of them; the energy since the last time belongs to them, prompts and
//! idling included. Where the energy of one beat in between is not known, or the engine was restarted, that stretch is left
//! out of both. An accelerator that two engines name is nobody's alone, so neither has a figure.
use crate::tally::days::{Day, EngineDay};
use model::{Absence, DeviceId, DeviceKind, DeviceTable, Frame, Metric, Reading, Timestamp};
use std::sync::Arc;

/// Time after which a stretch counts for little in the present figure, in seconds: several readings of a page.
const WINDOW_S: f64 = 60.0;
/// After this long without a token the energy so far is counted as idling, in seconds.
const IDLE_S: f64 = 60.0;
/// Tokens below which the present figure says nothing.
const TOKENS_MIN: f64 = 1.0;

/// One engine.
#[derive(Debug, Default)]
struct Engine {
    generation: u32,
    /// The accelerators that it has to itself; `None` where that is not known.
    devices: Option<Vec<DeviceId>>,
    generated: Option<f64>,
    prompts: Option<f64>,
    /// Energy since tokens were last counted; `None` where it is not known.
    pending_j: Option<f64>,
    since: Timestamp,
    /// Energy metered since the start.
    energy_j: Option<f64>,
    recent_j: f64,
    recent_tokens: f64,
}

/// Every engine of the node. Allocates only when devices change.
#[derive(Debug, Default)]
pub struct Meter {
    /// By device index.
    engines: Vec<Engine>,
    /// The table that the engines' accelerators were looked up in.
    table: Option<Arc<DeviceTable>>,
}

impl Meter {
    /// Follows one beat. `used`: the energy of each accelerator on it by device index, in joules; `None` where not known.
    pub fn turn(&mut self, frame: &mut Frame, used: &[Option<f64>], day: &mut Day) {
        let devices = Arc::clone(&frame.devices);
        if self.table.as_ref().is_none_or(|table| !Arc::ptr_eq(table, &devices)) {
            self.look_up(&devices);
        }
        for device in devices.of_kind(DeviceKind::Engine) {
            let engine = &mut self.engines[device.id.index()];
            if engine.generation != device.generation {
                let devices = engine.devices.take();
                *engine = Engine { generation: device.generation, devices, ..Engine::default() };
            }
            let of = |device: &DeviceId| used.get(device.index()).copied().flatten();
            let beat_j: Option<f64> = engine.devices.as_ref().and_then(|list| list.iter().map(of).sum());
            let mut account = day.engine(&device.info.key);
            if let Some(account) = &mut account
                && (account.name != device.info.name || account.model != device.info.model)
            {
                account.name.clone_from(&device.info.name);
                account.model.clone_from(&device.info.model);
            }
            let counts = [Metric::EngineTokensPrompt, Metric::EngineTokensGenerated];
            let counts = counts.map(|metric| frame.value(device.id, metric));
            engine.follow(frame.at, beat_j, counts, account);
            let [energy, per_token] = engine.readings(frame.get(device.id, Metric::EngineTokensGenerated));
            frame.put(device.id, Metric::EngineEnergy, energy);
            frame.put(device.id, Metric::EngineEnergyPerToken, per_token);
        }
    }

    /// Looks every engine's accelerators up again.
    fn look_up(&mut self, table: &Arc<DeviceTable>) {
        self.engines.resize_with(table.len(), Engine::default);
        let mut taken: Vec<DeviceId> = Vec::new();
        for device in table.of_kind(DeviceKind::Engine) {
            let names = device.info.attributes.get("devices");
            let find = |name: &str| {
                let mut all = table.accelerators();
                all.find(|other| other.info.name == name || other.info.key == name).map(|other| other.id)
            };
            let found: Option<Vec<_>> = names.and_then(|names| names.split(',').map(find).collect());
            let found = found.map(|mut list| {
                list.sort_unstable();
                list.dedup();
                list
            });
            taken.extend(found.iter().flatten());
            self.engines[device.id.index()].devices = found;
        }
        let alone = |device: &DeviceId| taken.iter().filter(|other| *other == device).count() == 1;
        for engine in &mut self.engines {
            engine.devices = engine.devices.take().filter(|list| list.iter().all(alone));
        }
        self.table = Some(Arc::clone(table));
    }
}

impl Engine {
    /// Follows one beat: the energy on it, and the tokens of prompts and of generation that the page shows.
    fn follow(
        &mut self,
        at: Timestamp,
        beat_j: Option<f64>,
        [prompts, generated]: [Option<f64>; 2],
        account: Option<&mut EngineDay>,
    ) {
        let mut nobody = EngineDay::default();
        let account = account.unwrap_or(&mut nobody);
        self.pending_j = self.pending_j.zip(beat_j).map(|(pending, beat)| pending + beat);
        if let Some(now) = prompts {
            let before = self.prompts.replace(now);
            account.prompt_tokens +=
                before.filter(|before| *before <= now).map_or(0.0, |before| now - before);
        }
        let Some(now) = generated else { return };
        match self.generated.replace(now) {
            Some(before) if before <= now => {
                let tokens = now - before;
                if tokens > 0.0 || at.seconds_since(self.since) >= IDLE_S {
                    self.settle(at, tokens, account);
                }
            }
            // The first sight of it, or a restart: what was before is not known.
            _ => self.begin(at),
        }
    }

    fn begin(&mut self, at: Timestamp) {
        self.pending_j = Some(0.0);
        self.since = at;
    }

    fn settle(&mut self, at: Timestamp, tokens: f64, account: &mut EngineDay) {
        account.generated_tokens += tokens;
        let fades = (-at.seconds_since(self.since) / WINDOW_S).exp();
        self.recent_j *= fades;
        self.recent_tokens *= fades;
        if let Some(energy_j) = self.pending_j {
            self.recent_j += energy_j;
            self.recent_tokens += tokens;
            self.energy_j = Some(self.energy_j.unwrap_or(0.0) + energy_j);
            account.metered_j += energy_j;
            account.metered_tokens += tokens;
        }
        self.begin(at);
    }

    /// Energy in all, and for each token. `tokens`: what is known of the engine's tokens on this beat.
    fn readings(&self, tokens: Reading) -> [Reading; 2] {
        let unknown = Reading::Absent(Absence::Unsupported);
        let all = self.energy_j.map_or(unknown, |energy| Metric::EngineEnergy.reading(energy));
        let each = match (tokens, self.pending_j) {
            (Reading::Absent(absence), _) => Reading::Absent(absence),
            _ if self.devices.is_none() => unknown,
            (_, None) => Reading::Absent(Absence::Lost),
            _ if self.recent_tokens < TOKENS_MIN => unknown,
            _ => Metric::EngineEnergyPerToken.reading(self.recent_j / self.recent_tokens),
        };
        [all, each]
    }
}

#[cfg(test)]
mod tests;
