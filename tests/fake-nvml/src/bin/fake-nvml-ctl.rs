//! `fake-nvml-ctl FILE VERB …`: steers a fake node from a shell.
use fake_nvml::Control;
use sim::Fault;
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::Path;

const USAGE: &str = "usage: fake-nvml-ctl FILE VERB
  status                     the node as JSON
  load BOARD WORKLOAD        idle, training, prefill, decode, serving; BOARD may be `all`
  xid BOARD CODE             reports an XID error
  inject|heal BOARD FAULT    lost, stuck_sensor, cooler, power_brake, pcie_width, cap_not_held
  ecc BOARD COUNT            adds uncorrectable errors
  hang on|off                lets every call hang
  fail FUNCTION CODE         makes a function return a code, 0 to stop
  limit BOARD WATTS          sets a power limit as another program would
";

fn wrong() -> Error {
    Error::new(ErrorKind::InvalidInput, USAGE)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| wrong())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [file, rest @ ..] = words.as_slice() else { return Err(wrong()) };
    let control = Control::open(Path::new(file))?;
    match rest {
        ["status"] => writeln!(std::io::stdout(), "{:#}", control.status()),
        ["load", "all", workload] => (0..8).try_for_each(|board| control.load(board, workload)),
        ["load", board, workload] => control.load(number(board)?, workload),
        ["xid", board, code] => control.xid(number(board)?, number(code)?),
        ["inject", board, fault] => control.inject(number(board)?, Fault::named(fault).ok_or_else(wrong)?),
        ["heal", board, fault] => control.heal(number(board)?, Fault::named(fault).ok_or_else(wrong)?),
        ["ecc", board, count] => control.ecc(number(board)?, number(count)?),
        ["hang", state] => control.hang(*state == "on"),
        ["fail", function, code] => control.fail(function, number(code)?),
        ["limit", board, watts] => control.set_power_limit(number(board)?, number(watts)?),
        _ => Err(wrong()),
    }
}
