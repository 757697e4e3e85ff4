//! The routes, and what happens to every request before and after.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{RawPathParams, Request, State},
    response::Response,
    routing::{MethodFilter, on},
};
use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
    http::request::Parts,
};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::{Hub, access::Presented, body::Incoming, objects::build, problem::Problem};
use crate::{
    clock::random,
    id::VaultId,
    remote::hub::{
        Reason,
        signature::{Call, TIME_HEADER},
    },
};

/// How long the answer to whether the data can be used is good for.
const READY: Duration = Duration::from_secs(10);

/// What can be asked of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Route {
    Get,
    Head,
    Put,
    Delete,
    List,
    Watch,
    Token,
    Usage,
    Image,
    ImageHead,
    Health,
    Ready,
    Metrics,
    Unknown,
}

/// One of them, as the description in `docs/` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// What it is called in metrics and in the description.
    pub name: &'static str,
    /// In capitals.
    pub method: &'static str,
    /// With names in braces.
    pub path: &'static str,
    /// Every status that it can have.
    pub statuses: &'static [u16],
}

/// All that can be asked of a hub.
#[must_use]
pub fn operations() -> Vec<Operation> {
    Route::ALL.iter().map(|route| route.operation()).collect()
}

const OBJECT: &str = "/v1/vaults/{vault}/objects/{*key}";
const IMAGE: &str = "/i/{vault}/{image}";

impl Route {
    const ALL: [Self; 13] = [
        Self::Get,
        Self::Head,
        Self::Put,
        Self::Delete,
        Self::List,
        Self::Watch,
        Self::Token,
        Self::Usage,
        Self::Image,
        Self::ImageHead,
        Self::Health,
        Self::Ready,
        Self::Metrics,
    ];

    const fn operation(self) -> Operation {
        let (name, method, path, statuses): (_, _, _, &[u16]) = match self {
            Self::Get => {
                ("get", "GET", OBJECT, &[200, 206, 304, 400, 401, 403, 404, 416, 429, 502, 503])
            }
            Self::Head => ("head", "HEAD", OBJECT, &[200, 304, 400, 401, 403, 404, 429, 502, 503]),
            Self::Put => {
                ("put", "PUT", OBJECT, &[204, 400, 401, 403, 408, 413, 422, 429, 502, 503, 507])
            }
            Self::Delete => ("delete", "DELETE", OBJECT, &[204, 400, 401, 403, 429, 502, 503]),
            Self::List => (
                "list",
                "GET",
                "/v1/vaults/{vault}/objects",
                &[200, 400, 401, 403, 404, 429, 502, 503],
            ),
            Self::Watch => (
                "watch",
                "GET",
                "/v1/vaults/{vault}/watch",
                &[200, 400, 401, 403, 404, 429, 502, 503],
            ),
            Self::Token => {
                ("token", "POST", "/v1/vaults/{vault}/token", &[200, 400, 401, 403, 429, 503])
            }
            Self::Usage => {
                ("usage", "GET", "/v1/vaults/{vault}", &[200, 400, 401, 403, 404, 429, 502, 503])
            }
            Self::Image => ("image", "GET", IMAGE, &[200, 206, 304, 404, 416, 502]),
            Self::ImageHead => ("image-head", "HEAD", IMAGE, &[200, 304, 404, 502]),
            Self::Health => ("health", "GET", "/healthz", &[200]),
            Self::Ready => ("ready", "GET", "/readyz", &[200, 503]),
            Self::Metrics => ("metrics", "GET", "/metrics", &[200]),
            Self::Unknown => ("unknown", "", "", &[404, 405]),
        };
        Operation { name, method, path, statuses }
    }

    pub(super) const fn name(self) -> &'static str {
        self.operation().name
    }
}

/// The service of a hub.
pub(super) fn router(hub: Arc<Hub>) -> Router {
    let mut router = Router::new();
    for route in Route::ALL {
        let Operation { method, path, .. } = route.operation();
        let filter = match method {
            "HEAD" => MethodFilter::HEAD,
            "PUT" => MethodFilter::PUT,
            "POST" => MethodFilter::POST,
            "DELETE" => MethodFilter::DELETE,
            _ => MethodFilter::GET,
        };
        let handle = move |hub: State<Arc<Hub>>, params: RawPathParams, request: Request| {
            answer(hub, route, params, request)
        };
        router = router.route(path, on(filter, handle));
    }
    let unknown = |problem: fn() -> Problem| {
        move |State(hub): State<Arc<Hub>>| async move {
            finish(&hub, Route::Unknown, &request_id(&hub), Instant::now(), Err(problem()))
        }
    };
    router
        .fallback(unknown(|| Reason::NoRoute.into()))
        .method_not_allowed_fallback(unknown(Problem::no_method))
        .with_state(hub)
}

/// By which a request is known in logs and answers.
fn request_id(hub: &Hub) -> String {
    format!("{:016x}", u64::from_be_bytes(random(&*hub.options.clock)))
}

async fn answer(
    State(hub): State<Arc<Hub>>,
    route: Route,
    params: RawPathParams,
    request: Request,
) -> Response {
    let (began, id) = (Instant::now(), request_id(&hub));
    let (parts, body) = request.into_parts();
    let vault: String = params
        .iter()
        .find_map(|(name, value)| (name == "vault").then(|| value.chars().take(8).collect()))
        .unwrap_or_default();
    let span = tracing::info_span!("request", id, route = route.name(), vault);
    async {
        let mut incoming = Incoming::new(body, hub.options.patience);
        let result = hub.route(route, &params, &parts, &mut incoming).await;
        if result.is_err() {
            incoming.drain().await;
        }
        hub.metrics.received(incoming.read);
        finish(&hub, route, &id, began, result)
    }
    .instrument(span)
    .await
}

/// Counts and logs an answer, and adds what every answer has.
fn finish(
    hub: &Hub,
    route: Route,
    id: &str,
    began: Instant,
    result: Result<Response, Problem>,
) -> Response {
    let mut response = result.unwrap_or_else(|problem| {
        hub.metrics.refused(problem.reason);
        problem.into_response(id)
    });
    let (status, took) = (response.status().as_u16(), began.elapsed());
    debug_assert!(
        route.operation().statuses.contains(&status),
        "{route:?} has a status that is not described: {status}"
    );
    hub.metrics.answered(route, status, took);
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    match route {
        // Asked by machines, all the time.
        Route::Health | Route::Ready | Route::Metrics => {
            tracing::debug!(status, micros, "answered");
        }
        _ => tracing::info!(status, micros, "answered"),
    }
    let headers = response.headers_mut();
    headers.insert(TIME_HEADER, HeaderValue::from(hub.options.clock.now().0));
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert("x-request-id", id);
    }
    response
}

impl Hub {
    async fn route(
        self: &Arc<Self>,
        route: Route,
        params: &RawPathParams,
        parts: &Parts,
        body: &mut Incoming,
    ) -> Result<Response, Problem> {
        let param =
            |wanted| params.iter().find_map(|(name, value)| (name == wanted).then_some(value));
        let vault = param("vault").and_then(|text| text.parse::<VaultId>().ok());
        match route {
            Route::Health => return build(Response::builder(), Body::from("ok\n")),
            Route::Ready => return self.readiness().await,
            Route::Metrics => {
                let response =
                    Response::builder().header(header::CONTENT_TYPE, "text/plain; version=0.0.4");
                return build(response, Body::from(self.metrics_text()));
            }
            Route::Image | Route::ImageHead => {
                let (vault, name) = (vault.ok_or(Reason::NotFound)?, param("image"));
                let name = name.unwrap_or_default();
                return self.image(vault, name, &parts.method, &parts.headers).await;
            }
            _ => {}
        }
        let no_vault =
            || Problem::new(Reason::BadRequest, "a vault's id has 64 hexadecimal digits");
        let vault = vault.ok_or_else(no_vault)?;
        let now = self.options.clock.now();
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        let call = Call { method: parts.method.as_str(), host, target };
        let presented = Presented { call, authorization: text(header::AUTHORIZATION) };
        let proof = self.tokens.admit(vault, presented, self.started, now)?;
        if !self.serves(vault) {
            let detail = format!("whoever runs it can start it with `--allow {vault}`");
            return Err(Problem::new(Reason::NotServed, detail));
        }
        let room = self.rooms.enter(vault, now)?;
        let admitted = room.admit(&proof, self.options.quotas.requests, now);
        // One that comes too often is no stranger: it has to read when it may come again.
        let is_known = |problem: &Problem| problem.reason == Reason::TooMany;
        body.admitted = admitted.as_ref().err().is_none_or(is_known);
        admitted?;
        let key = param("key").unwrap_or_default();
        let query = parts.uri.query().unwrap_or_default();
        match route {
            Route::Get => self.object(&room, key, &Method::GET, &parts.headers).await,
            Route::Head => self.object(&room, key, &Method::HEAD, &parts.headers).await,
            Route::Put => self.put(&room, key, &proof, body).await,
            Route::Delete => self.delete(&room, key).await,
            Route::List => self.list(&room, query).await,
            Route::Watch => self.watch(&room, &proof, &parts.headers).await,
            Route::Token => self.token(vault, &proof),
            Route::Usage => self.usage(&room).await,
            _ => Err(Reason::NoRoute.into()),
        }
    }

    /// Whether it takes requests and can do something with them.
    async fn readiness(&self) -> Result<Response, Problem> {
        if *self.stopping.borrow() {
            return Err(Reason::Stopping.into());
        }
        let now = self.options.clock.now();
        let mut ready = self.ready.lock().await;
        let well = match *ready {
            Some((at, well)) if now.since(at) < READY && at <= now => well,
            _ => {
                let well = self.data.check().await.is_ok();
                *ready = Some((now, well));
                well
            }
        };
        let (status, text) = if well {
            (StatusCode::OK, "ready\n")
        } else {
            (StatusCode::SERVICE_UNAVAILABLE, "the storage can't be used\n")
        };
        build(Response::builder().status(status), Body::from(text))
    }
}
