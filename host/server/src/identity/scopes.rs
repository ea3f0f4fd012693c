//! What a key may do.
//!
//! Does not know which call needs which scope.

use std::fmt;
use std::str::FromStr;

/// One thing a key may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Publish and remove modules.
    Deploy,
    /// Read all of the tenant's walkers.
    Read,
    /// Invoke walkers on the tenant's root, and read those back.
    Invoke,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 3] = [Self::Deploy, Self::Read, Self::Invoke];

    /// The word used outside.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Read => "read",
            Self::Invoke => "invoke",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a scope; expected deploy, read or invoke"))
    }
}

/// What one key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Everything.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether this one is among them.
    pub fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Their words, always in the same order.
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.into_iter().filter(|scope| self.has(*scope)).map(Scope::as_str).collect()
    }

    /// Those that are stored; one that only a newer host knows allows nothing here.
    pub(super) fn stored(names: &[String]) -> Self {
        names.iter().filter_map(|name| name.parse::<Scope>().ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_lead_back_and_unknown_ones_allow_nothing() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        let some = Scopes::stored(&["invoke".into(), "fly".into(), "deploy".into()]);
        assert_eq!(some.names(), ["deploy", "invoke"]);
        assert!(!some.has(Scope::Read) && !some.is_empty());
        assert!(Scopes::stored(&["fly".into()]).is_empty());
        assert_eq!(Scopes::all().names(), ["deploy", "read", "invoke"]);
    }
}
