//! The report of energy as text for a terminal of 80 columns.
use super::report::{DaySum, KWH_J, Report, SAVED_IS, Sum};
use crate::cli::By;
use dashboards::format::{self, NOTHING};
use model::Unit;
use std::fmt::Write as _;

/// Columns of a name.
const NAME_WIDTH: usize = 34;
/// Workloads listed by name.
const WORKLOADS_SHOWN: usize = 30;

impl Report {
    /// The report by one of the three, as lines of at most 80 columns.
    pub fn text(&self, by: By) -> String {
        let (from, to) = (format::day(self.first), format::day(self.today()));
        let mut text = format!("Energy of {}, {from} to {to} (whole UTC days)\n", self.book.host);
        let _ = writeln!(text, "from {}", fit(&self.source, 75).trim_end());
        if self.book.rig != model::snapshot::Rig::Hardware {
            let _ = writeln!(
                text,
                "RIG {}: these devices do not exist or are not read now",
                self.book.rig.as_str()
            );
        }
        if self.days.is_empty() {
            text.push_str("\nNothing was counted in that time.\n");
            return text;
        }
        text.push('\n');
        match by {
            By::Device => self.device_lines(&mut text),
            By::Pod => self.workload_lines(&mut text),
            By::Day => self.day_lines(&mut text),
        }
        if by != By::Pod && self.total().saved_j.is_some() {
            let _ = writeln!(text, "\nsaved: {SAVED_IS}.");
        }
        self.engine_lines(&mut text);
        self.partial_lines(&mut text);
        text
    }

    fn device_lines(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{}{:>11}{:>11}{:>7}{:>8}{:>9}",
            fit("DEVICE", NAME_WIDTH),
            "kWh",
            "joules",
            "share",
            "known",
            "saved"
        );
        let total = self.total();
        for sum in self.devices() {
            let known = format::value(sum.covered_s, Unit::Seconds);
            let _ = writeln!(text, "{}{known:>8}{:>9}", line(&sum, &total), saved(&sum));
        }
        let _ = writeln!(text, "{}{:>8}{:>9}", line(&total, &total), "", saved(&total));
    }

    fn workload_lines(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{}{:>11}{:>11}{:>7}",
            fit("POD OR OTHER WORKLOAD", NAME_WIDTH),
            "kWh",
            "joules",
            "share"
        );
        let total = self.total();
        let sums = self.workloads();
        // Those that are no single workload stand at the end.
        let named = sums.iter().filter(|sum| !sum.name.starts_with('('));
        let hidden: Vec<_> = named.skip(WORKLOADS_SHOWN).collect();
        for sum in sums.iter().filter(|sum| !hidden.iter().any(|other| std::ptr::eq(*other, *sum))) {
            let _ = writeln!(text, "{}", line(sum, &total));
        }
        if !hidden.is_empty() {
            let name = format!("({} more; --json has them)", hidden.len());
            let energy_j = hidden.iter().map(|sum| sum.energy_j).sum();
            let _ = writeln!(text, "{}", line(&Sum { name, energy_j, ..Sum::default() }, &total));
        }
        let _ = writeln!(text, "{}", line(&total, &total));
    }

    fn day_lines(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "{:<12}{:>11}{:>11}{:>9}{:>10}{:>9}{:>9}",
            "DAY", "kWh", "joules", "known", "tokens", "J/token", "saved"
        );
        for day in self.by_day() {
            let known = format::value(day.known_s, Unit::Seconds);
            let _ = writeln!(
                text,
                "{:<12}{:>11.4}{:>11}{known:>9}{:>10}{:>9}{:>9}{}",
                day.sum.name,
                day.sum.energy_j / KWH_J,
                format::value(day.sum.energy_j, Unit::Joules),
                day.tokens.map_or(NOTHING.into(), |tokens| format::value(tokens, Unit::Count)),
                per_token(day.per_token_j),
                saved(&day.sum),
                if self.partial(&day) { " *" } else { "" },
            );
        }
        let total = self.total();
        let energy = format::value(total.energy_j, Unit::Joules);
        let _ = writeln!(
            text,
            "{:<12}{:>11.4}{energy:>11}{:>28}{:>9}",
            "all",
            total.energy_j / KWH_J,
            "",
            saved(&total)
        );
    }

    fn engine_lines(&self, text: &mut String) {
        let engines = self.engines();
        if engines.is_empty() {
            return;
        }
        let _ = writeln!(
            text,
            "\n{}{:>12}{:>12}{:>10}{:>12}",
            fit("ENGINE", NAME_WIDTH),
            "prompts",
            "generated",
            "J/token",
            "energy"
        );
        for engine in engines {
            let count = |tokens| format::value(tokens, Unit::Count);
            let name = [engine.name.as_str(), &engine.engine, &engine.model].join(" ");
            let energy = engine.per_token_j().map(|_| format::value(engine.metered_j, Unit::Joules));
            let _ = writeln!(
                text,
                "{}{:>12}{:>12}{:>10}{:>12}",
                fit(&name, NAME_WIDTH),
                count(engine.prompt_tokens),
                count(engine.generated_tokens),
                per_token(engine.per_token_j()),
                energy.unwrap_or(NOTHING.into()),
            );
        }
    }

    /// Which days are known in part only, and since when anything is.
    fn partial_lines(&self, text: &mut String) {
        let partial: Vec<_> = self.by_day().into_iter().filter(|day| self.partial(day)).collect();
        let missing =
            (self.first..=self.today()).filter(|day| !self.days.iter().any(|known| known.day == *day));
        let missing: Vec<_> = missing.map(format::day).collect();
        if !partial.is_empty() {
            text.push_str("\n* partial days:\n");
        }
        for day in partial {
            let _ = writeln!(text, "  {}: {}", day.sum.name, self.how_partial(&day));
        }
        match missing.as_slice() {
            [] => {}
            [one] => {
                let _ = writeln!(text, "\nNothing is known of {one}.");
            }
            [first, .., last] => {
                let _ = writeln!(
                    text,
                    "\nNothing is known of {} days between {first} and {last}.",
                    missing.len()
                );
            }
        }
    }

    fn how_partial(&self, day: &DaySum) -> String {
        let hours = |seconds: f64| format::value(seconds, Unit::Seconds);
        let passed = self.passed_s(day.day);
        match day.day.cmp(&self.today()) {
            std::cmp::Ordering::Greater => "a day to come; the clock was ahead".into(),
            std::cmp::Ordering::Equal => {
                format!("today, {} known of {} so far", hours(day.known_s), hours(passed))
            }
            std::cmp::Ordering::Less => format!("{} known of 24 h", hours(day.known_s)),
        }
    }
}

/// A name, energies and share of one line.
fn line(sum: &Sum, total: &Sum) -> String {
    let share = if total.energy_j > 0.0 {
        format!("{:.0} %", 100.0 * sum.energy_j / total.energy_j)
    } else {
        NOTHING.into()
    };
    let energy = format::value(sum.energy_j, Unit::Joules);
    format!("{}{:>11.4}{energy:>11}{share:>7}", fit(&sum.name, NAME_WIDTH), sum.energy_j / KWH_J)
}

fn saved(sum: &Sum) -> String {
    sum.saved_j.map_or(NOTHING.into(), |saved| format!("{:.1} Wh", saved / 3600.0))
}

fn per_token(joules: Option<f64>) -> String {
    joules.map_or(NOTHING.into(), |joules| format!("{joules:.3}"))
}

/// A text of exactly so many columns; what is too long loses its middle.
fn fit(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count < width {
        return format!("{text:<width$}");
    }
    let (head, tail) = (width / 2 - 1, width - width / 2 - 1);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(count - tail).collect();
    format!("{start}…{end} ")
}
