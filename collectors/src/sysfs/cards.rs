//! Cards of a vendor: found through a device class, known by their PCI address and by what they say they are.
use super::{names, numbered, word};
use crate::Roots;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What cards are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// The class below `/sys/class`, and what its members' names begin with.
    pub(crate) class: (&'static str, &'static str),
    /// The vendor as PCI numbers it.
    pub(crate) vendor: &'static str,
    /// Drivers whose cards these are.
    pub(crate) drivers: &'static [&'static str],
    /// Names of products that do not say theirs, by the number that PCI gives them.
    pub(crate) products: &'static [(&'static str, &'static str)],
}

/// A card that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    /// The folder of its PCI device, which keeps its name when class members are numbered anew.
    pub(crate) folder: PathBuf,
    /// Its PCI address.
    pub(crate) pci: String,
    /// Its driver.
    pub(crate) driver: String,
    /// The identity that it gives itself; empty when it gives none.
    pub(crate) unique: String,
    /// What it says of itself: model, firmware, and so on. Empty until [`Card::learn`]: some of it takes locks of the card's
    /// driver, on which who looks for cards may not wait.
    pub(crate) about: BTreeMap<String, String>,
    /// Whether another card gave the same identity when this one was met.
    pub(crate) doubled: bool,
}

/// Files that tell who a card is, by the name of the attribute of the info series.
const ABOUT: [(&str, &str); 9] = [
    ("board", "product_number"),
    ("compute_partition", "current_compute_partition"),
    ("device_id", "device"),
    ("hive", "xgmi_hive_info/xgmi_hive_id"),
    ("memory_partition", "current_memory_partition"),
    ("model", "product_name"),
    ("serial", "serial_number"),
    ("subsystem", "subsystem_device"),
    ("vbios", "vbios_version"),
];

impl Kind {
    /// The cards of this kind, in order of their PCI addresses.
    pub(crate) fn cards(&self, roots: &Roots) -> Vec<Card> {
        let class = roots.sys.join("class").join(self.class.0);
        let mut cards: Vec<Card> = Vec::new();
        for name in names(&class, |name| numbered(name, self.class.1).is_some()) {
            // The same card may have several members, one a partition.
            let card = self.card(&class.join(name).join("device"));
            cards.extend(card.filter(|card| !cards.iter().any(|known| known.pci == card.pci)));
        }
        cards.sort_by(|a, b| a.pci.cmp(&b.pci));
        cards
    }

    /// Whether a driver of such cards is loaded, or a card is there.
    pub(crate) fn expected(&self, roots: &Roots) -> bool {
        let loaded = |driver: &&str| roots.sys.join("bus/pci/drivers").join(driver).exists();
        self.drivers.iter().any(loaded) || !self.cards(roots).is_empty()
    }

    fn card(&self, device: &Path) -> Option<Card> {
        let folder = std::fs::canonicalize(device).ok()?;
        if word(folder.join("vendor")) != self.vendor {
            return None;
        }
        let driver = std::fs::read_link(folder.join("driver")).ok()?;
        let driver = driver.file_name()?.to_string_lossy().into_owned();
        if !self.drivers.contains(&driver.as_str()) {
            return None;
        }
        let pci = folder.file_name()?.to_string_lossy().into_owned();
        let unique = word(folder.join("unique_id")).to_ascii_lowercase();
        let unique = if is_identity(&unique) { unique } else { String::new() };
        Some(Card { folder, pci, driver, unique, about: BTreeMap::new(), doubled: false })
    }
}

/// Whether a text can be told from another card's: a hexadecimal number that is neither nothing nor all ones.
fn is_identity(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let hexadecimal =
        !digits.is_empty() && digits.len() <= 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal && !digits.bytes().all(|b| b == b'0') && !digits.bytes().all(|b| b == b'f')
}

impl Card {
    /// Reads what the card says of itself.
    pub(crate) fn learn(&mut self, kind: &Kind, roots: &Roots) {
        let known = |(name, file): (&str, &str)| {
            let word = word(self.folder.join(file));
            (!word.is_empty()).then(|| (name.to_owned(), word))
        };
        let mut about: BTreeMap<String, String> = ABOUT.into_iter().filter_map(known).collect();
        let number = about.get("device_id");
        let product = kind.products.iter().find(|(known, _)| number.is_some_and(|number| number == known));
        if let Some((_, name)) = product {
            about.entry("model".into()).or_insert_with(|| (*name).to_owned());
        }
        let version = word(roots.sys.join("module").join(&self.driver).join("version"));
        about.insert("driver".into(), format!("{} {version}", self.driver).trim().to_owned());
        about.insert("pci".into(), self.pci.clone());
        self.about = about;
    }

    /// The key by which the card is known: its own identity unless another card gives the same, else its PCI address.
    pub(crate) fn key(&self) -> &str {
        if self.unique.is_empty() || self.doubled { &self.pci } else { &self.unique }
    }

    /// Whether the folder still holds the card that was met. Cards are pulled, reset and exchanged.
    pub(crate) fn is_there(&self) -> bool {
        if self.unique.is_empty() {
            return self.folder.join("vendor").exists();
        }
        // A file that cannot be read at this moment, as while the card sleeps, says nothing against the card.
        match std::fs::read_to_string(self.folder.join("unique_id")) {
            Ok(text) => text.trim().eq_ignore_ascii_case(&self.unique),
            Err(error) => error.kind() != std::io::ErrorKind::NotFound,
        }
    }
}

/// The card with a key.
///
/// # Errors
/// The number of cards with that key when it is not one.
pub(crate) fn with_key(cards: Vec<Card>, key: &str) -> Result<Card, usize> {
    let mut found: Vec<Card> =
        cards.into_iter().filter(|card| card.unique == key || card.pci == key).collect();
    if found.len() == 1 { Ok(found.swap_remove(0)) } else { Err(found.len()) }
}
