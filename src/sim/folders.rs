//! Notes in a folder: exported, changed by other programs, and imported.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    Check, Dice, Wrong,
    device::{Device, Done},
    edits::Desk,
    model::{Draft, Model, Shown},
    pictures,
};
use crate::{
    folder::{ExportOptions, ImportOptions, export, import},
    id::{ImageId, NoteId},
};

/// What somebody did to a folder, and may therefore happen to the notes.
#[derive(Default)]
struct Meddling {
    what: String,
    /// The name of a file that was a note before, and whose text was changed.
    file: String,
    inserts: Vec<char>,
    deletes: Vec<char>,
    /// A picture that took the place of another.
    picture: Option<(ImageId, ImageId)>,
    /// A file that is a note and was not there before.
    new: bool,
}

/// What a note shows.
struct Look {
    text: BTreeSet<char>,
    images: BTreeMap<Shown, usize>,
}

/// The exported folder of a device, and what says that an import of it was begun.
const FOLDER: &str = "out";
const MARK: &str = "imports";
/// When files are written: some day in 2023.
const WRITTEN: Duration = Duration::from_secs(1_700_000_000);
/// What says that an export was begun.
const EXPORTS: &str = "exports";

impl Device {
    fn folder(&self) -> PathBuf {
        self.home().join(FOLDER)
    }

    /// Exports all notes.
    pub(super) fn export(&mut self) -> Check<Done> {
        let options = ExportOptions::default();
        let mark = self.home().join(EXPORTS);
        fs::write(&mark, "")?;
        let report = export(self.vault()?, &self.folder(), &options, &|_| ())?;
        fs::remove_file(&mark)?;
        // What somebody changed and did not import stays.
        let is_nobodys = !self.home().join(MARK).exists();
        if let Some(skipped) = report.skipped.first().filter(|_| is_nobodys) {
            let what = format!(
                "d{} leaves {} out of an export, which nobody edited: {}",
                self.number(),
                skipped.path,
                skipped.reason
            );
            return Err(Wrong::promise(2, what));
        }
        Ok(Some(("export", format!("exports {} notes", report.notes))))
    }

    /// Has another program change something in the folder, and imports it.
    pub(super) fn import(&mut self, dice: &mut Dice, model: &mut Model) -> Check<Done> {
        // What this vault did not export to the end of its beginning is no folder of ours.
        if !self.folder().join(".everleaf-export").is_file() {
            return Ok(None);
        }
        if self.home().join(EXPORTS).exists() {
            // Whoever sees that an export was cut off has it done again before anything else.
            return self.export();
        }
        let mark = self.home().join(MARK);
        let begun = fs::read_to_string(&mark).ok();
        let meddling = meddle(&self.folder(), begun.as_deref(), dice, model)?;
        let Some(meddling) = meddling else { return Ok(None) };
        let before = self.looks()?;
        // Whoever died while it imported left changes behind that are nobody's now.
        let leftovers = begun.is_some();
        fs::write(&mark, &meddling.file)?;
        date(&self.folder())?;
        let options = ImportOptions::default();
        let report = import(self.vault()?, &self.folder(), &options, &|_| ())?;
        fs::remove_file(&mark)?;
        let drafts = self.learned(&before)?;
        if !leftovers {
            check(&meddling, &before, &drafts)?;
            if let Some(skipped) = report.skipped.first() {
                let what = format!("import skips {}: {}", skipped.path, skipped.reason);
                return Err(Wrong::promise(1, what));
            }
        }
        for (note, draft) in drafts {
            self.acknowledge(note, draft, model)?;
        }
        Ok(Some(("import", format!("{}, and imports the folder", meddling.what))))
    }

    fn looks(&self) -> Check<BTreeMap<NoteId, Look>> {
        let vault = self.vault()?;
        let mut looks = BTreeMap::new();
        for row in vault.list()? {
            let body = vault.read(row.note, None)?.body;
            let text = body.source().chars().filter(|c| Model::is_text(*c)).collect();
            let mut images: BTreeMap<Shown, usize> = BTreeMap::new();
            for embed in body.embeds() {
                *images.entry((embed.name.clone(), embed.image)).or_default() += 1;
            }
            looks.insert(row.note, Look { text, images });
        }
        Ok(looks)
    }

    /// What became of the notes since.
    fn learned(&self, before: &BTreeMap<NoteId, Look>) -> Check<Vec<(NoteId, Draft)>> {
        let none = Look { text: BTreeSet::new(), images: BTreeMap::new() };
        let mut drafts = Vec::new();
        for (note, after) in self.looks()? {
            let is_new = !before.contains_key(&note);
            let before = before.get(&note).unwrap_or(&none);
            let mut draft = Draft {
                inserts: after.text.difference(&before.text).copied().collect(),
                deletes: before.text.difference(&after.text).copied().collect(),
                ..Draft::default()
            };
            for shown in before.images.keys().chain(after.images.keys()).collect::<BTreeSet<_>>() {
                let count = |look: &Look| look.images.get(shown).copied().unwrap_or(0);
                let (was, is) = (count(before), count(&after));
                let (more, less) = (is.saturating_sub(was), was.saturating_sub(is));
                draft.embeds.extend(std::iter::repeat_n(shown.clone(), more));
                draft.drops.extend(std::iter::repeat_n(shown.clone(), less));
            }
            let Draft { inserts, deletes, embeds, drops, .. } = &draft;
            let none = inserts.is_empty() && deletes.is_empty();
            if is_new || !none || !embeds.is_empty() || !drops.is_empty() {
                drafts.push((note, draft));
            }
        }
        Ok(drafts)
    }
}

/// Holds what an import did against what was done to the folder.
fn check(
    meddling: &Meddling,
    before: &BTreeMap<NoteId, Look>,
    drafts: &[(NoteId, Draft)],
) -> Check {
    let new = drafts.iter().filter(|(note, _)| !before.contains_key(note)).count();
    if new != usize::from(meddling.new) {
        let what = format!("{}: an import made {new} notes", meddling.what);
        return Err(Wrong::promise(2, what));
    }
    let inserted: BTreeSet<char> = drafts.iter().flat_map(|(_, d)| d.inserts.clone()).collect();
    if let Some(c) = meddling.inserts.iter().find(|c| !inserted.contains(c)) {
        return Err(Wrong::promise(1, format!("{}: an import lost {c:?}", meddling.what)));
    }
    for (note, draft) in drafts {
        let wrong = |what: String| {
            let what = format!("{}: an import {what} of note {}", meddling.what, note.short());
            Err(Wrong::promise(1, what))
        };
        if let Some(c) = draft.deletes.iter().find(|c| !meddling.deletes.contains(c)) {
            return wrong(format!("deleted {c:?}"));
        }
        let dropped = |(_, image): &&Shown| meddling.picture.is_none_or(|(old, _)| old != *image);
        if let Some((name, image)) = draft.drops.iter().find(dropped) {
            let taken: Vec<String> =
                draft.embeds.iter().map(|(n, i)| format!("{n} ({})", i.short())).collect();
            let taken = taken.join(", ");
            return wrong(format!("dropped {name} ({}) and took {taken}", image.short()));
        }
    }
    Ok(())
}

/// Does something to a folder that was exported; perhaps to the file of which an import was cut off.
fn meddle(
    folder: &Path,
    begun: Option<&str>,
    dice: &mut Dice,
    model: &mut Model,
) -> Check<Option<Meddling>> {
    let (notes, images) = files(folder)?;
    if let Some(note) = notes.iter().find(|note| begun == Some(&*name_of(note)))
        && dice.percent(70)
    {
        return rewrite(note, dice, model).map(Some);
    }
    let note = dice.pick(&notes).cloned();
    let image = dice.pick(&images).cloned();
    Ok(match (dice.below(100), note, image) {
        (0..50, Some(note), _) => Some(rewrite(&note, dice, model)?),
        (50..65, Some(note), _) => {
            let name = format!("renamed{}.md", model.number());
            fs::rename(&note, folder.join(&name))?;
            let what = format!("renames {} to {name}", name_of(&note));
            Some(Meddling { what, ..Meddling::default() })
        }
        (65..85, _, Some(image)) => {
            let old = blake3::hash(&fs::read(&image)?);
            let old = ImageId::from_bytes(*old.as_bytes());
            let picture = pictures::any(dice);
            fs::remove_file(&image)?;
            fs::write(&image, &picture.bytes)?;
            let what = format!("replaces {} by {}", name_of(&image), picture.image.short());
            let picture = Some((old, picture.image));
            Some(Meddling { what, picture, ..Meddling::default() })
        }
        (85..100, _, image) => {
            let name = format!("added{}.md", model.number());
            let inserts = model.fresh_text(1 + dice.below(6))?;
            let mut text: String = inserts.iter().collect();
            if let Some(image) = image {
                text = format!("{text}\n\n![]({})\n", name_of(&image));
            }
            fs::write(folder.join(&name), text)?;
            Some(Meddling {
                what: format!("adds {name}"),
                inserts,
                new: true,
                ..Meddling::default()
            })
        }
        _ => None,
    })
}

fn rewrite(note: &Path, dice: &mut Dice, model: &mut Model) -> Check<Meddling> {
    let mut desk = Desk::new(&fs::read_to_string(note)?, dice, model);
    let kind = match desk.dice.below(3) {
        0 => desk.insert()?,
        1 => desk.delete(),
        _ => desk.replace()?,
    };
    let (source, Draft { inserts, deletes, .. }) = (desk.source(), desk.draft);
    fs::write(note, source)?;
    let file = name_of(note);
    let what = format!("{kind}s in the file {file}");
    Ok(Meddling { what, file, inserts, deletes, ..Meddling::default() })
}

/// Has all notes be written at the same time, as all else is the same that a seed determines.
fn date(folder: &Path) -> Check {
    for note in files(folder)?.0 {
        let file = fs::File::options().write(true).open(note)?;
        file.set_modified(SystemTime::UNIX_EPOCH + WRITTEN)?;
    }
    Ok(())
}

/// The notes and the other files of a folder, in the order of their names.
fn files(folder: &Path) -> Check<(Vec<PathBuf>, Vec<PathBuf>)> {
    let mut all = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            all.push(entry.into_path());
        }
    }
    Ok(all.into_iter().partition(|path| path.extension().is_some_and(|end| end == "md")))
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
