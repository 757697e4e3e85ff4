//! The only source of time and randomness: passed in, so that tests decide both.

use std::{
    fmt,
    pin::Pin,
    str::FromStr,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970 by some device's wall clock. Shown to people; orders nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time and `duration` more.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero where it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Milliseconds since 1970; 0 for times before.
    #[must_use]
    pub fn millis(self) -> u64 {
        u64::try_from(self.0).unwrap_or(0)
    }
}

/// RFC 3339 in UTC, to the second; a time that no calendar holds shows as its number.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{}", time.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

/// What [`Timestamp`]'s `Display` writes, read again.
impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let error = || ParseTimestampError(text.chars().take(40).collect());
        if let Some(millis) = text.strip_suffix(" ms") {
            return millis.parse().map(Self).map_err(|_| error());
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        Ok(Self(time.as_millisecond()))
    }
}

/// A text that is no time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: write it as in 2026-01-31T12:00:00Z")]
pub struct ParseTimestampError(String);

/// Times as text in JSON that people read, as `Display` writes them: `#[serde(with = "as_text")]`. Elsewhere they are
/// the number that they are, so that none of it is lost.
pub mod as_text {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use super::Timestamp;

    /// Writes a time.
    ///
    /// # Errors
    ///
    /// What the serializer says.
    pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(at)
    }

    /// Reads a time.
    ///
    /// # Errors
    ///
    /// Where it is none.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }

    /// The same for times that may be none.
    pub mod optional {
        use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

        use super::Timestamp;

        /// Writes a time, or that there is none.
        ///
        /// # Errors
        ///
        /// What the serializer says.
        pub fn serialize<S: Serializer>(
            at: &Option<Timestamp>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match at {
                Some(at) => serializer.collect_str(at),
                None => serializer.serialize_none(),
            }
        }

        /// Reads a time, or that there is none.
        ///
        /// # Errors
        ///
        /// Where it is neither.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(deserializer)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}

/// What the library asks for time and randomness.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with randomness fit for keys.
    fn fill(&self, bytes: &mut [u8]);

    /// Waits.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// `N` random bytes.
pub fn random<const N: usize>(clock: &dyn Clock) -> [u8; N] {
    let mut bytes = [0; N];
    clock.fill(&mut bytes);
    bytes
}

/// A random fraction in `0.0 .. 1.0`, for jitter.
pub fn fraction(clock: &dyn Clock) -> f64 {
    f64::from(u32::from_le_bytes(random(clock))) / (f64::from(u32::MAX) + 1.0)
}

/// The machine's clock and the operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let millis = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        };
        Timestamp(millis)
    }

    /// # Panics
    ///
    /// Where the operating system has no randomness to give: no key may be made there.
    #[expect(clippy::expect_used, reason = "a key made without randomness would be worse")]
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the operating system gives randomness");
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A clock that a test moves, with randomness that a seed determines.
#[derive(Debug)]
pub struct SimulatedClock(Mutex<Simulated>);

#[derive(Debug)]
struct Simulated {
    now: Timestamp,
    random: blake3::OutputReader,
}

impl SimulatedClock {
    /// A clock that stands at `now`; equal seeds give equal randomness.
    #[must_use]
    pub fn new(now: Timestamp, seed: u64) -> Self {
        let random = blake3::Hasher::new_derive_key("everleaf simulated randomness")
            .update(&seed.to_le_bytes())
            .finalize_xof();
        Self(Mutex::new(Simulated { now, random }))
    }

    /// Moves it forward.
    pub fn advance(&self, by: Duration) {
        let mut clock = self.lock();
        clock.now = clock.now.plus(by);
    }

    /// Sets it, forward or back.
    pub fn set(&self, now: Timestamp) {
        self.lock().now = now;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Simulated> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.lock().random.fill(bytes);
    }

    /// Moves the clock forward and waits for nothing.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.advance(duration);
        Box::pin(tokio::task::yield_now())
    }
}
