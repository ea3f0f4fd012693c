//! Looks how much memory a child really holds: the kernel's limits forget what is written and then made read-only.
//!
//! Knows nothing of what a child is for. What the kernel counts is refused there; this is a net under it.

use std::fs;
use std::time::Duration;

/// Long beside what a child costs, and short beside the time in which anybody fills a machine's memory.
const EVERY: Duration = Duration::from_millis(100);

/// Returns once the process holds more than so many bytes in memory that are no file's; never, where nobody can tell.
pub(super) async fn holds_more(process: Option<u32>, bytes: u64) {
    let Some(process) = process else { return std::future::pending().await };
    let mut looks = tokio::time::interval(EVERY);
    loop {
        looks.tick().await;
        // The kernel makes the text up as it is read: no disk is waited for.
        let status = fs::read_to_string(format!("/proc/{process}/status"));
        if status.is_ok_and(|status| held(&status) > bytes) {
            return;
        }
    }
}

/// What `/proc/…/status` says of memory that is no file's: anonymous and shared.
fn held(status: &str) -> u64 {
    let kilobytes = status.lines().filter_map(|line| {
        let value = line.strip_prefix("RssAnon:").or_else(|| line.strip_prefix("RssShmem:"))?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    kilobytes.map(|kilobytes| kilobytes.saturating_mul(1 << 10)).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_held() {
        let status = "Name:\twalker\nVmRSS:\t   99999 kB\nRssAnon:\t    1000 kB\nRssFile:\t    5000 kB\nRssShmem:\t      24 kB\n";
        assert_eq!(held(status), 1 << 20);
        assert_eq!((held(""), held("RssAnon:\tmuch kB\n")), (0, 0));
    }

    #[tokio::test]
    async fn tells_of_a_process_that_holds_more() {
        // This one.
        holds_more(Some(std::process::id()), 1).await;
        let nobody = futures::FutureExt::now_or_never(holds_more(None, 0));
        assert_eq!(nobody, None);
    }
}
