//! Deliveries: in any order, more than once, and with some lost for a while.

use std::collections::BTreeSet;

use everleaf::{
    id::ImageId,
    note::{Change, Note, Splice, splices, splices_whole, touches_only_images},
};
use proptest::{
    prelude::*,
    sample::{Index, select},
};

use super::{AT, Body, altered, body, edits, id, image, markdown};

/// What somebody does to the note.
#[derive(Debug, Clone)]
enum Act {
    Edit(Vec<(Index, usize, String)>),
    Path(Option<&'static str>),
    Trash(bool),
    Urls(u8, &'static str),
    /// Hears what another has done so far.
    Hear(usize),
}

fn act() -> impl Strategy<Value = (usize, Act)> {
    let path = prop::sample::select(vec![None, Some("a.md"), Some("b/a.md")]);
    let url = prop::sample::select(vec!["https://x/1", "https://y/2"]);
    let act = prop_oneof![
        4 => edits("[a-z!\\[\\]().\n]{0,4}").prop_map(Act::Edit),
        1 => path.prop_map(Act::Path),
        1 => any::<bool>().prop_map(Act::Trash),
        1 => (b'a'..b'd', url).prop_map(|(image, url)| Act::Urls(image, url)),
        2 => (0..3_usize).prop_map(Act::Hear),
    ];
    (0..3_usize, act)
}

/// Lines, and what may end a text.
const LINES: [&str; 9] =
    ["tea\n", "\n", "- [ ] salt\n", "---\n", "Cats one", "A words\n", "Dogs two", " \n", "B there"];

fn apply(note: &mut Note, changes: &[&Change]) {
    let bytes: Vec<&[u8]> = changes.iter().map(|change| change.bytes.as_slice()).collect();
    note.apply(&bytes).unwrap();
}

fn did(note: &mut Note, act: &Act) -> Option<Change> {
    match act {
        Act::Edit(edits) => {
            let (heads, new) = (note.heads(), altered(&note.body().source(), edits));
            note.edit_body(&heads, &body(&new), AT).unwrap()
        }
        Act::Path(path) => note.set_path(*path, AT).unwrap(),
        Act::Trash(trashed) => note.set_trashed(*trashed, AT).unwrap(),
        Act::Urls(number, url) => note.put_urls(&[(image(*number), (*url).into())], AT).unwrap(),
        Act::Hear(_) => None,
    }
}

/// The changes of three devices that hear of one another now and then.
fn history(base: &str, acts: &[(usize, Act)]) -> Vec<Change> {
    let mut devices = [1, 2, 3].map(|actor| Note::new(id(), [actor; 8]));
    let mut made: Vec<(usize, Change)> = Vec::new();
    made.extend(devices[0].create(Some("a.md"), &body(base), AT).unwrap().map(|one| (0, one)));
    for (who, act) in acts {
        if let Act::Hear(whom) = act {
            let heard: Vec<&Change> =
                made.iter().filter(|(author, _)| author == whom).map(|(_, one)| one).collect();
            apply(&mut devices[*who], &heard);
        }
        made.extend(did(&mut devices[*who], act).map(|change| (*who, change)));
    }
    made.into_iter().map(|(_, change)| change).collect()
}

/// All that a note shows.
type Shown = (Body, Option<String>, bool, Vec<(ImageId, String)>);

fn shown(note: &Note) -> Shown {
    (note.body().clone(), note.path(), note.trashed(), note.urls().into_iter().collect())
}

/// The changes among `some` whose past is wholly among them: they alone count.
fn rooted(some: &[&Change]) -> usize {
    let mut known = BTreeSet::from([Note::genesis(id()).hash]);
    loop {
        let before = known.len();
        for change in some {
            if change.deps.iter().all(|dep| known.contains(dep)) {
                known.insert(change.hash);
            }
        }
        if known.len() == before {
            return known.len();
        }
    }
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn merges_in_any_order_repeated_and_with_loss_converge(
        base in markdown(),
        acts in prop::collection::vec(act(), 1..10),
        deliveries in prop::collection::vec((any::<Index>(), any::<bool>()), 0..30),
        lost in prop::collection::vec(any::<Index>(), 0..3),
        cut in any::<Index>(),
    ) {
        let made = history(&base, &acts);
        prop_assume!(!made.is_empty());
        let in_order = {
            let mut note = Note::new(id(), [7; 8]);
            apply(&mut note, &made.iter().collect::<Vec<_>>());
            shown(&note)
        };
        // Some are lost; the others come in any order and as often as they like, in calls of any size.
        let lost: BTreeSet<usize> = lost.iter().map(|index| index.index(made.len())).collect();
        let (mut one, mut arrived, mut batch) = (Note::new(id(), [8; 8]), BTreeSet::new(), Vec::new());
        for (index, ends) in &deliveries {
            let index = index.index(made.len());
            if !lost.contains(&index) {
                arrived.insert(index);
                batch.push(&made[index]);
            }
            if *ends {
                apply(&mut one, &std::mem::take(&mut batch));
            }
        }
        apply(&mut one, &batch);
        // Whoever has the same has the same, whatever waits for what was lost.
        let some: Vec<&Change> = arrived.iter().map(|index| &made[*index]).collect();
        prop_assert_eq!(one.history().len(), rooted(&some));
        let bytes: Vec<&[u8]> = some.iter().map(|one| one.bytes.as_slice()).collect();
        let at_once = Note::load(id(), [9; 8], None, &bytes).unwrap();
        prop_assert_eq!(shown(&one), shown(&at_once));
        prop_assert_eq!((one.heads(), one.missing()), (at_once.heads(), at_once.missing()));
        // Put down and taken up in between, what waits is still there.
        let mut two = Note::load(id(), [10; 8], Some(&one.save()), &[]).unwrap();
        prop_assert_eq!(two.missing(), one.missing());
        // And what was lost comes in the end, with all else once more.
        let (early, late) = made.split_at(cut.index(made.len()));
        for note in [&mut one, &mut two] {
            for change in late.iter().chain(early) {
                apply(note, &[change]);
            }
            prop_assert_eq!(&shown(note), &in_order);
            prop_assert_eq!(note.missing(), vec![]);
            prop_assert_eq!(note.history().len(), made.len() + 1);
        }
    }

    /// What the projector writes is nothing but URLs, to the note and to whoever checks the change; and
    /// nothing that an edit does passes for it.
    #[test]
    fn a_projector_change_touches_only_images(
        base in markdown(),
        acts in prop::collection::vec(act(), 1..6),
        numbers in prop::collection::vec((any::<u8>(), "\\PC{0,12}"), 1..4),
    ) {
        let mut note = Note::new(id(), [7; 8]);
        apply(&mut note, &history(&base, &acts).iter().collect::<Vec<_>>());
        let before = shown(&note);
        let urls: Vec<_> = numbers.into_iter().map(|(number, url)| (image(number), url)).collect();
        let change = note.put_urls(&urls, AT).unwrap();
        let after = shown(&note);
        prop_assert_eq!((after.0, after.1, after.2), (before.0, before.1, before.2));
        if let Some(change) = change {
            prop_assert!(touches_only_images(id(), &change.bytes).unwrap());
        }
        for act in acts.iter().map(|(_, act)| act).filter(|act| !matches!(act, Act::Urls(..))) {
            if let Some(change) = did(&mut note, act) {
                prop_assert!(!touches_only_images(id(), &change.bytes).unwrap(), "{:?}", act);
            }
        }
    }

    /// To leave out what two texts begin and end with, byte by byte, changes nothing about their diff.
    #[test]
    fn what_texts_share_needs_no_comparing(
        parts in prop::collection::vec("[aé🍞日\u{301}\n ]{0,40}|[ab \n]{60,140}", 1..5),
        from in any::<Index>(),
        to in any::<Index>(),
        insert in "[aé🍞日 \n]{0,6}",
    ) {
        let before = parts.concat();
        let place = |index: Index| {
            let places: Vec<usize> = before.char_indices().map(|(at, _)| at).collect();
            if places.is_empty() { 0 } else { places[index.index(places.len())] }
        };
        let (from, to) = (place(from).min(place(to)), place(from).max(place(to)));
        for (from, to) in [(from, to), (from, from), (0, to), (from, before.len())] {
            let after = format!("{}{insert}{}", &before[..from], &before[to..]);
            prop_assert_eq!(splices(&before, &after), splices_whole(&before, &after));
            prop_assert_eq!(splices(&after, &before), splices_whole(&after, &before));
        }
    }

    /// Splices say what they promise: one is behind the other, and together they make the text.
    #[test]
    fn splices_are_apart_and_make_the_text(
        [before, after] in prop::array::uniform2(
            prop::collection::vec(select(LINES.to_vec()), 0..6).prop_map(|lines| lines.concat()),
        ),
    ) {
        let (mut made, mut at) = (String::new(), 0);
        let characters: Vec<char> = before.chars().collect();
        for Splice { range, text } in splices(&before, &after) {
            prop_assert!(at <= range.start, "{range:?} of {before:?}, {after:?}");
            made.extend(&characters[at..range.start]);
            made.push_str(&text);
            at = range.end;
        }
        made.extend(&characters[at..]);
        prop_assert_eq!(made, after);
    }
}
