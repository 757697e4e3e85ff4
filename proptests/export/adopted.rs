//! A folder that was imported, and is exported to.

use everleaf::{
    folder::{ExportOptions, export},
    vault::VaultError,
};

use crate::{
    folder::{Desk, read, reasons},
    image::png,
    vaults::hashes,
};

/// Whoever keeps notes in a folder wants them there, not in a copy; but says so.
#[test]
fn an_imported_folder_is_exported_to_if_it_is_to_be_adopted() {
    let desk = Desk::new();
    desk.write("a.md", "# A\n\n![](a.png)\n");
    desk.write("a.png", png(2, 2, b"a"));
    desk.write("edited.md", "# Edited\n");
    desk.write("paper.pdf", "%PDF-1.7");
    desk.write(".obsidian/app.json", "{}");
    let adopt = ExportOptions { adopt: true, ..ExportOptions::default() };
    let export = |options| export(desk.device.vault(), &desk.folder, &options, &|_| ());
    // One that was never imported is somebody else's.
    assert!(matches!(export(adopt).unwrap_err(), VaultError::NotExported(_)));
    desk.import();
    let refused = export(ExportOptions::default()).unwrap_err();
    assert!(matches!(&refused, VaultError::OnlyImported(_)), "{refused}");
    let before = hashes(&desk.folder);

    let note = desk.device.note("# New\n");
    desk.device.vault().set_path(note, Some("sub/new.md")).unwrap();
    desk.device.edit(desk.note("a.md"), |text| text + "in the vault\n");
    desk.device.edit(desk.note("edited.md"), |text| text + "in the vault\n");
    desk.write("edited.md", "# Edited in the folder\n");
    let report = export(adopt).unwrap();
    let reason = "it was edited since it was exported; import the folder first";
    assert_eq!(reasons(&report.skipped), [("edited.md", reason)]);
    assert_eq!((report.written, report.images), (2, 1));
    assert_eq!(read(&desk.folder, "a.md"), "# A\n\n![](a.png)\nin the vault\n");
    assert_eq!(read(&desk.folder, "edited.md"), "# Edited in the folder\n");
    assert_eq!(read(&desk.folder, "sub/new.md"), "# New\n");
    let after = hashes(&desk.folder);
    for kept in ["a.png", "paper.pdf"] {
        assert_eq!(after[kept], before[kept]);
    }
    assert_eq!(read(&desk.folder, ".obsidian/app.json"), "{}");
    // From now on it is one of its exports.
    assert_eq!(desk.import().changed, 1);
    assert_eq!(export(ExportOptions::default()).unwrap().skipped, vec![]);
    assert_eq!(read(&desk.folder, "edited.md"), "# Edited in the folder\nin the vault\n");
    desk.settled(&desk.folder);
}
