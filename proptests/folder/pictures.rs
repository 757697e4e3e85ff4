//! Pictures that an import finds late, or that it can't take in.

use std::fs;

use everleaf::folder::{ImportOptions, Imported, Missing, import};

use super::{Desk, id, read, write};
use crate::image::png;

fn lenient(desk: &Desk) -> Imported {
    let options = ImportOptions { lenient: true, ..ImportOptions::default() };
    import(desk.device.vault(), &desk.folder, &options, &|_| ()).unwrap()
}

/// However they are shown; what is no picture is not missed in `![[…]]`, which shows notes and sounds as well.
#[test]
fn a_picture_that_is_not_taken_is_named_with_the_reason() {
    let desk = Desk::new();
    let jxl = b"\xff\x0a and so on";
    desk.write("empty.png", "");
    desk.write("new.png", jxl);
    desk.write("new.jxl", jxl);
    desk.write("art.psd", b"8BPS\0\x01 and so on");
    desk.write("sound.mp3", b"ID3\x03\0 and so on");
    desk.write("b.png.md", "# A note\n");
    let names = ["empty.png", "new.png", "new.jxl", "art.psd", "sound.mp3", "b.png", "b.png.md"];
    desk.write("a.md", names.map(|name| format!("![[{name}]]\n")).concat());
    let missing = |report: Imported| -> Vec<(String, String)> {
        let told = |one: Missing| (one.destination, one.reason.unwrap_or_default());
        report.missing.into_iter().map(told).collect()
    };
    let wiki = missing(desk.import());
    let told: Vec<&str> = wiki.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(told, ["empty.png", "new.png", "new.jxl", "art.psd"]);
    for ((_, reason), why) in wiki.iter().zip(["it is empty", "jxl", "jxl", "photoshop"]) {
        assert!(reason.contains(why), "{wiki:?}");
    }
    desk.write("a.md", names.map(|name| format!("![]({name})\n")).concat());
    assert_eq!(missing(desk.import())[..4], wiki);
}

/// Another note shows the picture by its name, so the folder's bookmarks know it already.
#[test]
fn an_import_that_is_lenient_takes_what_the_one_before_said_it_would() {
    let desk = Desk::new();
    let picture = png(2, 2, b"picture");
    desk.write("a.md", "# A\n![](Pic.PNG)\n");
    desk.write("b.md", "# B\n![](pic.png)\n");
    desk.write("pic.png", &picture);
    let report = desk.import();
    assert_eq!(report.missing.len(), 1);
    assert_eq!(report.missing[0].hint.as_deref(), Some("pic.png"));
    let report = lenient(&desk);
    assert_eq!((report.changed, report.missing), (1, vec![]));
    assert_eq!(desk.images("a.md"), [id(&picture)]);
    desk.settled(&desk.folder);
}

/// The notes that show it are more than are made at once.
#[test]
fn a_picture_that_comes_after_its_notes_is_shown_by_all_of_them() {
    for is_exported in [false, true] {
        let desk = Desk::new();
        let names: Vec<String> = (0..300).map(|number| format!("{number:03}.md")).collect();
        for name in &names {
            desk.write(name, format!("# {name}\n\n![](late.png)\n"));
        }
        assert_eq!(desk.import().missing.len(), names.len());
        let folder = if is_exported { desk.export("export").0 } else { desk.folder.clone() };
        let picture = png(2, 2, b"late");
        write(&folder, "late.png", &picture);
        assert_eq!(desk.try_import(&folder).changed, names.len() as u64);
        for name in &names {
            assert_eq!(desk.images(name), [id(&picture)], "{name}");
        }
        desk.settled(&folder);
    }
}

/// Also where an everleaf wrote the export that did not say yet which pictures it put there.
#[test]
fn what_led_nowhere_does_not_lead_to_the_picture_of_another_note() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n![](pic.png)\n");
    assert_eq!(desk.import().missing.len(), 1);
    let other = desk.device.folder.path().join("other");
    write(&other, "b.md", "# B\n![](pic.png)\n");
    write(&other, "pic.png", png(2, 2, b"of b"));
    desk.try_import(&other);
    let (folder, _) = desk.export("export");
    let said = folder.join(".everleaf-export");
    let mut before: serde_json::Value = serde_json::from_slice(&fs::read(&said).unwrap()).unwrap();
    assert!(before.as_object_mut().unwrap().remove("ours").is_some());
    fs::write(&said, before.to_string()).unwrap();
    desk.settled(&folder);
    assert_eq!(desk.images("a.md"), []);
}

/// Each destination was once looked for among all of them, which 200,000 took hours.
#[test]
fn a_file_that_shows_pictures_very_often_is_edited_and_exported_like_any_other() {
    const TIMES: usize = 5_000;
    let desk = Desk::new();
    desk.write("a.png", png(2, 2, b"a"));
    let lines: Vec<String> =
        (0..TIMES).map(|number| format!("![](a.png?{number}) ![](a.png)\n")).collect();
    let text = lines.concat();
    desk.write("a.md", &text);
    desk.import();
    desk.write("a.md", format!("{text}more\n"));
    assert_eq!(desk.import().changed, 1);
    let body = desk.device.body(desk.note("a.md"));
    assert_eq!(body.embeds().count(), 2 * TIMES);
    let (folder, _) = desk.export("export");
    assert_eq!(read(&folder, "a.md"), format!("{text}more\n"));
    desk.settled(&folder);
}
