//! The Automerge document of a note.

use std::{borrow::Cow, collections::BTreeMap, sync::OnceLock};

use automerge::{
    ActorId, Automerge, ObjId, ObjType, PatchLog, ROOT, ReadDoc, ScalarValue, Value,
    transaction::{CommitOptions, Transactable, Transaction},
};

use super::{
    block::{Seen, set, splice},
    edit::{Splice, splices, stands},
    embed::{Body, Piece},
    first,
    history::{Change, ChangeInfo, Heads, MOST_OPERATIONS, guarded, hash, read, seconds},
    shown::Shown,
    ticks::{Tick, take_ticks},
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, ImageId, NoteId},
    mutant::{self, Mutant},
};

/// The operations of the genesis that make the root objects.
pub(super) const BODY: u64 = 2;
pub(super) const IMAGES: u64 = 3;

pub(super) const FORMAT: i64 = 1;
/// The number of an operation behind which Automerge may not be able to number all of an edit: it goes back to the
/// first then, and panics.
const LAST_OPERATION: u64 = u32::MAX as u64 - MOST_OPERATIONS;

/// Why a note can't be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Bytes are not whole, or are not what they should be: get them again.
    #[error("a note's bytes are damaged: {reason}")]
    Damaged {
        /// In which way.
        reason: String,
    },
    /// The document is whole, but it is not this note.
    #[error("the document is not the note {note}")]
    NotThisNote {
        /// The note that it should have been.
        note: NoteId,
    },
    /// A version of the note was asked for that is not here, or not yet.
    #[error("the note has no version {heads}")]
    UnknownHeads {
        /// The version.
        heads: Heads,
    },
    /// Its operations are numbered to the end of what Automerge counts with, as no honest editor does it.
    #[error("the note takes no more changes: a device numbered its operations to the end")]
    Full,
    /// Automerge refused an edit.
    #[error("the note could not be changed")]
    Refused(#[from] automerge::AutomergeError),
}

impl NoteError {
    pub(super) fn damaged(error: impl std::error::Error) -> Self {
        Self::Damaged { reason: error.to_string() }
    }
}

/// A note in memory.
///
/// Whoever authors changes takes care that an actor is not used in two copies of a note that do not know
/// of each other's changes: every opening of a vault takes a new one, and what is made of a file one that is
/// derived from it. An edit of an older version may be authored under an actor that Automerge derives.
#[derive(Debug, Clone)]
pub struct Note {
    pub(super) id: NoteId,
    pub(super) document: Automerge,
    pub(super) body: ObjId,
    pub(super) images: ObjId,
    /// The body as it is, once somebody asked: Automerge goes through every character that ever was.
    pub(super) shown: OnceLock<Shown>,
}

impl Note {
    /// The first change of a note: its root objects. On every device the same.
    #[must_use]
    pub fn genesis(id: NoteId) -> Change {
        first::genesis(id)
    }

    /// A new, empty note: its genesis alone.
    #[must_use]
    #[expect(clippy::expect_used, reason = "depends on nothing but an id, and is tested")]
    pub fn new(id: NoteId, actor: [u8; 8]) -> Self {
        Self::load(id, actor, None, &[]).expect("the genesis is a note")
    }

    /// A note of this document, which has the root objects of one, or is about to; `shown` is its body,
    /// where that is known.
    pub(super) fn of(id: NoteId, actor: [u8; 8], document: Automerge, shown: Option<Body>) -> Self {
        Self {
            id,
            document: document.with_actor(ActorId::from(actor.as_slice())),
            body: root_object(id, BODY),
            images: root_object(id, IMAGES),
            shown: shown.map(|body| Shown::from(body).into()).unwrap_or_default(),
        }
    }

    /// Takes in changes, in any order; those that are known change nothing.
    ///
    /// One call for many costs little more than one call for one.
    ///
    /// # Errors
    ///
    /// [`NoteError::Damaged`] for bytes that are not whole. The note may then be half changed: drop it,
    /// and load it again without them.
    pub fn apply(&mut self, changes: &[&[u8]]) -> Result<(), NoteError> {
        let changes = changes.iter().map(|bytes| read(bytes)).collect::<Result<Vec<_>, _>>()?;
        self.shown = OnceLock::new();
        guarded(|| self.document.apply_changes(changes).map_err(NoteError::damaged))
    }

    /// Whether it holds a change.
    pub(super) fn holds(&self, change: &Change) -> bool {
        let hash = automerge::ChangeHash(*change.hash.as_bytes());
        self.document.get_change_by_hash(&hash).is_some()
    }

    /// The whole note, with its history and with what waits.
    #[must_use]
    pub fn save(&self) -> Vec<u8> {
        self.document.save()
    }

    /// Which note it is.
    #[must_use]
    pub fn id(&self) -> NoteId {
        self.id
    }

    /// Its version.
    #[must_use]
    pub fn heads(&self) -> Heads {
        self.document.get_heads().into_iter().map(hash).collect::<Vec<_>>().into()
    }

    /// The changes that others wait for.
    #[must_use]
    pub fn missing(&self) -> Vec<ChangeHash> {
        self.document.get_missing_deps(&[]).into_iter().map(hash).collect()
    }

    /// Its changes, each after those that it builds on.
    #[must_use]
    pub fn history(&self) -> Vec<ChangeInfo> {
        let changes = self.document.get_changes_meta(&[]).into_iter();
        changes
            .map(|change| ChangeInfo {
                hash: hash(change.hash),
                deps: change.deps.into_iter().map(hash).collect(),
                at: seconds(change.timestamp),
                message: change.message.map(Into::into),
                actor: change.actor.to_bytes().to_vec(),
                seq: change.seq,
            })
            .collect()
    }

    /// What it is made of, each change after those that it builds on; what waits is not among it.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.document.get_changes(&[]).iter().map(Change::new).collect()
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &Body {
        &self.shown().body
    }

    #[expect(clippy::expect_used, reason = "every note has its genesis, which makes this text")]
    pub(super) fn shown(&self) -> &Shown {
        let seen = Seen { document: &self.document, heads: None };
        self.shown.get_or_init(|| seen.shown(&self.body).expect("a note has a body"))
    }

    /// Its body as it was.
    ///
    /// # Errors
    ///
    /// [`NoteError::UnknownHeads`] where that version is not here.
    pub fn body_at(&self, heads: &Heads) -> Result<Body, NoteError> {
        Ok(self.shown_at(heads)?.into_owned().body)
    }

    fn shown_at(&self, heads: &Heads) -> Result<Cow<'_, Shown>, NoteError> {
        if *heads == self.heads() {
            return Ok(Cow::Borrowed(self.shown()));
        }
        let seen = Seen { document: &self.document, heads: Some(self.known(heads)?) };
        Ok(Cow::Owned(seen.shown(&self.body)?))
    }

    /// Where a folder keeps it.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        self.text(&ROOT, "path")
    }

    /// Whether it was thrown away.
    #[must_use]
    pub fn trashed(&self) -> bool {
        let value = self.document.get(ROOT, "trashed").ok().flatten();
        value.and_then(|(value, _)| value.as_bool()).unwrap_or(false)
    }

    /// The public URLs of images, as far as they are known.
    #[must_use]
    pub fn urls(&self) -> BTreeMap<ImageId, String> {
        let keys: Vec<String> = self.document.keys(&self.images).collect();
        let url = |key: String| Some((key.parse().ok()?, self.text(&self.images, &key)?));
        keys.into_iter().filter_map(url).collect()
    }

    /// The changes with which a new note begins, its genesis first, and its body as they make it. What
    /// [`Note::new`] and [`Note::create`] come to, at a tenth of the time.
    ///
    /// # Errors
    ///
    /// Where Automerge refuses it.
    pub fn begin(
        id: NoteId,
        actor: [u8; 8],
        path: Option<&str>,
        body: &Body,
        at: Timestamp,
    ) -> Result<(Vec<Change>, Body), NoteError> {
        let genesis = Self::genesis(id);
        let plan = splices(&Body::default(), body);
        if let [Splice { at: 0, delete: 0, insert }] = plan.as_slice()
            && let Some(content) = first::content(id, &actor, path, insert, at, genesis.hash)
        {
            return Ok((vec![genesis, content], insert.clone()));
        }
        let mut note = Self::new(id, actor);
        let content = note.create(path, body, at)?;
        Ok((std::iter::once(genesis).chain(content).collect(), note.body().clone()))
    }

    /// Writes the first content of a new note, in one change.
    ///
    /// # Errors
    ///
    /// Where Automerge refuses it.
    pub fn create(
        &mut self,
        path: Option<&str>,
        body: &Body,
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        let plan = splices(self.body(), body);
        let text = self.body.clone();
        self.shown = OnceLock::new();
        self.change(at, None, |transaction| {
            // Nothing is said that goes without saying: whoever has not got this change yet and throws
            // the note away must not find it back.
            if let Some(path) = path {
                transaction.put(ROOT, "path", path)?;
            }
            splice(transaction, &text, &plan)
        })
    }

    /// Makes of the body at `base` the body `new`, and merges that with what came since: nothing
    /// concurrent is overwritten. `None` where nothing would change.
    ///
    /// # Errors
    ///
    /// [`NoteError::UnknownHeads`] where `base` is not here.
    pub fn edit_body(
        &mut self,
        base: &Heads,
        new: &Body,
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        let current = *base == self.heads() || mutant::is(Mutant::EditOverwrites);
        let before = if current { Cow::Borrowed(self.shown()) } else { self.shown_at(base)? };
        let mut plan = splices(&before.body, new);
        let after = if current { before.after(&plan, new) } else { None };
        let heads = (!current).then(|| base.native());
        let ticks = self.take_ticks(&before, heads.clone(), &mut plan);
        let plan = before.in_document(plan);
        let text = self.body.clone();
        self.shown = OnceLock::new();
        let change = self.change(at, heads, |transaction| {
            set(transaction, &text, &ticks)?;
            splice(transaction, &text, &plan)
        })?;
        if let Some(after) = after {
            self.shown = OnceLock::from(after);
        }
        Ok(change)
    }

    /// Takes out of `plan`, which is for what the note shows at `heads` or at present, what sets boxes; gives that with
    /// its places in the document.
    pub(super) fn take_ticks(
        &self,
        shown: &Shown,
        heads: Option<Vec<automerge::ChangeHash>>,
        plan: &mut Vec<Splice>,
    ) -> Vec<Tick> {
        let seen = Seen { document: &self.document, heads };
        let is_one = |at| seen.character(&self.body, shown.place(at)).is_some();
        shown.places(take_ticks(&shown.body, plan, is_one))
    }

    /// Whether the edit that made `made` of the version `base` still stands: nothing that came later
    /// touched what it changed.
    ///
    /// # Errors
    ///
    /// Where the note never was at `base`.
    pub fn stands(&self, base: &Heads, made: &Body) -> Result<bool, NoteError> {
        Ok(stands(&self.body_at(base)?, made, self.body()))
    }

    /// Moves it to another place in its folder. `None` where it is there.
    ///
    /// # Errors
    ///
    /// Where Automerge refuses it.
    pub fn set_path(
        &mut self,
        path: Option<&str>,
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        if self.path().as_deref() == path {
            return Ok(None);
        }
        let value = path.map_or(ScalarValue::Null, ScalarValue::from);
        self.change(at, None, |transaction| Ok(transaction.put(ROOT, "path", value)?))
    }

    /// Throws it away, or takes it back. `None` where that is so.
    ///
    /// # Errors
    ///
    /// Where Automerge refuses it.
    pub fn set_trashed(
        &mut self,
        trashed: bool,
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        if self.trashed() == trashed {
            return Ok(None);
        }
        self.change(at, None, |transaction| Ok(transaction.put(ROOT, "trashed", trashed)?))
    }

    /// Says where images can be seen: only puts texts into `images`. `None` where all are known.
    ///
    /// # Errors
    ///
    /// Where Automerge refuses it.
    pub fn put_urls(
        &mut self,
        urls: &[(ImageId, String)],
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        if mutant::is(Mutant::UrlAsText) {
            return self.write_urls(urls, at);
        }
        let known = self.urls();
        let images = self.images.clone();
        self.change(at, None, |transaction| {
            for (image, url) in urls.iter().filter(|(image, url)| known.get(image) != Some(url)) {
                transaction.put(&images, image.to_string(), url.as_str())?;
            }
            Ok(())
        })
    }

    /// What [`Mutant::UrlAsText`] does.
    fn write_urls(
        &mut self,
        urls: &[(ImageId, String)],
        at: Timestamp,
    ) -> Result<Option<Change>, NoteError> {
        let url = |image: ImageId| urls.iter().find(|(known, _)| *known == image);
        let text =
            self.body().render(|embed, _| url(embed.image).map(|(_, written)| written.clone()));
        self.edit_body(&self.heads(), &Body::new([Piece::Text(text)]), at)
    }

    /// Makes one change, at `heads` or at the present.
    pub(super) fn change(
        &mut self,
        at: Timestamp,
        heads: Option<Vec<automerge::ChangeHash>>,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), NoteError>,
    ) -> Result<Option<Change>, NoteError> {
        let now = self.document.get_heads();
        let mut last = now.iter().filter_map(|head| self.document.get_change_meta_by_hash(head));
        if last.any(|change| change.max_op > LAST_OPERATION) {
            return Err(NoteError::Full);
        }
        let mut transaction = match heads {
            None => self.document.transaction(),
            Some(heads) => self
                .document
                .transaction_at(PatchLog::inactive(), &heads)
                .map_err(NoteError::damaged)?,
        };
        if let Err(error) = edit(&mut transaction) {
            transaction.rollback();
            return Err(error);
        }
        let options = CommitOptions::default().with_time(at.0.div_euclid(1000));
        let (made, _) = transaction.commit_with(options);
        let change = made.and_then(|hash| self.document.get_change_by_hash(&hash));
        Ok(change.as_ref().map(Change::new))
    }

    pub(super) fn known(&self, heads: &Heads) -> Result<Vec<automerge::ChangeHash>, NoteError> {
        if self.has(heads) {
            return Ok(heads.native());
        }
        Err(NoteError::UnknownHeads { heads: heads.clone() })
    }

    /// Whether a version is here, with all that it stands on.
    pub(crate) fn has(&self, heads: &Heads) -> bool {
        let mut all = heads.native().into_iter();
        // No version is made of nothing: every note has its genesis.
        !heads.as_slice().is_empty()
            && all.all(|hash| self.document.get_change_meta_by_hash(&hash).is_some())
    }

    /// A text, however its author's Automerge wrote it.
    fn text(&self, object: &ObjId, key: &str) -> Option<String> {
        match self.document.get(object, key).ok()?? {
            (Value::Scalar(value), _) => value.as_str().map(str::to_owned),
            (Value::Object(ObjType::Text), id) => self.document.text(&id).ok(),
            _ => None,
        }
    }
}

/// The author of a note's genesis.
pub(super) fn actor_of(id: NoteId) -> ActorId {
    ActorId::from(id.as_bytes().as_slice())
}

fn root_object(id: NoteId, operation: u64) -> ObjId {
    ObjId::Id(operation, actor_of(id), 0)
}
