//! What the machine has, as far as defaults depend on it.

use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Where nobody can tell: little, so that nothing breaks.
const UNKNOWN_BYTES: u64 = 1 << 30;

/// The memory that this process can have at most, in bytes: the machine's, or its control group's where that is less.
pub(super) fn memory_bytes() -> u64 {
    let only_memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(only_memory);
    let of_group = system.cgroup_limits().map(|limits| limits.total_memory);
    of_group.into_iter().chain([system.total_memory()]).filter(|bytes| *bytes > 0).min().unwrap_or(UNKNOWN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_about_what_the_system_says() {
        let text = std::fs::read_to_string("/proc/meminfo").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap();
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        let bytes = memory_bytes();
        assert!(bytes >= 64 << 20 && bytes <= kib << 10, "{bytes} of {kib} KiB");
    }
}
