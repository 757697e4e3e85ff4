//! What the log says of the time that went by, counted as it is read.

use std::collections::{BTreeMap, HashMap};

use crate::{
    clock::Timestamp,
    event::{Event, Recorded},
    id::ImageId,
};

const HOUR: i64 = 3_600_000;

/// What happened in some hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Changes of notes that people made, here or elsewhere.
    pub(super) edits: u64,
    /// Images that a remote confirmed after they were put there.
    pub(super) uploads: u64,
    /// Bytes of images that needed not be put: the remote held them.
    pub(super) saved: u64,
}

/// What happened, by the hour.
#[derive(Debug, Default)]
pub(super) struct Tally {
    hours: BTreeMap<i64, Counts>,
    sizes: HashMap<ImageId, u64>,
}

impl Tally {
    pub(super) fn add(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::ImageStored { image, bytes, .. }
            | Event::ImageAnnounced { image, bytes, .. }
            | Event::ImageFetched { image, bytes, .. } => {
                self.sizes.insert(*image, *bytes);
            }
            Event::NoteChanged { .. } if !recorded.origin.is_projector() => {
                self.at(recorded.at).edits += 1;
            }
            Event::ImageUploaded { image, already_there: true, .. } => {
                let bytes = self.sizes.get(image).copied().unwrap_or(0);
                self.at(recorded.at).saved += bytes;
            }
            Event::ImageUploaded { .. } => self.at(recorded.at).uploads += 1,
            _ => {}
        }
    }

    fn at(&mut self, at: Timestamp) -> &mut Counts {
        self.hours.entry(at.0.div_euclid(HOUR)).or_default()
    }

    /// At most `most` spans of equal length, without gaps, from the first to the last event: when
    /// each begins, and what happened in it.
    pub(super) fn spans(&self, most: i64) -> Vec<(Timestamp, Counts)> {
        let bounds = self.hours.first_key_value().zip(self.hours.last_key_value());
        let Some(((first, _), (last, _))) = bounds else { return Vec::new() };
        let length = [1, 3, 6, 12, 24, 24 * 7, 24 * 28]
            .into_iter()
            .find(|length| (last - first) / length < most)
            .unwrap_or_else(|| (last - first) / most + 1);
        let start = first.div_euclid(length) * length;
        let spans = (last.div_euclid(length) * length - start) / length + 1;
        let span = |index: i64| {
            let begin = start + index * length;
            let mut counts = Counts::default();
            for hour in self.hours.range(begin..begin + length).map(|(_, counts)| counts) {
                counts.edits += hour.edits;
                counts.uploads += hour.uploads;
                counts.saved += hour.saved;
            }
            (Timestamp(begin * HOUR), counts)
        };
        (0..spans).map(span).collect()
    }
}
