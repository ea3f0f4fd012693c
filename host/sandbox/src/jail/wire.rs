//! How the child's answer stands in its file: native code, then the answer as JSON, then that text's length.
//!
//! Knows nothing of what the answer means.

use std::fs::File;
use std::io::{self, Read as _, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::artifact::Pieces;

const LENGTH_BYTES: u64 = 8;
/// Definitions cross in one call of at most 4 MiB, and JSON may take six bytes for one.
const MAX_TEXT_BYTES: u64 = 32 << 20;

/// Ends a file with an answer.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(to: &mut impl Write, answer: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(answer)?;
    text.extend((text.len() as u64).to_le_bytes());
    to.write_all(&text)
}

/// The answer at a file's end, and how many bytes stand before it.
///
/// # Errors
/// When the file does not end with an answer, or with too long a one.
pub(super) fn read<T: DeserializeOwned>(file: &File) -> io::Result<(T, u64)> {
    let garbled = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let text_end = file.metadata()?.len().checked_sub(LENGTH_BYTES).ok_or_else(garbled)?;
    let mut length = [0; LENGTH_BYTES as usize];
    Pieces::of(file, text_end..text_end + LENGTH_BYTES).read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_TEXT_BYTES {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    let text_start = text_end.checked_sub(length).ok_or_else(garbled)?;
    let mut text = vec![0; length as usize];
    Pieces::of(file, text_start..text_end).read_exact(&mut text)?;
    Ok((serde_json::from_slice(&text)?, text_start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_no_more() {
        let file = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            file
        };
        let mut bytes = b"native".to_vec();
        write(&mut bytes, &"answer").unwrap();
        assert_eq!(read::<String>(&file(&bytes)).unwrap(), ("answer".to_owned(), 6));
        let check = |bytes: &[u8], what: &str| assert!(read::<String>(&file(bytes)).is_err(), "{what}");
        check(b"", "empty");
        check(&bytes[..bytes.len() - 1], "cut short");
        check(&[&[0xff][..], &100_u64.to_le_bytes()].concat(), "longer than the file");
        check(&u64::MAX.to_le_bytes(), "longer than any");
        check(&[b"{".as_slice(), &1_u64.to_le_bytes()].concat(), "not JSON");
    }
}
