//! An AMD card's files: amdgpu's attributes, hwmon, RAS, and KFD's topology and processes.
use crate::files::{number, put, put_table};
use crate::table::{Metrics, Version, table};
use crate::{Card, Quirk};
use model::{Vendor, Watts};
use sim::{Board, Node};
use std::io;
use std::path::Path;

/// Compute units of MI300X, and SIMD units of each.
const UNITS: u64 = 304;
const SIMDS: u64 = 4;
/// The first process id.
const PID_FIRST: usize = 4000;

fn monitor(card: &Card) -> std::path::PathBuf {
    card.folder.join("hwmon").join(format!("hwmon{}", card.board))
}

/// What the driver makes of a written limit. It refuses what is out of range, as far as a plain file can. A file that says
/// what is in force is left alone, so that nothing is lost that is written meanwhile.
pub(crate) fn take_over(card: &mut Card, board: &mut Board, quirks: &[Quirk]) -> io::Result<()> {
    let file = monitor(card).join("power1_cap");
    let Some(asked) = number(&file).filter(|asked| *asked != card.limit) else { return Ok(()) };
    let floor = quirks.iter().find_map(|quirk| match quirk {
        Quirk::Clips(percent) => Some(board.profile().limit_max.0 * f64::from(*percent) / 100.0),
        _ => None,
    });
    let limit_w = (asked as f64 / 1e6).max(floor.unwrap_or(0.0));
    let lets_go = |quirk: &Quirk| matches!(quirk, Quirk::LetsGo(below) if limit_w < f64::from(*below));
    if quirks.iter().any(lets_go) {
        board.set_power_limit(board.profile().limit_max);
        card.limit = asked;
        return Ok(());
    }
    if !quirks.contains(&Quirk::Ignores) && board.set_power_limit(Watts(limit_w)) {
        card.limit = (limit_w * 1e6) as u64;
    }
    if card.limit == asked { Ok(()) } else { put(&file, &format!("{}\n", card.limit)) }
}

pub(crate) fn write(card: &Card, node: &Node, quirks: &[Quirk]) -> io::Result<()> {
    let board = &node.boards[card.board];
    let profile = board.profile();
    let device = |name: &str, text: String| put(&card.folder.join(name), &(text + "\n"));
    device("vendor", "0x1002".into())?;
    device("device", "0x74a1".into())?;
    device("unique_id", card.unique.clone().unwrap_or_else(|| node.uuid(card.board)))?;
    device("product_name", profile.model.into())?;
    device("serial_number", format!("6922{:08}", card.board))?;
    device("vbios_version", "113-M3000100-103".into())?;
    device("current_compute_partition", "SPX".into())?;
    device("current_memory_partition", "NPS1".into())?;
    device("numa_node", (card.board / 4).to_string())?;
    device("gpu_busy_percent", format!("{:.0}", board.busy * 100.0))?;
    device("mem_busy_percent", format!("{:.0}", board.memory_activity * 100.0))?;
    device("mem_info_vram_total", profile.memory_bytes.to_string())?;
    device("mem_info_vram_used", board.memory_used_bytes.to_string())?;
    device("pcie_replay_count", board.replays.to_string())?;
    let clock = profile.clock_max_hz / 1e6;
    device("pp_dpm_sclk", format!("0: {:.0}Mhz\n1: {clock:.0}Mhz *", profile.clock_min_hz / 1e6))?;
    let speed = ["2.5", "5.0", "8.0", "16.0", "32.0", "64.0"][profile.pcie_generation as usize - 1];
    device("current_link_speed", format!("{speed} GT/s PCIe"))?;
    device("max_link_speed", format!("{speed} GT/s PCIe"))?;
    device("current_link_width", board.pcie_lanes().to_string())?;
    device("max_link_width", profile.pcie_lanes.to_string())?;
    device("ras/umc_err_count", format!("ue: {}\nce: {}\nde: 0", board.ecc[1], board.ecc[0]))?;
    device("ras/gfx_err_count", "ue: 0\nce: 0".into())?;
    device("ras/xgmi_wafl_err_count", "ue: 0\nce: 0".into())?;
    let classic = quirks.contains(&Quirk::Classic);
    let version = if classic { Version::V1_3 } else { Version::V1_7 };
    let bytes = table(version, &Metrics::of(board, card.residency));
    put_table(&card.folder.join("gpu_metrics"), &bytes)?;
    hwmon(card, board, classic)
}

fn hwmon(card: &Card, board: &Board, classic: bool) -> io::Result<()> {
    let profile = board.profile();
    let folder = monitor(card);
    let file = |name: &str, value: f64| put(&folder.join(name), &format!("{value:.0}\n"));
    put(&folder.join("name"), "amdgpu\n")?;
    if !folder.join("power1_cap").exists() {
        file("power1_cap", card.limit as f64)?;
    }
    file("power1_cap_min", profile.limit_min.0 * 1e6)?;
    file("power1_cap_max", profile.limit_max.0 * 1e6)?;
    file("power1_cap_default", profile.limit_max.0 * 1e6)?;
    if classic {
        file("power1_average", board.sensor.average_w() * 1e6)?;
        put(&folder.join("temp1_label"), "edge\n")?;
        file("temp1_input", (board.temperature_c - 4.0) * 1e3)?;
        file("fan1_input", 2100.0)?;
        file("pwm1", 102.0)?;
    } else {
        file("power1_input", board.sensor.instant_w() * 1e6)?;
    }
    put(&folder.join("temp2_label"), "junction\n")?;
    file("temp2_input", board.temperature_c * 1e3)?;
    file("temp2_crit", profile.slowdown_c * 1e3)?;
    file("temp2_emergency", profile.shutdown_c * 1e3)?;
    put(&folder.join("temp3_label"), "mem\n")?;
    file("temp3_input", board.memory_temperature_c() * 1e3)?;
    file("temp3_crit", profile.memory_max_c * 1e3)
}

/// KFD's number of a card.
fn gpu_id(card: &Card) -> usize {
    20_000 + 111 * card.board
}

/// KFD, and the processes themselves below `proc`.
pub(crate) fn processes(root: &Path, node: &Node, cards: &[Card]) -> io::Result<()> {
    let amd = |card: &&Card| node.boards[card.board].profile().vendor == Vendor::Amd;
    let cards: Vec<&Card> = cards.iter().filter(amd).collect();
    if cards.is_empty() {
        return Ok(());
    }
    let kfd = root.join("sys/class/kfd/kfd");
    let topology = kfd.join("topology/nodes");
    put(&topology.join("0/gpu_id"), "0\n")?;
    put(&topology.join("0/properties"), "cpu_cores_count 96\nsimd_count 0\nlocation_id 0\ndomain 0\n")?;
    for card in &cards {
        let bus = (0x10 + 8 * card.board) << 8;
        let folder = topology.join((card.board + 1).to_string());
        put(&folder.join("gpu_id"), &format!("{}\n", gpu_id(card)))?;
        let properties =
            format!("simd_count {}\nsimd_per_cu {SIMDS}\nlocation_id {bus}\ndomain 0\n", UNITS * SIMDS);
        put(&folder.join("properties"), &properties)?;
    }
    for card in &cards {
        let board = &node.boards[card.board];
        let (pid, name) = (PID_FIRST + card.board, board.workload().process());
        let (own, process) =
            (kfd.join("proc").join(pid.to_string()), root.join("proc").join(pid.to_string()));
        if name.is_empty() || !card.folder.exists() {
            for folder in [own, process].iter().filter(|folder| folder.exists()) {
                std::fs::remove_dir_all(folder)?;
            }
            continue;
        }
        put(&process.join("stat"), &format!("{pid} ({name}) S {}{pid} 0 0\n", "0 ".repeat(18)))?;
        // A process is listed on every card that it may use.
        for other in &cards {
            let here = other.board == card.board;
            let (memory, units) =
                if here { (board.memory_used_bytes, (board.busy * UNITS as f64) as u64) } else { (0, 0) };
            put(&own.join(format!("vram_{}", gpu_id(other))), &format!("{memory}\n"))?;
            let stats = own.join(format!("stats_{}", gpu_id(other)));
            put(&stats.join("cu_occupancy"), &format!("{units}\n"))?;
            put(&stats.join("evicted_ms"), "0\n")?;
        }
    }
    Ok(())
}
