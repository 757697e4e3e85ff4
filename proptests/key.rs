//! The names of objects on a remote.

use everleaf::{
    id::{DeviceId, ImageId, SegmentHash, VaultId},
    image::MediaType,
    remote::{After, Key, Prefix, hub_public_url, public_url},
};
use proptest::prelude::*;

pub(crate) const MEDIA_TYPES: [MediaType; 10] = [
    MediaType::Png,
    MediaType::Jpeg,
    MediaType::Gif,
    MediaType::Webp,
    MediaType::Avif,
    MediaType::Heic,
    MediaType::Svg,
    MediaType::Bmp,
    MediaType::Tiff,
    MediaType::Ico,
];

fn device() -> impl Strategy<Value = DeviceId> {
    any::<[u8; 16]>().prop_map(DeviceId::from_bytes)
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    let media_type = proptest::sample::select(MEDIA_TYPES.to_vec());
    prop_oneof![
        Just(Key::Vault),
        Just(Key::Pulse),
        device().prop_map(Key::Head),
        (device(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(device, seq, hash)| Key::Segment {
            device,
            seq,
            hash: SegmentHash::from_bytes(hash)
        }),
        (device(), any::<u64>(), any::<u16>(), any::<[u8; 32]>()).prop_map(
            |(device, seq, part, hash)| Key::Checkpoint {
                device,
                seq,
                part,
                hash: SegmentHash::from_bytes(hash)
            }
        ),
        (any::<[u8; 32]>(), media_type).prop_map(|(image, media_type)| Key::Image {
            image: ImageId::from_bytes(image),
            media_type
        }),
    ]
}

/// Names that are keys, or nearly so.
fn name() -> impl Strategy<Value = String> {
    let mangled = (key(), any::<prop::sample::Index>(), ".").prop_map(|(key, at, put)| {
        let mut name = key.to_string();
        let at = at.index(name.len());
        name.replace_range(at..=at, &put);
        name
    });
    let cut = (key(), any::<prop::sample::Index>())
        .prop_map(|(key, at)| key.to_string()[..at.index(key.to_string().len())].to_owned());
    let framed = (key(), "[ /.a\n]?", "[ /.a\n]?").prop_map(|(key, a, b)| format!("{a}{key}{b}"));
    let upper = key().prop_map(|key| {
        let name = key.to_string();
        let (kind, rest) = name.split_at(name.find('/').unwrap_or(0));
        format!("{kind}{}", rest.to_uppercase())
    });
    prop_oneof![".*", mangled, cut, framed, upper]
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    #[test]
    fn a_key_is_read_back_from_its_name(key in key()) {
        let name = key.to_string();
        prop_assert_eq!(name.parse::<Key>(), Ok(key));
        prop_assert!(name.is_ascii() && name.len() <= 131 && !name.contains("//"));
    }

    #[test]
    fn distinct_keys_have_distinct_names(a in key(), b in key()) {
        prop_assert_eq!(a == b, a.to_string() == b.to_string());
    }

    #[test]
    fn a_name_is_a_key_only_if_it_is_that_keys_name(name in name()) {
        if let Ok(key) = name.parse::<Key>() {
            prop_assert_eq!(key.to_string(), name);
        }
    }

    #[test]
    fn a_prefix_begins_the_names_that_it_contains(key in key(), of in key()) {
        let mut prefixes = vec![Prefix::Heads, Prefix::Logs, Prefix::Checkpoints, Prefix::Images];
        match of {
            Key::Segment { device, .. } | Key::Head(device) => prefixes.push(Prefix::Log(device)),
            Key::Image { image, .. } => prefixes.push(Prefix::Image(image)),
            _ => {}
        }
        for prefix in prefixes {
            prop_assert_eq!(prefix.to_string().parse::<Prefix>(), Ok(prefix));
            for key in [key, of] {
                let begins = key.to_string().starts_with(&prefix.to_string());
                prop_assert_eq!(prefix.contains(&key), begins);
            }
        }
    }

    #[test]
    fn a_name_is_a_prefix_only_if_it_is_that_prefixs_name(name in name()) {
        for name in [format!("{name}/"), format!("{name}."), name] {
            if let Ok(prefix) = name.parse::<Prefix>() {
                prop_assert_eq!(prefix.to_string(), name);
            }
        }
    }

    #[test]
    fn segments_sort_by_their_numbers(
        device in device(), a in any::<u64>(), b in any::<u64>(),
        x in any::<[u8; 32]>(), y in any::<[u8; 32]>(),
    ) {
        let segment = |seq, hash| Key::Segment { device, seq, hash: SegmentHash::from_bytes(hash) };
        let (of_a, of_b) = (segment(a, x), segment(b, y));
        if a != b {
            prop_assert_eq!(a < b, of_a.to_string() < of_b.to_string());
        }
        // `before_segment` lies between all numbers below and that number itself.
        prop_assert_eq!(After::before_segment(device, a) < After::from(&of_b), a <= b);
    }
}

#[test]
fn names_are_as_documented() {
    let device = DeviceId::from_bytes([0xd1; 16]);
    let image = ImageId::from_bytes([0x1a; 32]);
    let hash = SegmentHash::from_bytes([0xfe; 32]);
    let (d, i, h) = ("d1".repeat(16), "1a".repeat(32), "fe".repeat(32));
    let names = [
        (Key::Vault, "vault.json".to_owned()),
        (Key::Pulse, "pulse".to_owned()),
        (Key::Head(device), format!("heads/{d}")),
        (Key::Segment { device, seq: 255, hash }, format!("log/{d}/00000000000000ff-{h}")),
        (
            Key::Checkpoint { device, seq: 255, part: 1, hash },
            format!("checkpoints/{d}/00000000000000ff.0001-{h}"),
        ),
        (Key::Image { image, media_type: MediaType::Jpeg }, format!("images/{i}.jpg")),
    ];
    for (key, name) in names {
        assert_eq!(key.to_string(), name);
    }
}

#[test]
fn a_media_type_is_read_back_from_its_extension() {
    for media_type in MEDIA_TYPES {
        assert_eq!(MediaType::from_extension(media_type.extension()), Some(media_type));
        assert!(media_type.mime().starts_with("image/"));
    }
    assert_eq!(MediaType::from_extension("exe"), None);
}

#[test]
fn a_public_url_has_one_slash_before_the_key() {
    let key = Key::Image { image: ImageId::from_bytes([7; 32]), media_type: MediaType::Webp };
    let url = format!("https://notes.example/a/images/{}.webp", "07".repeat(32));
    assert_eq!(public_url("https://notes.example/a", &key), url);
    assert_eq!(public_url("https://notes.example/a/", &key), url);
}

#[test]
fn images_lie_right_under_the_public_base_of_a_hub() {
    let key = Key::Image { image: ImageId::from_bytes([7; 32]), media_type: MediaType::Webp };
    let base = hub_public_url("https://hub.example/", VaultId::from_bytes([0xab; 32]));
    assert_eq!(base, format!("https://hub.example/i/{}", "ab".repeat(32)));
    assert_eq!(public_url(&base, &key), format!("{base}/{}.webp", "07".repeat(32)));
    // Any other base, however much it looks like one.
    let other = format!("https://notes.example/i/{}", "AB".repeat(32));
    assert_eq!(public_url(&other, &key), format!("{other}/images/{}.webp", "07".repeat(32)));
}
