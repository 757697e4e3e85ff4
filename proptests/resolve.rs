//! Destinations and what they mean, against a manifest that another parser made of real vaults.

use std::fmt::Write as _;

use everleaf::{
    note::markdown::{Destination, Syntax, destinations},
    resolve::{NotLocal, Resolution, Rule, Tree, relative, resolve},
};
use serde_json::{Value, json};

fn class(resolution: &Resolution) -> &'static str {
    match resolution {
        Resolution::NotLocal(NotLocal::Remote) => "remote",
        Resolution::NotLocal(NotLocal::DataUri) => "data_uri",
        Resolution::NotLocal(NotLocal::OtherScheme) => "other_scheme",
        Resolution::NotLocal(NotLocal::Empty) => "empty",
        Resolution::NotLocal(NotLocal::JoplinResource) => "joplin_resource",
        Resolution::Found { .. } | Resolution::Missing { .. } => "local",
    }
}

fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::Case => "case",
        Rule::UnicodeNormalisation => "unicode_normalisation",
        Rule::Backslash => "backslash",
        Rule::ClampedAtRoot => "clamped_at_root",
        Rule::ObsidianName => "obsidian_name",
    }
}

fn syntax(syntax: Syntax) -> &'static str {
    match syntax {
        Syntax::Inline => "md_inline",
        Syntax::Reference => "md_reference",
        Syntax::HtmlSrc => "html_img",
        Syntax::HtmlSrcset => "html_srcset",
        Syntax::Wiki => "wiki_embed",
    }
}

/// What we say of one use, in the manifest's words.
fn ours(tree: &Tree, note: &str, destination: &Destination) -> Value {
    let resolution = resolve(tree, note, destination, false);
    let (resolved, lenient) = match &resolution {
        Resolution::Found { path, .. } => (Some(path), Value::Null),
        Resolution::Missing { hint: Some((by, path)) } => {
            (None, json!({ "rule": rule(*by), "path": path }))
        }
        _ => (None, Value::Null),
    };
    json!({
        "syntax": syntax(destination.syntax),
        "dest": destination.target,
        "class": class(&resolution),
        "resolved": resolved,
        "lenient": lenient,
    })
}

fn theirs(image: &Value) -> Value {
    json!({
        "syntax": image["syntax"],
        "dest": image["dest"],
        "class": image["class"],
        "resolved": image["resolved"],
        "lenient": image["lenient"],
    })
}

/// Every use in the order of the source; without the wiki embeds of notes and other files.
fn all(tree: &Tree, note: &str, source: &str) -> (Vec<Value>, Vec<Value>) {
    let mut uses: Vec<_> = destinations(source)
        .into_iter()
        .flat_map(|one| one.uses.clone().into_iter().map(move |at| (at.start, one.clone())))
        .collect();
    uses.sort_by_key(|(start, one)| (*start, one.range.start));
    uses.iter().map(|(_, one)| ours(tree, note, one)).partition(|found| {
        let meant = found["resolved"].as_str().or(found["dest"].as_str()).unwrap_or_default();
        let meant = meant.split('#').next().unwrap_or_default().to_lowercase();
        let image =
            ["png", "jpg", "jpeg", "gif", "webp", "svg", "avif", "heic", "bmp", "tiff", "ico"];
        found["syntax"] != "wiki_embed"
            || image.iter().any(|end| meant.ends_with(&format!(".{end}")))
    })
}

#[test]
fn real_vaults_mean_what_their_manifest_says() {
    let Some(vaults) = crate::shared::path("vaults") else { return };
    let manifest = std::fs::read(vaults.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let (mut report, mut images) = (String::new(), 0);
    for (vault, description) in manifest["vaults"].as_object().unwrap() {
        let files = description["files"].as_object().unwrap();
        let tree = Tree::new(files.keys().cloned());
        for note in description["notes"].as_array().unwrap() {
            let path = note["path"].as_str().unwrap();
            let source = std::fs::read_to_string(vaults.join(vault).join(path)).unwrap();
            let (shown, others) = all(&tree, path, &source);
            images += shown.len();
            for (ours, key) in [(shown, "images"), (others, "other_embeds")] {
                let list = note.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
                let theirs: Vec<_> = list.iter().map(theirs).collect();
                if ours != theirs {
                    let place =
                        (0..=ours.len()).find(|at| ours.get(*at) != theirs.get(*at)).unwrap();
                    writeln!(
                        report,
                        "{vault}/{path}, {key} {place}:\n  ours   {:?}\n  theirs {:?}",
                        ours.get(place),
                        theirs.get(place)
                    )
                    .unwrap();
                }
            }
        }
    }
    assert!(report.is_empty(), "{report}");
    assert_eq!(images as u64, manifest["totals"]["refs"].as_u64().unwrap());
}

fn tree() -> Tree {
    Tree::new(
        [
            "a/Note.md",
            "a/one.png",
            "a/Two.PNG",
            "img/three.png",
            "deep/er/three.png",
            "x/img/four.png",
        ]
        .map(String::from)
        .into_iter()
        .chain(["a/caf\u{e9}.png".to_owned(), "a/100%.png".to_owned()]),
    )
}

fn meant(target: &str, syntax: Syntax, lenient: bool) -> Resolution {
    let one = Destination { range: 0..0, target: target.to_owned(), syntax, uses: Vec::new() };
    resolve(&tree(), "a/Note.md", &one, lenient)
}

fn inline(target: &str) -> Resolution {
    meant(target, Syntax::Inline, false)
}

fn found(path: &str, derived: bool) -> Resolution {
    Resolution::Found { path: path.to_owned(), derived }
}

fn hint(rule: Rule, path: &str) -> Resolution {
    Resolution::Missing { hint: Some((rule, path.to_owned())) }
}

#[test]
fn markdown_destinations_are_relative_to_the_note_in_exact_case() {
    for target in
        ["one.png", "./one.png", "../a/one.png", "/a/one.png", "one.png?raw#x", "o%6ee.png"]
    {
        assert_eq!(inline(target), found("a/one.png", true), "{target}");
    }
    assert_eq!(inline("100%.png"), found("a/100%.png", true));
    for target in ["../../a/no.png", "#one.png", "no.png", "%ff.png", "/", ".."] {
        assert_eq!(inline(target), Resolution::Missing { hint: None }, "{target}");
    }
}

#[test]
fn hints_say_what_a_forgiving_reader_would_take() {
    assert_eq!(inline("two.png"), hint(Rule::Case, "a/Two.PNG"));
    assert_eq!(inline("cafe\u{301}.png"), hint(Rule::UnicodeNormalisation, "a/caf\u{e9}.png"));
    assert_eq!(inline("..\\img\\three.png"), hint(Rule::Backslash, "img/three.png"));
    assert_eq!(inline("../../img/three.png"), hint(Rule::ClampedAtRoot, "img/three.png"));
    assert_eq!(inline("three.png"), hint(Rule::ObsidianName, "img/three.png"));
    assert_eq!(inline("img/four.png"), hint(Rule::ObsidianName, "x/img/four.png"));
    // What says where it is means no other note's picture of that name.
    for relative in ["./three.png", "../three.png", "./img/four.png", ".\\three.png"] {
        assert_eq!(inline(relative), Resolution::Missing { hint: None }, "{relative}");
    }
    assert_eq!(meant("two.png", Syntax::Inline, true), found("a/Two.PNG", false));
}

#[test]
fn wiki_names_are_looked_for_everywhere() {
    let wiki = |target| meant(target, Syntax::Wiki, false);
    assert_eq!(wiki("THREE.png#dark"), found("img/three.png", false));
    assert_eq!(wiki("er/three.png"), found("deep/er/three.png", false));
    assert_eq!(wiki("one.png"), found("a/one.png", true));
    assert_eq!(wiki("note"), found("a/Note.md", false));
    assert_eq!(wiki("r/three.png"), Resolution::Missing { hint: None });
}

/// As Obsidian does: the path itself, then what lies beside the note, then the shortest.
#[test]
fn a_wiki_name_means_what_lies_beside_the_note_before_others() {
    let all =
        ["a/x.png", "trips/rome/x.png", "trips/rome/img/x.png", "top.png", "trips/rome/Top.png"];
    let tree = Tree::new(all.map(String::from));
    let wiki = |target: &str| {
        let target = target.to_owned();
        let one = Destination { range: 0..0, target, syntax: Syntax::Wiki, uses: Vec::new() };
        resolve(&tree, "trips/rome/Day.md", &one, false)
    };
    for (name, path, derived) in [
        ("x.png", "trips/rome/x.png", true),
        ("X.PNG#right", "trips/rome/x.png", false),
        ("img/x.png", "trips/rome/img/x.png", true),
        ("rome/x.png", "trips/rome/x.png", false),
        ("a/x.png", "a/x.png", false),
        ("top.png", "top.png", false),
        ("/top.png", "top.png", true),
        ("./x.png", "trips/rome/x.png", true),
        ("../../a/x.png", "a/x.png", true),
        ("../ROME/img/x.png", "trips/rome/img/x.png", false),
    ] {
        assert_eq!(wiki(name), found(path, derived), "{name}");
    }
    for name in ["../x.png", "./top/x.png", "../../../a/x.png"] {
        assert_eq!(wiki(name), Resolution::Missing { hint: None }, "{name}");
    }
}

/// In any case where there is none in that of the name; and a shorter one before that.
#[test]
fn a_wiki_name_means_the_file_of_that_name_before_one_in_other_case() {
    let all = ["att/P.png", "att/p.png", "deep/Q.png", "deep/er/q.png", "n/X.png", "n/x.png"];
    let tree = Tree::new(all.map(String::from));
    for (name, path) in [
        ("att/p.png", "att/p.png"),
        ("att/P.png", "att/P.png"),
        ("ATT/p.png", "att/p.png"),
        ("p.png", "att/p.png"),
        ("P.png", "att/P.png"),
        ("P.PNG", "att/P.png"),
        ("q.png", "deep/Q.png"),
        ("x.png", "n/x.png"),
        ("./x.png", "n/x.png"),
    ] {
        let (target, syntax) = (name.to_owned(), Syntax::Wiki);
        let one = Destination { range: 0..0, target, syntax, uses: Vec::new() };
        let Resolution::Found { path: is, .. } = resolve(&tree, "n/Day.md", &one, false) else {
            panic!("{name}")
        };
        assert_eq!(is, path, "{name}");
    }
}

#[test]
fn what_is_not_a_file_is_told_apart() {
    for (target, kind) in [
        ("https://x/y.png", NotLocal::Remote),
        ("//x/y.png", NotLocal::Remote),
        ("data:image/png;base64,AA==", NotLocal::DataUri),
        ("file:///x.png", NotLocal::OtherScheme),
        ("C:\\x.png", NotLocal::OtherScheme),
        ("", NotLocal::Empty),
        (":/0123456789abcdef0123456789abcdef", NotLocal::JoplinResource),
    ] {
        assert_eq!(inline(target), Resolution::NotLocal(kind), "{target}");
    }
}

proptest::proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn no_path_leads_above_the_folder(note in "\\PC*", target in "[./a%2e\\\\#?\\PC]*") {
        if let Some(path) = relative(&note, &target) {
            proptest::prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        }
        let one = Destination { range: 0..0, target, syntax: Syntax::Inline, uses: Vec::new() };
        let _ = resolve(&tree(), &note, &one, true);
    }
}
