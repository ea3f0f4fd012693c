//! Pages of lists: cut at the limit, with a cursor to go on from.

use uuid::Uuid;

use super::extract::{FromQuery, Params, cursor};
use super::problem::Problem;

/// How many items a page holds unless the caller says otherwise.
pub(super) const DEFAULT_LIMIT: u16 = 50;

/// The most that a page holds: enough for an export, little enough for memory.
pub(super) const MAX_LIMIT: u16 = 1000;

/// Which page of a list by name.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ByName {
    /// How many to a page, from 1 to 1000; 50 when absent.
    #[param(value_type = Option<u16>)]
    pub(super) limit: u16,
    /// The cursor that came with the page before.
    pub(super) cursor: Option<String>,
}

impl FromQuery for ByName {
    const KNOWN: &'static [&'static str] = &["limit", "cursor"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        Ok(Self { limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?, cursor: params.cursor()? })
    }
}

/// Which page of a list by age.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ByAge {
    /// How many to a page, from 1 to 1000; 50 when absent.
    #[param(value_type = Option<u16>)]
    pub(super) limit: u16,
    /// The cursor that came with the page before.
    #[param(value_type = Option<String>)]
    pub(super) cursor: Option<Uuid>,
}

impl FromQuery for ByAge {
    const KNOWN: &'static [&'static str] = &["limit", "cursor"];

    fn from_query(params: &Params) -> Result<Self, Problem> {
        Ok(Self { limit: params.limit(DEFAULT_LIMIT, MAX_LIMIT)?, cursor: params.cursor()? })
    }
}

/// Cuts a list that was read one item longer than the page, to know whether there is more. Answers the page and
/// the cursor of the next one; `place` says where an item stands.
pub(super) fn cut<T>(mut items: Vec<T>, limit: u16, place: impl FnOnce(&T) -> String) -> (Vec<T>, Option<String>) {
    let is_cut = items.len() > usize::from(limit);
    items.truncate(usize::from(limit));
    let next = items.last().filter(|_| is_cut).map(|last| cursor(&place(last)));
    (items, next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cut_list_goes_on() {
        let check = |items: &[u8], kept: &[u8], next: Option<&str>| {
            assert_eq!(cut(items.to_vec(), 2, u8::to_string), (kept.to_vec(), next.map(cursor)));
        };
        check(&[], &[], None);
        check(&[1, 2], &[1, 2], None);
        check(&[1, 2, 3], &[1, 2], Some("2"));
    }
}
