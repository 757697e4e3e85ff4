//! The page over one's own vault: who may ask for what, what a note can do to it, and how drafts merge.

use everleaf::{
    event::Event,
    id::{NoteId, Seq},
    vault::{NewNote, Vault},
};
use html5gum::{Token, Tokenizer};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    image::png,
    page::{Page, send},
};

mod commands;
mod patience;
mod writing;

const JSON: &str = "application/json";

fn note(vault: &Vault, source: &str) -> NoteId {
    vault.new_note(&NewNote { source: source.to_owned(), ..NewNote::default() }).unwrap()
}

fn source(vault: &Vault, note: NoteId) -> String {
    vault.read(note, None).unwrap().body.source()
}

fn heads(vault: &Vault, note: NoteId) -> String {
    vault.read(note, None).unwrap().heads.to_string()
}

/// How often something was done here: what syncs note by themselves is not counted.
fn deeds(vault: &Vault) -> usize {
    let here = |event: &Event| {
        matches!(
            event,
            Event::NoteChanged { .. } | Event::ImageStored { .. } | Event::UploadRetried { .. }
        )
    };
    vault.events(Seq(1)).filter(|recorded| here(&recorded.as_ref().unwrap().event)).count()
}

/// Every page and every thing that can be done, with whether it changes something.
fn routes(note: NoteId) -> Vec<(&'static str, String)> {
    let of_note = |rest: &str| format!("note/{note}{rest}");
    let image = "ab".repeat(32);
    let gets = ["", "list", "images", "images/grid", "sync", "sync/state", "standing", "log"];
    let mut routes: Vec<_> = gets.map(|path| ("GET", path.to_owned())).into();
    for rest in ["", "/head", "/shown"] {
        routes.push(("GET", of_note(rest)));
    }
    for path in ["log/events", "events", "assets/app.js", "assets/style.css", "find?from=x&to=y"] {
        routes.push(("GET", path.to_owned()));
    }
    routes.extend([("GET", format!("image/{image}")), ("GET", format!("images/{image}"))]);
    for rest in ["/edit", "/picture?name=a.png", "/trash", "/restore", "/go-back?step=1"] {
        routes.push(("POST", of_note(rest)));
    }
    for path in ["notes", "images/retry", "sync/now", "sync/offline"] {
        routes.push(("POST", path.to_owned()));
    }
    routes.push(("POST", format!("images/{image}/retry")));
    routes
}

#[test]
fn without_the_cookie_nothing_is_shown_and_nothing_done() {
    let page = Page::new();
    assert!(page.address.ip().is_loopback());
    let secret = note(&page.vault, "# Very secret\n");
    let before = deeds(&page.vault);
    let origin = format!("http://{}", page.host());
    let guesses = ["", "everleaf=", "everleaf=0", "session=1; everleaf=deadbeef", "EVERLEAF=1"];
    for (method, path) in routes(secret) {
        let path = format!("/{}/{path}", page.prefix);
        for cookie in guesses {
            let answer = page.plain(method, &path, &[("Cookie", cookie), ("Origin", &origin)]);
            assert_eq!(answer.status, 403, "{method} {path}");
            assert!(!answer.text().contains("secret"), "{method} {path}");
        }
    }
    // A cookie of an earlier run, or the token in its place, is none.
    let token = page.url.split("token=").nth(1).unwrap();
    let cookie = format!("everleaf={token}");
    let path = format!("/{}/", page.prefix);
    assert_eq!(page.plain("GET", &path, &[("Cookie", &cookie)]).status, 403);
    assert_eq!(deeds(&page.vault), before);
    assert!(page.get("list").text().contains("secret"));
}

#[test]
fn only_the_token_of_this_run_opens_the_page() {
    let page = Page::new();
    let token = page.url.split("token=").nth(1).unwrap();
    assert_eq!(token.len(), 64);
    let shorter = &token[..63];
    let other = Page::new();
    for wrong in ["", shorter, &format!("{token}0"), other.url.split("token=").nth(1).unwrap()] {
        let answer = page.plain("GET", &format!("/open?token={wrong}"), &[]);
        assert_eq!(answer.status, 403);
        assert_eq!(answer.header("set-cookie"), "");
        assert!(!answer.text().contains(&page.prefix));
    }
    assert_eq!(page.plain("GET", "/open", &[]).status, 403);
    let opened = page.plain("GET", &format!("/open?token={token}"), &[("Sec-Fetch-Site", "none")]);
    let cookie = opened.header("set-cookie");
    // Scripts can't read it, other sites can't have it sent, and other ports don't know its path.
    for part in ["; HttpOnly", "; SameSite=Strict", &format!("; Path=/{}/", page.prefix)] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Domain") && page.prefix.len() == 16, "{cookie}");
    assert!(opened.text().contains(&format!("0;url=/{}/", page.prefix)));
}

/// DNS rebinding: a foreign name that resolves to 127.0.0.1 is asked for by a page of that name.
#[test]
fn another_name_for_this_machine_is_refused() {
    let page = Page::new();
    let port = page.address.port();
    let path = format!("/{}/", page.prefix);
    let token = page.url[page.url.find("/open").unwrap()..].to_owned();
    let foreign = [
        "evil.example".to_owned(),
        format!("evil.example:{port}"),
        format!("127.0.0.1.evil.example:{port}"),
        format!("127.0.0.1:{port}.evil.example"),
        format!("localhost.evil.example:{port}"),
        "127.0.0.1".to_owned(),
        format!("127.0.0.1:{}", port ^ 1),
        format!("[::1]:{port}"),
        format!("evil.example@127.0.0.1:{port}"),
        String::new(),
    ];
    for host in &foreign {
        for path in [&path, &token] {
            let headers = [("Host", host.as_str()), ("Cookie", &page.cookie)];
            let answer = send(page.address, "GET", path, &headers, b"");
            assert!(matches!(answer.status, 400 | 421), "{host}: {}", answer.status);
            assert_eq!(answer.header("set-cookie"), "");
        }
    }
    let answer = send(page.address, "GET", &path, &[("Cookie", &page.cookie)], b"");
    assert!(matches!(answer.status, 400 | 421), "no host: {}", answer.status);
    let localhost = format!("localhost:{port}");
    let headers = [("Host", localhost.as_str()), ("Cookie", &page.cookie)];
    assert_eq!(send(page.address, "GET", &path, &headers, b"").status, 200);
}

/// CSRF: another page has the browser send what this one would, cookie included.
#[test]
fn what_another_page_asks_for_is_refused() {
    let page = Page::new();
    let bread = note(&page.vault, "# Bread\n");
    let before = deeds(&page.vault);
    let (host, port) = (page.host(), page.address.port());
    let own = format!("http://{host}");
    let foreign: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![("Origin", "http://evil.example".into())],
        vec![("Origin", "null".into())],
        vec![("Origin", format!("https://{host}"))],
        vec![("Origin", format!("http://127.0.0.1:{}", port ^ 1))],
        vec![("Origin", format!("http://localhost:{port}"))],
        vec![("Origin", format!("{own}.evil.example"))],
        vec![("Origin", own.clone()), ("Sec-Fetch-Site", "cross-site".into())],
        vec![("Origin", own.clone()), ("Sec-Fetch-Site", "same-site".into())],
        vec![("Origin", own.clone()), ("Sec-Fetch-Site", "none".into())],
    ];
    let draft = json!({ "heads": heads(&page.vault, bread), "text": "# Stolen\n" }).to_string();
    for (_, path) in routes(bread).into_iter().filter(|(method, _)| *method == "POST") {
        let path = format!("/{}/{path}", page.prefix);
        for extra in &foreign {
            let mut headers = vec![("Host", host.as_str()), ("Cookie", &page.cookie)];
            headers.push(("Content-Type", JSON));
            headers.extend(extra.iter().map(|(name, value)| (*name, value.as_str())));
            let answer = send(page.address, "POST", &path, &headers, draft.as_bytes());
            assert_eq!(answer.status, 403, "{path} {extra:?}");
        }
    }
    assert_eq!(deeds(&page.vault), before);
    // Nor may it read or frame what is here: the cookie alone is not enough for a page of another port.
    for site in ["same-site", "cross-site"] {
        for (_, path) in routes(bread).into_iter().filter(|(method, _)| *method == "GET") {
            let path = format!("/{}/{path}", page.prefix);
            let headers = [("Cookie", page.cookie.as_str()), ("Sec-Fetch-Site", site)];
            assert_eq!(page.plain("GET", &path, &headers).status, 403, "{path}");
        }
    }
    // A draft is no form: one that a form could send is not read.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let answer = page.post(&format!("note/{bread}/edit"), kind, draft.as_bytes());
        assert_eq!(answer.status, 415, "{kind}");
    }
    assert_eq!(source(&page.vault, bread), "# Bread\n");
}

/// The attributes that would run a script or set a style, were they in a page.
fn is_active(name: &str) -> bool {
    name.starts_with("on") || name == "style" || name == "srcdoc" || name == "formaction"
}

/// The tags of a page, with their attributes.
fn tags(html: &str) -> Vec<(String, Vec<(String, String)>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let tags = Tokenizer::new(html).filter_map(|token| match token {
        Ok(Token::StartTag(tag)) => {
            let attributes = tag.attributes.iter();
            let attributes = attributes.map(|(name, value)| (text(name), text(value))).collect();
            Some((text(&tag.name), attributes))
        }
        _ => None,
    });
    tags.collect()
}

#[test]
fn every_answer_forbids_what_the_pages_do_not_need() {
    let page = Page::new();
    let bread = note(&page.vault, "# Bread\n");
    let mut answers: Vec<_> = routes(bread)
        .into_iter()
        .filter(|(method, path)| *method == "GET" && path != "events")
        .map(|(_, path)| (path.clone(), page.get(&path)))
        .collect();
    answers.push(("nothing".into(), page.get("nothing/here")));
    answers.push(("refused".into(), page.plain("GET", "/", &[])));
    answers.push((
        "opened".into(),
        page.plain("GET", &page.url[page.url.find("/open").unwrap()..], &[]),
    ));
    for (path, answer) in &answers {
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "form-action 'self'",
            "base-uri 'self'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        if answer.header("content-type").starts_with("text/html") {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            for (tag, attributes) in tags(&answer.text()) {
                let active = attributes.iter().any(|(name, _)| is_active(name));
                let inline = tag == "style"
                    || (tag == "script" && !attributes.iter().any(|(name, _)| name == "src"));
                assert!(!active && !inline, "{path}: {tag} {attributes:?}");
            }
        }
    }
    for path in [
        "assets/../Cargo.toml",
        "assets/%2e%2e%2fkey",
        "image/..%2f..%2fkey",
        "image/../key",
        "assets/",
    ] {
        assert!(matches!(page.get(path).status, 400 | 404), "{path}");
    }
}

/// What a note may be shown with, and nothing else.
const TAGS: [&str; 44] = [
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "mark",
    "ol",
    "output",
    "p",
    "pre",
    "s",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "thead",
    "tr",
];
const MORE_TAGS: [&str; 5] = ["ul", "form", "input", "label", "time"];
const ATTRIBUTES: [&str; 12] = [
    "align", "alt", "class", "height", "href", "lang", "loading", "rel", "src", "start", "title",
    "width",
];

/// Checks that the HTML of a note can do nothing; what the page itself puts beside it, the slider, is
/// cut away before.
fn is_harmless(html: &str) -> Result<(), String> {
    let own = html.find("<form id=\"history\"").or_else(|| html.find("<output id=\"version\""));
    let html = &html[..own.unwrap_or(html.len())];
    for (tag, attributes) in tags(html) {
        if !TAGS.contains(&tag.as_str()) && !MORE_TAGS[..1].contains(&tag.as_str()) {
            return Err(format!("<{tag}> in {html}"));
        }
        for (name, value) in attributes {
            let front = tag == "pre" && name == "tabindex" || tag == "details" && name == "class";
            if !front && (name == "class" || !ATTRIBUTES.contains(&name.as_str())) {
                return Err(format!("{tag} {name} in {html}"));
            }
            let starts = |allowed: &[&str]| allowed.iter().any(|start| value.starts_with(start));
            let leads = match name.as_str() {
                "href" => starts(&["https://", "http://", "mailto:", "find?from="]),
                "src" => {
                    starts(&["https://", "http://", "image/", "data:image/"])
                        && !starts(&["data:image/svg"])
                }
                _ => true,
            };
            if !leads {
                return Err(format!("{tag} {name}={value} in {html}"));
            }
        }
    }
    Ok(())
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href=\"javascript:alert(1)\">x</a>",
        "[x](javascript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x)",
        "<form action=\"notes\" method=post><button>x</button></form>",
        "<iframe src=\"./\"></iframe>",
        "<div hx-get=\"sync/offline\" hx-trigger=load>x</div>",
        "<div data-hx-post=\"notes\">",
        "<p sse-connect=\"x\">",
        "<style>*{display:none}</style>",
        "<p style=\"position:fixed\" id=text class=primary>",
        "<base href=\"//evil/\">",
        "<meta http-equiv=refresh content=\"0;url=//evil\">",
        "<svg onload=alert(1)><animate onbegin=alert(1)>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<template><script>1</script></template>",
        "![x](image/../notes)",
        "![x](//evil/x.png)",
        "![x](data:image/svg+xml;base64,PHN2Zz4=)",
        "[x](/open?token=1)",
        "[x](//evil)",
        "[[javascript:alert(1)]]",
        "![[x.png|300]]",
        "![[\" onerror=alert(1)|1]]",
        "[x](find?from=1)",
        "<object data=x>",
        "<embed src=x>",
        "<link rel=stylesheet href=x>",
        "<textarea id=text>",
        "<x-y onclick=1>",
        "<a href=\"jav&#x09;ascript:alert(1)\">x</a>",
        "<a href=\" javascript:alert(1)\">",
        "<img src=\"java\nscript:x\">",
        "---\na: <script>\n---\n",
        "`<script>`",
        "\n",
        "\n\n",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "\0",
        "\"",
        "'>",
        "> ",
        "| a |\n|---|\n",
        "[^1]: <script>1</script>",
        "[^1]",
        "- [ ] x",
        "<details open ontoggle=alert(1)>",
        "<video><source onerror=1>",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 1..9)
        .prop_map(|parts| parts.concat())
}

#[test]
fn a_note_can_do_nothing_to_the_page() {
    let page = Page::new();
    let evil = note(&page.vault, "");
    proptest!(ProptestConfig::with_cases(48), |(text in hostile())| {
        let seen = page.vault.read(evil, None).unwrap();
        page.vault.edit(evil, &seen.heads, &text, None).unwrap();
        let shown = page.get(&format!("note/{evil}/shown"));
        prop_assert_eq!(shown.status, 200);
        prop_assert_eq!(is_harmless(&shown.text()), Ok(()));
    });
    // Its title and path stand in the list, in pages and in the log.
    let title = "# <script>alert(1)</script> \" onload=1 '\n";
    let evil = note(&page.vault, title);
    page.vault.set_path(evil, Some("<img src=x onerror=1>.md")).unwrap();
    for path in ["list", "log/events", &format!("note/{evil}"), &format!("note/{evil}/head")] {
        let html = page.get(path).text();
        assert!(!html.contains("<script>") && !html.contains("<img src=x"), "{path}: {html}");
    }
    // The rules that are checked catch what they are for.
    for bad in
        ["<script>", "<p onclick=1>", "<a href='javascript:1'>", "<img src='//x'>", "<p hx-get=x>"]
    {
        assert!(is_harmless(bad).is_err(), "{bad}");
    }
}

#[test]
fn an_image_is_no_document_of_the_page() {
    let page = Page::new();
    let note = note(&page.vault, "# Drawing\n");
    let svg = br#"<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>"#;
    let taken = page
        .post(&format!("note/{note}/picture?name=My%20drawing.svg"), "image/svg+xml", svg)
        .json();
    assert_eq!(taken["markdown"], "![My drawing](My-drawing.svg)");
    let text = format!("# Drawing\n{}\n", taken["markdown"].as_str().unwrap());
    let draft = json!({ "heads": heads(&page.vault, note), "text": text });
    page.post(&format!("note/{note}/edit"), JSON, draft.to_string().as_bytes()).json();
    let (image, _) = page.vault.image_urls(note).unwrap()[0];
    let file = page.get(&format!("image/{image}"));
    assert_eq!((file.status, file.body.as_slice()), (200, svg.as_slice()));
    assert_eq!(file.header("content-type"), "image/svg+xml");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let policy = file.header("content-security-policy");
    assert!(
        policy.starts_with("sandbox; default-src 'none'") && !policy.contains("script"),
        "{policy}"
    );
    assert_eq!(page.get(&format!("image/{}", "0".repeat(64))).status, 404);
}

#[test]
fn what_is_too_large_or_makes_no_sense_changes_nothing() {
    let page = Page::new();
    let bread = note(&page.vault, "# Bread\n");
    let before = deeds(&page.vault);
    let edit = format!("note/{bread}/edit");
    let status = |draft: Value| page.post(&edit, JSON, draft.to_string().as_bytes()).status;
    let heads = heads(&page.vault, bread);
    assert_eq!(status(json!({ "heads": heads, "text": "x".repeat((16 << 20) + 1) })), 413);
    assert_eq!(status(json!({ "heads": "00".repeat(32), "text": "x" })), 404);
    assert_eq!(status(json!({ "heads": "no heads", "text": "x" })), 404);
    assert!(matches!(status(json!({ "text": 1 })), 400 | 422));
    assert_eq!(page.post(&edit, JSON, b"{").status, 400);
    assert_eq!(page.post(&edit, JSON, b"\xff\xfe").status, 400);
    let picture = |body: &[u8]| {
        page.post(&format!("note/{bread}/picture?name=a.png"), "image/png", body).status
    };
    assert_eq!(picture(b"not an image"), 415);
    assert_eq!(picture(b""), 415);
    assert_eq!(picture(&png(9, 9, &vec![7; 2 << 20])), 413);
    let nobody = "0197".repeat(8);
    for path in
        [format!("note/{nobody}"), "note/x".to_owned(), "images/x".into(), "log?kind=x".into()]
    {
        let answer = page.get(&path);
        assert!(matches!(answer.status, 400 | 404), "{path}");
        assert!(answer.text().contains("<p id=\"message\">"), "{path}: {}", answer.text());
    }
    assert_eq!(page.post(&format!("note/{bread}/go-back?step=99"), JSON, b"").status, 404);
    assert_eq!(deeds(&page.vault), before);
}
