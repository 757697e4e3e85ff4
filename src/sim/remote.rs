//! A remote that keeps its contract and is hostile within it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{
    Dice,
    replica::{File, Replica, arrive},
    weather::{Fate, Weather},
};
use crate::{
    clock::SimulatedClock,
    id::ImageId,
    remote::{After, Download, Key, Memory, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload},
};

/// Listings come in many pages.
const PAGE: usize = 3;
/// How many old copies are kept.
const COPIES: usize = 4;

/// What devices meet at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bucket that shows at once what was put.
    Bucket,
    /// A bucket whose listings lag behind what was put.
    Lagging,
    /// A folder that some program carries from device to device.
    Folder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "a bucket",
            Self::Lagging => "a bucket whose listings lag",
            Self::Folder => "a folder that is carried",
        })
    }
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    /// All that anybody put.
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    dice: Dice,
    weather: Weather,
    calm: bool,
    /// Devices without a network.
    cut_off: BTreeSet<usize>,
    old: Vec<BTreeMap<String, Bytes>>,
    /// Calls so far, and from which on an object is listed.
    calls: u64,
    hidden: BTreeMap<String, u64>,
    /// Calls until it loses something in the midst of a sync.
    looming: Option<u64>,
    /// Whether only the puts of segments count as such calls.
    looming_puts: bool,
    /// Whether it did, and nobody has heard of it.
    struck: bool,
    replicas: BTreeMap<usize, Replica>,
    versions: BTreeMap<String, u64>,
    seen: Seen,
}

/// What the remote saw.
#[derive(Debug, Default)]
struct Seen {
    /// Names of all objects that were ever there.
    ever: BTreeSet<String>,
    /// Segments that nobody has looked at.
    segments: Vec<(Key, Bytes)>,
    /// Images that were put in calm weather though they were there, and by whom.
    needless: Vec<(usize, ImageId)>,
}

/// The remote, its weather, and old copies of it.
#[derive(Debug)]
pub(super) struct Hostile(Arc<Shared>);

impl Hostile {
    pub(super) fn new(mut dice: Dice, hub: bool) -> Self {
        let kind = match dice.below(100) {
            // A hub stores in one place.
            _ if hub => Kind::Bucket,
            0..55 => Kind::Bucket,
            55..70 => Kind::Lagging,
            _ => Kind::Folder,
        };
        let state = State {
            dice,
            weather: Weather::default(),
            calm: false,
            cut_off: BTreeSet::new(),
            old: Vec::new(),
            calls: 0,
            hidden: BTreeMap::new(),
            looming: None,
            looming_puts: false,
            struck: false,
            replicas: BTreeMap::new(),
            versions: BTreeMap::new(),
            seen: Seen::default(),
        };
        Self(Arc::new(Shared { kind, memory: Memory::with_page(PAGE), state: Mutex::new(state) }))
    }

    pub(super) fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What a device talks to; its clock goes on meanwhile.
    pub(super) fn handle(&self, device: usize, clock: Arc<SimulatedClock>) -> Arc<dyn Remote> {
        Arc::new(Handle { shared: Arc::clone(&self.0), device, clock: Some(clock) })
    }

    /// The same without malice.
    pub(super) fn calm(&self, device: usize) -> Arc<dyn Remote> {
        Arc::new(Handle { shared: Arc::clone(&self.0), device, clock: None })
    }

    pub(super) fn objects(&self) -> BTreeMap<String, Bytes> {
        self.0.memory.snapshot()
    }

    /// The images that it holds.
    pub(super) fn images(&self) -> BTreeSet<ImageId> {
        let names = self.objects().into_keys();
        let images = names.filter_map(|name| match name.parse() {
            Ok(Key::Image { image, .. }) => Some(image),
            _ => None,
        });
        images.collect()
    }

    /// How often it was asked for something.
    pub(super) fn calls(&self) -> u64 {
        self.0.state().calls
    }

    /// Whether an object was ever there.
    pub(super) fn ever_held(&self, name: &str) -> bool {
        self.0.state().seen.ever.contains(name)
    }

    /// Segments that were put since this was last asked.
    pub(super) fn new_segments(&self) -> Vec<(Key, Bytes)> {
        std::mem::take(&mut self.0.state().seen.segments)
    }

    /// Images that were put in calm weather though they were there, and by whom.
    pub(super) fn needless(&self) -> Vec<(usize, ImageId)> {
        self.0.state().seen.needless.clone()
    }

    /// From now on it takes no images, and all else.
    pub(super) fn spoil(&self) {
        self.clear_up();
        self.0.state().weather = Weather::NO_IMAGES;
    }

    /// Everybody has a network again, and the weather is fine.
    pub(super) fn clear_up(&self) {
        let mut state = self.0.state();
        state.weather = Weather::default();
        state.cut_off.clear();
        state.looming = None;
    }

    /// Copies the folder of a device, where devices have one each, for another.
    pub(super) fn copy(&self, from: usize, to: usize) {
        let mut state = self.0.state();
        let copy = state.replicas.get(&from).map(|replica| replica.copy(PAGE));
        state.replicas.extend(copy.map(|copy| (to, copy)));
    }

    /// No more malice from now on.
    pub(super) fn heal(&self) {
        self.0.state().calm = true;
    }

    pub(super) fn change_weather(&self) -> String {
        let old = self.0.memory.snapshot();
        let mut state = self.0.state();
        state.old.push(old);
        if state.old.len() > COPIES {
            state.old.remove(0);
        }
        let State { dice, weather, .. } = &mut *state;
        *weather = Weather::any(dice);
        format!("the weather changes: {weather:?}")
    }

    /// Takes a device's network away, or gives it back; whether it has one now.
    pub(super) fn plug(&self, device: usize) -> bool {
        let mut state = self.0.state();
        let was_off = state.cut_off.remove(&device);
        if !was_off {
            state.cut_off.insert(device);
        }
        was_off
    }

    /// Has some of the files that are on their way arrive.
    pub(super) async fn carry(&self) {
        let arriving: Vec<(Memory, Vec<File>)> = {
            let mut state = self.0.state();
            let State { replicas, dice, .. } = &mut *state;
            let each = replicas.values_mut();
            each.map(|replica| (replica.memory.clone(), replica.arriving(dice))).collect()
        };
        for (memory, files) in arriving {
            arrive(&memory, files).await;
        }
    }

    /// Has all files arrive at a device.
    pub(super) async fn carry_all(&self, device: usize) {
        let Some(memory) = self.0.replica(device) else { return };
        let files = self.0.state().replicas.get_mut(&device).map(Replica::all);
        arrive(&memory, files.unwrap_or_default()).await;
    }

    /// Has it lose something soon, between two calls of a sync.
    pub(super) fn loom(&self) {
        let mut state = self.0.state();
        state.looming_puts = state.dice.percent(60);
        state.looming = Some(if state.looming_puts { 0 } else { state.dice.below(16) });
    }

    /// Whether it lost something in the midst of a sync since this was last asked.
    pub(super) fn was_struck(&self) -> bool {
        std::mem::take(&mut self.0.state().struck)
    }

    pub(super) fn wipe(&self) {
        self.0.restore(&BTreeMap::new());
    }

    /// Puts an old copy of everything back, if there is one.
    pub(super) fn put_back(&self, dice: &mut Dice) -> bool {
        let old = dice.pick(&self.0.state().old).cloned();
        old.is_some_and(|old| {
            self.0.restore(&old);
            true
        })
    }
}

impl Shared {
    /// Loses something, if it is time for that.
    fn strike(&self, is_segment: bool) {
        let lost = {
            let mut state = self.state();
            let State { dice, old, looming, looming_puts, struck, .. } = &mut *state;
            if *looming_puts && !is_segment {
                return;
            }
            match looming {
                None => return,
                Some(0) => {}
                Some(calls) => {
                    *calls -= 1;
                    return;
                }
            }
            (*looming, *struck) = (None, true);
            if dice.percent(30) { None } else { dice.pick(old).cloned() }
        };
        self.restore(&lost.unwrap_or_default());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn restore(&self, objects: &BTreeMap<String, Bytes>) {
        self.memory.restore(objects.clone());
        let mut state = self.state();
        state.hidden.clear();
        state.replicas.values_mut().for_each(|replica| replica.restore(objects.clone()));
    }

    /// The folder of a device, where devices have one each.
    fn replica(&self, device: usize) -> Option<Memory> {
        if self.kind != Kind::Folder {
            return None;
        }
        let mut state = self.state();
        let State { replicas, versions, dice, .. } = &mut *state;
        let replica = replicas.entry(device).or_insert_with(|| {
            let objects = self.memory.snapshot().into_iter();
            let files = objects.map(|(name, bytes)| {
                let version = versions.get(&name).copied().unwrap_or(1);
                File { name, version, bytes }
            });
            Replica::new(files.collect(), PAGE, dice)
        });
        Some(replica.memory.clone())
    }
}

/// The remote as one device sees it.
#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    device: usize,
    clock: Option<Arc<SimulatedClock>>,
}

impl Handle {
    async fn fate(&self) -> Fate {
        self.fate_of(None).await
    }

    /// What a call meets that may put something.
    async fn fate_of(&self, put: Option<&Key>) -> Fate {
        let is_image = matches!(put, Some(Key::Image { .. }));
        let (fate, pauses) = {
            let mut state = self.shared.state();
            state.calls += 1;
            let State { dice, weather, calm, cut_off, .. } = &mut *state;
            let Some(clock) = self.clock.as_ref().filter(|_| !*calm) else { return Fate::Well };
            let pauses = dice.below(4);
            let weather = if cut_off.contains(&self.device) { Weather::OFFLINE } else { *weather };
            let (fate, time) = weather.throw(is_image, dice);
            clock.advance(time);
            (fate, pauses)
        };
        self.shared.strike(matches!(put, Some(Key::Segment { .. })));
        // Others come in between.
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        fate
    }

    fn memory(&self) -> Memory {
        self.shared.replica(self.device).unwrap_or_else(|| self.shared.memory.clone())
    }

    async fn take(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let memory = self.memory();
        let name = key.to_string();
        let before = memory.snapshot().remove(&name);
        memory.put(key, body.clone()).await?;
        self.shared.memory.put(key, body).await?;
        let bytes = memory.snapshot().remove(&name).unwrap_or_default();
        let mut state = self.shared.state();
        let State { dice, calm, calls, hidden, replicas, versions, seen, .. } = &mut *state;
        if *calm
            && let Key::Image { image, .. } = key
            && before.as_ref() == Some(&bytes)
        {
            seen.needless.push((self.device, *image));
        }
        if matches!(key, Key::Segment { .. }) {
            seen.segments.push((*key, bytes.clone()));
        }
        seen.ever.insert(name.clone());
        if self.shared.kind == Kind::Lagging && before.is_none() {
            hidden.insert(name.clone(), *calls + dice.below(40));
        }
        let version = versions.entry(name.clone()).or_default();
        *version += 1;
        let file = File { name, version: *version, bytes };
        for (device, replica) in replicas {
            if *device == self.device {
                replica.wrote(&file);
            } else {
                replica.send(file.clone());
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Remote for Handle {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well => self.memory().get(key).await,
            Fate::Cut(after) => {
                let Download { size, mut body } = self.memory().get(key).await?;
                let mut bytes = Vec::new();
                while let Some(piece) = body.next().await.transpose()? {
                    bytes.extend_from_slice(&piece);
                }
                if bytes.len() <= after {
                    return Ok(Bytes::from(bytes).into());
                }
                bytes.truncate(after);
                let broken = RemoteError::Offline { source: "simulated: cut".into() };
                let body = stream::iter([Ok(Bytes::from(bytes)), Err(broken)]).boxed();
                Ok(Download { size, body })
            }
        }
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well | Fate::Cut(_) => {
                let found = self.memory().head(key).await?;
                let state = self.shared.state();
                let stirred = state.replicas.get(&self.device).map(|replica| replica.stirred);
                // As the tag of the pulse in a folder tells of all that came there.
                let tag = |tag: String| match (key, stirred) {
                    (Key::Pulse, Some(stirred)) => format!("{tag}-{stirred}"),
                    _ => tag,
                };
                Ok(found.map(|meta| ObjectMeta { tag: meta.tag.map(tag), ..meta }))
            }
        }
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        match self.fate_of(Some(key)).await {
            Fate::Fails(error) => Err(error),
            Fate::Lost(error) => {
                // What is lost may arrive twice.
                self.take(key, body.clone()).await?;
                self.take(key, body).await?;
                Err(error)
            }
            Fate::Well | Fate::Cut(_) => self.take(key, body).await,
        }
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        match self.fate().await {
            Fate::Fails(error) | Fate::Lost(error) => Err(error),
            Fate::Well | Fate::Cut(_) => {
                let mut page = self.memory().list(prefix, after).await?;
                let state = self.shared.state();
                page.keys.retain(|listed| {
                    let shown = state.hidden.get(&listed.key.to_string());
                    state.calm || shown.is_none_or(|from| state.calls >= *from)
                });
                Ok(page)
            }
        }
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        match self.fate().await {
            Fate::Fails(error) => Err(error),
            Fate::Lost(error) => {
                self.memory().delete(key).await?;
                Err(error)
            }
            Fate::Well | Fate::Cut(_) => self.memory().delete(key).await,
        }
    }
}
