//! `#[walker]` on a struct: storable, described, and found by the host.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Fields, ItemStruct, Path, Token, parse_quote};

use crate::fields::{self, Has};
use crate::mistakes::Mistakes;
use crate::names::{FORM, doc, is_name, snake_case};
use crate::options::Options;

/// What the attribute derives itself.
const DERIVED: [&str; 3] = ["Serialize", "Deserialize", "JsonSchema"];

pub(crate) fn expand(options: TokenStream, mut item: ItemStruct, mistakes: &mut Mistakes) -> TokenStream {
    let options = Options::parse(options, mistakes);
    refuse_derives(&mut item, mistakes);
    refuse_serde(&mut item, mistakes);
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
            .at(&ident, format!("`{name}` cannot name a walker: choose a name with `#[walker(name = \"…\")]`, {FORM}"));
    }
    if let Fields::Named(fields) = &mut item.fields {
        for (field, has) in fields.named.iter_mut().zip(&has) {
            field.attrs.extend(has.serde_default(&ident));
        }
    }
    item.attrs.extend(derives());
    // First of all, so that its words come before those of the derives. Serde's own attributes may make a type do
    // that does not by itself.
    let plain = item.fields.iter().zip(&has).filter(|(_, has)| !has.is_tuned);
    let types = plain.map(|(field, _)| {
        let ty = &field.ty;
        quote_spanned!(ty.span()=> ::walker_sdk::__private::is_data::<#ty>();)
    });
    let stored = quote!(const _: fn() = || { #(#types)* };);
    let walker = implementation(&item, &name, &options, &has);
    quote!(#stored #item #walker)
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

/// What makes a type storable, in terms of what walker-sdk carries: the author's crate depends on nothing else.
pub(crate) fn derives() -> [syn::Attribute; 3] {
    [
        parse_quote!(#[derive(
            ::walker_sdk::serde::Serialize,
            ::walker_sdk::serde::Deserialize,
            ::walker_sdk::schemars::JsonSchema
        )]),
        parse_quote!(#[serde(crate = "::walker_sdk::serde")]),
        parse_quote!(#[schemars(crate = "::walker_sdk::schemars")]),
    ]
}

fn implementation(item: &ItemStruct, name: &str, options: &Options, has: &[Has]) -> TokenStream {
    let ident = &item.ident;
    let doc = doc(&item.attrs);
    let Options { is_async, is_public, .. } = options;
    let settings = options.settings.iter().map(|(key, value)| quote!((#key, #value)));
    let declared = has.iter().map(Has::declared);
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

/// Tells which derives are too many, and takes them off so that each is told once.
fn refuse_derives(item: &mut ItemStruct, mistakes: &mut Mistakes) {
    for attribute in item.attrs.iter_mut().filter(|attribute| attribute.path().is_ident("derive")) {
        let Ok(paths) = attribute.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated) else { continue };
        let (extra, kept): (Vec<Path>, Vec<Path>) = paths.into_iter().partition(is_derived);
        for path in &extra {
            mistakes.at(path, "`#[walker]` derives this itself: leave it out here");
        }
        if !extra.is_empty() {
            *attribute = parse_quote!(#[derive(#(#kept),*)]);
        }
    }
}

/// On the struct itself, serde's attributes would change how the fields are found.
fn refuse_serde(item: &mut ItemStruct, mistakes: &mut Mistakes) {
    item.attrs.retain(|attribute| {
        let is_serde = attribute.path().is_ident("serde");
        if is_serde {
            mistakes.at(attribute, "a walker is stored by the names of its fields: leave `#[serde(..)]` out here");
        }
        !is_serde
    });
}

fn is_derived(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| DERIVED.iter().any(|name| last.ident == name))
}
