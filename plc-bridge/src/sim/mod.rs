//! A simulated conveyor PLC behind a real Modbus TCP server.
//!
//! It exists so that the appliance can be tried, tested and shown without a line, over the same wire as with one. The
//! program (`program`) scans one memory (`bank`) every few milliseconds; sensors (`process`) scatter, drift and jump by
//! seed; a `SimHandle` causes trouble and watches; an auditor (`audit`) counts what clients write. `hostile` stands in
//! front of it and misbehaves.
//!
//! Invariant: a request sees the memory between two scans, never within one.

mod audit;
mod bank;
mod desk;
mod dice;
mod handle;
pub mod hostile;
mod process;
mod program;
mod serial;
mod server;

pub use audit::Audit;
pub use bank::{Bank, CONTROL_BASE, STATUS_BASE, TAGS_BASE, TAGS_LEN, TALLY_BASE, TALLY_LEN};
pub use desk::Commands;
pub use handle::{Outage, SimHandle};
pub use process::{Disturbance, Shift, SimTag, default_tags};
pub use serial::SerialDoor;
pub use server::Sim;

use crate::jmap::{Field, Kind};
use crate::map::TagSpec;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the line did, from holding register 2100 on.
pub const TALLY: &[Field] = &[
    Field { name: "PiecesTriggered", register: 0, width: 2, kind: Kind::U32, doc: "pieces that reached the camera" },
    Field { name: "PiecesPassed", register: 2, width: 2, kind: Kind::U32, doc: "pieces that passed the gate" },
    Field { name: "PiecesRejected", register: 4, width: 2, kind: Kind::U32, doc: "pieces the gate took out" },
    Field { name: "Encoder", register: 6, width: 2, kind: Kind::U32, doc: "belt position in counts" },
    Field { name: "StackLight", register: 8, width: 1, kind: Kind::U16, doc: "bit 0 green, 1 amber, 2 red" },
    Field { name: "OnBelt", register: 9, width: 1, kind: Kind::U16, doc: "pieces between camera and gate" },
];

/// How the belt moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// In time.
    Paced {
        /// Pieces per minute at the camera.
        pieces_per_minute: f64,
    },
    /// From piece to piece: the next one only when the result of the last was read and acknowledged, TriggerReady and
    /// RunPermit are 1. Two runs see the same order of events.
    Lockstep,
}

/// The simulated line.
#[derive(Debug, Clone, PartialEq)]
pub struct SimSettings {
    /// Seed of the process noise.
    pub seed: u64,
    /// How the belt moves.
    pub pace: Pace,
    /// Stop triggering after so many pieces; `None` = never.
    pub pieces: Option<u32>,
    /// `PieceSeq` of the first piece. Not 0.
    pub first_piece: u32,
    /// `LotNo` of the first lot.
    pub lot: u32,
    /// Pieces per lot.
    pub lot_size: u32,
    /// Time between two scans.
    pub scan_interval: Duration,
    /// Of it, time in which the program works and no request is answered. Zero: no request ever waits.
    pub scan_time: Duration,
    /// A scan takes up to so much longer, drawn anew for each.
    pub scan_jitter: Duration,
    /// Encoder counts from piece to piece.
    pub pitch: u32,
    /// Encoder counts from camera to gate.
    pub gate_offset: u32,
    /// The gate stays out for so many counts; a piece that comes within is taken out with the one before.
    pub gate_dwell: u32,
    /// Encoder counts from the gate to the sensor that confirms a reject.
    pub confirm_after: u32,
    /// Serial and user data are latched before the piece reaches the camera, and the belt waits for SetUserDataAck;
    /// otherwise they come with its trigger.
    pub latch_first: bool,
    /// At its start the PLC asks the appliance to arm the line stop (command 101), and brings no piece before the answer.
    pub arms_line_stop: bool,
    /// A command that is not answered for so long has failed.
    pub command_timeout: Duration,
    /// Encoder count at the start.
    pub encoder_start: u32,
    /// VisionHeartbeat may stand still for this long.
    pub vision_timeout: Duration,
    /// In lockstep, the line goes on without a result after this long (the piece is then rejected).
    pub result_timeout: Duration,
    /// A release after a stop ends the disturbances that have begun.
    pub repair_on_release: bool,
    /// Sensors, from register `TAGS_BASE` on.
    pub tags: Vec<SimTag>,
    /// What goes wrong with the process, and from which piece of this run on (the first is 1).
    pub disturbances: Vec<Disturbance>,
}

impl Default for SimSettings {
    fn default() -> Self {
        Self {
            seed: 7,
            pace: Pace::Paced { pieces_per_minute: 120.0 },
            pieces: None,
            first_piece: 1,
            lot: 1,
            lot_size: 500,
            scan_interval: Duration::from_millis(2),
            scan_time: Duration::ZERO,
            scan_jitter: Duration::ZERO,
            pitch: 1000,
            gate_offset: 3000,
            gate_dwell: 250,
            confirm_after: 0,
            latch_first: false,
            arms_line_stop: true,
            command_timeout: Duration::from_secs(2),
            encoder_start: 0,
            vision_timeout: Duration::from_millis(500),
            result_timeout: Duration::from_secs(5),
            repair_on_release: true,
            tags: default_tags(TAGS_BASE),
            disturbances: Vec::new(),
        }
    }
}

impl SimSettings {
    /// The sensors as the appliance must be configured to read them.
    #[must_use]
    pub fn tag_specs(&self) -> Vec<TagSpec> {
        self.tags.iter().map(|tag| tag.spec.clone()).collect()
    }
}

/// The three lamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StackLight {
    /// The belt moves.
    pub green: bool,
    /// Someone should look.
    pub amber: bool,
    /// No permit to run.
    pub red: bool,
}

impl StackLight {
    fn word(self) -> u16 {
        u16::from(self.green) | u16::from(self.amber) << 1 | u16::from(self.red) << 2
    }
}

/// What can be seen of the line after a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Pieces that reached the camera.
    pub triggered: u32,
    /// Of them, while TriggerReady was 0.
    pub triggered_unready: u32,
    /// Pieces that passed the gate.
    pub passed: u32,
    /// Pieces that were taken out.
    pub rejected: u32,
    /// Of them, good ones that came while the gate was still out for the one before.
    pub swept: u32,
    /// Pieces that reached the gate without a result.
    pub unanswered_at_gate: u32,
    /// Numbers of the last 4096 pieces that passed.
    pub passed_ids: Arc<Vec<u32>>,
    /// Numbers of the last 4096 pieces that were taken out.
    pub rejected_ids: Arc<Vec<u32>>,
    /// Results read, of any kind.
    pub results_read: u32,
    /// Results read for a piece that already had one.
    pub results_repeated: u32,
    /// Results read for a piece that is not on the belt.
    pub results_unknown: u32,
    /// Pieces between camera and gate.
    pub on_belt: u32,
    /// Belt position.
    pub encoder: u32,
    /// The RunPermit bit in memory.
    pub run_permit: bool,
    /// When the bit last went from 1 to 0.
    pub permit_fell: Option<Instant>,
    /// The belt is allowed to move, and does.
    pub line_running: bool,
    /// VisionHeartbeat moves.
    pub vision_alive: bool,
    /// StopReason as written by the appliance.
    pub stop_reason: u32,
    /// What became of the commands to the appliance.
    pub commands: Commands,
    /// All pieces were made and have left the belt.
    pub finished: bool,
    /// The lamps.
    pub stack_light: StackLight,
    /// Scans done.
    pub scans: u64,
}
