//! How much memory the process may have: the tightest limit of its control groups, else the machine's memory.
//!
//! Stage: edge, part of `admission`. Read once, at start. Source: Linux `Documentation/admin-guide/cgroup-v2.rst`
//! (`memory.max`), `cgroup-v1/memory.rst` (`memory.limit_in_bytes`), `filesystems/proc.rst` (`/proc/self/cgroup`, `meminfo`).

use std::{fs, path::Path};

/// Assumed where the system does not say.
const UNKNOWN: usize = 2 << 30;

/// Bytes that the process may have.
pub fn memory() -> usize {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let machine = read(Path::new("/proc/meminfo")).as_deref().and_then(total_of_meminfo);
    limit_of_groups(&groups, |path| read(Path::new(path))).into_iter().chain(machine).min().unwrap_or(UNKNOWN)
}

/// The tightest limit of the control groups in `/proc/self/cgroup` and of those above them.
fn limit_of_groups(groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let mut tightest: Option<usize> = None;
    for line in groups.lines() {
        // `hierarchy:controllers:path`; version 2 has no controllers.
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            let limit = read(&format!("{root}{path}/{file}")).as_deref().and_then(bytes);
            tightest = tightest.into_iter().chain(limit).min();
            match path.rfind('/') {
                Some(parent) => path = path.get(..parent).unwrap_or_default(),
                None => break,
            }
        }
    }
    tightest
}

/// A limit; `max` and the huge number that version 1 has for it are none.
fn bytes(text: &str) -> Option<usize> {
    let limit = text.trim().parse::<u64>().ok().filter(|limit| *limit < 1 << 60)?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

fn total_of_meminfo(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &str, files: &[(&str, &str)], expect: Option<usize>) {
        let read =
            |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        assert_eq!(limit_of_groups(groups, read), expect);
    }

    // Scenario: control groups of both versions with limits at every level, with none, and with nonsense.
    // Guarantees: the tightest limit counts; "no limit" in either spelling is none.
    #[test]
    fn the_tightest_group_counts() {
        check("0::/\n", &[("/sys/fs/cgroup/memory.max", "536870912\n")], Some(512 << 20));
        check("0::/\n", &[("/sys/fs/cgroup/memory.max", "max\n")], None);
        check(
            "0::/a/b\n",
            &[("/sys/fs/cgroup/a/b/memory.max", "max\n"), ("/sys/fs/cgroup/a/memory.max", "1000\n")],
            Some(1000),
        );
        check(
            "0::/a/b\n",
            &[("/sys/fs/cgroup/a/b/memory.max", "500\n"), ("/sys/fs/cgroup/a/memory.max", "1000\n")],
            Some(500),
        );
        check(
            "5:cpu:/x\n4:memory,hugetlb:/docker/1\n",
            &[
                ("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n"),
                ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "777\n"),
            ],
            Some(777),
        );
        check("", &[], None);
        check("nonsense\n0::\n", &[("/sys/fs/cgroup/memory.max", "many\n")], None);
    }

    // Scenario: the memory of a machine, and a file without it.
    // Guarantees: kilobytes become bytes; what cannot be read is not known.
    #[test]
    fn the_memory_of_the_machine() {
        assert_eq!(total_of_meminfo("MemTotal:       24576 kB\nMemFree: 1 kB\n"), Some(24 << 20));
        for text in ["", "MemTotal: x kB", "MemTotal: 5", "MemTotal: 99999999999999999999 kB"] {
            assert_eq!(total_of_meminfo(text), None, "{text}");
        }
        assert!(memory() > 1 << 20);
    }
}
