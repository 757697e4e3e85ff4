//! The command, run as a person or a script runs it: the real binary, in folders of its own, with an
//! environment of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use everleaf::{clock::SystemClock, loopback::Loopback, vault::Vault};
use serde_json::{Value, json};

use crate::{image::png, machine::Machine};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn has_keys(value: &Value, expected: &[&str]) {
    let keys = keys(value);
    for key in expected {
        assert!(keys.contains(key), "{key} is not among {keys:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn two_devices_meet_in_a_folder() {
    let machine = Machine::new();
    let init = machine.run_on("laptop", &["--json", "init", "--name", "laptop"]).json();
    has_keys(&init, &["vault", "device", "key"]);
    let key = init["key"].as_str().unwrap();
    assert_eq!(machine.run_on("laptop", &["key"]).ok().trim(), key);
    assert_eq!(machine.run_on("laptop", &["key", "--json"]).json()["key"], key);

    machine.file("crumb.png", png(40, 30, b"crumb"));
    machine.file("crust.png", png(30, 40, b"crust"));
    machine.file("bread.md", "# Bread\n\nFlour and water.\n\n![Crumb](crumb.png)\n");
    let new = ["--json", "new", "bread.md", "--path", "Recipes/Bread.md"];
    let bread = machine.run_on("laptop", &new).json()["note"].as_str().unwrap().to_owned();
    let attached = machine.run_on("laptop", &["--json", "attach", "Bread", "crust.png"]).json();
    assert_eq!(attached["images"][0]["already_stored"], false);
    assert_eq!(attached["images"][0]["state"], "waiting");
    let added = machine.run_on("laptop", &["remote", "add", "origin", "dir:meeting"]);
    assert!(added.stderr.contains("made the folder"), "{}", added.stderr);
    let synced = machine.run_on("laptop", &["--json", "sync"]).json();
    assert_eq!(synced["uploaded"]["images"], 2);
    assert_eq!(synced["pushed"]["changes"], 3);

    let join = ["--json", "join", "dir:meeting", "--key", "-", "--name", "phone"];
    let joined = machine.run_with("phone", &join, key.as_bytes()).json();
    assert_eq!(joined["vault"], init["vault"]);
    assert_ne!(joined["device"], init["device"]);
    assert_eq!(joined["sync"]["fetched"]["images"], 2);
    let source = machine.run_on("phone", &["show", &bread, "--source"]).ok();
    let expected = "# Bread\n\nFlour and water.\n\n![Crumb](crumb.png)\n\n![crust](crust.png)\n";
    assert_eq!(source, expected);

    let rye = source.replace("Flour", "Rye flour");
    machine.run_with("laptop", &["edit", "Bread", "-"], rye.as_bytes()).ok();
    let salt = source.replace("water.", "water, salt.");
    machine.file("salt.md", &salt);
    machine.run_on("phone", &["edit", "Recipes/Bread.md", "salt.md"]).ok();
    for device in ["laptop", "phone", "laptop"] {
        machine.run_on(device, &["sync", "origin"]).ok();
    }
    let both = source.replace("Flour and water.", "Rye flour and water, salt.");
    for device in ["laptop", "phone"] {
        assert_eq!(machine.run_on(device, &["show", &bread, "--source"]).ok(), both);
        machine.run_on(device, &["verify", "--remote", "origin"]).ok();
    }
    let idle = machine.run_on("laptop", &["--json", "sync"]).json();
    assert_eq!(idle["requests"]["head"], 1);
    assert_eq!(idle["requests"]["list"], 0);
    let status = machine.run_on("phone", &["--json", "status"]).json();
    assert_eq!(status["unsynced_notes"], 0);
    assert_eq!(status["images"]["uploaded"], 2);
}

#[test]
fn json_has_the_shapes_that_are_promised() {
    let machine = Machine::with_vault();
    machine.file("a.png", png(1, 2, b"a"));
    machine.file("a.md", "# A\n![](a.png)\n");
    machine.run(&["new", "a.md"]).ok();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    let list = machine.run(&["--json", "list"]).json();
    let columns = ["note", "title", "path", "updated", "characters", "images", "pending_images"];
    has_keys(&list[0], &columns);
    assert_eq!(list[0]["trashed"], false);

    let status = machine.run(&["--json", "status"]).json();
    has_keys(&status, &["notes", "unsynced_notes", "images", "remotes"]);
    has_keys(&status["images"], &["distinct", "bytes", "waiting", "pending", "uploading"]);
    has_keys(&status["images"], &["failed", "blocked", "uploaded"]);
    has_keys(&status["remotes"][0], &["name", "url", "last_sync", "unpushed_changes"]);
    let note = machine.run(&["--json", "status", "A"]).json();
    has_keys(&note, &["has_pending_image_uploads", "has_unsynced_images", "pending_image_count"]);
    has_keys(&note, &["synced_image_urls", "local_only_image_paths"]);

    let images = machine.run(&["--json", "images", "--queue"]).json();
    has_keys(&images[0], &["image", "media_type", "bytes", "width", "height", "state", "attempts"]);
    has_keys(&images[0], &["retry_at", "error", "url", "notes", "local"]);
    assert_eq!(
        machine.run(&["--json", "images", "--state", "blocked"]).json(),
        Value::Array(vec![])
    );

    let synced = machine.run(&["--json", "sync"]).json();
    has_keys(&synced["pulled"], &["segments", "changes"]);
    has_keys(&synced["pushed"], &["segments", "changes", "bytes"]);
    has_keys(&synced["uploaded"], &["images", "bytes", "already_there", "failed", "blocked"]);
    has_keys(&synced["fetched"], &["images", "bytes"]);
    has_keys(&synced["requests"], &["get", "head", "put", "list", "delete"]);

    let log = machine.run(&["--json", "log"]).ok();
    let events: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (event, seq) in events.iter().zip(1..) {
        has_keys(event, &["seq", "at", "origin", "event"]);
        assert_eq!(event["seq"], seq);
    }
    assert_eq!(events[0]["event"], "LogBegun");
    let pushed = events.iter().find(|event| event["event"] == "SegmentPushed").unwrap();
    has_keys(pushed, &["remote", "segment", "hash", "through"]);
    let end = events.len().to_string();
    assert_eq!(machine.run(&["--json", "log", "--since", &end]).ok().lines().count(), 1);
    let of_note = machine.run(&["log", "--note", "A"]).ok();
    assert_eq!(of_note.lines().count(), 2, "{of_note}");

    assert_eq!(machine.run(&["--json", "trash", "A"]).json()["changed"], true);
    assert_eq!(machine.run(&["--json", "list"]).json(), Value::Array(vec![]));
    assert_eq!(machine.run(&["--json", "list", "--trashed"]).json()[0]["trashed"], true);
    assert_eq!(machine.run(&["--json", "restore", "A"]).json()["changed"], true);
    assert_eq!(machine.run(&["--json", "retry"]).json()["retried"], 0);
    assert_eq!(machine.run(&["--json", "rebuild"]).json()["notes"], 1);
    assert_eq!(machine.run(&["--json", "verify"]).json()["findings"], Value::Array(vec![]));
    assert_eq!(machine.run(&["--json", "remote", "list"]).json()[0]["name"], "origin");
    assert_eq!(machine.run(&["--json", "remote", "remove", "origin"]).json()["removed"], true);
}

#[test]
fn several_notes_are_thrown_away_at_once_or_none() {
    let machine = Machine::with_vault();
    for title in ["A", "B", "C"] {
        machine.run_with("vault", &["new", "-"], format!("# {title}\n").as_bytes()).ok();
    }
    let refused = machine.run(&["trash", "A", "Nowhere", "B"]);
    assert!(refused.code == 1 && refused.stderr.contains("Nowhere"), "{}", refused.stderr);
    assert_eq!(machine.run(&["--json", "list"]).json().as_array().unwrap().len(), 3);
    let told = machine.run(&["trash", "A", "B"]).ok();
    assert_eq!(told, "`A` is in the trash.\n`B` is in the trash.\n");
    assert_eq!(machine.run(&["--json", "list"]).json().as_array().unwrap().len(), 1);
    let told = machine.run(&["--json", "restore", "A", "C"]).ok();
    let changed: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["changed"].take())
        .collect();
    assert_eq!(changed, [true, false]);
}

#[test]
fn a_note_can_be_read_as_it_was() {
    let machine = Machine::with_vault();
    machine.run_with("vault", &["new", "-"], b"# A\none\n").ok();
    let before = machine.run(&["--json", "show", "A"]).json();
    assert_eq!(before["markdown"], "# A\none\n");
    machine.run_with("vault", &["edit", "A", "-"], b"# A\ntwo\n").ok();
    assert_eq!(machine.run(&["show", "A"]).ok(), "# A\ntwo\n");
    let heads = before["heads"].as_str().unwrap();
    assert_eq!(machine.run(&["show", "A", "--at", heads]).ok(), "# A\none\n");
}

#[test]
fn an_edit_may_be_of_an_older_version() {
    let machine = Machine::with_vault();
    machine.run_with("vault", &["new"], b"# Bread\nFlour.\n").ok();
    let shown = machine.run(&["--json", "show", "Bread"]).json();
    machine.run_with("vault", &["edit", "Bread", "-"], b"# Bread\nRye flour.\n").ok();
    let at = ["--json", "edit", "Bread", "-", "--at", shown["heads"].as_str().unwrap()];
    let edited = machine.run_with("vault", &at, b"# Bread\nFlour.\nSalt.\n").json();
    let merged = machine.run(&["show", "Bread", "--source"]).ok();
    assert_eq!(merged, "# Bread\nRye flour.\nSalt.\n");
    // What its author has before them now, and goes on with.
    let at = ["edit", "Bread", "-", "--at", edited["heads"].as_str().unwrap()];
    machine.run_with("vault", &at, b"# Bread\nFlour.\nSalt.\nWater.\n").ok();
    let merged = machine.run(&["show", "Bread", "--source"]).ok();
    assert_eq!(merged, "# Bread\nRye flour.\nSalt.\nWater.\n");
}

#[test]
fn an_editor_does_not_overwrite_what_happened_meanwhile() {
    let mut machine = Machine::with_vault();
    machine.run_with("vault", &["new"], b"# A\n\nfirst\n\nsecond\n").ok();
    let everleaf = env!("CARGO_BIN_EXE_everleaf");
    // While it is open, somebody else changes the note.
    let editor = machine.script(
        "editor",
        &format!(
            "stat -c %a \"$2\" > mode\nsed -i s/first/FIRST/ \"$2\"\n\
             printf '# A\\n\\nfirst\\n\\nSECOND\\n' | {everleaf} edit A -"
        ),
    );
    machine.set("EDITOR", &format!("'{editor}' --wait"));
    machine.run(&["edit", "A"]).ok();
    assert_eq!(machine.run(&["show", "A"]).ok(), "# A\n\nFIRST\n\nSECOND\n");
    assert_eq!(fs::read_to_string(machine.path("mode")).unwrap(), "600\n");
}

#[test]
fn a_text_that_is_not_taken_in_is_kept() {
    let mut machine = Machine::with_vault();
    machine.run_with("vault", &["new"], b"# A\n").ok();
    machine.set("TMPDIR", &machine.path("").display().to_string());
    let editor = machine.script("editor", r"printf '\377 my text' > $1");
    machine.set("VISUAL", &editor);
    let ran = machine.run(&["edit", "A"]);
    assert_eq!(ran.code, 1);
    let kept = ran.stderr.split("kept in ").nth(1).unwrap().trim();
    assert_eq!(fs::read(kept).unwrap(), b"\xff my text");
    assert_eq!(machine.run(&["show", "A"]).ok(), "# A\n");
}

#[test]
fn a_reader_that_has_read_enough_is_no_error() {
    let machine = Machine::with_vault();
    let long = "x".repeat(1 << 20);
    machine.run_with("vault", &["new", "--path", "long.md"], long.as_bytes()).ok();
    let mut child = machine
        .command("vault")
        .args(["show", "long.md"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(output.status.success());
}

#[test]
fn what_is_private_is_for_its_owner_alone() {
    let machine = Machine::with_vault();
    assert_eq!(mode(&machine.vault("vault")), 0o700);
    assert_eq!(mode(&machine.path("vault/key")), 0o600);
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    assert_eq!(mode(&machine.path("meeting")), 0o700);
}

#[test]
fn the_vault_is_found_in_the_data_folder() {
    let machine = Machine::new();
    let mut command = machine.command("vault");
    command.env_remove("EVERLEAF_VAULT").args(["--json", "init"]);
    assert!(command.output().unwrap().status.success());
    assert!(machine.path(".local/share/everleaf/vault.json").is_file());
}

#[test]
fn a_log_can_be_followed_while_others_write() {
    let machine = Machine::with_vault();
    let mut child = machine
        .command("vault")
        .args(["--json", "log", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("LogBegun"));
    machine.run_with("vault", &["new"], b"# A\n").ok();
    assert!(lines.next().unwrap().contains("NoteChanged"));
    interrupt(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_watch_goes_on_until_it_is_interrupted() {
    let machine = Machine::with_vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.run_with("vault", &["new"], b"# A\n").ok();
    let key = machine.run(&["key"]).ok();
    let mut child = machine
        .command("vault")
        .args(["--json", "sync", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(first["pushed"]["changes"], 2);
    let mut phone = machine;
    phone.set("EVERLEAF_KEY", key.trim());
    phone.run_on("phone", &["join", "dir:meeting"]).ok();
    phone.run_with("phone", &["edit", "A", "-"], b"# A\nand more\n").ok();
    phone.run_on("phone", &["sync"]).ok();
    let second: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    assert_eq!(second["pulled"]["changes"], 1);
    for (again, hint) in [
        (&["sync", "--watch"] as &[_], "`everleaf sync` asks it to sync at once"),
        (&["web"], "end that first; `everleaf web` syncs as well"),
    ] {
        let refused = phone.run(again);
        let said =
            format!("error: process {} has the vault, and syncs it\nhint: {hint}\n", child.id());
        assert_eq!((refused.code, refused.stderr), (1, said));
    }
    interrupt(&child);
    assert!(child.wait().unwrap().success());
    assert_eq!(phone.run(&["show", "A"]).ok(), "# A\nand more\n");
}

/// Presses Ctrl-C.
fn interrupt(child: &Child) {
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn images_get_urls_in_a_bucket() {
    let store = Loopback::start(Arc::new(SystemClock)).await.unwrap();
    store.set_public(true);
    let (endpoint, public) = (store.endpoint(), store.public_url());
    let mut machine = Machine::with_vault();
    machine.set("AWS_ACCESS_KEY_ID", Loopback::access_key());
    machine.set("AWS_SECRET_ACCESS_KEY", Loopback::secret_key());
    let url = format!("s3://{}/notes", Loopback::bucket());
    let public = format!("{public}/notes");
    let add = ["remote", "add", "r2", &url, "--endpoint", &endpoint, "--public-url", &public];
    machine.run(&add).ok();
    machine.file("a.png", png(1, 2, b"a"));
    machine.file("a.md", "# A\n![](a.png)\n");
    machine.run(&["new", "a.md"]).ok();
    let synced = machine.run(&["--json", "sync", "r2", "--verify-public"]).json();
    assert_eq!((&synced["uploaded"]["images"], &synced["linked"]), (&1.into(), &1.into()));
    let image = &machine.run(&["--json", "images", "--state", "uploaded"]).json()[0];
    let url = image["url"].as_str().unwrap();
    assert!(url.starts_with(&public), "{url}");
    assert_eq!(machine.run(&["show", "A"]).ok(), format!("# A\n![]({url})\n"));
    assert_eq!(machine.run(&["show", "A", "--source"]).ok(), "# A\n![](a.png)\n");
    let status = machine.run(&["--json", "status", "A"]).json();
    assert_eq!(status["synced_image_urls"][0], url);
    assert_eq!(status["has_unsynced_images"], false);
}

#[test]
fn an_attached_image_is_uploaded_at_once_where_there_is_a_remote() {
    let machine = Machine::with_vault();
    machine.run_with("vault", &["new"], b"# A\n").ok();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.run(&["sync"]).ok();
    for (name, expected, options) in
        [("a.png", "waiting", ["--offline"].as_slice()), ("b.png", "uploaded", &[])]
    {
        machine.file(name, png(1, 1, name.as_bytes()));
        let arguments = [["--json", "attach", "A", name].as_slice(), options].concat();
        assert_eq!(machine.run(&arguments).json()["images"][0]["state"], expected);
    }
    // A remote that is away keeps nothing from being attached.
    fs::rename(machine.path("meeting"), machine.path("away")).unwrap();
    machine.file("c.png", png(1, 1, b"c"));
    let ran = machine.run(&["--json", "attach", "A", "c.png"]);
    assert!(ran.stderr.contains("the remote is away"), "{}", ran.stderr);
    assert_eq!(ran.json()["images"][0]["state"], "waiting");
}

#[test]
fn the_shell_and_the_manual_know_every_command() {
    let machine = Machine::new();
    for shell in ["bash", "zsh", "fish"] {
        assert!(machine.run(&["completions", shell]).ok().contains("rebuild"));
    }
    assert!(machine.run(&["man"]).ok().starts_with(".ie"));
    machine.run(&["man", "--dir", "pages"]).ok();
    assert!(machine.path("pages/everleaf-remote-add.1").is_file());
}

#[test]
fn tables_are_for_people() {
    let machine = Machine::with_vault();
    machine.file("a.png", png(640, 480, b"a"));
    machine.file("a.md", "# Alpha\n![](a.png)\n");
    machine.run(&["new", "a.md", "--path", "Notes/Alpha.md"]).ok();
    machine.run_with("vault", &["new"], b"# Beta\x1b[31m\n").ok();
    let list = machine.run(&["list"]).ok();
    assert!(
        list.contains("1 image, 1 to upload  Alpha") && list.contains("Notes/Alpha.md"),
        "{list}"
    );
    assert!(!list.contains('\x1b'), "{list}");
    let images = machine.run(&["images"]).ok();
    assert!(images.contains("waiting") && images.contains("640 × 480"), "{images}");
    let vault = Vault::open(&machine.vault("vault"), everleaf::vault::Options::default()).unwrap();
    let ids: Vec<String> = vault.list().unwrap().iter().map(|row| row.note.to_string()).collect();
    drop(vault);
    // What the table shows of an id is enough to name the note.
    for (line, id) in list.lines().zip(ids) {
        let short = line.split(' ').next().unwrap();
        assert_eq!(machine.run(&["--json", "show", short]).json()["note"], id.as_str());
    }
}

#[test]
fn notes_are_found_by_what_they_say() {
    let machine = Machine::with_vault();
    let bread = "# Bread\n\nRye flour\x1b and water.\n";
    machine.run_with("vault", &["new", "--path", "A/Bread.md"], bread.as_bytes()).ok();
    machine.run_with("vault", &["new"], b"# Soup\n\nFlour and water, no rye.\n").ok();
    let both = machine.run(&["search", "FLOUR", "rye"]).ok();
    assert_eq!(both.lines().count(), 4, "{both}");
    let one = machine.run(&["search", "rye flour"]).ok();
    assert!(one.contains("  Bread  A/Bread.md\n    3: Rye flour\u{fffd} and water.\n"), "{one}");
    let found = machine.run(&["--json", "search", "rye flour"]).json();
    has_keys(&found[0], &["note", "title", "path", "updated", "excerpt"]);
    assert_eq!(found[0]["excerpt"]["line"], 3);
    assert_eq!(found[0]["excerpt"]["pieces"][0], json!({ "text": "Rye flour", "found": true }));
    assert_eq!(machine.run(&["--json", "search", "leek"]).json(), json!([]));
    assert_eq!(
        machine
            .run(&["--json", "search", "flour", "--limit", "1"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let refused = machine.run(&["search", " "]);
    assert!(refused.code == 1 && refused.stderr.contains("give a word"), "{}", refused.stderr);
}

#[test]
fn a_folder_goes_in_and_comes_out() {
    let machine = Machine::with_vault();
    fs::create_dir_all(machine.path("notes/Recipes")).unwrap();
    let bread = "# Bread\r\n![](../crumb.png)\n![](../Gone.png)\n";
    machine.file("notes/Recipes/Bread.md", bread);
    machine.file("notes/crumb.png", png(4, 3, b"crumb"));
    machine.file("notes/latin1.md", b"Caf\xe9\n");
    let imported = machine.run(&["--json", "import", "notes"]).json();
    has_keys(&imported, &["notes", "changed", "images", "missing", "skipped"]);
    has_keys(&imported["images"], &["references", "distinct", "bytes_referenced", "bytes_stored"]);
    assert_eq!(imported["missing"][0]["destination"], "../Gone.png");
    assert_eq!(imported["skipped"][0]["path"], "latin1.md");
    assert_eq!(machine.run(&["--json", "import", "notes"]).json()["changed"], 0);
    machine.file("notes/paper.pdf", b"%PDF-1.7");
    let told = machine.run(&["import", "notes"]).ok();
    assert!(told.contains("1 other file left out"), "{told}");
    machine.run(&["export", "copy"]).ok();
    assert_eq!(fs::read_to_string(machine.path("copy/Recipes/Bread.md")).unwrap(), bread);
    assert_eq!(fs::read(machine.path("copy/crumb.png")).unwrap(), png(4, 3, b"crumb"));
    machine.run(&["trash", "Bread"]).ok();
    let left = machine.run(&["export", "copy"]);
    assert!(left.stderr.contains("--delete deletes"), "{}", left.stderr);
    let told = machine.run(&["export", "copy", "--delete"]).ok();
    assert!(told.contains("0 written, 2 deleted"), "{told}");
    assert!(!machine.path("copy/Recipes").exists() && !machine.path("copy/crumb.png").exists());
}

#[test]
fn the_demonstration_holds_what_it_claims() {
    let machine = Machine::new();
    let story = machine.run(&["--json", "demo"]).json();
    let claims = story["claims"].as_array().unwrap();
    assert!(!claims.is_empty() && claims.iter().all(|claim| claim["holds"] == true), "{story}");
    assert!(!machine.vault("vault").exists());
}
