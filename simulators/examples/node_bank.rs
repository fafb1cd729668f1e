//! An OPC UA server with so many numbers that change ten times a second: what the bench `field` subscribes.
//!
//! `node_bank <nodes>` prints `ready <port>` and ends with its input. Nodes are `ns=<its namespace>;s=N0` and so on.

use opcua::server::address_space::VariableBuilder;
use opcua::server::diagnostics::NamespaceMetadata;
use opcua::server::node_manager::memory::{SimpleNodeManager, simple_node_manager};
use opcua::server::{ANONYMOUS_USER_TOKEN_ID, ServerBuilder, ServerEndpoint};
use opcua::types::{DataTypeId, DataValue, DateTime, NodeId, ObjectId, StatusCode, Variant};
use std::io::Read;
use std::time::Duration;

const NAMESPACE: &str = "urn:penstock:bench";

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let nodes = std::env::args().nth(1).and_then(|n| n.parse::<u32>().ok()).unwrap_or(1_000);
    let pki = std::env::temp_dir().join(format!("penstock-node-bank-{}", std::process::id()));
    let metadata = NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
    let mut builder = ServerBuilder::new()
        .application_name("bench")
        .application_uri("urn:bench")
        .pki_dir(pki)
        .create_sample_keypair(false)
        .host("127.0.0.1")
        .add_endpoint("only", ServerEndpoint::new_none("/", &[ANONYMOUS_USER_TOKEN_ID.to_string()]))
        .discovery_urls(vec!["/".to_owned()])
        .subscription_poll_interval_ms(10)
        .with_node_manager(simple_node_manager(metadata, "bench"));
    let limits = &mut builder.limits_mut().subscriptions;
    limits.min_publishing_interval_ms = 50.0;
    limits.min_sampling_interval_ms = 50.0;
    limits.max_notifications_per_publish = 5_000;
    limits.max_monitored_items_per_sub = nodes as usize;
    let (server, handle) = builder.build()?;
    let manager = handle.node_managers().get_by_name::<SimpleNodeManager>("bench").ok_or("no node manager")?;
    let namespace = handle.get_namespace_index(NAMESPACE).ok_or("no namespace")?;
    let ids: Vec<NodeId> = (0..nodes).map(|n| NodeId::new(namespace, format!("N{n}"))).collect();
    for (n, id) in ids.iter().enumerate() {
        let name = format!("N{n}");
        VariableBuilder::new(id, name.as_str(), name.as_str())
            .data_type(DataTypeId::Double)
            .value(0.0)
            .organized_by(ObjectId::ObjectsFolder)
            .insert(&mut *manager.address_space().write());
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("ready {}", listener.local_addr()?.port());
    let subscriptions = handle.subscriptions().clone();
    tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        for turn in 0_u64.. {
            every.tick().await;
            let value = |n: usize| DataValue {
                value: Some(Variant::Double(turn as f64 + n as f64 / 1e6)),
                status: Some(StatusCode::Good),
                source_timestamp: Some(DateTime::now()),
                server_timestamp: Some(DateTime::now()),
                ..DataValue::null()
            };
            let values = ids.iter().enumerate().map(|(n, id)| (id, None, value(n)));
            if let Err(e) = manager.set_values(&subscriptions, values) {
                eprintln!("values cannot be set: {e}");
            }
        }
    });
    std::thread::spawn(move || {
        // Whoever started it has gone.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        handle.cancel();
    });
    server.run_with(listener).await?;
    Ok(())
}
