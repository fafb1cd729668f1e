//! What a server has, for a person who configures it: its tree with types, units, ranges and rights.

use crate::config::DeviceConfig;
use crate::connect::{Open, client, in_words, open};
use crate::limits::{ATTRIBUTES_PER_READ, BROWSE_NODES_MAX, BROWSE_PER_REQUEST};
use crate::node::parse_node;
use opcua::client::Session;
use opcua::types::{
    AttributeId, BrowseDescription, BrowseDirection, BrowseResultMaskFlags, ByteString, DataValue, EUInformation,
    Error, NamespaceMap, NodeClass, NodeClassMask, NodeId, ObjectId, Range, ReadValueId, ReferenceDescription,
    ReferenceTypeId, TimestampsToReturn, Variant, VariantScalarTypeId,
};
use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;

/// One node of the tree.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BrowsedNode {
    /// How far below the first node.
    pub depth: usize,
    /// `nsu=<uri>;…`, or without a namespace for the standard's own.
    pub id: String,
    /// Its name among its siblings.
    pub name: String,
    /// What it shows to a person.
    pub display: String,
    /// What it says of itself; often empty.
    pub description: String,
    /// What a variable holds; `None` for what is no variable.
    pub variable: Option<Variable>,
}

/// What a variable holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variable {
    /// The name of its type: `Double`, `Int16`, or of a structure or enumeration.
    pub data_type: String,
    /// What a tag of it is.
    pub kind: Kind,
    /// Lengths of an array's dimensions; empty for a single value.
    pub dimensions: Vec<u32>,
    /// The value now, for showing; empty where there is none.
    pub value: String,
    /// The status now, where it is not good.
    pub status: String,
    /// Engineering unit, as the server writes it.
    pub unit: Option<String>,
    /// Instrument or engineering range.
    pub range: Option<(f64, f64)>,
    /// We may read it.
    pub readable: bool,
    /// We may write it.
    pub writable: bool,
}

/// What a tag of a variable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// A number with fractions.
    Float,
    /// A whole number.
    Int,
    /// On or off.
    Bool,
    /// A text.
    Text,
    /// Nothing that a tag can hold: a structure, a time, bytes.
    #[default]
    Other,
}

/// A tree, in the order in which it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Its nodes, each before what is below it.
    pub nodes: Vec<BrowsedNode>,
    /// There is more than was visited.
    pub truncated: bool,
    /// Nodes of the standard itself below the objects, which are passed over unless one is given to begin with.
    pub left_out: Vec<String>,
}

/// What is asked of a server.
struct Browser {
    session: Arc<Session>,
    timeout: std::time::Duration,
    uris: Vec<String>,
}

/// A node found, before it was read.
struct Found {
    node: NodeId,
    node_class: NodeClass,
    out: BrowsedNode,
    children: Vec<usize>,
    unit: Option<NodeId>,
    range: Option<NodeId>,
}

/// Browses a server from a node downward, `depth` levels deep; from its objects where no node is given.
///
/// # Errors
/// In words for a person: what keeps us from connecting, or a node that is none.
pub async fn browse(config: &DeviceConfig, start: Option<&str>, depth: usize) -> Result<Tree, String> {
    let start = start.map(parse_node).transpose().map_err(|e| e.to_string())?;
    let made = {
        let config = config.clone();
        tokio::task::spawn_blocking(move || client(&config)).await.map_err(|e| e.to_string())??
    };
    let Open { session, task: _task, .. } = open(&made, config).await?;
    let mut browser = Browser { session: session.clone(), timeout: config.timeout, uris: Vec::new() };
    let result = browser.tree(start, depth).await;
    // The server would keep the session for a while otherwise; whether it hears of the end changes nothing here.
    let _ = tokio::time::timeout(config.timeout, session.disconnect()).await;
    result
}

impl Browser {
    async fn call<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => answer.map_err(|e| in_words(e.status())),
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }

    async fn tree(&mut self, start: Option<crate::node::NodeRef>, depth: usize) -> Result<Tree, String> {
        let namespaces = self.call(self.session.read_namespace_array()).await?;
        self.uris = uris(&namespaces);
        let root = match &start {
            Some(node) => node.resolve(&namespaces)?,
            None => NodeId::from(ObjectId::ObjectsFolder),
        };
        let mut found = vec![self.root(root).await?];
        let (from_objects, mut left_out) = (start.is_none(), Vec::new());
        let mut seen: HashSet<NodeId> = found.iter().map(|f| f.node.clone()).collect();
        let (mut level, mut truncated) = (vec![0], false);
        for below in 1..=depth {
            let mut next = Vec::new();
            for chunk in level.chunks(BROWSE_PER_REQUEST) {
                let nodes: Vec<NodeId> = chunk.iter().map(|i| found[*i].node.clone()).collect();
                for (parent, references) in chunk.iter().zip(self.references(&nodes).await?) {
                    for reference in references {
                        if from_objects && below == 1 && reference.node_id.node_id.namespace == 0 {
                            let node = self.id_text(&reference.node_id.node_id);
                            left_out.push(format!("{} ({node})", reference.browse_name.name));
                            continue;
                        }
                        truncated |= self.add(&mut found, &mut seen, &mut next, *parent, below, reference);
                    }
                }
            }
            level = next;
        }
        // Units and ranges hang below the deepest level too.
        if depth > 0 {
            self.properties(&mut found, &level).await?;
        } else {
            self.properties(&mut found, &[0]).await?;
        }
        self.read(&mut found).await?;
        Ok(Tree { nodes: in_order(&found), truncated, left_out })
    }

    async fn root(&self, node: NodeId) -> Result<Found, String> {
        let ask = [AttributeId::NodeClass, AttributeId::BrowseName, AttributeId::DisplayName]
            .map(|a| ReadValueId::new(node.clone(), a));
        let answers = self.call(self.session.read(&ask, TimestampsToReturn::Neither, 0.0)).await?;
        let [class, name, display] = answers.as_slice() else { return Err("the server does not answer".to_owned()) };
        let node_class = match class.value {
            Some(Variant::Int32(2)) => NodeClass::Variable,
            Some(Variant::Int32(_)) => NodeClass::Object,
            _ => {
                let why = class.status.map_or_else(|| "no such node".to_owned(), in_words);
                return Err(format!("`{}`: {why}", self.id_text(&node)));
            }
        };
        let name = match &name.value {
            Some(Variant::QualifiedName(name)) => name.name.to_string(),
            _ => String::new(),
        };
        let out = BrowsedNode { id: self.id_text(&node), name, display: text_of(display), ..BrowsedNode::default() };
        Ok(Found { node, node_class, out, children: Vec::new(), unit: None, range: None })
    }

    /// Everything below some nodes, by hierarchical references.
    async fn references(&self, nodes: &[NodeId]) -> Result<Vec<Vec<ReferenceDescription>>, String> {
        let ask: Vec<BrowseDescription> = nodes
            .iter()
            .map(|node| BrowseDescription {
                node_id: node.clone(),
                browse_direction: BrowseDirection::Forward,
                reference_type_id: ReferenceTypeId::HierarchicalReferences.into(),
                include_subtypes: true,
                node_class_mask: (NodeClassMask::OBJECT | NodeClassMask::VARIABLE).bits(),
                result_mask: BrowseResultMaskFlags::all().bits(),
            })
            .collect();
        let mut results = self.call(self.session.browse(&ask, 0, None)).await?;
        let mut all = Vec::with_capacity(nodes.len());
        for result in &mut results {
            let mut references = result.references.take().unwrap_or_default();
            let mut point = std::mem::take(&mut result.continuation_point);
            while !point.is_null_or_empty() && references.len() < BROWSE_NODES_MAX {
                let ask: [ByteString; 1] = [point];
                let mut more = self.call(self.session.browse_next(false, &ask)).await?;
                let Some(next) = more.first_mut() else { break };
                references.extend(next.references.take().unwrap_or_default());
                point = std::mem::take(&mut next.continuation_point);
            }
            all.push(references);
        }
        all.resize_with(nodes.len(), Vec::new);
        Ok(all)
    }

    /// Takes one reference; true where it found no room.
    fn add(
        &self,
        found: &mut Vec<Found>,
        seen: &mut HashSet<NodeId>,
        next: &mut Vec<usize>,
        parent: usize,
        depth: usize,
        reference: ReferenceDescription,
    ) -> bool {
        let node = reference.node_id.node_id.clone();
        if property(&mut found[parent], &reference) || reference.node_id.server_index != 0 || !seen.insert(node.clone())
        {
            return false;
        }
        if found.len() >= BROWSE_NODES_MAX {
            return true;
        }
        let out = BrowsedNode {
            depth,
            id: self.id_text(&node),
            name: reference.browse_name.name.to_string(),
            display: reference.display_name.text.to_string(),
            ..BrowsedNode::default()
        };
        let index = found.len();
        found[parent].children.push(index);
        found.push(Found {
            node,
            node_class: reference.node_class,
            out,
            children: Vec::new(),
            unit: None,
            range: None,
        });
        next.push(index);
        false
    }

    /// Looks for units and ranges of nodes whose children are not shown.
    async fn properties(&self, found: &mut [Found], level: &[usize]) -> Result<(), String> {
        let variables: Vec<usize> =
            level.iter().copied().filter(|i| found[*i].node_class == NodeClass::Variable).collect();
        for chunk in variables.chunks(BROWSE_PER_REQUEST) {
            let nodes: Vec<NodeId> = chunk.iter().map(|i| found[*i].node.clone()).collect();
            for (index, references) in chunk.iter().zip(self.references(&nodes).await?) {
                for reference in references {
                    property(&mut found[*index], &reference);
                }
            }
        }
        Ok(())
    }

    /// Reads what variables hold, and what every node says of itself.
    async fn read(&self, found: &mut [Found]) -> Result<(), String> {
        let mut ask = Vec::new();
        for (index, one) in found.iter().enumerate() {
            ask.push((index, What::Description, ReadValueId::new(one.node.clone(), AttributeId::Description)));
            if one.node_class != NodeClass::Variable {
                continue;
            }
            for (what, attribute) in [
                (What::Value, AttributeId::Value),
                (What::DataType, AttributeId::DataType),
                (What::Access, AttributeId::UserAccessLevel),
            ] {
                ask.push((index, what, ReadValueId::new(one.node.clone(), attribute)));
            }
            let properties = [(What::Unit, &one.unit), (What::Range, &one.range)];
            for (what, node) in properties.into_iter().filter_map(|(w, n)| Some((w, n.as_ref()?))) {
                ask.push((index, what, ReadValueId::from(node.clone())));
            }
        }
        for one in found.iter_mut().filter(|f| f.node_class == NodeClass::Variable) {
            one.out.variable = Some(Variable::default());
        }
        for chunk in ask.chunks(ATTRIBUTES_PER_READ) {
            let ids: Vec<ReadValueId> = chunk.iter().map(|(_, _, id)| id.clone()).collect();
            let answers = self.call(self.session.read(&ids, TimestampsToReturn::Neither, 0.0)).await?;
            for ((index, what, _), answer) in chunk.iter().zip(answers) {
                self.take(&mut found[*index].out, *what, &answer);
            }
        }
        Ok(())
    }

    fn take(&self, out: &mut BrowsedNode, what: What, answer: &DataValue) {
        if what == What::Description {
            out.description = text_of(answer);
            return;
        }
        let Some(variable) = &mut out.variable else { return };
        match (what, &answer.value) {
            (What::Value, value) => {
                variable.status = answer.status.filter(|s| !s.is_good()).map(in_words).unwrap_or_default();
                if let Some(value) = value {
                    variable.show(value);
                }
            }
            (What::DataType, Some(Variant::NodeId(id))) => {
                let standard = VariantScalarTypeId::try_from(id.as_ref()).ok();
                match standard {
                    Some(kind) if variable.data_type.is_empty() || kind != VariantScalarTypeId::ExtensionObject => {
                        variable.declare(kind);
                    }
                    _ if variable.data_type.is_empty() => variable.data_type = self.id_text(id),
                    _ => {}
                }
            }
            (What::Access, Some(Variant::Byte(level))) => {
                (variable.readable, variable.writable) = (level & 1 != 0, level & 2 != 0);
            }
            (What::Unit, Some(Variant::ExtensionObject(object))) => {
                let unit = object.inner_as::<EUInformation>().map(|u| u.display_name.text.to_string());
                variable.unit = unit.filter(|u| !u.is_empty());
            }
            (What::Range, Some(Variant::ExtensionObject(object))) => {
                let range = object.inner_as::<Range>().map(|r| (r.low, r.high));
                variable.range = range.filter(|(low, high)| low.is_finite() && high.is_finite() && low < high);
            }
            _ => {}
        }
    }

    /// A node id that survives a server's renumbering of its namespaces.
    fn id_text(&self, node: &NodeId) -> String {
        let identifier = NodeId { namespace: 0, identifier: node.identifier.clone() }.to_string();
        let identifier = identifier.strip_prefix("ns=0;").unwrap_or(&identifier);
        match (node.namespace, self.uris.get(node.namespace as usize)) {
            (0, _) => identifier.to_owned(),
            (_, Some(uri)) if !uri.is_empty() => {
                format!("nsu={};{identifier}", uri.replace('%', "%25").replace(';', "%3B"))
            }
            (number, _) => format!("ns={number};{identifier}"),
        }
    }
}

/// What an answer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Description,
    Value,
    DataType,
    Access,
    Unit,
    Range,
}

/// Takes unit and range as what they are; true for every property, which is no node of its own to a person.
fn property(parent: &mut Found, reference: &ReferenceDescription) -> bool {
    if reference.reference_type_id != ReferenceTypeId::HasProperty {
        return false;
    }
    let node = reference.node_id.node_id.clone();
    match reference.browse_name.name.as_ref() {
        "EngineeringUnits" => parent.unit = Some(node),
        "EURange" => parent.range = Some(node),
        _ => {}
    }
    true
}

impl Variable {
    fn declare(&mut self, kind: VariantScalarTypeId) {
        use VariantScalarTypeId as T;
        self.data_type = kind.to_string();
        self.kind = match kind {
            T::Float | T::Double => Kind::Float,
            T::SByte | T::Byte | T::Int16 | T::UInt16 | T::Int32 | T::UInt32 | T::Int64 | T::UInt64 => Kind::Int,
            T::Boolean => Kind::Bool,
            T::String | T::LocalizedText => Kind::Text,
            _ => Kind::Other,
        };
    }

    fn show(&mut self, value: &Variant) {
        if let Some(kind) = value.scalar_type_id() {
            self.declare(kind);
        }
        match value {
            Variant::Array(array) => {
                let length = u32::try_from(array.values.len()).unwrap_or(u32::MAX);
                self.dimensions = array.dimensions.clone().unwrap_or_else(|| vec![length]);
            }
            Variant::ExtensionObject(object) => object.type_name().unwrap_or("").clone_into(&mut self.value),
            Variant::Empty => {}
            single => self.value = single.to_string(),
        }
    }
}

fn text_of(answer: &DataValue) -> String {
    match &answer.value {
        Some(Variant::LocalizedText(text)) => text.text.to_string(),
        Some(Variant::String(text)) => text.to_string(),
        _ => String::new(),
    }
}

/// Namespace uris by their number.
fn uris(namespaces: &NamespaceMap) -> Vec<String> {
    let known = namespaces.known_namespaces();
    let last = known.values().copied().max().unwrap_or(0);
    let mut all = vec![String::new(); usize::from(last) + 1];
    for (uri, number) in known {
        all[usize::from(*number)].clone_from(uri);
    }
    all
}

/// Each node before what is below it.
fn in_order(found: &[Found]) -> Vec<BrowsedNode> {
    let mut out = Vec::with_capacity(found.len());
    let mut stack = vec![0];
    while let Some(index) = stack.pop() {
        out.push(found[index].out.clone());
        stack.extend(found[index].children.iter().rev());
    }
    out
}
