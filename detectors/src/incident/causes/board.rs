//! Faults of an accelerator as causes: loss, hang, memory, links, cooling, clocks. Places are ours.
use super::xid::{AFTERMATH, APPLICATION, LINK, REMAP};
use super::{Reach, Row, SLOW_LEAD_S, Sign, USUAL};
use model::FaultKind as F;

const fn any(fault: F) -> Sign {
    Sign::any(fault)
}

/// What heat brings.
const HEAT: &[Sign] = &[any(F::ThermalSlowdown), any(F::ClockLow), any(F::Straggler), any(F::Residual)];
/// What a lower clock or a thinner pipe brings.
const SLOWNESS: &[Sign] = &[any(F::Straggler), any(F::Residual)];
/// What statistics make of anything.
const STATISTICS: &[Sign] = &[any(F::Residual)];

pub(super) const ROWS: &[Row] = &[
    Row {
        sign: any(F::DeviceLost),
        rank: 70,
        stated: true,
        explains: &[
            any(F::DeviceChanged),
            any(F::MetricVanished),
            any(F::SensorFrozen),
            any(F::AnswersSlowly),
            any(F::LinkErrors),
            any(F::LinkDown),
            any(F::FabricDown),
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::ProcessStuck),
            any(F::Straggler),
            any(F::Residual),
            AFTERMATH,
        ],
        reach: Reach::Peers,
        sentence: "The device is gone: its driver no longer lists it, or it no longer answers.",
        confirm: "lspci on the host lists fewer devices than before, or the vendor's own tool cannot reach it.",
        ..USUAL
    },
    Row {
        sign: any(F::SourceHung),
        rank: 68,
        stated: true,
        explains: &[
            any(F::AnswersSlowly),
            any(F::ProcessStuck),
            any(F::MetricVanished),
            any(F::SensorFrozen),
            any(F::Residual),
        ],
        reach: Reach::Node,
        lead_s: SLOW_LEAD_S,
        sentence: "A call into the driver does not return: driver or device hang.",
        confirm: "The kernel log has a hung task or a timeout of the driver; the vendor's own tool hangs as well.",
        ..USUAL
    },
    Row {
        sign: any(F::DeviceFault),
        rank: 74,
        stated: true,
        explains: &[
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::DeviceLost),
            any(F::EccUncorrectable),
            any(F::LinkDown),
            any(F::LinkErrors),
            any(F::Straggler),
            any(F::Residual),
        ],
        sentence: "The device reports an error code of its own.",
        confirm: "Look the code up in the vendor's list; its own health check should be bad as well.",
        ..USUAL
    },
    Row {
        sign: any(F::EccUncorrectable),
        rank: 66,
        stated: true,
        explains: &[
            any(F::RepairPending),
            any(F::ErrorsRising),
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::Residual),
            REMAP,
            AFTERMATH,
            APPLICATION,
        ],
        lead_s: SLOW_LEAD_S,
        sentence: "Device memory has an error that ECC could not correct.",
        confirm: "The counter of uncorrected errors rose; after a reset a row remap is recorded, or the vendor's memory test fails.",
        ..USUAL
    },
    Row {
        sign: any(F::SramUncorrectable),
        rank: 88,
        stated: true,
        explains: &[
            any(F::EccUncorrectable),
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::Residual),
            AFTERMATH,
        ],
        lead_s: SLOW_LEAD_S,
        sentence: "The chip's own memory fails, which no row remap can mend.",
        confirm: "The aggregate count of on-chip errors stays above the vendor's limit after a reset.",
        ..USUAL
    },
    Row {
        sign: any(F::InforomCorrupt),
        rank: 35,
        stated: true,
        explains: &[any(F::HealthBad)],
        lead_s: SLOW_LEAD_S,
        sentence: "The board's memory of its own settings and history is damaged.",
        confirm: "nvidia-smi warns of it, and still does after a reset.",
        ..USUAL
    },
    Row {
        sign: any(F::RowRemapFailed),
        rank: 86,
        stated: true,
        explains: &[
            any(F::EccUncorrectable),
            any(F::RepairPending),
            any(F::SparesLow),
            any(F::HealthBad),
            any(F::RecoveryWanted),
            any(F::Residual),
            REMAP,
            AFTERMATH,
        ],
        lead_s: SLOW_LEAD_S,
        sentence: "A bad row of device memory could not be replaced: its bank has no spare left.",
        confirm: "The vendor's tool shows a failed remap that is still there after a reset.",
        ..USUAL
    },
    Row {
        sign: any(F::SparesLow),
        rank: 42,
        stated: true,
        explains: STATISTICS,
        sentence: "So many rows or pages are out of use that few spares are left.",
        confirm: "The counts of rows or pages out of use, beside the vendor's limit.",
        ..USUAL
    },
    Row {
        sign: any(F::RepairPending),
        rank: 36,
        stated: true,
        explains: STATISTICS,
        sentence: "A bad row or page of memory waits for a reset to be taken out of use.",
        confirm: "After a reset nothing is pending any more.",
        ..USUAL
    },
    Row {
        sign: any(F::RecoveryWanted),
        rank: 32,
        stated: true,
        explains: STATISTICS,
        sentence: "The driver asks for a recovery action and gives no reason.",
        confirm: "After the action the driver asks for nothing; the kernel log may give the reason.",
        ..USUAL
    },
    Row {
        sign: any(F::HealthBad),
        rank: 34,
        stated: true,
        explains: STATISTICS,
        sentence: "The device calls itself unwell and gives no reason.",
        confirm: "The vendor's diagnostics, and its log of the device's error codes.",
        ..USUAL
    },
    Row {
        sign: any(F::DeviceChanged),
        rank: 30,
        stated: true,
        explains: STATISTICS,
        sentence: "After it came back the device is not what it was: board, firmware, driver or slot differ.",
        confirm: "Compare the device's attributes with the node's records; somebody may have changed it on purpose.",
        ..USUAL
    },
    Row {
        sign: any(F::DuplicateIdentity),
        rank: 64,
        stated: true,
        explains: STATISTICS,
        sentence: "Two devices give one identity, so one of them is not read.",
        confirm: "The vendor's tool lists the same identity twice; a power cycle may give it back.",
        ..USUAL
    },
    Row {
        sign: any(F::CoolingPoor),
        rank: 62,
        explains: HEAT,
        sentence: "The device is cooled worse than its siblings: a cooler's seat, a fan, or the air's way.",
        confirm: "Under the same load in another slot it is as hot, or another device in this slot is too: board or slot.",
        ..USUAL
    },
    Row {
        sign: any(F::HeatCreep),
        rank: 60,
        explains: HEAT,
        window_s: SLOW_LEAD_S,
        sentence: "Cooling has grown worse over time: dust, a tiring fan, or thermal paste.",
        confirm: "Temperature at equal power falls after cleaning or new paste.",
        ..USUAL
    },
    Row {
        sign: any(F::ThermalSlowdown),
        rank: 58,
        stated: true,
        explains: SLOWNESS_OF_HEAT,
        sentence: "The device is too hot and lowers its clocks.",
        confirm: "Inlet temperature and fans: if the siblings are cool, it is this device's cooler, else the room or the fans.",
        ..USUAL
    },
    Row {
        sign: any(F::PcieReplays),
        rank: 54,
        stated: true,
        explains: &[any(F::PcieNarrow), any(F::Straggler), any(F::Residual)],
        sentence: "The PCIe link drops packets and sends them again: signal quality is poor.",
        confirm: "Replays stop after the board or riser was reseated, or follow the board into another slot.",
        ..USUAL
    },
    Row {
        sign: any(F::PcieNarrow),
        rank: 52,
        stated: true,
        explains: SLOWNESS,
        sentence: "The PCIe link came up with fewer lanes or slower than device and slot allow.",
        confirm: "lspci shows the link's state below its capability (LnkSta, LnkCap); reseating brings it back.",
        ..USUAL
    },
    Row {
        sign: any(F::LinkDown),
        rank: 56,
        stated: true,
        explains: &[any(F::LinkErrors), any(F::FabricDown), any(F::Straggler), any(F::Residual), AFTERMATH],
        reach: Reach::Peers,
        together_s: 5.0,
        sentence: "A link between accelerators is down.",
        confirm: "The other end calls the link down too; if it stays down after a reset, board, cable or switch is suspect.",
        ..USUAL
    },
    Row {
        sign: any(F::LinkErrors),
        rank: 48,
        stated: true,
        explains: &[any(F::FabricDown), any(F::Straggler), any(F::Residual)],
        reach: Reach::Peers,
        together_s: 5.0,
        sentence: "A link between accelerators corrupts or repeats data.",
        confirm: "The error counters of both ends; a test of the link by the vendor's diagnostics.",
        ..USUAL
    },
    Row {
        sign: any(F::FabricDown),
        rank: 46,
        stated: true,
        explains: SLOWNESS,
        together_s: 30.0,
        sentence: "The device is not part of its fabric, so it cannot reach its peers.",
        confirm: "The fabric manager's log; applications fail to initialise with a fabric error.",
        ..USUAL
    },
    Row {
        sign: any(F::ClockLow),
        rank: 38,
        explains: SLOWNESS,
        sentence: "The clock stays low under load and the device gives no reason.",
        confirm: "Nobody locked the clocks; after a reset the clock is as high as its siblings'.",
        ..USUAL
    },
    Row {
        sign: any(F::ErrorsRising),
        rank: 28,
        explains: STATISTICS,
        sentence: "Corrected errors come faster and faster: the part is wearing out.",
        confirm: "The vendor's diagnostics of the part; the count goes on rising after a reset.",
        ..USUAL
    },
    Row {
        sign: any(F::Straggler),
        rank: 22,
        explains: STATISTICS,
        sentence: "The device gets less done than its siblings at the same work, and no counter says why.",
        confirm: "Under the vendor's benchmark it is behind as well; if not, it is the work and not the device.",
        ..USUAL
    },
    Row {
        sign: any(F::AnswersSlowly),
        rank: 18,
        explains: STATISTICS,
        sentence: "The driver takes ever longer to answer for the device.",
        confirm: "The vendor's own tool is slow as well; the kernel log has timeouts of the driver.",
        ..USUAL
    },
    Row {
        sign: any(F::SensorFrozen),
        rank: 16,
        explains: STATISTICS,
        sentence: "A sensor repeats one value, so what it says is worth nothing.",
        confirm: "The vendor's own tool shows the same frozen value; a reset brings it back.",
        ..USUAL
    },
    Row {
        sign: any(F::MetricVanished),
        rank: 12,
        explains: STATISTICS,
        sentence: "A quantity that was measured no longer is, though its device answers.",
        confirm: "wattkeeper doctor names a right that is missing, or the driver was changed.",
        ..USUAL
    },
];

/// What a slowdown for heat brings. The links of a board that throttles are not among it.
const SLOWNESS_OF_HEAT: &[Sign] = &[any(F::ClockLow), any(F::Straggler), any(F::Residual)];

/// What a switch between accelerators takes with it.
pub(super) const SWITCHED: &[Sign] =
    &[LINK, any(F::LinkDown), any(F::LinkErrors), any(F::FabricDown), any(F::Straggler), any(F::Residual)];
