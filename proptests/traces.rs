//! Editing sessions of real people, replayed through the library as an interactive editor would: typing
//! in pieces of a second, pictures now and then, and syncs wherever somebody saw what somebody else wrote.
//!
//! The traces lie beside the crate, see `shared`. What is asked of each: the text that its authors ended
//! with, on every device, from the log alone, and on devices that join, by segments and by a checkpoint.

mod recorded;
mod view;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use everleaf::{
    event::{Event, RemoteName, RemoteOptions},
    id::{NoteId, Seq},
    remote::{Key, Memory, Prefix, Remote, RemoteExt as _},
    vault::{Pass, SyncOptions},
};

use self::{
    recorded::{Recorded, apply},
    view::View,
};
use crate::{image::png, world::Device};

/// Where the text of the trace ends; behind it are the pictures.
const END: &str = "⁂\n";
/// How many edits of a device lie between two pictures.
const BETWEEN_PICTURES: usize = 40;
/// How many different pictures there are.
const PICTURES: usize = 5;
/// How many transactions of a trace the ordinary run takes.
const BEGINNING: usize = 1000;

/// Somebody who types, on a device of their own.
struct Author {
    device: Device,
    view: Arc<View>,
    /// What was typed and is not saved yet.
    typed: Vec<usize>,
    /// For each author, the last transaction that is known here.
    knows: Vec<Option<usize>>,
    edits: usize,
    pictures: usize,
}

/// Authors of one note.
struct Session<'a> {
    trace: &'a Recorded,
    note: NoteId,
    remote: Arc<Memory>,
    authors: Vec<Author>,
    /// After which transactions their author told the others, and in which segment.
    told: BTreeMap<usize, u64>,
    put: Pass,
}

impl<'a> Session<'a> {
    async fn new(trace: &'a Recorded, seed: u64) -> Self {
        let remote = Arc::new(Memory::new());
        let mut authors: Vec<Author> = Vec::new();
        let mut note = None;
        for number in 0..trace.authors {
            let name = format!("author {number}");
            let device = match authors.first() {
                None => Device::new(&name, seed),
                Some(first) => Device::join(&name, seed + number as u64, &first.device),
            };
            let view = Arc::new(View::new(Arc::clone(&remote) as _));
            let dynamic: Arc<dyn Remote> = Arc::clone(&view) as _;
            device.add_public(&dynamic, Some("https://img.example")).await;
            if note.is_none() {
                note = Some(device.note(END));
            }
            device.sync(&dynamic).await;
            let (typed, knows) = (Vec::new(), vec![None; trace.authors]);
            authors.push(Author { device, view, typed, knows, edits: 0, pictures: 0 });
        }
        let note = note.unwrap();
        let session =
            Self { trace, note, remote, authors, told: BTreeMap::new(), put: Pass::default() };
        for number in 0..trace.authors {
            session.hold_back(number).await;
        }
        session
    }

    /// Whatever the others put from now on, this author does not see yet.
    async fn hold_back(&self, author: usize) {
        for other in (0..self.authors.len()).filter(|other| *other != author) {
            let device = self.authors[other].device.vault().device().unwrap();
            let last = self.last_segment(other).await;
            self.authors[author].view.show(device, last);
        }
    }

    async fn last_segment(&self, author: usize) -> u64 {
        let device = self.authors[author].device.vault().device().unwrap();
        let listed = self.remote.list_all(&Prefix::Log(device), None).await.unwrap();
        let number = |key| match key {
            Key::Segment { seq, .. } => seq,
            _ => 0,
        };
        listed.into_iter().map(|listed| number(listed.key)).max().unwrap_or_default()
    }

    async fn replay(&mut self) {
        for index in 0..self.trace.transactions.len() {
            let transaction = &self.trace.transactions[index];
            let author = transaction.author;
            if self.is_news(author, &transaction.sees) {
                self.save(author);
                self.receive(author, &transaction.sees).await;
            }
            if !self.authors[author].typed.is_empty() && !self.is_same_pause(author, index) {
                self.save(author);
            }
            self.authors[author].typed.push(index);
            self.authors[author].knows[author] = Some(index);
            if transaction.is_seen {
                self.save(author);
                self.sync(author).await;
                self.told.insert(index, self.last_segment(author).await);
            }
        }
        for author in 0..self.authors.len() {
            self.save(author);
        }
    }

    fn is_same_pause(&self, author: usize, index: usize) -> bool {
        let last = *self.authors[author].typed.last().unwrap();
        let typed = self.authors[author].typed.len();
        self.trace.is_same_pause(last, index, typed)
    }

    fn is_news(&self, author: usize, sees: &[Option<usize>]) -> bool {
        let knows = &self.authors[author].knows;
        (0..knows.len()).any(|other| other != author && sees[other] != knows[other])
    }

    /// Brings what this author saw, and nothing of what the others did after it.
    async fn receive(&mut self, author: usize, sees: &[Option<usize>]) {
        for other in (0..self.authors.len()).filter(|other| *other != author) {
            if let Some(seen) = sees[other] {
                let device = self.authors[other].device.vault().device().unwrap();
                self.authors[author].view.show(device, self.told[&seen]);
                self.authors[author].knows[other] = Some(seen);
            }
        }
        self.sync(author).await;
    }

    async fn sync(&mut self, author: usize) {
        let remote: Arc<dyn Remote> = Arc::clone(&self.authors[author].view) as _;
        let report = self.authors[author].device.sync(&remote).await;
        self.put.segments += report.pushed.segments;
        self.put.changes += report.pushed.changes;
        self.put.bytes += report.pushed.bytes;
    }

    /// Saves what was typed, as an editor does when its author pauses.
    fn save(&mut self, number: usize) {
        let author = &mut self.authors[number];
        let typed = std::mem::take(&mut author.typed);
        if typed.is_empty() {
            return;
        }
        let vault = author.device.vault();
        let reading = vault.read(self.note, None).unwrap();
        let source = reading.body.source();
        let (text, rest) = source.split_at(source.find(END).unwrap());
        let mut text: Vec<char> = text.chars().collect();
        for index in typed {
            apply(&mut text, &self.trace.transactions[index].patches);
        }
        let edited = text.into_iter().collect::<String>() + rest;
        vault.edit(self.note, &reading.heads, &edited, None).unwrap();
        author.device.clock.advance(Duration::from_secs(1));
        author.edits += 1;
        if author.edits.is_multiple_of(BETWEEN_PICTURES) {
            // Some are on several devices, and some are put twice.
            let content = (author.pictures % PICTURES).to_be_bytes();
            let file = author.device.file(&format!("{number}.png"), &png(5, 5, &content));
            author.device.vault().attach(self.note, &[file], None).unwrap();
            author.pictures += 1;
        }
    }

    /// Lets everybody see everything.
    async fn meet(&mut self) {
        for author in &self.authors {
            author.view.show_all();
        }
        for _ in 0..2 {
            for author in 0..self.authors.len() {
                self.sync(author).await;
            }
        }
    }

    /// Has a checkpoint written, and looks at what a device that joins makes of it.
    async fn summed_up(&mut self, seed: u64, text: &str) {
        let remote: Arc<dyn Remote> = Arc::clone(&self.remote) as _;
        let first = &self.authors[0].device;
        first.note("so that there is something to put\n");
        let options = SyncOptions { checkpoint: 1, ..SyncOptions::default() };
        first.sync_with(&remote, &options).await.unwrap();
        let joined = Device::join("by checkpoint", seed, first);
        joined.add_public(&remote, Some("https://img.example")).await;
        joined.sync(&remote).await;
        let mut events = joined.vault().events(Seq(1)).map(|recorded| recorded.unwrap().event);
        assert!(events.any(|event| matches!(event, Event::CheckpointRead { .. })));
        self.check(&joined, text);
        joined.check();
        let parts = remote.list_all(&Prefix::Checkpoints, None).await.unwrap();
        let bytes: u64 = parts.into_iter().map(|part| part.size).sum();
        eprintln!("in a checkpoint: {bytes} bytes");
    }

    fn pictures(&self) -> usize {
        self.authors.iter().map(|author| author.pictures).sum()
    }

    /// That a device shows `text`, and every picture by its URL.
    fn check(&self, device: &Device, text: &str) {
        let reading = device.vault().read(self.note, None).unwrap();
        let source = reading.body.source();
        let (shown, rest) = source.split_once(END).unwrap();
        let differs = shown.chars().zip(text.chars()).position(|(one, other)| one != other);
        assert!(shown == text, "the text differs at {differs:?} of {}", text.chars().count());
        assert_eq!(rest.matches("![").count(), self.pictures());
        let markdown = device.vault().markdown(&reading).unwrap();
        assert_eq!(markdown.matches("](https://img.example/").count(), self.pictures());
    }
}

/// Replays a trace, and looks at what came of it from every side.
async fn holds(trace: &Recorded, text: &str, seed: u64) {
    let mut session = Session::new(trace, seed).await;
    session.replay().await;
    session.meet().await;
    for author in &session.authors {
        session.check(&author.device, text);
    }
    let joined = Device::join("joined", seed + 100, &session.authors[0].device);
    let remote: Arc<dyn Remote> = Arc::clone(&session.remote) as _;
    joined.add_public(&remote, Some("https://img.example")).await;
    joined.sync(&remote).await;
    session.check(&joined, text);
    session.summed_up(seed + 200, text).await;
    let bodies = session.authors.iter().map(|author| author.device.source(session.note));
    for body in bodies {
        assert!(body == joined.source(session.note), "two devices show different pictures");
    }
    for author in 0..session.authors.len() {
        session.authors[author].device.vault().rebuild().unwrap();
        session.authors[author].device.reopen();
        session.check(&session.authors[author].device, text);
        session.authors[author].device.check();
    }
    say("as it was typed", session.put);
    let empty: Arc<dyn Remote> = Arc::new(Memory::new());
    let elsewhere: RemoteName = "elsewhere".parse().unwrap();
    let (vault, how) = (session.authors[0].device.vault(), SyncOptions::default());
    let options = RemoteOptions { url: "memory:2".into(), ..RemoteOptions::default() };
    vault.add_remote(elsewhere.clone(), options, Arc::clone(&empty)).await.unwrap();
    let report = vault.sync(&elsewhere, empty, &how, &|_| ()).await.unwrap();
    say("all at once", report.pushed);
}

/// For whoever wonders what a change costs on a remote.
fn say(how: &str, Pass { segments, changes, bytes }: Pass) {
    let tenths = bytes * 10 / changes.max(1);
    let (whole, part) = (tenths / 10, tenths % 10);
    eprintln!("{how}: {changes} changes in {segments} segments, {whole}.{part} bytes each");
}

async fn beginning(name: &str) {
    let Some(mut trace) = Recorded::read(name) else { return };
    trace.truncate(BEGINNING);
    let text = trace.merged();
    holds(&trace, &text, 7).await;
}

async fn whole(name: &str) {
    let Some(trace) = Recorded::read(name) else { return };
    let text = trace.end.clone();
    holds(&trace, &text, 7).await;
}

macro_rules! traces {
    ($($test:ident $name:literal,)*) => {
        $(#[tokio::test]
        async fn $test() {
            beginning($name).await;
        })*

        mod whole {
            $(#[tokio::test]
            #[ignore = "takes minutes"]
            async fn $test() {
                super::whole($name).await;
            })*
        }
    };
}

traces! {
    two_friends_type_in_one_note "concurrent/friendsforever",
    three_type_in_one_note "concurrent/clownschool",
    a_paper_is_written "sequential/automerge-paper",
    a_post_is_written "sequential/json-crdt-blog-post",
    a_specification_is_written "sequential/json-crdt-patch",
    a_long_post_is_written "sequential/seph-blog1",
    two_friends_one_after_the_other "sequential/friendsforever_flat",
    three_one_after_the_other "sequential/clownschool_flat",
}
