//! What fuzzing begins with: small, and of every kind that is there.

use std::{fs, path::Path};

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    event::{ChangeBytes, Covered},
    id::{DeviceId, ImageId, NoteId, SegmentHash},
    image::{Dimensions, MediaType},
    note::{Body, Known, Note, Target},
    seal::{Context, VaultKey},
    segment::{
        Head, Item, Segment,
        checkpoint::{self, Checkpoint},
    },
};

/// The targets, each with its seeds; `root` is that of the tree.
pub(crate) fn all(root: &Path) -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("checkpoint", checkpoints()),
        ("event", events(root)),
        ("hub_request", vec![super::hub_request::genuine()]),
        ("markdown", markdown(root)),
        ("note", notes()),
        ("segment", segments()),
        ("vault_json", vec![fs::read(root.join("fixtures/golden/vault-v1.json")).unwrap()]),
    ]
}

/// The golden events, one of every variant.
fn events(root: &Path) -> Vec<Vec<u8>> {
    let golden = fs::read_to_string(root.join("fixtures/golden/event-v1.txt")).unwrap();
    let hex = golden.lines().filter_map(|line| line.split_once(' ')).map(|(_, hex)| hex);
    hex.map(|hex| {
        let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
        digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
    })
    .collect()
}

/// The notes of the sample vault, and every kind of image in a line and in a block of its own.
fn markdown(root: &Path) -> Vec<Vec<u8>> {
    let files =
        ["Recipes/Bread.md", "Garden/Beds & paths.md", "Shopping list.md", "With a mark.md"];
    let read = |name: &str| fs::read(root.join("fixtures/vault").join(name)).unwrap();
    let mut seeds: Vec<_> = files.map(read).into();
    for image in [
        "![k](a.png \"t\")",
        "![k](<a b.png>)",
        "![k][r] ![r][] ![r]\n\n[r]: a%20b.png 't'\n",
        "<img alt='>' src=\"a.png\" srcset='b.png 1x, c.png 2x'>",
        "![[a.png#x|300]]",
        "[![k](a.png)](b.png)",
    ] {
        seeds.push(format!("{image}\u{1}`{image}`").into());
        seeds.push(format!("> 1. {image}\n\n| h |\n|---|\n| {image} |\n").into());
        seeds.push(format!("\u{feff}---\ntitle: {image}\n---\r\n<div>\n{image}\n</div>\n").into());
    }
    seeds
}

/// Notes with all that a note has, and the changes that made them.
fn notes() -> Vec<Vec<u8>> {
    let (id, at) = (NoteId::new(1_700_000_000_000, [7; 10]), Timestamp(1_700_000_000_000));
    let image = ImageId::from_bytes([2; 32]);
    let body = |source: &str| {
        Body::parse(source, |_| Some(Target { image, path: Some("a/b.png".into()), name: None }))
    };
    let mut one = Note::new(id, [1; 8]);
    let mut seeds = vec![Note::genesis(id).bytes, one.save()];
    let mut keep = |change: Option<everleaf::note::Change>| seeds.extend(change.map(|c| c.bytes));
    keep(one.create(Some("Bread.md"), &body("# Bread\n\n![k](b.png)\n"), at).unwrap());
    let mut two = Note::load(id, [2; 8], Some(&one.save()), &[]).unwrap();
    let heads = one.heads();
    let right = two.edit_body(&heads, &body("# Bröd\n\n![k](c.png)\n"), at).unwrap();
    keep(one.edit_body(&heads, &body("# Bread\n\nFlour. 👩‍👧\n"), at).unwrap());
    one.apply(&[&right.as_ref().unwrap().bytes]).unwrap();
    keep(right);
    keep(one.put_urls(&[(image, "https://img.example.org/b.png".into())], at).unwrap());
    keep(one.set_trashed(true, at).unwrap());
    // Long enough that Automerge compresses it.
    let heads = one.heads();
    keep(one.edit_body(&heads, &body(&"all work and no play ".repeat(40)), at).unwrap());
    seeds.push(one.save());
    seeds
}

/// What is in a segment before it is compressed, the same compressed, and what is in a head.
fn segments() -> Vec<Vec<u8>> {
    let sealer = VaultKey::generate(&SimulatedClock::new(Timestamp(0), 1)).sealer();
    let (device, seq) = (DeviceId::from_bytes([1; 16]), 5);
    let hash = Some(SegmentHash::from_bytes([4; 32]));
    let dimensions = Some(Dimensions { width: 640, height: 480 });
    let (image, media_type) = (ImageId::from_bytes([2; 32]), MediaType::Webp);
    let note = NoteId::from_bytes([1; 16]);
    let change = |bytes, projector| Item::Change { note, change: ChangeBytes(bytes), projector };
    let mut items = vec![
        change(vec![7; 20], false),
        change(vec![], true),
        Item::Image { image, bytes: 70_000, media_type, dimensions },
        Item::Image { image, bytes: 1, media_type, dimensions: None },
    ];
    // Real ones, of which a segment holds no more than it must.
    items.extend(notes().into_iter().map(|bytes| change(bytes, false)));
    let segment = Segment { device, seq, previous: hash, items };
    let segment = segment.seal(&sealer).unwrap();
    let compressed = sealer.open(Context::Segment { device, seq }, &segment.bytes).unwrap();
    let plain = zstd::bulk::decompress(&compressed, 65536).unwrap();
    let head = Head { seq, hash, name: "Lärche 🌲".into() }.seal(&sealer, device).unwrap();
    let head = sealer.open(Context::Head { device }, &head).unwrap();
    vec![plain, compressed, head, stripped(), whole()]
}

/// What a segment has of changes of one note, as the target takes it apart.
fn stripped() -> Vec<u8> {
    let (mut known, mut fields, mut typed) = (Known::default(), Vec::new(), Vec::new());
    for change in notes() {
        let Some(stripped) = known.strip(super::segment::NOTE, &change) else { continue };
        fields.extend(stripped.fields);
        typed.extend(stripped.typed);
    }
    let length = u16::try_from(fields.len()).unwrap();
    [&length.to_le_bytes()[..], &fields, &typed].concat()
}

/// What is in a segment of format 1 before it is compressed.
fn whole() -> Vec<u8> {
    let change = ChangeBytes(notes().pop().unwrap());
    let items = vec![Item::Change { note: super::segment::NOTE, change, projector: true }];
    postcard::to_extend(&(None::<SegmentHash>, items), vec![1]).unwrap()
}

/// What is in a part of a checkpoint before it is compressed, all and each entry by itself; all of it
/// compressed; and what is in a first part.
fn checkpoints() -> Vec<Vec<u8>> {
    let sealer = VaultKey::generate(&SimulatedClock::new(Timestamp(0), 1)).sealer();
    let (device, seq) = (DeviceId::from_bytes([1; 16]), 5);
    let entries = super::checkpoint::entries();
    let open = |entries: &[checkpoint::Entry]| {
        let part = checkpoint::seal_part(entries, &sealer, device, seq).unwrap();
        sealer.open(Context::Part { device, seq }, &part.bytes).unwrap()
    };
    let mut seeds = vec![open(&entries)];
    let unfold = |compressed: &[u8]| zstd::bulk::decompress(compressed, 65536).unwrap();
    seeds.push(unfold(&seeds[0]));
    seeds.extend(entries.chunks(1).map(|entry| unfold(&open(entry))));
    let hash = SegmentHash::from_bytes([4; 32]);
    let covers = vec![Covered { device, seq, hashes: vec![hash] }];
    let first = Checkpoint { covers, parts: vec![hash; 2] }.seal(&sealer, device, seq).unwrap();
    seeds.push(sealer.open(Context::Checkpoint { device, seq }, &first.bytes).unwrap());
    seeds
}
