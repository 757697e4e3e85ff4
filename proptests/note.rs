//! The Automerge document of a note: edits, merges, and bytes that nobody should trust.

mod begin;
mod extremes;
mod kept;
mod lines;
mod merge;
mod ticks;
mod torn;
mod twice;

use std::collections::HashSet;

use automerge::{Automerge, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use everleaf::{
    clock::Timestamp,
    id::{ChangeHash, ImageId, NoteId},
    note::{
        Body, Change, Embed, Heads, Note, NoteError, Piece, Target, inspect,
        markdown::{Destination, Syntax},
        touches_only_images,
    },
};
use proptest::{prelude::*, sample::Index};

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn id() -> NoteId {
    NoteId::new(1_700_000_000_000, [7; 10])
}

fn image(number: u8) -> ImageId {
    ImageId::from_bytes([number; 32])
}

/// Every destination that ends in `.png` is an image, named by its first letter.
fn find(destination: &Destination) -> Option<Target> {
    let name = destination.target.split('#').next().unwrap_or_default();
    let first = name.strip_suffix(".png")?.bytes().last()?;
    Some(Target {
        image: image(first),
        path: (first == b'p').then(|| "img/p.png".to_owned()),
        name: None,
    })
}

pub(crate) fn body(source: &str) -> Body {
    Body::parse(source, find)
}

fn embed(name: &str) -> Piece {
    let first = name.bytes().next().unwrap();
    Piece::Embed(Embed { image: image(first), name: name.to_owned(), path: None })
}

fn text(text: &str) -> Piece {
    Piece::Text(text.to_owned())
}

pub(crate) fn note(source: &str, actor: u8) -> (Note, Change) {
    let mut note = Note::new(id(), [actor; 8]);
    let change = note.create(Some("a/Note.md"), &body(source), AT).unwrap().unwrap();
    (note, change)
}

/// A copy of `note` under another actor.
pub(crate) fn copy(note: &Note, actor: u8) -> Note {
    Note::load(id(), [actor; 8], Some(&note.save()), &[]).unwrap()
}

fn edit(note: &mut Note, source: &str) -> Option<Change> {
    let heads = note.heads();
    note.edit_body(&heads, &body(source), AT).unwrap()
}

#[test]
fn genesis_is_the_same_on_every_device() {
    let genesis = Note::genesis(id());
    assert_eq!(genesis, Note::genesis(id()));
    assert_eq!(
        genesis.hash.to_string(),
        "9b698f4553a4937d05238ff26ae2b3494c0c6789eaeaf33733185d27da5bc970"
    );
    assert_eq!(inspect(&genesis.bytes).unwrap().hash, genesis.hash);
    let (mut one, first) = note("one", 1);
    let (mut two, second) = note("two", 2);
    one.apply(&[&second.bytes]).unwrap();
    two.apply(&[&first.bytes]).unwrap();
    assert_eq!(one.body(), two.body());
    let merged = one.body().source();
    assert!(merged.contains("one") && merged.contains("two"));
}

#[test]
fn what_is_written_is_read() {
    let (mut note, change) = note("![x](a.png) and ![[p.png]]", 1);
    assert_eq!(change.deps, [Note::genesis(id()).hash]);
    assert_eq!(note.path().as_deref(), Some("a/Note.md"));
    assert!(!note.trashed());
    assert_eq!(*note.body(), body("![x](a.png) and ![[p.png]]"));
    assert_eq!(note.body().embeds().nth(1).unwrap().path.as_deref(), Some("img/p.png"));
    assert_eq!(note.body().images(), [image(b'a'), image(b'p')]);
    let before = note.heads();
    assert!(note.set_path(Some("a/Note.md"), AT).unwrap().is_none());
    assert!(note.set_trashed(false, AT).unwrap().is_none());
    assert!(edit(&mut note, "![x](a.png) and ![[p.png]]").is_none());
    assert_eq!(note.heads(), before);
    note.set_path(None, AT).unwrap().unwrap();
    note.set_trashed(true, AT).unwrap().unwrap();
    edit(&mut note, "new").unwrap();
    assert_eq!((note.path(), note.trashed(), note.body()), (None, true, &body("new")));
    assert_eq!(note.body_at(&before).unwrap(), body("![x](a.png) and ![[p.png]]"));
    assert_eq!(note.history().len(), 5);
    assert_eq!(note.history().last().unwrap().at, AT);
    let elsewhere = Heads::from(vec![ChangeHash::from_bytes([1; 32])]);
    assert!(matches!(note.body_at(&elsewhere), Err(NoteError::UnknownHeads { .. })));
    assert_eq!(before.to_string().parse::<Heads>().unwrap(), before);
}

#[test]
fn urls_are_put_once_and_edit_nothing() {
    let (mut note, created) = note("![x](a.png)", 1);
    let urls = [(image(b'a'), "https://x/a.png".to_owned())];
    let put = note.put_urls(&urls, AT).unwrap().unwrap();
    assert!(note.put_urls(&urls, AT).unwrap().is_none());
    assert_eq!(note.urls().into_iter().collect::<Vec<_>>(), urls);
    assert!(touches_only_images(id(), &put.bytes).unwrap());
    assert!(!touches_only_images(NoteId::new(0, [0; 10]), &put.bytes).unwrap());
    let edited = edit(&mut note, "![y](a.png)").unwrap();
    let moved = note.set_path(None, AT).unwrap().unwrap();
    for change in [created, edited, moved, Note::genesis(id())] {
        assert!(!touches_only_images(id(), &change.bytes).unwrap());
    }
    assert_eq!(note.body().source(), "![y](a.png)");
}

#[test]
fn changes_wait_for_those_that_they_build_on() {
    let (mut one, created) = note("a", 1);
    let edited = edit(&mut one, "ab").unwrap();
    let mut two = Note::load(id(), [2; 8], None, &[&edited.bytes]).unwrap();
    assert_eq!(two.missing(), [created.hash]);
    assert_eq!(two.body().source(), "");
    let mut saved = Note::load(id(), [3; 8], Some(&two.save()), &[]).unwrap();
    for note in [&mut two, &mut saved] {
        note.apply(&[&created.bytes]).unwrap();
        assert_eq!((note.body().source(), note.missing()), ("ab".to_owned(), vec![]));
    }
}

#[test]
fn a_note_that_is_thrown_away_before_all_of_it_has_arrived_stays_there() {
    for (author, other) in [(1, 2), (2, 1)] {
        let (written, created) = note("text", author);
        let mut half = Note::new(written.id(), [other; 8]);
        half.set_trashed(true, Timestamp(0)).unwrap();
        half.apply(&[&created.bytes]).unwrap();
        assert!(half.trashed());
        assert_eq!(half.body().source(), "text");
    }
}

#[test]
fn an_edit_of_an_old_version_overwrites_nothing() {
    let (mut note, _) = note("one two three", 1);
    let base = note.heads();
    edit(&mut note, "one 2 three").unwrap();
    let late = note.edit_body(&base, &body("one two THREE"), AT).unwrap().unwrap();
    let later = note.edit_body(&base, &body("ONE two three"), AT).unwrap().unwrap();
    assert_eq!(note.body().source(), "ONE 2 THREE");
    for change in [&late, &later] {
        assert_eq!(Heads::from(change.deps.clone()), base);
    }
    // Nothing but these is new, and no author counted twice.
    assert_eq!(note.history().len(), 5);
    let reloaded = copy(&note, 9);
    assert_eq!((reloaded.body(), reloaded.heads()), (note.body(), note.heads()));
}

#[test]
fn another_clients_blocks_are_left_alone() {
    let (note, _) = note("one two", 1);
    let mut theirs = Automerge::load(&note.save()).unwrap();
    let (_, body) = theirs.get(ROOT, "body").unwrap().unwrap();
    let mut transaction = theirs.transaction();
    let block = transaction.split_block(&body, 3).unwrap();
    transaction.put(&block, "type", "paragraph").unwrap();
    transaction.commit();
    let mut note = Note::load(id(), [2; 8], Some(&theirs.save()), &[]).unwrap();
    assert_eq!(note.body().pieces(), [text("one"), Piece::Foreign, text(" two")]);
    assert_eq!(note.body().source(), "one\u{fffc} two");
    edit(&mut note, "One\u{fffc} Two").unwrap();
    assert_eq!(note.body().pieces(), [text("One"), Piece::Foreign, text(" Two")]);
}

#[test]
fn a_title_is_what_the_front_matter_or_a_heading_or_the_first_line_says() {
    let title = |source: &str| body(source).title();
    assert_eq!(title("---\ntitle: \"A b\"\n---\n# C").as_deref(), Some("A b"));
    assert_eq!(title("intro\n\n# *C* `d`\n").as_deref(), Some("C d"));
    assert_eq!(title("Set\next\n===").as_deref(), Some("Set ext"));
    assert_eq!(title("\n\n- first *line*\n- second").as_deref(), Some("first line"));
    assert_eq!(title("one\ntwo").as_deref(), Some("one"));
    assert_eq!(title(" \n\n"), None);
    assert_eq!(title(&"x".repeat(999)).unwrap().len(), 200);
}

/// Two embeds side by side: what `source` shows.
fn doubled(before: &str, names: &[&str], after: &str) -> Body {
    let pieces = std::iter::once(text(before)).chain(names.iter().map(|name| embed(name)));
    Body::new(pieces.chain([text(after)]))
}

#[test]
fn images_replaced_on_two_devices_are_both_shown() {
    for (before, after, shown) in [
        ("x ![k](", " \"t\") y", "x ![k](a.png \"t\")![k](b.png \"t\") y"),
        ("> <img alt=k src=\"", "\">", "> <img alt=k src=\"a.png\"><img alt=k src=\"b.png\">"),
        ("![[", "|300]]\n", "![[a.png|300]]![[b.png|300]]\n"),
        (
            "![k][r] z ![r]\n\n[r]: ",
            " 't'\n",
            "![k][r]![k](<b.png>) z ![r]![r](<b.png>)\n\n[r]: a.png 't'\n",
        ),
        ("`", "`", "`a.pngb.png`"),
    ] {
        let body = doubled(before, &["a.png", "b.png"], after);
        assert_eq!(body.source(), shown);
        assert_eq!(body.characters(), shown.chars().count());
        assert_eq!(body.images(), [image(b'a'), image(b'b')]);
    }
    assert_eq!(
        doubled("![](", &["a.png", "b.png", "c.png"], ")").source(),
        "![](a.png)![](b.png)![](c.png)"
    );
}

#[test]
fn a_merge_of_two_replacements_shows_both() {
    let (mut one, _) = note("see ![k](z.png).", 1);
    let mut two = copy(&one, 2);
    let left = edit(&mut one, "see ![k](a.png).").unwrap();
    let right = edit(&mut two, "see ![k](b.png).").unwrap();
    one.apply(&[&right.bytes]).unwrap();
    two.apply(&[&left.bytes]).unwrap();
    assert_eq!(one.body(), two.body());
    let both = ["see ![k](a.png)![k](b.png).", "see ![k](b.png)![k](a.png)."];
    let source = one.body().source();
    assert!(both.contains(&source.as_str()), "{source}");
    // Looked at and put back, it is as it was.
    assert!(edit(&mut one, &source).is_none());
    // An edit elsewhere leaves the two side by side.
    edit(&mut one, &source.replace("see", "look at")).unwrap();
    assert_eq!(one.body().pieces().len(), 4);
    // One of them taken away.
    let second = source[5 + "![k](a.png)".len() - 1..source.len() - 1].to_owned();
    edit(&mut two, &source.replace(&second, "")).unwrap();
    assert_eq!(two.body().source(), source.replace(&second, ""));
    assert_eq!(two.body().embeds().count(), 1);
}

#[test]
fn render_puts_urls_where_names_are() {
    let body = body("![k](a.png) ![[b.png|30]] `c.png`\n\n![r]\n\n[r]: c.png");
    let mut seen = Vec::new();
    let shown = body.render(|embed, syntax| {
        seen.push(syntax);
        (embed.image != image(b'b')).then(|| "URL".to_owned())
    });
    assert_eq!(shown, "![k](URL) ![[b.png|30]] `c.png`\n\n![r]\n\n[r]: URL");
    assert_eq!(seen, [Some(Syntax::Inline), Some(Syntax::Wiki), Some(Syntax::Reference)]);
}

/// Markdown with every kind of reference in every kind of block.
fn markdown() -> impl Strategy<Value = String> {
    let name =
        prop::sample::select(vec!["a.png", "b.png", "p.png", "x/c.png", "%20d.png", "é.png", "no"]);
    let shown = (name, 0..9_u8).prop_map(|(name, kind)| match kind {
        0 => format!("![k]({name})"),
        1 => format!("![k](<{name}> \"t\")"),
        2 => format!("<img src=\"{name}\" alt=x>"),
        3 => format!("<img srcset='{name} 1x, a.png 2x' src={name} >"),
        4 => format!("![[{name}|300]]"),
        5 => format!("![r] ![k][r]\n\n[r]: {name}\n\n"),
        6 => format!("`![]({name})` \\![]({name})"),
        7 => format!("[![k]({name})]({name})"),
        _ => format!("![two\nlines](\n{name})"),
    });
    let part = prop_oneof![3 => shown, 1 => "\\PC{0,4}", 2 => "[a-z 👩\u{200d}é\u{301}]{0,8}"];
    let block = (prop::collection::vec(part, 0..5), 0..8_u8).prop_map(|(parts, kind)| {
        let inline = parts.join(" ");
        let lined = |prefix: &str| inline.replace('\n', &format!("\n{prefix}"));
        match kind {
            0 => format!("> {}\n\n", lined("> ")),
            1 => format!("- {}\n", lined("  ")),
            2 => format!("# {}\n", inline.replace('\n', " ")),
            3 => format!("| h |\n|---|\n| {} |\n\n", inline.replace('\n', " ")),
            4 => format!("```\n{inline}\n```\n"),
            5 => format!("<div>\n{inline}\n</div>\r\n\r\n"),
            6 => format!("> 1. {}\r\n\r\n", lined(">    ")),
            _ => format!("{inline}\n\n"),
        }
    });
    (prop::collection::vec(block, 0..5), any::<bool>()).prop_map(|(blocks, front)| {
        let front = if front { "\u{feff}---\ncover: a.png\n---\n" } else { "" };
        format!("{front}{}", blocks.concat())
    })
}

/// Characters that some program takes for the end of a line, of a text, or for nothing.
fn odd() -> impl Strategy<Value = String> {
    "[\0\t\n\u{b}\u{c}\r\u{1c}\u{85}\u{a0}\u{301}\u{200b}\u{200d}\u{2028}\u{feff}\u{fffc}a!()<>`\\[\\]-]{0,40}"
}

/// Bodies as merges leave them: embeds anywhere, side by side too.
fn merged() -> impl Strategy<Value = Body> {
    (markdown(), prop::collection::vec((any::<Index>(), 0..3_u8), 0..4)).prop_map(
        |(source, more)| {
            let mut pieces = body(&source).pieces().to_vec();
            for (place, number) in more {
                let embeds: Vec<usize> =
                    (0..pieces.len()).filter(|at| matches!(pieces[*at], Piece::Embed(_))).collect();
                if !embeds.is_empty() {
                    let at = embeds[place.index(embeds.len())];
                    pieces.insert(at + 1, embed(["x.png", "y.png", "z.png"][usize::from(number)]));
                }
            }
            Body::new(pieces)
        },
    )
}

/// `source` with some stretches replaced.
fn altered(source: &str, edits: &[(Index, usize, String)]) -> String {
    let mut characters: Vec<char> = source.chars().collect();
    for (place, length, insert) in edits {
        let at = place.index(characters.len() + 1);
        let end = (at + length).min(characters.len());
        characters.splice(at..end, insert.chars());
    }
    characters.into_iter().collect()
}

fn edits(insert: &'static str) -> impl Strategy<Value = Vec<(Index, usize, String)>> {
    prop::collection::vec((any::<Index>(), 0..6_usize, insert), 0..4)
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn a_body_gives_back_its_source(source in markdown()) {
        prop_assert_eq!(body(&source).source(), source);
    }

    #[test]
    fn any_text_gives_back_itself(source in prop_oneof![any::<String>(), odd()]) {
        let body = Body::parse(&source, |_| Some(Target { image: image(1), path: None, name: None }));
        prop_assert_eq!(body.source(), source.clone());
        let _ = body.title();
    }

    #[test]
    fn an_edit_gives_just_the_new_body(old in markdown(), new in markdown()) {
        let (mut note, _) = note(&old, 1);
        edit(&mut note, &new);
        prop_assert_eq!(note.body(), &body(&new));
        let copied = copy(&note, 2);
        prop_assert_eq!(copied.body(), &body(&new));
    }

    #[test]
    fn an_edit_of_doubled_images_gives_just_the_new_source(
        old in merged(),
        edits in edits("[a-c!\\[\\]()<>.\n]{0,6}"),
    ) {
        let mut note = as_merged(&old);
        prop_assert_eq!(note.body(), &old);
        let shown = old.source();
        prop_assert_eq!(old.render(|_, _| None), shown.clone());
        let heads = note.heads();
        let same = body_like(&old, &shown);
        if same.source() == shown && same.embeds().count() == shown_embeds(&old) {
            prop_assert!(note.edit_body(&heads, &same, AT).unwrap().is_none());
        }
        let source = altered(&shown, &edits);
        note.edit_body(&heads, &body_like(&old, &source), AT).unwrap();
        prop_assert_eq!(note.body().source(), source);
    }

    #[test]
    fn concurrent_edits_lose_nothing(
        base in markdown(),
        left in edits("[\u{4e00}-\u{4fff}]{0,4}"),
        right in edits("[\u{5000}-\u{51ff}]{0,4}"),
        stale in any::<bool>(),
    ) {
        let (mut one, _) = note(&base, 1);
        let heads = one.heads();
        let mut two = copy(&one, 2);
        let (of_one, of_two) = (altered(&base, &left), altered(&base, &right));
        if stale {
            // The same two edits on one device, the second of a version that it had before.
            one.edit_body(&heads, &body(&of_one), AT).unwrap();
            one.edit_body(&heads, &body(&of_two), AT).unwrap();
        } else {
            let first = one.edit_body(&heads, &body(&of_one), AT).unwrap();
            let second = two.edit_body(&heads, &body(&of_two), AT).unwrap();
            one.apply(&second.iter().map(|change| change.bytes.as_slice()).collect::<Vec<_>>()).unwrap();
            two.apply(&first.iter().map(|change| change.bytes.as_slice()).collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(one.body(), two.body());
            prop_assert_eq!(one.heads(), two.heads());
        }
        let merged: HashSet<char> = one.body().source().chars().collect();
        let inserted = left.iter().chain(&right).flat_map(|(_, _, insert)| insert.chars());
        let shown: HashSet<char> = of_one.chars().chain(of_two.chars()).collect();
        for character in inserted.filter(|character| shown.contains(character)) {
            prop_assert!(merged.contains(&character), "{} was lost", character);
        }
        // Of an image shown twice, each side may have deleted another one.
        let once = |image: &ImageId| body(&base).embeds().filter(|one| one.image == *image).count() == 1;
        let images = |source: &str| body(source).images().into_iter().filter(once).collect::<HashSet<_>>();
        let kept = &(&images(&base) & &images(&of_one)) & &images(&of_two);
        let merged: HashSet<_> = one.body().images().into_iter().collect();
        prop_assert!(kept.is_subset(&merged));
    }

    #[test]
    fn damaged_bytes_are_refused(
        source in markdown(),
        of_snapshot in any::<bool>(),
        place in any::<Index>(),
        bit in 0..8_u8,
        cut in any::<bool>(),
    ) {
        let (note, change) = note(&source, 1);
        let mut bytes = if of_snapshot { note.save() } else { change.bytes };
        let at = place.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        let loaded = if of_snapshot {
            Note::load(id(), [2; 8], Some(&bytes), &[])
        } else {
            prop_assert!(inspect(&bytes).is_err());
            prop_assert!(touches_only_images(id(), &bytes).is_err());
            Note::load(id(), [2; 8], None, &[&bytes])
        };
        prop_assert!(loaded.is_err());
    }
}

/// A note whose document holds just this body, as a merge leaves it.
fn as_merged(body: &Body) -> Note {
    let mut document = Automerge::load(&Note::new(id(), [1; 8]).save()).unwrap();
    let (_, text) = document.get(ROOT, "body").unwrap().unwrap();
    let mut transaction = document.transaction();
    let mut at = 0;
    for piece in body.pieces() {
        match piece {
            Piece::Text(inserted) => {
                transaction.splice_text(&text, at, 0, inserted).unwrap();
                at += inserted.chars().count();
                continue;
            }
            Piece::Embed(embed) => {
                let block = transaction.split_block(&text, at).unwrap();
                transaction.put(&block, "type", "image").unwrap();
                let attrs = transaction.put_object(&block, "attrs", ObjType::Map).unwrap();
                transaction.put(&attrs, "src", format!("blake3:{}", embed.image)).unwrap();
                transaction.put(&attrs, "name", embed.name.as_str()).unwrap();
                if let Some(path) = &embed.path {
                    transaction.put(&attrs, "path", path.as_str()).unwrap();
                }
            }
            Piece::Foreign => drop(transaction.split_block(&text, at).unwrap()),
        }
        at += 1;
    }
    transaction.commit();
    Note::load(id(), [2; 8], Some(&document.save()), &[]).unwrap()
}

/// `source` read so that a name means the image that it means in `old`.
fn body_like(old: &Body, source: &str) -> Body {
    Body::parse(source, |destination| {
        let name = &source[destination.range.clone()];
        let known = old.embeds().find(|embed| embed.name == name)?;
        Some(Target { image: known.image, path: known.path.clone(), name: None })
    })
}

/// The number of embeds in what shows `body`.
fn shown_embeds(body: &Body) -> usize {
    let mut shown = 0;
    let _ = body.render(|_, _| {
        shown += 1;
        None
    });
    shown
}
