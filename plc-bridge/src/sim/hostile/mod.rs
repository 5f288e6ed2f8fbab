//! A PLC that misbehaves: a proxy in front of a real server, or a noisy wire in front of a real serial line.
//!
//! It exists because every fault of a link has to be made on purpose, on the wire, with the real client at one end and the
//! real simulated PLC at the other. `proxy` understands Modbus TCP frames and spoils them; `noise` understands only bytes,
//! as a disturbed cable does.
//!
//! | trouble | what the client sees |
//! |---|---|
//! | `slow=400ms` | every reply comes so much later; longer than the client waits = a late reply |
//! | `exception=4` | the request is refused with this code and does not reach the PLC |
//! | `wrong-transaction`, `wrong-unit`, `wrong-function` | one field of the reply's head is not that of the request |
//! | `truncated` | half of the reply, and then nothing |
//! | `short` | a well-formed reply with fewer registers than were asked for |
//! | `oversized` | a reply longer than the standard allows |
//! | `duplicate` | the reply twice |
//! | `garbage` | bytes that are no frame |
//! | `frozen` | values of an earlier moment; writes are acknowledged and do not reach the PLC; closed when it is over |
//! | `half-open` | connections that exist are forgotten by the other side; new ones work |
//! | `black-hole` | nothing is answered; what was sent is delivered when it is over, as TCP does |
//! | `unreachable` | like `black-hole`, and connecting hangs too |
//! | `refused` | connections are closed, new ones are refused |
//! | `close`, `reset` | connections are closed (FIN) or reset (RST), new ones at once after they were made |
//!
//! Invariant: the same seed and the same order of requests give the same bytes.

mod frame;
mod noise;
mod proxy;

pub use noise::{Noise, NoisyWire};
pub use proxy::{Deeds, Hostile, HostileHandle, HostileSettings};

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// One way to misbehave; see the table above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table on top of the file says what each does")]
pub enum Mischief {
    Slow(Duration),
    Exception(u8),
    WrongTransaction,
    WrongUnit,
    WrongFunction,
    Truncated,
    Short,
    Oversized,
    Duplicate,
    Garbage,
    Frozen,
    HalfOpen,
    BlackHole,
    Unreachable,
    Refused,
    Close,
    Reset,
}

/// Troubles without a parameter, by their name.
const NAMED: [(&str, Mischief); 15] = [
    ("wrong-transaction", Mischief::WrongTransaction),
    ("wrong-unit", Mischief::WrongUnit),
    ("wrong-function", Mischief::WrongFunction),
    ("truncated", Mischief::Truncated),
    ("short", Mischief::Short),
    ("oversized", Mischief::Oversized),
    ("duplicate", Mischief::Duplicate),
    ("garbage", Mischief::Garbage),
    ("frozen", Mischief::Frozen),
    ("half-open", Mischief::HalfOpen),
    ("black-hole", Mischief::BlackHole),
    ("unreachable", Mischief::Unreachable),
    ("refused", Mischief::Refused),
    ("close", Mischief::Close),
    ("reset", Mischief::Reset),
];

impl Mischief {
    /// True if it spoils single replies, so that it can be asked for every n-th of them.
    #[must_use]
    pub const fn is_of_a_reply(self) -> bool {
        use Mischief::{Duplicate, Exception, Garbage, Oversized, Short, Slow, Truncated, WrongFunction, WrongTransaction, WrongUnit};
        matches!(
            self,
            Slow(_) | Exception(_) | WrongTransaction | WrongUnit | WrongFunction | Truncated | Short | Oversized | Duplicate | Garbage
        )
    }
}

/// A trouble, and how often: `short/10` spoils every tenth reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub mischief: Mischief,
    /// Every so many replies, counted over all connections. Only troubles of single replies can be other than 1.
    pub every: NonZeroU32,
}

impl From<Mischief> for Trouble {
    fn from(mischief: Mischief) -> Self {
        Self { mischief, every: NonZeroU32::MIN }
    }
}

impl fmt::Display for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(by) => write!(f, "slow={}ms", by.as_millis()),
            Self::Exception(code) => write!(f, "exception={code}"),
            named => f.write_str(NAMED.iter().find(|(_, mischief)| mischief == named).map_or("", |(name, _)| name)),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.every.get() == 1 { write!(f, "{}", self.mischief) } else { write!(f, "{}/{}", self.mischief, self.every) }
    }
}

/// What was written is no trouble that is known.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TroubleError {
    /// No such name.
    #[error("`{0}`: no such trouble; there are slow=<n>ms, exception=<code>, {names}", names = names())]
    Unknown(String),
    /// The parameter cannot be read.
    #[error("`{0}`: write slow=<n>ms with n up to 60000, or exception=<code> with a code of 1 to 255")]
    Parameter(String),
    /// The part behind the slash cannot be read, or makes no sense there.
    #[error("`{0}`: a number of 1 or more stands behind the slash, and only behind troubles of single replies")]
    Every(String),
}

fn names() -> String {
    NAMED.map(|(name, _)| name).join(", ")
}

impl FromStr for Mischief {
    type Err = TroubleError;

    fn from_str(text: &str) -> Result<Self, TroubleError> {
        let wrong = || TroubleError::Parameter(text.to_owned());
        match text.split_once('=') {
            Some(("slow", by)) => {
                let millis: u64 = by.strip_suffix("ms").unwrap_or(by).parse().map_err(|_| wrong())?;
                if millis <= 60_000 { Ok(Self::Slow(Duration::from_millis(millis))) } else { Err(wrong()) }
            }
            Some(("exception", code)) => match code.parse() {
                Ok(0) | Err(_) => Err(wrong()),
                Ok(code) => Ok(Self::Exception(code)),
            },
            _ => {
                let known = NAMED.iter().find(|(name, _)| *name == text);
                known.map(|(_, mischief)| *mischief).ok_or_else(|| TroubleError::Unknown(text.to_owned()))
            }
        }
    }
}

impl FromStr for Trouble {
    type Err = TroubleError;

    fn from_str(text: &str) -> Result<Self, TroubleError> {
        let Some((mischief, every)) = text.split_once('/') else { return text.parse::<Mischief>().map(Self::from) };
        let wrong = || TroubleError::Every(text.to_owned());
        let every: NonZeroU32 = every.parse().map_err(|_| wrong())?;
        let mischief: Mischief = mischief.parse()?;
        if every.get() == 1 || mischief.is_of_a_reply() { Ok(Self { mischief, every }) } else { Err(wrong()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_is_read_as_it_is_written() {
        let with_parameter = [Mischief::Slow(Duration::from_millis(400)), Mischief::Exception(4)];
        for mischief in NAMED.map(|(_, mischief)| mischief).into_iter().chain(with_parameter) {
            let once = Trouble::from(mischief);
            assert_eq!(once.to_string().parse(), Ok(once));
            let seldom = Trouble { mischief, every: NonZeroU32::new(7).unwrap() };
            assert_eq!(seldom.to_string().parse::<Trouble>().is_ok(), mischief.is_of_a_reply(), "{seldom}");
        }
        assert_eq!("slow=400ms/5".parse::<Trouble>().unwrap().to_string(), "slow=400ms/5");
    }

    #[test]
    fn what_is_no_trouble_is_told_with_the_mend() {
        let told = |text: &str| text.parse::<Trouble>().unwrap_err().to_string();
        assert!(told("slwo").contains("slow=<n>ms"), "{}", told("slwo"));
        assert!(told("slow=70000ms").contains("up to 60000"));
        assert!(told("exception=0").contains("1 to 255"));
        assert!(told("reset/3").contains("single replies"));
        assert!(told("short/0").contains("1 or more"));
    }
}
