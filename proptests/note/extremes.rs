//! Notes of extraordinary length and depth.

use automerge::{Automerge, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};

use super::{body, edit, image, kept::edited, note};

/// A thread has two mebibytes of stack, and what is read of a block goes as deep as its author went.
#[test]
fn a_block_of_endless_depth_is_read() {
    let mut theirs = Automerge::load(&note("see ![k](a.png)", 1).0.save()).unwrap();
    let (_, text) = theirs.get(ROOT, "body").unwrap().unwrap();
    let mut transaction = theirs.transaction();
    let mut inner = transaction.split_block(&text, 0).unwrap();
    transaction.put(&inner, "type", "image").unwrap();
    for _ in 0..100_000 {
        inner = transaction.put_object(&inner, "attrs", ObjType::Map).unwrap();
    }
    transaction.commit();
    let change = theirs.get_last_local_change().unwrap();
    let mut note = note("see ![k](a.png)", 1).0;
    note.apply(&[change.raw_bytes()]).unwrap();
    assert_eq!(note.body().source(), "\u{fffc}see ![k](a.png)");
    let heads = note.heads();
    assert_eq!(note.body_at(&heads).unwrap(), *note.body());
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
    assert_eq!(*note.body(), body(&words(2, "two")));
    assert_eq!(note.body().embeds().cloned().collect::<Vec<_>>(), embed);
    let fenced = format!("```\n{}", words(2, "two"));
    assert_eq!(edited(&body(&words(2, "two")), &fenced).images(), [image(b'a')]);
    let images = body(&"![k](a.png)`![k](b.png)` ".repeat(10_000));
    let new = images.source().replace('`', "");
    assert_eq!(edited(&images, &new).source(), new);
}
