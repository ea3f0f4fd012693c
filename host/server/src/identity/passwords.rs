//! Password hashes: made and checked with argon2id, away from the threads that answer requests.
//!
//! Knows no users.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, PasswordHash, Version};
use tokio::sync::Semaphore;

use super::Error;

/// Memory, passes and lanes: the least that OWASP's Password Storage Cheat Sheet recommends for argon2id (19 MiB, 2, 1).
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Each takes 19 MiB and about 20 ms of a core; logins must not crowd out everything else.
const AT_ONCE: usize = 2;

/// A login that waits longer than this is told to come back.
const WAIT: Duration = Duration::from_secs(5);

/// Checked when there is no such user, so that the answer takes as long as for a wrong password. It has the
/// parameters above and is the hash of nothing anybody could type.
const NOBODYS_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGlzIGhlcmUhIQ$bm8gcGFzc3dvcmQgaGFzaGVzIHRvIHRoaXMgdGV4dCE";

/// Makes and checks password hashes, a few at a time.
pub(super) struct Passwords {
    slots: Arc<Semaphore>,
    #[cfg(test)]
    done: Arc<std::sync::atomic::AtomicUsize>,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            #[cfg(test)]
            done: Arc::default(),
        }
    }

    /// How many hashes were made or checked so far.
    #[cfg(test)]
    pub(super) fn done(&self) -> usize {
        self.done.load(std::sync::atomic::Ordering::SeqCst)
    }

    /// A new salted hash, as text that names its parameters.
    pub(super) async fn hash(&self, password: String) -> Result<String, Error> {
        self.run(move || argon2().hash_password(password.as_bytes()).map(|hash| hash.to_string()))
            .await?
            .map_err(|error| Error::Fault(format!("the password could not be hashed: {error}")))
    }

    /// Whether the password is the one that `stored` was made from; never when there is none, but not any sooner.
    pub(super) async fn check(&self, password: String, stored: Option<String>) -> Result<bool, Error> {
        let somebody = stored.is_some();
        let stored = stored.unwrap_or_else(|| NOBODYS_HASH.to_owned());
        let checked = self
            .run(move || {
                let stored = PasswordHash::new(&stored)?;
                PasswordVerifier::<PasswordHash>::verify_password(&argon2(), password.as_bytes(), &stored)
            })
            .await?;
        match checked {
            Ok(()) => Ok(somebody),
            Err(password_hash::Error::PasswordInvalid) => Ok(false),
            Err(error) => Err(Error::Fault(format!("a stored password hash cannot be checked: {error}"))),
        }
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let waited = tokio::time::timeout(WAIT, self.slots.clone().acquire_owned()).await;
        let slot = waited.map_err(|_| Error::Busy)?.expect("the semaphore is never closed");
        #[cfg(test)]
        self.done.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        // The slot goes with the work, which goes on also when the caller hangs up.
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            work()
        })
        .await
        .map_err(|error| Error::Fault(format!("a password check panicked: {error}")))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the parameters are within argon2's bounds");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_only() {
        let passwords = Passwords::new();
        let hash = passwords.hash("correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash("correct horse".into()).await.unwrap(), "each has a salt of its own");
        assert!(passwords.check("correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!passwords.check("correct house".into(), Some(hash)).await.unwrap());
        assert!(!passwords.check("correct horse".into(), None).await.unwrap());
        assert!(matches!(passwords.check("x".into(), Some("plain".into())).await, Err(Error::Fault(_))));
    }

    #[test]
    fn the_hash_for_nobody_costs_the_same() {
        let nobodys = PasswordHash::new(NOBODYS_HASH).unwrap();
        let ours = argon2().hash_password(b"x").unwrap();
        assert_eq!((nobodys.algorithm, nobodys.version, nobodys.params), (ours.algorithm, ours.version, ours.params));
        assert_eq!(nobodys.salt.unwrap().len(), ours.salt.unwrap().len());
        assert_eq!(nobodys.hash.unwrap().len(), ours.hash.unwrap().len());
    }
}
