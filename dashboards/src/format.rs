//! Numbers, bars and sparklines as text: base units in, a few characters out.
use model::metric::MetricKind;
use model::{Metric, Reading, Unit};

/// What stands for a value that is not there.
pub const NOTHING: &str = "–";

/// A value in its unit with a fitting prefix: `1.83 GHz`, `66.2 GiB`, `42 %`.
pub fn value(value: f64, unit: Unit) -> String {
    match unit {
        // A share of wrong bits, which in percent would read as none.
        Unit::Ratio if value != 0.0 && value.abs() < 1e-6 => format!("{value:.1e}"),
        Unit::Ratio => format!("{:.0} %", 100.0 * value),
        Unit::Bytes => scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"]),
        Unit::BytesPerSecond => scaled(value, 1e3, &["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]),
        Unit::Hertz => scaled(value, 1e3, &["Hz", "kHz", "MHz", "GHz"]),
        Unit::Joules => scaled(value, 1e3, &["J", "kJ", "MJ", "GJ", "TJ"]),
        Unit::Watts => format!("{value:.0} W"),
        Unit::Celsius => format!("{value:.0} °C"),
        Unit::Rpm => format!("{value:.0} rpm"),
        Unit::Volts => format!("{value:.2} V"),
        Unit::Seconds => seconds(value),
        Unit::Flag => (if value == 0.0 { "no" } else { "yes" }).to_owned(),
        Unit::Count => scaled(value, 1e3, &["", "k", "M", "G", "T"]).trim_end().to_owned(),
    }
}

/// A reading in its unit, or the reason of its absence.
pub fn reading(reading: Reading, unit: Unit) -> String {
    match reading {
        Reading::Value(number) => value(number, unit),
        Reading::Absent(absence) => format!("{NOTHING} {}", absence.as_str()),
    }
}

fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let mut scaled = value;
    let mut place = 0;
    while scaled.abs() >= step && place + 1 < units.len() {
        scaled /= step;
        place += 1;
    }
    let digits = if place == 0 && scaled.fract() == 0.0 { 0 } else { usize::from(scaled.abs() < 100.0) };
    format!("{scaled:.digits$} {}", units[place])
}

fn seconds(value: f64) -> String {
    match value {
        0.0 => "0 s".to_owned(),
        v if v.abs() < 1e-3 => format!("{:.0} µs", v * 1e6),
        v if v.abs() < 1.0 => format!("{:.1} ms", v * 1e3),
        v if v.abs() < 120.0 => format!("{v:.1} s"),
        v if v.abs() < 7200.0 => format!("{:.0} min", v / 60.0),
        v => format!("{:.1} h", v / 3600.0),
    }
}

/// A moment as hours, minutes and seconds, UTC.
pub fn clock(wall_ms: i64) -> String {
    let second = wall_ms.div_euclid(1000).rem_euclid(86_400);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// A moment as [`clock`] has it, with month and day before it where it is not of the same day as `now_ms`.
pub fn moment(wall_ms: i64, now_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let day = wall_ms.div_euclid(DAY_MS);
    if day == now_ms.div_euclid(DAY_MS) {
        return clock(wall_ms);
    }
    let (_, month, day) = date(day);
    format!("{month:02}-{day:02} {}", clock(wall_ms))
}

/// The day, so many after 1970-01-01, as `2026-11-24`.
pub fn day(days: i64) -> String {
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Year, month and day of so many days after 1970-01-01, in the Gregorian calendar.
fn date(days: i64) -> (i64, i64, i64) {
    // Counted in eras of 400 years that begin with March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let month_of_year = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month_of_year <= 2), month_of_year, day - first + 1)
}

/// A piece of evidence in its metric's unit; a counter's is a rate.
pub fn evidence(metric: Metric, number: f64) -> String {
    let row = metric.row();
    let per_second = if row.kind == MetricKind::Counter { "/s" } else { "" };
    format!("{}{per_second}", value(number, row.unit))
}

/// A bar of `width` cells, filled to a share; eighths of a cell where the terminal has them.
pub fn bar(share: f64, width: usize, unicode: bool) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let (full, part) = (eighths / 8, eighths % 8);
    if !unicode {
        let full = full + usize::from(part >= 4);
        return format!("{}{}", "#".repeat(full), ".".repeat(width - full));
    }
    let partial = [" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][part];
    let mut bar = "█".repeat(full);
    if full < width {
        bar.push_str(partial);
        bar.push_str(&" ".repeat(width - full - 1));
    }
    bar
}

/// The newest points as a line of columns between 0 and `top`; gaps are blank.
pub fn spark(points: &[Option<f64>], top: f64, width: usize, unicode: bool) -> String {
    let steps: &[char] = if unicode {
        &['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
    } else {
        &['.', ':', '-', '=', '+', '*', '%', '#']
    };
    let column = |point: &Option<f64>| match point {
        None => ' ',
        Some(value) => steps[((value / top.max(1e-9) * 8.0) as usize).min(7)],
    };
    let shown = &points[points.len().saturating_sub(width)..];
    let line: String = shown.iter().map(column).collect();
    format!("{line:>width$}")
}

/// A time that has passed, in the largest unit that fits: `42 s`, `12 min`, `3 h`, `5 d`.
pub fn ago(seconds: f64) -> String {
    match seconds.max(0.0) {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.0} h", s / 3600.0),
        s => format!("{:.0} d", s / 86_400.0),
    }
}

/// Text broken between words into lines of at most `width` characters; a longer word has a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// What stands for a character on a terminal that only has ASCII.
pub fn ascii(character: char) -> char {
    match character {
        c if c.is_ascii() => c,
        '–' | '—' | '─' => '-',
        '→' => '>',
        '…' => '~',
        '°' | '·' | ' ' => ' ',
        'µ' => 'u',
        '×' => 'x',
        '↑' => '^',
        '↓' => 'v',
        '←' => '<',
        _ => '?',
    }
}

/// Text cut to a width in characters, with a sign where something is missing.
pub fn fit(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return format!("{text:<width$}");
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    if width > 0 {
        cut.push('…');
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Absence;

    #[test]
    fn values_carry_their_unit() {
        let cases = [
            (0.423, Unit::Ratio, "42 %"),
            (3e-13, Unit::Ratio, "3.0e-13"),
            (1.83e9, Unit::Hertz, "1.8 GHz"),
            (80.0 * 1024.0 * 1024.0 * 1024.0, Unit::Bytes, "80.0 GiB"),
            (0.0, Unit::Count, "0"),
            (0.000_02, Unit::Seconds, "20 µs"),
            (1.0, Unit::Flag, "yes"),
        ];
        for (number, unit, text) in cases {
            assert_eq!(value(number, unit), text);
        }
        assert_eq!(reading(Reading::Absent(Absence::Denied), Unit::Watts), "– denied");
    }

    #[test]
    fn a_moment_of_another_day_has_its_date() {
        assert_eq!(moment(1_767_225_600_000, 1_767_225_601_000), "00:00:00");
        assert_eq!(moment(1_767_225_599_000, 1_767_225_600_000), "12-31 23:59:59");
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!((date(0), date(-1)), ((1970, 1, 1), (1969, 12, 31)));
    }

    #[test]
    fn a_bar_always_has_its_width() {
        for step in 0..=80 {
            for unicode in [true, false] {
                assert_eq!(bar(f64::from(step) / 80.0, 10, unicode).chars().count(), 10);
            }
        }
        assert_eq!(bar(1.0, 3, true), "███");
        assert_eq!(bar(7.0, 3, false), "###");
    }

    #[test]
    fn a_sparkline_shows_gaps_as_blanks() {
        assert_eq!(spark(&[Some(0.0), None, Some(8.0)], 8.0, 5, true), "  ▁ █");
    }

    #[test]
    fn wrapped_text_keeps_every_word_and_the_width() {
        let text = "Drain the node and reboot it; if the device does not return, have it inspected.";
        for width in 10..90 {
            let lines = wrap(text, width);
            assert_eq!(lines.join(" "), text);
            assert!(lines.iter().all(|line| line.len() <= width), "{width}: {lines:?}");
        }
        assert_eq!(wrap("a incomprehensible b", 4), ["a", "incomprehensible", "b"]);
    }

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        let told: Vec<_> = [-1.0, 119.0, 600.0, 9000.0, 864_000.0].into_iter().map(ago).collect();
        assert_eq!(told, ["0 s", "119 s", "10 min", "2 h", "10 d"]);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(fit("abcdef", 4), "abc…");
        assert_eq!(fit("ab", 4), "ab  ");
    }
}
