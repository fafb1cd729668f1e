//! Node ids as people write them.
//!
//! `ns=2;s=Plant/FIT101` names a namespace by its number, which a server may change with its next download;
//! `nsu=<uri>;s=…` names it by its uri, which is looked up anew in each session.

use opcua::types::{Identifier, NamespaceMap, NodeId};
use std::str::FromStr;

/// How a node's namespace is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Namespace {
    /// By its number in the server's list.
    Index(u16),
    /// By its uri, looked up per session.
    Uri(String),
}

/// A node as configured, before a session has resolved it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRef {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its identifier within the namespace.
    pub identifier: Identifier,
}

impl NodeRef {
    /// The identifier where it is a string, else `None`.
    #[must_use]
    pub fn string_id(&self) -> Option<&str> {
        match &self.identifier {
            Identifier::String(text) => Some(text.as_ref()),
            _ => None,
        }
    }
}

/// A text that is no node id, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an OPC UA node id: {hint}")]
pub struct NodeError {
    /// The text.
    pub text: String,
    /// What to write instead.
    pub hint: &'static str,
}

/// Reads a node id: `i=85`, `ns=2;s=Plant/FIT101`, `ns=3;i=1001`, `ns=1;g=<guid>`, `ns=1;b=<base64>`, each also with
/// `nsu=<uri>;` in place of `ns=<number>;`.
///
/// # Errors
/// When the text is none of these.
pub fn parse_node(text: &str) -> Result<NodeRef, NodeError> {
    let fail = |hint: &'static str| NodeError { text: text.to_owned(), hint };
    let trimmed = text.trim();
    let (namespace, rest) = if let Some(rest) = trimmed.strip_prefix("nsu=") {
        // A uri may hold `;` only escaped (Part 6, 5.1.13), so the first `;` followed by an identifier ends it.
        let split = ["s=", "i=", "g=", "b="].iter().filter_map(|k| rest.find(&format!(";{k}"))).min();
        let at = split.ok_or_else(|| fail("after nsu=<uri> comes `;s=`, `;i=`, `;g=` or `;b=`"))?;
        let uri = rest[..at].replace("%3B", ";").replace("%25", "%");
        if uri.is_empty() {
            return Err(fail("nsu= names the namespace's uri, for example nsu=urn:maker:plc;s=Tank.Level"));
        }
        (Namespace::Uri(uri), &rest[at + 1..])
    } else if let Some(rest) = trimmed.strip_prefix("ns=") {
        let (number, rest) =
            rest.split_once(';').ok_or_else(|| fail("after ns=<number> comes `;s=`, `;i=`, `;g=` or `;b=`"))?;
        let index =
            number.parse().map_err(|_| fail("ns= is followed by a number of 0 to 65535; for a uri use nsu="))?;
        (Namespace::Index(index), rest)
    } else {
        (Namespace::Index(0), trimmed)
    };
    let wrong = "write it as ns=2;s=Plant/FIT101, ns=3;i=1001 or nsu=<namespace uri>;s=Plant/FIT101";
    if !["s=", "i=", "g=", "b="].iter().any(|k| rest.len() > k.len() && rest.starts_with(k)) {
        return Err(fail(wrong));
    }
    let identifier = Identifier::from_str(rest).map_err(|()| fail(wrong))?;
    Ok(NodeRef { namespace, identifier })
}

impl NodeRef {
    /// The node in a session with these namespaces.
    ///
    /// # Errors
    /// When the server has no namespace of that uri; in words for a person.
    pub(crate) fn resolve(&self, namespaces: &NamespaceMap) -> Result<NodeId, String> {
        let index = match &self.namespace {
            Namespace::Index(index) => *index,
            Namespace::Uri(uri) => {
                namespaces.get_index(uri).ok_or_else(|| format!("the server has no namespace `{uri}`"))?
            }
        };
        Ok(NodeId { namespace: index, identifier: self.identifier.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &str) -> Identifier {
        Identifier::from(id)
    }

    #[test]
    fn every_notation_is_read() {
        for (given, namespace, identifier) in [
            ("ns=2;s=Plant/FIT101", Namespace::Index(2), text("Plant/FIT101")),
            (" ns=3;i=1001 ", Namespace::Index(3), Identifier::from(1001)),
            ("i=2258", Namespace::Index(0), Identifier::from(2258)),
            ("nsu=urn:maker:plc;s=Tank.Level", Namespace::Uri("urn:maker:plc".into()), text("Tank.Level")),
            ("nsu=http://a.b/c?d=e;s=x;i=1", Namespace::Uri("http://a.b/c?d=e".into()), text("x;i=1")),
            ("nsu=urn:a%3Bb;i=1", Namespace::Uri("urn:a;b".into()), Identifier::from(1)),
            ("ns=1;s=ns=2;s=odd", Namespace::Index(1), text("ns=2;s=odd")),
        ] {
            assert_eq!(parse_node(given), Ok(NodeRef { namespace, identifier }), "{given}");
        }
        assert!(parse_node("ns=1;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63").is_ok());
        assert!(parse_node("ns=1;b=M/RbKBsRVkePCePcx24oRA==").is_ok());
    }

    #[test]
    fn a_wrong_text_says_what_to_write_instead() {
        for (given, hint) in [
            ("", "ns=2;s="),
            ("Plant/FIT101", "ns=2;s="),
            ("ns=2", "after ns="),
            ("ns=70000;i=1", "0 to 65535"),
            ("ns=urn:x;i=1", "nsu="),
            ("nsu=urn:x", "after nsu="),
            ("nsu=;s=x", "names the namespace"),
            ("ns=2;ns=3;s=x", "ns=2;s="),
            ("ns=2;i=-1", "ns=2;s="),
            ("ns=2;i=", "ns=2;s="),
            ("é", "ns=2;s="),
        ] {
            let e = parse_node(given).unwrap_err();
            assert!(e.to_string().contains(hint), "{e}");
        }
    }

    #[test]
    fn a_uri_is_looked_up_in_the_session() {
        let mut namespaces = NamespaceMap::new();
        let index = namespaces.add_namespace("urn:maker:plc");
        let node = parse_node("nsu=urn:maker:plc;s=x").unwrap();
        assert_eq!(node.resolve(&namespaces), Ok(NodeId::new(index, "x")));
        assert!(node.resolve(&NamespaceMap::new()).unwrap_err().contains("urn:maker:plc"));
        assert_eq!(parse_node("ns=9;s=x").unwrap().resolve(&namespaces), Ok(NodeId::new(9, "x")));
    }
}
