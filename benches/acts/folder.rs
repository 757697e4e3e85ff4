//! Importing a folder, with the command.

use std::{path::Path, process::Command};

use crate::{
    measure::{Bench, Figure, Pair, Target, median, millis, timed},
    process::{everleaf, run as finish},
    vault,
};

const NEW: &str = "import of 1,000 notes and 1,000 images (400 distinct)";
const AGAIN: &str = "import of the unchanged folder again";
const MEMORY: &str = "memory of an import, at its peak";
const SCALE: &str = "import, per note";
const ROUNDS: usize = 5;

pub fn run(bench: &mut Bench) {
    if bench.wants(&[NEW, AGAIN, MEMORY]) {
        import(bench);
    }
    for notes in bench.sizes.clone() {
        if bench.wants(&[SCALE]) {
            scale(bench, notes);
        }
    }
}

fn init(vault: &Path) {
    finish(everleaf(vault).args(["init", "--name", "bench"]));
}

fn import(bench: &mut Bench) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let folder = folder.path();
    let source = folder.join("source");
    vault::folder(&source, 1_000, 1_000, 400, 100 << 10);
    sync();
    let (mut again, mut memory) = (Vec::new(), Vec::new());
    let floor = "cp -r and sync";
    let pair = Pair { act: NEW, floor, size: None, target: Target::Ratio(1.5), rounds: ROUNDS };
    bench.pair(
        pair,
        |round| {
            let vault = folder.join(format!("vault-{round}"));
            init(&vault);
            sync();
            let used = finish(everleaf(&vault).arg("import").arg(&source));
            memory.push(used.memory);
            again.push(millis(finish(everleaf(&vault).arg("import").arg(&source)).time));
            used.time
        },
        |round| {
            sync();
            timed(|| {
                let copy = folder.join(format!("copy-{round}"));
                assert!(
                    Command::new("cp").arg("-r").arg(&source).arg(copy).status().unwrap().success()
                );
                sync();
            })
        },
    );
    let figure = |act, unit, measured, target| Figure {
        act,
        size: None,
        unit,
        measured,
        floor: None,
        target,
    };
    bench.figure(figure(AGAIN, "ms", median(again), Target::AtMost(200.0)));
    bench.figure(figure(MEMORY, "MB", median(memory), Target::AtMost(128.0)));
}

fn scale(bench: &mut Bench, notes: usize) {
    let folder = tempfile::tempdir_in(crate::measure::out()).unwrap();
    let (source, vault) = (folder.path().join("source"), folder.path().join("vault"));
    vault::folder(&source, notes, 0, 0, 0);
    init(&vault);
    sync();
    let time = millis(finish(everleaf(&vault).arg("import").arg(&source)).time);
    let measured = time / crate::measure::number(notes);
    let (size, target) = (Some(notes), Target::Shown);
    bench.figure(Figure { act: SCALE, size, unit: "ms", measured, floor: None, target });
}

fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}
