//! How many uploads may come in at once, and whose is read next.
//!
//! Knows nothing of modules.

use walker_model::TenantId;

use super::line::{Full, Line, Place};

/// Children that read uploads at once: each takes up to a core and some hundred megabytes.
const CHILDREN: usize = 2;
/// Uploads of one tenant that come in or wait. Each may hold a file as large as the largest module.
const PLACES_PER_TENANT: usize = 8;
/// The same of all tenants: what they hold of the disk together.
const PLACES: usize = 64;

/// The line before the jail. Cheap to clone.
#[derive(Clone)]
pub(super) struct Admissions(Line);

/// No place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// The tenant holds all that one tenant may.
    #[error("{PLACES_PER_TENANT} modules of this tenant are being uploaded or checked already; try again shortly")]
    Tenant,
    /// All tenants together hold all there are.
    #[error("too many modules are being uploaded or checked; try again shortly")]
    Host,
}

impl Admissions {
    /// An empty line.
    pub(super) fn new() -> Self {
        Self(Line::new(CHILDREN))
    }

    /// Takes a place, to be held from before the first byte.
    ///
    /// # Errors
    /// When there is none for this tenant now.
    pub(super) fn enter(&self, tenant: TenantId) -> Result<Place, Crowded> {
        self.0.enter_within(tenant, PLACES_PER_TENANT, PLACES).map_err(|full| match full {
            Full::Tenant => Crowded::Tenant,
            Full::All => Crowded::Host,
        })
    }
}
