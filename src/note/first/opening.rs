//! What a note begins with, read back from its first changes, and as a document.
//!
//! Automerge loads a document in a third of the time, or less, that it takes to apply the same changes. It
//! finds out whether a document holds the changes that it claims to, but not whether their operations stand
//! in the order in which it would have put them: that they do is tested, byte for byte.

use super::{
    super::{
        block::SRC,
        bounds::START,
        chunk::{ACTIONS, Chunk, LENGTHS, framed, put_columns_head},
        embed::{Body, Embed, Piece},
        history::Heads,
        numbers::{put_text, put_unsigned, skip, take},
        whole::{self, DOCUMENT},
    },
    Block, GENESIS, IMAGE, PATH, Text,
    columns::{
        Actors, Columns, INSERTS, Key, MAKE_LIST, MAKE_MAP, Object, Op, SET, TEXT, VALUES, Value,
    },
    content, genesis,
    runs::{Differences, FlagsOf, Numbers, Runs},
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId},
};

/// How many operations replace each operation of a document.
const SUCCESSORS: u64 = 0x80;
/// Bytes of a change, none of them.
const NO_MORE: u64 = 7;

/// What a note began with: its genesis, and one change that put a path and a text into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// Where export is to put it.
    pub path: Option<String>,
    /// Its text.
    pub body: Body,
    note: NoteId,
    actor: Vec<u8>,
    /// In seconds.
    time: i64,
    content: ChangeHash,
}

impl Opening {
    /// Reads it off `change`; `None` where that is not such a change of this note, to the last byte: what is
    /// read is encoded again, and compared.
    #[must_use]
    pub fn read(note: NoteId, change: &[u8]) -> Option<Self> {
        Self::read_behind(note, genesis(note).hash, change)
    }

    /// The same where the hash of the genesis is known.
    pub(in super::super) fn read_behind(
        note: NoteId,
        genesis: ChangeHash,
        change: &[u8],
    ) -> Option<Self> {
        if !builds_on(genesis, change) {
            return None;
        }
        let (chunk, hash) = Chunk::read(change)?;
        // The genesis is the first change of this author, so it can be none, and a document of two authors
        // who are one could be loaded, but not read.
        if *chunk.actor == *note.as_bytes() {
            return None;
        }
        let (path, body) = Reader::of(&chunk)?.read()?;
        let at = Timestamp(chunk.time.checked_mul(1000)?);
        let encoded = content(note, &chunk.actor, path.as_deref(), &body, at, genesis)?;
        (encoded.bytes == change).then(|| Self {
            path,
            body,
            note,
            actor: chunk.actor.to_vec(),
            time: chunk.time,
            content: hash,
        })
    }

    /// What a note is that nobody edited since: all of it is `whole`, as [`in_changes`](crate::note::in_changes)
    /// gives it, or `changes`, in any order.
    #[must_use]
    pub fn of(note: NoteId, whole: Option<&[u8]>, changes: &[&[u8]]) -> Option<Self> {
        let unfolded = whole.map(|whole| whole::changes(whole)?.ok());
        let unfolded = unfolded.map_or(Some(Vec::new()), |unfolded| unfolded)?;
        let all = unfolded.iter().map(Vec::as_slice).chain(changes.iter().copied());
        let genesis = genesis(note);
        let mut others = all.filter(|change| *change != genesis.bytes);
        let opening = Self::read_behind(note, genesis.hash, others.next()?);
        opening.filter(|_| others.next().is_none())
    }

    /// The version that it is.
    #[must_use]
    pub fn heads(&self) -> Heads {
        vec![self.content].into()
    }

    /// The note, as Automerge saves it without compression.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        let mut actors = [self.note.as_bytes().as_slice(), self.actor.as_slice()];
        actors.sort_unstable();
        let is_first = actors.first() == Some(&self.actor.as_slice());
        let places = Actors { author: u64::from(!is_first), genesis: u64::from(is_first) };

        let operations = self.operations(places);
        let changes = self.changes(places, operations.next - 1);
        let operations = operations.columns.finish(SUCCESSORS);
        let mut data = Vec::new();
        put_unsigned(&mut data, actors.len() as u64);
        for actor in actors {
            put_text(&mut data, actor);
        }
        put_unsigned(&mut data, 1);
        data.extend_from_slice(self.content.as_bytes());
        put_columns_head(&mut data, &changes);
        put_columns_head(&mut data, &operations);
        changes.iter().chain(&operations).for_each(|(_, column)| data.extend_from_slice(column));
        // Which change the head is.
        put_unsigned(&mut data, 1);
        framed(DOCUMENT, &data).0
    }

    /// The operations of both changes: object by object in the order in which they were made, in each by
    /// name or as the text has them.
    fn operations(&self, places: Actors) -> Text {
        let mut text = Text { columns: Columns::new(places), next: GENESIS + 1, last: None };
        let mut roots: Vec<_> =
            super::roots().map(|(number, op)| (places.genesis, number, op)).collect();
        if let Some(path) = &self.path {
            let (object, key) = (Object::Root, Key::Name(PATH));
            let value = Value::Text(path.into());
            let op = Op { object, key, insert: false, action: SET, value };
            roots.push((places.author, text.next, op));
            text.next += 1;
        }
        push_sorted(&mut text.columns, roots);
        let mut blocks = Vec::new();
        for piece in self.body.pieces() {
            let first = text.next;
            match piece {
                Piece::Text(inserted) => text.insert_all(inserted),
                Piece::Embed(embed) => {
                    let block = Block { block: text.insert(MAKE_MAP, Value::Null), embed };
                    blocks.push(block);
                }
                Piece::Foreign => {}
            }
            text.columns.made_by(places.author, first, text.next - first);
            if let (Piece::Embed(_), Some(block)) = (piece, blocks.last()) {
                text.next += block.ops().count() as u64;
            }
        }
        for block in blocks {
            let of = |(number, op)| (places.author, number, op);
            let (attributes, own) = block.ops().map(of).partition(|(_, _, op): &(_, _, Op<'_>)| {
                matches!(op.object, Object::Made(made) if made != block.block)
            });
            push_sorted(&mut text.columns, own);
            push_sorted(&mut text.columns, attributes);
        }
        text
    }

    /// The columns of the two changes, of which `last` is the number of the last operation.
    fn changes(&self, places: Actors, last: u64) -> Vec<(u64, Vec<u8>)> {
        let mut actors = Runs::default();
        actors.push(Some(places.genesis));
        actors.push(Some(places.author));
        let differences = |values: &[u64]| {
            let mut column = Differences::default();
            for value in values {
                column.push(Some(*value));
            }
            column.finish()
        };
        let mut times = Runs::default();
        times.push(Some(0));
        times.push(Some(self.time));
        let mut deps = Runs::default();
        deps.push(Some(0_u64));
        deps.push(Some(1));
        let mut more = Runs::default();
        more.repeat(Some(NO_MORE), 2);
        vec![
            (0x01, actors.finish()),
            (0x03, differences(&[1, 1])),
            (0x13, differences(&[GENESIS, last])),
            (0x23, times.finish()),
            (0x40, deps.finish()),
            (0x43, differences(&[0])),
            (0x56, more.finish()),
        ]
    }
}

/// Pushes what operations put into one map, by name.
fn push_sorted(columns: &mut Columns, mut ops: Vec<(u64, u64, Op<'_>)>) {
    let name = |op: &Op<'_>| match op.key {
        Key::Name(name) => name.to_owned(),
        Key::Head | Key::After(_) => String::new(),
    };
    ops.sort_by_key(|(_, _, op)| name(op));
    for (actor, number, op) in &ops {
        columns.push(op);
        columns.made_by(*actor, *number, 1);
    }
}

/// Whether a change builds on `genesis` alone, told from its beginning.
fn builds_on(genesis: ChangeHash, change: &[u8]) -> bool {
    let Some(mut rest) = change.get(START..) else { return false };
    skip(&mut rest).is_some()
        && rest.strip_prefix(&[1]).is_some_and(|deps| deps.starts_with(genesis.as_bytes()))
}

/// Reads operations off the columns of a change.
struct Reader<'a> {
    inserts: FlagsOf<'a>,
    actions: Numbers<'a>,
    kinds: Numbers<'a>,
    values: &'a [u8],
}

/// What an operation does, as far as it takes to read it back.
#[derive(Clone, Copy)]
struct Done<'a> {
    insert: bool,
    action: u64,
    /// Its value, where that is text.
    text: Option<&'a str>,
}

impl<'a> Reader<'a> {
    fn of(chunk: &'a Chunk<'a>) -> Option<Self> {
        let column = |wanted| {
            let column = chunk.columns.iter().find(|(kind, _)| *kind == wanted);
            column.map(|(_, column)| &**column)
        };
        Some(Self {
            inserts: FlagsOf::of(column(INSERTS)?),
            actions: Numbers::of(column(ACTIONS)?),
            kinds: Numbers::of(column(LENGTHS)?),
            values: column(VALUES)?,
        })
    }

    /// The path and the text that these operations put into a note. May be wrong where they are others.
    fn read(mut self) -> Option<(Option<String>, Body)> {
        let mut done = self.next();
        let path = done.filter(|done| !done.insert).and_then(|done| done.text);
        if path.is_some() {
            done = self.next();
        }
        let (mut pieces, mut text) = (Vec::new(), String::new());
        while let Some(Done { insert: true, action, text: character }) = done {
            if action == MAKE_MAP {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                let (embed, next) = self.embed()?;
                pieces.push(Piece::Embed(embed));
                done = next;
                continue;
            }
            // Without one, there is no end to what a few bytes could say.
            text.push_str(character.filter(|character| !character.is_empty())?);
            done = self.next();
        }
        pieces.push(Piece::Text(text));
        Some((path.map(str::to_owned), Body::new(pieces)))
    }

    /// An embed whose block was just inserted, and the operation behind it.
    fn embed(&mut self) -> Option<(Embed, Option<Done<'a>>)> {
        let is_image = self.next()?.text? == IMAGE && self.next()?.action == SET;
        let is_nested = self.next()?.action == MAKE_LIST && self.next()?.action == MAKE_MAP;
        let src = self.next()?.text.filter(|_| is_image && is_nested)?;
        let image = src.strip_prefix(SRC)?.parse().ok()?;
        let name = self.next()?.text?.to_owned();
        let mut next = self.next();
        let path = next.filter(|next| !next.insert).and_then(|next| next.text);
        if path.is_some() {
            next = self.next();
        }
        Some((Embed { image, name, path: path.map(str::to_owned) }, next))
    }

    fn next(&mut self) -> Option<Done<'a>> {
        let (insert, action) = (self.inserts.next()?, self.actions.next()?);
        let kind = self.kinds.next()?;
        let value = take(&mut self.values, kind >> 4)?;
        let text = if kind & 0xf == TEXT { Some(std::str::from_utf8(value).ok()?) } else { None };
        Some(Done { insert, action, text })
    }
}
