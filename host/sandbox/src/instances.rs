//! How many core instances a component consists of: counted as wasmtime counts them, without compiling anything.
//!
//! Runs in the jailed child.

use wasmtime_environ::component::{ComponentTypesBuilder, Translator};
use wasmtime_environ::wasmparser::Validator;
use wasmtime_environ::{ScopeVec, Tunables};

use crate::componentize::Rejected;
use crate::features;

/// Those of the component's own modules, of components in it, and of the adapters between them.
///
/// # Errors
/// When it is no valid component.
pub(crate) fn count(component: &[u8]) -> Result<u64, Rejected> {
    let (tunables, scope) = (Tunables::default_host(), ScopeVec::new());
    let mut validator = Validator::new_with_features(features::ALLOWED);
    let mut types = ComponentTypesBuilder::new(&validator);
    let translator = Translator::new(&tunables, &mut validator, &mut types, &scope);
    let (translated, _) = translator
        .translate(component)
        .map_err(|error| Rejected::new(format!("the module cannot be compiled: {error:#}")))?;
    Ok(u64::from(translated.component.num_runtime_instances))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_as_often_as_it_is_instantiated() {
        let check = |text: &str, expect| {
            let component = wat::parse_str(text).unwrap();
            assert_eq!(count(&component).map_err(|rejected| rejected.0), Ok(expect), "{text}");
        };
        check("(component)", 0);
        check("(component (core module $m) (core instance (instantiate $m)))", 1);
        check("(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))", 2);
        // What is only gathered is no instance; what stands in a component counts for each of its instances.
        check("(component (core instance))", 0);
        let inner = "(component $c (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
        check(&format!("(component {inner})"), 0);
        check(&format!("(component {inner} (instance (instantiate $c)) (instance (instantiate $c)))"), 4);
        // A component that is handed to another.
        let outer = "(component $o (import \"c\" (component $c)) (instance (instantiate $c)))";
        check(&format!("(component {inner} {outer} (instance (instantiate $o (with \"c\" (component $c)))))"), 2);
        assert!(count(b"\0asm").is_err());
    }
}
