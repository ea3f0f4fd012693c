//! What reading and compiling a module took, as the child tells it of itself: for its author, and no limit.
//!
//! Limits are the kernel's and the host's to keep; who takes the child over may tell what it likes.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};

use rustix::time::ClockId;
use walker_model::UploadCost;

/// Opened before the walls stand, behind which there are no files to open.
pub(super) struct Meter(File);

impl Meter {
    /// One for this process.
    ///
    /// # Errors
    /// When the kernel tells nothing of it.
    pub(super) fn open() -> io::Result<Self> {
        File::open("/proc/self/status").map(Self)
    }

    /// What it took so far, beside what was counted of the module.
    pub(super) fn read(mut self, counted: UploadCost) -> UploadCost {
        let mut status = String::new();
        let read = self.0.rewind().and_then(|()| self.0.read_to_string(&mut status));
        let time = rustix::time::clock_gettime(ClockId::ProcessCPUTime);
        let ms = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
        UploadCost {
            compile_memory_bytes: read.map_or(0, |_| most_held(&status)),
            compile_ms: u64::try_from(ms).unwrap_or_default(),
            ..counted
        }
    }
}

/// The most memory that was held at once and is no file's, as near as `/proc/self/status` tells it.
fn most_held(status: &str) -> u64 {
    let kilobytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let (most, files) = (kilobytes("VmHWM:").unwrap_or(0), kilobytes("RssFile:").unwrap_or(0));
    most.saturating_sub(files).saturating_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_held() {
        assert_eq!(
            most_held("VmPeak:\t 9000 kB\nVmHWM:\t    1500 kB\nRssAnon:\t  200 kB\nRssFile:\t  500 kB\n"),
            1000 << 10
        );
        assert_eq!((most_held(""), most_held("VmHWM:\tmuch kB\n")), (0, 0));
    }

    #[test]
    fn tells_of_this_process() {
        let cost =
            Meter::open().expect("there is /proc").read(UploadCost { module_functions: 7, ..UploadCost::DEFAULT });
        assert_eq!(cost.module_functions, 7);
        assert!((1 << 16..1 << 32).contains(&cost.compile_memory_bytes), "{cost:?}");
    }
}
