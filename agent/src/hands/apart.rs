//! Devices apart: the hands of every vendor whose driver can hang, asked all at once and waited for together.
use super::bell::Bell;
use super::grip::{Answer, Open, Task};
use super::hand::{Hand, Placed, Returned};
use model::{Knob, Reason, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a vendor whose driver does not open is left alone, and one of whom there is nothing on this host.
const SHUT: Duration = Duration::from_secs(10);
const ABSENT: Duration = Duration::from_secs(60);
/// How long a device that is not a vendor's is not asked of it again.
const STRANGE: Duration = Duration::from_secs(10);
/// Hands of one vendor at most. One that nobody has needed for a minute makes room.
const HANDS_MAX: usize = 64;
const UNUSED: Duration = Duration::from_secs(60);

/// How long is waited for a call that does not return, once: after that nobody waits for that device until it has.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For power: a part of the reflex's tick, so that the brake on what the others draw is not late.
    pub feel: Duration,
    /// For everything else. Two of these and the writes fit into the second that the fallback has; a set limit takes a driver
    /// tens of milliseconds.
    pub call: Duration,
    /// For the driver's first opening where nothing else waits, as when everything is given back at the end.
    pub open: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let [feel, call, open] = [30, 250, 4000].map(Duration::from_millis);
        Self { feel, call, open }
    }
}

/// The devices of one vendor.
struct Vendor {
    name: &'static str,
    open: Open,
    /// Whether its driver has been opened on any thread.
    is_open: bool,
    /// Until when it is left alone, and why.
    shut: Option<(Timestamp, Reason)>,
    hands: BTreeMap<Arc<str>, Hand>,
    /// Devices that are somebody else's, and until when they are not asked about.
    strangers: BTreeMap<Arc<str>, Timestamp>,
}

impl Vendor {
    /// Whether a device may be this vendor's.
    fn may_have(&self, key: &str, now: Timestamp) -> bool {
        self.shut.is_none_or(|(until, _)| until <= now)
            && self.strangers.get(key).is_none_or(|until| *until <= now)
    }

    fn has(&self, key: &str) -> bool {
        self.hands.get(key).is_some_and(|hand| hand.known)
    }

    /// Opens the driver on the thread of one device, where it is not open. The others wait for that, so that a driver that does
    /// not open holds one thread.
    fn unlock(&mut self, key: &Arc<str>, bell: &Arc<Bell>, patience: Duration, now: Timestamp) {
        if self.is_open {
            return;
        }
        if self.hands.is_empty() {
            let volley = bell.begin(1);
            match Hand::spawn(key, &self.open, (bell, volley)) {
                Ok(hand) => self.hands.insert(Arc::clone(key), hand),
                Err(reason) => return self.shut = Some((now.after(SHUT), reason)),
            };
            bell.wait(patience);
        }
        let Some(first) = self.hands.values_mut().next() else { return };
        let shut = match first.opened() {
            None => {
                return if first.is_idle() {
                    first.is_not_open(now)
                };
            }
            Some(Ok(true)) => return self.is_open = true,
            Some(Ok(false)) => (now.after(ABSENT), Reason::Unsupported),
            Some(Err(reason)) => (now.after(SHUT), reason),
        };
        self.shut = Some(shut);
        self.hands.clear();
    }

    /// The hand of a device, with a thread of its own.
    ///
    /// # Errors
    /// Why there is none: its driver has not opened, or there are too many.
    fn hand(&mut self, key: &Arc<str>, bell: &Arc<Bell>, now: Timestamp) -> Result<&mut Hand, Reason> {
        if !self.is_open {
            return Err(self.shut.map_or(Reason::Late, |(_, reason)| reason));
        }
        if self.hands.get(key).is_some_and(|hand| hand.is_idle() && hand.has_ended()) {
            self.hands.remove(key);
            self.strangers.insert(Arc::clone(key), now.after(STRANGE));
            return Err(Reason::Lost);
        }
        if !self.hands.contains_key(key) {
            if self.hands.len() >= HANDS_MAX {
                let unused = |hand: &Hand| hand.is_idle() && now.since(hand.used) >= UNUSED;
                let unused = self.hands.iter().find(|(_, hand)| unused(hand)).map(|(key, _)| Arc::clone(key));
                self.hands.remove(&unused.ok_or(Reason::Full)?);
            }
            let hand = Hand::spawn(key, &self.open, (bell, 0))?;
            self.hands.insert(Arc::clone(key), hand);
        }
        self.hands.get_mut(key).ok_or(Reason::Lost)
    }

    /// Fetches a device's answer. One that is not there and has never been this vendor's is let go of.
    fn fetch(&mut self, key: &Arc<str>, now: Timestamp) -> Answer {
        let Some(hand) = self.hands.get_mut(key) else { return Err(Reason::Lost) };
        let answer = hand.fetch(now);
        if answer == Err(Reason::Lost) && !hand.known && hand.is_idle() {
            self.hands.remove(key);
            self.strangers.retain(|_, until| *until > now);
            self.strangers.insert(Arc::clone(key), now.after(STRANGE));
        }
        answer
    }
}

/// An errand that is under way: whose it is, and with which vendor.
struct Sent {
    ask: usize,
    vendor: usize,
}

/// Every vendor with a thread a device.
#[derive(Default)]
pub struct Apart {
    vendors: Vec<Vendor>,
    bell: Arc<Bell>,
    pub(super) patience: Patience,
}

impl std::fmt::Debug for Apart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hands = self.vendors.iter().map(|vendor| (vendor.name, vendor.hands.len()));
        f.debug_map().entries(hands).finish()
    }
}

impl Apart {
    /// Adds a vendor. Nothing of it is opened before a device is asked about.
    pub fn add(&mut self, name: &'static str, open: Open) {
        let (hands, strangers) = (BTreeMap::new(), BTreeMap::new());
        self.vendors.push(Vendor { name, open, is_open: false, shut: None, hands, strangers });
    }

    /// The same with other times to wait.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// Whether there is no such vendor.
    pub(super) fn is_empty(&self) -> bool {
        self.vendors.is_empty()
    }

    /// Whether a device is known to be one of these.
    pub(super) fn has(&self, key: &str) -> bool {
        self.vendors.iter().any(|vendor| vendor.has(key))
    }

    fn hands(&self) -> impl Iterator<Item = (&Arc<str>, &Hand)> {
        self.vendors.iter().flat_map(|vendor| &vendor.hands)
    }

    /// Whether a call for this device has not returned in time.
    pub(super) fn is_late(&self, key: &str) -> bool {
        self.hands().any(|(known, hand)| **known == *key && hand.is_late())
    }

    /// Whether an order for this knob is under way that was called late.
    pub(super) fn is_writing(&self, key: &str, knob: Knob) -> bool {
        self.hands().any(|(known, hand)| **known == *key && hand.is_writing(knob))
    }

    /// Whether a call for any device has not returned in its time.
    pub(super) fn is_hung(&self, now: Timestamp) -> bool {
        self.hands().any(|(_, hand)| hand.hung(now, self.patience.call))
    }

    /// Whether any call is late, or what came of it has not been taken.
    pub(super) fn any_late(&self) -> bool {
        self.hands().any(|(_, hand)| !hand.is_idle())
    }

    /// What has returned since it was called late, each told once.
    pub(super) fn returned(&mut self) -> Vec<Returned> {
        let hands = self.vendors.iter_mut().flat_map(|vendor| vendor.hands.values_mut());
        hands.filter_map(Hand::returned).collect()
    }

    /// Has errands done, all at once, those for one device one after the other, and gives the answers in their order. A device
    /// that was late before is not waited for.
    pub(super) fn volley(
        &mut self,
        asks: &[(Arc<str>, Task)],
        patience: Duration,
        now: Timestamp,
    ) -> Vec<Answer> {
        for vendor in 0..self.vendors.len() {
            let first = asks.iter().find(|(key, _)| self.is_to_ask(vendor, key, now));
            if let Some((key, _)) = first {
                self.vendors[vendor].unlock(key, &self.bell, patience, now);
            }
        }
        let mut answers: Vec<Option<Answer>> = vec![None; asks.len()];
        let turn = |ask: usize| asks[..ask].iter().filter(|(key, _)| *key == asks[ask].0).count();
        let turns: Vec<usize> = (0..asks.len()).map(turn).collect();
        for turn in 0..=turns.iter().max().copied().unwrap_or(0) {
            let now_asked: Vec<usize> = (0..asks.len()).filter(|ask| turns[*ask] == turn).collect();
            let sent = self.place(asks, &now_asked, (&mut answers, now));
            self.bell.wait(patience);
            for Sent { ask, vendor } in sent {
                better(&mut answers[ask], self.vendors[vendor].fetch(&asks[ask].0, now));
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(Reason::Unsupported))).collect()
    }

    /// Whether a vendor is to be asked about a device: the one that has it, else each that may.
    fn is_to_ask(&self, vendor: usize, key: &str, now: Timestamp) -> bool {
        let one = &self.vendors[vendor];
        one.has(key) || one.may_have(key, now) && !self.has(key)
    }

    /// Hands these errands over.
    fn place(
        &mut self,
        asks: &[(Arc<str>, Task)],
        now_asked: &[usize],
        (answers, now): (&mut [Option<Answer>], Timestamp),
    ) -> Vec<Sent> {
        let all = now_asked.iter().flat_map(|ask| (0..self.vendors.len()).map(move |vendor| (*ask, vendor)));
        let wanted: Vec<_> =
            all.filter(|(ask, vendor)| self.is_to_ask(*vendor, &asks[*ask].0, now)).collect();
        let volley = self.bell.begin(wanted.len());
        let mut sent = Vec::with_capacity(wanted.len());
        for (ask, vendor) in wanted {
            let (key, task) = &asks[ask];
            let hand = self.vendors[vendor].hand(key, &self.bell, now);
            let place = |hand: &mut Hand| {
                if hand.hung(now, self.patience.call) {
                    hand.tell();
                }
                hand.place(volley, task.clone(), now)
            };
            let answer = match hand.map(place) {
                Ok(Placed::Waiting) => {
                    sent.push(Sent { ask, vendor });
                    continue;
                }
                Ok(Placed::Late) => Err(Reason::Late),
                Ok(Placed::Ready(answer)) => answer,
                Err(reason) => Err(reason),
            };
            self.bell.ring(volley);
            better(&mut answers[ask], answer);
        }
        sent
    }
}

/// Of the answers of several vendors about one device an answer counts most, then that one is late, for it may be its own.
fn better(known: &mut Option<Answer>, answer: Answer) {
    let worth = |answer: &Answer| match answer {
        Ok(_) => 3,
        Err(Reason::Late) => 2,
        Err(Reason::Unsupported) => 0,
        Err(_) => 1,
    };
    if known.as_ref().is_none_or(|known| worth(known) < worth(&answer)) {
        *known = Some(answer);
    }
}
