//! What travels between the middle and the parts that move registers: notes towards the middle, images away from it.
//!
//! Invariants: an image made for an earlier connection is never written; a note is a fact, the middle decides what follows.

use crate::jmap::{Control, STATUS_HEAD, STATUS_LEN, status2};
use station::line::LinkFault;
use station::piece::PieceId;
use station::reading::Reading;
use station::units::Timestamp;
use std::net::SocketAddr;

/// What a part tells the middle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Note {
    /// From the part that carries the status block.
    Outputs(OutputNote),
    /// From the part that sees the control block.
    Poll(PollNote),
    /// Readings of a PLC that is only listened to.
    Readings(Vec<Reading>),
    /// The server listens here.
    Listening(SocketAddr),
}

/// What the outputs tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputNote {
    /// Connected, and RunPermit reads back as 0. Images for this connection are awaited.
    Up {
        /// Counts up with every connection, from 1.
        connection: u64,
    },
    /// Unusable.
    Down(LinkFault),
    /// A result was written and acknowledged by the PLC's server, or can be read by the PLC from now on.
    Offered {
        /// The piece.
        piece: PieceId,
        /// When the middle got it.
        handed_micros: u64,
    },
    /// A changed permit was written, acknowledged by the PLC's server and read back, or was read by the PLC.
    Permitted {
        /// May the line run?
        run: bool,
        /// When the middle was told so.
        handed_micros: u64,
    },
    /// One write and its answer.
    RoundTrip {
        /// Microseconds.
        micros: u64,
    },
}

/// What looking at the control block tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PollNote {
    /// Connected anew; nothing read yet.
    Up,
    /// Unusable.
    Down(LinkFault),
    /// One look.
    Look {
        /// The control block.
        control: Box<Control>,
        /// When it was seen.
        at: Timestamp,
        /// Read in the same cycle because a trigger was seen.
        with_trigger: Vec<Reading>,
        /// Due by their interval, or gone stale.
        at_interval: Vec<Reading>,
    },
}

/// One state of the status block, to be seen by the PLC as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    /// The connection it was made for.
    pub(crate) connection: u64,
    /// The result on it: number of the offer, piece, when the middle got it.
    pub(crate) offer: Option<(u64, PieceId, u64)>,
    /// When the middle was told of its permit.
    pub(crate) permit_micros: u64,
    /// Status registers 0–127.
    pub(crate) words: [u16; STATUS_LEN as usize],
    /// After this one there is no other.
    pub(crate) last: bool,
}

impl Image {
    /// All zeros: stopped, nothing passes.
    pub(crate) const fn safe() -> Self {
        Self { connection: 0, offer: None, permit_micros: 0, words: [0; STATUS_LEN as usize], last: false }
    }

    /// Registers 0–63, which are written and read in one request.
    pub(crate) fn head(&self) -> &[u16] {
        &self.words[..usize::from(STATUS_HEAD)]
    }

    /// Registers 64–127. They keep the values of the last result until there is another.
    pub(crate) fn payload(&self) -> &[u16] {
        &self.words[usize::from(STATUS_HEAD)..]
    }

    /// The same, but the line may not run.
    pub(crate) const fn stopped(mut self) -> Self {
        self.words[status2::REGISTER as usize] &= !status2::RUN_PERMIT;
        self
    }

    /// Whether the line may run.
    pub(crate) const fn permit(&self) -> bool {
        self.words[status2::REGISTER as usize] & status2::RUN_PERMIT != 0
    }
}
