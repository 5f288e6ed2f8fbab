//! GigE Vision (and USB3 Vision) through Aravis.
//!
//! Invariants: a picture that did not arrive whole is `Broken` and never sent; the camera forgets a controller that died
//! within `HEARTBEAT_MILLIS`, so that its successor can open it; a camera that has forgotten us is not alive, even if it
//! answers; numbers of pictures grow although the device's own ones begin again; a buffer goes back to the stream before the
//! next is taken.

use crate::bayer::Mosaic;
use crate::{Picture, Source, Taken, Trouble};
use aravis::glib::object::Cast as _;
use aravis::prelude::*;
use aravis::{
    Aravis, Buffer, BufferStatus, Camera, GvDevice, GvStream, GvStreamOption, GvStreamPacketResend, GvStreamSocketBuffer, Stream,
};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};
use vision_models::camera::wire::{Device, Order, TriggerMode};
use vision_models::frame::PixelFormat;

/// Buffers that the stream may fill while one is on its way to the appliance.
const BUFFERS: usize = 4;
/// A camera that hears nothing from its controller for this long lets the next one in: the least that the standard allows
/// (GigE Vision 2.0, GVCP heartbeat), so that the line soon has its camera back after a program that was ended. More than three
/// times as long as `POKE`, and longer than a program may be silent before the appliance ends it.
const HEARTBEAT_MILLIS: u32 = 500;
/// Bootstrap register of that time (GigE Vision 2.0, table of bootstrap registers: Heartbeat Timeout).
const HEARTBEAT_REGISTER: u64 = 0x0938;
/// Bootstrap register that says who controls the device: every device has it, and reading it is the controller's heartbeat.
const CONTROL_REGISTER: u64 = 0x0A00;
/// Its bits that say that somebody has control: exclusive access, control access.
const CONTROLLED: u32 = 0b11;
/// UDP port of GVCP.
const CONTROL_PORT: u16 = 3956;
/// A GVCP packet that asks a device who it is (GigE Vision 2.0: key, flag "answer", DISCOVERY_CMD, no payload, number 1).
const WHO_ARE_YOU: [u8; 8] = [0x42, 0x01, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01];
/// How often a device is asked that does not answer.
const KNOCK: Duration = Duration::from_millis(100);
/// How long it is asked before the reason is told. The program is then started again, and asks on.
const KNOCKS: Duration = Duration::from_millis(1000);
/// What a starved receiver needs to lose no packet: some pictures.
const SOCKET_BUFFER_BYTES: i32 = 8 << 20;
/// A packet is given up this long after its neighbours, in microseconds.
const PACKET_TIMEOUT_MICROS: u32 = 100_000;
/// A picture is given up this long after its last packet, in microseconds.
const RETENTION_MICROS: u32 = 200_000;

/// How long the picture is waited for that proves the way from the camera to here, besides its exposure.
const PROOF: Duration = Duration::from_millis(800);
/// How many of them may arrive in part.
const PROOFS: usize = 3;

/// An open camera.
pub struct Gige {
    camera: Camera,
    stream: Stream,
    is_gv: bool,
    layout: (u32, u32, PixelFormat),
    way: &'static Way,
    /// The picture that was given out last, if its colours were made here.
    colours: Vec<u8>,
    numbers: Numbers,
    /// The buffer whose picture was given out last.
    lent: Option<Buffer>,
    _library: Aravis,
}

/// A way in which a camera gives pictures of a format.
struct Way {
    /// In the standard naming convention of camera features (SFNC), or that of cameras from before 2012.
    name: &'static str,
    code: aravis::PixelFormat,
    /// Its colours are made here.
    mosaic: Option<Mosaic>,
}

const fn plain(name: &'static str, code: aravis::PixelFormat) -> Way {
    Way { name, code, mosaic: None }
}

const fn mosaic(name: &'static str, code: aravis::PixelFormat, red_row: usize, red_column: usize) -> Way {
    Way { name, code, mosaic: Some(Mosaic { red_row, red_column }) }
}

/// Named after the first two pixels of the first row (PFNC). A camera has one of them; of several any will do.
const BAYER: [Way; 4] = [
    mosaic("BayerGR8", aravis::PixelFormat::BAYER_GR_8, 0, 1),
    mosaic("BayerGB8", aravis::PixelFormat::BAYER_GB_8, 1, 0),
    mosaic("BayerRG8", aravis::PixelFormat::BAYER_RG_8, 0, 0),
    mosaic("BayerBG8", aravis::PixelFormat::BAYER_BG_8, 1, 1),
];

/// The ways to pictures of this format, the best first.
fn ways(format: PixelFormat) -> impl Iterator<Item = &'static Way> {
    const MONO: [Way; 1] = [plain("Mono8", aravis::PixelFormat::MONO_8)];
    const RGB: [Way; 2] = [plain("RGB8", aravis::PixelFormat::RGB_8_PACKED), plain("RGB8Packed", aravis::PixelFormat::RGB_8_PACKED)];
    const BGR: [Way; 2] = [plain("BGR8", aravis::PixelFormat::BGR_8_PACKED), plain("BGR8Packed", aravis::PixelFormat::BGR_8_PACKED)];
    let (direct, bayer): (&[Way], &[Way]) = match format {
        PixelFormat::Mono8 => (&MONO, &[]),
        PixelFormat::Rgb8 => (&RGB, &BAYER),
        PixelFormat::Bgr8 => (&BGR, &BAYER),
    };
    direct.iter().chain(bayer)
}

/// Numbers of pictures that grow for ever, from those of a device that count to 65535 and begin again at 1 (GigE Vision 2.0:
/// 16-bit block number; devices with 64-bit numbers never begin again).
#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    rounds: u64,
}

impl Numbers {
    /// Numbers of one round.
    const ROUND: u64 = 1 << 16;

    fn grown(&mut self, number: u64) -> u64 {
        // Less than half a round back is a picture that was overtaken, not a new round.
        if number < Self::ROUND && self.last < Self::ROUND && number + Self::ROUND / 2 < self.last {
            self.rounds += 1;
        }
        self.last = number;
        self.rounds * Self::ROUND + number
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
        let gv = camera.device().and_then(|device| device.downcast::<GvDevice>().ok());
        if gv.is_some_and(|gv| !gv.is_controller()) {
            return Err(Trouble(format!("camera {name} obeys another program (a camera has one master)")));
        }
        // The program before this one may have been ended while pictures were on their way: some cameras go on sending them
        // to where it was, whatever they are told later. One that stands still may refuse to stop.
        drop(camera.stop_acquisition());
        let way = set_format(&camera, order.format)?;
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
        let mut opened =
            Self { camera, stream, is_gv, layout, way, colours: Vec::new(), numbers: Numbers::default(), lent: None, _library: library };
        if order.trigger == TriggerMode::Software {
            opened.prove()?;
        }
        Ok(opened)
    }

    /// Takes pictures until one arrives whole. The first one may overflow its socket, which Aravis makes larger when it sees
    /// a packet, and a camera need not send what was lost again; a network that swallows large packets is found before a
    /// piece depends on it. No trigger is left behind: its picture would be that of the first piece.
    fn prove(&mut self) -> Result<(), Trouble> {
        let exposure = self.camera.exposure_time().ok().and_then(|micros| Duration::try_from_secs_f64(micros / 1e6).ok());
        let wait = PROOF + exposure.unwrap_or_default();
        for _ in 0..PROOFS {
            self.trigger()?;
            match self.next(wait)? {
                Taken::Picture(_) => return Ok(()),
                Taken::Broken => {}
                Taken::Nothing => {
                    let what = "the camera answers, but of its pictures nothing arrives: does a firewall let UDP from it through?";
                    return Err(Trouble(what.to_owned()));
                }
            }
        }
        let mend = "write a smaller packet_bytes (1400 passes everywhere), or give the kernel larger buffers (net.core.rmem_max)";
        Err(Trouble(format!("the camera's pictures arrive in part: {mend}")))
    }
}

/// Waits until the device at `address` answers. Aravis would look for it for seconds and then give up, whereas a device that
/// comes back answers the next knock.
fn knock(address: IpAddr) -> Result<(), Trouble> {
    let local: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let failed = |error: std::io::Error| Trouble::of("no socket to look for the camera", error);
    let socket = UdpSocket::bind((local, 0)).map_err(failed)?;
    socket.set_read_timeout(Some(KNOCK)).map_err(failed)?;
    let mut answer = [0; 512];
    let begun = Instant::now();
    loop {
        // A port that nobody listens at is told at once, and then there is time to wait.
        let asked = socket.connect((address, CONTROL_PORT)).and_then(|()| socket.send(&WHO_ARE_YOU));
        let Err(error) = asked.and_then(|_| socket.recv(&mut answer)) else { return Ok(()) };
        if begun.elapsed() >= KNOCKS {
            return Err(unreachable(address, &error));
        }
        if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            std::thread::sleep(KNOCK);
        }
    }
}

/// What a person can do about a device that does not answer.
fn unreachable(address: IpAddr, error: &std::io::Error) -> Trouble {
    let why = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            "nobody answers: is it powered and connected, and does a firewall let UDP from its port 3956 through?".to_owned()
        }
        ErrorKind::ConnectionRefused => {
            "that machine is there, but it is no GigE Vision camera (nobody listens at UDP port 3956)".to_owned()
        }
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => {
            format!("no network interface of this machine leads there: give one an address of the camera's network ({error})")
        }
        _ => error.to_string(),
    };
    Trouble(format!("there is no camera at {address}: {why}"))
}

/// Asks for pictures of this format, or says which ones there are.
fn set_format(camera: &Camera, format: PixelFormat) -> Result<&'static Way, Trouble> {
    if let Some(way) = ways(format).find(|way| camera.set_pixel_format_from_string(way.name).is_ok()) {
        return Ok(way);
    }
    let offered = camera.dup_available_pixel_formats_as_strings().unwrap_or_default();
    Err(no_way(format, &offered.iter().map(AsRef::as_ref).collect::<Vec<_>>()))
}

/// What a person can write instead of a format that the camera has not.
fn no_way(format: PixelFormat, offered: &[&str]) -> Trouble {
    let known = [("mono8", PixelFormat::Mono8), ("rgb8", PixelFormat::Rgb8), ("bgr8", PixelFormat::Bgr8)];
    let has = |format: PixelFormat| ways(format).any(|way| offered.contains(&way.name));
    let usable: Vec<_> = known.into_iter().filter(|(_, format)| has(*format)).map(|(key, _)| format!("\"{key}\"")).collect();
    let mend = if usable.is_empty() {
        "none of them can be used here".to_owned()
    } else {
        format!("write pixel_format = {}", usable.join(" or "))
    };
    let asked = ways(format).next().map_or("", |way| way.name);
    Trouble(format!("the camera gives no {asked}, but {}; {mend}", offered.join(", ")))
}

fn configure(camera: &Camera, order: &Order) -> Result<(), aravis::glib::Error> {
    let side = |length: u32| i32::try_from(length).unwrap_or(i32::MAX);
    camera.set_region(0, 0, side(order.width), side(order.height))?;
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
        if buffer.image_pixel_format() != self.way.code {
            return Err(Trouble("the camera changed its pixel format".to_owned()));
        }
        let side = |length: i32| u32::try_from(length).unwrap_or(0);
        let (width, height, format) = (side(buffer.image_width()), side(buffer.image_height()), self.layout.2);
        let (columns, lines) = (usize::try_from(width).unwrap_or(0), usize::try_from(height).unwrap_or(0));
        let (number, device_micros) = (self.numbers.grown(buffer.frame_id()), buffer.timestamp() / 1000);
        let mut rows = bytes_of(buffer);
        if let Some(mosaic) = self.way.mosaic {
            if !mosaic.colours(rows, columns, lines, format == PixelFormat::Bgr8, &mut self.colours) {
                return Ok(Taken::Broken);
            }
            rows = &self.colours;
        }
        let stride = format.channels() * columns;
        Ok(Taken::Picture(Picture { width, height, format, number, device_micros, rows, stride }))
    }

    fn alive(&mut self) -> Result<(), Trouble> {
        let silent = |error| Trouble::of("the camera does not answer", error);
        let Some(device) = self.camera.device().filter(|_| self.is_gv) else {
            return self.camera.region().map(drop).map_err(silent);
        };
        let (_, control) = device.read_register(CONTROL_REGISTER).map_err(silent)?;
        if control & CONTROLLED == 0 {
            return Err(Trouble(format!("the camera has forgotten this machine: it heard nothing of it for {HEARTBEAT_MILLIS} ms")));
        }
        Ok(())
    }
}

impl Drop for Gige {
    fn drop(&mut self) {
        // A camera that is gone cannot be told.
        drop(self.camera.stop_acquisition());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_although_the_camera_begins_again() {
        let mut numbers = Numbers::default();
        let given: Vec<_> = [65_533, 65_535, 65_534, 1, 2, 40_000, 65_535, 0].into_iter().map(|number| numbers.grown(number)).collect();
        assert_eq!(given, [65_533, 65_535, 65_534, 65_537, 65_538, 105_536, 131_071, 131_072]);
        // 64-bit numbers never begin again.
        assert_eq!(numbers.grown(1 << 40), (1 << 40) + (2 << 16));
    }

    #[test]
    fn a_camera_that_cannot_be_reached_is_told_with_what_to_do() {
        let told = |kind: ErrorKind| unreachable(IpAddr::from([192, 168, 7, 20]), &kind.into()).0;
        assert!(told(ErrorKind::TimedOut).contains("192.168.7.20: nobody answers: is it powered and connected"));
        assert!(told(ErrorKind::ConnectionRefused).contains("no GigE Vision camera"));
        assert!(told(ErrorKind::NetworkUnreachable).contains("no network interface of this machine leads there"));
    }
    #[test]
    fn a_format_that_the_camera_has_not_is_told_with_those_that_it_has() {
        let told = |format, offered: &[&str]| no_way(format, offered).0;
        let colours = told(PixelFormat::Mono8, &["BayerRG8", "BayerRG12"]);
        assert_eq!(colours, "the camera gives no Mono8, but BayerRG8, BayerRG12; write pixel_format = \"rgb8\" or \"bgr8\"");
        let grey = told(PixelFormat::Rgb8, &["Mono8", "Mono16"]);
        assert_eq!(grey, "the camera gives no RGB8, but Mono8, Mono16; write pixel_format = \"mono8\"");
        assert!(told(PixelFormat::Bgr8, &["Mono16"]).ends_with("none of them can be used here"));
    }
}
