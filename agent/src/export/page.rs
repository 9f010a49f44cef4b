//! The page that families of the agent are collected on: names come from the catalogue's list only.
use super::families::{family, label, sample};
use model::families::FAMILIES;
use model::metric::Family;
use prometheus::proto::MetricFamily;

/// Collects samples under the families that the catalogue lists.
pub(super) struct Page(Vec<(&'static Family, MetricFamily)>);

impl Page {
    /// A page without samples.
    pub(super) fn new() -> Self {
        Self(FAMILIES.iter().map(|row| (row, family(row.name, row.help, row.kind))).collect())
    }

    /// Adds a sample; values of labels in the order of the catalogue's names.
    pub(super) fn add(&mut self, name: &str, values: &[&str], number: f64) {
        let found = self.0.iter_mut().find(|(row, _)| row.name.strip_prefix("wattkeeper_") == Some(name));
        debug_assert!(found.is_some(), "{name} is not in the catalogue");
        let Some((row, family)) = found else { return };
        debug_assert_eq!(row.labels.len(), values.len(), "{name}");
        if number.is_finite() {
            let labels = row.labels.iter().zip(values).map(|(name, value)| label(name, value)).collect();
            family.mut_metric().push(sample(labels, number, row.kind));
        }
    }

    /// Every family, those without samples included.
    pub(super) fn families(self) -> Vec<MetricFamily> {
        self.0.into_iter().map(|(_, family)| family).collect()
    }
}
