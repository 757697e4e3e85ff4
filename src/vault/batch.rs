//! What an import and an export ask of a vault: many notes at once, and versions to compare with.

use std::{
    cmp::Reverse,
    collections::HashSet,
    time::{Duration, SystemTime},
};

use super::{
    Edited, Vault, VaultError,
    cache::{Begun, begin, changed},
};
use crate::{
    clock::Timestamp,
    event::Origin,
    id::{EventHash, ImageId, NoteId, Seq},
    images::{ImageError, Stored, Verified},
    lines::{Common, Lines},
    note::{Body, Change, Heads, Note, NoteError},
    projection::{
        catalog::{self, ImageRecord},
        documents,
    },
    resolve::nfc,
};

/// How many versions a text is compared with.
const NEAR: usize = 64;

/// Before this time no file was written that anybody has: what says so was made up. 1980 began then.
const OLDEST: Timestamp = Timestamp(315_532_800_000);
const DAY: Duration = Duration::from_hours(24);

/// A file that is to be a note.
#[derive(Clone, Copy)]
pub(crate) struct NewFile<'a> {
    pub(crate) path: &'a str,
    pub(crate) body: &'a Body,
    /// When it was written.
    pub(crate) at: Timestamp,
}

/// A version of a note that a text may have been made of.
pub(crate) struct Near {
    pub(crate) note: NoteId,
    pub(crate) heads: Heads,
    /// How many lines they have in common,
    both: usize,
    /// and how many of the version are not in the text.
    pub(crate) lacking: usize,
}

impl Near {
    /// Whether a text is more likely one of this version than of the `other`.
    pub(crate) fn is_nearer(&self, other: &Self) -> bool {
        (self.both, Reverse(self.lacking)) > (other.both, Reverse(other.lacking))
    }
}

impl Vault {
    /// Says that images are here, also those of edits that are to follow, and makes notes of files that show
    /// them, in one append. Where another device made, or makes, a note of the same file, it is the same note,
    /// however the accents in its name are spelled there: the note has them in their letters.
    pub(crate) fn create_notes(
        &self,
        new: &[NewFile<'_>],
        stored: &[Stored],
    ) -> Result<Vec<(NoteId, Heads)>, VaultError> {
        let vault = self.id()?;
        let here = |event| (Origin::Here, event);
        let mut events: Vec<_> = self.stored_events(stored)?.into_iter().map(here).collect();
        let (mut made, mut rows) = (Vec::new(), Vec::new());
        let mut taken = HashSet::new();
        for &NewFile { path, body, at } in new {
            let path = &nfc(path);
            // One that was thrown away, or has gone elsewhere, is not to come back as this.
            let mut nth = 0;
            let (id, actor) = loop {
                let (id, actor) = Note::of_file(vault, path, body, at, nth);
                if documents::get(self.db(), id)?.is_none() && taken.insert(id) {
                    break (id, actor);
                }
                nth += 1;
            };
            let Begun { changes, heads, row } = begin(id, actor, Some(path), body, at)?;
            events.extend(changed(id, changes).map(here));
            rows.push(row);
            made.push((id, heads));
        }
        if !events.is_empty() {
            let put_rows = move |draft: &mut crate::db::Draft<'_>| {
                rows.into_iter().try_for_each(|row| row(draft))
            };
            self.append(events, Some(Box::new(put_rows)))?;
        }
        Ok(made)
    }

    /// When somebody wrote a file that was last changed at `modified`, as far as that can be believed: to two
    /// seconds, as any file system keeps it, and now where it is of before there were such, or of a day from now
    /// on, since clocks differ.
    pub(crate) fn written_at(&self, modified: Option<SystemTime>) -> Timestamp {
        let now = self.0.clock.now();
        let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let seconds = since.map_or(0, |since| since.as_secs()) / 2 * 2;
        let at = Timestamp(0).plus(Duration::from_secs(seconds));
        if (OLDEST..now.plus(DAY)).contains(&at) { at } else { now }
    }

    /// Changes the body of a note to one whose images are here, as somebody wrote it who had seen the
    /// note at `base`. An edit that the note holds already, say from a run that was cut off before it
    /// could say so, is not made twice.
    pub(crate) fn edit_at(
        &self,
        note: NoteId,
        base: &Heads,
        body: &Body,
        stored: &[Stored],
    ) -> Result<Edited, VaultError> {
        let now = self.0.clock.now();
        self.edit_once(note, base, body, stored, |loaded| loaded.edit_from(base, body, now))
    }

    /// The same for an edit that was made in a file at `at`: other devices may import it as well. That its images
    /// are here was said before.
    pub(crate) fn edit_of_file(
        &self,
        note: NoteId,
        base: &Heads,
        body: &Body,
        at: Timestamp,
    ) -> Result<Edited, VaultError> {
        self.edit_once(note, base, body, &[], |loaded| loaded.edit_alike(base, body, at))
    }

    /// The same where every edit is one more.
    pub(crate) fn edit_body(
        &self,
        note: NoteId,
        base: &Heads,
        body: &Body,
        stored: &[Stored],
    ) -> Result<Edited, VaultError> {
        let now = self.0.clock.now();
        self.edit_with(note, stored, |loaded| loaded.edit_from(base, body, now))
    }

    /// Makes an edit where the note does not have it already.
    fn edit_once(
        &self,
        note: NoteId,
        base: &Heads,
        body: &Body,
        stored: &[Stored],
        edit: impl FnOnce(&mut Note) -> Result<(Heads, Vec<Change>), NoteError>,
    ) -> Result<Edited, VaultError> {
        self.edit_with(note, stored, |loaded| match edited_before(loaded, base, body)? {
            Some(heads) => Ok((heads, Vec::new())),
            None => edit(loaded),
        })
    }

    /// Makes an edit, which gives the version that it comes to, and what there is of changes.
    fn edit_with(
        &self,
        note: NoteId,
        stored: &[Stored],
        edit: impl FnOnce(&mut Note) -> Result<(Heads, Vec<Change>), NoteError>,
    ) -> Result<Edited, VaultError> {
        let before = self.stored_events(stored)?;
        let mut heads = Heads::default();
        let changed = self.change_note(note, &Origin::Here, before, |loaded| {
            let changes;
            (heads, changes) = edit(loaded)?;
            Ok(changes)
        })?;
        Ok(Edited { heads, changed })
    }

    /// Has a note loaded for whoever edits it next, and gives what it takes in memory, in bytes. Where that
    /// fails, they are told.
    pub(crate) fn prepare(&self, note: NoteId) -> usize {
        self.in_slot(note, |slot| {
            let _ = self.current(note, slot);
            slot.bytes()
        })
    }

    /// The first version of a note, if `source` is what it showed.
    pub(crate) fn version_made_of(
        &self,
        note: NoteId,
        path: &str,
        source: &str,
    ) -> Result<Option<Heads>, VaultError> {
        self.version_made(note, None, path, |body| body.written() == source)
    }

    /// The version that was made directly on `base`, or first of all, and of which `shows` is true; `base`
    /// itself where the note only had to be moved to `path`, and was.
    pub(crate) fn version_made(
        &self,
        note: NoteId,
        base: Option<&Heads>,
        path: &str,
        shows: impl Fn(&Body) -> bool,
    ) -> Result<Option<Heads>, VaultError> {
        if documents::get(self.db(), note)?.is_none() {
            return Ok(None);
        }
        self.with_note(note, |loaded| {
            let genesis = Heads::from(vec![Note::genesis(note).hash]);
            let base = base.unwrap_or(&genesis);
            for change in loaded.history() {
                let heads = Heads::from(vec![change.hash]);
                if Heads::from(change.deps) == *base && shows(&loaded.body_at(&heads)?) {
                    return Ok(Some(heads));
                }
            }
            let moved = loaded.path().is_some_and(|now| nfc(&now) == nfc(path))
                && loaded.body_at(base).is_ok_and(|body| shows(&body));
            Ok(moved.then(|| base.clone()))
        })
    }

    /// The version of a note, among its last ones, that a text has most lines in common with, and lacks the
    /// fewest of: what a version has and the text does not, its author is taken to have thrown away. `None`
    /// where the lines in common are not more than half of each, so that it is no version of this note.
    pub(crate) fn version_nearest(
        &self,
        note: NoteId,
        text: &str,
    ) -> Result<Option<Near>, VaultError> {
        self.with_note(note, |loaded| {
            let changes = loaded.history();
            let last = changes.iter().rev().take(NEAR).map(|change| vec![change.hash].into());
            let (mut nearest, text) = (None::<Near>, Lines::of(text));
            for heads in std::iter::once(loaded.heads()).chain(last) {
                let common = Lines::of(&loaded.body_at(&heads)?.source()).and(&text);
                let Common { both, one, .. } = common;
                let near = Near { note, heads, both, lacking: one - both };
                if common.are_alike() && nearest.as_ref().is_none_or(|best| near.is_nearer(best)) {
                    nearest = Some(near);
                }
            }
            Ok(nearest)
        })
    }

    /// Whether a text may have been made of this version of a note, as far as its lines tell; where the version
    /// is not here, that can't be denied.
    pub(crate) fn is_version_of(
        &self,
        note: NoteId,
        heads: &Heads,
        text: &str,
    ) -> Result<bool, VaultError> {
        Ok(self.common_lines(note, heads, text)?.is_none_or(Common::are_alike))
    }

    /// Whether a text is quite another than this version of a note, which is here.
    pub(crate) fn is_unlike(
        &self,
        note: NoteId,
        heads: &Heads,
        text: &str,
    ) -> Result<bool, VaultError> {
        Ok(self.common_lines(note, heads, text)?.is_some_and(Common::are_unlike))
    }

    /// The lines of a version of a note, if it is here, and of a text.
    fn common_lines(
        &self,
        note: NoteId,
        heads: &Heads,
        text: &str,
    ) -> Result<Option<Common>, VaultError> {
        if !self.has_version(note, heads)? {
            return Ok(None);
        }
        let version = Lines::of(&self.read(note, Some(heads))?.body.written());
        Ok(Some(version.and(&Lines::of(text))))
    }

    /// The same as [`has_version`](Self::has_version), for a version that this vault named: where its changes
    /// are known by name, nothing is loaded.
    pub(crate) fn knows_version(&self, note: NoteId, heads: &Heads) -> Result<bool, VaultError> {
        Ok(self.names_version(heads)? || self.has_version(note, heads)?)
    }

    /// Whether the changes of such a version are all known by name; where they are not, it may be here as well.
    pub(crate) fn names_version(&self, heads: &Heads) -> Result<bool, VaultError> {
        for change in heads.as_slice() {
            if documents::seq_of(self.db(), *change)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the note is here, and was once at `heads`.
    pub(crate) fn has_version(&self, note: NoteId, heads: &Heads) -> Result<bool, VaultError> {
        if documents::get(self.db(), note)?.is_none() {
            return Ok(false);
        }
        self.with_note(note, |loaded| Ok(loaded.has(heads)))
    }

    /// The last event of the log, if there is one.
    pub(crate) fn last_event(&self) -> Result<Option<(Seq, EventHash)>, VaultError> {
        let last = self.0.log.event(self.0.log.last()?)?;
        Ok(last.map(|event| (event.seq, event.hash)))
    }

    /// Whether the log has an event, and so all that was there when it was the last.
    pub(crate) fn has_event(&self, event: Option<(Seq, EventHash)>) -> Result<bool, VaultError> {
        let Some((seq, hash)) = event else { return Ok(false) };
        Ok(self.0.log.event(seq)?.is_some_and(|event| event.hash == hash))
    }

    /// What is known of an image, if anything is; its bytes may be elsewhere.
    pub(crate) fn image_record(&self, image: ImageId) -> Result<Option<ImageRecord>, VaultError> {
        Ok(catalog::image_record(self.db(), image)?)
    }

    /// The bytes of an image, just found to be what it is named by; `None` where they are not here.
    pub(crate) fn verified_image(&self, image: ImageId) -> Result<Option<Verified>, VaultError> {
        let record = catalog::image_record(self.db(), image)?.filter(|record| record.local);
        let Some(record) = record else { return Ok(None) };
        match self.0.images.verified(image, record.media_type) {
            Ok(verified) => Ok(Some(verified)),
            Err(ImageError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// The version of a note that shows `body`: its present one, or one made directly on `base` of which nothing
/// was undone since. Whoever makes an edit again that was undone means it.
fn edited_before(note: &Note, base: &Heads, body: &Body) -> Result<Option<Heads>, NoteError> {
    let source = body.written();
    // One image may have taken the place of another that is shown elsewhere in the note as well.
    let shows = |other: &Body| {
        let images = body.embeds().map(|embed| embed.image);
        other.written() == source && other.embeds().map(|embed| embed.image).eq(images)
    };
    if shows(note.body()) {
        return Ok(Some(note.heads()));
    }
    if *base == note.heads() {
        return Ok(None);
    }
    for change in note.history() {
        let heads = Heads::from(vec![change.hash]);
        if Heads::from(change.deps) == *base {
            let made = note.body_at(&heads)?;
            if shows(&made) && note.stands(base, &made)? {
                return Ok(Some(heads));
            }
        }
    }
    Ok(None)
}
