//! GigE Vision (and USB3 Vision) through Aravis.
//!
//! Invariants: a picture that did not arrive whole is `Broken` and never sent; the camera forgets a controller that died
//! within `HEARTBEAT_MILLIS`, so that its successor can open it; a buffer goes back to the stream before the next is taken.

use crate::{Picture, Source, Taken, Trouble};
use aravis::glib::object::Cast as _;
use aravis::prelude::*;
use aravis::{Aravis, Buffer, BufferStatus, Camera, GvStream, GvStreamOption, GvStreamPacketResend, GvStreamSocketBuffer, Stream};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;
use vision_models::camera::wire::{Device, Order, TriggerMode};
use vision_models::frame::PixelFormat;

/// Buffers that the stream may fill while one is on its way to the appliance.
const BUFFERS: usize = 4;
/// A camera that hears nothing from its controller for this long lets the next one in (GigE Vision 2.0, GVCP heartbeat).
/// Several times as long as `POKE`, and little enough that the line has its camera back within two seconds.
const HEARTBEAT_MILLIS: u32 = 1200;
/// Bootstrap register of that time (GigE Vision 2.0, table of bootstrap registers: Heartbeat Timeout).
const HEARTBEAT_REGISTER: u64 = 0x0938;
/// Bootstrap register that says who controls the device: every device has it, and reading it is the controller's heartbeat.
const CONTROL_REGISTER: u64 = 0x0A00;
/// UDP port of GVCP.
const CONTROL_PORT: u16 = 3956;
/// A GVCP packet that asks a device who it is (GigE Vision 2.0: key, flag "answer", DISCOVERY_CMD, no payload, number 1).
const WHO_ARE_YOU: [u8; 8] = [0x42, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01];
/// How often a device is asked that does not answer.
const KNOCK: Duration = Duration::from_millis(100);
/// What a starved receiver needs to lose no packet: some pictures.
const SOCKET_BUFFER_BYTES: i32 = 8 << 20;
/// A packet is given up this long after its neighbours, in microseconds.
const PACKET_TIMEOUT_MICROS: u32 = 100_000;
/// A picture is given up this long after its last packet, in microseconds.
const RETENTION_MICROS: u32 = 200_000;

/// An open camera.
pub struct Gige {
    camera: Camera,
    stream: Stream,
    is_gv: bool,
    layout: (u32, u32, PixelFormat),
    /// The buffer whose picture was given out last.
    lent: Option<Buffer>,
    _library: Aravis,
}

fn format_name(format: PixelFormat) -> &'static str {
    match format {
        PixelFormat::Mono8 => "Mono8",
        PixelFormat::Rgb8 => "RGB8",
        PixelFormat::Bgr8 => "BGR8",
    }
}

impl Gige {
    /// Opens the camera and starts its stream.
    pub fn open(order: &Order) -> Result<Self, Trouble> {
        let Device::Gige { camera: name, packet_bytes, exposure_micros, gain } = &order.device else {
            return Err(Trouble("this is no GigE camera".to_owned()));
        };
        if let Ok(address) = name.parse::<IpAddr>() {
            knock(address)?;
        }
        let library = Aravis::initialize().map_err(|_| Trouble("Aravis was opened twice".to_owned()))?;
        let camera = Camera::new(Some(name)).map_err(|error| Trouble::of(&format!("there is no camera {name}"), error))?;
        let is_gv = camera.is_gv_device();
        configure(&camera, order).map_err(|error| Trouble::of(&format!("camera {name} cannot be set up"), error))?;
        if let Some(exposure) = exposure_micros {
            camera.set_exposure_time(*exposure).map_err(|error| Trouble::of("exposure_micros is refused", error))?;
        }
        if let Some(gain) = gain {
            camera.set_gain(*gain).map_err(|error| Trouble::of("gain is refused", error))?;
        }
        if is_gv {
            configure_network(&camera, *packet_bytes).map_err(|error| Trouble::of("the network is not set up", error))?;
        }
        let layout = layout(&camera, order.format)?;
        let stream = start(&camera).map_err(|error| Trouble::of(&format!("camera {name} gives no stream"), error))?;
        Ok(Self { camera, stream, is_gv, layout, lent: None, _library: library })
    }
}

/// Waits until the device at `address` answers. Aravis would look for it for seconds and then give up, whereas a device that
/// comes back answers the next knock. The appliance ends a wait that is too long.
fn knock(address: IpAddr) -> Result<(), Trouble> {
    let local: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let failed = |error: std::io::Error| Trouble::of("no socket to look for the camera", error);
    let socket = UdpSocket::bind((local, 0)).map_err(failed)?;
    socket.set_read_timeout(Some(KNOCK)).map_err(failed)?;
    let mut answer = [0; 512];
    loop {
        // A port that nobody listens at is told at once, and then there is time to wait.
        let asked = socket.connect((address, CONTROL_PORT)).and_then(|()| socket.send(&WHO_ARE_YOU));
        match asked.and_then(|_| socket.recv(&mut answer)) {
            Ok(_) => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => std::thread::sleep(KNOCK),
        }
    }
}

fn configure(camera: &Camera, order: &Order) -> Result<(), aravis::glib::Error> {
    let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    camera.set_region(0, 0, side(order.width), side(order.height))?;
    camera.set_pixel_format_from_string(format_name(order.format))?;
    camera.set_acquisition_mode(aravis::AcquisitionMode::Continuous)?;
    match order.trigger {
        TriggerMode::Software => camera.set_trigger("Software"),
        TriggerMode::Hardware => camera.set_trigger("Line0"),
        TriggerMode::FreeRun => camera.clear_triggers(),
    }
}

fn configure_network(camera: &Camera, packet_bytes: Option<u32>) -> Result<(), aravis::glib::Error> {
    // The packet socket needs a right that a service has not, and sees nothing on a loopback interface.
    camera.gv_set_stream_options(GvStreamOption::PACKET_SOCKET_DISABLED);
    if let Some(device) = camera.device() {
        device.write_register(HEARTBEAT_REGISTER, HEARTBEAT_MILLIS)?;
    }
    match packet_bytes {
        Some(bytes) => camera.gv_set_packet_size(i32::try_from(bytes).unwrap_or(i32::MAX)),
        None => camera.gv_auto_packet_size(),
    }
}

/// What the camera made of what it was asked for.
fn layout(camera: &Camera, format: PixelFormat) -> Result<(u32, u32, PixelFormat), Trouble> {
    let (_, _, width, height) = camera.region().map_err(|error| Trouble::of("the camera does not tell its size", error))?;
    let side = |length: i32| u32::try_from(length).map_err(|error| Trouble::of("the camera tells no size", error));
    Ok((side(width)?, side(height)?, format))
}

fn start(camera: &Camera) -> Result<Stream, aravis::glib::Error> {
    let stream = camera.create_stream()?;
    if let Some(network) = stream.downcast_ref::<GvStream>() {
        network.set_packet_resend(GvStreamPacketResend::Always);
        network.set_socket_buffer(GvStreamSocketBuffer::Fixed);
        network.set_socket_buffer_size(SOCKET_BUFFER_BYTES);
        network.set_initial_packet_timeout(PACKET_TIMEOUT_MICROS);
        network.set_packet_timeout(PACKET_TIMEOUT_MICROS);
        network.set_frame_retention(RETENTION_MICROS);
    }
    let payload = usize::try_from(camera.payload()?).unwrap_or(0);
    for _ in 0..BUFFERS {
        stream.push_buffer(Buffer::new_allocate(payload));
    }
    camera.start_acquisition()?;
    Ok(stream)
}

/// The bytes of a buffer that the stream has given out.
#[expect(unsafe_code, reason = "the safe way of the binding copies each picture into memory that is new each time")]
fn bytes_of(buffer: &Buffer) -> &[u8] {
    let (start, length) = buffer.data();
    if start.is_null() {
        return &[];
    }
    // SAFETY: Aravis reserved `length` bytes at `start` for this buffer, and they live as long as the buffer. A buffer that
    // was popped belongs to whoever popped it: the stream writes into it again only after `push_buffer`, which takes it by
    // value and therefore not while this borrow lasts.
    unsafe { std::slice::from_raw_parts(start, length) }
}

fn is_format(found: aravis::PixelFormat, expected: PixelFormat) -> bool {
    found
        == match expected {
            PixelFormat::Mono8 => aravis::PixelFormat::MONO_8,
            PixelFormat::Rgb8 => aravis::PixelFormat::RGB_8_PACKED,
            PixelFormat::Bgr8 => aravis::PixelFormat::BGR_8_PACKED,
        }
}

impl Source for Gige {
    fn layout(&self) -> (u32, u32, PixelFormat) {
        self.layout
    }

    fn trigger(&mut self) -> Result<(), Trouble> {
        self.camera.software_trigger().map_err(|error| Trouble::of("the camera takes no trigger", error))
    }

    fn next(&mut self, wait: Duration) -> Result<Taken<'_>, Trouble> {
        if let Some(buffer) = self.lent.take() {
            self.stream.push_buffer(buffer);
        }
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        let Some(buffer) = self.stream.timeout_pop_buffer(micros) else { return Ok(Taken::Nothing) };
        let buffer = self.lent.insert(buffer);
        if buffer.status() != BufferStatus::Success {
            return Ok(Taken::Broken);
        }
        if !is_format(buffer.image_pixel_format(), self.layout.2) {
            return Err(Trouble("the camera changed its pixel format".to_owned()));
        }
        let side = |length: i32| u32::try_from(length).unwrap_or(0);
        let (width, height) = (side(buffer.image_width()), side(buffer.image_height()));
        let stride = self.layout.2.channels() * usize::try_from(width).unwrap_or(0);
        let (number, device_micros) = (buffer.frame_id(), buffer.timestamp() / 1000);
        Ok(Taken::Picture(Picture { width, height, format: self.layout.2, number, device_micros, rows: bytes_of(buffer), stride }))
    }

    fn alive(&mut self) -> Result<(), Trouble> {
        let answer = match self.camera.device().filter(|_| self.is_gv) {
            Some(device) => device.read_register(CONTROL_REGISTER).map(drop),
            None => self.camera.region().map(drop),
        };
        answer.map_err(|error| Trouble::of("the camera does not answer", error))
    }
}

impl Drop for Gige {
    fn drop(&mut self) {
        // A camera that is gone cannot be told.
        drop(self.camera.stop_acquisition());
    }
}
