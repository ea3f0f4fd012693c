//! Where an invocation stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an invocation stands. The last three are final, but for an explicit retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Stored; waits for its time or for a free slot.
    Pending,
    /// A host runs it.
    Running,
    /// Ended well.
    Completed,
    /// Ended badly; the failure says how.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Status; 5] = [Self::Pending, Self::Running, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word used outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing more will happen by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The number stored in Postgres. Never reassigned.
    pub fn code(self) -> i16 {
        match self {
            Self::Pending => 0,
            Self::Running => 1,
            Self::Completed => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }

    /// The status with this stored number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
            format!("{text:?} is not a status; expected pending, running, completed, failed or cancelled")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_lead_back() {
        for status in Status::ALL {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(Status::from_code(status.code()), Some(status));
            assert_eq!(serde_json::to_value(status).expect("serialises"), status.as_str());
        }
        assert_eq!(Status::from_code(5), None);
    }
}
