//! Every fault of the catalogue: cases that raise it, and cases like it that raise nothing.
use super::stage::{Beat, Stage};
use crate::Catalogue;
use model::{Absence, Batch, FaultKind as F, Metric as M, NoticeKind, Severity, Slot};
use std::collections::BTreeSet;

type Play = fn(&mut Stage);

/// A board under load whose clock is low without a reason.
fn slow(beat: &mut Beat<'_>, state: f64) {
    fast(beat.batch, beat.at.gpu);
    beat.gpu(&[(M::ClockSm, 0.6e9), (M::PerformanceState, state)]);
}

fn fast(batch: &mut Batch, slot: Slot) {
    let values = [
        (M::Utilization, 0.95),
        (M::ClockSm, 1.9e9),
        (M::ClockSmMax, 1.98e9),
        (M::PowerInstant, 300.0),
        (M::PowerLimitEnforced, 700.0),
    ];
    values.iter().for_each(|(metric, value)| batch.set(slot, *metric, *value));
    let reasons = [
        M::EventIdle,
        M::EventAppClocks,
        M::EventSwPowerCap,
        M::EventHwSlowdown,
        M::EventSyncBoost,
        M::EventSwThermal,
        M::EventHwThermal,
        M::EventPowerBrake,
    ];
    reasons.iter().for_each(|reason| batch.flag(slot, *reason, false));
}

const FIRES: &[(F, Severity, &str, Play)] = &[
    (F::Xid, Severity::Critical, "off the bus", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Xid, 79));
    }),
    (F::DeviceLost, Severity::Critical, "silent", |s| {
        s.run(3, |b| b.gpu(&[(M::Up, 0.0)]));
    }),
    (F::DeviceLost, Severity::Critical, "gone", |s| {
        s.run(2, |_| {});
        s.leave(5);
        s.run(1, |_| {});
    }),
    (F::SourceHung, Severity::Critical, "source", |s| {
        s.run(2, |b| b.set(b.at.source, M::SourceLate, 9.0));
    }),
    (F::SourceHung, Severity::Critical, "call", |s| {
        s.run(2, |b| b.gpu(&[(M::CallLate, 1.5)]));
    }),
    (F::DeviceFault, Severity::Warning, "notice", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Fault, 7));
    }),
    (F::DeviceFault, Severity::Warning, "listed code", |s| {
        s.run(2, |b| b.gpu(&[(M::ErrorCodes, 1.0), (M::ErrorLastCode, 9.0)]));
    }),
    (F::DeviceFault, Severity::Critical, "with bad health", |s| {
        s.run(2, |b| b.gpu(&[(M::ErrorCodes, 1.0), (M::ErrorLastCode, 9.0), (M::HealthCode, 3.0)]));
    }),
    (F::HealthBad, Severity::Warning, "minor", |s| {
        s.run(2, |b| b.gpu(&[(M::HealthCode, 1.0)]));
    }),
    (F::HealthBad, Severity::Critical, "major", |s| {
        s.run(2, |b| b.gpu(&[(M::HealthCode, 2.0)]));
    }),
    (F::RecoveryWanted, Severity::Critical, "reset", |s| {
        s.run(2, |b| b.gpu(&[(M::RecoveryAction, 1.0)]));
    }),
    (F::RecoveryWanted, Severity::Warning, "drain of peers", |s| {
        s.run(2, |b| b.gpu(&[(M::RecoveryAction, 3.0)]));
    }),
    (F::DeviceChanged, Severity::Warning, "changed", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Changed, 0));
    }),
    (F::DuplicateIdentity, Severity::Critical, "duplicate", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Duplicate, 0));
    }),
    (F::ThermalSlowdown, Severity::Warning, "flag", |s| {
        s.run(40, |b| b.gpu(&[(M::EventSwThermal, 1.0)]));
    }),
    (F::ThermalSlowdown, Severity::Critical, "near shutdown", |s| {
        s.run(40, |b| {
            b.gpu(&[(M::EventHwThermal, 1.0), (M::Temperature, 91.0), (M::TemperatureShutdown, 92.0)])
        });
    }),
    (F::ThermalSlowdown, Severity::Warning, "counted time without flags", |s| {
        s.run(45, |b| b.gpu(&[(M::ViolationThermal, 0.8 * b.n as f64)]));
    }),
    (F::ThermalSlowdown, Severity::Critical, "memory above its limit", |s| {
        s.run(2, |b| b.gpu(&[(M::TemperatureMemory, 96.0), (M::TemperatureMemoryMax, 95.0)]));
    }),
    (F::ThermalSlowdown, Severity::Critical, "past its margin", |s| {
        s.run(2, |b| b.gpu(&[(M::TemperatureMargin, -3.0), (M::TemperatureMarginSlowdown, -2.0)]));
    }),
    (F::ThermalSlowdown, Severity::Warning, "package", |s| {
        s.run(45, |b| b.set(b.at.package, M::PackageThrottles, b.n as f64));
    }),
    (F::PowerBrake, Severity::Warning, "brake", |s| {
        s.run(40, |b| b.gpu(&[(M::EventPowerBrake, 1.0)]));
    }),
    (F::PowerBrake, Severity::Warning, "slowdown not for heat", |s| {
        s.run(40, |b| b.gpu(&[(M::EventHwSlowdown, 1.0), (M::EventHwThermal, 0.0)]));
    }),
    (F::ClockLow, Severity::Warning, "performance state", |s| {
        s.run(40, |b| slow(b, 8.0));
    }),
    (F::ClockLow, Severity::Warning, "fast siblings", |s| {
        s.run(40, |b| {
            slow(b, 0.0);
            b.at.siblings.iter().for_each(|other| fast(b.batch, *other));
        });
    }),
    (F::EccUncorrectable, Severity::Critical, "volatile", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedVolatile, 1.0)]));
    }),
    (F::EccUncorrectable, Severity::Critical, "over a gap", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedAggregate, 7.0)]));
        s.skip(900);
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedAggregate, 8.0)]));
    }),
    (F::SramUncorrectable, Severity::Critical, "sum", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedSram, 5.0)]));
    }),
    (F::SramUncorrectable, Severity::Critical, "parts", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedL1, 3.0), (M::EccUncorrectedL2, 2.0)]));
    }),
    (F::SramUncorrectable, Severity::Critical, "in the board's life", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedSramAggregate, 5.0), (M::EccUncorrectedSram, 0.0)]));
    }),
    (F::SramUncorrectable, Severity::Critical, "the driver's threshold", |s| {
        s.run(2, |b| b.gpu(&[(M::EccUncorrectedSramAggregate, 3.0), (M::SramThreshold, 1.0)]));
    }),
    (F::InforomCorrupt, Severity::Warning, "corrupt", |s| {
        s.run(2, |b| b.gpu(&[(M::InforomValid, 0.0)]));
    }),
    (F::RowRemapFailed, Severity::Critical, "failed", |s| {
        s.run(2, |b| b.gpu(&[(M::RowRemapFailed, 1.0)]));
    }),
    (F::RepairPending, Severity::Warning, "rows", |s| {
        s.run(2, |b| b.gpu(&[(M::RowRemapPending, 1.0)]));
    }),
    (F::RepairPending, Severity::Warning, "pages", |s| {
        s.run(2, |b| b.gpu(&[(M::PageRetirementPending, 1.0)]));
    }),
    (F::SparesLow, Severity::Critical, "63 pages", |s| {
        s.run(2, |b| b.gpu(&[(M::PagesRetiredDouble, 3.0), (M::PagesRetiredSingle, 60.0)]));
    }),
    (F::SparesLow, Severity::Critical, "two more in a week", |s| {
        s.run(2, |b| b.gpu(&[(M::PagesRetiredDouble, 15.0), (M::PagesRetiredSingle, 0.0)]));
        s.skip(86_400);
        s.run(2, |b| b.gpu(&[(M::PagesRetiredDouble, 17.0), (M::PagesRetiredSingle, 0.0)]));
    }),
    (F::SparesLow, Severity::Warning, "512 rows", |s| {
        s.run(2, |b| b.gpu(&[(M::RowsRemappedUncorrectable, 512.0)]));
    }),
    (F::PcieReplays, Severity::Warning, "32 at once", |s| {
        s.run(2, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 7.0)]));
        s.run(2, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 39.0)]));
    }),
    (F::PcieReplays, Severity::Warning, "one a second", |s| {
        s.run(60, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, b.n as f64)]));
    }),
    (F::PcieNarrow, Severity::Warning, "under load", |s| {
        s.run(12, |b| b.gpu(&[(M::PcieWidth, 8.0), (M::PcieWidthMax, 16.0), (M::Utilization, 0.9)]));
    }),
    (F::LinkErrors, Severity::Critical, "older: a replay", |s| {
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 4.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 5.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
    }),
    (F::LinkErrors, Severity::Critical, "older: a recovery", |s| {
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 1.0), (M::LinkErrorsCrc, 0.0)])
        });
    }),
    (F::LinkErrors, Severity::Warning, "older: a CRC error", |s| {
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
        s.run(2, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 1.0)])
        });
    }),
    (F::LinkErrors, Severity::Critical, "older: a storm", |s| {
        s.run(9, |b| {
            b.gpu(&[
                (M::LinkErrorsReplay, 0.0),
                (M::LinkErrorsRecovery, 0.0),
                (M::LinkErrorsCrc, 120.0 * b.n as f64),
            ])
        });
    }),
    (F::LinkErrors, Severity::Warning, "newer: a recovery", |s| {
        s.run(2, |b| b.gpu(&[(M::LinkErrorsRecovery, 3.0)]));
        s.run(2, |b| b.gpu(&[(M::LinkErrorsRecovery, 4.0)]));
    }),
    (F::LinkErrors, Severity::Critical, "newer: one that failed", |s| {
        s.run(2, |b| b.set(b.at.link, M::LinkDowned, 0.0));
        s.run(2, |b| b.set(b.at.link, M::LinkDowned, 1.0));
    }),
    (F::LinkErrors, Severity::Critical, "newer: bit errors", |s| {
        s.run(2, |b| b.set(b.at.link, M::LinkEffectiveErrors, 2e-12));
    }),
    (F::LinkErrors, Severity::Critical, "newer: symbols", |s| {
        s.run(2, |b| b.set(b.at.link, M::LinkSymbolErrors, 1e-15));
    }),
    (F::LinkDown, Severity::Critical, "was up", |s| {
        s.run(2, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 18.0)]));
        s.run(2, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 17.0)]));
    }),
    (F::LinkDown, Severity::Critical, "siblings have it", |s| {
        s.run(2, |b| {
            b.gpu(&[(M::Links, 18.0), (M::LinksUp, 17.0)]);
            for other in b.at.siblings {
                b.set(other, M::Links, 18.0);
                b.set(other, M::LinksUp, 18.0);
            }
        });
    }),
    (F::FabricDown, Severity::Critical, "not begun", |s| {
        s.run(2, |b| {
            b.set(b.at.node, M::Uptime, 400.0);
            b.gpu(&[(M::FabricState, 1.0)]);
        });
    }),
    (F::FabricDown, Severity::Warning, "long under way", |s| {
        s.run(2, |b| {
            b.set(b.at.node, M::Uptime, 400.0);
            b.gpu(&[(M::FabricState, 2.0)]);
        });
    }),
    (F::FabricDown, Severity::Critical, "failed", |s| {
        s.run(2, |b| {
            b.set(b.at.node, M::Uptime, 10.0);
            b.gpu(&[(M::FabricState, 3.0), (M::FabricStatus, 5.0)]);
        });
    }),
    (F::FabricDown, Severity::Critical, "unhealthy route", |s| {
        s.run(2, |b| b.gpu(&[(M::FabricState, 3.0), (M::FabricStatus, 0.0), (M::FabricRouteUnhealthy, 1.0)]));
    }),
    (F::FabricDown, Severity::Critical, "degraded bandwidth", |s| {
        s.run(2, |b| b.gpu(&[(M::FabricState, 3.0), (M::FabricDegraded, 1.0)]));
    }),
    (F::FabricDown, Severity::Warning, "a route under repair", |s| {
        s.run(2, |b| b.gpu(&[(M::FabricState, 3.0), (M::FabricRouteRecovery, 1.0)]));
    }),
    (F::FabricDown, Severity::Critical, "uptime not known", |s| {
        s.run(310, |b| b.gpu(&[(M::FabricState, 1.0)]));
    }),
    (F::ProcessStuck, Severity::Critical, "blocked", |s| {
        s.run(2, |b| b.gpu(&[(M::ProcessBlocked, 300.0)]));
    }),
    (F::ProcessStuck, Severity::Critical, "the driver's own", |s| {
        s.run(2, |b| b.set(b.at.node, M::DriverBlocked, 300.0));
    }),
    (F::ProcessStuck, Severity::Warning, "hung task", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::HungTask, 0));
    }),
    (F::FanSlow, Severity::Warning, "hot board", |s| {
        s.run(2, |b| b.gpu(&[(M::FanRpm, 2000.0), (M::Temperature, 80.0)]));
        s.run(3, |b| b.gpu(&[(M::FanRpm, 0.0), (M::Temperature, 80.0)]));
    }),
    (F::FanSlow, Severity::Warning, "told to turn", |s| {
        s.run(3, |b| b.gpu(&[(M::FanRpm, 0.0), (M::FanSpeed, 0.6), (M::Temperature, 80.0)]));
    }),
    (F::FanSlow, Severity::Warning, "host", |s| {
        s.run(2, |b| b.set(b.at.fan, M::SensorFan, 3000.0));
        s.run(12, |b| b.set(b.at.fan, M::SensorFan, 0.0));
    }),
    (F::PowerSupply, Severity::Warning, "died", |s| {
        s.run(2, |b| b.set(b.at.supply, M::SensorPower, 400.0));
        s.run(2, |b| b.set(b.at.supply, M::SensorPower, 0.0));
    }),
    (F::PortDown, Severity::Warning, "down", |s| {
        s.run(2, |b| b.set(b.at.port, M::PortUp, 1.0));
        s.run(245, |b| b.set(b.at.port, M::PortUp, 0.0));
    }),
    (F::PortFlapping, Severity::Warning, "three", |s| {
        for _ in 0..3 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(30, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
    }),
    (F::Sxid, Severity::Warning, "line", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::Sxid, 12028));
    }),
    (F::MachineCheck, Severity::Warning, "logged", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::MachineCheck, 0));
    }),
    (F::MachineCheck, Severity::Critical, "exception", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::MachineCheck, 1));
    }),
    (F::MachineCheck, Severity::Critical, "EDAC", |s| {
        s.run(2, |b| b.set(b.at.memory, M::EdacUncorrected, 3.0));
        s.run(2, |b| b.set(b.at.memory, M::EdacUncorrected, 4.0));
    }),
    (F::PcieAer, Severity::Info, "corrected", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::PcieAer, 0));
    }),
    (F::PcieAer, Severity::Warning, "uncorrected", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::PcieAer, 1));
    }),
    (F::PcieAer, Severity::Critical, "fatal", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::PcieAer, 2));
    }),
    (F::OutOfMemory, Severity::Warning, "the node", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::OutOfMemory, 0));
    }),
    (F::OutOfMemory, Severity::Info, "a group", |s| {
        s.run(2, |b| b.tell(b.at.node, NoticeKind::OutOfMemory, 1));
    }),
    (F::OutOfMemory, Severity::Warning, "counted, and short", |s| {
        s.run(2, |b| {
            b.set(b.at.node, M::OomKills, 3.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 1e10);
        });
        s.run(2, |b| {
            b.set(b.at.node, M::OomKills, 4.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 1e10);
        });
    }),
    (F::OutOfMemory, Severity::Info, "counted, with room", |s| {
        s.run(2, |b| {
            b.set(b.at.node, M::OomKills, 3.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 5e11);
        });
        s.run(2, |b| {
            b.set(b.at.node, M::OomKills, 4.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 5e11);
        });
    }),
];

const CALM: &[(F, &str, Play)] = &[
    (F::Xid, "back", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Back, 0));
    }),
    (F::DeviceLost, "late", |s| {
        s.run(30, |b| b.batch.absent(b.at.gpu, M::Up, Absence::Late));
        s.run(30, |b| b.batch.absent(b.at.gpu, M::PowerInstant, Absence::Late));
    }),
    (F::SourceHung, "half a second", |s| {
        s.run(9, |b| b.set(b.at.source, M::SourceLate, 0.5));
    }),
    (F::DeviceFault, "an old code and none now", |s| {
        s.run(9, |b| b.gpu(&[(M::ErrorCodes, 0.0), (M::ErrorLastCode, 9.0)]));
    }),
    (F::HealthBad, "well, then unread", |s| {
        s.run(9, |b| b.gpu(&[(M::HealthCode, 0.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::HealthCode, Absence::Late));
    }),
    (F::RecoveryWanted, "none, then unread", |s| {
        s.run(9, |b| b.gpu(&[(M::RecoveryAction, 0.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::RecoveryAction, Absence::Late));
    }),
    (F::DeviceChanged, "back as the same", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Back, 0));
    }),
    (F::DuplicateIdentity, "back", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Back, 0));
    }),
    (F::ThermalSlowdown, "at its margin, and one odd reading", |s| {
        s.run(60, |b| b.gpu(&[(M::TemperatureMargin, -2.0), (M::TemperatureMarginSlowdown, -2.0)]));
        s.run(1, |b| b.gpu(&[(M::TemperatureMargin, -9.0), (M::TemperatureMarginSlowdown, -2.0)]));
        s.run(9, |b| b.gpu(&[(M::TemperatureMargin, 5.0), (M::TemperatureMarginSlowdown, -2.0)]));
    }),
    (F::ThermalSlowdown, "counted time below half", |s| {
        s.run(200, |b| b.gpu(&[(M::ViolationThermal, 0.3 * b.n as f64)]));
    }),
    (F::ThermalSlowdown, "flags that say no beside a counter", |s| {
        s.run(200, |b| {
            b.gpu(&[(M::EventHwThermal, 0.0), (M::EventSwThermal, 0.0), (M::ViolationThermal, b.n as f64)])
        });
    }),
    (F::ThermalSlowdown, "a counter that falls", |s| {
        s.run(200, |b| b.gpu(&[(M::ViolationThermal, 1000.0 - b.n as f64)]));
    }),
    (F::ThermalSlowdown, "one gap, however large", |s| {
        s.run(9, |b| b.gpu(&[(M::ViolationThermal, 0.0)]));
        s.skip(3600);
        s.run(9, |b| b.gpu(&[(M::ViolationThermal, 3600.0)]));
    }),
    (F::ThermalSlowdown, "memory at its limit", |s| {
        s.run(60, |b| b.gpu(&[(M::TemperatureMemory, 95.0), (M::TemperatureMemoryMax, 95.0)]));
    }),
    (F::ThermalSlowdown, "memory above for one beat", |s| {
        s.run(1, |b| b.gpu(&[(M::TemperatureMemory, 99.0), (M::TemperatureMemoryMax, 95.0)]));
        s.run(60, |b| b.batch.absent(b.at.gpu, M::TemperatureMemory, Absence::Late));
    }),
    (F::ThermalSlowdown, "memory without a limit", |s| {
        s.run(60, |b| b.gpu(&[(M::TemperatureMemory, 120.0)]));
    }),
    (F::ThermalSlowdown, "a package now and then", |s| {
        s.run(200, |b| b.set(b.at.package, M::PackageThrottles, (b.n / 5) as f64));
    }),
    (F::ThermalSlowdown, "a cap of our own", |s| {
        s.run(200, |b| {
            b.gpu(&[
                (M::EventHwThermal, 0.0),
                (M::EventSwPowerCap, 1.0),
                (M::ViolationPower, b.n as f64),
                (M::ViolationBoardLimit, b.n as f64),
            ])
        });
    }),
    (F::PowerBrake, "a cap of our own", |s| {
        s.run(200, |b| {
            b.gpu(&[
                (M::EventPowerBrake, 0.0),
                (M::EventHwSlowdown, 0.0),
                (M::EventHwThermal, 0.0),
                (M::EventSwPowerCap, 1.0),
                (M::ViolationPower, b.n as f64),
            ])
        });
    }),
    (F::PowerBrake, "a slowdown of unknown kind", |s| {
        s.run(200, |b| b.gpu(&[(M::EventHwSlowdown, 1.0)]));
    }),
    (F::PowerBrake, "only counted", |s| {
        s.run(200, |b| b.gpu(&[(M::ViolationPower, b.n as f64)]));
    }),
    (F::ClockLow, "locked everywhere", |s| {
        s.run(200, |b| slow(b, 0.0));
    }),
    (F::ClockLow, "a cap", |s| {
        s.run(200, |b| {
            slow(b, 8.0);
            b.gpu(&[(M::EventSwPowerCap, 1.0)]);
        });
    }),
    (F::ClockLow, "a reason unread", |s| {
        s.run(200, |b| {
            slow(b, 8.0);
            b.batch.absent(b.at.gpu, M::EventSyncBoost, Absence::Late);
        });
    }),
    (F::ClockLow, "at its power limit", |s| {
        s.run(200, |b| {
            slow(b, 8.0);
            b.gpu(&[(M::PowerInstant, 690.0)]);
        });
    }),
    (F::ClockLow, "at rest", |s| {
        s.run(200, |b| {
            slow(b, 8.0);
            b.gpu(&[(M::Utilization, 0.1)]);
        });
    }),
    (F::EccUncorrectable, "an old one, cleared", |s| {
        s.run(9, |b| b.gpu(&[(M::EccUncorrectedAggregate, 7.0)]));
        s.run(9, |b| b.gpu(&[(M::EccUncorrectedAggregate, 0.0)]));
    }),
    (F::SramUncorrectable, "four, and unread", |s| {
        s.run(9, |b| {
            b.gpu(&[(M::EccUncorrectedSram, 4.0), (M::EccUncorrectedL1, 2.0), (M::EccUncorrectedL2, 2.0)])
        });
        s.run(9, |b| b.batch.absent(b.at.gpu, M::EccUncorrectedSram, Absence::Late));
    }),
    (F::SramUncorrectable, "four in the board's life", |s| {
        s.run(9, |b| b.gpu(&[(M::EccUncorrectedSramAggregate, 4.0), (M::SramThreshold, 0.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::SramThreshold, Absence::Late));
    }),
    (F::InforomCorrupt, "valid, and unread", |s| {
        s.run(9, |b| b.gpu(&[(M::InforomValid, 1.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::InforomValid, Absence::Denied));
    }),
    (F::RowRemapFailed, "not, and unread", |s| {
        s.run(9, |b| b.gpu(&[(M::RowRemapFailed, 0.0), (M::RowRemapPending, 0.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::RowRemapFailed, Absence::Late));
    }),
    (F::RepairPending, "none, and unread", |s| {
        s.run(9, |b| b.gpu(&[(M::RowRemapPending, 0.0), (M::PageRetirementPending, 0.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::RowRemapPending, Absence::Late));
    }),
    (F::SparesLow, "62 pages, 511 rows", |s| {
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 2.0), (M::PagesRetiredSingle, 60.0)]));
        s.run(9, |b| b.gpu(&[(M::RowsRemappedUncorrectable, 511.0)]));
    }),
    (F::SparesLow, "many, and one more", |s| {
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 20.0), (M::PagesRetiredSingle, 0.0)]));
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 21.0), (M::PagesRetiredSingle, 0.0)]));
    }),
    (F::SparesLow, "two more in weeks", |s| {
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 20.0), (M::PagesRetiredSingle, 0.0)]));
        s.skip(864_000);
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 20.0), (M::PagesRetiredSingle, 0.0)]));
        s.skip(864_000);
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 21.0), (M::PagesRetiredSingle, 0.0)]));
        s.skip(864_000);
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 21.0), (M::PagesRetiredSingle, 0.0)]));
        s.skip(864_000);
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 22.0), (M::PagesRetiredSingle, 0.0)]));
    }),
    (F::SparesLow, "a count that begins anew", |s| {
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 40.0), (M::PagesRetiredSingle, 0.0)]));
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 16.0), (M::PagesRetiredSingle, 0.0)]));
        s.run(9, |b| b.gpu(&[(M::PagesRetiredDouble, 17.0), (M::PagesRetiredSingle, 0.0)]));
    }),
    (F::PcieReplays, "31 a minute", |s| {
        s.run(600, |b| {
            b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, (b.n * 31 / 60) as f64)])
        });
    }),
    (F::PcieReplays, "old ones", |s| {
        s.run(60, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 1e6)]));
    }),
    (F::PcieReplays, "a counter that wraps", |s| {
        s.run(9, |b| {
            b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 4294967290.0)])
        });
        s.run(9, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 5.0)]));
        s.run(9, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 20.0)]));
    }),
    (F::PcieReplays, "spread over a gap", |s| {
        s.run(2, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 0.0)]));
        s.skip(3600);
        s.run(9, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 1800.0)]));
    }),
    (F::PcieReplays, "speed not known", |s| {
        s.run(60, |b| b.gpu(&[(M::PcieReplays, 9.0 * b.n as f64)]));
    }),
    (F::PcieReplays, "back with a count that began anew", |s| {
        s.run(2, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 5000.0)]));
        s.leave(5);
        s.run(60, |b| b.gpu(&[(M::PcieGeneration, 5.0), (M::PcieWidth, 16.0), (M::PcieReplays, 900.0)]));
    }),
    (F::PcieNarrow, "at rest", |s| {
        s.run(60, |b| b.gpu(&[(M::PcieWidth, 8.0), (M::PcieWidthMax, 16.0), (M::Utilization, 0.1)]));
    }),
    (F::PcieNarrow, "load not known", |s| {
        s.run(60, |b| b.gpu(&[(M::PcieWidth, 8.0), (M::PcieWidthMax, 16.0)]));
        s.run(9, |b| b.batch.absent(b.at.gpu, M::PcieWidth, Absence::Late));
    }),
    (F::LinkErrors, "totals of years", |s| {
        s.run(600, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 9.0), (M::LinkErrorsRecovery, 9.0), (M::LinkErrorsCrc, 9e6)])
        });
        s.run(60, |b| b.set(b.at.link, M::LinkDowned, 5.0));
    }),
    (F::LinkErrors, "reset", |s| {
        s.run(9, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 9.0), (M::LinkErrorsRecovery, 9.0), (M::LinkErrorsCrc, 9e6)])
        });
        s.run(9, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
    }),
    (F::LinkErrors, "one within an hour without readings", |s| {
        s.run(9, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 0.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
        s.skip(3600);
        s.run(9, |b| {
            b.gpu(&[(M::LinkErrorsReplay, 1.0), (M::LinkErrorsRecovery, 0.0), (M::LinkErrorsCrc, 0.0)])
        });
    }),
    (F::LinkErrors, "unread", |s| {
        s.run(60, |b| b.batch.absent(b.at.gpu, M::LinkErrorsReplay, Absence::Late));
    }),
    (F::LinkDown, "never up", |s| {
        s.run(60, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 12.0)]));
    }),
    (F::LinkDown, "partitioned", |s| {
        s.run(9, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 18.0)]));
        s.run(60, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 0.0), (M::PartitionMode, 1.0)]));
    }),
    (F::LinkErrors, "newer: as few bits as a good link has", |s| {
        s.run(60, |b| {
            b.set(b.at.link, M::LinkEffectiveErrors, 1e-15);
            b.set(b.at.link, M::LinkSymbolErrors, 15.0 * 10.0_f64.powi(-255));
        });
    }),
    (F::LinkDown, "unread", |s| {
        s.run(9, |b| b.gpu(&[(M::Links, 18.0), (M::LinksUp, 18.0)]));
        s.run(60, |b| b.batch.absent(b.at.gpu, M::LinksUp, Absence::Late));
    }),
    (F::LinkDown, "one sibling only", |s| {
        s.run(60, |b| {
            b.gpu(&[(M::Links, 18.0), (M::LinksUp, 17.0)]);
            b.set(b.at.siblings[0], M::Links, 18.0);
            b.set(b.at.siblings[0], M::LinksUp, 18.0);
        });
    }),
    (F::FabricDown, "the node has just started", |s| {
        s.run(60, |b| {
            b.set(b.at.node, M::Uptime, 100.0);
            b.gpu(&[(M::FabricState, 1.0)]);
        });
        s.run(60, |b| {
            b.set(b.at.node, M::Uptime, 200.0);
            b.gpu(&[(M::FabricState, 2.0)]);
        });
    }),
    (F::FabricDown, "done", |s| {
        s.run(60, |b| {
            b.set(b.at.node, M::Uptime, 900.0);
            b.gpu(&[(M::FabricState, 3.0), (M::FabricStatus, 0.0), (M::FabricRouteUnhealthy, 0.0)]);
            b.gpu(&[(M::FabricDegraded, 0.0), (M::FabricRouteRecovery, 0.0)]);
        });
    }),
    (F::FabricDown, "no fabric, and unread", |s| {
        s.run(60, |b| {
            b.set(b.at.node, M::Uptime, 900.0);
            b.gpu(&[(M::FabricState, 0.0)]);
        });
        s.run(60, |b| b.batch.absent(b.at.gpu, M::FabricState, Absence::Late));
    }),
    (F::ProcessStuck, "not yet", |s| {
        s.run(60, |b| b.gpu(&[(M::ProcessBlocked, 299.0)]));
        s.run(60, |b| b.batch.absent(b.at.gpu, M::ProcessBlocked, Absence::Late));
        s.run(60, |b| b.set(b.at.node, M::DriverBlocked, 299.0));
    }),
    (F::FanSlow, "cool board", |s| {
        s.run(2, |b| b.gpu(&[(M::FanRpm, 2000.0), (M::Temperature, 40.0)]));
        s.run(60, |b| b.gpu(&[(M::FanRpm, 0.0), (M::Temperature, 40.0)]));
    }),
    (F::FanSlow, "passive board", |s| {
        s.run(60, |b| b.gpu(&[(M::FanRpm, 0.0), (M::Temperature, 85.0)]));
    }),
    (F::FanSlow, "empty header", |s| {
        s.run(60, |b| b.set(b.at.fan, M::SensorFan, 0.0));
    }),
    (F::FanSlow, "a start", |s| {
        s.run(2, |b| b.set(b.at.fan, M::SensorFan, 3000.0));
        s.run(8, |b| b.set(b.at.fan, M::SensorFan, 0.0));
        s.run(2, |b| b.set(b.at.fan, M::SensorFan, 3000.0));
    }),
    (F::FanSlow, "unread", |s| {
        s.run(2, |b| b.set(b.at.fan, M::SensorFan, 3000.0));
        s.run(60, |b| b.batch.absent(b.at.fan, M::SensorFan, Absence::Late));
    }),
    (F::PowerSupply, "a spare that never delivered", |s| {
        s.run(60, |b| b.set(b.at.supply, M::SensorPower, 0.0));
    }),
    (F::PowerSupply, "another sensor", |s| {
        s.run(2, |b| b.set(b.at.fan, M::SensorPower, 400.0));
        s.run(60, |b| b.set(b.at.fan, M::SensorPower, 0.0));
    }),
    (F::PowerSupply, "unread", |s| {
        s.run(2, |b| b.set(b.at.supply, M::SensorPower, 400.0));
        s.run(60, |b| b.batch.absent(b.at.supply, M::SensorPower, Absence::Late));
    }),
    (F::PortDown, "never active", |s| {
        s.run(600, |b| b.set(b.at.port, M::PortUp, 0.0));
    }),
    (F::PortDown, "a switch restarts", |s| {
        s.run(2, |b| b.set(b.at.port, M::PortUp, 1.0));
        s.run(230, |b| b.set(b.at.port, M::PortUp, 0.0));
        s.run(60, |b| b.set(b.at.port, M::PortUp, 1.0));
    }),
    (F::PortDown, "unread", |s| {
        s.run(2, |b| b.set(b.at.port, M::PortUp, 1.0));
        s.run(9, |b| b.set(b.at.port, M::PortUp, 0.0));
        s.run(600, |b| b.batch.absent(b.at.port, M::PortUp, Absence::Late));
    }),
    (F::PortFlapping, "two", |s| {
        for _ in 0..2 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(30, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
    }),
    (F::PortFlapping, "short ones", |s| {
        for _ in 0..20 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(10, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
    }),
    (F::PortFlapping, "three in three days", |s| {
        for _ in 0..1 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(30, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
        s.skip(86_400);
        for _ in 0..1 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(30, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
        s.skip(86_400);
        for _ in 0..1 {
            s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
            s.run(30, |b| b.set(b.at.port, M::PortUp, 0.0));
        }
        s.run(5, |b| b.set(b.at.port, M::PortUp, 1.0));
    }),
    (F::Sxid, "an XID is none", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Back, 0));
    }),
    (F::MachineCheck, "old ones, cleared", |s| {
        s.run(9, |b| b.set(b.at.memory, M::EdacUncorrected, 3.0));
        s.run(9, |b| b.set(b.at.memory, M::EdacUncorrected, 0.0));
    }),
    (F::MachineCheck, "corrected ones", |s| {
        s.run(60, |b| b.set(b.at.memory, M::EdacCorrected, b.n as f64));
    }),
    (F::PcieAer, "another notice", |s| {
        s.run(2, |b| b.tell(b.at.gpu, NoticeKind::Back, 0));
    }),
    (F::OutOfMemory, "old ones", |s| {
        s.run(60, |b| {
            b.set(b.at.node, M::OomKills, 3.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 1e10);
        });
    }),
    (F::OutOfMemory, "reset", |s| {
        s.run(9, |b| {
            b.set(b.at.node, M::OomKills, 3.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 5e11);
        });
        s.run(9, |b| {
            b.set(b.at.node, M::OomKills, 0.0);
            b.set(b.at.node, M::NodeMemorySize, 1e12);
            b.set(b.at.node, M::NodeMemoryAvailable, 5e11);
        });
    }),
];

#[test]
fn every_fault_of_the_catalogue_has_a_case_that_raises_it_and_one_that_must_not() {
    let listed: BTreeSet<F> = Catalogue::built_in().rows().map(|row| row.fault).collect();
    assert_eq!(FIRES.iter().map(|case| case.0).collect::<BTreeSet<_>>(), listed);
    assert_eq!(CALM.iter().map(|case| case.0).collect::<BTreeSet<_>>(), listed);
}

#[test]
fn each_fault_is_raised_as_bad_as_its_row_says() {
    let mut wrong = Vec::new();
    for (fault, severity, name, play) in FIRES {
        let mut stage = Stage::new();
        play(&mut stage);
        assert!(stage.strange.is_empty(), "evidence that no row's signals have: {:?}", stage.strange);
        let row = Catalogue::built_in().row(*fault);
        let range = row.severity.min(row.worst)..=row.worst;
        // An XID has the severity of its own row, a fabric under way is milder than one that failed.
        let known = range.contains(severity) || matches!(fault, F::Xid | F::FabricDown | F::PcieAer);
        if !known || !stage.raised.contains(&(*fault, *severity)) {
            wrong.push(format!("{}, {name}: {:?}", fault.as_str(), stage.raised));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_looks_like_a_fault_raises_nothing_of_its_kind() {
    let mut wrong = Vec::new();
    for (fault, name, play) in CALM {
        let mut stage = Stage::new();
        play(&mut stage);
        let mut faults = stage.faults();
        // One that leaves is lost, which is right.
        faults.remove(&F::DeviceLost);
        if !faults.is_empty() || (*fault == F::DeviceLost && !stage.raised.is_empty()) {
            wrong.push(format!("{}, {name}: {:?}", fault.as_str(), stage.raised));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
