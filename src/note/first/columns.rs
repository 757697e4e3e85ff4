//! Operations, column by column, as changes and documents have them.

use std::borrow::Cow;

use super::{
    super::{
        chunk::{ACTIONS, LENGTHS},
        document::BODY,
        numbers::put_signed,
    },
    runs::{Differences, Flags, Runs},
};

pub(super) const MAKE_MAP: u64 = 0;
pub(super) const SET: u64 = 1;
pub(super) const MAKE_LIST: u64 = 2;
pub(super) const MAKE_TEXT: u64 = 4;

/// What a value is, in the lowest four bits of its kind; the others say how many bytes it has.
const NULL: u64 = 0;
const TRUE: u64 = 2;
const INTEGER: u64 = 4;
pub(super) const TEXT: u64 = 6;

/// The types of the columns that are read back.
pub(super) const INSERTS: u64 = 0x34;
pub(super) const VALUES: u64 = 0x57;

/// One operation.
pub(super) struct Op<'a> {
    pub(super) object: Object,
    pub(super) key: Key<'a>,
    pub(super) insert: bool,
    pub(super) action: u64,
    pub(super) value: Value<'a>,
}

/// Where an operation puts something.
#[derive(Clone, Copy)]
pub(super) enum Object {
    Root,
    Body,
    /// What an operation of the same author made.
    Made(u64),
}

pub(super) enum Key<'a> {
    /// The beginning of a text.
    Head,
    /// What an operation of the same author put in.
    After(u64),
    Name(&'a str),
}

pub(super) enum Value<'a> {
    Null,
    True,
    Int(i64),
    Text(Cow<'a, str>),
}

/// The places of the author, and of whoever made the genesis, among the actors.
#[derive(Clone, Copy)]
pub(super) struct Actors {
    pub(super) author: u64,
    pub(super) genesis: u64,
}

/// The columns of operations, a value for each.
pub(super) struct Columns {
    actors: Actors,
    object_actor: Runs<u64>,
    object_op: Runs<u64>,
    key_actor: Runs<u64>,
    key_op: Differences,
    key_name: Runs<String>,
    /// In a document alone; those of a change are numbered one by one.
    id_actor: Runs<u64>,
    id_op: Differences,
    insert: Flags,
    action: Runs<u64>,
    kind: Runs<u64>,
    value: Vec<u8>,
    /// How many operations each of them replaces, or is replaced by.
    others: Runs<u64>,
}

impl Columns {
    pub(super) fn new(actors: Actors) -> Self {
        Self {
            actors,
            object_actor: Runs::default(),
            object_op: Runs::default(),
            key_actor: Runs::default(),
            key_op: Differences::default(),
            key_name: Runs::default(),
            id_actor: Runs::default(),
            id_op: Differences::default(),
            insert: Flags::default(),
            action: Runs::default(),
            kind: Runs::default(),
            value: Vec::new(),
            others: Runs::default(),
        }
    }

    pub(super) fn push(&mut self, op: &Op<'_>) {
        self.object(op.object, 1);
        let author = self.actors.author;
        let (actor, number, name) = match op.key {
            Key::Head => (None, Some(0), None),
            Key::After(op) => (Some(author), Some(op), None),
            Key::Name(name) => (None, None, Some(name.to_owned())),
        };
        self.key_actor.push(actor);
        self.key_op.push(number);
        self.key_name.push(name);
        self.insert.repeat(op.insert, 1);
        self.action.push(Some(op.action));
        let before = self.value.len();
        let kind = match &op.value {
            Value::Null => kind_of(NULL, 0),
            Value::True => kind_of(TRUE, 0),
            Value::Int(number) => {
                put_signed(&mut self.value, *number);
                kind_of(INTEGER, self.value.len() - before)
            }
            Value::Text(text) => {
                self.value.extend_from_slice(text.as_bytes());
                kind_of(TEXT, text.len())
            }
        };
        self.kind.push(Some(kind));
        self.others.push(Some(0));
    }

    /// Puts in the characters of a text behind what operation `last` of the author put into the body, each
    /// behind the one before. What is the same for all of them is written once. Gives how many there are.
    pub(super) fn follow(&mut self, last: u64, text: &str) -> u64 {
        let count = text.chars().count() as u64;
        if count == 0 {
            return 0;
        }
        self.object(Object::Body, count);
        self.key_actor.repeat(Some(self.actors.author), count);
        self.key_op.count_from(last, count);
        self.key_name.repeat(None, count);
        self.insert.repeat(true, count);
        self.action.repeat(Some(SET), count);
        text.chars().for_each(|c| self.kind.push(Some(kind_of(TEXT, c.len_utf8()))));
        self.value.extend_from_slice(text.as_bytes());
        self.others.repeat(Some(0), count);
        count
    }

    /// Says who made so many operations, of which `first` is the number of the first.
    pub(super) fn made_by(&mut self, actor: u64, first: u64, count: u64) {
        self.id_actor.repeat(Some(actor), count);
        self.id_op.count_from(first, count);
    }

    fn object(&mut self, object: Object, times: u64) {
        let id = match object {
            Object::Root => None,
            Object::Body => Some((self.actors.genesis, BODY)),
            Object::Made(op) => Some((self.actors.author, op)),
        };
        self.object_actor.repeat(id.map(|(actor, _)| actor), times);
        self.object_op.repeat(id.map(|(_, op)| op), times);
    }

    /// Each column that there is, with its type; `others` is the type of the last.
    pub(super) fn finish(self, others: u64) -> Vec<(u64, Vec<u8>)> {
        let columns = [
            (0x01, self.object_actor.finish()),
            (0x02, self.object_op.finish()),
            (0x11, self.key_actor.finish()),
            (0x13, self.key_op.finish()),
            (0x15, self.key_name.finish()),
            (0x21, self.id_actor.finish()),
            (0x23, self.id_op.finish()),
            (INSERTS, self.insert.finish()),
            (ACTIONS, self.action.finish()),
            (LENGTHS, self.kind.finish()),
            (VALUES, self.value),
            (others, self.others.finish()),
        ];
        columns.into_iter().filter(|(_, column)| !column.is_empty()).collect()
    }
}

/// What a value of so many bytes is, as its column says it.
const fn kind_of(kind: u64, bytes: usize) -> u64 {
    (bytes as u64) << 4 | kind
}
