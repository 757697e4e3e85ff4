//! What a note shows of its document: all but embeds that say again what one beside them says.
//!
//! Two devices put one picture in one place at once: both found its file in their folder, say. The document
//! has two embeds side by side then, of one image and one name, and to show both would show one picture
//! twice. So the body has the first of them alone, and what is done to the body is done to its doubles too.

use super::{
    edit::{Splice, spliced},
    embed::{Body, Piece},
    ticks::Tick,
};

/// What a note shows at a version.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    pub(super) body: Body,
    /// What the document has besides, in order.
    doubles: Vec<Double>,
}

/// An embed of a document that its body does not have.
#[derive(Debug, Clone, Copy)]
struct Double {
    /// Its place in the document, counted in code points and blocks.
    at: usize,
    /// The place in the body of the embed that it is a double of.
    of: usize,
    /// How much of the body stands before it.
    before: usize,
}

impl From<Body> for Shown {
    /// A body that is all that the document has.
    fn from(body: Body) -> Self {
        Self { body, doubles: Vec::new() }
    }
}

impl Shown {
    /// Appends the piece at the place `at` of the document.
    pub(super) fn push(&mut self, at: usize, piece: Piece) {
        if let Some(back) = self.body.push(piece) {
            let before = at - self.doubles.len();
            self.doubles.push(Double { at, of: before - back, before });
        }
    }

    /// What it becomes by `plan`, which makes `new` of its body; `None` where that has to be read.
    pub(super) fn after(&self, plan: &[Splice], new: &Body) -> Option<Self> {
        // What is foreign is a character in a plan, and more than that in a document.
        if !self.doubles.is_empty() || self.body.pieces().contains(&Piece::Foreign) {
            return None;
        }
        if self.body.plain().is_some() && new.plain().is_some() {
            return Some(new.clone().into());
        }
        let gone: usize = plan.iter().map(|splice| splice.delete).sum();
        let come: usize = plan.iter().map(|splice| splice.insert.units()).sum();
        let body = spliced(&self.body, plan);
        let is_all = body.units() + gone == self.body.units() + come;
        is_all.then(|| body.into())
    }

    /// What `plan`, which is for its body, comes to in the document, in order.
    ///
    /// A double goes with what it is a double of, and where something comes between the two: it would be
    /// seen then. All others stay, for whoever knows of them alone.
    pub(super) fn in_document(&self, plan: Vec<Splice>) -> Vec<Splice> {
        if self.doubles.is_empty() {
            return plan;
        }
        let goes = |double: &Double| {
            plan.iter().any(|splice| {
                let is_parted = double.of < splice.at && splice.at < double.before;
                (splice.at..splice.at + splice.delete).contains(&double.of)
                    || is_parted && !splice.insert.pieces().is_empty()
            })
        };
        let (mut gone, stays): (Vec<_>, Vec<_>) = self.doubles.iter().copied().partition(goes);
        let mut whole = Vec::new();
        for Splice { at, delete, insert } in plan {
            let (mut start, mut insert) = (self.place(at), Some(insert));
            let end = delete.checked_sub(1).map_or(start, |last| self.place(at + last) + 1);
            gone.retain(|double| !(start..end).contains(&double.at));
            let first = stays.partition_point(|double| double.at < start);
            for double in stays.iter().skip(first).take_while(|double| double.at < end) {
                let (delete, insert) = (double.at - start, insert.take().unwrap_or_default());
                whole.push(Splice { at: start, delete, insert });
                start = double.at + 1;
            }
            let insert = insert.unwrap_or_default();
            whole.push(Splice { at: start, delete: end - start, insert });
        }
        let alone = |double: Double| Splice { at: double.at, delete: 1, insert: Body::default() };
        whole.extend(gone.into_iter().map(alone));
        whole.sort_by_key(|splice| splice.at);
        whole
    }

    /// Where boxes of its body stand in the document.
    pub(super) fn places(&self, mut ticks: Vec<Tick>) -> Vec<Tick> {
        for tick in &mut ticks {
            tick.at = self.place(tick.at);
        }
        ticks
    }

    /// The place in the document of a unit of the body.
    pub(super) fn place(&self, unit: usize) -> usize {
        unit + self.doubles.partition_point(|double| double.before <= unit)
    }
}
