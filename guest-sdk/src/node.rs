//! The places that walkers enter, and the types that select them.
//!
//! Nodes have no data here yet: they are told apart by their type's name alone.

use crate::NodeId;

/// A type of node: as the type of `here`, it selects the nodes that an ability is for.
///
/// [`Root`] and [`Node`] are built in; [`node!`](crate::node!) declares others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a type of node",
    label = "not a type of node",
    note = "walkers enter `Root`, `Node` (any node) or a type declared with `walker_sdk::node!(City);`"
)]
pub trait NodeType: Sized {
    /// The type's name as hosts know it; `*` stands for any node.
    const KIND: &'static str;

    /// The node with this id.
    fn at(id: &NodeId) -> Self;
}

/// A user's root: where walkers start when nobody names another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root(NodeId);

/// Any node, a root included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node(NodeId);

impl Root {
    /// Its id.
    pub fn id(&self) -> &NodeId {
        &self.0
    }
}

impl Node {
    /// Its id.
    pub fn id(&self) -> &NodeId {
        &self.0
    }
}

impl NodeType for Root {
    const KIND: &'static str = "Root";

    fn at(id: &NodeId) -> Self {
        Self(id.clone())
    }
}

impl NodeType for Node {
    const KIND: &'static str = "*";

    fn at(id: &NodeId) -> Self {
        Self(id.clone())
    }
}

/// Declares types of nodes by their names, so that abilities can be for them.
///
/// ```
/// use walker_sdk::prelude::*;
///
/// walker_sdk::node! {
///     /// A place with people.
///     pub City;
/// }
///
/// #[walker]
/// struct Census {}
///
/// #[walker]
/// impl Census {
///     #[entry]
///     fn count(&self, here: &City, run: &mut Run) -> Result<()> {
///         run.report(here.id())
///     }
/// }
///
/// let city = "n:City:550e8400-e29b-41d4-a716-446655440000".parse()?;
/// let done = walker_sdk::testing::World::new().on(city).run(Census {})?;
/// assert_eq!(done.reports, ["n:City:550e8400-e29b-41d4-a716-446655440000"]);
/// # Ok::<(), Error>(())
/// ```
#[macro_export]
macro_rules! node {
    ($($(#[$attribute:meta])* $visible:vis $name:ident);+ $(;)?) => {$(
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        $visible struct $name($crate::NodeId);

        impl $name {
            /// Its id.
            #[allow(dead_code, reason = "not every walker asks")]
            $visible fn id(&self) -> &$crate::NodeId {
                &self.0
            }
        }

        impl $crate::NodeType for $name {
            const KIND: &'static str = ::core::stringify!($name);

            fn at(id: &$crate::NodeId) -> Self {
                Self(id.clone())
            }
        }
    )+};
}

/// Whether an ability for nodes of type `kind` is for the node `id`.
pub(crate) fn is_for(kind: &str, id: &NodeId) -> bool {
    kind == Node::KIND || kind == if id.is_root() { Root::KIND } else { id.kind() }
}
