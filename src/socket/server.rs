//! The side that answers.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{Asked, Hello, LINE_LIMIT, PROTOCOL, Refusal, Step, Tell, Told, calls, path::Address};
use crate::vault::{Vault, VaultError};

/// Processes that are served at once; others wait.
const CONNECTIONS: usize = 64;
/// How long a process may take to read what it is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait where nobody can be let in.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the socket of a vault until `stop` ends. What was asked before that is answered.
///
/// # Errors
///
/// Where the socket can't be made; the vault works without it.
pub async fn serve(vault: Vault, stop: impl Future<Output = ()> + Send) -> Result<(), VaultError> {
    let folder = vault.folder().to_path_buf();
    let error = |source| VaultError::Io { action: "listen in", path: folder.clone(), source };
    let owner = fs::metadata(&folder).map_err(error)?.uid();
    let address = Address::of(&folder).map_err(error)?;
    let listener = listen(&address.path).map_err(error)?;
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    let (hang_up, ended) = tokio::sync::watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            () = &mut stop => break,
        };
        let Ok((stream, _)) = accepted else {
            // As where no more files may be open: the next would fail at once as well.
            vault.clock().sleep(PAUSE).await;
            continue;
        };
        // Nobody else gets into the folder; this is for folders that somebody opened to others.
        let allowed = stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
        if !allowed {
            tracing::warn!("another user asked at the socket, and was sent away");
            continue;
        }
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = &mut stop => break,
        };
        let Ok(place) = place else { break };
        let (vault, mut ended) = (vault.clone(), ended.clone());
        connections.spawn(async move {
            if let Err(error) = converse(stream, &vault, &mut ended).await {
                tracing::debug!(%error, "a process hung up");
            }
            drop(place);
        });
    }
    // Whoever comes now finds no socket, and waits for the vault.
    let _ = fs::remove_file(&address.path);
    drop(listener);
    let _ = hang_up.send(());
    while connections.join_next().await.is_some() {}
    Ok(())
}

/// Whoever has the vault may clear away what one that was killed left.
fn listen(path: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers one process until it hangs up.
async fn converse(
    stream: UnixStream,
    vault: &Vault,
    ended: &mut tokio::sync::watch::Receiver<()>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let hello = Hello { protocol: PROTOCOL, version, process: std::process::id() };
    say(&mut writer, &hello).await?;
    loop {
        let mut text = Vec::new();
        let mut bounded = (&mut reader).take(LINE_LIMIT);
        tokio::select! {
            read = bounded.read_until(b'\n', &mut text) => read?,
            _ = ended.changed() => return Ok(()),
        };
        if text.last() != Some(&b'\n') {
            return Ok(());
        }
        let asked = match serde_json::from_slice::<Asked>(&text) {
            Ok(asked) => asked,
            Err(error) => {
                let told = Told::<()>::Error(not_understood(&error));
                say(&mut writer, &told).await?;
                continue;
            }
        };
        let may_be_left = calls::may_be_left(&asked.call);
        let (steps, mut told) = mpsc::unbounded_channel();
        let tell: Tell = Arc::new(move |step: Step| {
            // Whoever asked may have hung up.
            let _ = steps.send(step);
        });
        let mut answer = std::pin::pin!(calls::answer(asked, vault, tell));
        let answer = loop {
            tokio::select! {
                biased;
                Some(step) = told.recv() => {
                    say(&mut writer, &Told::<()>::Progress(step)).await?;
                }
                answer = &mut answer => break answer.map_or_else(Told::Error, Told::Answer),
                () = gone(&mut reader) => return Ok(()),
                _ = ended.changed(), if may_be_left => return Ok(()),
            }
        };
        while let Ok(step) = told.try_recv() {
            say(&mut writer, &Told::<()>::Progress(step)).await?;
        }
        say(&mut writer, &answer).await?;
    }
}

pub(super) fn not_understood(error: &dyn std::fmt::Display) -> Refusal {
    let message = format!("what was asked was not understood: {error}");
    Refusal { message, hint: None, offline: false }
}

/// Waits until the other side hangs up; for ever where it asks for more instead.
async fn gone(reader: &mut BufReader<OwnedReadHalf>) {
    match reader.fill_buf().await {
        Ok(more) if !more.is_empty() => std::future::pending().await,
        _ => {}
    }
}

/// Says something, to a process that takes it.
async fn say(writer: &mut OwnedWriteHalf, value: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, writer.write_all(&line)).await?
}
