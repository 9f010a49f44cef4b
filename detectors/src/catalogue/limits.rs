//! The limits of the rules: every number that a rule compares with, by name, with the range in which it makes sense.
use model::FaultKind;

/// What is fixed about a limit; its value is data.
#[derive(Debug, Clone, Copy)]
pub struct LimitRow {
    /// The fault in whose row it stands.
    pub fault: FaultKind,
    /// Its key below `limits`.
    pub key: &'static str,
    /// The smallest value that makes sense.
    pub low: f64,
    /// The largest value that makes sense.
    pub high: f64,
    /// What it bounds, with its unit.
    pub help: &'static str,
}

macro_rules! limits {
    ($( $fault:ident { $( $limit:ident $key:literal $low:literal .. $high:literal $help:literal ; )+ } )+) => {
        /// One number that a rule compares with.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the help sentence of each documents it")]
        pub enum Limit { $($( $limit, )+)+ }

        impl Limit {
            /// Every limit.
            pub const ALL: &[Self] = &[$($( Self::$limit, )+)+];

            /// What is fixed about it.
            pub const fn row(self) -> LimitRow {
                match self {
                    $($( Self::$limit => LimitRow {
                        fault: FaultKind::$fault, key: $key, low: $low, high: $high, help: $help,
                    }, )+)+
                }
            }
        }
    };
}

limits! {
    Xid {
        XidCoalesce "coalesce_s" 0.0..3600.0 "identical errors within so many seconds are one sign";
        RepeatDays "repeat_days" 0.01..365.0 "days after which a fault of any kind that has not come back is forgotten";
        ClockStep "clock_step_s" 60.0..604800.0 "seconds by which the start of the system may seem to move without a reboot";
    }
    SourceHung {
        Hung "late_s" 0.1..3600.0 "seconds past its deadline for which a call has not returned";
    }
    HealthBad {
        HealthCritical "critical_code" 1.0..1e6 "the device's verdict from which it is critical";
    }
    ThermalSlowdown {
        SlowdownWindow "window_s" 10.0..3600.0 "seconds over which the share of time is taken, for a brake too";
        ThermalShare "share" 0.01..1.0 "share of that time in a slowdown";
        ShutdownMargin "shutdown_margin_c" 0.0..50.0 "degrees below shutdown from which it is critical";
        ViolationShare "violation_share" 0.01..1.0 "share of a beat that the driver counts as held back, where it gives no flag";
    }
    PowerBrake {
        BrakeShare "share" 0.01..1.0 "share of the time in a brake";
    }
    ClockLow {
        ClockShare "clock_share" 0.05..1.0 "share of its highest clock below which a clock is low";
        ClockBusy "busy_share" 0.05..1.0 "utilisation from which the device is under load";
        ClockPower "power_share" 0.05..1.0 "share of the enforced power limit from which power may be the reason";
        ClockState "performance_state" 1.0..15.0 "performance state from which the state alone is proof";
        ClockTime "low_s" 5.0..3600.0 "seconds under load for which the clock was low";
    }
    SramUncorrectable {
        SramErrors "errors" 0.0..1e6 "more errors than these";
    }
    SparesLow {
        PagesRetired "pages" 1.0..1e6 "retired pages in all";
        PagesDouble "double_bit_pages" 1.0..1e6 "more pages than these retired for errors of two bits, if they grow";
        PagesGrowth "double_bit_growth" 0.0..1e6 "more such pages than these within the days below";
        PagesDays "growth_days" 0.01..365.0 "days over which they grow";
        RowsRemapped "rows" 1.0..1e6 "rows replaced for uncorrectable errors";
    }
    PcieReplays {
        ReplaysGen1 "gen1" 0.0..1e6 "replays a minute and lane, generation 1";
        ReplaysGen2 "gen2" 0.0..1e6 "replays a minute and lane, generation 2";
        ReplaysGen3 "gen3" 0.0..1e6 "replays a minute and lane, generation 3";
        ReplaysGen4 "gen4" 0.0..1e6 "replays a minute and lane, generation 4";
        ReplaysGen5 "gen5" 0.0..1e6 "replays a minute and lane, generation 5";
        ReplaysGen6 "gen6" 0.0..1e6 "replays a minute and lane, generation 6";
    }
    PcieNarrow {
        NarrowBusy "busy_share" 0.05..1.0 "utilisation from which the link is under load";
        NarrowTime "narrow_s" 1.0..3600.0 "seconds under load for which the link was narrow or slow";
    }
    LinkErrors {
        OlderReplays "older_replays" 1.0..1e9 "generations 1 to 4: replays within a minute; critical";
        OlderRecoveries "older_recoveries" 1.0..1e9 "generations 1 to 4: recoveries within a minute; critical";
        OlderCrc "older_crc" 1.0..1e9 "generations 1 to 4: CRC errors within a minute";
        OlderCrcRate "older_crc_rate" 1.0..1e9 "generations 1 to 4: CRC errors a second, on a beat; critical";
        NewerRecoveries "newer_recoveries" 1.0..1e9 "generation 5 on: recoveries within a minute";
        NewerEffective "newer_effective_errors" 0.0..1.0 "generation 5 on: share of bits wrong after correction; critical";
        NewerSymbol "newer_symbol_errors" 0.0..1.0 "generation 5 on: share of bits in symbols that were not mended; critical";
        NewerFailures "newer_failures" 1.0..1e9 "generation 5 on: recoveries that failed, within a minute; critical";
    }
    LinkDown {
        LinksAlike "siblings" 1.0..64.0 "siblings of the same model that must have more links up";
    }
    FabricDown {
        FabricGrace "grace_s" 0.0..86400.0 "seconds after the node's start in which registration may be under way";
    }
    ProcessStuck {
        Blocked "blocked_s" 10.0..86400.0 "seconds for which a process was blocked at every look";
    }
    FanSlow {
        FanHot "hot_c" 20.0..150.0 "temperature of the device from which its fan must turn";
        FanStill "still_s" 1.0..3600.0 "seconds for which a fan of the host stands still";
    }
    PowerSupply {
        SupplyLive "live_w" 1.0..10000.0 "power that it must once have delivered";
        SupplyDead "dead_w" 0.0..1000.0 "power up to which it delivers nothing";
    }
    PortDown {
        PortDownTime "down_s" 1.0..86400.0 "seconds for which the port is down";
    }
    PortFlapping {
        FlapDown "down_s" 1.0..86400.0 "seconds for which a port must have been down for one flap";
        Flaps "flaps" 1.0..100.0 "flaps within the window";
        FlapWindow "window_s" 60.0..604800.0 "seconds over which flaps are counted";
    }
    OutOfMemory {
        MemoryShare "available_share" 0.0..1.0 "share of the node's memory below which the node itself is short";
    }
}

impl Limit {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The limit with this key in a fault's row.
    pub fn named(fault: FaultKind, key: &str) -> Option<Self> {
        Self::of(fault).find(|limit| limit.row().key == key)
    }

    /// The limits of a fault's row.
    pub fn of(fault: FaultKind) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |limit| limit.row().fault == fault)
    }
}
