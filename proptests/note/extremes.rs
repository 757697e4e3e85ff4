//! Documents of other programs, and notes of extraordinary length.

use everleaf::note::{Note, inspect, touches_only_images};

use super::{body, edit, id, note};

#[test]
fn other_documents_are_refused() {
    let Some(fixtures) = crate::shared::path("automerge-fixtures") else { return };
    let slow = ["essay.amrg", "moby-dick.automerge", "text-doc.amrg"];
    let folders = [
        "automerge-perf-documents",
        "fixtures",
        "fuzz-crashers",
        "interop",
        "real-documents",
        "sync-messages",
    ];
    for file in folders.iter().flat_map(|folder| std::fs::read_dir(fixtures.join(folder)).unwrap())
    {
        let path = file.unwrap().path();
        if slow.iter().any(|slow| path.ends_with(slow)) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        assert!(Note::load(id(), [1; 8], Some(&bytes), &[]).is_err(), "{}", path.display());
        let _ = inspect(&bytes);
        let _ = touches_only_images(id(), &bytes);
    }
}

/// Not timed: where a diff took time beyond proportion, it would not come to an end.
#[test]
fn long_and_different_bodies_are_compared_in_proportion() {
    let words = |mut seed: u64, mark: &str| {
        let mut text = String::new();
        while text.len() < 200_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.push_str(
                ["lorem ", "ipsum ", "dolor ", "\u{e9} ", "sit ", "amet, "]
                    [(seed >> 33) as usize % 6],
            );
        }
        format!("{text}![k](a.png){mark}{text}")
    };
    let (mut note, _) = note(&words(1, "one"), 1);
    let embed = note.body().embeds().cloned().collect::<Vec<_>>();
    edit(&mut note, &words(2, "two"));
    assert_eq!(note.body(), body(&words(2, "two")));
    assert_eq!(note.body().embeds().cloned().collect::<Vec<_>>(), embed);
}
