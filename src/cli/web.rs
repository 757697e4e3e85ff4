//! `web`: the page over one's own vault.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use clap::Args;
use everleaf::{
    socket::{self, Door},
    vault::chain,
    web::{self, Limits, Server},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{CliError, Context, Result, signal::stopped};

/// Show your notes and their images in the browser
///
/// Serves a page on this machine alone, and prints the address that opens it: a new one each time, for
/// you alone. Keeps the vault in step with its remotes, as `sync --watch` does; all other commands work
/// beside it.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf web --open                    goes on until Ctrl-C")]
pub(super) struct Web {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = web::PORT)]
    port: u16,
    /// Open the page in your browser
    #[arg(long)]
    open: bool,
}

impl Web {
    pub(super) async fn run(self, context: &Context) -> Result {
        let door = context.vault().await?;
        let process = door.process().await.unwrap_or_default();
        let Door::Here(vault) = door else {
            let hint = "end that first; `everleaf web` syncs as well";
            return Err(CliError::Served { process, hint });
        };
        let folder = vault.folder().to_owned();
        let options = web::Options {
            port: self.port,
            sync: context.sync_options(),
            connect: None,
            limits: Limits::default(),
        };
        let server = Server::bind(vault.clone(), options).await?;
        let url = server.url();
        context.show(&json!({ "url": url, "port": server.address().port() }), |out| {
            writeln!(out, "{url}\nYour notes are at this address, for you alone. Ctrl-C ends it.")
        })?;
        let opener = self.open.then(|| Opener::open(&folder, &url)).transpose();
        let opener = opener.unwrap_or_else(|error| {
            let hint = "open the address yourself";
            context.tell(format!("note: {}: {hint}", chain(&error)));
            None
        });
        let (interrupted, end) = (stopped(), CancellationToken::new());
        let answering = async {
            if let Err(error) = socket::serve(vault, end.cancelled()).await {
                context.tell(format!("note: other commands have to wait: {}", chain(&error)));
            }
        };
        let showing = async {
            server.run(interrupted).await;
            end.cancel();
        };
        tokio::join!(answering, showing);
        drop(opener);
        Ok(ExitCode::SUCCESS)
    }
}

/// A file that leads the browser to the page. An address on the browser's command line could be read by
/// every user of this machine.
struct Opener(PathBuf);

impl Opener {
    fn open(vault: &Path, url: &str) -> Result<Self> {
        let path = vault.join("open.html");
        // One that an earlier run left may be anything.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(CliError::file("remove", &path)(error));
            }
            _ => {}
        }
        let page = format!(
            "<!doctype html><meta charset=utf-8><title>everleaf</title>\
             <meta http-equiv=refresh content=\"0;url={url}\"><a href=\"{url}\">To your notes</a>\n"
        );
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let opener = Self(path.clone());
        file.and_then(|mut file| file.write_all(page.as_bytes()))
            .map_err(CliError::file("write", &path))?;
        let command = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        let quiet = || Stdio::null();
        Command::new(command)
            .arg(&opener.0)
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet())
            .spawn()
            .map_err(|source| CliError::Browser { command, source })?;
        Ok(opener)
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        // What is left of it opens nothing: the next run has another address.
        let _ = fs::remove_file(&self.0);
    }
}
