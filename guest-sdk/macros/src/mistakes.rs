//! Every mistake of one expansion, told together.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;

#[derive(Default)]
pub(crate) struct Mistakes(Option<syn::Error>);

impl Mistakes {
    /// A mistake at a place without tokens of its own.
    pub(crate) fn add(&mut self, at: Span, message: impl std::fmt::Display) {
        self.take(syn::Error::new(at, message));
    }

    /// A mistake that spans these tokens.
    pub(crate) fn at(&mut self, tokens: &impl ToTokens, message: impl std::fmt::Display) {
        self.take(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn take(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            none => *none = Some(error),
        }
    }

    /// The `compile_error!`s to stand next to the item.
    pub(crate) fn emit(self) -> Option<TokenStream> {
        self.0.map(|error| error.into_compile_error())
    }
}
