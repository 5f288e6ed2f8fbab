//! The bus against a real RTU slave at the other end of a pty.

use super::*;
use crate::fuzzing::frames::{Framing, counted, frame};
use crate::serial::Parity;
use std::future::pending;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_modbus::SlaveRequest;
use tokio_modbus::server::Service;
use tokio_modbus::server::rtu::Server;

const THINKS: Duration = Duration::from_millis(60);

/// A slave whose registers hold their own addresses. It has a gate in front of every answer.
struct Slave {
    bus: Bus,
    /// Function and address of everything it was asked.
    asked: mpsc::UnboundedReceiver<(u8, u16)>,
    /// How long the answer to a question takes.
    delay: watch::Sender<fn(u16) -> Duration>,
    _serving: JoinHandle<io::Result<()>>,
    /// Held open, so that the other end lives when the bus closes its own.
    _end: SerialStream,
}

struct Registers {
    asked: mpsc::UnboundedSender<(u8, u16)>,
    delay: watch::Receiver<fn(u16) -> Duration>,
}

impl Service for Registers {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Result<Option<Response>, ExceptionCode>> + Send>>;

    fn call(&self, SlaveRequest { slave, request }: Self::Request) -> Self::Future {
        let (asked, delay) = (self.asked.clone(), self.delay.clone());
        Box::pin(async move {
            let code = request.function_code().value();
            let (address, answer) = match request {
                Request::ReadHoldingRegisters(address, count) => {
                    (address, Ok(Response::ReadHoldingRegisters((address..address + count).collect())))
                }
                Request::WriteMultipleRegisters(address, words) => {
                    (address, Ok(Response::WriteMultipleRegisters(address, u16::try_from(words.len()).expect("few"))))
                }
                // It has no other tables, like many a simple slave.
                Request::ReadInputRegisters(address, _) | Request::ReadCoils(address, _) => (address, Err(ExceptionCode::IllegalFunction)),
                _ => return Ok(None),
            };
            if slave != 1 {
                return Ok(None);
            }
            asked.send((code, address)).unwrap_or_default();
            let wait = delay.borrow()(address);
            tokio::time::sleep(wait).await;
            answer.map(Some)
        })
    }
}

impl Slave {
    fn start(delay: fn(u16) -> Duration) -> Self {
        let (master, end) = SerialStream::pair().expect("a pty");
        let line = SerialLine { device: end.name().expect("a name").into(), baud: 115_200, parity: Parity::Even };
        let (tell, asked) = mpsc::unbounded_channel();
        let delay = watch::Sender::new(delay);
        let registers = Registers { asked: tell, delay: delay.subscribe() };
        let serving = tokio::spawn(Server::new(master).serve_forever(registers));
        Self { bus: Bus::new(line), asked, delay, _serving: serving, _end: end }
    }

    fn asked(&mut self) -> Vec<(u8, u16)> {
        std::iter::from_fn(|| self.asked.try_recv().ok()).collect()
    }
}

fn at_once(_: u16) -> Duration {
    Duration::ZERO
}

fn read(unit: u8, address: u16) -> Question<'static> {
    Question { unit, request: Request::ReadHoldingRegisters(address, 1), thinks: THINKS, characters: 15 }
}

fn value(answer: Result<Result<Response, ExceptionCode>, BusError>) -> Result<u16, String> {
    match answer {
        Ok(Ok(Response::ReadHoldingRegisters(words))) => Ok(words[0]),
        Ok(other) => Err(format!("{other:?}")),
        Err(BusError::TimedOut(_)) => Err("late".into()),
        Err(other) => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn a_late_answer_is_never_the_answer_to_the_next_question() {
    // Longer than the question may take and the silence after it: only another function code tells the two apart.
    let slow = |address| if address == 7 { THINKS * 4 } else { Duration::ZERO };
    let mut slave = Slave::start(slow);
    assert_eq!(value(slave.bus.ask(Rank::Tags, read(1, 3)).await), Ok(3));
    assert_eq!(value(slave.bus.ask(Rank::Tags, read(1, 7)).await), Err("late".into()));
    let mut answers = Vec::new();
    while answers.len() < 20 {
        answers.push(value(slave.bus.ask(Rank::Tags, read(1, 9)).await));
    }
    assert_eq!(answers.last(), Some(&Ok(9)), "it came back: {answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer, Ok(9) | Err(_))), "{answers:?}");
    let asked = slave.asked();
    assert!(asked.iter().any(|(code, _)| *code != 3), "something else was asked in between: {asked:?}");
}

/// Found by looking for the RTU case in which no frame is wrong and every value is: one behind, for ever.
#[tokio::test]
async fn an_answer_that_comes_twice_is_not_the_answer_to_the_next_question() {
    let (mut slave, end) = SerialStream::pair().expect("a pty");
    let line = SerialLine { device: end.name().expect("a name").into(), baud: 115_200, parity: Parity::Even };
    let bus = Bus::new(line);
    let again = tokio::sync::Notify::new();
    let answering = async {
        loop {
            let mut asked = [0; 8];
            slave.read_exact(&mut asked).await.expect("a question");
            let address = u16::from_be_bytes([asked[2], asked[3]]);
            let answer = frame(Framing::Rtu, 0, 1, &counted(3, &[address]));
            slave.write_all(&answer).await.expect("an answer");
            if address == 3 {
                again.notified().await;
                slave.write_all(&answer).await.expect("the same answer");
            }
        }
    };
    let asking = async {
        assert_eq!(value(bus.ask(Rank::Tags, read(1, 3)).await), Ok(3));
        again.notify_one();
        let repeated = async {
            while !bus.state.lock().await.device.as_ref().is_some_and(Ear::hears) {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), repeated).await.expect("the repeated answer");
        for address in 10..20 {
            assert_eq!(value(bus.ask(Rank::Tags, read(1, address)).await), Ok(address));
        }
    };
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}

#[tokio::test]
async fn any_answer_may_be_late_and_no_value_is_wrong() {
    // Between in time and far too late, by address.
    let erratic = |address: u16| THINKS * u32::from(address * 7 % 5) / 2;
    let slave = Slave::start(erratic);
    let (mut good, mut late) = (0, 0);
    for address in (0..12).chain([100, 105, 110, 115]) {
        match value(slave.bus.ask(Rank::Tags, read(1, address)).await) {
            Ok(value) => {
                assert_eq!(value, address);
                good += 1;
            }
            Err(_) => late += 1,
        }
    }
    assert!(late >= 3 && good >= 2, "{good} good, {late} late");
    slave.delay.send_replace(at_once);
    let mut recovered = Vec::new();
    while recovered.len() < 8 {
        recovered.push(value(slave.bus.ask(Rank::Tags, read(1, 50)).await));
    }
    assert_eq!(recovered[7], Ok(50), "{recovered:?}");
}

#[tokio::test]
async fn a_unit_that_is_not_there_does_not_confuse_its_neighbour() {
    let slave = Slave::start(at_once);
    for _ in 0..6 {
        assert_eq!(value(slave.bus.ask(Rank::Tags, read(2, 3)).await), Err("late".into()));
        assert_eq!(value(slave.bus.ask(Rank::Tags, read(1, 4)).await), Ok(4));
    }
}

#[tokio::test]
async fn an_interrupted_question_leaves_nothing_behind() {
    let slow = |address| if address == 7 { THINKS / 2 } else { Duration::ZERO };
    let mut slave = Slave::start(slow);
    for _ in 0..3 {
        tokio::select! {
            biased;
            _ = async { while slave.asked.recv().await != Some((3, 7)) {} } => {}
            // A machine that stands still for so long has interrupted nothing.
            _ = slave.bus.ask(Rank::Tags, read(1, 7)) => {}
        }
        let mut answer = Err(String::new());
        while answer.is_err() {
            answer = value(slave.bus.ask(Rank::Tags, read(1, 8)).await);
        }
        assert_eq!(answer, Ok(8));
    }
}

#[tokio::test]
async fn outputs_go_before_everything_that_waits() {
    let slave = Slave::start(|address| if address == 1 { THINKS / 2 } else { Duration::ZERO });
    assert_eq!(value(slave.bus.ask(Rank::Tags, read(1, 0)).await), Ok(0));
    let Slave { bus, mut asked, .. } = slave;
    // Polled in this order: one is in flight, three wait, then the control block and the outputs come.
    let (a, b, c, d, e, f) = tokio::join!(
        bus.ask(Rank::Tags, read(1, 1)),
        bus.ask(Rank::Tags, read(1, 2)),
        bus.ask(Rank::Tags, read(1, 3)),
        bus.ask(Rank::Tags, read(1, 4)),
        bus.ask(Rank::Control, read(1, 5)),
        bus.ask(Rank::Outputs, read(1, 6)),
    );
    assert_eq!([a, b, c, d, e, f].map(value), [1, 2, 3, 4, 5, 6].map(Ok));
    let order: Vec<u16> = std::iter::from_fn(|| asked.try_recv().ok()).map(|(_, address)| address).collect();
    assert_eq!(order[..4], [0, 1, 6, 5], "{order:?}");
}

#[tokio::test]
async fn a_write_is_sent_once_even_if_nobody_answers() {
    let mut slave = Slave::start(|_| THINKS * 3);
    let words = [1, 2];
    let write = crate::client::outlet::Outlet::new(vec![crate::client::rules::WriteRule::registers(0, 9)])
        .clear(crate::client::rules::Write::Registers(0, &words), false, 0)
        .expect("allowed");
    let question = Question { unit: 1, request: write.request(), thinks: THINKS, characters: 21 };
    assert!(matches!(slave.bus.ask(Rank::Outputs, question).await, Err(BusError::TimedOut(_))));
    // The next question comes only after the slave was asked something else.
    slave.delay.send_replace(at_once);
    let mut answers = Vec::new();
    while answers.len() < 8 {
        answers.push(value(slave.bus.ask(Rank::Outputs, read(1, 5)).await));
    }
    assert_eq!(answers[7], Ok(5), "{answers:?}");
    assert_eq!(slave.asked().iter().filter(|(code, _)| *code == 16).count(), 1);
}

#[tokio::test]
async fn two_speeds_on_one_device_are_an_error() {
    let buses = Buses::default();
    let line = |baud| SerialLine { device: "/dev/null".into(), baud, parity: Parity::Even };
    buses.bus(&line(9600)).expect("the first");
    buses.bus(&line(9600)).expect("the same");
    let error = buses.bus(&line(19_200)).expect_err("another speed");
    assert!(error.to_string().contains("differ in baud"), "{error}");
    // A device that is none says so at once.
    let bus = Bus::new(SerialLine { device: "/dev/null".into(), baud: 9600, parity: Parity::Even });
    let refused = tokio::select! {
        opened = bus.open(Rank::Tags, THINKS) => opened,
        () = pending() => Ok(()),
    };
    assert!(matches!(refused, Err(BusError::Closed(_))), "{refused:?}");
}
