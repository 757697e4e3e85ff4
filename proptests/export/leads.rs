//! What the names of images in exported files lead to, for whoever knows nothing of everleaf.

use std::fs;

use everleaf::folder::{ExportOptions, Exported, export};

use crate::{
    folder::{Desk, id, read, write},
    image::png,
    vaults::hashes,
    world::Device,
};

/// Moves a file, as an app does that has the links to it say so.
fn go(folder: &std::path::Path, from: &str, to: &str) {
    let to = folder.join(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::rename(folder.join(from), to).unwrap();
}

/// Exports to the folder, which adopts it, and then finds nothing more to do.
fn exported(desk: &Desk) -> u64 {
    let options = ExportOptions { adopt: true, ..ExportOptions::default() };
    let written = export(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap().written;
    let before = hashes(&desk.folder);
    let again = export(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap();
    assert_eq!((again.written, hashes(&desk.folder) == before), (0, true), "{again:?}");
    written
}

/// What another vault finds in a folder that says nothing of itself.
fn stranger(folder: &std::path::Path, name: &str) -> Desk {
    let desk = Desk::of(Device::new(name, 9));
    for (path, _) in hashes(folder) {
        if path != ".everleaf-export" {
            desk.write(&path, fs::read(folder.join(&path)).unwrap());
        }
    }
    desk.import();
    desk
}

#[test]
fn a_path_in_a_wiki_link_leads_to_a_picture_that_was_moved_elsewhere() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    desk.write("n.md", "# N\n\n![[img/p.png]]\n");
    desk.write("img/p.png", &picture);
    desk.import();
    let (there, _) = desk.export("there");
    go(&there, "img/p.png", "att/p.png");
    write(&there, "n.md", "# N\n\n![[att/p.png]]\n");
    assert_eq!(desk.try_import(&there).changed, 1);
    exported(&desk);
    assert_eq!(read(&desk.folder, "n.md"), "# N\n\n![[att/p.png]]\n");
    assert_eq!(fs::read(desk.folder.join("att/p.png")).unwrap(), picture);
    assert_eq!(stranger(&desk.folder, "b").images("n.md"), [id(&picture)]);
}

#[test]
fn what_an_export_wrote_beside_a_picture_that_no_note_shows_stays() {
    for name in ["p.png", "img/p.png"] {
        let desk = Desk::new();
        let old = png(2, 2, b"old");
        desk.write("x/n.md", format!("# N\n\n![[{name}]]\n"));
        desk.write(name, &old);
        for path in ["m.md", "o.md"] {
            desk.write(path, format!("# {path}\n"));
        }
        desk.import();
        exported(&desk);
        fs::remove_file(desk.folder.join("x/n.md")).unwrap();
        desk.write(name, png(3, 3, b"new"));
        desk.import();
        assert_eq!(exported(&desk), 2);
        assert_eq!(stranger(&desk.folder, "b").images("x/n.md"), [id(&old)]);
    }
}

/// The shorter name would lead to another picture, if it stood in the file of the one that is moved.
#[test]
fn two_names_of_a_picture_that_was_moved_are_what_they_were_at_once() {
    let desk = Desk::new();
    desk.write("n.md", "# N\n\n![[img/r.png]]\n\n![](img/r.png)\n");
    desk.write("m.md", "# M\n\n![](o/r.png)\n");
    desk.write("img/r.png", png(2, 2, b"one"));
    desk.write("o/r.png", png(2, 2, b"two"));
    desk.import();
    exported(&desk);
    let (there, _) = desk.export("there");
    go(&there, "img/r.png", "r.png");
    let text = "# N\n\n![[r.png]]\n\n![](r.png)\n";
    write(&there, "n.md", text);
    assert_eq!(desk.try_import(&there).changed, 1);
    exported(&desk);
    assert_eq!(read(&desk.folder, "n.md"), text);
}

/// `![[q.png]]` leads to it wherever it is, `![](q.png)` beside the note.
#[test]
fn one_name_in_two_syntaxes_leads_to_two_places() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    desk.write("d/n.md", "# N\n\n![[q.png]]\n\n![](e/q.png)\n");
    desk.write("d/e/q.png", &picture);
    desk.import();
    let (there, _) = desk.export("there");
    go(&desk.folder, "d/e/q.png", "d/q.png");
    let text = "# N\n\n![[q.png]]\n\n![](q.png)\n";
    desk.write("d/n.md", text);
    assert_eq!(desk.import().changed, 1);
    let (fresh, _) = desk.export("fresh");
    desk.export("there");
    for folder in [&desk.folder, &fresh, &there] {
        assert_eq!(read(folder, "d/n.md"), text);
        assert_eq!(fs::read(folder.join("d/q.png")).unwrap(), picture);
    }
    assert_eq!(hashes(&desk.folder).len(), hashes(&fresh).len());
}

#[test]
fn what_leads_nowhere_is_no_picture_because_another_syntax_leads_there() {
    let desk = Desk::new();
    desk.write("d/n.md", "# N\n\n![[q.png]]\n");
    desk.write("att/q.png", png(2, 2, b"picture"));
    desk.import();
    desk.write("d/n.md", "# N\n\n![[q.png]]\n\n![](q.png)\n");
    assert_eq!(desk.import().missing.len(), 1);
    assert_eq!(desk.device.body(desk.note("d/n.md")).embeds().count(), 1);
    // Nor in a copy of the folder.
    let copy = desk.device.folder.path().join("copy");
    for path in ["d/n.md", "att/q.png"] {
        write(&copy, path, fs::read(desk.folder.join(path)).unwrap());
    }
    desk.settled(&copy);
}

/// Where it was is the user's own file, which the export did not write.
#[test]
fn a_picture_that_another_device_moved_is_told_of_and_cleared_if_that_is_asked_for() {
    let desk = Desk::new();
    desk.write("n.md", "# N\n\n![](img/p.png)\n");
    for picture in ["img/p.png", "img/mine.png", "img/named.png"] {
        desk.write(picture, png(2, 2, picture.as_bytes()));
    }
    desk.import();
    exported(&desk);
    let (there, _) = desk.export("there");
    go(&there, "img/p.png", "att/p.png");
    write(&there, "n.md", "# N\n\n![](att/p.png)\n");
    assert_eq!(desk.try_import(&there).changed, 1);
    let said = |exported: Exported| {
        let left = exported.left.into_iter();
        left.map(|left| (left.path, left.what)).collect::<Vec<_>>()
    };
    let moved = |what: &str| vec![("img/p.png".to_owned(), what.to_owned())];
    let export = |delete| {
        let options = ExportOptions { delete, ..ExportOptions::default() };
        export(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap()
    };
    let as_it_was = "the image is att/p.png now; this file is as it was";
    for _ in 0..2 {
        assert_eq!(said(export(false)), moved(as_it_was));
    }
    desk.write("canvas.canvas", r#"{"nodes":[{"file":"img/p.png"}]}"#);
    desk.write("n2.md", "![](img/named.png)\n");
    let named = "the image is att/p.png now; this file stays: canvas.canvas names it";
    // What is new in the folder may show any of them.
    assert_eq!(export(true).deleted, 0);
    desk.import();
    assert_eq!(said(export(true)), moved(named));
    fs::remove_file(desk.folder.join("canvas.canvas")).unwrap();
    let report = export(true);
    assert_eq!((report.deleted, said(report)), (1, vec![]));
    let there: Vec<String> = hashes(&desk.folder).into_keys().collect();
    assert_eq!(there, ["att/p.png", "img/mine.png", "img/named.png", "n.md", "n2.md"]);
    desk.settled(&desk.folder);
}
