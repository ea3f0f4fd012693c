//! What is said of usage.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::store::DayUsage;

/// What a tenant used.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UsageReport {
    /// The days on which anything was used, in order.
    days: Vec<DayView>,
    total: Used,
    /// The bytes that it has stored now: inputs, results, output and the code of its modules.
    stored_bytes: u64,
}

impl UsageReport {
    pub(in crate::http) fn new(days: Vec<DayView>, stored_bytes: u64) -> Self {
        let sum = |of: fn(&Used) -> i64| days.iter().map(|day| of(&day.used)).fold(0, i64::saturating_add);
        let total =
            Used { walkers: sum(|used| used.walkers), fuel: sum(|used| used.fuel), bytes: sum(|used| used.bytes) };
        Self { total, days, stored_bytes }
    }
}

/// What a tenant used in a day.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DayView {
    /// UTC.
    day: NaiveDate,
    #[serde(flatten)]
    used: Used,
}

/// What was used.
#[derive(Serialize, ToSchema)]
struct Used {
    /// How many walkers ended, however they did; one that is retried by hand ends again.
    walkers: i64,
    /// The fuel of all their attempts. Of one whose host died nobody knows it.
    fuel: i64,
    /// The bytes of fields and reports that were stored at their ends, and of their output.
    bytes: i64,
}

impl From<DayUsage> for DayView {
    fn from(day: DayUsage) -> Self {
        let DayUsage { day, walkers, fuel, bytes } = day;
        Self { day, used: Used { walkers, fuel, bytes } }
    }
}
