//! How limits, quotas and usage look outside: one number under each name of the model's table.
//!
//! The one place that says in which order and under which names they stand.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use utoipa::openapi::schema::{ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use walker_model::{Limit, Limits, Quotas, SetQuotas, UploadCost, Usage};

/// Numbers by name, in the table's order.
#[derive(Debug)]
struct Numbers(Vec<(&'static str, u64)>);

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().copied())
    }
}

/// What a run used: the same keys as its limits.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct UsageView(Numbers);

impl From<Usage> for UsageView {
    fn from(usage: Usage) -> Self {
        let of = |limit: &Limit| Some((limit.usage, usage.get(limit.name)?));
        Self(Numbers(Limits::ALL.iter().filter_map(of).collect()))
    }
}

/// What an upload cost: the same keys as its limits.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct UploadCostView(Numbers);

impl From<UploadCost> for UploadCostView {
    fn from(cost: UploadCost) -> Self {
        Self(Numbers(UploadCost::ALL.iter().filter_map(|limit| Some((limit.name, cost.get(limit.name)?))).collect()))
    }
}

/// What a run might use: the same keys as what it used.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct LimitsView(Numbers);

impl From<Limits> for LimitsView {
    fn from(limits: Limits) -> Self {
        let of = |limit: &Limit| Some((limit.usage, limits.get(limit.name)?));
        Self(Numbers(Limits::ALL.iter().filter_map(of).collect()))
    }
}

/// What a tenant may use, by the names that `PATCH /tenants/{tenant}` takes.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct QuotasView(Numbers);

impl From<Quotas> for QuotasView {
    fn from(quotas: Quotas) -> Self {
        Self(Numbers(Quotas::all().filter_map(|quota| Some((quota.name, quotas.get(quota.name)?))).collect()))
    }
}

/// What is set for a tenant alone.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::http) struct SetQuotasView(pub(in crate::http) SetQuotas);

/// Quotas in a request.
#[derive(Debug)]
pub(in crate::http) struct QuotasSchema;

macro_rules! schema {
    ($view:ident as $name:literal, $limits:expr, $key:ident, $types:expr, $doc:literal) => {
        impl PartialSchema for $view {
            fn schema() -> RefOr<Schema> {
                object($limits.map(|limit: &Limit| (limit.$key, limit.doc)), &$types, $doc)
            }
        }

        impl ToSchema for $view {
            fn name() -> Cow<'static, str> {
                $name.into()
            }
        }
    };
}

schema!(UsageView as "Usage", Limits::ALL.iter(), usage, [Type::Integer], "What a run used, beside its limits.");
schema!(LimitsView as "Limits", Limits::ALL.iter(), usage, [Type::Integer], "What a run might use: the same keys as its usage.");
schema!(UploadCostView as "UploadCost", UploadCost::ALL.iter(), name, [Type::Integer], "What an upload cost, beside its limits.");
schema!(QuotasView as "Quotas", Quotas::all(), name, [Type::Integer], "What a tenant may use.");
schema!(SetQuotasView as "SetQuotas", Quotas::all(), name, [Type::Integer], "What is set for this tenant alone; the rest is as for all.");
schema!(QuotasSchema as "QuotaChanges", Quotas::all(), name, [Type::Integer, Type::Null], "What is to be set; null gives back the default.");

fn object(numbers: impl Iterator<Item = (&'static str, &'static str)>, types: &[Type], doc: &str) -> RefOr<Schema> {
    let object = numbers.fold(ObjectBuilder::new().description(Some(doc)), |object, (name, doc)| {
        let number = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter(types.iter().cloned()))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(0))
            .description(Some(doc.trim()));
        object.property(name, number)
    });
    RefOr::T(object.into())
}
