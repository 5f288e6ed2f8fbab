//! A gateway in front of a simulated PLC: it passes requests on, over TCP or a serial line, and has a coil of its own.
#![allow(dead_code, reason = "each test program uses its own part of the gateway")]

use plc_bridge::client::Way;
use plc_bridge::serial::{Parity, SerialLine};
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::client::{Client, Context, tcp};
use tokio_modbus::server::Service;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest, server};
use tokio_serial::{SerialPort, SerialStream};

/// What it was asked, and its own coils.
#[derive(Debug, Default)]
pub struct Memory {
    pub asked: Vec<Request<'static>>,
    pub units: Vec<u8>,
    pub coils: BTreeMap<u16, bool>,
}

#[derive(Clone)]
pub struct Gateway {
    plc: Arc<tokio::sync::Mutex<Context>>,
    memory: Arc<Mutex<Memory>>,
}

impl Gateway {
    pub async fn to(plc: SocketAddr) -> Self {
        let stream = TcpStream::connect(plc).await.expect("the simulated PLC");
        stream.set_nodelay(true).expect("TCP");
        Self { plc: Arc::new(tokio::sync::Mutex::new(tcp::attach(stream))), memory: Arc::default() }
    }

    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().expect("nobody panicked with it")
    }

    /// Serves TCP on a free port.
    pub async fn tcp(&self) -> Way {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let gateway = self.clone();
        tokio::spawn(async move {
            let accept = |stream: TcpStream, _peer| {
                let gateway = gateway.clone();
                async move {
                    stream.set_nodelay(true)?;
                    Ok(Some((gateway, stream)))
                }
            };
            server::tcp::Server::new(listener).serve(&accept, |_| {}).await
        });
        address.into()
    }

    /// Serves one end of a pty; the other end is the way to it. The stream given back keeps the pty alive.
    pub fn serial(&self, baud: u32) -> (Way, SerialStream) {
        let (served, end) = SerialStream::pair().expect("a pty");
        tokio::spawn(server::rtu::Server::new(served).serve_forever(self.clone()));
        let device = end.name().expect("a name").into();
        (SerialLine { device, baud, parity: Parity::Even }.into(), end)
    }

    async fn answer(self, SlaveRequest { slave, request }: SlaveRequest<'static>) -> Result<Option<Response>, ExceptionCode> {
        {
            let mut memory = self.memory();
            memory.asked.push(request.clone());
            memory.units.push(slave);
            // Nobody is behind the other numbers, and this gateway does not say so.
            if slave != 1 {
                return Ok(None);
            }
            match request {
                Request::WriteSingleCoil(address, on) if address >= 100 => {
                    memory.coils.insert(address, on);
                    return Ok(Some(Response::WriteSingleCoil(address, on)));
                }
                Request::ReadCoils(address, 1) if address >= 100 => {
                    return Ok(Some(Response::ReadCoils(vec![memory.coils.get(&address).copied().unwrap_or(false)])));
                }
                _ => {}
            }
        }
        self.plc.lock().await.call(request).await.expect("the simulated PLC answers").map(Some)
    }
}

impl Service for Gateway {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Option<Response>, ExceptionCode>> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
