//! Pages of lists: cut at the limit, with a cursor to go on from.

use super::extract::cursor;

/// How many items a page holds unless the caller says otherwise.
pub(super) const DEFAULT_LIMIT: u16 = 50;

/// The most that a page holds: enough for an export, little enough for memory.
pub(super) const MAX_LIMIT: u16 = 1000;

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
