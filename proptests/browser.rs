//! The page, as a person at a browser uses it. What was seen is left in `target/screenshots/`.

use everleaf::{
    id::NoteId,
    loopback::Trouble,
    remote::{Call, Fault},
    vault::NewNote,
};
use serde_json::json;

use crate::page::Page;

mod driver;
mod meanwhile;
mod unsaved;
use driver::Browser;

const END: char = '\u{e010}';
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const DOWN: char = '\u{e015}';
const CONTROL: char = '\u{e009}';
const HOME: char = '\u{e011}';

fn note(page: &Page, source: &str, path: Option<&str>) -> NoteId {
    let new =
        NewNote { source: source.to_owned(), path: path.map(str::to_owned), ..NewNote::default() };
    page.vault.new_note(&new).unwrap()
}

fn source(page: &Page, note: NoteId) -> String {
    page.vault.read(note, None).unwrap().body.source()
}

/// The address of a page under the prefix that nobody can guess.
fn at(page: &Page, path: &str) -> String {
    format!("http://{}/{}/{path}", page.address, page.prefix)
}

/// Draws a picture, and gives its bytes in base 64.
const DRAW: &str = r"
    const canvas = Object.assign(document.createElement('canvas'), { width: 360, height: 240 });
    const pen = canvas.getContext('2d');
    pen.fillStyle = '#d9b98a';
    pen.fillRect(0, 0, 360, 240);
    pen.fillStyle = '#f0dcb8';
    for (let hole = 0; hole < 40; hole += 1) {
      pen.beginPath();
      pen.ellipse((hole * 97) % 360, (hole * 61) % 240, 6 + hole % 13, 4 + hole % 9, hole, 0, 7);
      pen.fill();
    }
    return canvas.toDataURL('image/png').split(',')[1];
";

/// Pastes or drops a picture that the browser draws: a loaf on a table, so that there is something to see.
const GIVE_PICTURE: &str = r"
    const [kind, name, seed] = arguments;
    const canvas = Object.assign(document.createElement('canvas'), { width: 480, height: 320 });
    const pen = canvas.getContext('2d');
    const sky = pen.createLinearGradient(0, 0, 0, 320);
    sky.addColorStop(0, `hsl(${seed} 45% 88%)`);
    sky.addColorStop(1, `hsl(${seed + 20} 35% 70%)`);
    pen.fillStyle = sky;
    pen.fillRect(0, 0, 480, 320);
    pen.fillStyle = `hsl(${seed + 10} 25% 48%)`;
    pen.fillRect(0, 232, 480, 88);
    pen.fillStyle = 'hsl(28 55% 42%)';
    pen.beginPath();
    pen.ellipse(240, 222, 150, 74, 0, 0, 7);
    pen.fill();
    pen.strokeStyle = 'hsl(34 70% 74%)';
    pen.lineWidth = 9;
    for (const x of [150, 210, 270, 330]) {
      pen.beginPath();
      pen.moveTo(x - 18, 262);
      pen.quadraticCurveTo(x - 10, 200, x + 24, 172);
      pen.stroke();
    }
    const bytes = atob(canvas.toDataURL('image/png').split(',')[1]);
    const file = new File([Uint8Array.from(bytes, (c) => c.charCodeAt(0))], name, { type: 'image/png' });
    const data = new DataTransfer();
    data.items.add(file);
    const how = { bubbles: true, cancelable: true };
    document.getElementById('text').dispatchEvent(kind === 'paste'
      ? new ClipboardEvent('paste', { ...how, clipboardData: data })
      : new DragEvent('drop', { ...how, dataTransfer: data }));
";

fn give_picture(browser: &Browser, kind: &str, name: &str, seed: u32) {
    browser.run(GIVE_PICTURE, &json!([kind, name, seed]));
}

/// Checks what a page is like for people who can't see it, where the checker is there: `.ci/run` fetches it.
fn check_accessible(browser: &Browser, what: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/axe/package/axe.min.js");
    let Ok(axe) = std::fs::read_to_string(path) else {
        eprintln!("left out: there is no {path} to check whether {what} is accessible");
        return;
    };
    browser.run(&axe, &json!([]));
    browser.run(
        "axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] })
             .then((found) => { window.found = found.violations; })",
        &json!([]),
    );
    browser.until("window.found");
    let found = browser.run(
        "return found.flatMap((rule) => rule.nodes.map((node) =>
             `${rule.id}: ${node.html} ${node.failureSummary}`))",
        &json!([]),
    );
    let found: Vec<&str> =
        found.as_array().unwrap().iter().filter_map(|text| text.as_str()).collect();
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

/// Nothing is wider than the window, and what is pressed is large enough for a thumb.
fn check_fits_a_phone(browser: &Browser, what: &str) {
    let wide = browser.run("return document.documentElement.scrollWidth", &json!([]));
    assert!(wide.as_u64().unwrap() <= 390, "{what} is {wide} wide");
    let small = browser.run(
        "return [...document.querySelectorAll('button, .button, select, input:not([type=hidden], .unseen), .top a')]
             .map((one) => [one.outerHTML.slice(0, 90), one.getBoundingClientRect()])
             .filter(([, box]) => box.width > 0 && box.height < 43.5).map(([html, box]) => `${html} ${box.height}`)",
        &json!([]),
    );
    assert_eq!(small, json!([]), "{what}");
}

/// The pictures of a note, as a person sees them.
const SHOWN: &str = "document.querySelector('#shown img')";

#[test]
fn a_picture_goes_from_waiting_to_uploaded_before_ones_eyes() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    // Images are refused until somebody mends that.
    let crowded = Trouble::Answer { status: 403, code: "AccessDenied" };
    let images =
        Fault { prefix: "images/".to_owned(), ..Fault::next(Call::Put, u64::MAX, crowded) };
    page.store.fail(images);
    browser.resize(1280, 860, false);
    browser.open(&page.url);
    browser.until("document.querySelector('.tools .primary')");
    browser.run("window.mark = 1", &json!([]));

    browser.click("#offline");
    browser.until("document.querySelector('#offline').ariaChecked === 'true'");
    browser.click(".tools .primary");
    browser.until("document.querySelector('#text')");
    let typed = "# Sourdough\n\nFeed the starter twice a day, and keep it in the fridge.\n\n";
    browser.type_into("#text", typed);
    browser.until("document.querySelector('#saved').textContent === 'Saved' && document.querySelector('#shown h1')?.textContent === 'Sourdough'");
    give_picture(&browser, "paste", "image.png", 40);
    browser.until(&format!("{SHOWN}?.complete && {SHOWN}.naturalWidth === 480"));
    browser.run("window.mark = 1", &json!([]));
    browser.until("document.querySelector('#head .badge.waiting')");
    browser.until("document.querySelector('#standing').innerText.includes('held')");
    browser.until(&format!("{SHOWN}.getAttribute('src').startsWith('image/')"));
    browser.picture("1-offline-waiting");
    let bread = page.vault.list().unwrap()[0].note;
    let before = source(&page, bread);
    assert!(before.starts_with(typed) && before.contains("![](picture-"), "{before}");

    browser.click("#offline");
    browser.until("document.querySelector('#head .badge.blocked')");
    browser.until("document.querySelector('#standing').innerText.includes('1 upload blocked')");
    assert_eq!(browser.run("return window.mark", &json!([])), 1);
    browser.open(&at(&page, "images"));
    browser.until("document.querySelector('.card .error')");
    browser.picture("2-blocked");
    check_accessible(&browser, "the grid of images");
    browser.open(&at(&page, &format!("note/{bread}")));
    browser.until("document.querySelector('#head .badge.blocked')");
    browser.run("window.mark = 2", &json!([]));
    page.store.heal();
    // Another window asks for it to be tried again; this one sees what comes of it.
    let (first, _) = (browser.window(), browser.new_window());
    browser.open(&at(&page, "images?state=blocked"));
    browser.until("document.querySelector('#retry-all')");
    browser.click("#retry-all");
    browser.until("!document.querySelector('#retry-all')");
    browser.look_at(&first);
    browser.until("document.querySelector('#head .pictures .badge.uploaded')");
    browser.until(&format!("{SHOWN}.src.startsWith('{}')", page.store.public_url()));
    browser.until(&format!("{SHOWN}.complete && {SHOWN}.naturalWidth === 480"));
    browser.until("document.querySelector('#head .meta .badge.uploaded')");
    browser.until("document.querySelector('#standing').innerText.includes('In step')");
    assert_eq!(browser.run("return window.mark", &json!([])), 2, "the page was loaded again");
    // An upload edits no text.
    assert_eq!(source(&page, bread), before);
    browser.picture("3-uploaded");
    browser.click("#head .pictures a");
    browser.until("document.querySelectorAll('.log tbody tr').length > 4");
    browser.picture("4-life");
    check_accessible(&browser, "the life of an image");
    let complaints = browser.complaints();
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn two_windows_and_a_phone_write_one_paragraph() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let bread = note(&page, "# Bread\n\nFlour and water.\n", None);
    browser.resize(1280, 860, false);
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
    let edit = at(&page, &format!("note/{bread}?edit=true"));
    browser.open(&edit);
    let first = browser.window();
    let second = browser.new_window();
    browser.open(&edit);
    // Each with its cursor in the paragraph.
    let put_cursor = |after: &str| {
        let script = "const text = document.getElementById('text'); text.focus();
             const place = text.value.indexOf(arguments[0]) + arguments[0].length;
             text.setSelectionRange(place, place);";
        browser.run(script, &json!([after]));
    };
    put_cursor("water");
    browser.look_at(&first);
    put_cursor("\n\n");
    let keys = |text: &str| browser.press(&text.chars().collect::<Vec<_>>());
    keys("Rye and ");
    browser.look_at(&second);
    keys(", salt");
    let merged = "# Bread\n\nRye and Flour and water, salt.\n";
    let text = |window| {
        browser.look_at(window);
        browser.until(&format!("document.getElementById('text').value === {}", json!(merged)));
        browser.run("return document.getElementById('text').selectionStart", &json!([]))
    };
    // The cursors are where they were in the sentence.
    assert_eq!(text(&second), "# Bread\n\nRye and Flour and water, salt".len());
    assert_eq!(text(&first), "# Bread\n\nRye and ".len());
    // What the phone writes comes too, and what is typed meanwhile is not lost.
    let phone = page.phone();
    while !phone.vault.read(bread, None).is_ok_and(|seen| seen.body.source() == merged) {
        phone.sync();
    }
    let seen = phone.vault.read(bread, None).unwrap();
    phone
        .vault
        .edit(bread, &seen.heads, &format!("{merged}\nOn the phone: bake it.\n"), None)
        .unwrap();
    phone.sync();
    keys("fine ");
    page.post("sync/now", "application/json", b"");
    let all = "# Bread\n\nRye and fine Flour and water, salt.\n\nOn the phone: bake it.\n";
    browser.until(&format!("document.getElementById('text').value === {}", json!(all)));
    browser.until("document.querySelector('#saved').textContent === 'Saved'");
    let cursor = browser.run("return document.getElementById('text').selectionStart", &json!([]));
    assert_eq!(cursor, "# Bread\n\nRye and fine ".len());
    assert_eq!(source(&page, bread), all);
    browser.picture("5-merged");
    // The past is a slider away.
    browser.click("#done");
    browser.until("document.querySelector('#step')");
    browser.run("document.getElementById('step').focus()", &json!([]));
    browser.press(&[HOME]);
    browser.until("document.querySelector('.banner') && document.querySelector('#shown > p:last-of-type').innerText === 'Flour and water.'");
    browser.picture("6-history");
    check_accessible(&browser, "a note as it was");
    browser.press(&[END]);
    browser.until("!document.querySelector('.banner') && document.querySelector('#shown').innerText.includes('bake it')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn by_keyboard_on_a_phone_and_in_the_dark() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let titles =
        ["Bake day", "Market", "Starter log", "Rye and other flours", "Oven, temperatures of"];
    for title in titles {
        let text = format!("# {title}\n\nWhat there is to say of it.\n");
        note(&page, &text, Some(&format!("Recipes/{title}.md")));
    }
    let long = "# Sourdough\n\nA loaf takes **two days**, most of which is waiting. See [the market](Market.md).\n\n\
        ## What it takes\n\n| What | How much |\n| --- | --- |\n| Flour | 500 g |\n| Water | 350 g |\n| Salt | 10 g |\n\n\
        1. Feed the starter the evening before.\n2. Mix, rest, fold four times.\n3. Bake at 240 °C.\n\n\
        > The dough tells the time, not the clock.\n\n";
    let bread = note(&page, long, Some("Recipes/Sourdough.md"));
    browser.resize(1280, 860, false);
    browser.open(&page.url);
    browser.until("document.querySelectorAll('#list a').length === 6");
    // From the first key on, by keyboard alone: past the skip link, to the filter, to the note.
    browser.press(&[TAB]);
    browser.until("document.activeElement.className === 'skip'");
    browser.press(&['/', 's', 'o', 'u']);
    browser.until("document.querySelectorAll('#list .rows a').length === 1");
    browser.press(&[DOWN, ENTER]);
    browser.until("document.querySelector('#note-title')?.textContent === 'Sourdough'");
    browser.until("document.querySelector('.prose table')");
    browser.run("document.getElementById('edit').focus()", &json!([]));
    browser.press(&[ENTER]);
    browser.until("document.getElementById('text')");
    browser.run("const text = document.getElementById('text'); text.setSelectionRange(text.value.length, text.value.length)", &json!([]));
    give_picture(&browser, "drop", "The loaf.png", 150);
    browser.until(&format!("{SHOWN}?.src.startsWith('{}')", page.store.public_url()));
    // By the dialogue for files.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("Crumb.png");
    let drawn = browser.run(DRAW, &json!([]));
    std::fs::write(&file, driver::base64(drawn.as_str().unwrap())).unwrap();
    browser.type_into("#file", file.to_str().unwrap());
    browser.until("document.querySelectorAll('#head .pictures .badge.uploaded').length === 2");
    browser.until("document.getElementById('text').value.includes('![Crumb](Crumb.png)')");
    browser.picture("7-editor");
    check_accessible(&browser, "the editor");
    browser.dark(true);
    browser.picture("8-editor-dark");
    check_accessible(&browser, "the editor in the dark");
    browser.dark(false);

    let pages = [
        ("note", format!("note/{bread}")),
        ("images", "images".to_owned()),
        ("sync", "sync".to_owned()),
        ("log", "log".to_owned()),
        ("list", String::new()),
    ];
    for (name, path) in &pages {
        browser.resize(1280, 860, false);
        browser.open(&at(&page, path));
        browser.until("document.querySelector('#standing').innerText.includes('In step')");
        browser.until(
            "[...document.images].every((image) => image.complete || image.loading === 'lazy')",
        );
        browser.picture(&format!("desktop-{name}"));
        check_accessible(&browser, name);
        browser.dark(true);
        browser.picture(&format!("desktop-{name}-dark"));
        check_accessible(&browser, &format!("{name} in the dark"));
        browser.dark(false);
        browser.resize(390, 844, true);
        browser.picture(&format!("phone-{name}"));
        check_fits_a_phone(&browser, name);
        check_accessible(&browser, &format!("{name} on a phone"));
    }
    browser.open(&at(&page, &format!("note/{bread}?edit=true")));
    browser.until("document.querySelector('#standing').innerText.includes('In step')");
    browser.picture("phone-editor");
    check_fits_a_phone(&browser, "the editor");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
