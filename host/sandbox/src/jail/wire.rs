//! How host and jailed child talk: length-prefixed pieces over the child's standard streams.
//!
//! Knows nothing of what the pieces mean.

use std::io::{self, Read, Write};

/// Writes one piece.
///
/// # Errors
/// When the other side is gone.
pub(super) fn write(to: &mut impl Write, piece: &[u8]) -> io::Result<()> {
    to.write_all(&(piece.len() as u64).to_le_bytes())?;
    to.write_all(piece)
}

/// Reads one piece of at most `limit` bytes.
///
/// # Errors
/// When the other side is gone, or sends more.
pub(super) fn read(from: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    from.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    if length > limit {
        return Err(io::Error::other(format!("a piece of {length} bytes was sent; at most {limit} are taken")));
    }
    // Grows as the bytes come, not as they are promised.
    let mut piece = Vec::new();
    if from.take(length).read_to_end(&mut piece)? as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_no_more() {
        let mut wire = Vec::new();
        write(&mut wire, b"one").unwrap();
        write(&mut wire, b"").unwrap();
        let mut from = wire.as_slice();
        assert_eq!(read(&mut from, 3).unwrap(), b"one");
        assert_eq!(read(&mut from, 0).unwrap(), b"");
        assert!(read(&mut from, 9).is_err());
        assert!(read(&mut wire.as_slice(), 2).is_err(), "too long");
        assert!(read(&mut &wire[..9], 9).is_err(), "cut short");
    }
}
