//! Errors that RAS counted, by block, and pages of memory taken out of use: Documentation/gpu/amdgpu/ras.rst.
use crate::sysfs::{Attr, absence, number};
use model::{Absence, Calls, Metric, Reading};
use std::path::Path;

/// A block's file, and the metrics of its corrected and uncorrected errors; blocks without count in the sums.
const BLOCKS: [(&str, Option<(Metric, Metric)>); 19] = [
    ("umc_err_count", Some((Metric::EccCorrectedMemory, Metric::EccUncorrectedMemory))),
    ("gfx_err_count", Some((Metric::EccCorrectedGraphics, Metric::EccUncorrectedGraphics))),
    ("sdma_err_count", Some((Metric::EccCorrectedCopy, Metric::EccUncorrectedCopy))),
    ("mmhub_err_count", Some((Metric::EccCorrectedHub, Metric::EccUncorrectedHub))),
    (FABRIC, Some((Metric::EccCorrectedFabric, Metric::EccUncorrectedFabric))),
    ("athub_err_count", None),
    ("pcie_bif_err_count", None),
    ("hdp_err_count", None),
    ("df_err_count", None),
    ("smn_err_count", None),
    ("sem_err_count", None),
    ("mp0_err_count", None),
    ("mp1_err_count", None),
    ("fuse_err_count", None),
    ("mca_err_count", None),
    ("vcn_err_count", None),
    ("jpeg_err_count", None),
    ("ih_err_count", None),
    ("mpio_err_count", None),
];
/// Errors of the links between cards. `xgmi_error` is not read: reading it clears it.
const FABRIC: &str = "xgmi_wafl_err_count";
/// Pages with their state: R for retired, P for pending, F for those that could not be.
const PAGES: &str = "gpu_vram_bad_pages";

/// Errors of one block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Errors {
    /// Corrected ones.
    pub(super) corrected: f64,
    /// Uncorrected ones.
    pub(super) uncorrected: f64,
}

/// The counts in lines such as `ue: 0` and `ce: 3`; lines of other kinds, such as `de`, are left alone.
pub(super) fn errors(text: &str) -> Option<Errors> {
    let count = |kind: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(kind)?.strip_prefix(':'))?;
        number(line.trim()).filter(|count| *count >= 0.0)
    };
    Some(Errors { corrected: count("ce")?, uncorrected: count("ue")? })
}

/// How many pages are retired and pending, in lines such as `0x00001000 : 0x00001000 : R`.
pub(super) fn pages(text: &str) -> Option<(f64, f64)> {
    let state = |line: &str| {
        Some(line.rsplit(':').next()?.trim().to_owned()).filter(|_| line.trim().starts_with("0x"))
    };
    let lines = || text.lines().filter(|line| !line.trim().is_empty());
    let known = |line: &str| matches!(state(line).as_deref(), Some("R" | "P" | "F"));
    let count = |wanted: &str| lines().filter(|line| state(line).as_deref() == Some(wanted)).count() as f64;
    lines().all(known).then(|| (count("R"), count("P")))
}

/// One block of a card.
#[derive(Debug)]
struct Block {
    attr: Attr,
    metrics: Option<(Metric, Metric)>,
    /// Whether these are errors of the links between cards.
    is_fabric: bool,
}

/// The files that a card has.
#[derive(Debug, Default)]
pub(super) struct Ras {
    blocks: Vec<Block>,
    pages: Option<Attr>,
}

impl Ras {
    /// Looks which blocks a card counts errors of.
    pub(super) fn found(device: &Path) -> Self {
        let folder = device.join("ras");
        let attr = |name: &'static str| {
            Some(folder.join(name)).filter(|path| path.exists()).map(|path| Attr::new(name, path))
        };
        let block = |(name, metrics): (&'static str, _)| {
            Some(Block { attr: attr(name)?, metrics, is_fabric: name == FABRIC })
        };
        Self { blocks: BLOCKS.into_iter().filter_map(block).collect(), pages: attr(PAGES) }
    }

    /// Adds everything that is counted.
    pub(super) fn read(&mut self, calls: &Calls, known: &mut Vec<(Metric, Reading)>) {
        let mut sum = Ok(Errors { corrected: 0.0, uncorrected: 0.0 });
        for Block { attr, metrics, is_fabric } in &mut self.blocks {
            let counted = block(attr, calls);
            if counted == Err(Absence::Unsupported) {
                continue;
            }
            if let Some((corrected, uncorrected)) = *metrics {
                known.push((corrected, reading(corrected, counted.map(|errors| errors.corrected))));
                known.push((uncorrected, reading(uncorrected, counted.map(|errors| errors.uncorrected))));
            }
            if *is_fabric {
                let all = counted.map(|errors| errors.corrected + errors.uncorrected);
                known.push((Metric::LinkErrorsOther, reading(Metric::LinkErrorsOther, all)));
            }
            sum = add(sum, counted);
        }
        if !self.blocks.is_empty() {
            let [corrected, uncorrected] = [Metric::EccCorrectedVolatile, Metric::EccUncorrectedVolatile];
            known.push((corrected, reading(corrected, sum.map(|errors| errors.corrected))));
            known.push((uncorrected, reading(uncorrected, sum.map(|errors| errors.uncorrected))));
        }
        let Some(attr) = &mut self.pages else { return };
        let counted = match attr.text(calls) {
            Ok(text) => pages(text).ok_or(Absence::Implausible),
            Err(error) => Err(absence(&error)),
        };
        let pending = counted.map(|(_, pending)| f64::from(u8::from(pending > 0.0)));
        known.push((
            Metric::PagesRetiredDouble,
            reading(Metric::PagesRetiredDouble, counted.map(|(retired, _)| retired)),
        ));
        known.push((Metric::PageRetirementPending, reading(Metric::PageRetirementPending, pending)));
    }
}

fn block(attr: &mut Attr, calls: &Calls) -> Result<Errors, Absence> {
    match attr.text(calls) {
        Ok(text) => errors(text).ok_or(Absence::Implausible),
        Err(error) => Err(absence(&error)),
    }
}

/// A sum of which a part is not known is not known.
fn add(sum: Result<Errors, Absence>, part: Result<Errors, Absence>) -> Result<Errors, Absence> {
    let (sum, part) = (sum?, part?);
    Ok(Errors { corrected: sum.corrected + part.corrected, uncorrected: sum.uncorrected + part.uncorrected })
}

fn reading(metric: Metric, value: Result<f64, Absence>) -> Reading {
    value.map_or_else(Reading::Absent, |value| metric.reading(value))
}
