//! The vault key and the secret of the bucket: where they belong, and nowhere else; and who may read
//! what is written.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use everleaf::{clock::SystemClock, loopback::Loopback, seal::VaultKey};

use crate::{image::png, machine::Machine};

/// A secret as it may be written: as it is, in hexadecimal, in base64, reversed.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| {
        let digits = secret
            .iter()
            .map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        digits.collect::<String>().into_bytes()
    };
    let debug = format!("{secret:?}").trim_matches(['[', ']']).as_bytes().to_vec();
    let reversed = secret.iter().rev().copied().collect();
    let mut all = vec![secret.to_vec(), hex(false), hex(true), debug, reversed];
    for start in 0..3 {
        // Whatever stands before it.
        let from = secret.get(start..).unwrap_or_default();
        all.push(base64(from.get(..from.len() / 3 * 3).unwrap_or_default()));
    }
    all
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let triples = bytes
        .chunks_exact(3)
        .map(|three| u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]));
    triples
        .flat_map(|bits| [18, 12, 6, 0].map(|by| DIGITS[usize::try_from(bits >> by & 63).unwrap()]))
        .collect()
}

fn holds(text: &[u8], spelling: &[u8]) -> bool {
    text.windows(spelling.len()).any(|window| window == spelling)
}

struct Watch {
    secrets: Vec<(&'static str, Vec<Vec<u8>>)>,
}

impl Watch {
    #[track_caller]
    fn over(&self, place: &str, text: &[u8]) {
        for (what, spellings) in &self.secrets {
            for (number, spelling) in spellings.iter().enumerate() {
                assert!(!holds(text, spelling), "{place} holds {what}, in spelling {number}");
            }
        }
    }

    #[track_caller]
    fn over_files(&self, folder: &Path, but: &[&str]) {
        let files = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
        let mut seen = 0;
        for file in files.filter(|entry| entry.file_type().is_file()) {
            let path = file.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            if !but.contains(&path.as_str()) {
                self.over(&path, &fs::read(file.path()).unwrap());
                seen += 1;
            }
        }
        assert!(seen > 10, "there is something to look at");
    }
}

#[test]
fn a_secret_is_found_in_every_spelling() {
    let watch = Watch { secrets: vec![("it", spellings(b"a secret thing"))] };
    for spelling in &watch.secrets[0].1 {
        let text = [b"before ", spelling.as_slice(), b" behind"].concat();
        let caught = std::panic::catch_unwind(|| watch.over("here", &text));
        assert!(caught.is_err());
    }
    watch.over("here", b"nothing of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_shown_or_left_anywhere_even_at_trace_level() {
    let store = Loopback::start(Arc::new(SystemClock)).await.unwrap();
    let mut machine = Machine::with_vault();
    let key = machine.run(&["key"]).ok().trim().to_owned();
    let token = "marked-session-token-5b1c";
    let wrong = "marked-wrong-secret-77ab";
    let mut secrets = vec![
        ("the vault key", spellings(key.trim_start_matches("everleaf1").as_bytes())),
        ("the secret of the bucket", spellings(Loopback::secret_key().as_bytes())),
        ("a wrong secret", spellings(wrong.as_bytes())),
        ("a session token", spellings(token.as_bytes())),
    ];
    // The key itself, which the line only spells.
    let parsed = bech32::decode(&key).unwrap().1;
    assert_eq!(VaultKey::parse(&key).unwrap().to_bech32().as_str(), key);
    secrets.push(("the bytes of the key", spellings(&parsed)));
    let watch = Watch { secrets };

    machine.set("AWS_ACCESS_KEY_ID", Loopback::access_key());
    machine.set("EVERLEAF_LOG", "trace");
    machine.set("RUST_LOG", "trace");
    machine.set("RUST_BACKTRACE", "1");
    machine.file("a.png", png(1, 2, b"a"));
    machine.file("a.md", "# A\n![](a.png)\n");
    let (endpoint, url) = (store.endpoint(), format!("s3://{}/notes", Loopback::bucket()));
    let add = ["remote", "add", "r2", &url, "--endpoint", &endpoint];
    let join = ["join", &url, "--endpoint", &endpoint, "--key", "-", "--name", "phone"];
    let commands: [(&str, &[&str]); 10] = [
        ("vault", &["new", "a.md"]),
        ("vault", &add),
        ("vault", &["sync"]),
        ("vault", &["-vvv", "verify", "--remote", "r2", "--images"]),
        ("phone", &join),
        ("phone", &["--json", "sync"]),
        ("phone", &["status"]),
        ("phone", &["log"]),
        ("phone", &["images"]),
        ("phone", &["key", "--no-such-option"]),
    ];
    let mut logged = 0;
    for (secret, good) in [(wrong, false), (Loopback::secret_key(), true)] {
        machine.set("AWS_SECRET_ACCESS_KEY", secret);
        for (device, arguments) in commands {
            let ran = machine.run_with(device, arguments, key.as_bytes());
            let uses_store = arguments.contains(&"sync") || arguments.contains(&"add");
            assert!(!(good && uses_store) || ran.code == 0, "{arguments:?}: {}", ran.stderr);
            watch.over(&format!("stdout of {arguments:?}"), ran.stdout.as_bytes());
            watch.over(&format!("stderr of {arguments:?}"), ran.stderr.as_bytes());
            logged += ran.stderr.matches("TRACE").count();
        }
    }
    assert!(logged > 100, "there is a log to look at");
    // With a token that the store does not ask for, whatever it says to it.
    machine.set("AWS_SESSION_TOKEN", token);
    let ran = machine.run(&["sync"]);
    watch.over("stderr with a session token", ran.stderr.as_bytes());
    watch.over_files(&machine.path(""), &["vault/key", "phone/key"]);
    for (name, object) in store.objects() {
        watch.over(&name, &object.bytes);
    }
}

#[test]
fn a_key_from_standard_input_is_not_among_the_arguments() {
    let machine = Machine::with_vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    let key = machine.run(&["key"]).ok();
    let mut child = machine
        .command("phone")
        .args(["join", "dir:meeting", "--key", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let arguments = fs::read(format!("/proc/{}/cmdline", child.id()));
    child.stdin.take().unwrap().write_all(key.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    if let Ok(arguments) = arguments {
        assert!(!holds(&arguments, key.trim().as_bytes()));
    }
    let said = |arguments: &[&str]| machine.run_on("tablet", arguments).stderr;
    assert!(!String::from_utf8(output.stderr).unwrap().contains("other users"));
    // Whoever gives it as an argument is told.
    let stderr = said(&["join", "dir:meeting", "--key", key.trim()]);
    assert!(stderr.starts_with("note: other users of this machine can see a key"), "{stderr}");
    assert!(!stderr.contains(key.trim()));
}

#[test]
fn nothing_secret_has_a_debug_form() {
    let key = VaultKey::generate(&SystemClock);
    let secret = everleaf::remote::Secret::from("marked".to_owned());
    let credentials = everleaf::remote::S3Credentials::Key { id: "id".into(), secret };
    let mut options = everleaf::remote::S3Options::new("bucket", "");
    options.credentials = credentials;
    assert!(!format!("{options:?}{options:#?}").contains("marked"));
    assert_eq!(format!("{key:?}"), "VaultKey(…)");
    let sealer = format!("{:#?}", key.sealer());
    let line = key.to_bech32();
    assert!(!sealer.contains(&line[9..]) && !sealer.contains("nonces"), "{sealer}");
}

/// Runs the command as somebody would whose umask is `umask`.
fn with_umask(machine: &Machine, umask: &str, arguments: &[&str], stdin: &[u8]) {
    let command = machine.command("vault");
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("umask {umask}; exec \"$@\"")).arg("sh").arg(command.get_program());
    shell.args(arguments).current_dir(machine.path("")).env_clear().stdin(Stdio::piped());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = shell.stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
}

fn modes(folder: &Path) -> Vec<(String, bool, u32)> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(Result::unwrap);
    let mode = |entry: walkdir::DirEntry| {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        (entry.path().display().to_string(), entry.file_type().is_dir(), mode)
    };
    entries.map(mode).collect()
}

#[test]
fn a_vault_is_for_its_owner_alone_whatever_the_umask() {
    let machine = Machine::new();
    fs::create_dir(machine.path("open")).unwrap();
    fs::set_permissions(machine.path("open"), fs::Permissions::from_mode(0o755)).unwrap();
    machine.file("a.png", png(1, 2, b"a"));
    let run = |arguments: &[&str], stdin: &[u8]| with_umask(&machine, "000", arguments, stdin);
    run(&["init"], b"");
    run(&["new"], b"# A\n![](a.png)\n");
    run(&["remote", "add", "origin", "dir:meeting"], b"");
    run(&["sync"], b"");
    run(&["verify"], b"");
    run(&["export", "open/export"], b"");
    // As after an unclean stop, which has the journals copied.
    machine.file("vault/open", "");
    run(&["import", "open/export"], b"");
    let vault = machine.vault("vault");
    let found = modes(&vault);
    assert!(found.iter().any(|(path, ..)| path.contains("/journals/1/")), "{found:?}");
    assert!(found.len() > 20, "{found:?}");
    for (path, is_folder, mode) in found {
        let right = if is_folder { mode == 0o700 } else { matches!(mode, 0o600 | 0o400) };
        assert!(right, "{path} has mode {mode:o}");
    }
    // What was there before is left, and what is for others is as they want it.
    assert_eq!(modes(&machine.path("open"))[0].2, 0o755);
    assert_eq!(modes(&machine.path("meeting"))[0].2, 0o700);
    with_umask(&machine, "027", &["export", "shared"], b"");
    for (path, is_folder, mode) in modes(&machine.path("shared")) {
        assert_eq!(mode, if is_folder { 0o750 } else { 0o640 }, "{path}");
    }
    // A copy or a backup may open what was closed.
    fs::set_permissions(&vault, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(vault.join("key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = machine.run(&["list"]);
    assert!(ran.stderr.contains("was open to others"), "{}", ran.stderr);
    assert_eq!(modes(&vault)[0].2, 0o700);
    assert_eq!(modes(&vault.join("key"))[0].2, 0o600);
}
