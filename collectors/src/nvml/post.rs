//! The post between the bus and a board: what the driver reported of the board, where it is listed, and whether it is read.
use super::raw::Handle;
use model::{Absence, DeviceInfo};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// XID errors that wait to be read; further ones are counted and not told, as the first tell the story.
const WAITING_MAX: usize = 64;

/// What is known of one identity. It outlives the source that reads the board, so that counts go on when the board is back.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Codes that the board has not told yet.
    pub(super) xids: Vec<u32>,
    /// XID errors since the bus was opened.
    pub(super) total: u64,
    /// The last code.
    pub(super) last: u32,
    /// Why nobody can watch for them.
    pub(super) unwatched: Option<Absence>,
    /// Where the driver lists it.
    pub(super) index: u32,
    /// Another device gave this identity too, and the board has not told yet.
    pub(super) duplicate: bool,
    /// Who it was when it was met last.
    pub(super) identity: Option<DeviceInfo>,
    /// Whether a source reads it.
    taken: bool,
}

/// The post of one board; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Post(Arc<Mutex<Mail>>);

impl Post {
    /// What is in it, held for the time of a copy only.
    pub(super) fn open(&self) -> MutexGuard<'_, Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an XID error in.
    pub(super) fn xid(&self, code: u32) {
        let mut mail = self.open();
        (mail.total, mail.last, mail.unwatched) = (mail.total + 1, code, None);
        if mail.xids.len() < WAITING_MAX {
            mail.xids.push(code);
        }
    }

    /// Whether a source reads the board.
    pub(super) fn taken(&self) -> bool {
        self.open().taken
    }

    /// The right to read the board; there is one at a time.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        let mut mail = self.open();
        (!std::mem::replace(&mut mail.taken, true)).then(|| Ticket(self.clone()))
    }
}

/// The right to read a board, given back on drop. The bus then looks for the board again.
#[derive(Debug)]
pub(super) struct Ticket(Post);

impl Ticket {
    /// The post that it belongs to.
    pub(super) fn post(&self) -> &Post {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.open().taken = false;
    }
}

/// Where news of a handle goes. Kept for handles that are not met yet, too.
#[derive(Debug, Default)]
pub(super) struct Routes {
    routes: Vec<(Handle, Post)>,
}

impl Routes {
    /// The post of a handle; one that is not known gets a post of its own until it is met.
    pub(super) fn of(&mut self, handle: Handle) -> Post {
        if let Some((_, post)) = self.routes.iter().find(|(known, _)| *known == handle) {
            return post.clone();
        }
        let post = Post::default();
        self.routes.push((handle, post.clone()));
        post
    }

    /// Leads a handle to a post, which takes over what has come for the handle so far. Older ways to the post end.
    pub(super) fn lead(&mut self, handle: Handle, post: &Post) {
        let place = self.routes.iter().position(|(known, _)| *known == handle);
        if let Some((_, early)) = place.map(|place| self.routes.swap_remove(place))
            && !Arc::ptr_eq(&early.0, &post.0)
        {
            let codes = std::mem::take(&mut early.open().xids);
            codes.into_iter().for_each(|code| post.xid(code));
        }
        self.routes.retain(|(_, known)| !Arc::ptr_eq(&known.0, &post.0));
        self.routes.push((handle, post.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_ticket_at_a_time() {
        let post = Post::default();
        let ticket = post.ticket();
        assert!(ticket.is_some() && post.ticket().is_none() && post.taken());
        drop(ticket);
        assert!(!post.taken() && post.ticket().is_some());
    }

    #[test]
    fn errors_that_came_before_their_board_was_met_are_not_lost() {
        let (mut routes, handle) = (Routes::default(), Handle::nowhere());
        routes.of(handle).xid(79);
        let post = Post::default();
        routes.lead(handle, &post);
        routes.of(handle).xid(48);
        let mail = post.open();
        assert_eq!((mail.xids.as_slice(), mail.total, mail.last), ([79, 48].as_slice(), 2, 48));
    }

    #[test]
    fn a_storm_of_errors_is_counted_in_full_and_kept_in_part() {
        let post = Post::default();
        (0..1000).for_each(|code| post.xid(code));
        let mail = post.open();
        assert_eq!((mail.xids.len(), mail.total), (WAITING_MAX, 1000));
    }
}
