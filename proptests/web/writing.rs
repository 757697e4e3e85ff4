//! What a person does on the page: drafts that merge, pictures, the past, and being offline.

use everleaf::vault::NewNote;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{JSON, deeds, heads, note, source};
use crate::{image::png, page::Page};

/// What a page has in its text area after an answer.
fn spliced(text: &str, answer: &Value) -> String {
    let mut units: Vec<u16> = text.encode_utf16().collect();
    for splice in answer["splices"].as_array().unwrap().iter().rev() {
        let at = |name: &str| usize::try_from(splice[name].as_u64().unwrap()).unwrap();
        units.splice(at("start")..at("end"), splice["text"].as_str().unwrap().encode_utf16());
    }
    String::from_utf16(&units).unwrap()
}

#[test]
fn a_draft_is_merged_with_what_happened_meanwhile() {
    let page = Page::new();
    let bread = note(&page.vault, "# Bread 🍞\n\nFlour and water.\n");
    let base = heads(&page.vault, bread);
    let edit = |base: &str, text: &str| {
        let draft = json!({ "heads": base, "text": text }).to_string();
        page.post(&format!("note/{bread}/edit"), JSON, draft.as_bytes()).json()
    };
    let seen = page.vault.read(bread, None).unwrap();
    page.vault.edit(bread, &seen.heads, "# Bread 🍞\n\nFlour and water, salt.\n", None).unwrap();
    let draft = "# Bread 🍞🥖\n\nRye flour and water.\n";
    let answer = edit(&base, draft);
    let merged = "# Bread 🍞🥖\n\nRye flour and water, salt.\n";
    assert_eq!(spliced(draft, &answer), merged);
    assert_eq!(source(&page.vault, bread), merged);
    // The same request again, because its answer got lost, changes nothing.
    let before = deeds(&page.vault);
    let again = edit(&base, draft);
    assert_eq!(spliced(draft, &again), merged);
    assert_eq!(again["heads"], answer["heads"]);
    assert_eq!(deeds(&page.vault), before);
    // Who typed on before the answer came goes on from what was sent, and loses neither.
    let typed = "# Bread 🍞🥖\n\nRye flour and water. Bake.\n";
    let answer = edit(answer["at"].as_str().unwrap(), typed);
    assert_eq!(spliced(typed, &answer), "# Bread 🍞🥖\n\nRye flour and water, salt. Bake.\n");
    // Nothing to say only asks what is new.
    let before = deeds(&page.vault);
    let answer = edit(&base, "# Bread 🍞\n\nFlour and water.\n");
    let now = source(&page.vault, bread);
    assert_eq!(spliced("# Bread 🍞\n\nFlour and water.\n", &answer), now);
    assert_eq!(deeds(&page.vault), before);
}

#[test]
fn what_was_not_touched_keeps_its_line_endings() {
    let page = Page::new();
    // As a text area has it.
    let plain =
        |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}");
    let words = prop::sample::select(vec![
        "a",
        "é",
        "🍞",
        "\r\n",
        "\n",
        "\r",
        "\0",
        " ",
        "![](x.png)",
        "# b",
    ]);
    let text = prop::collection::vec(words, 0..12).prop_map(|words| words.concat());
    proptest!(ProptestConfig::with_cases(24), |(before in text.clone(), after in text)| {
        let id = note(&page.vault, &before);
        let base = heads(&page.vault, id);
        let edit = |text: &str| {
            let draft = json!({ "heads": base, "text": text }).to_string();
            page.post(&format!("note/{id}/edit"), JSON, draft.as_bytes()).json()
        };
        edit(&plain(&before));
        prop_assert_eq!(source(&page.vault, id), before.clone());
        let draft = plain(&after);
        let answer = edit(&draft);
        prop_assert_eq!(plain(&source(&page.vault, id)), draft.clone());
        prop_assert_eq!(spliced(&draft, &answer), draft);
        if !before.contains('\r') && !before.contains('\0') {
            prop_assert!(!source(&page.vault, id).contains('\r'));
        }
    });
    // Found by the property above: three line breaks became two.
    let id = note(&page.vault, "\r\0\ra");
    let draft = json!({ "heads": heads(&page.vault, id), "text": "\n\n\n" });
    page.post(&format!("note/{id}/edit"), JSON, draft.to_string().as_bytes()).json();
    assert_eq!(plain(&source(&page.vault, id)), "\n\n\n");
    let id = note(&page.vault, "one\r\ntwo\rthree\r\n");
    let draft = json!({ "heads": heads(&page.vault, id), "text": "one\nTWO\nthree\nfour\n" });
    page.post(&format!("note/{id}/edit"), JSON, draft.to_string().as_bytes()).json();
    assert_eq!(source(&page.vault, id), "one\r\nTWO\rthree\r\nfour\r\n");
}

#[test]
fn pictures_of_one_name_stay_apart() {
    let page = Page::new();
    let id = note(&page.vault, "# A\n");
    let take = |name: &str, what: &[u8]| {
        let body = png(4, 4, what);
        let answer =
            page.post(&format!("note/{id}/picture?name={name}"), "image/png", &body).json();
        answer["markdown"].as_str().unwrap().to_owned()
    };
    // A browser calls whatever is pasted `image.png`.
    let pasted = [take("image.png", b"one"), take("image.png", b"two"), take("x.png", b"three")];
    assert!(pasted[0].starts_with("![](picture-") && pasted[0] != pasted[1], "{pasted:?}");
    assert_eq!(take("image.png", b"one"), pasted[0]);
    assert_eq!(take("x.png", b"three"), pasted[2]);
    let other = take("x.png", b"four");
    assert_ne!(other, pasted[2]);
    for name in ["..%2F..%2Fkey.png", "%2Fetc%2Fpasswd", "a%5D(b).png", "%00.png", &"n".repeat(500)]
    {
        let markdown = take(name, name.as_bytes());
        let (_, name) = markdown.trim_end_matches(')').rsplit_once('(').unwrap();
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)),
            "{markdown}"
        );
        assert!(!name.contains("..") && name.len() < 100, "{markdown}");
    }
    let text = format!("# A\n{}\n{other}\n", pasted.join("\n"));
    let draft = json!({ "heads": heads(&page.vault, id), "text": text });
    page.post(&format!("note/{id}/edit"), JSON, draft.to_string().as_bytes()).json();
    assert_eq!(page.vault.image_urls(id).unwrap().len(), 4);
    assert_eq!(source(&page.vault, id), text);
}

#[test]
fn an_open_page_hears_of_what_happens() {
    let page = Page::new();
    let bread = note(&page.vault, "# Bread\n");
    let mut heard = page.listen();
    let phone = page.phone();
    phone.sync();
    // What another device wrote comes by itself, as soon as this one asks for it.
    let seen = loop {
        phone.sync();
        if let Ok(seen) = phone.vault.read(bread, None) {
            break seen;
        }
        heard.next().unwrap();
    };
    phone.vault.edit(bread, &seen.heads, "# Bread\n\nSalt.\n", None).unwrap();
    phone.sync();
    page.post("sync/now", JSON, b"");
    while source(&page.vault, bread) != "# Bread\n\nSalt.\n" {
        heard.next().unwrap();
    }
    let topic = format!("note-{bread}");
    let mut heard = page.listen();
    page.vault.set_trashed(bread, true).unwrap();
    assert!(heard.any(|event| event == topic));
}

/// Between the moment in which a page is drawn and the one in which it listens.
#[test]
fn a_page_hears_of_what_happened_before_it_listened() {
    let page = Page::new();
    let drawn = page.stream();
    let bread = note(&page.vault, "# Bread\n");
    let mut heard = page.listen_to(&drawn);
    let topic = format!("note-{bread}");
    assert!(heard.any(|event| event == topic));
    let drawn = page.stream();
    page.post("sync/offline", JSON, b"");
    let mut heard = page.listen_to(&drawn);
    assert!(heard.any(|event| event == "sync"));
}

#[test]
fn offline_holds_uploads_back_until_it_is_over() {
    let page = Page::new();
    let mut heard = page.listen();
    let offline = page.post("sync/offline", JSON, b"");
    assert!(offline.text().contains("aria-checked=\"true\""), "{}", offline.text());
    let id = note(&page.vault, "# A\n");
    let taken =
        page.post(&format!("note/{id}/picture?name=a.png"), "image/png", &png(4, 4, b"a")).json();
    let draft = json!({ "heads": heads(&page.vault, id), "text": taken["markdown"] });
    page.post(&format!("note/{id}/edit"), JSON, draft.to_string().as_bytes()).json();
    let topic = format!("note-{id}");
    assert!(heard.any(|event| event == topic));
    let held = page.get("standing").text();
    assert!(held.contains("changes held"), "{held}");
    assert!(page.get("images/grid").text().contains("waiting"));
    page.post("sync/offline", JSON, b"");
    // Whatever the queue does, it says so.
    while page.vault.image_urls(id).unwrap().iter().any(|(_, url)| url.is_none()) {
        heard.next().unwrap();
    }
    // Three changes of the note by its author, and one upload: as the table beside the picture has it.
    while !page.get("sync/state").text().contains("<td>3</td><td>1</td><td>0 B</td>") {
        heard.next().unwrap();
    }
    let (image, url) = page.vault.image_urls(id).unwrap().remove(0);
    let shown = page.get(&format!("note/{id}/shown")).text();
    assert!(shown.contains(&format!("src=\"{}\"", url.unwrap())), "{shown}");
    let life = page.get(&format!("images/{image}/story")).text();
    for part in ["taken in", "begun, attempt 1", "uploaded to origin", "URLs put into"] {
        assert!(life.contains(part), "{part}: {life}");
    }
    assert_eq!(
        page.store.objects().iter().filter(|(name, _)| name.starts_with("images/")).count(),
        1
    );
}

#[test]
fn a_remote_that_comes_while_the_page_is_open_is_synced_with() {
    let page = Page::new();
    let mut heard = page.listen();
    note(&page.vault, "# A\n");
    let (disk, folder) = ("disk".parse().unwrap(), tempfile::tempdir().unwrap());
    let policy = || page.get("list").header("content-security-policy");
    assert!(!policy().contains("pictures.example"));
    page.add_folder(&disk, folder.path(), "http://pictures.example/a");
    while std::fs::read_dir(folder.path().join("log")).map_or(0, Iterator::count) == 0 {
        heard.next().unwrap();
    }
    assert!(policy().contains(" http://pictures.example "), "{}", policy());
    // What goes is let alone.
    while page.vault.remove_remote(&disk).is_err() {
        heard.next().unwrap();
    }
    while policy().contains("pictures.example") {
        heard.next().unwrap();
    }
}

#[test]
fn a_note_can_be_seen_and_had_as_it_was() {
    let page = Page::new();
    let id = note(&page.vault, "# One\n");
    let taken =
        page.post(&format!("note/{id}/picture?name=a.png"), "image/png", &png(4, 4, b"a")).json();
    let edit = |text: &str| {
        let draft = json!({ "heads": heads(&page.vault, id), "text": text });
        page.post(&format!("note/{id}/edit"), JSON, draft.to_string().as_bytes()).json()
    };
    let with_picture = format!("# Two\n{}\n", taken["markdown"].as_str().unwrap());
    edit(&with_picture);
    edit("# Three\n");
    let shown = |query: &str| page.get(&format!("note/{id}/shown{query}")).text();
    assert!(shown("").contains("<h1>Three</h1>"));
    // The first is the text that it was made with.
    assert!(shown("?step=1&of=3").contains("1 of 3"), "{}", shown("?step=1&of=3"));
    let then = shown("?step=2&of=3");
    assert!(
        then.contains("Two") && then.contains("src=\"image/") && then.contains("2 of 3"),
        "{then}"
    );
    // One that is looked at stays when the note goes on; at the end it goes on with it.
    edit("# Four\n");
    assert!(shown("?step=2&of=3").contains("Two"));
    let now = shown("?step=3&of=3");
    assert!(now.contains("Four") && now.contains("max=\"4\""), "{now}");
    let back = page.post(&format!("note/{id}/go-back?step=2"), JSON, b"");
    assert!(back.header("hx-redirect").ends_with(&format!("note/{id}")));
    assert_eq!(source(&page.vault, id), with_picture);
    assert_eq!(page.vault.image_urls(id).unwrap().len(), 1);
}

#[test]
fn links_between_notes_lead_to_them() {
    let page = Page::new();
    let [a, b] = [note(&page.vault, "# A\n"), note(&page.vault, "# B\n")];
    page.vault.set_path(a, Some("Recipes/A.md")).unwrap();
    page.vault.set_path(b, Some("Other/B side.md")).unwrap();
    let leads = |link: &str, to: Option<everleaf::id::NoteId>| {
        let heads = page.vault.read(a, None).unwrap().heads;
        page.vault.edit(a, &heads, &format!("# A\n\n{link}\n"), None).unwrap();
        let shown = page.get(&format!("note/{a}/shown")).text();
        let href = shown.split_once("href=\"").unwrap_or_else(|| panic!("{link}: {shown}")).1;
        let answer = page.get(&href.split_once('"').unwrap().0.replace("&amp;", "&"));
        let place = to.map(|note| format!("/{}/note/{note}", page.prefix)).unwrap_or_default();
        assert_eq!(answer.header("location"), place, "{link}: {shown}");
    };
    for link in [
        "[b](../Other/B%20side.md)",
        "[[B side]]",
        "[[B side#Part]]",
        "[[B side#Part#Deeper]]",
        "[[B]]",
        "[[B|the other]]",
    ] {
        leads(link, Some(b));
    }
    for title in ["Recipe: Bread", "Ünï cödé", "100% rye", "C# notes", "a%20b", "What? & why"] {
        let thrown = note(&page.vault, &format!("# {title}\n"));
        page.vault.set_trashed(thrown, true).unwrap();
        leads(&format!("[[{title}]]"), Some(thrown));
        // What is in the trash gives way to what is not.
        let called = note(&page.vault, &format!("# {title}\n"));
        leads(&format!("[[{title}]]"), Some(called));
    }
    leads("[[nobody]]", None);
    assert_eq!(page.get(&format!("find?from={a}&to=nobody")).status, 404);
}

#[test]
fn pictures_go_with_a_text_into_another_note() {
    let page = Page::new();
    let (walk, lake) = (png(3, 4, b"a walk"), png(3, 4, b"a lake"));
    let take = |note, picture: &[u8]| {
        page.post(&format!("note/{note}/picture?name=a.png"), "", picture).json()["markdown"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let save = |note, text: &str| {
        let draft = json!({ "heads": heads(&page.vault, note), "text": text }).to_string();
        page.post(&format!("note/{note}/edit"), JSON, draft.as_bytes());
    };
    let paste = |note, text: &str, from| {
        let copied = json!({ "from": from, "text": text }).to_string();
        let answer = page.post(&format!("note/{note}/paste"), JSON, copied.as_bytes());
        (answer.status == 200).then(|| answer.json()["markdown"].as_str().unwrap().to_owned())
    };
    let images = |note| page.vault.read(note, None).unwrap().body.images();
    let [from, to, free] = ["# From\n", "# To\n", "# Free\n"].map(|text| note(&page.vault, text));

    // One that is not saved yet, into a note that has no other of its name.
    let line = take(from, &walk);
    assert_eq!(paste(free, &format!("{line}\n"), from).unwrap(), format!("{line}\n"));
    save(free, &format!("# Free\n{line}\n"));
    save(from, &format!("# From\n{line}\n"));
    assert_eq!(images(free), images(from));

    // One that is saved, into a note that calls another picture so.
    assert_eq!(take(to, &lake), line);
    let pasted = paste(to, &format!("see {line} and ![](none.png)"), from).unwrap();
    assert!(
        pasted.starts_with("see ![a](a-") && pasted.ends_with(" and ![](none.png)"),
        "{pasted}"
    );
    save(to, &format!("# To\n{line}\n{pasted}\n"));
    let (one, both) = (images(from), images(to));
    assert!(both.contains(&one[0]) && both.len() == 2, "{both:?}");

    // A name that stands there as text does not become that picture.
    let dangling = note(&page.vault, "# Dangling\n![](a.png)\n");
    let pasted = paste(dangling, &line, from).unwrap();
    assert!(pasted.starts_with("![a](a-"), "{pasted}");
    save(dangling, &format!("# Dangling\n![](a.png)\n{pasted}\n"));
    let body = page.vault.read(dangling, None).unwrap().body;
    assert_eq!(body.embeds().count(), 1);

    assert_eq!(paste(to, "no picture", from).unwrap(), "no picture");
    let nowhere: everleaf::id::NoteId = "0".repeat(32).parse().unwrap();
    assert_eq!(paste(to, &line, nowhere), None);
}

#[test]
fn the_list_has_what_notes_say() {
    let page = Page::new();
    note(&page.vault, "# Bread\n\nRye <b>flour</b>.\n");
    note(&page.vault, "# Flour\n\nOf wheat.\n");
    let list = page.get("list?q=flour").text();
    let at = |part: &str| list.find(part).unwrap_or_else(|| panic!("{part} is not in {list}"));
    assert!(at("Flour</span>") < at("Bread</span>"), "{list}");
    assert!(list.contains("Rye &lt;b&gt;<mark>flour</mark>&lt;/b&gt;."), "{list}");
    assert!(!list.contains("Of wheat"), "{list}");
    // One that only its path, or its title and its path together, are found by.
    let path = Some("Journal/2026-05-03.md".to_owned());
    let day = NewNote { source: "# Sunday\n".into(), path, ..NewNote::default() };
    page.vault.new_note(&day).unwrap();
    assert!(page.get("list?q=sunday+2026-05").text().contains("Sunday</span>"));
    assert!(page.get("list?q=leek").text().contains("No note says that."));
    assert!(page.get("list?q=%22").text().contains("No note says that."));
    assert!(page.get("list?q=").text().contains("Flour</span>"));
}
