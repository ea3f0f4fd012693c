//! What a walker has: its fields, and what `#[has(..)]` says about each.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, FieldsNamed, Ident, Lit, Meta, Token, Type, parse_quote};

use crate::mistakes::Mistakes;
use crate::names::{FORM, doc, is_name};

/// The host's own limit.
const MAX_FIELDS: usize = 256;

/// Serde attributes that would store a field under another name, or not at all.
const UNSTABLE: [&str; 7] = ["rename", "alias", "flatten", "skip", "skip_serializing", "skip_deserializing", "default"];

/// One field, read.
pub(crate) struct Has {
    name: String,
    doc: String,
    default: Option<Default>,
    /// Carries attributes of serde or schemars.
    pub(crate) is_tuned: bool,
}

/// How the value comes about when the caller leaves the field out.
struct Default {
    /// The hidden function that makes it, and its whole text.
    function: Ident,
    text: TokenStream,
}

/// Reads the fields and leaves only what serde and schemars shall see of them.
pub(crate) fn read(fields: &mut FieldsNamed, mistakes: &mut Mistakes) -> Vec<Has> {
    if let Some(field) = fields.named.iter().nth(MAX_FIELDS) {
        mistakes.at(
            field,
            format!("a walker may have at most {MAX_FIELDS} fields: group some of them in a struct of their own"),
        );
    }
    fields.named.iter_mut().map(|field| has(field, mistakes)).collect()
}

fn has(field: &mut syn::Field, mistakes: &mut Mistakes) -> Has {
    let ident = field.ident.clone().unwrap_or_else(|| format_ident!("_field"));
    let name = ident.unraw().to_string();
    if !is_name(&name) {
        mistakes.at(&ident, format!("`{name}` cannot name a field: use {FORM}"));
    }
    let tuning = || field.attrs.iter().filter(|attribute| is_tuning(attribute));
    let is_tuned = tuning().next().is_some();
    for attribute in tuning() {
        refuse_unstable(attribute, mistakes);
    }
    let mut marks: Vec<Attribute> = Vec::new();
    field.attrs.retain(|attribute| {
        let is_mark = attribute.path().is_ident("has");
        if is_mark {
            marks.push(attribute.clone());
        }
        !is_mark
    });
    if let Some(second) = marks.get(1) {
        mistakes.at(second, "a field has one `#[has(..)]`: leave one out");
    }
    let value = match marks.first().map(parse) {
        Some(Ok(value)) => value,
        Some(Err(error)) => {
            mistakes.take(error);
            // Something that fits, so that the mistake is told once.
            Some(parse_quote!(::core::unreachable!()))
        }
        None => None,
    };
    let value = value.or_else(|| is_option(&field.ty).then(|| parse_quote!(::core::option::Option::None)));
    let default = value.map(|value| {
        let function = format_ident!("__has_{}", ident.unraw(), span = ident.span());
        let ty = &field.ty;
        let value = owned(value, ty);
        // Serde needs it too: an older version's stored fields may lack this one.
        Default { text: quote_spanned!(ty.span()=> fn #function() -> #ty { #value }), function }
    });
    Has { name, doc: doc(&field.attrs), default, is_tuned }
}

/// `Some(expression)` for a default, `None` for a required field.
fn parse(mark: &Attribute) -> syn::Result<Option<Expr>> {
    const FORMS: &str = "write `#[has(default = …)]`, `#[has(default)]`, or leave it out for a required field";
    match &mark.meta {
        Meta::Path(_) => Ok(None),
        Meta::NameValue(_) => {
            Err(syn::Error::new_spanned(mark, format!("`#[has]` takes its value in brackets: {FORMS}")))
        }
        Meta::List(list) => list.parse_args_with(|input: ParseStream<'_>| {
            if input.is_empty() {
                return Ok(None);
            }
            let key = input.call(Ident::parse_any)?;
            if key != "default" {
                return Err(syn::Error::new_spanned(&key, format!("`#[has]` knows no `{key}`: {FORMS}")));
            }
            let value = if input.is_empty() {
                parse_quote!(::core::default::Default::default())
            } else {
                input.parse::<Token![=]>().map_err(|error| syn::Error::new(error.span(), FORMS))?;
                input.parse::<Expr>().map_err(|error| {
                    syn::Error::new(error.span(), "`default =` takes an expression: `#[has(default = 0)]`")
                })?
            };
            if input.is_empty() { Ok(Some(value)) } else { Err(input.error(format!("one default is enough: {FORMS}"))) }
        }),
    }
}

/// Text in quotes is what people write for a `String`.
fn owned(value: Expr, ty: &Type) -> TokenStream {
    match &value {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) if is_called(ty, "String") => {
            quote_spanned!(value.span()=> ::std::string::String::from(#value))
        }
        _ => value.into_token_stream(),
    }
}

fn is_option(ty: &Type) -> bool {
    is_called(ty, "Option")
}

fn is_called(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|segment| segment.ident == name))
}

fn is_tuning(attribute: &Attribute) -> bool {
    attribute.path().is_ident("serde") || attribute.path().is_ident("schemars")
}

fn refuse_unstable(attribute: &Attribute, mistakes: &mut Mistakes) {
    let Meta::List(list) = &attribute.meta else { return };
    // Another mistake in these attributes is told by the derive that they are for.
    drop(list.parse_args_with(|input: ParseStream<'_>| {
        while !input.is_empty() {
            let token: proc_macro2::TokenTree = input.parse()?;
            if let proc_macro2::TokenTree::Ident(key) = &token
                && UNSTABLE.iter().any(|word| key == word)
            {
                let instead = if key == "default" {
                    ": use `#[has(default = …)]`"
                } else {
                    ": walkers are stored by the names of their fields; leave it out"
                };
                mistakes.at(key, format!("a walker's field cannot have `{key}`{instead}"));
            }
        }
        Ok(())
    }));
}

impl Has {
    /// The hidden function that makes the default, if there is one.
    pub(crate) fn default_function(&self) -> Option<&TokenStream> {
        self.default.as_ref().map(|default| &default.text)
    }

    /// Its entry in the walker's declaration.
    pub(crate) fn declared(&self) -> TokenStream {
        let Self { name, doc, default, .. } = self;
        let has_default = default.is_some();
        quote!(::walker_sdk::__private::Has { name: #name, doc: #doc, has_default: #has_default })
    }

    /// What serde shall do when the field is missing.
    pub(crate) fn serde_default(&self, walker: &Ident) -> Option<Attribute> {
        self.default.as_ref().map(|default| {
            let path = format!("{walker}::{}", default.function);
            parse_quote!(#[serde(default = #path)])
        })
    }
}
