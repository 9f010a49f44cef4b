//! A fake kubelet: PodResources v1 over a unix socket, well or ill as a test wants it.
#[allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
mod wire;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};
use wire::pod_resources_lister_server::{PodResourcesLister, PodResourcesListerServer};
use wire::{
    ContainerDevices, ContainerResources, GetPodResourcesRequest, GetPodResourcesResponse,
    ListPodResourcesRequest, ListPodResourcesResponse, PodResources,
};

/// How the kubelet behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mood {
    /// As it should.
    #[default]
    Well,
    /// It does not know `Get`.
    NoGet,
    /// It answers after a minute.
    Slow,
    /// It refuses everybody.
    Denies,
}

/// What the fake has and what it was asked.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// Namespace, pod, container, device id.
    pub held: Vec<[String; 4]>,
    /// How it behaves.
    pub mood: Mood,
    /// How often `List` was asked.
    pub lists: u64,
    /// How often `Get` was asked.
    pub gets: u64,
}

/// A running fake kubelet; ends when it is dropped.
#[derive(Debug)]
pub struct Kubelet {
    state: Arc<Mutex<State>>,
    _stop: oneshot::Sender<()>,
}

struct Service(Arc<Mutex<State>>);

impl Kubelet {
    /// Serves on a socket.
    ///
    /// # Panics
    /// When the socket cannot be made.
    pub fn start(socket: &Path, held: Vec<[String; 4]>) -> Self {
        let state = Arc::new(Mutex::new(State { held, ..State::default() }));
        let (stop, stopped) = oneshot::channel::<()>();
        let service = PodResourcesListerServer::new(Service(Arc::clone(&state)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = {
            let _entered = runtime.enter();
            tokio::net::UnixListener::bind(socket).expect("a free path")
        };
        std::thread::spawn(move || {
            runtime.block_on(async {
                let server = tonic::transport::Server::builder().add_service(service);
                tokio::select! {
                    served = server.serve_with_incoming(UnixListenerStream::new(listener)) => served.expect("it serves"),
                    _ = stopped => {}
                }
            });
        });
        Self { state, _stop: stop }
    }

    /// How often `List` and `Get` were asked.
    pub fn asked(&self) -> (u64, u64) {
        let state = self.state();
        (state.lists, state.gets)
    }

    /// What it has, to look at and to change.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn mood(&self) -> Result<Mood, Status> {
        let mood = self.state().mood;
        match mood {
            Mood::Slow => tokio::time::sleep(Duration::from_secs(60)).await,
            Mood::Denies => return Err(Status::permission_denied("not you")),
            Mood::Well | Mood::NoGet => {}
        }
        Ok(mood)
    }

    /// As the kubelet does it: one entry a device, even of one resource.
    fn pods(&self) -> Vec<PodResources> {
        let pod = |[namespace, pod, container, id]: &[String; 4]| PodResources {
            name: pod.clone(),
            namespace: namespace.clone(),
            containers: vec![ContainerResources {
                name: container.clone(),
                devices: vec![ContainerDevices {
                    resource_name: "nvidia.com/gpu".into(),
                    device_ids: vec![id.clone()],
                }],
            }],
        };
        self.state().held.iter().map(pod).collect()
    }
}

#[tonic::async_trait]
impl PodResourcesLister for Service {
    async fn list(
        &self,
        _: Request<ListPodResourcesRequest>,
    ) -> Result<Response<ListPodResourcesResponse>, Status> {
        self.state().lists += 1;
        self.mood().await?;
        Ok(Response::new(ListPodResourcesResponse { pod_resources: self.pods() }))
    }

    async fn get(
        &self,
        request: Request<GetPodResourcesRequest>,
    ) -> Result<Response<GetPodResourcesResponse>, Status> {
        self.state().gets += 1;
        if self.mood().await? == Mood::NoGet {
            return Err(Status::unimplemented("unknown method Get"));
        }
        let wanted = request.into_inner();
        let mut found = self
            .pods()
            .into_iter()
            .filter(|pod| pod.name == wanted.pod_name && pod.namespace == wanted.pod_namespace);
        let mut whole = found.next().ok_or_else(|| Status::not_found("no such pod"))?;
        found.for_each(|pod| whole.containers.extend(pod.containers));
        Ok(Response::new(GetPodResourcesResponse { pod_resources: Some(whole) }))
    }
}
