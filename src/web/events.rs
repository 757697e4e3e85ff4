//! The stream of events that an open page listens to.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::broadcast;

use super::{
    App, Shared,
    asked::Query,
    live::{Moment, News, Topic, touched},
};
use crate::{id::Seq, log::LogError};

/// How soon a page asks again whose stream was cut off, in milliseconds.
const AGAIN: Duration = Duration::from_secs(1);
/// A page that was away for more events than these is drawn anew in all its parts.
const LONGEST_AWAY: u64 = 1000;

/// Tells a page what to draw anew; each event is named by its [`Topic`], and says how far the log was.
pub(super) async fn stream(
    State(app): Shared,
    Query(drawn): Query<Moment>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listening = app.live.listen();
    // A browser says what it heard last when it comes back.
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let missed = app.ask(move |app| {
        Ok(match last {
            Some(last) => missed(app, Seq(last), everything())?,
            None => since(app, drawn)?,
        })
    });
    let first = stream::iter(missed.await.ok().map(Arc::new));
    let mut closing = app.closing.subscribe();
    let news = first
        .chain(stream::unfold(listening, heard))
        .flat_map(|news| stream::iter(events(&news)))
        .map(Ok)
        .take_until(async move {
            // Where the sender is gone, the page is closed as well.
            let _ = closing.wait_for(|closing| *closing).await;
        });
    Sse::new(news).keep_alive(KeepAlive::default())
}

/// What happened after an event, with what is to be drawn anew anyhow.
fn missed(app: &App, last: Seq, mut topics: BTreeSet<Topic>) -> Result<News, LogError> {
    let through = *app.vault.follow().borrow();
    if through.0.saturating_sub(last.0) > LONGEST_AWAY {
        topics.extend(everything());
    } else {
        for recorded in app.vault.events(last.next()) {
            topics.extend(touched(&recorded?));
        }
    }
    Ok(News { through, topics })
}

/// What happened while a page was drawn and on its way.
fn since(app: &App, drawn: Moment) -> Result<News, LogError> {
    let stands = app.live.now(&app.vault).sync == drawn.sync;
    let topics = if stands { BTreeSet::new() } else { BTreeSet::from([Topic::Sync]) };
    missed(app, drawn.log, topics)
}

fn everything() -> BTreeSet<Topic> {
    BTreeSet::from([Topic::Notes, Topic::Images, Topic::Sync, Topic::Log])
}

async fn heard(
    mut listening: broadcast::Receiver<Arc<News>>,
) -> Option<(Arc<News>, broadcast::Receiver<Arc<News>>)> {
    // A page that falls behind comes back, and says what it heard last.
    let news = listening.recv().await.ok()?;
    Some((news, listening))
}

fn events(news: &News) -> Vec<Event> {
    let id = news.through.to_string();
    let event =
        |topic: &Topic| Event::default().event(topic.to_string()).data(&id).id(&id).retry(AGAIN);
    news.topics.iter().map(event).collect()
}
