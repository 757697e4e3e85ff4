//! Two devices that edit the same notes for a long time, each without knowing of the other.

use std::sync::Arc;

use everleaf::{
    folder::{ImportOptions, import},
    id::NoteId,
    remote::{Memory, Remote},
};

use crate::{image::png, vaults::export_of, world::Device};

const NOTES: usize = 50;
const EDITS: usize = 200;

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// A device whose owner writes.
struct Author {
    name: &'static str,
    device: Device,
    numbers: Numbers,
    /// What was written, and never taken away by anybody.
    words: Vec<(NoteId, String)>,
}

impl Author {
    fn new(name: &'static str, device: Device, seed: u64) -> Self {
        Self { name, device, numbers: Numbers(seed), words: Vec::new() }
    }

    /// One edit of one of the notes: words most of the time, in a paragraph that others write in, too.
    fn edit(&mut self, notes: &[NoteId], number: usize) {
        let note = notes[self.numbers.below(notes.len())];
        let source = self.device.source(note);
        let changed = match self.numbers.below(10) {
            0 => self.with_picture(&source, number),
            1 => without_picture(&source),
            2 => self.without_word(&source),
            _ => {
                let word = format!("{}{number};", self.name);
                self.words.push((note, word.clone()));
                self.with_word(&source, &word)
            }
        };
        self.device.edit(note, |_| changed);
    }

    /// Puts a word before another one.
    fn with_word(&mut self, source: &str, word: &str) -> String {
        let places: Vec<usize> = source.match_indices(' ').map(|(at, _)| at + 1).collect();
        let place = places[self.numbers.below(places.len())];
        let (before, after) = source.split_at(place);
        format!("{before}{word} {after}")
    }

    /// Takes away a word that was there from the beginning.
    fn without_word(&mut self, source: &str) -> String {
        let places: Vec<usize> = source.match_indices(" old").map(|(at, _)| at).collect();
        if places.is_empty() {
            return source.to_owned();
        }
        let (before, after) = source.split_at(places[self.numbers.below(places.len())]);
        format!("{before}{}", &after[" old".len()..])
    }

    fn with_picture(&mut self, source: &str, number: usize) -> String {
        // Some pictures are on both devices.
        let content = self.numbers.below(20).to_be_bytes();
        let file = format!("{}-{number}.png", self.name);
        self.device.file(&file, &png(5, 5, &content));
        format!("{source}\n![picture]({file})\n")
    }

    async fn sync(&self, remote: &Arc<dyn Remote>) {
        self.device.sync(remote).await;
    }
}

/// Takes away the first picture.
fn without_picture(source: &str) -> String {
    let Some(start) = source.find("![") else { return source.to_owned() };
    let length = source[start..].find(')').unwrap() + 1;
    format!("{}{}", &source[..start], &source[start + length..])
}

/// Both write for a while, and then meet in this order: `l` and `p` are syncs of one of them.
async fn meet(seed: u64, order: &str) {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let laptop = Device::new("laptop", seed);
    let folder = laptop.folder.path().join("notes");
    std::fs::create_dir(&folder).unwrap();
    for number in 0..NOTES {
        let text = format!(
            "# Note {number}\n\nAll old words of an old text.\n\n![a](a.png) and ![b](b.png)\n\n- an old item é🥐\n"
        );
        std::fs::write(folder.join(format!("{number:02}.md")), text).unwrap();
    }
    for image in ["a.png", "b.png"] {
        std::fs::write(folder.join(image), png(2, 2, image.as_bytes())).unwrap();
    }
    import(laptop.vault(), &folder, &ImportOptions::default(), &|_| ()).unwrap();
    laptop.add_public(&remote, Some("https://img.example")).await;
    laptop.sync(&remote).await;
    let phone = Device::join("phone", seed + 1, &laptop);
    phone.add_public(&remote, Some("https://img.example")).await;
    phone.sync(&remote).await;
    // Notes of one moment are in no order, so they are taken by their paths.
    let mut rows = laptop.vault().list().unwrap();
    rows.sort_by(|one, other| one.path.cmp(&other.path));
    let notes: Vec<NoteId> = rows.iter().map(|row| row.note).collect();
    assert_eq!(notes.len(), NOTES);

    let mut laptop = Author::new("l", laptop, seed);
    let mut phone = Author::new("p", phone, seed + 100);
    for number in 0..EDITS {
        laptop.edit(&notes, number);
        phone.edit(&notes, number);
    }
    let thrown = notes[7];
    phone.device.edit(thrown, |text| format!("{text}plast;\n"));
    phone.words.push((thrown, "plast;".to_owned()));
    laptop.device.vault().set_trashed(thrown, true).unwrap();

    for who in order.chars() {
        if who == 'l' { laptop.sync(&remote).await } else { phone.sync(&remote).await }
    }
    assert_eq!(laptop.device.sources(), phone.device.sources());
    assert_eq!(laptop.device.sources().len(), NOTES, "there are copies");
    for (note, word) in laptop.words.iter().chain(&phone.words) {
        let source = laptop.device.source(*note);
        assert_eq!(source.matches(word.as_str()).count(), 1, "{word} in {source}");
    }
    let trashed: Vec<NoteId> = laptop
        .device
        .vault()
        .list()
        .unwrap()
        .iter()
        .filter(|row| row.trashed)
        .map(|row| row.note)
        .collect();
    assert_eq!(trashed, [thrown]);
    let exported = export_of(&laptop.device, "export");
    assert_eq!(exported, export_of(&phone.device, "export"));
    assert_eq!(exported.keys().filter(|path| !path.contains(".png")).count(), NOTES - 1);
    // Another round says nothing new.
    for author in [&laptop, &phone] {
        let last = *author.device.vault().follow().borrow();
        author.sync(&remote).await;
        assert_eq!(*author.device.vault().follow().borrow(), last);
        author.device.check();
    }
}

#[tokio::test]
async fn a_long_time_apart_the_first_to_come_back_is_one() {
    meet(1, "lplp").await;
}

#[tokio::test]
async fn a_long_time_apart_the_first_to_come_back_is_the_other() {
    meet(2, "pplpl").await;
}
