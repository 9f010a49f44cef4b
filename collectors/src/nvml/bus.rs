//! The bus: opens the library, counts devices, looks for missing ones, watches for errors, and hands each GPU over to a source
//! of its own, so that a call for one cannot hold up another.
use super::board::Board;
use super::codes::Fault;
use super::events::Watcher;
use super::post::Post;
use super::raw::Handle;
use super::roster::{self, Host, Roster};
use super::session::Session;
use model::error::Reason;
use model::{Absence, Arrival, Batch, Calls, CollectError, Collector, Timestamp};
use std::sync::Arc;

/// Identities that are remembered after their device has gone.
const POSTS_MAX: usize = 64;

/// A GPU that is read by a source of its own.
#[derive(Debug)]
struct Guest {
    post: Post,
}

/// The source that meets GPUs.
pub(super) struct Bus {
    /// Dropped first: its thread has a hold on the session.
    watcher: Option<Watcher>,
    session: Arc<Session>,
    calls: Calls,
    guests: Roster<Guest>,
    posts: Vec<(String, Post)>,
    arrivals: Vec<Arrival>,
}

impl Bus {
    /// A bus over an opened library.
    pub(super) fn new(session: Session, calls: &Calls) -> Self {
        let session = Arc::new(session);
        let watcher = Watcher::start(&session, calls);
        Self {
            watcher,
            session,
            calls: calls.clone(),
            guests: Roster::default(),
            posts: Vec::new(),
            arrivals: Vec::new(),
        }
    }
}

/// What the roster needs to make a guest.
struct Desk<'a> {
    watcher: &'a mut Option<Watcher>,
    session: &'a Arc<Session>,
    posts: &'a mut Vec<(String, Post)>,
    arrivals: &'a mut Vec<Arrival>,
}

impl Desk<'_> {
    /// The post of an identity: the one it had before, or a new one.
    fn post(&mut self, uuid: &str) -> Post {
        if let Some((_, post)) = self.posts.iter().find(|(known, _)| known == uuid) {
            return post.clone();
        }
        if self.posts.len() >= POSTS_MAX {
            self.posts.retain(|(_, post)| post.taken());
        }
        let post = Post::default();
        self.posts.push((uuid.to_owned(), post.clone()));
        post
    }

    fn watch(&mut self, handle: Handle, post: &Post) {
        match self.watcher {
            Some(watcher) => watcher.register(handle, post),
            None => post.open().unwatched = Some(Absence::Unsupported),
        }
    }
}

impl Host<Guest> for Desk<'_> {
    fn meet(&mut self, arrival: roster::Arrival, _: Timestamp) -> Guest {
        let roster::Arrival { index, handle, uuid } = arrival;
        let post = self.post(&uuid);
        post.open().index = index;
        self.watch(handle, &post);
        // Without a ticket the board is still read by a source that the agent has not let go of.
        if let Some(ticket) = post.ticket() {
            let calls = Calls::default();
            let board = Board::new(self.session, ticket, &uuid, handle, &calls);
            let name = format!("nvml/gpu{index}");
            self.arrivals.push(Arrival { key: uuid, name, collector: Box::new(board), calls });
        }
        Guest { post }
    }

    fn moved(&mut self, guest: &mut Guest, index: u32) {
        guest.post.open().index = index;
    }

    fn duplicate(&mut self, guest: &mut Guest) {
        guest.post.open().duplicate = true;
    }
}

impl Collector for Bus {
    fn name(&self) -> &'static str {
        "nvml"
    }

    fn collect(&mut self, now: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        if self.session.condemned() {
            return Err(CollectError::new("reach NVIDIA's driver", Reason::Lost));
        }
        let Self { watcher, session, calls, guests, posts, arrivals } = self;
        guests.visit(now, |guest| if guest.post.taken() { Ok(()) } else { Err(Fault::GPU_IS_LOST) });
        let desk = &mut Desk { watcher, session, posts, arrivals };
        let sought = guests.seek(session, calls, now, desk);
        if sought.as_ref().is_err_and(|error| error.reason == Reason::Lost) {
            session.condemn();
        }
        sought?;
        // Boards that are lost one by one are looked for one by one: the library is as it was.
        guests.check().or_else(|error| if error.reason == Reason::Lost { Ok(()) } else { Err(error) })
    }

    fn arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }

    fn reopen(&mut self, _: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        // It has no devices of its own, and those that it met are opened again by their own sources.
        Ok(())
    }
}
