//! The images of an export: where each goes, and what a file says for it.

use std::{collections::HashSet, path::Path};

use super::{Export, MISSED, Written, before::Before};
use crate::{
    folder::{
        Renamed,
        bookmarks::Shown,
        named::{At, is_plain},
        place::{is_below, safe_in},
        write::{Over, There, file_in, look},
    },
    id::ImageId,
    images::ImageError,
    resolve::{self, is_near, nfc},
    vault::VaultError,
};

/// What came of an image at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Put {
    /// It is there.
    There,
    /// It is not, for a reason that was reported.
    Left,
    /// It was, and an import has yet to see where it went.
    Missed,
    /// A file is there that no export wrote and no note shows, so that no import would take it either.
    Stray,
}

impl Export<'_> {
    /// What is to stand in the file for an embed.
    pub(super) fn destination(
        &mut self,
        at: &At<'_>,
        url: Option<&str>,
        others: &Written,
    ) -> Result<Shown, VaultError> {
        let embed = at.embed;
        let shown = |written: String, place: Option<String>| Shown {
            name: (written != embed.name).then(|| embed.name.clone()),
            written,
            wiki: at.is_wiki(),
            image: embed.image,
            place,
            holds: None,
            path: embed.path.clone(),
        };
        if let Some(url) = url.filter(|url| !at.is_wiki() && is_plain(url)) {
            return Ok(shown(url.to_owned(), None));
        }
        let record = self.vault.image_record(embed.image)?;
        let is_here = record.as_ref().is_some_and(|record| record.local);
        if !is_here {
            self.absent(at, "its bytes are not on this device; sync to fetch them");
        }
        let before = self.before(at);
        if let Before::Missed { place, written } = before {
            self.miss(&place, embed.image);
            // Whatever it says leads to where that is now, or nowhere.
            return Ok(shown(written, Some(place)));
        }
        let wanted = at.wanted();
        let stands = match before {
            Before::Stands(place) => Some(place),
            _ => wanted.as_deref().and_then(|wanted| self.elsewhere(at, wanted)),
        };
        // What it is may be known where its bytes are not: its place is the same whether they are or not.
        let extension = record.map(|record| record.media_type.extension());
        let safe = |path: String| safe_in(self.folder, &path);
        // What was there once has a name that can be there.
        let own = stands.clone().filter(|place| is_below(place));
        let wanted = stands.or(wanted);
        let own = own.or_else(|| wanted.clone().and_then(safe));
        let Some(own) = own.or_else(|| extension.and_then(|is| safe(at.beside(is)))) else {
            return Ok(shown(embed.name.clone(), None));
        };
        let (place, put) = self.put(at, &own, is_here)?;
        let is_kept =
            put == Put::Missed || wanted.as_ref() == Some(&place) && self.leads(at, &place, others);
        let written = if is_kept {
            embed.name.clone()
        } else {
            let written = at.rewritten(&place);
            if written != embed.name {
                let (from, to) = (embed.name.clone(), written.clone());
                self.report.renamed.push(Renamed { from, to });
            }
            written
        };
        let holds = if put == Put::There { None } else { self.own_file(&place) };
        Ok(Shown { holds, ..shown(written, Some(place)) })
    }

    /// Whether a reader of the file finds the image at `place` by the embed's name.
    fn leads(&mut self, at: &At<'_>, place: &str, others: &Written) -> bool {
        let (name, image) = (&at.embed.name, at.embed.image);
        let other = others.get(&(name.clone(), at.is_wiki()));
        if other.is_some_and(|images| images.iter().any(|other| *other != image)) {
            return false;
        }
        if at.is_wiki() {
            // One that nobody took in leads no name astray that stood there before it; a new one it would.
            let stray = self.strays.find(at.place, name).filter(|stray| *stray != place);
            if stray.is_some() && !self.is_said(at) {
                return false;
            }
            let leads = match self.names.find(at.place, name) {
                Some(found) => found == place || self.shows(found, image),
                // It was taken for one that is near.
                None => is_near(at.place, name, place),
            };
            if leads {
                self.names.leave(at.place, name, place);
            }
            return leads;
        }
        match resolve::relative(at.place, &at.target()) {
            // However its accents are spelled.
            Some(found) if found == place || nfc(&found) == nfc(place) => true,
            // The name never led there strictly; it is kept where it leads to nothing else.
            found if at.embed.path.is_some() => found.is_none_or(|found| {
                self.places.image_at(&found).is_none()
                    && (file_in(self.folder, &found).is_none() || self.is_there(&found, image))
            }),
            _ => false,
        }
    }

    /// Whether `image` is what the file at a place is, or is to be.
    fn shows(&self, place: &str, image: ImageId) -> bool {
        self.places.image_at(place).or_else(|| self.own_file(place)) == Some(image)
    }

    /// Whether a wiki name that was left for another image would find the one at `place`, were it there.
    fn misleads(&self, place: &str, image: ImageId) -> bool {
        self.names.misled(place).any(|other| !self.shows(other, image))
    }

    /// Has an image at `own`, or at another place where that is taken. One whose bytes are not here has
    /// its place all the same: its name must lead to no other.
    fn put(&mut self, at: &At<'_>, own: &str, is_here: bool) -> Result<(String, Put), VaultError> {
        let image = at.embed.image;
        let mut place = self.places.image(own, image);
        loop {
            self.make_room(&place)?;
            let put = match is_here {
                _ if self.is_taken(&place) || self.misleads(&place, image) => Put::Stray,
                true => self.image(at, &place)?,
                false if self.is_stray(&place, image) => Put::Stray,
                false => Put::Left,
            };
            if put != Put::Stray {
                self.names.insert(&place);
                return Ok((place, put));
            }
            self.places.retire(&place);
            let other = self.places.image(own, image);
            if other == place {
                self.skip(&place, "something else is there");
                return Ok((place, Put::Left));
            }
            place = other;
        }
    }

    fn image(&mut self, at: &At<'_>, place: &str) -> Result<Put, VaultError> {
        if let Some(put) = self.images.get(place) {
            return Ok(*put);
        }
        let put = self.write_image(at, place)?;
        if put == Put::There {
            self.settle(place);
            self.report.images += 1;
        }
        self.images.insert(place.to_owned(), put);
        Ok(put)
    }

    fn write_image(&mut self, at: &At<'_>, place: &str) -> Result<Put, VaultError> {
        let image = at.embed.image;
        let before = self.bookmarks.images.get(place).copied();
        if before.is_some() && self.is_missed(place) {
            self.skip(place, MISSED);
            return Ok(Put::Missed);
        }
        let hash = |path: &Path| self.stamps.image(place, path).map(|is| (*is.as_bytes()).into());
        let (path, over) = match look(self.folder, place, hash)? {
            There::File(_, there) if there.as_bytes() == image.as_bytes() => {
                self.bookmarks.found(place, image);
                return Ok(Put::There);
            }
            // What somebody else put there is given up only by the notes that show it.
            There::File(path, there)
                if before.is_some_and(|before| before.as_bytes() == there.as_bytes())
                    && (self.bookmarks.own_image(place) == before || self.is_shown(place)) =>
            {
                (path, Over::Only(there))
            }
            There::Nothing(path) => (path, Over::Nothing),
            There::File(..) if !self.is_shown(place) => return Ok(Put::Stray),
            There::File(..) => {
                let reason = "it was replaced since it was exported; import the folder first";
                self.skip(place, reason);
                return Ok(Put::Left);
            }
            There::Blocked(reason) => {
                self.skip(place, reason);
                return Ok(Put::Left);
            }
        };
        let mut verified = match self.vault.verified_image(image) {
            Ok(Some(verified)) => verified,
            Ok(None) => {
                self.absent(at, "its bytes are not on this device; sync to fetch them");
                return Ok(Put::Left);
            }
            Err(VaultError::Image(error @ ImageError::Damaged { .. })) => {
                self.absent(at, &error.to_string());
                return Ok(Put::Left);
            }
            Err(error) => return Err(error),
        };
        let draft = self.draft(&path, &mut verified.file, over)?;
        self.drafts.push((place.to_owned(), draft));
        self.bookmarks.next.images.insert(place.to_owned(), image);
        Ok(Put::There)
    }

    /// The image in the file at `place`, if it is as it was last read or written.
    fn own_file(&self, place: &str) -> Option<ImageId> {
        let before = self.bookmarks.images.get(place)?;
        let there = self.stamps.image(place, &self.folder.join(place)).ok();
        there.filter(|there| there == before)
    }

    /// Whether the file at `place` is no export's, not `image`, and shown by no file that is a note.
    fn is_stray(&self, place: &str, image: ImageId) -> bool {
        let ours = self.bookmarks.images.get(place);
        self.stamps
            .image(place, &self.folder.join(place))
            .is_ok_and(|there| there != image && ours != Some(&there) && !self.is_shown(place))
    }

    /// Whether a file that is a note shows the image at `place`, as far as is known.
    fn is_shown(&self, place: &str) -> bool {
        let shown = self.shown.get_or_init(|| {
            let there =
                self.bookmarks.notes.iter().filter(|(note, _)| self.folder.join(note).is_file());
            let shown = there.flat_map(|(_, seen)| &seen.images);
            shown.filter_map(|shown| shown.place.clone()).collect::<HashSet<_>>()
        });
        shown.contains(place)
    }
}
