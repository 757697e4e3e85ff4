//! From two bodies to the least that must be done to a document.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    construct::hunks,
    diff::{self, Grain, Hunk},
    embed::{Body, Embed, FOREIGN, Piece},
    layout::{Layout, Segment, Show},
};

/// What takes the place of `delete` units of a body at `at`; a unit is a code point or an embed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Splice {
    pub(super) at: usize,
    pub(super) delete: usize,
    pub(super) insert: Body,
}

/// Whether what made `made` of `base` still stands in `now`: nothing that came later touched it.
pub(super) fn stands(base: &Body, made: &Body, now: &Body) -> bool {
    let later = splices_as(made, now, Grain::Close);
    let is_touched = |ours: &Splice| {
        let end = ours.at + ours.delete;
        later.iter().any(|other| {
            let other_end = other.at + other.delete;
            if ours.delete == 0 {
                // Something went, and is nowhere; what comes there may be what went.
                other.at <= end && ours.at <= other_end
            } else {
                other.at < end && ours.at < other_end
            }
        })
    };
    !splices_as(made, base, Grain::Close).iter().any(is_touched)
}

/// The splices that make a body of `base` that shows as `new` does, in order and apart from one another.
///
/// Text that only repeats an image for embeds side by side is no text of the document, and stays none
/// while it is as it was. What was edited becomes text.
pub(super) fn splices(base: &Body, new: &Body) -> Vec<Splice> {
    splices_as(base, new, Grain::Meant)
}

fn splices_as(base: &Body, new: &Body, grain: Grain) -> Vec<Splice> {
    if base == new {
        return Vec::new();
    }
    if let (Some(before), Some(after)) = (base.plain(), new.plain()) {
        let of_text = |diff::Splice { range, text }: diff::Splice| {
            let insert = Body::new([Piece::Text(text)]);
            Splice { at: range.start, delete: range.len(), insert }
        };
        return grain.splices(before, after).into_iter().map(of_text).collect();
    }
    if base.pieces().is_empty() && Layout::of(new, false).segments.iter().all(|s| s.copy.is_none())
    {
        return vec![Splice { at: 0, delete: 0, insert: new.clone() }];
    }
    let mut known = Known::default();
    let before = Tokens::of(&Layout::of(base, false), &mut known);
    let after = Tokens::of(&Layout::of(new, false), &mut known);
    let hunks = hunks(&before.ids, &after.ids, grain, |id| known.name(id));
    if hunks.is_empty() {
        return Vec::new();
    }
    if before.repeated.is_empty() {
        return hunks
            .into_iter()
            .map(|hunk| Splice {
                at: hunk.before.start,
                delete: hunk.before.len(),
                insert: known.body(after.ids.get(hunk.after).unwrap_or_default()),
            })
            .collect();
    }
    let edited = before.edited(&hunks);
    let plan = before.plan(&hunks, &after.ids, &edited, &known);
    // Where an edit beside repeated text changes what would be repeated, all of that becomes text.
    if Tokens::of(&Layout::of(&spliced(base, &plan), false), &mut known).ids == after.ids {
        return plan;
    }
    let all = before.repeated.values().copied().collect();
    before.plan(&hunks, &after.ids, &all, &known)
}

/// `body` after `splices`.
pub(super) fn spliced(body: &Body, splices: &[Splice]) -> Body {
    let mut known = Known::default();
    let units = known.units(body);
    let (mut result, mut at) = (Body::default(), 0);
    for splice in splices {
        known.extend(&mut result, units.get(at..splice.at).unwrap_or_default());
        for piece in splice.insert.pieces() {
            result.push(piece.clone());
        }
        at = splice.at + splice.delete;
    }
    known.extend(&mut result, units.get(at..).unwrap_or_default());
    result
}

/// The tokens of embeds: numbers above all code points.
#[derive(Debug, Default)]
struct Known {
    ids: HashMap<Embed, u32>,
    embeds: Vec<Embed>,
}

const FIRST_EMBED: u32 = char::MAX as u32 + 1;

impl Known {
    fn id(&mut self, embed: &Embed) -> u32 {
        if let Some(id) = self.ids.get(embed) {
            return *id;
        }
        let id = FIRST_EMBED.saturating_add(u32::try_from(self.embeds.len()).unwrap_or(u32::MAX));
        self.ids.insert(embed.clone(), id);
        self.embeds.push(embed.clone());
        id
    }

    fn embed(&self, id: u32) -> Option<&Embed> {
        self.embeds.get(usize::try_from(id.checked_sub(FIRST_EMBED)?).ok()?)
    }

    fn name(&self, id: u32) -> Option<&str> {
        self.embed(id).map(|embed| embed.name.as_str())
    }

    fn units(&mut self, body: &Body) -> Vec<u32> {
        let mut units = Vec::new();
        for piece in body.pieces() {
            match piece {
                Piece::Text(text) => units.extend(text.chars().map(u32::from)),
                Piece::Embed(embed) => units.push(self.id(embed)),
                Piece::Foreign => units.push(FOREIGN.into()),
            }
        }
        units
    }

    fn body(&self, tokens: &[u32]) -> Body {
        let mut body = Body::default();
        self.extend(&mut body, tokens);
        body
    }

    fn extend(&self, body: &mut Body, tokens: &[u32]) {
        let mut text = String::new();
        for token in tokens {
            if let Some(character) = char::from_u32(*token) {
                text.push(character);
                continue;
            }
            body.push_text(&std::mem::take(&mut text));
            if let Some(embed) = self.embed(*token) {
                body.push(Piece::Embed(embed.clone()));
            }
        }
        body.push_text(&text);
    }
}

/// What a body shows as, token by token.
#[derive(Debug, Default)]
struct Tokens {
    ids: Vec<u32>,
    /// The place in the body of each token; kept only where there is repeated text.
    origins: Vec<Option<usize>>,
    /// The tokens of repeated images, and the place of the embed that each was repeated for.
    repeated: BTreeMap<usize, usize>,
    /// The places of embeds with markup that is repeated text around them, where they stand.
    bare: HashSet<usize>,
    /// The number of units of the body.
    units: usize,
}

impl Tokens {
    fn of(layout: &Layout<'_>, known: &mut Known) -> Self {
        let mut tokens = Self::default();
        for segment in &layout.segments {
            match &segment.show {
                Show::Text(text) => {
                    for (index, character) in text.chars().enumerate() {
                        tokens.push(character.into(), segment, index);
                    }
                }
                Show::Embed(embed, _) => tokens.push(known.id(embed), segment, 0),
                Show::Foreign => tokens.push(FOREIGN.into(), segment, 0),
            }
        }
        tokens
    }

    fn push(&mut self, id: u32, segment: &Segment<'_>, index: usize) {
        if let Some(copy) = segment.copy {
            self.repeated.insert(self.ids.len(), copy.embed);
            if copy.in_place {
                self.bare.insert(copy.embed);
            }
        }
        self.ids.push(id);
        self.origins.push(segment.origin.map(|origin| origin + index));
        self.units += usize::from(segment.origin.is_some());
    }

    /// The embeds whose repeated images are no longer as they were; those that went as a whole are none.
    fn edited(&self, hunks: &[Hunk]) -> HashSet<usize> {
        let mut total: HashMap<usize, usize> = HashMap::new();
        for copy in self.repeated.values() {
            *total.entry(*copy).or_default() += 1;
        }
        let (mut deleted, mut edited) = (HashMap::<usize, usize>::new(), HashSet::new());
        for hunk in hunks {
            for (_, copy) in self.repeated.range(hunk.before.clone()) {
                *deleted.entry(*copy).or_default() += 1;
            }
            let (before, behind) = (hunk.before.start.checked_sub(1), hunk.before.end);
            let before = before.and_then(|token| self.repeated.get(&token));
            if !hunk.after.is_empty() && before.is_some() && before == self.repeated.get(&behind) {
                edited.extend(before);
            }
        }
        edited.extend(
            deleted
                .into_iter()
                .filter(|(copy, gone)| total.get(copy) != Some(gone))
                .map(|(copy, _)| copy),
        );
        edited
    }

    /// The splices of `hunks`, where repeated images of the embeds in `edited` become text.
    fn plan(
        &self,
        hunks: &[Hunk],
        after: &[u32],
        edited: &HashSet<usize>,
        known: &Known,
    ) -> Vec<Splice> {
        let anchors = self.anchors();
        let mut changes: BTreeMap<usize, (Vec<u32>, bool)> = BTreeMap::new();
        let mut token = 0;
        for hunk in hunks.iter().map(Some).chain([None]) {
            let (start, end) = hunk.map_or((self.ids.len(), self.ids.len()), |hunk| {
                (hunk.before.start, hunk.before.end)
            });
            for kept in self.repeated.range(token..start).filter(|(_, copy)| edited.contains(copy))
            {
                let (kept, _) = kept;
                let anchor = anchors.get(*kept).copied().unwrap_or(self.units);
                changes.entry(anchor).or_default().0.extend(self.ids.get(*kept));
                if let Some(Some(origin)) = self.origins.get(*kept) {
                    changes.entry(*origin).or_default().1 = true;
                }
            }
            if let Some(hunk) = hunk {
                let anchor = anchors.get(start).copied().unwrap_or(self.units);
                let inserted = after.get(hunk.after.clone()).unwrap_or_default();
                changes.entry(anchor).or_default().0.extend(inserted);
                for origin in self.origins.get(start..end).into_iter().flatten().flatten() {
                    changes.entry(*origin).or_default().1 = true;
                }
            }
            token = end;
        }
        gathered(changes, known)
    }

    /// For each token where in the body something before it belongs: before the next token that stands
    /// there in its own right.
    fn anchors(&self) -> Vec<usize> {
        let mut next = self.units;
        let mut anchors: Vec<usize> = (0..self.ids.len())
            .rev()
            .map(|token| {
                if let Some(Some(origin)) = self.origins.get(token)
                    && (!self.repeated.contains_key(&token) || self.bare.contains(origin))
                {
                    next = *origin;
                }
                next
            })
            .collect();
        anchors.reverse();
        anchors
    }
}

/// Insertions before, and deletions of, single units, as splices.
fn gathered(changes: BTreeMap<usize, (Vec<u32>, bool)>, known: &Known) -> Vec<Splice> {
    let mut splices: Vec<Splice> = Vec::new();
    for (at, (insert, delete)) in changes {
        let delete = usize::from(delete);
        if insert.is_empty() && delete == 0 {
            continue;
        }
        match splices.last_mut() {
            Some(last) if insert.is_empty() && last.at + last.delete == at => last.delete += delete,
            _ => splices.push(Splice { at, delete, insert: known.body(&insert) }),
        }
    }
    splices
}
