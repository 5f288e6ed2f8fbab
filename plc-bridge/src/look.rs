//! A connection for looking at a PLC beside the appliance: kept between looks, given up after any failure.
//!
//! Invariant: while a question is open the connection is not here but in the question's future; whatever ends that future
//! without an answer (an error, a time-out, being dropped) has ended the connection too.

use crate::client::{Buses, ClientSettings, Peer, Rank, Wire, WireError};
use crate::jmap::{CONTROL_HEAD, CONTROL_LEN, STATUS_HEAD, STATUS_LEN};
use crate::map::Batch;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

/// What a PLC said: its answer, or its refusal.
pub(crate) type Said = Result<Vec<u16>, WireError>;

/// Control block in one request: all of it, or all but `UserData`.
pub(crate) const WHOLE_CONTROL: &[u16] = &[CONTROL_LEN];
pub(crate) const HEAD_OF_CONTROL: &[u16] = &[CONTROL_HEAD];
/// Status block: its head is one snapshot and one request.
pub(crate) const WHOLE_STATUS: &[u16] = &[STATUS_HEAD, STATUS_LEN - STATUS_HEAD];
pub(crate) const HEAD_OF_STATUS: &[u16] = &[STATUS_HEAD];

/// Looks at one PLC.
pub(crate) struct Eye {
    peer: Peer,
    /// Serial devices that it shares with other eyes.
    buses: Arc<Buses>,
    wire: Option<Wire>,
}

impl Eye {
    pub(crate) fn new(peer: &Peer, buses: &Arc<Buses>) -> Self {
        Self { peer: peer.clone(), buses: Arc::clone(buses), wire: None }
    }

    /// An eye that shares nothing.
    pub(crate) fn alone(peer: &Peer) -> Self {
        Self::new(peer, &Arc::default())
    }

    /// The connection, made anew if there is none; it must be put back after the answer.
    pub(crate) async fn take(&mut self) -> Result<Wire, WireError> {
        match self.wire.take() {
            Some(wire) => Ok(wire),
            None => Wire::connect_over(&self.peer, &self.buses, Rank::Tags).await,
        }
    }

    pub(crate) fn put_back(&mut self, wire: Wire) {
        self.wire = Some(wire);
    }

    /// Holding registers in as many requests as `parts` has lengths; a refusal of one refuses all.
    pub(crate) async fn block(&mut self, base: u16, parts: &[u16]) -> Result<Said, WireError> {
        let mut block = Vec::new();
        for count in parts {
            let offset = u16::try_from(block.len()).unwrap_or(u16::MAX);
            let (wire, words) = self.take().await?.read(base.saturating_add(offset), *count).await?;
            self.put_back(wire);
            match words {
                Ok(words) => block.extend(words),
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        Ok(Ok(block))
    }

    /// The cells of a batch.
    pub(crate) async fn batch(&mut self, batch: &Batch) -> Result<Said, WireError> {
        let (wire, cells) = self.take().await?.read_batch(batch).await?;
        self.put_back(wire);
        Ok(cells)
    }

    /// Control and status block, in this order: what the status block answers to was then seen first.
    pub(crate) async fn heads(&mut self, plc: &ClientSettings) -> Result<(Said, Said), WireError> {
        let control = self.block(plc.control_base, HEAD_OF_CONTROL).await?;
        Ok((control, self.block(plc.status_base, HEAD_OF_STATUS).await?))
    }
}

/// Waits for all of them at once, so that a slow PLC delays none of the others.
pub(crate) async fn all<T>(futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut slots: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|context| {
        for (future, done) in &mut slots {
            if done.is_none()
                && let Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if slots.iter().all(|(_, done)| done.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    slots.into_iter().filter_map(|(_, done)| done).collect()
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        said = format!("{said}: {cause}");
        next = cause.source();
    }
    said
}
