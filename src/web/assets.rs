//! The files that pages are made of, kept in the program so that no network is needed.

use axum::{
    extract::Path,
    http::header::{CACHE_CONTROL, CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};

use super::{Answer, guard};

const SCRIPT: &str = "text/javascript; charset=utf-8";

pub(super) async fn file(Path(name): Path<String>) -> Answer<Response> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("assets/style.css")),
        "app.js" => (SCRIPT, include_str!("assets/app.js")),
        "htmx.min.js" => (SCRIPT, include_str!("assets/htmx.min.js")),
        "htmx-sse.js" => (SCRIPT, include_str!("assets/htmx-sse.js")),
        "leaf.svg" => ("image/svg+xml", include_str!("assets/leaf.svg")),
        _ => return Err(guard::nothing()),
    };
    // The path that it lies under is another with each run.
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, "private, max-age=86400")];
    Ok((headers, text).into_response())
}
