//! The kinds of problems: one table of stable codes, HTTP statuses and titles.
//!
//! A walker's own failures are not among them; theirs is `walker_model::Code`.

macro_rules! kinds {
    ($( $name:ident = $code:literal, $status:literal, $title:literal; )*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $( $name, )* }

        impl Kind {
            /// Every kind.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$( Self::$name, )*];

            /// Stable; what programs look at.
            pub(crate) fn code(self) -> &'static str {
                match self { $( Self::$name => $code, )* }
            }

            /// The HTTP status.
            pub(crate) fn status(self) -> u16 {
                match self { $( Self::$name => $status, )* }
            }

            /// For people; the same each time.
            pub(crate) fn title(self) -> &'static str {
                match self { $( Self::$name => $title, )* }
            }
        }
    };
}

kinds! {
    QueryInvalid = "query.invalid", 400, "The query cannot be used";
    HeaderInvalid = "header.invalid", 400, "A header cannot be used";
    RequestMalformed = "request.malformed", 400, "The request cannot be read";
    BodyMalformed = "body.malformed", 400, "The body cannot be read";

    TokenMissing = "token.missing", 401, "A token is needed";
    TokenInvalid = "token.invalid", 401, "The token is not valid";
    LoginFailed = "login.failed", 401, "The login failed";

    ScopeMissing = "scope.missing", 403, "The token may not do this";
    QuotaStored = "quota.stored_bytes", 403, "The tenant has too much stored";
    RoleMissing = "role.missing", 403, "The user may not do this";
    TenantSuspended = "tenant.suspended", 403, "The tenant is suspended";
    TokenUnfit = "token.wrong_kind", 403, "This needs another kind of token";

    RouteNotFound = "route.not_found", 404, "There is nothing here";
    WalkerNotFound = "walker.not_found", 404, "There is no such walker";
    NodeNotFound = "node.not_found", 404, "There is no such node";
    ModuleNotFound = "module.not_found", 404, "There is no such module";
    VersionNotFound = "module.version_not_found", 404, "The module has no such version";
    TenantNotFound = "tenant.not_found", 404, "There is no such tenant";
    UserNotFound = "user.not_found", 404, "There is no such user";
    GrantNotFound = "grant.not_found", 404, "There is no such grant";
    KeyNotFound = "key.not_found", 404, "There is no such key";

    MethodNotAllowed = "method.not_allowed", 405, "This method does nothing here";
    BodyTooSlow = "body.too_slow", 408, "The body did not come";

    WalkerNameTaken = "walker.name_taken", 409, "Another module has a walker of this name";
    UserExists = "user.exists", 409, "There already is such a user";
    WalkerHasEnded = "walker.has_ended", 409, "The walker has ended already";
    WalkerIsLive = "walker.is_live", 409, "The walker has not ended";
    WalkerIsCompleted = "walker.is_completed", 409, "The walker ended well";
    WalkerTriedOut = "walker.tried_out", 409, "The walker was tried too often";
    KeyInProgress = "idempotency.in_progress", 409, "The first request with this key is still running";
    TenantIsDefault = "tenant.is_default", 409, "The default tenant stays";
    TenantDeleting = "tenant.deleting", 409, "The tenant is being deleted";
    TenantExists = "tenant.exists", 409, "There already is such a tenant";
    TenantSingle = "tenant.single", 409, "The host serves one tenant only";

    BodyTooLarge = "body.too_large", 413, "The body is too large";

    UriTooLong = "uri.too_long", 414, "The request's address is too long";

    BodyEncoded = "body.encoded", 415, "The body is encoded";

    FieldsInvalid = "fields.invalid", 422, "The fields cannot be used";
    NodeNotEnterable = "node.not_enterable", 422, "The walker cannot enter this node";
    ExecuteDateInvalid = "execute_date.invalid", 422, "The walker cannot run at this time";
    WalkerNotDeferrable = "walker.not_deferrable", 422, "The walker runs at once or not at all";
    WalkerNotSync = "walker.not_sync", 422, "The walker runs in the background";
    WalkerNotAsync = "walker.not_async", 422, "The walker answers at once";
    CallsTooDeep = "limit.calls", 422, "Walkers call each other too deeply";
    SpawnedTooDeep = "limit.spawn_depth", 422, "Walkers spawn each other too deeply";
    CustomTooLarge = "custom.too_large", 422, "The custom value is too large";
    KeyInvalid = "idempotency.key_invalid", 422, "The Idempotency-Key cannot be used";
    KeyReused = "idempotency.key_reused", 422, "The Idempotency-Key was used for another request";
    ModuleRejected = "module.rejected", 422, "The module cannot be run";
    ModuleNameInvalid = "module.name_invalid", 422, "The module cannot be called that";

    QuotaGrants = "quota.grants", 429, "There are too many grants";
    QuotaWalkers = "quota.walkers", 429, "The tenant has too many live walkers";
    TooManyRequests = "rate.requests", 429, "The tenant asks too often";
    TooManyAttempts = "rate.login", 429, "Passwords are tried too often";
    TooManyUploads = "limit.uploads", 429, "Too many modules come in at once";

    HeadersTooLarge = "headers.too_large", 431, "The headers are too large";

    Fault = "host.fault", 500, "The host failed";
    Busy = "host.busy", 503, "The host is busy";
    NotReady = "host.not_ready", 503, "The host cannot take traffic";
    DatabaseUnavailable = "database.unavailable", 503, "The database cannot be reached";
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_statuses_are_those_of_errors() {
        let codes: HashSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        assert_eq!(codes.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert!((400..=599).contains(&kind.status()), "{kind:?}");
            assert!(!kind.title().ends_with('.'), "{kind:?}");
        }
    }
}
