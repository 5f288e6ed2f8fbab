//! Grey pictures: read from and written to files by Rust crates.
//!
//! OpenCV's own readers would draw 244 shared libraries into the process, so no picture ever passes through them.
//! Invariant: a `Picture` holds exactly `width * height` bytes, row by row, 8 bits grey, origin at the top left corner.

use crate::frame::PixelFormat;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Pictures wider or higher than this are refused before any memory is reserved for them.
const SIDE_MAX: u32 = 16_384;

/// Why a picture could not be read or written.
#[derive(Debug, Error)]
pub enum PictureError {
    /// The file could not be read or written.
    #[error("{} cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The bytes are not a picture this crate reads.
    #[error("{what} is not a picture that can be used: {why}")]
    Content {
        /// Which picture.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// An 8-bit grey picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: u32,
    height: u32,
    pixels: Box<[u8]>,
}

impl Picture {
    /// A picture of `width * height` bytes, row by row.
    ///
    /// # Errors
    /// If a side is 0 or beyond 16 384 pixels, or if the number of bytes is another one.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self, PictureError> {
        let content = |why: String| PictureError::Content { what: format!("a picture of {width}x{height}"), why };
        let bytes = area(width, height).ok_or_else(|| content(format!("each side has 1 to {SIDE_MAX} pixels")))?;
        if pixels.len() != bytes {
            return Err(content(format!("it needs {bytes} bytes and has {}", pixels.len())));
        }
        Ok(Self { width, height, pixels: pixels.into_boxed_slice() })
    }

    /// Width in pixels.
    #[must_use]
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub const fn height(&self) -> u32 {
        self.height
    }

    /// The pixels, row by row.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// Reads a JPEG or PNG file (by its first bytes, not by its name); colours become grey.
    ///
    /// # Errors
    /// If the file cannot be read or is no such picture.
    pub fn read(path: &Path) -> Result<Self, PictureError> {
        Self::decode(&path.display().to_string(), &read_bytes(path)?)
    }

    /// Decodes the bytes of a JPEG or PNG file; `what` names it in errors.
    ///
    /// # Errors
    /// If it is no such picture.
    pub fn decode(what: &str, bytes: &[u8]) -> Result<Self, PictureError> {
        if bytes.starts_with(b"\x89PNG") { decode_png(what, bytes) } else { decode_jpeg(what, bytes) }
    }

    /// Writes the picture as a PNG file without loss.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_png(&self, path: &Path) -> Result<(), PictureError> {
        fs::write(path, self.to_png()?).map_err(|source| PictureError::File { path: path.to_owned(), source })
    }

    /// The picture as the bytes of a PNG file.
    ///
    /// # Errors
    /// If the encoder refuses it.
    pub fn to_png(&self) -> Result<Vec<u8>, PictureError> {
        let content = |error: png::EncodingError| PictureError::Content { what: "the PNG to write".to_owned(), why: error.to_string() };
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, self.width, self.height);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header().map_err(content)?;
        writer.write_image_data(&self.pixels).map_err(content)?;
        writer.finish().map_err(content)?;
        Ok(out)
    }

    /// The picture as the bytes of a grey JPEG file; `quality` 1…100.
    ///
    /// # Errors
    /// If the encoder refuses it.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>, PictureError> {
        encode_jpeg(&self.pixels, PixelFormat::Mono8, self.width, self.height, quality)
    }
}

/// Number of pixels of a picture, or `None` where a side is 0 or beyond the limit.
pub(crate) fn area(width: u32, height: u32) -> Option<usize> {
    let good = |side: u32| (1..=SIDE_MAX).contains(&side);
    (good(width) && good(height)).then(|| usize::try_from(u64::from(width) * u64::from(height)).ok())?
}

pub(crate) fn encode_jpeg(pixels: &[u8], format: PixelFormat, width: u32, height: u32, quality: u8) -> Result<Vec<u8>, PictureError> {
    let content = |why: String| PictureError::Content { what: format!("the {width}x{height} JPEG to write"), why };
    let sides = u16::try_from(width).ok().zip(u16::try_from(height).ok());
    let (columns, rows) = sides.ok_or_else(|| content("a side is too long".to_owned()))?;
    let mut out = Vec::with_capacity(pixels.len() / 4);
    let encoder = jpeg_encoder::Encoder::new(&mut out, quality.clamp(1, 100));
    let colours = match format {
        PixelFormat::Mono8 => jpeg_encoder::ColorType::Luma,
        PixelFormat::Rgb8 => jpeg_encoder::ColorType::Rgb,
        PixelFormat::Bgr8 => jpeg_encoder::ColorType::Bgr,
    };
    encoder.encode(pixels, columns, rows, colours).map_err(|error| content(error.to_string()))?;
    Ok(out)
}

/// Means of `factor` by `factor` pixels; what is left at the right and at the bottom falls away. For people, not for models.
pub(crate) fn shrunk(pixels: &[u8], format: PixelFormat, (width, height): (u32, u32), factor: u32) -> (Vec<u8>, u32, u32) {
    let to_usize = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let (channels, columns, factor) = (format.channels(), to_usize(width), factor.max(1));
    let (small, area) = ((width / factor, height / factor), factor * factor);
    let (step, wide) = (to_usize(factor), to_usize(small.0) * channels);
    let mut out = Vec::with_capacity(wide * to_usize(small.1));
    let mut sums = vec![0_u32; wide];
    for rows in pixels.chunks_exact(columns * channels * step).take(to_usize(small.1)) {
        sums.fill(0);
        for row in rows.chunks_exact(columns * channels) {
            for (sums, cells) in sums.chunks_exact_mut(channels).zip(row.chunks_exact(channels * step)) {
                for cell in cells.chunks_exact(channels) {
                    sums.iter_mut().zip(cell).for_each(|(sum, value)| *sum += u32::from(*value));
                }
            }
        }
        out.extend(sums.iter().map(|sum| u8::try_from((sum + area / 2) / area).unwrap_or(u8::MAX)));
    }
    (out, small.0, small.1)
}

pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, PictureError> {
    fs::read(path).map_err(|source| PictureError::File { path: path.to_owned(), source })
}

/// Decodes a JPEG to grey into `out` if it has the right size, and says how large the picture is.
///
/// # Errors
/// If it is no JPEG or larger than `out`.
pub(crate) fn decode_jpeg_into(what: &str, bytes: &[u8], out: &mut [u8]) -> Result<(u32, u32), PictureError> {
    let content = |why: String| PictureError::Content { what: what.to_owned(), why };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(bytes), options);
    decoder.decode_headers().map_err(|error| content(format!("{error:?}")))?;
    let sides = decoder.dimensions().and_then(|(w, h)| u32::try_from(w).ok().zip(u32::try_from(h).ok()));
    let (width, height) = sides.ok_or_else(|| content("it names no size".to_owned()))?;
    let needed = area(width, height).ok_or_else(|| content(format!("{width}x{height} is beyond {SIDE_MAX} pixels a side")))?;
    let room = out.len();
    let target = out.get_mut(..needed).ok_or_else(|| content(format!("{width}x{height} does not fit into a frame of {room} bytes")))?;
    decoder.decode_into(target).map_err(|error| content(format!("{error:?}")))?;
    Ok((width, height))
}

/// The pixels of a PNG or JPEG file as they are: grey, or red, green and blue.
///
/// # Errors
/// If the file cannot be read or is no such picture.
pub(crate) fn read_pixels(path: &Path) -> Result<(PixelFormat, u32, u32, Vec<u8>), PictureError> {
    let (what, bytes) = (path.display().to_string(), read_bytes(path)?);
    if bytes.starts_with(b"\x89PNG") {
        let (samples, width, height, raw) = decode_png_samples(&what, &bytes)?;
        return Ok(match samples {
            1 => (PixelFormat::Mono8, width, height, raw),
            2 => (PixelFormat::Mono8, width, height, raw.chunks_exact(2).map(|pixel| pixel[0]).collect()),
            3 => (PixelFormat::Rgb8, width, height, raw),
            _ => (PixelFormat::Rgb8, width, height, raw.chunks_exact(samples).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()),
        });
    }
    let content = |why: String| PictureError::Content { what: what.clone(), why };
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(Cursor::new(&bytes), options);
    let pixels = decoder.decode().map_err(|error| content(format!("{error:?}")))?;
    let sides = decoder.dimensions().and_then(|(w, h)| u32::try_from(w).ok().zip(u32::try_from(h).ok()));
    let (width, height) = sides.ok_or_else(|| content("it names no size".to_owned()))?;
    Ok((PixelFormat::Rgb8, width, height, pixels))
}

fn decode_jpeg(what: &str, bytes: &[u8]) -> Result<Picture, PictureError> {
    let content = |why: String| PictureError::Content { what: what.to_owned(), why };
    let mut decoder = JpegDecoder::new(Cursor::new(bytes));
    decoder.decode_headers().map_err(|error| content(format!("{error:?}")))?;
    let sides = decoder.dimensions().and_then(|(w, h)| u32::try_from(w).ok().zip(u32::try_from(h).ok()));
    let (width, height) = sides.ok_or_else(|| content("it names no size".to_owned()))?;
    let needed = area(width, height).ok_or_else(|| content(format!("{width}x{height} is beyond {SIDE_MAX} pixels a side")))?;
    let mut pixels = vec![0; needed];
    decode_jpeg_into(what, bytes, &mut pixels)?;
    Picture::new(width, height, pixels)
}

/// Samples per pixel, width, height and all samples.
fn decode_png_samples(what: &str, bytes: &[u8]) -> Result<(usize, u32, u32, Vec<u8>), PictureError> {
    let content = |why: String| PictureError::Content { what: what.to_owned(), why };
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().map_err(|error| content(error.to_string()))?;
    let (width, height) = (reader.info().width, reader.info().height);
    area(width, height).ok_or_else(|| content(format!("{width}x{height} is beyond {SIDE_MAX} pixels a side")))?;
    let size = reader.output_buffer_size().ok_or_else(|| content("it is too large".to_owned()))?;
    let mut raw = vec![0; size];
    let info = reader.next_frame(&mut raw).map_err(|error| content(error.to_string()))?;
    raw.truncate(info.buffer_size());
    Ok((info.color_type.samples(), width, height, raw))
}

fn decode_png(what: &str, bytes: &[u8]) -> Result<Picture, PictureError> {
    let (samples, width, height, raw) = decode_png_samples(what, bytes)?;
    let grey = match samples {
        1 => raw,
        2 => raw.chunks_exact(2).map(|pixel| pixel[0]).collect(),
        _ => raw.chunks_exact(samples).map(|pixel| luma(pixel[0], pixel[1], pixel[2])).collect(),
    };
    Picture::new(width, height, grey)
}

/// Rec. 601 luma with weights in 1/256.
pub(crate) fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
    u8::try_from(sum >> 8).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Picture {
        Picture::new(48, 16, (0..768_u32).map(|n| u8::try_from(n / 3).unwrap()).collect()).unwrap()
    }

    #[test]
    fn a_shrunk_picture_holds_means_and_drops_what_is_left_over() {
        let grey = [10, 20, 99, 30, 41, 99, 1, 1, 1];
        assert_eq!(shrunk(&grey, PixelFormat::Mono8, (3, 3), 2), (vec![25], 1, 1));
        let colour = [0, 100, 200, 10, 110, 210, 20, 120, 220, 30, 130, 230];
        assert_eq!(shrunk(&colour, PixelFormat::Rgb8, (2, 2), 2), (vec![15, 115, 215], 1, 1));
        assert_eq!(shrunk(&colour, PixelFormat::Rgb8, (2, 2), 1).0, colour);
        assert_eq!(shrunk(&[7; 6], PixelFormat::Mono8, (3, 2), 4), (vec![], 0, 0));
    }

    #[test]
    fn png_keeps_every_pixel_and_jpeg_nearly() {
        let folder = tempfile::tempdir().unwrap();
        let picture = ramp();
        let path = folder.path().join("a.png");
        picture.write_png(&path).unwrap();
        assert_eq!(Picture::read(&path).unwrap(), picture);
        let path = folder.path().join("a.jpg");
        fs::write(&path, picture.to_jpeg(95).unwrap()).unwrap();
        let back = Picture::read(&path).unwrap();
        assert_eq!((back.width(), back.height()), (48, 16));
        assert!(back.pixels().iter().zip(picture.pixels()).all(|(a, b)| a.abs_diff(*b) < 12));
    }

    #[test]
    fn broken_pictures_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.jpg");
        fs::write(&path, b"not a picture").unwrap();
        assert!(Picture::read(&path).unwrap_err().to_string().contains("broken.jpg"));
        let cut = ramp().to_png().unwrap();
        fs::write(&path, &cut[..cut.len() / 2]).unwrap();
        assert!(Picture::read(&path).is_err());
        assert!(Picture::new(4, 4, vec![0; 15]).is_err());
        assert!(Picture::new(0, 4, vec![]).is_err());
    }
}
