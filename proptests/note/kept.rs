//! Embeds outlive edits of the text around them.

use std::collections::HashSet;

use everleaf::note::{
    Body, Embed, Piece, Target,
    markdown::{Destination, Syntax},
};
use proptest::{prelude::*, sample::Index};

use super::{AT, altered, as_merged, body, doubled, edits, image, markdown, merged, text};

/// `source` as an edit of `base` by somebody who saw its names, and has no other images.
pub(super) fn edited(base: &Body, source: &str) -> Body {
    Body::parse_edit(base, source, |_, _| None, |_, stood| stood.map(target))
}

fn target(embed: &Embed) -> Target {
    Target { image: embed.image, path: embed.path.clone(), name: Some(embed.name.clone()) }
}

#[test]
fn an_embed_stays_while_its_name_stands_where_it_stood() {
    let base = body("# T\n\n![k](a.png)\n\nand ![[b.png|30]], <img src=\"c.png\">\n");
    let all = base.images();
    let kept = |from: &str, to: &str| {
        let source = base.source().replace(from, to);
        let new = edited(&base, &source);
        assert_eq!(new.source(), source);
        new.images()
    };
    // Broken, fenced, half typed: nothing is lost.
    for (from, to) in [
        ("a.png)", "a.png"),
        ("![k](", "```\n![k]("),
        ("![k](", "![k("),
        ("k](", "`k]("),
        ("![k]", "![ ![k]"),
        ("a.png)\n\nand ![[", "a.png![["),
        ("|30]]", "|30]"),
        ("src=\"c.png\">", "src=\"c.png"),
        ("<img src=\"", "<!-- \""),
        ("# T", "---\ntitle: T"),
    ] {
        assert_eq!(kept(from, to), all, "{from:?} to {to:?}");
    }
    // Another name is another destination, and a name alone is a word.
    for (from, to) in [
        ("a.png", "ab.png"),
        ("a.png", "https://x/a.png"),
        ("a.png", ""),
        ("![k](a.png)", "no a.png here"),
        ("# T\n\n![k](a.png)", "# T a.png"),
    ] {
        assert_eq!(kept(from, to), all[1..], "{from:?} to {to:?}");
    }
    assert_eq!(edited(&body("x"), "`a.png` ![](a.png").embeds().count(), 0);
}

#[test]
fn find_decides_what_a_destination_is() {
    let base = body("![k](a.png) ![k](b.png)");
    let mut asked = Vec::new();
    let new = Body::parse_edit(
        &base,
        "![k](x.png) ![k](a.png) ![k](b.png)",
        |_, _| None,
        |destination, stood| {
            asked.push((destination.target.clone(), stood.map(|embed| embed.image)));
            let image = image(9);
            (destination.target != "b.png").then_some(Target { image, path: None, name: None })
        },
    );
    let asked: Vec<_> = asked.iter().map(|(name, stood)| (name.as_str(), *stood)).collect();
    assert_eq!(
        asked,
        [("a.png", Some(image(b'a'))), ("b.png", Some(image(b'b'))), ("x.png", None)]
    );
    let images: Vec<_> = new.embeds().map(|embed| embed.image).collect();
    assert_eq!(images, [image(9), image(9), image(b'b')]);
}

#[test]
fn one_name_of_two_images_means_the_one_that_stood_there() {
    let of = |number: u8| {
        Piece::Embed(Embed { image: image(number), name: "photo.jpg".into(), path: None })
    };
    let base = Body::new([text("One ![]("), of(1), text(") two ![]("), of(2), text(") end")]);
    let new = edited(&base, "`One ![](photo.jpg)` 2 ![t](photo.jpg) end.");
    assert_eq!(new.images(), [image(1), image(2)]);
    let new = edited(&base, "two ![](photo.jpg) end");
    assert_eq!(new.images(), [image(2)]);
}

#[test]
fn embeds_side_by_side_outlive_broken_markup() {
    let broken = doubled("see ![k](", &["a.png", "b.png"], "\n");
    assert_eq!(broken.source(), "see ![k](a.pngb.png\n");
    assert_eq!(edited(&broken, &broken.source()), broken);
    let mended = edited(&broken, "see ![k](a.pngb.png)\n");
    assert_eq!(mended.source(), "see ![k](a.png)![k](b.png)\n");
    let mut note = as_merged(&broken);
    let heads = note.heads();
    note.edit_body(&heads, &mended, AT).unwrap();
    assert_eq!(note.body().source(), "see ![k](a.png)![k](b.png)\n");
    assert_eq!(note.body().images(), [image(b'a'), image(b'b')]);
}

/// The line break that goes with a last line may have gone with the line before already.
#[test]
fn the_last_lines_below_embeds_side_by_side_are_replaced() {
    let base = doubled("![k](", &["a.png", "b.png"], ")\n\nA words\nB there");
    for new in ["![k](a.png)![k](b.png)\n\nCats one\nDogs two", "![k](a.png)\n\nCats one\nDogs two"]
    {
        assert_eq!(edited(&base, new).source(), new);
    }
}

/// Whether an embed touches another: what shows that need not be what it was read from.
fn any_side_by_side(body: &Body) -> bool {
    let is_embed = |piece: &Piece| matches!(piece, Piece::Embed(_));
    body.pieces().windows(2).any(|pair| pair.iter().all(is_embed))
}

/// A body whose markup a merge broke: stretches of its text are gone or new, its embeds are there.
fn broken() -> impl Strategy<Value = Body> {
    (merged(), prop::collection::vec((any::<Index>(), edits("[`!\\[\\]()<>\n]{0,3}")), 0..3))
        .prop_map(|(body, changes)| {
            let mut pieces = body.pieces().to_vec();
            for (place, edits) in changes {
                let at = place.index(pieces.len().max(1));
                if let Some(Piece::Text(text)) = pieces.get_mut(at) {
                    *text = altered(text, &edits);
                }
            }
            Body::new(pieces)
        })
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn what_was_not_edited_is_the_same_body(base in broken()) {
        prop_assert_eq!(&edited(&base, &base.source()), &base);
        let spelling = |embed: &Embed, syntax: Option<Syntax>| {
            syntax.map(|_| format!("https://x/{}", embed.name.len()))
        };
        let shown = base.render(spelling);
        let find = |_: &Destination, stood: Option<&Embed>| stood.map(target);
        prop_assert_eq!(&Body::parse_edit(&base, &shown, spelling, find), &base);
    }

    #[test]
    fn fenced_and_unfenced_it_has_its_images(base in broken(), inside in any::<bool>()) {
        let images = |body: &Body| body.images().into_iter().collect::<HashSet<_>>();
        let source = base.source();
        let fenced = if inside { format!("    {}", source.replace('\n', "\n    ")) } else {
            format!("~~~~~\n{source}\n~~~~~\n")
        };
        let new = edited(&base, &fenced);
        prop_assert_eq!(images(&new), images(&base));
        let mut back = edited(&new, &source);
        prop_assert_eq!(images(&back), images(&base));
        // In the document too.
        let mut note = as_merged(&base);
        for body in [&new, &back] {
            let heads = note.heads();
            note.edit_body(&heads, body, AT).unwrap();
            prop_assert_eq!(images(note.body()), images(&base));
        }
        back = note.body().clone();
        prop_assert!(any_side_by_side(&base) || back.source() == source);
    }

    #[test]
    fn an_edit_keeps_what_it_left_alone(base in broken(), edits in edits("[`!\\[\\]()<>\n]{0,3}")) {
        let source = base.source();
        let new = edited(&base, &altered(&source, &edits));
        if !any_side_by_side(&new) {
            prop_assert_eq!(new.source(), altered(&source, &edits));
        }
        let mut note = as_merged(&base);
        let heads = note.heads();
        note.edit_body(&heads, &new, AT).unwrap();
        prop_assert_eq!(note.body().source(), new.source());
    }

    #[test]
    fn an_embed_goes_with_its_name(base in markdown(), which in any::<Index>()) {
        let base = body(&format!("![k](a.png)\n\n{base}"));
        let embeds = base.embeds().count();
        let (gone, mut seen) = (which.index(embeds), 0);
        let source: String = base.pieces().iter().map(|piece| match piece {
            Piece::Embed(embed) => {
                seen += 1;
                if seen == gone + 1 { "" } else { embed.name.as_str() }
            }
            Piece::Text(text) => text,
            Piece::Foreign => "\u{fffc}",
        }).collect();
        let new = edited(&base, &source);
        prop_assert_eq!(new.source(), source);
        prop_assert_eq!(new.embeds().count(), embeds - 1);
    }
}
