//! What a text that comes back from an editor means, whatever it shows images as.

use std::collections::BTreeMap;

use everleaf::{
    id::{ImageId, NoteId},
    note::NoteError,
    vault::VaultError,
};

use super::memory;
use crate::{image::png, world::Device};

fn images(device: &Device, note: NoteId) -> Vec<ImageId> {
    let body = device.body(note);
    body.embeds().map(|embed| embed.image).collect()
}

/// The note as its reader sees it, and the version of that.
fn shown(device: &Device, note: NoteId) -> (everleaf::note::Heads, String) {
    let reading = device.vault().read(note, None).unwrap();
    let shown = device.vault().markdown(&reading).unwrap();
    (reading.heads, shown)
}

/// An editor may be open for days.
#[tokio::test]
async fn a_text_shown_before_an_eviction_or_a_move_of_urls_keeps_its_images() {
    let remote = memory();
    let laptop = Device::new("laptop", 1);
    laptop.file("a.png", &png(3, 4, b"a"));
    let note = laptop.note("# Walk\n\n![a](a.png)\n");
    let image = images(&laptop, note);
    let mut texts = vec![shown(&laptop, note)];
    laptop.add_public(&remote, Some("https://one.example")).await;
    laptop.sync(&remote).await;
    texts.push(shown(&laptop, note));
    laptop.add_public(&remote, Some("https://two.example/notes")).await;
    laptop.sync(&remote).await;
    texts.push(shown(&laptop, note));
    laptop.vault().evict(image[0]).unwrap();
    assert!(texts[0].1.contains("/images/") && texts[1].1.contains("//one.example/images/"));
    assert!(texts[2].1.contains("//two.example/notes/images/"));
    for (heads, text) in texts {
        let same = laptop.vault().edit(note, &heads, &text, None).unwrap();
        assert!(!same.changed, "{text}");
        let more = laptop.vault().edit(note, &heads, &format!("{text}\nmore\n"), None).unwrap();
        assert!(more.changed);
        assert_eq!(images(&laptop, note), image, "{text}");
    }
    assert!(laptop.source(note).starts_with("# Walk\n\n![a](a.png)\n\nmore\n"));
    laptop.check();
}

/// The present version has what the author has not seen.
#[test]
fn an_edit_says_what_the_next_one_is_based_on() {
    let laptop = Device::new("laptop", 1);
    let vault = laptop.vault();
    let note = laptop.note("# Bread\n");
    let opened = vault.read(note, None).unwrap().heads;
    let one = vault.edit(note, &opened, "# Bread\n\none\n", None).unwrap();
    vault.edit(note, &opened, "# Rye bread\n", None).unwrap();
    assert_eq!(vault.read(note, Some(&one.heads)).unwrap().body.source(), "# Bread\n\none\n");
    let two = vault.edit(note, &one.heads, "# Bread\n\none, two\n", None).unwrap();
    assert_eq!(laptop.source(note), "# Rye bread\n\none, two\n");
    let same = vault.edit(note, &two.heads, "# Bread\n\none, two\n", None).unwrap();
    assert_eq!((same.heads, same.changed), (two.heads, false));
}

#[test]
fn a_picture_pasted_under_a_name_that_the_note_has_is_that_picture() {
    let laptop = Device::new("laptop", 1);
    let vault = laptop.vault();
    let [a, b] =
        [b"a", b"b"].map(|bytes| vault.images().ingest(&mut &png(3, 4, bytes)[..]).unwrap());
    let note = laptop.note("");
    let named = |stored| BTreeMap::from([("my image.png".to_owned(), stored)]);
    let opened = vault.read(note, None).unwrap().heads;
    let first = "![](my%20image.png)\n";
    let saved = vault.save_draft(note, &opened, first, &named(a)).unwrap();
    assert_eq!(images(&laptop, note), [a.image]);
    // The second stands above the first, which stays what it is.
    for text in [format!("![](my%20image.png)\n\n{first}"), format!("{first}\n![[my image.png]]\n")]
    {
        let both = vault.save_draft(note, &saved.heads, &text, &named(b)).unwrap();
        let made = vault.read(note, Some(&both.heads)).unwrap().body;
        let mut shown: Vec<_> = made.embeds().map(|embed| embed.image).collect();
        shown.sort_unstable();
        let mut expected = vec![a.image, b.image];
        expected.sort_unstable();
        assert_eq!(shown, expected, "{text}");
    }
    // Moved, with the same pictures at hand, it is the same.
    let moved =
        vault.save_draft(note, &saved.heads, &format!("# New\n\ntext\n\n{first}"), &named(a));
    assert!(moved.unwrap().changed);
    laptop.check();
}

#[test]
fn an_edit_based_on_a_version_that_never_was_is_refused() {
    let laptop = Device::new("laptop", 1);
    let note = laptop.note("# Bread\n");
    let nowhere = everleaf::note::Heads::default();
    let refused = laptop.vault().edit(note, &nowhere, "# Rye\n", None).unwrap_err();
    let VaultError::Note { source: NoteError::UnknownHeads { .. }, .. } = refused else {
        panic!("{refused}")
    };
}

/// A request whose answer got lost is made again, after somebody wrote around what it had written.
#[test]
fn a_draft_that_was_saved_is_not_saved_twice() {
    for (base, draft, later) in [
        ("a\nend\n", "a b\nend\n", "much more text before a b and behind\nend\n"),
        (
            "- [ ] milk\nend\n",
            "- [ ] milk bread\nend\n",
            "- [ ] milk bread from the shop around here\nend\n",
        ),
    ] {
        let laptop = Device::new("laptop", 1);
        let note = laptop.note(base);
        let opened = laptop.vault().read(note, None).unwrap().heads;
        let save = || laptop.vault().save_draft(note, &opened, draft, &BTreeMap::new()).unwrap();
        let saved = save();
        laptop.edit(note, |_| later.to_owned());
        let again = save();
        assert_eq!((again.heads, again.changed), (saved.heads, false));
        assert_eq!(laptop.source(note), later);
    }
}

/// An editor that stays open saves what is cut out before it is put back, and what is undone before it is done again.
#[tokio::test]
async fn a_picture_that_is_cut_out_and_put_back_is_that_picture() {
    let remote = memory();
    let mut laptop = Device::new("laptop", 1);
    laptop.add_public(&remote, Some("https://one.example")).await;
    laptop.file("my walk.png", &png(3, 4, b"a walk"));
    let (line, without) = ("![a](my%20walk.png)\n", "# Walk\n\nend\n");
    let note = laptop.note(&format!("{without}{line}"));
    let image = images(&laptop, note);
    let draft = |laptop: &Device, text: &str| {
        let base = laptop.vault().read(note, None).unwrap().heads;
        laptop.vault().save_draft(note, &base, text, &BTreeMap::new()).unwrap();
    };
    let url_line = {
        laptop.sync(&remote).await;
        let (_, shown) = shown(&laptop, note);
        shown.strip_prefix(without).unwrap().to_owned()
    };
    assert!(url_line.contains("//one.example/images/"), "{url_line}");
    for line in [line, &url_line] {
        draft(&laptop, without);
        assert_eq!(images(&laptop, note), []);
        laptop.reopen();
        draft(&laptop, &format!("{line}{without}"));
        assert_eq!(images(&laptop, note), image, "{line}");
        assert_eq!(laptop.source(note), format!("![a](my%20walk.png)\n{without}"));
    }
    laptop.check();
}

#[test]
fn of_two_pictures_of_one_name_the_one_that_was_shown_last_is_put_back() {
    let laptop = Device::new("laptop", 1);
    let note = laptop.note("end\n");
    let mut last = Vec::new();
    for bytes in [&b"one"[..], b"two"] {
        laptop.file("a.png", &png(3, 4, bytes));
        laptop.edit(note, |text| format!("![](a.png)\n{text}"));
        last = images(&laptop, note);
        laptop.edit(note, |_| "end\n".to_owned());
    }
    std::fs::remove_file(laptop.folder.path().join("a.png")).unwrap();
    laptop.edit(note, |text| format!("{text}![](a.png)\n![](other.png)\n"));
    assert_eq!(images(&laptop, note), last);
    laptop.check();
}

/// Whoever wrote it meant no picture of this vault, or one that is elsewhere.
#[test]
fn a_name_that_stands_in_a_note_as_text_stays_text() {
    let laptop = Device::new("laptop", 1);
    let line = "![](a.png)\n";
    let note = laptop.note(line);
    let picture = laptop.vault().images().ingest(&mut &png(3, 4, b"a")[..]).unwrap();
    let pictures = BTreeMap::from([("a.png".to_owned(), picture)]);
    let base = laptop.vault().read(note, None).unwrap().heads;
    let both = format!("{line}\n{line}");
    laptop.vault().save_draft(note, &base, &both, &pictures).unwrap();
    assert!(images(&laptop, note).contains(&picture.image));
    laptop.vault().go_back(note, &base).unwrap();
    for text in ["![](a.png)\n\nmore\n", &both] {
        assert_eq!(images(&laptop, note), []);
        laptop.edit(note, |_| text.to_owned());
    }
    assert_eq!(images(&laptop, note), []);
}

/// A name may be written in as many ways as there are syntaxes.
#[test]
fn a_picture_whose_name_is_written_otherwise_is_that_picture() {
    let laptop = Device::new("laptop", 1);
    laptop.file("my walk.png", &png(3, 4, b"a walk"));
    let note = laptop.note("![](my%20walk.png)\n");
    let image = images(&laptop, note);
    for text in ["![](<my walk.png>)\n", "![[my walk.png]]\n", "![](my%20walk.png)\n"] {
        let base = laptop.vault().read(note, None).unwrap().heads;
        laptop.vault().save_draft(note, &base, text, &BTreeMap::new()).unwrap();
        assert_eq!((images(&laptop, note), laptop.source(note)), (image.clone(), text.to_owned()));
    }
}

#[test]
fn a_file_with_a_backtick_in_its_name_is_attached_as_a_picture() {
    let laptop = Device::new("laptop", 1);
    let file = laptop.folder.path().join("it`s.png");
    std::fs::write(&file, png(3, 4, b"a")).unwrap();
    let note = laptop.note("# Walk\n");
    let attached = laptop.vault().attach(note, &[file], None).unwrap();
    let again = laptop.note(&laptop.source(note));
    assert_eq!(images(&laptop, again), [attached[0].image]);
}

/// What is cut out of one note and pasted into another shows the same pictures, under whatever names.
#[test]
fn a_text_of_one_note_names_its_pictures_in_another() {
    let laptop = Device::new("laptop", 1);
    laptop.file("my walk.png", &png(3, 4, b"a walk"));
    laptop.file("lake.png", &png(3, 4, b"a lake"));
    let line = "![](my%20walk.png) ![[lake.png]] ![](none.png)\n";
    let from = laptop.note(line);
    let shown = images(&laptop, from);
    assert_eq!(shown.len(), 2);
    let to = laptop.note("# Elsewhere\n");
    let stays = laptop.vault().pictures_of(from, line).unwrap();
    laptop.edit(from, |_| "gone\n".to_owned());
    let pictures = laptop.vault().pictures_of(from, line).unwrap();
    assert_eq!(pictures, stays);
    let base = laptop.vault().read(to, None).unwrap().heads;
    let text = format!("# Elsewhere\n\n{line}");
    laptop.vault().save_draft(to, &base, &text, &pictures).unwrap();
    assert_eq!((images(&laptop, to), laptop.source(to)), (shown, text));
    laptop.check();
}
