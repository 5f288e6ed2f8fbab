//! The program that holds a driver, as a child process: started, told, heard, ended.
//!
//! Invariants: every read has a deadline and can be called off; a child is never waited for longer than `GONE_MILLIS`, because a
//! process that hangs in the kernel cannot even be killed; the orders never wait for the program to take them.

use super::super::wire::{ORDER_BYTES_MAX, Order};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// An ended program has this long to be gone.
const GONE_MILLIS: u64 = 1000;
/// A program that is asked to end has this long to let go of its device.
const LEAVE_MILLIS: u64 = 300;
/// As much as an unprivileged user may have in a pipe: a picture crosses with few changes of thread.
const PIPE_BYTES: usize = 1 << 20;
/// How often a read looks whether it is called off.
const LOOK_MILLIS: u64 = 20;

/// The way of triggers to a program.
#[derive(Debug)]
pub(super) struct Orders(ChildStdin);

impl Orders {
    /// Gives the trigger with this number.
    ///
    /// # Errors
    /// If the program is gone, or has taken none of the last thousands.
    pub(super) fn trigger(&mut self, number: u64) -> io::Result<()> {
        self.0.write_all(&number.to_le_bytes())
    }
}

/// Why a read ended without its bytes.
#[derive(Debug)]
pub(super) enum Unread {
    /// They did not come in time.
    Silent,
    /// It was called off.
    CalledOff,
    /// The program has ended, or its pipe cannot be read.
    Gone(Option<io::Error>),
}

/// A running program.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    voice: ChildStdout,
}

impl Program {
    /// Starts the program at `path` and tells it the order.
    pub(super) fn start(path: &Path, order: &Order) -> io::Result<(Self, Orders)> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        if line.len() > ORDER_BYTES_MAX {
            return Err(io::Error::new(ErrorKind::InvalidInput, "the camera's settings are too long"));
        }
        let mut child = Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(mut ears), Some(voice)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the program has no pipes"));
        };
        // Less room is no fault: it only costs more changes of thread.
        rustix::pipe::fcntl_setpipe_size(&voice, PIPE_BYTES).unwrap_or_default();
        rustix::io::ioctl_fionbio(&voice, true)?;
        rustix::io::ioctl_fionbio(&ears, true)?;
        // Fits into an empty pipe as a whole.
        ears.write_all(&line)?;
        Ok((Self { child, voice }, Orders(ears)))
    }

    /// Fills `out` with what the program says. `now` gives microseconds; `called_off` is asked from time to time.
    pub(super) fn read(&mut self, out: &mut [u8], until: u64, now: &dyn Fn() -> u64, called_off: &dyn Fn() -> bool) -> Result<(), Unread> {
        let mut filled = 0;
        while filled < out.len() {
            match self.voice.read(&mut out[filled..]) {
                Ok(0) => return Err(Unread::Gone(None)),
                Ok(bytes) => filled += bytes,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let left = until.saturating_sub(now()) / 1000;
                    if called_off() {
                        return Err(Unread::CalledOff);
                    }
                    if left == 0 {
                        return Err(Unread::Silent);
                    }
                    wait_readable(&self.voice, left.min(LOOK_MILLIS)).map_err(|error| Unread::Gone(Some(error)))?;
                }
                Err(error) => return Err(Unread::Gone(Some(error))),
            }
        }
        Ok(())
    }

    /// Ends the program: `politely` gives it time to let go of its device after its orders were closed. `None` when it is
    /// gone, the child if not even the kernel could end it.
    pub(super) fn end(mut self, politely: bool) -> Option<Child> {
        if politely && has_ended(&mut self.child, LEAVE_MILLIS) {
            return None;
        }
        // It may have ended by itself in between.
        drop(self.child.kill());
        // A child that writes into a closed pipe ends too.
        drop(self.voice);
        if has_ended(&mut self.child, GONE_MILLIS) { None } else { Some(self.child) }
    }
}

fn wait_readable(fd: impl std::os::fd::AsFd, millis: u64) -> io::Result<()> {
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::try_from(millis.min(999)).unwrap_or_default() * 1_000_000 };
    let fd = fd.as_fd();
    match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Waits at most this long until the child has ended, and takes its status so that it leaves no trace.
fn has_ended(child: &mut Child, millis: u64) -> bool {
    if !matches!(child.try_wait(), Ok(None)) {
        return true;
    }
    if let Ok(ending) = pidfd_open(Pid::from_child(child), PidfdFlags::empty()) {
        // Readable when the process has ended; a failure shows in the next line.
        drop(wait_readable(ending.as_fd(), millis.min(999)));
    }
    !matches!(child.try_wait(), Ok(None))
}
