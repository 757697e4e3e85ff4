//! `init`, `join`, `key`: making a vault, and its key.

use std::{
    env, fs,
    io::{self, Read as _},
    path::Path,
    process::{Command, ExitCode},
    sync::Arc,
};

use clap::Args;
use everleaf::{
    clock::SystemClock,
    event::RemoteName,
    remote::{self, RetryPolicy},
    seal::VaultKey,
    socket::{Door, calls::Synced},
    vault::{Vault, VaultError, device_name},
};
use serde_json::json;
use zeroize::Zeroizing;

use super::{CliError, Context, Result, progress::Shown, remote::RemoteArgs, sync};

/// More than any key takes.
const KEY_TEXT: usize = 1024;

/// Make a vault on this device
///
/// Shows the key of the vault. Whoever has the key can read all notes on a remote; without it, nobody
/// can, so keep a copy.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf init
  everleaf --vault ~/notes init --name laptop")]
pub(super) struct Init {
    /// What to call this device [default: its host name]
    #[arg(long, value_name = "DEVICE", value_parser = device_name)]
    name: Option<String>,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result {
        let name = self.name.unwrap_or_else(host_name);
        let vault = Vault::create(&context.config.vault, &name, None, context.options())?;
        let key = vault.key().to_bech32();
        let value = json!({
            "vault": vault.id()?,
            "device": vault.device()?,
            "name": name,
            "folder": vault.folder().display().to_string(),
            "key": *key,
        });
        context.show(&value, |out| {
            writeln!(out, "Made a vault in {} on device `{name}`.", vault.folder().display())?;
            writeln!(out, "Its key, which other devices need to join; keep a copy:\n")?;
            writeln!(out, "  {}", *key)
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Print the key of the vault
#[derive(Args)]
pub(super) struct Key {}

impl Key {
    #[expect(clippy::unused_self, reason = "every command is run alike")]
    pub(super) fn run(self, context: &Context) -> Result {
        let key = Vault::kept_key(&context.config.vault)?.to_bech32();
        context.show(&json!({ "key": *key }), |out| writeln!(out, "{}", *key))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Make this device another one of a vault that a remote holds
///
/// The remote becomes `origin`, and the first sync brings the notes and their images.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf join dir:/media/stick --key -              asks standard input for the key
  EVERLEAF_KEY=everleaf1… everleaf join s3://notes \\
      --endpoint https://ACCOUNT.r2.cloudflarestorage.com")]
pub(super) struct Join {
    /// Where the vault is: dir:PATH, s3://BUCKET[/PREFIX], or https://HUB, of which there may be several
    #[arg(value_name = "URL", required = true)]
    urls: Vec<String>,
    /// Key of the vault, as `init` and `key` show it; `-` reads it from standard input
    #[arg(long, value_name = "KEY", env = "EVERLEAF_KEY", hide_env_values = true)]
    key: String,
    /// What to call this device [default: its host name]
    #[arg(long, value_name = "DEVICE", value_parser = device_name)]
    name: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

impl Join {
    pub(super) async fn run(self, context: &Context) -> Result {
        let Self { urls, key, name, remote } = self;
        let key = read_key(context, Zeroizing::new(key))?;
        let origin: RemoteName = "origin".parse().map_err(VaultError::from)?;
        let options = remote.options(&origin, &urls, key.vault_id())?;
        // No vault here knows it yet.
        let opened =
            remote::open_patient(&options, &key, RetryPolicy::of(2), Arc::new(SystemClock)).await;
        let error = |source| VaultError::Remote { remote: origin.clone(), source };
        let opened = opened.map_err(error)?;
        // Before anything is made here: a typing error in the URL or the key leaves no trace.
        Vault::check_joinable(&origin, &*opened, &key).await?;
        let name = name.unwrap_or_else(host_name);
        let folder = &context.config.vault;
        let had_folder = folder.exists();
        let vault = Vault::create(folder, &name, Some(key), context.options())?;
        if let Err(error) = vault.add_remote(origin.clone(), options, opened.clone()).await {
            drop(vault);
            remove(folder, had_folder)?;
            return Err(error.into());
        }
        let shown = Shown::new(context);
        let synced =
            vault.sync(&origin, opened, &context.sync_options(), &|step| shown.sync(step)).await;
        shown.clear();
        let (id, device) = (vault.id()?, vault.device()?);
        let synced = Synced { remote: origin.clone(), report: synced? };
        let outcome = sync::Outcome::new(&Door::Here(vault), synced).await?;
        let value = json!({
            "vault": id,
            "device": device,
            "name": name,
            "folder": folder.display().to_string(),
            "remote": origin.as_str(),
            "sync": outcome,
        });
        context.show(&value, |out| {
            writeln!(out, "Device `{name}` has joined the vault, in {}.", folder.display())?;
            outcome.write(out)
        })?;
        Ok(outcome.warn(context))
    }
}

fn read_key(context: &Context, given: Zeroizing<String>) -> Result<VaultKey> {
    let mut line = given;
    if line.as_str() == "-" {
        // With room for all of it: growing would leave a copy behind.
        line = Zeroizing::new(String::with_capacity(2 * KEY_TEXT));
        let read = io::stdin().lock().take(KEY_TEXT as u64).read_to_string(&mut line);
        read.map_err(CliError::file("read", "standard input"))?;
    } else if env::args().any(|argument| argument.contains(line.as_str())) {
        context.tell(
            "note: other users of this machine can see a key among the arguments of a command; \
             `--key -` reads it from standard input",
        );
    }
    Ok(VaultKey::parse(&line).map_err(VaultError::from)?)
}

/// Takes away a vault that was only just made.
fn remove(folder: &Path, keep_folder: bool) -> Result<()> {
    if !keep_folder {
        return fs::remove_dir_all(folder).map_err(CliError::file("remove", folder));
    }
    for entry in fs::read_dir(folder).map_err(CliError::file("read", folder))? {
        let path = entry.map_err(CliError::file("read", folder))?.path();
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(CliError::file("remove", &path))?;
    }
    Ok(())
}

fn host_name() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let asked = || {
        let output = Command::new("hostname").output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let name = kernel.or_else(asked).and_then(|name| device_name(&name).ok());
    name.unwrap_or_else(|| "device".to_owned())
}
