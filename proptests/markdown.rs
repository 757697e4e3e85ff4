//! Finding image destinations.

mod generated;

use everleaf::note::markdown::{
    Destination, Syntax, destinations, destinations_read, front_matter,
};
use proptest::prelude::*;

/// `(raw, target, syntax)` of each destination.
fn found(source: &str) -> Vec<(&str, String, Syntax)> {
    destinations(source)
        .into_iter()
        .map(|one| (&source[one.range], one.target, one.syntax))
        .collect()
}

fn raws(source: &str) -> Vec<&str> {
    found(source).into_iter().map(|(raw, ..)| raw).collect()
}

#[test]
fn inline_destinations_keep_their_spelling() {
    assert_eq!(
        found("a ![x](a%20b.png \"t\") ![](<c d.png>) ![](e\\_f&amp;g.png) ![](h(1).png)"),
        [
            ("a%20b.png", "a%20b.png".to_owned(), Syntax::Inline),
            ("c d.png", "c d.png".to_owned(), Syntax::Inline),
            ("e\\_f&amp;g.png", "e_f&g.png".to_owned(), Syntax::Inline),
            ("h(1).png", "h(1).png".to_owned(), Syntax::Inline),
        ]
    );
    assert_eq!(raws("![]()"), [""]);
    assert_eq!(raws("> - ![two\n>   lines](\n>   a.png)"), ["a.png"]);
    assert_eq!(raws("![a ![b](in.png)](out.png)"), ["out.png"]);
    assert_eq!(raws("[![x](a.png)](b.png)"), ["a.png"]);
    assert_eq!(raws("![a](b c.png) \\![a](b.png) [a](b.png)"), [""; 0]);
    assert_eq!(raws("| a |\n|---|\n| ![x](a\\|b.png) |"), ["a\\|b.png"]);
}

#[test]
fn a_reference_definition_is_one_destination_however_often_it_is_used() {
    let source =
        "![one][R] ![r][] ![R]\n\n[unused]: u.png\n[r]: <a b.png> 'title'\n[link]: l.png\n\n[link]";
    let all = destinations(source);
    assert_eq!(all.len(), 1);
    assert_eq!((&source[all[0].range.clone()], all[0].syntax), ("a b.png", Syntax::Reference));
    let uses: Vec<_> = all[0].uses.iter().map(|range| &source[range.clone()]).collect();
    assert_eq!(uses, ["![one][R]", "![r][]", "![R]"]);
    assert_eq!(raws("> ![a\\]b]\n>\n> [a\\]b]:\n>   x.png\n"), ["x.png"]);
}

#[test]
fn html_images_are_found_in_blocks_and_in_text() {
    assert_eq!(raws("<p>\n<IMG alt='>' SRC=\"a.png\"/>\n</p>"), ["a.png"]);
    assert_eq!(raws("x <img src='a b.png'> y <img src=c.png>"), ["a b.png", "c.png"]);
    assert_eq!(
        raws("<picture><source srcset=\"a.png 1x, b.png 2x\"><img src=\" c.png \"></picture>"),
        ["a.png", "b.png", "c.png"]
    );
    assert_eq!(found("<img src=\"a&amp;b.png\">")[0].1, "a&b.png");
    assert_eq!(raws("> <div>\r\n> <img\r\n>  src=\"a.png\"></div>\r\n"), ["a.png"]);
    assert_eq!(raws("- x <img\n  alt=\"y\"\n  src=\"a.png\">"), ["a.png"]);
    assert_eq!(raws("<!-- <img src=a.png> --> x <!-- <img src=b.png> -->"), [""; 0]);
    assert_eq!(raws("<script>\n'<img src=a.png>'\n</script>"), [""; 0]);
    assert_eq!(raws("<img data-src=a.png alt=src>"), [""; 0]);
}

#[test]
fn wiki_embeds_obey_code_and_escapes() {
    assert_eq!(
        found("![[ a b.png#x |300]] ![[c]]"),
        [("a b.png#x", "a b.png#x".to_owned(), Syntax::Wiki), ("c", "c".to_owned(), Syntax::Wiki),]
    );
    assert_eq!(raws("| x |\n|---|\n| ![[a.png\\|30]] |"), ["a.png"]);
    assert_eq!(
        raws("![[a_b_*c*.png]] *![[d.png]]* [![[e.png]]](f)"),
        ["a_b_*c*.png", "d.png", "e.png"]
    );
    assert_eq!(raws("![[a.png]](b.png)"), ["a.png"]);
    assert_eq!(raws("`![[a.png]]` \\![[b.png]] !\\[[c.png]] ![[]] ![[d\n.png]]"), [""; 0]);
    assert_eq!(raws("    ![[a.png]]\n\n```\n![[b.png]]\n```\n<div>\n![[c.png]]\n</div>"), [""; 0]);
}

#[test]
fn footnotes_show_images() {
    assert_eq!(raws("x[^1]\n\n[^1]: ![](a.png)\n"), ["a.png"]);
    assert_eq!(raws("[^a b]: ![](b.png)\n"), ["b.png"]);
    assert_eq!(raws("x[^1]\n\n[^1]: in\n\n    ![](a.png)\n\n        ![](no.png)\n"), ["a.png"]);
    assert_eq!(raws("![^1]\n\n[^1]: a.png\n"), [""; 0]);
}

#[test]
fn code_comments_and_front_matter_name_no_image() {
    let source = "\u{feff}---\r\ncover: ![](a.png)\r\n---\r\n![](b.png)\r\n";
    assert_eq!(raws(source), ["b.png"]);
    assert_eq!(&source[front_matter(source)], "---\r\ncover: ![](a.png)\r\n---\r\n");
    assert_eq!(raws("---\n![](a.png)\n"), ["a.png"]);
    assert_eq!(raws("`![](a.png)` <!-- ![](b.png) -->\n\n~~~\n![](c.png)\n~~~"), [""; 0]);
}

/// Fragments that meet one another in every way.
fn messy() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        3 => prop::sample::select(vec![
            "![", "[", "]", "(", ")", "![[", "]]", "|", "\\", "`", "<", ">", "\"", "'", "\n", "\r\n",
            "> ", "- ", "    ", "1. ", "# ", "---\n", "<img src=", "<img ", "srcset=", "/>", "<!--",
            "-->", "```\n", "[r]: ", "![r]", "&amp;", "&", "a.png", " ", "\t", "\u{feff}", "é", "𝕏",
            "</div>", "<div>\n", "|---|\n", "https://x", "\0", ",", "<script>", "*", "_", "~~",
        ]),
        1 => "\\PC{0,3}".prop_map(|text: String| -> &'static str { Box::leak(text.into_boxed_str()) }),
    ];
    prop::collection::vec(part, 0..60).prop_map(|parts| parts.concat())
}

fn sound(source: &str, found: &[Destination]) {
    let mut end = 0;
    for one in found {
        assert!(one.range.start >= end && source.get(one.range.clone()).is_some());
        end = one.range.end;
        assert!(!one.uses.is_empty());
        for shown in &one.uses {
            assert!(source.get(shown.clone()).is_some());
        }
        let around = &one.uses[0];
        assert!(
            one.syntax == Syntax::Reference
                || around.start <= one.range.start && one.range.end <= around.end
        );
        assert!(one.uses.is_sorted_by_key(|shown| shown.start));
    }
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn any_text_is_searched_without_a_panic(source in messy()) {
        sound(&source, &destinations(&source));
    }

    #[test]
    fn any_characters_are_searched_without_a_panic(source in any::<String>()) {
        sound(&source, &destinations(&source));
    }
}

/// Not timed: whoever copies the rest of a text at each opening takes memory beyond proportion, too.
#[test]
fn of_repeated_openings_each_is_found_and_none_costs_more_than_another() {
    type Found = fn(usize) -> usize;
    let cases: [(&str, Found); 13] = [
        ("![[", |_| 0),
        ("![[a|", |_| 0),
        ("![", |_| 0),
        ("![](", |_| 0),
        ("[r]: <", |_| 0),
        ("<!--", |_| 0),
        ("<img src='", |_| 0),
        ("\\![[x]] ", |_| 0),
        // Every other one stands in code.
        ("`![[x]]", |times| times / 2),
        ("![[x]] ", |times| times),
        ("![](x) ", |times| times),
        ("<img src=x> ", |times| times),
        ("![r]\n\n[r]: x\n", |_| 1),
    ];
    for (part, expected) in cases {
        let search = |times: usize| {
            let source = part.repeat(times);
            let mut found = Vec::new();
            let memory = allocation_counter::measure(|| found = destinations_read(&source));
            sound(&source, &found);
            assert_eq!(found.len(), expected(times), "{part:?}");
            memory.bytes_total
        };
        let (few, many) = (search(20_000), search(80_000));
        assert!(many <= 5 * few, "{part:?}: {few} bytes for a quarter of {many}");
    }
}
