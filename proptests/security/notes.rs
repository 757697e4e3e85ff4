//! Notes that a device of the same vault made with a fault, or with malice: all that has the key.

use std::{io::Write as _, sync::Arc};

use automerge::{
    Automerge, ObjType, ROOT, ReadDoc as _,
    marks::{ExpandMark, Mark},
    transaction::Transactable as _,
};
use everleaf::{
    clock::Timestamp,
    event::ChangeBytes,
    folder::{ExportOptions, export},
    id::{DeviceId, NoteId},
    image::MediaType,
    note::{self, Body, Embed, Note, Piece, inspect_whole},
    remote::{Key, Memory, Remote},
    segment::{Head, Item, Segment},
};
use sha2::{Digest as _, Sha256};

use crate::{
    folder::{Desk, reasons},
    image::png,
    vaults::hashes,
    world::{Device, NOW},
};

/// Has a device that nobody knows push `items`, sealed as its segment 1.
pub(super) async fn push(remote: &dyn Remote, victim: &Device, name: &str, items: Vec<Item>) {
    let key = victim.vault().key().sealer();
    let device = DeviceId::from_bytes([u8::try_from(name.len()).unwrap(); 16]);
    let sealed = Segment { device, seq: 1, previous: None, items }.seal(&key).unwrap();
    let head = Head { seq: 1, hash: Some(sealed.hash), name: name.into() };
    let name = Key::Segment { device, seq: 1, hash: sealed.hash };
    remote.put(&name, bytes::Bytes::from(sealed.bytes).into()).await.unwrap();
    let head = bytes::Bytes::from(head.seal(&key, device).unwrap());
    remote.put(&Key::Head(device), head.into()).await.unwrap();
    remote.put(&Key::Pulse, bytes::Bytes::from_static(b"something is new").into()).await.unwrap();
}

pub(super) fn changes(note: NoteId, changes: impl IntoIterator<Item = Vec<u8>>) -> Vec<Item> {
    let all = std::iter::once(Note::genesis(note).bytes).chain(changes);
    all.map(|bytes| Item::Change { note, change: ChangeBytes(bytes), projector: false }).collect()
}

async fn victim() -> (Device, Arc<dyn Remote>) {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let victim = Device::new("laptop", 1);
    victim.add(&remote).await;
    victim.note("# Mine\n");
    victim.sync(&remote).await;
    (victim, remote)
}

/// A change that puts a block into the body, with objects in one another as deep as `depth`.
fn nested(note: NoteId, depth: usize) -> Vec<u8> {
    let mut document = Automerge::new();
    document.load_incremental(&Note::genesis(note).bytes).unwrap();
    let body = document.get(ROOT, "body").unwrap().unwrap().1;
    let mut transaction = document.transaction();
    let block = transaction.split_block(&body, 0).unwrap();
    transaction.put(&block, "type", "image").unwrap();
    let mut at = transaction.put_object(&block, "attrs", ObjType::Map).unwrap();
    for _ in 0..depth {
        at = transaction.put_object(&at, "attrs", ObjType::Map).unwrap();
    }
    transaction.splice_text(&body, 1, 0, "deep\n").unwrap();
    let (hash, _) = transaction.commit();
    document.get_change_by_hash(&hash.unwrap()).unwrap().raw_bytes().to_vec()
}

#[tokio::test]
async fn objects_nested_without_end_take_no_more_stack_than_others() {
    let (victim, remote) = victim().await;
    let note = NoteId::from_bytes([9; 16]);
    push(&*remote, &victim, "buggy", changes(note, [nested(note, 50_000)])).await;
    victim.sync(&remote).await;
    // What is no embed is shown as something foreign, and the text around it can be edited.
    assert_eq!(victim.source(note), "\u{fffc}deep\n");
    let heads = victim.vault().read(note, None).unwrap().heads;
    victim.edit(note, |text| text + "and edited\n");
    assert_eq!(victim.source(note), "\u{fffc}deep\nand edited\n");
    let before = victim.vault().read(note, Some(&heads)).unwrap();
    assert_eq!(before.body.source(), "\u{fffc}deep\n");
    victim.check();
}

fn leb(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap());
    bytes
}

/// The data of a change that puts nothing under one key `times` times: some fifty bytes, however often.
fn repeated(times: u64) -> Vec<u8> {
    assert!(times < 1 << 62, "a run is a signed number");
    // As a signed number, so with room for the sign.
    let run = |value: &[u8]| {
        let mut count = leb(times);
        if count.last().unwrap() & 0x40 != 0 {
            *count.last_mut().unwrap() |= 0x80;
            count.push(0);
        }
        [count.as_slice(), value].concat()
    };
    // key, insert, action, kind of value, predecessors
    let columns =
        [(21, run(b"\x01a")), (52, leb(times)), (66, run(&[1])), (86, run(&[0])), (112, run(&[0]))];
    let mut data = vec![0, 1, 7, 1, 1, 0, 0, 0];
    data.extend(leb(columns.len() as u64));
    for (kind, column) in &columns {
        data.extend([leb(*kind), leb(column.len() as u64)].concat());
    }
    data.extend(columns.into_iter().flat_map(|(_, column)| column));
    data
}

fn chunk(kind: u8, data: &[u8], checksum: [u8; 4]) -> Vec<u8> {
    [&[0x85, 0x6f, 0x4a, 0x83], &checksum[..], &[kind], &leb(data.len() as u64), data].concat()
}

/// The same with the checksum that it should have.
fn whole(kind: u8, data: &[u8]) -> Vec<u8> {
    let checksum = Sha256::digest(&chunk(kind, data, [0; 4])[8..]);
    chunk(kind, data, checksum[..4].try_into().unwrap())
}

#[tokio::test]
async fn a_change_that_says_it_is_endless_is_refused_and_blocks_nobody_else() {
    // Few enough are read, so the form is right: all that is wrong with this one is the checksum.
    let few = note::inspect(&chunk(1, &repeated(5), [0; 4])).unwrap_err().to_string();
    assert!(few.contains("checksum"), "{few}");
    let bomb = repeated(1 << 50);
    assert!(bomb.len() < 100);
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    deflate.write_all(&bomb).unwrap();
    for bytes in [chunk(1, &bomb, [0; 4]), chunk(2, &deflate.finish().unwrap(), [0; 4])] {
        let error = note::inspect(&bytes).unwrap_err().to_string();
        assert!(error.contains("far too many operations"), "{error}");
    }

    let (victim, remote) = victim().await;
    let phone = Device::join("phone", 2, &victim);
    phone.add(&remote).await;
    let told = phone.note("# From the phone\n");
    phone.sync(&remote).await;
    let note = NoteId::from_bytes([9; 16]);
    push(&*remote, &victim, "buggy", changes(note, [chunk(1, &bomb, [0; 4])])).await;
    let report = victim.try_sync(&remote).await.unwrap();
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].contains("far too many operations"), "{:?}", report.problems);
    assert_eq!(victim.source(told), "# From the phone\n");
    assert_eq!(victim.vault().list().unwrap().len(), 2);
    victim.check();
}

/// Five operations of a note that has its genesis alone, numbered to the end of what Automerge counts with.
fn numbered_to_the_end(note: NoteId) -> Vec<u8> {
    let few = repeated(5);
    let (_, columns) = few.split_at(8);
    let mut data = [&[1], Note::genesis(note).hash.as_bytes().as_slice(), &[1, 7, 1]].concat();
    data.extend(leb(u64::from(u32::MAX) - 5));
    data.extend([0, 0, 0]);
    data.extend(columns);
    whole(1, &data)
}

/// A note that takes no more changes is named, and keeps the rest of a folder from nothing, and a sync as well.
#[tokio::test]
async fn a_note_that_is_numbered_to_the_end_stops_nobody_else() {
    let (victim, remote) = victim().await;
    let desk = Desk::of(victim);
    desk.write("a.md", "# A\n");
    desk.write("b.md", "# B\n");
    desk.write("c.md", "# C\n");
    desk.import();
    let [a, c] = ["a.md", "c.md"].map(|path| desk.note(path));
    let mut items = changes(a, [numbered_to_the_end(a)]);
    items.extend(changes(c, [numbered_to_the_end(c)]));
    push(&*remote, &desk.device, "buggy", items).await;
    desk.device.sync(&remote).await;
    desk.write("a.md", "# A\n\nedited\n");
    desk.write("b.md", "# B\n\nedited\n");
    std::fs::rename(desk.folder.join("c.md"), desk.folder.join("d.md")).unwrap();
    for _ in 0..2 {
        let report = desk.try_import(&desk.folder);
        let reasons = reasons(&report.skipped);
        assert_eq!(reasons.iter().map(|(path, _)| *path).collect::<Vec<_>>(), ["a.md", "d.md"]);
        assert!(
            reasons.iter().all(|(_, why)| why.contains("takes no more changes")),
            "{reasons:?}"
        );
        assert_eq!(desk.source("b.md"), "# B\n\nedited\n");
        assert_eq!(desk.device.vault().list().unwrap().len(), 4);
    }
    let error = desk.device.vault().set_trashed(a, true).unwrap_err();
    assert!(error.hint().unwrap().contains("new note"), "{error}");
    desk.device.note("# Another\n");
    desk.device.sync(&remote).await;
    desk.device.check();
}

#[tokio::test]
async fn places_that_a_hostile_device_names_stay_in_the_folder() {
    let (victim, remote) = victim().await;
    let image = victim.vault().images().ingest(&mut &png(2, 2, b"evil")[..]).unwrap();
    let key = Key::Image { image: image.image, media_type: MediaType::Png };
    remote.put(&key, bytes::Bytes::from(png(2, 2, b"evil")).into()).await.unwrap();
    let mut items = vec![Item::Image {
        image: image.image,
        bytes: image.bytes,
        media_type: MediaType::Png,
        dimensions: image.dimensions,
    }];
    let names = [
        "../../../escaped.png",
        "/etc/escaped.png",
        "..\\..\\escaped.png",
        "C:\\escaped.png",
        "%2e%2e%2f%2e%2e%2fescaped.png",
        "file:///etc/escaped.png",
        "a/\u{0}/escaped.png",
        ".everleaf-export",
        "nul",
        "",
    ];
    for (number, name) in (1..).zip(names) {
        let id = NoteId::from_bytes([number; 16]);
        let mut made = Note::new(id, [number; 8]);
        let embed = |path: Option<&str>| {
            Piece::Embed(Embed {
                image: image.image,
                name: name.into(),
                path: path.map(str::to_owned),
            })
        };
        let text = |text: &str| Piece::Text(text.into());
        let body = [text("![]("), embed(None), text(")\n![](<"), embed(Some(name)), text(">)\n")];
        let change = made.create(Some(name), &Body::new(body), NOW).unwrap().unwrap();
        items.extend(changes(id, [change.bytes]));
    }
    push(&*remote, &victim, "hostile", items).await;
    victim.sync(&remote).await;
    let around = tempfile::tempdir().unwrap();
    let folder = around.path().join("a/b/c/export");
    let report = export(victim.vault(), &folder, &ExportOptions::default(), &|_| ()).unwrap();
    assert_eq!(report.notes, names.len() as u64 + 1);
    assert_eq!(report.skipped, vec![]);
    let inside = hashes(&folder).len();
    let files = walkdir::WalkDir::new(around.path()).into_iter().map(Result::unwrap);
    let hidden = 1;
    assert_eq!(files.filter(|entry| entry.file_type().is_file()).count(), inside + hidden);
    assert!(!std::path::Path::new("/etc/escaped.png").exists());
}

/// What another device wrote is no reason to read a file of this one, to put it on the remote and to tell all
/// where it is: only what somebody writes here is.
#[tokio::test]
async fn a_text_from_elsewhere_reaches_for_no_file_here() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let laptop = Device::new("laptop", 1);
    let phone = Device::join("phone", 2, &laptop);
    for device in [&laptop, &phone] {
        device.add_public(&remote, Some("https://img.example")).await;
    }
    laptop.file("me.png", &png(3, 4, b"private"));
    laptop.file("lake.png", &png(3, 4, b"lake"));
    let text = "# Hello\n\n![](me.png) <img src='me.png'> ![[me.png]]\n\n```\n![](./me.png)\n```\n";
    let note = phone.note(text);
    phone.sync(&remote).await;
    laptop.sync(&remote).await;
    laptop.edit(note, |text| text + "\n![](lake.png)\n");
    laptop.edit(note, |text| text.replace("Hello", "Thanks"));
    // Nor does it once it is code no more.
    laptop.edit(note, |text| text.replace("```\n", ""));
    laptop.sync(&remote).await;
    phone.sync(&remote).await;
    let body = phone.body(note);
    let names: Vec<&str> = body.embeds().map(|embed| embed.name.as_str()).collect();
    assert_eq!(names, ["lake.png"]);
    assert_eq!(laptop.vault().image_list().unwrap().len(), 1);
}

/// Of some marks Automerge ends a process that has debug assertions, and no note has any.
#[test]
fn what_has_marks_is_no_note() {
    let change = include_bytes!("../../fixtures/crashers/note/a-mark-before-all");
    let document = |marked: bool| {
        let mut document = Automerge::new();
        let mut edit = document.transaction();
        let text = edit.put_object(ROOT, "body", ObjType::Text).unwrap();
        edit.splice_text(&text, 0, 0, "all of it").unwrap();
        if marked {
            let bold = Mark::new("bold".into(), true, 0, 3);
            edit.mark(&text, bold, ExpandMark::None).unwrap();
        }
        edit.commit();
        document.save()
    };
    let note = NoteId::new(1, [1; 10]);
    let load = |bytes: &[u8]| Note::load(note, [1; 8], Some(bytes), &[]).unwrap_err().to_string();
    let valued = include_bytes!("../../fixtures/crashers/note/a-block-that-is-an-empty-text-too");
    assert!(load(valued).contains("far too"), "{}", load(valued));
    for bytes in [change.to_vec(), document(true), [document(false), change.to_vec()].concat()] {
        let error = load(&bytes);
        assert!(error.contains("it is no document, or has far too much"), "{error}");
    }
    assert!(!load(&document(false)).contains("it is no document"));
}

/// A document of which a column of operations stands there twice, for numbers below 128.
fn twice(document: &[u8], kind: u8) -> Vec<u8> {
    let (mut at, mut length) = (9, 0);
    for shift in 0.. {
        length |= usize::from(document[at] & 0x7f) << (7 * shift);
        at += 1;
        if document[at - 1] < 128 {
            break;
        }
    }
    let mut data = document[at..at + length].to_vec();
    let byte = |number: usize| u8::try_from(number).unwrap();
    at = 1;
    for _ in 0..data[0] {
        at += 1 + usize::from(data[at]);
    }
    at += 1 + 32 * usize::from(data[at]);
    let columns = |at: usize| {
        let pairs = data[at + 1..][..2 * usize::from(data[at])].chunks(2);
        pairs.map(|pair| (pair[0], usize::from(pair[1]))).collect::<Vec<_>>()
    };
    let (changes, head) = (columns(at), at + 1 + 2 * usize::from(data[at]));
    let operations = columns(head);
    let nth = operations.iter().position(|(found, _)| *found == kind).unwrap();
    let before: usize = changes.iter().chain(&operations[..nth]).map(|(_, length)| length).sum();
    let start = head + 1 + 2 * operations.len() + before;
    let column = data[start..start + operations[nth].1].to_vec();
    data.splice(start..start, column.iter().copied());
    data.splice(head + 1 + 2 * nth..head + 1 + 2 * nth, [kind, byte(operations[nth].1)]);
    data[head] += 1;
    whole(0, &data)
}

/// Automerge takes the last of two columns that say the same, so whoever looks at the first is told nothing.
#[test]
fn a_document_that_says_something_twice_is_refused() {
    let mut note = Note::new(NoteId::new(1, [1; 10]), [1; 8]);
    let body = Body::new([Piece::Text("some text of a note".into())]);
    note.create(Some("a.md"), &body, Timestamp(0)).unwrap();
    let automerge = Automerge::load(&note.save()).unwrap();
    let document = automerge.save_nocompress();
    assert!(Note::load(note.id(), [1; 8], Some(&document), &[]).is_ok());
    for kind in [0x42, 0x56] {
        let document = twice(&document, kind);
        assert!(Automerge::load(&document).is_ok(), "Automerge makes something of it");
        assert!(Note::load(note.id(), [1; 8], Some(&document), &[]).is_err());
        assert!(inspect_whole(&document).is_err());
    }
}
