//! Wrong versions of the code, each of which the simulator has to notice.
//!
//! A mutant is caught when a history breaks the promise that the mutant is meant to break, and the
//! simulator names it. How many seeds that took is printed; the first of them is kept in the table, so
//! that these tests stay quick.

use everleaf::{
    mutant::Mutant,
    sim::{Settings, run},
};

/// How many seeds are tried, from the first on, unless `EVERLEAF_SEEDS` says otherwise.
const SEEDS: u64 = 12;

/// Tries seeds until one shows that the mutant breaks its promise.
fn is_caught(mutant: Mutant, first: u64, steps: usize, devices: Option<usize>) {
    let asked = std::env::var("EVERLEAF_SEEDS").ok().and_then(|number| number.parse().ok());
    let seeds = asked.unwrap_or(SEEDS);
    for seed in first..first + seeds {
        // Whether clocks or copies are the cause is asked only where they should be.
        let explain = matches!(mutant.promise(), 9 | 10);
        let mut settings = Settings { steps, explain, mutant: Some(mutant), ..Settings::of(seed) };
        settings.devices = devices.unwrap_or(settings.devices);
        let Err(broken) = run(&settings) else { continue };
        if broken.promises.contains(&mutant.promise()) {
            let unchanged = run(&Settings { mutant: None, ..settings });
            assert!(unchanged.is_ok(), "seed {seed} breaks a promise without {mutant:?}");
            let what: String =
                broken.what.lines().next().unwrap_or_default().chars().take(160).collect();
            let tried = seed - first + 1;
            eprintln!(
                "{mutant:?}: seed {seed}, {tried} tried, at step {}: {what}",
                broken.outcome.steps
            );
            return;
        }
    }
    panic!("{mutant:?} was not caught by {seeds} seeds from {first} on");
}

macro_rules! mutants {
    ($($test:ident: $mutant:ident, $first:literal, $steps:literal $(, $devices:literal)?;)*) => {
        $(
            #[test]
            fn $test() {
                let devices = [$($devices,)?].first().copied();
                is_caught(Mutant::$mutant, $first, $steps, devices);
            }
        )*

        #[test]
        fn every_mutant_and_every_promise_is_tried() {
            let tried = [$(Mutant::$mutant),*];
            assert!(Mutant::ALL.iter().all(|mutant| tried.contains(mutant)));
            let promises = 1..=12;
            assert!(promises.into_iter().all(|p| tried.iter().any(|mutant| mutant.promise() == p)));
        }
    };
}

mutants! {
    an_edit_acknowledged_before_it_is_written: AcknowledgesUnwritten, 0, 150;
    an_edit_that_overwrites: EditOverwrites, 0, 150;
    an_import_that_remembers_nothing: ImportsUnannounced, 8, 150;
    an_import_that_makes_copies: ImportMakesCopies, 0, 150;
    an_export_that_remembers_nothing: ExportsUnannounced, 52, 150;
    a_segment_that_follows_none: PreviousUnchecked, 1, 150;
    a_url_in_the_text: UrlAsText, 0, 150;
    an_image_put_twice: PutsWithoutAsking, 0, 150;
    a_key_by_the_written_name: KeyByWrittenName, 0, 150;
    a_url_before_the_receipt: SwapBeforeReceipt, 0, 150;
    a_cleanup_that_ignores_receipts: EvictsUnproved, 0, 150;
    an_event_before_its_bytes: EventBeforeBytes, 4, 150;
    a_receipt_before_the_put: ReceiptBeforePut, 0, 150;
    a_status_from_intention: StatusFromIntention, 0, 150;
    a_cursor_apart_from_its_state: CursorApart, 0, 150;
    an_upload_never_tried_again: NeverRetries, 0, 150;
    a_change_from_the_future: SkipsFuture, 0, 150;
    a_time_that_a_wrong_clock_set: TrustsRetryTime, 22, 150;
    an_actor_that_a_twin_has_too: ActorReused, 0, 150;
    a_twin_that_nobody_looks_for: ForgetsTwins, 2, 150;
    a_segment_beside_the_last: ReadsPastLast, 2, 150;
    a_line_of_a_twin_that_comes_late: PassesLate, 30462, 40, 2;
    a_loss_that_is_forgotten: ForgetsLoss, 0, 150;
    what_is_gone_and_always_looked_for: LooksForEver, 1, 150;
    a_heartbeat_in_every_sync: BeatsAlways, 0, 20;
    a_listing_in_every_sync: ListsAlways, 0, 20;
    a_checkpoint_that_lags: CheckpointLags, 0, 150;
}

/// `EVERLEAF_SEEDS=N`: for each mutant, how many of so many seeds catch it, and which is the first.
#[test]
#[ignore = "a survey, not a test"]
fn survey() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let (seeds, steps) = (number("EVERLEAF_SEEDS", 20), number("EVERLEAF_STEPS", 150));
    let only = std::env::var("EVERLEAF_MUTANT").ok();
    for mutant in Mutant::ALL {
        if only.as_ref().is_some_and(|only| *only != format!("{mutant:?}")) {
            continue;
        }
        let steps = usize::try_from(steps).unwrap();
        let (mut caught, mut first, mut other) = (0, None, Vec::new());
        for seed in 0..seeds {
            let settings = Settings { steps, mutant: Some(mutant), ..Settings::of(seed) };
            let Err(broken) = run(&settings) else { continue };
            let what: String =
                broken.what.lines().next().unwrap_or_default().chars().take(120).collect();
            if broken.promises.contains(&mutant.promise()) {
                caught += 1;
                first.get_or_insert((seed, broken.outcome.steps, what));
            } else {
                other.push((seed, broken.promises, what));
            }
        }
        eprintln!("{mutant:?}: {caught} of {seeds}; {first:?}; others: {other:?}");
    }
}
