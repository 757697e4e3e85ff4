//! What a note showed before: somebody may show it again.

use std::collections::HashMap;

use automerge::{
    ScalarValue,
    legacy::{Key, ObjectId, OpType},
};

use super::{
    block::SRC,
    document::{Note, NoteError},
    embed::Embed,
    history::guarded,
};

/// What was put into an object that may say what an embed shows.
#[derive(Default)]
struct Attributes {
    src: Option<String>,
    name: Option<String>,
    path: Option<String>,
}

impl Note {
    /// Every embed that was ever put into it by everleaf, those that went again too; of two changes, what came with
    /// the later is behind. It goes through the whole history.
    ///
    /// # Errors
    ///
    /// [`NoteError::Damaged`] where Automerge can't make sense of a change.
    pub fn embeds_ever(&self) -> Result<Vec<Embed>, NoteError> {
        let mut embeds = Vec::new();
        for change in self.document.get_changes(&[]) {
            let operations = guarded(|| Ok(change.decode()))?.operations;
            let mut found: Vec<Attributes> = Vec::new();
            let mut places: HashMap<ObjectId, usize> = HashMap::new();
            for operation in operations {
                let OpType::Put(ScalarValue::Str(value)) = operation.action else { continue };
                let Key::Map(key) = operation.key else { continue };
                let new = found.len();
                let place = *places.entry(operation.obj).or_insert(new);
                if place == new {
                    found.push(Attributes::default());
                }
                let Some(attributes) = found.get_mut(place) else { continue };
                match key.as_str() {
                    "src" => attributes.src = Some(value.into()),
                    "name" => attributes.name = Some(value.into()),
                    "path" => attributes.path = Some(value.into()),
                    _ => {}
                }
            }
            embeds.extend(found.into_iter().filter_map(|Attributes { src, name, path }| {
                let image = src?.strip_prefix(SRC)?.parse().ok()?;
                Some(Embed { image, name: name?, path })
            }));
        }
        Ok(embeds)
    }
}
