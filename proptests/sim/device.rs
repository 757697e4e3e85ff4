//! A device in the storm.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use everleaf::{
    clock::{Clock as _, SimulatedClock},
    event::{RemoteName, RemoteOptions},
    id::{ImageId, NoteId},
    note::Heads,
    remote::{Remote, Retry, RetryPolicy},
    seal::VaultKey,
    vault::{NewNote, Options, Reading, SyncOptions, SyncReport, Vault, VaultError},
};
use tempfile::TempDir;
use tokio::sync::Notify;

use super::{
    Check, Dice,
    edits::{Draft, an_image, delete, insert, place, remove_image, replace},
    fuse::Fuse,
    model::{Edit, Model},
};
use crate::{
    image::png,
    world::{NOW, copy_folder},
};

const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;
/// Distinct pictures in a history: few, so that many notes and devices hold the same.
const PICTURES: u64 = 6;

/// What a device acknowledged: the heads of each note after its last edit here.
type Acknowledged = BTreeMap<NoteId, Heads>;

pub(crate) struct Device {
    number: usize,
    vault: Option<Vault>,
    clock: Arc<SimulatedClock>,
    folder: TempDir,
    acknowledged: Acknowledged,
    backup: Option<(TempDir, Acknowledged)>,
    /// An editor that was opened and not yet saved.
    editor: Option<Reading>,
}

/// What an edit did, for the trace.
type Done = Option<(&'static str, String)>;

impl Device {
    pub(crate) fn create(
        number: usize,
        seed: u64,
        key: Option<VaultKey>,
        dice: &mut Dice,
    ) -> Check<Self> {
        let folder = folder();
        let clock = Arc::new(SimulatedClock::new(NOW, seed));
        let name = format!("d{number}");
        let vault = Vault::create(&folder.path().join("vault"), &name, key, options(&clock));
        let device = Self {
            number,
            vault: Some(vault.map_err(shown)?),
            clock,
            folder,
            acknowledged: Acknowledged::new(),
            backup: None,
            editor: None,
        };
        device.jump(dice);
        Ok(device)
    }

    pub(crate) fn clock(&self) -> Arc<SimulatedClock> {
        Arc::clone(&self.clock)
    }

    pub(crate) fn key(&self) -> Option<VaultKey> {
        self.vault.as_ref().map(|vault| vault.key().clone())
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.vault.is_none()
    }

    pub(crate) fn vault(&self) -> &Vault {
        self.vault.as_ref().unwrap()
    }

    pub(crate) const fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    /// Whether it knows the note at these heads.
    pub(crate) fn knows(&self, note: NoteId, heads: &Heads) -> bool {
        self.vault.as_ref().is_some_and(|vault| vault.read(note, Some(heads)).is_ok())
    }

    /// Whether it holds the bytes of an image.
    pub(crate) fn holds(&self, image: ImageId) -> bool {
        self.vault.as_ref().is_some_and(|vault| vault.local_file(image).is_ok_and(|f| f.is_some()))
    }

    pub(crate) async fn add(&self, remote: &Arc<dyn Remote>) -> Check {
        let options = RemoteOptions {
            url: "simulated".into(),
            // Some devices do not know the public address.
            public_url: (self.number % 3 != 2).then(|| "https://img.example".into()),
            ..RemoteOptions::default()
        };
        self.vault().add_remote(origin(), options, Arc::clone(remote)).await.map_err(shown)
    }

    /// Sets the clock wrong by up to ten years; gives by how much, in seconds.
    pub(crate) fn jump(&self, dice: &mut Dice) -> i64 {
        let by =
            i64::try_from(dice.below(2 * TEN_YEARS)).unwrap() - i64::try_from(TEN_YEARS).unwrap();
        let mut now = NOW;
        now.0 += by * 1000;
        self.clock.set(now);
        by
    }

    /// Syncs as the command does: what fails for a reason that may pass is tried again.
    pub(crate) async fn sync(&self, remote: Arc<dyn Remote>) -> Check<Came> {
        let clock: Arc<SimulatedClock> = Arc::clone(&self.clock);
        let remote = Arc::new(Retry::new(remote, RetryPolicy::default(), clock));
        self.clock.advance(Duration::from_mins(10));
        let options = SyncOptions { parallel: 2, ..SyncOptions::default() };
        match self.vault().sync(&origin(), remote, &options, &|_| ()).await {
            Ok(report) => Ok(Came::Report(Box::new(report))),
            Err(error @ VaultError::Remote { .. }) => Ok(Came::Failed(shown(error))),
            Err(error) => Err(format!("d{}: {}", self.number, shown(error))),
        }
    }

    /// Kills the process, perhaps while it syncs, and starts another.
    pub(crate) async fn crash(
        &mut self,
        remote: Arc<dyn Remote>,
        seed: u64,
        dice: &mut Dice,
    ) -> Check {
        let grave = folder();
        if dice.percent(60) {
            let spent = Arc::new(Notify::new());
            let calls = AtomicU64::new(dice.below(25));
            let fuse: Arc<dyn Remote> =
                Arc::new(Fuse { inner: remote, calls, spent: Arc::clone(&spent) });
            tokio::select! {
                result = self.sync(fuse) => drop(result?),
                () = spent.notified() => {}
            }
        }
        copy_folder(&self.path(), &grave.path().join("vault"));
        self.vault = None;
        self.editor = None;
        self.folder = grave;
        self.open(seed)
    }

    fn open(&mut self, seed: u64) -> Check {
        self.clock = Arc::new(SimulatedClock::new(self.clock.now(), seed));
        let vault = Vault::open(&self.path(), options(&self.clock));
        self.vault = Some(vault.map_err(|error| format!("d{}: {}", self.number, shown(error)))?);
        Ok(())
    }

    pub(crate) fn has_what_it_acknowledged(&self) -> Check {
        for (note, heads) in &self.acknowledged {
            if !self.knows(*note, heads) {
                let note = note.short();
                return Err(format!(
                    "d{}: an acknowledged edit of note {note} is lost",
                    self.number
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn back_up(&mut self) {
        let backup = folder();
        copy_folder(&self.path(), &backup.path().join("vault"));
        self.backup = Some((backup, self.acknowledged.clone()));
    }

    /// Puts the backup in the place of the vault; gives whether there was one.
    pub(crate) fn restore_backup(&mut self, seed: u64) -> Check<bool> {
        let Some((backup, acknowledged)) = self.backup.take() else { return Ok(false) };
        self.vault = None;
        self.editor = None;
        self.folder = backup;
        self.acknowledged = acknowledged;
        self.open(seed)?;
        Ok(true)
    }

    /// A copy of the vault, as a device of its own.
    pub(crate) fn copy(&self, number: usize, seed: u64, dice: &mut Dice) -> Check<Self> {
        let folder = folder();
        copy_folder(&self.path(), &folder.path().join("vault"));
        let mut copy = Self {
            number,
            vault: None,
            clock: Arc::new(SimulatedClock::new(NOW, seed)),
            folder,
            acknowledged: self.acknowledged.clone(),
            backup: None,
            editor: None,
        };
        copy.jump(dice);
        copy.open(seed)?;
        Ok(copy)
    }

    pub(crate) fn leave(&mut self) {
        self.vault = None;
    }

    pub(crate) fn rebuild(&self) -> Check {
        self.vault().rebuild().map_err(shown)
    }

    /// Makes some edit, and tells the model what was acknowledged.
    pub(crate) fn edit(&mut self, dice: &mut Dice, model: &mut Model) -> Check<Done> {
        let notes = self.vault().list().map_err(shown)?;
        if notes.is_empty() || (notes.len() < 10 && dice.percent(8)) {
            return self.create_note(dice, model).map(Some);
        }
        let Some(row) = dice.pick(&notes) else { return Ok(None) };
        match dice.below(100) {
            0..4 => {
                self.vault().set_trashed(row.note, !row.trashed).map_err(shown)?;
                return Ok(Some(("trash", format!("trashes or restores {}", row.note.short()))));
            }
            4..10 => {
                let reading = self.vault().read(row.note, None).map_err(shown)?;
                self.editor = Some(reading);
                return Ok(Some(("open", format!("opens an editor on {}", row.note.short()))));
            }
            _ => {}
        }
        let opened = self.editor.take_if(|_| dice.percent(20));
        let base = match opened {
            Some(opened) => opened,
            None => self.vault().read(row.note, None).map_err(shown)?,
        };
        self.change(&base, dice, model)
    }

    fn create_note(&mut self, dice: &mut Dice, model: &mut Model) -> Check<(&'static str, String)> {
        let inserts: Vec<char> = (0..=dice.below(12)).map(|_| model.fresh()).collect();
        let source: String = inserts.iter().collect::<String>() + "\n";
        let new = NewNote { source, ..NewNote::default() };
        let note = self.vault().new_note(&new).map_err(shown)?;
        let draft = Draft { inserts, ..Draft::default() };
        self.acknowledge(note, draft, model)?;
        Ok(("new", format!("writes note {}", note.short())))
    }

    fn change(&mut self, base: &Reading, dice: &mut Dice, model: &mut Model) -> Check<Done> {
        let mut text: Vec<char> = base.body.source().chars().collect();
        let mut draft = Draft::default();
        let kind = match dice.below(100) {
            0..45 => insert(&mut text, &mut draft, dice, model),
            45..65 => delete(&mut text, &mut draft, dice),
            65..72 => replace(&mut text, &mut draft, dice, model),
            72..86 => self.add_image(&mut text, &mut draft, dice, model),
            86..92 => remove_image(&mut text, &mut draft, base, dice),
            _ => self.replace_image(&mut text, &mut draft, base, dice, model),
        };
        let source: String = text.into_iter().collect();
        let vault = self.vault();
        let folder = Some(self.folder.path());
        if !vault.edit(base.note, &base.heads, &source, folder).map_err(shown)? {
            return Ok(None);
        }
        self.acknowledge(base.note, draft, model)?;
        let merged = self.vault().read(base.note, None).map_err(shown)?.body.source();
        let what = format!(
            "{kind}s in {}: {:?} becomes {source:?}, and {merged:?}",
            base.note.short(),
            base.body.source()
        );
        Ok(Some((kind, what)))
    }

    fn acknowledge(&mut self, note: NoteId, draft: Draft, model: &mut Model) -> Check {
        let heads = self.vault().read(note, None).map_err(shown)?.heads;
        self.acknowledged.insert(note, heads.clone());
        let Draft { inserts, deletes, embeds, drops } = draft;
        model.edits.push(Edit {
            note,
            heads,
            inserts,
            deletes,
            embeds,
            drops,
            on_remote: false,
            maybe: false,
        });
        Ok(())
    }

    /// Adds an image under a name of its own; many names have the same picture.
    fn add_image(
        &self,
        text: &mut Vec<char>,
        draft: &mut Draft,
        dice: &mut Dice,
        model: &mut Model,
    ) -> &'static str {
        let (name, image) = self.picture(dice, model);
        let place = place(text, dice);
        text.splice(place..place, format!("\n![]({name})\n").chars());
        draft.embeds.push((name, image));
        "add image"
    }

    /// Puts another picture in the place of one: the markup around it stays.
    fn replace_image(
        &self,
        text: &mut Vec<char>,
        draft: &mut Draft,
        base: &Reading,
        dice: &mut Dice,
        model: &mut Model,
    ) -> &'static str {
        if let Some(old) = an_image(text, base, dice) {
            let (name, image) = self.picture(dice, model);
            let source: String = text.iter().collect();
            let source = source.replace(&format!("![]({old})"), &format!("![]({name})"));
            *text = source.chars().collect();
            draft.drops.push(old);
            draft.embeds.push((name, image));
        }
        "replace image"
    }

    /// One of a few pictures, in a file of a name of its own.
    fn picture(&self, dice: &mut Dice, model: &mut Model) -> (String, ImageId) {
        let name = model.name();
        let picture = png(8, 8, &dice.below(PICTURES).to_le_bytes());
        let image = ImageId::from_bytes(*blake3::hash(&picture).as_bytes());
        std::fs::write(self.folder.path().join(&name), picture).unwrap();
        (name, image)
    }
}

/// What came of a sync.
pub(crate) enum Came {
    Report(Box<SyncReport>),
    Failed(String),
}

impl Came {
    /// Whether it went through, with nothing left out.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self, Self::Report(report) if report.problems.is_empty())
    }

    pub(crate) fn is_quiet(&self) -> bool {
        matches!(self, Self::Report(report) if report.is_quiet())
    }
}

impl std::fmt::Display for Came {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "failed: {why}"),
            Self::Report(report) => write!(
                f,
                "{} changes pulled, {} pushed, {} images up, {} there, {} down, {} linked {:?}",
                report.pulled.changes,
                report.pushed.changes,
                report.uploaded.images,
                report.uploaded.already_there,
                report.fetched.images,
                report.linked,
                report.problems,
            ),
        }
    }
}

pub(crate) fn origin() -> RemoteName {
    "origin".parse().unwrap()
}

fn options(clock: &Arc<SimulatedClock>) -> Options {
    Options {
        clock: Arc::clone(clock) as _,
        patience: Duration::ZERO,
        inline: true,
        ..Options::default()
    }
}

/// In memory where the system has a place for that: what is simulated is not the disk.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

pub(crate) fn shown(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
