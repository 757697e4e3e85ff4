//! After the storm: everything heals, all sync until quiet, and every promise is checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    Check, Wrong,
    claims::named,
    device::{Came, Device, origin},
    model::Shown,
    remote::Kind,
    world::World,
};
use crate::{
    event::Event,
    id::{ImageId, NoteId, Seq},
    remote::{Key, Requests},
    upload::State,
    vault::{Finding, NewNote, Verification},
};

/// Rounds in which everybody syncs, after which nothing may be left to exchange.
const ROUNDS: usize = 40;
/// Syncs after which one is idle.
const LOOKS: usize = 10;

/// A note, as every device must have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    path: Option<String>,
    trashed: bool,
    source: String,
    shown: Vec<Shown>,
    urls: Vec<(ImageId, Option<String>)>,
}

type Contents = BTreeMap<NoteId, Content>;

impl World {
    /// Heals everything and syncs everybody until quiet.
    pub(super) async fn calm(&mut self) -> Check {
        self.last_blows().await?;
        self.remote.heal();
        self.note("calm", "the storm is over");
        self.settle().await?;
        self.one_more().await
    }

    /// Once nobody has anything to say, one of them writes, and is killed while it tells: no news of
    /// another covers for what that leaves behind.
    async fn one_more(&mut self) -> Check {
        let here = self.here();
        let Some(n) = self.dice.pick(&here).copied() else { return Ok(()) };
        self.is_calm = false;
        self.work(n, Device::edit)?;
        self.crash_in_sync(n).await?;
        self.settle().await
    }

    /// Has everybody sync until quiet.
    async fn settle(&mut self) -> Check {
        if self.remote.kind() == Kind::Lagging {
            self.write_once_more()?;
        }
        for _ in 0..ROUNDS {
            let mut quiet = true;
            for n in self.here() {
                self.now = self.now.plus(Duration::from_hours(2));
                self.device(n)?.wake(self.now);
                // Somebody mends what needs a person; all else has to go on by itself.
                let vault = self.device(n)?.vault()?;
                let images = vault.image_list()?.into_iter();
                let blocked = images.filter(|image| image.state == Some(State::Blocked));
                let blocked: Vec<ImageId> = blocked.map(|image| image.image).collect();
                vault.retry(Some(&blocked))?;
                self.remote.carry_all(n).await;
                let came = self.device(n)?.sync(self.remote_of(n)?).await?;
                quiet &= came.is_quiet();
                self.note("calm sync", format_args!("{} syncs: {came}", self.named(n)?));
                self.check_claims(n)?;
            }
            if quiet {
                self.is_calm = true;
                return Ok(());
            }
        }
        Err(Wrong::promise(8, "the queues do not drain"))
    }

    /// The weather clears up, and then some are killed once more, and the remote may forget: what that
    /// leaves behind no later edit mends.
    async fn last_blows(&mut self) -> Check {
        for n in self.here() {
            if self.dice.percent(40) {
                self.crash_in_work(n)?;
            }
        }
        if self.dice.percent(50) {
            self.remote.spoil();
            self.sync_together().await?;
        }
        for n in self.here() {
            if self.dice.percent(50) {
                self.set_right(n)?;
            }
        }
        self.remote.clear_up();
        if self.dice.percent(40) {
            self.join().await?;
        }
        for n in self.here() {
            if self.dice.percent(30) {
                self.work(n, Device::edit)?;
                self.crash_in_sync(n).await?;
            }
        }
        if self.dice.percent(20) && self.remote.put_back(&mut self.dice) {
            self.remote_lost("put back", "an old copy of the remote is put back");
        }
        Ok(())
    }

    /// What a listing that lagged did not show is read once anything changes again.
    fn write_once_more(&mut self) -> Check {
        for n in self.here() {
            let Self { devices, model, .. } = self;
            let Some(device) = devices.get_mut(n) else { continue };
            let inserts = model.fresh_text(1)?;
            let source = inserts.iter().collect();
            let note = device.vault()?.new_note(&NewNote { source, ..NewNote::default() })?;
            let draft = super::model::Draft { inserts, ..Default::default() };
            device.acknowledge(note, draft, model)?;
        }
        Ok(())
    }

    /// Checks every promise, and says all that is wrong.
    pub(super) async fn check_promises(&mut self) -> Check {
        let here = self.here();
        let Some(first) = here.first() else { return Ok(()) };
        let expected = content(self.device(*first)?)?;
        let mut wrongs: Vec<Wrong> = Vec::new();
        wrongs.extend(self.check_identities().err());
        for n in &here {
            let found = content(self.device(*n)?)?;
            if found != expected {
                let what = format!("d{first} and d{n} differ:\n{expected:?}\n{found:?}");
                wrongs.push(Wrong::promise(2, what));
            }
        }
        wrongs.extend(self.check_model(&expected).err());
        wrongs.extend(self.check_remote(&expected).err());
        for n in &here {
            wrongs.extend(self.check_device(*n).await?);
        }
        wrongs.extend(self.check_heir(&expected).await.err());
        let Some(all) = wrongs.into_iter().reduce(|mut all, wrong| {
            all.promises.extend(wrong.promises);
            all.what = format!("{}\n{}", all.what, wrong.what);
            all
        }) else {
            return Ok(());
        };
        let keys = self.remote.objects().into_keys().collect::<Vec<_>>().join("\n  ");
        Err(Wrong { what: format!("{}\nthe remote holds:\n  {keys}", all.what), ..all })
    }

    fn check_model(&self, expected: &Contents) -> Check {
        self.model.check_notes(&expected.keys().copied().collect())?;
        for (note, content) in expected {
            let check = self.model.check_text(*note, &content.source);
            let check = check.and_then(|()| self.model.check_images(*note, &content.shown));
            check.and_then(|()| self.model.check_trash(*note, content.trashed)).map_err(
                |wrong| Wrong { what: format!("{}\n{:?}", wrong.what, content.source), ..wrong },
            )?;
        }
        Ok(())
    }

    fn check_remote(&self, expected: &Contents) -> Check {
        let objects = self.remote.objects();
        let mut images = BTreeSet::new();
        for (name, bytes) in &objects {
            if let Ok(Key::Image { image, .. }) = name.parse() {
                if blake3::hash(bytes).as_bytes() != image.as_bytes() {
                    return Err(Wrong::promise(7, format!("{name} does not hash to its name")));
                }
                images.insert(image);
            }
        }
        for (n, image) in self.remote.needless() {
            if !self.was_cut_off(n, image)? {
                let image = image.short();
                return Err(Wrong::promise(4, format!("{image} was put though it was there")));
            }
        }
        let certain = self.model.images();
        for (note, content) in expected {
            for (image, url) in &content.urls {
                if certain.contains(image) && !images.contains(image) {
                    let what = format!("image {} is not on the remote", image.short());
                    return Err(Wrong::promise(8, what));
                }
                let name = url.as_deref().filter(|_| !self.model.lost.contains(image));
                if let Some(name) = name.and_then(named).filter(|name| !objects.contains_key(*name))
                {
                    let what = format!("{name}, which note {} shows, is not there", note.short());
                    return Err(Wrong::promise(5, what));
                }
            }
        }
        Ok(())
    }

    async fn check_device(&self, n: usize) -> Check<Vec<Wrong>> {
        let device = self.device(n)?;
        let vault = device.vault()?;
        let mut wrongs = Vec::new();
        let mut wrong = |promise: u8, what: String| {
            wrongs.push(Wrong::promise(promise, format!("d{n}: {what}")));
        };
        let status = vault.status()?;
        if status.unsynced_notes > 0 || status.images.blocked > 0 {
            wrong(8, format!("not all is synced: {status:?}"));
        }
        // What no note shows any more is kept here and waits.
        let waits = vault.image_list()?.into_iter().find(|image| {
            image.local && !image.notes.is_empty() && image.state != Some(State::Uploaded)
        });
        if let Some(image) = waits {
            wrong(8, format!("image {} is {:?}", image.image.short(), image.state));
        }
        let mut found = vault.verify()?;
        let remote = self.remote_of(n)?;
        vault.verify_remote(&origin()?, &*remote, false, &mut found).await?;
        let Verification { findings, .. } = found;
        // What is lost is to be listed, and nothing else.
        for finding in findings.iter().filter(|finding| !self.is_expected(finding)) {
            wrong(promise_of(finding), format!("{}: {}", finding.what, finding.problem));
        }
        let events = vault.events(Seq(1)).count();
        let idle = Requests { head: 1, ..Requests::default() };
        let mut asked = None;
        // What is not there is looked for some times before it counts as lost.
        for _ in 0..LOOKS {
            match device.sync(Arc::clone(&remote)).await? {
                Came::Report(report) => asked = Some(report.requests),
                Came::Failed(why) => wrong(8, format!("it can't sync in calm weather: {why}")),
            }
            if asked == Some(idle) {
                break;
            }
        }
        if let Some(asked) = asked.filter(|asked| *asked != idle) {
            wrong(12, format!("an idle sync asked {asked:?}"));
        }
        if vault.events(Seq(1)).count() != events {
            wrong(12, "an idle sync appended events".to_owned());
        }
        Ok(wrongs)
    }

    fn is_expected(&self, finding: &Finding) -> bool {
        let image = finding.what.strip_prefix("image ").and_then(|image| image.parse().ok());
        let is_lost = image.is_some_and(|image: ImageId| self.model.lost.contains(&image));
        // A device that is gone for ever may have been cut off between its last segment and its head.
        let is_cut_off = finding.problem.ends_with("the device stopped before it put the new one")
            || finding.problem == "it is gone, though segments of the device are there";
        // Heads of a name that was given up stay as they are.
        let is_torn = self.is_torn && finding.problem.contains("which is not there; it may come");
        // Bytes come before their event, so a kill may leave them without one.
        is_lost
            || is_cut_off
            || is_torn
            || finding.problem.starts_with("its file is here, but no event says so")
    }

    /// From the remote and the key alone, all comes back.
    async fn check_heir(&mut self, expected: &Contents) -> Check {
        let (n, seed) = (self.devices.len(), self.seed());
        let heir = Device::create(n, seed, Some(self.key.clone()), self.now)?;
        self.remote.carry_all(n).await;
        heir.add(self.remote.calm(n)).await?;
        heir.sync(self.remote.calm(n)).await?;
        let by_checkpoint = heir.vault()?.events(Seq(1)).any(|recorded| {
            recorded.is_ok_and(|recorded| matches!(recorded.event, Event::CheckpointRead { .. }))
        });
        let how = if by_checkpoint { "heir by checkpoint" } else { "heir by segments" };
        self.note(how, "somebody joins by the remote and the key alone");
        if content(&heir)? != *expected {
            let what = "the remote and the key alone do not restore the notes";
            return Err(Wrong::promise(11, what));
        }
        let missing = heir.vault()?.image_list()?.into_iter().find(|image| {
            !image.local && !image.notes.is_empty() && !self.model.lost.contains(&image.image)
        });
        match missing {
            Some(image) => {
                let what = format!("image {} was not restored", image.image.short());
                Err(Wrong::promise(11, what))
            }
            None => Ok(()),
        }
    }
}

/// The promise that a finding of `verify` breaks.
fn promise_of(finding: &Finding) -> u8 {
    let Finding { what, problem } = finding;
    if problem.contains("changed more than the URLs") {
        3
    } else if what.starts_with("image ") {
        6
    } else if what.starts_with("projection")
        || what.starts_with("log/")
        || what.starts_with("images/")
    {
        7
    } else {
        1
    }
}

fn content(device: &Device) -> Check<Contents> {
    let vault = device.vault()?;
    let mut notes = BTreeMap::new();
    for row in vault.list()? {
        let body = vault.read(row.note, None)?.body;
        let content = Content {
            path: row.path,
            trashed: row.trashed,
            source: body.source(),
            shown: body.embeds().map(|embed| (embed.name.clone(), embed.image)).collect(),
            urls: vault.image_urls(row.note)?,
        };
        notes.insert(row.note, content);
    }
    Ok(notes)
}
