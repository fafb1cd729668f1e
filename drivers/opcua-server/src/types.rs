//! The types as clients' event filters are checked against.
//!
//! The library leaves out a field that it does not find among the types, and every later field of an event then stands
//! in the wrong place. It finds neither the id of a condition, which is asked for by no name at all, nor what a type has
//! from a type that it does not know. So here every field is found; what an event has not is empty.

use opcua::nodes::{DefaultTypeTree, NamespaceMap, TypeProperty, TypeTree, TypeTreeNode};
use opcua::server::node_manager::{RequestContext, TypeTreeForUser, TypeTreeForUserStatic, TypeTreeReadContext};
use opcua::sync::RwLock;
use opcua::types::{NodeClass, NodeId, QualifiedName};
use std::ops::Deref;
use std::sync::Arc;

/// Gives every user the types of the server, with every field found.
pub(crate) struct PlantTypes {
    fields: Arc<Fields>,
}

/// What stands for a field that the types do not have.
struct Fields {
    /// The event itself: its id is asked for.
    event: TypeProperty,
    /// A value of it.
    value: TypeProperty,
}

impl Default for PlantTypes {
    fn default() -> PlantTypes {
        let field = |node_class| TypeProperty { node_id: NodeId::null(), node_class };
        let fields = Fields { event: field(NodeClass::Object), value: field(NodeClass::Variable) };
        PlantTypes { fields: Arc::new(fields) }
    }
}

/// The types of one request.
struct Types<G> {
    tree: G,
    fields: Arc<Fields>,
}

impl<G: Deref<Target = DefaultTypeTree>> TypeTree for Types<G> {
    fn is_subtype_of(&self, child: &NodeId, ancestor: &NodeId) -> bool {
        self.tree.is_subtype_of(child, ancestor)
    }

    fn get_node<'a>(&'a self, node: &NodeId) -> Option<TypeTreeNode<'a>> {
        self.tree.get_node(node)
    }

    fn get(&self, node: &NodeId) -> Option<NodeClass> {
        TypeTree::get(&*self.tree, node)
    }

    fn find_type_prop_by_browse_path(&self, type_id: &NodeId, path: &[QualifiedName]) -> Option<&TypeProperty> {
        let missing = if path.is_empty() { &self.fields.event } else { &self.fields.value };
        self.tree.find_type_prop_by_browse_path(type_id, path).or(Some(missing))
    }

    fn get_supertype<'a>(&'a self, node: &NodeId) -> Option<&'a NodeId> {
        self.tree.get_supertype(node)
    }

    fn namespaces(&self) -> &NamespaceMap {
        TypeTree::namespaces(&*self.tree)
    }
}

impl<G: Deref<Target = DefaultTypeTree>> TypeTreeReadContext for Types<G> {
    fn get(&self) -> &dyn TypeTree {
        self
    }
}

/// The types for as long as a session lives.
struct Lasting {
    tree: Arc<RwLock<DefaultTypeTree>>,
    fields: Arc<Fields>,
}

impl TypeTreeForUserStatic for Lasting {
    fn get_type_tree<'a>(&'a self) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(Types { tree: self.tree.read(), fields: self.fields.clone() })
    }
}

impl TypeTreeForUser for PlantTypes {
    fn get_type_tree_for_user<'a>(&'a self, ctx: &'a RequestContext) -> Box<dyn TypeTreeReadContext + 'a> {
        Box::new(Types { tree: ctx.type_tree.read(), fields: self.fields.clone() })
    }

    fn get_type_tree_static(&self, ctx: &RequestContext) -> Arc<dyn TypeTreeForUserStatic> {
        Arc::new(Lasting { tree: ctx.type_tree.clone(), fields: self.fields.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found_so_that_none_is_left_out() {
        let tree = DefaultTypeTree::new();
        let types = Types { tree: &tree, fields: PlantTypes::default().fields };
        let class = |path: &[&str]| {
            let path: Vec<QualifiedName> = path.iter().map(|p| QualifiedName::from(*p)).collect();
            types.find_type_prop_by_browse_path(&NodeId::null(), &path).map(|p| p.node_class)
        };
        assert_eq!(class(&[]), Some(NodeClass::Object));
        assert_eq!(class(&["ActiveState", "Id"]), Some(NodeClass::Variable));
    }
}
