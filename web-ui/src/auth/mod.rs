//! Who may do what: users, passwords, sessions, attempts, the first run — and the door where people come in and leave.
//!
//! Invariants: there is no default password; nothing secret is logged or sent back; every sign-in, refusal and departure
//! leaves a line in the log.

pub(crate) mod door;
mod password;
mod sessions;
mod setup;
mod signed;
mod throttle;
mod users;

pub use password::HashError;
pub use users::{Users, UsersError};

pub(crate) use sessions::{Sessions, Use};
pub(crate) use setup::SetUp;
pub(crate) use signed::{Acting, Looking, token};
pub(crate) use throttle::Throttle;
