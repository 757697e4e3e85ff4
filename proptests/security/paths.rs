//! Names that lead elsewhere, and folders that hold what is no file.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    sync::Arc,
};

use everleaf::{
    event::ChangeBytes,
    id::NoteId,
    note::{Body, Note, Piece},
    remote::{Memory, Remote},
    segment::Item,
    vault::NewNote,
};

use super::notes::push;
use crate::{
    folder::{Desk, read, reasons, write},
    image::png,
    machine::Machine,
    vaults::hashes,
    world::NOW,
};

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Paths of notes as a device with a fault may have them, or one of another system.
fn hostile() -> Vec<String> {
    let mut names: Vec<String> = [
        "../../x.md",
        "/etc/cron.d/x.md",
        "a/../../../x.md",
        "..",
        ".",
        "/",
        "//host/share/x.md",
        "C:\\Windows\\x.md",
        "C:x.md",
        "\\\\?\\C:\\x.md",
        "..\\..\\x.md",
        "x.md:stream",
        "con.md",
        "nul",
        "COM1.md",
        "lpt9/x.md",
        "aux.",
        "CONIN$.md",
        // What some systems take for a slash, a dot or a backslash.
        "..\u{2215}..\u{2215}x.md",
        "..\u{ff0f}..\u{ff0f}x.md",
        "..\u{29f8}x.md",
        "\u{2044}etc\u{2044}x.md",
        "\u{ff0e}\u{ff0e}/\u{ff0e}\u{ff0e}/x.md",
        "..\u{ff3c}x.md",
        "\u{2024}\u{2024}/x.md",
        "x.md.",
        "x.md ",
        " x.md",
        "x. /y.md",
        "x\u{0}.md",
        "\u{0}",
        "x\n.md",
        "x\u{1b}[2J.md",
        "\u{202e}dm.x",
        ".git/hooks/post-checkout",
        ".everleaf-export",
        "a/.bashrc",
        "~/.bashrc",
        "A.md",
        "a.md",
        "\u{e9}.md",
        "e\u{301}.md",
        "x.md/y.md",
        "$HOME.md",
        "-rf.md",
        "*",
        "CON/CON/CON",
    ]
    .map(str::to_owned)
    .into();
    names.extend(["n".repeat(255), "n".repeat(256), "\u{1f35e}".repeat(90), "d/".repeat(3000)]);
    names.push(format!("{}.md", "n".repeat(252)));
    names.push(format!("{}/x.md", "../".repeat(200)));
    names
}

#[test]
fn no_name_of_a_note_leads_out_of_an_export() {
    let desk = Desk::new();
    let names = hostile();
    for name in &names {
        let new =
            NewNote { source: format!("in {name}\n"), path: Some(name.clone()), folder: None };
        desk.device.vault().new_note(&new).unwrap();
    }
    let outside = |folder: &Path| {
        let all = walkdir::WalkDir::new(desk.device.folder.path()).into_iter().map(Result::unwrap);
        let vault = desk.device.path();
        all.filter(|e| !e.path().starts_with(folder) && !e.path().starts_with(&vault)).count()
    };
    let before = outside(Path::new("/none"));
    let (folder, report) = desk.export("deep");
    assert_eq!(outside(&folder), before);
    assert_eq!((report.notes, report.skipped), (names.len() as u64, vec![]));
    // Hidden ones would belong to other programs.
    let files = hashes(&folder);
    assert_eq!(files.len(), names.len());
    assert!(files.keys().all(|path| path.split('/').all(|part| !part.starts_with('.'))));
    assert!(files.keys().all(|path| !path.contains(char::is_control)));
    let sources = desk.device.sources();
    desk.settled(&folder);
    assert_eq!(desk.device.sources(), sources);
}

#[test]
fn nothing_is_written_through_links_that_stand_in_an_export() {
    let desk = Desk::new();
    desk.write("a/a.md", "![](pic/a.png)\n");
    desk.write("a/pic/a.png", png(1, 1, b"a"));
    desk.write("b.md", "![](b.png)\n");
    desk.write("b.png", png(1, 1, b"b"));
    desk.import();
    let (folder, _) = desk.export("export");
    let outside = desk.device.folder.path().join("outside");
    write(&outside, "target", "precious");
    fs::remove_dir_all(folder.join("a")).unwrap();
    symlink(&outside, folder.join("a")).unwrap();
    fs::remove_file(folder.join("b.png")).unwrap();
    symlink(outside.join("target"), folder.join("b.png")).unwrap();
    fs::remove_file(folder.join(".everleaf-export")).unwrap();
    symlink(outside.join("target"), folder.join(".everleaf-export")).unwrap();
    // What is remembered of the folder lies in a file, so this is somebody else's.
    let options = everleaf::folder::ExportOptions::default();
    let refused = everleaf::folder::export(desk.device.vault(), &folder, &options, &|_| ());
    assert!(refused.is_err());
    fs::remove_file(folder.join(".everleaf-export")).unwrap();
    fs::write(folder.join(".everleaf-export"), "{").unwrap();
    desk.device.edit(desk.note("b.md"), |text| text + "more\n");
    let (_, report) = desk.export("export");
    let link = "a symbolic link is there";
    let mut skipped = reasons(&report.skipped);
    skipped.retain(|(path, _)| *path != ".everleaf-export");
    skipped.sort_unstable();
    assert_eq!(skipped, [("a/a.md", link), ("a/pic/a.png", link), ("b.png", link)]);
    assert_eq!(hashes(&outside).len(), 1);
    assert_eq!(read(&outside, "target"), "precious");
}

/// A disk that does not tell `A.md` from `a.md` shows one file under both names; so does a hard link.
#[test]
fn names_that_are_one_on_the_disk_get_a_file_each() {
    let desk = Desk::new();
    desk.write("A.md", "![](P.png)\n");
    desk.write("P.png", png(1, 1, b"P"));
    desk.import();
    let (folder, _) = desk.export("export");
    fs::hard_link(folder.join("A.md"), folder.join("a.md")).unwrap();
    fs::hard_link(folder.join("P.png"), folder.join("p.png")).unwrap();
    desk.write("a.md", "another, ![](p.png)\n");
    desk.write("p.png", png(2, 2, b"p"));
    desk.import();
    let (_, report) = desk.export("export");
    assert_eq!((report.notes, report.images, report.skipped), (2, 2, vec![]));
    assert_eq!(read(&folder, "A.md"), "![](P.png)\n");
    let other = report.renamed.iter().find(|renamed| renamed.from == "a.md").unwrap();
    assert!(
        read(&folder, &other.to).starts_with("another, ![](p-"),
        "{}",
        read(&folder, &other.to)
    );
    // It stays where it is, and nothing is in the way of anything.
    assert_eq!(desk.export("export").1.written, 0);
    let sources = desk.device.sources();
    assert_eq!(desk.try_import(&folder).skipped, vec![]);
    assert_eq!(sources.len(), 2);
}

#[test]
fn an_import_waits_for_no_pipe_and_follows_no_link() {
    let desk = Desk::new();
    let outside = desk.device.folder.path().join("outside");
    write(&outside, "secret.md", "secret");
    write(&outside, "secret.png", png(1, 1, b"secret"));
    desk.write(
        "note.md",
        "![](pipe.png) ![](link.png) ![](up/secret.png) ![](socket.png) ![](huge.png)\n",
    );
    desk.write("dir.md/inner.md", "inner\n");
    fifo(&desk.folder.join("pipe.md"));
    fifo(&desk.folder.join("pipe.png"));
    let _socket = UnixListener::bind(desk.folder.join("socket.png")).unwrap();
    symlink(outside.join("secret.png"), desk.folder.join("link.png")).unwrap();
    symlink(outside.join("secret.md"), desk.folder.join("link.md")).unwrap();
    symlink(&outside, desk.folder.join("up")).unwrap();
    symlink(&desk.folder, desk.folder.join("loop")).unwrap();
    symlink("/dev/zero", desk.folder.join("zero.md")).unwrap();
    for (name, size) in [("huge.png", 1_u64 << 40), ("huge.md", 1 << 40)] {
        let file = fs::File::create(desk.folder.join(name)).unwrap();
        file.set_len(size).unwrap();
    }
    // Another name of the same bytes is a file like any other.
    write(&desk.folder, "first.md", "first\n");
    fs::hard_link(desk.folder.join("first.md"), desk.folder.join("second.md")).unwrap();
    let report = desk.try_import(&desk.folder);
    let mut skipped: Vec<_> = report.skipped.iter().map(|one| one.path.as_str()).collect();
    skipped.sort_unstable();
    let expected = [
        "huge.md",
        "huge.png",
        "link.md",
        "link.png",
        "loop",
        "pipe.md",
        "pipe.png",
        "socket.png",
        "up",
        "zero.md",
    ];
    assert_eq!(skipped, expected);
    assert_eq!((report.notes, report.images.distinct), (4, 0));
    assert_eq!(desk.images("note.md"), []);
    desk.device.check();
}

#[test]
fn what_can_t_be_read_is_passed_over() {
    let desk = Desk::new();
    desk.write("a.md", "a\n");
    desk.write("b.md", "b\n");
    desk.write("closed/c.md", "c\n");
    let closed = |path: &str| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        fs::set_permissions(desk.folder.join(path), mode).unwrap();
    };
    closed("a.md");
    closed("closed");
    if fs::read(desk.folder.join("a.md")).is_ok() {
        eprintln!("left out: this user reads everything");
        return;
    }
    let report = desk.try_import(&desk.folder);
    let paths: Vec<_> = report.skipped.iter().map(|one| one.path.as_str()).collect();
    assert_eq!((paths, report.notes), (vec!["closed", "a.md"], 1));
}

#[test]
fn a_text_without_end_is_read_to_a_bound() {
    let machine = Machine::with_vault();
    for arguments in [["new", "/dev/zero"].as_slice(), &["new", "/dev/full"]] {
        let ran = machine.run(arguments);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("is larger than the limit of 4194304"), "{}", ran.stderr);
    }
    machine.run_with("vault", &["new", "--path", "a.md", "/dev/stdin"], b"by a pipe\n").ok();
    assert_eq!(machine.run(&["show", "a.md"]).ok(), "by a pipe\n");
    assert_eq!(machine.run(&["attach", "a.md", "/dev/zero"]).code, 1);
}

#[test]
fn an_svg_is_kept_as_it_is_and_runs_nowhere() {
    // Only its first bytes are looked at, and no entity is ever expanded.
    let bomb = "<!DOCTYPE svg [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\">]>\
                <svg xmlns='http://www.w3.org/2000/svg' width='99999999999' height='&b;'>\
                <script>alert(1)</script><image href='file:///etc/passwd'/></svg>";
    let desk = Desk::new();
    desk.write("a.md", "![](bomb.svg)\n");
    desk.write("bomb.svg", bomb);
    desk.import();
    let image = desk.device.vault().image_list().unwrap().remove(0);
    assert_eq!(image.media_type, everleaf::image::MediaType::Svg);
    assert_eq!((image.width, image.height), (None, None));
    let (folder, _) = desk.export("export");
    assert_eq!(read(&folder, "bomb.svg"), bomb);
    // Opened by itself, it is a download and no page.
    let key = everleaf::remote::Key::Image { image: image.image, media_type: image.media_type };
    assert_eq!(key.content_type(), "image/svg+xml");
    assert_eq!(key.content_disposition(), Some("attachment"));
}

#[test]
fn a_picture_that_says_it_is_endless_takes_the_room_of_its_bytes() {
    let desk = Desk::new();
    desk.write("a.md", "![](a.png) ![](b.png)\n");
    desk.write("a.png", png(u32::MAX, u32::MAX, b"a"));
    desk.write("b.png", png(0, 1, b"b"));
    desk.import();
    let images = desk.device.vault().image_list().unwrap();
    assert!(images.iter().all(|image| image.bytes < 100));
    let mut sizes: Vec<_> = images.iter().map(|image| (image.width, image.height)).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [(None, None), (Some(u32::MAX), Some(u32::MAX))]);
}

/// No vault gives a note such a path, but a device with a fault may.
#[tokio::test]
async fn an_empty_path_of_a_stranger_is_none() {
    let desk = Desk::new();
    let remote: Arc<dyn Remote> = Arc::new(Memory::new());
    desk.device.add(&remote).await;
    let note = NoteId::from_bytes([9; 16]);
    let body = Body::new(vec![Piece::Text("# Bread\n".into())]);
    let (changes, _) = Note::begin(note, [9; 8], Some(""), &body, NOW).unwrap();
    let changes = changes.into_iter().map(|change| change.bytes);
    let item = |bytes| Item::Change { note, change: ChangeBytes(bytes), projector: false };
    push(&*remote, &desk.device, "buggy", changes.map(item).collect()).await;
    desk.device.sync(&remote).await;
    let (folder, report) = desk.export("export");
    assert_eq!((report.notes, report.skipped), (1, vec![]));
    assert_eq!(hashes(&folder).into_keys().collect::<Vec<_>>(), ["Bread.md"]);
    desk.settled(&folder);
}
