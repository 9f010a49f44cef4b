//! What the detectors that learn can say: who is still learning, who keeps silent and why.
use model::{Stand, Standing};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One line a detector and standing, with the devices that it is about; nothing of those that watch.
pub(super) fn text(standings: &[(String, Standing)]) -> String {
    let mut groups: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    for (name, standing) in standings {
        let (word, about) = match standing.stand {
            Stand::Watching => continue,
            Stand::Learning { progress } => {
                ("learning".to_owned(), format!("{name} {:.0} %", 100.0 * progress))
            }
            Stand::Masked { mask, left_s } => {
                (format!("masked ({})", mask.as_str()), format!("{name} for {left_s:.0} s more"))
            }
        };
        groups.entry((word, &standing.detector)).or_default().push(about);
    }
    let mut text = String::new();
    for ((word, detector), about) in groups {
        let _ = writeln!(text, "  {detector} is {word}: {}", about.join(", "));
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
