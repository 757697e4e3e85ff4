//! The socket: what one process asks of another that has the vault.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::{Child, Stdio},
    sync::{Arc, Mutex},
};

use everleaf::{
    event::RemoteOptions,
    folder::{ExportOptions, ImportOptions},
    id::Seq,
    socket::{AskError, Call, Door, Step, calls, serve},
    vault::{NewNote, Options, SearchOptions, SyncOptions, Vault},
};
use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    image::png,
    machine::Machine,
    world::{Device, origin},
};

/// Runs `asks` with a door to a vault that this process serves.
async fn served<T>(vault: &Vault, asks: impl AsyncFnOnce(Door) -> T) -> T {
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let serving = tokio::spawn(serve(vault.clone(), async move { stopped.notified().await }));
    let door = loop {
        match Door::open(vault.folder(), &Options::default()).await {
            Ok(door @ Door::There(_)) => break door,
            other => assert!(matches!(other, Err(error) if error.is_taken())),
        }
    };
    let came = asks(door).await;
    stop.notify_one();
    serving.await.unwrap().unwrap();
    came
}

/// Makes a call at both doors and compares the answers.
async fn same<C: Call + Clone>(here: &Door, there: &Door, asked: &mut Vec<&str>, call: C) -> Value {
    asked.push(C::NAME);
    let [here, there] = [here.ask(call.clone()).await, there.ask(call).await];
    let here = serde_json::to_value(here.unwrap()).unwrap();
    assert_eq!(serde_json::to_value(there.unwrap()).unwrap(), here, "{}", C::NAME);
    here
}

#[tokio::test]
async fn every_call_answers_alike_at_both_doors() {
    let device = Device::new("laptop", 1);
    let (vault, home) = (device.vault(), device.folder.path().to_path_buf());
    device.file("crumb.png", &png(4, 4, b"crumb"));
    device.file("crust.png", &png(4, 4, b"crust"));
    std::fs::create_dir(home.join("remote")).unwrap();
    let here = Door::Here(vault.clone());
    let mut asked = Vec::new();
    let there = async |there: Door| {
        let asked = &mut asked;
        let url = format!("dir:{}", home.join("remote").display());
        let options = RemoteOptions { url, ..RemoteOptions::default() };
        same(&here, &there, asked, calls::AddRemote { name: origin(), options }).await;
        let source = "# Bread\n\n![](crumb.png)\n".to_owned();
        let new = NewNote { source, folder: Some(home.clone()), path: Some("a/b.md".into()) };
        let note = there.ask(calls::New { note: new }).await.unwrap();
        asked.push(calls::New::NAME);
        same(&here, &there, asked, calls::Find { query: "Bread".into() }).await;
        let text = there.ask(calls::Read { note, heads: None }).await.unwrap();
        assert_eq!(text.embeds.len(), 1);
        let heads = Some(text.heads.clone());
        same(&here, &there, asked, calls::Read { note, heads }).await;
        let source = text.source + "More.\n";
        let edit = calls::Edit { note, heads: text.heads, source, folder: None };
        let edited = there.ask(edit.clone()).await.unwrap();
        assert!(edited.changed);
        // What its author goes on from; nothing is left to be done there.
        let edit = calls::Edit { heads: edited.heads, ..edit };
        let again = same(&here, &there, asked, edit).await;
        assert_eq!(again["changed"], false);
        let attach = calls::Attach { note, images: vec![home.join("crust.png")], alt: None };
        let attached = there.ask(attach).await.unwrap();
        assert!(!attached[0].already_stored);
        asked.push(calls::Attach::NAME);
        assert!(there.ask(calls::SetTrashed { note, trashed: true }).await.unwrap());
        same(&here, &there, asked, calls::SetTrashed { note, trashed: true }).await;
        there.ask(calls::SetTrashed { note, trashed: false }).await.unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&steps);
        let sync = calls::Sync { remote: None, options: SyncOptions::default(), hasty: false };
        let tell = Arc::new(move |step: Step| told.lock().unwrap().push(step));
        let synced = there.ask_telling(sync.clone(), tell).await.unwrap();
        assert_eq!((synced.report.uploaded.images, synced.remote), (2, origin()));
        assert!(matches!(steps.lock().unwrap()[..], [_, .., Step::Sync(_)]));
        same(&here, &there, asked, sync).await;
        same(&here, &there, asked, calls::List {}).await;
        same(&here, &there, asked, calls::ListSome { after: None, most: 1 }).await;
        let (query, options) = ("bread".to_owned(), SearchOptions::default());
        let found = same(&here, &there, asked, calls::Search { query, options }).await;
        assert_eq!(found.as_array().unwrap().len(), 1);
        same(&here, &there, asked, calls::OfList { note }).await;
        same(&here, &there, asked, calls::Stuck {}).await;
        same(&here, &there, asked, calls::OfNote { note }).await;
        same(&here, &there, asked, calls::Status {}).await;
        let images = same(&here, &there, asked, calls::Images {}).await;
        assert_eq!(images.as_array().unwrap().len(), 2);
        same(&here, &there, asked, calls::Retry { images: None }).await;
        same(&here, &there, asked, calls::Remotes {}).await;
        let verify = calls::Verify { remote: Some(origin()), images: true, repair: false };
        let found = same(&here, &there, asked, verify).await;
        assert_eq!(found["found"]["findings"], Value::Array(Vec::new()));
        let notes = same(&here, &there, asked, calls::Rebuild {}).await;
        assert_eq!(notes, 1);
        let folder = home.join("export");
        let export = calls::Export { folder: folder.clone(), options: ExportOptions::default() };
        assert_eq!(there.ask(export.clone()).await.unwrap().written, 3);
        same(&here, &there, asked, export).await;
        // What it need not read depends on when the files were written.
        let options = ImportOptions { reread: true, ..ImportOptions::default() };
        let import = calls::Import { folder, options };
        same(&here, &there, asked, import).await;
        let events = same(&here, &there, asked, calls::Events { first: Seq(1) }).await;
        assert_eq!(events.as_array().unwrap().len(), vault.events(Seq(1)).count());
        same(&here, &there, asked, calls::Appended { after: Seq(0) }).await;
        let key = same(&here, &there, asked, calls::Key {}).await;
        assert_eq!(key, **vault.key().to_bech32());
        there.ask(calls::RemoveRemote { name: origin() }).await.unwrap();
        asked.push(calls::RemoveRemote::NAME);
        assert!(vault.remotes().unwrap().is_empty());
        let error = there.ask(calls::Find { query: "Bred".into() }).await.unwrap_err();
        let expected = here.ask(calls::Find { query: "Bred".into() }).await.unwrap_err();
        assert_eq!((error.to_string(), error.hint()), (expected.to_string(), expected.hint()));
    };
    served(vault, there).await;
    asked.sort_unstable();
    let mut names = calls::NAMES.to_vec();
    names.sort_unstable();
    assert_eq!(asked, names);
    device.check();
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_the_next_call_answered() {
    let device = Device::new("laptop", 1);
    let vault = device.vault().clone();
    served(&vault, async |_| {
        let folder = vault.folder().to_path_buf();
        let asked = tokio::task::spawn_blocking(move || {
            let stream = UnixStream::connect(folder.join("socket")).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut told =
                || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
            assert_eq!(told()["protocol"], 1);
            for nonsense in [
                "".as_bytes(),
                b"{",
                b"\xff\xfe",
                b"[]",
                b"{\"call\":\"find\",\"with\":{}}",
                b"{\"call\":\"find\",\"with\":{\"query\":7}}",
                b"{\"call\":\"format_the_disk\",\"with\":{}}",
            ] {
                (&stream).write_all(&[nonsense, b"\n"].concat()).unwrap();
                let message = told()["error"]["message"].as_str().unwrap().to_owned();
                assert!(message.starts_with("what was asked was not understood: "), "{message}");
            }
            (&stream).write_all(b"{\"call\":\"list\",\"with\":{}}\n").unwrap();
            told()
        });
        assert_eq!(asked.await.unwrap()["answer"], Value::Array(Vec::new()));
    })
    .await;
}

#[tokio::test]
async fn a_call_that_waits_hears_of_what_comes_and_does_not_hold_up_the_end() {
    let device = Device::new("laptop", 1);
    let vault = device.vault().clone();
    let last = *vault.follow().borrow();
    let (there, waits) = served(&vault, async |there| {
        let (came, _) = tokio::join!(there.ask(calls::Appended { after: last }), async {
            let writer = vault.clone();
            let note = NewNote { source: "x\n".into(), ..NewNote::default() };
            tokio::task::spawn_blocking(move || writer.new_note(&note)).await.unwrap().unwrap()
        });
        let after = came.unwrap();
        assert!(after > last);
        // Never to be answered: nothing comes any more.
        let there = Arc::new(there);
        let asks = Arc::clone(&there);
        let waits = tokio::spawn(async move { asks.ask(calls::Appended { after: Seq(99) }).await });
        (there, waits)
    })
    .await;
    assert!(matches!(waits.await.unwrap(), Err(AskError::Lost { .. })));
    drop(there);
    assert!(!vault.folder().join("socket").exists());
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_works_at_the_end_of_a_long_path() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("a".repeat(90)).join("b".repeat(90));
    std::fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let vault = Vault::create(&folder, "laptop", None, Options::default()).unwrap();
    served(&vault, async |there| {
        let mode = std::fs::metadata(folder.join("socket")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(there.ask(calls::List {}).await.unwrap().is_empty());
    })
    .await;
}

/// A process that syncs until it is stopped, from when others can ask it.
fn watching(machine: &Machine) -> Child {
    let mut command = machine.command("vault");
    let command = command.args(["sync", "--watch"]).stdout(Stdio::null()).stderr(Stdio::null());
    let child = command.spawn().unwrap();
    let socket = machine.vault("vault").join("socket");
    while UnixStream::connect(&socket).is_err() {
        std::thread::yield_now();
    }
    child
}

fn interrupt(mut child: Child) {
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
}

#[test]
fn other_commands_just_work_beside_one_that_has_the_vault() {
    let machine = Machine::with_vault();
    let remote = format!("dir:{}", machine.path("remote").display());
    machine.run(&["remote", "add", "origin", &remote]).ok();
    machine.file("crumb.png", png(4, 4, b"crumb"));
    let child = watching(&machine);
    let pid = child.id().to_string();
    let note = machine.run_with("vault", &["new", "-"], b"# Bread\n\n![](crumb.png)\n").ok();
    let note = note.trim();
    assert!(machine.run(&["list"]).ok().contains("Bread"));
    machine.run_with("vault", &["edit", note, "-"], b"# Rye bread\n\n![](crumb.png)\n").ok();
    machine.run(&["attach", note, "crumb.png", "--alt", "The crumb"]).ok();
    assert!(machine.run(&["show", note, "--source"]).ok().contains("![The crumb]"));
    let synced = machine.run(&["sync", "--json"]).json();
    assert_eq!(synced["remote"], "origin");
    let images = machine.run(&["images", "--json"]).json();
    assert_eq!(images[0]["state"], "uploaded");
    assert_eq!(machine.run(&["status", "--json"]).json()["unsynced_notes"], 0);
    machine.run(&["verify", "--remote", "origin"]).ok();
    machine.run(&["export", "folder"]).ok();
    machine.run(&["import", "folder"]).ok();
    assert!(machine.run(&["log"]).ok().contains("image"));
    assert!(machine.run(&["key"]).ok().starts_with("everleaf1"));
    let second = machine.run(&["sync", "--watch"]);
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains(&format!("process {pid} has the vault")), "{}", second.stderr);
    let missing = machine.run(&["show", "Nothing"]);
    assert_eq!(missing.code, 1);
    assert!(missing.stderr.contains("hint: `everleaf list`"), "{}", missing.stderr);
    interrupt(child);
    assert!(!machine.vault("vault").join("socket").exists());
    assert!(machine.run(&["list"]).ok().contains("Rye bread"));
}

/// As where somebody pressed Ctrl-Z in its terminal: the system goes on to take connections for it.
#[test]
fn one_that_is_suspended_is_named_and_waited_for_no_longer_than_any_other() {
    let machine = Machine::with_vault();
    let remote = format!("dir:{}", machine.path("remote").display());
    machine.run(&["remote", "add", "origin", &remote]).ok();
    let child = watching(&machine);
    let pid = child.id().to_string();
    let signal = |signal: &str| {
        assert!(
            std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success()
        );
    };
    signal("-STOP");
    let ran = machine.run(&["list"]);
    signal("-CONT");
    assert_eq!(ran.code, 1, "{}", ran.stdout);
    let expected = format!(
        "error: process {pid} has the vault, and could not be asked: it does not answer\n\
         hint: where it is suspended, `kill -CONT {pid}` lets it go on; or end that process\n"
    );
    assert_eq!(ran.stderr, expected);
    machine.run(&["list"]).ok();
    interrupt(child);
}

#[test]
fn a_socket_that_a_killed_process_left_is_in_nobodys_way() {
    let machine = Machine::with_vault();
    let remote = format!("dir:{}", machine.path("remote").display());
    machine.run(&["remote", "add", "origin", &remote]).ok();
    let mut child = watching(&machine);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Path::exists(&machine.vault("vault").join("socket")));
    machine.run_with("vault", &["new", "-"], b"# Bread\n").ok();
    let child = watching(&machine);
    assert!(machine.run(&["list"]).ok().contains("Bread"));
    interrupt(child);
}
