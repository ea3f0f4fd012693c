//! What processes use, as the kernel counts it.
//!
//! Knows nothing of what they do.

use std::fs;

use anyhow::Context;

/// The processor time that a process has used, in seconds; its threads included, its children not.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    Ok(stat(pid).with_context(|| format!("cannot read what process {pid} used"))?.cpu)
}

/// The processor time that this thread has used, in seconds: what it waited for a processor does not count.
pub(crate) fn thread_cpu() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("cannot read what this thread used")?;
    let ns: f64 = text.split_whitespace().next().and_then(|ns| ns.parse().ok()).context("schedstat is empty")?;
    Ok(ns / 1e9)
}

/// The same of a process and its living children together.
pub(crate) fn family_cpu(pid: u32) -> anyhow::Result<f64> {
    let others = fs::read_dir("/proc").context("cannot list the processes")?.flatten();
    let others = others.filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?));
    Ok(cpu(pid)? + others.filter(|other| other.parent == pid).map(|child| child.cpu).sum::<f64>())
}

/// The processor time that everything on this machine has used, in seconds.
pub(crate) fn machine_cpu() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read what the machine used")?;
    let ticks: Vec<f64> =
        text.lines().next().unwrap_or_default().split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq; the guests' time is part of the user's.
    Ok([0, 1, 2, 5, 6].iter().filter_map(|at| ticks.get(*at)).sum::<f64>() / ticks_per_second())
}

/// The memory that a process holds, in megabytes.
pub(crate) fn resident_mb(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("there is no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().context("VmRSS is no number")?;
    Ok(kib * 1024.0 / 1e6)
}

/// How many wanted to run lately.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_owned()
}

struct Stat {
    parent: u32,
    cpu: f64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything: state, parent, …; user and system time are the 12th and 13th.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu: ticks / ticks_per_second() })
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
