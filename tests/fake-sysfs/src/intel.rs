//! An Intel card's files: hwmon, and the tiles of xe or i915.
use crate::files::{number, put};
use crate::{Card, Quirk};
use sim::board::reason;
use sim::{Board, Node};
use std::io;
use std::path::PathBuf;

fn monitor(card: &Card) -> PathBuf {
    card.folder.join("hwmon").join(format!("hwmon{}", card.board))
}

/// What the driver makes of a written limit: 0 takes it away, which lets the board draw what it can.
pub(crate) fn take_over(card: &mut Card, board: &mut Board) {
    let Some(asked) = number(&monitor(card).join("power1_max")).filter(|asked| *asked != card.limit) else {
        return;
    };
    card.limit = asked;
    board.requested_w = if asked == 0 { board.profile().full_w } else { asked as f64 / 1e6 };
    board.out_of_band_w = board.out_of_band_w.max(board.requested_w);
}

pub(crate) fn write(card: &Card, node: &Node, quirks: &[Quirk]) -> io::Result<()> {
    let board = &node.boards[card.board];
    let profile = board.profile();
    let device = |name: &str, text: String| put(&card.folder.join(name), &(text + "\n"));
    device("vendor", "0x8086".into())?;
    device("device", "0x0bd5".into())?;
    device("numa_node", "-1".into())?;
    device("current_link_speed", "32.0 GT/s PCIe".into())?;
    device("max_link_speed", "32.0 GT/s PCIe".into())?;
    device("current_link_width", board.pcie_lanes().to_string())?;
    device("max_link_width", profile.pcie_lanes.to_string())?;
    let i915 = quirks.contains(&Quirk::I915);
    let folder = monitor(card);
    let file = |name: &str, value: f64| put(&folder.join(name), &format!("{value:.0}\n"));
    put(&folder.join("name"), if i915 { "i915\n" } else { "xe\n" })?;
    file("energy1_input", board.energy_j * 1e6)?;
    // What is written there is what is in force: the driver takes every number.
    if !folder.join("power1_max").exists() {
        file("power1_max", card.limit as f64)?;
    }
    file("power1_rated_max", profile.limit_max.0 * 1e6)?;
    file("power1_max_interval", 1000.0)?;
    file("fan1_input", 1800.0)?;
    if i915 {
        file("temp1_input", board.temperature_c * 1e3)?;
        return tile_i915(card, board);
    }
    put(&folder.join("energy1_label"), "card\n")?;
    put(&folder.join("temp2_label"), "pkg\n")?;
    file("temp2_input", board.temperature_c * 1e3)?;
    file("temp2_crit", profile.slowdown_c * 1e3)?;
    file("temp2_emergency", profile.shutdown_c * 1e3)?;
    put(&folder.join("temp3_label"), "vram\n")?;
    file("temp3_input", board.memory_temperature_c() * 1e3)?;
    device("tile0/physical_vram_size_bytes", profile.memory_bytes.to_string())?;
    let gt = |name: &str, text: String| put(&card.folder.join("tile0/gt0").join(name), &(text + "\n"));
    gt("freq0/act_freq", format!("{:.0}", board.clock_hz / 1e6))?;
    gt("freq0/rp0_freq", format!("{:.0}", profile.clock_max_hz / 1e6))?;
    gt("gtidle/name", "gt0-rc".into())?;
    gt("gtidle/idle_residency_ms", format!("{:.0}", card.idle_ms))?;
    reasons(board, |name, holds| gt(&format!("freq0/throttle/{name}"), u8::from(holds).to_string()), false)
}

fn tile_i915(card: &Card, board: &Board) -> io::Result<()> {
    let folder = card.folder.join("drm").join(format!("card{}", card.number)).join("gt/gt0");
    let file = |name: &str, text: String| put(&folder.join(name), &(text + "\n"));
    file("rps_act_freq_mhz", format!("{:.0}", board.clock_hz / 1e6))?;
    file("rps_RP0_freq_mhz", format!("{:.0}", board.profile().clock_max_hz / 1e6))?;
    file("rc6_residency_ms", format!("{:.0}", card.idle_ms))?;
    reasons(board, |name, holds| file(name, u8::from(holds).to_string()), true)
}

fn reasons(board: &Board, mut file: impl FnMut(&str, bool) -> io::Result<()>, i915: bool) -> io::Result<()> {
    let holds = |bits: u64| board.reasons & bits != 0;
    let all = [
        ("pl1", holds(reason::SW_POWER_CAP)),
        ("pl2", false),
        ("pl4", false),
        ("thermal", holds(reason::HW_THERMAL)),
        ("prochot", holds(reason::HW_POWER_BRAKE)),
        ("ratl", false),
        ("vr_thermalert", false),
        ("vr_tdc", false),
    ];
    let prefix = if i915 { "throttle_reason" } else { "reason" };
    file(if i915 { "throttle_reason_status" } else { "status" }, all.iter().any(|(_, holds)| *holds))?;
    all.iter().try_for_each(|(name, holds)| file(&format!("{prefix}_{name}"), *holds))
}
