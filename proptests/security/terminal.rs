//! Texts from elsewhere on a terminal: they are shown, and give it no orders.

use std::{process::Command, sync::Arc};

use everleaf::{
    id::NoteId,
    remote::{Dir, Remote},
    vault::{Options, Vault},
};

use super::notes::{changes, push};
use crate::{
    machine::Machine,
    world::{Device, NOW},
};

/// Clears the screen, sets the title, turns the line around, and moves up; in seven and eight bits.
const ORDERS: &str = "x\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{2066}\u{8}\u{7f}\ry";

fn steers(text: &str) -> bool {
    let orders = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
    text.contains(orders)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_elsewhere_gives_no_orders_to_a_terminal() {
    let machine = Machine::with_vault();
    machine.run(&["remote", "add", "origin", "dir:meeting"]).ok();
    let remote: Arc<dyn Remote> = Arc::new(Dir::open(machine.path("meeting")).await.unwrap());
    // A device whose key is that of the vault, and whose names are not what ours allow.
    let key = machine.run(&["key"]).ok();
    let mut sealing = Device::new("any", 1);
    let folder = sealing.folder.path().join("other");
    let key = everleaf::seal::VaultKey::parse(key.trim()).unwrap();
    sealing.vault = Some(Vault::create(&folder, "any", Some(key), Options::default()).unwrap());
    let mut items = Vec::new();
    for number in [1, 2] {
        let id = NoteId::from_bytes([number; 16]);
        let mut note = everleaf::note::Note::new(id, [number; 8]);
        let body = format!("# {ORDERS}\n\n![]({ORDERS}.png)\n");
        let body = everleaf::note::Body::new([everleaf::note::Piece::Text(body)]);
        let change = note.create(Some(&format!("{ORDERS}.md")), &body, NOW).unwrap().unwrap();
        items.extend(changes(id, [change.bytes]));
    }
    push(&*remote, &sealing, ORDERS, items).await;
    // And a head that the remote's owner made up.
    let stranger = Device::new("stranger", 9);
    push(&*remote, &stranger, "stranger", Vec::new()).await;
    let id = NoteId::from_bytes([1; 16]).to_string();
    let commands: [&[&str]; 12] = [
        &["sync"],
        &["list"],
        &["--json", "list"],
        &["status"],
        &["status", &id],
        &["log"],
        &["--json", "log"],
        &["images"],
        &["verify", "--remote", "origin"],
        &["export", "export"],
        &["show", "0"],
        &["--json", "show", "x\u{1b}[2J\u{9b}none"],
    ];
    let mut said = String::new();
    for arguments in commands {
        let ran = machine.run(arguments);
        for text in [&ran.stdout, &ran.stderr] {
            assert!(!steers(text), "{arguments:?}: {text:?}");
        }
        said += &(ran.stdout + &ran.stderr);
    }
    // All of it was there to be shown.
    for expected in ["owned", "could be any of 2 notes", "\\u009b2J", "x\u{fffd}[2J"] {
        assert!(said.contains(expected), "{expected:?}: {said}");
    }
}

#[test]
fn a_note_is_shown_as_it_is_unless_to_a_terminal() {
    let machine = Machine::with_vault();
    let source = format!("# A\r\n\t{ORDERS}\n");
    machine.run_with("vault", &["new"], source.as_bytes()).ok();
    let id = machine.run(&["--json", "list"]).json()[0]["note"].as_str().unwrap().to_owned();
    assert_eq!(machine.run(&["show", &id]).ok(), source);
    let command = machine.command("vault");
    let program = command.get_program().to_str().unwrap();
    let mut terminal = Command::new("script");
    terminal.args([
        "--quiet",
        "--return",
        "--command",
        &format!("{program} show {id}"),
        "/dev/null",
    ]);
    terminal.env_clear().current_dir(machine.path(""));
    terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let Ok(output) = terminal.output() else {
        eprintln!("left out: there is no `script` to make a terminal");
        return;
    };
    let shown = String::from_utf8(output.stdout).unwrap();
    // The terminal itself ends lines so.
    let shown = shown.replace("\r\n", "\n");
    assert!(!steers(&shown.replace('\t', "")), "{shown:?}");
    assert!(shown.starts_with("# A\n\tx\u{fffd}[2J"), "{shown:?}");
}

#[test]
fn columns_line_up_whatever_the_characters() {
    let machine = Machine::with_vault();
    for (path, title) in [("a.md", "plain"), ("b.md", "日本語"), ("c.md", "e\u{301}te\u{301}")] {
        let note = format!("# {title}\n");
        machine.run_with("vault", &["new", "--path", path], note.as_bytes()).ok();
    }
    let list = machine.run(&["list"]).ok();
    // What stands before the path, in columns: three characters that are two wide, and two of none.
    let wide = |text: &str| text.matches(['日', '本', '語']).count();
    let none = |text: &str| text.matches('\u{301}').count();
    let columns: Vec<usize> = list
        .lines()
        .map(|line| {
            let before = line.rsplit_once(' ').unwrap().0;
            before.chars().count() + wide(before) - none(before)
        })
        .collect();
    assert_eq!(columns.len(), 3);
    assert!(columns.iter().all(|column| *column == columns[0]), "{list}");
}
