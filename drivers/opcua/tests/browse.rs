//! What a person sees of a server before anything is configured.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking, in its helpers too")]

mod bench;

use bench::{NAMESPACE, Options, Server, device};
use penstock_opcua::{Kind, browse};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tree_tells_types_values_and_rights() {
    let pki = tempfile::tempdir().unwrap();
    let server = Server::start(Options { shifted: true, ..Options::default() }).await;
    let config = device(server.address, pki.path());
    let tree = browse(&config, None, 1).await.unwrap();
    assert!(!tree.truncated);
    assert_eq!((tree.nodes[0].name.as_str(), tree.nodes[0].depth), ("Objects", 0));
    let of = |name: &str| {
        let node = tree.nodes.iter().find(|n| n.name == name).unwrap();
        (node.id.clone(), node.variable.clone().unwrap())
    };
    let (id, level) = of("Level");
    assert_eq!(id, format!("nsu={NAMESPACE};s=Level"), "by uri: its number is the server's to change");
    assert_eq!((level.kind, level.value.as_str(), level.data_type.as_str()), (Kind::Float, "1.5", "Double"));
    assert!(level.readable && !level.writable && level.dimensions.is_empty());
    let (_, speed) = of("Speed");
    assert!(speed.writable && speed.kind == Kind::Int);
    assert_eq!(of("Speeds").1.dimensions, [3]);
    assert_eq!(of("Name").1.kind, Kind::Text);
    assert!(tree.left_out.contains(&"Server (i=2253)".to_owned()), "{:?}", tree.left_out);
    let standard = browse(&config, Some("i=2253"), 2).await.unwrap();
    assert!(standard.nodes.iter().any(|n| n.name == "ServerStatus" && n.variable.is_some()));

    // From a node downward, and what is no node.
    let one = browse(&config, Some(&id), 3).await.unwrap();
    assert_eq!(one.nodes.len(), 1);
    assert_eq!(one.nodes[0].variable.as_ref().unwrap().value, "1.5");
    let why = browse(&config, Some("nsu=urn:penstock:test;s=Nothing"), 1).await.unwrap_err();
    assert!(why.contains("BadNodeIdUnknown"), "{why}");
    assert!(browse(&config, Some("Level"), 1).await.unwrap_err().contains("not an OPC UA node id"));
    let why = browse(&config, Some("nsu=urn:nobody;s=Level"), 1).await.unwrap_err();
    assert!(why.contains("urn:nobody"), "{why}");

    // Deep, and every node once, whatever refers to what.
    let all = browse(&config, Some("i=85"), 20).await.unwrap();
    let mut ids: Vec<&str> = all.nodes.iter().map(|n| n.id.as_str()).collect();
    let nodes = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), nodes);
    server.stop().await;
}
