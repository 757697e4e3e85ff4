//! Edits of a text, each with what the model is told of it.

use super::{Check, Dice, model::Draft, model::Model, model::Shown};
use crate::{id::ImageId, vault::Reading};

// Every edit is one change at one place: two at once leave it to the diff which of the characters
// between them it keeps.

/// A text that somebody edits, and what comes of it.
pub(super) struct Desk<'a> {
    pub(super) text: Vec<char>,
    pub(super) draft: Draft,
    pub(super) dice: &'a mut Dice,
    pub(super) model: &'a mut Model,
}

impl<'a> Desk<'a> {
    pub(super) fn new(source: &str, dice: &'a mut Dice, model: &'a mut Model) -> Self {
        Self { text: source.chars().collect(), draft: Draft::default(), dice, model }
    }

    pub(super) fn source(&self) -> String {
        self.text.iter().collect()
    }

    /// A place beside a character of text, so that the markup of images stays whole.
    pub(super) fn place(&mut self) -> usize {
        let is_text = |(_, c): &(usize, &char)| Model::is_text(**c);
        let places: Vec<usize> =
            self.text.iter().enumerate().filter(is_text).map(|(at, _)| at).collect();
        let place = self.dice.pick(&places).copied();
        place.map_or(self.text.len(), |at| at + self.dice.index(2))
    }

    fn run(&mut self, start: usize) -> usize {
        let longest = 1 + self.dice.index(6);
        let run = self.text.iter().skip(start).take(longest);
        run.take_while(|c| Model::is_text(**c)).count()
    }

    pub(super) fn insert(&mut self) -> Check<&'static str> {
        let place = self.place();
        let fresh = self.dice.below(6) + 1;
        let inserts = self.model.fresh_text(fresh)?;
        self.text.splice(place..place, inserts.iter().copied());
        self.draft.inserts.extend(inserts);
        Ok("insert")
    }

    pub(super) fn delete(&mut self) -> &'static str {
        let start = self.place();
        let run = self.run(start);
        self.draft.deletes.extend(self.text.drain(start..start + run));
        "delete"
    }

    /// Replaces some text by other text.
    pub(super) fn replace(&mut self) -> Check<&'static str> {
        let start = self.place();
        let run = self.run(start);
        let fresh = self.dice.below(6) + 1;
        let inserts = self.model.fresh_text(fresh)?;
        let deletes = self.text.splice(start..start + run, inserts.iter().copied());
        self.draft.deletes.extend(deletes);
        self.draft.inserts.extend(inserts);
        Ok("replace")
    }

    /// Shows an image once more.
    pub(super) fn show(&mut self, written: &str, shown: Shown) {
        let place = self.place();
        self.text.splice(place..place, format!("\n{}\n", markup(written)).chars());
        self.draft.embeds.push(shown);
    }

    pub(super) fn remove_image(&mut self, base: &Reading) -> &'static str {
        if let Some(image) = self.an_image(base) {
            self.exchange(&image, "");
            self.draft.drops.push(image.shown);
        }
        "remove image"
    }

    /// Puts another image in the place of one: the markup around it stays.
    pub(super) fn replace_image(&mut self, base: &Reading, new: Shown) -> &'static str {
        if let Some(image) = self.an_image(base) {
            self.exchange(&image, &markup(&new.0));
            self.draft.drops.push(image.shown);
            self.draft.embeds.push(new);
        }
        "replace image"
    }

    /// Shows an image that is there already once more, under its name.
    pub(super) fn copy_image(&mut self, base: &Reading) -> &'static str {
        if let Some(Standing { shown, .. }) = self.an_image(base) {
            self.show(&shown.0.clone(), shown);
        }
        "copy image"
    }

    /// Shows an image once less: the first of those that are called so. Gives whether it could.
    pub(super) fn take_away(&mut self, shown: &Shown) -> bool {
        let there = self.source().contains(&markup(&shown.0));
        if there {
            self.exchange(&Standing { shown: shown.clone(), nth: 0 }, "");
            self.draft.drops.push(shown.clone());
        }
        there
    }

    fn exchange(&mut self, image: &Standing, by: &str) {
        let (source, old) = (self.source(), markup(&image.shown.0));
        let mut places = source.match_indices(&old);
        if let Some((at, _)) = places.nth(image.nth) {
            let (before, rest) = source.split_at(at);
            let after = rest.strip_prefix(&old).unwrap_or_default();
            self.text = [before, by, after].concat().chars().collect();
        }
    }

    /// An image whose markup is whole wherever it stands, and whose name stands for nothing else.
    pub(super) fn an_image(&mut self, base: &Reading) -> Option<Standing> {
        let embeds: Vec<Shown> =
            base.body.embeds().map(|embed| (embed.name.clone(), embed.image)).collect();
        let shown = self.dice.pick(&embeds).cloned()?;
        let alike = embeds.iter().filter(|(name, _)| *name == shown.0);
        let mut plain = alike.clone().all(|(_, image)| *image == shown.1);
        if shown.0.starts_with("blake3:") {
            // A hash also stands for what the note calls otherwise.
            plain &= embeds.iter().all(|(name, image)| *image != shown.1 || *name == shown.0);
        }
        let times = alike.count();
        let whole = self.source().matches(&markup(&shown.0)).count() == times;
        (plain && whole).then(|| Standing { shown, nth: self.dice.index(times) })
    }
}

/// An image in a text.
pub(super) struct Standing {
    pub(super) shown: Shown,
    /// Which of those that are called so.
    nth: usize,
}

fn markup(name: &str) -> String {
    format!("![]({name})")
}

/// What an image is taken for that is written by its hash: one that the note shows already, by the name
/// that it has there; `None` where it has several.
pub(super) fn by_hash(base: &Reading, image: ImageId) -> Option<Shown> {
    let mut names: Vec<&String> =
        base.body.embeds().filter(|embed| embed.image == image).map(|embed| &embed.name).collect();
    names.dedup();
    match names.as_slice() {
        [] => Some((format!("blake3:{image}"), image)),
        [name] => Some(((*name).clone(), image)),
        _ => None,
    }
}

/// What a name is taken for: what the note shows under it already, else this; `None` where it shows
/// several images so.
pub(super) fn by_name(base: &Reading, name: &str, else_: ImageId) -> Option<Shown> {
    let mut images: Vec<ImageId> =
        base.body.embeds().filter(|embed| embed.name == name).map(|embed| embed.image).collect();
    images.sort_unstable();
    images.dedup();
    match images.as_slice() {
        [] => Some((name.to_owned(), else_)),
        [image] => Some((name.to_owned(), *image)),
        _ => None,
    }
}
