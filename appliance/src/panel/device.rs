//! Where the picture goes: a PNG file that the page can show, or a Linux framebuffer.
//!
//! Invariants: a reader of the PNG file never sees half a picture; nothing is written beyond the visible part of the
//! framebuffer. The framebuffer's geometry is read from sysfs as text, because asking the device itself takes an ioctl.

use super::{PanelSize, Picture, PngError, rgb888};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Why a picture did not reach its place.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The picture could not be encoded.
    #[error("the panel's picture could not be encoded")]
    Encode(#[from] PngError),
    /// A file could not be read or written.
    #[error("{}: {action} failed; check that the path exists and that the service's user may {action} it", path.display())]
    File {
        /// What was tried: `read`, `write` or `open`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The framebuffer is one this program cannot draw on.
    #[error("{}: {found:?} is not {wanted}; use another display or show the panel as a PNG file", path.display())]
    Geometry {
        /// The file that says so.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The picture has another size than the display.
    #[error("a picture of {}x{} pixels does not fit a display of {}x{}; draw it for the size that the device gives", picture.width, picture.height, device.width, device.height)]
    Size {
        /// Size of the picture.
        picture: PanelSize,
        /// Size of the display.
        device: PanelSize,
    },
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DeviceError {
    let path = path.to_path_buf();
    move |source| DeviceError::File { action, path, source }
}

/// A display, whatever its kind.
#[derive(Debug)]
pub enum Device {
    /// A PNG file.
    Png(PngFile),
    /// A Linux framebuffer.
    Framebuffer(Framebuffer),
}

impl Device {
    /// The size for which pictures must be drawn.
    #[must_use]
    pub fn size(&self) -> PanelSize {
        match self {
            Self::Png(file) => file.size,
            Self::Framebuffer(framebuffer) => framebuffer.size,
        }
    }

    /// Shows `picture` in place of the one before.
    ///
    /// # Errors
    /// [`DeviceError`] if the picture has another size than [`Self::size`] or the file cannot be written. The next call may
    /// succeed: nothing is left behind that would prevent it.
    pub fn show(&mut self, picture: &Picture) -> Result<(), DeviceError> {
        if picture.size() != self.size() {
            return Err(DeviceError::Size { picture: picture.size(), device: self.size() });
        }
        match self {
            Self::Png(file) => file.show(picture),
            Self::Framebuffer(framebuffer) => framebuffer.show(picture),
        }
    }
}

/// A PNG file that always holds one whole picture.
#[derive(Debug)]
pub struct PngFile {
    path: PathBuf,
    beside: PathBuf,
    size: PanelSize,
}

impl PngFile {
    /// A file at `path` for pictures of `size`. Nothing is written yet; its folder must exist and allow a second file
    /// (`path` + `.part`).
    #[must_use]
    pub fn new(path: &Path, size: PanelSize) -> Self {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        Self { path: path.to_path_buf(), beside: beside.into(), size: size.clamped() }
    }

    // Renamed, not synced: readers see the old or the new picture; after a power cut the next one is drawn anyway.
    fn show(&self, picture: &Picture) -> Result<(), DeviceError> {
        fs::write(&self.beside, picture.to_png()?).map_err(file_error("write", &self.beside))?;
        fs::rename(&self.beside, &self.path).map_err(file_error("write", &self.path))
    }
}

/// How a pixel lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// 16 bits, little endian: red, green, blue from the top.
    Rgb565,
    /// 32 bits, little endian: bytes blue, green, red, unused.
    Xrgb8888,
}

/// A Linux framebuffer with 16 or 32 bits per pixel.
///
/// sysfs does not tell the order of the colours; RGB565 and XRGB8888 are what every DRM driver's framebuffer uses. The text
/// console must not own the display (boot with `fbcon=map:9` or unbind `vtcon1`), else its cursor draws into the picture.
#[derive(Debug)]
pub struct Framebuffer {
    device: File,
    path: PathBuf,
    size: PanelSize,
    layout: Layout,
    /// Bytes from one row to the next.
    stride: usize,
    /// Byte at which the visible part begins.
    start: u64,
}

impl Framebuffer {
    /// Opens the device file (`/dev/fb0`) with the geometry in its sysfs folder (`/sys/class/graphics/fb0`).
    ///
    /// # Errors
    /// [`DeviceError::File`] if one of them cannot be read or opened, [`DeviceError::Geometry`] if the display has a size or
    /// depth that is not supported.
    pub fn open(device: &Path, sysfs: &Path) -> Result<Self, DeviceError> {
        let path = sysfs.join("virtual_size");
        let text = read(&path)?;
        let pair = |text: &str| {
            let (first, second) = text.trim().split_once(',')?;
            Some((first.trim().parse::<u32>().ok()?, second.trim().parse::<u32>().ok()?))
        };
        let size = pair(&text)
            .map(|(width, height)| PanelSize { width, height })
            .filter(|size| *size == size.clamped())
            .ok_or(DeviceError::Geometry { path, found: text, wanted: "a width and a height of 1 to 4096 pixels" })?;
        let size = visible(sysfs, size);

        let path = sysfs.join("bits_per_pixel");
        let text = read(&path)?;
        let (layout, bytes) = match text.trim() {
            "16" => (Layout::Rgb565, 2),
            "32" => (Layout::Xrgb8888, 4),
            _ => return Err(DeviceError::Geometry { path, found: text, wanted: "16 or 32 bits per pixel" }),
        };

        let path = sysfs.join("stride");
        let text = read(&path)?;
        let row = size.width as usize * bytes;
        let stride = text
            .trim()
            .parse::<usize>()
            .ok()
            .filter(|stride| (row..=row.saturating_mul(16)).contains(stride))
            .ok_or(DeviceError::Geometry { path, found: text, wanted: "the bytes of at least one visible row" })?;

        // A display that was panned shows a later part of its memory.
        let (left, top) = fs::read_to_string(sysfs.join("pan")).ok().and_then(|text| pair(&text)).unwrap_or((0, 0));
        let start = u64::from(top) * stride as u64 + u64::from(left) * bytes as u64;
        let file = OpenOptions::new().write(true).open(device).map_err(file_error("open", device))?;
        Ok(Self { device: file, path: device.to_path_buf(), size, layout, stride, start })
    }

    fn show(&self, picture: &Picture) -> Result<(), DeviceError> {
        let mut bytes = Vec::with_capacity(self.stride * self.size.height as usize);
        for (number, row) in picture.rows().enumerate() {
            bytes.resize(number * self.stride, 0);
            match self.layout {
                Layout::Rgb565 => row.for_each(|pixel| bytes.extend(pixel.to_le_bytes())),
                Layout::Xrgb8888 => row.for_each(|pixel| {
                    let [red, green, blue] = rgb888(pixel);
                    bytes.extend([blue, green, red, 0xFF]);
                }),
            }
        }
        self.device.write_all_at(&bytes, self.start).map_err(file_error("write", &self.path))
    }
}

/// The visible size, where `mode` tells it (`U:800x480p-60`): the memory may be higher than the display.
fn visible(sysfs: &Path, memory: PanelSize) -> PanelSize {
    let mode = fs::read_to_string(sysfs.join("mode")).unwrap_or_default();
    let told = mode.trim().split_once(':').and_then(|(_, mode)| {
        let (width, rest) = mode.split_once('x')?;
        let height: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(PanelSize { width: width.parse().ok()?, height: height.parse().ok()? })
    });
    told.filter(|told| (1..=memory.width).contains(&told.width) && (1..=memory.height).contains(&told.height)).unwrap_or(memory)
}

fn read(path: &Path) -> Result<String, DeviceError> {
    fs::read_to_string(path).map_err(file_error("read", path))
}

#[cfg(test)]
mod tests {
    use super::super::{Language, draw, samples};
    use super::*;

    const SIZE: PanelSize = PanelSize { width: 480, height: 320 };

    fn picture() -> Picture {
        draw(&samples::stopped(), Language::En, SIZE)
    }

    /// A sysfs folder and a device file of `bytes` bytes, as a kernel would show them.
    fn display(files: &[(&str, &str)], bytes: usize) -> (tempfile::TempDir, PathBuf, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (device, sysfs) = (folder.path().join("fb0"), folder.path().join("sysfs"));
        fs::create_dir(&sysfs).unwrap();
        fs::write(&device, vec![0xAA; bytes]).unwrap();
        for (name, text) in files {
            fs::write(sysfs.join(name), text).unwrap();
        }
        (folder, device, sysfs)
    }

    #[test]
    fn sixteen_bits_are_written_row_by_row_with_the_stride_and_not_beyond() {
        let files = [("virtual_size", "480,320\n"), ("bits_per_pixel", "16\n"), ("stride", "1024\n")];
        let (_folder, device, sysfs) = display(&files, 1024 * 320 + 100);
        let mut fb = Device::Framebuffer(Framebuffer::open(&device, &sysfs).unwrap());
        assert_eq!(fb.size(), SIZE);
        fb.show(&picture()).unwrap();
        let written = fs::read(&device).unwrap();
        for (bytes, row) in written.chunks(1024).zip(picture().rows()) {
            assert!(row.zip(bytes.chunks(2)).all(|(pixel, bytes)| pixel.to_le_bytes() == bytes));
        }
        let last = 1024 * 319 + 960;
        assert_eq!(written.len(), 1024 * 320 + 100);
        assert!(written[last..].iter().all(|byte| *byte == 0xAA), "nothing beyond the last visible pixel");
    }

    #[test]
    fn thirty_two_bits_begin_at_the_visible_part_of_a_larger_memory() {
        let files =
            [("virtual_size", "480,640"), ("bits_per_pixel", "32"), ("stride", "1920"), ("mode", "U:480x320p-60\n"), ("pan", "0,320")];
        let (_folder, device, sysfs) = display(&files, 1920 * 640);
        let mut fb = Device::Framebuffer(Framebuffer::open(&device, &sysfs).unwrap());
        assert_eq!(fb.size(), SIZE);
        fb.show(&picture()).unwrap();
        let written = fs::read(&device).unwrap();
        assert!(written[..1920 * 320].iter().all(|byte| *byte == 0xAA), "the part that is not shown stays as it was");
        let expected: Vec<u8> = picture().rows().flatten().map(rgb888).flat_map(|[red, green, blue]| [blue, green, red, 0xFF]).collect();
        assert!(written[1920 * 320..] == expected);
    }

    #[test]
    fn a_display_that_cannot_be_drawn_on_is_refused_with_its_file() {
        let good = [("virtual_size", "480,320"), ("bits_per_pixel", "16"), ("stride", "960")];
        for (name, text) in [
            ("virtual_size", "480"),
            ("virtual_size", "0,320"),
            ("virtual_size", "99999,99999"),
            ("bits_per_pixel", "24"),
            ("stride", "959"),
            ("stride", "99999999999999"),
            ("stride", ""),
        ] {
            let (_folder, device, sysfs) = display(&good, 0);
            fs::write(sysfs.join(name), text).unwrap();
            let error = Framebuffer::open(&device, &sysfs).unwrap_err();
            assert!(matches!(&error, DeviceError::Geometry { path, .. } if path.ends_with(name)), "{error}");
        }
        let (_folder, device, sysfs) = display(&good, 0);
        fs::remove_file(&device).unwrap();
        let error = Framebuffer::open(&device, &sysfs).unwrap_err();
        assert!(matches!(&error, DeviceError::File { action: "open", path, .. } if *path == device), "{error}");
        assert!(!device.exists(), "a device file is never made");
    }

    #[test]
    fn the_png_file_is_replaced_whole_and_a_picture_of_another_size_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("panel.png");
        let mut file = Device::Png(PngFile::new(&path, SIZE));
        file.show(&picture()).unwrap();
        let first = fs::read(&path).unwrap();
        assert_eq!(first, picture().to_png().unwrap());

        // Whoever holds the old file open keeps all of it.
        let mut held = File::open(&path).unwrap();
        let next = draw(&samples::running(), Language::En, SIZE);
        file.show(&next).unwrap();
        let mut old = Vec::new();
        io::Read::read_to_end(&mut held, &mut old).unwrap();
        assert_eq!(old, first);
        assert_eq!(fs::read(&path).unwrap(), next.to_png().unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

        let other = draw(&samples::running(), Language::En, PanelSize { width: 800, height: 480 });
        assert!(matches!(file.show(&other), Err(DeviceError::Size { .. })));
        let mut nowhere = Device::Png(PngFile::new(&folder.path().join("none/panel.png"), SIZE));
        assert!(nowhere.show(&picture()).unwrap_err().to_string().contains("panel.png.part: write failed"));
    }
}
