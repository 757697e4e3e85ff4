//! The vault key and sealing: what is sealed opens in its place alone.

use everleaf::{
    clock::{SimulatedClock, Timestamp},
    id::DeviceId,
    seal::{Context, KeyError, OVERHEAD, OpenError, Sealer, VaultKey},
};
use proptest::{collection::vec, prelude::*};

/// The key that this seed gives.
pub(crate) fn key(seed: u64) -> VaultKey {
    VaultKey::generate(&SimulatedClock::new(Timestamp(0), seed))
}

fn context() -> impl Strategy<Value = Context> {
    (any::<[u8; 16]>(), any::<u64>(), 0..4_u8).prop_map(|(device, seq, purpose)| {
        let device = DeviceId::from_bytes(device);
        match purpose {
            0 => Context::Head { device },
            1 => Context::Segment { device, seq },
            2 => Context::Checkpoint { device, seq },
            _ => Context::Part { device, seq },
        }
    })
}

/// Golden: keys that people have written down, and the ids that remotes are named by.
#[test]
fn a_key_and_its_vault_stay_the_same() {
    let key = key(1);
    assert_eq!(*key.to_bech32(), KEY);
    assert_eq!(key.vault_id().to_string(), VAULT);
    assert_eq!(VaultKey::parse(KEY).unwrap().vault_id(), key.vault_id());
}

const KEY: &str = "everleaf1gv7h44xtncr24a6alz6zztt7pu8r56knmzs82r3637hdn2wt9nzsamx6rh";
const VAULT: &str = "15f904cdeaffe47604644409b786dcffbb9d0a55aae50485e87b68d28ab61bf4";

#[test]
fn a_key_may_come_in_upper_case_and_with_space_around_it() {
    let shouted = format!("\t {}\r\n", KEY.to_uppercase());
    assert_eq!(*VaultKey::parse(&shouted).unwrap().to_bech32(), KEY);
}

#[test]
fn what_is_no_key_says_why_and_is_not_repeated() {
    let of_length = |bytes: &[u8]| {
        let hrp = bech32::Hrp::parse("everleaf").unwrap();
        bech32::encode::<bech32::Bech32m>(hrp, bytes).unwrap()
    };
    let other_checksum =
        bech32::encode::<bech32::Bech32>(bech32::Hrp::parse("everleaf").unwrap(), &[1; 32])
            .unwrap();
    let other_prefix =
        bech32::encode::<bech32::Bech32m>(bech32::Hrp::parse("everlead").unwrap(), &[1; 32])
            .unwrap();
    let cases = [
        (String::new(), KeyError::NotAKey),
        ("correct horse battery staple".into(), KeyError::NotAKey),
        ("AGE-SECRET-KEY-1QQQQ".into(), KeyError::NotAKey),
        (other_prefix, KeyError::NotAKey),
        ("éverleaf1é".into(), KeyError::NotAKey),
        ("everleaf1".into(), KeyError::Typo),
        (KEY[..KEY.len() - 1].into(), KeyError::Typo),
        (format!("{}É", &KEY[..KEY.len() - 1]), KeyError::Typo),
        (format!("EVERLEAF{}", &KEY[8..]), KeyError::Typo),
        (format!("{} {}", &KEY[..20], &KEY[20..]), KeyError::Typo),
        (other_checksum, KeyError::Typo),
        (of_length(&[1; 31]), KeyError::Length),
        (of_length(&[1; 33]), KeyError::Length),
        (of_length(&[1; 500]), KeyError::Length),
    ];
    for (text, expected) in cases {
        let error = VaultKey::parse(&text).unwrap_err();
        assert_eq!(error, expected, "{text}");
        let shown = format!("{error} {error:?}");
        assert!(text.len() < 12 || !shown.contains(&text[9..12]), "{shown}");
    }
}

#[test]
fn nothing_shows_a_key() {
    let key = key(1);
    assert_eq!(format!("{key:?}"), "VaultKey(…)");
    assert_eq!(format!("{:?}", key.sealer()), format!("Sealer {{ vault: VaultId({VAULT}), .. }}"));
}

#[test]
fn too_short_and_too_new_have_their_errors() {
    let own = key(1).sealer();
    let place = Context::Head { device: DeviceId::from_bytes([1; 16]) };
    let mut sealed = own.seal(place, b"");
    assert_eq!(sealed.len(), OVERHEAD);
    assert_eq!(own.open(place, b""), Err(OpenError::Short));
    assert_eq!(own.open(place, &sealed[..20]), Err(OpenError::Short));
    assert_eq!(own.open(place, &sealed[..OVERHEAD - 1]), Err(OpenError::Short));
    sealed[0] = 2;
    assert_eq!(own.open(place, &sealed), Err(OpenError::Version(2)));
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// One line for every key, and a key for every such line; a typing error is noticed.
    #[test]
    fn a_key_survives_being_written_down(seed: u64, at in 9..67usize, other in "[a-z0-9]") {
        let key = key(seed);
        let line = key.to_bech32();
        prop_assert_eq!(VaultKey::parse(&line).unwrap().to_bech32(), line.clone());
        let mut typo = String::from(&**line);
        typo.replace_range(at..=at, &other);
        if typo != **line {
            prop_assert_eq!(VaultKey::parse(&typo).unwrap_err(), KeyError::Typo);
        }
    }

    /// What is sealed opens, and equal content seals to equal bytes.
    #[test]
    fn sealed_opens(place in context(), seed: u64, plain in vec(any::<u8>(), 0..300)) {
        let sealer = key(seed).sealer();
        let sealed = sealer.seal(place, &plain);
        prop_assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        prop_assert_eq!(&sealer.seal(place, &plain), &sealed);
        prop_assert_eq!(sealer.open(place, &sealed).unwrap(), plain);
    }

    /// It opens in no other place and under no other key.
    #[test]
    fn sealed_opens_nowhere_else(here in context(), there in context(), plain in vec(any::<u8>(), 0..50)) {
        let sealer = key(1).sealer();
        let sealed = sealer.seal(here, &plain);
        let beside = match here {
            Context::Segment { device, seq }
            | Context::Checkpoint { device, seq }
            | Context::Part { device, seq } => [
                Context::Segment { device, seq },
                Context::Segment { device, seq: seq.wrapping_add(1) },
                Context::Checkpoint { device, seq },
                Context::Part { device, seq },
                Context::Head { device },
            ],
            Context::Head { device } => [
                Context::Segment { device, seq: 0 },
                Context::Segment { device, seq: 1 },
                Context::Checkpoint { device, seq: 0 },
                Context::Part { device, seq: 0 },
                Context::Head { device },
            ],
        };
        for place in beside.into_iter().chain([there]).filter(|place| *place != here) {
            prop_assert_eq!(sealer.open(place, &sealed), Err(OpenError::Refused));
        }
        prop_assert_eq!(key(2).sealer().open(here, &sealed), Err(OpenError::Refused));
    }

    /// No two contents or places share a nonce.
    #[test]
    fn nonces_differ(
        here in context(),
        there in context(),
        one in vec(any::<u8>(), 0..4),
        other in vec(any::<u8>(), 0..4),
    ) {
        let nonce = |sealer: &Sealer, place, plain: &[u8]| sealer.seal(place, plain)[1..25].to_vec();
        let sealer = key(1).sealer();
        let same = (here, &one) == (there, &other);
        prop_assert_eq!(nonce(&sealer, here, &one) == nonce(&sealer, there, &other), same);
        prop_assert_ne!(nonce(&sealer, here, &one), nonce(&key(2).sealer(), here, &one));
    }

    /// One changed byte, or a missing end, is refused.
    #[test]
    fn altered_does_not_open(
        place in context(),
        plain in vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        mask in 1u8..,
        cut: bool,
    ) {
        let sealer = key(1).sealer();
        let mut sealed = sealer.seal(place, &plain);
        let at = at.index(sealed.len());
        if cut { sealed.truncate(at) } else { sealed[at] ^= mask }
        prop_assert!(sealer.open(place, &sealed).is_err());
    }
}
