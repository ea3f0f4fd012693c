//! Users: registering, logging in and out, changing the password.
//!
//! Knows nothing of what a user may see; that follows from the root.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use walker_model::TenantId;

use super::attempts::Attempt;
use super::tokens::{self, Kind};
use super::{Error, Identity, Mistake, Session};
use crate::store::User;

/// The longest address that mail can be sent to (RFC 5321, with erratum 1690 of RFC 3696).
const MAX_EMAIL: usize = 254;

/// The least that NIST SP 800-63B allows for a password.
const MIN_PASSWORD: usize = 8;

/// Far beyond any passphrase; keeps hashing cheap to ask for.
const MAX_PASSWORD: usize = 1024;

/// A user who just logged in.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedIn {
    /// The session's token, shown this once.
    pub token: String,
    /// Who it is.
    pub user: User,
    /// When the session ends.
    pub expires: DateTime<Utc>,
}

impl Identity {
    /// Makes a user of a tenant, with a root of its own.
    ///
    /// # Errors
    /// `TooManyAttempts`, `Invalid`, `UserExists`, `Busy`, or when the database cannot answer.
    pub async fn register(&self, from: IpAddr, tenant: TenantId, email: &str, password: String) -> Result<User, Error> {
        let email = normal_email(email);
        self.attempts.take(Attempt { from, tenant, email: &email }).map_err(Error::TooManyAttempts)?;
        let mistakes: Vec<Mistake> =
            [email_mistake(&email), password_mistake("/password", &password)].into_iter().flatten().collect();
        if !mistakes.is_empty() {
            return Err(Error::Invalid(mistakes));
        }
        let hash = self.passwords.hash(password).await?;
        self.store.add_user(tenant, &email, &hash).await?.ok_or(Error::UserExists(email))
    }

    /// Starts a session.
    ///
    /// # Errors
    /// `TooManyAttempts`, `WrongPassword` (also when there is no such user), `Busy`, or when the database cannot answer.
    pub async fn login(
        &self,
        from: IpAddr,
        tenant: TenantId,
        email: &str,
        password: String,
    ) -> Result<LoggedIn, Error> {
        let email = normal_email(email);
        let attempt = Attempt { from, tenant, email: &email };
        self.attempts.take(attempt).map_err(Error::TooManyAttempts)?;
        // What could not have been registered is not asked for, but takes as long.
        let known = if email_mistake(&email).is_none() { self.store.user(tenant, &email).await? } else { None };
        let (user, hash) = known.unzip();
        let hash = hash.filter(|_| password.len() <= MAX_PASSWORD);
        let password = if password.len() <= MAX_PASSWORD { password } else { String::new() };
        let right = self.passwords.check(password, hash).await?;
        let user = user.filter(|_| right).ok_or(Error::WrongPassword)?;
        self.attempts.succeeded(attempt);
        let token = tokens::new_token(Kind::Session)?;
        let lifetime = self.session_lifetime.as_secs_f64();
        // `None`: somebody removed the user at this very moment.
        let expires = self.store.add_session(tenant, user.id, &tokens::hash(&token), lifetime).await?;
        let expires = expires.ok_or(Error::WrongPassword)?;
        Ok(LoggedIn { token, user, expires })
    }

    /// Ends a session: refused here at once, everywhere within 5 s.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn logout(&self, session: &Session) -> Result<(), Error> {
        if let Some(hash) = self.store.remove_session(session.tenant, session.id).await? {
            self.forget(&hash).await;
        }
        Ok(())
    }

    /// Replaces a user's password, and ends all of the user's other sessions.
    ///
    /// # Errors
    /// `TooManyAttempts`, `WrongPassword`, `Invalid`, `Busy`, or when the database cannot answer.
    pub async fn change_password(
        &self,
        from: IpAddr,
        session: &Session,
        old: String,
        new: String,
    ) -> Result<(), Error> {
        if let Some(mistake) = password_mistake("/new_password", &new) {
            return Err(Error::Invalid(vec![mistake]));
        }
        // Whoever found a session must not guess the password with it.
        let attempt = Attempt { from, tenant: session.tenant, email: &session.email };
        self.attempts.take(attempt).map_err(Error::TooManyAttempts)?;
        let stored = self.store.user(session.tenant, &session.email).await?.map(|(_, hash)| hash);
        let Some(stored) = stored.filter(|_| old.len() <= MAX_PASSWORD) else { return Err(Error::WrongPassword) };
        if !self.passwords.check(old, Some(stored.clone())).await? {
            return Err(Error::WrongPassword);
        }
        let hash = self.passwords.hash(new).await?;
        // `None`: it was changed by somebody else meanwhile, so the old one is old no more.
        let ended = self.store.change_password(session.tenant, session.user_id, &stored, &hash, session.id).await?;
        for hash in ended.ok_or(Error::WrongPassword)? {
            self.forget(&hash).await;
        }
        Ok(())
    }
}

/// Mail systems may tell cases apart, people do not.
pub(super) fn normal_email(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Only what certainly is none is refused; whether mail arrives, only sending some could tell.
fn email_mistake(email: &str) -> Option<Mistake> {
    let detail = if email.len() > MAX_EMAIL {
        format!("expected at most {MAX_EMAIL} bytes")
    } else {
        let (name, domain) = email.rsplit_once('@').unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if !name.is_empty() && !name.contains('@') && !domain.is_empty() && !email.contains(odd) {
            return None;
        }
        "expected an e-mail address, such as ada@example.org".to_owned()
    };
    Some(Mistake { pointer: "/email", detail })
}

fn password_mistake(pointer: &'static str, password: &str) -> Option<Mistake> {
    let fits = (MIN_PASSWORD..=MAX_PASSWORD).contains(&password.len());
    (!fits).then(|| Mistake { pointer, detail: format!("expected {MIN_PASSWORD} to {MAX_PASSWORD} bytes") })
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::time::Duration;

    use super::*;
    use crate::config::Logins;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    use crate::identity::Caller;
    use crate::test_postgres;

    #[test]
    fn takes_what_may_be_an_address() {
        let check = |email: &str, fits: bool| assert_eq!(email_mistake(email).is_none(), fits, "{email:?}");
        for good in ["a@b", "ada@example.org", "ada+x@example.org", "ädä@exämple.org"] {
            check(good, true);
        }
        for bad in ["", "ada", "@example.org", "ada@", "a b@c", "a@b@c", "a\0@b", "a@b\n"] {
            check(bad, false);
        }
        check(&format!("{}@b", "a".repeat(252)), true);
        check(&format!("{}@b", "a".repeat(253)), false);
    }

    async fn session(identity: &Identity, token: &str) -> Option<Session> {
        match identity.caller(token).await.unwrap() {
            Some(Caller::Session(session)) => Some(session),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_user_registers_once_logs_in_and_out() {
        let identity = Identity::by_default(test_postgres::store().await);
        let acme = identity.create_tenant("acme").await.unwrap().id;
        let zeta = identity.create_tenant("zeta").await.unwrap().id;
        let user = identity.register(HERE, acme, " Ada@Example.org ", "correct horse".into()).await.unwrap();
        assert_eq!(user.email, "ada@example.org");
        let again = identity.register(HERE, acme, "ADA@example.org", "other horse".into()).await;
        assert!(matches!(again, Err(Error::UserExists(email)) if email == "ada@example.org"));
        let elsewhere = identity.register(HERE, zeta, "ada@example.org", "correct horse".into()).await.unwrap();
        assert_ne!(elsewhere.root, user.root);

        let in_ = identity.login(HERE, acme, "ada@EXAMPLE.org", "correct horse".into()).await.unwrap();
        assert_eq!(in_.user, user);
        let days = (in_.expires - Utc::now()).num_days();
        assert!((29..=30).contains(&days), "{days}");
        let known = session(&identity, &in_.token).await.unwrap();
        assert_eq!((known.root, known.user_id, known.tenant), (user.root, user.id, acme));
        identity.logout(&known).await.unwrap();
        assert_eq!(session(&identity, &in_.token).await, None);
    }

    #[tokio::test]
    async fn a_wrong_login_does_not_tell_what_was_wrong() {
        let identity = Identity::by_default(test_postgres::store().await);
        let acme = identity.create_tenant("acme").await.unwrap().id;
        identity.register(HERE, acme, "ada@example.org", "correct horse".into()).await.unwrap();
        for (count, (email, password)) in [
            ("ada@example.org", "correct house".to_owned()),
            ("bob@example.org", "correct horse".to_owned()),
            ("no address\0", "correct horse".to_owned()),
            ("ada@example.org", "x".repeat(5000)),
        ]
        .into_iter()
        .enumerate()
        {
            // One hash for the registration, and one for each login, whatever is wrong with it.
            assert_eq!(identity.passwords.done(), 1 + count, "{email}");
            let refused = identity.login(HERE, acme, email, password).await;
            assert!(matches!(refused, Err(Error::WrongPassword)), "{email}");
        }
        assert_eq!(identity.passwords.done(), 5);
    }

    #[tokio::test]
    async fn a_new_password_ends_all_other_sessions() {
        let logins = Logins { per_account: NonZero::new(100).unwrap(), ..Logins::default() };
        let lifetime = Duration::from_secs(60);
        let identity = Identity::new(test_postgres::store().await, logins, lifetime);
        let acme = identity.create_tenant("acme").await.unwrap().id;
        identity.register(HERE, acme, "ada@example.org", "correct horse".into()).await.unwrap();
        let here = identity.login(HERE, acme, "ada@example.org", "correct horse".into()).await.unwrap().token;
        let there = identity.login(HERE, acme, "ada@example.org", "correct horse".into()).await.unwrap().token;
        let (mine, other) = (session(&identity, &here).await.unwrap(), session(&identity, &there).await);
        assert!(other.is_some());
        let wrong = identity.change_password(HERE, &mine, "wrong horse".into(), "battery staple".into()).await;
        assert!(matches!(wrong, Err(Error::WrongPassword)));
        let short = identity.change_password(HERE, &mine, "correct horse".into(), "short".into()).await;
        assert!(matches!(short, Err(Error::Invalid(mistakes)) if mistakes[0].pointer == "/new_password"));
        identity.change_password(HERE, &mine, "correct horse".into(), "battery staple".into()).await.unwrap();
        assert!(session(&identity, &here).await.is_some());
        assert_eq!(session(&identity, &there).await, None);
        assert!(identity.login(HERE, acme, "ada@example.org", "correct horse".into()).await.is_err());
        assert!(identity.login(HERE, acme, "ada@example.org", "battery staple".into()).await.is_ok());
    }

    #[tokio::test]
    async fn a_registration_names_every_mistake() {
        let identity = Identity::by_default(test_postgres::store().await);
        let acme = identity.create_tenant("acme").await.unwrap().id;
        let Err(Error::Invalid(mistakes)) = identity.register(HERE, acme, "ada", "short".into()).await else {
            panic!("is refused")
        };
        let pointers: Vec<_> = mistakes.iter().map(|mistake| mistake.pointer).collect();
        assert_eq!(pointers, ["/email", "/password"]);
    }
}
