//! A folder that some program carries from device to device: each has its own, and what others put
//! there arrives late and in any order.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Dice;
use crate::remote::{Key, Memory, Remote as _};

/// The folder as one device has it.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) memory: Memory,
    /// Which version of each file is here.
    versions: BTreeMap<String, u64>,
    /// What is on its way.
    waiting: Vec<File>,
    /// How often anything came or went: the times of its folders tell that.
    pub(super) stirred: u64,
    /// It gets fewer files than this at a time.
    pace: u64,
}

/// A version of a file.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) version: u64,
    pub(super) bytes: Bytes,
}

impl Replica {
    /// An empty one, to which all of `files` are on their way.
    pub(super) fn new(files: Vec<File>, page: usize, dice: &mut Dice) -> Self {
        Self {
            memory: Memory::with_page(page),
            versions: BTreeMap::new(),
            waiting: files,
            stirred: 0,
            // One that is slow has much that overtakes other files on its way.
            pace: if dice.percent(40) { 3 } else { 12 },
        }
    }

    /// The same on a disk that was copied: from now on each goes its own way.
    pub(super) fn copy(&self, page: usize) -> Self {
        let memory = Memory::with_page(page);
        memory.restore(self.memory.snapshot());
        let (versions, waiting) = (self.versions.clone(), self.waiting.clone());
        Self { memory, versions, waiting, ..*self }
    }

    /// Notes that its own device put a file.
    pub(super) fn wrote(&mut self, file: &File) {
        self.versions.insert(file.name.clone(), file.version);
        self.stirred += 1;
    }

    /// Sends it a file.
    pub(super) fn send(&mut self, file: File) {
        self.waiting.push(file);
    }

    /// Some of what is on its way, in any order; an older version never takes the place of a newer.
    pub(super) fn arriving(&mut self, dice: &mut Dice) -> Vec<File> {
        let mut files = Vec::new();
        for _ in 0..dice.below(self.pace) {
            if self.waiting.is_empty() {
                break;
            }
            let next = self.waiting.swap_remove(dice.index(self.waiting.len()));
            files.extend(self.newer(next));
        }
        files
    }

    /// All that is on its way.
    pub(super) fn all(&mut self) -> Vec<File> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().filter_map(|file| self.newer(file)).collect()
    }

    fn newer(&mut self, file: File) -> Option<File> {
        let here = self.versions.entry(file.name.clone()).or_default();
        if *here >= file.version {
            return None;
        }
        *here = file.version;
        self.stirred += 1;
        Some(file)
    }

    /// Makes `objects` all that is here and on its way.
    pub(super) fn restore(&mut self, objects: BTreeMap<String, Bytes>) {
        self.memory.restore(objects);
        self.waiting.clear();
        self.stirred += 1;
    }
}

/// Puts files where they arrived.
pub(super) async fn arrive(memory: &Memory, files: Vec<File>) {
    for file in files {
        let Ok(key) = file.name.parse::<Key>() else { continue };
        // Memory takes whatever it is given.
        let _ = memory.put(&key, file.bytes.into()).await;
    }
}
