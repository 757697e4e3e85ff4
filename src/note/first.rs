//! The first changes of a note, encoded without a document.
//!
//! Automerge takes a microsecond for each character to make a document, and as long to read the change
//! back out of it. What a note begins with is known beforehand: its genesis, then one text that is put in
//! as a whole, and perhaps a path. So its columns are written down as they are; that they are byte for
//! byte those of Automerge is tested.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::{
    block::SRC,
    document::{BODY, FORMAT},
    embed::{Body, Embed, Piece},
    history::{CHANGE, Change, MAGIC},
};
use crate::{
    clock::Timestamp,
    id::{ChangeHash, NoteId},
};

/// The number of operations of the genesis.
const GENESIS: u64 = 3;
/// Longer texts are left to Automerge: each character takes a row in each column here.
const LONGEST: usize = 256 << 10;

/// The root objects of a note.
pub(super) fn genesis(id: NoteId) -> Change {
    let mut columns = Columns::default();
    let put = |name, action, value| Op {
        object: None,
        key: Key::Name(name),
        insert: false,
        action,
        value,
    };
    columns.push(&put("format", SET, Value::Int(FORMAT)));
    columns.push(&put("body", MAKE_TEXT, Value::Null));
    columns.push(&put("images", MAKE_MAP, Value::Null));
    let author = Author { actor: id.as_bytes(), first_op: 1, at: Timestamp(0), other: None };
    columns.change(&author, Vec::new())
}

/// A change that puts `path` and all of `body` into a note that has its genesis alone. `None` where that
/// is for Automerge to do: where there is no text, or a very long one.
pub(super) fn content(
    id: NoteId,
    actor: &[u8],
    path: Option<&str>,
    body: &Body,
    at: Timestamp,
    genesis: ChangeHash,
) -> Option<Change> {
    let plain = |piece: &Piece| !matches!(piece, Piece::Foreign);
    if !(1..=LONGEST).contains(&body.characters()) || !body.pieces().iter().all(plain) {
        return None;
    }
    let mut text = Text { columns: Columns::default(), next: GENESIS + 1, last: None };
    if let Some(path) = path {
        text.put(None, Key::Name("path"), SET, Value::Text(path.into()));
    }
    for piece in body.pieces() {
        match piece {
            Piece::Text(inserted) => text.insert_all(inserted),
            Piece::Embed(embed) => text.embed(embed),
            Piece::Foreign => {}
        }
    }
    let author = Author { actor, first_op: GENESIS + 1, at, other: Some(id.as_bytes()) };
    Some(text.columns.change(&author, vec![genesis]))
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
    fn put(
        &mut self,
        object: Option<(u64, u64)>,
        key: Key<'_>,
        action: u64,
        value: Value<'_>,
    ) -> u64 {
        self.columns.push(&Op { object, key, insert: false, action, value });
        self.next += 1;
        self.next - 1
    }

    fn insert(&mut self, action: u64, value: Value<'_>) -> u64 {
        let key = self.last.map_or(Key::Head, Key::After);
        let object = Some((OTHER, BODY));
        self.columns.push(&Op { object, key, insert: true, action, value });
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
        let block = Some((SELF, self.insert(MAKE_MAP, Value::Null)));
        self.put(block, Key::Name("type"), SET, Value::Text("image".into()));
        self.put(block, Key::Name("isEmbed"), SET, Value::True);
        self.put(block, Key::Name("parents"), MAKE_LIST, Value::Null);
        let attributes = self.put(block, Key::Name("attrs"), MAKE_MAP, Value::Null);
        let attributes = Some((SELF, attributes));
        let src = format!("{SRC}{}", embed.image);
        self.put(attributes, Key::Name("src"), SET, Value::Text(src.into()));
        self.put(attributes, Key::Name("name"), SET, Value::Text(embed.name.as_str().into()));
        if let Some(path) = &embed.path {
            self.put(attributes, Key::Name("path"), SET, Value::Text(path.as_str().into()));
        }
    }
}

const MAKE_MAP: u64 = 0;
const SET: u64 = 1;
const MAKE_LIST: u64 = 2;
const MAKE_TEXT: u64 = 4;

/// What a value is, in its lowest four bits: text.
const TEXT: u64 = 6;

/// The author of a change among its actors, and the first of the others.
const SELF: u64 = 0;
const OTHER: u64 = 1;

/// One operation: in an object, which an actor made; the root is none.
struct Op<'a> {
    object: Option<(u64, u64)>,
    key: Key<'a>,
    insert: bool,
    action: u64,
    value: Value<'a>,
}

enum Key<'a> {
    /// The beginning of a text.
    Head,
    /// What an operation of the same author put in.
    After(u64),
    Name(&'a str),
}

enum Value<'a> {
    Null,
    True,
    Int(i64),
    Text(Cow<'a, str>),
}

struct Author<'a> {
    actor: &'a [u8],
    first_op: u64,
    at: Timestamp,
    /// Whose objects it changes besides its own.
    other: Option<&'a [u8]>,
}

/// The columns of a change, a value for each operation.
#[derive(Default)]
struct Columns {
    object_actor: Runs<u64>,
    object_op: Runs<u64>,
    key_actor: Runs<u64>,
    /// Differences to the last that is there.
    key_op: Runs<i64>,
    key_name: Runs<String>,
    insert: Vec<bool>,
    action: Runs<u64>,
    value_kind: Runs<u64>,
    value: Vec<u8>,
    predecessors: Runs<u64>,
    last_key: i64,
}

impl Columns {
    fn push(&mut self, op: &Op<'_>) {
        self.object_actor.push(op.object.map(|(actor, _)| actor));
        self.object_op.push(op.object.map(|(_, op)| op));
        let (actor, number, name) = match op.key {
            Key::Head => (None, Some(0), None),
            Key::After(op) => (Some(SELF), Some(op.cast_signed()), None),
            Key::Name(name) => (None, None, Some(name.to_owned())),
        };
        self.key_actor.push(actor);
        self.key_op
            .push(number.map(|number| number - std::mem::replace(&mut self.last_key, number)));
        self.key_name.push(name);
        self.insert.push(op.insert);
        self.action.push(Some(op.action));
        let before = self.value.len();
        let kind = match &op.value {
            Value::Null => kind_of(0, 0),
            Value::True => kind_of(2, 0),
            Value::Int(number) => {
                number.encode(&mut self.value);
                kind_of(4, self.value.len() - before)
            }
            Value::Text(text) => {
                self.value.extend_from_slice(text.as_bytes());
                kind_of(TEXT, text.len())
            }
        };
        self.value_kind.push(Some(kind));
        self.predecessors.push(Some(0));
    }

    /// Puts in the characters of a text behind what operation `last` put into the body, each behind the one
    /// before. What is the same for all of them is written once. Gives how many there are.
    fn follow(&mut self, last: u64, text: &str) -> u64 {
        let characters = text.chars().count();
        let count = characters as u64;
        if count == 0 {
            return 0;
        }
        self.object_actor.repeat(Some(OTHER), count);
        self.object_op.repeat(Some(BODY), count);
        self.key_actor.repeat(Some(SELF), count);
        let last = last.cast_signed();
        self.key_op.push(Some(last - self.last_key));
        self.key_op.repeat(Some(1), count - 1);
        self.last_key = last + count.cast_signed() - 1;
        self.key_name.repeat(None, count);
        self.insert.resize(self.insert.len() + characters, true);
        self.action.repeat(Some(SET), count);
        text.chars().for_each(|c| self.value_kind.push(Some(kind_of(TEXT, c.len_utf8()))));
        self.value.extend_from_slice(text.as_bytes());
        self.predecessors.repeat(Some(0), count);
        count
    }

    /// The change that these are the columns of.
    fn change(self, author: &Author<'_>, deps: Vec<ChangeHash>) -> Change {
        let columns: [(u64, Vec<u8>); 10] = [
            (0x01, self.object_actor.finish()),
            (0x02, self.object_op.finish()),
            (0x11, self.key_actor.finish()),
            (0x13, self.key_op.finish()),
            (0x15, self.key_name.finish()),
            (0x34, booleans(&self.insert)),
            (0x42, self.action.finish()),
            (0x56, self.value_kind.finish()),
            (0x57, self.value),
            (0x70, self.predecessors.finish()),
        ];
        let mut data = Vec::new();
        unsigned(deps.len() as u64, &mut data);
        for dep in &deps {
            data.extend_from_slice(dep.as_bytes());
        }
        prefixed(author.actor, &mut data);
        unsigned(1, &mut data);
        unsigned(author.first_op, &mut data);
        signed(author.at.0.div_euclid(1000), &mut data);
        prefixed(&[], &mut data);
        unsigned(author.other.iter().len() as u64, &mut data);
        author.other.iter().for_each(|other| prefixed(other, &mut data));
        let columns = || columns.iter().filter(|(_, column)| !column.is_empty());
        unsigned(columns().count() as u64, &mut data);
        for (kind, column) in columns() {
            unsigned(*kind, &mut data);
            unsigned(column.len() as u64, &mut data);
        }
        columns().for_each(|(_, column)| data.extend_from_slice(column));
        let mut chunk = vec![CHANGE];
        prefixed(&data, &mut chunk);
        let hash: [u8; 32] = Sha256::digest(&chunk).into();
        let bytes = [&MAGIC, hash.split_at(4).0, &chunk].concat();
        Change { hash: ChangeHash::from_bytes(hash), deps, bytes }
    }
}

/// What a value of so many bytes is, as its column says it.
fn kind_of(kind: u64, bytes: usize) -> u64 {
    (bytes as u64) << 4 | kind
}

/// A column of runs: `n value` for n equal values, `-n values` for n that differ, `0 n` for n that are
/// not there.
struct Runs<T> {
    bytes: Vec<u8>,
    /// Values of which none equals the one before.
    literals: Vec<T>,
    /// The last value, and how often it came.
    last: Option<(Option<T>, u64)>,
    /// Whether any value is there.
    is_there: bool,
}

impl<T> Default for Runs<T> {
    fn default() -> Self {
        Self { bytes: Vec::new(), literals: Vec::new(), last: None, is_there: false }
    }
}

impl<T: Encode + PartialEq> Runs<T> {
    fn push(&mut self, value: Option<T>) {
        self.repeat(value, 1);
    }

    fn repeat(&mut self, value: Option<T>, times: u64) {
        if times == 0 {
            return;
        }
        self.is_there |= value.is_some();
        match &mut self.last {
            Some((last, count)) if *last == value => *count += times,
            _ => {
                self.end_run();
                self.last = Some((value, times));
            }
        }
    }

    fn end_run(&mut self) {
        match self.last.take() {
            None => {}
            Some((Some(value), 1)) => self.literals.push(value),
            Some((value, count)) => {
                self.end_literals();
                if let Some(value) = value {
                    signed(count.cast_signed(), &mut self.bytes);
                    value.encode(&mut self.bytes);
                } else {
                    signed(0, &mut self.bytes);
                    unsigned(count, &mut self.bytes);
                }
            }
        }
    }

    fn end_literals(&mut self) {
        if !self.literals.is_empty() {
            signed(-(self.literals.len() as u64).cast_signed(), &mut self.bytes);
            self.literals.drain(..).for_each(|value| value.encode(&mut self.bytes));
        }
    }

    /// The column; empty, where nothing is in it.
    fn finish(mut self) -> Vec<u8> {
        self.end_run();
        self.end_literals();
        if self.is_there { self.bytes } else { Vec::new() }
    }
}

/// How often `false`, then how often `true`, and so on.
fn booleans(values: &[bool]) -> Vec<u8> {
    let (mut bytes, mut run, mut count) = (Vec::new(), false, 0);
    for value in values {
        if *value != run {
            unsigned(count, &mut bytes);
            (run, count) = (*value, 0);
        }
        count += 1;
    }
    unsigned(count, &mut bytes);
    bytes
}

trait Encode {
    fn encode(&self, to: &mut Vec<u8>);
}

impl Encode for u64 {
    fn encode(&self, to: &mut Vec<u8>) {
        unsigned(*self, to);
    }
}

impl Encode for i64 {
    fn encode(&self, to: &mut Vec<u8>) {
        signed(*self, to);
    }
}

impl Encode for String {
    fn encode(&self, to: &mut Vec<u8>) {
        prefixed(self.as_bytes(), to);
    }
}

fn prefixed(bytes: &[u8], to: &mut Vec<u8>) {
    unsigned(bytes.len() as u64, to);
    to.extend_from_slice(bytes);
}

/// The lowest seven bits of a number, as a byte.
fn low(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low & 0x7f
}

/// LEB128.
fn unsigned(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(low(value) | 0x80);
        value >>= 7;
    }
    to.push(low(value));
}

/// LEB128, the highest bit of the last byte being the sign.
fn signed(mut value: i64, to: &mut Vec<u8>) {
    while !(-0x40..0x40).contains(&value) {
        to.push(low(value.cast_unsigned()) | 0x80);
        value >>= 7;
    }
    to.push(low(value.cast_unsigned()));
}
