//! What the detectors that learn can say: who is still learning, who keeps silent and why.
use super::page;
use model::{Stand, Standing};
use serde_json::json;
use std::collections::BTreeMap;

/// Who is in one state, with the least and the most of what their states say.
#[derive(Default)]
struct Group<'a> {
    names: Vec<&'a str>,
    range: Option<(f64, f64)>,
}

impl<'a> Group<'a> {
    fn add(&mut self, name: &'a str, number: f64) {
        self.names.push(name);
        let (least, most) = self.range.unwrap_or((number, number));
        self.range = Some((least.min(number), most.max(number)));
    }

    /// `4 %`, or `4 to 7 %`.
    fn range(&self, unit: &str) -> String {
        let (least, most) = self.range.unwrap_or_default();
        let [least, most] = [least, most].map(|number| format!("{number:.0}"));
        if least == most { format!("{least} {unit}") } else { format!("{least} to {most} {unit}") }
    }
}

/// A paragraph a detector and state, with the devices that it is about; nothing of those that watch.
pub(super) fn text(standings: &[(String, Standing)]) -> String {
    let mut groups: BTreeMap<(Option<&str>, &str), Group<'_>> = BTreeMap::new();
    for (name, standing) in standings {
        let (mask, number) = match standing.stand {
            Stand::Watching => continue,
            Stand::Learning { progress } => (None, 100.0 * progress),
            Stand::Masked { mask, left_s } => (Some(mask.as_str()), left_s),
        };
        groups.entry((mask, &standing.detector)).or_default().add(name, number);
    }
    let mut text = String::new();
    for ((mask, detector), group) in groups {
        let state = match mask {
            None => format!("learning, {} done", group.range("%")),
            Some(mask) => format!("masked ({mask}) for {} more", group.range("s")),
        };
        page::put(&mut text, "  ", &format!("{detector} is {state}: {}", group.names.join(", ")));
    }
    text
}

/// The same for a program.
pub(super) fn json((name, standing): &(String, Standing)) -> serde_json::Value {
    let (progress, mask, left_s) = match standing.stand {
        Stand::Watching => (None, None, None),
        Stand::Learning { progress } => (Some(progress), None, None),
        Stand::Masked { mask, left_s } => (None, Some(mask), Some(left_s)),
    };
    json!({
        "detector": standing.detector, "name": name, "state": standing.stand.as_str(),
        "progress": progress, "mask": mask, "left_s": left_s,
    })
}
