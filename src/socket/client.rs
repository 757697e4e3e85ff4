//! The side that asks.

use std::{fmt, io, path::Path, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{AskError, Asked, Call, Hello, LINE_LIMIT, PROTOCOL, Step, Told, path::Address};

/// A connection to the process that has the vault.
pub(super) struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    process: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client(process {})", self.process)
    }
}

impl Client {
    /// Connects to whoever serves the vault in `folder`; `None` where nobody does. Whoever does has to
    /// say so within `patience`: the system takes connections for a process that is suspended, too.
    pub(super) async fn connect(
        folder: &Path,
        patience: Duration,
    ) -> Result<Option<Self>, AskError> {
        let Ok(address) = Address::of(folder) else { return Ok(None) };
        // A socket that nobody listens on was left by a process that was killed.
        let Ok(stream) = UnixStream::connect(&address.path).await else { return Ok(None) };
        let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let (reader, writer) = stream.into_split();
        let mut client = Self { reader: BufReader::new(reader), writer, process: 0 };
        let hello = match tokio::time::timeout(patience, client.read::<Hello>()).await {
            Ok(Ok(hello)) => hello,
            // One that hangs up at once is about to end.
            Ok(Err(_)) => return Ok(None),
            Err(_) => {
                let process = peer.and_then(|peer| peer.try_into().ok()).unwrap_or_default();
                let source = io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
                return Err(AskError::Lost { process, source });
            }
        };
        if hello.protocol != PROTOCOL {
            let Hello { process, version, .. } = hello;
            return Err(AskError::OtherVersion { process, version });
        }
        client.process = hello.process;
        Ok(Some(client))
    }

    pub(super) const fn process(&self) -> u32 {
        self.process
    }

    pub(super) async fn ask<C: Call>(
        &mut self,
        call: C,
        tell: &(dyn Fn(Step) + Send + Sync),
    ) -> Result<C::Answer, AskError> {
        let process = self.process;
        let lost = move |source| AskError::Lost { process, source };
        let with = to_raw_value(&call).map_err(|error| lost(error.into()))?;
        let asked = Asked { call: C::NAME.to_owned(), with };
        let mut line = serde_json::to_vec(&asked).map_err(|error| lost(error.into()))?;
        line.push(b'\n');
        self.writer.write_all(&line).await.map_err(lost)?;
        loop {
            match self.read::<Told<C::Answer>>().await.map_err(lost)? {
                Told::Progress(step) => tell(step),
                Told::Answer(answer) => return Ok(answer),
                Told::Error(refusal) => return Err(AskError::Refused(refusal)),
            }
        }
    }

    async fn read<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = Vec::new();
        (&mut self.reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
