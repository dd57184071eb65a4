//! What the operating system knows of this process.
//!
//! Stage: admin. Reads `/proc`, which takes some microseconds and never waits for a device. Elsewhere than on Linux
//! there is nothing to read, and the metrics stay away.

use std::{fs, time::Duration};

/// Length of one tick in `/proc/self/stat`: `USER_HZ` is 100 on every Linux architecture in use (proc(5), "stat").
const TICK: Duration = Duration::from_millis(10);

/// CPU time of all threads, in user and kernel mode.
pub(super) fn cpu_time() -> Option<Duration> {
    fs::read_to_string("/proc/self/stat").ok().and_then(|text| read_cpu_time(&text))
}

/// Resident memory in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| read_resident_bytes(&text))
}

/// Fields 14 (`utime`) and 15 (`stime`). The second field is the program's name in parentheses and may hold anything,
/// so counting begins behind the last one.
fn read_cpu_time(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let kernel: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(user)?.checked_add(TICK.checked_mul(kernel)?)
}

/// The line `VmRSS: <n> kB`.
fn read_resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scenario: texts as the kernel writes them, with a hostile program name, and cut ones.
    // Guarantees: the right fields are read; what cannot be read is no value, not a wrong one.
    #[test]
    fn proc_texts_are_read() {
        let stat = "7 (a) b 1 (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 9 9 20 0 4 0 100 1 1";
        assert_eq!(read_cpu_time(stat), Some(Duration::from_secs(3)));
        assert_eq!(read_cpu_time("7 (a) S 1 7"), None);
        assert_eq!(read_resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12 * 1024));
        assert_eq!(read_resident_bytes("VmPeak:\t 9 kB\n"), None);
    }
}
