//! Keeping the vault in step with its remotes while the page is open.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::App;
use crate::{
    event::{RemoteName, RemoteOptions},
    remote::{Counted, RetryPolicy},
    vault::{Progress, SyncReport, VaultError, chain},
};

/// How long a remote is left alone that could not be opened: a folder on a stick that is not in, say.
const PAUSE: Duration = Duration::from_secs(15);

/// Syncs with every remote that there is, or comes to be, until it is dropped.
pub(super) async fn keep_in_step(app: Arc<App>) {
    let mut described = app.standing.described();
    // What is dropped ends: a sync that it cuts off is begun again by the next one.
    let mut running: BTreeMap<RemoteName, (RemoteOptions, JoinSet<()>)> = BTreeMap::new();
    loop {
        described.borrow_and_update();
        match app.ask(|app| Ok(app.remotes()?)).await {
            Ok(remotes) => {
                running.retain(|name, (options, _)| remotes.get(name) == Some(options));
                for (name, options) in remotes {
                    running.entry(name.clone()).or_insert_with(|| {
                        let mut task = JoinSet::new();
                        task.spawn(with_one(Arc::clone(&app), name));
                        (options, task)
                    });
                }
            }
            Err(problem) => tracing::warn!(?problem, "the remotes can't be read"),
        }
        app.tell_sync();
        if described.changed().await.is_err() {
            return;
        }
    }
}

async fn with_one(app: Arc<App>, name: RemoteName) {
    loop {
        app.standing.free().await;
        // Before the sync, so that nothing that is asked for while it begins is missed.
        let interrupted = app.standing.interrupted();
        match connect(&app, &name).await {
            Ok(remote) => {
                app.standing.change(&name, |now| now.connected(Arc::clone(&remote)));
                let step = |step| app.step(&name, step);
                let each = |result: Result<&SyncReport, &VaultError>| app.synced(&name, result);
                app.vault.watch(&name, remote, &app.sync, &step, &each, interrupted).await;
            }
            Err(error) => {
                app.synced(&name, Err(&error));
                tokio::select! {
                    () = interrupted => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
        app.standing.change(&name, |now| now.doing = None);
        app.tell_sync();
    }
}

async fn connect(app: &App, name: &RemoteName) -> Result<Arc<Counted>, VaultError> {
    let remote = match &app.connect {
        Some(connect) => {
            let (name, options) = app.vault.remote(Some(name))?;
            connect(name, options).await?
        }
        None => app.vault.connect(name, RetryPolicy::of(2)).await?,
    };
    Ok(Arc::new(Counted::new(remote)))
}

impl App {
    /// The remotes, and how they are reached. Pages may show pictures from them from now on.
    fn remotes(&self) -> Result<BTreeMap<RemoteName, RemoteOptions>, VaultError> {
        let all = self.vault.remotes()?;
        self.guard.admit(&all);
        let names = all.iter().filter_map(|remote| remote.name.parse().ok());
        names.map(|name| self.vault.remote(Some(&name))).collect()
    }

    fn step(&self, name: &RemoteName, step: Progress) {
        let doing = match step {
            Progress::Pulling(_) | Progress::Pulled => "reading what is new",
            Progress::Pushed => "sending notes",
            Progress::Uploading(_) | Progress::Uploaded(_) | Progress::NotUploaded(_) => {
                "sending images"
            }
            Progress::Fetching(_) | Progress::Fetched(_) => "fetching images",
        };
        let mut changed = false;
        self.standing.change(name, |now| {
            changed = now.doing.as_deref() != Some(doing);
            now.doing = Some(doing.to_owned());
        });
        if changed {
            self.tell_sync();
        }
    }

    fn synced(&self, name: &RemoteName, result: Result<&SyncReport, &VaultError>) {
        self.standing.change(name, |now| {
            now.doing = None;
            match result {
                Ok(report) => {
                    now.syncs += 1;
                    now.trouble = None;
                    now.problems.clone_from(&report.problems);
                }
                Err(error) => now.trouble = Some(chain(error)),
            }
        });
        self.tell_sync();
    }
}
