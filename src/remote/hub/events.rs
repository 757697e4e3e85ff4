//! Server-sent events, as far as a hub sends them: each has an id, and the id says all.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::super::{RemoteError, Watch};

/// A line of a hub is far shorter.
const LONGEST_LINE: usize = 4096;
/// The id that stands for a pulse that is not there.
pub(crate) const NO_PULSE: &str = "none";

/// Reads lines, and gives the ids of whole events.
#[derive(Default)]
struct Parser {
    line: Vec<u8>,
    id: Option<String>,
    has_data: bool,
}

impl Parser {
    /// Takes in some bytes; gives the ids of the events that they complete.
    fn take(&mut self, bytes: &[u8]) -> Result<Vec<String>, RemoteError> {
        let mut ids = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() == LONGEST_LINE {
                    let what = "an event has an endless line".to_owned();
                    return Err(RemoteError::Damaged { what });
                }
                self.line.push(*byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(&line));
            if line.is_empty() {
                let id = self.id.take();
                if std::mem::take(&mut self.has_data) {
                    ids.extend(id);
                }
            } else if let Some(id) = line.strip_prefix("id:") {
                self.id = Some(id.trim_start().to_owned());
            } else if line.starts_with("data:") {
                self.has_data = true;
            }
        }
        Ok(ids)
    }
}

/// What is listened to.
struct Listening<S> {
    body: S,
    parser: Parser,
    ready: VecDeque<String>,
    ended: bool,
}

/// The tags that a stream of events tells. Silence for longer than `patience` is an error: a hub
/// says at times that it is there.
pub(super) fn tags(
    body: impl Stream<Item = Result<Bytes, RemoteError>> + Send + Unpin + 'static,
    patience: Duration,
) -> Watch {
    let listening =
        Listening { body, parser: Parser::default(), ready: VecDeque::new(), ended: false };
    stream::unfold(listening, move |mut listening| async move {
        loop {
            if let Some(id) = listening.ready.pop_front() {
                let tag = if id == NO_PULSE { String::new() } else { id };
                return Some((Ok(tag), listening));
            }
            if listening.ended {
                return None;
            }
            let taken = match tokio::time::timeout(patience, listening.body.next()).await {
                Ok(Some(bytes)) => bytes.and_then(|bytes| listening.parser.take(&bytes)),
                Ok(None) => return None,
                Err(silence) => Err(RemoteError::Offline { source: silence.into() }),
            };
            match taken {
                Ok(ids) => listening.ready.extend(ids),
                Err(error) => {
                    listening.ended = true;
                    return Some((Err(error), listening));
                }
            }
        }
    })
    .boxed()
}
