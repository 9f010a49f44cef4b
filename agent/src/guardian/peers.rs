//! Peers: who may talk to a guardian. The kernel says which user holds the other end of a connection; whoever is not named is
//! refused before a byte of theirs is read.
use crate::clock::MachineClock;
use crate::config;
use crate::run::Failed;
use model::{Clock as _, Timestamp};
use rustix::fs::{Gid, Mode, chmod, chown};
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often strangers are logged: one that tries without end must not fill the log.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// The user who may do everything anyhow.
const ROOT: u32 = 0;

/// A user who may attach, and the group that the socket is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    user: u32,
    group: u32,
}

impl Guest {
    /// Finds the accounts that a configuration names; `None` where it names nobody.
    ///
    /// # Errors
    /// When there is no such account on this machine.
    pub fn find(config: &config::Guardian) -> Result<Option<Self>, Failed> {
        let Some(name) = &config.user else { return Ok(None) };
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let guest = Self::among(name, config.group.as_deref(), (&read("/etc/passwd"), &read("/etc/group")));
        guest.map(Some).map_err(|key| format!("there is no such account on this machine (key {key})").into())
    }

    /// The same in the texts of `/etc/passwd` and `/etc/group`; else the key that names nobody.
    fn among(user: &str, group: Option<&str>, (users, groups): (&str, &str)) -> Result<Self, &'static str> {
        // name:password:number:..., and in passwd(5) the number of the group follows.
        let find = |name: &str, text: &str| {
            let lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
            lines.into_iter().find(|line| line.first() == Some(&name) || line.get(2) == Some(&name)).map(
                |line| {
                    let number = |place: usize| line.get(place).and_then(|number| number.parse().ok());
                    (number(2), number(3))
                },
            )
        };
        let known = find(user, users);
        let number = known.and_then(|(number, _)| number).or(user.parse().ok()).ok_or("guardian.user")?;
        let group = match group {
            Some(name) => {
                let known = find(name, groups).and_then(|(number, _)| number);
                known.or(name.parse().ok()).ok_or("guardian.group")?
            }
            // In a container users are numbers, and their groups the same ones.
            None => known.and_then(|(_, group)| group).unwrap_or(number),
        };
        Ok(Self { user: number, group })
    }

    /// Opens a directory or a socket to the group: with what permissions, as an octal number.
    pub(super) fn open(self, path: &Path, permissions: u32) -> io::Result<()> {
        chown(path, None, Some(Gid::from_raw(self.group)))?;
        Ok(chmod(path, Mode::from_raw_mode(permissions))?)
    }
}

/// Decides who is let in, and counts who is not.
#[derive(Debug)]
pub struct Peers {
    own: u32,
    guest: Option<u32>,
    refused: AtomicU64,
    logged: Mutex<Option<Timestamp>>,
}

impl Peers {
    /// Lets in root, the user of this process, and the guest.
    pub fn new(guest: Option<Guest>) -> Self {
        Self::of(rustix::process::geteuid().as_raw(), guest)
    }

    fn of(own: u32, guest: Option<Guest>) -> Self {
        let guest = guest.map(|guest| guest.user);
        Self { own, guest, refused: AtomicU64::new(0), logged: Mutex::new(None) }
    }

    /// Whether the other end of a connection is let in.
    pub fn admit(&self, stream: &UnixStream) -> bool {
        match rustix::net::sockopt::socket_peercred(stream) {
            Ok(peer) => self.judge(peer.uid.as_raw(), MachineClock.now()),
            // Who cannot be told is nobody that was named.
            Err(_) => self.judge(u32::MAX, MachineClock.now()),
        }
    }

    fn judge(&self, user: u32, now: Timestamp) -> bool {
        if user == ROOT || user == self.own || Some(user) == self.guest {
            return true;
        }
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|last| now.since(last) >= LOG_EVERY) {
            *logged = Some(now);
            tracing::warn!(user, refused, "a user who may not attach is refused (key guardian.user)");
        }
        false
    }

    /// How many connections were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nwattkeeper:x:990:985::/:/usr/sbin/nologin\n";
    const GROUPS: &str = "root:x:0:\npower:x:77:wattkeeper\n";

    #[test]
    fn accounts_are_found_by_name_and_by_number_and_a_name_that_is_nobodys_is_an_error() {
        let find = |user, group| Guest::among(user, group, (USERS, GROUPS));
        let guest = |user, group| Ok(Guest { user, group });
        assert_eq!(find("wattkeeper", None), guest(990, 985));
        assert_eq!(find("990", None), guest(990, 985));
        assert_eq!(find("wattkeeper", Some("power")), guest(990, 77));
        assert_eq!(find("wattkeeper", Some("78")), guest(990, 78));
        assert_eq!(find("65532", None), guest(65532, 65532));
        assert_eq!(find("nobody-here", None), Err("guardian.user"));
        assert_eq!(find("wattkeeper", Some("nobodys")), Err("guardian.group"));
    }

    #[test]
    fn root_oneself_and_the_guest_are_let_in_and_everybody_else_is_refused_and_counted() {
        let now = MachineClock.now();
        let peers = Peers::of(500, Some(Guest { user: 990, group: 985 }));
        assert!([0, 500, 990].iter().all(|user| peers.judge(*user, now)));
        assert_eq!(peers.refused(), 0);
        // The number of the group is no user.
        assert!([985, 991, u32::MAX].iter().all(|user| !peers.judge(*user, now)));
        assert_eq!(peers.refused(), 3);
        assert!(!Peers::of(500, None).judge(990, now), "nobody else where nobody is named");
    }
}
