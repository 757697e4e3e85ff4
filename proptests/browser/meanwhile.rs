//! What happens while a person reads or writes: answers that come late, changes made elsewhere, and leaving.

use serde_json::json;

use super::{Browser, ENTER, HOME, Page, SHOWN, at, give_picture, note, source};

/// Holds back the next answer to a request for one of the page's parts, as a busy machine does.
const HOLD: &str = r"
    const [part] = arguments;
    const [open, send] = [XMLHttpRequest.prototype.open, XMLHttpRequest.prototype.send];
    XMLHttpRequest.prototype.open = function (method, address, ...rest) {
      this.asked = address;
      return open.call(this, method, address, ...rest);
    };
    XMLHttpRequest.prototype.send = function (...given) {
      if (!window.late && this.asked.startsWith(part)) {
        const [arrived, abort] = [this.onload, this.abort];
        window.late = { answer: () => {} };
        this.onload = () => { window.late.arrived = true; window.late.answer = arrived; };
        this.abort = () => {
          window.late = { arrived: true, answer: () => {} };
          this.onload = null;
          if (this.readyState === XMLHttpRequest.DONE) this.onabort();
          abort.call(this);
        };
      }
      return send.apply(this, given);
    };
";

/// A part of the page that was asked for before its filter changed may be answered after it.
#[test]
fn an_answer_that_comes_late_undoes_no_choice() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let market = note(&page, "# Market\n\nFlour.\n", None);
    note(&page, "# Sourdough\n\nFeed it.\n", None);
    let edited = page.vault.read(market, None).unwrap();
    page.vault.edit(market, &edited.heads, "# Market\n\nFlour and salt.\n", None).unwrap();
    let late = "return window.late.answer()";
    let another = || note(&page, "# Another\n\nOne.\n", None);

    browser.open(&page.url);
    browser.until("document.querySelectorAll('#list a').length === 2");
    browser.run(HOLD, &json!(["list"]));
    another();
    browser.until("window.late.arrived");
    browser.press(&['/', 's', 'o', 'u']);
    browser.until("document.querySelectorAll('#list .rows a').length === 1");
    browser.run(late, &json!([]));
    let rows = "return document.querySelector('#list .rows').innerText.split('\\n')[0]";
    assert_eq!(browser.run(rows, &json!([])), "Sourdough");

    browser.open(&at(&page, "log"));
    browser.until("document.querySelectorAll('#rows tbody tr').length > 3");
    browser.run(HOLD, &json!(["log/events"]));
    another();
    browser.until("window.late.arrived");
    browser.run("document.getElementById('with').focus()", &json!([]));
    browser.press(&['n', 'o', 't', 'h', 'e', 'r', 'e']);
    browser.until("document.querySelectorAll('#rows tbody tr').length === 0");
    browser.run(late, &json!([]));
    let rows = "return document.querySelectorAll('#rows tbody tr').length";
    assert_eq!(browser.run(rows, &json!([])), 0);

    browser.open(&at(&page, &format!("note/{market}")));
    browser.until("document.querySelector('#step') && document.querySelector('#shown > p')");
    browser.run(HOLD, &json!([format!("note/{market}/shown")]));
    let edited = page.vault.read(market, None).unwrap();
    page.vault.edit(market, &edited.heads, "# Market\n\nNothing.\n", None).unwrap();
    browser.until("window.late.arrived");
    browser.run("document.getElementById('step').focus()", &json!([]));
    browser.press(&[HOME]);
    browser.until("document.querySelector('#shown > p:last-of-type').innerText === 'Flour.'");
    browser.run(late, &json!([]));
    let text = "return document.querySelector('#shown > p:last-of-type').innerText";
    assert_eq!(browser.run(text, &json!([])), "Flour.");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Lets nothing of what the page sends go before `go()` is called.
pub(super) const GATE: &str = r"
    const fetch = window.fetch;
    const gate = new Promise((open) => { window.go = open; });
    window.fetch = async (...given) => { await gate; return fetch(...given); };
";

/// Gives the editor what is no picture, and says whether a browser is kept from what it would do itself.
const GIVE: &str = r"
    const [kind, texts] = arguments;
    const data = new DataTransfer();
    data.items.add(new File(['no picture'], 'cells.png', { type: 'image/png' }));
    texts.forEach((type) => data.setData(type, 'cells'));
    const how = { bubbles: true, cancelable: true };
    const event = kind === 'paste'
      ? new ClipboardEvent('paste', { ...how, clipboardData: data })
      : new DragEvent('drop', { ...how, dataTransfer: data });
    return !document.getElementById('text').dispatchEvent(event);
";

#[test]
fn whoever_leaves_the_editor_leaves_nothing_behind() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let bread = note(&page, "---\ntags: x\n---\n\n# Bread\n\n", None);
    let edit = at(&page, &format!("note/{bread}?edit=true"));
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
    browser.open(&edit);
    browser.until("document.getElementById('text')");
    // What is given as text is text, even where there is a picture of it.
    let given = |kind: &str, texts: &[&str]| browser.run(GIVE, &json!([kind, texts]));
    assert_eq!(given("paste", &["text/plain", "text/html"]), false);
    // What was refused is said until something else is given.
    assert_eq!(given("drop", &[]), true);
    let refused =
        "document.getElementById('alert').textContent.startsWith('cells.png was not taken in: ')";
    browser.until(refused);
    browser.run("document.getElementById('text').setRangeText('\\ud83d', 0, 0); document.getElementById('text').dispatchEvent(new Event('input'))", &json!([]));
    browser.until("performance.getEntriesByType('resource').some(({ name }) => name.endsWith('/edit')) && document.querySelector('#saved').textContent === 'Saved'");
    browser.until(refused);
    browser.run("document.getElementById('text').setRangeText('', 0, 1)", &json!([]));
    // A picture that nobody chose a place for comes at the end, and whoever is done waits for it.
    browser.run(GATE, &json!([]));
    give_picture(&browser, "drop", "Loaf.png", 30);
    browser.until("!document.getElementById('alert').textContent");
    browser.click("#done");
    browser.run("window.go()", &json!([]));
    browser.until(&format!("!document.getElementById('text') && {SHOWN}"));
    let text = "---\ntags: x\n---\n\n# Bread\n\n![Loaf](Loaf.png)\n";
    assert_eq!(source(&page, bread), text);
    // So does whoever types while a save is on its way.
    browser.open(&edit);
    browser.until("document.getElementById('text')");
    browser.run(GATE, &json!([]));
    browser.run("const text = document.getElementById('text'); text.focus(); text.setSelectionRange(text.value.length, text.value.length)", &json!([]));
    browser.press(&['o', 'n', 'e']);
    browser.until("document.querySelector('#saved').textContent === 'Saving…'");
    browser.press(&['t', 'w', 'o']);
    browser.click("#done");
    browser.run("window.go()", &json!([]));
    browser.until("!document.getElementById('text')");
    assert_eq!(source(&page, bread), format!("{text}onetwo"));
}

#[test]
fn what_is_read_is_left_alone_until_it_changes() {
    let Some(browser) = Browser::start() else { return };
    let page = Page::new();
    let bread = note(&page, "---\ntags: x\n---\n\n# Bread\n\nFlour and water.\n", None);
    browser.open(&page.url);
    browser.until("document.querySelector('#list a')");
    browser.open(&at(&page, &format!("note/{bread}")));
    browser.until("document.querySelector('#shown details')");
    let prepare = r"
        window.drawn = 0;
        document.getElementById('shown').addEventListener('htmx:afterRequest', () => { window.drawn += 1; });
        document.querySelector('#shown details').open = true;
        getSelection().selectAllChildren(document.querySelector('#shown > p'));";
    browser.run(prepare, &json!([]));
    note(&page, "# Another\n\nOne.\n", None);
    browser.until("window.drawn > 0 && document.querySelectorAll('#list .rows a').length === 2");
    let held = "document.querySelector('#shown details').open";
    browser.until(&format!("{held} && getSelection().toString() === 'Flour and water.'"));
    // What was unfolded stays so where the text is another.
    let change = |text: &str| {
        let heads = page.vault.read(bread, None).unwrap().heads;
        page.vault.edit(bread, &heads, text, None).unwrap();
    };
    change("---\ntags: y\n---\n\n# Rye\n\nFlour and water.\n");
    browser.until(&format!(
        "{held} && document.querySelector('#shown pre').textContent.includes('tags: y')"
    ));
    browser.until("document.title.startsWith('Rye · ')");
    // Another device may throw it away.
    browser.until("document.querySelector('#edit')");
    page.vault.set_trashed(bread, true).unwrap();
    browser.until("document.querySelector('#head .meta').innerText.includes('in the trash') && !document.querySelector('#edit')");
    // Whoever looks for something in the trash stays there.
    browser.open(&at(&page, "?trash=true"));
    browser.until("document.querySelectorAll('#list .rows a').length === 1");
    browser.press(&['/', 'r', 'y', 'e', ENTER]);
    browser.until("location.search.includes('q=rye') && location.search.includes('trash=true') && document.querySelectorAll('#list .rows a').length === 1");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
