//! Real-time priority for the threads between picture and PLC, and memory that is never paged out: `[realtime]`.
//!
//! What may not wait for anybody else's work is short: taking a picture, judging, writing to the PLC. The model is never among
//! it: it computes for milliseconds, and a core that only runs real-time threads starves everything else (Linux then takes
//! 50 ms of every second away from it).
//!
//! Invariant: what the machine does not permit is told once, with the mend, and the line runs without it.

use crate::config::Realtime;
use rustix::mm::MlockAllFlags;
use thread_priority::unix::{RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

/// Gives the calling thread the priority of the settings, under the policy `SCHED_FIFO`.
pub fn raise(name: &str, settings: Realtime) {
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    let value = ThreadPriorityValue::try_from(settings.priority).map_err(|error| error.to_owned());
    let raised = value.and_then(|value| {
        set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy)
            .map_err(|error| format!("{error:?}"))
    });
    match raised {
        Ok(()) => tracing::info!(thread = name, priority = settings.priority, "runs with real-time priority"),
        Err(error) => tracing::warn!(
            thread = name,
            priority = settings.priority,
            error,
            "real-time priority is not permitted, the thread runs without; mend: allow it in the service's unit (LimitRTPRIO, RestrictRealtime), or remove [realtime]"
        ),
    }
}

/// Keeps all memory of the process in place, if the settings ask for it.
pub fn lock_memory(settings: Realtime) {
    if !settings.lock_memory {
        return;
    }
    match rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT) {
        Ok(()) => tracing::info!("memory is locked"),
        Err(error) => tracing::warn!(
            %error,
            "memory is not locked and may be paged out; mend: allow it in the service's unit (LimitMEMLOCK), or write lock_memory = false"
        ),
    }
}
