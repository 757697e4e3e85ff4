//! README.md, followed to the letter: its commands run as a new user would run them.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use crate::image::png;

/// The block of README.md behind its marker.
fn block(name: &str) -> String {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let marker = format!("<!-- ci: {name} -->\n```sh\n");
    let (_, rest) = readme.split_once(&marker).unwrap_or_else(|| panic!("no {marker}"));
    rest.split_once("```").unwrap().0.to_owned()
}

/// Runs a script at home, as a person at a terminal would, stopping at the first command that fails.
/// `editor` is what the person's editor does; `typed` is what the person types.
fn run(home: &Path, script: &str, editor: &str, typed: &str) -> String {
    let command = Path::new(env!("CARGO_BIN_EXE_everleaf"));
    let path = std::env::var("PATH").unwrap();
    let mut shell = Command::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .current_dir(home)
        .env_clear()
        .env("HOME", home)
        .env("PATH", format!("{}:{path}", command.parent().unwrap().display()))
        .env("EDITOR", editor)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Where nothing reads what is typed, that is no failure.
    let _ = shell.stdin.take().unwrap().write_all(typed.as_bytes());
    let output = shell.wait_with_output().unwrap();
    let (out, errors) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{script}\n{out}\n{errors}");
    out
}

#[test]
fn every_command_works_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let [laptop, phone] = ["laptop", "phone"].map(|name| folder.path().join(name));
    for home in [&laptop, &phone] {
        fs::create_dir(home).unwrap();
    }
    // What carries the folder from device to device.
    fs::create_dir(laptop.join("Sync")).unwrap();
    symlink(laptop.join("Sync"), phone.join("Sync")).unwrap();
    let bread = "# Bread\n\nFlour and water.\n\n![Oven](oven.png)\n";
    fs::write(laptop.join("bread.md"), bread).unwrap();
    fs::write(laptop.join("oven.png"), png(4, 3, b"oven")).unwrap();
    fs::write(laptop.join("crumb.png"), png(4, 3, b"crumb")).unwrap();
    fs::create_dir(laptop.join("Notes")).unwrap();
    fs::write(laptop.join("Notes/Walk.md"), "# Walk\n\n![[hill.png|300]]\n").unwrap();
    fs::write(laptop.join("Notes/hill.png"), png(9, 9, b"hill")).unwrap();

    let adopted = laptop.join("Notes/Bread.md");
    let edit = |old: &str, new: &str| format!("sed -i 's/{old}/{new}/'");
    run(&laptop, &block("laptop"), &edit("Flour", "Rye flour"), "");
    assert!(fs::read_to_string(adopted).unwrap().contains("Rye flour and water."));
    let key = run(&laptop, "everleaf key", "false", "");
    let shown = run(&phone, &block("phone"), &edit("water", "water, salt"), &key);
    assert!(shown.contains("Rye flour and water."), "{shown}");
    run(&laptop, "everleaf sync", "false", "");
    let source = "everleaf show --source Bread";
    let merged = run(&laptop, source, "false", "");
    assert_eq!(merged, run(&phone, source, "false", ""));
    let text = bread.replace("Flour and water", "Rye flour and water, salt");
    assert_eq!(merged, format!("{text}\n![crumb](crumb.png)\n"));

    run(&phone, &block("at times"), "false", "");
    let walk = fs::read_to_string(phone.join("Backup/Walk.md")).unwrap();
    assert_eq!(walk, "# Walk\n\n![[hill.png|300]]\n");
    assert_eq!(fs::read(phone.join("Backup/hill.png")).unwrap(), png(9, 9, b"hill"));
}
