//! `walker new`: a project that builds, tests and runs as it is.
//!
//! Knows nothing of building it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::args::New;
use crate::{End, Usage, print, sdk};

/// The template's files; `@name@` and its like are filled in.
const TEMPLATE: [(&str, &str); 4] = [
    ("Cargo.toml", include_str!("../../template/Cargo.toml.in")),
    ("src/lib.rs", include_str!("../../template/lib.rs.in")),
    ("README.md", include_str!("../../template/README.md.in")),
    (".gitignore", include_str!("../../template/gitignore.in")),
];

/// What neither a crate nor a type in a walker's source may be called.
const TAKEN: &[&str] = &[
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "error",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "node",
    "node_id",
    "option",
    "override",
    "priv",
    "proc_macro",
    "pub",
    "ref",
    "result",
    "return",
    "root",
    "run",
    "schedule",
    "seen",
    "self",
    "static",
    "status",
    "std",
    "string",
    "struct",
    "super",
    "test",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "value",
    "vec",
    "virtual",
    "walker",
    "walker_id",
    "walker_sdk",
    "where",
    "while",
    "yield",
];

pub(crate) fn new(args: &New) -> Result<End> {
    let folder = &args.name;
    let package = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let names = Names::of(package).map_err(|reason| Usage(format!("{package:?} cannot name a walker: {reason}")))?;
    if folder.exists() {
        return Err(Usage(format!("{} exists already", folder.display())).into());
    }
    let sdk = sdk::install()?;
    write(folder, &names, &sdk)?;
    print::step("Created", format_args!("{} (async walker {})", folder.display(), names.walker));
    eprintln!();
    eprintln!("Next, with `walker serve` running in this folder or one above it:");
    eprintln!();
    eprintln!("  cd {}", folder.display());
    eprintln!("  walker build");
    eprintln!("  walker push target/walkers/{}.wasm", names.walker);
    eprintln!("  walker run {} --wait", names.walker);
    Ok(End::Well)
}

/// One name in its three spellings.
#[derive(Debug, PartialEq, Eq)]
struct Names {
    /// The crate's: `my-app`.
    package: String,
    /// The walker's, the module's and the library's: `my_app`.
    walker: String,
    /// The type's: `MyApp`.
    kind: String,
}

impl Names {
    fn of(package: &str) -> Result<Self, &'static str> {
        let bytes = package.as_bytes();
        if !bytes.first().is_some_and(u8::is_ascii_lowercase)
            || !bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(byte))
        {
            return Err("expected lower-case letters, digits, - and _, a letter first");
        }
        if bytes.len() > 64 {
            return Err("it is longer than 64 characters");
        }
        let walker = package.replace('-', "_");
        if TAKEN.contains(&walker.as_str()) {
            return Err("the word has a meaning of its own");
        }
        let words: Vec<&str> = walker.split('_').collect();
        // A word of digits, or none, would be lost on the way from `MyApp` back to `my_app`.
        if !words.iter().all(|word| word.starts_with(|letter: char| letter.is_ascii_lowercase())) {
            return Err("after each - or _ expected a letter");
        }
        // `AB` is `ab`.
        if words.windows(2).any(|pair| pair.iter().all(|word| word.len() == 1)) {
            return Err("words of one letter follow each other");
        }
        let kind = words.iter().map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        Ok(Self { package: package.to_owned(), walker, kind })
    }
}

/// All of the project, or nothing.
fn write(folder: &Path, names: &Names, sdk: &Path) -> Result<()> {
    // TOML's basic strings escape these two.
    let sdk = sdk
        .to_str()
        .context("the SDK's folder has a name that is not text")?
        .replace('\\', "\\\\")
        .replace('"', "\\\"");
    let above = match folder.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    let make = || -> Result<()> {
        let unfinished = tempfile::Builder::new().prefix(".walker-new-").tempdir_in(above)?;
        for (name, text) in TEMPLATE {
            let text = text
                .replace("@package@", &names.package)
                .replace("@walker@", &names.walker)
                .replace("@Walker@", &names.kind)
                .replace("@sdk@", &sdk);
            let path = unfinished.path().join(name);
            fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            fs::write(path, text)?;
        }
        // Made closed, as temporary folders are.
        fs::set_permissions(unfinished.path(), fs::metadata(unfinished.path().join("src"))?.permissions())?;
        fs::rename(unfinished.path(), folder)?;
        Ok(())
    };
    make().with_context(|| format!("could not create {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_spelt() {
        let check = |package: &str, expect: Option<(&str, &str)>| {
            let names = Names::of(package).ok();
            let names = names.as_ref().map(|names| (names.walker.as_str(), names.kind.as_str()));
            assert_eq!(names, expect, "{package:?}");
        };
        check("hello", Some(("hello", "Hello")));
        check("my-app", Some(("my_app", "MyApp")));
        check("a1_b2", Some(("a1_b2", "A1B2")));
        let long = "a".repeat(65);
        for bad in ["", "Hello", "1st", "-a", "a b", "größe", "fn", "run", "a--b", "a_1", "a-b", "../x", &long] {
            check(bad, None);
        }
    }

    #[test]
    fn words_are_sorted() {
        assert!(TAKEN.is_sorted());
    }

    #[test]
    fn writes_a_whole_project() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().join("my-app");
        write(&project, &Names::of("my-app").unwrap(), Path::new("/with \"quotes\"/sdk")).unwrap();
        let manifest: toml::Table = fs::read_to_string(project.join("Cargo.toml")).unwrap().parse().unwrap();
        assert_eq!(manifest["package"]["name"].as_str(), Some("my-app"));
        assert_eq!(manifest["dependencies"]["walker-sdk"]["path"].as_str(), Some("/with \"quotes\"/sdk"));
        for (name, _) in TEMPLATE {
            let text = fs::read_to_string(project.join(name)).unwrap();
            assert!(!text.contains('@'), "{name}: {text}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
