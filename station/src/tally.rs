//! The windows that the stop policy counts over: rejects in a row, reject rate, camera, model, deadlines.
//!
//! Invariant: every count is over pieces, never over time, so that a stopped line cannot age into a stop or out of one.

use crate::inspection::MissReason;
use crate::policy::{StopPolicy, StopReason};
use crate::verdict::{Judgement, Reason, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Counts since the line was last released.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    not_passed_in_a_row: u32,
    camera_misses_in_a_row: u32,
    model_errors_in_a_row: u32,
    unconfirmed: u32,
    rejects: VecDeque<bool>,
    late: VecDeque<bool>,
}

impl Tally {
    /// Notes one judged piece; returns every reason to stop that it completed, in the order of the bits.
    pub fn note(&mut self, policy: &StopPolicy, judgement: &Judgement) -> Vec<(StopReason, String)> {
        let missed = judgement.reasons.iter().find_map(Reason::missed);
        count_in_a_row(&mut self.not_passed_in_a_row, judgement.verdict != Verdict::Pass);
        count_in_a_row(
            &mut self.camera_misses_in_a_row,
            matches!(missed, Some(MissReason::CameraStale | MissReason::CameraLost | MissReason::FrameSet)),
        );
        count_in_a_row(&mut self.model_errors_in_a_row, missed == Some(MissReason::ModelError));
        let rejects = slide(&mut self.rejects, policy.reject_rate_window, judgement.verdict == Verdict::Reject);
        let late = slide(&mut self.late, policy.deadline_window, matches!(missed, Some(MissReason::Deadline | MissReason::QueueFull)));

        let mut reasons = Vec::new();
        if self.not_passed_in_a_row >= policy.consecutive_rejects {
            reasons.push((StopReason::ConsecutiveRejects, format!("{} pieces in a row did not pass", self.not_passed_in_a_row)));
        }
        if rejects > policy.reject_rate_max && self.rejects.len() >= to_len(policy.reject_rate_window) {
            reasons.push((StopReason::RejectRate, format!("{rejects} rejects among {} pieces", policy.reject_rate_window)));
        }
        if self.camera_misses_in_a_row >= policy.camera_misses {
            let what = judgement.reasons.iter().find_map(told).unwrap_or_else(|| "camera".to_owned());
            reasons
                .push((StopReason::CameraStale, format!("{what}: {} pieces in a row without a fresh frame", self.camera_misses_in_a_row)));
        }
        if self.model_errors_in_a_row >= policy.model_errors {
            reasons.push((StopReason::ModelError, format!("the model failed on {} pieces in a row", self.model_errors_in_a_row)));
        }
        if late > policy.deadline_misses_max {
            reasons.push((StopReason::DeadlineMisses, format!("{late} late verdicts among the last {} pieces", self.late.len())));
        }
        reasons
    }

    /// Notes a reject that nobody saw at the gate.
    pub fn note_unconfirmed(&mut self) {
        self.unconfirmed = self.unconfirmed.saturating_add(1);
    }

    /// The reason to stop, once too many rejects were not seen at the gate.
    #[must_use]
    pub fn unconfirmed_cause(&self, policy: &StopPolicy) -> Option<(StopReason, String)> {
        (self.unconfirmed >= policy.unconfirmed_rejects)
            .then(|| (StopReason::RejectUnconfirmed, format!("{} rejects passed the gate unconfirmed", self.unconfirmed)))
    }
}

fn told(reason: &Reason) -> Option<String> {
    match reason {
        Reason::MissedBy { camera, reason } => Some(format!("{camera}: {reason}")),
        Reason::Missed(reason) => Some(reason.name().to_owned()),
        Reason::Defects { .. } | Reason::Grade { .. } | Reason::Recalled { .. } => None,
    }
}

fn count_in_a_row(count: &mut u32, hit: bool) {
    *count = if hit { count.saturating_add(1) } else { 0 };
}

/// Pushes into a window of `length` and returns how many hits it holds.
fn slide(window: &mut VecDeque<bool>, length: u32, hit: bool) -> u32 {
    window.push_back(hit);
    while window.len() > to_len(length) {
        window.pop_front();
    }
    u32::try_from(window.iter().filter(|hit| **hit).count()).unwrap_or(u32::MAX)
}

fn to_len(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::hold;
    use crate::policy::{PlcAcknowledge, RecalledSeen};

    fn policy() -> StopPolicy {
        StopPolicy {
            consecutive_rejects: 3,
            reject_rate_window: 5,
            reject_rate_max: 2,
            camera_misses: 2,
            model_errors: 2,
            deadline_window: 5,
            deadline_misses_max: 1,
            unconfirmed_rejects: 2,
            backlog_entries_max: 10,
            plc_acknowledge: PlcAcknowledge::Ignored,
            recalled_serial: RecalledSeen::Stop,
        }
    }

    fn judged(verdict: Verdict) -> Judgement {
        Judgement { verdict, reasons: Vec::new(), grade: 1 }
    }

    fn reasons(pieces: &[Judgement]) -> Vec<StopReason> {
        let mut tally = Tally::default();
        let mut last = Vec::new();
        for piece in pieces {
            last = tally.note(&policy(), piece);
        }
        last.into_iter().map(|(reason, _)| reason).collect()
    }

    #[test]
    fn three_rejects_in_a_row_stop_and_a_pass_between_them_does_not() {
        use Verdict::{Pass, Reject};
        assert_eq!(reasons(&[judged(Reject), judged(Reject), judged(Reject)]), [StopReason::ConsecutiveRejects]);
        assert_eq!(reasons(&[judged(Reject), judged(Reject), judged(Pass), judged(Reject)]), []);
    }

    #[test]
    fn the_reject_rate_needs_a_full_window() {
        use Verdict::{Pass, Reject};
        let four = [judged(Reject), judged(Reject), judged(Pass), judged(Reject)];
        assert_eq!(reasons(&four), []);
        let five = [judged(Reject), judged(Reject), judged(Pass), judged(Reject), judged(Pass)];
        assert_eq!(reasons(&five), [StopReason::RejectRate]);
    }

    #[test]
    fn misses_name_their_own_reason() {
        assert_eq!(reasons(&[hold(MissReason::CameraStale), hold(MissReason::CameraLost)]), [StopReason::CameraStale]);
        assert_eq!(reasons(&[hold(MissReason::ModelError), hold(MissReason::ModelError)]), [StopReason::ModelError]);
        assert_eq!(reasons(&[hold(MissReason::Deadline), hold(MissReason::QueueFull)]), [StopReason::DeadlineMisses]);
        assert_eq!(reasons(&[hold(MissReason::Deadline)]), []);
    }
}
