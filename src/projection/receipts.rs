//! What each remote holds: our receipts, how far the others were read, and what is yet to be pushed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{after_remote, catalog, devices, documents, outbox, recent, remote_key};
use crate::{
    db::{Db, DbError, Draft, Read, Row, Table, decode_row},
    event::{Covered, Event, Origin, Recorded, RemoteName, RemoteOptions, RenewReason},
    id::{DeviceId, NoteId, SegmentHash, Seq},
    log::FoldError,
};

/// A remote as this device knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// How to reach it.
    pub options: RemoteOptions,
    /// Where our own segments end there.
    pub own: Chain,
    /// Public bases that it had before; URLs that begin with them are to be replaced.
    pub former_public_urls: Vec<String>,
    /// The last event up to which it was told everything.
    pub told: Seq,
}

/// Where a device's segments end, as far as they were read or written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Chain {
    /// The number of the last one; 0 for none.
    pub seq: u64,
    /// The hashes of all that bear this number: more than one where a device had a twin.
    pub hashes: Vec<SegmentHash>,
}

impl Chain {
    /// Whether this segment was read or written.
    #[must_use]
    pub fn holds(&self, seq: u64, hash: SegmentHash) -> bool {
        seq < self.seq || (seq == self.seq && self.hashes.contains(&hash))
    }

    /// Notes a segment.
    pub(crate) fn note(&mut self, seq: u64, hash: SegmentHash) {
        if seq > self.seq {
            *self = Self { seq, hashes: vec![hash] };
        } else if seq == self.seq && !self.hashes.contains(&hash) {
            self.hashes.push(hash);
        }
    }
}

/// Another device as far as it was read on a remote.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Peer {
    chain: Chain,
    /// The highest number of a segment that was known of it: a device that found a twin reads what lies under
    /// the id that both had from the beginning, and others have read past that.
    known: u64,
}

pub(super) fn fold(event: &Recorded, draft: &mut Draft<'_>) -> Result<(), FoldError> {
    match &event.event {
        Event::NoteChanged { note, .. } => {
            for remote in names(draft)? {
                if !is_told(draft, &remote, &event.origin)? {
                    owe(draft, &remote, event.seq, Some(*note));
                }
            }
        }
        Event::NoteReceived { note, .. } => {
            // The segments that the checkpoint stands for carry it there.
            let from = match &event.origin {
                Origin::Device { remote, .. } => Some(remote),
                _ => None,
            };
            for remote in names(draft)?.into_iter().filter(|name| Some(name) != from) {
                owe(draft, &remote, event.seq, Some(*note));
            }
        }
        Event::CheckpointRead { remote, covers, .. } => {
            let own = devices::identity(draft)?.map(|own| own.device);
            for Covered { device, seq, hashes } in covers {
                let Peer { chain, known } = peer_row(draft, remote, *device)?;
                // One that is read from the beginning may have more than the checkpoint stands for.
                let is_read_again = known > chain.seq;
                if Some(*device) != own && chain.seq < *seq && !is_read_again {
                    let chain = Chain { seq: *seq, hashes: hashes.clone() };
                    put_peer(draft, remote, *device, chain, *seq)?;
                    recent::begin(draft, remote, *device, *seq, hashes)?;
                }
            }
        }
        Event::ImageStored { .. } => {
            for remote in names(draft)? {
                owe(draft, &remote, event.seq, None);
            }
        }
        Event::SegmentPushed { remote, seq, hash, through } => {
            settle(draft, remote, *through)?;
            extend_own(draft, remote, *seq, *hash, *through)?;
            if let Some(own) = devices::identity(draft)? {
                recent::note(draft, remote, own.device, *seq, *hash)?;
            }
        }
        Event::SegmentPulled { remote, device, seq, hash, known } => {
            for seq in known {
                draft.delete(Table::Unpushed, &remote_key(remote, &seq.0.to_be_bytes()));
            }
            let own = devices::identity(draft)?.is_some_and(|own| own.device == *device);
            if own {
                extend_own(draft, remote, *seq, *hash, Seq(0))?;
            } else {
                let mut chain = peer(draft, remote, *device)?;
                chain.note(*seq, *hash);
                put_peer(draft, remote, *device, chain, *seq)?;
            }
            recent::note(draft, remote, *device, *seq, *hash)?;
        }
        Event::RemoteConfigured { remote, options } => configure(draft, remote, options)?,
        Event::RemoteRemoved { remote } => {
            forget(draft, remote)?;
            let key = remote.as_str().as_bytes();
            let bases = get(draft, remote)?.map(|known| bases_of(&known)).unwrap_or_default();
            if !bases.is_empty() {
                draft.put_row(Table::Former, key, &bases)?;
            }
            draft.delete(Table::Remotes, key);
        }
        Event::RemoteReset { remote, .. } => {
            if let Some(known) = get(draft, remote)? {
                forget(draft, remote)?;
                let row = Remote { own: Chain::default(), told: Seq(0), ..known };
                draft.put_row(Table::Remotes, remote.as_str().as_bytes(), &row)?;
                owe_everything(draft, remote)?;
            }
        }
        Event::DeviceRenewed { from, reason, .. } => {
            let diverged = *reason == RenewReason::Diverged;
            for (remote, known) in list(draft)? {
                // What the twin put beside ours is read from the beginning.
                let last = known.own.seq;
                let read = if diverged { Chain::default() } else { known.own };
                put_peer(draft, &remote, *from, read, last)?;
                if diverged {
                    recent::forget(draft, &remote, *from);
                }
                let told = if diverged { Seq(0) } else { known.told };
                let row = Remote { own: Chain::default(), told, ..known };
                draft.put_row(Table::Remotes, remote.as_str().as_bytes(), &row)?;
                if diverged {
                    owe_everything(draft, &remote)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a change came from a remote, where everybody will find it. What lies beside or before the
/// last segment that was known, since its device has a twin, is found by luck: whoever finds it tells the
/// others.
fn is_told(draft: &Draft<'_>, remote: &RemoteName, origin: &Origin) -> Result<bool, DbError> {
    match origin {
        Origin::Device { remote: from, device, seq, .. } if from == remote => {
            Ok(peer_row(draft, remote, *device)?.known < *seq)
        }
        _ => Ok(false),
    }
}

/// Notes that a remote has yet to be told of an event, and of which note it is.
fn owe(draft: &mut Draft<'_>, remote: &RemoteName, seq: Seq, note: Option<NoteId>) {
    let note = note.map(|note| note.as_bytes().to_vec()).unwrap_or_default();
    draft.put(Table::Unpushed, &remote_key(remote, &seq.0.to_be_bytes()), note);
}

fn owe_everything(draft: &mut Draft<'_>, remote: &RemoteName) -> Result<(), DbError> {
    for (note, seq) in documents::all(draft)? {
        owe(draft, remote, seq, Some(note));
    }
    for (_, image) in catalog::image_records(draft)? {
        if let Some(seq) = image.stored {
            owe(draft, remote, seq, None);
        }
    }
    Ok(())
}

fn settle(draft: &mut Draft<'_>, remote: &RemoteName, through: Seq) -> Result<(), DbError> {
    for (key, _) in untold(draft, remote, Some(through))? {
        draft.delete(Table::Unpushed, &key);
    }
    Ok(())
}

fn extend_own(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    seq: u64,
    hash: SegmentHash,
    told: Seq,
) -> Result<(), DbError> {
    let Some(mut known) = get(draft, remote)? else { return Ok(()) };
    known.own.note(seq, hash);
    known.told = known.told.max(told);
    draft.put_row(Table::Remotes, remote.as_str().as_bytes(), &known)
}

fn configure(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    options: &RemoteOptions,
) -> Result<(), DbError> {
    let key = remote.as_str().as_bytes();
    let known = get(draft, remote)?;
    let same_place = known.as_ref().is_some_and(|known| known.options.is_same_place(options));
    let mut former = match &known {
        Some(known) => bases_of(known),
        // One of this name that was removed may have put its URLs into notes.
        None => draft.row(Table::Former, key)?.unwrap_or_default(),
    };
    draft.delete(Table::Former, key);
    former.retain(|url| Some(url) != options.public_url.as_ref());
    let (own, told) = match known {
        Some(known) if same_place => (known.own, known.told),
        _ => Default::default(),
    };
    let row = Remote { options: options.clone(), own, former_public_urls: former, told };
    if !same_place {
        forget(draft, remote)?;
        outbox::forget(draft, remote)?;
    }
    draft.put_row(Table::Remotes, key, &row)?;
    if !same_place {
        owe_everything(draft, remote)?;
    }
    Ok(())
}

/// All public addresses that remotes have and had, those that were removed too.
///
/// # Errors
///
/// What the database said.
pub fn bases(read: &impl Read) -> Result<Vec<String>, DbError> {
    let mut all = Vec::new();
    for (_, remote) in list(read)? {
        all.extend(bases_of(&remote));
    }
    for (_, row) in read.scan(Table::Former, &[])? {
        all.extend(decode_row::<Vec<String>>(Table::Former, &row)?);
    }
    Ok(all)
}

/// All public addresses that a remote has and had.
fn bases_of(known: &Remote) -> Vec<String> {
    let mut bases = known.former_public_urls.clone();
    bases.extend(known.options.public_url.clone().filter(|url| !bases.contains(url)));
    bases
}

/// Takes away what was known of the content of a remote.
fn forget(draft: &mut Draft<'_>, remote: &RemoteName) -> Result<(), DbError> {
    for table in [Table::Peers, Table::Recent, Table::Unpushed] {
        for (key, _) in draft.scan(table, &remote_key(remote, &[]))? {
            draft.delete(table, &key);
        }
    }
    Ok(())
}

/// Tells, event by event, when what was known of a remote's content counts no more, as [`fold`] has it.
pub(crate) struct Content<'a> {
    remote: &'a RemoteName,
    place: Option<RemoteOptions>,
}

impl<'a> Content<'a> {
    pub(crate) const fn of(remote: &'a RemoteName) -> Self {
        Self { remote, place: None }
    }

    /// Whether all that came before this event counts no more.
    pub(crate) fn is_forgotten(&mut self, event: &Event) -> bool {
        match event {
            Event::RemoteReset { remote, .. } | Event::RemoteRemoved { remote } => {
                remote == self.remote
            }
            Event::RemoteConfigured { remote, options } if remote == self.remote => {
                let before = self.place.replace(options.clone());
                before.is_none_or(|before| !before.is_same_place(options))
            }
            _ => false,
        }
    }
}

/// A remote; `None` where this device knows none of that name.
///
/// # Errors
///
/// What the database said.
pub fn get(read: &impl Read, remote: &RemoteName) -> Result<Option<Remote>, DbError> {
    read.row(Table::Remotes, remote.as_str().as_bytes())
}

/// Every remote, by its name.
///
/// # Errors
///
/// What the database said.
pub fn list(read: &impl Read) -> Result<Vec<(RemoteName, Remote)>, DbError> {
    let rows = read.scan(Table::Remotes, &[])?.into_iter();
    let rows = rows.filter_map(|(key, value)| {
        let name = name(key)?;
        Some(decode_row(Table::Remotes, &value).map(|remote| (name, remote)))
    });
    rows.collect()
}

/// The names of all remotes, in their order.
///
/// # Errors
///
/// What the database said.
pub fn names(read: &impl Read) -> Result<Vec<RemoteName>, DbError> {
    let rows = read.scan(Table::Remotes, &[])?.into_iter();
    Ok(rows.filter_map(|(key, _)| name(key)).collect())
}

fn name(key: Vec<u8>) -> Option<RemoteName> {
    String::from_utf8(key).ok()?.try_into().ok()
}

/// How far another device was read on a remote.
///
/// # Errors
///
/// What the database said.
pub fn peer(read: &impl Read, remote: &RemoteName, device: DeviceId) -> Result<Chain, DbError> {
    Ok(peer_row(read, remote, device)?.chain)
}

fn peer_row(read: &impl Read, remote: &RemoteName, device: DeviceId) -> Result<Peer, DbError> {
    let key = remote_key(remote, device.as_bytes());
    Ok(read.row(Table::Peers, &key)?.unwrap_or_default())
}

fn put_peer(
    draft: &mut Draft<'_>,
    remote: &RemoteName,
    device: DeviceId,
    chain: Chain,
    known: u64,
) -> Result<(), DbError> {
    let known = known.max(peer_row(draft, remote, device)?.known);
    let row = Peer { chain, known };
    draft.put_row(Table::Peers, &remote_key(remote, device.as_bytes()), &row)
}

/// Every other device that was read on a remote, and how far.
///
/// # Errors
///
/// What the database said.
pub fn peers(read: &impl Read, remote: &RemoteName) -> Result<Vec<(DeviceId, Chain)>, DbError> {
    let rows = read.scan(Table::Peers, &remote_key(remote, &[]))?.into_iter();
    let peers = rows.filter_map(|(key, value)| {
        let device = DeviceId::from_slice(after_remote(remote, &key))?;
        Some(decode_row(Table::Peers, &value).map(|Peer { chain, .. }| (device, chain)))
    });
    peers.collect()
}

/// How many changes of notes a remote has yet to be told of.
///
/// # Errors
///
/// What the database said.
pub fn unpushed_changes(read: &impl Read, remote: &RemoteName) -> Result<usize, DbError> {
    Ok(untold(read, remote, None)?.iter().filter(|(_, note)| !note.is_empty()).count())
}

/// The first events behind one that a remote has yet to be told of, in the order of the log, at most `most`.
///
/// # Errors
///
/// What the database said.
pub fn unpushed_behind(
    db: &Db,
    remote: &RemoteName,
    seq: Seq,
    most: usize,
) -> Result<Vec<Seq>, DbError> {
    let after = seq.max(told(db, remote)?).0.to_be_bytes();
    let rows = db.rows_behind(Table::Unpushed, &remote_key(remote, &[]), &after, most)?;
    Ok(seqs(remote, &rows))
}

fn seqs(remote: &RemoteName, rows: &[Row]) -> Vec<Seq> {
    let seqs = rows.iter().filter_map(|(key, _)| {
        let seq = after_remote(remote, key).try_into().ok()?;
        Some(Seq(u64::from_be_bytes(seq)))
    });
    seqs.collect()
}

/// The notes of which a remote lacks a change.
///
/// # Errors
///
/// What the database said.
pub fn notes_behind(read: &impl Read, remote: &RemoteName) -> Result<BTreeSet<NoteId>, DbError> {
    let rows = untold(read, remote, None)?;
    Ok(rows.iter().filter_map(|(_, note)| NoteId::from_slice(note)).collect())
}

/// What a remote has yet to be told, up to an event. It is looked for behind what it was told: before that
/// there is nothing but the traces of rows that are gone.
fn untold(
    read: &impl Read,
    remote: &RemoteName,
    through: Option<Seq>,
) -> Result<Vec<Row>, DbError> {
    let (prefix, first) = (remote_key(remote, &[]), told(read, remote)?.next().0.to_be_bytes());
    let last = through.map(|through| through.0.to_be_bytes());
    let last = last.as_ref().map(<[u8; 8]>::as_slice);
    read.scan_between(Table::Unpushed, &prefix, &first, last)
}

/// The last event up to which a remote was told everything.
fn told(read: &impl Read, remote: &RemoteName) -> Result<Seq, DbError> {
    Ok(get(read, remote)?.map(|known| known.told).unwrap_or_default())
}
