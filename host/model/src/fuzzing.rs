//! What fuzz targets do, and the tests that try their findings again.
//!
//! No part of the interface.
#![doc(hidden)]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use crate::{Json, NodeId, WalkerId};

/// An id that is taken is written as it was read, and stays itself.
pub fn ids(text: &str) {
    fn check<T: FromStr + Display + PartialEq + Debug>(text: &str) {
        let Ok(id) = text.parse::<T>() else { return };
        let written = id.to_string();
        assert_eq!(written.parse::<T>().ok().as_ref(), Some(&id), "{text:?}");
        assert!(!written.contains('\0'), "databases take no NUL");
    }
    check::<WalkerId>(text);
    check::<NodeId>(text);
}

/// A text that is taken for JSON is kept to the letter, and every reader reads it.
pub fn json(text: &str) {
    let Ok(json) = Json::parse(text.to_owned()) else { return };
    assert_eq!(json.as_str(), text.trim_matches([' ', '\n', '\r', '\t']));
    serde_json::from_str::<serde::de::IgnoredAny>(json.as_str()).expect("it was taken for JSON");
    assert_eq!(Json::parse(json.as_str().to_owned()).expect("it was taken before").as_str(), json.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_before_is_not_found_again() {
        for (target, try_again) in [("ids", ids as fn(&str)), ("json", json)] {
            let folder = format!("{}/../../fuzz/regressions/{target}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(folder).expect("the folder is there") {
                let path = entry.expect("it can be read").path();
                if let Ok(text) = String::from_utf8(std::fs::read(&path).expect("it can be read")) {
                    try_again(&text);
                }
            }
        }
    }
}
