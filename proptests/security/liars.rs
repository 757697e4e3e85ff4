//! A remote that lies: each lie is noticed and named, blocks nothing else, and nobody applies it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use everleaf::{
    event::{Event, ResetReason},
    id::{SegmentHash, Seq},
    remote::{Key, Memory, Remote},
    vault::chain,
};

use crate::world::{Device, origin};

type Objects = BTreeMap<String, Bytes>;

/// What the remote of an honest laptop shows, its head after the second push, and another vault's.
struct Truth {
    old_head: Bytes,
    after: Objects,
    foreign: Bytes,
    foreign_vault: Bytes,
}

impl Truth {
    fn segments(&self) -> Vec<String> {
        self.after.keys().filter(|name| name.starts_with("log/")).cloned().collect()
    }

    fn head(&self) -> String {
        self.after.keys().find(|name| name.starts_with("heads/")).unwrap().clone()
    }
}

/// The name of a segment, with another number or for other bytes.
fn renamed(name: &str, seq: u64, bytes: &[u8]) -> String {
    let Key::Segment { device, .. } = name.parse().unwrap() else { panic!("{name}") };
    let hash = SegmentHash::from_bytes(*blake3::hash(bytes).as_bytes());
    Key::Segment { device, seq, hash }.to_string()
}

/// A lie, and what is said of it: by a device that had read all but the last segment, by one that
/// joins, and by the laptop's `verify --remote`.
struct Lie {
    what: &'static str,
    tell: fn(&Truth, &mut Objects),
    reader: &'static str,
    newcomer: &'static str,
    verify: &'static str,
}

/// That nothing is said.
const SILENT: &str = "";
/// That the receipts for the remote are taken back.
const RESET: &str = "RemoteReset";

fn alter(truth: &Truth, objects: &mut Objects, change: impl FnOnce(&mut Vec<u8>)) {
    let name = &truth.segments()[3];
    let mut bytes = objects[name].to_vec();
    change(&mut bytes);
    objects.insert(name.clone(), bytes.into());
}

const LIES: [Lie; 16] = [
    Lie {
        what: "a byte of a segment is flipped",
        tell: |truth, objects| alter(truth, objects, |bytes| bytes[30] ^= 1),
        reader: "is damaged: it is named",
        newcomer: "is damaged: it is named",
        verify: "it is damaged there",
    },
    Lie {
        what: "a segment is cut short",
        tell: |truth, objects| alter(truth, objects, |bytes| bytes.truncate(40)),
        reader: "is damaged: it is named",
        newcomer: "is damaged: it is named",
        verify: "it is damaged there",
    },
    Lie {
        what: "a segment goes on",
        tell: |truth, objects| alter(truth, objects, |bytes| bytes.extend([0; 9])),
        reader: "is damaged: it is named",
        newcomer: "is damaged: it is named",
        verify: "it is damaged there",
    },
    Lie {
        what: "two segments have each other's bytes",
        tell: |truth, objects| {
            let names = truth.segments();
            let (third, fourth) = (objects[&names[2]].clone(), objects[&names[3]].clone());
            objects.extend([(names[2].clone(), fourth), (names[3].clone(), third)]);
        },
        reader: "segment 4 of device",
        newcomer: "segment 3 of device",
        verify: "it is damaged there",
    },
    Lie {
        what: "two segments have each other's numbers",
        tell: |truth, objects| {
            let names = truth.segments();
            let third = objects.remove(&names[2]).unwrap();
            let fourth = objects.remove(&names[3]).unwrap();
            objects.insert(renamed(&names[2], 4, &third), third);
            objects.insert(renamed(&names[2], 3, &fourth), fourth);
        },
        reader: RESET,
        newcomer: "segment 3 of device",
        verify: "the remote confirmed it and does not hold it now",
    },
    Lie {
        what: "another vault's segment stands for ours",
        tell: |truth, objects| {
            let name = &truth.segments()[3];
            objects.remove(name);
            objects.insert(renamed(name, 4, &truth.foreign), truth.foreign.clone());
        },
        reader: "does not open: it was altered, moved here from another place, or sealed with another",
        newcomer: "does not open: it was altered, moved here from another place, or sealed with another",
        verify: "the remote confirmed it and does not hold it now",
    },
    Lie {
        what: "another vault's bytes stand under our name",
        tell: |truth, objects| {
            objects.insert(truth.segments()[3].clone(), truth.foreign.clone());
        },
        reader: "is damaged: it is named",
        newcomer: "is damaged: it is named",
        verify: "it is damaged there",
    },
    Lie {
        what: "an old segment is shown as the newest",
        tell: |truth, objects| {
            let names = truth.segments();
            let first = objects[&names[0]].clone();
            objects.remove(&names[3]);
            objects.insert(renamed(&names[3], 4, &first), first);
        },
        reader: "does not open: it was altered, moved here from another place",
        newcomer: "does not open: it was altered, moved here from another place",
        verify: "the remote confirmed it and does not hold it now",
    },
    Lie {
        what: "a segment in the middle is hidden",
        tell: |truth, objects| drop(objects.remove(&truth.segments()[1])),
        reader: SILENT,
        newcomer: "segment 3 of device",
        verify: "the remote confirmed it and does not hold it now",
    },
    Lie {
        what: "the last segment never comes",
        tell: |truth, objects| drop(objects.remove(&truth.segments()[3])),
        reader: "says that it put segment 4, and the remote shows 3 so far",
        newcomer: "says that it put segment 4, and the remote shows 3 so far",
        verify: "the remote confirmed it and does not hold it now",
    },
    Lie {
        what: "a head goes back",
        tell: |truth, objects| {
            objects.insert(truth.head(), truth.old_head.clone());
        },
        reader: "named segment 3, and names segment 2 now",
        newcomer: SILENT,
        verify: "it names segment 2, and segment 4 is there",
    },
    Lie {
        what: "a head is hidden",
        tell: |truth, objects| drop(objects.remove(&truth.head())),
        reader: "named segment 3, and is gone now",
        newcomer: SILENT,
        verify: "it is gone, though segments of the device are there",
    },
    Lie {
        what: "a head is another device's",
        tell: |truth, objects| {
            let head = objects[&truth.head()].clone();
            objects.insert(format!("heads/{}", "ab".repeat(16)), head);
        },
        reader: "the head of device abababab",
        newcomer: "the head of device abababab",
        verify: "the head of device abababab",
    },
    Lie {
        what: "a head is altered",
        tell: |truth, objects| {
            let mut head = objects[&truth.head()].to_vec();
            head[7] ^= 1;
            objects.insert(truth.head(), head.into());
        },
        reader: "does not open: it was altered",
        newcomer: "does not open: it was altered",
        verify: "does not open: it was altered",
    },
    Lie {
        what: "vault.json is another vault's",
        tell: |truth, objects| {
            objects.insert("vault.json".into(), truth.foreign_vault.clone());
        },
        reader: "remote `origin` belongs to vault",
        newcomer: "remote `origin` belongs to vault",
        verify: "remote `origin` belongs to vault",
    },
    Lie {
        what: "there are names that nobody gave",
        tell: |truth, objects| {
            for name in ["log/../../../etc/passwd", "heads/..", "heads/XYZ", "images/%2e%2e/x.png"]
            {
                objects.insert(name.into(), truth.foreign.clone());
            }
        },
        reader: SILENT,
        newcomer: SILENT,
        verify: SILENT,
    },
];

/// All that a person is told of a sync.
pub(super) async fn told(device: &Device, remote: &Arc<dyn Remote>) -> String {
    let before = device.vault().events(Seq(1)).count() as u64;
    let said = match device.try_sync(remote).await {
        Ok(report) => [report.problems, report.awaited].concat().join("\n"),
        Err(error) => chain(&error),
    };
    let events = device.vault().events(Seq(before + 1)).map(|recorded| recorded.unwrap().event);
    let reset = |event: &Event| {
        matches!(event, Event::RemoteReset { reason: ResetReason::SegmentGone, .. })
    };
    if events.into_iter().any(|event| reset(&event)) { format!("{said}{RESET}") } else { said }
}

pub(super) async fn verified(device: &Device, remote: &Arc<dyn Remote>) -> String {
    let mut found = device.vault().verify().unwrap();
    match device.vault().verify_remote(&origin(), &**remote, false, &mut found).await {
        Ok(()) => {
            let lines = found.findings.iter();
            lines.map(|one| format!("{}: {}", one.what, one.problem)).collect::<Vec<_>>().join("\n")
        }
        Err(error) => chain(&error),
    }
}

#[track_caller]
pub(super) fn says(said: &str, expected: &str, who: &str, lie: &str) {
    let right = if expected == SILENT { said.is_empty() } else { said.contains(expected) };
    assert!(right, "{lie}: {who} should say {expected:?}, and says {said:?}");
}

/// Who is lied to: a laptop that pushed four times, and a phone that has read all but the last.
struct Cast {
    laptop: Device,
    phone: Device,
    truth: Truth,
}

async fn cast() -> Cast {
    let (stranger, elsewhere) = (Device::new("stranger", 7), Memory::new());
    let foreign: Arc<dyn Remote> = Arc::new(elsewhere.clone());
    stranger.add(&foreign).await;
    stranger.note("not ours\n");
    stranger.sync(&foreign).await;
    let of = |prefix: &str| {
        let objects = elsewhere.snapshot();
        objects.iter().find(|(name, _)| name.starts_with(prefix)).unwrap().1.clone()
    };
    let (foreign, foreign_vault) = (of("log/"), of("vault.json"));

    let memory = Memory::new();
    let remote: Arc<dyn Remote> = Arc::new(memory.clone());
    let laptop = Device::new("laptop", 1);
    let phone = Device::join("phone", 2, &laptop);
    laptop.add(&remote).await;
    phone.add(&remote).await;
    let mut old_head = Bytes::new();
    for number in 1..=4 {
        laptop.note(&format!("note {number}\n"));
        laptop.sync(&remote).await;
        match number {
            2 => {
                let shown = memory.snapshot();
                let head = shown.iter().find(|(name, _)| name.starts_with("heads/"));
                old_head = head.unwrap().1.clone();
            }
            3 => drop(phone.sync(&remote).await),
            _ => {}
        }
    }
    let truth = Truth { old_head, after: memory.snapshot(), foreign, foreign_vault };
    Cast { laptop, phone, truth }
}

fn showing(objects: &Objects) -> Arc<dyn Remote> {
    let memory = Memory::new();
    memory.restore(objects.clone());
    Arc::new(memory)
}

async fn attack(cast: &mut Cast, lie: &Lie) {
    let (laptop, truth) = (&cast.laptop, &cast.truth);
    let (phone, newcomer) = (cast.phone.copy(50), Device::join("tablet", 3, laptop));
    newcomer.add(&showing(&truth.after)).await;
    let mut objects = truth.after.clone();
    (lie.tell)(truth, &mut objects);
    // To each of them, whatever the others mend.
    let lying = || showing(&objects);

    says(&verified(laptop, &lying()).await, lie.verify, "verify --remote", lie.what);
    says(&told(&newcomer, &lying()).await, lie.newcomer, "a newcomer", lie.what);
    says(&told(&phone, &lying()).await, lie.reader, "a reader", lie.what);
    let honest = laptop.sources();
    for device in [&phone, &newcomer] {
        let sources = device.sources();
        assert!(sources.iter().all(|note| honest.contains(note)), "{}", lie.what);
        // Segments stand for themselves.
        assert!(!lie.what.contains("head") || sources == honest, "{}", lie.what);
    }
    assert!(phone.sources().len() >= 3, "{}", lie.what);
    // Nothing was lost by it: where the truth is told again, everybody has everything.
    let honestly = showing(&truth.after);
    for device in [&phone, &newcomer] {
        device.try_sync(&honestly).await.unwrap();
        assert_eq!(device.sources(), honest, "{}", lie.what);
        device.check();
    }
}

#[tokio::test]
async fn every_lie_is_noticed_and_named_and_nothing_is_lost() {
    let mut cast = cast().await;
    for lie in &LIES {
        attack(&mut cast, lie).await;
    }
}
