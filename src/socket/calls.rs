//! The façade's calls, as values.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{Asked, Call, Refusal, Step, Tell, server::not_understood};
use crate::{
    event::{Event, Recorded, RemoteName, RemoteOptions},
    folder::{self, ExportOptions, Exported, ImportOptions, Imported},
    id::{ImageId, NoteId, Seq, VaultId},
    note::{Embed, Heads},
    remote::{self, RetryPolicy},
    vault::{
        AttachedImage, Edited, Found, ImageStatus, Listed, NewNote, NoteStatus, RemoteStatus,
        SearchOptions, SyncOptions, SyncReport, Vault, VaultError, VaultStatus, Verification,
    },
};

/// Events that one answer holds at most.
const EVENTS: usize = 256;
/// Bytes of changes after which an answer holds no more events.
const EVENT_BYTES: usize = 8 << 20;

/// Declares calls: what each is called, what it is made with, and what it does.
macro_rules! calls {
    ($(
        $(#[$doc:meta])*
        $name:literal $call:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),* $(,)? }
        -> $answer:ty, |$this:ident, $vault:ident, $tell:ident| $body:expr;
    )*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Serialize, Deserialize)]
            pub struct $call { $( $(#[$field_doc])* pub $field: $type ),* }

            impl Call for $call {
                const NAME: &'static str = $name;
                type Answer = $answer;

                async fn call($this, $vault: Vault, $tell: Tell) -> Result<$answer, VaultError> {
                    $body
                }
            }
        )*

        /// Makes the call that was asked for.
        pub(super) async fn answer(
            asked: Asked,
            vault: &Vault,
            tell: Tell,
        ) -> Result<Box<RawValue>, Refusal> {
            match asked.call.as_str() {
                $( $name => make::<$call>(&asked.with, vault, tell).await, )*
                other => Err(not_understood(&format_args!("there is no call `{other}`"))),
            }
        }

        /// What the calls are called.
        pub const NAMES: &[&str] = &[$( $name ),*];
    };
}

async fn make<C: Call>(
    with: &RawValue,
    vault: &Vault,
    tell: Tell,
) -> Result<Box<RawValue>, Refusal> {
    let call: C = serde_json::from_str(with.get()).map_err(|error| not_understood(&error))?;
    let answer = call.call(vault.clone(), tell).await.map_err(|error| Refusal::new(&error))?;
    to_raw_value(&answer).map_err(|error| not_understood(&error))
}

/// Whether a call may be left in the middle: what it does, it does the next time.
pub(super) fn may_be_left(call: &str) -> bool {
    matches!(call, Sync::NAME | Appended::NAME)
}

/// Makes a call that blocks where that is no harm.
async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    let made = tokio::task::spawn_blocking(call).await;
    made.map_err(|error| VaultError::Interrupted(error.to_string()))?
}

/// A note, as it is shown and edited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The note.
    pub note: NoteId,
    /// What an edit of this is based on.
    pub heads: Heads,
    /// Its source, with the names of images as they were written.
    pub source: String,
    /// Its source, with images as their URLs, else as the files on this device.
    pub markdown: String,
    /// Its images, in their order.
    pub embeds: Vec<Embed>,
}

/// How a vault stands, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its id.
    pub vault: VaultId,
    /// The vault's folder.
    pub folder: String,
    /// What people call this device.
    pub device: String,
    /// How it stands.
    #[serde(flatten)]
    pub status: VaultStatus,
}

/// What a sync did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// With which remote.
    pub remote: RemoteName,
    /// What.
    pub report: SyncReport,
}

/// What a check found, and what it gave up so that the next sync fetches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Local images that were damaged or gone.
    pub given_up: Vec<ImageId>,
    /// What was found.
    pub found: Verification,
}

calls! {
    /// The note with this id, unique start of an id, path, or exact title. See [`Vault::find`].
    "find" Find {
        /// What the note is called.
        query: String,
    } -> NoteId, |self, vault, _tell| {
        blocking(move || vault.find(&self.query)).await
    };

    /// All notes. See [`Vault::list`].
    "list" List {} -> Vec<Listed>, |self, vault, _tell| blocking(move || vault.list()).await;

    /// Some of them. See [`Vault::list_some`].
    "list_some" ListSome {
        /// Those behind this one.
        #[serde(default)]
        after: Option<NoteId>,
        /// At most so many.
        most: usize,
    } -> Vec<Listed>, |self, vault, _tell| {
        blocking(move || vault.list_some(self.after, self.most)).await
    };

    /// Those that say what is looked for. See [`Vault::search`].
    "search" Search {
        /// Words, and phrases in quotes.
        query: String,
        /// How.
        #[serde(default)]
        options: SearchOptions,
    } -> Vec<Found>, |self, vault, _tell| {
        blocking(move || vault.search(&self.query, &self.options)).await
    };

    /// One of them. See [`Vault::listed`].
    "listed" OfList {
        /// The note.
        note: NoteId,
    } -> Option<Listed>, |self, vault, _tell| {
        blocking(move || vault.listed(self.note)).await
    };

    /// A note, as it is or as it was at some heads. See [`Vault::read`].
    "read" Read {
        /// The note.
        note: NoteId,
        /// As it was at these.
        heads: Option<Heads>,
    } -> Text, |self, vault, _tell| {
        blocking(move || {
            let reading = vault.read(self.note, self.heads.as_ref())?;
            Ok(Text {
                note: reading.note,
                source: reading.body.source(),
                markdown: vault.markdown(&reading)?,
                embeds: reading.body.embeds().cloned().collect(),
                heads: reading.heads,
            })
        })
        .await
    };

    /// Makes a note. See [`Vault::new_note`].
    "new" New {
        /// The note; its folder is absolute.
        note: NewNote,
    } -> NoteId, |self, vault, _tell| blocking(move || vault.new_note(&self.note)).await;

    /// Edits a note at the heads that its author saw. See [`Vault::edit`].
    "edit" Edit {
        /// The note.
        note: NoteId,
        /// What its author saw.
        heads: Heads,
        /// What it is to say, with the names of images as they were written.
        source: String,
        /// Where relative destinations of new images are looked for; absolute.
        folder: Option<PathBuf>,
    } -> Edited, |self, vault, _tell| {
        let edit = move || vault.edit(self.note, &self.heads, &self.source, self.folder.as_deref());
        blocking(edit).await
    };

    /// Appends images to a note. See [`Vault::attach`].
    "attach" Attach {
        /// The note.
        note: NoteId,
        /// Absolute paths of files.
        images: Vec<PathBuf>,
        /// What they show, for who can't see them.
        alt: Option<String>,
    } -> Vec<AttachedImage>, |self, vault, _tell| {
        blocking(move || vault.attach(self.note, &self.images, self.alt.as_deref())).await
    };

    /// Puts a note into the trash, or takes it out; answers whether that changed anything. See
    /// [`Vault::set_trashed`].
    "set_trashed" SetTrashed {
        /// The note.
        note: NoteId,
        /// Whether it is to be in the trash.
        trashed: bool,
    } -> bool, |self, vault, _tell| {
        blocking(move || vault.set_trashed(self.note, self.trashed)).await
    };

    /// How a note's images stand. See [`Vault::note_status`].
    "note_status" OfNote {
        /// The note.
        note: NoteId,
    } -> NoteStatus, |self, vault, _tell| {
        blocking(move || vault.note_status(self.note)).await
    };

    /// How the vault stands. See [`Vault::status`].
    "status" Status {} -> Standing, |self, vault, _tell| {
        blocking(move || {
            let folder = vault.folder().display().to_string();
            let (id, device) = (vault.id()?, vault.device_name()?);
            Ok(Standing { vault: id, folder, device, status: vault.status()? })
        })
        .await
    };

    /// All images. See [`Vault::image_list`].
    "images" Images {} -> Vec<ImageStatus>, |self, vault, _tell| {
        blocking(move || vault.image_list()).await
    };

    /// The images of which an upload failed or is blocked. See [`Vault::stuck_images`].
    "stuck" Stuck {} -> Vec<ImageStatus>, |self, vault, _tell| {
        blocking(move || vault.stuck_images()).await
    };

    /// Makes failed and blocked uploads due. Answers how many. See [`Vault::retry`].
    "retry" Retry {
        /// Unique starts of the ids of images; of all, where this is left out.
        #[serde(default)]
        images: Option<Vec<String>>,
    } -> usize, |self, vault, _tell| {
        blocking(move || {
            let found = |starts: &Vec<String>| {
                starts.iter().map(|start| vault.find_image(start)).collect::<Result<Vec<_>, _>>()
            };
            let images = self.images.as_ref().map(found).transpose()?;
            vault.retry(images.as_deref())
        })
        .await
    };

    /// The remotes. See [`Vault::remotes`].
    "remotes" Remotes {} -> Vec<RemoteStatus>, |self, vault, _tell| {
        blocking(move || vault.remotes()).await
    };

    /// Adds a remote, with the credentials of the process that has the vault. See
    /// [`Vault::add_remote`].
    "add_remote" AddRemote {
        /// What to call it.
        name: RemoteName,
        /// Where it is.
        options: RemoteOptions,
    } -> (), |self, vault, _tell| {
        let opened = remote::open(&self.options, vault.key()).await;
        let error = |source| VaultError::Remote { remote: self.name.clone(), source };
        let remote = opened.map_err(error)?;
        vault.add_remote(self.name, self.options, remote).await
    };

    /// Stops using a remote. See [`Vault::remove_remote`].
    "remove_remote" RemoveRemote {
        /// What it is called.
        name: RemoteName,
    } -> (), |self, vault, _tell| {
        blocking(move || vault.remove_remote(&self.name)).await
    };

    /// Exchanges what is new with a remote; with the only one, where none is named. See
    /// [`Vault::sync`].
    "sync" Sync {
        /// What it is called.
        #[serde(default)]
        remote: Option<RemoteName>,
        /// How.
        #[serde(default)]
        options: SyncOptions,
        /// Gives up at once where the remote can't be reached.
        #[serde(default)]
        hasty: bool,
    } -> Synced, |self, vault, tell| {
        let (remote, _) = vault.remote(self.remote.as_ref())?;
        let opened = vault.connect(&remote, RetryPolicy::of(if self.hasty { 1 } else { 2 })).await?;
        let tell = move |step| tell(Step::Sync(step));
        let report = vault.sync(&remote, opened, &self.options, &tell).await?;
        Ok(Synced { remote, report })
    };

    /// Checks the vault, and a remote. See [`Vault::verify`], [`Vault::verify_remote`] and
    /// [`Vault::repair_images`].
    "verify" Verify {
        /// A remote to check too.
        remote: Option<RemoteName>,
        /// Whether every image there is read, rather than asked for its size.
        #[serde(default)]
        images: bool,
        /// Whether what is damaged or gone is to be put or fetched again by the next sync.
        repair: bool,
    } -> Verified, |self, vault, tell| {
        let (checked, repair) = (vault.clone(), self.repair);
        let (given_up, mut found) = blocking(move || {
            let given_up = if repair { checked.repair_images()? } else { Vec::new() };
            Ok((given_up, checked.verify_telling(&move |step| tell(Step::Check(step)))?))
        })
        .await?;
        if let Some(name) = &self.remote {
            let remote = vault.connect(name, RetryPolicy::of(2)).await?;
            vault.verify_remote(name, &*remote, repair, &mut found).await?;
            if self.images {
                vault.verify_remote_images(name, &*remote, repair, &mut found).await?;
            }
        }
        Ok(Verified { given_up, found })
    };

    /// Makes the projections again; answers how many notes there are. See [`Vault::rebuild`].
    "rebuild" Rebuild {} -> usize, |self, vault, _tell| {
        blocking(move || vault.rebuild().and_then(|()| Ok(vault.list()?.len()))).await
    };

    /// Takes a folder in. See [`folder::import`].
    "import" Import {
        /// Absolute.
        folder: PathBuf,
        /// How.
        options: ImportOptions,
    } -> Imported, |self, vault, tell| {
        let tell = move |step| tell(Step::Folder(step));
        blocking(move || folder::import(&vault, &self.folder, &self.options, &tell)).await
    };

    /// Writes all notes into a folder. See [`folder::export`].
    "export" Export {
        /// Absolute.
        folder: PathBuf,
        /// How.
        options: ExportOptions,
    } -> Exported, |self, vault, tell| {
        let tell = move |step| tell(Step::Folder(step));
        blocking(move || folder::export(&vault, &self.folder, &self.options, &tell)).await
    };

    /// Some events from `first` on; none where there is none yet. See [`Vault::events`].
    "events" Events {
        /// The first that is wanted.
        first: Seq,
    } -> Vec<Recorded>, |self, vault, _tell| {
        blocking(move || events(&vault, self.first)).await
    };

    /// Waits until there is an event after this one, and answers which is the last.
    "appended" Appended {
        /// The last that is known.
        after: Seq,
    } -> Seq, |self, vault, _tell| {
        let mut last = vault.follow();
        let found = last.wait_for(|last| *last > self.after).await;
        found.map(|last| *last).map_err(|error| VaultError::Interrupted(error.to_string()))
    };

    /// The key of the vault. See [`Vault::key`].
    "key" Key {} -> String, |self, vault, _tell| Ok(vault.key().to_bech32().to_string());
}

fn events(vault: &Vault, first: Seq) -> Result<Vec<Recorded>, VaultError> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    for recorded in vault.events(first) {
        let recorded = recorded?;
        if let Event::NoteChanged { change: held, .. }
        | Event::NoteReceived { document: held, .. } = &recorded.event
        {
            bytes += held.0.len();
        }
        events.push(recorded);
        if events.len() == EVENTS || bytes > EVENT_BYTES {
            break;
        }
    }
    Ok(events)
}
