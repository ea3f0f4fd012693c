//! The order among a tenant's own waiting walkers.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The order among a tenant's own waiting walkers; lower ones wait for as long as there are higher ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After everything else.
    Low,
    /// Unless asked otherwise.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl Priority {
    /// Every priority, the lowest first.
    pub const ALL: [Self; 3] = [Self::Low, Self::Normal, Self::High];

    /// How Postgres stores it: higher comes first.
    pub fn code(self) -> i16 {
        match self {
            Self::Low => -1,
            Self::Normal => 0,
            Self::High => 1,
        }
    }

    /// What is stored under a code.
    pub fn from_code(code: i16) -> Self {
        match code {
            ..0 => Self::Low,
            0 => Self::Normal,
            1.. => Self::High,
        }
    }

    /// The text used outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|priority| priority.as_str() == text);
        found.ok_or_else(|| "expected low, normal or high".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_codes_lead_back_and_keep_the_order() {
        for priority in Priority::ALL {
            assert_eq!(priority.as_str().parse(), Ok(priority));
            assert_eq!(Priority::from_code(priority.code()), priority);
        }
        assert!(Priority::ALL.is_sorted() && Priority::ALL.map(Priority::code).is_sorted());
        assert_eq!("High".parse::<Priority>(), Err("expected low, normal or high".to_owned()));
    }
}
