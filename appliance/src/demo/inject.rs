//! Disturbances of the simulated line, as they are asked for on the command line.

use std::str::FromStr;

/// One disturbance and the piece at which it begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Injection {
    /// What happens.
    pub what: Disturbance,
    /// The piece before which it happens.
    pub from_piece: u32,
}

/// What can happen to the simulated line.
#[derive(Debug, Clone, PartialEq)]
pub enum Disturbance {
    /// A process value drifts by this much per piece, in its own unit.
    Drift {
        /// The tag.
        tag: String,
        /// Change per piece.
        per_piece: f64,
    },
    /// A process value jumps by this much, in its own unit.
    Step {
        /// The tag.
        tag: String,
        /// The jump.
        by: f64,
    },
    /// The camera delivers its last frame again and again.
    CameraFreeze,
    /// The camera delivers nothing.
    CameraLost,
    /// The PLC drops its connections and refuses new ones for a while.
    PlcDrop,
    /// The model needs longer than a piece may take.
    ModelSlow,
    /// The model answers with an error.
    ModelError,
}

/// The piece at which a disturbance begins if none is named: late enough for the charts to have their limits.
const FROM_PIECE: u32 = 60;

/// What was asked for cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "--inject {asked}: {what}; use drift:TAG=PER_PIECE[@PIECE], step:TAG=BY[@PIECE], camera:freeze, camera:lost, plc:drop, model:slow or model:error, each with [@PIECE]"
)]
pub struct InjectionError {
    asked: String,
    what: String,
}

impl FromStr for Injection {
    type Err = InjectionError;

    fn from_str(asked: &str) -> Result<Self, Self::Err> {
        let refuse = |what: &str| InjectionError { asked: asked.to_owned(), what: what.to_owned() };
        let (what, from_piece) = match asked.rsplit_once('@') {
            None => (asked, FROM_PIECE),
            Some((what, piece)) => (what, piece.parse().map_err(|_| refuse("the piece after @ is not a number"))?),
        };
        let (kind, rest) = what.split_once(':').ok_or_else(|| refuse("a kind and a colon are missing"))?;
        let what = match (kind, rest) {
            ("camera", "freeze") => Disturbance::CameraFreeze,
            ("camera", "lost") => Disturbance::CameraLost,
            ("plc", "drop") => Disturbance::PlcDrop,
            ("model", "slow") => Disturbance::ModelSlow,
            ("model", "error") => Disturbance::ModelError,
            ("drift" | "step", rest) => {
                let (tag, amount) = rest.split_once('=').ok_or_else(|| refuse("a tag and an amount are missing"))?;
                let amount: f64 = amount.parse().map_err(|_| refuse("the amount is not a number"))?;
                if !amount.is_finite() {
                    return Err(refuse("the amount is not finite"));
                }
                let tag = tag.to_owned();
                if kind == "drift" { Disturbance::Drift { tag, per_piece: amount } } else { Disturbance::Step { tag, by: amount } }
            }
            _ => return Err(refuse("nobody knows this disturbance")),
        };
        Ok(Self { what, from_piece })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disturbances_are_read_from_words() {
        let read = |text: &str| text.parse::<Injection>();
        let drift = Disturbance::Drift { tag: "paste_height".to_owned(), per_piece: 0.25 };
        assert_eq!(read("drift:paste_height=0.25@40"), Ok(Injection { what: drift, from_piece: 40 }));
        let step = Disturbance::Step { tag: "paste_height".to_owned(), by: -8.0 };
        assert_eq!(read("step:paste_height=-8"), Ok(Injection { what: step, from_piece: FROM_PIECE }));
        assert_eq!(read("camera:freeze@3"), Ok(Injection { what: Disturbance::CameraFreeze, from_piece: 3 }));
        for wrong in ["", "camera", "camera:sneeze", "drift:paste_height", "step:x=y", "step:x=1@z", "drift:x=inf"] {
            assert!(read(wrong).is_err_and(|error| error.to_string().contains("use drift:TAG")), "{wrong}");
        }
    }
}
