//! `search`: finding notes by what they say.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use everleaf::{
    search::Excerpt,
    socket::calls,
    vault::{Found, SearchOptions},
};

use super::{
    Context, Result,
    text::{clean, count, time},
};

/// How long somebody waits before it is said why.
const PATIENCE: Duration = Duration::from_secs(2);

/// Find notes by what they say
///
/// A note is found that says each of the words in its title, its path or its text; parts of words count, and their case
/// does not. Those that are called so come first, then those that were changed last. The first search reads every
/// note, and later ones those that were changed since.
#[derive(Args)]
#[command(after_help = "\
Examples:
  everleaf search flour water
  everleaf search 'rye flour' --limit 5    a phrase, and the first five notes")]
pub(super) struct Search {
    /// Words, or phrases where they have spaces
    #[arg(required = true)]
    words: Vec<String>,
    /// Those in the trash too
    #[arg(long)]
    trashed: bool,
    /// At most so many
    #[arg(long, value_name = "NOTES")]
    limit: Option<usize>,
}

impl Search {
    pub(super) async fn run(self, context: &Context) -> Result {
        let vault = context.vault().await?;
        let query = self.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        let options = SearchOptions { trashed: self.trashed, limit: self.limit };
        let asked = vault.ask(calls::Search { query, options });
        let mut asked = std::pin::pin!(asked);
        let found = tokio::select! {
            found = &mut asked => found?,
            () = tokio::time::sleep(PATIENCE) => {
                context.tell("Reading the notes that were changed since the last search…");
                asked.await?
            }
        };
        context.show(&found, |out| {
            for Found { listed, excerpt } in &found {
                let path = listed.path.as_ref().filter(|path| **path != listed.title);
                let parts =
                    [Some(&listed.title), path].into_iter().flatten().map(|part| clean(part));
                let called = parts.collect::<Vec<_>>().join("  ");
                let trashed = if listed.trashed { "  (in the trash)" } else { "" };
                writeln!(out, "{}  {}  {called}{trashed}", listed.note, time(listed.updated))?;
                if let Some(Excerpt { line, pieces }) = excerpt {
                    let said: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
                    writeln!(out, "    {line}: {}", clean(&said))?;
                }
            }
            Ok(())
        })?;
        context.tell(match found.len() {
            0 => "No note says that.".to_owned(),
            some => count(some as u64, "note"),
        });
        Ok(ExitCode::SUCCESS)
    }
}

/// What an argument means in a query: one that has spaces is a phrase.
fn quoted(word: &str) -> String {
    let is_phrase = word.contains(char::is_whitespace) && !word.contains('"');
    if is_phrase { format!("\"{word}\"") } else { word.to_owned() }
}
