//! The page of an engine in Prometheus' text format: the few series that count, added up; the rest is passed over.
use super::dialect::{DIALECTS, Dialect, MODEL, RANKS, SERIES};
use super::http::FetchError;
use model::Metric;

/// Series of our names on one page at most: engines have one for each rank, replica and model.
pub(super) const SERIES_MAX: usize = 1024;
/// Bytes of a model's name that are kept.
const MODEL_MAX: usize = 128;

/// What a page said. Reused from page to page.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// The names of the operator's own series, and what they count.
    own: Vec<(String, Metric)>,
    dialect: Option<&'static Dialect>,
    sums: [Option<f64>; SERIES],
    own_sums: [Option<f64>; 2],
    model: String,
}

impl Page {
    /// A page on which a histogram or summary of this name says how long steps take.
    pub(super) fn with(histogram: Option<&str>) -> Self {
        let named = |name: &str| {
            let series = [("sum", Metric::EngineStepTime), ("count", Metric::EngineSteps)];
            series.map(|(end, metric)| (format!("{name}_{end}"), metric)).to_vec()
        };
        Self { own: histogram.map_or_else(Vec::new, named), ..Self::default() }
    }

    /// Reads a page; what an earlier one said is forgotten.
    ///
    /// # Errors
    /// When it has no series of any engine that is understood, or far too many.
    pub(super) fn read(&mut self, body: &[u8]) -> Result<(), FetchError> {
        (self.dialect, self.sums, self.own_sums) = (None, [None; SERIES], [None; 2]);
        let mut found = 0;
        let mut named = false;
        for line in body.split(|byte| *byte == b'\n') {
            let Some((name, rest)) = split_name(line) else { continue };
            let own = self.own.iter().position(|(known, _)| known.as_bytes() == name);
            let known = if own.is_none() { find(name, self.dialect) } else { None };
            if let Some((dialect, _)) = known {
                self.dialect = Some(dialect);
            }
            let sum = match (own, known) {
                (Some(place), _) => &mut self.own_sums[place],
                (None, Some((_, place))) => &mut self.sums[place],
                (None, None) => continue,
            };
            found += 1;
            if found > SERIES_MAX {
                return Err(FetchError::Full);
            }
            let sample = Sample::parse(rest);
            if sample.is_none_or(|sample| sample.counts) {
                // One series that makes no sense spoils the sum: it is not known.
                let value = sample.map_or(f64::NAN, |sample| sample.value);
                *sum = Some(sum.unwrap_or(0.0) + value);
            }
            if let Some(model) = sample.and_then(|sample| sample.model).filter(|_| !named) {
                named = true;
                self.name_model(model);
            }
        }
        if found == 0 { Err(FetchError::Foreign) } else { Ok(()) }
    }

    fn name_model(&mut self, model: &[u8]) {
        let text = String::from_utf8_lossy(&model[..model.len().min(MODEL_MAX)]);
        if self.model != text {
            self.model = text.into_owned();
        }
    }

    /// The engine of the last page.
    pub(super) fn dialect(&self) -> Option<&'static Dialect> {
        self.dialect
    }

    /// The model that it serves, the first where it serves several; empty where it does not say.
    pub(super) fn model(&self) -> &str {
        &self.model
    }

    /// What was on the page. A sum with a series that makes no sense is not a number.
    pub(super) fn values(&self) -> impl Iterator<Item = (Metric, f64)> {
        let series = self.dialect.map_or(&[][..], |dialect| dialect.series);
        let own = self.own.iter().zip(self.own_sums).filter_map(|((_, metric), sum)| Some((*metric, sum?)));
        // What the operator names stands in place of what the engine counts.
        let named = |metric: Metric| self.own.iter().any(|(_, own)| *own == metric);
        let spoken = series.iter().zip(self.sums).filter_map(|((_, metric), sum)| Some((*metric, sum?)));
        spoken.filter(move |(metric, _)| !named(*metric)).chain(own)
    }
}

/// The name of a sample's line, and what follows it; `None` of comments and empty lines.
fn split_name(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| matches!(byte, b'{' | b' ' | b'\t'))?;
    (end > 0 && line[0] != b'#').then(|| line.split_at(end))
}

/// The dialect that has a name, and its place there. A page speaks one dialect: that of its first known name.
fn find(name: &[u8], spoken: Option<&'static Dialect>) -> Option<(&'static Dialect, usize)> {
    let of = |dialect: &'static Dialect| {
        let place = dialect.series.iter().position(|(known, _)| known.as_bytes() == name)?;
        Some((dialect, place))
    };
    match spoken {
        Some(dialect) => of(dialect),
        None => DIALECTS.iter().find_map(of),
    }
}

/// What stands behind a series' name.
#[derive(Debug, Clone, Copy)]
struct Sample<'a> {
    value: f64,
    /// Whether it is of the first rank, or of none.
    counts: bool,
    model: Option<&'a [u8]>,
}

impl<'a> Sample<'a> {
    /// Reads `{label="value",…} number [time]`; `None` when it is broken.
    fn parse(rest: &'a [u8]) -> Option<Self> {
        let mut sample = Self { value: f64::NAN, counts: true, model: None };
        let mut rest = rest;
        if let Some(mut labels) = rest.strip_prefix(b"{") {
            loop {
                labels = labels.trim_ascii_start();
                if let Some(after) = labels.strip_prefix(b"}") {
                    rest = after;
                    break;
                }
                let (name, value, after) = label(labels)?;
                if RANKS.iter().any(|rank| rank.as_bytes() == name) {
                    sample.counts &= value == b"0";
                }
                if name == MODEL.as_bytes() {
                    sample.model = Some(value);
                }
                labels = after.trim_ascii_start();
                labels = labels.strip_prefix(b",").unwrap_or(labels);
            }
        }
        let number = rest.split(u8::is_ascii_whitespace).find(|word| !word.is_empty())?;
        sample.value = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some(sample)
    }
}

/// One `name="value"` and what follows; escapes stay as they are.
fn label(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == b'=')?;
    let name = text[..at].trim_ascii();
    let value = text[at + 1..].trim_ascii_start().strip_prefix(b"\"")?;
    let mut escaped = false;
    for (end, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((name, &value[..end], &value[end + 1..])),
            _ => {}
        }
    }
    None
}
