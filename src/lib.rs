//! Notes with images on devices that are often offline.
//!
//! A [`vault`](vault::Vault) is all that one person keeps. It lives on several devices; each has all
//! of it, writes to its own copy, and needs nobody's permission to do so. Devices exchange what they did
//! by way of a [`remote`]: a folder or an S3 bucket, which runs no code of ours, or a hub. None can
//! read a note.
//!
//! * A [`note`] is an Automerge document: Markdown source, in which every local image destination is
//!   one embedded object.
//! * An image is a file named by the hash of its bytes: stored once on a device, put once on a remote.
//! * Whatever happens is an [`event`](event::Event), appended to a [`log`] that is never rewritten.
//!   All else is folded from it.
//!
//! # Two devices
//!
//! ```
//! use std::sync::Arc;
//!
//! use everleaf::{
//!     event::{RemoteName, RemoteOptions},
//!     remote::{Memory, Remote},
//!     vault::{NewNote, Options, SyncOptions, Vault},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let home = tempfile::tempdir()?;
//! let origin: RemoteName = "origin".parse()?;
//! let remote: Arc<dyn Remote> = Arc::new(Memory::new());
//! let described = RemoteOptions { url: "memory".into(), ..RemoteOptions::default() };
//! let (how, quietly) = (SyncOptions::default(), |_| ());
//!
//! let folder = home.path().join("laptop");
//! let laptop = Vault::create(&folder, "laptop", None, Options::default())?;
//! let source = "# Bread\n\nFlour and water.\n".to_owned();
//! let bread = laptop.new_note(&NewNote { source, ..NewNote::default() })?;
//! laptop.add_remote(origin.clone(), described.clone(), Arc::clone(&remote)).await?;
//! laptop.sync(&origin, Arc::clone(&remote), &how, &quietly).await?;
//!
//! // Another device needs the key and the remote, and nothing else.
//! let (folder, key) = (home.path().join("phone"), laptop.key().clone());
//! let phone = Vault::create(&folder, "phone", Some(key), Options::default())?;
//! phone.add_remote(origin.clone(), described, Arc::clone(&remote)).await?;
//! phone.sync(&origin, Arc::clone(&remote), &how, &quietly).await?;
//!
//! // Both edit the same line offline. An edit says what its author had seen.
//! for (device, old, new) in [(&laptop, "Flour", "Rye flour"), (&phone, "water", "water, salt")] {
//!     let seen = device.read(bread, None)?;
//!     device.edit(bread, &seen.heads, &seen.body.source().replace(old, new), None)?;
//! }
//! for device in [&laptop, &phone, &laptop] {
//!     device.sync(&origin, Arc::clone(&remote), &how, &quietly).await?;
//! }
//! for device in [laptop, phone] {
//!     let merged = device.read(bread, None)?.body.source();
//!     assert_eq!(merged, "# Bread\n\nRye flour and water, salt.\n");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A remote of your own kind is passed in as here. One that has a URL is added once, and from then on
//! [`vault::Vault::connect`] opens it by its name.
//!
//! # An editor that stays open
//!
//! It saves what was written since its last save, on the version that the last save gave, and hears
//! what others did meanwhile:
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use everleaf::vault::{NewNote, Options, Vault};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let home = tempfile::tempdir()?;
//! # let vault = Vault::create(&home.path().join("vault"), "laptop", None, Options::default())?;
//! let source = "# Walk\n".to_owned();
//! let note = vault.new_note(&NewNote { source, ..NewNote::default() })?;
//! let opened = vault.read(note, None)?;
//! let mut news = vault.follow();
//!
//! // Somebody pastes a picture: its bytes are taken in, and part of the note once it is named.
//! let pasted = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x02\0\0\0\x02\x08\x06\0\0\0";
//! let stored = vault.images().ingest(&mut &pasted[..])?;
//! let pictures = BTreeMap::from([("lake.png".to_owned(), stored)]);
//! let saved = vault.save_draft(note, &opened.heads, "# Walk\n\n![](lake.png)\n", &pictures)?;
//!
//! // Meanwhile another window, or a sync, changes the note too.
//! vault.edit(note, &opened.heads, "# Walk by the lake\n", None)?;
//! assert!(news.has_changed()?); // `changed()` waits for it
//! let saved = vault.save_draft(note, &saved.heads, "# Walk\n\n![](lake.png)\n\nCold.\n", &pictures)?;
//!
//! let merged = vault.read(note, None)?;
//! assert_eq!(merged.body.source(), "# Walk by the lake\n\n![](lake.png)\n\nCold.\n");
//! assert_ne!(merged.heads, saved.heads); // what to open next, with all of it
//! # Ok(())
//! # }
//! ```
//!
//! # The way of the data
//!
//! Data flows one way. An edit becomes an event; the log makes it durable; projections fold it;
//! [`sync`] and [`upload`] look at projections and say what to do; the vault does it, and appends what
//! came of it as events. What other devices did enters by the same door.
//!
//! Modules build on one another in this order, which a test checks:
//!
//! | | |
//! | --- | --- |
//! | [`id`] [`clock`] [`units`] `crash` `mutant` | names for things; the only source of time and randomness; how both read; what tests switch |
//! | [`image`] [`event`] [`note`] | the values: what an image is, what can happen, what a note is |
//! | [`db`] [`log`] [`images`] [`projection`] | what is on this device's disk |
//! | [`resolve`] [`search`] [`seal`] [`segment`] [`remote`] | which files notes mean; what texts say; what devices exchange, and where |
//! | [`sync`] [`upload`] | decisions: pure functions, no I/O |
//! | [`vault`] [`folder`] | the façade: where decisions meet I/O, and the only appender; import, export |
//! | `socket` | the same calls for other processes, while this one has the vault |
//! | `hub` | a server that is a remote for any number of vaults |
//! | `web` | a page over one's own vault |
//! | `loopback` `demo` `sim` | a store in this process; the main job, shown; all promises, attacked |
//!
//! What comes before [`remote`] blocks and knows no runtime. A remote, and what of the vault talks to
//! one, is async on tokio (its module lists what that is); all other calls of [`vault::Vault`] block, if only
//! for an `fsync`.
//!
//! # What it is not
//!
//! * A database for other data: a vault holds notes and images.
//! * A rich-text editor: a note is Markdown source, and stays what was written, byte for byte.
//! * A place for video: an image is bounded (256 MiB unless said otherwise), and a note too.
//! * A team server with roles: whoever has the key is the vault's owner.
//!
//! # Why not …
//!
//! * **a sync server?** It would have to be run, trusted and paid for. A folder that Syncthing carries,
//!   or a bucket, is there already; the protocol asks it for no conditional write, no lock and no clock,
//!   since real stores differ there. A hub is for who wants news at once: one more remote, which knows
//!   no more than the others.
//! * **conflict copies?** They hand the merge to a person, who has the least time for it. A note is a
//!   CRDT, and an edit is applied to what its author saw: what happened meanwhile stays.
//! * **images in the text as base64?** Each copy would travel with each edit, and no store could
//!   serve them. An embed is 64 hex digits, and the swap for a URL is one `put` beside the text.
//! * **a URL written at once?** It would be a promise that nobody has kept yet. A URL is written once
//!   the remote confirmed the bytes.
//! * **the last writer wins?** Clocks differ, by years on a bad day. They are shown, and order nothing.
//!
//! # Features
//!
//! | | |
//! | --- | --- |
//! | `https` | hubs as remotes |
//! | `s3` | S3 and R2 remotes |
//! | `hub` | the hub itself |
//! | `loopback` | an S3 server inside the process, for tests |
//! | `socket` | what lets other processes use a vault that this one has open |
//! | `html` | notes as HTML: [`note::markdown`]'s `to_html` |
//! | `web` | the page over one's own vault |
//! | `cli` (default) | the command, with all of these |
//! | `sim` | the simulator, and the switches of tests |
//!
//! A library needs none of them for folders, `s3` for buckets, and `https` for hubs. It runs on Unix.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
mod crash;
pub mod db;
#[cfg(feature = "cli")]
pub mod demo;
pub mod event;
pub mod folder;
#[cfg(feature = "hub")]
pub mod hub;
pub mod id;
pub mod image;
pub mod images;
mod lines;
pub mod log;
#[cfg(feature = "loopback")]
pub mod loopback;
#[cfg_attr(not(feature = "sim"), doc(hidden))]
pub mod mutant;
pub mod note;
pub mod projection;
pub mod remote;
pub mod resolve;
pub mod seal;
pub mod search;
pub mod segment;
#[cfg(any(feature = "hub", feature = "web"))]
mod serving;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "socket")]
pub mod socket;
pub mod sync;
pub mod units;
pub mod upload;
pub mod vault;
#[cfg(feature = "web")]
pub mod web;

/// The examples of README.md, run as those of this documentation are.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
