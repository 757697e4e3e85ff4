//! Embeds as Automerge's block markers, which stand in a text one unit wide.

use automerge::{
    Automerge, ChangeHash, ObjId, ObjType, ReadDoc as _, ScalarValueRef, Value, ValueRef,
    transaction::{Transactable, Transaction},
};

use super::{
    document::NoteError,
    edit::Splice,
    embed::{Body, Embed, FOREIGN, Piece},
};

const SRC: &str = "blake3:";

/// A document at one version, or as it is.
#[derive(Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) document: &'a Automerge,
    pub(super) heads: Option<&'a [ChangeHash]>,
}

impl<'a> Version<'a> {
    /// The body that a text holds.
    ///
    /// Not from `spans`, which reads all that is in a block, as deep as it goes: who wrote it may have
    /// gone deeper than there is stack.
    pub(super) fn body(self, text: &ObjId) -> Body {
        let items = match self.heads {
            None => self.document.list_range(text, ..),
            Some(heads) => self.document.list_range_at(text, .., heads),
        };
        let (mut body, mut run) = (Body::default(), String::new());
        for item in items {
            match &item.value {
                ValueRef::Scalar(ScalarValueRef::Str(part)) => run.push_str(part),
                ValueRef::Object(ObjType::Map) => {
                    body.push_text(&std::mem::take(&mut run));
                    body.push(self.embed(&item.id()).map_or(Piece::Foreign, Piece::Embed));
                }
                _ => run.push(FOREIGN),
            }
        }
        body.push_text(&run);
        body
    }

    fn embed(self, block: &ObjId) -> Option<Embed> {
        if self.text(block, "type")? != "image" {
            return None;
        }
        let (Value::Object(ObjType::Map), attributes) = self.get(block, "attrs")? else {
            return None;
        };
        Some(Embed {
            image: self.text(&attributes, "src")?.strip_prefix(SRC)?.parse().ok()?,
            name: self.text(&attributes, "name")?,
            path: self.text(&attributes, "path"),
        })
    }

    /// A text, however its author's Automerge wrote it.
    pub(super) fn text(self, object: &ObjId, key: &str) -> Option<String> {
        match self.get(object, key)? {
            (Value::Scalar(value), _) => value.as_str().map(str::to_owned),
            (Value::Object(ObjType::Text), id) => match self.heads {
                None => self.document.text(&id).ok(),
                Some(heads) => self.document.text_at(&id, heads).ok(),
            },
            _ => None,
        }
    }

    fn get(self, object: &ObjId, key: &str) -> Option<(Value<'a>, ObjId)> {
        match self.heads {
            None => self.document.get(object, key).ok()?,
            Some(heads) => self.document.get_at(object, key, heads).ok()?,
        }
    }
}

/// Does `plan` to a text, from its end to its start, so that no splice moves another's place.
pub(super) fn splice(
    transaction: &mut Transaction<'_>,
    text: &ObjId,
    plan: &[Splice],
) -> Result<(), NoteError> {
    for splice in plan.iter().rev() {
        let mut at = splice.at;
        let mut delete = isize::try_from(splice.delete).unwrap_or(isize::MAX);
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
        if delete > 0 {
            transaction.splice_text(text, at, delete, "")?;
        }
    }
    Ok(())
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
