//! The remotes that this device uses.

use std::{path::Path, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{Vault, VaultError};
use crate::{
    clock::{self, Timestamp},
    event::{Event, RemoteName, RemoteOptions},
    id::VaultId,
    projection::receipts,
    remote::{self, Key, Location, Remote, RemoteError, RemoteExt as _, RetryPolicy, web_address},
    seal::VaultKey,
    segment::{VAULT_FILE_LIMIT, VaultFile},
};

/// A remote, as `status` and `remote list` show it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct RemoteStatus {
    /// What this device calls it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// S3: the server's address, if not AWS.
    pub endpoint: Option<String>,
    /// S3: the region.
    pub region: Option<String>,
    /// Where anybody can read its images.
    pub public_url: Option<String>,
    /// When a sync with it last came to its end; RFC 3339.
    #[serde(with = "clock::as_text::optional")]
    pub last_sync: Option<Timestamp>,
    /// Changes that it has yet to be told of.
    pub unpushed_changes: usize,
}

impl Vault {
    /// The remotes, by their names.
    ///
    /// # Errors
    ///
    /// What the database said.
    pub fn remotes(&self) -> Result<Vec<RemoteStatus>, VaultError> {
        let mut remotes = Vec::new();
        for (name, remote) in receipts::list(self.db())? {
            let memory = self.memory(&name)?;
            remotes.push(RemoteStatus {
                unpushed_changes: receipts::unpushed_changes(self.db(), &name)?,
                last_sync: memory.last_sync,
                name: name.into(),
                url: remote.options.url,
                endpoint: remote.options.endpoint,
                region: remote.options.region,
                public_url: remote.options.public_url,
            });
        }
        Ok(remotes)
    }

    /// How to reach a remote; without a name, the only one there is.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownRemote`] or [`VaultError::WhichRemote`].
    pub fn remote(
        &self,
        name: Option<&RemoteName>,
    ) -> Result<(RemoteName, RemoteOptions), VaultError> {
        let mut remotes = receipts::list(self.db())?;
        let Some(name) = name else {
            let count = remotes.len();
            return match remotes.pop() {
                Some((name, remote)) if count == 1 => Ok((name, remote.options)),
                _ => Err(VaultError::WhichRemote(count)),
            };
        };
        let found = remotes.into_iter().find(|(known, _)| known == name);
        let (name, remote) = found.ok_or_else(|| VaultError::UnknownRemote(name.clone()))?;
        Ok((name, remote.options))
    }

    /// Opens the remote that this device calls `name`, as [`Vault::sync`] and the others want it: with the
    /// vault's key, and with calls repeated as `retries` says, by the vault's clock, where they fail for a
    /// reason that may pass. Nothing is asked yet: what is away now may be back by the first call.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownRemote`], and [`VaultError::Remote`] where its options make no sense.
    pub async fn connect(
        &self,
        name: &RemoteName,
        retries: RetryPolicy,
    ) -> Result<Arc<dyn Remote>, VaultError> {
        let (remote, options) = self.remote(Some(name))?;
        let clock = Arc::clone(&self.0.clock);
        let opened = remote::open_patient(&options, &self.0.key, retries, clock).await;
        opened.map_err(|source| VaultError::Remote { remote, source })
    }

    /// Adds a remote, or gives it new options, after checking that it can be reached and that it is
    /// this vault's or nobody's yet. `remote` is what `options` describe, as [`remote::open`] opens it.
    /// Where it has these options, nothing is recorded.
    ///
    /// # Errors
    ///
    /// Where it can't be reached, or belongs to another vault; nothing was changed then.
    pub async fn add_remote(
        &self,
        name: RemoteName,
        options: RemoteOptions,
        remote: Arc<dyn Remote>,
    ) -> Result<(), VaultError> {
        let _no_sync = self.exchange().await;
        if let Ok(Location::Dir(path)) = options.url.parse() {
            self.refuse_inside(&path)?;
        }
        let error = |source| VaultError::Remote { remote: name.clone(), source };
        for (what, url) in [("endpoint", &options.endpoint), ("public URL", &options.public_url)] {
            let Some(Err(problem)) = url.as_deref().map(web_address) else { continue };
            let advice = format!("its {what} is no address: {problem}");
            return Err(error(RemoteError::Misconfigured { advice, source: None }));
        }
        if !self.is_ours(&name, &*remote).await? {
            let file = VaultFile::new(self.id()?).to_bytes();
            remote.put(&Key::Vault, bytes::Bytes::from(file).into()).await.map_err(error)?;
        }
        let before = receipts::get(self.db(), &name)?.map(|known| known.options);
        if before.as_ref() == Some(&options) {
            return Ok(());
        }
        if before.is_none_or(|known| !known.is_same_place(&options)) {
            // What is remembered is of another place.
            self.forget_remote(&name)?;
        }
        let event = Event::RemoteConfigured { remote: name, options };
        self.blocking(move |vault| vault.record([event])).await
    }

    /// Refuses a folder that is the vault's own, or lies in it.
    pub(crate) fn refuse_inside(&self, path: &Path) -> Result<(), VaultError> {
        let inside = match (path.canonicalize(), self.0.folder.canonicalize()) {
            (Ok(path), Ok(vault)) => path.starts_with(vault),
            _ => false,
        };
        if inside { Err(VaultError::InsideVault(path.to_path_buf())) } else { Ok(()) }
    }

    /// Stops using a remote. What it holds stays there.
    ///
    /// # Errors
    ///
    /// [`VaultError::UnknownRemote`], and [`VaultError::Syncing`] while a sync runs.
    pub fn remove_remote(&self, name: &RemoteName) -> Result<(), VaultError> {
        let _no_sync = self.0.exchanging.try_lock().map_err(|_| VaultError::Syncing)?;
        self.remote(Some(name))?;
        self.forget_remote(name)?;
        self.record([Event::RemoteRemoved { remote: name.clone() }])
    }

    /// Checks that a remote holds the vault that `key` is of, so that a device can join it. Changes
    /// nothing, here or there.
    ///
    /// # Errors
    ///
    /// [`VaultError::NothingToJoin`] or [`VaultError::WrongKey`] where it does not.
    pub async fn check_joinable(
        name: &RemoteName,
        remote: &dyn Remote,
        key: &VaultKey,
    ) -> Result<(), VaultError> {
        let found = owner(name, remote).await?;
        match found.ok_or_else(|| VaultError::NothingToJoin(name.clone()))? {
            found if found == key.vault_id() => Ok(()),
            _ => Err(VaultError::WrongKey(name.clone())),
        }
    }

    /// Whether a remote is this vault's; `false` where it is nobody's yet.
    pub(super) async fn is_ours(
        &self,
        name: &RemoteName,
        remote: &dyn Remote,
    ) -> Result<bool, VaultError> {
        let Some(found) = owner(name, remote).await? else { return Ok(false) };
        let expected = self.id()?;
        if found == expected {
            Ok(true)
        } else {
            Err(VaultError::WrongVault { remote: name.clone(), found, expected })
        }
    }
}

/// Whose a remote is; `None` where it is nobody's yet.
async fn owner(name: &RemoteName, remote: &dyn Remote) -> Result<Option<VaultId>, VaultError> {
    let bytes = match remote.get_bytes(&Key::Vault, VAULT_FILE_LIMIT as u64).await {
        Ok(bytes) => bytes,
        Err(RemoteError::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(VaultError::Remote { remote: name.clone(), source }),
    };
    let file = VaultFile::from_bytes(&bytes)
        .map_err(|source| VaultError::RemoteVaultFile { remote: name.clone(), source })?;
    Ok(Some(file.vault))
}
