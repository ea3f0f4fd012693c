//! The right to write what a run makes: one attempt of one walker on one host.

use uuid::Uuid;

use super::HostId;

/// The right to write what a run makes. Every such statement is fenced by all three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The walker.
    pub id: Uuid,
    /// The host that runs it.
    pub owner: HostId,
    /// 1 for the first attempt.
    pub attempt: i16,
}

impl Lease {
    /// The same once its walker is to be stopped: the right to end it as cancelled, and in no other way.
    pub(crate) fn to_stop(self) -> Self {
        Self { owner: HostId(-self.owner.0), ..self }
    }
}

/// The columns of many leases, as statements take them.
pub(super) struct Leases {
    pub(super) ids: Vec<Uuid>,
    pub(super) owners: Vec<i32>,
    pub(super) attempts: Vec<i16>,
}

impl FromIterator<Lease> for Leases {
    fn from_iter<I: IntoIterator<Item = Lease>>(leases: I) -> Self {
        let mut columns = Self { ids: Vec::new(), owners: Vec::new(), attempts: Vec::new() };
        for lease in leases {
            columns.ids.push(lease.id);
            columns.owners.push(lease.owner.0);
            columns.attempts.push(lease.attempt);
        }
        columns
    }
}
