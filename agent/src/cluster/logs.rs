//! Names of pods and containers from the kubelet's log folders: PodResources has names but neither uids nor ids.
use super::{ITEMS_MAX, PodName};
use crate::config::ClusterConfig;
use std::collections::BTreeMap;
use std::path::Path;

/// Digits of a container's id.
const ID_LENGTH: usize = 64;

/// Names of pods by uid, and of containers by id. Folders that are not there name nobody.
pub(super) fn scan(config: &ClusterConfig) -> (BTreeMap<String, PodName>, BTreeMap<String, String>) {
    let containers = names(&config.container_logs).into_iter().filter_map(|name| container(&name)).collect();
    (pods(&config.pod_logs), containers)
}

/// Of two pods of one name, the folder of one that is gone may still be there; the one made later counts.
fn pods(folder: &Path) -> BTreeMap<String, PodName> {
    let made = |name: &str| std::fs::metadata(folder.join(name)).and_then(|data| data.modified()).ok();
    let mut latest: BTreeMap<PodName, (String, String)> = BTreeMap::new();
    for file in names(folder) {
        let Some((uid, name)) = pod(&file) else { continue };
        match latest.get(&name) {
            Some((_, other)) if made(other) >= made(&file) => {}
            _ => drop(latest.insert(name, (uid, file))),
        }
    }
    latest.into_iter().map(|(name, (uid, _))| (uid, name)).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.take(ITEMS_MAX).filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A folder `<namespace>_<pod>_<uid>`; no part can hold an underscore.
fn pod(name: &str) -> Option<(String, PodName)> {
    let mut parts = name.split('_');
    let (namespace, pod, uid) = (parts.next()?, parts.next()?, parts.next()?);
    let whole = parts.next().is_none() && [namespace, pod, uid].iter().all(|part| !part.is_empty());
    whole.then(|| (uid.to_owned(), PodName { namespace: namespace.to_owned(), pod: pod.to_owned() }))
}

/// A link `<pod>_<namespace>_<container>-<id>.log`.
fn container(name: &str) -> Option<(String, String)> {
    let (container, id) = name.strip_suffix(".log")?.rsplit('_').next()?.rsplit_once('-')?;
    let plain = id.len() == ID_LENGTH && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (plain && !container.is_empty()).then(|| (id.to_owned(), container.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_pods_of_one_name_the_later_counts() {
        let home = tempfile::tempdir().unwrap();
        let made = |name: &str, second: u64| {
            std::fs::create_dir(home.path().join(name)).unwrap();
            let folder = std::fs::File::open(home.path().join(name)).unwrap();
            folder.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(second)).unwrap();
        };
        made("a_web-0_uid-1", 100);
        made("a_web-0_uid-0", 200);
        made("a_web-1_uid-2", 100);
        assert_eq!(pods(home.path()).into_keys().collect::<Vec<_>>(), ["uid-0", "uid-2"]);
    }

    #[test]
    fn folders_and_links_name_pods_and_containers() {
        let id = "0123456789abcdef".repeat(4);
        let uid = "11111111-2222-3333-4444-555555555555";
        let name = PodName { namespace: "team-a".into(), pod: "train-0".into() };
        assert_eq!(pod(&format!("team-a_train-0_{uid}")), Some((uid.into(), name)));
        assert_eq!(
            container(&format!("train-0_team-a_main-2-{id}.log")),
            Some((id.clone(), "main-2".into()))
        );
        for odd in ["", "a_b", "a_b_c_d", "_b_c", "a__c", "a_b_"] {
            assert_eq!(pod(odd), None, "{odd}");
        }
        for odd in
            ["", ".log", "a_b_c.log", "a_b_c-12.log", &format!("a_b_-{id}.log"), &format!("a_b_c-{id}")]
        {
            assert_eq!(container(odd), None, "{odd}");
        }
    }
}
