//! A note: Markdown source in which every local image is one embedded object, as an Automerge document.
//!
//! ```text
//! { format: 1,
//!   path:    "Recipes/Bread.md" | null         absent = null
//!   trashed: bool                              absent = false
//!   body:    Text                              Markdown source with embeds
//!   images:  { "<64 hex>": "https://…" } }     absent = not uploaded yet
//! ```
//!
//! An embed is a block marker in `body`: `{ type: "image", isEmbed: true, parents: [], attrs: { src:
//! "blake3:<64 hex>", name, path? } }`. It stands for the destination alone; all around it is text, of which only
//! what stands in the box of a task is put in its place rather than spliced.

mod alike;
mod bare;
mod block;
mod bounds;
mod chunk;
mod construct;
mod deflate;
mod diff;
mod document;
mod edit;
mod embed;
mod first;
mod former;
mod history;
mod layout;
mod load;
pub mod markdown;
mod numbers;
mod outline;
mod parse;
mod shown;
mod strip;
mod ticks;
mod whole;

pub use diff::{Splice, splices, splices_closely, splices_whole};
pub use document::{Note, NoteError};
pub use embed::{Body, Embed, Piece, Target};
pub use first::Opening;
pub use history::{Change, ChangeInfo, Heads, inspect, touches_only_images};
pub use outline::{Outline, outline};
pub use strip::{Known, Stripped};
pub use whole::{in_changes, inspect_whole, last_change};
