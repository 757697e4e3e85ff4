//! Embeds as Automerge's block markers, which stand in a text one unit wide.

use automerge::{
    Automerge, AutomergeError, ChangeHash, ObjId, ObjType, Prop, ReadDoc as _, Value,
    transaction::{Transactable, Transaction},
};

use super::{
    document::NoteError,
    edit::Splice,
    embed::{Body, Embed, FOREIGN, Piece},
    shown::Shown,
    ticks::Tick,
};

pub(super) const SRC: &str = "blake3:";

/// A document as it was at some heads, or as it is.
///
/// Blocks are read value by value: Automerge's own `spans` reads all that a block holds, and goes as
/// deep as whoever made it had it nested, to the end of the stack.
pub(super) struct Seen<'a> {
    pub(super) document: &'a Automerge,
    pub(super) heads: Option<Vec<ChangeHash>>,
}

impl Seen<'_> {
    /// What a text shows.
    pub(super) fn shown(&self, text: &ObjId) -> Result<Shown, AutomergeError> {
        let content = self.text(text)?;
        let (mut shown, mut at) = (Shown::default(), 0);
        for (index, run) in content.split(FOREIGN).enumerate() {
            if index > 0 {
                // A person may have written this character, too.
                let piece = match self.get(text, at)? {
                    Some((Value::Object(ObjType::Map), block)) => {
                        self.embed(&block)?.map_or(Piece::Foreign, Piece::Embed)
                    }
                    Some((Value::Object(_), _)) => Piece::Foreign,
                    _ => Piece::Text(FOREIGN.into()),
                };
                shown.push(at, piece);
                at += 1;
            }
            shown.body.push_text(run);
            at += run.chars().count();
        }
        Ok(shown)
    }

    /// The character at a place of a text; `None` where it is none, or is one of several that were put in as one.
    pub(super) fn character(&self, text: &ObjId, at: usize) -> Option<char> {
        let (value, _) = self.get(text, at).ok()??;
        let mut characters = value.as_str()?.chars();
        characters.next().filter(|_| characters.next().is_none())
    }

    fn embed(&self, block: &ObjId) -> Result<Option<Embed>, AutomergeError> {
        if self.string(block, "type")?.as_deref() != Some("image") {
            return Ok(None);
        }
        let Some((Value::Object(ObjType::Map), attributes)) = self.get(block, "attrs")? else {
            return Ok(None);
        };
        let src = self.string(&attributes, "src")?;
        let image = src.and_then(|src| src.strip_prefix(SRC)?.parse().ok());
        let (Some(image), Some(name)) = (image, self.string(&attributes, "name")?) else {
            return Ok(None);
        };
        Ok(Some(Embed { image, name, path: self.string(&attributes, "path")? }))
    }

    /// A text, however its author's Automerge wrote it.
    fn string(&self, object: &ObjId, key: &str) -> Result<Option<String>, AutomergeError> {
        match self.get(object, key)? {
            Some((Value::Scalar(value), _)) => Ok(value.as_str().map(str::to_owned)),
            Some((Value::Object(ObjType::Text), text)) => self.text(&text).map(Some),
            _ => Ok(None),
        }
    }

    fn get(
        &self,
        object: &ObjId,
        property: impl Into<Prop>,
    ) -> Result<Option<(Value<'_>, ObjId)>, AutomergeError> {
        match &self.heads {
            Some(heads) => self.document.get_at(object, property, heads),
            None => self.document.get(object, property),
        }
    }

    fn text(&self, object: &ObjId) -> Result<String, AutomergeError> {
        match &self.heads {
            Some(heads) => self.document.text_at(object, heads),
            None => self.document.text(object),
        }
    }
}

/// Sets boxes of a text: each has one of those that are set at once.
pub(super) fn set(
    transaction: &mut Transaction<'_>,
    text: &ObjId,
    ticks: &[Tick],
) -> Result<(), NoteError> {
    for Tick { at, state } in ticks {
        transaction.put(text, *at, state.to_string())?;
    }
    Ok(())
}

/// Does `plan` to a text, from its end to its start, so that no splice moves another's place.
pub(super) fn splice(
    transaction: &mut Transaction<'_>,
    text: &ObjId,
    plan: &[Splice],
) -> Result<(), NoteError> {
    for splice in plan.iter().rev() {
        // What somebody else does to a line that another takes the place of comes before that one: behind it,
        // it would be in the next line, which nobody touched.
        let behind = splice.delete > 0 && ends_line(&splice.insert);
        let mut at = if behind { splice.at + splice.delete } else { splice.at };
        let all = isize::try_from(splice.delete).unwrap_or(isize::MAX);
        let mut delete = if behind { 0 } else { all };
        for piece in splice.insert.pieces() {
            match piece {
                Piece::Embed(embed) => {
                    put_embed(transaction, text, at, embed)?;
                    at += 1;
                }
                Piece::Text(inserted) => {
                    transaction.splice_text(text, at, std::mem::take(&mut delete), inserted)?;
                    at += inserted.chars().count();
                }
                Piece::Foreign => {
                    transaction.splice_text(text, at, std::mem::take(&mut delete), "\u{fffc}")?;
                    at += 1;
                }
            }
        }
        if behind {
            transaction.splice_text(text, splice.at, all, "")?;
        } else if delete > 0 {
            transaction.splice_text(text, at, delete, "")?;
        }
    }
    Ok(())
}

fn ends_line(body: &Body) -> bool {
    matches!(body.pieces().last(), Some(Piece::Text(text)) if text.ends_with('\n'))
}

fn put_embed(
    transaction: &mut Transaction<'_>,
    text: &ObjId,
    at: usize,
    embed: &Embed,
) -> Result<(), NoteError> {
    let block = transaction.split_block(text, at)?;
    transaction.put(&block, "type", "image")?;
    transaction.put(&block, "isEmbed", true)?;
    transaction.put_object(&block, "parents", ObjType::List)?;
    let attributes = transaction.put_object(&block, "attrs", ObjType::Map)?;
    transaction.put(&attributes, "src", format!("{SRC}{}", embed.image))?;
    transaction.put(&attributes, "name", embed.name.as_str())?;
    if let Some(path) = &embed.path {
        transaction.put(&attributes, "path", path.as_str())?;
    }
    Ok(())
}
