//! The cluster: names of pods and the devices they were given, from the kubelet on this node.
//!
//! Asked on a thread of its own, only when something changed; the beat reads what was published last.
mod client;
mod logs;
mod pace;
#[allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
mod wire;

use crate::config::ClusterConfig;
use arc_swap::ArcSwap;
use client::{AskError, Kubelet};
use model::Reason;
use model::snapshot::SourceHealth;
use pace::Pace;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The source's name in health and labels.
const NAME: &str = "pod_resources";
/// Pods, containers and devices taken from one answer or folder at most. A node runs 110 pods by default, at most a few
/// hundred.
pub(crate) const ITEMS_MAX: usize = 4096;

/// A pod by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub pod: String,
}

/// A device that a container was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Held {
    /// The pod.
    pub pod: PodName,
    /// The container's name.
    pub container: String,
    /// The resource, such as `nvidia.com/gpu`.
    pub resource: String,
    /// The device's id, as the device plugin names it.
    pub id: String,
}

/// What is known of the pods on this node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pods {
    /// Names of pods by uid.
    pub names: BTreeMap<String, PodName>,
    /// Names of containers by id.
    pub containers: BTreeMap<String, String>,
    /// Devices that were given out, in order.
    pub held: Vec<Held>,
}

impl Pods {
    /// Whether a pod, and its container if there is one, has its name.
    fn knows(&self, wanted: &Wanted) -> bool {
        self.names.contains_key(&wanted.uid)
            && (wanted.container.is_empty() || self.containers.contains_key(&wanted.container))
    }
}

/// A pod's container that the beat met and has no name for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The pod's uid.
    pub uid: String,
    /// The container's id; empty where there is none.
    pub container: String,
}

#[derive(Debug, Default)]
struct Shared {
    pods: ArcSwap<Pods>,
    health: ArcSwap<Option<SourceHealth>>,
    wanted: ArcSwap<Vec<Wanted>>,
    bell: Notify,
    stop: Notify,
}

/// The handle of the thread that asks.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
}

impl Cluster {
    /// Starts asking.
    ///
    /// # Errors
    /// When the system has no thread or no event queue to give.
    pub fn start(config: &ClusterConfig) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (inner, config) = (Arc::clone(&shared), config.clone());
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = attend(&inner, &config) => {}
                    () = inner.stop.notified() => {}
                }
            });
        };
        std::thread::Builder::new().name("wk-cluster".into()).spawn(run)?;
        Ok(Self { shared })
    }

    /// What was published last.
    pub fn pods(&self) -> Arc<Pods> {
        self.shared.pods.load_full()
    }

    /// Says that other pods work here than before, and which of them have no name yet.
    pub fn changed(&self, wanted: Vec<Wanted>) {
        self.shared.wanted.store(Arc::new(wanted));
        self.shared.bell.notify_one();
    }

    /// How the kubelet answers; `None` where there is no kubelet.
    pub fn health(&self) -> Option<SourceHealth> {
        self.shared.health.load().as_ref().clone()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.stop.notify_one();
    }
}

/// Asks for ever: at the start, when told of a change, when a name is missing, and now and then.
async fn attend(shared: &Shared, config: &ClusterConfig) {
    let mut kubelet = Kubelet::new(&config.pod_resources);
    let (mut pace, mut record) = (Pace::default(), Record::default());
    loop {
        let before = shared.pods.load_full();
        let wanted = shared.wanted.load_full();
        let missing: Vec<&Wanted> = wanted.iter().filter(|wanted| !before.knows(wanted)).collect();
        let (names, containers) = logs::scan(config);
        let asked = kubelet.ask(&names, &missing, &before.held).await;
        let failed = record.note(asked.as_ref().err());
        shared.health.store(Arc::new(record.health()));
        // What was given out before is the best guess while the kubelet does not say.
        let held = asked.unwrap_or_else(|_| before.held.clone());
        let pods = Pods { names, containers, held };
        let unknown = wanted.iter().any(|wanted| !pods.knows(wanted));
        if pods != *before {
            shared.pods.store(Arc::new(pods));
        }
        let (rest, then) = pace.after(failed, unknown);
        tokio::time::sleep(rest).await;
        let rung = tokio::time::timeout(then, shared.bell.notified()).await.is_ok();
        if rung && !failed {
            pace.changed();
        }
    }
}

/// What came of the askings.
#[derive(Debug, Default)]
struct Record {
    /// Whether there ever was a socket. A node without one has no kubelet to be ill.
    met: bool,
    last: Option<(Reason, String)>,
    failures: BTreeMap<Reason, u64>,
}

impl Record {
    /// Takes down one asking; says whether it failed.
    fn note(&mut self, error: Option<&AskError>) -> bool {
        self.met |= error.is_none_or(|error| error.reason != Reason::Missing);
        let Some(error) = error.filter(|_| self.met) else {
            self.last = None;
            return false;
        };
        if self.last.as_ref().is_none_or(|(reason, _)| *reason != error.reason) {
            tracing::warn!(reason = error.reason.as_str(), "{error}");
        }
        *self.failures.entry(error.reason).or_insert(0) += 1;
        self.last = Some((error.reason, error.to_string()));
        true
    }

    fn health(&self) -> Option<SourceHealth> {
        self.met.then(|| SourceHealth {
            name: NAME.to_owned(),
            up: self.last.is_none(),
            reason: self.last.as_ref().map(|(reason, _)| *reason),
            message: self.last.as_ref().map(|(_, message)| message.clone()),
            failures: self.failures.clone(),
        })
    }
}
