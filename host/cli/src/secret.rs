//! Secrets that somebody types or keeps in a file: never an argument, which everybody on the machine can read and the
//! shell remembers.
//!
//! Knows nothing of what they are for.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::Usage;

/// Asks for a secret without showing it, or takes the first line of a file; `-` is stdin, of which the next line is taken.
pub(crate) fn read(file: Option<&Path>, what: &str, flag: &str) -> Result<String> {
    let secret = match file {
        Some(path) if path == Path::new("-") => {
            let mut line = String::new();
            io::stdin().read_line(&mut line).with_context(|| format!("could not read the {what} from stdin"))?;
            first_line(&line).to_owned()
        }
        Some(path) => of_file(path)?,
        None if io::stdin().is_terminal() => {
            rpassword::prompt_password(format!("{what}: ")).with_context(|| format!("could not ask for the {what}"))?
        }
        None => {
            let message =
                format!("there is nobody to ask for the {what}: give it with {flag} FILE, or {flag} - for stdin");
            return Err(Usage(message).into());
        }
    };
    if secret.is_empty() {
        bail!("the {what} is empty");
    }
    Ok(secret)
}

/// The first line of a file.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(first_line(&text).to_owned())
}

/// Without its end, whichever that is; blanks belong to a password.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Asks for something that may be seen.
pub(crate) fn ask(given: Option<String>, what: &str, flag: &str) -> Result<String> {
    if let Some(text) = given {
        return Ok(text);
    }
    if !io::stdin().is_terminal() {
        return Err(Usage(format!("there is nobody to ask for the {what}: give it with {flag}")).into());
    }
    eprint!("{what}: ");
    let mut line = String::new();
    io::stdin().read_line(&mut line).with_context(|| format!("could not ask for the {what}"))?;
    Ok(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_taken_as_it_is() {
        for (text, expect) in
            [("secret\n", "secret"), ("secret\r\nmore\n", "secret"), (" se cret ", " se cret "), ("", "")]
        {
            assert_eq!(first_line(text), expect, "{text:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        fs::write(&path, "correct horse\n").unwrap();
        assert_eq!(read(Some(&path), "password", "--password-file").unwrap(), "correct horse");
        fs::write(&path, "\n").unwrap();
        assert!(read(Some(&path), "password", "--password-file").unwrap_err().to_string().contains("is empty"));
        assert!(read(Some(&folder.path().join("none")), "password", "--password-file").is_err());
    }
}
