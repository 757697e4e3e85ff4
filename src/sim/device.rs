//! A device in the storm.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use tokio::sync::Notify;

use super::{
    Check, Dice, Settings, Wrong,
    crash::{Death, Severed, copy_folder},
    edits::{Desk, by_hash, by_name},
    model::{Draft, Model},
    pictures,
};
use crate::{
    clock::{Clock as _, SimulatedClock, Timestamp},
    event::{RemoteName, RemoteOptions},
    id::{ImageId, NoteId},
    note::Heads,
    remote::{Remote, Retry, RetryPolicy},
    seal::VaultKey,
    vault::{NewNote, Options, Reading, SyncOptions, SyncReport, Vault, VaultError, chain},
};

const TEN_YEARS: u64 = 10 * 365 * 24 * 3600;
/// A file name that every device has, each for another picture.
const COMMON: &str = "shared.png";

/// What a device acknowledged: the heads of each note after its last edit here.
type Acknowledged = BTreeMap<NoteId, Heads>;

/// What something did: its kind, and for the trace.
pub(super) type Done = Option<(&'static str, String)>;

pub(super) struct Device {
    number: usize,
    vault: Option<Vault>,
    clock: Arc<SimulatedClock>,
    /// By how much its clock is wrong, in milliseconds.
    skew: i64,
    folder: TempDir,
    acknowledged: Acknowledged,
    backup: Option<(TempDir, Acknowledged)>,
    /// An editor that was opened and not yet saved.
    editor: Option<Reading>,
}

impl Device {
    pub(super) fn create(
        number: usize,
        seed: u64,
        key: Option<VaultKey>,
        now: Timestamp,
    ) -> Check<Self> {
        let folder = folder()?;
        let clock = Arc::new(SimulatedClock::new(now, seed));
        let name = format!("d{number}");
        let vault = Vault::create(&folder.path().join("vault"), &name, key, options(&clock))?;
        Ok(Self {
            number,
            vault: Some(vault),
            clock,
            skew: 0,
            folder,
            acknowledged: Acknowledged::new(),
            backup: None,
            editor: None,
        })
    }

    pub(super) const fn is_gone(&self) -> bool {
        self.vault.is_none()
    }

    pub(super) fn vault(&self) -> Check<&Vault> {
        let gone = || Wrong { promises: Vec::new(), what: format!("d{} is gone", self.number) };
        self.vault.as_ref().ok_or_else(gone)
    }

    pub(super) const fn number(&self) -> usize {
        self.number
    }

    pub(super) fn clock(&self) -> Arc<SimulatedClock> {
        Arc::clone(&self.clock)
    }

    /// Where it keeps everything.
    pub(super) fn home(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("vault")
    }

    /// Has its clock show the time `now`, as wrong as it is.
    pub(super) fn wake(&self, now: Timestamp) {
        self.clock.set(Timestamp(now.0 + self.skew));
    }

    /// The time that it would be if its clock were right.
    pub(super) fn time(&self) -> Timestamp {
        Timestamp(self.clock.now().0 - self.skew)
    }

    /// Sets the clock wrong by up to ten years; gives by how much, in seconds.
    pub(super) fn jump(&mut self, dice: &mut Dice, settings: &Settings) -> i64 {
        let by = i64::try_from(dice.below(2 * TEN_YEARS)).unwrap_or(0)
            - i64::try_from(TEN_YEARS).unwrap_or(0);
        if !settings.right_clocks {
            let now = self.time();
            self.skew = by * 1000;
            self.wake(now);
        }
        by
    }

    /// Sets its clock right.
    pub(super) fn set_right(&mut self) {
        let now = self.time();
        self.skew = 0;
        self.wake(now);
    }

    /// Whether it is there and knows the note at these heads.
    pub(super) fn knows(&self, note: NoteId, heads: &Heads) -> bool {
        self.vault.as_ref().is_some_and(|vault| vault.has_version(note, heads).unwrap_or(false))
    }

    /// Whether it holds the bytes of an image.
    pub(super) fn holds(&self, image: ImageId) -> bool {
        self.vault.as_ref().is_some_and(|vault| vault.local_file(image).is_ok_and(|f| f.is_some()))
    }

    /// The heads that its acknowledged edits left.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (NoteId, &Heads)> {
        self.acknowledged.iter().map(|(note, heads)| (*note, heads))
    }

    pub(super) async fn add(&self, remote: Arc<dyn Remote>) -> Check {
        let options = RemoteOptions {
            url: "simulated".into(),
            // Some devices do not know the public address.
            public_url: (self.number % 3 != 2).then(|| PUBLIC.into()),
            ..RemoteOptions::default()
        };
        Ok(self.vault()?.add_remote(origin()?, options, remote).await?)
    }

    /// Syncs as the command does: what fails for a reason that may pass is tried again.
    pub(super) async fn sync(&self, remote: Arc<dyn Remote>) -> Check<Came> {
        let clock: Arc<SimulatedClock> = Arc::clone(&self.clock);
        let remote = Arc::new(Retry::new(remote, RetryPolicy::default(), clock));
        let options = SyncOptions { parallel: Some(2), checkpoint: 1500, ..SyncOptions::default() };
        match self.vault()?.sync(&origin()?, remote, &options, &|_| ()).await {
            Ok(report) => Ok(Came::Report(Box::new(report))),
            Err(error @ VaultError::Remote { .. }) => Ok(Came::Failed(chain(&error))),
            Err(error) => Err(Wrong::from(error).at(format_args!("d{}", self.number))),
        }
    }

    /// Kills the process while it syncs, between two calls or at some step of its own.
    pub(super) async fn crash_in_sync(
        &self,
        remote: Arc<dyn Remote>,
        dice: &mut Dice,
    ) -> Check<TempDir> {
        let grave = folder()?;
        // Between two puts there is most to be lost.
        let puts = dice.percent(50);
        let most = if puts || dice.percent(50) { 60 } else { 12 };
        let (steps, calls) = (dice.below(most), dice.below(if puts { 5 } else { 40 }));
        let death = Death::after(steps, self.home(), grave.path());
        let over = Arc::new(Notify::new());
        let severed = Arc::new(Severed::new(remote, calls, puts, Arc::clone(&over)));
        let came = tokio::select! {
            result = self.sync(severed) => result.map(drop),
            () = over.notified() => Ok(()),
        };
        let died = death.came()?;
        came?;
        if !died {
            copy_folder(self.home(), grave.path())?;
        }
        Ok(grave)
    }

    /// Kills the process in the midst of `work`, or soon after.
    pub(super) fn crash_in(
        &mut self,
        dice: &mut Dice,
        model: &mut Model,
        work: impl FnOnce(&mut Self, &mut Dice, &mut Model) -> Check<Done>,
    ) -> Check<(TempDir, Done)> {
        let grave = folder()?;
        let (acknowledged, edits) = (self.acknowledged.clone(), model.len());
        let most = dice.pick(&[8, 12, 30, 60]).copied().unwrap_or(12);
        let death = Death::after(dice.below(most), self.home(), grave.path());
        let done = work(self, dice, model);
        let died = death.came()?;
        let done = done?;
        if died {
            self.acknowledged = acknowledged;
            model.doubt(edits);
        } else {
            copy_folder(self.home(), grave.path())?;
        }
        Ok((grave, done))
    }

    /// Starts another process with what the last one left in a folder.
    pub(super) fn come_back(&mut self, folder: TempDir, seed: u64) -> Check {
        self.vault = None;
        self.editor = None;
        self.folder = folder;
        self.open(seed)
    }

    fn open(&mut self, seed: u64) -> Check {
        self.clock = Arc::new(SimulatedClock::new(self.clock.now(), seed));
        let vault = Vault::open(&self.path(), options(&self.clock));
        self.vault = Some(vault.map_err(|error| {
            let (number, why) = (self.number, chain(&error));
            Wrong::promise(1, format!("d{number} can't open what it acknowledged: {why}"))
        })?);
        Ok(())
    }

    pub(super) fn has_what_it_acknowledged(&self) -> Check {
        for (note, heads) in &self.acknowledged {
            if !self.knows(*note, heads) {
                let (number, note) = (self.number, note.short());
                let what =
                    format!("d{number} has lost an edit of note {note}, acknowledged before");
                return Err(Wrong::promise(1, what));
            }
        }
        Ok(())
    }

    pub(super) fn back_up(&mut self) -> Check {
        let backup = folder()?;
        copy_folder(self.home(), backup.path())?;
        self.backup = Some((backup, self.acknowledged.clone()));
        Ok(())
    }

    /// Puts the backup in the place of the vault; gives whether there was one.
    pub(super) fn restore_backup(&mut self, seed: u64) -> Check<bool> {
        let Some((backup, acknowledged)) = self.backup.take() else { return Ok(false) };
        self.acknowledged = acknowledged;
        self.come_back(backup, seed)?;
        Ok(true)
    }

    /// A copy of the vault, as a device of its own.
    pub(super) fn copy(&self, number: usize, seed: u64) -> Check<Self> {
        let folder = folder()?;
        copy_folder(self.home(), folder.path())?;
        let mut copy = Self {
            number,
            vault: None,
            clock: Arc::clone(&self.clock),
            skew: self.skew,
            folder,
            acknowledged: self.acknowledged.clone(),
            backup: None,
            editor: None,
        };
        copy.open(seed)?;
        Ok(copy)
    }

    pub(super) fn leave(&mut self) {
        self.vault = None;
    }

    /// Drops the local bytes of some image, if a receipt allows it.
    pub(super) fn evict(&self, dice: &mut Dice) -> Check<Option<ImageId>> {
        let images = self.vault()?.image_list()?.into_iter().filter(|image| image.local);
        let images: Vec<ImageId> = images.map(|image| image.image).collect();
        let Some(image) = dice.pick(&images) else { return Ok(None) };
        match self.vault()?.evict(*image) {
            Ok(()) => Ok(Some(*image)),
            Err(VaultError::OnlyCopy(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes some edit, and tells the model what was acknowledged.
    pub(super) fn edit(&mut self, dice: &mut Dice, model: &mut Model) -> Check<Done> {
        let notes = self.vault()?.list()?;
        if notes.is_empty() || (notes.len() < 10 && dice.percent(8)) {
            return self.create_note(dice, model).map(Some);
        }
        let Some(row) = dice.pick(&notes) else { return Ok(None) };
        match dice.below(100) {
            0..4 => {
                self.vault()?.set_trashed(row.note, !row.trashed)?;
                let draft = Draft { trashed: Some(!row.trashed), ..Draft::default() };
                self.acknowledge(row.note, draft, model)?;
                return Ok(Some(("trash", format!("trashes or restores {}", row.note.short()))));
            }
            4..10 => {
                let reading = self.vault()?.read(row.note, None)?;
                self.editor = Some(reading);
                return Ok(Some(("open", format!("opens an editor on {}", row.note.short()))));
            }
            _ => {}
        }
        let opened = self.editor.take_if(|_| dice.percent(20));
        let base = match opened {
            Some(opened) => opened,
            None => self.vault()?.read(row.note, None)?,
        };
        self.change(&base, dice, model)
    }

    fn create_note(&mut self, dice: &mut Dice, model: &mut Model) -> Check<(&'static str, String)> {
        let inserts = model.fresh_text(1 + dice.below(12))?;
        let source: String = inserts.iter().collect::<String>() + "\n";
        let note = self.vault()?.new_note(&NewNote { source, ..NewNote::default() })?;
        self.acknowledge(note, Draft { inserts, ..Draft::default() }, model)?;
        Ok(("new", format!("writes note {}", note.short())))
    }

    fn change(&mut self, base: &Reading, dice: &mut Dice, model: &mut Model) -> Check<Done> {
        let mut desk = Desk::new(&base.body.source(), dice, model);
        let kind = match desk.dice.below(100) {
            0..45 => desk.insert()?,
            45..62 => desk.delete(),
            62..68 => desk.replace()?,
            68..80 => self.add_image(&mut desk, base)?,
            80..84 => desk.copy_image(base),
            84..88 => self.copy_from_elsewhere(&mut desk, base)?,
            88..93 => desk.remove_image(base),
            93..96 => return self.move_image(base, desk),
            _ => {
                let new = self.picture(&mut desk)?;
                desk.replace_image(base, new)
            }
        };
        let (source, draft) = (desk.source(), desk.draft);
        self.save(base, &source, draft, kind, model)
    }

    /// Saves what somebody made of a reading.
    fn save(
        &mut self,
        base: &Reading,
        source: &str,
        draft: Draft,
        kind: &'static str,
        model: &mut Model,
    ) -> Check<Done> {
        let folder = Some(self.home());
        if !self.vault()?.edit(base.note, &base.heads, source, folder)?.changed {
            return Ok(None);
        }
        self.acknowledge(base.note, draft, model)?;
        let merged = self.vault()?.read(base.note, None)?.body.source();
        let (note, was) = (base.note.short(), base.body.source());
        Ok(Some((kind, format!("{kind}s in {note}: {was:?} becomes {source:?}, and {merged:?}"))))
    }

    pub(super) fn acknowledge(&mut self, note: NoteId, draft: Draft, model: &mut Model) -> Check {
        let heads = self.vault()?.read(note, None)?.heads;
        self.acknowledged.insert(note, heads.clone());
        model.acknowledge(note, heads, draft, self);
        Ok(())
    }

    /// Adds an image of a file here: under a name of its own, or under one that others use as well.
    fn add_image(&self, desk: &mut Desk<'_>, base: &Reading) -> Check<&'static str> {
        let new = if desk.dice.percent(15) {
            let picture = pictures::any(desk.dice);
            pictures::write(self.home(), COMMON, &picture)?;
            by_name(base, COMMON, picture.image)
        } else {
            Some(self.picture(desk)?)
        };
        if let Some(new) = new {
            desk.show(&new.0.clone(), new);
        }
        Ok("add image")
    }

    /// Shows an image that another note shows, by its hash.
    fn copy_from_elsewhere(&self, desk: &mut Desk<'_>, base: &Reading) -> Check<&'static str> {
        let images: Vec<ImageId> =
            self.vault()?.image_list()?.into_iter().map(|image| image.image).collect();
        if let Some(image) = desk.dice.pick(&images).copied()
            && let Some(shown) = by_hash(base, image)
        {
            desk.show(&format!("blake3:{image}"), shown);
        }
        Ok("copy image from elsewhere")
    }

    /// Shows an image at another place of its note: first there, then no more where it was.
    fn move_image(&mut self, base: &Reading, mut desk: Desk<'_>) -> Check<Done> {
        let Some(image) = desk.an_image(base) else { return Ok(None) };
        desk.show(&image.shown.0.clone(), image.shown.clone());
        let Desk { text, draft, dice, model } = desk;
        let source: String = text.into_iter().collect();
        let done = self.save(base, &source, draft, "move image", model)?;
        let now = self.vault()?.read(base.note, None)?;
        let mut desk = Desk::new(&now.body.source(), dice, model);
        let (name, id) = &image.shown;
        let same = now.body.embeds().all(|embed| embed.name != *name || embed.image == *id);
        if same && desk.take_away(&image.shown) {
            let (source, draft) = (desk.source(), desk.draft);
            self.save(&now, &source, draft, "move image", model)?;
        }
        Ok(done)
    }

    /// One of a few pictures, in a file of a name of its own.
    fn picture(&self, desk: &mut Desk<'_>) -> Check<(String, ImageId)> {
        let name = pictures::name(desk.model.number(), desk.dice);
        let picture = pictures::any(desk.dice);
        pictures::write(self.home(), &name, &picture)?;
        Ok((name, picture.image))
    }
}

/// What came of a sync.
pub(super) enum Came {
    Report(Box<SyncReport>),
    Failed(String),
}

impl Came {
    /// Whether it went through, with nothing left out.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self, Self::Report(report) if report.problems.is_empty())
    }

    pub(super) fn is_quiet(&self) -> bool {
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

/// The public address of the simulated remote.
pub(super) const PUBLIC: &str = "https://img.example";

pub(super) fn origin() -> Check<RemoteName> {
    Ok("origin".parse()?)
}

fn options(clock: &Arc<SimulatedClock>) -> Options {
    // A program that this process starts meanwhile has its locks until it is that program.
    let patience = Duration::from_secs(30);
    Options { clock: Arc::clone(clock) as _, patience, inline: true, ..Options::default() }
}

/// In memory where the system has a place for that: what is simulated is not the disk.
fn folder() -> Check<TempDir> {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    Ok(made?)
}
