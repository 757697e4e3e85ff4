//! The body of a note: text and the embeds in it.

use std::borrow::Cow;

use crate::{
    id::ImageId,
    note::{
        layout::{Layout, Show},
        markdown::{self, Syntax},
    },
};

/// One image destination of a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
pub struct Embed {
    /// The image.
    pub image: ImageId,
    /// The destination exactly as it was written.
    pub name: String,
    /// The path in the folder that the image was imported from, where `name` does not give it.
    pub path: Option<String>,
}

/// What a destination turned out to name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The image.
    pub image: ImageId,
    /// See [`Embed::path`].
    pub path: Option<String>,
    /// The name that the embed keeps, where the destination is only another way to write it: the URL
    /// or the local file that a reader was shown.
    pub name: Option<String>,
}

/// A part of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Markdown source.
    Text(String),
    /// An image destination.
    Embed(Embed),
    /// A block that another Automerge client made; shown as U+FFFC.
    Foreign,
}

/// What [`Piece::Foreign`] shows as.
pub(super) const FOREIGN: char = '\u{fffc}';

/// The most embeds side by side among which a double is looked for; somebody may have sent a million.
const BESIDE: usize = 64;

/// Markdown source with embeds.
///
/// Two embeds without text between them stand for one destination: two devices replaced one image at
/// once. Whatever shows such a body repeats the image around them for the second, so both are seen. No two
/// of them are one image by one name: of those a body has the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body {
    pieces: Vec<Piece>,
}

impl Body {
    /// The body of these pieces; empty texts are dropped, adjacent ones joined, and embeds that say again
    /// what one beside them says are dropped too.
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut body = Self::default();
        for piece in pieces {
            body.push(piece);
        }
        body
    }

    /// Its parts: no text is empty, none follows another.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The Markdown with the names that its author wrote.
    #[must_use]
    pub fn source(&self) -> String {
        self.written().into_owned()
    }

    /// [`source`](Self::source), which is not copied where the body is nothing but text.
    pub(crate) fn written(&self) -> Cow<'_, str> {
        let put_together = || Layout::of(self, false).text(|_, _| None).into();
        self.plain().map_or_else(put_together, Cow::Borrowed)
    }

    /// The Markdown with other destinations: `Some` replaces a name, `None` keeps it.
    ///
    /// The syntax is that of the place, which the answer must fit: percent-encoded for a plain
    /// [`Syntax::Inline`], say. It is `None` where the embed stands in no image, in code for instance.
    #[must_use]
    pub fn render(
        &self,
        destination: impl FnMut(&Embed, Option<Syntax>) -> Option<String>,
    ) -> String {
        Layout::of(self, true).text(destination)
    }

    /// The embeds, in the order of the body.
    pub fn embeds(&self) -> impl Iterator<Item = &Embed> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Embed(embed) => Some(embed),
            Piece::Text(_) | Piece::Foreign => None,
        })
    }

    /// The images, each once, in the order in which the body first names them.
    #[must_use]
    pub fn images(&self) -> Vec<ImageId> {
        let mut seen = std::collections::HashSet::new();
        self.embeds().map(|embed| embed.image).filter(|image| seen.insert(*image)).collect()
    }

    /// The number of code points in [`Body::source`].
    #[must_use]
    pub fn characters(&self) -> usize {
        if let Some(text) = self.plain() {
            return text.chars().count();
        }
        let layout = Layout::of(self, false);
        layout
            .shows()
            .map(|show| match show {
                Show::Text(text) => text.chars().count(),
                Show::Embed(embed, _) => embed.name.chars().count(),
                Show::Foreign => 1,
            })
            .sum()
    }

    /// What people call the note: the front matter's `title`, else the first heading, else the first line
    /// with text; without markup, at most 200 code points.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        markdown::title(&self.written())
    }

    /// Its text, where it is nothing else.
    pub(super) fn plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub(super) fn push_text(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        match self.pieces.last_mut() {
            Some(Piece::Text(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Text(text.to_owned())),
        }
    }

    /// Appends a piece, but for an embed that would be a double of one beside it: gives how far before the
    /// end that stands, 1 for the last piece.
    pub(super) fn push(&mut self, piece: Piece) -> Option<usize> {
        match piece {
            Piece::Text(text) => self.push_text(&text),
            Piece::Embed(embed) => {
                let back = self.doubled(&embed);
                if back.is_some() {
                    return back;
                }
                self.pieces.push(Piece::Embed(embed));
            }
            Piece::Foreign => self.pieces.push(Piece::Foreign),
        }
        None
    }

    fn doubled(&self, embed: &Embed) -> Option<usize> {
        let beside = self.pieces.iter().rev().take(BESIDE).map_while(|piece| match piece {
            Piece::Embed(beside) => Some(beside),
            Piece::Text(_) | Piece::Foreign => None,
        });
        let is_same = |beside: &Embed| beside.image == embed.image && beside.name == embed.name;
        { beside }.position(is_same).map(|others| others + 1)
    }

    /// The number of its code points and blocks.
    pub(super) fn units(&self) -> usize {
        self.pieces.iter().map(Piece::units).sum()
    }
}

impl Piece {
    /// The number of its code points and blocks.
    pub(super) fn units(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Embed(_) | Self::Foreign => 1,
        }
    }
}
