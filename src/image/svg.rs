//! Whether text is an SVG, by its root element; only as much of XML as stands before that.

use std::borrow::Cow;

use super::Dimensions;

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

/// The root element of an SVG: what it says of the size of its picture.
#[derive(Debug, Default)]
pub(super) struct Root {
    width: Option<f64>,
    height: Option<f64>,
    view: Option<(f64, f64)>,
}

impl Root {
    /// Rounded to whole pixels: as stated, else those of the view box.
    pub(super) fn dimensions(&self) -> Option<Dimensions> {
        let (width, height) = match (self.width, self.height, self.view) {
            (Some(width), Some(height), _) => (width, height),
            (Some(width), None, Some((w, h))) => (width, width * h / w),
            (None, Some(height), Some((w, h))) => (height * w / h, height),
            (None, None, Some(view)) => view,
            _ => return None,
        };
        Some(Dimensions { width: pixels(width)?, height: pixels(height)? })
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
fn pixels(length: f64) -> Option<u32> {
    let length = length.round();
    (length >= 1.0 && length <= f64::from(u32::MAX)).then_some(length as u32)
}

/// The root element of the SVG that begins with `start`; `None` where it is another document, or none.
pub(super) fn root(start: &[u8]) -> Option<Root> {
    let text = decode(start);
    let mut rest = text.trim_start_matches(SPACE);
    if !rest.starts_with('<') {
        return None;
    }
    loop {
        rest = rest.trim_start_matches(SPACE);
        rest = if let Some(inside) = rest.strip_prefix("<?") {
            after(inside, "?>")?
        } else if let Some(inside) = rest.strip_prefix("<!--") {
            after(inside, "-->")?
        } else if let Some(inside) = rest.strip_prefix("<!DOCTYPE") {
            doctype(inside)?
        } else {
            return element(rest.strip_prefix('<')?);
        };
    }
}

/// As text, whatever the encoding: all that is looked for is ASCII.
fn decode(start: &[u8]) -> Cow<'_, str> {
    let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks().0.iter().map(|pair| unit(*pair));
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
    };
    match start {
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest),
        [0xff, 0xfe, rest @ ..] => Cow::Owned(wide(rest, u16::from_le_bytes)),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(wide(rest, u16::from_be_bytes)),
        _ => String::from_utf8_lossy(start),
    }
}

fn after<'a>(text: &'a str, end: &str) -> Option<&'a str> {
    text.split_once(end).map(|(_, rest)| rest)
}

/// What follows a document type, if it is that of an SVG: `<!DOCTYPE html><svg>` is a page, since HTML
/// lets its own tags go unsaid.
fn doctype(inside: &str) -> Option<&str> {
    let inside = inside.strip_prefix(SPACE)?.trim_start_matches(SPACE);
    let (name, mut rest) = name(inside)?;
    if !is_svg(name) {
        return None;
    }
    let mut subset = false;
    loop {
        let at = rest.find(['"', '\'', '[', ']', '<', '>'])?;
        let (found, behind) = rest.get(at..)?.split_at_checked(1)?;
        rest = match found {
            "[" => {
                subset = true;
                behind
            }
            "]" => {
                subset = false;
                behind
            }
            "<" if behind.starts_with("!--") => after(behind, "-->")?,
            ">" if !subset => return Some(behind),
            "<" | ">" => behind,
            quote => after(behind, quote)?,
        };
    }
}

/// The name that `text` begins with, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let named = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
    let end = text.find(|c| !named(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

fn is_svg(name: &str) -> bool {
    name.rsplit_once(':').map_or(name, |(_, local)| local) == "svg"
}

/// Reads the root's tag, up to its end or to where the text was cut.
fn element(text: &str) -> Option<Root> {
    let (tag, mut rest) = name(text).filter(|(tag, _)| is_svg(tag))?;
    if tag.len() == text.len() {
        return None;
    }
    let mut root = Root::default();
    loop {
        let spaced = rest.starts_with(SPACE);
        rest = rest.trim_start_matches(SPACE);
        if rest.is_empty() || rest.starts_with('>') || rest.starts_with("/>") {
            return Some(root);
        }
        // As in XML, and unlike HTML, an attribute stands apart and its value in quotes.
        let (attribute, behind) = name(rest).filter(|_| spaced)?;
        let behind = behind.trim_start_matches(SPACE);
        if behind.is_empty() {
            return Some(root);
        }
        let behind = behind.strip_prefix('=')?.trim_start_matches(SPACE);
        let Some(quote) = behind.get(..1) else { return Some(root) };
        let inside = behind.strip_prefix(['"', '\''])?;
        let Some((value, behind)) = inside.split_once(quote) else { return Some(root) };
        match attribute {
            "width" => root.width = length(value),
            "height" => root.height = length(value),
            "viewBox" => root.view = view(value),
            _ => {}
        }
        rest = behind;
    }
}

/// A length in pixels; `None` where it depends on what surrounds the picture.
fn length(value: &str) -> Option<f64> {
    let value = value.trim_matches(SPACE);
    let end =
        value.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(value.len());
    let (number, unit) = value.split_at_checked(end)?;
    // CSS has 96 pixels to the inch.
    let factor = match unit {
        "" | "px" => 1.0,
        "pt" => 96.0 / 72.0,
        "pc" => 16.0,
        "in" => 96.0,
        "cm" => 96.0 / 2.54,
        "mm" => 9.6 / 2.54,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| number * factor).filter(|length| *length > 0.0)
}

fn view(value: &str) -> Option<(f64, f64)> {
    let numbers = value.split(|c| c == ',' || SPACE.contains(&c)).filter(|part| !part.is_empty());
    let mut numbers = numbers.skip(2).map(|number| number.parse::<f64>().ok().filter(|n| *n > 0.0));
    Some((numbers.next()??, numbers.next()??))
}
