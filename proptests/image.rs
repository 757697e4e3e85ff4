//! Images are known by their content: what is taken for one, what isn't, and how large it is.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use everleaf::image::{self, Dimensions, MediaType, dimensions, dimensions_in, recognise};
use proptest::{collection::vec, prelude::*, sample::select};

/// The beginning of a PNG, and then whatever one likes.
pub(crate) fn png(width: u32, height: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    bytes.extend(width.to_be_bytes().into_iter().chain(height.to_be_bytes()));
    bytes.extend_from_slice(b"\x08\x06\0\0\0");
    bytes.extend_from_slice(rest);
    bytes
}

/// A JPEG whose dimensions stand after `before` bytes of application data.
pub(crate) fn jpeg(width: u16, height: u16, before: usize) -> Vec<u8> {
    let mut bytes = b"\xff\xd8".to_vec();
    let mut left = before;
    while left > 0 {
        let data = left.min(60_000);
        bytes.extend_from_slice(b"\xff\xe2");
        bytes.extend_from_slice(&u16::try_from(data + 2).unwrap().to_be_bytes());
        bytes.resize(bytes.len() + data, 7);
        left -= data;
    }
    bytes.extend_from_slice(b"\xff\xc0\0\x11\x08");
    bytes.extend(height.to_be_bytes().into_iter().chain(width.to_be_bytes()));
    bytes.extend_from_slice(&[3; 20]);
    bytes
}

fn bmp(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bytes.extend(width.to_le_bytes().into_iter().chain(height.to_le_bytes()));
    bytes.extend_from_slice(&[0; 30]);
    bytes
}

fn ftyp(brands: &[&[u8; 4]]) -> Vec<u8> {
    let size = u32::try_from(12 + 4 * brands.len()).unwrap();
    let mut bytes = size.to_be_bytes().to_vec();
    bytes.extend_from_slice(b"ftyp");
    bytes.extend_from_slice(brands[0]);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend(brands[1..].iter().flat_map(|brand| brand.iter()));
    bytes
}

/// A box of an ISO media file.
fn boxed(name: [u8; 4], inside: &[u8]) -> Vec<u8> {
    let size = u32::try_from(8 + inside.len()).unwrap();
    [&size.to_be_bytes(), &name, inside].concat()
}

fn heif(brands: &[&[u8; 4]], width: u32, height: u32) -> Vec<u8> {
    let ispe = [[0; 4], width.to_be_bytes(), height.to_be_bytes()].concat();
    let iprp = boxed(*b"iprp", &boxed(*b"ipco", &boxed(*b"ispe", &ispe)));
    let meta = boxed(*b"meta", &[&[0; 4], boxed(*b"hdlr", &[0; 12]).as_slice(), &iprp].concat());
    [ftyp(brands), meta].concat()
}

fn tiff(width: u16, height: u16, before: u32) -> Vec<u8> {
    let entry = |tag: u16, value: u16| {
        [&tag.to_le_bytes(), &[3, 0, 1, 0, 0, 0][..], &value.to_le_bytes(), &[0, 0]].concat()
    };
    let mut bytes = b"II*\0".to_vec();
    bytes.extend_from_slice(&(8 + before).to_le_bytes());
    bytes.resize(bytes.len() + before as usize, 9);
    bytes.extend_from_slice(&[2, 0]);
    bytes.extend(entry(0x100, width).into_iter().chain(entry(0x101, height)));
    bytes.extend_from_slice(&[0; 4]);
    bytes
}

fn ico(kind: u8) -> Vec<u8> {
    [&[0, 0, kind, 0, 1, 0, 16, 32, 0, 0, 1, 0, 32, 0][..], &[0; 20]].concat()
}

/// One of every kind, with its dimensions.
pub(crate) fn samples() -> Vec<(MediaType, Vec<u8>, u32, u32)> {
    let webp = b"RIFF\x24\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x8f\x01\0\x2b\x01\0".to_vec();
    vec![
        (MediaType::Png, png(640, 480, b""), 640, 480),
        (MediaType::Jpeg, jpeg(1024, 768, 300), 1024, 768),
        (MediaType::Gif, b"GIF89a\x20\0\x10\0\0\0\0".to_vec(), 32, 16),
        (MediaType::Webp, webp, 400, 300),
        (MediaType::Avif, heif(&[b"avif", b"mif1"], 80, 60), 80, 60),
        (MediaType::Heic, heif(&[b"mif1", b"heic"], 4032, 3024), 4032, 3024),
        (MediaType::Svg, br#"<svg width="12" height='34px'/>"#.to_vec(), 12, 34),
        (MediaType::Bmp, bmp(300, -200), 300, 200),
        (MediaType::Tiff, tiff(77, 88, 0), 77, 88),
        (MediaType::Ico, ico(1), 16, 32),
    ]
}

#[test]
fn every_kind_is_recognised_and_measured() {
    let kinds: Vec<_> = samples().iter().map(|sample| sample.0).collect();
    assert_eq!(kinds, MediaType::ALL);
    for (media_type, bytes, width, height) in samples() {
        assert_eq!(recognise(&bytes), Some(media_type));
        assert_eq!(dimensions(media_type, &bytes), Some(Dimensions { width, height }));
    }
}

#[test]
fn extensions_and_mime_types_are_their_own() {
    for media_type in MediaType::ALL {
        assert_eq!(MediaType::from_extension(media_type.extension()), Some(media_type));
        let json = serde_json::to_string(&media_type).unwrap();
        assert_eq!(json, format!("\"{}\"", media_type.mime()));
        assert_eq!(serde_json::from_str::<MediaType>(&json).unwrap(), media_type);
    }
    for other in ["PNG", "jpeg", "", "tif", ".png"] {
        assert_eq!(MediaType::from_extension(other), None);
    }
    assert!(serde_json::from_str::<MediaType>("\"image/jxl\"").is_err());
}

/// Golden: what is in people's logs.
#[test]
fn numbers_of_media_types_stay() {
    for (number, media_type) in (0..).zip(MediaType::ALL) {
        assert_eq!(postcard::to_stdvec(&media_type).unwrap(), [number]);
        assert_eq!(postcard::from_bytes::<MediaType>(&[number]).unwrap(), media_type);
    }
    assert!(postcard::from_bytes::<MediaType>(&[10]).is_err());
    let written = MediaType::ALL.map(MediaType::extension).join(" ");
    assert_eq!(written, "png jpg gif webp avif heic svg bmp tiff ico");
}

#[test]
fn brands_tell_avif_from_heic_and_from_films() {
    let of = |brands: &[&[u8; 4]]| recognise(&ftyp(brands));
    assert_eq!(of(&[b"avif"]), Some(MediaType::Avif));
    assert_eq!(of(&[b"avis", b"heic"]), Some(MediaType::Avif));
    assert_eq!(of(&[b"mif1", b"miaf", b"avif"]), Some(MediaType::Avif));
    assert_eq!(of(&[b"heix"]), Some(MediaType::Heic));
    assert_eq!(of(&[b"msf1", b"hevc", b"avif"]), Some(MediaType::Heic));
    assert_eq!(of(&[b"mif1", b"miaf"]), None);
    assert_eq!(of(&[b"isom", b"avc1", b"avif"]), None);
    // A brand behind the box is not one of its brands.
    let behind = [ftyp(&[b"mif1"]), b"avif".to_vec()].concat();
    assert_eq!(recognise(&behind), None);
}

#[test]
fn what_only_begins_like_an_image_is_none() {
    let texts: [&[u8]; 10] = [
        b"",
        b"BM",
        b"BMW and Mercedes, in alphabetical order",
        b"GIF is pronounced with a hard g",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x89PNG, nearly",
        b"II*\0\x10\0\0\0CR\x02\0",
        b"%PDF-1.7",
        b"\0\0\x01\0\0\0",
        b"\xff\xd8",
    ];
    for text in texts {
        assert_eq!(recognise(text), None, "{}", String::from_utf8_lossy(text));
    }
    assert_eq!(recognise(&ico(2)), None, "a cursor");
}

#[test]
fn an_svg_is_known_by_its_root() {
    let svgs = [
        "<svg>",
        "\u{feff}<?xml version='1.0'?>\n<svg xmlns=\"http://www.w3.org/2000/svg\">",
        "<!-- <html> --><!-- > --><svg/>",
        "<?xml version=\"1.0\"?><?xml-stylesheet href=\"a>b\"?>\n<svg:svg xmlns:svg='s'>",
        "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://x/>\">\n<svg>",
        "<!DOCTYPE svg [\n <!ENTITY ns \"a]>b\">\n <!-- don't ]> -->\n <!ENTITY b 'c'>\n]>\n<svg a='&ns;'>",
        " \r\n<svg\n\twidth = '1' >",
        "<svg data-cut=\"here and no furth",
    ];
    for svg in svgs {
        assert_eq!(recognise(svg.as_bytes()), Some(MediaType::Svg), "{svg}");
    }
    let others = [
        "<html><svg></svg></html>",
        "<!DOCTYPE html>\n<svg></svg>",
        "<!doctype html><svg></svg>",
        "<!-- <svg> -->",
        "<!-- <svg>",
        "<?xml version='1.0'?><rss/>",
        "<svgfoo>",
        "<svg",
        "<SVG>",
        "<svg width=100>",
        "<svg a='1'b='2'>",
        "text <svg>",
        "<svg:g>",
        "&lt;svg>",
    ];
    for other in others {
        assert_eq!(recognise(other.as_bytes()), None, "{other}");
    }
    let wide = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
        "\u{feff}<svg height='3' width='4'/>".encode_utf16().flat_map(unit).collect()
    };
    for bytes in [wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
        assert_eq!(recognise(&bytes), Some(MediaType::Svg));
        let size = dimensions(MediaType::Svg, &bytes);
        assert_eq!(size, Some(Dimensions { width: 4, height: 3 }));
    }
}

#[test]
fn an_svg_is_measured_as_stated_else_by_its_view_box() {
    let size = |attributes: &str| {
        let svg = format!("<svg {attributes}>");
        dimensions(MediaType::Svg, svg.as_bytes()).map(|size| (size.width, size.height))
    };
    assert_eq!(size("width='12.6' height=' 3 '"), Some((13, 3)));
    assert_eq!(size("width='72pt' height='1in'"), Some((96, 96)));
    assert_eq!(size("width='2.54cm' height='25.4mm'"), Some((96, 96)));
    assert_eq!(size("viewBox='0 0 300 150'"), Some((300, 150)));
    assert_eq!(size("viewBox='-1,-2, 300 150' width='100%' height='100%'"), Some((300, 150)));
    assert_eq!(size("viewBox='0 0 300 150' width='100'"), Some((100, 50)));
    assert_eq!(size("viewBox='0 0 300 150' height='50'"), Some((100, 50)));
    for none in [
        "",
        "width='5'",
        "width='-5' height='5'",
        "width='0.1' height='1'",
        "width='1em' height='1em'",
        "width='9999999999' height='1'",
        "viewBox='0 0 inf NaN'",
        "viewBox='0 0 0 0'",
        "viewBox='1 2'",
        "width='.' height='+-'",
    ] {
        assert_eq!(size(none), None, "{none}");
    }
}

#[test]
fn dimensions_beyond_the_start_are_found_in_the_whole_file() {
    let images = [
        (MediaType::Jpeg, jpeg(4000, 3000, 200_000)),
        (MediaType::Tiff, tiff(4000, 3000, 200_000)),
    ];
    for (media_type, bytes) in images {
        assert_eq!(recognise(&bytes[..image::START]), Some(media_type));
        assert_eq!(dimensions(media_type, &bytes), None);
        let size = dimensions_in(media_type, &mut BufReader::new(Cursor::new(&bytes)));
        assert_eq!(size, Some(Dimensions { width: 4000, height: 3000 }));
    }
}

#[test]
fn an_endless_chain_of_boxes_is_given_up() {
    /// A film or JPEG of one small box after another.
    struct Endless {
        unit: &'static [u8],
        head: Vec<u8>,
        at: u64,
        reads: usize,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads += 1;
            for byte in buffer.iter_mut() {
                let at = usize::try_from(self.at).unwrap();
                *byte = *self
                    .head
                    .get(at)
                    .unwrap_or_else(|| &self.unit[(at - self.head.len()) % self.unit.len()]);
                self.at += 1;
            }
            Ok(buffer.len())
        }
    }
    impl Seek for Endless {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.at = match to {
                SeekFrom::Start(at) => at,
                SeekFrom::Current(by) => self.at.checked_add_signed(by).unwrap(),
                SeekFrom::End(_) => unreachable!(),
            };
            Ok(self.at)
        }
    }
    let endless: [(MediaType, Vec<u8>, &'static [u8]); 2] = [
        (MediaType::Jpeg, vec![0xff, 0xd8], &[0xff, 0xe2, 0, 2]),
        (MediaType::Avif, ftyp(&[b"avif"]), b"\0\0\0\x08skip"),
    ];
    for (media_type, head, unit) in endless {
        let mut reader = BufReader::with_capacity(64, Endless { unit, head, at: 0, reads: 0 });
        assert_eq!(dimensions_in(media_type, &mut reader), None);
        assert!(reader.get_ref().reads < 100_000);
    }
}

/// What `vaults` hold under the names of images: recognised, and as they are named.
#[test]
fn images_of_real_vaults_are_recognised() {
    let shared = std::env::var_os("EVERLEAF_SHARED").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared").into(),
        std::path::PathBuf::from,
    );
    let vaults = shared.join("vaults");
    if !vaults.is_dir() {
        eprintln!("left out: no sample vaults at {}", vaults.display());
        return;
    }
    let mut images = 0;
    for entry in walkdir::WalkDir::new(vaults).into_iter().map(Result::unwrap) {
        let extension = entry.path().extension().and_then(|e| e.to_str()).unwrap_or_default();
        let extension = extension.to_lowercase().replace("jpeg", "jpg");
        if !entry.file_type().is_file() || MediaType::from_extension(&extension).is_none() {
            continue;
        }
        let bytes = std::fs::read(entry.path()).unwrap();
        let found = recognise(&bytes).unwrap_or_else(|| panic!("{}", entry.path().display()));
        let size =
            dimensions(found, &bytes).or_else(|| dimensions_in(found, &mut Cursor::new(&bytes)));
        if size.is_none() || found.extension() != extension {
            eprintln!("{}: {found:?} {size:?}", entry.path().display());
        }
        images += 1;
    }
    assert!(images > 300);
}

proptest! {
    #![proptest_config(crate::regressions::kept(module_path!()))]

    /// Whatever the bytes: an answer, for every kind.
    #[test]
    fn no_bytes_make_it_panic(
        sample in select(samples()),
        cut in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        tail in vec(any::<u8>(), 0..80),
    ) {
        let mut bytes = sample.1;
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1).max(bytes.len() / 2));
        bytes.extend(tail);
        let _ = (recognise(&bytes), image::looks_like(&bytes));
        for media_type in MediaType::ALL {
            let _ = dimensions(media_type, &bytes);
            let _ = dimensions_in(media_type, &mut Cursor::new(&bytes));
        }
    }

    /// Text that a person writes is no image, unless it is an SVG.
    #[test]
    fn text_is_no_image(text in "(BM|GIF|<svg|II|MM|RIFF|<!--|<\\?xml )?[ -~\n]{0,200}") {
        prop_assert!(matches!(recognise(text.as_bytes()), None | Some(MediaType::Svg)));
    }
}
