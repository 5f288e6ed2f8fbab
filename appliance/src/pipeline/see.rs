//! From trigger to inspection: the capture thread and the inference thread.
//!
//! Invariant: every trigger ends in exactly one `Seen` or `Missed` towards the judge. Nothing here waits for anyone
//! downstream: a full queue is a `Missed(QueueFull)`.

use crate::clock::Clock;
use crate::judge::Input;
use crate::meter::{Meter, Stage};
use crate::pipeline::pace::Pace;
use crate::pipeline::pictures::Looked;
use crossbeam::channel::{Receiver, Sender, TrySendError};
use station::Event;
use station::inspection::{Inspection, Miss, MissReason, StageMicros};
use station::line::LineCommand;
use station::piece::PieceId;
use station::reading::{Quality, Reading};
use std::sync::Arc;
use tokio::sync::mpsc::WeakSender;
use vision_models::camera::Camera;
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
    frame: Arc<Frame>,
    capture_micros: u64,
    retain: bool,
}

/// Tells the judge that a piece will not be inspected. The judge's queue is deep enough for every open piece; if it is
/// full all the same, the piece's deadline makes it a hold.
pub fn miss(judge: &Sender<Input>, piece: PieceId, acquisition: u16, reason: MissReason) {
    tracing::error!(%piece, %reason, "piece not inspected");
    if judge.try_send(Input::Event(Event::Missed(Miss { piece, acquisition, reason }))).is_err() {
        tracing::error!(%piece, "the judge's queue is full; the piece's deadline will hold it");
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
        let Self { camera, before_grab, pool, clock, shots, told, .. } = self;
        before_grab(piece);
        // A picture that is taken now would show the piece after it.
        let waited = clock.mono_micros().saturating_sub(at_micros);
        if let Some(patience) = camera.patience_micros().filter(|patience| waited > *patience) {
            tracing::warn!(%piece, waited_micros = waited, patience_micros = patience, "the trigger is too old for a picture");
            miss(&told.judge, piece, acquisition, MissReason::CameraLost);
            return Ok(());
        }
        match camera.grab(piece, pool) {
            Ok(frame) => {
                let capture_micros = clock.mono_micros().saturating_sub(at_micros);
                let frame = Arc::new(frame);
                let sent = shots.try_send(Shot { piece, acquisition, frame: Arc::clone(&frame), capture_micros, retain });
                told.exposed(piece);
                match sent {
                    // It is made while the model looks, so that nobody waits for it.
                    Ok(()) => drop(frame.digest()),
                    Err(TrySendError::Full(_)) => miss(&told.judge, piece, acquisition, MissReason::QueueFull),
                    Err(TrySendError::Disconnected(_)) => {
                        miss(&told.judge, piece, acquisition, MissReason::Interrupted);
                        return Err(());
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%piece, error = %chain(&error), "no picture");
                miss(&told.judge, piece, acquisition, error.miss());
            }
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
pub fn infer(
    mut detector: Detector,
    measuring: Option<&Measuring>,
    camera: &Arc<str>,
    meter: &Meter,
    shots: &Receiver<Shot>,
    judge: &Sender<Input>,
    pictures: &Sender<Looked>,
) {
    for shot in shots {
        let piece = shot.piece;
        let inspection = match look(&mut detector, measuring, &shot.frame, piece, camera) {
            Some(mut inspection) => {
                inspection.acquisition = shot.acquisition;
                inspection.micros.capture = shot.capture_micros;
                meter.add(piece, |times| times.frame = inspection.frame);
                note_stages(meter, piece, inspection.micros);
                let inspection = Arc::new(inspection);
                if judge.try_send(Input::Event(Event::Seen(Arc::clone(&inspection)))).is_err() {
                    tracing::error!(%piece, "the judge's queue is full; the piece's deadline will hold it");
                }
                Some(inspection)
            }
            None => {
                miss(judge, piece, shot.acquisition, MissReason::ModelError);
                None
            }
        };
        // Pictures are for people: a full queue sheds the picture, never the piece.
        let retain = shot.retain;
        if pictures.try_send(Looked { piece, frame: shot.frame, inspection, retain }).is_err() && retain {
            tracing::warn!(%piece, "the pictures' queue is full; a picture that the PLC asked to keep is not kept");
        }
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
    meter.add(piece, |times| times.stages = micros);
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
