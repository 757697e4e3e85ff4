//! The main job, told and checked: two devices write offline, the store has a bad day, and in the end
//! both have the same notes, with the images on the store.
//!
//! It needs nothing but this library: the store is a [`Loopback`] in this process, the pictures are
//! drawn here, and waiting takes no time. Nothing that is claimed is taken on trust: what a claim says
//! is looked up where it can be seen, on the store, on the devices or behind a URL.

mod claims;
mod device;
mod picture;
mod stay;

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self as std_io, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;

pub use self::stay::Stay;
use self::{
    claims::Witness,
    device::{Device, Impatient, Page, draw},
};
use crate::{
    clock::Clock,
    id::NoteId,
    loopback::{Loopback, Trouble},
    remote::{Call, Fault, Requests},
    vault::VaultError,
    web::WebError,
};

/// Syncs after which a store that is well has everything, or never will.
const SYNCS: usize = 10;

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// A device could not do its part.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The loopback server did not start.
    #[error("could not start the server on 127.0.0.1")]
    Server(#[source] std_io::Error),
    /// A device's page could not be served.
    #[error("could not serve the page of a device")]
    Web(#[source] WebError),
    /// The story could not be written out.
    #[error("could not write the story")]
    Output(#[source] std_io::Error),
    /// A file could not be read or written.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: std_io::Error,
    },
}

/// What happened, in numbers, and whether all of it is as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Notes at the end.
    pub notes: usize,
    /// Images that notes show, repetitions included.
    pub image_references: usize,
    /// Distinct images among them.
    pub distinct_images: usize,
    /// Objects under `images/` on the store.
    pub stored_images: usize,
    /// Their size in bytes.
    pub stored_bytes: u64,
    /// How often those objects were written.
    pub image_puts: u64,
    /// Attempts at an upload that failed.
    pub failed_attempts: u64,
    /// How long all the waiting would have taken, in milliseconds.
    pub waiting_millis: u64,
    /// Changes that the upload projector made on both devices, URLs alone.
    pub projector_changes: u64,
    /// What a sync without news asked of the store.
    pub idle_sync: Requests,
    /// The source of the note that both edited, before its image was uploaded.
    pub text_before: String,
    /// The same afterwards.
    pub text_after: String,
    /// What `everleaf show` prints of it afterwards.
    pub shown_after: String,
    /// The URLs of all images.
    pub urls: Vec<String>,
    /// What was checked.
    pub claims: Vec<Claim>,
}

impl Story {
    /// Whether every claim holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        !self.claims.is_empty() && self.claims.iter().all(|claim| claim.holds)
    }
}

/// Something that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// What is claimed.
    pub claim: &'static str,
    /// Whether it is so.
    pub holds: bool,
}

/// Tells the story to `out`. The devices live in `dir`, which has to be empty or new and is kept;
/// without, in a temporary folder.
///
/// # Errors
///
/// Where the story can't go on. A claim that does not hold is no error: [`Story::holds`] says so.
pub async fn run(dir: Option<&Path>, out: &mut (dyn Write + Send)) -> Result<Story, DemoError> {
    run_meddled(dir, out, |_| ()).await
}

/// [`run`], with somebody who meddles with the store before the claims are checked; for tests.
///
/// # Errors
///
/// See [`run`].
#[doc(hidden)]
pub async fn run_meddled(
    dir: Option<&Path>,
    out: &mut (dyn Write + Send),
    meddle: impl FnOnce(&Loopback) + Send,
) -> Result<Story, DemoError> {
    let home = Home::new(dir)?;
    let mut teller = Teller(out);
    let (story, stage) = tell(home.path(), &mut teller, meddle).await?;
    if let Some(dir) = dir {
        teller.scene("Have a look")?;
        let laptop = dir.join(stage.laptop.name);
        teller.line(format_args!("everleaf --vault {} list", laptop.display()))?;
        teller.line(format_args!("The server ends with this command, so `sync` finds nothing."))?;
    }
    Ok(story)
}

/// Tells the story as [`run`] does; then both devices stay, each with a page of its own.
///
/// # Errors
///
/// See [`run`]; and where a page can't be served.
pub async fn run_and_stay(
    dir: Option<&Path>,
    out: &mut (dyn Write + Send),
) -> Result<(Story, Stay), DemoError> {
    let home = Home::new(dir)?;
    let mut teller = Teller(out);
    let (story, stage) = tell(home.path(), &mut teller, |_| ()).await?;
    Ok((story, Stay::new(stage, home).await?))
}

/// The folder that the devices live in.
#[derive(Debug)]
enum Home {
    Named(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Home {
    fn new(dir: Option<&Path>) -> Result<Self, DemoError> {
        if let Some(dir) = dir {
            return Ok(Self::Named(dir.to_owned()));
        }
        let made = tempfile::tempdir();
        Ok(Self::Temporary(made.map_err(io("create", std::env::temp_dir()))?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Named(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

async fn tell(
    home: &Path,
    teller: &mut Teller<'_>,
    meddle: impl FnOnce(&Loopback) + Send,
) -> Result<(Story, Stage), DemoError> {
    let mut stage = Stage::set(home).await?;
    stage.meet(teller).await?;
    stage.write_offline(teller)?;
    stage.crowd(teller).await?;
    let mut stage = stage.outage(teller).await?;
    let before = Before {
        notes: stage.phone.notes()?,
        unsynced: stage.phone.vault.status()?.unsynced_notes,
    };
    stage.recover(teller).await?;
    meddle(&stage.store);
    let story = stage.check(teller, &before).await?;
    Ok((story, stage))
}

/// Whoever tells the story, in plain lines.
struct Teller<'a>(&'a mut (dyn Write + Send));

impl Teller<'_> {
    fn scene(&mut self, title: &str) -> Result<(), DemoError> {
        writeln!(self.0, "\n{title}").map_err(DemoError::Output)
    }

    fn line(&mut self, line: fmt::Arguments<'_>) -> Result<(), DemoError> {
        writeln!(self.0, "  {line}").map_err(DemoError::Output)
    }

    fn quote(&mut self, text: &str) -> Result<(), DemoError> {
        text.trim_end().lines().try_for_each(|line| self.line(format_args!("  | {line}")))
    }

    fn numbers(&mut self, story: &Story) -> Result<(), DemoError> {
        self.scene("6. In numbers")?;
        self.line(format_args!(
            "{} notes show {} images; {} of them are distinct",
            story.notes, story.image_references, story.distinct_images
        ))?;
        self.line(format_args!(
            "the store has {} image objects, {} bytes, written {} times in all",
            story.stored_images, story.stored_bytes, story.image_puts
        ))?;
        self.line(format_args!(
            "{} attempts failed before; waiting for the store would have taken {} minutes",
            story.failed_attempts,
            story.waiting_millis / 60_000
        ))?;
        let Requests { get, head, put, list, delete } = story.idle_sync;
        self.line(format_args!(
            "a sync without news asks the store {head} HEAD, {get} GET, {put} PUT, {list} LIST, {delete} DELETE"
        ))?;
        story.urls.iter().try_for_each(|url| self.line(format_args!("{url}")))?;
        self.scene("7. Checked")?;
        for Claim { claim, holds } in &story.claims {
            self.line(format_args!("{} {claim}", if *holds { "yes" } else { "NO " }))?;
        }
        let holding = story.claims.iter().filter(|claim| claim.holds).count();
        self.line(format_args!("{holding} of {} claims hold.", story.claims.len()))
    }
}

/// What the phone, which had synced everything else, had before the first image was uploaded.
struct Before {
    notes: BTreeMap<NoteId, Page>,
    unsynced: u64,
}

/// The store, the devices, and their notes.
struct Stage {
    store: Loopback,
    clock: Arc<Impatient>,
    home: PathBuf,
    pictures: PathBuf,
    laptop: Device,
    phone: Device,
    sourdough: NoteId,
    bake_day: NoteId,
    failed_attempts: u64,
}

const FIRST: &str = "# Sourdough\n\nFeed the starter once a day and keep it in the kitchen.\n";
const OUTAGE_LINE: &str = "Out of the oven at 18:40, in the middle of the outage.";

impl Stage {
    /// The laptop has a note; the phone has joined, and has read nothing yet.
    async fn set(home: &Path) -> Result<Self, DemoError> {
        let clock = Arc::new(Impatient::default());
        let store = Loopback::start(Arc::clone(&clock) as Arc<dyn Clock>).await;
        let store = store.map_err(DemoError::Server)?;
        store.set_public(true);
        let pictures = home.join("pictures");
        fs::create_dir_all(&pictures).map_err(io("create", &pictures))?;
        let laptop = Device::new("laptop", None, home, &store, &clock).await?;
        let sourdough = laptop.write(FIRST, &pictures)?;
        let key = laptop.vault.key().clone();
        let phone = Device::new("phone", Some(key), home, &store, &clock).await?;
        Ok(Self {
            store,
            clock,
            home: home.to_path_buf(),
            pictures,
            laptop,
            phone,
            sourdough,
            bake_day: sourdough,
            failed_attempts: 0,
        })
    }

    async fn meet(&mut self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.scene("1. Two devices share a vault")?;
        let endpoint = self.store.endpoint();
        teller.line(format_args!("An S3 server in this process plays the store: {endpoint}"))?;
        self.laptop.sync().await?;
        self.phone.sync().await?;
        teller.line(format_args!(
            "laptop wrote a note and synced; phone joined with the key and has it:"
        ))?;
        teller.quote(&self.phone.source(self.sourdough)?)
    }

    fn write_offline(&mut self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.scene("2. Both go offline and write")?;
        let starter = draw(&self.pictures, "starter.png", [200, 160, 90])?;
        draw(&self.pictures, "IMG_0412.png", [200, 160, 90])?;
        draw(&self.pictures, "stall.png", [60, 140, 70])?;
        draw(&self.pictures, "loaf.png", [140, 80, 40])?;

        self.laptop.edit(self.sourdough, "once a day", "twice a day")?;
        let picture = self.pictures.join("starter.png");
        self.laptop.vault.attach(self.sourdough, &[picture], Some("The starter"))?;
        let market = "# Market\n\nRye flour, salt.\n\n![The stall](stall.png)\n";
        self.laptop.write(market, &self.pictures)?;
        teller.line(format_args!("laptop edits the paragraph: once a day -> twice a day,"))?;
        teller.line(format_args!("  attaches starter.png ({} bytes) to it,", starter.len()))?;
        teller.line(format_args!("  and begins a note, “Market”, with stall.png."))?;

        self.phone.edit(self.sourdough, "in the kitchen", "in the fridge")?;
        let bake_day = "# Bake day\n\n![The same starter](IMG_0412.png)\n\n![The loaf](loaf.png)\n";
        self.bake_day = self.phone.write(bake_day, &self.pictures)?;
        teller.line(format_args!(
            "phone edits the same paragraph: in the kitchen -> in the fridge,"
        ))?;
        teller.line(format_args!(
            "  and begins a note, “Bake day”, with loaf.png and IMG_0412.png,"
        ))?;
        teller.line(format_args!("  which is the picture of the starter under another name."))?;
        Ok(())
    }

    /// The store takes notes but no images.
    async fn crowd(&mut self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.scene("3. Online again, but the store is crowded: it answers 503 to every image")?;
        let crowded = Trouble::Answer { status: 503, code: "SlowDown" };
        let images =
            Fault { prefix: "images/".to_owned(), ..Fault::next(Call::Put, u64::MAX, crowded) };
        self.store.fail(images);
        for device in [&self.laptop, &self.phone, &self.laptop] {
            let report = device.sync().await?;
            self.failed_attempts += report.uploaded.failed;
            let (name, failed) = (device.name, report.uploaded.failed);
            let (out, into) = (report.pushed.changes, report.pulled.changes);
            teller.line(format_args!(
                "{name:6} sends {out} changes, gets {into}; {failed} attempts at images fail"
            ))?;
        }
        let images = self.laptop.vault.status()?.images;
        teller.line(format_args!(
            "No image is up: laptop has {} to try again. The text did not wait for them:",
            images.failed
        ))?;
        teller.quote(&self.laptop.source(self.sourdough)?)
    }

    /// The store can't be reached; the phone writes on, and is switched off and on.
    async fn outage(self, teller: &mut Teller<'_>) -> Result<Self, DemoError> {
        teller.scene("4. Then the store is gone: every connection breaks")?;
        self.store.fail(Fault::always(Trouble::Drop));
        let line = format!("# Bake day\n\n{OUTAGE_LINE}\n");
        self.phone.edit(self.bake_day, "# Bake day\n", &line)?;
        teller.line(format_args!("phone adds a line to “Bake day”, and tries to sync:"))?;
        match self.phone.sync().await {
            Ok(_) => teller.line(format_args!("  that went well, which it should not have."))?,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                teller.line(format_args!("  {error}: {}", cause.unwrap_or_default()))?;
            }
        }
        let phone = self.phone.restart()?;
        let unsynced = phone.vault.status()?.unsynced_notes;
        teller.line(format_args!("phone is switched off and on: its line is there, and"))?;
        teller.line(format_args!("  status says: {unsynced} note not synced. Nobody pretends."))?;
        Ok(Self { phone, ..self })
    }

    /// The store is well, and both sync until nothing is left to do.
    async fn recover(&mut self, teller: &mut Teller<'_>) -> Result<(), DemoError> {
        teller.scene("5. An hour later the store is well, and both sync until it is quiet")?;
        self.store.heal();
        self.clock.skip(Duration::from_hours(1));
        for _ in 0..SYNCS {
            let mut quiet = true;
            for device in [&self.phone, &self.laptop] {
                let report = device.sync().await?;
                quiet &= report.is_quiet();
                let (up, there) = (report.uploaded.images, report.uploaded.already_there);
                let (name, urls, came) = (device.name, report.linked, report.fetched.images);
                teller.line(format_args!(
                    "{name:6} images: {up} put, {there} there already, {came} fetched; \
                     URLs put into notes: {urls}"
                ))?;
            }
            if quiet {
                break;
            }
        }
        teller.line(format_args!("The text is what it was; what is shown has URLs now:"))?;
        teller.quote(&self.laptop.shown(self.sourdough)?)
    }

    async fn check(&self, teller: &mut Teller<'_>, before: &Before) -> Result<Story, DemoError> {
        let witness = Witness::question(self).await?;
        let shown = witness.laptop.pictures.values();
        let urls: Vec<String> = shown.filter_map(|picture| picture.url.clone()).collect();
        let story = Story {
            notes: witness.laptop.notes.len(),
            image_references: self.laptop.references()?,
            distinct_images: witness.laptop.pictures.len(),
            stored_images: witness.objects.len(),
            stored_bytes: witness.objects.iter().map(|object| object.bytes).sum(),
            image_puts: witness.objects.iter().map(|object| object.puts).sum(),
            failed_attempts: self.failed_attempts,
            waiting_millis: u64::try_from(self.clock.skipped().as_millis()).unwrap_or(u64::MAX),
            projector_changes: witness.laptop.projector_changes + witness.phone.projector_changes,
            idle_sync: witness.idle_sync,
            text_before: before
                .notes
                .get(&self.sourdough)
                .map(|page| page.source.clone())
                .unwrap_or_default(),
            text_after: self.laptop.source(self.sourdough)?,
            shown_after: self.laptop.shown(self.sourdough)?,
            claims: witness.claims(self, before),
            urls,
        };
        teller.numbers(&story)?;
        Ok(story)
    }
}

fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std_io::Error) -> DemoError {
    let path = path.into();
    move |source| DemoError::Io { action, path, source }
}
