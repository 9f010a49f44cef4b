//! Exposition: metric families made from a snapshot, as Prometheus text 0.0.4 or OpenMetrics 1.0.
mod agent;
mod coverage;
pub mod dcgm;
pub mod families;
pub(crate) mod holders;
mod interference;
pub mod openmetrics;
mod page;
mod shares;

use model::Snapshot;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;
use std::io::Write as _;

/// A text format of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The content type, which is always sent: Prometheus 3 refuses a page without one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that an `Accept` header prefers; text where it has no preference.
    pub fn negotiate(accept: &str) -> Self {
        let weight = |part: &str| {
            let quality = part.split(';').find_map(|field| field.trim().strip_prefix("q="));
            quality.and_then(|q| q.trim().parse().ok()).unwrap_or(1.0_f64)
        };
        let best = |wanted: &dyn Fn(&str) -> bool| {
            accept.split(',').filter(|part| wanted(part.trim())).map(weight).fold(0.0, f64::max)
        };
        let open =
            best(&|part| part.starts_with("application/openmetrics-text") && !part.contains("version=0"));
        let text = best(&|part| part.starts_with("text/plain"));
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// Every family with at least one sample, readings first, in the order of the catalogue.
fn families_of(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let mut families = families::readings(&snapshot.frame);
    families.extend(agent::families(snapshot));
    families.retain(|family| !family.get_metric().is_empty());
    families
}

/// Renders every family of a snapshot.
pub fn render(snapshot: &Snapshot, format: Format) -> String {
    let families = families_of(snapshot);
    match format {
        Format::Text => {
            let mut text = String::with_capacity(256 * 1024);
            // The encoder fails on a family without name or samples only, and those are left out before.
            if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
                tracing::error!("the page is incomplete: {error}");
            }
            text
        }
        Format::OpenMetrics => openmetrics::encode(&families),
    }
}

/// Packs a page at the fastest level: level 6 costs five times as much for two thirds of the size.
pub fn gzip(page: &[u8]) -> Vec<u8> {
    let mut packer =
        flate2::write::GzEncoder::new(Vec::with_capacity(page.len() / 6), flate2::Compression::fast());
    // Writing to memory does not fail.
    let _ = packer.write_all(page);
    packer.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests;
