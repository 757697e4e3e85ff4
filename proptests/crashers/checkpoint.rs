//! Checkpoints from a remote, and from another device of the same person that has a fault.

use std::sync::{Arc, LazyLock};

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    event::{ChangeBytes, Digest, RemoteOptions},
    id::{DeviceId, ImageId, NoteId, SegmentHash},
    image::{Dimensions, MediaType},
    note::{Body, Note, Target, inspect_whole},
    remote::{Key, Memory, Remote},
    seal::{Context, Sealer, VaultKey},
    segment::{
        SealedSegment, SegmentError, VaultFile,
        checkpoint::{Checkpoint, Entry, FIRST_LIMIT, LIMIT, open_part, seal_part},
    },
    vault::{Options, SyncOptions, Vault},
};
use sha2::{Digest as _, Sha256};

use super::measured::within;

const DEVICE: DeviceId = DeviceId::from_bytes([1; 16]);
const SEQ: u64 = 5;
/// For which nothing is ever sealed here: a fuzzer learns what a target compares.
const STRANGER: DeviceId = DeviceId::from_bytes([2; 16]);
const AT: Timestamp = Timestamp(1_795_000_000_000);

fn name_of(bytes: &[u8]) -> SegmentHash {
    SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes())
}

fn key() -> VaultKey {
    VaultKey::generate(&SimulatedClock::new(Timestamp(0), 1))
}

/// Two notes, changes of a third that wait for others, and an image: as a device would write them.
pub(crate) fn entries() -> Vec<Entry> {
    let id = |number| NoteId::new(1_700_000_000_000, [number; 10]);
    let (image, at) = (ImageId::from_bytes([2; 32]), AT);
    let body = |source: &str| {
        Body::parse(source, |_| Some(Target { image, path: Some("a/b.png".into()), name: None }))
    };
    let mut waiting = Vec::new();
    let mut entries: Vec<Entry> = [(1, "# Bread\n\n![k](b.png)\n"), (2, "Beds\n"), (3, "")]
        .map(|(number, source)| {
            let mut note = Note::new(id(number), [number; 8]);
            note.create(Some("Bread.md"), &body(source), at).unwrap();
            let url = (image, "https://img.example.org/b.png".into());
            note.put_urls(std::slice::from_ref(&url), at).unwrap();
            let heads = note.heads();
            let edited = note.edit_body(&heads, &body("Flour. \u{1f35e}\n"), at).unwrap();
            waiting = edited.map(|change| ChangeBytes(change.bytes)).into_iter().collect();
            let (heads, changes) = (note.heads().as_slice().to_vec(), note.history().len() as u64);
            let digest = Digest {
                title: "Flour. \u{1f35e}".into(),
                path: Some("Bread.md".into()),
                characters: 9,
                images: vec![(url.0, Some(url.1))],
                ..Digest::default()
            };
            let document = ChangeBytes(note.save());
            Entry::Note { note: id(number), document, heads, changes, digest }
        })
        .into();
    entries[2] = Entry::Waiting { note: id(3), changes: waiting };
    let dimensions = Some(Dimensions { width: 640, height: 480 });
    let (media_type, holders) = (MediaType::Png, vec![STRANGER]);
    entries.push(Entry::Image { image, bytes: 70_000, media_type, dimensions, holders });
    entries
}

static GENUINE: LazyLock<SealedSegment> =
    LazyLock::new(|| seal_part(&entries(), &key().sealer(), DEVICE, SEQ).unwrap());

fn open_first(device: DeviceId, bytes: &[u8]) -> Result<Checkpoint, SegmentError> {
    let sealer = key().sealer();
    within(4 * FIRST_LIMIT, || Checkpoint::open(&sealer, device, SEQ, name_of(bytes), bytes))
}

/// Opens a part, and says how; whatever comes of it, in bounded memory.
fn open(device: DeviceId, bytes: &[u8]) -> Result<Vec<Entry>, SegmentError> {
    let sealer = key().sealer();
    // All that a part may unfold to, once more while it grows, and the entries read from it.
    within(4 * LIMIT, || open_part(&sealer, device, SEQ, name_of(bytes), bytes))
}

/// The bytes as a remote would give them, and as what somebody with the key sealed: for a first part, and
/// for one with entries, compressed and before compression. What opens is sealed and opened again as
/// itself, and a device that joins takes it in or refuses it.
pub(crate) fn attack(bytes: &[u8]) {
    let sealer = key().sealer();
    assert!(open_first(STRANGER, bytes).is_err(), "nobody without the key makes a checkpoint");
    assert!(open(STRANGER, bytes).is_err(), "nor a part of one");

    let first = Context::Checkpoint { device: DEVICE, seq: SEQ };
    if let Ok(read) = open_first(DEVICE, &sealer.seal(first, bytes)) {
        let again = read.seal(&sealer, DEVICE, SEQ).unwrap();
        assert_eq!(open_first(DEVICE, &again.bytes).unwrap(), read);
    }
    let part = Context::Part { device: DEVICE, seq: SEQ };
    for compressed in [bytes, &zstd::bulk::compress(bytes, 1).unwrap()] {
        let Ok(entries) = open(DEVICE, &sealer.seal(part, compressed)) else { continue };
        let again = seal_part(&entries, &sealer, DEVICE, SEQ).unwrap();
        assert_eq!(open(DEVICE, &again.bytes).unwrap(), entries);
        // What takes long to send on is nothing that anybody would look at further.
        if !entries.is_empty() && entries.len() < 100 {
            let mended: Vec<Entry> = entries.into_iter().map(mended).collect();
            let mended = seal_part(&mended, &sealer, DEVICE, SEQ).unwrap();
            // One of the four for each input, since a device takes its time.
            let chance = blake3::hash(bytes).as_bytes()[0];
            let part = if chance & 1 == 0 { &again } else { &mended };
            let parts = [part, &*GENUINE];
            join(&sealer, if chance & 2 == 0 { parts } else { [parts[1], parts[0]] });
        }
    }
}

/// With the checksum that its document should have, and the version that it is: where they are wrong,
/// nothing further is looked at.
fn mended(entry: Entry) -> Entry {
    match entry {
        Entry::Note { note, document: ChangeBytes(document), heads, changes, digest } => {
            let document = checked(document);
            let version = inspect_whole(&document).map(|version| version.as_slice().to_vec());
            let document = ChangeBytes(document);
            Entry::Note { note, document, heads: version.unwrap_or(heads), changes, digest }
        }
        Entry::Waiting { note, changes } => {
            let changes = changes.into_iter().map(|change| ChangeBytes(checked(change.0)));
            Entry::Waiting { note, changes: changes.collect() }
        }
        Entry::Image { .. } => entry,
    }
}

fn checked(mut chunk: Vec<u8>) -> Vec<u8> {
    if chunk.len() > 9 {
        let hash = Sha256::digest(&chunk[8..]);
        chunk[..4].copy_from_slice(&[0x85, 0x6f, 0x4a, 0x83]);
        chunk[4..8].copy_from_slice(&hash[..4]);
    }
    chunk
}

/// A device joins a vault whose remote has nothing but these parts of a checkpoint, one of them genuine:
/// the first is news, and the second is merged with it. What the device took in it can list, read, edit,
/// and tell again, or it says what of it is damaged.
fn join(sealer: &Sealer, parts: [&SealedSegment; 2]) {
    let first = Checkpoint { covers: Vec::new(), parts: parts.map(|part| part.hash).into() };
    let first = first.seal(sealer, DEVICE, SEQ).unwrap();
    let objects = (0..).zip([&first, parts[0], parts[1]]).map(|(part, sealed)| {
        let key = Key::Checkpoint { device: DEVICE, seq: SEQ, part, hash: sealed.hash };
        (key.to_string(), sealed.bytes.clone().into())
    });
    let vault_file = VaultFile::new(key().vault_id()).to_bytes().into();
    let remote = Memory::new();
    remote.restore(objects.chain([(Key::Vault.to_string(), vault_file)]).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(joins(Arc::new(remote)));
}

async fn joins(remote: Arc<dyn Remote>) {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SimulatedClock::new(AT, 2));
    let options = Options { clock, inline: true, ..Options::default() };
    let vault =
        Vault::create(&folder.path().join("vault"), "joined", Some(key()), options).unwrap();
    let origin: everleaf::event::RemoteName = "origin".parse().unwrap();
    let added = RemoteOptions { url: "memory".into(), ..RemoteOptions::default() };
    vault.add_remote(origin.clone(), added, Arc::clone(&remote)).await.unwrap();
    let sync = async || {
        let how = SyncOptions::default();
        vault.sync(&origin, Arc::clone(&remote), &how, &|_| ()).await.unwrap()
    };
    sync().await;
    let mut damaged = 0;
    for row in vault.list().unwrap() {
        let Ok(reading) = vault.read(row.note, None) else {
            damaged += 1;
            continue;
        };
        let text = format!("x{}", reading.body.source());
        if vault.edit(row.note, &reading.heads, &text, None).is_ok() {
            vault.read(row.note, None).unwrap();
        }
    }
    sync().await;
    let found = vault.verify().unwrap();
    assert!(damaged <= found.findings.len(), "{damaged} damaged: {:?}", found.findings);
}
