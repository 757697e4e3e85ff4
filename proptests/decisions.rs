//! Decisions of upload and sync: pure functions, so every case can be had.

use std::{collections::BTreeMap, time::Duration};

use everleaf::{
    clock::Timestamp,
    event::{ChangeBytes, Event},
    id::{DeviceId, ImageId, NoteId, SegmentHash, Seq},
    projection::{
        outbox::{Queued, ROUND, Stage},
        receipts::Chain,
    },
    segment::{Head, Item, TARGET},
    sync::{self, Reading, readings},
    upload::{
        self, Candidate, Outcome, PARALLEL, PARALLEL_SMALL, SMALL_TOGETHER, Start, State, Width,
        backoff, is_to_be_put, plan,
    },
};
use proptest::{collection::vec, option, prelude::*};

fn time() -> impl Strategy<Value = Timestamp> {
    (0..10_000_000_i64).prop_map(Timestamp)
}

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![
        option::of(time()).prop_map(|retry_at| Stage::Queued { retry_at }),
        Just(Stage::Started),
        time().prop_map(|retry_at| Stage::Failed { retry_at }),
        Just(Stage::Blocked),
        time().prop_map(|at| Stage::Uploaded { at, already_there: false }),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    (any::<[u8; 32]>(), stage(), 0..ROUND, any::<[bool; 4]>()).prop_map(
        |(image, stage, attempt, [note_pushed, in_flight, unanswered, is_linked])| {
            let (attempts, rounds, error) = (attempt, 0, None);
            Candidate {
                image: ImageId::from_bytes(image),
                upload: Queued { stage, attempt, attempts, rounds, error, unanswered },
                note_pushed,
                in_flight,
                is_linked,
            }
        },
    )
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Nothing is begun before its time, twice, or before its note; and everything that is neither
    /// done nor in need of a person is either due, on its way, waiting for its note, or has a time.
    #[test]
    fn what_is_due_is_begun_and_what_is_not_has_its_time(
        candidates in vec(candidate(), 0..20),
        now in time(),
    ) {
        let plan = plan(&candidates, now);
        for candidate in &candidates {
            let start = plan.due.iter().find(|start| start.image == candidate.image);
            // What the remote shows spares a put only where none was cut off, or another device has a receipt.
            let doubted = candidate.upload.unanswered && !candidate.is_linked;
            prop_assert!(start.is_none_or(|start| start.anyway == doubted));
            let due = start.is_some();
            match candidate.state() {
                State::Waiting | State::Uploading | State::Blocked | State::Uploaded => {
                    prop_assert!(!due);
                }
                State::Pending | State::Failed => {
                    let at = match candidate.upload.stage {
                        Stage::Queued { retry_at } => retry_at,
                        Stage::Failed { retry_at } => Some(retry_at),
                        _ => None,
                    };
                    // A time beyond the longest wait was set by a clock that was wrong.
                    let later = at.filter(|at| *at > now && *at <= now.plus(Duration::from_hours(1)));
                    prop_assert_eq!(due, later.is_none());
                    if let Some(at) = later {
                        prop_assert!(plan.next.is_some_and(|next| now < next && next <= at));
                    }
                }
            }
        }
    }

    /// Backoff never fires early and never sleeps for ever.
    #[test]
    fn backoff_is_bounded(attempt in 1..100_u32, rounds in any::<u32>(), fraction in 0.0..1.0_f64) {
        let delay = backoff(attempt, rounds, fraction);
        prop_assert!(delay <= Duration::from_hours(1));
        if attempt < ROUND {
            prop_assert!(delay <= Duration::from_secs(4));
        }
    }

    /// However often an upload fails, whatever the clock is set to meanwhile: it is begun again, never
    /// before its time, and never more than an hour after the remote could have taken it.
    #[test]
    fn an_upload_that_fails_again_and_again_is_never_early_and_never_given_up(
        failures in vec((option::of(0..20_000_u64), 0.0..1.0_f64, any::<bool>()), 1..30),
        back in option::of(0..100_000_000_i64),
    ) {
        let image = ImageId::from_bytes([1; 32]);
        let upload = Queued {
            stage: Stage::Queued { retry_at: None },
            attempt: 0,
            attempts: 0,
            rounds: 0,
            error: None,
            unanswered: false,
        };
        let (note_pushed, in_flight, is_linked) = (true, false, false);
        let mut candidate = Candidate { image, upload, note_pushed, in_flight, is_linked };
        let mut now = Timestamp(1_000_000_000);
        for (wait, fraction, unreachable) in failures {
            let begun = plan(std::slice::from_ref(&candidate), now);
            prop_assert_eq!(begun.due.len(), 1, "it is due when it was said to be");
            let wait = wait.map(Duration::from_secs);
            let outcome = if unreachable {
                Outcome::Unreachable("offline".into())
            } else {
                Outcome::Failed { reason: "busy".into(), wait }
            };
            let failed = upload::record("r".parse().unwrap(), begun.due[0], outcome, now, fraction);
            let Event::UploadFailed { attempt, retry_at, .. } = failed else { panic!("{failed:?}") };
            prop_assert_eq!(attempt == 0, unreachable, "being offline uses up no attempt");
            let ends = attempt == ROUND;
            candidate.upload.attempt = match attempt {
                0 => candidate.upload.attempt,
                _ if ends => 0,
                attempt => attempt,
            };
            candidate.upload.rounds += u32::from(ends);
            candidate.upload.stage = Stage::Failed { retry_at };
            let hour = now.plus(Duration::from_hours(1));
            prop_assert!(retry_at >= now && retry_at <= hour);
            if retry_at > now {
                for early in [now, Timestamp(retry_at.0 - 1)] {
                    let plan = plan(std::slice::from_ref(&candidate), early);
                    prop_assert_eq!((plan.due, plan.next), (vec![], Some(retry_at)));
                }
            }
            now = retry_at;
        }
        // A clock that was set back makes nobody wait for the time that it showed before.
        let then = Timestamp(now.0 - back.unwrap_or(0));
        let plan = plan(&[candidate], then);
        let hour = then.plus(Duration::from_hours(1));
        prop_assert!(!plan.due.is_empty() || plan.next.is_some_and(|next| next <= hour));
    }

    /// Whatever sizes images have and in whichever order they arrive: all set out; eight may be of any
    /// size, and more only where all have little together; where the caller says how many, it is so many.
    #[test]
    fn many_images_are_on_their_way_only_where_they_are_small(
        sizes in vec(prop_oneof![0..200_000_u64, 0..2 * SMALL_TOGETHER, Just(u64::MAX)], 0..100),
        parallel in option::of(0..40_usize),
        arrivals in vec(any::<proptest::sample::Index>(), 100),
    ) {
        let width = Width::new(parallel);
        let any = parallel.map_or(PARALLEL, |parallel| parallel.max(1));
        let most = parallel.map_or(PARALLEL_SMALL, |_| any);
        let mut on_their_way: Vec<u64> = Vec::new();
        let mut arrivals = arrivals.into_iter();
        for next in sizes {
            let total = |sizes: &[u64]| sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
            while !width.admits(on_their_way.len(), total(&on_their_way), next) {
                prop_assert!(on_their_way.len() >= any);
                let arrived = arrivals.next().unwrap().index(on_their_way.len());
                on_their_way.swap_remove(arrived);
            }
            on_their_way.push(next);
            prop_assert!(on_their_way.len() <= most);
            prop_assert!(
                on_their_way.len() <= any || parallel.is_none() && total(&on_their_way) <= SMALL_TOGETHER
            );
        }
    }

    /// A remote that asks for patience gets it, within the hour.
    #[test]
    fn a_failed_attempt_is_tried_again_within_the_hour(
        attempt in 1..=ROUND,
        rounds in 0..50_u32,
        wait in option::of(0..100_000_u64),
        now in time(),
        fraction in 0.0..1.0_f64,
    ) {
        let wait = wait.map(Duration::from_secs);
        let start = Start { image: ImageId::from_bytes([1; 32]), attempt, rounds, anyway: false };
        let outcome = Outcome::Failed { reason: "busy".into(), wait };
        let event = upload::record("origin".parse().unwrap(), start, outcome, now, fraction);
        let Event::UploadFailed { retry_at, .. } = event else { panic!("{event:?}") };
        prop_assert!(retry_at >= now && retry_at <= now.plus(Duration::from_hours(1)));
        if let Some(wait) = wait {
            prop_assert!(retry_at >= now.plus(wait.min(Duration::from_hours(1))));
        }
    }

    /// Cutting keeps every item in its order, and every receipt covers just what was cut.
    #[test]
    fn a_cut_loses_nothing(sizes in vec(0..(TARGET / 2), 0..30)) {
        let items: Vec<(Seq, Item)> = sizes
            .iter()
            .zip(1..)
            .map(|(size, seq)| {
                let change = ChangeBytes(vec![0; *size]);
                let note = NoteId::from_bytes([2; 16]);
                (Seq(seq), Item::Change { note, change, projector: false })
            })
            .collect();
        let cuts = sync::cut(items.clone());
        let joined: Vec<Item> = cuts.iter().flat_map(|cut| cut.items.clone()).collect();
        let expected: Vec<Item> = items.iter().map(|(_, item)| item.clone()).collect();
        prop_assert_eq!(joined, expected);
        let mut through = 0;
        for cut in &cuts {
            prop_assert!(cut.items.len() == 1 || cut.items.iter().map(Item::size).sum::<usize>() <= TARGET);
            through += cut.items.len() as u64;
            prop_assert_eq!(cut.through, Seq(through));
        }
        prop_assert_eq!(sync::cut(items), cuts);
    }
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn hash(n: u8) -> SegmentHash {
    SegmentHash::from_bytes([n; 32])
}

fn head(seq: u64, n: u8) -> Head {
    Head { seq, hash: Some(hash(n)), name: String::new() }
}

fn chain(seq: u64, n: u8) -> Chain {
    Chain { seq, hashes: vec![hash(n)] }
}

#[test]
fn everybody_is_read_from_some_segments_before_the_last_on() {
    let heads = BTreeMap::from([(device(1), head(3, 3)), (device(3), head(1, 1))]);
    let known = BTreeMap::from([
        (device(1), chain(3, 3)),
        (device(2), chain(40, 4)),
        (device(4), Chain::default()),
    ]);
    let reading = |n, from, head| Reading { device: device(n), from, head };
    // The second has lost its head: what it had pushed may be gone too.
    let expected =
        [reading(1, 1, Some(3)), reading(2, 25, None), reading(3, 1, Some(1)), reading(4, 1, None)];
    assert_eq!(readings(&heads, &known), expected);
}

#[test]
fn a_url_is_put_where_none_is_or_where_this_remote_had_another_base() {
    let former = ["https://old.example/".to_owned()];
    let wanted = "https://new.example/images/a.png";
    assert!(is_to_be_put(None, wanted, &[]));
    assert!(is_to_be_put(Some("https://old.example/images/a.png"), wanted, &former));
    assert!(!is_to_be_put(Some(wanted), wanted, &former));
    // What somebody else's remote gave stays: two devices would replace it in turns for ever.
    assert!(!is_to_be_put(Some("https://other.example/images/a.png"), wanted, &former));
    assert!(!is_to_be_put(Some("https://old.example.org/images/a.png"), wanted, &former));
}

/// A note that came whole is one event with many changes: no receipt speaks of it before all are put.
#[test]
fn a_receipt_covers_an_event_once_all_of_it_is_put() {
    let change = |bytes: usize| Item::Change {
        note: everleaf::id::NoteId::from_bytes([1; 16]),
        change: everleaf::event::ChangeBytes(vec![0; bytes]),
        projector: false,
    };
    let large = TARGET / 2;
    let items = [(3, 9), (5, large), (5, large), (5, large), (5, 9), (8, 9)];
    let cuts = sync::cut(items.map(|(seq, bytes)| (Seq(seq), change(bytes))));
    let shape: Vec<_> = cuts.iter().map(|cut| (cut.items.len(), cut.through.0)).collect();
    assert_eq!(shape, [(2, 4), (1, 4), (3, 8)]);
}

#[test]
fn a_checkpoint_is_due_where_segments_outweigh_the_last() {
    for (segments, last, minimum, left) in [
        (0, 0, 100, 100),
        (99, 0, 100, 1),
        (100, 0, 100, 0),
        (100, 101, 100, 1),
        (500, 101, 100, 0),
    ] {
        assert_eq!(sync::until_checkpoint(segments, last, minimum), left);
    }
}
