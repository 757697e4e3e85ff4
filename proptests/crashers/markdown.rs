//! Markdown from anywhere.

use everleaf::{
    id::ImageId,
    note::{
        Body, Embed, Piece, Target,
        markdown::{Destination, destinations},
    },
};

use super::measured::within;

/// Between what is imported and what somebody makes of it.
const THEN: &str = "\u{1}";

/// Every destination is an image, but those with a `!` in them.
fn find(destination: &Destination) -> Option<Target> {
    let image = ImageId::from_bytes(*blake3::hash(destination.target.as_bytes()).as_bytes());
    (!destination.target.contains('!')).then_some(Target { image, path: None, name: None })
}

fn side_by_side(body: &Body) -> bool {
    let is_embed = |piece: &Piece| matches!(piece, Piece::Embed(_));
    body.pieces().windows(2).any(|pair| pair.iter().all(is_embed))
}

/// Import and export give back every byte, and an edit gives what its author wrote.
pub(crate) fn attack(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (old, new) = text.split_once(THEN).unwrap_or((&text, ""));
    let body = within((1 << 20) + 1024 * old.len(), || Body::parse(old, find));
    placed(old, &destinations(old));
    assert_eq!(body.source(), old);
    assert_eq!(body.render(|_, _| None), old);
    assert_eq!(body.characters(), old.chars().count());
    assert!(body.title().is_none_or(|title| title.chars().count() <= 200));
    assert_eq!(parse_edit(&body, old), body, "what was not edited is the same");

    let edited = parse_edit(&body, new);
    let shown = edited.source();
    assert!(side_by_side(&edited) || shown == new, "{shown:?}");
    assert_eq!(parse_edit(&edited, &shown), edited, "what was not edited is the same");
}

fn parse_edit(base: &Body, source: &str) -> Body {
    let stays = |embed: &Embed| Target { image: embed.image, path: embed.path.clone(), name: None };
    Body::parse_edit(base, source, |_, _| None, |one, stood| stood.map(stays).or_else(|| find(one)))
}

/// Destinations are in order, apart from one another, and stretches of the text.
fn placed(source: &str, found: &[Destination]) {
    let mut end = 0;
    for one in found {
        assert!(one.range.start >= end && source.get(one.range.clone()).is_some());
        assert!(!one.uses.is_empty());
        assert!(one.uses.iter().all(|shown| source.get(shown.clone()).is_some()));
        end = one.range.end;
    }
}
