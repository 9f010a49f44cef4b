//! `fake-nvml-ctl FILE VERB …`: steers a fake node from a shell.
use fake_nvml::{Control, Group};
use sim::Fault;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::Path;
use std::time::Duration;

const USAGE: &str = "usage: fake-nvml-ctl FILE VERB
  new PROFILE BOARDS         makes a node of h100 or a100 boards; FILE must not exist
  status                     the node as JSON
  load BOARD WORKLOAD        idle, training, prefill, decode, serving; BOARD may be `all`
  xid BOARD CODE             reports an XID error
  lose|return BOARD          lets a board fall off the bus, or brings it back
  inject|heal BOARD FAULT    lost, stuck_sensor, cooler, power_brake, pcie_width, cap_not_held, straggler,
                             down_clock, memory_leak, bad_seat, neighbour, pcie_replays, ecc_corrected
  ecc BOARD COUNT            adds uncorrectable errors
  ecc-corrected BOARD COUNT  adds corrected errors
  hang on|off [GROUP]        lets calls hang; GROUP: start, read, write, events; all but events without one
  hang-board BOARD on|off    lets every call on one board hang
  fail-board BOARD FUNCTION CODE
  cut BOARD PARTS            cuts a board into instances, 0 makes it whole
  link BOARD LINK on|off     lets a link come up or go down
  seat BOARD SEAT TENANT DUTY  lets a process share a board, `nobody` ends it
  mps BOARD on|off           lets processes' kernels run at once, or in turns
  impersonate BOARD WHOM     lets a board give the identity of another
  reorder BOARD...           lets the driver list the boards in this order
  driver MAJOR MINOR         puts another driver in
  slow MILLISECONDS          makes every call slower, 0 to stop
  read-only on|off           refuses setters
  fail FUNCTION CODE         makes a function return a code, 0 to stop
  limit BOARD WATTS          sets a power limit as another program would
  out-of-band BOARD WATTS    sets the limit of the baseboard controller
  pace TIMES                 lets simulated time run faster or slower, 0 to hold it
  advance SECONDS            moves simulated time forward at once
";

fn wrong() -> Error {
    Error::new(ErrorKind::InvalidInput, USAGE)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| wrong())
}

fn on(text: &str) -> Result<bool> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong()),
    }
}

fn fault(text: &str) -> Result<Fault> {
    Fault::named(text).ok_or_else(wrong)
}

fn seconds(text: &str, unit: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(number::<f64>(text)? * unit).map_err(|_| wrong())
}

fn make(file: &Path, profile: &str, boards: &str) -> Result<()> {
    let profile = sim::Profile::named(profile).ok_or_else(wrong)?;
    if file.exists() {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("{} exists", file.display())));
    }
    Control::open_as(file, profile, number(boards)?, 1).map(drop)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [file, verb @ ..] = words.as_slice() else { return Err(wrong()) };
    match verb {
        ["new", profile, boards] => make(Path::new(file), profile, boards),
        [] => Err(wrong()),
        _ => steer(&Control::open(Path::new(file))?, verb),
    }
}

fn steer(control: &Control, verb: &[&str]) -> Result<()> {
    match *verb {
        ["status"] => writeln!(std::io::stdout(), "{:#}", control.status()),
        ["load", "all", workload] => {
            (0..control.node().boards().len()).try_for_each(|board| control.load(board, workload))
        }
        ["load", board, workload] => control.load(number(board)?, workload),
        ["seat", board, place, tenant, duty] => {
            control.seat(number(board)?, number(place)?, tenant, number(duty)?)
        }
        ["mps", board, mps] => control.mps(number(board)?, on(mps)?),
        ["xid", board, code] => control.xid(number(board)?, number(code)?),
        ["lose", board] => control.lose(number(board)?),
        ["return", board] => control.give_back(number(board)?),
        ["inject", board, name] => control.inject(number(board)?, fault(name)?),
        ["heal", board, name] => control.heal(number(board)?, fault(name)?),
        ["ecc", board, count] => control.ecc(number(board)?, number(count)?),
        ["ecc-corrected", board, count] => control.ecc_corrected(number(board)?, number(count)?),
        ["hang", state] => control.hang(on(state)?),
        ["hang", state, group] => control.hang_group(Group::named(group).ok_or_else(wrong)?, on(state)?),
        ["slow", milliseconds] => control.slow(seconds(milliseconds, 1e-3)?),
        ["read-only", state] => control.read_only(on(state)?),
        ["fail", function, code] => control.fail(function, number(code)?),
        ["limit", board, watts] => control.set_power_limit(number(board)?, number(watts)?),
        ["out-of-band", board, watts] => control.out_of_band(number(board)?, number(watts)?),
        ["pace", times] => control.pace(number(times)?),
        ["advance", time] => {
            control.advance(seconds(time, 1.0)?);
            Ok(())
        }
        _ => steer_more(control, verb),
    }
}

fn steer_more(control: &Control, verb: &[&str]) -> Result<()> {
    match *verb {
        ["hang-board", board, state] => control.hang_board(number(board)?, on(state)?),
        ["fail-board", board, function, code] => control.fail_board(number(board)?, function, number(code)?),
        ["cut", board, parts] => control.cut(number(board)?, number(parts)?),
        ["link", board, link, state] => control.link(number(board)?, number(link)?, on(state)?),
        ["impersonate", board, whom] => control.impersonate(number(board)?, number(whom)?),
        ["reorder", ref boards @ ..] => {
            let order: Vec<usize> = boards.iter().map(|board| number(board)).collect::<Result<_>>()?;
            control.reorder(&order)
        }
        ["driver", major, minor] => {
            control.driver(number(major)?, number(minor)?);
            Ok(())
        }
        _ => Err(wrong()),
    }
}
