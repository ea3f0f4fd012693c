//! Tokens: how they are made and hashed, and whom one stands for, kept in memory for a moment.
//!
//! Never stores or logs a token itself.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use moka::future::Cache;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use super::{Caller, Error, Identity};
use crate::store::{self, Bearer};

/// How long what is known of a token is believed. A token revoked on another host must be refused here within 5 s;
/// the second between is for the look-up that was under way when it was revoked.
const BELIEVED_FOR: Duration = Duration::from_secs(4);

/// Tokens in use at a time, at about 400 bytes each; more only cost a look-up.
const MOST_KNOWN: u64 = 50_000;

/// Wrong tokens remembered, so that one client that repeats a wrong one does not cost a look-up each time.
const MOST_UNKNOWN: u64 = 10_000;

/// What kind of token, told by its first letters so that people and secret scanners recognise it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Operator,
    Key,
    Session,
}

/// A new token: shown once, then only known by its hash.
pub(super) fn new_token(kind: Kind) -> Result<String, Error> {
    let prefix = match kind {
        Kind::Operator => "wo_",
        Kind::Key => "wk_",
        Kind::Session => "ws_",
    };
    let mut secret = [0; 32];
    SysRng
        .try_fill_bytes(&mut secret)
        .map_err(|error| Error::Fault(format!("the operating system gave no random bytes: {error}")))?;
    Ok(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(secret)))
}

/// What is stored of a token. Tokens hold 256 random bits, so that a plain hash cannot be searched.
pub(super) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// What is known of the tokens seen lately.
pub(super) struct Known {
    callers: Cache<[u8; 32], Caller>,
    /// Apart, so that a flood of wrong tokens cannot push the right ones out.
    nobody: Cache<[u8; 32], ()>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            callers: Cache::builder().max_capacity(MOST_KNOWN).time_to_live(BELIEVED_FOR).build(),
            nobody: Cache::builder().max_capacity(MOST_UNKNOWN).time_to_live(BELIEVED_FOR).build(),
        }
    }
}

/// Why a look-up brought no caller. Neither is kept.
enum NotFound {
    Nobody,
    Store(Arc<store::Error>),
}

impl Identity {
    /// Whom a token stands for; `None` when it is unknown, revoked or expired.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn caller(&self, token: &str) -> Result<Option<Caller>, Error> {
        let hash = hash(token);
        if self.tokens.nobody.contains_key(&hash) {
            return Ok(None);
        }
        let found = match self.tokens.callers.get(&hash).await {
            Some(caller) => Ok(caller),
            // Rarely on the way: kept out of the future of every request.
            None => Box::pin(self.look_up(hash)).await,
        };
        match found {
            Ok(caller) => Ok(Some(caller).filter(|caller| caller.expires().is_none_or(|end| end > Utc::now()))),
            Err(reason) => match &*reason {
                NotFound::Nobody => {
                    self.tokens.nobody.insert(hash, ()).await;
                    Ok(None)
                }
                NotFound::Store(error) => Err(Error::Store(error.clone())),
            },
        }
    }

    /// Asks the database; callers with one token wait for one look-up.
    async fn look_up(&self, hash: [u8; 32]) -> Result<Caller, Arc<NotFound>> {
        let look_up = async {
            match self.store.token(&hash).await {
                Ok(Some(token)) => {
                    if matches!(token.bearer, Bearer::Key { .. }) {
                        self.uses.saw(token.id);
                    }
                    Ok(Caller::from(token))
                }
                Ok(None) => Err(NotFound::Nobody),
                Err(error) => Err(NotFound::Store(Arc::new(error))),
            }
        };
        self.tokens.callers.try_get_with(hash, look_up).await
    }

    /// Forgets all tokens: many were removed at once.
    pub(super) fn forget_all(&self) {
        self.tokens.callers.invalidate_all();
    }

    /// Forgets a token that was just removed, so that this host refuses it at once.
    pub(super) async fn forget(&self, hash: &[u8]) {
        if let Ok(hash) = <[u8; 32]>::try_from(hash) {
            self.tokens.callers.invalidate(&hash).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_distinct_and_tell_their_kind() {
        for (kind, prefix) in [(Kind::Operator, "wo_"), (Kind::Key, "wk_"), (Kind::Session, "ws_")] {
            let (one, other) = (new_token(kind).unwrap(), new_token(kind).unwrap());
            assert!(one.starts_with(prefix) && one.len() == 46, "{one}");
            assert_ne!(one, other);
            assert_ne!(hash(&one), hash(&other));
        }
    }
}
