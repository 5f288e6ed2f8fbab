//! RTSP, video files and V4L2 through GStreamer.
//!
//! Invariants: the newest picture wins, nothing queues up behind a slow reader (but a file that is triggered gives every
//! picture once, in order); a stream that stands still is not alive, even if its connection is; name and password are
//! properties of the source and never part of an address that could be said.

use crate::{Picture, Source, Taken, Trouble};
use gstreamer::prelude::*;
use gstreamer::{self as gst, ClockTime, MessageView, State};
use gstreamer_app::AppSink;
use gstreamer_video::VideoInfo;
use std::path::Path;
use std::time::{Duration, Instant};
use vision_models::camera::wire::{Device, Order, TriggerMode};
use vision_models::frame::PixelFormat;

/// A live stream without a picture for this long stands still; slow ones have three frame times.
const SILENCE: Duration = Duration::from_millis(400);
/// How often a look for the first picture also looks for errors.
const LOOK: Duration = Duration::from_millis(20);

/// An open stream.
pub struct Stream {
    pipeline: gst::Pipeline,
    sink: AppSink,
    bus: gst::Bus,
    /// A file: it has every picture at any time, and begins again after the last one.
    is_file: bool,
    format: PixelFormat,
    /// Size of the first picture.
    size: (u32, u32),
    interval: Duration,
    /// The picture that was given out last, or is to be given out first.
    held: Option<Held>,
    is_first_due: bool,
    number: u64,
    /// Where the file's present round began, by its own time.
    base_micros: u64,
    last_micros: u64,
    seen: Instant,
}

struct Held {
    pixels: gst::MappedBuffer<gst::buffer::Readable>,
    width: u32,
    height: u32,
    stride: usize,
    micros: u64,
}

const fn format_name(format: PixelFormat) -> &'static str {
    match format {
        PixelFormat::Mono8 => "GRAY8",
        PixelFormat::Rgb8 => "RGB",
        PixelFormat::Bgr8 => "BGR",
    }
}

/// The source's part of the pipeline, in GStreamer's words. Everything that comes from outside is set as a property later.
const fn source_of(device: &Device) -> &'static str {
    match device {
        Device::Rtsp { .. } => "rtspsrc name=source ! application/x-rtp,media=video ! decodebin",
        Device::V4l2 { .. } => "v4l2src name=source ! capsfilter name=asked ! decodebin",
        _ => "filesrc name=source ! decodebin",
    }
}

impl Stream {
    /// Opens the stream and waits for its first picture. The appliance ends a wait that is too long.
    pub fn open(order: &Order) -> Result<Self, Trouble> {
        gst::init().map_err(|error| Trouble::of("GStreamer does not start", error))?;
        let is_file = matches!(order.device, Device::Video { .. });
        // A file that is triggered waits for its reader; everything else drops what is old.
        let (sync, drops) = (is_file && order.trigger != TriggerMode::Software, !is_file || order.trigger != TriggerMode::Software);
        let text = format!(
            "{} ! videoconvert ! video/x-raw,format={} ! appsink name=sink max-buffers=1 sync={sync} drop={drops}",
            source_of(&order.device),
            format_name(order.format)
        );
        let pipeline = gst::parse::launch(&text).map_err(|error| Trouble::of("a part of GStreamer is missing", error))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| Trouble("GStreamer made no pipeline".to_owned()))?;
        let part = |name: &str| pipeline.by_name(name).ok_or_else(|| Trouble(format!("GStreamer made no {name}")));
        tell_source(&part("source")?, order)?;
        if let Device::V4l2 { frames_per_sec, .. } = &order.device {
            part("asked")?.set_property("caps", asked(order, *frames_per_sec));
        }
        let sink = part("sink")?.downcast::<AppSink>().map_err(|_| Trouble("GStreamer made no sink".to_owned()))?;
        let bus = pipeline.bus().ok_or_else(|| Trouble("GStreamer has no bus".to_owned()))?;
        let mut stream = Self {
            pipeline,
            sink,
            bus,
            is_file,
            format: order.format,
            size: (0, 0),
            interval: Duration::ZERO,
            held: None,
            is_first_due: true,
            number: 0,
            base_micros: 0,
            last_micros: 0,
            seen: Instant::now(),
        };
        // What went wrong is told on the bus.
        let started = stream.pipeline.set_state(State::Playing);
        while !stream.pull(LOOK)? {
            if started.is_err() {
                return Err(Trouble("the stream does not start".to_owned()));
            }
        }
        Ok(stream)
    }

    /// Takes the next picture into `held`; false if there is none within `wait`.
    fn pull(&mut self, wait: Duration) -> Result<bool, Trouble> {
        self.held = None;
        let sample = self.sink.try_pull_sample(ClockTime::from_nseconds(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)));
        let Some(sample) = sample else {
            self.listen()?;
            return Ok(false);
        };
        let info = sample.caps().and_then(|caps| VideoInfo::from_caps(caps).ok());
        let info = info.ok_or_else(|| Trouble("the stream tells no size".to_owned()))?;
        let buffer = sample.buffer_owned().ok_or_else(|| Trouble("a picture has no bytes".to_owned()))?;
        let stride = usize::try_from(info.stride().first().copied().unwrap_or(0)).unwrap_or(0);
        let pts = buffer.pts().map_or(self.last_micros, ClockTime::useconds);
        let pixels = buffer.into_mapped_buffer_readable().map_err(|_| Trouble("a picture cannot be read".to_owned()))?;
        if info.fps().numer() > 0 {
            let (numer, denom) = (u64::from(info.fps().numer().unsigned_abs()), u64::from(info.fps().denom().unsigned_abs()));
            self.interval = Duration::from_micros(1_000_000 * denom / numer);
        }
        // 0 would say that there is no time.
        let micros = self.base_micros + pts + 1;
        self.last_micros = pts;
        self.number += 1;
        self.size = if self.number == 1 { (info.width(), info.height()) } else { self.size };
        self.held = Some(Held { pixels, width: info.width(), height: info.height(), stride, micros });
        self.seen = Instant::now();
        Ok(true)
    }

    /// What the pipeline says of itself.
    fn listen(&mut self) -> Result<(), Trouble> {
        while let Some(message) = self.bus.pop_filtered(&[gst::MessageType::Error, gst::MessageType::Eos]) {
            match message.view() {
                MessageView::Error(error) => return Err(Trouble(error.error().to_string())),
                MessageView::Eos(_) if self.is_file && self.number > 0 => {
                    self.base_micros += self.last_micros + 1;
                    let again = self.pipeline.seek_simple(gst::SeekFlags::FLUSH | gst::SeekFlags::KEY_UNIT, ClockTime::ZERO);
                    again.map_err(|error| Trouble::of("the file cannot be played again", error))?;
                }
                MessageView::Eos(_) => return Err(Trouble("the stream has ended".to_owned())),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Address, name, password and patience.
fn tell_source(source: &gst::Element, order: &Order) -> Result<(), Trouble> {
    let text = |path: &Path| path.to_str().map(ToOwned::to_owned).ok_or_else(|| Trouble(format!("{} is not UTF-8", path.display())));
    match &order.device {
        Device::Rtsp { url, user, password_file, latency_millis, tcp } => {
            source.set_property("location", url);
            source.set_property("latency", latency_millis);
            source.set_property("drop-on-latency", true);
            source.set_property_from_str("protocols", if *tcp { "tcp" } else { "udp" });
            if let Some(user) = user {
                source.set_property("user-id", user);
            }
            if let Some(path) = password_file {
                let read = std::fs::read_to_string(path);
                let secret = read.map_err(|error| Trouble::of(&format!("the password file {} cannot be read", path.display()), error))?;
                source.set_property("user-pw", secret.lines().next().unwrap_or_default());
            }
        }
        Device::V4l2 { path, .. } => {
            if !path.exists() {
                return Err(Trouble(format!("there is no {}", path.display())));
            }
            source.set_property("device", text(path)?);
        }
        Device::Video { path } => source.set_property("location", text(path)?),
        Device::Gige { .. } | Device::Simulated { .. } => return Err(Trouble("this is no stream".to_owned())),
    }
    Ok(())
}

/// What a camera of the kernel is asked for: raw pictures, or JPEG ones where raw ones are too many bytes for its cable.
fn asked(order: &Order, frames_per_sec: u32) -> gst::Caps {
    let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    let rate = gst::Fraction::new(side(frames_per_sec), 1);
    let of = |kind: &str| {
        gst::Structure::builder(kind).field("width", side(order.width)).field("height", side(order.height)).field("framerate", rate).build()
    };
    [of("video/x-raw"), of("image/jpeg")].into_iter().collect()
}

impl Source for Stream {
    fn layout(&self) -> (u32, u32, PixelFormat) {
        (self.size.0, self.size.1, self.format)
    }

    fn trigger(&mut self) -> Result<(), Trouble> {
        if self.is_file { Ok(()) } else { Err(Trouble("a stream takes no triggers".to_owned())) }
    }

    fn next(&mut self, wait: Duration) -> Result<Taken<'_>, Trouble> {
        if !std::mem::take(&mut self.is_first_due) && !self.pull(wait)? {
            return Ok(Taken::Nothing);
        }
        let (number, format) = (self.number, self.format);
        Ok(self.held.as_ref().map_or(Taken::Nothing, |held| {
            let Held { pixels, width, height, stride, micros } = held;
            let picture = Picture { width: *width, height: *height, format, number, device_micros: *micros, rows: pixels, stride: *stride };
            Taken::Picture(picture)
        }))
    }

    fn alive(&mut self) -> Result<(), Trouble> {
        self.listen()?;
        let limit = SILENCE.max(self.interval * 3);
        if self.is_file || self.seen.elapsed() < limit {
            Ok(())
        } else {
            Err(Trouble(format!("the stream stands still for {} ms", self.seen.elapsed().as_millis())))
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.pipeline.set_state(State::Null).is_err() {
            // It ends with the program.
        }
    }
}
