//! One picture that several devices put in one place at once is there once, and goes as one.

use everleaf::note::{Body, Change, Note, Piece};
use proptest::{prelude::*, sample::Index};

use super::{AT, altered, copy, edits, embed, find, note, text};

/// Makes `source` of the note, as an edit of what it shows.
pub(super) fn edit(note: &mut Note, source: &str) -> Option<Change> {
    let new =
        Body::parse_edit(note.body(), source, |_, _| None, |destination, _| find(destination));
    let heads = note.heads();
    let change = note.edit_body(&heads, &new, AT).unwrap();
    assert_eq!(note.body().source(), new.source());
    assert_eq!(note.body(), copy(note, 9).body(), "what is known, and what is read");
    change
}

/// Lets each of them know what all of them made.
fn meet(notes: &mut [Note], made: &[Option<Change>]) {
    let made: Vec<&[u8]> = made.iter().flatten().map(|change| change.bytes.as_slice()).collect();
    for note in &mut *notes {
        note.apply(&made).unwrap();
    }
    for note in &*notes {
        assert_eq!(note.body(), notes[0].body());
        assert_eq!(note.body(), &Body::new(note.body().pieces().to_vec()));
    }
}

/// The devices of a note, and the sources that they make of it at once.
pub(super) fn at_once<const N: usize>(base: &str, sources: [&str; N]) -> [Note; N] {
    let (first, _) = note(base, 1);
    let mut actor = 1;
    let mut notes = [(); N].map(|()| {
        actor += 1;
        copy(&first, actor)
    });
    again(&mut notes, sources);
    notes
}

pub(super) fn again<const N: usize>(notes: &mut [Note; N], sources: [&str; N]) {
    let made: Vec<_> =
        notes.iter_mut().zip(sources).map(|(note, source)| edit(note, source)).collect();
    meet(notes, &made);
}

#[test]
fn a_picture_that_two_found_is_shown_once() {
    // That its file is there shows in the name's first letter being that of an image.
    let mut notes = at_once("see ![k](no) there", ["see ![k](a.png) there"; 2]);
    assert_eq!(notes[0].body().pieces(), [text("see ![k]("), embed("a.png"), text(") there")]);
    assert!(edit(&mut notes[0], "see ![k](a.png) there").is_none());
    again(&mut notes, ["look at ![k](a.png) there", "see ![k](a.png)! there"]);
    assert_eq!(notes[0].body().source(), "look at ![k](a.png)! there");
    // Replaced by both, it is one still; by one of them, the other one.
    again(&mut notes, ["![k](b.png)"; 2]);
    assert_eq!(notes[0].body().source(), "![k](b.png)");
    again(&mut notes, ["![k](c.png)", "![k](b.png)"]);
    assert_eq!(notes[1].body().source(), "![k](c.png)");
    again(&mut notes, ["![k](a.png)"; 2]);
    again(&mut notes, ["gone", "![k](a.png)"]);
    assert_eq!(notes[1].body().pieces(), [text("gone")]);
}

#[test]
fn the_same_picture_of_two_is_shown_once_beside_that_of_a_third() {
    let mut notes = at_once("![](z.png)", ["![](a.png)", "![](b.png)", "![](a.png)"]);
    let source = notes[0].body().source();
    assert_eq!(source, "![](a.png)![](b.png)");
    let mut others = notes.clone();
    again(&mut notes, ["![](a.png)", &source, &source]);
    assert_eq!(notes[2].body().source(), "![](a.png)");
    again(&mut others, ["![](b.png)", &source, &source]);
    assert_eq!(others[2].body().source(), "![](b.png)");
}

#[test]
fn what_is_written_between_the_two_shows_neither_twice() {
    let mut notes = at_once("![](z.png)", ["![](a.png)", "![](b.png)", "![](a.png)"]);
    assert_eq!(
        notes[0].body().source(),
        "![](a.png)![](b.png)",
        "the document has b between two a"
    );
    let source = notes[0].body().source();
    again(&mut notes, ["![](a.png) or ![](b.png)", &source, &source]);
    assert_eq!(notes[1].body().source(), "![](a.png) or ![](b.png)");
    again(&mut notes, ["![](b.png)", "![](a.png) or ![](b.png)", "![](a.png) or ![](b.png)"]);
    assert_eq!(notes[1].body().source(), "![](b.png)");
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Rounds of edits at once, of pictures above all: whoever edits sees what comes of it, and in the end
    /// no picture stands beside itself.
    #[test]
    fn what_is_edited_shows_as_it_was_written(
        base in prop::collection::vec("!\\[\\]\\([a-c]\\.png\\)", 1..4),
        rounds in prop::collection::vec(
            prop::collection::vec((any::<Index>(), "[abc]", edits("[a ()!]{0,3}"), 0..4_u8), 3),
            1..5,
        ),
    ) {
        let (first, _) = note(&base.concat(), 1);
        let mut notes = [2, 3, 4].map(|actor| copy(&first, actor));
        for round in rounds {
            let mut made = Vec::new();
            for (note, (which, name, edits, kind)) in notes.iter_mut().zip(&round) {
                let source = note.body().source();
                let places: Vec<usize> = source.match_indices(".png").map(|(at, _)| at).collect();
                let replaced = (*kind > 0 && !places.is_empty()).then(|| {
                    let at = places[which.index(places.len())];
                    let start = source[..at].char_indices().next_back().map_or(at, |(at, _)| at);
                    format!("{}{name}{}", &source[..start], &source[at..])
                });
                let replaced = replaced.unwrap_or_else(|| altered(&source, edits));
                made.push(edit(note, &replaced));
            }
            meet(&mut notes, &made);
        }
        let is_double = |pair: &[Piece]| matches!(pair, [one @ Piece::Embed(_), other] if one == other);
        prop_assert!(!notes[0].body().pieces().windows(2).any(is_double));
    }
}
