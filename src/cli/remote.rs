//! `remote`: where this device meets the others.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use everleaf::{
    event::{RemoteName, RemoteOptions},
    id::VaultId,
    remote::{Location, hub_public_url, web_address},
    socket::{AskError, calls},
    vault::VaultError,
};
use serde_json::json;

use super::{
    CliError, Context, Result,
    text::{Table, count, time},
};

/// Say where this device meets the others
#[derive(Subcommand)]
pub(super) enum Remote {
    Add(Add),
    List(List),
    Remove(Remove),
}

impl Remote {
    pub(super) async fn run(self, context: &Context) -> Result {
        match self {
            Self::Add(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Remove(command) => command.run(context).await,
        }
    }
}

/// How to reach an S3 store.
#[derive(Args)]
pub(super) struct RemoteArgs {
    /// s3: address of the server, as in https://ACCOUNT.r2.cloudflarestorage.com [default: AWS]
    #[arg(long, value_name = "URL", value_parser = web_address)]
    endpoint: Option<String>,
    /// s3: region [default: auto; at AWS, what its tools use, or us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Where anybody can read the images; they get their URLs from this [default: for a hub, the hub]
    #[arg(long, value_name = "URL", value_parser = web_address)]
    public_url: Option<String>,
    /// hub: put no URLs of it into notes
    #[arg(long, conflicts_with = "public_url")]
    private: bool,
    /// s3: profile of ~/.aws to take credentials from
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
}

impl RemoteArgs {
    /// The options of the remote at `urls`, for one vault; paths become absolute, so that they mean the
    /// same later.
    pub(super) fn options(
        self,
        name: &RemoteName,
        urls: &[String],
        vault: VaultId,
    ) -> Result<RemoteOptions> {
        // Only hubs stand in for one another, and paths have spaces.
        if let [first, more, ..] = urls
            && !first.starts_with("http")
        {
            return Err(CliError::TwoPlaces(more.clone()));
        }
        let location: Location = urls
            .join(" ")
            .parse()
            .map_err(|source| VaultError::Remote { remote: name.clone(), source })?;
        let location = match location {
            Location::Dir(path) => {
                Location::Dir(std::path::absolute(&path).map_err(CliError::file("find", path))?)
            }
            location => location,
        };
        let Self { endpoint, region, public_url, private, profile } = self;
        let public_url = match &location {
            Location::Hub(hubs) if !private => {
                public_url.or_else(|| Some(hub_public_url(hubs.first()?, vault)))
            }
            _ => public_url,
        };
        Ok(RemoteOptions { url: location.to_string(), endpoint, region, public_url, profile })
    }
}

/// Add a remote, or give one new options
///
/// Checks that it can be reached, and that it is this vault's or nobody's yet.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf remote add stick dir:/media/stick/notes
  everleaf remote add origin s3://notes \\
      --endpoint https://ACCOUNT.r2.cloudflarestorage.com \\
      --public-url https://img.example.org
  everleaf remote add home https://hub.example.org

Credentials of an S3 store come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or ~/.aws.
Without --public-url, images are kept there and fetched by your devices, but get no URLs.")]
pub(super) struct Add {
    /// What to call it
    name: RemoteName,
    /// Where it is: dir:PATH, s3://BUCKET[/PREFIX], or https://HUB; several hubs that serve the same
    /// data stand in for one another
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl Add {
    async fn run(self, context: &Context) -> Result {
        let Self { name, urls, remote } = self;
        let vault = context.vault().await?;
        let id = vault.ask(calls::Status {}).await?.vault;
        let options = remote.options(&name, &urls, id)?;
        let made = create_last(&options.url)?;
        let url = options.url.clone();
        let added = vault.ask(calls::AddRemote { name: name.clone(), options }).await;
        match (&made, &added) {
            (Some(path), Ok(())) => {
                context.tell(format!("note: made the folder {}", path.display()));
            }
            // It may have been added all the same where only the answer was lost.
            (Some(path), Err(AskError::Vault(_) | AskError::Refused(_))) => {
                // Goes only where nothing came into it.
                drop(fs::remove_dir(path));
            }
            (_, Err(_)) | (None, Ok(())) => {}
        }
        added?;
        let value = json!({ "name": name.as_str(), "url": url });
        context.show(&value, |out| writeln!(out, "{name} is {url}; `everleaf sync` uses it."))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Makes the folder of a remote where only its last part is missing. More missing means that a disk is
/// not there, or that there is a typing error.
fn create_last(url: &str) -> Result<Option<PathBuf>> {
    let Some(path) = url.strip_prefix("dir:").map(Path::new) else { return Ok(None) };
    if path.exists() || !path.parent().is_some_and(Path::is_dir) {
        return Ok(None);
    }
    let made = fs::DirBuilder::new().mode(0o700).create(path);
    made.map_err(CliError::file("create", path))?;
    Ok(Some(path.to_owned()))
}

/// List the remotes
#[derive(Args)]
pub(super) struct List {}

impl List {
    async fn run(self, context: &Context) -> Result {
        let remotes = context.vault().await?.ask(calls::Remotes {}).await?;
        context.show(&remotes, |out| {
            let mut table = Table::default();
            for remote in &remotes {
                let last = remote.last_sync.map_or("never".into(), time);
                let owed = count(remote.unpushed_changes as u64, "change");
                let public = remote.public_url.clone().unwrap_or_default();
                table.row([
                    remote.name.clone(),
                    remote.url.clone(),
                    format!("last sync {last}"),
                    format!("{owed} to push"),
                    public,
                ]);
            }
            table.write(out)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Stop using a remote; what it holds stays there
#[derive(Args)]
pub(super) struct Remove {
    /// What it is called
    name: RemoteName,
}

impl Remove {
    async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        vault.ask(calls::RemoveRemote { name: self.name.clone() }).await?;
        let value = json!({ "name": self.name.as_str(), "removed": true });
        context.show(&value, |out| {
            writeln!(out, "{} is no longer used; what it holds stays there.", self.name)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}
