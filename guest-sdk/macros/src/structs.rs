//! `#[walker]` on a struct: storable, described, and found by the host.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Fields, ItemStruct, Path, Token, parse_quote};

use crate::fields::{self, Has};
use crate::mistakes::Mistakes;
use crate::names::{FORM, doc, is_name, snake_case};
use crate::options::Options;

/// What the attribute derives itself.
const DERIVED: [&str; 3] = ["Serialize", "Deserialize", "JsonSchema"];

pub(crate) fn expand(options: TokenStream, mut item: ItemStruct, mistakes: &mut Mistakes) -> TokenStream {
    let options = Options::parse(options, mistakes);
    refuse_derives(&item, mistakes);
    if !item.generics.params.is_empty() {
        mistakes.at(
            &item.generics,
            "a walker cannot be generic: a host reads its fields without knowing Rust; use concrete types",
        );
        fields_only(&mut item, mistakes);
        return quote!(#item);
    }
    let has = fields_only(&mut item, mistakes);
    let ident = item.ident.clone();
    let name = options.name.clone().unwrap_or_else(|| snake_case(&ident.unraw().to_string()));
    if !is_name(&name) {
        mistakes
            .at(&ident, format!("`{name}` cannot name a walker: give it one with `#[walker(name = \"…\")]`, {FORM}"));
    }
    if let Fields::Named(fields) = &mut item.fields {
        for (field, has) in fields.named.iter_mut().zip(&has) {
            field.attrs.extend(has.serde_default(&ident));
        }
    }
    item.attrs.extend(derives());
    let walker = implementation(&item, &name, &options, &has);
    quote!(#item #walker)
}

/// The named fields; a struct of another shape is a mistake and has none.
fn fields_only(item: &mut ItemStruct, mistakes: &mut Mistakes) -> Vec<Has> {
    let ident = &item.ident;
    match &mut item.fields {
        Fields::Named(fields) => fields::read(fields, mistakes),
        Fields::Unnamed(fields) => {
            mistakes.at(fields, format!("a walker's fields have names: write `struct {ident} {{ value: … }}`"));
            Vec::new()
        }
        Fields::Unit => {
            mistakes.at(ident, format!("a walker without fields still has braces: write `struct {ident} {{}}`"));
            Vec::new()
        }
    }
}

fn derives() -> [syn::Attribute; 3] {
    [
        parse_quote!(#[derive(
            ::walker_sdk::serde::Serialize,
            ::walker_sdk::serde::Deserialize,
            ::walker_sdk::schemars::JsonSchema
        )]),
        // The author's crate depends on walker-sdk alone.
        parse_quote!(#[serde(crate = "::walker_sdk::serde")]),
        parse_quote!(#[schemars(crate = "::walker_sdk::schemars")]),
    ]
}

fn implementation(item: &ItemStruct, name: &str, options: &Options, has: &[Has]) -> TokenStream {
    let ident = &item.ident;
    let doc = doc(&item.attrs);
    let Options { is_async, is_public, .. } = options;
    let settings = options.settings.iter().map(|(key, value)| quote!((#key, #value)));
    let declared = has.iter().map(|has| has.declared(ident));
    let defaults = has.iter().filter_map(Has::default_function);
    let invoked = if *is_async { quote!(AsyncWalker) } else { quote!(SyncWalker) };
    quote! {
        #[doc(hidden)]
        const _: () = {
            #[allow(non_snake_case, clippy::all, reason = "written by a macro")]
            impl #ident {
                #(#[doc(hidden)] #defaults)*
            }

            impl ::walker_sdk::Walker for #ident {
                const NAME: &'static str = #name;
                const IS_ASYNC: bool = #is_async;

                fn declared() -> ::walker_sdk::__private::Declared {
                    ::walker_sdk::__private::Declared {
                        doc: #doc,
                        is_public: #is_public,
                        settings: &[#(#settings),*],
                        fields: &[#(#declared),*],
                    }
                }
            }

            impl ::walker_sdk::#invoked for #ident {}

            ::walker_sdk::__private::inventory::submit! {
                ::walker_sdk::__private::Registered::of::<#ident>()
            }
        };
    }
}

fn refuse_derives(item: &ItemStruct, mistakes: &mut Mistakes) {
    for attribute in item.attrs.iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let Ok(list) = attribute.meta.require_list() else { continue };
        let Ok(paths) = Punctuated::<Path, Token![,]>::parse_terminated.parse2(list.tokens.clone()) else { continue };
        for path in paths {
            if let Some(last) = path.segments.last()
                && DERIVED.iter().any(|name| last.ident == name)
            {
                mistakes.at(&path, format!("`#[walker]` derives `{}` itself: leave it out here", last.ident));
            }
        }
    }
}
