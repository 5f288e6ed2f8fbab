//! The server with a recording for a client; see `crate::fuzzing`.

use super::blocks::Bases;
use super::desk::Desk;
use super::ear::{Ear, frame};
use super::tcp::converse;
use super::{Counter, Listen, ServerSettings, pdu};
use crate::bridge::{Image, Note, Settings};
use crate::fuzzing::server::{MODEL_IMAGE, Mode, OWN_UNIT};
use crate::fuzzing::tape::Tape;
use crate::jmap::CONTROL_LEN;
use station::units::Timestamp;
use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::sync::{Notify, mpsc, watch};
use tokio_modbus::{Request, Response};

/// Room for the notes of the longest case; nobody listens meanwhile.
const NOTES_MAX: usize = 8192;
const SESSION: u64 = 1;
const STRANGER: u64 = 2;

pub(crate) struct Service {
    counter: Counter,
    _told: mpsc::Receiver<Note>,
    _shown: (watch::Sender<Image>, watch::Sender<[u16; CONTROL_LEN as usize]>),
}

impl Service {
    /// A server whose first holder of control sees `MODEL_IMAGE`.
    pub(crate) async fn new(mode: Mode) -> Self {
        let settings = Settings::alone(Arc::new(|| Timestamp { wall_micros: 0, mono_micros: 0 }));
        let listen = Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let server = ServerSettings { unit: OWN_UNIT, ..ServerSettings::new(listen) };
        let bases = Bases { control: server.control_base, status: server.status_base };
        let mut image = Image { connection: 1, ..Image::safe() };
        image.words = std::array::from_fn(MODEL_IMAGE);
        let (show, images) = watch::channel(image);
        let (mirror, mirrored) = watch::channel([0; CONTROL_LEN as usize]);
        let (notes, told) = mpsc::channel(NOTES_MAX);
        let mirrors = mode == Mode::Mirror;
        let desk = Mutex::new(Desk::new(bases, settings.order, mirrors, settings.heartbeat_timeout));
        let counter = Counter { settings, server, mirror: mirrors, desk, images, mirrored, notes, released: Notify::new() };
        if mode == Mode::Held {
            let beat = Request::WriteMultipleRegisters(2, Cow::Borrowed(&[1]));
            let taken = counter.answer(STRANGER, &beat).await;
            assert_eq!(taken.answer, Ok(Response::WriteMultipleRegisters(2, 1)), "the stranger could not take control");
        }
        Self { counter, _told: told, _shown: (show, mirror) }
    }

    /// Talks to a TCP client until it has nothing more to say.
    pub(crate) async fn tcp(&self, tape: Tape) {
        let _ended = converse(&self.counter, tape, SESSION).await;
    }

    /// Hears the pieces of a serial line (bytes, after a silence, before a long silence), and gives the requests that were
    /// done with their answers, as PDUs.
    pub(crate) async fn rtu(&self, pieces: &[(Vec<u8>, bool, bool)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut ear = Ear::new(OWN_UNIT);
        let mut done = Vec::new();
        for (bytes, after_silence, ended) in pieces {
            ear.hear(bytes, *after_silence);
            while let Some(heard) = ear.next(*ended) {
                if heard.unit != OWN_UNIT {
                    continue;
                }
                let answer = match pdu::request(&heard.pdu) {
                    Ok(request) => self.counter.answer(SESSION, &request).await.answer,
                    Err(exception) => Err(exception),
                };
                let answer = pdu::answer(&heard.pdu, &answer);
                assert_eq!(frame(heard.unit, &answer).len(), answer.len() + 3);
                done.push((heard.pdu, answer));
            }
        }
        done
    }

    /// The control block as any client reads it.
    pub(crate) async fn control(&self) -> Vec<u16> {
        match self.counter.answer(SESSION, &Request::ReadHoldingRegisters(0, CONTROL_LEN)).await.answer {
            Ok(Response::ReadHoldingRegisters(words)) => words,
            other => panic!("the control block cannot be read: {other:?}"),
        }
    }
}
