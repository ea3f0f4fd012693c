//! `#[walker]` on an `impl` block: which methods run when, and on which nodes.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ImplItem, ImplItemFn, ItemImpl, Meta, Path, ReturnType, Token, Type};

use crate::mistakes::Mistakes;

/// What an ability looks like.
const SHAPE: &str =
    "`fn enter(&mut self, here: &Root, run: &mut Run) -> Result<()>`, where `here` and `run` may be left out";

pub(crate) fn expand(options: TokenStream, mut item: ItemImpl, mistakes: &mut Mistakes) -> TokenStream {
    if !options.is_empty() {
        mistakes.at(&options, "options stand on the struct: write `#[walker]` alone above the `impl`");
    }
    if let Some((_, path, _)) = &item.trait_ {
        mistakes.at(path, "abilities stand in the walker's own `impl Name { .. }`, not in the one of a trait");
    }
    if !item.generics.params.is_empty() {
        mistakes.at(&item.generics, "a walker cannot be generic: leave the parameters out");
    }
    let usable = item.trait_.is_none() && item.generics.params.is_empty();
    let walker = item.self_ty.clone();
    let mut abilities = Vec::new();
    let mut has_entry = false;
    for method in item.items.iter_mut().filter_map(|item| match item {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    }) {
        let marks = take_marks(method);
        has_entry |= marks.iter().any(|mark| mark.path().is_ident("entry"));
        // Looked at once, also when it is both: each mistake is told once.
        let shape = (!marks.is_empty()).then(|| Shape::read(method, mistakes));
        for mark in &marks {
            if let Some(Some(shape)) = &shape {
                abilities.extend(ability(&walker, method, shape, mark, mistakes));
            }
        }
    }
    if !has_entry && usable {
        mistakes.at(
            &walker,
            format!("a walker needs an ability to begin with: mark a method with `#[entry]`, as in {SHAPE}"),
        );
    }
    if !usable {
        return quote!(#item);
    }
    let is_walker = quote_spanned!(walker.span()=> ::walker_sdk::__private::is_walker::<#walker>(););
    quote! {
        #item

        #[doc(hidden)]
        const _: () = {
            #[allow(clippy::all, reason = "written by a macro")]
            impl ::walker_sdk::Abilities for #walker {
                const ABILITIES: &'static [::walker_sdk::__private::Ability<Self>] = &[#(#abilities),*];
            }

            // A second block is told by the name of what it defines twice.
            #[allow(dead_code, reason = "only its name matters")]
            impl #walker {
                #[doc(hidden)]
                const ALL_ABILITIES_STAND_IN_ONE_IMPL_BLOCK: () = ();
            }

            const fn _is_walker() {
                #is_walker
            }
        };
    }
}

/// The `#[entry]` and `#[exit]` of a method, taken off it.
fn take_marks(method: &mut ImplItemFn) -> Vec<Attribute> {
    let mut marks: Vec<Attribute> = Vec::new();
    method.attrs.retain(|attribute| {
        let path = attribute.path();
        let is_mark = path.segments.last().is_some_and(|last| last.ident == "entry" || last.ident == "exit");
        if is_mark {
            marks.push(attribute.clone());
        }
        !is_mark
    });
    marks
}

/// What an ability takes, besides the walker itself.
struct Shape {
    /// In the method's own order.
    takes: Vec<Takes>,
}

enum Takes {
    Here(Box<Type>),
    Run,
}

impl Shape {
    /// `None` when the method cannot be called at all; every mistake is told.
    fn read(method: &ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let signature = &method.sig;
        let mut good = true;
        let mut wrong = |tokens: &dyn ToTokens, message: String| {
            mistakes.at(&tokens.to_token_stream(), message);
            good = false;
        };
        if let Some(keyword) = &signature.asyncness {
            wrong(keyword, "an ability is an ordinary `fn`: leave `async` out; `#[walker(async)]` runs the walker in the background".into());
        }
        if let Some(keyword) = &signature.unsafety {
            wrong(keyword, "an ability is an ordinary `fn`: leave `unsafe` out".into());
        }
        if let Some(abi) = &signature.abi {
            wrong(abi, "an ability is an ordinary `fn`: leave `extern` out".into());
        }
        if signature.generics.type_params().next().is_some() || signature.generics.const_params().next().is_some() {
            wrong(&signature.generics, "an ability cannot be generic: use concrete types".into());
        }
        match signature.inputs.first() {
            Some(FnArg::Receiver(receiver)) if receiver.reference.is_some() && receiver.colon_token.is_none() => {}
            Some(FnArg::Receiver(receiver)) => {
                wrong(receiver, "an ability borrows the walker: write `&mut self` or `&self`".into())
            }
            _ => wrong(&signature.ident, format!("an ability has `&mut self` (or `&self`) first: {SHAPE}")),
        }
        let mut takes: Vec<Takes> = Vec::new();
        for input in &signature.inputs {
            let FnArg::Typed(input) = input else { continue };
            let Some(took) = Takes::read(&input.ty) else {
                wrong(
                    input,
                    format!("an ability takes `here: &Root` (or another type of node) and `run: &mut Run`: {SHAPE}"),
                );
                continue;
            };
            let twice = takes
                .iter()
                .any(|other| matches!((other, &took), (Takes::Run, Takes::Run) | (Takes::Here(_), Takes::Here(_))));
            match &took {
                Takes::Run if twice => wrong(input, "`run` is given twice: leave one out".into()),
                Takes::Here(_) if twice => wrong(input, "an ability is for one `here`: leave one out; `#[entry(Root, City)]` without `here` is for several types".into()),
                Takes::Here(_) if is_mutable(&input.ty) => wrong(&input.ty, "a node is only looked at: write `&` without `mut`".into()),
                Takes::Run if !is_mutable(&input.ty) => wrong(&input.ty, "`run` is borrowed mutably: write `run: &mut Run`".into()),
                _ => {}
            }
            takes.push(took);
        }
        good.then_some(Self { takes })
    }

    fn here(&self) -> Option<&Type> {
        self.takes.iter().find_map(|took| match took {
            Takes::Here(ty) => Some(&**ty),
            Takes::Run => None,
        })
    }
}

impl Takes {
    fn read(ty: &Type) -> Option<Self> {
        let Type::Reference(reference) = ty else { return None };
        let Type::Path(path) = &*reference.elem else { return None };
        let is_run = path.path.segments.last().is_some_and(|last| last.ident == "Run");
        Some(if is_run { Self::Run } else { Self::Here(reference.elem.clone()) })
    }
}

fn is_mutable(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if reference.mutability.is_some())
}

/// The table's row for one mark on a method.
fn ability(
    walker: &Type,
    method: &ImplItemFn,
    shape: &Shape,
    mark: &Attribute,
    mistakes: &mut Mistakes,
) -> Option<TokenStream> {
    let word = if mark.path().segments.last().is_some_and(|last| last.ident == "entry") { "entry" } else { "exit" };
    let listed = match listed(mark, word) {
        Ok(listed) => listed,
        Err(error) => {
            mistakes.take(error);
            return None;
        }
    };
    let kinds: Vec<TokenStream> = match (shape.here(), listed.is_empty()) {
        (Some(here), true) => vec![here.to_token_stream()],
        (Some(here), false) if is_node(here) => listed.iter().map(ToTokens::to_token_stream).collect(),
        (Some(here), false) => {
            let here = here.to_token_stream();
            mistakes.at(mark, format!("the type of `here` already says which nodes: write `#[{word}]`, or `here: &Node` instead of `&{here}`"));
            return None;
        }
        (None, false) => listed.iter().map(ToTokens::to_token_stream).collect(),
        (None, true) => {
            mistakes.at(mark, format!("say which nodes this is for: write `#[{word}(Root)]`, or take `here: &Root`"));
            return None;
        }
    };
    let on = if word == "entry" { quote!(Entry) } else { quote!(Exit) };
    let kinds = kinds.iter().map(|kind| quote_spanned!(kind.span()=> <#kind as ::walker_sdk::NodeType>::KIND));
    let arguments = shape.takes.iter().map(|took| match took {
        Takes::Run => quote!(run),
        Takes::Here(ty) => quote_spanned!(ty.span()=> &<#ty as ::walker_sdk::NodeType>::at(here)),
    });
    let name = &method.sig.ident;
    // Mistakes in what it returns shall point at what it returns.
    let returned = match &method.sig.output {
        ReturnType::Default => name.span(),
        ReturnType::Type(_, ty) => ty.span(),
    };
    let returned = returned.resolved_at(Span::call_site());
    let call = quote_spanned!(returned=> <#walker>::#name(walker, #(#arguments),*));
    let call = quote_spanned!(returned=> ::walker_sdk::__private::Returned::into_result(#call));
    Some(quote! {
        ::walker_sdk::__private::Ability {
            on: ::walker_sdk::__private::On::#on,
            nodes: &[#(#kinds),*],
            run: |walker, here, run| {
                let _ = (here, &run);
                #call
            },
        }
    })
}

/// The types in `#[entry(Root, City)]`.
fn listed(mark: &Attribute, word: &str) -> syn::Result<Vec<Path>> {
    match &mark.meta {
        Meta::Path(_) => Ok(Vec::new()),
        Meta::List(list) => list
            .parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
            .map(|paths| paths.into_iter().collect())
            .map_err(|error| {
                syn::Error::new(
                    error.span(),
                    format!("expected types of nodes: `#[{word}(Root)]` or `#[{word}(Root, City)]`"),
                )
            }),
        Meta::NameValue(pair) => {
            Err(syn::Error::new_spanned(pair, format!("types of nodes stand in brackets: `#[{word}(Root)]`")))
        }
    }
}

fn is_node(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|last| last.ident == "Node"))
}
