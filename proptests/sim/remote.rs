//! A remote that keeps its contract and is hostile within it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use everleaf::id::ImageId;
use everleaf::remote::{
    After, Download, Key, Memory, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload,
};
use futures_util::{StreamExt as _, stream};

use super::Dice;

/// How bad it is, in parts of a hundred calls.
#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    offline: u64,
    busy: u64,
    lost_answer: u64,
    cut: u64,
    denied: u64,
}

#[derive(Debug)]
struct Shared {
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    weather: Weather,
    calm: bool,
    old: Vec<BTreeMap<String, Bytes>>,
}

/// The remote, its weather, and old copies of it.
#[derive(Debug)]
pub(crate) struct Hostile(Arc<Shared>);

impl Hostile {
    pub(crate) fn new(dice: Dice) -> Self {
        let state = State { dice, weather: Weather::default(), calm: false, old: Vec::new() };
        Self(Arc::new(Shared { memory: Memory::with_page(3), state: Mutex::new(state) }))
    }

    /// What devices talk to.
    pub(crate) fn handle(&self) -> Arc<dyn Remote> {
        Arc::new(Handle(Arc::clone(&self.0)))
    }

    /// The same without malice.
    pub(crate) fn calm(&self) -> Arc<dyn Remote> {
        Arc::new(self.0.memory.clone())
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.0.memory.snapshot()
    }

    /// The images that it holds.
    pub(crate) fn images(&self) -> BTreeSet<ImageId> {
        let names = self.objects().into_keys();
        let images = names.filter_map(|name| match name.parse() {
            Ok(Key::Image { image, .. }) => Some(image),
            _ => None,
        });
        images.collect()
    }

    /// No more malice from now on.
    pub(crate) fn heal(&self) {
        self.0.state.lock().unwrap().calm = true;
    }

    pub(crate) fn change_weather(&self) {
        let mut state = self.0.state.lock().unwrap();
        let old = self.0.memory.snapshot();
        state.old.push(old);
        if state.old.len() > 4 {
            state.old.remove(0);
        }
        let dice = &mut state.dice;
        let weather = match dice.below(4) {
            0 => Weather::default(),
            1 => Weather { offline: 100, ..Weather::default() },
            2 => Weather { offline: 3, busy: 5, lost_answer: 5, cut: 5, denied: 0 },
            _ => Weather { offline: 10, busy: 20, lost_answer: 10, cut: 10, denied: 2 },
        };
        state.weather = weather;
    }

    pub(crate) fn describe(&self) -> String {
        format!("the weather changes: {:?}", self.0.state.lock().unwrap().weather)
    }

    pub(crate) fn wipe(&self) {
        self.0.memory.restore(BTreeMap::new());
    }

    /// Puts an old copy of everything back, if there is one.
    pub(crate) fn put_back(&self, dice: &mut Dice) -> bool {
        let old = dice.pick(&self.0.state.lock().unwrap().old).cloned();
        old.is_some_and(|old| {
            self.0.memory.restore(old);
            true
        })
    }
}

/// What a call meets.
enum Fate {
    Well,
    Fails(RemoteError),
    /// It takes effect, and nobody hears of it.
    Lost(RemoteError),
    /// A body breaks off after so many bytes.
    Cut(usize),
}

#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Handle {
    async fn fate(&self) -> Fate {
        let (fate, delay) = {
            let mut state = self.0.state.lock().unwrap();
            if state.calm { (Fate::Well, 0) } else { state.throw() }
        };
        for _ in 0..delay {
            tokio::task::yield_now().await;
        }
        fate
    }
}

impl State {
    fn throw(&mut self) -> (Fate, u64) {
        let Weather { offline, busy, lost_answer, cut, denied } = self.weather;
        let delay = self.dice.below(4);
        let source = || io::Error::other("simulated").into();
        let mut throw = self.dice.below(100);
        let mut falls = |part: u64| {
            let here = throw < part;
            throw = throw.saturating_sub(part);
            here
        };
        let fate = if falls(offline) {
            Fate::Fails(RemoteError::Offline { source: source() })
        } else if falls(busy) {
            Fate::Fails(RemoteError::Busy { retry_after: None, source: source() })
        } else if falls(denied) {
            Fate::Fails(RemoteError::Denied { source: source() })
        } else if falls(lost_answer) {
            Fate::Lost(RemoteError::Offline { source: source() })
        } else if falls(cut) {
            Fate::Cut(usize::try_from(self.dice.below(400)).unwrap())
        } else {
            Fate::Well
        };
        (fate, delay)
    }
}

#[async_trait]
impl Remote for Handle {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well => self.0.memory.get(key).await,
            Fate::Cut(after) => {
                let Download { size, mut body } = self.0.memory.get(key).await?;
                let mut bytes = Vec::new();
                while let Some(piece) = body.next().await.transpose()? {
                    bytes.extend_from_slice(&piece);
                }
                if bytes.len() <= after {
                    return Ok(Bytes::from(bytes).into());
                }
                bytes.truncate(after);
                let broken = RemoteError::Offline { source: io::Error::other("cut").into() };
                let body = stream::iter([Ok(Bytes::from(bytes)), Err(broken)]).boxed();
                Ok(Download { size, body })
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well | Fate::Cut(_) => self.0.memory.head(key).await,
        }
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        match self.fate().await {
            Fate::Fails(error) => Err(error),
            Fate::Lost(error) => {
                // Some that are lost arrive twice.
                self.0.memory.put(key, body.clone()).await?;
                self.0.memory.put(key, body).await?;
                Err(error)
            }
            Fate::Well | Fate::Cut(_) => self.0.memory.put(key, body).await,
        }
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well | Fate::Cut(_) => self.0.memory.list(prefix, after).await,
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        match self.fate().await {
            Fate::Fails(error) => Err(error),
            Fate::Lost(error) => {
                self.0.memory.delete(key).await?;
                Err(error)
            }
            Fate::Well | Fate::Cut(_) => self.0.memory.delete(key).await,
        }
    }
}
