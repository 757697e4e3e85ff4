//! Finding notes by what they say.

use std::sync::Arc;

use everleaf::{
    id::NoteId,
    remote::{Memory, Remote},
    search::{Excerpt, Query, QueryError},
    vault::{SearchOptions, VaultError},
};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::world::Device;

fn text() -> impl Strategy<Value = String> {
    let word = select(vec![
        "rye",
        "Rye",
        "ryegrass",
        "ÄHRE",
        "ähre",
        "a\u{308}hre",
        "小麦粉",
        "x",
        "(.*)",
        "a\\b",
    ]);
    let gap = select(vec![" ", "  ", "\n", "\r\n", "\t", ", ", "-"]);
    vec((word, gap), 0..12).prop_map(|parts| parts.into_iter().flat_map(|(a, b)| [a, b]).collect())
}

/// What a text comes to without case, and with accents spelled in one way.
fn plain(text: &str) -> String {
    text.to_lowercase().replace("a\u{308}", "ä")
}

fn said(excerpt: &Excerpt) -> String {
    excerpt.pieces.iter().map(|piece| piece.text.as_str()).collect()
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn a_text_is_found_that_has_each_word(text in text(), words in vec(select(vec!["RYE", "grass", "ähre", "A\u{308}HRE", "麦", "(", ".*", "\\b", "none"]), 1..4)) {
        let query = Query::parse(&words.join(" ")).unwrap();
        let has = |word: &&str| plain(&text).contains(&plain(word));
        prop_assert_eq!(query.is_in(&[&text]), words.iter().all(has));
        let excerpt = query.excerpt(&text);
        prop_assert_eq!(excerpt.is_some(), words.iter().any(has));
        if let Some(excerpt) = excerpt {
            let line = text.lines().nth(excerpt.line - 1).unwrap();
            prop_assert_eq!(said(&excerpt), line.trim());
            let count = |line: &str| words.iter().filter(|word| plain(line).contains(&plain(word))).count();
            prop_assert!(text.lines().all(|other| count(other) <= count(line)));
            for piece in excerpt.pieces.iter().filter(|piece| piece.found) {
                // What was found may be of two words that overlap.
                prop_assert!(words.iter().any(|word| plain(&piece.text).contains(&plain(word))
                    || plain(word).contains(&plain(&piece.text))));
            }
        }
    }

    #[test]
    fn no_query_panics(query in ".{0,40}", text in ".{0,80}") {
        if let Ok(query) = Query::parse(&query) {
            let found = query.is_in(&[&text]);
            prop_assert!(!found || query.excerpt(&text).is_some());
        }
    }
}

#[test]
fn a_phrase_may_go_on_in_the_next_line_and_a_line_is_cut_around_what_was_found() {
    let query = Query::parse("\"rye  flour\" water").unwrap();
    assert!(query.is_in(&["Rye\n  flour and water"]));
    assert!(!query.is_in(&["flour, rye and water"]));
    let mixed = Query::parse("\"cafe\u{301} crème\"").unwrap();
    assert!(mixed.is_in(&["Café cre\u{300}me"]));
    let only = Query::parse("\"rye flour").unwrap();
    assert_eq!(only.excerpt("one\ntwo rye\nflour").unwrap().line, 2);

    let long = format!("{}needle{}", "ä".repeat(500), "ö".repeat(500));
    let excerpt = Query::parse("NEEDLE").unwrap().excerpt(&long).unwrap();
    let found: Vec<&str> = excerpt
        .pieces
        .iter()
        .filter(|piece| piece.found)
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(found, ["needle"]);
    let said = said(&excerpt);
    assert!(said.starts_with("…ä") && said.ends_with("ö…") && said.chars().count() < 200, "{said}");
}

#[test]
fn what_is_no_query_is_refused() {
    for empty in ["", " \t\n", "\"\"", "\" \" \""] {
        assert_eq!(Query::parse(empty).unwrap_err(), QueryError::Empty);
    }
    for long in ["x".repeat(1001), "x ".repeat(33)] {
        assert_eq!(Query::parse(&long).unwrap_err(), QueryError::TooLong);
    }
    assert!(Query::parse(&"x".repeat(1000)).is_ok());
}

fn found(device: &Device, query: &str) -> Vec<NoteId> {
    let found = device.vault().search(query, &SearchOptions::default()).unwrap();
    found.into_iter().map(|found| found.listed.note).collect()
}

/// Whatever changed a note, and whoever did.
#[tokio::test]
async fn a_search_knows_what_notes_say_now() {
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    let mut laptop = Device::new("laptop", 1);
    assert_eq!(found(&laptop, "flour"), []);
    let bread = laptop.note("# Bread\n\nFlour and water.\n");
    let soup = laptop.note("# Soup\n\nWater.\n");
    assert_eq!(found(&laptop, "flour water"), [bread]);
    laptop.edit(bread, |text| text.replace("Flour", "Rye"));
    assert_eq!(found(&laptop, "flour"), []);
    assert_eq!(found(&laptop, "rye"), [bread]);

    laptop.add(&remote).await;
    laptop.sync(&remote).await;
    let phone = Device::join("phone", 2, &laptop);
    phone.add(&remote).await;
    phone.sync(&remote).await;
    assert_eq!(found(&phone, "rye"), [bread]);
    phone.edit(soup, |text| text.replace("Water", "Leek"));
    phone.sync(&remote).await;
    assert_eq!(found(&laptop, "leek"), []);
    laptop.sync(&remote).await;
    assert_eq!(found(&laptop, "leek"), [soup]);
    assert_eq!(found(&laptop, "water"), [bread]);

    laptop.vault().rebuild().unwrap();
    laptop.reopen();
    assert_eq!(found(&laptop, "leek"), [soup]);
    laptop.vault().set_trashed(soup, true).unwrap();
    assert_eq!(found(&laptop, "leek"), []);
    let all = SearchOptions { trashed: true, ..SearchOptions::default() };
    assert!(laptop.vault().search("leek", &all).unwrap()[0].listed.trashed);
    let refused = laptop.vault().search(" ", &all).unwrap_err();
    assert!(matches!(refused, VaultError::Query(QueryError::Empty)), "{refused}");
    laptop.check();
}

#[test]
fn notes_that_are_called_so_come_first_and_then_those_that_were_changed_last() {
    let laptop = Device::new("laptop", 1);
    let called = laptop.note("# Rye\n\nNothing.\n");
    let notes: Vec<NoteId> = (0..3)
        .map(|number| {
            laptop.clock.advance(std::time::Duration::from_mins(1));
            laptop.note(&format!("# {number}\n\nsome rye\n"))
        })
        .collect();
    assert_eq!(found(&laptop, "rye"), [called, notes[2], notes[1], notes[0]]);
    laptop.clock.advance(std::time::Duration::from_mins(1));
    laptop.edit(notes[0], |text| format!("{text}more\n"));
    assert_eq!(found(&laptop, "RYE"), [called, notes[0], notes[2], notes[1]]);
    let two = SearchOptions { limit: Some(2), ..SearchOptions::default() };
    let two = laptop.vault().search("rye", &two).unwrap();
    assert_eq!(two.iter().map(|found| found.listed.note).collect::<Vec<_>>(), [called, notes[0]]);
    assert_eq!(
        two[1].excerpt.as_ref().map(|excerpt| (excerpt.line, said(excerpt))),
        Some((3, "some rye".into()))
    );
    // Nothing was read again, and nothing is wrong with what was kept.
    assert_eq!(found(&laptop, "rye nothing"), [called]);
}
