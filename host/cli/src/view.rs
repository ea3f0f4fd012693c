//! One invocation, as the host shows it and as a person reads it.
//!
//! Knows nothing of where it came from. JSON inside is kept as it was written.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;
use walker_model::Status;

/// The answer to a question about one invocation.
#[derive(Debug, Deserialize)]
pub(crate) struct One {
    pub(crate) walker: View,
}

#[derive(Debug, Deserialize)]
pub(crate) struct View {
    pub(crate) id: String,
    pub(crate) context: Box<RawValue>,
    pub(crate) schedule: Schedule,
    #[serde(default)]
    pub(crate) run: Option<Run>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Schedule {
    pub(crate) status: Status,
    pub(crate) execute_date: Option<String>,
    pub(crate) executed_date: Option<String>,
    #[serde(default)]
    pub(crate) http_status: Option<u16>,
    #[serde(default)]
    pub(crate) reports: Vec<Box<RawValue>>,
    #[serde(default)]
    pub(crate) custom: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Run {
    pub(crate) attempt: Option<u32>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) duration_ms: Option<f64>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Attempt {
    pub(crate) attempt: u32,
    pub(crate) code: String,
    pub(crate) error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) backtrace: Vec<String>,
}

impl View {
    /// Whether it ended, and not well.
    pub(crate) fn ended_badly(&self) -> bool {
        matches!(self.schedule.status, Status::Failed | Status::Cancelled)
    }

    /// Some lines, without the last line end.
    pub(crate) fn text(&self) -> String {
        let mut lines = Lines::default();
        let Self { id, context, schedule, run } = self;
        lines.add("id", id);
        lines.add("status", schedule.status);
        lines.add("context", context);
        for report in &schedule.reports {
            lines.add("report", report);
        }
        if let Some(custom) = &schedule.custom {
            lines.add("custom", custom);
        }
        if let Some(http_status) = schedule.http_status.filter(|status| *status != 200) {
            lines.add("http_status", http_status);
        }
        if let Some(date) = schedule.executed_date.as_ref().or(schedule.execute_date.as_ref()) {
            lines.add("executed", date);
        }
        if let Some(run) = run {
            for Attempt { attempt, code, error } in &run.attempts {
                let error = error.as_deref().unwrap_or_default();
                lines.add("earlier", format_args!("{attempt}: {code} {error}").to_string().trim_end());
            }
            if let Some(attempt) = run.attempt.filter(|attempt| *attempt > 1) {
                lines.add("attempt", attempt);
            }
            if let Some(duration_ms) = run.duration_ms {
                lines.add("duration", format_args!("{duration_ms:.3} ms"));
            }
        }
        if let Some(error) = &schedule.error {
            lines.add("error", error);
        }
        if let Some(failure) = run.as_ref().and_then(|run| run.failure.as_ref()) {
            lines.add("code", &failure.code);
            for frame in &failure.backtrace {
                lines.add("at", frame);
            }
        }
        lines.0
    }
}

#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        let end = if self.0.is_empty() { "" } else { "\n" };
        write!(self.0, "{end}{name:<11} {value}").expect("writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_matters() {
        let text = r#"{"status": 200, "walker": {"id": "w:a:1", "context": {"value": 1.0},
            "schedule": {"status": "failed", "node_id": "n::", "root_id": "n::", "execute_date": "2026", "executed_date": null,
                "http_status": 500, "reports": [1, {"a": 2}], "custom": null, "error": "no luck"},
            "run": {"attempt": 2, "attempts": [{"attempt": 1, "started": null, "ended": "2026", "code": "host.lost", "error": "it died"}], "finished_date": null, "duration_ms": 0.5,
                "failure": {"code": "guest.trap", "message": "no luck", "backtrace": ["f at a.rs:1"], "retryable": false}}}}"#;
        let one: One = serde_json::from_str(text).unwrap();
        assert!(one.walker.ended_badly());
        let expect = "id          w:a:1\nstatus      failed\ncontext     {\"value\": 1.0}\nreport      1\nreport      {\"a\": 2}\n\
                      http_status 500\nexecuted    2026\nearlier     1: host.lost it died\nattempt     2\nduration    0.500 ms\nerror       no luck\n\
                      code        guest.trap\nat          f at a.rs:1";
        assert_eq!(one.walker.text(), expect);
    }
}
