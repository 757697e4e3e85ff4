//! What is written while pictures are on their way, and in a window of an earlier run.

use serde_json::json;

use super::{Browser, CONTROL, Page, at, give_picture, meanwhile::GATE, note, source};

/// Selects some of the text, or puts the cursor behind it.
fn select(browser: &Browser, selected: &str, whole: bool) {
    let script = "const [text, selected, whole] = [document.getElementById('text'), ...arguments];
         text.focus();
         const [start, end] = [text.value.indexOf(selected), text.value.indexOf(selected) + selected.length];
         text.setSelectionRange(whole ? start : end, end);";
    browser.run(script, &json!([selected, whole]));
}

fn becomes(browser: &Browser, text: &str) {
    browser.until(&format!(
        "document.getElementById('text').value === {} && document.getElementById('saved').textContent === 'Saved'",
        json!(text)
    ));
}

#[test]
fn a_picture_that_comes_late_comes_where_it_was_given_and_takes_nothing_away() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let open = || {
        let bread = note(&page, "# Bread\n\nFlour and water.\n", None);
        browser.open(&at(&page, &format!("note/{bread}?edit=true")));
        browser.until("document.getElementById('text')");
        browser.click("#text");
        browser.run(GATE, &json!([]));
        bread
    };
    let taking = "document.getElementById('saved').textContent === 'Taking in Loaf.png…'";
    browser.open(&page.url);
    browser.until("document.querySelector('#list')");

    // Everything is selected meanwhile, and what was written comes back when the picture is undone.
    let bread = open();
    select(&browser, "Flour", false);
    give_picture(&browser, "paste", "Loaf.png", 40);
    browser.until(taking);
    browser.run("document.getElementById('text').select()", &json!([]));
    browser.run("window.go()", &json!([]));
    let shown = "# Bread\n\nFlour![Loaf](Loaf.png)\n and water.\n";
    becomes(&browser, shown);
    assert_eq!(source(&page, bread), shown);
    browser.run("document.execCommand('undo')", &json!([]));
    becomes(&browser, "# Bread\n\nFlour and water.\n");

    // What was selected gives way to what is pasted, wherever somebody writes on, and others do.
    let bread = open();
    select(&browser, "Flour", true);
    give_picture(&browser, "paste", "Loaf.png", 40);
    give_picture(&browser, "paste", "Crust.png", 80);
    browser.until(taking);
    select(&browser, "# ", false);
    browser.press(&['R', 'y', 'e', ' ']);
    select(&browser, "water.", false);
    browser.press(&['S', 'a', 'l', 't', '.']);
    browser.run("window.go()", &json!([]));
    let shown =
        "# Rye Bread\n\n![Loaf](Loaf.png)\n![Crust](Crust.png)\n and water.Salt.\n".to_owned();
    becomes(&browser, &shown);
    assert_eq!(source(&page, bread), shown);
    let cursor = browser.run("return document.getElementById('text').selectionStart", &json!([]));
    assert_eq!(cursor, shown.len() - 1);

    // What was selected and changed stays, and so does what is selected where a picture is dropped.
    let bread = open();
    select(&browser, "Flour", true);
    give_picture(&browser, "paste", "Loaf.png", 40);
    browser.until(taking);
    browser.press(&['R', 'y', 'e']);
    select(&browser, "water", true);
    give_picture(&browser, "drop", "Crust.png", 80);
    browser.run("window.go()", &json!([]));
    let shown = "# Bread\n\n![Loaf](Loaf.png)\nRye and water![Crust](Crust.png)\n.\n";
    becomes(&browser, shown);
    assert_eq!(source(&page, bread), shown);
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// What was sent may be saved though nobody heard of it, and somebody goes on writing.
#[test]
fn what_was_saved_though_its_answer_got_lost_is_there_once() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let greeting = note(&page, "Hello\n", None);
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
    browser.open(&at(&page, &format!("note/{greeting}?edit=true")));
    browser.until("document.getElementById('text')");
    let lose = "const ask = window.fetch;
         window.lost = 0;
         window.fetch = async (...asked) => {
           const answer = await ask(...asked);
           if (window.found || !String(asked[0]).endsWith('/edit')) return answer;
           window.lost += 1;
           throw new TypeError('lost');
         };";
    browser.run(lose, &json!([]));
    select(&browser, "Hello", false);
    browser.press(&[' ', 'w', 'o', 'r']);
    browser.until("window.lost > 0");
    browser.press(&['l', 'd']);
    browser.until("window.lost > 1");
    browser.run("window.found = true", &json!([]));
    becomes(&browser, "Hello world\n");
    assert_eq!(source(&page, greeting), "Hello world\n");
}

#[test]
fn a_window_of_an_earlier_run_says_so_and_keeps_what_was_written() {
    let Some(browser) = Browser::start() else { return };
    let mut page = Page::new();
    let bread = note(&page, "# Bread\n", None);
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
    browser.open(&at(&page, &format!("note/{bread}?edit=true")));
    browser.until("document.getElementById('text')");
    page.restart();
    select(&browser, "# Bread\n", false);
    browser.press(&['R', 'y', 'e']);
    let told = "document.getElementById('alert').textContent.startsWith('This window is of an earlier run')";
    browser.until(told);
    browser.until("document.getElementById('saved').textContent === 'Not saved'");
    browser.click("#done");
    // Nobody says anything else of it, however often it is asked for, and the text stays.
    let script =
        "const asked = (type) => document.dispatchEvent(new CustomEvent(type, { detail: {} }));
         asked('htmx:sseError');
         asked('htmx:sseOpen');";
    browser.run(script, &json!([]));
    browser.until(told);
    let text = browser.run("return document.getElementById('text').value", &json!([]));
    assert_eq!(text, "# Bread\nRye");
    assert_eq!(source(&page, bread), "# Bread\n");
    browser.picture("9-earlier-run");
    // The new address takes what is copied.
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
}

/// What is cut out of one note and pasted into another takes its pictures along.
#[test]
fn a_picture_that_is_cut_out_of_one_note_is_a_picture_in_another() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let open = |note| {
        browser.open(&at(&page, &format!("note/{note}?edit=true")));
        browser.until("document.getElementById('text')");
        browser.click("#text");
    };
    let with = |key: char| browser.hold(CONTROL, key);
    let [bread, soup] = ["# Bread\n", "# Soup\n\nHot.\n"].map(|text| note(&page, text, None));
    browser.open(&page.url);
    browser.until("document.querySelector('#list')");

    open(bread);
    select(&browser, "# Bread\n", false);
    give_picture(&browser, "paste", "Loaf.png", 40);
    becomes(&browser, "# Bread\n![Loaf](Loaf.png)\n");
    select(&browser, "![Loaf](Loaf.png)\n", true);
    with('x');
    becomes(&browser, "# Bread\n");
    browser.run("document.execCommand('undo')", &json!([]));
    becomes(&browser, "# Bread\n![Loaf](Loaf.png)\n");
    select(&browser, "![Loaf](Loaf.png)\n", true);
    with('x');
    becomes(&browser, "# Bread\n");

    open(soup);
    select(&browser, "Hot.", true);
    with('v');
    becomes(&browser, "# Soup\n\n![Loaf](Loaf.png)\n\n");
    let images = |note| page.vault.read(note, None).unwrap().body.images().len();
    assert_eq!((images(bread), images(soup)), (0, 1));
    browser.run("document.execCommand('undo')", &json!([]));
    becomes(&browser, "# Soup\n\nHot.\n");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
