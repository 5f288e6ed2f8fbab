//! What the machine says: memory of this process, read from `/proc`, and free disk space.

/// Largest and present resident set of this process in MiB; zeros where `/proc` does not tell.
#[must_use]
pub fn resident_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    (field_kib(&status, "VmHWM:") / 1024, field_kib(&status, "VmRSS:") / 1024)
}

/// Microseconds since this process was started, to a clock tick (10 ms); 0 where `/proc` does not tell.
#[must_use]
pub fn age_micros() -> u64 {
    // The name in parentheses may hold spaces; starttime is field 22, the 20th after it (proc(5)).
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let started = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse::<u64>().ok());
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (seconds, nanos) = (u64::try_from(now.tv_sec).unwrap_or(0), u64::try_from(now.tv_nsec).unwrap_or(0));
    started.map_or(0, |started| (seconds * 1_000_000 + nanos / 1000).saturating_sub(started * 1_000_000 / ticks))
}

/// Space that is free for this process on the file system of `path`, in MiB; `None` if the system does not tell.
#[must_use]
pub fn free_mib(path: &std::path::Path) -> Option<u64> {
    let status = rustix::fs::statvfs(path).ok()?;
    Some(status.f_bavail.saturating_mul(status.f_frsize) / (1 << 20))
}

/// How much of the file system of `path` is used, in parts of a thousand, rounded up; `None` if the system does not tell.
#[must_use]
pub fn used_permille(path: &std::path::Path) -> Option<u16> {
    let status = rustix::fs::statvfs(path).ok()?;
    let used = status.f_blocks.saturating_sub(status.f_bavail);
    u16::try_from(used.saturating_mul(1000).div_ceil(status.f_blocks.max(1))).ok()
}

fn field_kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_kib() {
        let status = "Name:\tjidoka\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n";
        assert_eq!(field_kib(status, "VmHWM:"), 204_800);
        assert_eq!(field_kib(status, "VmPeak:"), 0);
        assert!(resident_mib().0 > 0, "this process has a resident set");
        let age = age_micros();
        assert!(age > 0 && age < 3_600_000_000, "this test runs within an hour: {age}");
        assert!(used_permille(std::path::Path::new("/")).is_some_and(|permille| permille <= 1000));
        assert_eq!(used_permille(std::path::Path::new("/nowhere at all")), None);
    }
}
