//! Shows on stderr how an exchange is going: a bar on a terminal, plain lines elsewhere.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::Arc,
};

use everleaf::{
    folder,
    socket::{AskError, Call, Door, Step, Tell},
    vault::{Checking, Progress},
};
use indicatif::{ProgressBar, ProgressStyle};

use super::{Context, text::count};

#[derive(Clone)]
pub(super) enum Shown {
    Nothing,
    Lines,
    Bar(ProgressBar),
}

/// Asks what may take long, and shows how it is going until it is answered; `doing` says what is done to notes.
pub(super) async fn ask<C: Call>(
    context: &Context,
    vault: &Door,
    call: C,
    doing: &'static str,
) -> Result<C::Answer, AskError> {
    let shown = Shown::new(context);
    let answer = vault.ask_telling(call, shown.tell(doing)).await;
    shown.clear();
    answer
}

impl Shown {
    pub(super) fn new(context: &Context) -> Self {
        if context.quiet {
            return Self::Nothing;
        }
        if !io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{msg:24} {bar:32} {pos}/{len}") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// What a call is to tell that does `what`.
    fn tell(&self, what: &'static str) -> Tell {
        let shown = self.clone();
        Arc::new(move |step| match step {
            Step::Sync(step) => shown.sync(step),
            Step::Folder(step) => shown.folder(what, step),
            Step::Check(step) => shown.check(what, step),
            // There is no other in this version.
            _ => {}
        })
    }

    /// Follows a sync.
    pub(super) fn sync(&self, progress: Progress) {
        match progress {
            Progress::Pulling(segments) => self.begin("reading", segments, "segment"),
            Progress::Uploading(images) => self.begin("uploading", images, "image"),
            Progress::Fetching(images) => self.begin("fetching", images, "image"),
            Progress::Pulled
            | Progress::Uploaded(_)
            | Progress::NotUploaded(_)
            | Progress::Fetched(_) => self.advance(1),
            // How many there will be is not known before.
            Progress::Pushed | _ => {}
        }
    }

    /// Follows an import or an export.
    fn folder(&self, what: &str, progress: folder::Progress) {
        match progress {
            folder::Progress::Notes(notes) => self.begin(what, notes, "note"),
            folder::Progress::Note => self.advance(1),
            _ => {}
        }
    }

    /// Follows a check.
    fn check(&self, what: &str, progress: Checking) {
        match progress {
            Checking::Events(events) => self.begin(what, events, "event"),
            Checking::Notes(notes) => self.begin(what, notes, "note"),
            Checking::Images(images) => self.begin(what, images, "image"),
            Checking::Done(some) => self.advance(some),
            _ => {}
        }
    }

    fn begin(&self, what: &str, number: u64, thing: &str) {
        let text = format!("{what} {}", count(number, thing));
        match self {
            _ if number == 0 => {}
            Self::Nothing => {}
            Self::Lines => {
                let _ = writeln!(io::stderr(), "{text}");
            }
            Self::Bar(bar) => {
                // A finished one shows nothing more.
                bar.reset();
                bar.set_length(number);
                bar.set_position(0);
                bar.set_message(text);
            }
        }
    }

    fn advance(&self, by: u64) {
        if let Self::Bar(bar) = self {
            bar.inc(by);
        }
    }

    /// Takes the bar away, so that a result can be read.
    pub(super) fn clear(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
