//! From trigger to inspection: the capture thread and the inference thread, a pair of them for each camera.
//!
//! Invariant: every trigger of a camera ends in exactly one `Seen` or `Missed` towards the judge; only a piece that another
//! camera of the frame set has missed already need not be looked at. Nothing here waits for anyone downstream: a full queue is
//! a `Missed(QueueFull)`.

use crate::clock::Clock;
use crate::judge::Input;
use crate::meter::{Meter, Stage};
use crate::pipeline::pace::Pace;
use crate::pipeline::pictures::Looked;
use crate::pipeline::together::Member;
use crossbeam::channel::{Receiver, Sender, TrySendError};
use station::Event;
use station::inspection::{Inspection, Miss, MissReason, StageMicros};
use station::line::LineCommand;
use station::piece::PieceId;
use station::reading::{Quality, Reading};
use std::sync::Arc;
use tokio::sync::mpsc::WeakSender;
use vision_models::camera::{Camera, CameraError};
use vision_models::detector::{Detector, DetectorError};
use vision_models::frame::{Frame, FramePool};
use vision_models::gauge::Gauge;

/// A piece is in front of the camera.
#[derive(Debug, Clone, Copy)]
pub struct Trigger {
    /// The piece.
    pub piece: PieceId,
    /// The number of its picture.
    pub acquisition: u16,
    /// When its trigger was seen, by the clock that never steps.
    pub at_micros: u64,
    /// The PLC asks that its picture be kept whatever the verdict.
    pub retain: bool,
}

/// A picture that waits for the model.
pub struct Shot {
    piece: PieceId,
    acquisition: u16,
    frame: Frame,
    capture_micros: u64,
    retain: bool,
}

/// Tells the judge that a piece will not be inspected, by this camera of its frame set if it has one. The judge's queue is
/// deep enough for every open piece; if it is full all the same, the piece's deadline makes it a hold.
pub fn miss(judge: &Sender<Input>, member: Option<&Member>, piece: PieceId, acquisition: u16, reason: MissReason) {
    let camera = member.map(|member| Arc::clone(&member.camera));
    match &camera {
        Some(camera) => tracing::error!(%piece, %camera, %reason, "piece not inspected"),
        None => tracing::error!(%piece, %reason, "piece not inspected"),
    }
    if let Some(member) = member {
        member.lose(piece, acquisition);
    }
    if judge.try_send(Input::Event(Event::Missed(Miss { piece, acquisition, reason, camera }))).is_err() {
        tracing::error!(%piece, "the judge's queue is full; the piece's deadline will hold it");
    }
}

/// The way of triggers to one camera.
pub struct Lane {
    /// To its capture thread.
    pub triggers: Sender<Trigger>,
    /// Which one of a frame set it is.
    pub member: Option<Member>,
}

impl Lane {
    /// Asks for a picture; if there is no room, the piece is a hold.
    pub fn ask(&self, trigger: Trigger, judge: &Sender<Input>) {
        if self.triggers.try_send(trigger).is_err() {
            miss(judge, self.member.as_ref(), trigger.piece, trigger.acquisition, MissReason::QueueFull);
        }
    }
}

/// Whom the capture thread tells.
pub struct Told {
    /// A piece that is not inspected.
    pub judge: Sender<Input>,
    /// A piece whose picture is taken and which may move on. Weak: commands that end mean that the judge is gone, and this
    /// thread must not hide it.
    pub plc: WeakSender<LineCommand>,
}

impl Told {
    /// A full queue costs the line nothing but time: the verdict says the same later.
    fn exposed(&self, piece: PieceId) {
        if let Some(plc) = self.plc.upgrade()
            && plc.try_send(LineCommand::Exposed(piece)).is_err()
        {
            tracing::debug!(%piece, "ExposureComplete comes with the verdict");
        }
    }
}

/// The capture thread: takes one picture per trigger.
pub struct Capture {
    /// What takes them.
    pub camera: Box<dyn Camera>,
    /// Called before every picture.
    pub before_grab: Box<dyn FnMut(PieceId) + Send>,
    /// Where pictures lie.
    pub pool: FramePool,
    /// The time.
    pub clock: Clock,
    /// What it waits for.
    pub pace: Pace,
    /// To the inference thread.
    pub shots: Sender<Shot>,
    /// Whom it tells.
    pub told: Told,
    /// Which one of a frame set the camera is.
    pub member: Option<Member>,
}

impl Capture {
    /// Runs until nobody triggers any more.
    pub fn run(mut self) {
        while let Some(trigger) = self.pace.next(self.clock, &self.told.judge) {
            if self.take(trigger).is_err() {
                return;
            }
        }
    }

    /// Takes one picture; an error means that nobody looks any more.
    fn take(&mut self, trigger: Trigger) -> Result<(), ()> {
        let Trigger { piece, acquisition, at_micros, retain } = trigger;
        let Self { camera, before_grab, pool, clock, shots, told, member, .. } = self;
        let missed = |reason| miss(&told.judge, member.as_ref(), piece, acquisition, reason);
        before_grab(piece);
        // A picture that is taken now would show the piece after it.
        let waited = clock.mono_micros().saturating_sub(at_micros);
        if let Some(patience) = camera.patience_micros().filter(|patience| waited > *patience) {
            tracing::warn!(%piece, waited_micros = waited, patience_micros = patience, "the trigger is too old for a picture");
            missed(MissReason::CameraLost);
            return Ok(());
        }
        let failed = |error: CameraError| {
            tracing::warn!(%piece, error = %chain(&error), "no picture");
            missed(error.miss());
        };
        match camera.take(piece, pool) {
            Ok(frame) => {
                let capture_micros = clock.mono_micros().saturating_sub(at_micros);
                let sent = shots.try_send(Shot { piece, acquisition, frame: frame.clone(), capture_micros, retain });
                // It may move on when every camera has its picture.
                if member.as_ref().is_none_or(|member| member.took(piece, acquisition)) {
                    told.exposed(piece);
                }
                let examined = camera.examine(&frame);
                match (sent, examined) {
                    // It is made while the model looks, so that nobody waits for it.
                    (Ok(()), Ok(())) => drop(frame.digest()),
                    // What the model sees in it does not count: the frame says so.
                    (Ok(()), Err(error)) => failed(error),
                    (Err(TrySendError::Full(_)), _) => missed(MissReason::QueueFull),
                    (Err(TrySendError::Disconnected(_)), _) => {
                        missed(MissReason::Interrupted);
                        return Err(());
                    }
                }
            }
            Err(error) => failed(error),
        }
        Ok(())
    }
}

/// What is measured in every picture, and by whose clock.
pub struct Measuring {
    /// The plan.
    pub gauge: Gauge,
    /// When a size was measured.
    pub clock: Clock,
}

impl Measuring {
    /// The sizes of a piece as readings, or `None` if one of them cannot be measured: such a piece is a hold.
    fn sizes(&self, frame: &Frame, piece: PieceId) -> Option<Vec<Reading>> {
        let sampled_at = self.clock.now();
        let told = |error: &dyn std::error::Error| tracing::warn!(%piece, error = %chain(error), "the piece was not measured");
        let measured = self.gauge.measure(frame).inspect_err(|error| told(error)).ok()?;
        let reading = |size: vision_models::gauge::Measurement| Reading {
            tag: size.name,
            value: size.value,
            unit: size.unit.into(),
            text: None,
            quality: Quality::Good,
            sampled_at,
        };
        measured.sizes.into_iter().map(|size| size.inspect_err(|error| told(error)).ok().map(reading)).collect()
    }
}

/// The inference thread: one model, one picture at a time. What was seen goes to the judge first, to the pictures after.
pub struct Infer {
    /// The model.
    pub detector: Detector,
    /// What is measured.
    pub measuring: Option<Measuring>,
    /// Whose pictures they are.
    pub camera: Arc<str>,
    /// Which one of a frame set the camera is.
    pub member: Option<Member>,
    /// True for the only camera and for the first of a frame set.
    pub is_first: bool,
    /// Where stages are timed.
    pub meter: Arc<Meter>,
    /// To the judging thread.
    pub judge: Sender<Input>,
    /// To the pictures thread.
    pub pictures: Sender<Looked>,
}

impl Infer {
    /// Runs until no more pictures come.
    pub fn run(mut self, shots: &Receiver<Shot>) {
        for shot in shots {
            let piece = shot.piece;
            let is_lost = self.member.as_ref().is_some_and(|member| member.is_lost(piece, shot.acquisition));
            let inspection = if is_lost { None } else { self.inspect(&shot) };
            // Of an old or empty picture nothing is told, and nobody sees it: its piece is missed already.
            if !shot.frame.is_sound() {
                continue;
            }
            // Pictures are for people: a full queue sheds the picture, never the piece.
            let (retain, is_first, camera) = (shot.retain, self.is_first, self.member.as_ref().map(|member| Arc::clone(&member.camera)));
            if self
                .pictures
                .try_send(Looked { piece, acquisition: shot.acquisition, frame: shot.frame, inspection, retain, camera, is_first })
                .is_err()
                && retain
            {
                tracing::warn!(%piece, "the pictures' queue is full; a picture that the PLC asked to keep is not kept");
            }
        }
    }

    fn inspect(&mut self, shot: &Shot) -> Option<Arc<Inspection>> {
        let (piece, acquisition) = (shot.piece, shot.acquisition);
        let looked = look(&mut self.detector, self.measuring.as_ref(), &shot.frame, piece, &self.camera);
        if !shot.frame.is_sound() {
            return None;
        }
        let Some(mut inspection) = looked else {
            miss(&self.judge, self.member.as_ref(), piece, acquisition, MissReason::ModelError);
            return None;
        };
        inspection.acquisition = acquisition;
        inspection.micros.capture = shot.capture_micros;
        note_stages(&self.meter, piece, inspection.micros);
        if self.is_first {
            self.meter.add(piece, |times| times.frame = inspection.frame);
        }
        let inspection = Arc::new(inspection);
        if self.judge.try_send(Input::Event(Event::Seen(Arc::clone(&inspection)))).is_err() {
            tracing::error!(%piece, "the judge's queue is full; the piece's deadline will hold it");
        }
        Some(inspection)
    }
}

/// What the model sees and what is measured; nothing if either fails, since half an inspection is none.
fn look(detector: &mut Detector, measuring: Option<&Measuring>, frame: &Frame, piece: PieceId, camera: &Arc<str>) -> Option<Inspection> {
    let told = |error: &DetectorError| tracing::warn!(%piece, error = %chain(error), "the model did not judge");
    let mut inspection = detector.inspect(frame, piece, camera).inspect_err(told).ok()?;
    if let Some(measuring) = measuring {
        let begun = measuring.clock.mono_micros();
        inspection.measurements = measuring.sizes(frame, piece)?;
        inspection.micros.decode += measuring.clock.mono_micros().saturating_sub(begun);
    }
    Some(inspection)
}

fn note_stages(meter: &Meter, piece: PieceId, micros: StageMicros) {
    // Of a frame set those of the slowest camera count.
    meter.add(piece, |times| {
        if micros.total() >= times.stages.total() {
            times.stages = micros;
        }
    });
    let stages =
        [(Stage::Capture, micros.capture), (Stage::Prepare, micros.prepare), (Stage::Infer, micros.infer), (Stage::Decode, micros.decode)];
    stages.into_iter().for_each(|(stage, micros)| meter.note(stage, micros));
}

/// An error with its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
