//! Edits of a text, each with what the model is told of it.

use everleaf::{id::ImageId, vault::Reading};

use super::{Dice, model::Model};

// Every edit is one change at one place: two at once leave it to the diff which of the characters
// between them it keeps.

/// Replaces some text by other text.
pub(super) fn replace(
    text: &mut Vec<char>,
    draft: &mut Draft,
    dice: &mut Dice,
    model: &mut Model,
) -> &'static str {
    let start = place(text, dice);
    let run = run(text, start, dice);
    let inserts: Vec<char> = (0..=dice.below(5)).map(|_| model.fresh()).collect();
    draft.deletes.extend(text.splice(start..start + run, inserts.iter().copied()));
    draft.inserts.extend(inserts);
    "replace"
}

pub(super) fn run(text: &[char], start: usize, dice: &mut Dice) -> usize {
    let longest = 1 + dice.index(6);
    text.iter().skip(start).take(longest).take_while(|c| Model::is_text(**c)).count()
}

#[derive(Default)]
pub(super) struct Draft {
    pub(super) inserts: Vec<char>,
    pub(super) deletes: Vec<char>,
    pub(super) embeds: Vec<(String, ImageId)>,
    pub(super) drops: Vec<String>,
}

/// A place beside a character of text, so that the markup of images stays whole.
pub(super) fn place(text: &[char], dice: &mut Dice) -> usize {
    let places: Vec<usize> = (0..text.len()).filter(|at| Model::is_text(text[*at])).collect();
    dice.pick(&places).map_or(text.len(), |at| at + dice.index(2))
}

pub(super) fn insert(
    text: &mut Vec<char>,
    draft: &mut Draft,
    dice: &mut Dice,
    model: &mut Model,
) -> &'static str {
    let place = place(text, dice);
    let inserts: Vec<char> = (0..=dice.below(5)).map(|_| model.fresh()).collect();
    text.splice(place..place, inserts.iter().copied());
    draft.inserts.extend(inserts);
    "insert"
}

pub(super) fn delete(text: &mut Vec<char>, draft: &mut Draft, dice: &mut Dice) -> &'static str {
    let start = place(text, dice);
    let run = run(text, start, dice);
    draft.deletes.extend(text.drain(start..start + run));
    "delete"
}

pub(super) fn remove_image(
    text: &mut Vec<char>,
    draft: &mut Draft,
    base: &Reading,
    dice: &mut Dice,
) -> &'static str {
    if let Some(name) = an_image(text, base, dice) {
        let source: String = text.iter().collect();
        *text = source.replace(&format!("![]({name})"), "").chars().collect();
        draft.drops.push(name);
    }
    "remove image"
}

/// An image whose markup is whole.
pub(super) fn an_image(text: &[char], base: &Reading, dice: &mut Dice) -> Option<String> {
    let names: Vec<String> = base.body.embeds().map(|embed| embed.name.clone()).collect();
    let source: String = text.iter().collect();
    let whole = |name: &String| source.matches(&format!("![]({name})")).count() == 1;
    dice.pick(&names).filter(|name| whole(name)).cloned()
}
