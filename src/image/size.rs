//! How large an image is, in pixels.

use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};

use imagesize::ImageType;

use super::{Dimensions, MediaType, START, svg};

/// How often an image may be read from: formats are chains of small boxes, and a chain may be as
/// long as its author likes.
const READS: u32 = 16 * 1024;

/// The dimensions of the image that begins with `start`, which should be its first [`START`] bytes,
/// or all of them.
///
/// `None` where they are not there, not sensible, or not of this kind of image.
#[must_use]
pub fn dimensions(media_type: MediaType, start: &[u8]) -> Option<Dimensions> {
    let start = start.get(..START).unwrap_or(start);
    match media_type {
        MediaType::Svg => svg::root(start)?.dimensions(),
        MediaType::Bmp => bitmap(start),
        _ => dimensions_in(media_type, &mut Cursor::new(start)),
    }
}

/// The dimensions of the image that `reader` holds from its very beginning.
///
/// For where [`dimensions`] found none: a JPEG has its profile and its thumbnail first, a TIFF may
/// have its directory last. Seeks rather than reads, and gives up early on a file that would have
/// it seek for long. Never finds more in an SVG or BMP, which say it at once.
#[must_use]
pub fn dimensions_in<R: BufRead + Seek>(
    media_type: MediaType,
    reader: &mut R,
) -> Option<Dimensions> {
    reader.rewind().ok()?;
    let mut reader = Bounded { inner: reader, left: READS };
    let kind = imagesize::reader_type(&mut reader).ok()?;
    let expected = matches!(
        (media_type, kind),
        (MediaType::Png, ImageType::Png)
            | (MediaType::Jpeg, ImageType::Jpeg)
            | (MediaType::Gif, ImageType::Gif)
            | (MediaType::Webp, ImageType::Webp)
            | (MediaType::Avif | MediaType::Heic, ImageType::Heif(_))
            | (MediaType::Tiff, ImageType::Tiff)
            | (MediaType::Ico, ImageType::Ico)
    );
    if !expected {
        return None;
    }
    let size = kind.reader_size(&mut reader).ok()?;
    sensible(size.width.try_into().ok()?, size.height.try_into().ok()?)
}

/// Our own, since `imagesize` knows neither the older header nor rows that go from top to bottom,
/// whose height is negative.
fn bitmap(start: &[u8]) -> Option<Dimensions> {
    let header = start.get(14..)?;
    let (width, height) = match header.first_chunk::<12>()? {
        [12, 0, 0, 0, w0, w1, h0, h1, ..] => {
            (u16::from_le_bytes([*w0, *w1]).into(), u16::from_le_bytes([*h0, *h1]).into())
        }
        [_, _, _, _, w0, w1, w2, w3, h0, h1, h2, h3] => (
            i32::from_le_bytes([*w0, *w1, *w2, *w3]).unsigned_abs(),
            i32::from_le_bytes([*h0, *h1, *h2, *h3]).unsigned_abs(),
        ),
    };
    sensible(width, height)
}

fn sensible(width: u32, height: u32) -> Option<Dimensions> {
    (width > 0 && height > 0).then_some(Dimensions { width, height })
}

/// A reader that ends after a number of reads.
struct Bounded<'a, R> {
    inner: &'a mut R,
    left: u32,
}

impl<R> Bounded<'_, R> {
    fn count(&mut self) -> io::Result<()> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::QuotaExceeded)?;
        Ok(())
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    /// Fills `buffer` unless the image ends: `imagesize` takes a short read for the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.count()?;
        let wanted = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let read = io::copy(&mut self.inner.by_ref().take(wanted), &mut Cursor::new(buffer))?;
        usize::try_from(read).map_err(io::Error::other)
    }
}

impl<R: BufRead> BufRead for Bounded<'_, R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.count()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl<R: Seek> Seek for Bounded<'_, R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
