//! `hub`: a remote for any number of vaults.

use std::{net::SocketAddr, process::ExitCode};

use clap::Args;
use everleaf::{
    event::RemoteOptions,
    hub::{Options, Quotas, Server, open_data},
    id::VaultId,
    remote::web_address,
};
use serde_json::json;
use tokio::net::TcpListener;

use super::{CliError, Context, Log, Result, signal::stopped};
use crate::config::size;

/// Serve a remote over HTTP, for devices that hear of each other at once
///
/// Keeps what it is given in a folder or a bucket, and no state of its own: several hubs over one
/// bucket serve the same vaults. It can read no note. Whoever has a vault's key may use the vault. TLS
/// is for a proxy before it. Ends in good order on SIGTERM or Ctrl-C.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf hub --data dir:/srv/everleaf
  everleaf hub --data s3://notes --endpoint http://127.0.0.1:3900 --allow VAULT

On each device: everleaf remote add origin https://hub.example.org
Without --allow, a hub that listens on this machine alone lets anybody who reaches it bring a vault; so
where a proxy makes it public, name the vaults: `everleaf --json status` shows their ids.
EVERLEAF_IMAGE_LIMIT is the largest image that it takes.")]
pub(super) struct Hub {
    /// Where to keep what it is given: dir:PATH or s3://BUCKET[/PREFIX]
    #[arg(long, value_name = "URL")]
    data: String,
    /// Where to listen; port 0 for any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4681")]
    listen: SocketAddr,
    /// Serve this vault; may be given several times
    #[arg(long, value_name = "VAULT", num_args = 1..)]
    allow: Vec<VaultId>,
    /// Serve any vault
    #[arg(long)]
    allow_new: bool,
    /// The most that a vault may keep here, as in 10G
    #[arg(long, value_name = "SIZE", value_parser = a_size)]
    quota_bytes: Option<u64>,
    /// The most objects that a vault may keep here
    #[arg(long, value_name = "NUMBER")]
    quota_objects: Option<u64>,
    /// The most requests that a vault may make in a second
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    quota_requests: Option<u32>,
    /// The most connections at once
    #[arg(long, value_name = "NUMBER", default_value_t = 1024)]
    connections: usize,
    /// How to write the log
    #[arg(long, value_enum, default_value = "text")]
    log: Log,
    /// s3: address of the server [default: AWS]
    #[arg(long, value_name = "URL", value_parser = web_address)]
    endpoint: Option<String>,
    /// s3: region [default: auto; at AWS, what its tools use, or us-east-1]
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// s3: profile of ~/.aws to take credentials from
    #[arg(long, value_name = "PROFILE")]
    profile: Option<String>,
}

fn a_size(text: &str) -> std::result::Result<u64, String> {
    let expected = "it should be a number of bytes, or one with K, M or G behind it";
    size(text).ok_or_else(|| expected.to_owned())
}

impl Hub {
    pub(super) const fn log(&self) -> Log {
        self.log
    }

    pub(super) async fn run(self, context: &Context) -> Result {
        // From here on, so that no signal finds nobody waiting for it.
        let stopped = stopped();
        let allow_new = self.allow_new || (self.allow.is_empty() && self.listen.ip().is_loopback());
        if !allow_new && self.allow.is_empty() {
            return Err(CliError::NobodyAllowed);
        }
        let Self { data, endpoint, region, profile, .. } = self;
        let url = data.clone();
        let stored = RemoteOptions { url, endpoint, region, public_url: None, profile };
        let opened = open_data(&stored).await.map_err(CliError::HubData)?;
        let options = Options {
            allow: self.allow.into_iter().collect(),
            allow_new,
            quotas: Quotas {
                bytes: self.quota_bytes,
                objects: self.quota_objects,
                requests: self.quota_requests,
            },
            image_limit: context.config.image_limit,
            connections: self.connections,
            ..Options::default()
        };
        let listen = |source| CliError::Listen { address: self.listen, source };
        let listener = TcpListener::bind(self.listen).await.map_err(listen)?;
        let vaults = options.allow.len();
        let server = Server::start(listener, opened, options).map_err(listen)?;
        let url = server.url();
        let value =
            json!({ "listening": url, "data": data, "allowed": vaults, "allow_new": allow_new });
        context.show(&value, |out| writeln!(out, "Serving {data} on {url}; Ctrl-C ends it."))?;
        if allow_new {
            context.tell("note: anybody who reaches this hub may bring a vault");
        }
        stopped.await;
        server.stop().await;
        Ok(ExitCode::SUCCESS)
    }
}
