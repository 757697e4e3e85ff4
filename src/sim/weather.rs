//! What a call to a remote meets.

use std::{io, time::Duration};

use super::Dice;
use crate::remote::RemoteError;

/// How bad it is, in parts of a hundred calls.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weather {
    /// Nobody is reached.
    offline: u64,
    /// Errors such as 500.
    busy: u64,
    /// 429 and 503 that say when to come back.
    slow_down: u64,
    /// Half a minute passes, and then nobody knows whether it took effect.
    timeout: u64,
    /// It took effect, perhaps twice, and the answer is lost.
    lost_answer: u64,
    /// A body breaks off.
    cut: u64,
    /// 403.
    denied: u64,
    /// Images are too much for it: it takes none of so many.
    images: u64,
}

/// What a call meets.
#[derive(Debug)]
pub(super) enum Fate {
    /// Nothing bad.
    Well,
    /// It has no effect.
    Fails(RemoteError),
    /// It takes effect, and nobody hears of it.
    Lost(RemoteError),
    /// A body breaks off after so many bytes.
    Cut(usize),
}

impl Weather {
    pub(super) const OFFLINE: Self = Self {
        offline: 100,
        busy: 0,
        slow_down: 0,
        timeout: 0,
        lost_answer: 0,
        cut: 0,
        denied: 0,
        images: 0,
    };

    pub(super) const NO_IMAGES: Self = Self { offline: 0, images: 100, ..Self::OFFLINE };

    pub(super) fn any(dice: &mut Dice) -> Self {
        let calm = Self::default();
        match dice.below(10) {
            0 | 1 => calm,
            6 => Self { offline: 45, timeout: 10, ..calm },
            4 | 7 | 8 => Self { images: 85, ..calm },
            2 => Self::OFFLINE,
            3 => Self { slow_down: 30, timeout: 10, ..calm },
            5 => Self { offline: 3, busy: 5, lost_answer: 5, cut: 5, timeout: 2, ..calm },
            _ => Self {
                offline: 10,
                busy: 15,
                slow_down: 5,
                timeout: 5,
                lost_answer: 10,
                cut: 10,
                denied: 2,
                images: 20,
            },
        }
    }

    /// What the next call meets, and how long that takes.
    pub(super) fn throw(self, is_image: bool, dice: &mut Dice) -> (Fate, Duration) {
        let latency = Duration::from_millis(dice.below(2000));
        let source = |what: &'static str| io::Error::other(what).into();
        if is_image && dice.percent(self.images) {
            let error = RemoteError::Busy { retry_after: None, source: source("simulated: 500") };
            return (Fate::Fails(error), latency);
        }
        let mut throw = dice.below(100);
        let mut falls = |part: u64| {
            let here = throw < part;
            throw = throw.saturating_sub(part);
            here
        };
        let fate = if falls(self.offline) {
            Fate::Fails(RemoteError::Offline { source: source("simulated: no route") })
        } else if falls(self.busy) {
            Fate::Fails(RemoteError::Busy { retry_after: None, source: source("simulated: 500") })
        } else if falls(self.slow_down) {
            let retry_after = Some(Duration::from_secs(1 + dice.below(90)));
            Fate::Fails(RemoteError::Busy { retry_after, source: source("simulated: 503") })
        } else if falls(self.denied) {
            Fate::Fails(RemoteError::Denied { source: source("simulated: 403") })
        } else if falls(self.lost_answer) {
            Fate::Lost(RemoteError::Offline { source: source("simulated: no answer") })
        } else if falls(self.timeout) {
            let error = RemoteError::Offline { source: source("simulated: timed out") };
            let fate = if dice.percent(50) { Fate::Lost(error) } else { Fate::Fails(error) };
            return (fate, Duration::from_secs(30));
        } else if falls(self.cut) {
            Fate::Cut(dice.index(400))
        } else {
            Fate::Well
        };
        (fate, latency)
    }
}
