//! NVLinks: one device a link, with its state, speed, traffic and errors; and what they add up to on their GPU.
use super::codes::Fault;
use super::fields::{Field, Fields, Form};
use super::raw::{self, getters};
use super::session::Gpu;
use model::{Batch, DeviceInfo, DeviceKind, Metric, Reading, Slot, Vendor};

/// The most links of a device (`NVML_NVLINK_MAX_LINKS`).
const LINKS_MAX: u32 = 18;
/// The field that tells how many links a device has.
pub(super) const LINK_COUNT: u32 = 91;
/// The field that tells whether a link is up.
const STATE: u32 = 165;
/// From this version (`nvmlNvlinkVersion_t`) on, links count in another way: NVLink 5, of Blackwell.
const NEWER_FROM: u32 = 7;

const KIBI: f64 = 1024.0;
const MEGA: f64 = 1e6;

/// Fields of one link that every generation has: state, and speed in megabytes a second.
const EVERY: [(u32, Metric, f64); 2] = [(STATE, Metric::LinkUp, 1.0), (164, Metric::LinkSpeed, MEGA)];
/// Fields of one link up to Hopper: traffic in kibibytes, and errors.
const OLDER: [(u32, Metric, f64); 5] = [
    (138, Metric::LinkSent, KIBI),
    (139, Metric::LinkReceived, KIBI),
    (161, Metric::LinkReplay, 1.0),
    (162, Metric::LinkRecovery, 1.0),
    (163, Metric::LinkCrcFlit, 1.0),
];
/// Fields of one link from Blackwell on: traffic in bytes, and errors.
const NEWER: [(u32, Metric, f64); 10] = [
    (202, Metric::LinkSent, 1.0),
    (204, Metric::LinkReceived, 1.0),
    (206, Metric::LinkMalformed, 1.0),
    (207, Metric::LinkOverrun, 1.0),
    (208, Metric::LinkLocal, 1.0),
    (209, Metric::LinkRemote, 1.0),
    (211, Metric::LinkIntegrity, 1.0),
    (214, Metric::LinkDowned, 1.0),
    (215, Metric::LinkRecovery, 1.0),
    (221, Metric::LinkSymbol, 1.0),
];
/// Shares of wrong bits of one link from Blackwell on.
const BIT_ERRORS: [(u32, Metric); 2] = [(220, Metric::LinkEffectiveErrors), (222, Metric::LinkSymbolErrors)];
/// Counters that only a getter has, by its own numbers.
const GETTERS: [(u32, Metric); 2] = [(3, Metric::LinkCrcData), (4, Metric::LinkEcc)];

/// Every field number that is asked of a link, and that of their count.
#[cfg(test)]
pub(super) fn numbers() -> impl Iterator<Item = u32> {
    let rows = EVERY.into_iter().chain(OLDER).chain(NEWER);
    rows.map(|(number, ..)| number).chain(BIT_ERRORS.map(|(number, _)| number)).chain([LINK_COUNT])
}

/// Which sum on the GPU an error of a link counts for.
fn sum_of(metric: Metric) -> Option<Metric> {
    match metric {
        Metric::LinkCrcFlit | Metric::LinkCrcData => Some(Metric::LinkErrorsCrc),
        Metric::LinkReplay => Some(Metric::LinkErrorsReplay),
        Metric::LinkRecovery => Some(Metric::LinkErrorsRecovery),
        Metric::LinkEcc
        | Metric::LinkSymbol
        | Metric::LinkMalformed
        | Metric::LinkOverrun
        | Metric::LinkRemote
        | Metric::LinkLocal
        | Metric::LinkIntegrity
        | Metric::LinkDowned => Some(Metric::LinkErrorsOther),
        _ => None,
    }
}

/// One link.
#[derive(Debug)]
struct Link {
    slot: Slot,
    number: u32,
    older: bool,
    /// Whether each of the getters' counters is worth asking for.
    counted: [bool; GETTERS.len()],
}

/// The links of a board.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: Vec<Link>,
    /// Whether the driver is too old for the field that tells whether a link is up.
    asked_for_state: bool,
}

impl Links {
    /// Meets the links of a board: registers them and adds their fields to those that are read together.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn meet(
        gpu: &Gpu<'_>,
        whole: &DeviceInfo,
        fields: &mut Fields,
        batch: &mut Batch,
    ) -> Result<Self, Fault> {
        let mut links = Vec::new();
        for number in 0..count(gpu)? {
            let version = getters::link_version(gpu, number);
            let older = version.is_ok_and(|version| version < NEWER_FROM);
            let newer = version.is_ok_and(|version| version >= NEWER_FROM);
            let slot = batch.device(identity(gpu, whole, number));
            let of_link =
                |field, metric, form| Field { number: field, scope: number, metric, form, instead: None };
            let scoped = |(field, metric, scale)| of_link(field, metric, Form::Times(scale));
            fields.add(slot, EVERY.map(scoped));
            // A link whose version is not known is asked both ways, and what it does not have is found out.
            if !newer {
                fields.add(slot, OLDER.map(scoped));
            }
            if !older {
                fields.add(slot, NEWER.map(scoped));
                fields.add(slot, BIT_ERRORS.map(|(field, metric)| of_link(field, metric, Form::BitErrors)));
            }
            links.push(Link { slot, number, older: !newer, counted: [!newer; GETTERS.len()] });
        }
        let asked_for_state = !links.is_empty() && field(gpu, STATE, 0).is_err();
        Ok(Self { links, asked_for_state })
    }

    /// The slots of the links.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.links.iter().map(|link| link.slot)
    }

    /// Reads what no field has of links of older generations.
    ///
    /// # Errors
    /// When the device is lost.
    pub(super) fn read(
        &mut self,
        gpu: &Gpu<'_>,
        mut put: impl FnMut(Slot, Metric, Reading),
    ) -> Result<(), Fault> {
        if self.asked_for_state {
            for link in &self.links {
                match getters::link_state(gpu, link.number) {
                    Ok(state) => put(link.slot, Metric::LinkUp, Metric::LinkUp.reading(f64::from(state))),
                    Err(fault) if fault.lost() => return Err(fault),
                    Err(fault) => put(link.slot, Metric::LinkUp, Reading::Absent(fault.absence())),
                }
            }
        }
        for link in self.links.iter_mut().filter(|link| link.older) {
            for ((counter, metric), counted) in GETTERS.into_iter().zip(&mut link.counted) {
                if !*counted {
                    continue;
                }
                match getters::link_errors(gpu, link.number, counter) {
                    Ok(count) => put(link.slot, metric, metric.reading(count as f64)),
                    Err(fault) if fault.lost() => return Err(fault),
                    Err(fault) if fault.never() || fault == Fault::INVALID_ARGUMENT => *counted = false,
                    Err(fault) => put(link.slot, metric, Reading::Absent(fault.absence())),
                }
            }
        }
        Ok(())
    }

    /// Adds up what was read of the links, for the GPU. A sum of which no part is known is not made.
    pub(super) fn sum(&self, readings: &[(Slot, Metric, Reading)], mut put: impl FnMut(Metric, f64)) {
        if self.links.is_empty() {
            return;
        }
        let mut sums: [(Metric, Option<f64>); 5] = [
            (Metric::LinksUp, None),
            (Metric::LinkErrorsCrc, None),
            (Metric::LinkErrorsReplay, None),
            (Metric::LinkErrorsRecovery, None),
            (Metric::LinkErrorsOther, None),
        ];
        for (_, metric, reading) in readings {
            let whole = if *metric == Metric::LinkUp { Some(Metric::LinksUp) } else { sum_of(*metric) };
            let place = sums.iter_mut().find(|(sum, _)| Some(*sum) == whole);
            if let Some(((_, sum), value)) = place.zip(reading.value()) {
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
        }
        // At most LINKS_MAX.
        put(Metric::Links, self.links.len() as f64);
        sums.into_iter()
            .filter_map(|(metric, sum)| Some((metric, sum?)))
            .for_each(|(metric, sum)| put(metric, sum));
    }
}

/// How many links the device has: by its own count, else as many as answer.
fn count(gpu: &Gpu<'_>) -> Result<u32, Fault> {
    match field(gpu, LINK_COUNT, 0) {
        // A count is a small whole number.
        Ok(count) => return Ok((count as u32).min(LINKS_MAX)),
        Err(fault) if fault.lost() => return Err(fault),
        Err(_) => {}
    }
    Ok((0..LINKS_MAX).take_while(|link| getters::link_state(gpu, *link).is_ok()).count() as u32)
}

/// One field by itself.
fn field(gpu: &Gpu<'_>, number: u32, scope: u32) -> Result<f64, Fault> {
    let mut asked = [raw::ask(number, scope)];
    raw::field_values(gpu, &mut asked)?;
    raw::answer(&asked[0])
}

fn identity(gpu: &Gpu<'_>, whole: &DeviceInfo, number: u32) -> DeviceInfo {
    let link = gpu.call("nvmlDeviceGetNvLinkRemotePciInfo_v2", |device| {
        device.link_wrapper_for(number).remote_pci_info()
    });
    let remote = link.ok().map(|pci| pci.bus_id).filter(|place| !place.is_empty());
    DeviceInfo {
        name: format!("{}/link{number}", whole.name),
        vendor: Vendor::Nvidia,
        parent: whole.key.clone(),
        attributes: remote.into_iter().map(|place| ("remote".to_owned(), place)).collect(),
        ..DeviceInfo::new(DeviceKind::Link, format!("{}/link{number}", whole.key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_a_link_is_in_one_sum() {
        let rows = OLDER.iter().chain(&NEWER).map(|(_, metric, _)| *metric);
        for metric in rows.chain(GETTERS.map(|(_, metric)| metric)) {
            let traffic = matches!(metric, Metric::LinkSent | Metric::LinkReceived);
            assert_eq!(sum_of(metric).is_none(), traffic, "{metric}");
            assert!(metric.column(DeviceKind::Link).is_some());
        }
    }
}
