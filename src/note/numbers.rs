//! Numbers as Automerge writes them: LEB128.

/// The next `length` bytes.
pub(super) fn take<'a>(data: &mut &'a [u8], length: u64) -> Option<&'a [u8]> {
    let (taken, rest) = data.split_at_checked(usize::try_from(length).ok()?)?;
    *data = rest;
    Some(taken)
}

/// What stands behind its own length.
pub(super) fn text<'a>(data: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = unsigned(data)?;
    take(data, length)
}

/// Passes over a number.
pub(super) fn skip(data: &mut &[u8]) -> Option<()> {
    let end = data.iter().position(|byte| byte & 0x80 == 0)?;
    *data = data.get(end + 1..)?;
    Some(())
}

/// The bits of a LEB128 number, how many they are, and the last byte.
fn bits(data: &mut &[u8]) -> Option<(u64, u32, u8)> {
    let (mut value, mut width) = (0_u64, 0);
    loop {
        let (byte, rest) = data.split_first()?;
        *data = rest;
        value |= u64::from(byte & 0x7f).checked_shl(width)?;
        width += 7;
        if byte & 0x80 == 0 {
            return Some((value, width, *byte));
        }
    }
}

/// The next number, which has no sign.
pub(super) fn unsigned(data: &mut &[u8]) -> Option<u64> {
    bits(data).map(|(value, ..)| value)
}

/// The next number, where it is not more than `most`.
pub(super) fn at_most(most: u64, data: &mut &[u8]) -> Option<u64> {
    unsigned(data).filter(|value| *value <= most)
}

/// The next number, which has a sign.
pub(super) fn signed(data: &mut &[u8]) -> Option<i64> {
    let (value, width, last) = bits(data)?;
    let negative = last & 0x40 != 0 && width < u64::BITS;
    Some((if negative { value | u64::MAX << width } else { value }).cast_signed())
}

/// Writes a number that has no sign.
pub(super) fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(low(value) | 0x80);
        value >>= 7;
    }
    out.push(low(value));
}

/// Writes a number that has one.
pub(super) fn put_signed(out: &mut Vec<u8>, mut value: i64) {
    while !(-0x40..0x40).contains(&value) {
        out.push(low(value.cast_unsigned()) | 0x80);
        value >>= 7;
    }
    out.push(low(value.cast_unsigned()));
}

/// Writes bytes behind their length.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    put_unsigned(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// The lowest seven bits.
fn low(value: u64) -> u8 {
    let [byte, ..] = value.to_le_bytes();
    byte & 0x7f
}
