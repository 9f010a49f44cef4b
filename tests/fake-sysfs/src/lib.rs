//! A fake `/sys` and `/proc` in which the AMD and Intel boards of a simulated node are cards; written limits act on the boards.
//!
//! [`Tree::step`] moves the node on, takes over what was written to the cards' limits as the drivers do, and writes every file
//! anew. Files are written in place, so that who keeps one open sees what is new, as in the kernel's own trees.
#![forbid(unsafe_code)]

mod amd;
mod files;
mod intel;
mod table;

pub use table::{Metrics, Version, table};

use files::{link, put};
use model::{DeviceKind, Vendor};
use sim::{Fault, Node};
use std::io;
use std::path::{Path, PathBuf};

/// Ways in which a driver or a product departs from the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quirk {
    /// AMD: a limit below this share of the largest, in percent, is raised to it.
    Clips(u32),
    /// AMD: a written limit is taken without an error and nothing changes.
    Ignores,
    /// AMD: a limit below this many watts stands in the file as written, and nothing is limited any more (LACT#207).
    LetsGo(u32),
    /// AMD: the card gives its average power and a table of the older kind, as products before MI300 do.
    Classic,
    /// Intel: i915 drives the cards, not xe.
    I915,
}

/// One card.
#[derive(Debug)]
pub(crate) struct Card {
    /// The position of its board on the node.
    pub(crate) board: usize,
    /// The number in the class: `card3`.
    pub(crate) number: usize,
    /// The folder of its PCI device.
    pub(crate) folder: PathBuf,
    /// The limit that stands in its file, in microwatts.
    pub(crate) limit: u64,
    /// Time in which nothing ran, in milliseconds.
    pub(crate) idle_ms: f64,
    /// Accumulated ticks and those of them under a limiter, for the table.
    pub(crate) residency: [u32; 6],
    /// The identity it gives, where that is not its own.
    pub(crate) unique: Option<String>,
}

/// The tree.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    node: Node,
    cards: Vec<Card>,
    quirks: Vec<Quirk>,
    now_ns: Option<u64>,
}

impl Tree {
    /// Writes the tree of a node below a folder, with `proc` and `sys` in it.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn new(root: &Path, node: Node) -> io::Result<Self> {
        Self::with(root, node, &[])
    }

    /// The same, with quirks.
    ///
    /// # Errors
    /// As [`Tree::new`].
    pub fn with(root: &Path, node: Node, quirks: &[Quirk]) -> io::Result<Self> {
        let boards = [Vendor::Amd, Vendor::Intel]
            .into_iter()
            .flat_map(|vendor| node.of_vendor(vendor, DeviceKind::Gpu));
        let card = |(number, board): (usize, usize)| {
            let folder = root.join("sys/devices/pci0000:00").join(node.pci(board));
            let limit = (node.boards[board].requested_w * 1e6) as u64;
            Card { board, number, folder, limit, idle_ms: 0.0, residency: [0; 6], unique: None }
        };
        let cards = boards.enumerate().map(card).collect();
        let mut tree = Self { root: root.to_owned(), node, cards, quirks: quirks.to_vec(), now_ns: None };
        for place in 0..tree.cards.len() {
            tree.plug(place)?;
        }
        tree.write()?;
        Ok(tree)
    }

    /// The node.
    pub fn node(&mut self) -> &mut Node {
        &mut self.node
    }

    /// Turns a quirk on or off.
    pub fn set(&mut self, quirk: Quirk, on: bool) {
        self.quirks.retain(|known| *known != quirk);
        if on {
            self.quirks.push(quirk);
        }
    }

    /// The folder of a card's PCI device.
    pub fn device(&self, card: usize) -> &Path {
        &self.cards[card].folder
    }

    /// The folder of a card's monitor.
    pub fn monitor(&self, card: usize) -> PathBuf {
        self.cards[card].folder.join("hwmon").join(format!("hwmon{}", self.cards[card].board))
    }

    /// Takes a card out of the tree.
    ///
    /// # Errors
    /// When its files cannot be removed.
    pub fn unplug(&mut self, card: usize) -> io::Result<()> {
        let Card { folder, number, .. } = &self.cards[card];
        std::fs::remove_file(self.class(*number))?;
        std::fs::remove_dir_all(folder)
    }

    /// Puts a card in again, under another number.
    ///
    /// # Errors
    /// When its files cannot be written.
    pub fn plug_as(&mut self, card: usize, number: usize) -> io::Result<()> {
        self.cards[card].number = number;
        self.plug(card)?;
        self.write()
    }

    /// Makes a card give an identity that is not its own.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn claim(&mut self, card: usize, unique: &str) -> io::Result<()> {
        self.cards[card].unique = Some(unique.to_owned());
        self.write()
    }

    /// Moves the node on, takes over written limits, and writes what is new. A lost board is no longer there.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn step(&mut self, now_ns: u64) -> io::Result<()> {
        self.take_over()?;
        self.node.step_to(now_ns);
        let passed_s = self.now_ns.map_or(0.0, |then| now_ns.saturating_sub(then) as f64 / 1e9);
        self.now_ns = Some(now_ns);
        for card in &mut self.cards {
            let board = &self.node.boards[card.board];
            card.idle_ms += (1.0 - board.busy) * passed_s * 1e3;
            table::advance(&mut card.residency, board, passed_s);
        }
        for card in 0..self.cards.len() {
            if self.node.boards[self.cards[card].board].has(Fault::Lost) && self.cards[card].folder.exists() {
                self.unplug(card)?;
            }
        }
        self.write()
    }

    fn take_over(&mut self) -> io::Result<()> {
        for card in self.cards.iter_mut().filter(|card| card.folder.exists()) {
            let board = &mut self.node.boards[card.board];
            match board.profile().vendor {
                Vendor::Amd => amd::take_over(card, board, &self.quirks)?,
                _ => intel::take_over(card, board),
            }
        }
        Ok(())
    }

    fn class(&self, number: usize) -> PathBuf {
        self.root.join("sys/class/drm").join(format!("card{number}"))
    }

    fn plug(&self, place: usize) -> io::Result<()> {
        let card = &self.cards[place];
        let driver = match self.node.boards[card.board].profile().vendor {
            Vendor::Amd => "amdgpu",
            _ if self.quirks.contains(&Quirk::I915) => "i915",
            _ => "xe",
        };
        let drivers = self.root.join("sys/bus/pci/drivers").join(driver);
        std::fs::create_dir_all(&drivers)?;
        put(&self.root.join("sys/module").join(driver).join("version"), "6.12.0\n")?;
        let member = card.folder.join("drm").join(format!("card{}", card.number));
        std::fs::create_dir_all(&member)?;
        link(&card.folder, &member.join("device"))?;
        link(&drivers, &card.folder.join("driver"))?;
        link(&member, &self.class(card.number))
    }

    fn write(&mut self) -> io::Result<()> {
        let there = |card: &&Card| card.folder.exists();
        for card in self.cards.iter().filter(there) {
            match self.node.boards[card.board].profile().vendor {
                Vendor::Amd => amd::write(card, &self.node, &self.quirks)?,
                _ => intel::write(card, &self.node, &self.quirks)?,
            }
        }
        amd::processes(&self.root, &self.node, &self.cards)
    }
}
