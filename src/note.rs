//! A note: Markdown source with embedded images, as an Automerge document.

pub mod markdown;
