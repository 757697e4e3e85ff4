//! Objects: reading, writing, listing.

use std::sync::Arc;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use hyper::{HeaderMap, Method, StatusCode, header, http::response::Builder};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{
    Hub,
    access::Proof,
    body::Incoming,
    problem::Problem,
    quota::{Reserved, Used},
    range::{Part, part},
    room::Room,
};
use crate::{
    id::VaultId,
    remote::{
        After, Key, ObjectMeta, Prefix, Remote, RemoteError,
        hub::{NO_PULSE, Reason, Usage, WireListed, WirePage},
    },
    segment,
};

/// The most keys of a page.
const PAGE: usize = 1000;
/// The largest object that is neither a segment nor an image, in bytes.
const SMALL: u64 = 1 << 20;

/// Names an object's content, in a header and to who watches: hex digits, whatever the storage has.
pub(super) fn tag(key: &Key, meta: &ObjectMeta) -> Option<String> {
    let hash = match (key, &meta.tag) {
        (Key::Image { image, .. }, _) => *image.as_bytes(),
        (Key::Segment { hash, .. } | Key::Checkpoint { hash, .. }, _) => *hash.as_bytes(),
        (_, Some(tag)) => *blake3::hash(tag.as_bytes()).as_bytes(),
        (_, None) => return None,
    };
    Some(blake3::Hash::from_bytes(hash).to_hex().chars().take(32).collect())
}

/// The tag of a vault's pulse.
pub(super) async fn pulse(remote: &dyn Remote) -> Result<String, RemoteError> {
    let meta = remote.head(&Key::Pulse).await?;
    let tag = meta.and_then(|meta| tag(&Key::Pulse, &meta));
    Ok(tag.unwrap_or_else(|| NO_PULSE.to_owned()))
}

fn parse_key(text: &str) -> Result<Key, Problem> {
    text.parse().map_err(|_| Problem::new(Reason::BadRequest, "this names no object of a vault"))
}

fn text<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the client has this content already.
fn is_known(headers: &HeaderMap, tag: Option<&String>) -> bool {
    let (Some(known), Some(tag)) = (text(headers, &header::IF_NONE_MATCH), tag) else {
        return false;
    };
    let mut tags = known.split(',').map(|known| known.trim().trim_start_matches("W/"));
    tags.any(|known| known == "*" || known.trim_matches('"') == tag)
}

impl Hub {
    /// `GET` and `HEAD` of an object of a vault.
    pub(super) async fn object(
        &self,
        room: &Room,
        key: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let key = parse_key(key)?;
        let remote = room.remote(self, false).await?.ok_or(Reason::NotFound)?;
        self.read(&remote, &key, method, headers, no_store(Response::builder(), &key)).await
    }

    /// An image for anybody: who has its name has seen it, or was told.
    pub(super) async fn image(
        &self,
        vault: VaultId,
        name: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let key: Key = format!("images/{name}").parse().map_err(|_| Reason::NotFound)?;
        if !self.serves(vault) {
            return Err(Reason::NotFound.into());
        }
        let remote = self.data.vault(vault, false).await?.ok_or(Reason::NotFound)?;
        let response = Response::builder()
            .header(header::CACHE_CONTROL, key.cache_control().unwrap_or("no-store"))
            .header(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
            // An SVG is a page: it runs and loads nothing.
            .header(
                header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            )
            .header("cross-origin-resource-policy", "cross-origin")
            .header(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        self.read(&remote, &key, method, headers, response).await
    }

    async fn read(
        &self,
        remote: &Arc<dyn Remote>,
        key: &Key,
        method: &Method,
        headers: &HeaderMap,
        response: Builder,
    ) -> Result<Response, Problem> {
        let asks =
            headers.contains_key(header::RANGE) || headers.contains_key(header::IF_NONE_MATCH);
        let meta = if method == Method::HEAD || asks {
            Some(remote.head(key).await?.ok_or(Reason::NotFound)?)
        } else {
            None
        };
        let known = ObjectMeta { size: 0, tag: None, media_type: None };
        let tag = tag(key, meta.as_ref().unwrap_or(&known));
        let mut response = response
            .header(header::CONTENT_TYPE, key.content_type())
            .header(header::ACCEPT_RANGES, "bytes");
        if let Some(tag) = &tag {
            response = response.header(header::ETAG, format!("\"{tag}\""));
        }
        if is_known(headers, tag.as_ref()) {
            return build(response.status(StatusCode::NOT_MODIFIED), Body::empty());
        }
        if method == Method::HEAD {
            let size = meta.map_or(0, |meta| meta.size);
            return build(response.header(header::CONTENT_LENGTH, size), Body::empty());
        }
        let asked = meta.map(|meta| (part(text(headers, &header::RANGE), meta.size), meta.size));
        if let Some((Part::None, size)) = asked {
            return Err(Problem::new(Reason::Range, format!("it has {size} bytes")));
        }
        let out = self.metrics.out();
        let count = move |piece: &Result<Bytes, RemoteError>| {
            out.add(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        };
        if let Some((Part::Some(first, last), size)) = asked {
            let length = last - first + 1;
            let body = up_to(remote.get_from(key, first).await?.body, length);
            let response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
                .header(header::CONTENT_LENGTH, length);
            return build(response, Body::from_stream(body.inspect(count)));
        }
        let download = remote.get(key).await?;
        if let Some(size) = download.size {
            response = response.header(header::CONTENT_LENGTH, size);
        }
        build(response, Body::from_stream(download.body.inspect(count)))
    }

    /// `PUT` of an object.
    pub(super) async fn put(
        &self,
        room: &Arc<Room>,
        key: &str,
        proof: &Proof,
        body: &mut Incoming,
    ) -> Result<Response, Problem> {
        let key = parse_key(key)?;
        let Proof::Signed(signed) = proof else { return Err(Reason::Unsigned.into()) };
        let limit = match key {
            Key::Segment { .. } | Key::Checkpoint { .. } => segment::LIMIT as u64,
            Key::Image { .. } => self.options.image_limit,
            Key::Vault | Key::Pulse | Key::Head(_) => SMALL,
        };
        let named = match &key {
            Key::Segment { hash, .. } | Key::Checkpoint { hash, .. } => Some(*hash.as_bytes()),
            Key::Image { image, .. } => Some(*image.as_bytes()),
            Key::Vault | Key::Pulse | Key::Head(_) => None,
        };
        if named.is_some_and(|named| named != signed.body) {
            return Err(Problem::new(Reason::Mismatch, "the name is the hash of other bytes"));
        }
        // Before it comes: what there is no room for is not kept for a moment either.
        body.fits(limit)?;
        let reserved = match body.declared {
            Some(size) => self.reserve(room, &key, size).await?,
            None => None,
        };
        let received = body.receive(limit).await?;
        if received.hash != signed.body {
            return Err(Problem::new(Reason::Mismatch, "the body is not what was signed"));
        }
        let remote = room.remote(self, true).await?.ok_or(Reason::Storage)?;
        let mut reserved = match body.declared {
            Some(_) => reserved,
            None => self.reserve(room, &key, received.upload.size()).await?,
        };
        if let Some(reserved) = &mut reserved {
            reserved.begin();
        }
        remote.put(&key, received.upload.clone()).await?;
        if let Some(reserved) = reserved {
            reserved.keep().await;
        }
        if key == Key::Pulse {
            room.beat(&remote).await;
        }
        no_content()
    }

    async fn reserve<'a>(
        &self,
        room: &'a Room,
        key: &Key,
        size: u64,
    ) -> Result<Option<Reserved<'a>>, Problem> {
        let (quotas, now) = (self.options.quotas, self.options.clock.now());
        if quotas.bytes.is_none() && quotas.objects.is_none() {
            return Ok(None);
        }
        let remote = room.remote(self, false).await?;
        room.account.reserve(quotas, remote.as_ref(), key, size, now).await.map(Some)
    }

    /// `DELETE` of an object.
    pub(super) async fn delete(&self, room: &Room, key: &str) -> Result<Response, Problem> {
        let key = parse_key(key)?;
        if let Some(remote) = room.remote(self, false).await? {
            remote.delete(&key).await?;
            room.account.recount();
            if key == Key::Pulse {
                room.beat(&remote).await;
            }
        }
        no_content()
    }

    /// A page of the names that begin with a prefix.
    pub(super) async fn list(&self, room: &Room, query: &str) -> Result<Response, Problem> {
        let parameter = |name: &str| {
            let value =
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let prefix = parameter("prefix").and_then(|text| text.parse::<Prefix>().ok());
        let prefix = prefix.ok_or_else(|| {
            Problem::new(Reason::BadRequest, "`prefix` should be a group of names, as `heads/`")
        })?;
        let after = parameter("after").map(After::name);
        let mut page = WirePage { keys: Vec::new(), next: None };
        if let Some(remote) = room.remote(self, false).await? {
            let mut found = remote.list(&prefix, after.as_ref()).await?;
            page.next = found.next.map(|next| next.as_str().to_owned());
            if found.keys.len() > PAGE {
                found.keys.truncate(PAGE);
                page.next = found.keys.last().map(|last| last.key.to_string());
            }
            let wire = |listed: crate::remote::ListedKey| WireListed {
                key: listed.key.to_string(),
                size: listed.size,
            };
            page.keys = found.keys.into_iter().map(wire).collect();
        }
        json(&page)
    }

    /// What the vault has here, and may have.
    pub(super) async fn usage(&self, room: &Room) -> Result<Response, Problem> {
        let used = match room.remote(self, false).await? {
            Some(remote) => room.account.used(&remote, self.options.clock.now()).await?,
            None => Used::default(),
        };
        json(&Usage {
            objects: used.objects,
            bytes: used.bytes,
            most_objects: self.options.quotas.objects,
            most_bytes: self.options.quotas.bytes,
            largest: self.options.image_limit,
        })
    }

    /// A token that reads for some minutes.
    pub(super) fn token(&self, vault: VaultId, proof: &Proof) -> Result<Response, Problem> {
        let Proof::Signed(_) = proof else { return Err(Reason::Unsigned.into()) };
        let until = self.options.clock.now().plus(super::token::LIFE);
        json(&json!({ "token": self.tokens.make(vault, until), "until": until.0 }))
    }
}

/// What notes hold is nobody's to keep on the way.
fn no_store(response: Builder, key: &Key) -> Builder {
    let kept = if key.is_immutable() { "private, max-age=31536000, immutable" } else { "no-store" };
    response.header(header::CACHE_CONTROL, kept)
}

/// So many bytes of a body, and no more.
fn up_to(
    body: impl Stream<Item = Result<Bytes, RemoteError>> + Send + Unpin + 'static,
    length: u64,
) -> impl Stream<Item = Result<Bytes, RemoteError>> + Send {
    stream::unfold((body, length), |(mut body, left)| async move {
        if left == 0 {
            return None;
        }
        let piece = body.next().await?.map(|mut piece| {
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            piece
        });
        let came = piece.as_ref().map_or(left, |piece| piece.len() as u64);
        Some((piece, (body, left - came)))
    })
}

pub(super) fn build(response: Builder, body: Body) -> Result<Response, Problem> {
    response.body(body).map_err(|_| Reason::BadRequest.into())
}

fn no_content() -> Result<Response, Problem> {
    build(Response::builder().status(StatusCode::NO_CONTENT), Body::empty())
}

fn json(value: &impl serde::Serialize) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|_| Problem::from(Reason::Storage))?;
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store");
    build(response, Body::from(body))
}
