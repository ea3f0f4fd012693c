//! The two roles: the one that the host logs in as, which owns the tables and sees everything, and `walker_tenant`, which
//! row-level security binds.
//!
//! Knows no statements; `scoped` takes the role on.

use super::{Error, Session};

/// The role that speaks for tenants. It cannot log in: hosts take it on. One for all databases of a server; it has rights
/// only where hosts give it some.
pub(super) const TENANT_ROLE: &str = "walker_tenant";

/// What speaking for tenants takes, table by table. Rows, the policies limit to the tenant's.
const RIGHTS: [(&str, &[&str]); 20] = [
    ("tenants", &["select"]),
    ("users", &["select", "insert", "update", "delete"]),
    ("tokens", &["select", "insert", "delete"]),
    ("revoked_keys", &["select", "insert"]),
    ("modules", &["select", "insert", "update"]),
    ("module_versions", &["select", "insert"]),
    // Code is kept by digest, whoever published it: it can be added and referred to, but not read.
    ("module_code", &["select (sha256)", "insert", "update (sha256)"]),
    ("walker_names", &["select", "insert", "delete"]),
    ("walkers", &["select", "delete"]),
    ("results", &["select", "insert", "delete"]),
    ("queue", &["select", "insert", "update", "delete"]),
    ("attempts", &["select", "insert", "update", "delete"]),
    ("checkpoints", &["select", "insert", "update", "delete"]),
    ("logs", &["select", "delete"]),
    ("grants", &["select", "insert", "delete"]),
    ("usage_days", &["select"]),
    ("usage_deltas", &["select", "insert"]),
    ("stored_days", &["select"]),
    ("stored_deltas", &["select", "insert"]),
    ("audit", &["select", "insert"]),
];

/// As what hosts speak for tenants.
#[derive(Debug, Clone)]
pub(super) enum Role {
    /// As one that row-level security binds.
    Tenant,
    /// As the one they log in as, which may take on no other: the database does not keep tenants apart.
    Login {
        /// What it is called.
        name: String,
        /// What somebody who may create roles is to run.
        script: String,
    },
}

impl Role {
    /// What a connection that speaks for tenants begins with.
    pub(super) fn take_on(&self) -> String {
        match self {
            Self::Tenant => format!("set role {TENANT_ROLE}"),
            Self::Login { .. } => String::new(),
        }
    }

    /// Whether there may be several tenants.
    pub(super) fn separates(&self) -> Result<(), Error> {
        match self {
            Self::Tenant => Ok(()),
            Self::Login { name, script } => Err(Error::OneTenantOnly { login: name.clone(), script: script.clone() }),
        }
    }
}

/// Makes the role where that is allowed, and gives it its rights. One host at a time.
pub(super) async fn prepare(session: &Session) -> Result<Role, Error> {
    if !may_take_on(session).await? {
        // Whoever makes a role may not take it on before it is granted (Postgres 16). Hosts on two databases of one server may
        // both be here, which one of them finds out.
        let make = format!(
            "do $$ begin
                 if to_regrole('{TENANT_ROLE}') is null then create role {TENANT_ROLE} nologin; end if;
                 grant {TENANT_ROLE} to current_user;
             exception when insufficient_privilege or duplicate_object or unique_violation then null;
             end $$"
        );
        session.batch_execute(&make).await?;
    }
    if !may_take_on(session).await? {
        let sql = "select current_user::text, format(
                       case when to_regrole($1) is null then 'create role %1$I nologin; ' else '' end || 'grant %1$I to %2$I;',
                       $1::text, current_user)";
        let row = session.query_one(sql, &[&TENANT_ROLE]).await?;
        return Ok(Role::Login { name: row.get(0), script: row.get(1) });
    }
    let mut missing = String::new();
    for (table, rights) in RIGHTS {
        for right in rights {
            let (privilege, columns) = right.split_once(' ').unwrap_or((right, ""));
            // Not given again to who has them: that would be a new row of the catalogue at each start.
            let has = if columns.is_empty() { "has_table_privilege" } else { "has_any_column_privilege" };
            let has = format!("select {has}($1, $2, $3)");
            if !session.query_one(&has, &[&TENANT_ROLE, &table, &privilege]).await?.get::<_, bool>(0) {
                missing += &format!("grant {right} on {table} to {TENANT_ROLE};");
            }
        }
    }
    session.batch_execute(&missing).await?;
    Ok(Role::Tenant)
}

async fn may_take_on(session: &Session) -> Result<bool, Error> {
    let sql = "select coalesce(pg_has_role(to_regrole($1), 'member'), false)";
    Ok(session.query_one(sql, &[&TENANT_ROLE]).await?.get(0))
}
