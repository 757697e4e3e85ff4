//! Whatever happened: joining by a checkpoint equals joining by segments.

use std::{sync::Arc, time::Duration};

use everleaf::remote::Remote;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{Scene, read, same, sync, verified};
use crate::{image::png, world::Device};

/// What is done before and after somebody joins.
#[derive(Debug, Clone)]
enum Act {
    New(u8),
    Edit { device: bool, note: Index, at: Index, text: String },
    Old { device: bool, note: Index, version: Index, text: String },
    Picture { device: bool, note: Index, content: u8 },
    Trash { device: bool, note: Index, trashed: bool },
    Sync { device: bool, checkpoint: bool },
}

fn act() -> impl Strategy<Value = Act> {
    let text = "[a-c \n#]{1,6}";
    let place = || (any::<bool>(), any::<Index>(), any::<Index>());
    prop_oneof![
        2 => any::<u8>().prop_map(Act::New),
        6 => (place(), text).prop_map(|((device, note, at), text)| Act::Edit { device, note, at, text }),
        2 => (place(), text).prop_map(|((device, note, version), text)| {
            Act::Old { device, note, version, text }
        }),
        1 => (any::<bool>(), any::<Index>(), 0..3_u8)
            .prop_map(|(device, note, content)| Act::Picture { device, note, content }),
        1 => (any::<bool>(), any::<Index>(), any::<bool>())
            .prop_map(|(device, note, trashed)| Act::Trash { device, note, trashed }),
        4 => (any::<bool>(), any::<bool>())
            .prop_map(|(device, checkpoint)| Act::Sync { device, checkpoint }),
    ]
}

async fn perform(act: Act, devices: [&Device; 2], remote: &Arc<dyn Remote>) {
    let on = |device: bool| devices[usize::from(device)];
    let pick = |device: &Device, index: Index| {
        let notes = device.vault().list().unwrap();
        (!notes.is_empty()).then(|| notes[index.index(notes.len())].note)
    };
    match act {
        Act::New(number) => drop(devices[0].note(&format!("# Note {number}\n"))),
        Act::Edit { device, note, at, text } => {
            let device = on(device);
            let Some(note) = pick(device, note) else { return };
            device.edit(note, |source| {
                let mut characters: Vec<char> = source.chars().collect();
                let at = at.index(characters.len() + 1);
                characters.splice(at..at, text.chars());
                characters.into_iter().collect()
            });
        }
        Act::Old { device, note, version, text } => {
            let device = on(device);
            let Some(note) = pick(device, note) else { return };
            let versions = device.vault().history(note).unwrap();
            let heads = &versions[version.index(versions.len())].heads;
            let Ok(reading) = device.vault().read(note, Some(heads)) else { return };
            let source = reading.body.source() + &text;
            device.vault().edit(note, heads, &source, None).unwrap();
        }
        Act::Picture { device, note, content } => {
            let device = on(device);
            let Some(note) = pick(device, note) else { return };
            let file = device.file("p.png", &png(2, 2, &[content]));
            device.vault().attach(note, &[file], None).unwrap();
        }
        Act::Trash { device, note, trashed } => {
            let Some(note) = pick(on(device), note) else { return };
            on(device).vault().set_trashed(note, trashed).unwrap();
        }
        Act::Sync { device, checkpoint: true } => drop(sync(on(device), remote).await),
        Act::Sync { device, .. } => drop(on(device).sync(remote).await),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..crate::regressions::kept(module_path!()) })]

    /// Joining by a checkpoint equals joining by segments, then and after whatever comes.
    #[test]
    fn joining_by_a_checkpoint_equals_joining_by_segments(
        before in vec(act(), 4..24),
        after in vec(act(), 0..10),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let scene = Scene::new();
            let laptop = Device::new("laptop", 1);
            laptop.add(&scene.remote).await;
            laptop.note("# First\n");
            let phone = scene.join(2, &laptop).await;
            for act in before {
                perform(act, [&laptop, &phone], &scene.remote).await;
            }
            laptop.note("# Last\n");
            sync(&laptop, &scene.remote).await;
            let mut by_checkpoint = scene.join(3, &laptop).await;
            by_checkpoint.sync(&scene.remote).await;
            assert_eq!(read(&by_checkpoint).0, 1);
            let plain = scene.without_checkpoints();
            let by_segments = plain.join(4, &laptop).await;
            by_segments.sync(&plain.remote).await;
            assert_eq!(read(&by_segments).0, 0);
            same(&by_segments, &by_checkpoint);
            by_checkpoint.check();
            for act in after {
                perform(act, [&by_checkpoint, &phone], &scene.remote).await;
            }
            for device in [&phone, &by_checkpoint, &laptop, &phone, &by_checkpoint] {
                device.clock.advance(Duration::from_hours(2));
                sync(device, &scene.remote).await;
            }
            same(&laptop, &by_checkpoint);
            same(&phone, &by_checkpoint);
            by_checkpoint.reopen();
            by_checkpoint.vault().rebuild().unwrap();
            same(&laptop, &by_checkpoint);
            assert_eq!(verified(&by_checkpoint, &scene.remote).await, [""; 0]);
            assert_eq!(verified(&laptop, &scene.remote).await, [""; 0]);
        });
    }
}
