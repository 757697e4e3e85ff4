//! The first changes of a note, encoded without a document, and read back without one.
//!
//! Automerge takes a microsecond for each character to make a document, and as long to read the change
//! back out of it. What a note begins with is known beforehand: its genesis, then one text that is put in
//! as a whole, and perhaps a path. So its columns are written down as they are; that they are byte for
//! byte those of Automerge is tested.

mod columns;
mod opening;
mod runs;

use self::columns::{Actors, Columns, Key, MAKE_LIST, MAKE_MAP, MAKE_TEXT, Object, Op, SET, Value};
pub use self::opening::Opening;
pub(super) use self::runs::Numbers;
use super::{
    block::SRC,
    chunk::Chunk,
    document::FORMAT,
    embed::{Body, Embed, Piece},
    history::Change,
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId},
};

/// The number of operations of the genesis.
const GENESIS: u64 = 3;
/// How many operations each operation of a change replaces.
const PREDECESSORS: u64 = 0x70;
/// The author of a change among its actors, and the first of the others.
const IN_CHANGE: Actors = Actors { author: 0, genesis: 1 };
const PATH: &str = "path";
/// What the type of an embed's block is.
const IMAGE: &str = "image";

/// The root objects of a note.
pub(super) fn genesis(id: NoteId) -> Change {
    let mut columns = Columns::new(IN_CHANGE);
    roots().for_each(|(_, op)| columns.push(&op));
    let author = Author { actor: id.as_bytes(), first_op: 1, at: Timestamp(0), other: None };
    change(columns, &author, Vec::new())
}

/// What the operations of the genesis do, each behind its number.
fn roots() -> impl Iterator<Item = (u64, Op<'static>)> {
    let put = |name, action, value| Op {
        object: Object::Root,
        key: Key::Name(name),
        insert: false,
        action,
        value,
    };
    (1..).zip([
        put("format", SET, Value::Int(FORMAT)),
        put("body", MAKE_TEXT, Value::Null),
        put("images", MAKE_MAP, Value::Null),
    ])
}

/// A change that puts `path` and all of `body` into a note that has its genesis alone. `None` where that
/// is for Automerge to do: where there is no text, or what another client made.
pub(super) fn content(
    id: NoteId,
    actor: &[u8],
    path: Option<&str>,
    body: &Body,
    at: Timestamp,
    genesis: ChangeHash,
) -> Option<Change> {
    let plain = |piece: &Piece| !matches!(piece, Piece::Foreign);
    if body.pieces().is_empty() || !body.pieces().iter().all(plain) {
        return None;
    }
    let mut text = Text { columns: Columns::new(IN_CHANGE), next: GENESIS + 1, last: None };
    if let Some(path) = path {
        text.put(Object::Root, PATH, SET, Value::Text(path.into()));
    }
    for piece in body.pieces() {
        match piece {
            Piece::Text(inserted) => text.insert_all(inserted),
            Piece::Embed(embed) => text.embed(embed),
            Piece::Foreign => {}
        }
    }
    let author = Author { actor, first_op: GENESIS + 1, at, other: Some(id.as_bytes()) };
    Some(change(text.columns, &author, vec![genesis]))
}

struct Author<'a> {
    actor: &'a [u8],
    first_op: u64,
    at: Timestamp,
    /// Whose objects it changes besides its own.
    other: Option<&'a [u8]>,
}

/// The change that these are the columns of.
fn change(columns: Columns, author: &Author<'_>, deps: Vec<ChangeHash>) -> Change {
    let columns = columns.finish(PREDECESSORS).into_iter();
    let chunk = Chunk {
        deps,
        actor: author.actor.into(),
        seq: 1,
        first: author.first_op,
        time: author.at.0.div_euclid(1000),
        message: &[],
        others: author.other.iter().map(|other| (*other).into()).collect(),
        columns: columns.map(|(kind, column)| (kind, column.into())).collect(),
        rest: &[],
    };
    let (bytes, hash) = chunk.write();
    Change { hash, deps: chunk.deps, bytes }
}

/// Operations that put a text together, in order.
struct Text {
    columns: Columns,
    /// The number of the next operation.
    next: u64,
    /// The last that inserted something.
    last: Option<u64>,
}

impl Text {
    fn put(&mut self, object: Object, name: &str, action: u64, value: Value<'_>) -> u64 {
        let key = Key::Name(name);
        self.columns.push(&Op { object, key, insert: false, action, value });
        self.next += 1;
        self.next - 1
    }

    fn insert(&mut self, action: u64, value: Value<'_>) -> u64 {
        let key = self.last.map_or(Key::Head, Key::After);
        self.columns.push(&Op { object: Object::Body, key, insert: true, action, value });
        self.last = Some(self.next);
        self.next += 1;
        self.next - 1
    }

    /// Puts in each character, one after the other.
    fn insert_all(&mut self, inserted: &str) {
        let Some(first) = inserted.chars().next() else { return };
        let (first, rest) = inserted.split_at(first.len_utf8());
        self.insert(SET, Value::Text(first.into()));
        self.next += self.columns.follow(self.next - 1, rest);
        self.last = Some(self.next - 1);
    }

    /// As `block::put_embed` does it.
    fn embed(&mut self, embed: &Embed) {
        let block = self.insert(MAKE_MAP, Value::Null);
        for (_, op) in (Block { block, embed }).ops() {
            self.columns.push(&op);
            self.next += 1;
        }
    }
}

/// What makes an embed of a block.
struct Block<'a> {
    /// The number of the operation that inserted it.
    block: u64,
    embed: &'a Embed,
}

impl<'a> Block<'a> {
    /// What the operations right after that one do, each behind its number.
    fn ops(&self) -> impl Iterator<Item = (u64, Op<'a>)> + use<'a> {
        let Self { block, embed } = *self;
        let attributes = block + 4;
        let put = |object, name, action, value| {
            let (object, key) = (Object::Made(object), Key::Name(name));
            Op { object, key, insert: false, action, value }
        };
        let text = |text: &'a str| Value::Text(text.into());
        let src = Value::Text(format!("{SRC}{}", embed.image).into());
        let path = embed.path.as_deref();
        let ops = [
            put(block, "type", SET, Value::Text(IMAGE.into())),
            put(block, "isEmbed", SET, Value::True),
            put(block, "parents", MAKE_LIST, Value::Null),
            put(block, "attrs", MAKE_MAP, Value::Null),
            put(attributes, "src", SET, src),
            put(attributes, "name", SET, text(&embed.name)),
        ];
        let path = path.map(|path| put(attributes, PATH, SET, text(path)));
        (block + 1..).zip(ops.into_iter().chain(path))
    }
}
