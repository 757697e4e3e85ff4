//! After the storm: everything heals, all sync until quiet, and every promise is checked.

use std::{collections::BTreeMap, time::Duration};

use everleaf::{
    id::{ImageId, NoteId},
    remote::Key,
    upload::State,
    vault::Verification,
};

use super::{
    Check, World,
    device::{Device, origin, shown},
};

/// Rounds in which everybody syncs, after which nothing may be left to exchange.
const ROUNDS: usize = 40;

impl World {
    /// Heals everything and syncs everybody until quiet.
    pub(super) async fn calm(&mut self) -> Check {
        self.remote.heal();
        self.note("calm", "the storm is over");
        for _ in 0..ROUNDS {
            let mut quiet = true;
            for n in 0..self.devices.len() {
                if self.devices[n].is_gone() {
                    continue;
                }
                self.devices[n].wait(Duration::from_hours(2));
                // Somebody mends what needs a person; all else has to go on by itself.
                let vault = self.devices[n].vault();
                let images = vault.image_list().map_err(shown)?.into_iter();
                let blocked = images.filter(|image| image.state == Some(State::Blocked));
                let blocked: Vec<ImageId> = blocked.map(|image| image.image).collect();
                if !blocked.is_empty() {
                    vault.retry(&blocked).map_err(shown)?;
                }
                let came = self.devices[n].sync(self.remote.handle()).await?;
                quiet &= came.is_quiet();
                self.note("calm sync", format_args!("d{n} syncs: {came}"));
            }
            if quiet {
                return Ok(());
            }
        }
        Err("promise 8: the queues do not drain".into())
    }

    pub(super) async fn check_promises(&mut self) -> Check {
        let seed = self.seed();
        let here: Vec<&Device> = self.devices.iter().filter(|device| !device.is_gone()).collect();
        let Some(first) = here.first() else { return Ok(()) };
        let expected = content(first)?;
        for device in &here {
            let found = content(device)?;
            if found != expected {
                let (a, b) = (first.number(), device.number());
                return Err(format!("promise 2: d{a} and d{b} differ:\n{expected:?}\n{found:?}"));
            }
        }
        for (note, content) in &expected {
            let check = self.model.check_text(*note, &content.source);
            check.map_err(|what| format!("promise 1: {what}\n{:?}", content.source))?;
            let check = self.model.check_images(*note, &content.shown);
            check.map_err(|what| format!("promises 1 and 6: {what}\n{:?}", content.source))?;
        }
        self.check_remote(&expected)?;
        for device in &here {
            self.check_device(device).await?;
        }
        let last = here.last().and_then(|device| device.key());
        let mut dice = self.dice.fork();
        let heir = Device::create(99, seed, last, &mut dice)?;
        heir.add(&self.calm_remote()).await?;
        heir.sync(self.remote.handle()).await?;
        if content(&heir)? != expected {
            return Err("promise 11: the remote and the key alone do not restore the notes".into());
        }
        let local = heir.vault().image_list().map_err(shown)?;
        let missing = |image: &&everleaf::vault::ImageStatus| {
            !image.local && !image.notes.is_empty() && !self.model.lost.contains(&image.image)
        };
        if let Some(image) = local.iter().find(missing) {
            return Err(format!("promise 11: image {} was not restored", image.image.short()));
        }
        Ok(())
    }

    fn check_remote(&self, expected: &BTreeMap<NoteId, Content>) -> Check {
        let objects = self.remote.objects();
        let mut images: BTreeMap<ImageId, u64> = BTreeMap::new();
        for (name, bytes) in &objects {
            if let Ok(Key::Image { image, .. }) = name.parse() {
                if blake3::hash(bytes).as_bytes() != image.as_bytes() {
                    return Err(format!("{name} does not hash to its name"));
                }
                *images.entry(image).or_default() += 1;
            }
        }
        if let Some((image, _)) = images.iter().find(|(_, count)| **count > 1) {
            return Err(format!("promise 4: image {} is there more than once", image.short()));
        }
        let certain = self.model.images();
        for (note, content) in expected {
            for (image, url) in &content.urls {
                if certain.contains(image) && !images.contains_key(image) {
                    return Err(format!("promise 8: image {} is not there", image.short()));
                }
                let named = url.as_ref().map(|url| url.replace("https://img.example/", ""));
                if let Some(name) = named.filter(|name| !objects.contains_key(name)) {
                    let note = note.short();
                    return Err(format!(
                        "promise 5: {name}, which note {note} shows, is not there"
                    ));
                }
            }
        }
        Ok(())
    }

    async fn check_device(&self, device: &Device) -> Check {
        let (vault, number) = (device.vault(), device.number());
        let status = vault.status().map_err(shown)?;
        let counts = status.images;
        let unfinished = counts.waiting + counts.pending + counts.uploading + counts.failed;
        if status.unsynced_notes > 0 || counts.blocked > 0 {
            return Err(format!("promise 8: d{number} is not synced: {status:?}"));
        }
        // What no note shows any more is kept here and waits.
        let shown_waiting = vault.image_list().map_err(shown)?.into_iter().find(|image| {
            image.local && !image.notes.is_empty() && image.state != Some(State::Uploaded)
        });
        if unfinished > 0
            && let Some(image) = shown_waiting
        {
            return Err(format!(
                "promise 8: d{number}: image {} is {:?}",
                image.image.short(),
                image.state
            ));
        }
        let mut found = vault.verify().map_err(shown)?;
        vault
            .verify_remote(&origin(), &*self.calm_remote(), false, &mut found)
            .await
            .map_err(shown)?;
        let Verification { findings, .. } = found;
        let lost = |what: &str| {
            let image = what.strip_prefix("image ").and_then(|image| image.parse().ok());
            image.is_some_and(|image: ImageId| self.model.lost.contains(&image))
        };
        // What is lost is to be listed, and nothing else.
        if let Some(finding) = findings.iter().find(|finding| !lost(&finding.what)) {
            return Err(format!(
                "promises 3, 6 and 7: d{number}: {}: {}",
                finding.what, finding.problem
            ));
        }
        let events = vault.events(everleaf::id::Seq(1)).count();
        let super::device::Came::Report(report) = device.sync(self.calm_remote()).await? else {
            return Err(format!("d{number} can't sync with a remote that is well"));
        };
        if (report.requests.head, report.requests.get, report.requests.list, report.requests.put)
            != (1, 0, 0, 0)
        {
            return Err(format!(
                "promise 12: an idle sync of d{number} asked {:?}",
                report.requests
            ));
        }
        if vault.events(everleaf::id::Seq(1)).count() != events {
            return Err(format!("promise 12: an idle sync of d{number} appended events"));
        }
        Ok(())
    }
}

/// A note, as every device must have it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    trashed: bool,
    source: String,
    shown: Vec<(String, ImageId)>,
    urls: Vec<(ImageId, Option<String>)>,
}

fn content(device: &Device) -> Check<BTreeMap<NoteId, Content>> {
    let vault = device.vault();
    let mut notes = BTreeMap::new();
    for row in vault.list().map_err(shown)? {
        let body = vault.read(row.note, None).map_err(shown)?.body;
        let content = Content {
            trashed: row.trashed,
            source: body.source(),
            shown: body.embeds().map(|embed| (embed.name.clone(), embed.image)).collect(),
            urls: vault.image_urls(row.note).map_err(shown)?,
        };
        notes.insert(row.note, content);
    }
    Ok(notes)
}
