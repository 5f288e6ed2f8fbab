//! A serial line in a disturbed cable: two pseudo terminals with a wire between them that flips, loses and invents bytes.
//!
//! ```text
//!   master opens `device` ◄──pty──► wire (noise, delay) ◄──pty──► slave, opened already
//! ```
//! Invariants: the wire knows nothing of frames; the same seed and the same chunks give the same noise; without noise every
//! byte arrives once and in order.

use crate::sim::dice::Dice;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_serial::{SerialPort as _, SerialStream};

/// While nobody has the device open there is nothing to read; look again after this long.
const NOBODY: Duration = Duration::from_millis(5);

/// How disturbed the cable is. The default is a quiet one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noise {
    /// Of a thousand bytes, so many have a bit flipped.
    pub flipped_per_mille: u32,
    /// So many are lost.
    pub lost_per_mille: u32,
    /// In front of so many stands one that nobody sent.
    pub invented_per_mille: u32,
    /// Every chunk takes so long.
    pub delay: Duration,
}

impl Noise {
    /// What becomes of `sent`.
    fn heard(self, sent: &[u8], dice: &mut Dice) -> Vec<u8> {
        let mut heard = Vec::with_capacity(sent.len() + 4);
        let falls = |per_mille: u32, dice: &mut Dice| per_mille > 0 && dice.below(1000) < u64::from(per_mille);
        for byte in sent {
            if falls(self.invented_per_mille, dice) {
                heard.push(dice.byte());
            }
            if falls(self.lost_per_mille, dice) {
                continue;
            }
            let flip = if falls(self.flipped_per_mille, dice) { 1 << dice.below(8) } else { 0 };
            heard.push(byte ^ flip);
        }
        heard
    }
}

/// The wire, with the line's master at one end and a slave at the other.
#[derive(Debug)]
pub struct NoisyWire {
    to_master: SerialStream,
    to_slave: SerialStream,
    noise: watch::Sender<Noise>,
    seed: u64,
    device: PathBuf,
}

impl NoisyWire {
    /// A quiet wire, and the slave's end of it. The master opens `device`.
    ///
    /// # Errors
    /// If the system has no pseudo terminal left.
    pub fn new(seed: u64) -> io::Result<(Self, SerialStream)> {
        let (to_master, end) = SerialStream::pair()?;
        let device = end.name().ok_or_else(|| io::Error::other("the pseudo terminal has no name"))?.into();
        let (to_slave, slave) = SerialStream::pair()?;
        // Whoever opens the device locks it for itself; an end kept open here would keep that lock after it is closed.
        drop(end);
        Ok((Self { to_master, to_slave, noise: watch::Sender::new(Noise::default()), seed, device }, slave))
    }

    /// What the master opens.
    #[must_use]
    pub fn device(&self) -> PathBuf {
        self.device.clone()
    }

    /// A hand on the noise.
    #[must_use]
    pub fn noise(&self) -> watch::Sender<Noise> {
        self.noise.clone()
    }

    /// Carries bytes until `stop` resolves or the slave's end is closed.
    ///
    /// # Errors
    /// If the slave's end fails.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) -> io::Result<()> {
        tokio::select! {
            () = stop => Ok(()),
            ended = self.carry() => ended,
        }
    }

    async fn carry(self) -> io::Result<()> {
        let Self { mut to_master, mut to_slave, noise, seed, .. } = self;
        let (mut asked, mut answered, mut number) = ([0; 256], [0; 256], 0);
        loop {
            let (sent, up) = tokio::select! {
                count = to_master.read(&mut asked) => match count {
                    Ok(count) if count > 0 => (&asked[..count], true),
                    // The master has closed the device, or has not opened it yet.
                    Ok(_) | Err(_) => {
                        sleep(NOBODY).await;
                        continue;
                    }
                },
                count = to_slave.read(&mut answered) => match count? {
                    0 => return Ok(()),
                    count => (&answered[..count], false),
                },
            };
            number += 1;
            let now = *noise.borrow();
            let heard = now.heard(sent, &mut Dice::of(seed, number));
            if !now.delay.is_zero() {
                sleep(now.delay).await;
            }
            if up {
                to_slave.write_all(&heard).await?;
            } else if to_master.write_all(&heard).await.is_err() {
                sleep(NOBODY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_as_loud_as_it_says_and_repeats() {
        let sent = vec![0_u8; 10_000];
        let quiet = Noise::default().heard(&sent, &mut Dice::of(1, 1));
        assert_eq!(quiet, sent);
        let flipping = Noise { flipped_per_mille: 50, ..Noise::default() };
        let heard = flipping.heard(&sent, &mut Dice::of(1, 1));
        assert_eq!(heard, flipping.heard(&sent, &mut Dice::of(1, 1)));
        let flipped = heard.iter().filter(|byte| **byte != 0).count();
        assert!((300..700).contains(&flipped), "{flipped} of 10000");
        assert!(heard.iter().all(|byte| byte.count_ones() <= 1));
        let losing = Noise { lost_per_mille: 50, ..Noise::default() }.heard(&sent, &mut Dice::of(1, 1)).len();
        let inventing = Noise { invented_per_mille: 50, ..Noise::default() }.heard(&sent, &mut Dice::of(1, 1)).len();
        assert!((9_300..9_700).contains(&losing) && (10_300..10_700).contains(&inventing), "{losing} {inventing}");
    }
}
