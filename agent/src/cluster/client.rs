//! The client of the kubelet's PodResources socket: one connection an asking, a deadline, a bound on what is taken.
use super::wire::pod_resources_lister_client::PodResourcesListerClient;
use super::wire::{GetPodResourcesRequest, ListPodResourcesRequest, PodResources};
use super::{Held, ITEMS_MAX, PodName, Wanted};
use hyper_util::rt::TokioIo;
use model::Reason;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::service_fn;

/// How long the kubelet has for an answer. Ours: it answers in milliseconds, and has ten seconds of its own for a plugin.
const DEADLINE: Duration = Duration::from_secs(2);
/// The largest answer that is taken: 4096 pods with ids of a kilobyte are a quarter of it.
const ANSWER_MAX: usize = 16 << 20;

/// The kubelet could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("the kubelet at {path} (key cluster.pod_resources) {what}")]
pub(super) struct AskError {
    path: PathBuf,
    what: String,
    /// Why.
    pub(super) reason: Reason,
}

/// The kubelet on this node.
#[derive(Debug)]
pub(super) struct Kubelet {
    path: PathBuf,
    /// Whether it has answered `Get` with anything but that it does not know it.
    gets: bool,
}

impl Kubelet {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), gets: true }
    }

    /// The devices that are given out now. When no more than one pod is new and its name is known, only that pod is asked
    /// for, and the others are as `before`.
    pub(super) async fn ask(
        &mut self,
        names: &BTreeMap<String, PodName>,
        missing: &[&Wanted],
        before: &[Held],
    ) -> Result<Vec<Held>, AskError> {
        let one = missing.split_first().filter(|(first, rest)| rest.iter().all(|w| w.uid == first.uid));
        let pod = one.and_then(|(first, _)| names.get(&first.uid)).filter(|_| self.gets);
        let answer = tokio::time::timeout(DEADLINE, self.talk(pod, before)).await;
        answer.unwrap_or_else(|_| Err(self.error("has not answered in time", Reason::Late)))
    }

    async fn talk(&mut self, pod: Option<&PodName>, before: &[Held]) -> Result<Vec<Held>, AskError> {
        let channel = self.connect().await?;
        let mut client = PodResourcesListerClient::new(channel).max_decoding_message_size(ANSWER_MAX);
        if let Some(pod) = pod {
            let request =
                GetPodResourcesRequest { pod_name: pod.pod.clone(), pod_namespace: pod.namespace.clone() };
            match client.get(request).await {
                Ok(answer) => {
                    let mut held: Vec<Held> =
                        before.iter().filter(|held| held.pod != *pod).cloned().collect();
                    take(answer.into_inner().pod_resources.as_slice(), &mut held);
                    return Ok(held);
                }
                // A kubelet without the feature says one or the other; a pod it does not know is no fault of `Get`.
                Err(status) if matches!(status.code(), Code::Unimplemented | Code::Unknown) => {
                    self.gets = false
                }
                Err(_) => {}
            }
        }
        let answer = client.list(ListPodResourcesRequest {}).await.map_err(|status| self.refused(&status))?;
        let mut held = Vec::new();
        take(&answer.into_inner().pod_resources, &mut held);
        Ok(held)
    }

    async fn connect(&self) -> Result<Channel, AskError> {
        let stream = UnixStream::connect(&self.path).await;
        let stream = stream
            .map_err(|error| self.error(&format!("cannot be reached: {error}"), Reason::of_io(&error)))?;
        let mut stream = Some(stream);
        let connector = service_fn(move |_| {
            let taken = stream.take().map(TokioIo::new);
            // The connection is not made anew: the next asking makes its own.
            std::future::ready(taken.ok_or_else(|| std::io::Error::other("the connection has ended")))
        });
        // The name is never looked up; HTTP wants one.
        let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await;
        channel.map_err(|error| self.error(&format!("does not speak HTTP/2: {error}"), Reason::Malformed))
    }

    fn refused(&self, status: &Status) -> AskError {
        let reason = match status.code() {
            Code::Unimplemented => Reason::Unsupported,
            Code::PermissionDenied | Code::Unauthenticated => Reason::Denied,
            Code::ResourceExhausted => Reason::Busy,
            Code::OutOfRange => Reason::Full,
            Code::DeadlineExceeded => Reason::Late,
            Code::Unavailable => Reason::Io,
            _ => Reason::Malformed,
        };
        self.error(&format!("answers {:?}: {}", status.code(), short(status.message())), reason)
    }

    fn error(&self, what: &str, reason: Reason) -> AskError {
        AskError { path: self.path.clone(), what: what.to_owned(), reason }
    }
}

/// The beginning of a message that somebody else wrote.
fn short(text: &str) -> String {
    text.chars().take(200).collect()
}

/// Takes the devices of an answer, at most [`ITEMS_MAX`] in all, in order and each once.
fn take(pods: &[PodResources], held: &mut Vec<Held>) {
    for pod in pods {
        let name = PodName { namespace: pod.namespace.clone(), pod: pod.name.clone() };
        for container in &pod.containers {
            for devices in &container.devices {
                let room = ITEMS_MAX.saturating_sub(held.len());
                held.extend(devices.device_ids.iter().take(room).map(|id| Held {
                    pod: name.clone(),
                    container: container.name.clone(),
                    resource: devices.resource_name.clone(),
                    id: id.clone(),
                }));
            }
        }
    }
    held.sort_unstable();
    held.dedup();
}
