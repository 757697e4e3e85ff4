//! A directory as a remote: a disk, a network share, a folder that another program synchronises.
//!
//! A key is a path below the directory. Objects are written to a temporary file, synced and renamed,
//! so that no reader sees half of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio_util::io::ReaderStream;

use super::{
    After, Download, Key, ListedKey, ObjectMeta, Page, Prefix, Remote, RemoteError, Upload, resized,
};

/// Syncthing, Dropbox and Nextcloud each leave alone what is called so.
const TEMPORARY: (&str, &str) = ("~syncthing~everleaf-", ".tmp");
/// A temporary file of any machine this much older than a new one was left by a crash.
const STALE: Duration = Duration::from_hours(24);
/// Objects up to this size, in bytes, are hashed to tell whether they changed.
const TAGGED: u64 = 64 * 1024;
const CHUNK: usize = 128 * 1024;

/// A directory as a remote.
#[derive(Debug)]
pub struct Dir(Arc<Root>);

#[derive(Debug)]
struct Root {
    path: PathBuf,
    swept: Once,
}

impl Dir {
    /// The remote in the directory at `path`.
    ///
    /// # Errors
    ///
    /// [`RemoteError::NoDirectory`] where there is no such directory: a disk may not be connected, so
    /// none is made.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, RemoteError> {
        let dir = Self::at(path);
        dir.with(Root::check).await?;
        Ok(dir)
    }

    /// The same without a look whether it is there: each call looks, since a disk comes and goes.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Root { path: path.into(), swept: Once::new() }))
    }

    /// The remote in the directory at `path`, which is made where it is missing.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Io`] where that fails.
    pub async fn create(path: impl Into<PathBuf>) -> Result<Self, RemoteError> {
        let path = path.into();
        let made = path.clone();
        blocking(move || fs::create_dir_all(&made).map_err(RemoteError::io(made))).await?;
        Self::open(path).await
    }

    async fn with<T, F>(&self, work: F) -> Result<T, RemoteError>
    where
        T: Send + 'static,
        F: FnOnce(&Root) -> Result<T, RemoteError> + Send + 'static,
    {
        let root = Arc::clone(&self.0);
        blocking(move || work(&root)).await
    }
}

#[async_trait]
impl Remote for Dir {
    async fn get(&self, key: &Key) -> Result<Download, RemoteError> {
        self.get_from(key, 0).await
    }

    async fn get_from(&self, key: &Key, first: u64) -> Result<Download, RemoteError> {
        let key = *key;
        let opened = self.with(move |root| root.open_at(&key, first)).await?;
        let (path, file, size) = opened.ok_or(RemoteError::NotFound { key })?;
        let body = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK)
            .map_err(move |source| RemoteError::Io { path: path.clone(), source });
        Ok(Download { size: Some(size.saturating_sub(first)), body: body.boxed() })
    }

    async fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let key = *key;
        self.with(move |root| root.head(&key)).await
    }

    async fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let key = *key;
        self.with(move |root| root.put(&key, body)).await
    }

    async fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Page, RemoteError> {
        let (prefix, after) = (*prefix, after.cloned());
        let keys = self.with(move |root| root.list(&prefix, after.as_ref())).await?;
        Ok(Page { keys, next: None })
    }

    async fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        let key = *key;
        self.with(move |root| root.delete(&key)).await
    }
}

impl Root {
    fn check(&self) -> Result<(), RemoteError> {
        match fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => Err(RemoteError::io(&self.path)(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(RemoteError::NoDirectory { path: self.path.clone() })
            }
            Err(error) => Err(RemoteError::io(&self.path)(error)),
        }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.path.join(key.to_string())
    }

    /// `result`, with `None` for what is missing from a directory that is itself there.
    fn found<T>(&self, path: &Path, result: io::Result<T>) -> Result<Option<T>, RemoteError> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check().map(|()| None),
            Err(error) => Err(RemoteError::io(path)(error)),
        }
    }

    fn open(&self, key: &Key) -> Result<Option<(PathBuf, fs::File, u64)>, RemoteError> {
        let path = self.path(key);
        // Asked before it is opened: to open a pipe would wait for its other end.
        let is_file = self.found(&path, fs::metadata(&path))?.is_some_and(|found| found.is_file());
        if !is_file {
            return Ok(None);
        }
        let Some(file) = self.found(&path, fs::File::open(&path))? else { return Ok(None) };
        let size = file.metadata().map_err(RemoteError::io(&path))?.len();
        Ok(Some((path, file, size)))
    }

    fn open_at(
        &self,
        key: &Key,
        first: u64,
    ) -> Result<Option<(PathBuf, fs::File, u64)>, RemoteError> {
        let mut opened = self.open(key)?;
        if let Some((path, file, _)) = &mut opened {
            io::Seek::seek(file, io::SeekFrom::Start(first)).map_err(RemoteError::io(&*path))?;
        }
        Ok(opened)
    }

    fn head(&self, key: &Key) -> Result<Option<ObjectMeta>, RemoteError> {
        let Some((path, file, size)) = self.open(key)? else { return Ok(None) };
        let tag = if size <= TAGGED {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(io::Read::take(file, TAGGED)).map_err(RemoteError::io(&path))?;
            if *key == Key::Pulse {
                self.stir(&mut hasher);
            }
            Some(hasher.finalize().to_string())
        } else {
            None
        };
        Ok(Some(ObjectMeta { size, tag, media_type: None }))
    }

    /// Adds to the tag of the pulse when anything last came: whoever carries the files may bring them
    /// in any order, and a pulse that is here before what it tells of would be taken for old news.
    fn stir(&self, hasher: &mut blake3::Hasher) {
        let mut folders = vec![self.path.join("heads"), self.path.join("images")];
        let names = |folder: &str| fs::read_dir(self.path.join(folder)).into_iter().flatten();
        let mut found: Vec<PathBuf> =
            names("log").chain(names("heads")).flatten().map(|entry| entry.path()).collect();
        found.sort();
        folders.extend(found);
        for path in folders {
            let Ok(modified) = fs::metadata(&path).and_then(|found| found.modified()) else {
                continue;
            };
            let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            hasher.update(path.as_os_str().as_encoded_bytes());
            hasher.update(&since.as_nanos().to_le_bytes());
        }
    }

    fn put(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        // Where its disk was pulled meanwhile, that is what is wrong.
        self.place(key, body).or_else(|error| self.check().and(Err(error)))
    }

    fn place(&self, key: &Key, body: Upload) -> Result<(), RemoteError> {
        let path = self.path(key);
        let folder = path.parent().unwrap_or(&self.path);
        self.make(folder)?;
        let mut file = self.temporary()?;
        write(&mut file, body)?;
        file.as_file().sync_all().map_err(RemoteError::io(file.path()))?;
        file.persist(&path).map_err(|error| RemoteError::io(&path)(error.error))?;
        sync(folder)
    }

    /// Makes `folder`, which is below the root, but never the root: its disk may not be connected.
    fn make(&self, folder: &Path) -> Result<(), RemoteError> {
        self.check()?;
        let Ok(below) = folder.strip_prefix(&self.path) else { return Ok(()) };
        let mut at = self.path.clone();
        for name in below.components() {
            let parent = at.clone();
            at.push(name);
            match fs::create_dir(&at) {
                Ok(()) => sync(&parent)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(RemoteError::io(at)(error)),
            }
        }
        Ok(())
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile, RemoteError> {
        let mut builder = tempfile::Builder::new();
        let prefix = own_prefix();
        builder.prefix(prefix.as_deref().unwrap_or(TEMPORARY.0)).suffix(TEMPORARY.1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            // Less the umask, as any other file: whoever shares the directory reads what is put.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        let file = loop {
            let file = builder.tempfile_in(&self.path).map_err(RemoteError::io(&self.path))?;
            // Where locks are unknown, nobody sweeps what is locked or not.
            let locked = file.as_file().try_lock();
            if !matches!(locked, Err(fs::TryLockError::WouldBlock)) && file.path().exists() {
                break file;
            }
            // Another process was just sweeping here.
        };
        self.swept.call_once(|| {
            // Left files cost space and nothing else: that they stay is no reason to fail.
            let _ = self.sweep(file.as_file());
        });
        Ok(file)
    }

    /// Removes the temporary files of crashed writers: those of this machine that nobody has locked, and
    /// all that are old by the clock of the file system.
    fn sweep(&self, new: &fs::File) -> io::Result<()> {
        let now = new.metadata()?.modified()?;
        let prefix = own_prefix();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name
                .to_str()
                .is_some_and(|name| name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1));
            if !ours {
                continue;
            }
            let age =
                || now.duration_since(entry.metadata()?.modified()?).map_err(io::Error::other);
            let here = prefix.as_ref().is_some_and(|prefix| {
                name.to_str().is_some_and(|name| name.starts_with(prefix.as_str()))
            });
            // Held until it is removed: whoever has only just made it notices, and makes another.
            let left = here.then(|| fs::File::open(entry.path())).transpose()?;
            let is_left = left.as_ref().is_some_and(|file| file.try_lock().is_ok());
            if is_left || age().is_ok_and(|age| age > STALE) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn list(&self, prefix: &Prefix, after: Option<&After>) -> Result<Vec<ListedKey>, RemoteError> {
        let folders = match prefix {
            Prefix::Heads => vec!["heads".to_owned()],
            Prefix::Images | Prefix::Image(_) => vec!["images".to_owned()],
            Prefix::Log(device) => vec![format!("log/{device}")],
            Prefix::Logs => self.folders_in("log")?,
            Prefix::Checkpoints => self.folders_in("checkpoints")?,
        };
        let mut listed = Vec::new();
        for folder in folders {
            for (name, entry) in self.names(&folder, fs::FileType::is_file)? {
                let name = format!("{folder}/{name}");
                let Ok(key) = name.parse::<Key>() else { continue };
                let behind = after.is_none_or(|after| name.as_str() > after.as_str());
                if behind && prefix.contains(&key) {
                    // Missing where it was deleted since its folder was read.
                    let found = self.found(&entry.path(), entry.metadata())?;
                    listed.extend(found.map(|found| (name, ListedKey { key, size: found.len() })));
                }
            }
        }
        listed.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        Ok(listed.into_iter().map(|(_, listed)| listed).collect())
    }

    fn folders_in(&self, folder: &str) -> Result<Vec<String>, RemoteError> {
        let names = self.names(folder, fs::FileType::is_dir)?.into_iter();
        Ok(names.map(|(name, _)| format!("{folder}/{name}")).collect())
    }

    /// What a folder holds of one kind; nothing where it is missing.
    fn names(
        &self,
        folder: &str,
        kind: fn(&fs::FileType) -> bool,
    ) -> Result<Vec<(String, fs::DirEntry)>, RemoteError> {
        let path = self.path.join(folder);
        let Some(entries) = self.found(&path, fs::read_dir(&path))? else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(RemoteError::io(&path))?;
            let wanted = entry.file_type().is_ok_and(|found| kind(&found));
            if let (true, Some(name)) = (wanted, entry.file_name().to_str()) {
                names.push((name.to_owned(), entry));
            }
        }
        Ok(names)
    }

    fn delete(&self, key: &Key) -> Result<(), RemoteError> {
        let path = self.path(key);
        match self.found(&path, fs::remove_file(&path))? {
            Some(()) => sync(path.parent().unwrap_or(&self.path)),
            None => Ok(()),
        }
    }
}

fn write(to: &mut tempfile::NamedTempFile, body: Upload) -> Result<(), RemoteError> {
    match body {
        Upload::Bytes(bytes) => bytes.chunks(CHUNK).try_for_each(|chunk| {
            io::Write::write_all(to, chunk).map_err(RemoteError::io(to.path()))
        }),
        Upload::File { path, size } => {
            let from = fs::File::open(&path).map_err(RemoteError::io(&path))?;
            // One byte more than there should be, to notice a file that grew.
            let mut from = io::Read::take(from, size.saturating_add(1));
            let copied = io::copy(&mut from, to).map_err(RemoteError::io(&path))?;
            if copied == size { Ok(()) } else { Err(resized(path, size, copied)) }
        }
    }
}

/// How temporary files of this machine begin, where it can be told from others: among its processes, a
/// lock says whether a file is still being written.
fn own_prefix() -> Option<String> {
    let names = ["/etc/machine-id", "/proc/sys/kernel/hostname"];
    let name = names.iter().find_map(|path| fs::read(path).ok().filter(|name| !name.is_empty()))?;
    let machine: String = blake3::hash(&name).to_hex().chars().take(8).collect();
    Some(format!("{}{machine}-", TEMPORARY.0))
}

/// Makes what was renamed into or removed from `folder` survive a loss of power.
fn sync(folder: &Path) -> Result<(), RemoteError> {
    if cfg!(unix) {
        let synced = fs::File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(RemoteError::io(folder))?;
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RemoteError> + Send + 'static,
) -> Result<T, RemoteError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(error) => Err(RemoteError::Offline { source: error.into() }),
        },
    }
}
