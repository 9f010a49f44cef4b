//! The bus of a vendor: meets its cards, hands each over to be read by a source of its own, and looks for lost ones again.
use super::cards::{Card, Kind};
use crate::Roots;
use model::error::Reason;
use model::{Arrival, Batch, Calls, CollectError, Collector, DeviceInfo, DeviceKind, Timestamp, Vendor};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// From one look for new cards to the next.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// First and longest wait before a card that was lost is met again.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LAST: Duration = Duration::from_secs(60);
/// Cards that a bus remembers at most.
const CARDS_MAX: usize = 64;

/// Held by the source of a card for as long as that reads it.
#[derive(Debug)]
pub(crate) struct Presence(#[allow(dead_code, reason = "its count says whether the source lives")] Arc<()>);

/// A card and what its source is made with.
#[derive(Debug)]
pub(crate) struct Meeting {
    /// The card.
    pub(crate) card: Card,
    /// Its name among people: `amd0`.
    pub(crate) name: String,
    /// Where `/proc` and `/sys` are.
    pub(crate) roots: Roots,
    /// The account of its calls.
    pub(crate) calls: Calls,
    /// Tells the bus that the card is read, until it is dropped.
    #[allow(dead_code, reason = "held for its end only")]
    pub(crate) presence: Presence,
}

impl Meeting {
    /// Makes sure that the folder still holds the card.
    ///
    /// # Errors
    /// `Lost` when it does not.
    pub(crate) fn check(&self) -> Result<(), CollectError> {
        let there = self.calls.during("sysfs identity", || self.card.is_there());
        there.then_some(()).ok_or_else(|| {
            CollectError::new(format!("find {} at {}", self.name, self.card.pci), Reason::Lost)
        })
    }

    /// Reads what the card says of itself.
    pub(crate) fn learn(&mut self, kind: &Kind) {
        let Self { card, roots, calls, .. } = self;
        calls.during("sysfs identity", || card.learn(kind, roots));
    }

    /// Looks for the card anew, under its key; says whether anything about it is not as it was.
    ///
    /// # Errors
    /// `Lost` when no card has the key.
    pub(crate) fn find_again(&mut self, kind: &Kind) -> Result<bool, CollectError> {
        let doubled = self.card.doubled;
        let cards = self.calls.during("sysfs cards", || kind.cards(&self.roots));
        let card =
            cards.into_iter().map(|card| Card { doubled, ..card }).find(|card| card.key() == self.card.key());
        let mut card =
            card.ok_or_else(|| CollectError::new(format!("find {} again", self.name), Reason::Lost))?;
        self.calls.during("sysfs identity", || card.learn(kind, &self.roots));
        Ok(std::mem::replace(&mut self.card, card) != self.card)
    }

    /// The card as a device; `unnamed` stands before the number of a product that does not say its name.
    pub(crate) fn info(&self, kind: DeviceKind, vendor: Vendor, unnamed: &str) -> DeviceInfo {
        let mut attributes = self.card.about.clone();
        let number = attributes.get("device_id").map_or("", String::as_str);
        let unnamed = format!("{unnamed} {number}");
        let model = attributes.remove("model").unwrap_or(unnamed);
        let name = self.name.clone();
        DeviceInfo { name, model, vendor, attributes, ..DeviceInfo::new(kind, self.card.key()) }
    }
}

/// What a bus is made with.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// The name of the source.
    pub(crate) name: &'static str,
    /// What the names of its cards begin with.
    pub(crate) prefix: &'static str,
    /// Which cards.
    pub(crate) kind: Kind,
    /// Makes the source of a card.
    pub(crate) open: fn(Meeting) -> Box<dyn Collector>,
}

/// A card that was met once; it keeps its number when it returns.
#[derive(Debug)]
struct Seat {
    key: String,
    /// Where the card is that sits here, or sat last.
    pci: String,
    /// Whether its loss has been seen.
    missed: bool,
    /// Whether it was read for longer than the longest wait before it was lost.
    stayed: bool,
    life: Weak<()>,
    met: Timestamp,
    wait: Duration,
}

impl Seat {
    fn is_free(&self) -> bool {
        self.life.strong_count() == 0
    }

    fn due(&self) -> Timestamp {
        self.met.after(self.wait)
    }
}

/// The source that meets cards. It reads none of them itself.
pub(crate) struct Bus {
    plan: Plan,
    roots: Roots,
    seats: Vec<Seat>,
    arrivals: Vec<Arrival>,
    look_due: Option<Timestamp>,
}

impl Bus {
    /// A bus that has met nobody.
    pub(crate) fn new(plan: Plan, roots: Roots) -> Self {
        Self { plan, roots, seats: Vec::new(), arrivals: Vec::new(), look_due: None }
    }

    fn look(&mut self, now: Timestamp) {
        let mut cards = self.plan.kind.cards(&self.roots);
        for place in 0..cards.len() {
            cards[place].doubled = self.is_second(&cards[..place], &cards[place]);
        }
        for card in cards {
            self.meet(card, now);
        }
    }

    /// Whether a card gives an identity that is another one's. Who is read under an identity keeps it, whatever the order.
    fn is_second(&self, before: &[Card], card: &Card) -> bool {
        if card.unique.is_empty() {
            return false;
        }
        let sits = |key: &str| self.seats.iter().find(|seat| seat.key == key && !seat.is_free());
        match (sits(&card.unique), sits(&card.pci)) {
            (_, Some(_)) => true,
            (Some(seat), None) => seat.pci != card.pci,
            (None, None) => before.iter().any(|known| !known.doubled && known.unique == card.unique),
        }
    }

    fn meet(&mut self, card: Card, now: Timestamp) {
        let number = match self.seats.iter().position(|seat| seat.key == card.key()) {
            Some(number) => number,
            None if self.seats.len() < CARDS_MAX => {
                let (key, life) = (card.key().to_owned(), Weak::new());
                let pci = card.pci.clone();
                self.seats.push(Seat {
                    key,
                    pci,
                    missed: false,
                    stayed: true,
                    life,
                    met: now,
                    wait: Duration::ZERO,
                });
                self.seats.len() - 1
            }
            None => return,
        };
        let seat = &mut self.seats[number];
        if !seat.is_free() || now < seat.due() {
            return;
        }
        seat.wait = if seat.stayed { RETRY_FIRST } else { (seat.wait * 2).min(RETRY_LAST) };
        (seat.met, seat.missed) = (now, false);
        seat.pci.clone_from(&card.pci);
        let life = Arc::new(());
        seat.life = Arc::downgrade(&life);
        let name = format!("{}{number}", self.plan.prefix);
        let (key, calls) = (card.key().to_owned(), Calls::default());
        let path = format!("{}/{name}", self.plan.name);
        let (roots, presence) = (self.roots.clone(), Presence(life));
        let collector = (self.plan.open)(Meeting { card, name, roots, calls: calls.clone(), presence });
        self.arrivals.push(Arrival { key, name: path, collector, calls });
    }
}

impl Collector for Bus {
    fn name(&self) -> &'static str {
        self.plan.name
    }

    fn collect(&mut self, now: Timestamp, _: &mut Batch) -> Result<(), CollectError> {
        for seat in self.seats.iter_mut().filter(|seat| seat.is_free() && !seat.missed) {
            (seat.missed, seat.stayed) = (true, now.since(seat.met) >= RETRY_LAST);
            self.look_due = self.look_due.min(Some(now.after(RETRY_FIRST)));
        }
        if self.look_due.is_none_or(|due| now >= due) {
            self.look_due = Some(now.after(LOOK_AGAIN));
            self.look(now);
        }
        Ok(())
    }

    fn arrivals(&mut self) -> Vec<Arrival> {
        std::mem::take(&mut self.arrivals)
    }
}
