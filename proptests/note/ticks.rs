//! Boxes of tasks: whoever sets one, it stays a box.

use automerge::{
    Automerge, LoadOptions, ROOT, ReadDoc as _, TextEncoding, transaction::Transactable as _,
};
use everleaf::{clock::Timestamp, note::Change};
use proptest::{prelude::*, sample::Index};

use super::{
    AT, body, copy, edit, note,
    twice::{again, at_once},
};

/// What some make of one note at once, merged on the device of each.
fn merged<const N: usize>(base: &str, sources: [&str; N]) -> String {
    let notes = at_once(base, sources);
    let merged = notes[0].body().source();
    for note in &notes {
        assert_eq!(note.body().source(), merged);
        assert_eq!(copy(note, 9).body().source(), merged);
    }
    merged
}

#[test]
fn a_task_that_two_tick_at_once_is_ticked() {
    let list = "# Buy\n\n- [ ] milk\n* [ ] bread\n  1. [x] salt\n> + [ ] tea\n- [ ] ![](p.png) x\n";
    for (one, other, merged) in [
        ("[ ] milk", "[x] milk", "[x] milk"),
        ("[ ] bread", "[X] bread", "[X] bread"),
        ("[x] salt", "[ ] salt", "[ ] salt"),
        ("[ ] tea", "[x] tea", "[x] tea"),
        ("[ ] ![]", "[x] ![]", "[x] ![]"),
    ]
    .map(|(from, to, merged)| (from, to, list.replace(from, merged)))
    {
        let ticked = list.replace(one, other);
        assert_ne!(ticked, list);
        assert_eq!(self::merged(list, [ticked.as_str(); 3]), merged);
        // And with what one of them did besides.
        let more = ticked.replace("# Buy", "# Buy today");
        assert_eq!(
            self::merged(list, [more.as_str(), ticked.as_str()]),
            merged.replace("# Buy", "# Buy today")
        );
    }
    // One says `x`, the other `X`: it is ticked.
    let merged = self::merged("- [ ] a\n", ["- [x] a\n", "- [X] a\n"]);
    assert!(["- [x] a\n", "- [X] a\n"].contains(&merged.as_str()), "{merged}");
}

/// What is no box merges letter by letter.
#[test]
fn what_is_no_box_is_text() {
    for (base, one, other) in [
        ("array[ ] of\n", "array[x] of\n", "array[X] of\n"),
        ("- [ ](link)\n", "- [x](link)\n", "- [X](link)\n"),
        ("- a [ ] b\n", "- a [x] b\n", "- a [X] b\n"),
        ("[ ] b\n", "[x] b\n", "[X] b\n"),
        ("-[ ] b\n", "-[x] b\n", "-[X] b\n"),
        ("![](p.png)- [ ] b\n", "![](p.png)- [x] b\n", "![](p.png)- [X] b\n"),
    ] {
        let merged = self::merged(base, [one, other]);
        assert!(merged.contains("[xX]") || merged.contains("[Xx]"), "{merged}");
    }
}

/// An edit of an older version, and of a file, which is the same change on all devices.
#[test]
fn a_file_that_two_ticked_is_ticked() {
    let (mut one, _) = note("- [ ] milk\n- [ ] bread\n", 1);
    let base = one.heads();
    let mut other = copy(&one, 2);
    edit(&mut one, "- [ ] milk\n- [x] bread\n").unwrap();
    edit(&mut other, "- [ ] milk\n- [ ] brown bread\n").unwrap();
    let ticked = body("- [ ] milk\n- [x] bread\n");
    let (_, first) = one.edit_alike(&base, &ticked, Timestamp(AT.0 + 1000)).unwrap();
    let (_, second) = other.edit_alike(&base, &ticked, Timestamp(AT.0 + 2000)).unwrap();
    let changes: Vec<Change> = one.changes().into_iter().chain(other.changes()).collect();
    assert_eq!((first.len(), second.len()), (1, 1));
    for note in [&mut one, &mut other] {
        note.apply(&changes.iter().map(|change| &change.bytes[..]).collect::<Vec<_>>()).unwrap();
        assert_eq!(note.body().source(), "- [ ] milk\n- [x] brown bread\n");
    }
}

/// An edit of a file is made as if nothing had come since; what was set back meanwhile does not undo it, and whoever
/// imports it as well, whatever they know, makes the same.
#[test]
fn what_was_set_back_undoes_no_tick_of_a_file() {
    let (first, _) = note("- [ ] milk\n- [ ] bread\n", 1);
    let base = first.heads();
    let ticked = body("- [x] milk\n- [ ] brown bread\n");
    for both_know in [true, false] {
        let (mut one, mut other) = (first.clone(), copy(&first, 2));
        let back = ["- [x] milk\n- [ ] bread\n", "- [ ] milk\n- [ ] bread\n"];
        let back = back.map(|source| edit(&mut one, source).unwrap());
        if both_know {
            other.apply(&back.each_ref().map(|change| &change.bytes[..])).unwrap();
        }
        let (version, made) = one.edit_alike(&base, &ticked, AT).unwrap();
        assert_eq!((one.body(), one.body_at(&version).unwrap()), (&ticked, ticked.clone()));
        let mut third = copy(&one, 3);
        assert_eq!(third.edit_alike(&base, &ticked, AT).unwrap(), (version.clone(), vec![]));

        let (same, others) = other.edit_alike(&base, &ticked, AT).unwrap();
        assert_eq!((same, other.body()), (version, &ticked));
        assert_eq!(others.len(), if both_know { 2 } else { 1 });
        let all: Vec<&[u8]> =
            back.iter().chain(&made).chain(&others).map(|change| &change.bytes[..]).collect();
        for note in [&mut one, &mut other, &mut third] {
            note.apply(&all).unwrap();
            assert_eq!(note.body(), &ticked);
            assert_eq!(copy(note, 4).body(), &ticked);
        }
    }
}

/// Before what stands twice in a document, and behind it, and where another client's block is.
#[test]
fn a_box_is_set_wherever_it_stands() {
    let base = "- [ ] a\n![](p.png)\n- [ ] b\n";
    let twice = "- [ ] a\n![](p.png)\n![](q.png)\n- [ ] b\n";
    let mut notes = at_once(base, [twice; 2]);
    let shown = notes[0].body().source();
    let ticked = shown.replace("[ ] a", "[x] a").replace("[ ] b", "[x] b");
    again(&mut notes, [ticked.as_str(); 2]);
    for note in &notes {
        assert_eq!(note.body().source(), ticked);
        assert_eq!(copy(note, 4).body().source(), ticked);
    }
}

/// Another client may put in a whole line as one, and a box in it is no character that could be set.
#[test]
fn a_box_in_what_was_put_in_as_one_is_left_to_the_text() {
    let (mut first, _) = note("- [ ] a\n", 1);
    let mut document = Automerge::load_with_options(
        &first.save(),
        LoadOptions::new().text_encoding(TextEncoding::UnicodeCodePoint),
    )
    .unwrap();
    let (_, text) = document.get(ROOT, "body").unwrap().unwrap();
    let mut theirs = document.transaction();
    theirs.insert(&text, 8, "- [x] one\n").unwrap();
    theirs.commit();
    first.apply(&[document.get_last_local_change().unwrap().raw_bytes()]).unwrap();
    let base = first.heads();
    assert_eq!(first.body().source(), "- [ ] a\n- [x] one\n");
    let (mut one, mut other) = (copy(&first, 2), copy(&first, 3));
    edit(&mut one, "- [x] a\n- [x] one\nmore\n");
    other.apply(&one.changes().iter().map(|change| &change.bytes[..]).collect::<Vec<_>>()).unwrap();
    let unticked = body("- [x] a\n- [ ] one\n");
    let (_, made) = other.edit_alike(&base, &unticked, AT).unwrap();
    assert_eq!(made.len(), 1);
    assert!(other.body().source().starts_with("- [x] a\n"), "{:?}", other.body());
    assert!(other.body().source().ends_with("more\n"), "{:?}", other.body());
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Devices tick and untick, write behind and between, and hear of one another now and then.
    #[test]
    fn a_box_stays_a_box(
        tasks in 1..6_usize,
        acts in prop::collection::vec((0..3_usize, 0..4_u8, any::<Index>()), 1..24),
    ) {
        let lines = (0..tasks).map(|nth| format!("- [ ] do the thing {nth} soon\n"));
        let list = lines.collect::<Vec<_>>().concat();
        let (first, _) = note(&list, 9);
        let mut devices = [1, 2, 3].map(|actor| copy(&first, actor));
        let mut told: Vec<Change> = Vec::new();
        let mut ticks = vec![[false; 2]; tasks];
        for (who, act, which) in acts {
            let nth = which.index(tasks);
            let source = devices[who].body().source();
            let (open, done) = (format!("[ ] do the thing {nth} "), format!("[x] do the thing {nth} "));
            let is_done = source.contains(&done);
            prop_assert!(is_done || source.contains(&open), "{source}");
            let new = match act {
                0 | 1 => {
                    ticks[nth][usize::from(!is_done)] = true;
                    if is_done { source.replace(&done, &open) } else { source.replace(&open, &done) }
                }
                2 => source.replacen(&format!(" {nth} soon"), &format!(" {nth} very soon"), 1),
                _ => {
                    let bytes: Vec<&[u8]> = told.iter().map(|change| &change.bytes[..]).collect();
                    devices[who].apply(&bytes).unwrap();
                    continue;
                }
            };
            told.extend(edit(&mut devices[who], &new));
        }
        let bytes: Vec<&[u8]> = told.iter().map(|change| &change.bytes[..]).collect();
        for device in &mut devices {
            device.apply(&bytes).unwrap();
        }
        let [one, other, third] = &devices;
        prop_assert_eq!(one.body(), other.body());
        prop_assert_eq!(one.body(), third.body());
        let merged = one.body().source();
        for (nth, ticks) in ticks.iter().enumerate() {
            let states = [" ", "x"].map(|state| merged.contains(&format!("- [{state}] do the thing {nth} ")));
            match ticks {
                [false, false] => prop_assert_eq!(states, [true, false]),
                [false, true] => prop_assert_eq!(states, [false, true]),
                _ => prop_assert!(states == [true, false] || states == [false, true], "{}", merged),
            }
        }
    }
}
