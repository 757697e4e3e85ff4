//! What keeps everybody out but the person who started this.
//!
//! Any page in the browser, and any process of any user of this machine, can send requests to a port of
//! 127.0.0.1. So a request is answered only if all of this holds:
//!
//! * It names this host and port (`Host`). A foreign name that was made to resolve to 127.0.0.1 does not.
//! * It has the cookie. Only `/open` with the token of the URL gives it; scripts can't read it, and pages
//!   of other sites can't have it sent. Cookies know no ports, and a page of another port of 127.0.0.1
//!   counts as the same site, so the cookie also belongs to a path that nobody can guess: another
//!   server on this machine is not sent it.
//! * It was not asked for by another site or port (`Sec-Fetch-Site`), and where it is to change
//!   something, it says that a page of ours asks (`Origin`).
//!
//! And what is answered can't be framed, runs no script but ours, and sends nothing elsewhere.

use std::sync::{Arc, Mutex};

use axum::{
    extract::{Query, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, SET_COOKIE},
    },
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;

use super::{Answer, App, Problem, Shared, layout, lock, problem};
use crate::{
    clock::{Clock, random},
    vault::RemoteStatus,
};

const COOKIE_NAME: &str = "everleaf";

/// The secrets of one run.
pub(super) struct Guard {
    /// What opens the page.
    token: String,
    /// What the cookie says.
    session: String,
    /// The path that all pages lie under.
    prefix: String,
    port: u16,
    /// What pages may load, and from where.
    policy: Mutex<HeaderValue>,
}

impl Guard {
    pub(super) fn new(port: u16, clock: &dyn Clock, remotes: &[RemoteStatus]) -> Self {
        let secret = || blake3::Hash::from_bytes(random(clock)).to_hex().to_string();
        let prefix = format!("{:016x}", u64::from_le_bytes(random(clock)));
        Self {
            token: secret(),
            session: secret(),
            prefix,
            port,
            policy: Mutex::new(policy(remotes)),
        }
    }

    /// Lets pages show pictures from these remotes.
    pub(super) fn admit(&self, remotes: &[RemoteStatus]) {
        *lock(&self.policy) = policy(remotes);
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether `host` is what a browser calls this server.
    fn is_here(&self, host: &str) -> bool {
        let port = format!(":{}", self.port);
        let name = host.strip_suffix(&port);
        // A browser leaves out the port of the scheme.
        let name = if self.port == 80 { name.or(Some(host)) } else { name };
        matches!(name, Some("127.0.0.1" | "localhost"))
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .any(|(name, value)| name == COOKIE_NAME && same(value, &self.session))
    }
}

/// Compares without telling by its time where they differ.
fn same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}

fn text(headers: &HeaderMap, name: impl axum::http::header::AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Refuses what does not come from a page of ours, and closes what is answered.
pub(super) async fn check(State(app): Shared, request: Request, next: Next) -> Response {
    let mut response = match refuse(&app.guard, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    close(&app.guard, response.headers_mut());
    response
}

/// Why a request is not answered, if it is not.
fn refuse(guard: &Guard, request: &Request) -> Option<Problem> {
    let headers = request.headers();
    let host = text(headers, HOST).unwrap_or_default();
    if !guard.is_here(host) {
        return Some(Problem::refused(
            StatusCode::MISDIRECTED_REQUEST,
            "This page is at 127.0.0.1, and has no other name.",
        ));
    }
    if request.uri().path() == "/open" && request.method() == Method::GET {
        return None;
    }
    if !guard.has_session(headers) {
        return Some(Problem::refused(
            StatusCode::FORBIDDEN,
            "Open the address that `everleaf web` printed when it was started: it has a new one each time.",
        ));
    }
    let site = text(headers, "sec-fetch-site");
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let from_here = match site {
        Some("same-origin") | None => true,
        Some("none") => !changes,
        Some(_) => false,
    };
    let origin = text(headers, ORIGIN);
    let is_ours = origin.is_some_and(|origin| origin.strip_prefix("http://") == Some(host));
    if !from_here || (changes && !is_ours) || (origin.is_some() && !is_ours) {
        return Some(Problem::refused(StatusCode::FORBIDDEN, "Another page asked for this."));
    }
    None
}

/// Pictures on a store may be of any https origin, and those of this vault's remotes of others; all else
/// is of this server alone.
fn policy(remotes: &[RemoteStatus]) -> HeaderValue {
    let mut images = String::from("'self' https: data:");
    for origin in remotes.iter().filter_map(|remote| origin_of(remote.public_url.as_deref()?)) {
        images.push(' ');
        images.push_str(origin);
    }
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src {images}; \
         connect-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
}

/// Sets the headers that every answer has, where it does not set them itself.
fn close(guard: &Guard, headers: &mut HeaderMap) {
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| lock(&guard.policy).clone());
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// The origin of an http URL, if nothing in it could end a directive.
fn origin_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split(['/', '?', '#']).next().filter(|text| !text.is_empty())?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    authority.chars().all(plain).then(|| url.get(..7 + authority.len()))?
}

#[derive(Deserialize)]
pub(super) struct Open {
    #[serde(default)]
    token: String,
}

/// Gives the cookie to whoever has the token.
///
/// It answers with a page that goes on by itself: a redirect would count as asked for by whatever opened
/// this URL, and the cookie would not be sent with it.
pub(super) async fn open(State(app): Shared, Query(query): Query<Open>) -> Answer {
    if !same(&query.token, &app.guard.token) {
        return Err(Problem::refused(
            StatusCode::FORBIDDEN,
            "The address is incomplete, or that of an earlier run: `everleaf web` prints the present one.",
        ));
    }
    let (session, prefix) = (&app.guard.session, &app.guard.prefix);
    let cookie = format!("{COOKIE_NAME}={session}; Path=/{prefix}/; HttpOnly; SameSite=Strict");
    let page = layout::go_on(&format!("/{prefix}/"));
    Ok(([(SET_COOKIE, cookie)], page).into_response())
}

/// What is answered to a request for nothing that is here.
pub(super) fn nothing() -> Problem {
    problem::Problem::refused(StatusCode::NOT_FOUND, "There is nothing here.")
}

impl App {
    /// Where a page is, as a `Location` says it.
    pub(super) fn place(self: &Arc<Self>, page: &str) -> String {
        format!("/{}/{page}", self.guard.prefix())
    }
}
