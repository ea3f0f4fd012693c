//! The attributes of `walker-sdk`.
//!
//! They add to what the author wrote and never change it. Every mistake is told with its place, all at once, and
//! something plausible is emitted all the same, so that an editor goes on working.
#![deny(missing_docs)]

mod abilities;
mod fields;
mod mistakes;
mod names;
mod options;
mod structs;

use proc_macro::TokenStream;
use proc_macro2::Span;
use quote::quote;
use syn::{Item, parse_macro_input};

use mistakes::Mistakes;

/// Makes a struct a walker, and the methods of its `impl` block abilities.
///
/// On the struct it takes `async`, `public`, `name = "…"`, `concurrency = 4` (how many of a tenant may run at once, on all
/// hosts together; async only), and limits of its own, which only ever lower the host's:
/// `timeout = "30s"`, `fuel = 1_000_000`, `memory = "64MiB"`, `log = "64KiB"`, `reports = 10`, `host_calls = 100`,
/// `spawns = 10`, and all others by the host's name for them, such as `handles = 10` or `report_bytes = "64KiB"`. To be tried again after a failure (async only), it takes `retries = 3` with a first pause of
/// `backoff = "2s"`, twice as long each time, up to `max_backoff = "5m"`.
/// Fields may carry `#[has(default = …)]` or `#[has(default)]`; without it they are required,
/// unless their type is an `Option`.
///
/// On the `impl` block, `#[entry]` and `#[exit]` mark abilities: methods with `&mut self` (or `&self`) that may take
/// `here: &Root` (or another type of node) and `run: &mut Run`, and return `Result<()>` or nothing. Where `here` is
/// left out, `#[entry(Root)]` says which nodes. Abilities run in source order, exits after the entries.
#[proc_macro_attribute]
pub fn walker(options: TokenStream, item: TokenStream) -> TokenStream {
    let verbatim = proc_macro2::TokenStream::from(item.clone());
    let mut mistakes = Mistakes::default();
    let output = match syn::parse::<Item>(item) {
        Ok(Item::Struct(item)) => structs::expand(options.into(), item, &mut mistakes),
        Ok(Item::Impl(item)) => abilities::expand(options.into(), item, &mut mistakes),
        Ok(_) => {
            mistakes.add(
                Span::call_site(),
                "a walker is a struct: write `#[walker] struct Name { .. }`, and `#[walker] impl Name { .. }` for its abilities",
            );
            verbatim
        }
        // While someone types, the compiler's own words are the better ones.
        Err(error) => {
            mistakes.take(error);
            verbatim
        }
    };
    let mistakes = mistakes.emit();
    quote!(#output #mistakes).into()
}

/// Makes a struct or an enum usable in a walker's fields, reports and custom value, at any depth.
///
/// It derives serde's `Serialize` and `Deserialize` and schemars' `JsonSchema` from the crates that `walker-sdk`
/// carries; `#[serde(..)]` and `#[schemars(..)]` attributes work as usual.
#[proc_macro_attribute]
pub fn data(options: TokenStream, item: TokenStream) -> TokenStream {
    let item = proc_macro2::TokenStream::from(item);
    let mut mistakes = Mistakes::default();
    if !options.is_empty() {
        mistakes.at(&proc_macro2::TokenStream::from(options), "`#[data]` has no options: write it alone");
    }
    let derives = structs::derives();
    let mistakes = mistakes.emit();
    quote!(#(#derives)* #item #mistakes).into()
}

/// Marks an ability that runs when the walker enters a node. Only has a meaning inside a `#[walker] impl` block.
#[proc_macro_attribute]
pub fn entry(_: TokenStream, item: TokenStream) -> TokenStream {
    misplaced("entry", item)
}

/// Marks an ability that runs when the walker leaves a node. Only has a meaning inside a `#[walker] impl` block.
#[proc_macro_attribute]
pub fn exit(_: TokenStream, item: TokenStream) -> TokenStream {
    misplaced("exit", item)
}

/// `#[walker]` takes these attributes away: whoever sees one has forgotten it.
fn misplaced(attribute: &str, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as proc_macro2::TokenStream);
    let mut mistakes = Mistakes::default();
    mistakes.add(
        Span::call_site(),
        format!(
            "`#[{attribute}]` marks a method inside `#[walker] impl Name {{ .. }}`: write `#[walker]` above the `impl`"
        ),
    );
    let mistakes = mistakes.emit();
    quote!(#item #mistakes).into()
}
