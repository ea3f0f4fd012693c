//! What walkers and fields may be called, and how the author's words are read off an item.

use syn::{Attribute, Expr, ExprLit, Lit, Meta};

/// The host's own limit, in bytes.
const MAX_NAME: usize = 64;

/// What a name that the host refuses should look like.
pub(crate) const FORM: &str = "a letter or `_`, then up to 63 ASCII letters, digits or `_`";

pub(crate) fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'A'..=b'Z' | b'a'..=b'z' | b'_'))
        && bytes.len() <= MAX_NAME
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// `ViewSampleResult` as `view_sample_result`; `HTTPCheck` as `http_check`.
pub(crate) fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        if letter.is_uppercase() && at > 0 && letters[at - 1] != '_' {
            let after_small = !letters[at - 1].is_uppercase();
            let before_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
            if after_small || before_small {
                snake.push('_');
            }
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

/// The text of an item's `///` lines.
pub(crate) fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    });
    let lines: Vec<String> = lines.map(|line| line.strip_prefix(' ').unwrap_or(&line).to_owned()).collect();
    lines.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_type() {
        for (name, expect) in [
            ("Sample", "sample"),
            ("ViewSampleResult", "view_sample_result"),
            ("HTTPCheck", "http_check"),
            ("Top10List", "top10_list"),
            ("A", "a"),
            ("already_snake", "already_snake"),
            ("Mixed_Case", "mixed_case"),
        ] {
            assert_eq!(snake_case(name), expect);
        }
    }

    #[test]
    fn doc_lines_lose_their_first_space_only() {
        let item: syn::ItemStruct = syn::parse_quote! {
            /// One.
            ///
            ///     code
            #[other]
            struct A;
        };
        assert_eq!(doc(&item.attrs), "One.\n\n    code");
    }
}
