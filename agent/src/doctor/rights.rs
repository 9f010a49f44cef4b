//! Rights: what each source needs as a table for the README, and what to write where to grant one.
use super::Facts;
use collectors::{BUILT_IN, Need};
use std::fmt::Write as _;

/// What is needed beside the sources' own rights.
const BESIDE: &[(&str, Need)] = &[
    (
        "processes",
        Need {
            what: "names and workloads of processes on accelerators",
            right: "the host's process ids (`hostPID: true` in a pod) and a `/proc` without `hidepid`",
            without: "who uses an accelerator; its power is shown as nobody's",
        },
    ),
    (
        "pods",
        Need {
            what: "which pod was given which device",
            right: "the kubelet's socket below /var/lib/kubelet/pod-resources, mounted, and root to open it",
            without: "names of pods that have not started a process yet",
        },
    ),
    (
        "state",
        Need {
            what: "the journal of original power limits",
            right: "a writable `state.directory`",
            without: "enforcement, and what must survive a restart",
        },
    ),
];

/// The table of needs, in Markdown.
pub fn table() -> String {
    let mut text = String::from("| source | what | needs | lost without it |\n|---|---|---|---|\n");
    let own = BUILT_IN.iter().flat_map(|entry| entry.needs.iter().map(|need| (entry.name, *need)));
    for (name, need) in own.chain(BESIDE.iter().copied()) {
        let lost = if need.without.is_empty() { "–" } else { need.without };
        let _ = writeln!(text, "| {name} | {} | {} | {lost} |", need.what, need.right);
    }
    text
}

/// The capabilities that a right names, any one of which suffices.
fn named(right: &str) -> Vec<&str> {
    let words = right.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    words.filter(|word| word.starts_with("CAP_")).collect()
}

/// The group that a right names: `group render`.
fn group(right: &str) -> Option<&str> {
    let (_, rest) = right.split_once("group ")?;
    rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .next()
        .filter(|name| !name.is_empty())
}

/// Whether the right is held; `None` where capabilities do not decide it.
pub(super) fn is_held(right: &str, facts: &Facts) -> Option<bool> {
    if right == "none" {
        return Some(true);
    }
    let named = named(right);
    (!named.is_empty()).then(|| named.iter().any(|name| facts.has(name)))
}

/// What to write where.
pub(super) fn grants(right: &str) -> Vec<String> {
    let mut lines: Vec<String> = named(right)
        .first()
        .map(|name| {
            let short = name.trim_start_matches("CAP_");
            vec![
                format!("systemd: CapabilityBoundingSet={name} and AmbientCapabilities={name}"),
                format!("Kubernetes: securityContext.capabilities.add: [{short}]"),
            ]
        })
        .unwrap_or_default();
    if right.contains("perf_event_paranoid") {
        lines.push("on the host instead: sysctl kernel.perf_event_paranoid=-1".into());
    }
    if right.contains("dmesg_restrict") {
        lines.push("systemd: no ProtectKernelLogs=".into());
        lines.push("Kubernetes: mount hostPath /dev/kmsg; most runtimes want privileged: true for it".into());
        lines.push("on the host instead: sysctl kernel.dmesg_restrict=0".into());
    }
    if let Some(group) = group(right) {
        lines.push(format!("systemd: SupplementaryGroups={group}"));
        lines.push(format!("Kubernetes: securityContext.supplementalGroups with the number of {group}"));
    }
    if right.contains("/dev/") {
        lines
            .push(format!("{right}: no PrivateDevices in systemd; in Kubernetes the vendor's runtime class"));
    }
    if lines.is_empty() {
        lines.push(right.to_owned());
    }
    lines
}
