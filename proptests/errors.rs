//! What the command says about bad input: each case with its error and its hint, word for word.

mod remotes;

use std::fs::{self, File};

use everleaf::vault::Vault;
use insta::assert_snapshot;

use crate::{
    image::png,
    machine::{Machine, Ran},
};

/// A machine with a vault that has a note with an image.
fn with_note() -> Machine {
    let machine = Machine::with_vault();
    machine.file("crumb.png", png(4, 3, b"crumb"));
    machine.file("bread.md", "# Bread\n![](crumb.png)\n");
    machine.run(&["new", "bread.md"]).ok();
    machine
}

/// Such a machine whose vault has met others in the folder `meeting`.
fn with_remote() -> Machine {
    let machine = with_note();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    machine.run(&["sync"]).ok();
    machine
}

fn key(machine: &Machine) -> String {
    machine.run(&["key"]).ok().trim().to_owned()
}

/// Flips one bit of a file.
fn damage(path: &std::path::Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn only_file(machine: &Machine, folder: &str) -> std::path::PathBuf {
    let files = walkdir::WalkDir::new(machine.path(folder)).into_iter().map(Result::unwrap);
    let mut files = files.filter(|entry| entry.file_type().is_file());
    let file = files.next().unwrap().into_path();
    assert!(files.next().is_none());
    file
}

#[test]
fn no_vault_and_one_too_many() {
    let machine = Machine::new();
    assert_snapshot!(machine.said(&machine.run(&["list"])), @r"
        exit 1
        error: there is no vault in <dir>/vault
        hint: make one with `everleaf init`, join one with `everleaf join`, or name it with --vault
        ");
    machine.run(&["init"]).ok();
    assert_snapshot!(machine.said(&machine.run(&["init"])), @r"
        exit 1
        error: there is a vault in <dir>/vault already
        hint: name another folder with --vault, or use this vault as it is
        ");
    fs::create_dir(machine.path("full")).unwrap();
    machine.file("full/letter.txt", "Dear");
    assert_snapshot!(machine.said(&machine.run_on("full", &["init"])), @r"
        exit 1
        error: <dir>/full is not empty
        hint: name an empty or a new folder with --vault
        ");
    // What can't be looked at may be a vault.
    std::os::unix::fs::symlink("round", machine.path("round")).unwrap();
    assert_snapshot!(machine.said(&machine.run_on("round", &["list"])), @r"
        exit 1
        error: could not look at <dir>/round/key: Too many levels of symbolic links (os error 40)
        ");
}

#[test]
fn a_vault_that_is_open_elsewhere() {
    let machine = Machine::with_vault();
    let vault = Vault::open(&machine.vault("vault"), everleaf::vault::Options::default()).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["list"])), @r"
        exit 1
        error: the vault is open in process <pid>
        hint: wait until that process ends, or end it
        ");
    drop(vault);
    machine.run(&["list"]).ok();
}

#[test]
fn a_vault_of_a_newer_format() {
    let machine = Machine::with_vault();
    let file = machine.path("vault/vault.json");
    let newer = fs::read_to_string(&file).unwrap().replace("\"format\": 1", "\"format\": 2");
    fs::write(&file, newer).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["list"])), @r"
        exit 1
        error: the vault in <dir>/vault has format 2, which a newer everleaf made
        hint: use the everleaf that made it, or a newer one
        ");
    assert_snapshot!(machine.said(&machine.run(&["--json", "list"])), @r#"
        exit 1
        {"error":"the vault in <dir>/vault has format 2, which a newer everleaf made","hint":"use the everleaf that made it, or a newer one"}
        "#);
    fs::write(&file, "{").unwrap();
    assert_snapshot!(machine.said(&machine.run(&["list"])), @r"
        exit 1
        error: <dir>/vault/vault.json is damaged
        hint: restore the folder from a backup, or `everleaf join` the vault anew in another folder, with the key that `everleaf key` still shows; keep this one if it has what was never synced
        ");
}

#[test]
fn a_damaged_image() {
    let machine = with_note();
    damage(&only_file(&machine, "vault/images"));
    assert_snapshot!(machine.said(&machine.run(&["verify"])), @r"
        exit 1
        image <hex>: `<dir>/vault/images/45/<hex>.png` is damaged: its bytes hash to <hex>; adding the image again mends it
        Checked 4 events, 1 note, 0 images, 0 changes by upload projectors: 1 thing is wrong.
        checking 4 events
        checking 1 note
        checking 1 image
        ");
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    let ran = machine.run(&["sync"]);
    assert!(ran.stdout.contains("1 blocked"), "{}", ran.stdout);
    assert_snapshot!(machine.said(&Ran { stdout: String::new(), ..ran }), @r"
        exit 1
        uploading 1 image
        blocked: image <hex>: `<dir>/vault/images/45/<hex>.png` is damaged: its bytes hash to <hex>; adding the image again mends it; once that is mended, run `everleaf retry <hex>`
        ");
    assert_snapshot!(machine.said(&machine.run(&["images"])), @r"
        exit 0
        <hex>  blocked  image/png  34 B  4 × 3  in 1 note  `<dir>/vault/images/45/<hex>.png` is damaged: its bytes hash to <hex>; adding the image again mends it
        ");
}

#[test]
fn a_missing_file() {
    let machine = with_note();
    assert_snapshot!(machine.said(&machine.run(&["new", "nothing.md"])), @r"
        exit 1
        error: could not read nothing.md: No such file or directory (os error 2)
        hint: check the path
        ");
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "nothing.png"])), @r"
        exit 1
        error: could not open `nothing.png`: No such file or directory (os error 2)
        hint: check the path
        ");
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "."])), @r"
        exit 1
        error: `.` is not a file
        ");
    assert_snapshot!(machine.said(&machine.run(&["import", "nothing"])), @r"
        exit 1
        error: could not open nothing: No such file or directory (os error 2)
        hint: check the path
        ");
    assert_snapshot!(machine.said(&machine.run(&["import", "bread.md"])), @r"
        exit 1
        error: bread.md is no folder
        hint: name a folder; `everleaf new FILE` makes a note of one file
        ");
    assert_snapshot!(machine.said(&machine.run(&["export", "bread.md"])), @r"
        exit 1
        error: bread.md is no folder
        hint: name a folder; `everleaf new FILE` makes a note of one file
        ");
}

#[test]
fn a_text_that_is_no_text() {
    let machine = with_note();
    machine.file("latin1.md", b"Caf\xe9\n");
    assert_snapshot!(machine.said(&machine.run(&["new", "latin1.md"])), @r"
        exit 1
        error: latin1.md is not UTF-8 text
        hint: save it as UTF-8
        ");
    assert_snapshot!(machine.said(&machine.run_with("vault", &["edit", "Bread", "-"], b"\xff")), @r"
        exit 1
        error: standard input is not UTF-8 text
        hint: save it as UTF-8
        ");
    File::create(machine.path("long.md")).unwrap().set_len(17 << 20).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["new", "long.md"])), @r"
        exit 1
        error: a note of 17825792 bytes is larger than the limit of 4194304
        hint: split the note
        ");
}

#[test]
fn an_image_that_is_too_large_and_one_that_is_none() {
    let mut machine = with_note();
    let large = File::create(machine.path("film.png")).unwrap();
    large.set_len(1 << 30).unwrap();
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "film.png"])), @r"
        exit 1
        error: film.png was not taken in: it is larger than the limit of 268435456 bytes; make the image smaller or raise the limit
        hint: EVERLEAF_IMAGE_LIMIT raises the limit, as in `EVERLEAF_IMAGE_LIMIT=1G`
        ");
    machine.file("text.png", "I am no image\n");
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "text.png"])), @r"
        exit 1
        error: text.png was not taken in: it is no image but text; PNG, JPEG, GIF, WebP, AVIF, HEIC, SVG, BMP, TIFF and ICO are taken
        ");
    machine.file("empty.png", "");
    assert_snapshot!(machine.said(&machine.run(&["attach", "Bread", "empty.png"])), @r"
        exit 1
        error: empty.png was not taken in: it is empty; is the file still being written?
        ");
    machine.set("EVERLEAF_IMAGE_LIMIT", "20");
    assert_snapshot!(machine.said(&machine.run(&["new", "bread.md"])), @r"
        exit 1
        error: ./crumb.png was not taken in: it is larger than the limit of 20 bytes; make the image smaller or raise the limit
        hint: EVERLEAF_IMAGE_LIMIT raises the limit, as in `EVERLEAF_IMAGE_LIMIT=1G`
        ");
    fs::create_dir(machine.path("notes")).unwrap();
    machine.file("notes/crumb.png", png(4, 3, b"crumb"));
    machine.file("notes/walk.md", "![](crumb.png)\n");
    let imported = machine.run(&["import", "notes"]);
    assert_snapshot!(machine.said(&Ran { stdout: String::new(), ..imported }), @r"
        exit 0
        importing 1 note
        crumb.png: passed over: it is larger than the limit of 20 bytes; make the image smaller or raise the limit; EVERLEAF_IMAGE_LIMIT raises the limit, as in `EVERLEAF_IMAGE_LIMIT=1G`
        ");
    machine.set("EVERLEAF_IMAGE_LIMIT", "lots");
    assert_snapshot!(machine.said(&machine.run(&["list"])), @r"
        exit 1
        error: EVERLEAF_IMAGE_LIMIT is `lots`, and should be a number of bytes, or one with K, M or G behind it, as in `512M`
        ");
}

#[test]
fn a_note_that_is_not_there_and_one_of_several() {
    let machine = with_note();
    assert_snapshot!(machine.said(&machine.run(&["show", "ffff"])), @r"
        exit 1
        error: no note is called `ffff`
        hint: `everleaf list` shows ids, paths and titles
        ");
    assert_snapshot!(machine.said(&machine.run(&["--json", "show", "Cake"])), @r#"
        exit 1
        {"error":"no note is called `Cake`","hint":"`everleaf list` shows ids, paths and titles"}
        "#);
    machine.run_with("vault", &["new"], b"# Bread\nof another kind\n").ok();
    assert_snapshot!(machine.said(&machine.run(&["show", "0"])), @r"
        exit 1
        error: `0` could be any of 2 notes
        hint: give more of the id:
          <hex>  Bread
          <hex>  Bread
        ");
    assert_snapshot!(machine.said(&machine.run(&["trash", "Bread"])), @r"
        exit 1
        error: `Bread` could be any of 2 notes
        hint: give more of the id:
          <hex>  Bread
          <hex>  Bread
        ");
    machine.run_with("vault", &["new", "--path", "Untitled.md"], b"\n").ok();
    machine.run(&["trash", "Untitled.md"]).ok();
    assert_snapshot!(machine.said(&machine.run(&["show", "0"])), @r"
        exit 1
        error: `0` could be any of 3 notes
        hint: give more of the id:
          <hex>  Bread
          <hex>  Bread
          <hex>  (no title)
        ");
    let heads = "ab".repeat(32);
    let note = machine.run(&["--json", "list"]).json()[0]["note"].as_str().unwrap().to_owned();
    assert_snapshot!(machine.said(&machine.run(&["show", &note, "--at", &heads])), @r"
        exit 1
        error: note <hex> could not be used: the note has no version <hex>
        ");
    assert_snapshot!(machine.said(&machine.run(&["retry", "abcdef"])), @r"
        exit 1
        error: no image is called `abcdef`
        hint: `everleaf images` shows their ids
        ");
}

#[test]
fn a_command_line_that_makes_no_sense() {
    let machine = Machine::new();
    assert_snapshot!(machine.said(&machine.run(&["bake"])), @r"
        exit 2
        error: unrecognized subcommand 'bake'

        Usage: everleaf [OPTIONS] <COMMAND>

        For more information, try '--help'.
        ");
    assert_snapshot!(machine.said(&machine.run(&["--json", "show"])), @r#"
        exit 2
        {"error":"the following required arguments were not provided:\n  <NOTE>","hint":"Usage: everleaf show <NOTE>\n\nFor more information, try '--help'."}
        "#);
    assert_snapshot!(machine.said(&machine.run(&["remote", "add", "My Stick", "dir:x"])), @r"
        exit 2
        error: invalid value 'My Stick' for '<NAME>': `My Stick` is no name for a remote: use 1 to 64 of the characters a-z, 0-9, `-` and `_`

        For more information, try '--help'.
        ");
    assert_snapshot!(machine.said(&machine.run(&["show", "A", "--at", "yesterday"])), @r"
        exit 2
        error: invalid value 'yesterday' for '--at <HEADS>': `yesterday` is not a change hash: expected 64 hexadecimal digits

        For more information, try '--help'.
        ");
    assert_snapshot!(machine.said(&machine.run(&["new", "--path", ""])), @r"
        exit 2
        error: a value is required for '--path <PATH>' but none was supplied

        For more information, try '--help'.
        ");
}

#[test]
fn a_text_that_is_empty() {
    let machine = with_note();
    let nothing = "nothing was written, so no note was made";
    for arguments in [&["new"] as &[_], &["new", "-"]] {
        let ran = machine.run(arguments);
        assert_eq!((ran.code, ran.stderr.trim()), (1, format!("error: {nothing}").as_str()));
    }
    assert_snapshot!(machine.said(&machine.run(&["edit", "Bread", "-"])), @r"
        exit 1
        error: the new text is empty, so nothing was changed
        hint: `everleaf trash` throws a note away
        ");
    assert_eq!(machine.run(&["show", "Bread", "--source"]).ok(), "# Bread\n![](crumb.png)\n");
    // A file that is empty is meant.
    machine.file("empty.md", "");
    machine.run(&["new", "empty.md"]).ok();
    assert_eq!(machine.run(&["--json", "list"]).json().as_array().unwrap().len(), 2);
}

#[test]
fn no_editor() {
    let machine = with_note();
    assert_snapshot!(machine.said(&machine.run(&["edit", "Bread"])), @r"
        exit 1
        error: no editor is set
        hint: set $EDITOR, or name a file; `-` is standard input
        ");
    let mut machine = machine;
    machine.set("EDITOR", "no-such-editor");
    assert_snapshot!(machine.said(&machine.run(&["edit", "Bread"])), @r"
        exit 1
        error: could not run the editor `no-such-editor`: No such file or directory (os error 2)
        ");
    machine.set("EDITOR", "false");
    assert_snapshot!(machine.said(&machine.run(&["edit", "Bread"])), @r"
        exit 1
        error: the editor `false` ended with exit status: 1
        ");
}

#[test]
fn a_folder_that_was_only_imported() {
    let machine = with_note();
    fs::create_dir_all(machine.path("notes/within")).unwrap();
    machine.file("notes/walk.md", "# Walk\n");
    machine.run(&["import", "notes"]).ok();
    assert_snapshot!(machine.said(&machine.run(&["export", "notes"])), @r"
        exit 1
        error: <dir>/notes was imported, and an export would write all notes of the vault there
        hint: export to an empty or a new folder; or, to have all notes in this one and keep it in step with the vault from now on, add --adopt
        ");
    machine.file("notes/walk.md", "another\n");
    assert_snapshot!(machine.said(&machine.run(&["export", "notes", "--adopt"])), @r"
        exit 1
        error: <dir>/notes was not imported, or is not as it was then
        hint: `everleaf import` it first, and export then
        ");
    machine.file("notes/within/a.md", "# A\n");
    machine.run(&["import", "notes"]).ok();
    machine.run(&["import", "notes/within"]).ok();
    assert_snapshot!(machine.said(&machine.run(&["export", "notes", "--adopt"])), @r"
        exit 1
        error: <dir>/notes is to be exported to, and <dir>/notes/within was imported or exported as well: one of them is in the other
        hint: export to an empty or a new folder
        ");
}
