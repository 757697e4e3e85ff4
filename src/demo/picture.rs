//! Pictures drawn here, so that the demonstration needs no files.

const WIDTH: u8 = 64;
const HEIGHT: u8 = 48;

/// A PNG of 64 by 48 pixels: a gradient around `hue`.
pub(super) fn png(hue: [u8; 3]) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..HEIGHT {
        // Each row begins with its filter: none.
        rows.push(0);
        for x in 0..WIDTH {
            let [red, green, blue] = hue;
            rows.extend([red.wrapping_add(x), green.wrapping_add(y), blue.wrapping_add(x ^ y)]);
        }
    }
    let size = [u32::from(WIDTH), u32::from(HEIGHT)].map(u32::to_be_bytes).concat();
    // Eight bits for each of three colours.
    let header = [size.as_slice(), &[8, 2, 0, 0, 0]].concat();
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut png, *b"IHDR", &header);
    chunk(&mut png, *b"IDAT", &stored(&rows));
    chunk(&mut png, *b"IEND", &[]);
    png
}

fn chunk(png: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    let named = [kind.as_slice(), data].concat();
    png.extend(length(data).to_be_bytes());
    png.extend_from_slice(&named);
    png.extend(crc(&named).to_be_bytes());
}

/// A zlib stream that compresses nothing: one stored block, so at most 65,535 bytes.
fn stored(data: &[u8]) -> Vec<u8> {
    let size = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut stream = vec![0x78, 0x01, 0x01];
    stream.extend(size.to_le_bytes());
    stream.extend((!size).to_le_bytes());
    stream.extend_from_slice(data);
    stream.extend(adler(data).to_be_bytes());
    stream
}

fn length(data: &[u8]) -> u32 {
    u32::try_from(data.len()).unwrap_or(u32::MAX)
}

fn crc(data: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    };
    !data.iter().fold(!0, step)
}

fn adler(data: &[u8]) -> u32 {
    let (low, high) = data.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    high << 16 | low
}
