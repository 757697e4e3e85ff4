//! What all pages have around them.

use std::sync::Arc;

use axum::http::StatusCode;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Answer, App, live::Moment, sync};
use crate::{clock::Timestamp, units};

/// The pages that the head of every page leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Notes,
    Images,
    Sync,
    Log,
}

impl Tab {
    const ALL: [Self; 4] = [Self::Notes, Self::Images, Self::Sync, Self::Log];

    const fn name(self) -> &'static str {
        match self {
            Self::Notes => "Notes",
            Self::Images => "Images",
            Self::Sync => "Sync",
            Self::Log => "Log",
        }
    }

    const fn href(self) -> &'static str {
        match self {
            Self::Notes => "./",
            Self::Images => "images",
            Self::Sync => "sync",
            Self::Log => "log",
        }
    }
}

/// No styles and scripts but those of our files, and nothing of what was shown is kept by the browser.
const HTMX: &str = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,"historyCacheSize":0}"#;

/// What a page is about.
pub(super) struct Page {
    pub(super) tab: Tab,
    pub(super) title: String,
    /// Where it is, under the prefix.
    pub(super) here: String,
    pub(super) body: Markup,
}

/// Draws a page. It goes on from where everything stood before it was drawn, so that nothing is missed that
/// happens before it listens.
pub(super) async fn page(
    app: &Arc<App>,
    draw: impl FnOnce(&App) -> Answer<Page> + Send + 'static,
) -> Answer<Markup> {
    app.ask(move |app| {
        let drawn = app.live.now(&app.vault);
        around(app, drawn, &draw(app)?)
    })
    .await
}

/// What the browser calls a page.
pub(super) fn title_of(title: &str, device: &str) -> String {
    format!("{title} · everleaf on {device}")
}

fn around(app: &App, drawn: Moment, page: &Page) -> Answer<Markup> {
    let Page { tab, title, here, body } = page;
    let device = app.vault.device_name()?;
    Ok(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title_of(title, &device)) }
                // So that addresses need not name the prefix.
                base href={ "/" (app.guard.prefix()) "/" };
                meta name="htmx-config" content=(HTMX);
                link rel="icon" href="assets/leaf.svg";
                link rel="stylesheet" href="assets/style.css";
                script src="assets/htmx.min.js" defer {}
                script src="assets/htmx-sse.js" defer {}
                script src="assets/app.js" defer {}
            }
            body hx-ext="sse" sse-connect={ "events?log=" (drawn.log) "&sync=" (drawn.sync) } {
                a.skip href={ (here) "#main" } { "Skip to the content" }
                header.top {
                    a.brand href="./" title="All notes" {
                        img src="assets/leaf.svg" alt="" width="22" height="22";
                        span { "everleaf" } span.device { (device) }
                    }
                    nav aria-label="Pages" {
                        @for each in Tab::ALL {
                            a href=(each.href()) aria-current=[(each == *tab).then_some("page")] {
                                (each.name())
                            }
                        }
                    }
                    div #standing hx-get="standing" hx-trigger="sse:sync, sse:notes, sse:images" {
                        (sync::pill(app)?)
                    }
                }
                div #alert role="alert" {}
                (body)
            }
        }
    })
}

/// Keeps the browser from asking for an icon where no cookie is sent.
const NO_ICON: PreEscaped<&str> = PreEscaped("<link rel=\"icon\" href=\"data:,\">");

/// A page that leads on by itself.
pub(super) fn go_on(to: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="color-scheme" content="light dark";
                meta http-equiv="refresh" content={ "0;url=" (to) };
                (NO_ICON)
                title { "everleaf" }
            }
            body { main { p { a href=(to) { "To your notes" } } } }
        }
    }
}

/// What could not be done.
pub(super) fn problem(status: StatusCode, message: &str, hint: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                (NO_ICON)
                title { (status.as_u16()) " · everleaf" }
            }
            body {
                main {
                    h1 { (status.canonical_reason().unwrap_or("Problem")) }
                    p #message { (message) }
                    @if let Some(hint) = hint { p { (hint) } }
                }
            }
        }
    }
}

/// A time, for people and for programs.
pub(super) fn time(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (units::time(at)) } }
}
