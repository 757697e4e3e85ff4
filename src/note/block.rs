//! Embeds as Automerge's block markers, which stand in a text one unit wide.

use automerge::{
    ObjId, ObjType, ScalarValue, Span, hydrate,
    transaction::{Transactable, Transaction},
};

use super::{
    document::NoteError,
    edit::Splice,
    embed::{Body, Embed, Piece},
};

const SRC: &str = "blake3:";

/// The body that a text holds.
pub(super) fn body_of(spans: impl Iterator<Item = Span>) -> Body {
    let mut body = Body::default();
    for span in spans {
        body.push(match span {
            Span::Text { text, .. } => Piece::Text(text),
            Span::Block(block) => embed_of(&block).map_or(Piece::Foreign, Piece::Embed),
        });
    }
    body
}

fn embed_of(block: &hydrate::Map) -> Option<Embed> {
    if text_of(block, "type")? != "image" {
        return None;
    }
    let hydrate::Value::Map(attributes) = block.get("attrs")? else { return None };
    Some(Embed {
        image: text_of(attributes, "src")?.strip_prefix(SRC)?.parse().ok()?,
        name: text_of(attributes, "name")?,
        path: text_of(attributes, "path"),
    })
}

fn text_of(map: &hydrate::Map, key: &str) -> Option<String> {
    match map.get(key)? {
        hydrate::Value::Scalar(ScalarValue::Str(text)) => Some(text.to_string()),
        hydrate::Value::Text(text) => Some(text.to_string()),
        _ => None,
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
