//! XID errors as causes. Classes after NVIDIA's XID catalogue (October 2025); what follows from what is ours unless a row says.
use super::{Reach, Row, SLOW_LEAD_S, Sign, USUAL};
use model::FaultKind as F;

/// What the driver does to an application after another error: it stops processing (43) and cleans up (45). The catalogue
/// says of 45 "follow other XID".
pub(super) const AFTERMATH: Sign = Sign::xid(&[43, 45]);
/// Errors that applications cause: illegal instructions and addresses, page faults.
pub(super) const APPLICATION: Sign = Sign::xid(&[8, 11, 13, 25, 31, 32, 39, 40, 41, 68, 69, 80]);
/// Rows of memory that were or could not be replaced.
pub(super) const REMAP: Sign = Sign::xid(&[63, 64, 156, 157]);
/// Errors of links between GPUs.
pub(super) const LINK: Sign = Sign::xid(&[74, 136, 137, 144, 145, 146, 147, 148, 149, 150, 155]);
/// The driver's processor on the GPU does not answer.
const GSP: Sign = Sign::xid(&[119, 120]);
/// A controller on the GPU has halted or timed out.
const CONTROLLER: Sign = Sign::xid(&[46, 61, 62, 109, 110, 122, 143, 158, 169]);
/// Memory errors that could not be contained.
pub(super) const MEMORY: Sign = Sign::xid(&[48, 95, 140, 171, 172]);
/// A memory error that was contained: only its application is lost.
const CONTAINED: Sign = Sign::xid(&[94]);

const fn any(fault: F) -> Sign {
    Sign::any(fault)
}

pub(super) const ROWS: &[Row] = &[
    Row {
        sign: Sign::xid(&[79]),
        rank: 92,
        stated: true,
        explains: &[
            any(F::DeviceLost),
            any(F::DeviceChanged),
            any(F::SourceHung),
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::PcieAer),
            any(F::PcieNarrow),
            any(F::PcieReplays),
            any(F::LinkErrors),
            any(F::LinkDown),
            any(F::FabricDown),
            any(F::ProcessStuck),
            any(F::Straggler),
            any(F::MetricVanished),
            any(F::SensorFrozen),
            any(F::AnswersSlowly),
            any(F::Residual),
            AFTERMATH,
            LINK,
            GSP,
        ],
        reach: Reach::Peers,
        sentence: "The GPU fell off the bus: the driver cannot reach it over PCIe any more.",
        confirm: "The kernel log names the GPU's PCI address at that time, and lspci shows no working device there; \
                  PCIe errors (AER) or power supply events just before point at the slot, riser or feed.",
        ..USUAL
    },
    Row {
        sign: MEMORY,
        rank: 90,
        stated: true,
        explains: &[
            any(F::EccUncorrectable),
            any(F::SramUncorrectable),
            any(F::RowRemapFailed),
            any(F::RepairPending),
            any(F::ErrorsRising),
            any(F::RecoveryWanted),
            any(F::HealthBad),
            any(F::Residual),
            CONTAINED,
            REMAP,
            AFTERMATH,
            APPLICATION,
        ],
        lead_s: SLOW_LEAD_S,
        sentence: "Device memory has an error that ECC could not correct, and that reached more than one application's data.",
        confirm: "The counters of uncorrected errors rose at that time; after a reset the vendor's memory test passes, or a row \
                  remap is recorded.",
        ..USUAL
    },
    Row {
        sign: GSP,
        rank: 84,
        stated: true,
        explains: &[
            any(F::SourceHung),
            any(F::DeviceLost),
            any(F::RecoveryWanted),
            any(F::HealthBad),
            any(F::ProcessStuck),
            any(F::AnswersSlowly),
            any(F::MetricVanished),
            any(F::Straggler),
            any(F::Residual),
            AFTERMATH,
            CONTROLLER,
            APPLICATION,
        ],
        sentence: "The GPU's own system processor (GSP) does not answer the driver.",
        confirm: "Driver calls for that GPU time out while others answer; a reset of the GPU clears it. If it returns, compare \
                  driver and firmware versions with the vendor's known issues.",
        ..USUAL
    },
    Row {
        sign: LINK,
        rank: 82,
        stated: true,
        explains: &[
            any(F::LinkErrors),
            any(F::LinkDown),
            any(F::FabricDown),
            any(F::RecoveryWanted),
            any(F::Straggler),
            any(F::Residual),
            AFTERMATH,
            APPLICATION,
        ],
        reach: Reach::Peers,
        together_s: 5.0,
        sentence: "A link between GPUs (NVLink) failed.",
        confirm: "The GPU at the other end of the link reports it too, and the link's error counters rose; if only one link of one \
                  board fails after a reset, that board or its slot is suspect.",
        ..USUAL
    },
    Row {
        // 122, 31: of PMU errors 82 % were followed by an MMU error within 0.05 s (Delta, arXiv 2503.11901).
        sign: CONTROLLER,
        rank: 78,
        stated: true,
        explains: &[
            any(F::SourceHung),
            any(F::RecoveryWanted),
            any(F::HealthBad),
            any(F::ProcessStuck),
            any(F::AnswersSlowly),
            any(F::MetricVanished),
            any(F::Straggler),
            any(F::Residual),
            AFTERMATH,
            APPLICATION,
        ],
        sentence: "A controller on the GPU halted or timed out.",
        confirm: "A reset of the GPU clears it. If it returns after a reset, run the vendor's diagnostics.",
        ..USUAL
    },
    Row {
        sign: Sign::xid(&[54, 162, 163, 164, 165]),
        rank: 76,
        stated: true,
        explains: &[any(F::PowerBrake), any(F::ClockLow), any(F::Straggler), any(F::Residual)],
        sentence: "The board's power connection is not as it should be.",
        confirm: "The auxiliary power cable or connector is loose or damaged, or the supply feeding it reports a fault.",
        ..USUAL
    },
    Row {
        sign: CONTAINED,
        rank: 72,
        stated: true,
        explains: &[
            any(F::EccUncorrectable),
            any(F::RepairPending),
            any(F::ErrorsRising),
            any(F::Residual),
            REMAP,
            AFTERMATH,
            APPLICATION,
        ],
        lead_s: SLOW_LEAD_S,
        sentence: "A memory error was contained: only the application that met it is lost.",
        confirm: "One application ended at that time and no other; the count of uncorrected errors rose by one.",
        ..USUAL
    },
    Row {
        sign: REMAP,
        rank: 44,
        stated: true,
        explains: &[any(F::RepairPending), any(F::SparesLow), any(F::Residual)],
        sentence: "A row of device memory was taken out of use, or could not be.",
        confirm: "The count of remapped rows rose; a remap takes effect with the next reset.",
        ..USUAL
    },
    Row {
        sign: APPLICATION,
        rank: 24,
        stated: true,
        explains: &[AFTERMATH, any(F::Residual)],
        sentence: "An application made the GPU do something illegal, or met an error that the driver contained.",
        confirm: "The same program fails on another GPU too; if it fails on this one alone, the hardware is suspect.",
        ..USUAL
    },
    Row {
        sign: AFTERMATH,
        rank: 14,
        stated: true,
        explains: &[any(F::Residual)],
        sentence: "The driver stopped an application on the GPU or cleaned up after it.",
        confirm: "A job ended or was killed at that time; else another error in the kernel log came before it.",
        ..USUAL
    },
    Row {
        sign: any(F::Xid),
        rank: 40,
        stated: true,
        explains: &[any(F::RecoveryWanted), any(F::Residual), AFTERMATH],
        sentence: "The driver reports an error of the GPU that has no class of its own here.",
        confirm: "Look the number up in NVIDIA's XID catalogue and follow what it says.",
        ..USUAL
    },
];
