//! Merges tear no image: it comes and goes as a whole, whatever happens beside it.

use everleaf::{
    id::ImageId,
    note::{Body, Note, markdown},
};
use proptest::{prelude::*, sample::Index};

use super::{body, copy, embed, note, text, twice::edit};

fn change(note: &mut Note, from: &str, to: &str) {
    let source = note.body().source();
    assert_eq!(source.matches(from).count(), 1, "{from:?} in {source:?}");
    edit(note, &source.replace(from, to));
}

/// What two devices have that made these two sources of one.
fn merged(base: &str, left: &str, right: &str) -> Note {
    let (mut one, _) = note(base, 1);
    let mut two = copy(&one, 2);
    let (ours, theirs) = (edit(&mut one, left), edit(&mut two, right));
    one.apply(&theirs.iter().map(|change| change.bytes.as_slice()).collect::<Vec<_>>()).unwrap();
    two.apply(&ours.iter().map(|change| change.bytes.as_slice()).collect::<Vec<_>>()).unwrap();
    assert_eq!(one.body(), two.body());
    one
}

#[test]
fn an_image_beside_another_outlives_it() {
    let base = "a\n\n![](i3.png)\n\nb";
    let more = "a\n\n![](i12.png)\n\n![](i3.png)\n\nb";
    for (left, right) in [(more, "a\n\n\n\nb"), ("a\n\n\n\nb", more)] {
        let source = merged(base, left, right).body().source();
        assert_eq!(source, "a\n\n![](i12.png)\n\n\n\nb");
    }
}

#[test]
fn a_picture_put_in_the_place_of_one_taken_away_is_shown() {
    let mut one = merged("see ![k](a.png) there", "see ![k](b.png) there", "see  there");
    assert_eq!(one.body().pieces(), [text("see "), embed("b.png"), text(" there")]);
    assert_eq!(one.body().source(), "see ![](b.png) there");
    assert_eq!(one.body().render(|_, _| Some("URL".into())), "see ![](URL) there");
    assert_eq!(one.body().characters(), "see ![](b.png) there".len());
    // An edit of other text leaves it as it is.
    assert!(edit(&mut one, "see ![](b.png) there").is_none());
    change(&mut one, "see ", "look: ");
    change(&mut one, " there", "! ");
    assert_eq!(one.body().pieces(), [text("look: "), embed("b.png"), text("! ")]);
    // An edit of it makes its markup real, and it goes as a whole.
    let mut two = copy(&one, 2);
    change(&mut one, "![]", "![k]");
    assert_eq!(one.body().pieces(), [text("look: ![k]("), embed("b.png"), text(")! ")]);
    change(&mut two, "![](b.png)", "");
    assert_eq!(two.body().pieces(), [text("look: ! ")]);
    let mut three = copy(&two, 3);
    edit(&mut three, "look: ![](c.png)! ");
    assert_eq!(*three.body(), body("look: ![](c.png)! "));
}

#[test]
fn what_its_author_wrote_is_no_bare_embed() {
    for (before, name, after) in [
        ("`", "a.png", "`"),
        ("```\n", "a.png", "\n```"),
        ("    ", "a.png", "\n"),
        ("<!-- ", "a.png", " -->"),
        ("---\ncover: ", "a.png", "\n---\n"),
        ("![k](", "a.png", ""),
        ("![k](<", "a.png", "> "),
        ("![k(", "a.png", ")"),
        ("![[", "a.png", "]"),
        ("[r]: ", "a.png", "\n"),
        ("[r]:\n> <", "a.png", ">\n"),
        ("<img src=\"", "a.png", "\""),
        ("<img srcset='b.png 1x, ", "a.png", " 2x' "),
        ("src=", "a.png", ""),
        ("\\", "a.png", ""),
        ("see ", "a b>.png", " there"),
    ] {
        let body = Body::new([text(before), embed(name), text(after)]);
        assert_eq!(body.source(), format!("{before}{name}{after}"));
    }
    for (before, name, shown) in [
        ("see ", "a.png", "![](a.png)"),
        ("", "a b.png", "![](<a b.png>)"),
        ("[", "a.png", "![](a.png)"),
        ("| h |\n|---|\n| ", "a.png", "![](a.png)"),
        ("> - ", "a.png", "![](a.png)"),
        ("`", "a.png", "![](a.png)"),
    ] {
        let body = Body::new([text(before), embed(name), text("](b) x")]);
        assert_eq!(body.source(), format!("{before}{shown}](b) x"));
        let pair = Body::new([text(before), embed(name), embed("c.png")]);
        assert!(pair.source().starts_with(&format!("{before}{shown}![](")), "{}", pair.source());
    }
    // Who takes the markup away leaves a word, and no image.
    let (mut one, _) = note("see ![](a.png) and\n\n[r]: b.png\n\n![r]", 1);
    change(&mut one, "[r]: ", "");
    change(&mut one, "![](a.png)", "a.png");
    assert_eq!(one.body().pieces(), [text("see a.png and\n\nb.png\n\n![r]")]);
    assert_eq!(one.body().images(), [] as [ImageId; 0]);
}

const FORMS: [(&str, &str); 5] = [
    ("![](", ")"),
    ("![k](", ")"),
    ("![l](<", "> \"t\")"),
    ("<img src=\"", "\" alt=m>"),
    ("![[", "|300]]"),
];

const BETWEEN: [&str; 4] = ["", " t ", "\nt ", "\n\nt "];

/// What one does with one of the images.
#[derive(Debug, Clone)]
enum Edit {
    Remove,
    Replace,
    /// Puts an image before or behind it, and text between the two.
    Insert {
        form: usize,
        between: usize,
        behind: bool,
    },
}

fn an_edit() -> impl Strategy<Value = (Edit, Index)> {
    let insert = (0..FORMS.len(), 0..BETWEEN.len(), any::<bool>());
    let insert = insert.prop_map(|(form, between, behind)| Edit::Insert { form, between, behind });
    (prop_oneof![Just(Edit::Remove), Just(Edit::Replace), insert], any::<Index>())
}

/// The images of a note by name, each with what stands before it.
type Images = Vec<(String, usize, &'static str)>;

fn shown(name: &str, form: usize) -> String {
    format!("{}{name}{}", FORMS[form].0, FORMS[form].1)
}

/// The source of `images` after an edit that puts in `new`, and the names that it took away.
fn after(images: &Images, (edit, which): &(Edit, Index), new: &str) -> (String, Vec<String>) {
    let (which, mut source, mut gone) = (which.index(images.len()), String::new(), Vec::new());
    for (index, (name, form, before)) in images.iter().enumerate() {
        source += before;
        let image = shown(name, *form);
        match edit {
            Edit::Remove if index == which => gone.push(name.clone()),
            Edit::Replace if index == which => {
                gone.push(name.clone());
                source += &shown(new, *form);
            }
            Edit::Insert { form, between, behind } if index == which => {
                let (one, other) = (shown(new, *form), BETWEEN[*between]);
                source += &if *behind { image + other + &one } else { one + other + &image };
            }
            _ => source += &image,
        }
    }
    (source + " t\n", gone)
}

fn images() -> impl Strategy<Value = Images> {
    prop::collection::vec((0..FORMS.len(), 0..BETWEEN.len()), 1..4).prop_map(|images| {
        let images = images.into_iter().enumerate();
        images
            .map(|(index, (form, between))| {
                let name = format!("{}.png", char::from(b"abc"[index]));
                (name, form, if index == 0 { "t " } else { BETWEEN[between] })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn images_come_and_go_as_a_whole(images in images(), left in an_edit(), right in an_edit()) {
        let mut base = String::new();
        for (name, form, before) in &images {
            base += before;
            base += &shown(name, *form);
        }
        let (of_one, gone) = after(&images, &left, "x.png");
        let (of_two, also_gone) = after(&images, &right, "y.png");
        let source = merged(&(base + " t\n"), &of_one, &of_two).body().source();

        let mut expected: Vec<String> = images.into_iter().map(|(name, _, _)| name).collect();
        expected.retain(|name| !gone.contains(name) && !also_gone.contains(name));
        let news = [(left.0, "x.png"), (right.0, "y.png")];
        let news = news.into_iter().filter(|(edit, _)| !matches!(edit, Edit::Remove));
        expected.extend(news.map(|(_, name)| name.to_owned()));
        expected.sort();

        let found = markdown::destinations(&source);
        let mut names: Vec<_> = found.iter().map(|one| source[one.range.clone()].to_owned()).collect();
        names.sort();
        prop_assert_eq!(names, expected, "{}", source);
        // And beside them nothing is left but text.
        let (mut rest, mut at) = (String::new(), 0);
        for used in found.iter().flat_map(|one| &one.uses) {
            rest += &source[at..used.start];
            at = used.end;
        }
        rest += &source[at..];
        prop_assert!(rest.chars().all(|c| matches!(c, 't' | ' ' | '\n')), "{}", source);
    }
}
