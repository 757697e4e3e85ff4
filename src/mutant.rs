//! Small wrong versions of the code, so that tests can show that the simulator notices them: a model
//! that can't fail proves nothing.
//!
//! Where one would differ, the code asks [`is`]. Without the feature `sim` the answer is `false` before
//! the program runs, and nothing is left of it. With the feature, a mutant is alive on one thread and
//! on those that inherit it, never in the whole process: tests run side by side.

/// A wrong version of the code, and the promise that it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// 1: an edit is acknowledged when it is in this process's memory.
    AcknowledgesUnwritten,
    /// 1: an edit of an old version is made of the present one, and takes away what came meanwhile.
    EditOverwrites,
    /// 1: an import does not remember what it is about to take in.
    ImportsUnannounced,
    /// 2: an import that meets an edited file makes another note of it.
    ImportMakesCopies,
    /// 2: an export does not remember what it is about to write.
    ExportsUnannounced,
    /// 2: a segment is read without asking whether it follows the one before it, and none that comes late is.
    PreviousUnchecked,
    /// 3: the URL of an image is written into the text.
    UrlAsText,
    /// 4: an image is put without asking whether it is there.
    PutsWithoutAsking,
    /// 4: the key of an image has the extension that its file was written with.
    KeyByWrittenName,
    /// 5: a URL is put into notes before the receipt.
    SwapBeforeReceipt,
    /// 6: clearing away local images ignores receipts.
    EvictsUnproved,
    /// 6: an image is said to be here before its bytes are.
    EventBeforeBytes,
    /// 7: the receipt of a segment is written before the segment is put.
    ReceiptBeforePut,
    /// 7: an image counts as uploaded once somebody means to upload it.
    StatusFromIntention,
    /// 7: segments are read from the one after the last that was read, so that nobody sees that it is gone.
    ReadsPastLast,
    /// 7: how far the log is folded is committed apart from what was folded.
    CursorApart,
    /// 8: an upload that failed is not tried again.
    NeverRetries,
    /// 8: what is gone from the remote is looked for in every sync.
    LooksForEver,
    /// 9: changes that seem to come from the future are passed over.
    SkipsFuture,
    /// 9: the time of the next attempt is believed, whatever the clock was.
    TrustsRetryTime,
    /// 10: every opening of a vault edits under one actor, copies too.
    ActorReused,
    /// 10: what somebody else wrote under our id is taken for our own.
    ForgetsTwins,
    /// 10: what a twin put is not looked for once others have read past its number.
    PassesLate,
    /// 11: a remote that lost what it had confirmed is not told it again.
    ForgetsLoss,
    /// 11: a checkpoint leaves out the last change of each note, and says that it has all.
    CheckpointLags,
    /// 12: every sync tells the others that there is news.
    BeatsAlways,
    /// 12: every sync lists what is there.
    ListsAlways,
}

impl Mutant {
    /// All of them, by the promises that they break.
    pub const ALL: [Self; 27] = [
        Self::AcknowledgesUnwritten,
        Self::EditOverwrites,
        Self::ImportsUnannounced,
        Self::ImportMakesCopies,
        Self::ExportsUnannounced,
        Self::PreviousUnchecked,
        Self::UrlAsText,
        Self::PutsWithoutAsking,
        Self::KeyByWrittenName,
        Self::SwapBeforeReceipt,
        Self::EvictsUnproved,
        Self::EventBeforeBytes,
        Self::ReceiptBeforePut,
        Self::StatusFromIntention,
        Self::ReadsPastLast,
        Self::CursorApart,
        Self::NeverRetries,
        Self::LooksForEver,
        Self::SkipsFuture,
        Self::TrustsRetryTime,
        Self::ActorReused,
        Self::ForgetsTwins,
        Self::PassesLate,
        Self::ForgetsLoss,
        Self::CheckpointLags,
        Self::BeatsAlways,
        Self::ListsAlways,
    ];

    /// The number of the promise that it breaks.
    #[must_use]
    pub const fn promise(self) -> u8 {
        match self {
            Self::AcknowledgesUnwritten | Self::EditOverwrites | Self::ImportsUnannounced => 1,
            Self::ImportMakesCopies | Self::ExportsUnannounced | Self::PreviousUnchecked => 2,
            Self::UrlAsText => 3,
            Self::PutsWithoutAsking | Self::KeyByWrittenName => 4,
            Self::SwapBeforeReceipt => 5,
            Self::EvictsUnproved | Self::EventBeforeBytes => 6,
            Self::ReceiptBeforePut
            | Self::StatusFromIntention
            | Self::ReadsPastLast
            | Self::CursorApart => 7,
            Self::NeverRetries | Self::LooksForEver => 8,
            Self::SkipsFuture | Self::TrustsRetryTime => 9,
            Self::ActorReused | Self::ForgetsTwins | Self::PassesLate => 10,
            Self::ForgetsLoss | Self::CheckpointLags => 11,
            Self::BeatsAlways | Self::ListsAlways => 12,
        }
    }
}

#[cfg(feature = "sim")]
thread_local! {
    static ALIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// Whether this mutant is alive here.
#[cfg(feature = "sim")]
#[must_use]
pub fn is(mutant: Mutant) -> bool {
    ALIVE.get() == Some(mutant)
}

/// Whether this mutant is alive here: none is, without the feature `sim`.
#[cfg(not(feature = "sim"))]
#[must_use]
pub const fn is(_: Mutant) -> bool {
    false
}

/// Has a mutant live on this thread, or none.
#[cfg(feature = "sim")]
pub(crate) fn set(mutant: Option<Mutant>) {
    ALIVE.set(mutant);
}

/// What a thread is to run, with the mutant of the one that starts it.
#[cfg(feature = "sim")]
pub(crate) fn inherited<T>(run: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let mutant = ALIVE.get();
    move || {
        set(mutant);
        run()
    }
}

/// What a thread is to run.
#[cfg(not(feature = "sim"))]
pub(crate) const fn inherited<F>(run: F) -> F {
    run
}
